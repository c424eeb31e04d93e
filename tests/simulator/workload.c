// What bodies do, drawn from random numbers keyed by the seed and the number of their plan: they make calls (calls.c), put, get,
// wait, release, hold, cancel, kill, ask for names, make groups. Every choice is a body's own, so that a body which runs again
// elsewhere is worth the same.
//
// Who may wait for how long. Calls that want CPUs alone always run sooner or later, because a body that waits lends its own:
// they are waited for without a deadline, and a deadlock is the core's. What may depend on resources that actors or groups keep,
// or on an actor's turn, is waited for with a deadline: such a job can lock up by its own doing.
#include "tests/simulator/workload.h"

#include <stdlib.h>
#include <string.h>
#include "tests/simulator/simulator.h"

static mt_ledger *ledger_of(mt_body *b) { return &mt_body_sim(b)->ledger; }
static mt_entry *record_of(mt_body *b, int record) { return &ledger_of(b)->records[record]; }

// ---- beginning: arguments

static void offer(mt_body *b, const manta_ref *refs, int64_t count) {
    for (int64_t i = 0; i < count && b->offered_count < 64; i++) {
        int record = mt_ledger_find(ledger_of(b), refs[i]);
        if (record < 0) {
            mt_ledger_violate(ledger_of(b), "rank %d was given a reference that nobody has made", b->host->rank);
            return;
        }
        if (!b->offered) MT_ASSERT(b->offered = malloc(64 * sizeof *b->offered));
        b->offered[b->offered_count++] = record;
        mt_ledger_lend(ledger_of(b), record, b->plan);
    }
}

static uint64_t check_argument(mt_body *b, int i) {
    mt_ledger *l = ledger_of(b);
    const mt_run_argument *a = &b->run->arguments[i + 1];
    const mt_plan *p = &l->plans[b->plan];
    mt_view view;
    const void *payload = mt_body_payload(b, &a->value, a->view_rank, a->view_offset, &view);
    if (view.serial != b->argument[i + 1].serial) {
        if (!l->suspect[b->host->rank])
            mt_ledger_violate(l, "rank %d: argument %d of plan %d was freed before it was read", b->host->rank, i, b->plan);
        return 1;
    }
    if (a->view_rank >= 0 && view.rank < 0) {
        b->blind = 1;   // body.c, view_of: it reads what its host has given away
        return 1;
    }
    int record = p->argument[i].record;
    switch (p->argument[i].form) {
    case MT_GIVE_DATA:
        if (a->value.head->bytes != p->argument[i].bytes || !mt_content_matches(p->argument[i].seed, payload, p->argument[i].bytes))
            mt_ledger_violate(l, "rank %d: argument %d of plan %d is not what was given", b->host->rank, i, b->plan);
        return mt_content_seed_of(payload, a->value.head->bytes);
    case MT_GIVE_FROM:
        mt_ledger_value(l, record, b->host->rank, &a->value, payload);
        if (l->records[record].content == MT_CONTENT_REFS && payload) offer(b, payload, mt_value_ref_count(a->value.head));
        return l->records[record].content == MT_CONTENT_DATA ? mt_content_seed_of(payload, a->value.head->bytes) : 1;
    default:
        if (mt_value_ref_count(a->value.head) != 1 || memcmp(payload, &l->records[record].ref, sizeof(manta_ref)))
            mt_ledger_violate(l, "rank %d: argument %d of plan %d is another reference", b->host->rank, i, b->plan);
        else offer(b, payload, 1);
        return 1;
    }
}

