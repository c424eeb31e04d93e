// The calls that bodies make, and what the ledger is told of them: tasks, actors, methods, groups, meetings. See workload.c.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/simulator/simulator.h"
#include "tests/simulator/workload.h"

static mt_ledger *ledger_of(mt_body *b) { return &mt_body_sim(b)->ledger; }

const char *mt_workload_name(int name, char out[32]) {
    snprintf(out, 32, "actor-%d", name);
    return out;
}

// ---- put

uint64_t mt_workload_bytes(mt_body *b, int large) {
    if (!large) return 8 + mt_body_below(b, mt_body_below(b, 8) ? 200 : MT_INLINE_BYTES - 7);
    return MT_INLINE_BYTES + 1 + mt_body_below(b, mt_body_below(b, 12) ? 20000 : 400000);
}

int mt_workload_put(mt_body *b, uint64_t seed, uint64_t bytes) {
    mt_ledger *l = ledger_of(b);
    mt_run_result value = {0};
    char data[MT_INLINE_BYTES];
    _Alignas(16) char encoded[MT_INLINE_BYTES + 64];
    if (bytes <= MT_INLINE_BYTES) {
        mt_content_fill(seed, data, bytes);
        manta_arg arg = manta_bytes(data, bytes);
        mt_value_encode(&arg, encoded);
        value.encoded = encoded;
    } else {
        uint64_t offset = mt_core_allocate(b->host->core, bytes);
        if (offset == MT_HEAP_NO_OFFSET) return -1;
        mt_content_fill(seed, mt_memory_at(&b->host->memory, offset), bytes);
        value = (mt_run_result){.head = {.type = MANTA_TYPE_BYTES, .form = MT_VALUE_PLACE, .bytes = bytes}, .offset = offset};
    }
    manta_ref ref = mt_core_put(b->host->core, &value);
    int record = mt_ledger_record(l, ref, MT_MADE_PUT, MT_CONTENT_DATA, b->host->rank);
    l->records[record].seed = seed, l->records[record].bytes = bytes;
    mt_body_got(b, record);
    return record;
}

static int put_refs(mt_body *b, manta_type type, const manta_ref *refs, int count) {
    mt_ledger *l = ledger_of(b);
    manta_arg arg = manta_vector(type, count, refs);
    void *encoded = aligned_alloc(16, (mt_value_encoded_bytes(&arg) + 15) / 16 * 16);
    MT_ASSERT(encoded);
    mt_value_encode(&arg, encoded);
    mt_run_result value = {.encoded = encoded};
    // now and then a list so long that it lies in the heap
    enum { LONG = MT_INLINE_BYTES / sizeof(manta_ref) + 1 };
    manta_ref many[LONG];
    if (type == MANTA_TYPE_REF && mt_body_chance(b, 0.1)) {
        uint64_t offset = mt_core_allocate(b->host->core, sizeof many);
        if (offset != MT_HEAP_NO_OFFSET) {
            for (int i = 0; i < LONG; i++) many[i] = refs[i % count];
            memcpy(mt_memory_at(&b->host->memory, offset), many, sizeof many);
            value = (mt_run_result){.head = {.type = MANTA_TYPE_REF, .ndim = 1, .form = MT_VALUE_PLACE, .bytes = sizeof many},
                .shape = {LONG}, .offset = offset, .inner = many};
            refs = many, count = LONG;
        }
    }
    int record = mt_ledger_record(l, mt_core_put(b->host->core, &value), MT_MADE_PUT, MT_CONTENT_REFS, b->host->rank);
    mt_ledger_add_list(l, record, refs, count);
    mt_body_got(b, record);
    free(encoded);
    return record;
}

int mt_workload_put_refs(mt_body *b, const manta_ref *refs, int count) { return put_refs(b, MANTA_TYPE_REF, refs, count); }

// ---- arguments and results of a call

