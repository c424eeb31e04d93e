// Waiting: contexts and calls that want an object's value, and bringing large values in reach. Start at mt_wait_changed.
//
// A large value is in reach when this rank has it pinned: in its own heap, in the heap of a rank of the same host, or in the
// heap of its host's fetcher, which got it over the network once for all. The pin stays as long as the record does.
#include "engine/runtime/core/state.h"

// ---- reach
//
//     NONE ──PIN──▶ ASKED ──PINNED──▶ HELD ──the record goes, the value changes──▶ NONE (UNPIN)
//                     └──it is not there──▶ NONE, LOST to the owner

void mt_object_unpin(mt_core *c, mt_object *o) {
    if (o->pin == MT_PIN_HELD) {
        if (o->pin_rank == c->rank) mt_store_on_unpin(c, c->rank, o->ref, o->view_offset + 1);
        else if (!mt_core_dead(c, o->pin_rank)) mt_core_send_ref(c, o->pin_rank, MT_WIRE_UNPIN, o->ref, o->view_offset + 1);
    }
    o->pin = MT_PIN_NONE, o->view_rank = -1;   // ASKED: the answer will find nobody and be given back
}

int mt_object_in_reach(mt_core *c, mt_object *o) {
    mt_wire_place place;
    if (o->state != MT_STATE_READY || o->evicted) return 0;
    if (o->pin == MT_PIN_HELD || !mt_object_place(o, &place, NULL)) return 1;
    if (o->pin == MT_PIN_ASKED) return 0;
    o->pin_rank = mt_store_reader(c, (int)place.rank);
    if (o->pin_rank == c->rank && mt_store_pin(c, o->ref, c->rank, &o->view_offset)) {
        o->pin = MT_PIN_HELD, o->view_rank = c->rank;
        return 1;
    }
    o->pin = MT_PIN_ASKED;
    mt_core_send_ref(c, o->pin_rank, MT_WIRE_PIN, o->ref, place.rank);
    return 0;
}

void mt_wait_on_pinned(mt_core *c, int source, const mt_wire_pinned *m) {
    mt_object *o = mt_object_find(c, m->ref);
    int granted = m->offset != MT_HEAP_NO_OFFSET;
    if (!o || o->pin != MT_PIN_ASKED || o->pin_rank != source) {
        if (granted) mt_core_send_ref(c, source, MT_WIRE_UNPIN, m->ref, m->offset + 1);
        return;
    }
    mt_object_hold(o);
    if (granted) {
        o->pin = MT_PIN_HELD, o->view_rank = (int32_t)m->rank, o->view_offset = m->offset;
        mt_wait_changed(c, o);
    } else {
        mt_wire_place place;
        o->pin = MT_PIN_NONE;
        if (m->code == MANTA_NO_MEMORY) {
            // the object is well; those who wait for it here are told, and whoever wants it later asks again
            o->no_room = 1;
            mt_wait_changed(c, o);
        } else if (mt_object_place(o, &place, NULL)) {
            if (place.rank != m->rank) mt_wait_changed(c, o);   // it has moved meanwhile: asks there
            else if (o->owned) mt_object_lost(c, o, (int)place.rank);
            else {
                mt_object_ask_owner(c, o);
                mt_core_send_ref(c, (int)o->ref.owner, MT_WIRE_LOST, o->ref, place.rank);
                mt_object_set_pending(c, o);
            }
        }
    }
    mt_object_drop(c, o);
}

const char mt_wait_no_room_text[] = "no memory on this host to read the object: a larger --object-memory, or fewer objects held";

// ---- links

static int satisfied(mt_core *c, mt_object *o, const mt_waiter *w) {
    if (!o || o->state == MT_STATE_FAILED) return 1;
    return o->state == MT_STATE_READY && (w->view ? o->no_room || mt_object_in_reach(c, o) : !o->evicted);
}

static void unlink_wait(mt_wait_link *l) {
    if (!l->previous) return;
    *l->previous = l->next;
    if (l->next) l->next->previous = l->previous;
    l->previous = NULL, l->next = NULL;
}

static void satisfy(mt_core *c, mt_wait_link *l, int tell) {
    mt_waiter *w = l->waiter;
    unlink_wait(l);
    l->satisfied = 1;
    if (++w->satisfied < w->wanted || w->done) return;
    w->done = 1;
    if (!tell) return;
    if (w->internal) mt_run_argument_ready(c, w);
    else c->ops->wake(c->shell, w);
}

