// Where a call runs. Bottom-up: here if it can begin here at once, else on a rank with room, data first; never by way of the
// head. Start reading at choose.
//
// Every rank knows every rank's totals, and of its own calls how many are where. A rank has room for one more of ours while
// what it has of ours fits its totals, and, when the function is a short one, while it would work off the rest within
// MT_DEPTH_NS: so short calls queue up at their executor and hide the way there and back, long ones wait here, where they can
// still go anywhere. Calls that want the same form a shape with one queue; a shape for which no rank has room is saturated and
// costs nothing until something ends.
#include "engine/runtime/core/state.h"

#include <stdio.h>

float *mt_dispatch_pace(mt_core *c, uint32_t function) {
    mt_pace *p = mt_map_get(&c->pace, function, 1);
    if (!p) {
        p = mt_take(c, sizeof *p);
        p->mean_ns = -1;
        mt_map_put(&c->pace, function, 1, p);
    }
    return &p->mean_ns;
}

// ---- what can never be

const char *mt_dispatch_infeasible(const mt_core *c, const mt_resources *demand, int on_rank, char *out, size_t bytes) {
    mt_resources most = {0}, sum = {0};
    if (mt_resources_fit(demand, &c->desc.totals[c->rank]) && (on_rank < 0 || on_rank == c->rank)) return NULL;
    if (on_rank >= c->size) {
        snprintf(out, bytes, "it is to run on rank %d, and the job has ranks 0 to %d", on_rank, c->size - 1);
        return out;
    }
    if (on_rank >= 0 && mt_core_dead(c, on_rank)) {
        snprintf(out, bytes, "it is to run on rank %d, which died", on_rank);
        return out;
    }
    for (int r = 0; r < c->size; r++) {
        if (mt_core_dead(c, r)) continue;
        mt_resources_add(&sum, &c->desc.totals[r]);
        if (on_rank >= 0 && r != on_rank) continue;
        if (mt_resources_fit(demand, &c->desc.totals[r])) return NULL;
        for (int k = 0; k < MT_RESOURCES; k++)
            if (c->desc.totals[r].amount[k] > most.amount[k]) most.amount[k] = c->desc.totals[r].amount[k];
    }
    for (int k = 0; k < MT_RESOURCES; k++) {
        char wanted[48], have[48], all[48];
        if (demand->amount[k] <= most.amount[k]) continue;
        mt_resource_format(k, demand->amount[k], wanted, sizeof wanted);
        mt_resource_format(k, most.amount[k], have, sizeof have);
        mt_resource_format(k, sum.amount[k], all, sizeof all);
        snprintf(out, bytes, "it wants %s %s; %s has %s (the whole cluster: %s)", wanted, c->desc.names->name[k],
            on_rank < 0 ? "the best rank" : "that rank", have, all);
        return out;
    }
    snprintf(out, bytes, "no single rank has all that it wants together");
    return out;
}

// ---- room

static int64_t depth_of(mt_core *c, const mt_task *t) {
    float mean = *mt_dispatch_pace(c, t->call->function);
    if (t->call_kind != MT_CALL_TASK || mean < 0) return 0;
    float depth = (float)MT_DEPTH_NS / (mean + 1000);
    return depth < MT_DEPTH_MAX ? (int64_t)depth : MT_DEPTH_MAX;
}

// What is bound to a rank counts only itself there: a call that waits for a device must not keep those back which want CPUs
// alone. For the same reason this rank, which knows what is free, goes by that (mt_run_idle_now).
static int has_room(mt_core *c, const mt_shape *s, int rank, int64_t depth) {
    const mt_resources *total = &c->desc.totals[rank];
    if (mt_core_dead(c, rank) || !mt_resources_fit(&s->demand, total)) return 0;
    mt_peer *p = mt_core_peer(c, rank);
    if (p->suspect) return 0;
    const mt_refusal *refusal = c->refusals.count ? mt_map_get(&c->refusals, (uint64_t)rank, s->number) : NULL;
    if (refusal && c->now_ns < refusal->until_ns) return 0;
    if (mt_resources_zero(&s->demand)) return p->outstanding_count < MT_TASKS_IN_FLIGHT;
    if (rank == c->rank && !depth) return mt_run_idle_now(c, &s->demand);
    for (int k = 0; k < MT_RESOURCES; k++) {
        int64_t out = s->on_rank >= 0 ? s->sent * s->demand.amount[k] : p->outstanding.amount[k];
        if (s->demand.amount[k] && out + s->demand.amount[k] > total->amount[k] + depth * s->demand.amount[k]) return 0;
    }
    return 1;
}