typedef struct call {
    int plan;
    mt_submit submit;
    manta_arg arguments[MT_PLAN_ARGUMENTS + 1];
    char data[MT_PLAN_ARGUMENTS][512];
    char name[32];
} call;

static int may_make_calls(mt_body *b, int more_depth) {
    mt_simulator *sim = mt_body_sim(b);
    if (sim->calls_left <= 0 || b->depth + more_depth > sim->mood.depth_most) return 0;
    sim->calls_left--;
    return 1;
}

static call *begin_call(mt_body *b, int kind) {
    mt_ledger *l = ledger_of(b);
    call *c = calloc(1, sizeof *c);
    MT_ASSERT(c);
    c->plan = mt_ledger_plan(l);
    mt_plan *p = &l->plans[c->plan];
    p->kind = kind, p->depth = b->depth + 1, p->caller = b->host->rank;
    c->submit = (mt_submit){.call_kind = kind, .function = (uint32_t)mt_body_below(b, 4), .on_rank = -1, .bundle = -1,
        .arguments = c->arguments, .argument_count = 1};
    c->arguments[0] = manta_i64(c->plan);
    return c;
}

static void give(call *c, mt_plan *p, manta_arg arg, int form, int record, uint64_t seed, uint64_t bytes) {
    int i = p->argument_count++;
    p->argument[i].form = (uint8_t)form, p->argument[i].record = record;
    p->argument[i].seed = seed, p->argument[i].bytes = (uint32_t)bytes;
    c->arguments[c->submit.argument_count++] = arg;
}

static void add_arguments(mt_body *b, call *c, int most) {
    mt_ledger *l = ledger_of(b);
    mt_plan *p = &l->plans[c->plan];
    int count = (int)mt_body_below(b, (uint32_t)most + 1);
    for (int i = 0; i < count && p->argument_count < MT_PLAN_ARGUMENTS; i++) {
        int at = b->held_count ? (int)mt_body_below(b, (uint32_t)b->held_count) : -1;
        if (at < 0 || mt_body_chance(b, 0.25)) {
            uint64_t seed = mt_content_seed((uint64_t)c->plan, 1000 + (uint64_t)i), bytes = 8 + mt_body_below(b, 500);
            char *data = c->data[p->argument_count];
            mt_content_fill(seed, data, bytes);
            give(c, p, manta_bytes(data, bytes), MT_GIVE_DATA, -1, seed, bytes);
            continue;
        }
        int record = b->held[at].record;
        const mt_entry *r = &l->records[record];
        if (r->content == MT_CONTENT_ACTOR) give(c, p, manta_handle((manta_actor){r->ref}), MT_GIVE_HANDLE, record, 1, 0);
        else if (r->content == MT_CONTENT_RANKS || mt_body_chance(b, 0.3))
            give(c, p, manta_reference(r->ref), MT_GIVE_REFERENCE, record, 1, 0);
        else give(c, p, manta_from(r->ref), MT_GIVE_FROM, record, r->content == MT_CONTENT_DATA ? r->seed : 1, 0);
    }
}

static int argument_stalls(const mt_ledger *l, const mt_plan *p, int *actorish) {
    int stalls = 0;
    for (int i = 0; i < p->argument_count; i++) {
        if (p->argument[i].form != MT_GIVE_FROM) continue;
        stalls |= l->records[p->argument[i].record].stalls;
        *actorish |= l->records[p->argument[i].record].actorish;
    }
    return stalls;
}

