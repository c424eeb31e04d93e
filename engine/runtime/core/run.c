// Calls that run on this rank: from CALL to DONE. The states are in core_state.h.
//
// Tasks and creations queue for resources in the order of their coming; the first that fits begins (a large one at the front
// holds up a few behind it at most for as long as nothing fits). Methods queue at their actor (actor.c).
#include "engine/runtime/core/state.h"

#include <stdio.h>

enum { LOOK_AHEAD = 32 };   // how far behind the first of the queue one may begin before it

// ---- lists

static void append_queue(mt_core *c, mt_run_core *r) {
    r->next = NULL, r->previous = c->queue_last;
    *c->queue_last = r;
    c->queue_last = &r->next;
    c->stats.queued_runs++;
}

static void unlink_queue(mt_core *c, mt_run_core *r) {
    *r->previous = r->next;
    if (r->next) r->next->previous = r->previous;
    else c->queue_last = r->previous;
    r->next = NULL, r->previous = NULL;
    c->stats.queued_runs--;
}

static void link_running(mt_core *c, mt_run_core *r) {
    r->next = c->running, r->previous = &c->running;
    if (c->running) c->running->previous = &r->next;
    c->running = r;
}

static void unlink_running(mt_run_core *r) {
    *r->previous = r->next;
    if (r->next) r->next->previous = r->previous;
    r->next = NULL, r->previous = NULL;
}

// ---- resources

// Devices for a demand: whole ones, or a part of the fullest that still has it. 0: not now.
static int take_gpus(mt_core *c, int64_t units, int *gpus, int *count, int *each) {
    *count = 0, *each = units < MT_RESOURCE_UNIT ? (int)units : MT_RESOURCE_UNIT;
    if (units == 0) return 1;
    int wanted = (int)((units + MT_RESOURCE_UNIT - 1) / MT_RESOURCE_UNIT);
    if (wanted == 1) {
        int best = -1;
        for (int g = 0; g < c->desc.gpu_devices; g++)
            if (c->gpu_free[g] >= *each && (best < 0 || c->gpu_free[g] < c->gpu_free[best])) best = g;
        if (best < 0) return 0;
        gpus[(*count)++] = best;
    } else {
        for (int g = 0; g < c->desc.gpu_devices && *count < wanted; g++)
            if (c->gpu_free[g] == MT_RESOURCE_UNIT) gpus[(*count)++] = g;
        if (*count < wanted) {
            *count = 0;
            return 0;
        }
    }
    for (int i = 0; i < *count; i++) c->gpu_free[gpus[i]] -= *each;
    return 1;
}

void mt_run_give_back(mt_core *c, const mt_resources *what, mt_reserved *bundle, const int *gpus, int gpu_count, int gpu_units) {
    for (int i = 0; i < gpu_count; i++) c->gpu_free[gpus[i]] += gpu_units;
    mt_resources_add(bundle ? &bundle->available : &c->available, what);
    if (bundle) mt_placement_returned(c, bundle);
}

static int take_resources(mt_core *c, mt_run_core *r) {
    const mt_wire_call *w = r->call;
    mt_resources *from = &c->available;
    if (w->placement_serial) {
        manta_ref group = {.owner = w->placement_owner, .slot = w->placement_slot, .serial = w->placement_serial};
        r->bundle = mt_placement_find(c, group, w->bundle);
        if (!r->bundle || r->bundle->removing) return -1;
        from = &r->bundle->available;
        if (!mt_resources_fit(&r->demand, &r->bundle->total)) return -2;
    }
    if (!mt_resources_fit(&r->demand, from)) return 0;
    if (!take_gpus(c, r->demand.amount[MT_RESOURCE_GPU], r->gpus, &r->run.gpu_count, &r->gpu_units)) return 0;
    mt_resources_subtract(from, &r->demand);
    r->run.gpus = r->gpus;
    r->reserved = 1;
    return 1;
}

int mt_run_idle_now(const mt_core *c, const mt_resources *demand) {
    mt_resources free = c->available;
    mt_resources_subtract(&free, &c->arriving);
    return mt_resources_fit(demand, &free);
}

// An own call is in the queue, or will never be.
static void arrived(mt_core *c, mt_run_core *r) {
    if (r->arriving) mt_resources_subtract(&c->arriving, &r->demand);
    r->arriving = 0;
}

