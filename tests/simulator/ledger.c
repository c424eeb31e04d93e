// See ledger.h: entering, and what objects are worth. ledger_run.c follows what runs.
#include "tests/simulator/ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mt_ledger_init(mt_ledger *l, int size, const int *node_of, const mt_resources *totals) {
    *l = (mt_ledger){.size = size, .node_of = node_of, .totals = totals, .table_size = 1024};
    l->suspect = calloc((size_t)size, 1);
    l->usage = calloc((size_t)size, sizeof *l->usage);
    l->table = malloc((size_t)l->table_size * sizeof *l->table);
    MT_ASSERT(l->suspect && l->usage && l->table);
    for (int i = 0; i < l->table_size; i++) l->table[i] = -1;
}

void mt_ledger_fini(mt_ledger *l) {
    for (int i = 0; i < l->record_count; i++)
        for (mt_ref_list *list = l->records[i].lists, *next; list; list = next) next = list->next, free(list);
    for (int i = 0; i < l->group_count; i++) free(l->groups[i].ranks);
    for (mt_instance *x = l->instances, *next; x; x = next) next = x->next, free(x->newest), free(x);
    free(l->suspect), free(l->usage), free(l->table);
    free(l->records), free(l->plans), free(l->actors), free(l->groups);
}

void mt_ledger_violate(mt_ledger *l, const char *format, ...) {
    if (l->failed++) return;
    va_list list;
    va_start(list, format);
    vsnprintf(l->violation, sizeof l->violation, format, list);
    va_end(list);
}

// ---- entering

static void *grown(void *array, int count, int *capacity, size_t bytes) {
    if (count < *capacity) return array;
    *capacity = *capacity ? 2 * *capacity : 64;
    array = realloc(array, (size_t)*capacity * bytes);
    MT_ASSERT(array);
    return array;
}

static int slot_of(const mt_ledger *l, manta_ref ref) {
    uint64_t h = (ref.serial * 0x9e3779b97f4a7c15ull) ^ ((uint64_t)ref.owner << 32 | ref.slot) * 0xc2b2ae3d27d4eb4full;
    int at = (int)((h ^ h >> 29) & (uint64_t)(l->table_size - 1));
    for (;; at = (at + 1) & (l->table_size - 1)) {
        if (l->table[at] < 0) return at;
        const manta_ref *r = &l->records[l->table[at]].ref;
        if (r->serial == ref.serial && r->slot == ref.slot && r->owner == ref.owner) return at;
    }
}

int mt_ledger_find(const mt_ledger *l, manta_ref ref) { return l->table[slot_of(l, ref)]; }

int mt_ledger_record(mt_ledger *l, manta_ref ref, mt_made made, mt_content content, int owner) {
    if (!ref.serial || (int)ref.owner != owner)
        mt_ledger_violate(l, "rank %d was given reference (%u, %u, %llu) for what it made", owner, ref.owner, ref.slot,
            (unsigned long long)ref.serial);
    if (mt_ledger_find(l, ref) >= 0)
        mt_ledger_violate(l, "reference (%u, %u, %llu) was given out twice", ref.owner, ref.slot, (unsigned long long)ref.serial);
    l->records = grown(l->records, l->record_count, &l->record_capacity, sizeof *l->records);
    int number = l->record_count++;
    l->records[number] = (mt_entry){.ref = ref, .made = (uint8_t)made, .content = (uint8_t)content, .owner = owner, .plan = -1,
        .actor = -1, .group = -1};
    if (2 * l->record_count > l->table_size) {
        l->table_size *= 2;
        l->table = realloc(l->table, (size_t)l->table_size * sizeof *l->table);
        MT_ASSERT(l->table);
        for (int i = 0; i < l->table_size; i++) l->table[i] = -1;
        for (int i = 0; i < number; i++) l->table[slot_of(l, l->records[i].ref)] = i;
    }
    l->table[slot_of(l, ref)] = number;
    return number;
}

void mt_ledger_add_list(mt_ledger *l, int record, const manta_ref *refs, int count) {
    mt_ref_list *list = malloc(sizeof *list + (size_t)count * sizeof *refs);
    MT_ASSERT(list);
    list->count = count;
    if (count) memcpy(list->refs, refs, (size_t)count * sizeof *refs);
    list->next = l->records[record].lists;
    l->records[record].lists = list;
}