// Makes the call and enters its results.
static void end_call(mt_body *b, call *c, mt_made made, int stalls, int actorish) {
    mt_ledger *l = ledger_of(b);
    mt_plan *p = &l->plans[c->plan];
    int refs = p->result_count ? p->result_count : 1, no_results = !p->result_count || p->kind == MT_CALL_CREATE;
    manta_ref out[MANTA_MAX_RESULTS] = {{0}};
    stalls |= argument_stalls(l, p, &actorish);
    p->no_results = no_results;
    p->demand = c->submit.demand, p->cpu_afterwards = c->submit.cpu_afterwards, p->max_retries = c->submit.max_retries;
    p->on_rank = c->submit.on_rank, p->bundle = c->submit.bundle;
    c->submit.result_count = no_results ? 0 : refs;
    uint64_t chain = 7;
    for (int i = 0; i < p->argument_count; i++) chain = mt_content_seed(chain, p->argument[i].seed);
    // the core may run it at once, before its results are entered: such runs are looked at right after
    mt_simulator *sim = mt_body_sim(b);
    sim->entering = 1;
    mt_core_submit(b->host->core, &c->submit, out);
    sim->entering = 0;
    for (int i = 0; i < refs; i++) {
        int large = mt_body_chance(b, sim->mood.large);
        mt_content content = made == MT_MADE_ACTOR ? MT_CONTENT_ACTOR : no_results ? MT_CONTENT_NONE
            : mt_body_chance(b, 0.2) ? MT_CONTENT_REFS : MT_CONTENT_DATA;
        int record = mt_ledger_record(l, out[i], made, content, b->host->rank);
        mt_entry *r = &l->records[record];
        r->plan = c->plan, r->actor = made == MT_MADE_ACTOR ? p->actor : -1;
        r->stalls = (uint8_t)stalls, r->actorish = (uint8_t)actorish;
        r->seed = mt_content_seed(mt_content_seed((uint64_t)c->plan, (uint64_t)i), chain);
        r->bytes = mt_workload_bytes(b, large);
        p->result[i] = record;
        mt_body_got(b, record);
    }
    p->result_count = refs;
    if (made == MT_MADE_ACTOR) l->actors[p->actor].record = p->result[0];
    for (int i = 0; i < sim->entered_count; i++) mt_host_check_run(&sim->hosts[b->host->rank], sim->entered[i]);
    sim->entered_count = 0;
    free(c);
}

// ---- what a call wants

static int64_t units(double x) { return (int64_t)(x * MT_RESOURCE_UNIT + 0.5); }

static void want(mt_body *b, call *c) {
    mt_simulator *sim = mt_body_sim(b);
    mt_plan *p = &ledger_of(b)->plans[c->plan];
    static const double cpus[] = {1, 1, 1, 1, 1, 0.5, 0.25, 0};
    c->submit.demand.amount[MT_RESOURCE_CPU] = units(cpus[mt_body_below(b, 8)]);
    switch (mt_body_below(b, 24)) {
    case 0: c->submit.demand.amount[MT_RESOURCE_CPU] = units(2000), p->infeasible = 1; break;
    case 1: c->submit.demand.amount[MT_RESOURCE_CUSTOM + 1] = units(1), p->infeasible = 1; break;
    case 2:
    case 3: c->submit.demand.amount[MT_RESOURCE_CUSTOM] = units(1); break;
    case 4:
    case 5: c->submit.demand.amount[MT_RESOURCE_GPU] = units(mt_body_chance(b, 0.5) ? 1 : 0.25); break;
    case 6: c->submit.demand.amount[MT_RESOURCE_GPU] = units(2); break;
    case 7: c->submit.demand.amount[MT_RESOURCE_MEMORY] = 1 << 28; break;
    case 8:
    case 9: c->submit.on_rank = (int)mt_body_below(b, (uint32_t)sim->size); break;
    default: break;
    }
    int fits = 0;
    for (int r = 0; r < sim->size; r++)
        fits |= (c->submit.on_rank < 0 || c->submit.on_rank == r) && mt_resources_fit(&c->submit.demand, &sim->totals[r]);
    if (!fits) p->infeasible = 1;
}

static int beyond_cpu(const mt_submit *s) {
    int64_t sum = 0;
    for (int i = MT_RESOURCE_GPU; i < MT_RESOURCES; i++) sum += s->demand.amount[i];
    return sum > 0;
}

static int retries(mt_body *b) {
    static const int some[] = {0, 1, 3, 3, MANTA_ALWAYS, MANTA_ALWAYS};
    return some[mt_body_below(b, 6)];
}

