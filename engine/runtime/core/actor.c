// Actors, seen from three sides: the owner (who created it: creation, restarts, the end), a caller (a link: calls in order), and
// the host (the rank where it lives: its queue and its state).
//
//     owner:   creating ──▶ alive at a rank ──rank died, restarts left──▶ creating again (incarnation + 1)
//                  └──failed──▶ dead ◀── killed, no restarts left ──┘        its object's value tells all callers
//     caller:  link.rank −1 (not known) ⇄ known: calls are sent, each author's in order: one that waits for an argument is parked
//              in a lane, and later ones of its author behind it; what was sent to a rank that died is sent again first when
//              the actor has max_task_retries, else it fails
//     host:    CREATE runs ──▶ alive: each author's methods in order, max_concurrency at a time ──ACTOR_END──▶ ending ──▶ destroyed
#include "engine/runtime/core/state.h"

#include <stddef.h>
#include <stdio.h>

size_t mt_actor_encode_place(const mt_core *c, const mt_wire_call *w, void *out) {
    mt_actor_place place = {.rank = (uint32_t)c->rank, .incarnation = w->incarnation, .class_number = w->class_number,
        .max_pending = w->max_pending, .max_task_retries = w->max_task_retries};
    manta_arg value = {.value = {.type = MANTA_TYPE_BYTES, .ndim = 1, .shape = {sizeof place}, .data = &place, .bytes = sizeof place}};
    mt_value_encode(&value, out);
    return mt_value_encoded_bytes(&value);
}

static int read_place(const mt_core *c, const mt_object *o, mt_actor_place *out) {
    mt_value v;
    size_t used;
    if (o->state != MT_STATE_READY || mt_value_decode(o->encoded, o->encoded_bytes, &v, &used) != MT_OK ||
        v.head->form != MT_VALUE_INLINE || v.head->bytes != sizeof *out)
        return 0;
    memcpy(out, v.payload, sizeof *out);
    return out->rank < (uint32_t)c->size;
}

// ---- owner

static void send_name(mt_core *c, const mt_actor *a, int kind, manta_ref ref) {
    mt_wire_name m = {.wire.kind = (uint16_t)kind, .actor = ref};
    memcpy(m.name, a->name, sizeof m.name);
    mt_core_send(c, MT_HEAD, &m, sizeof m, NULL, 0);
}

int mt_actor_waits_for_name(const mt_task *t) { return t->actor && t->actor->named == 1; }

void mt_actor_created(mt_core *c, mt_object *o, mt_task *t, const mt_submit *s) {
    mt_actor *a = mt_take(c, sizeof *a);
    mt_object_more(c, o)->actor = a;
    *a = (mt_actor){.object = o, .creation = t, .restarts = s->max_restarts, .rank = -1, .detached = s->detached != 0};
    t->actor = a;
    if (s->detached) mt_object_hold(o);
    if (!s->name || !*s->name) return;
    snprintf(a->name, sizeof a->name, "%s", s->name);
    a->named = 1;
    send_name(c, a, MT_WIRE_NAME_SET, o->ref);
}

void mt_actor_name_answer(mt_core *c, const mt_wire_name *m) {
    mt_object *o = mt_object_find(c, m->actor);
    mt_actor *a = o && o->owned && o->more ? o->more->actor : NULL;
    if (!a || a->named != 1) {
        // the actor went before the head had answered
        if (m->code == MANTA_OK && !a) {
            mt_wire_name back = {.wire.kind = MT_WIRE_NAME_DROP, .actor = m->actor};
            memcpy(back.name, m->name, sizeof back.name);
            mt_core_send(c, MT_HEAD, &back, sizeof back, NULL, 0);
        }
        return;
    }
    if (m->code == MANTA_OK) {
        a->named = 2;
        if (a->creation) mt_task_ready_again(c, a->creation);
        return;
    }
    char text[160];
    snprintf(text, sizeof text, "another actor has the name \"%s\" already", a->name);
    a->named = 0;
    if (a->creation) mt_task_fail(c, a->creation, MANTA_EXISTS, c->rank, text);
}

static void drop_name(mt_core *c, mt_actor *a, manta_ref ref) {
    if (a->named) send_name(c, a, MT_WIRE_NAME_DROP, ref);
    a->named = 0;
}

static void end_at_host(mt_core *c, const mt_actor *a, manta_ref ref, int at_once) {
    mt_wire_actor m = {.wire.kind = MT_WIRE_ACTOR_END, .actor = ref, .incarnation = a->incarnation, .argument = (uint32_t)at_once};
    mt_core_send(c, a->rank, &m, sizeof m, NULL, 0);
}