// What a method gets is held by its caller until the call is done. Killing the actor ends that while the method still runs.
void mt_ledger_lend(mt_ledger *l, int record, int plan) {
    mt_entry *r = &l->records[record];
    if (plan < 0 || l->plans[plan].kind != MT_CALL_METHOD) return;
    r->lent[r->lent_count++ % (int)(sizeof r->lent / sizeof *r->lent)] = plan;
}

int mt_ledger_plan(mt_ledger *l) {
    l->plans = grown(l->plans, l->plan_count, &l->plan_capacity, sizeof *l->plans);
    l->plans[l->plan_count] = (mt_plan){.on_rank = -1, .group = -1, .bundle = -1, .actor = -1, .last_rank = -1};
    return l->plan_count++;
}

int mt_ledger_actor(mt_ledger *l) {
    l->actors = grown(l->actors, l->actor_count, &l->actor_capacity, sizeof *l->actors);
    l->actors[l->actor_count] = (mt_actor_entry){.name = -1};
    return l->actor_count++;
}

int mt_ledger_group(mt_ledger *l) {
    l->groups = grown(l->groups, l->group_count, &l->group_capacity, sizeof *l->groups);
    l->groups[l->group_count] = (mt_group_entry){0};
    return l->group_count++;
}

// ---- contents