void mt_workload_begin(mt_body *b) {
    mt_simulator *sim = mt_body_sim(b);
    const mt_mood *m = &sim->mood;
    b->chain = 7;
    if (b->plan < 0) {
        b->steps = b->sweep >= 0 ? 0 : 4 + m->steps_most * 2;
        if (b->sweep < 0 && sim->desc.tasks > 400) b->steps += sim->desc.tasks / 8;   // more than a seed draws: asked for
        return;
    }
    const mt_plan *p = &sim->ledger.plans[b->plan];
    for (int i = 0; i < p->argument_count && i + 1 < b->run->argument_count; i++)
        b->chain = mt_content_seed(b->chain, check_argument(b, i));
    b->steps = (int)mt_body_below(b, (uint32_t)(m->steps_most / (1 + p->depth) + 1));
    if (p->kind == MT_CALL_CREATE) b->steps /= 3;
    if (p->role == MT_ROLE_MEET) b->steps = 1;
    if (p->fails) b->code = MANTA_TASK_FAILED;
}

// ---- looking

void mt_workload_look(mt_body *b, int number, int view) {
    mt_ledger *l = ledger_of(b);
    mt_look look;
    mt_core_look(b->host->core, l->records[number].ref, &look);
    if (look.state == MT_STATE_FAILED) {
        mt_ledger_error(l, number, b->host->rank, look.code, look.error_rank, look.message);
        return;
    }
    int lossy = l->deaths || l->partitions || l->disk_failures || l->tight;
    if (look.state != MT_STATE_READY) {
        if (!lossy) mt_ledger_violate(l, "rank %d: object %d was there and is not any more", b->host->rank, number);
        return;
    }
    int far = look.value.head->form == MT_VALUE_PLACE && look.view_rank < 0;
    if (far) {
        if (view && !lossy) mt_ledger_violate(l, "rank %d: object %d is there, and not in reach", b->host->rank, number);
        return;
    }
    mt_view seen;
    const void *payload = mt_body_payload(b, &look.value, look.view_rank, look.view_offset, &seen);
    if (look.view_rank >= 0 && seen.rank < 0) return;
    mt_ledger_value(l, number, b->host->rank, &look.value, payload);
    for (int i = 0; i < b->held_count; i++)
        if (b->held[i].record == number) b->held[i].view = seen;
    if (l->records[number].content != MT_CONTENT_REFS || !payload) return;
    // references inside: held while the object that contains them is
    int64_t count = mt_value_ref_count(look.value.head);
    for (int64_t i = 0; i < count && i < 8; i++) {
        int inner = mt_ledger_find(l, ((const manta_ref *)payload)[i]);
        if (inner < 0 || b->held_count >= 40 || !mt_body_chance(b, 0.5)) continue;
        mt_ledger_lend(l, inner, b->plan);
        l->records[inner].orphaned |= (uint8_t)l->suspect[l->records[number].owner];
        mt_body_hold(b, inner);
    }
}

// ---- waiting

static void wait_for(mt_body *b, const int *records, int count, int wanted, int view) {
    mt_simulator *sim = mt_body_sim(b);
    mt_ledger *l = &sim->ledger;
    int stalls = sim->mood.scarce || sim->mood.tight, actorish = 0;
    int64_t deadline = 0;
    for (int i = 0; i < count; i++) {
        const mt_entry *r = &l->records[records[i]];
        stalls |= r->stalls, actorish |= r->actorish;
    }
    if (b->plan >= 0 && actorish) deadline = 3 * sim->mood.dead_ns;
    if (stalls) deadline = 4 * sim->mood.dead_ns;
    if (b->plan >= 0 && l->plans[b->plan].kind != MT_CALL_TASK) deadline = 50000000 + (int64_t)mt_body_below(b, 400) * 1000000;
    else if (mt_body_chance(b, 0.1)) deadline = 1 + (int64_t)mt_body_below(b, 20000000), stalls = 0;
    mt_body_wait(b, records, count, wanted, view, deadline, stalls);
}

static int any_held(mt_body *b) { return b->held_count ? (int)mt_body_below(b, (uint32_t)b->held_count) : -1; }

static void act_get(mt_body *b) {
    int at = any_held(b);
    if (at >= 0) wait_for(b, &b->held[at].record, 1, 1, 1);
}