// It is over: no restart, no name, no hold of its own.
static void bury(mt_core *c, mt_actor *a, manta_ref ref, int code, int rank, const char *text) {
    mt_object *o = a->object;
    a->alive = 0, a->ended = 1, a->rank = -1;
    drop_name(c, a, ref);
    if (!o) return;
    mt_object_hold(o);
    // its arguments were kept for a restart
    if (a->creation && a->creation->state == MT_TASK_DONE) mt_task_drop_dependencies(c, a->creation);
    mt_object_set_error(c, o, code, rank, text);
    if (a->detached) a->detached = 0, mt_object_drop(c, o);
    mt_object_drop(c, o);
}

static void free_record(mt_core *c, mt_actor *a) {
    if (a->creation) {
        mt_task *t = a->creation;
        t->actor = NULL;
        mt_task_free(c, t);
    }
    mt_give(c, a, sizeof *a);
}

void mt_actor_creation_done(mt_core *c, mt_task *t, int source, int code, int error_rank, const char *message, const void *encoded,
    size_t bytes) {
    mt_actor *a = t->actor;
    manta_ref ref = t->call->actor;
    if (!a) {
        mt_task_free(c, t);
        return;
    }
    if (code != MANTA_OK) {
        a->creation = NULL;
        t->actor = NULL;
        mt_task_free(c, t);
        if (a->object) bury(c, a, ref, code, error_rank, message);
        else drop_name(c, a, ref), free_record(c, a);
        return;
    }
    a->rank = source, a->alive = 1;
    t->state = MT_TASK_DONE;
    c->stats.pending_tasks--;
    if (!a->object || a->ended) {
        // nobody wants it any more
        end_at_host(c, a, ref, a->ended);
        a->alive = 0;
        if (!a->object) drop_name(c, a, ref), free_record(c, a);
        return;
    }
    if (!a->restarts) mt_task_drop_dependencies(c, t);
    mt_object_set_value(c, a->object, encoded, bytes);
}

void mt_actor_object_freed(mt_core *c, mt_object *o) {
    mt_actor *a = o->more->actor;
    mt_task *t = a->creation;
    o->more->actor = NULL;
    a->object = NULL;
    if (a->alive) end_at_host(c, a, o->ref, 0);
    if (t && t->state == MT_TASK_SENT) return;   // still being created: creation_done ends it
    if (t && t->state != MT_TASK_DONE) mt_dispatch_ended(c, t);   // nobody wants it made any more
    if (a->named == 1) a->named = 0;             // the head's answer will find nobody and give the name back
    drop_name(c, a, o->ref);
    free_record(c, a);
}

static void end_actor(mt_core *c, mt_object *o, int at_once, const char *text) {
    mt_actor *a = o->more ? o->more->actor : NULL;
    if (!a || a->ended) return;
    mt_task *t = a->creation;
    a->restarts = 0;
    if (a->alive) end_at_host(c, a, o->ref, at_once);
    if (t && (t->state == MT_TASK_WAITING || t->state == MT_TASK_QUEUED)) mt_task_fail(c, t, MANTA_ACTOR_DIED, c->rank, text);
    else bury(c, a, o->ref, MANTA_ACTOR_DIED, c->rank, text);
}

void mt_actor_stop(mt_core *c, mt_object *o) { end_actor(c, o, 1, "it was killed"); }

// Only finished tasks have it among their arguments, should they run again: that keeps no actor alive.
void mt_actor_let_go(mt_core *c, mt_object *o) { end_actor(c, o, 0, "nobody held it any more"); }

static void owner_rank_dead(mt_core *c, mt_object *o, int rank) {
    mt_actor *a = o->more ? o->more->actor : NULL;
    if (!a || !a->alive || a->rank != rank) return;
    a->alive = 0, a->rank = -1;
    int bound = a->creation && a->creation->on_rank == rank;   // it may live nowhere else
    if (a->restarts > 0 && a->creation && !bound) {
        if (a->restarts != MANTA_ALWAYS) a->restarts--;
        a->creation->call->incarnation = ++a->incarnation;
        mt_object_set_pending(c, o);
        mt_task_create_again(c, a->creation);
        return;
    }
    char text[128];
    snprintf(text, sizeof text, "rank %d, where it lived, died%s", rank, bound ? "; it may live on no other" : a->incarnation ? "; it has no restarts left" : "");
    bury(c, a, o->ref, MANTA_ACTOR_DIED, rank, text);
}

