// See body.h. Called by the one thread of the simulator: from events, and (create, wake) from inside a core, where nothing is
// done but posting. A body is freed when it has ended and no event names it any more.
#include "tests/simulator/body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/simulator/simulator.h"

static const mt_view no_view = {.rank = -1};

mt_simulator *mt_body_sim(const mt_body *b) { return b->host->sim; }
uint32_t mt_body_below(mt_body *b, uint32_t bound) { return mt_rng_below(&b->rng, bound); }
int mt_body_chance(mt_body *b, double p) { return mt_rng_uniform(&b->rng) < p; }

static void post(mt_body *b, int64_t after_ns, int kind, uint64_t number) {
    b->events++;
    mt_simulator_post(b->host->sim, after_ns, kind, b->host->rank, number, b);
}

static mt_view view_of(mt_simulator *sim, int reader, int rank, uint64_t offset) {
    if (rank < 0) return no_view;
    mt_heap_piece *block = mt_memory_block(&sim->hosts[rank].memory, offset);
    if (!block || block->offset != offset) {
        // two of one host that are cut off from each other: one frees what it thinks the other, being dead, does not read
        if (sim->ledger.suspect[rank] || sim->ledger.suspect[reader]) return no_view;
        mt_ledger_violate(&sim->ledger, "a view of offset %llu in the heap of rank %d, where nothing begins", (unsigned long long)offset, rank);
        return no_view;
    }
    return (mt_view){.rank = rank, .offset = offset, .serial = block->serial, .bytes = block->bytes};
}

mt_body *mt_body_create(mt_host *h, mt_run *run, int plan) {
    mt_body *b = calloc(1, sizeof *b);
    MT_ASSERT(b);
    mt_simulator *sim = h->sim;
    b->host = h, b->run = run, b->plan = plan, b->sweep = -1;
    if (plan >= 0) b->depth = sim->ledger.plans[plan].depth, b->attempt = sim->ledger.plans[plan].runs;
    b->rng = mt_rng_at(sim->desc.seed, mt_rng_stream(MT_RNG_USER, (uint64_t)(plan + 16) << 8 | (uint64_t)(b->attempt & 255)), 0);
    for (int i = 0; i <= MT_PLAN_ARGUMENTS; i++) b->argument[i] = no_view;
    b->result_view = no_view;
    if (run) {
        run->shell = b;
        for (int i = 0; i < run->argument_count && i <= MT_PLAN_ARGUMENTS; i++)
            b->argument[i] = view_of(sim, h->rank, run->arguments[i].view_rank, run->arguments[i].view_offset);
    }
    b->next = h->bodies;
    if (b->next) b->next->previous = &b->next;
    b->previous = &h->bodies;
    h->bodies = b;
    sim->bodies++;
    b->events++;   // the host posts START
    return b;
}

static void free_body(mt_body *b) {
    for (int i = 0; i < MANTA_MAX_RESULTS; i++) free(b->result_memory[i]);
    free(b->held), free(b->offered), free(b->links), free(b->wait_record), free(b);
}

static void unlink_body(mt_body *b) {
    b->ended = 1;
    if (b->armed) b->host->sim->armed--, b->armed = 0;
    b->host->sim->bodies--;
    *b->previous = b->next;
    if (b->next) b->next->previous = b->previous;
}

// ---- holding

static int at_of(const mt_body *b, int record) {
    for (int i = 0; i < b->held_count; i++)
        if (b->held[i].record == record) return i;
    return -1;
}

static void trace(const mt_body *b, const char *what, int record) {
    char text[256];
    if (b->host->sim->desc.verbose > 1)
        printf("             rank %d plan %d %s %s\n", b->host->rank, b->plan, what, mt_ledger_describe(&b->host->sim->ledger, record, text));
}