void mt_run_resources_back(mt_core *c) {
    if (c->head_waits) {
        mt_wire_empty m = {.wire.kind = MT_WIRE_FREED};
        c->head_waits = 0;
        mt_core_send(c, MT_HEAD, &m, sizeof m, NULL, 0);
    }
    // calls of this rank and of others take turns
    c->own_turn = !c->own_turn;
    if (c->own_turn) mt_dispatch_room(c, c->rank);
    mt_run_begin_more(c);
    if (!c->own_turn) mt_dispatch_room(c, c->rank);
}

// ---- beginning

void mt_run_start(mt_core *c, mt_run_core *r) {
    r->state = MT_RUN_RUNNING;
    link_running(c, r);
    c->stats.running_runs++;
    c->moved_ns = c->now_ns;
    c->ops->run(c->shell, &r->run);
}

// Many that want the same wait as one: those behind them are looked at, too.
static int same_wish(const mt_run_core *a, const mt_run_core *b) {
    return a->call->placement_serial == b->call->placement_serial && a->call->bundle == b->call->bundle &&
        memcmp(&a->demand, &b->demand, sizeof a->demand) == 0;
}

void mt_run_begin_more(mt_core *c) {
    const mt_run_core *failed = NULL;
    int looked = 0;
    for (mt_run_core *r = c->queue, *next; r && looked < LOOK_AHEAD; r = next) {
        next = r->next;
        if (failed && same_wish(failed, r)) continue;
        if (r->run.call_kind == MT_CALL_CREATE && mt_map_get(&c->hosted_by_ref, mt_ref_key(r->run.actor), r->run.actor.serial)) {
            unlink_queue(c, r);
            mt_run_refuse(c, r, MANTA_INTERNAL, "the actor lives here already");
            continue;
        }
        int taken = take_resources(c, r);
        if (taken == 0) {
            failed = r, looked++;
            continue;
        }
        unlink_queue(c, r);
        if (taken < 0) {
            mt_run_refuse(c, r, taken == -1 ? MANTA_NOT_FOUND : MANTA_INFEASIBLE, taken == -1
                ? "its placement group was removed" : "it wants more than its bundle of the placement group has");
        } else {
            if (r->run.call_kind == MT_CALL_CREATE) r->run.hosted = mt_actor_host(c, r);
            mt_run_start(c, r);
        }
    }
}

static void enqueue(mt_core *c, mt_run_core *r) {
    r->state = MT_RUN_QUEUED;
    if (r->run.call_kind == MT_CALL_METHOD) {
        if (r->run.hosted) mt_actor_begin_more(c, r->run.hosted);
        return;
    }
    arrived(c, r);
    append_queue(c, r);
    mt_run_begin_more(c);
}

// ---- coming