// ---- caller

static void append(mt_task ***last, mt_task *t) {
    t->next = NULL, t->previous = *last;
    **last = t;
    *last = &t->next;
}

static void take_out(mt_task ***last, mt_task *t) {
    if (*last == &t->next) *last = t->previous;
    mt_task_unlink(t);
}

static mt_lane *lane_of(mt_core *c, const mt_link *l, uint64_t author) {
    return l->lanes ? mt_map_get(&c->lanes, (uintptr_t)l, author) : NULL;
}

static void lane_unready(mt_lane *lane) {
    mt_link *l = lane->link;
    if (!lane->ready_previous) return;
    if (l->ready_last == &lane->ready_next) l->ready_last = lane->ready_previous;
    *lane->ready_previous = lane->ready_next;
    if (lane->ready_next) lane->ready_next->ready_previous = lane->ready_previous;
    lane->ready_next = NULL, lane->ready_previous = NULL;
}

static void lane_ready(mt_lane *lane) {
    mt_link *l = lane->link;
    if (lane->ready_previous) return;
    lane->ready_next = NULL, lane->ready_previous = l->ready_last;
    *l->ready_last = lane;
    l->ready_last = &lane->ready_next;
}

static mt_lane *lane_make(mt_core *c, mt_link *l, uint64_t author) {
    mt_lane *lane = mt_take(c, sizeof *lane);
    *lane = (mt_lane){.link = l, .author = author, .next = l->lanes, .previous = &l->lanes};
    lane->last = &lane->first;
    if (l->lanes) l->lanes->previous = &lane->next;
    l->lanes = lane;
    mt_map_put(&c->lanes, (uintptr_t)l, author, lane);
    return lane;
}

static void lane_free(mt_core *c, mt_lane *lane) {
    lane_unready(lane);
    *lane->previous = lane->next;
    if (lane->next) lane->next->previous = lane->previous;
    mt_map_remove(&c->lanes, (uintptr_t)lane->link, lane->author);
    mt_give(c, lane, sizeof *lane);
}

// From the queue into its author's lane.
static void park(mt_core *c, mt_link *l, mt_task *t, mt_lane *lane) {
    take_out(&l->last, t);
    t->lane = lane ? lane : lane_make(c, l, t->call->author);
    append(&t->lane->last, t);
}

// A call that was not sent leaves where it waits, and lets the one behind it in its lane go on.
static void leave_queue(mt_core *c, mt_link *l, mt_task *t) {
    mt_lane *lane = t->lane;
    l->queued--, t->lane = NULL;
    if (!lane) {
        take_out(&l->last, t);
        return;
    }
    take_out(&lane->last, t);
    if (!lane->first) lane_free(c, lane);
    else if (!lane->first->waiting) lane_ready(lane);
}

static void send_call(mt_core *c, mt_link *l, mt_task *t) {
    leave_queue(c, l, t);
    append(&l->sent_last, t);
    l->in_flight++;
    t->call->incarnation = l->incarnation;
    mt_task_send(c, t, l->rank);
}

// What may go, goes: lanes first, whose calls are older.
static void pump(mt_core *c, mt_link *l) {
    mt_object *actor = l->actor;
    mt_object_hold(actor);   // a call that fails may have been the last to hold it, and its link with it
    while ((l->ready || l->first) && l->rank >= 0 && l->in_flight < MT_CALLS_IN_FLIGHT) {
        mt_lane *lane = l->ready;
        mt_task *t = lane ? lane->first : l->first;
        if (lane && t->waiting) lane_unready(lane);
        else if (!lane && (lane = lane_of(c, l, t->call->author))) park(c, l, t, lane);
        else if (t->waiting) park(c, l, t, NULL);
        else if (mt_task_may_go(c, t)) send_call(c, l, t);
    }
    mt_object_release(c, actor);
}

static mt_link *link_of(mt_core *c, mt_object *actor) {
    if (actor->link) return actor->link;
    mt_link *l = actor->link = mt_take(c, sizeof *l);
    l->actor = actor, l->rank = -1, l->last = &l->first, l->sent_last = &l->sent, l->ready_last = &l->ready;
    return l;
}

int mt_actor_max_pending(const mt_object *o) {
    const mt_actor *a = o->owned && o->more ? o->more->actor : NULL;
    return a && a->creation ? a->creation->call->max_pending : 0;
}