void mt_body_got(mt_body *b, int record) {
    int at = at_of(b, record);
    trace(b, "holds", record);
    if (at < 0) {
        if (b->held_count == b->held_capacity) {
            b->held_capacity = b->held_capacity ? 2 * b->held_capacity : 16;
            b->held = realloc(b->held, (size_t)b->held_capacity * sizeof *b->held);
            MT_ASSERT(b->held);
        }
        at = b->held_count++;
        b->held[at] = (mt_held){.record = record, .view = no_view};
    }
    b->held[at].holds++;
}

int mt_body_hold(mt_body *b, int record) {
    mt_core_hold(b->host->core, mt_body_sim(b)->ledger.records[record].ref);
    mt_body_got(b, record);
    return at_of(b, record);
}

void mt_body_drop(mt_body *b, int at) {
    manta_ref ref = mt_body_sim(b)->ledger.records[b->held[at].record].ref;
    trace(b, "drops", b->held[at].record);
    if (!--b->held[at].holds) b->held[at] = b->held[--b->held_count];
    mt_core_release(b->host->core, ref);
}

// Two views are one when they are of the same allocation.
static int sees(const mt_view *view, int rank, const mt_heap_piece *block) {
    return view->rank == rank && view->serial == block->serial;
}

void mt_body_check_freed(mt_host *h, const mt_heap_piece *block) {
    mt_simulator *sim = h->sim;
    for (int r = 0; r < sim->size; r++) {
        if (sim->node_of[r] != sim->node_of[h->rank] || !sim->hosts[r].alive || mt_host_thinks_dead(h, r) ||
            sim->ledger.suspect[r] || sim->ledger.suspect[h->rank])
            continue;
        for (const mt_body *b = sim->hosts[r].bodies; b; b = b->next) {
            int seen = sees(&b->result_view, h->rank, block), what = -1;
            for (int i = 0; i < b->held_count; i++)
                if (sees(&b->held[i].view, h->rank, block)) seen = 1, what = b->held[i].record;
            for (int i = 0; i <= MT_PLAN_ARGUMENTS; i++) seen |= sees(&b->argument[i], h->rank, block);
            if (seen)
                mt_ledger_violate(&sim->ledger, "rank %d frees offset %llu of its heap, which plan %d on rank %d looks at: %s %d", h->rank,
                    (unsigned long long)block->offset, b->plan, r, what < 0 ? "an argument of task" : "object", what < 0 ? b->plan : what);
        }
    }
}

const void *mt_body_payload(mt_body *b, const mt_value *v, int view_rank, uint64_t view_offset, mt_view *view) {
    mt_simulator *sim = mt_body_sim(b);
    *view = no_view;
    if (view_rank < 0) return v->payload;
    if (view_rank >= sim->size || sim->node_of[view_rank] != sim->node_of[b->host->rank]) {
        mt_ledger_violate(&sim->ledger, "rank %d is to look into the heap of rank %d, which is on another host", b->host->rank, view_rank);
        return NULL;
    }
    *view = view_of(sim, b->host->rank, view_rank, view_offset);
    if (view->rank >= 0 && view->bytes < v->head->bytes)
        mt_ledger_violate(&sim->ledger, "rank %d is to see %llu bytes in a block of %llu", b->host->rank,
            (unsigned long long)v->head->bytes, (unsigned long long)view->bytes);
    return view->rank < 0 ? NULL : mt_memory_at(&sim->hosts[view_rank].memory, view_offset);
}

// ---- waiting

static void step_later(mt_body *b) {
    mt_simulator *sim = mt_body_sim(b);
    post(b, 100 + mt_simulator_random_ns(sim, mt_body_below(b, 40) ? sim->mood.think_ns : 50 * sim->mood.think_ns),
        MT_EVENT_STEP, 0);
}

static void blocked(mt_body *b) {
    if (!b->run) return;
    if (b->plan >= 0) mt_ledger_blocked(&mt_body_sim(b)->ledger, b->plan, b->host->rank);
    mt_core_blocked(b->host->core, b->run);
}