// The living rank that has the most of its large arguments, when they are worth the way; -1.
static int data_rank(mt_core *c, const mt_task *t) {
    int best = -1;
    uint64_t best_bytes = MT_INLINE_BYTES;
    for (uint32_t i = 0; i < t->dependency_count; i++) {
        mt_wire_place place;
        uint64_t bytes = 0;
        if (!t->dependency[i].value || !mt_object_place(t->dependency[i].object, &place, &bytes)) continue;
        for (uint32_t k = 0; k < i; k++) {
            mt_wire_place other;
            uint64_t more;
            if (t->dependency[k].value && mt_object_place(t->dependency[k].object, &other, &more) && other.rank == place.rank) bytes += more;
        }
        if (bytes > best_bytes && !mt_core_dead(c, (int)place.rank)) best = (int)place.rank, best_bytes = bytes;
    }
    return best;
}

static int choose(mt_core *c, mt_shape *s, const mt_task *t) {
    int64_t depth = depth_of(c, t);
    if (s->on_rank >= 0) return has_room(c, s, s->on_rank, s->on_rank == c->rank ? 0 : depth + 1) ? s->on_rank : -1;
    int data = t->dependency_count ? data_rank(c, t) : -1;
    if (data >= 0 && has_room(c, s, data, depth)) return data;
    if (has_room(c, s, c->rank, 0)) return c->rank;
    for (int i = 0; i < c->size; i++) {
        int r = (int)(s->cursor++ % (uint32_t)c->size);
        if (r != c->rank && has_room(c, s, r, depth)) {
            if (depth) s->cursor--;   // fill it up before the next
            return r;
        }
    }
    return -1;
}

// In a placement group: its bundle's rank does the accounting, calls only queue there.
static int choose_bundle(mt_core *c, mt_task *t, int *bundle) {
    uint32_t count = 0;
    mt_placement_rank_of(c, t->group->ref, 0, &count);
    for (uint32_t i = 0; i < count; i++) {
        int b = t->call->bundle >= 0 ? t->call->bundle : (int)((c->random + i) % count);
        int rank = mt_placement_rank_of(c, t->group->ref, b, NULL);
        if (rank >= 0 && !mt_core_dead(c, rank)) {
            c->random++;
            *bundle = b;
            return rank;
        }
        if (t->call->bundle >= 0) break;
    }
    return -1;
}

// ---- queues

static int wants(const mt_shape *s, const mt_task *t) {
    return s->on_rank == t->on_rank && memcmp(&s->demand, &t->demand, sizeof s->demand) == 0;
}

static uint64_t hash_of_wish(const mt_task *t) {
    uint64_t h = (uint64_t)(uint32_t)t->on_rank + 1;
    for (int k = 0; k < MT_RESOURCES; k++) h = (h ^ (uint64_t)t->demand.amount[k]) * UINT64_C(0x9E3779B97F4A7C15), h ^= h >> 29;
    return h;
}

// Whoever asks for another amount of memory with every call makes a shape with every call: those that are done with go.
static void forget_idle_shapes(mt_core *c) {
    for (uint32_t i = 0; i < c->shape_map.capacity;) {
        mt_map_entry e = c->shape_map.entry[i];
        mt_shape *s = e.record;
        if (!s || s->count || s->sent || s->refused || s->listed) {
            i++;
            continue;
        }
        mt_map_remove(&c->shape_map, e.a, e.b);   // another may move here: the same place is looked at again
        mt_give(c, s, sizeof *s);
    }
    c->last_shape = NULL;
}