// ---- tasks

void mt_workload_submit(mt_body *b) {
    mt_simulator *sim = mt_body_sim(b);
    mt_ledger *l = &sim->ledger;
    int many = 1 + (int)mt_body_below(b, (uint32_t)sim->mood.fan_most);
    for (int k = 0; k < many; k++) {
        if (!may_make_calls(b, 1)) return;
        call *c = begin_call(b, MT_CALL_TASK);
        want(b, c);
        add_arguments(b, c, 4);
        mt_plan *p = &l->plans[c->plan];
        static const int results[] = {1, 1, 1, 1, 1, 2, 3, 0};
        p->result_count = mt_body_below(b, 50) ? results[mt_body_below(b, 8)] : MANTA_MAX_RESULTS;
        p->fails = mt_body_chance(b, sim->mood.failing);
        c->submit.max_retries = retries(b);
        int stalls = beyond_cpu(&c->submit);
        if (b->group_count && mt_body_chance(b, 0.5)) {
            // inside a placement group: what a bundle has, or less
            int number = b->groups[mt_body_below(b, (uint32_t)b->group_count)];
            const mt_group_entry *g = &l->groups[number];
            int held = 0;
            for (int i = 0; i < b->held_count; i++) held |= b->held[i].record == g->record;
            if (!held) {
                // released: it is not there any more
                end_call(b, c, MT_MADE_CALL, stalls, 0);
                continue;
            }
            int bundle = (int)mt_body_below(b, (uint32_t)g->count);
            c->submit.demand = g->bundle[bundle];
            if (mt_body_chance(b, 0.4)) c->submit.demand.amount[MT_RESOURCE_CUSTOM] /= 2;
            c->submit.placement = l->records[g->record].ref, c->submit.bundle = bundle, c->submit.on_rank = -1;
            p->infeasible = 0, p->group = number, stalls = 1;
            if (g->feasible == 0) p->infeasible = 1;
        }
        end_call(b, c, MT_MADE_CALL, stalls, 0);
    }
}

void mt_workload_bad_call(mt_body *b) {
    if (!may_make_calls(b, 0)) return;
    call *c = begin_call(b, MT_CALL_TASK);
    mt_plan *p = &ledger_of(b)->plans[c->plan];
    p->result_count = 1 + (int)mt_body_below(b, 3);
    p->refused = c->submit.failed_code = MANTA_INVALID;
    c->submit.failed_message = "there is no such task";
    end_call(b, c, MT_MADE_CALL, 0, 0);
}

// ---- actors