static void act_wait(mt_body *b) {
    int records[8], count = 0;
    for (int i = 0; i < 8 && b->held_count; i++)
        if (mt_body_chance(b, 0.6)) records[count++] = b->held[any_held(b)].record;
    if (count) wait_for(b, records, count, 1 + (int)mt_body_below(b, (uint32_t)count), mt_body_chance(b, 0.3));
}

void mt_workload_drain(mt_body *b) {
    mt_ledger *l = ledger_of(b);
    int records[64], count = 0;
    double part = b->plan < 0 ? 1 : l->plans[b->plan].kind == MT_CALL_TASK ? 0.7 : 0.2;
    for (int i = 0; i < b->held_count && count < 64; i++)
        if (mt_body_chance(b, part)) records[count++] = b->held[i].record;
    if (b->sweep >= 0) mt_workload_sweep(b);
    else if (count) wait_for(b, records, count, count, mt_body_chance(b, 0.7));
}

// ---- references

static void act_release(mt_body *b) {
    int at = any_held(b);
    if (at >= 0) mt_body_drop(b, at);
}

static void act_hold(mt_body *b) {
    if (b->offered_count && mt_body_chance(b, 0.7)) mt_body_hold(b, b->offered[mt_body_below(b, (uint32_t)b->offered_count)]);
    else if (b->held_count) mt_body_hold(b, b->held[any_held(b)].record);
}

// What an actor's state keeps outlives the method; it is given back, or taken over by a later method.
static void act_retain(mt_body *b) {
    mt_instance *x = b->run && b->run->state ? *b->run->state : NULL;
    if (!x) {
        act_hold(b);
        return;
    }
    mt_ledger *l = ledger_of(b);
    if (x->retained_count && mt_body_chance(b, 0.4)) {
        int record = x->retained[--x->retained_count];
        if (mt_body_chance(b, 0.5)) mt_body_got(b, record);
        else mt_core_release(b->host->core, l->records[record].ref);
    } else if (b->held_count && x->retained_count < MT_RETAINED) {
        int record = b->held[any_held(b)].record;
        // an actor that holds itself, or a circle of them, never ends: such a program leaks by its own doing. A result can do
        // that, too: with it live the arguments of its task, should that have to run again
        int put = record_of(b, record)->made == MT_MADE_PUT && record_of(b, record)->content == MT_CONTENT_DATA;
        if (!put && record_of(b, record)->content != MT_CONTENT_NONE) return;
        mt_core_hold(b->host->core, l->records[record].ref);
        x->retained[x->retained_count++] = record;
    }
}

static void act_put(mt_body *b) {
    mt_simulator *sim = mt_body_sim(b);
    mt_ledger *l = &sim->ledger;
    uint64_t seed = ((uint64_t)mt_body_below(b, UINT32_MAX) << 32) | mt_body_below(b, UINT32_MAX);
    if (b->held_count && mt_body_chance(b, 0.25)) {
        manta_ref refs[4];
        int count = 1 + (int)mt_body_below(b, 4);
        for (int i = 0; i < count; i++) refs[i] = record_of(b, b->held[any_held(b)].record)->ref;
        mt_workload_put_refs(b, refs, count);
        return;
    }
    int large = mt_body_chance(b, sim->mood.large);
    uint64_t bytes = mt_workload_bytes(b, large);
    int record = mt_workload_put(b, seed, bytes);
    if (record < 0) return;
    l->records[record].seed = seed, l->records[record].bytes = bytes;
}

static void act_shell(mt_body *b) {
    mt_simulator *sim = mt_body_sim(b);
    int rank = (int)mt_body_below(b, (uint32_t)sim->size);
    uint64_t argument = mt_content_seed(mt_body_below(b, UINT32_MAX), 3);
    char data[63 * 8];
    mt_content_fill(argument, data, (argument & 63) * 8);
    if (rank != b->host->rank) mt_core_shell_send(b->host->core, rank, 7, argument, data, (argument & 63) * 8);
}