static mt_shape *shape_of(mt_core *c, const mt_task *t) {
    if (c->last_shape && wants(c->last_shape, t)) return c->last_shape;
    uint64_t hash = hash_of_wish(t), probe = 0;
    mt_shape *s;
    while ((s = mt_map_get(&c->shape_map, hash, probe)) && !wants(s, t)) probe++;
    if (s) return c->last_shape = s;
    if (c->shape_map.count >= c->shapes_most) {
        forget_idle_shapes(c);
        // twice what is in use: the next look is paid for by as many new ones
        c->shapes_most = 2 * c->shape_map.count + MT_SHAPES_IDLE;
        for (probe = 0; mt_map_get(&c->shape_map, hash, probe); probe++) {}
    }
    s = mt_take(c, sizeof *s);
    s->demand = t->demand, s->on_rank = t->on_rank, s->last = &s->first;
    s->cursor = (uint32_t)c->rank + 1, s->number = ++c->shape_count;
    mt_map_put(&c->shape_map, hash, probe, s);
    return c->last_shape = s;
}

static void list(mt_core *c, mt_shape *s) {
    if (s->listed) return;
    s->listed = 1, s->next = c->shapes;
    c->shapes = s;
}

// The first of the list from *at on that has calls; those without leave the list. What is done with one may list new ones, at
// the front only.
static mt_shape *next_shape(mt_shape ***at) {
    while (**at && !(**at)->count) {
        mt_shape *s = **at;
        **at = s->next;
        s->listed = 0, s->next = NULL, s->saturated = 0;
    }
    mt_shape *s = **at;
    if (s) *at = &s->next;
    return s;
}

static void send_to(mt_core *c, mt_task *t, int rank) {
    mt_peer *p = mt_core_peer(c, rank);
    mt_task_unlink(t);
    if (!t->group) {
        mt_resources_add(&p->outstanding, &t->demand);
        if (rank == c->rank) mt_resources_add(&c->arriving, &t->demand);
        if (t->on_rank >= 0) shape_of(c, t)->sent++;
    }
    p->outstanding_count++;
    t->next = p->sent, t->previous = &p->sent;
    if (p->sent) p->sent->previous = &t->next;
    p->sent = t;
    mt_task_send(c, t, rank);
}

static void pop(mt_shape *s, mt_task *t) {
    if (s->last == &t->next) s->last = t->previous;
    mt_task_unlink(t);
    s->count--;
    t->shape = NULL;
}

static void add_to_group(mt_core *c, mt_task *t) {
    int bundle = 0, rank = choose_bundle(c, t, &bundle);
    if (rank < 0) {
        mt_task_fail(c, t, MANTA_INFEASIBLE, c->rank, t->call->bundle >= 0
            ? "its placement group has no such bundle, or the bundle's rank died" : "every rank of its placement group died");
        return;
    }
    if (!mt_task_may_go(c, t)) return;
    int asked = t->call->bundle;
    t->call->bundle = bundle;
    send_to(c, t, rank);
    t->call->bundle = asked;
}

void mt_dispatch_add(mt_core *c, mt_task *t, int first) {
    t->state = MT_TASK_QUEUED;
    if (t->group) {
        mt_object *group = t->group;
        if (group->state == MT_STATE_PENDING) {
            // the group's place is not known yet: its waiters are looked at when it is (wait.c)
            group->awaited = 1;
            t->next = c->group_waiters, t->previous = &c->group_waiters;
            if (c->group_waiters) c->group_waiters->previous = &t->next;
            c->group_waiters = t;
        } else if (group->state == MT_STATE_FAILED) {
            mt_task_fail(c, t, group->code, (int)group->error_rank, group->message);
        } else add_to_group(c, t);
        return;
    }
    char text[512];
    if (c->dead.count && mt_dispatch_infeasible(c, &t->demand, t->on_rank, text, sizeof text)) {
        mt_task_fail(c, t, MANTA_INFEASIBLE, c->rank, text);   // it waited for arguments while the last rank for it died
        return;
    }
    mt_shape *s = t->shape = shape_of(c, t);
    list(c, s);
    if (first && s->first) {
        t->next = s->first, t->previous = &s->first;
        s->first->previous = &t->next;
        s->first = t;
    } else {
        t->next = NULL, t->previous = s->last;
        *s->last = t;
        s->last = &t->next;
    }
    s->count++;
    if (!s->saturated) mt_dispatch_shape(c, s);
}