static void fail_full(mt_core *c, const mt_link *l, mt_task *t) {
    char text[160];
    snprintf(text, sizeof text, "%d calls of this rank to the actor are pending, its max_pending_calls", l->max_pending);
    mt_task_fail(c, t, MANTA_FULL, c->rank, text);
}

// The caller learns the limit: of the calls that were made before, the last are too many. The actor is held.
static void limit(mt_core *c, mt_link *l, int max_pending) {
    int32_t rank = l->rank;
    l->max_pending = max_pending > 0 ? max_pending : 0;
    l->rank = -1;   // a call that fails lets others go: not those that are too many
    while (l->max_pending && l->first && l->queued + l->in_flight > (uint32_t)l->max_pending)
        fail_full(c, l, (mt_task *)(void *)((char *)l->last - offsetof(mt_task, next)));
    l->rank = rank;
}

void mt_actor_limit(mt_core *c, mt_object *o, int max_pending) {
    if (max_pending > 0) limit(c, link_of(c, o), max_pending);
}

void mt_actor_submit(mt_core *c, mt_task *t, mt_object *actor) {
    mt_actor_place place = {0};
    if (actor->state == MT_STATE_FAILED) {
        char text[1024];
        snprintf(text, sizeof text, "%s", actor->message ? actor->message : "the actor is gone");
        mt_task_fail(c, t, actor->code, (int)actor->error_rank, text);
        return;
    }
    mt_link *l = link_of(c, actor);
    if (read_place(c, actor, &place)) l->rank = (int32_t)place.rank, l->incarnation = place.incarnation, l->max_pending = place.max_pending;
    else if (actor->owned) l->max_pending = mt_actor_max_pending(actor);
    if (l->max_pending > 0 && l->queued + l->in_flight >= (uint32_t)l->max_pending) {
        fail_full(c, l, t);
        return;
    }
    mt_object_hold(actor);
    t->link = l, t->retries = -1;
    append(&l->last, t);
    l->queued++;
    pump(c, l);
}

void mt_actor_call_ready(mt_core *c, mt_task *t) {
    if (!t->link) return;
    if (t->lane && t->lane->first == t) lane_ready(t->lane);
    pump(c, t->link);
}

// The call is out of its link; its actor is held until the end of this.
void mt_actor_call_done(mt_core *c, mt_task *t) {
    mt_link *l = t->link;
    if (!l) return;
    mt_object *actor = l->actor;
    if (t->state == MT_TASK_SENT) take_out(&l->sent_last, t), l->in_flight--;
    else leave_queue(c, l, t);
    t->link = NULL;
    pump(c, l);
    mt_object_release(c, actor);
}

// What was sent to an incarnation that is no more: again, in order and before the rest, or failed.
static void send_again(mt_core *c, mt_link *l, const mt_actor_place *place) {
    mt_task *lost = l->sent, *again = NULL, **last = &again;
    l->sent = NULL, l->sent_last = &l->sent;
    if (lost) lost->previous = &lost;
    while (lost) {
        mt_task *t = lost;
        mt_task_unlink(t);
        if (t->retries < 0) t->retries = place->max_task_retries;
        int retry = t->retries > 0 && !t->cancelled;
        if (!retry) {
            // back in the list of what is sent, for the bookkeeping of its end
            append(&l->sent_last, t);
            mt_task_fail(c, t, t->cancelled ? MANTA_CANCELLED : MANTA_ACTOR_DIED, c->rank,
                "the actor's rank died while the call was under way, and the actor has no max_task_retries");
            continue;
        }
        if (t->retries != MANTA_ALWAYS) t->retries--;
        t->state = MT_TASK_WAITING;
        l->in_flight--, l->queued++;
        c->stats.retried++;
        append(&last, t);
    }
    // in front of what was not sent, of which the lanes' calls are older than the queue's
    while (l->lanes) {
        mt_lane *lane = l->lanes;
        for (mt_task *t = lane->first, *next; t; t = next) {
            next = t->next;
            t->lane = NULL;
            append(&last, t);
        }
        lane_free(c, lane);
    }
    if (!again) return;
    *last = l->first;
    if (l->first) l->first->previous = last;
    else l->last = last;
    l->first = again;
    again->previous = &l->first;
}

static void fail_all(mt_core *c, mt_object *o) {
    mt_link *l = o->link;
    char text[1024];
    snprintf(text, sizeof text, "%s", o->message ? o->message : "the actor is gone");
    int code = o->code, rank = (int)o->error_rank;
    l->rank = -1;
    mt_object_hold(o);
    while (l->sent) mt_task_fail(c, l->sent, code, rank, text);
    while (l->lanes) mt_task_fail(c, l->lanes->first, code, rank, text);
    while (l->first) mt_task_fail(c, l->first, code, rank, text);
    mt_object_drop(c, o);
}