uint64_t mt_content_seed(uint64_t a, uint64_t b) {
    uint64_t x = a * 0x9e3779b97f4a7c15ull + b + 0x2545f4914f6cdd1dull;
    x ^= x >> 30, x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27, x *= 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

// The first word is the seed itself, the others follow from it.
static uint64_t word(uint64_t seed, uint64_t i) { return i ? (seed + i) * 0x9e3779b97f4a7c15ull ^ seed >> 7 : seed; }

void mt_content_fill(uint64_t seed, void *out, uint64_t bytes) {
    uint64_t i = 0;
    for (; i < bytes / 8; i++) memcpy((char *)out + 8 * i, &(uint64_t){word(seed, i)}, 8);
    memcpy((char *)out + 8 * i, &(uint64_t){word(seed, i)}, bytes % 8);
}

int mt_content_matches(uint64_t seed, const void *data, uint64_t bytes) {
    uint64_t i = 0, other = 0;
    for (; i < bytes / 8; i++) {
        uint64_t w;
        memcpy(&w, (const char *)data + 8 * i, 8);
        other |= w ^ word(seed, i);
    }
    return !other && !memcmp((const char *)data + 8 * i, &(uint64_t){word(seed, i)}, bytes % 8);
}

uint64_t mt_content_seed_of(const void *data, uint64_t bytes) {
    uint64_t w = 0;
    memcpy(&w, data, bytes < 8 ? bytes : 8);
    return w;
}

// ---- what an object may end in

const char *mt_ledger_describe(const mt_ledger *l, int number, char out[256]) {
    static const char *const contents[] = {"nothing", "data", "references", "an actor", "a group"};
    const mt_entry *r = &l->records[number];
    int at = snprintf(out, 256, "object %d (%u, %u, %llu) of rank %d, %s", number, r->ref.owner, r->ref.slot,
        (unsigned long long)r->ref.serial, r->owner, contents[r->content]);
    if (r->made == MT_MADE_PUT) snprintf(out + at, (size_t)(256 - at), " that was put (%llu bytes)", (unsigned long long)r->bytes);
    else if (r->plan >= 0) {
        const mt_plan *p = &l->plans[r->plan];
        static const char *const kinds[] = {"task", "creation", "method"};
        snprintf(out + at, (size_t)(256 - at), " of %s %d (actor %d, group %d, on rank %d, ran %d times, last on rank %d%s%s%s)",
            kinds[p->kind], r->plan, p->actor, p->group, p->on_rank, p->runs, p->last_rank, p->running ? ", runs" : "",
            p->blocked ? ", waits" : "", p->cancelled ? ", cancelled" : "");
    }
    return out;
}

#define BIT(code) (1u << MANTA_##code)

static uint32_t losses(const mt_ledger *l) {
    uint32_t mask = 0;
    if (l->deaths || l->partitions)
        mask |= BIT(OBJECT_LOST) | BIT(ACTOR_DIED) | BIT(COMM) | BIT(INFEASIBLE) | BIT(NOT_FOUND) | BIT(CANCELLED) | BIT(TASK_FAILED);
    if (l->disk_failures) mask |= BIT(OBJECT_LOST) | BIT(IO);
    if (l->tight) mask |= BIT(NO_MEMORY);
    return mask;
}

static uint32_t causes(mt_ledger *l, int number);

static uint32_t actor_causes(mt_ledger *l, int actor) {
    const mt_actor_entry *a = &l->actors[actor];
    uint32_t mask = causes(l, a->record);
    if (mask & ~losses(l)) mask |= BIT(ACTOR_DIED);   // it was never made
    if (a->killed) mask |= BIT(ACTOR_DIED) | BIT(CANCELLED);
    return mask;
}

static uint32_t plan_causes(mt_ledger *l, int number) {
    mt_plan *p = &l->plans[number];
    if (p->visited == l->visit) return 0;
    p->visited = l->visit;
    uint32_t mask = losses(l);
    if (p->fails) mask |= BIT(TASK_FAILED);
    if (p->cancelled) mask |= BIT(CANCELLED);
    if (p->infeasible) mask |= BIT(INFEASIBLE);
    if (p->refused) mask |= 1u << p->refused;
    if (p->role == MT_ROLE_MEET) mask |= BIT(TASK_FAILED);
    if (p->group >= 0) {
        mask |= causes(l, l->groups[p->group].record);
        if (l->groups[p->group].removed) mask |= BIT(CANCELLED) | BIT(NOT_FOUND) | BIT(INFEASIBLE) | BIT(ACTOR_DIED);
    }
    if (p->kind == MT_CALL_METHOD) {
        mask |= actor_causes(l, p->actor);
        if (l->actors[p->actor].max_pending) mask |= BIT(FULL);
    }
    if (p->kind == MT_CALL_CREATE) {
        if (l->actors[p->actor].killed) mask |= BIT(ACTOR_DIED) | BIT(CANCELLED);
        if (l->actors[p->actor].found && (!l->actors[p->actor].detached || mask)) mask |= BIT(ACTOR_DIED) | BIT(OBJECT_LOST);
        if (mask & BIT(TASK_FAILED)) mask |= BIT(ACTOR_DIED);
        int name = l->actors[p->actor].name;
        if (name >= 0 && l->named_used[name] > 1) mask |= BIT(EXISTS) | BIT(ACTOR_DIED);
    }
    for (int i = 0; i < p->argument_count; i++)
        if (p->argument[i].form == MT_GIVE_FROM) mask |= causes(l, p->argument[i].record);
    return mask;
}

static uint32_t causes(mt_ledger *l, int number) {
    mt_entry *r = &l->records[number];
    if (r->visited == l->visit) return 0;
    r->visited = l->visit;
    uint32_t mask = losses(l);
    for (int i = 0; i < r->lent_count && i < (int)(sizeof r->lent / sizeof *r->lent); i++)
        if (l->actors[l->plans[r->lent[i]].actor].killed) mask |= BIT(OBJECT_LOST) | BIT(ACTOR_DIED);
    if (r->plan >= 0) mask |= plan_causes(l, r->plan);
    if (r->group >= 0) {
        const mt_group_entry *g = &l->groups[r->group];
        if (g->feasible != 1) mask |= BIT(INFEASIBLE);
        if (g->removed) mask |= BIT(CANCELLED) | BIT(NOT_FOUND) | BIT(INFEASIBLE);
    }
    return mask;
}

uint32_t mt_ledger_causes(mt_ledger *l, int record) {
    l->visit++;
    return causes(l, record);
}

// An actor that only finished tasks have among their arguments is over, and one of these may run again (lineage): it finds it dead.
static int given_to_one_that_ran_again(const mt_ledger *l, int record) {
    for (int i = 0; i < l->plan_count; i++)
        for (int k = 0; l->plans[i].runs > 1 && k < l->plans[i].argument_count; k++)
            if (l->plans[i].argument[k].form >= MT_GIVE_REFERENCE && l->plans[i].argument[k].record == record) return 1;
    return 0;
}

// Whether `rank` itself can vouch for the object whatever becomes of the others: it owns it, and can make it again.
static int reliable(const mt_ledger *l, int number, int rank, int depth) {
    const mt_entry *r = &l->records[number];
    if (r->owner != rank || l->suspect[rank] || depth > 16 || l->disk_failures) return 0;
    if (r->orphaned) return 0;
    if (r->made == MT_MADE_PUT) return 1;
    if (r->plan < 0) return 0;
    const mt_plan *p = &l->plans[r->plan];
    if (p->kind == MT_CALL_TASK && p->max_retries != MANTA_ALWAYS) return 0;
    if (p->on_rank >= 0 || p->group >= 0 || p->infeasible || p->refused) return 0;
    if (p->kind != MT_CALL_TASK) {
        // an actor that is made again as often as it must, and calls that are made again with it; a large result has one place
        const mt_actor_entry *a = &l->actors[p->actor];
        if (a->killed || a->name >= 0 || a->max_restarts != MANTA_ALWAYS || a->max_task_retries != MANTA_ALWAYS) return 0;
        if (p->fails || p->cancelled || (r->content == MT_CONTENT_DATA && r->bytes > MT_INLINE_BYTES)) return 0;
        if (p->kind == MT_CALL_METHOD && !reliable(l, a->record, rank, depth + 1)) return 0;
        if (given_to_one_that_ran_again(l, a->record)) return 0;
    }
    mt_resources beyond = p->demand;
    beyond.amount[MT_RESOURCE_CPU] -= MT_RESOURCE_UNIT;
    for (int i = 0; i < MT_RESOURCES; i++)
        if (beyond.amount[i] > 0) return 0;
    for (int i = 0; i < p->argument_count; i++)
        if (p->argument[i].form == MT_GIVE_FROM && !reliable(l, p->argument[i].record, rank, depth + 1)) return 0;
    return 1;
}

// ---- what was read

static int same_refs(const mt_ref_list *list, const manta_ref *refs, int count) {
    return list->count == count && (!count || !memcmp(list->refs, refs, (size_t)count * sizeof *refs));
}

static void check_ranks(mt_ledger *l, mt_entry *r, const mt_value *v, const void *payload) {
    mt_group_entry *g = &l->groups[r->group];
    char text[256];
    mt_ledger_describe(l, (int)(r - l->records), text);
    if ((v->head->type != MANTA_TYPE_BYTES && v->head->type != MANTA_TYPE_U32) || v->head->bytes != sizeof(uint32_t) * (uint64_t)g->count) {
        mt_ledger_violate(l, "%s: %llu bytes of type %d are not the ranks of %d bundles", text, (unsigned long long)v->head->bytes,
            v->head->type, g->count);
        return;
    }
    uint32_t ranks[MT_GROUP_BUNDLES];
    memcpy(ranks, payload, sizeof *ranks * (size_t)g->count);
    for (int i = 0; i < g->count; i++) {
        if (ranks[i] >= (uint32_t)l->size) {
            mt_ledger_violate(l, "%s: bundle %d lies on rank %u of %d", text, i, ranks[i], l->size);
            return;
        }
        mt_resources together = {0};
        for (int j = 0; j < g->count; j++) {
            if (ranks[j] == ranks[i]) mt_resources_add(&together, &g->bundle[j]);
            if (j < i && g->strategy == MANTA_STRICT_SPREAD && l->node_of[ranks[i]] == l->node_of[ranks[j]])
                mt_ledger_violate(l, "%s: bundles %d and %d of a STRICT_SPREAD group are both on host %d", text, j, i,
                    l->node_of[ranks[i]]);
            if (g->strategy == MANTA_STRICT_PACK && l->node_of[ranks[i]] != l->node_of[ranks[j]])
                mt_ledger_violate(l, "%s: bundles %d and %d of a STRICT_PACK group are on hosts %d and %d", text, j, i,
                    l->node_of[ranks[j]], l->node_of[ranks[i]]);
        }
        if (!mt_resources_fit(&together, &l->totals[ranks[i]]))
            mt_ledger_violate(l, "%s: rank %u never had what its bundles want", text, ranks[i]);
    }
    if (g->ranks && memcmp(g->ranks, ranks, sizeof *ranks * (size_t)g->count) && !l->deaths && !l->partitions)
        mt_ledger_violate(l, "%s: its bundles have moved", text);
    if (!g->ranks) MT_ASSERT(g->ranks = malloc(sizeof ranks));
    memcpy(g->ranks, ranks, sizeof *ranks * (size_t)g->count);
}

void mt_ledger_value(mt_ledger *l, int number, int reader, const mt_value *v, const void *payload) {
    mt_entry *r = &l->records[number];
    char text[256];
    l->checked_values++;
    mt_ledger_describe(l, number, text);
    if (r->outcome == 2 && r->content != MT_CONTENT_ACTOR && r->content != MT_CONTENT_RANKS && !r->lent_count && !l->deaths && !l->partitions && !l->disk_failures && !l->tight)
        mt_ledger_violate(l, "rank %d reads a value of %s, which was seen to have failed with %s", reader, text,
            manta_code_name(r->outcome_code));
    r->outcome = 1;
    if (r->plan >= 0) {
        const mt_plan *p = &l->plans[r->plan];
        if (p->infeasible || p->refused)
            mt_ledger_violate(l, "rank %d reads a value of %s, which cannot have one", reader, text);
        if (p->fails || (!p->runs && r->content != MT_CONTENT_ACTOR))
            mt_ledger_violate(l, "rank %d reads a value of %s, which gave none", reader, text);
    }
    const mt_value_head *head = v->head;
    switch (r->content) {
    case MT_CONTENT_NONE:
        if (head->type != MANTA_TYPE_NONE) mt_ledger_violate(l, "rank %d reads type %d in %s", reader, head->type, text);
        break;
    case MT_CONTENT_DATA:
        if (head->bytes != r->bytes || !payload)
            mt_ledger_violate(l, "rank %d reads %llu bytes in %s, which has %llu", reader, (unsigned long long)head->bytes, text,
                (unsigned long long)r->bytes);
        else if (!mt_content_matches(r->seed, payload, r->bytes))
            mt_ledger_violate(l, "rank %d reads a wrong value in %s: it begins with %llx, not %llx", reader, text,
                (unsigned long long)mt_content_seed_of(payload, r->bytes), (unsigned long long)r->seed);
        break;
    case MT_CONTENT_REFS: {
        int count = (int)(head->bytes / sizeof(manta_ref)), known = 0;
        if (head->type != MANTA_TYPE_REF && head->type != MANTA_TYPE_ACTOR)
            mt_ledger_violate(l, "rank %d reads type %d in %s", reader, head->type, text);
        else {
            for (const mt_ref_list *list = r->lists; list && !known; list = list->next) known = same_refs(list, payload, count);
            if (!known) mt_ledger_violate(l, "rank %d reads %d references in %s that nobody put there", reader, count, text);
        }
        break;
    }
    case MT_CONTENT_RANKS: check_ranks(l, r, v, payload); break;
    default: break;
    }
}

void mt_ledger_error(mt_ledger *l, int number, int reader, int code, int error_rank, const char *message) {
    mt_entry *r = &l->records[number];
    char text[256];
    l->checked_errors++;
    mt_ledger_describe(l, number, text);
    uint32_t mask = mt_ledger_causes(l, number);
    if (code <= MANTA_OK || code >= MANTA_CODE_COUNT || !(mask & 1u << code))
        mt_ledger_violate(l, "rank %d: %s failed with %s (\"%s\", rank %d), and nothing happened that could explain it", reader, text,
            manta_code_name(code), message ? message : "", error_rank);
    if ((1u << code) & (BIT(OBJECT_LOST) | BIT(ACTOR_DIED) | BIT(COMM)) && reliable(l, number, reader, 0))
        mt_ledger_violate(l, "rank %d: %s failed with %s (\"%s\"), though rank %d lives and can make it again", reader, text,
            manta_code_name(code), message ? message : "", reader);
    if (!message || !*message) mt_ledger_violate(l, "rank %d: %s failed with %s and no message", reader, text, manta_code_name(code));
    int quiet = !l->deaths && !l->partitions && !l->disk_failures && !l->tight;
    if (quiet && r->content != MT_CONTENT_ACTOR && r->content != MT_CONTENT_RANKS && !r->lent_count && r->outcome &&
        (r->outcome == 1 || r->outcome_code != code))
        mt_ledger_violate(l, "rank %d: %s failed with %s, and was seen to %s", reader, text, manta_code_name(code),
            r->outcome == 1 ? "have a value" : manta_code_name(r->outcome_code));
    r->outcome = 2, r->outcome_code = code;
}