void mt_dispatch_group_known(mt_core *c, mt_object *group) {
    for (mt_task *t = c->group_waiters, *next; t; t = next) {
        next = t->next;
        if (t->group != group) continue;
        mt_task_unlink(t);
        mt_dispatch_add(c, t, 0);
        next = c->group_waiters;
    }
}

void mt_dispatch_shape(mt_core *c, mt_shape *s) {
    while (s->first) {
        mt_task *t = s->first;
        int rank = choose(c, s, t);
        if (rank < 0) {
            s->saturated = 1;
            return;
        }
        if (!mt_task_may_go(c, t)) continue;
        pop(s, t);
        send_to(c, t, rank);
    }
}

// Something of ours ended there: as much as fits follows, from every shape.
void mt_dispatch_room(mt_core *c, int rank) {
    mt_shape **at = &c->shapes, *s;
    while ((s = next_shape(&at))) {
        s->saturated = 0;
        while (s->first && (s->on_rank < 0 || s->on_rank == rank)) {
            mt_task *t = s->first;
            int64_t depth = depth_of(c, t);
            int room = rank == c->rank ? has_room(c, s, rank, 0)
                                       : has_room(c, s, rank, s->on_rank >= 0 ? depth + 1 : depth);
            if (!room) break;
            if (!mt_task_may_go(c, t)) continue;
            pop(s, t);
            send_to(c, t, rank);
        }
        s->saturated = s->first != NULL;
    }
}

void mt_dispatch_all(mt_core *c) {
    mt_shape **at = &c->shapes, *s;
    while ((s = next_shape(&at))) {
        s->saturated = 0;
        mt_dispatch_shape(c, s);
    }
}

// A call that was queued or sent is so no more.
void mt_dispatch_ended(mt_core *c, mt_task *t) {
    if (t->shape) pop(t->shape, t);
    else if (t->state == MT_TASK_SENT && t->call_kind != MT_CALL_METHOD) {
        mt_peer *p = mt_core_peer(c, t->rank);
        if (!t->group) {
            mt_resources_subtract(&p->outstanding, &t->demand);
            if (t->on_rank >= 0) shape_of(c, t)->sent--;
        }
        p->outstanding_count--;
        mt_task_unlink(t);
        t->state = MT_TASK_WAITING;   // counted off once: whoever fails it next finds it so
    } else mt_task_unlink(t);
}

// What nobody can run any more, now that ranks are gone.
void mt_dispatch_rank_dead(mt_core *c) {
    mt_shape **at = &c->shapes, *s;
    while ((s = next_shape(&at))) {
        char text[512];
        while (s->first && mt_dispatch_infeasible(c, &s->demand, s->on_rank, text, sizeof text))
            mt_task_fail(c, s->first, MANTA_INFEASIBLE, c->rank, text);
    }
    mt_dispatch_all(c);
}

// Asked less and less often, as long as none of the shape has run there.
void mt_dispatch_refused(mt_core *c, const mt_task *t, int rank) {
    if (t->group) return;
    mt_shape *s = shape_of(c, t);
    mt_refusal *r = mt_map_get(&c->refusals, (uint64_t)rank, s->number);
    if (!r) mt_map_put(&c->refusals, (uint64_t)rank, s->number, r = mt_take(c, sizeof *r)), s->refused++;
    r->until_ns = c->now_ns + ((int64_t)MT_BUSY_NS << r->count);
    if (r->count < MT_REFUSALS_MAX) r->count++;
}

void mt_dispatch_accepted(mt_core *c, const mt_task *t, int rank) {
    if (!c->refusals.count || t->group || t->call_kind == MT_CALL_METHOD) return;
    mt_shape *s = shape_of(c, t);
    mt_refusal *r = mt_map_get(&c->refusals, (uint64_t)rank, s->number);
    if (!r) return;
    s->refused--;
    mt_map_remove(&c->refusals, (uint64_t)rank, s->number);
    mt_give(c, r, sizeof *r);
}

void mt_dispatch_fini(mt_core *c) {
    mt_map_fini(&c->refusals);
    mt_map_fini(&c->shape_map);
    mt_map_fini(&c->pace);
}