static void unblocked(mt_body *b) {
    if (b->run) mt_core_unblocked(b->host->core, b->run);
}

static void end_wait(mt_body *b, int timed_out) {
    mt_simulator *sim = mt_body_sim(b);
    int there = 0, wanted = b->waiter.wanted, view = b->waiter.view;
    if (b->armed) sim->armed--, b->armed = 0;
    b->waiting = 0;
    for (int i = 0; i < b->wait_count; i++) {
        if (!b->links[i].satisfied) continue;
        there++;
        mt_workload_look(b, b->wait_record[i], view);
    }
    mt_core_wait_end(b->host->core, b->links, b->wait_count);
    if (!timed_out && there < wanted && !sim->ledger.deaths && !sim->ledger.partitions && !sim->ledger.disk_failures)
        mt_ledger_violate(&sim->ledger, "rank %d: a wait for %d ended when %d were there", b->host->rank, wanted, there);
    free(b->links), free(b->wait_record);
    b->links = NULL, b->wait_record = NULL, b->wait_count = 0;
}

void mt_body_wait(mt_body *b, const int *records, int count, int wanted, int view, int64_t deadline_ns, int may_stall) {
    mt_simulator *sim = mt_body_sim(b);
    if (!count) return;
    manta_ref refs[64];
    MT_ASSERT(count <= 64 && !b->waiting && !b->asking);
    b->links = calloc((size_t)count, sizeof *b->links);
    b->wait_record = malloc((size_t)count * sizeof *records);
    MT_ASSERT(b->links && b->wait_record);
    memcpy(b->wait_record, records, (size_t)count * sizeof *records);
    for (int i = 0; i < count; i++) refs[i] = sim->ledger.records[records[i]].ref;
    b->waiter = (mt_waiter){.wanted = wanted, .view = view, .shell = b};
    b->wait_count = count, b->wait_number++, b->waiting = 1, b->woken = 0;
    b->wait_since_ns = sim->now_ns, b->wait_deadline_ns = deadline_ns, b->may_stall = may_stall;
    if (mt_core_wait(b->host->core, &b->waiter, refs, count, b->links)) {
        if (b->woken) mt_ledger_violate(&sim->ledger, "rank %d: a wait that was over at once was woken, too", b->host->rank);
        end_wait(b, 0);
        return;
    }
    blocked(b);
    if (deadline_ns) {
        b->armed = 1, b->events++, sim->armed++;
        mt_queue_push(&sim->queue, (mt_event){.at_ns = sim->now_ns + deadline_ns, .kind = MT_EVENT_DEADLINE, .rank = b->host->rank,
            .idle = 1, .number = b->wait_number, .data = b});
    }
}

void mt_body_wake(mt_host *h, mt_waiter *waiter) {
    mt_body *b = waiter->shell;
    mt_simulator *sim = h->sim;
    if (b->host != h || &b->waiter != waiter || !b->waiting || b->woken++) {
        mt_ledger_violate(&sim->ledger, "rank %d wakes somebody who does not wait, or twice", h->rank);
        return;
    }
    post(b, mt_simulator_random_ns(sim, 20000), MT_EVENT_WAKE, b->wait_number);
}

void mt_body_ask(mt_body *b, int asking, uint64_t question) {
    mt_simulator *sim = mt_body_sim(b);
    b->asking = asking, b->question = question, b->wait_number++, b->wait_since_ns = sim->now_ns;
    blocked(b);
    if (asking == MT_ASK_MEET) {
        // others may never come
        b->armed = 1, b->events++, sim->armed++;
        mt_queue_push(&sim->queue, (mt_event){.at_ns = sim->now_ns + 4 * sim->mood.dead_ns, .kind = MT_EVENT_DEADLINE,
            .rank = b->host->rank, .idle = 1, .number = b->wait_number, .data = b});
    }
}