void mt_wait_changed(mt_core *c, mt_object *o) {
    mt_object_hold(o);
    for (mt_wait_link *l = o->links, *next; l; l = next) {
        next = l->next;
        if (satisfied(c, o, l->waiter)) satisfy(c, l, 1);
    }
    // a call that goes may end others of the list: from the front again after each
    for (mt_dependency *d = o->dependents, *next; d; d = next) {
        next = d->next;
        if (!mt_dependency_met(d)) continue;
        *d->previous = d->next;
        if (d->next) d->next->previous = d->previous;
        d->previous = NULL, d->next = NULL, d->waits = 0;
        mt_task_dependency_ready(c, d);
        next = o->dependents;
    }
    if (o->is_actor) mt_actor_changed(c, o);
    if (o->awaited && o->state != MT_STATE_PENDING) {
        o->awaited = 0;
        mt_dispatch_group_known(c, o);
    }
    mt_object_drop(c, o);
}

void mt_wait_link_all(mt_core *c, mt_waiter *w, mt_object *const *objects, int count, mt_wait_link *links) {
    for (int i = 0; i < count; i++) {
        mt_object *o = objects[i];
        links[i] = (mt_wait_link){.waiter = w, .object = o};
        if (o) mt_object_hold(o), o->no_room = 0;
        if (satisfied(c, o, w)) {
            satisfy(c, &links[i], 0);
            continue;
        }
        links[i].next = o->links, links[i].previous = &o->links;
        if (o->links) o->links->previous = &links[i].next;
        o->links = &links[i];
    }
}

// ---- events

int mt_core_wait(mt_core *c, mt_waiter *w, const manta_ref *refs, int count, mt_wait_link *links) {
    w->satisfied = w->done = 0;
    for (int i = 0; i < count; i++) {
        mt_object *o = mt_object_adopt(c, refs[i]);
        // given up for want of a holder, and wanted again: a user's reference is a hold, so this is somebody's stale one
        mt_wait_link_all(c, w, &o, 1, &links[i]);
    }
    if (w->wanted <= 0) w->done = 1;
    int done = w->done;
    mt_core_settle(c);
    return done;
}

int mt_core_peek(const mt_core *c, const manta_ref *refs, int count, bool *ready) {
    int sum = 0;
    for (int i = 0; i < count; i++) {
        const mt_object *o = mt_object_find(c, refs[i]);
        if (!o && (int)refs[i].owner != c->rank) return -1;
        ready[i] = !o || o->state == MT_STATE_FAILED || (o->state == MT_STATE_READY && !o->evicted);
        sum += ready[i];
    }
    return sum;
}

void mt_wait_unlink_all(mt_core *c, mt_wait_link *links, int count) {
    for (int i = 0; i < count; i++) {
        mt_object *o = links[i].object;
        unlink_wait(&links[i]);
        links[i].object = NULL;
        if (o) mt_object_release(c, o);
    }
}

void mt_core_wait_end(mt_core *c, mt_wait_link *links, int count) {
    mt_wait_unlink_all(c, links, count);
    mt_core_settle(c);
}

void mt_core_look(mt_core *c, manta_ref ref, mt_look *out) {
    mt_object *o = mt_object_find(c, ref);
    *out = (mt_look){.view_rank = -1};
    if (!o) {
        int lost = mt_actor_class(ref) >= 0 ? MANTA_ACTOR_DIED : MANTA_OBJECT_LOST;
        out->state = MT_STATE_FAILED, out->code = ref.serial ? lost : MANTA_INVALID, out->error_rank = c->rank;
        out->message = ref.serial ? "the reference was released" : "this is no reference";
        return;
    }
    out->state = o->evicted ? MT_STATE_PENDING : o->state;
    if (o->state == MT_STATE_FAILED) {
        out->code = o->code, out->error_rank = (int)o->error_rank, out->message = o->message ? o->message : "";
    } else if (out->state == MT_STATE_READY) {
        size_t used;
        MT_ASSERT(mt_value_decode(o->encoded, o->encoded_bytes, &out->value, &used) == MT_OK);
        if (o->pin == MT_PIN_HELD) out->view_rank = o->view_rank, out->view_offset = o->view_offset;
        else if (o->no_room) {
            out->state = MT_STATE_FAILED, out->code = MANTA_NO_MEMORY, out->error_rank = c->rank;
            out->message = mt_wait_no_room_text;
        }
    }
}