// ---- stopping

static void act_cancel(mt_body *b) {
    mt_ledger *l = ledger_of(b);
    int at = any_held(b);
    if (at < 0 || !mt_body_chance(b, mt_body_sim(b)->mood.cancelling)) return;
    const mt_entry *r = &l->records[b->held[at].record];
    if (r->plan < 0 || l->plans[r->plan].kind == MT_CALL_CREATE || l->plans[r->plan].role == MT_ROLE_MEET) return;
    l->plans[r->plan].cancelled = 1;
    mt_core_stop(b->host->core, r->ref, 0);
}

static void act_kill(mt_body *b) {
    mt_ledger *l = ledger_of(b);
    int at = any_held(b);
    if (at < 0 || !mt_body_chance(b, mt_body_sim(b)->mood.killing)) return;
    const mt_entry *r = &l->records[b->held[at].record];
    if (r->content != MT_CONTENT_ACTOR || l->plans[l->actors[r->actor].plan].role == MT_ROLE_MEET) return;
    l->actors[r->actor].killed = 1;
    mt_core_stop(b->host->core, r->ref, 1);
}

// ---- names

static void ask_name(mt_body *b, int name) {
    char text[32];
    uint64_t question = ++mt_body_sim(b)->questions;
    b->asked_name = name;
    mt_body_ask(b, MT_ASK_NAME, question);
    mt_core_find_name(b->host->core, mt_workload_name(name, text), question);
}

static void act_find(mt_body *b) { ask_name(b, (int)mt_body_below(b, MT_NAMES)); }

void mt_workload_named(mt_body *b, int code, manta_actor actor) {
    mt_ledger *l = ledger_of(b);
    int sweeping = b->sweep >= 0;
    if (code != MANTA_OK) {
        if (code != MANTA_NOT_FOUND && !l->deaths && !l->partitions)
            mt_ledger_violate(l, "rank %d asks for a name and hears %s", b->host->rank, manta_code_name(code));
    } else {
        int record = mt_ledger_find(l, actor.ref);
        if (record < 0 || l->records[record].content != MT_CONTENT_ACTOR || l->actors[l->records[record].actor].name != b->asked_name) {
            mt_ledger_violate(l, "rank %d asks for name %d and is given what never had it", b->host->rank, b->asked_name);
            return;
        }
        mt_actor_entry *a = &l->actors[l->records[record].actor];
        a->found = 1;
        int at = mt_body_hold(b, record);
        if (sweeping) {
            l->actors[l->records[record].actor].killed = 1;
            mt_core_stop(b->host->core, actor.ref, 1);
            mt_body_drop(b, at);
        }
    }
    if (sweeping) b->sweep++, mt_workload_sweep(b);
}

// Asks for every name in turn, and ends who answers.
void mt_workload_sweep(mt_body *b) {
    if (b->sweep < MT_NAMES) ask_name(b, b->sweep);
}

// ---- placement groups

static void act_group(mt_body *b) {
    mt_ledger *l = ledger_of(b);
    if (b->group_count && mt_body_chance(b, 0.3)) {
        mt_group_entry *g = &l->groups[b->groups[mt_body_below(b, (uint32_t)b->group_count)]];
        if (g->removed) return;
        g->removed = 1;
        mt_core_remove_group(b->host->core, l->records[g->record].ref);
    } else if (b->group_count < 8) mt_workload_place_group(b);
}

// ---- choosing

static mt_action *const actions[] = {mt_workload_submit, mt_workload_create, mt_workload_invoke, act_put, act_get, act_wait, act_release,
    act_cancel, act_kill, act_find, act_group, mt_workload_meet, act_shell, act_hold, act_retain, mt_workload_bad_call};