static void end_ask(mt_body *b) {
    if (b->armed) mt_body_sim(b)->armed--, b->armed = 0;
    b->asking = MT_ASK_NOTHING, b->question = 0;
    unblocked(b);
}

void mt_body_answer(mt_host *h, const mt_event *e) {
    const mt_answer *a = e->data;
    for (mt_body *b = h->bodies; b; b = b->next) {
        if (b->question != a->question || b->asking != (e->kind == MT_EVENT_NAMED ? MT_ASK_NAME : MT_ASK_MEET)) continue;
        end_ask(b);
        if (e->kind == MT_EVENT_NAMED) mt_workload_named(b, a->code, a->actor);
        else mt_workload_met(b, a->code, a->ranks, a->count, a->round);
        if (!b->waiting && !b->asking) step_later(b);
        return;
    }
    if (e->kind == MT_EVENT_NAMED) mt_ledger_violate(&h->sim->ledger, "rank %d is given an answer that nobody asked for", h->rank);
}

// ---- its end

static void release_all(mt_body *b) {
    mt_ledger *l = &mt_body_sim(b)->ledger;
    for (int i = 0; i < b->group_count; i++) {
        mt_group_entry *g = &l->groups[b->groups[i]];
        if (g->removed) continue;
        g->removed = 1;
        mt_core_remove_group(b->host->core, l->records[g->record].ref);
    }
    while (b->held_count) mt_body_drop(b, (int)mt_body_below(b, (uint32_t)b->held_count));
}

static void give_back_retained(mt_host *h, mt_instance *x) {
    for (int i = 0; i < x->retained_count; i++) mt_core_release(h->core, h->sim->ledger.records[x->retained[i]].ref);
    x->retained_count = 0;
}

static void finish(mt_body *b) {
    mt_simulator *sim = mt_body_sim(b);
    mt_run_result results[MANTA_MAX_RESULTS] = {0};
    char message[96] = "";
    int code = b->code;
    if (b->run) {
        for (int i = 1; i < b->run->argument_count; i++)
            if (b->argument[i].rank >= 0) {
                mt_heap_piece *block = mt_memory_block(&sim->hosts[b->argument[i].rank].memory, b->argument[i].offset);
                if (!block || block->serial != b->argument[i].serial) {
                    if (!sim->ledger.suspect[b->host->rank] && !sim->ledger.suspect[b->argument[i].rank])
                        mt_ledger_violate(&sim->ledger, "rank %d: argument %d of plan %d was freed while it ran", b->host->rank, i, b->plan);
                }
            }
        if (!code) code = mt_workload_results(b, results);
        if (code < 0) {
            post(b, 2000000, MT_EVENT_STEP, 0);
            return;
        }
        if (code) snprintf(message, sizeof message, "plan %d fails on purpose", b->plan);
        for (int i = 0; i <= MT_PLAN_ARGUMENTS; i++) b->argument[i] = no_view;
        b->result_view = no_view;
        mt_ledger_finished(&sim->ledger, b->host->rank, b->run, b->plan, code);
        mt_run *run = b->run;
        // an actor that was not made is not destroyed: what its state kept goes now
        mt_instance *unmade = code && run->call_kind == MT_CALL_CREATE ? *run->state : NULL;
        b->run = NULL;
        mt_core_finish(b->host->core, run, code, code ? message : NULL, code ? NULL : results, sim->now_ns - b->began_ns);
        if (unmade) give_back_retained(b->host, unmade);
    } else if (b->sweep < 0) sim->driver_done = 1;
    release_all(b);
    unlink_body(b);
}

void mt_body_rank_gone(mt_host *h) {
    for (mt_body *b = h->bodies, *next; b; b = next) {
        next = b->next;
        unlink_body(b);
        if (!b->events) free_body(b);
    }
}