uint64_t mt_run_author(const mt_run *run) {
    if (!run) return 0;
    manta_ref who = run->hosted ? run->actor : run->results[0];
    return (mt_ref_key(who) + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ who.serial;
}

static mt_run_core *make_run(mt_core *c, int source, const mt_wire_call *m, size_t bytes) {
    size_t core = mt_up16(sizeof(mt_run_core)), message = mt_up16(bytes), arguments = mt_up16(sizeof(mt_run_argument) * m->argument_count);
    size_t total = core + message + arguments + sizeof(mt_wait_link) * m->argument_count;
    char *block = mt_take(c, total);
    mt_run_core *r = (mt_run_core *)block;
    r->bytes = (uint32_t)total;
    r->call = memcpy(block + core, m, bytes);
    r->run.arguments = (mt_run_argument *)(block + core + message);
    r->links = (mt_wait_link *)(block + core + message + arguments);
    r->task = m->task;
    r->run.core = r;
    r->run.call_kind = m->call_kind, r->run.function = m->function, r->run.class_number = m->class_number;
    r->run.argument_count = m->argument_count, r->run.result_count = m->result_count;
    r->run.results = (const manta_ref *)(r->call + 1);
    r->run.actor = m->actor, r->run.caller = source;
    return r;
}

// The counts and lengths of a message that came over a network. 0: it is not one.
static size_t head_bytes(const mt_wire_call *m, size_t bytes) {
    size_t results = m->result_count ? m->result_count : 1;
    size_t head = sizeof *m + sizeof(manta_ref) * results + (m->call_kind != MT_CALL_METHOD ? sizeof(mt_resources) : 0);
    if (m->call_kind > MT_CALL_METHOD || m->argument_count > MANTA_MAX_ARGUMENTS || m->result_count > MANTA_MAX_RESULTS || head > bytes) return 0;
    return head;
}

static void pin_arguments(mt_core *c, mt_run_core *r) {
    mt_object *large[MANTA_MAX_ARGUMENTS];
    for (int i = 0; i < r->run.argument_count; i++)
        if (r->run.arguments[i].value.head->form == MT_VALUE_PLACE) {
            large[r->large_count] = mt_object_lent(c, &r->run.arguments[i].value);
            r->run.arguments[i].view_rank = (int)r->large_count++;   // until it is in reach: its link
        }
    r->waiter = (mt_waiter){.wanted = (int)r->large_count, .view = 1, .internal = 1, .shell = r};
    if (!r->large_count) r->waiter.done = 1;
    else mt_wait_link_all(c, &r->waiter, large, (int)r->large_count, r->links);
}

static void drop_large(mt_core *c, mt_run_core *r) {
    uint32_t count = r->large_count;
    r->large_count = 0;
    mt_wait_unlink_all(c, r->links, (int)count);
}

// The object as it is now has the form that the call speaks of.
static int same_form(const mt_object *o, const mt_value *value) {
    mt_value now;
    size_t used;
    const mt_value_head *h = value->head;
    return mt_value_decode(o->encoded, o->encoded_bytes, &now, &used) == MT_OK && now.head->type == h->type && now.head->ndim == h->ndim &&
        now.head->bytes == h->bytes && memcmp(now.shape, value->shape, sizeof *now.shape * h->ndim) == 0;
}

// All large arguments are in reach, or cannot be: puts their places in, or gives the error.
static int take_views(mt_run_core *r, char *text, size_t bytes) {
    for (int i = 0; i < r->run.argument_count; i++) {
        mt_run_argument *a = &r->run.arguments[i];
        if (a->value.head->form != MT_VALUE_PLACE) continue;
        const mt_object *o = r->links[a->view_rank].object;
        if (!o || o->state != MT_STATE_READY || o->pin != MT_PIN_HELD) {
            int no_room = o && o->state == MT_STATE_READY;   // wait.c: it was asked for, and refused
            snprintf(text, bytes, "argument %d: %s", i, no_room ? mt_wait_no_room_text : o && o->message ? o->message : "the object is gone");
            return no_room ? MANTA_NO_MEMORY : o && o->state == MT_STATE_FAILED ? o->code : MANTA_OBJECT_LOST;
        }
        if (!same_form(o, &a->value)) {
            snprintf(text, bytes, "argument %d: the object was made again, in another shape than before", i);
            return MANTA_OBJECT_LOST;
        }
        a->view_rank = o->view_rank, a->view_offset = o->view_offset;
    }
    return MANTA_OK;
}

static void arguments_are_there(mt_core *c, mt_run_core *r) {
    char text[1024];
    int code = take_views(r, text, sizeof text);
    if (code == MANTA_OK) {
        enqueue(c, r);
        return;
    }
    mt_hosted *h = r->run.call_kind == MT_CALL_METHOD ? r->run.hosted : NULL;
    if (h) mt_actor_unqueue(c, r);
    mt_run_refuse(c, r, code, text);
    if (h) mt_actor_begin_more(c, h);   // it may have been all that those behind it waited for
}

// A large argument has to be made again, which may need the room that this call was sent to: it goes back, to wait at its caller.
// 0: it stays (a method, which has no room of its own).
int mt_run_argument_lost(mt_core *c, mt_waiter *w) {
    mt_run_core *r = w->shell;
    if (r->state != MT_RUN_PINNING || r->run.call_kind == MT_CALL_METHOD) return 0;
    mt_wire_task m = {.wire.kind = MT_WIRE_RETURNED, .task = r->task, .argument = 1};
    unlink_running(r);
    mt_core_send(c, r->run.caller, &m, sizeof m, NULL, 0);
    mt_run_free(c, r);
    return 1;
}

// While the last argument was on its way, one that had come can have gone again, with a rank that died. 1: it waits on, or has
// gone back to its caller.
static int wait_again(mt_core *c, mt_run_core *r) {
    mt_object *large[MANTA_MAX_ARGUMENTS];
    int gone = 0, out_of_reach = 0, count = (int)r->large_count;
    for (int i = 0; i < count; i++) {
        mt_object *o = large[i] = r->links[i].object;
        if (!o || o->state == MT_STATE_FAILED) return 0;
        gone |= o->state == MT_STATE_PENDING;
        out_of_reach |= o->state == MT_STATE_READY && o->pin != MT_PIN_HELD && !o->no_room;
    }
    if (!gone && !out_of_reach) return 0;
    if (gone && mt_run_argument_lost(c, &r->waiter)) return 1;
    for (int i = 0; i < count; i++) mt_object_hold(large[i]);
    mt_wait_unlink_all(c, r->links, count);
    r->waiter = (mt_waiter){.wanted = count, .view = 1, .internal = 1, .shell = r};
    mt_wait_link_all(c, &r->waiter, large, count, r->links);
    for (int i = 0; i < count; i++) mt_object_release(c, large[i]);
    return !r->waiter.done;
}

void mt_run_argument_ready(mt_core *c, mt_waiter *w) {
    mt_run_core *r = w->shell;
    if (r->state != MT_RUN_PINNING || wait_again(c, r)) return;
    if (r->run.call_kind != MT_CALL_METHOD) unlink_running(r);
    arguments_are_there(c, r);
}

// What a caller sends: values, or places in range; what stands for a value that is to come stays at the caller.
static int arguments_in_order(const mt_core *c, const mt_value *values, int count) {
    for (int i = 0; i < count; i++)
        if (values[i].head->form == MT_VALUE_FROM || !mt_place_in_range(c, &values[i])) return 0;
    return 1;
}

void mt_run_on_call(mt_core *c, int source, const mt_wire_call *m, size_t bytes) {
    size_t head = head_bytes(m, bytes);
    mt_value values[MANTA_MAX_ARGUMENTS];
    if (!head) {
        c->stats.dropped_messages++;
        return;
    }
    mt_run_core *r = make_run(c, source, m, bytes);
    int readable = mt_values_decode((const char *)r->call + head, bytes - head, m->argument_count, values) == MT_OK &&
        arguments_in_order(c, values, m->argument_count);
    if (m->call_kind != MT_CALL_METHOD) {
        mt_resources demand;
        memcpy(&demand, (const char *)r->call + head - sizeof demand, sizeof demand);
        if (mt_resources_in_range(&demand)) r->demand = demand;
        else readable = 0;
        r->arriving = source == c->rank && !m->placement_serial;
    }
    if (!readable) {
        r->run.argument_count = 0;
        mt_run_refuse(c, r, MANTA_INTERNAL, "it arrived in a form that cannot be read");
        return;
    }
    for (int i = 0; i < m->argument_count; i++) r->run.arguments[i] = (mt_run_argument){.value = values[i], .view_rank = -1};
    r->state = MT_RUN_PINNING;
    // a method takes its place in the actor's queue now, so that calls stay in order
    if (m->call_kind == MT_CALL_METHOD) {
        mt_actor_method(c, r);
        if (!r->run.hosted) {
            mt_run_refuse(c, r, MANTA_ACTOR_DIED, "the actor does not live any more");
            return;
        }
    }
    pin_arguments(c, r);
    if (r->waiter.done) arguments_are_there(c, r);
    else if (m->call_kind != MT_CALL_METHOD) {
        link_running(c, r);
        // lost on the way: own ones are known to be
        for (uint32_t i = 0; i < r->large_count; i++)
            if (r->links[i].object && r->links[i].object->owned && r->links[i].object->state == MT_STATE_PENDING) {
                mt_run_argument_lost(c, &r->waiter);
                return;
            }
    }
}

// ---- answering

static void answer(mt_core *c, mt_run_core *r, mt_wire_done *m, const mt_piece *pieces, int count) {
    m->wire.kind = MT_WIRE_DONE, m->task = r->task;
    if (mt_core_must_defer(c)) mt_core_defer_message(c, r->run.caller, m, sizeof *m, pieces, count);
    else mt_core_send(c, r->run.caller, m, sizeof *m, pieces, count);
}

void mt_run_free(mt_core *c, mt_run_core *r) {
    arrived(c, r);
    drop_large(c, r);
    mt_give(c, r, r->bytes);
}

void mt_run_refuse(mt_core *c, mt_run_core *r, int code, const char *message) {
    mt_wire_done m = {.code = code, .error_rank = (uint32_t)c->rank, .text_bytes = (uint32_t)strlen(message)};
    answer(c, r, &m, &(mt_piece){message, m.text_bytes}, m.text_bytes ? 1 : 0);
    mt_run_free(c, r);
}

// The results as pieces of DONE; large ones stay here. *inner counts references inside small ones.
static int encode_results(mt_core *c, const mt_run_core *r, const mt_run_result *results, mt_piece *pieces,
    uint8_t (*places)[MT_PLACE_BYTES_MAX], uint32_t *inner) {
    int gone = mt_core_dead(c, r->run.caller);
    for (int i = 0; i < r->run.result_count; i++) {
        const mt_run_result *v = &results[i];
        if (v->encoded) {
            uint32_t count;
            size_t bytes = ((const mt_value_head *)v->encoded)->encoded_bytes;
            mt_encoded_refs(v->encoded, bytes, &count);
            *inner += count;
            pieces[i] = (mt_piece){v->encoded, bytes};
            continue;
        }
        mt_wire_place place = {.ref = r->run.results[i], .rank = (uint32_t)c->rank};
        mt_value_encode_place(&v->head, v->shape, &place, places[i]);
        pieces[i] = (mt_piece){places[i], mt_value_place_bytes(v->head.ndim)};
        if (gone) c->ops->heap_free(c->shell, v->offset);
        else mt_store_add(c, place.ref, v);
    }
    return r->run.result_count;
}

static void keep_inner(mt_core *c, mt_run_core *r, const mt_piece *pieces, int count, uint32_t inner) {
    manta_ref *refs = mt_take(c, sizeof *refs * inner);
    uint32_t at = 0;
    for (int i = 0; i < count; i++) {
        uint32_t n;
        const manta_ref *inside = mt_encoded_refs(pieces[i].data, pieces[i].bytes, &n);
        if (n) memcpy(refs + at, inside, sizeof *refs * n);
        at += n;
    }
    r->kept = mt_object_hold_all(c, refs, inner), r->kept_count = inner;
    mt_give(c, refs, sizeof *refs * inner);
}

static void free_heap_results(mt_core *c, const mt_run *run, const mt_run_result *results) {
    for (int i = 0; results && i < run->result_count; i++)
        if (!results[i].encoded && results[i].offset != MT_HEAP_NO_OFFSET) c->ops->heap_free(c->shell, results[i].offset);
}

void mt_core_finish(mt_core *c, mt_run *run, int code, const char *message, const mt_run_result *results, int64_t run_ns) {
    mt_run_core *r = run->core;
    mt_wire_done m = {.code = code, .run_ns = run_ns < UINT32_MAX ? (uint32_t)run_ns : UINT32_MAX};
    _Alignas(16) uint8_t places[MANTA_MAX_RESULTS][MT_PLACE_BYTES_MAX];
    _Alignas(16) uint8_t none[64];
    mt_piece pieces[MANTA_MAX_RESULTS];
    int count = 0;
    uint32_t inner = 0;
    c->moved_ns = c->now_ns;
    c->stats.running_runs--;
    unlink_running(r);
    if (code != MANTA_OK) {
        free_heap_results(c, run, results);
        m.error_rank = (uint32_t)c->rank;
        m.text_bytes = (uint32_t)strlen(message ? message : "");
        if (m.text_bytes) pieces[count++] = (mt_piece){message, m.text_bytes};
    } else if (run->call_kind == MT_CALL_CREATE) {
        pieces[count++] = (mt_piece){none, mt_actor_encode_place(c, r->call, none)};
        m.result_count = 1;
    } else if (run->result_count == 0) {
        manta_arg nothing = {.value.type = MANTA_TYPE_NONE};
        mt_value_encode(&nothing, none);
        pieces[count++] = (mt_piece){none, mt_value_encoded_bytes(&nothing)};
        m.result_count = 1;
    } else {
        count = encode_results(c, r, results, pieces, places, &inner);
        m.result_count = (uint32_t)count;
        if (inner && !mt_core_dead(c, run->caller)) m.keep = 1, keep_inner(c, r, pieces, count, inner);
    }
    answer(c, r, &m, pieces, count);
    // what it had goes back, or to the actor that it made
    if (run->call_kind == MT_CALL_TASK) {
        mt_run_give_back(c, &r->demand, r->bundle, r->gpus, run->gpu_count, r->gpu_units);
        mt_run_resources_back(c);
    } else mt_actor_run_finished(c, r, code);
    drop_large(c, r);
    if (r->kept) {
        r->state = MT_RUN_KEEPING;
        link_running(c, r);
    } else mt_run_free(c, r);
    mt_core_settle(c);
}

// ---- a thread that waits lends its CPUs

// lent: CPUs that are free again while their call waits. For calls of this rank its own account says the same, or its next calls
// would wait for room that only they can make.
static void lend(mt_core *c, const mt_run_core *r, int64_t lent) {
    (r->bundle ? &r->bundle->available : &c->available)->amount[MT_RESOURCE_CPU] += lent;
    if (!r->bundle && r->run.caller == c->rank) mt_core_peer(c, c->rank)->outstanding.amount[MT_RESOURCE_CPU] -= lent;
}

void mt_core_blocked(mt_core *c, mt_run *run) {
    mt_run_core *r = run->core;
    if (r->blocked++ || run->call_kind == MT_CALL_METHOD) return;
    lend(c, r, r->demand.amount[MT_RESOURCE_CPU]);
    mt_run_resources_back(c);
    mt_core_settle(c);
}

void mt_core_unblocked(mt_core *c, mt_run *run) {
    mt_run_core *r = run->core;
    if (--r->blocked || run->call_kind == MT_CALL_METHOD) return;
    // whoever began meanwhile is not stopped: less than nothing is left for a moment
    lend(c, r, -r->demand.amount[MT_RESOURCE_CPU]);
}

// ---- cancelling, keeping, dying

static int is_call(const mt_run_core *r, int source, uint64_t task) { return r->task == task && r->run.caller == source; }

static void cancel_queued(mt_core *c, mt_run_core *r) {
    if (r->run.call_kind == MT_CALL_METHOD) mt_actor_unqueue(c, r);
    else if (r->state == MT_RUN_QUEUED) unlink_queue(c, r);
    else unlink_running(r);
    mt_run_refuse(c, r, MANTA_CANCELLED, "cancelled before it began");
}

void mt_run_on_cancel(mt_core *c, int source, const mt_wire_task *m) {
    for (mt_run_core *r = c->running; r; r = r->next)
        if (is_call(r, source, m->task) && r->state == MT_RUN_RUNNING) {
            __atomic_store_n(&r->run.cancelled, 1, __ATOMIC_RELAXED);
            return;
        } else if (is_call(r, source, m->task) && r->state == MT_RUN_PINNING) {
            cancel_queued(c, r);
            return;
        }
    for (mt_run_core *r = c->queue; r; r = r->next)
        if (is_call(r, source, m->task)) {
            cancel_queued(c, r);
            return;
        }
    mt_hosted *h = m->actor.serial ? mt_map_get(&c->hosted_by_ref, mt_ref_key(m->actor), m->actor.serial) : NULL;
    for (mt_run_core *r = h ? h->first : NULL; r; r = r->next)
        if (is_call(r, source, m->task)) {
            cancel_queued(c, r);
            mt_actor_begin_more(c, h);
            return;
        }
}

static void let_go_kept(mt_core *c, mt_run_core *r) {
    mt_object **kept = r->kept;
    uint32_t count = r->kept_count;
    unlink_running(r);
    mt_run_free(c, r);
    mt_object_drop_all(c, kept, count);
}

void mt_run_on_kept(mt_core *c, int source, const mt_wire_task *m) {
    for (mt_run_core *r = c->running; r; r = r->next)
        if (r->state == MT_RUN_KEEPING && is_call(r, source, m->task)) {
            let_go_kept(c, r);
            return;
        }
}

void mt_run_rank_dead(mt_core *c, int rank) {
    for (mt_run_core *r = c->running, *next; r; r = next) {
        next = r->next;
        if (r->run.caller != rank) continue;
        if (r->state == MT_RUN_KEEPING) let_go_kept(c, r);
        else if (r->state == MT_RUN_RUNNING) __atomic_store_n(&r->run.cancelled, 1, __ATOMIC_RELAXED);
        else cancel_queued(c, r);
    }
    for (mt_run_core *r = c->queue, *next; r; r = next) {
        next = r->next;
        if (r->run.caller == rank) cancel_queued(c, r);
    }
    for (mt_hosted *h = c->hosted; h; h = h->next) {
        for (mt_run_core *r = h->first, *next; r; r = next) {
            next = r->next;
            if (r->run.caller == rank) cancel_queued(c, r);
        }
        mt_actor_begin_more(c, h);
    }
}

// Others' tasks that are stuck behind a long one go back to their callers.
void mt_run_tick(mt_core *c) {
    if (!c->queue || c->now_ns - c->moved_ns < MT_STUCK_NS) return;
    for (mt_run_core *r = c->queue, *next; r; r = next) {
        next = r->next;
        if (r->run.call_kind != MT_CALL_TASK || r->call->stay || r->run.caller == c->rank) continue;
        mt_wire_task m = {.wire.kind = MT_WIRE_RETURNED, .task = r->task};
        unlink_queue(c, r);
        mt_core_send(c, r->run.caller, &m, sizeof m, NULL, 0);
        mt_run_free(c, r);
    }
}