void mt_actor_changed(mt_core *c, mt_object *o) {
    mt_link *l = o->link;
    mt_actor_place place;
    if (!l) return;
    if (o->freeing) {
        MT_ASSERT(!l->first && !l->sent && !l->lanes);
        o->link = NULL;
        mt_give(c, l, sizeof *l);
    } else if (o->state == MT_STATE_FAILED) {
        fail_all(c, o);
    } else if (o->state == MT_STATE_PENDING) {
        l->rank = -1;
    } else if (read_place(c, o, &place)) {
        mt_object_hold(o);
        if (l->sent && l->incarnation != place.incarnation) send_again(c, l, &place);
        l->rank = (int32_t)place.rank, l->incarnation = place.incarnation;
        limit(c, l, place.max_pending);
        pump(c, l);
        mt_object_drop(c, o);
    }
}

// ---- host

mt_hosted *mt_actor_find_hosted(const mt_core *c, manta_ref ref, uint32_t incarnation) {
    mt_hosted *h = mt_map_get(&c->hosted_by_ref, mt_ref_key(ref), ref.serial);
    return h && h->incarnation == incarnation ? h : NULL;
}

mt_hosted *mt_actor_host(mt_core *c, mt_run_core *r) {
    const mt_wire_call *w = r->call;
    mt_hosted *h = mt_take(c, sizeof *h);
    h->ref = w->actor, h->class_number = w->class_number, h->incarnation = w->incarnation;
    h->max_concurrency = w->max_concurrency > 0 ? w->max_concurrency : 1;
    h->last = &h->first;
    h->next = c->hosted, h->previous = &c->hosted;
    if (c->hosted) c->hosted->previous = &h->next;
    c->hosted = h;
    mt_map_put(&c->hosted_by_ref, mt_ref_key(h->ref), h->ref.serial, h);
    c->stats.actors++;
    r->run.state = &h->state;
    return h;
}

void mt_actor_unhost(mt_core *c, mt_hosted *h) {
    *h->previous = h->next;
    if (h->next) h->next->previous = h->previous;
    mt_map_remove(&c->hosted_by_ref, mt_ref_key(h->ref), h->ref.serial);
    c->stats.actors--;
    mt_run_give_back(c, &h->held, h->bundle, h->gpus, h->gpu_count, h->gpu_units);
    mt_give(c, h, sizeof *h);
    mt_run_resources_back(c);
}

static void destroy_if_idle(mt_core *c, mt_hosted *h) {
    if (!h->ending || h->running || h->first || h->destroying || !h->alive) return;
    h->destroying = 1;
    mt_map_put(&c->hosted_by_ref, (uintptr_t)h->state, 0, h);   // no reference has a serial of 0
    c->ops->destroy_actor(c->shell, h->class_number, h->state);
}

void mt_core_actor_destroyed(mt_core *c, void *state) {
    mt_hosted *h = mt_map_get(&c->hosted_by_ref, (uintptr_t)state, 0);
    if (h) {
        mt_map_remove(&c->hosted_by_ref, (uintptr_t)state, 0);
        mt_actor_unhost(c, h);
    }
    mt_core_settle(c);
}

void mt_actor_method(mt_core *c, mt_run_core *r) {
    mt_hosted *h = mt_actor_find_hosted(c, r->run.actor, r->call->incarnation);
    if (!h || !h->alive || h->ending) return;
    r->run.hosted = h, r->run.state = &h->state;
    r->run.gpus = h->gpus, r->run.gpu_count = h->gpu_count;
    r->next = NULL, r->previous = h->last;
    *h->last = r;
    h->last = &r->next;
    h->queued++;
    c->stats.queued_runs++;
}

void mt_actor_unqueue(mt_core *c, mt_run_core *r) {
    mt_hosted *h = r->run.hosted;
    *r->previous = r->next;
    if (r->next) r->next->previous = r->previous;
    else h->last = r->previous;
    r->next = NULL, r->previous = NULL;
    h->queued--;
    c->stats.queued_runs--;
}

static int same_author(const mt_run_core *a, const mt_run_core *b) {
    return a->run.caller == b->run.caller && a->call->author == b->call->author;
}