void mt_body_destroy_actor(mt_host *h, void *state) {
    mt_instance *x = state;
    mt_ledger *l = &h->sim->ledger;
    give_back_retained(h, x);
    mt_ledger_destroyed(l, x);
    mt_core_actor_destroyed(h->core, state);
}

void mt_body_shell_message(mt_host *h, int source, uint32_t topic, uint64_t argument, const void *data, size_t bytes) {
    if (topic != 7 || bytes != (argument & 63) * 8 || (bytes && !mt_content_matches(argument, data, bytes)))
        mt_ledger_violate(&h->sim->ledger, "rank %d is given a shell's message from rank %d that nobody sent", h->rank, source);
    h->heard += argument;
}

// ---- its events

static void go(mt_body *b) {
    mt_simulator *sim = mt_body_sim(b);
    if (b->waiting || b->asking) return;
    switch (b->phase) {
    case MT_PHASE_BEGIN:
        b->began_ns = sim->now_ns;
        b->phase = MT_PHASE_WORK;
        mt_workload_begin(b);
        break;
    case MT_PHASE_WORK:
        if (b->run && __atomic_load_n(&b->run->cancelled, __ATOMIC_RELAXED) && mt_body_chance(b, 0.5)) {
            b->code = MANTA_CANCELLED, b->phase = MT_PHASE_RESULT;
            break;
        }
        if (b->steps-- > 0) mt_workload_act(b);
        else {
            b->phase = MT_PHASE_DRAIN;
            mt_workload_drain(b);
        }
        break;
    case MT_PHASE_DRAIN: b->phase = MT_PHASE_RESULT; break;
    case MT_PHASE_RESULT: finish(b); return;
    default: break;
    }
    if (!b->waiting && !b->asking) step_later(b);
}

static void deadline(mt_body *b) {
    mt_simulator *sim = mt_body_sim(b);
    if (b->asking == MT_ASK_MEET) {
        mt_workload_unmeet(b);
        end_ask(b);
        mt_workload_met(b, MANTA_DEADLINE, NULL, 0, 0);
    } else {
        if (b->may_stall) sim->ledger.stalled++;
        else sim->ledger.deadlines++;
        end_wait(b, 1);
        unblocked(b);
    }
    step_later(b);
}

void mt_body_event(const mt_event *e) {
    mt_body *b = e->data;
    b->events--;
    if (!b->ended) {
        switch (e->kind) {
        case MT_EVENT_START:
        case MT_EVENT_STEP: go(b); break;
        case MT_EVENT_WAKE:
            if (!b->waiting || e->number != b->wait_number) break;
            end_wait(b, 0);
            unblocked(b);
            step_later(b);
            break;
        case MT_EVENT_DEADLINE:
            if ((b->waiting || b->asking) && e->number == b->wait_number) deadline(b);
            break;
        default: break;
        }
    }
    if (b->ended && !b->events) free_body(b);
}

void mt_body_describe(const mt_body *b, char *out, size_t out_bytes) {
    const mt_simulator *sim = b->host->sim;
    char text[256];
    int at = snprintf(out, out_bytes, "rank %d, plan %d", b->host->rank, b->plan);
    if (b->asking)
        snprintf(out + at, out_bytes - (size_t)at, " waits for %s since %.6f s", b->asking == MT_ASK_NAME ? "a name" : "a meeting",
            (double)b->wait_since_ns * 1e-9);
    else if (b->waiting) {
        at += snprintf(out + at, out_bytes - (size_t)at, " waits since %.6f s for %d of", (double)b->wait_since_ns * 1e-9, b->waiter.wanted);
        for (int i = 0; i < b->wait_count && (size_t)at < out_bytes; i++)
            if (!b->links[i].satisfied)
                at += snprintf(out + at, out_bytes - (size_t)at, "\n        %s", mt_ledger_describe(&sim->ledger, b->wait_record[i], text));
    } else snprintf(out + at, out_bytes - (size_t)at, " goes on");
}