static int create(mt_body *b, int meets) {
    mt_simulator *sim = mt_body_sim(b);
    mt_ledger *l = &sim->ledger;
    if (!may_make_calls(b, 0)) return -1;
    call *c = begin_call(b, MT_CALL_CREATE);
    mt_plan *p = &l->plans[c->plan];
    int number = mt_ledger_actor(l), holds = 0;
    mt_actor_entry *a = &l->actors[number];
    p->actor = number, a->plan = c->plan;
    c->submit.class_number = mt_body_below(b, 3);
    c->submit.demand.amount[MT_RESOURCE_CPU] = units(1);
    a->max_concurrency = mt_body_chance(b, 0.3) ? 1 + (int)mt_body_below(b, 4) : 1;
    if (meets) {
        p->role = MT_ROLE_MEET;
        c->submit.demand.amount[MT_RESOURCE_CPU] = 0;
        a->max_concurrency = 1;   // in two rounds of one meeting at a time it would be a member twice
    } else {
        want(b, c);
        add_arguments(b, c, 2);
        p->fails = mt_body_chance(b, sim->mood.failing / 2);
        c->submit.cpu_afterwards = sim->mood.scarce && mt_body_chance(b, 0.5);
        a->max_restarts = mt_body_chance(b, 0.5) ? 0 : mt_body_chance(b, 0.5) ? 2 : MANTA_ALWAYS;
        a->max_task_retries = mt_body_chance(b, 0.5) ? 0 : mt_body_chance(b, 0.5) ? 2 : MANTA_ALWAYS;
        a->max_pending = mt_body_chance(b, 0.1) ? 1 + (int)mt_body_below(b, 3) : 0;
        // with arguments it could be found by its name, put into one of them, and hold itself for ever
        if (!p->argument_count && mt_body_chance(b, 0.6)) a->name = (int)mt_body_below(b, MT_NAMES);
        a->detached = a->name >= 0 && mt_body_chance(b, 0.5);
        if (a->name >= 0) l->named_used[a->name]++, c->submit.name = mt_workload_name(a->name, c->name);
        // who finds it by its name may be the task whose result it waits for
        holds = beyond_cpu(&c->submit) || c->submit.cpu_afterwards || a->name >= 0;
    }
    c->submit.max_restarts = a->max_restarts, c->submit.max_task_retries = a->max_task_retries;
    c->submit.max_concurrency = a->max_concurrency, c->submit.max_pending = a->max_pending, c->submit.detached = a->detached;
    int actorish = 0;
    a->stalls = holds || argument_stalls(l, p, &actorish);
    end_call(b, c, MT_MADE_ACTOR, a->stalls, actorish);
    return number;
}

void mt_workload_create(mt_body *b) { create(b, 0); }

static int invoke(mt_body *b, int actor, int role, int member, manta_ref group, int group_record) {
    mt_ledger *l = ledger_of(b);
    if (!may_make_calls(b, 0)) return -1;
    call *c = begin_call(b, MT_CALL_METHOD);
    mt_plan *p = &l->plans[c->plan];
    mt_actor_entry *a = &l->actors[actor];
    p->actor = actor, p->role = role, p->member = member;
    p->author = mt_run_author(b->run), p->sequence = ++a->sent;
    c->submit.author = p->author;
    c->submit.actor = l->records[a->record].ref, c->submit.class_number = 0;
    if (role == MT_ROLE_MEET) {
        give(c, p, manta_reference(group), MT_GIVE_REFERENCE, group_record, 1, 0);
        p->result_count = 1;
    } else {
        add_arguments(b, c, 3);
        p->result_count = (int)mt_body_below(b, 3);
        p->fails = mt_body_chance(b, mt_body_sim(b)->mood.failing);
    }
    int plan = c->plan, actorish = 1;
    a->stalls |= argument_stalls(l, p, &actorish);
    end_call(b, c, MT_MADE_CALL, l->actors[actor].stalls, 1);
    return plan;
}

void mt_workload_invoke(mt_body *b) {
    mt_ledger *l = ledger_of(b);
    int actors[40], count = 0;
    for (int i = 0; i < b->held_count && count < 40; i++) {
        const mt_entry *r = &l->records[b->held[i].record];
        if (r->content == MT_CONTENT_ACTOR && l->plans[l->actors[r->actor].plan].role != MT_ROLE_MEET) actors[count++] = r->actor;
    }
    if (!count) return;
    int actor = actors[mt_body_below(b, (uint32_t)count)], many = 1 + (int)mt_body_below(b, 4);
    for (int i = 0; i < many; i++) invoke(b, actor, MT_ROLE_PLAIN, 0, (manta_ref){0}, -1);
}

// ---- meetings: actors that are made for it, and each of which is told to come

void mt_workload_meet(mt_body *b) {
    mt_ledger *l = ledger_of(b);
    if (b->plan >= 0) return;   // the driver's alone: two who call the same actors to two meetings wait for each other
    int actors[4], count = 2 + (int)mt_body_below(b, 3), rounds = 1 + (int)mt_body_below(b, 2);
    manta_ref refs[4];
    for (int i = 0; i < count; i++) {
        if ((actors[i] = create(b, 1)) < 0) return;
        refs[i] = l->records[l->actors[actors[i]].record].ref;
    }
    int group = put_refs(b, MANTA_TYPE_ACTOR, refs, count);
    for (int k = 0; k < rounds; k++)
        for (int i = 0; i < count; i++) {
            int plan = invoke(b, actors[i], MT_ROLE_MEET, i, l->records[group].ref, group);
            if (plan < 0) return;
            l->plans[plan].group_size = count;
        }
}