void mt_workload_weights(mt_rng *rng, int *weights) {
    static const int usual[] = {30, 8, 22, 12, 14, 8, 14, 4, 3, 3, 4, 3, 3, 8, 6, 1};
    _Static_assert(sizeof usual / sizeof *usual == sizeof actions / sizeof *actions, "one weight an action");
    // a seed likes some and has no use for others
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        uint32_t taste = mt_rng_below(rng, 6);
        weights[i] = i == 0 || taste > 1 ? usual[i] : taste ? 4 * usual[i] : 0;
    }
}

void mt_workload_act(mt_body *b) {
    const int *weights = mt_body_sim(b)->mood.weights;
    if (b->plan >= 0 && ledger_of(b)->plans[b->plan].role == MT_ROLE_MEET) {
        mt_workload_join(b);
        return;
    }
    int sum = 0, count = (int)(sizeof actions / sizeof *actions);
    for (int i = 0; i < count; i++) sum += weights[i];
    int draw = (int)mt_body_below(b, (uint32_t)sum), i = 0;
    while (draw >= weights[i]) draw -= weights[i++];
    actions[i](b);
}

// ---- results

static int large_result(mt_body *b, const mt_entry *r, mt_run_result *out) {
    uint64_t offset = mt_core_allocate(b->host->core, r->bytes);
    if (offset == MT_HEAP_NO_OFFSET) return 0;
    mt_content_fill(r->seed, mt_memory_at(&b->host->memory, offset), r->bytes);
    *out = (mt_run_result){.head = {.type = MANTA_TYPE_BYTES, .form = MT_VALUE_PLACE, .bytes = r->bytes}, .offset = offset};
    return 1;
}

int mt_workload_results(mt_body *b, mt_run_result *results) {
    mt_ledger *l = ledger_of(b);
    const mt_plan *p = &l->plans[b->plan];
    if (p->kind == MT_CALL_CREATE || p->no_results) return MANTA_OK;
    for (int i = 0; i < p->result_count; i++) {
        const mt_entry *r = &l->records[p->result[i]];
        manta_arg arg = {.value.type = MANTA_TYPE_NONE};
        char data[MT_INLINE_BYTES];
        manta_ref refs[6];
        uint64_t seed = mt_content_seed(mt_content_seed((uint64_t)b->plan, (uint64_t)i), b->chain);
        if (r->content == MT_CONTENT_DATA && seed != r->seed && !b->blind) {
            mt_ledger_violate(l, "rank %d: plan %d has read other arguments than it was given", b->host->rank, b->plan);
            return MANTA_INTERNAL;
        }
        if (r->content == MT_CONTENT_DATA && r->bytes > MT_INLINE_BYTES) {
            if (large_result(b, r, &results[i])) continue;
            // no room: give back what there is, and come again, some times
            for (int k = 0; k < i; k++)
                if (!results[k].encoded) mt_memory_give(&b->host->memory, results[k].offset);
            memset(results, 0, sizeof *results * MANTA_MAX_RESULTS);
            if (b->result_tries++ < 40) return -1;
            mt_body_sim(b)->ledger.tight = 1;
            return MANTA_NO_MEMORY;
        }
        if (r->content == MT_CONTENT_DATA) {
            mt_content_fill(r->seed, data, r->bytes);
            arg = manta_bytes(data, r->bytes);
        } else if (r->content == MT_CONTENT_REFS) {
            int count = b->held_count ? (int)mt_body_below(b, 5) : 0;
            for (int k = 0; k < count; k++) refs[k] = record_of(b, b->held[any_held(b)].record)->ref;
            arg = manta_references(refs, count);
            mt_ledger_add_list(l, p->result[i], refs, count);
        }
        free(b->result_memory[i]);
        b->result_memory[i] = aligned_alloc(16, (mt_value_encoded_bytes(&arg) + 15) / 16 * 16);
        MT_ASSERT(b->result_memory[i]);
        mt_value_encode(&arg, b->result_memory[i]);
        results[i] = (mt_run_result){.encoded = b->result_memory[i]};
    }
    return MANTA_OK;
}