// The oldest method that may begin: one whose large arguments are still on their way holds back its author's later ones only,
// as far as is looked.
static mt_run_core *next_method(const mt_hosted *h) {
    enum { LATE_MOST = 8, LOOK_MOST = 64 };
    const mt_run_core *late[LATE_MOST];
    int count = 0, looked = 0;
    for (mt_run_core *r = h->first; r && looked < LOOK_MOST; r = r->next, looked++) {
        int behind = 0;
        for (int i = 0; i < count && !behind; i++) behind = same_author(late[i], r);
        if (behind) continue;
        if (r->state == MT_RUN_QUEUED) return r;
        if (count == LATE_MOST) return NULL;
        late[count++] = r;
    }
    return NULL;
}

void mt_actor_begin_more(mt_core *c, mt_hosted *h) {
    mt_run_core *r;
    while (h->running < h->max_concurrency && h->alive && (r = next_method(h))) {
        mt_actor_unqueue(c, r);
        h->running++;
        mt_run_start(c, r);
    }
    destroy_if_idle(c, h);
}

static void creation_finished(mt_core *c, mt_run_core *r, int code) {
    mt_hosted *h = r->run.hosted;
    // it keeps what it asked for, but its CPUs only when they were asked for by name
    h->held = r->demand, h->bundle = r->bundle;
    h->gpu_count = r->run.gpu_count, h->gpu_units = r->gpu_units;
    memcpy(h->gpus, r->gpus, sizeof h->gpus);
    if (code != MANTA_OK) {
        mt_actor_unhost(c, h);
        return;
    }
    h->alive = 1;
    if (!r->call->cpu_afterwards) {
        mt_resources cpu = {.amount[MT_RESOURCE_CPU] = h->held.amount[MT_RESOURCE_CPU]};
        h->held.amount[MT_RESOURCE_CPU] = 0;
        mt_reserved *bundle = h->bundle;
        // it holds nothing of the bundle any more, which may be gone before the actor is
        if (mt_resources_zero(&h->held)) h->bundle = NULL;
        mt_run_give_back(c, &cpu, bundle, NULL, 0, 0);
        mt_run_resources_back(c);
    }
    if (mt_core_dead(c, (int)h->ref.owner)) h->ending = 1;
    destroy_if_idle(c, h);
}

void mt_actor_run_finished(mt_core *c, mt_run_core *r, int code) {
    mt_hosted *h = r->run.hosted;
    if (r->run.call_kind == MT_CALL_CREATE) {
        creation_finished(c, r, code);
        return;
    }
    h->running--;
    mt_actor_begin_more(c, h);
}

static void end_hosted(mt_core *c, mt_hosted *h, int at_once) {
    h->ending = 1;
    if (at_once) {
        while (h->first) {
            mt_run_core *r = h->first;
            mt_actor_unqueue(c, r);
            mt_run_refuse(c, r, MANTA_ACTOR_DIED, "the actor was killed");
        }
        for (mt_run_core *r = c->running; r; r = r->next)
            if (r->run.hosted == h && r->state == MT_RUN_RUNNING) __atomic_store_n(&r->run.cancelled, 1, __ATOMIC_RELAXED);
    }
    destroy_if_idle(c, h);
}

void mt_actor_on_end(mt_core *c, const mt_wire_actor *m) {
    mt_hosted *h = mt_actor_find_hosted(c, m->actor, m->incarnation);
    if (h) end_hosted(c, h, m->argument != 0);
}

// ---- a rank has died

void mt_actor_rank_dead(mt_core *c, int rank) {
    for (uint32_t i = 0; i < c->objects.count; i++) {
        mt_object *o = c->objects.record[i];
        if (o && o->is_actor) owner_rank_dead(c, o, rank);
    }
    for (mt_hosted *h = c->hosted, *next; h; h = next) {
        next = h->next;
        if ((int)h->ref.owner == rank && h->alive) end_hosted(c, h, 1);
    }
    // callers: calls to actors of other owners on that rank wait for their owner's word
    for (uint32_t i = 0; i < c->borrowed.capacity; i++) {
        mt_object *o = c->borrowed.entry[i].record;
        if (o && o->link && o->link->rank == rank) o->link->rank = -1;
    }
}

void mt_core_visit_actors(const mt_core *c, void (*visit)(void *context, const mt_core_actor_info *info), void *context) {
    for (const mt_hosted *h = c->hosted; h; h = h->next)
        visit(context, &(mt_core_actor_info){.actor = h->ref, .class_number = h->class_number, .queued = (int)h->queued,
            .running = h->running});
}