void mt_workload_join(mt_body *b) {
    mt_ledger *l = ledger_of(b);
    const mt_plan *p = &l->plans[b->plan];
    uint64_t question = ++mt_body_sim(b)->questions;
    if (p->kind != MT_CALL_METHOD || !b->offered_count) return;
    int record = b->offered[0];
    if (mt_body_chance(b, 0.5)) mt_body_hold(b, record);
    mt_body_ask(b, MT_ASK_MEET, question);
    mt_core_meet(b->host->core, l->records[record].ref, p->member, p->group_size, question);
}

void mt_workload_unmeet(mt_body *b) {
    mt_ledger *l = ledger_of(b);
    mt_core_unmeet(b->host->core, l->records[b->offered[0]].ref, l->plans[b->plan].member, b->question);
}

void mt_workload_met(mt_body *b, int code, const uint32_t *ranks, int count, uint64_t round) {
    mt_ledger *l = ledger_of(b);
    const mt_plan *p = &l->plans[b->plan];
    (void)round;
    if (code != MANTA_OK) {
        l->unmet++;
        // members that were never called (the number of calls ran out) are no fault
        if (!l->deaths && !l->partitions && mt_body_sim(b)->calls_left > 0)
            mt_ledger_violate(l, "rank %d: a meeting of %d failed with %s", b->host->rank, p->group_size, manta_code_name(code));
        return;
    }
    l->met++;
    if (count != p->group_size || (int)ranks[p->member] != b->host->rank)
        mt_ledger_violate(l, "rank %d met %d others as member %d, and is said to be rank %u", b->host->rank, count, p->member,
            p->member < count ? ranks[p->member] : UINT32_MAX);
}

// ---- placement groups

void mt_workload_place_group(mt_body *b) {
    mt_simulator *sim = mt_body_sim(b);
    mt_ledger *l = &sim->ledger;
    if (sim->calls_left <= 0) return;
    sim->calls_left--;
    mt_group_entry g = {.count = 1 + (int)mt_body_below(b, 4), .strategy = (int)mt_body_below(b, 4), .feasible = -1};
    int each = 1;
    for (int i = 0; i < g.count; i++) {
        // CPUs only where everybody expects to wait for them
        g.bundle[i].amount[MT_RESOURCE_CUSTOM] = units(1);
        if (sim->mood.scarce) g.bundle[i].amount[MT_RESOURCE_CPU] = units(1);
        if (mt_body_below(b, 12) == 0) g.bundle[i].amount[MT_RESOURCE_GPU] = units(1);
        if (mt_body_below(b, 60) == 0) g.bundle[i].amount[MT_RESOURCE_CUSTOM + 1] = units(1);
        int fits = 0;
        for (int r = 0; r < sim->size; r++) fits |= mt_resources_fit(&g.bundle[i], &sim->totals[r]);
        each &= fits;
    }
    if (!each) g.feasible = 0;
    else if (g.count == 1) g.feasible = 1;
    if (g.strategy == MANTA_STRICT_SPREAD && g.count > sim->desc.nodes) g.feasible = 0;
    manta_ref ref = mt_core_place_group(b->host->core, g.bundle, g.count, g.strategy);
    g.record = mt_ledger_record(l, ref, MT_MADE_GROUP, MT_CONTENT_RANKS, b->host->rank);
    int number = mt_ledger_group(l);
    l->groups[number] = g;
    l->records[g.record].group = number, l->records[g.record].stalls = 1;
    mt_body_got(b, g.record);
    b->groups[b->group_count++] = number;
}
