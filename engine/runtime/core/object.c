// Objects: who owns them, who holds them, what they are worth. Start reading at mt_object_adopt and mt_object_check_free.
//
// Counting. `holds` counts this rank's own: contexts, calls under way, containers, waits. The owner's record also lists the
// other ranks that hold it (one entry a rank). An owned object is freed when both are empty; if a finished task would need it
// to run again (lineage), only its value goes. A borrowed record that nobody here holds tells the owner RELEASE and is gone.
//
// Adoption. ADOPT goes to the owner when a rank first meets a reference; until the owner's VALUE has come, this rank's releases
// and DONEs are deferred (they could be what kept the object alive). See core.h.
#include "engine/runtime/core/state.h"

#include <stdio.h>

// ---- finding and making

mt_object *mt_object_find(const mt_core *c, manta_ref ref) {
    if (!ref.serial) return NULL;
    if ((int)ref.owner != c->rank) return mt_map_get(&c->borrowed, mt_ref_key(ref), ref.serial);
    mt_object *o = mt_slots_get(&c->objects, ref.slot);
    return o && o->ref.serial == ref.serial ? o : NULL;
}

mt_object *mt_object_new(mt_core *c, uint32_t actor_class) {
    mt_object *o = mt_take(c, sizeof *o);
    o->owned = 1, o->holds = 1, o->view_rank = -1, o->is_actor = actor_class != 0;
    o->ref = (manta_ref){.owner = (uint32_t)c->rank, .slot = mt_slots_add(&c->objects, o),
        .serial = ++c->next_serial | (uint64_t)actor_class << MT_ACTOR_CLASS_SHIFT};
    c->stats.objects++;
    return o;
}

static void adoption_begins(mt_core *c, mt_object *o) {
    o->adopting = 1, o->ticket = c->next_ticket++;
    o->older = c->adopting_last, o->newer = NULL;
    if (c->adopting_last) c->adopting_last->newer = o;
    else c->adopting_first = o;
    c->adopting_last = o;
}

static void adoption_ends(mt_core *c, mt_object *o) {
    if (!o->adopting) return;
    o->adopting = 0;
    if (o->older) o->older->newer = o->newer;
    else c->adopting_first = o->newer;
    if (o->newer) o->newer->older = o->older;
    else c->adopting_last = o->older;
}

static void adopt_now(mt_core *c, mt_object *o) {
    o->lent = 0;
    adoption_begins(c, o);
    mt_core_send_ref(c, (int)o->ref.owner, MT_WIRE_ADOPT, o->ref, 0);
}

void mt_object_ask_owner(mt_core *c, mt_object *o) {
    if (o->lent && !mt_core_dead(c, (int)o->ref.owner)) adopt_now(c, o);
}

mt_object *mt_object_adopt(mt_core *c, manta_ref ref) {
    mt_object *o = mt_object_find(c, ref);
    if (o) mt_object_ask_owner(c, o);
    if (o || !ref.serial || (int)ref.owner == c->rank || ref.owner >= (uint32_t)c->size) return o;
    o = mt_take(c, sizeof *o);
    o->ref = ref, o->view_rank = -1, o->is_actor = mt_actor_class(ref) >= 0;
    mt_map_put(&c->borrowed, mt_ref_key(ref), ref.serial, o);
    c->stats.borrowed++;
    if (mt_core_dead(c, (int)ref.owner)) {
        char text[96];
        snprintf(text, sizeof text, "rank %u, which owned %s, is gone", ref.owner, o->is_actor ? "the actor" : "the object");
        o->holds = 1;   // it is not held yet, and must not be freed for that
        mt_object_set_error(c, o, o->is_actor ? MANTA_ACTOR_DIED : MANTA_OBJECT_LOST, (int)ref.owner, text);
        o->holds = 0;
    } else adopt_now(c, o);
    return o;
}

// The caller holds it until the call is DONE, so a run that only reads it needs no word of the owner's: a pin at its place is
// enough. Whoever wants more of it adopts it (mt_object_adopt).
mt_object *mt_object_lent(mt_core *c, const mt_value *v) {
    manta_ref ref = v->place.ref;
    mt_object *o = mt_object_find(c, ref);
    if (o || !ref.serial || (int)ref.owner == c->rank || ref.owner >= (uint32_t)c->size) return o;
    // sent before its caller knew that the place is gone: the owner will say what becomes of it
    if (v->place.rank >= (uint32_t)c->size || mt_core_dead(c, (int)v->place.rank) || mt_core_dead(c, (int)ref.owner)) return mt_object_adopt(c, ref);
    o = mt_take(c, sizeof *o);
    o->ref = ref, o->view_rank = -1, o->lent = 1;
    mt_map_put(&c->borrowed, mt_ref_key(ref), ref.serial, o);
    c->stats.borrowed++;
    mt_object_hold(o);   // until whoever asks for it holds it
    mt_object_set_value(c, o, v->head, v->head->encoded_bytes);
    o->holds--;
    return o;
}

mt_reading *mt_object_more(mt_core *c, mt_object *o) {
    if (!o->more) o->more = mt_take(c, sizeof *o->more);
    return o->more;
}

// ---- values

static void forget_value(mt_core *c, mt_object *o) {
    if (o->encoded && o->encoded != o->small) mt_give(c, o->encoded, o->encoded_bytes);
    if (o->message) mt_give(c, o->message, strlen(o->message) + 1);
    o->encoded = NULL, o->encoded_bytes = 0, o->message = NULL, o->code = 0;
}

mt_object **mt_object_hold_all(mt_core *c, const manta_ref *refs, uint32_t count) {
    if (!count) return NULL;
    mt_object **objects = mt_take(c, sizeof *objects * count);
    for (uint32_t i = 0; i < count; i++)
        if ((objects[i] = mt_object_adopt(c, refs[i]))) mt_object_hold(objects[i]);
    return objects;
}

void mt_object_drop_all(mt_core *c, mt_object **objects, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (objects[i]) mt_object_drop(c, objects[i]);
    mt_give(c, objects, sizeof *objects * count);
}

static void drop_inner(mt_core *c, mt_object *o) {
    if (!o->more || !o->more->inner) return;
    mt_object **inner = o->more->inner;
    o->more->inner = NULL;
    mt_object_drop_all(c, inner, o->more->inner_count);
}

int mt_object_place(const mt_object *o, mt_wire_place *place, uint64_t *bytes) {
    mt_value v;
    size_t used;
    if (o->state != MT_STATE_READY || o->evicted || mt_value_decode(o->encoded, o->encoded_bytes, &v, &used) != MT_OK ||
        v.head->form != MT_VALUE_PLACE)
        return 0;
    *place = v.place;
    if (bytes) *bytes = v.head->bytes;
    return 1;
}

// Large: the ranks that have it may free it.
static void free_copies(mt_core *c, mt_object *o) {
    mt_wire_place place;
    if (!mt_object_place(o, &place, NULL)) return;
    mt_core_send_ref(c, (int)place.rank, MT_WIRE_FREE, o->ref, 0);
    if (!o->more) return;
    for (uint32_t i = 0; i < o->more->copies.count; i++)
        mt_core_send_ref(c, (int)o->more->copies.rank[i], MT_WIRE_FREE, o->ref, 0);
    o->more->copies.count = 0;
}

static void tell(mt_core *c, mt_object *o, int rank, int adopted) {
    mt_wire_value m = {.wire.kind = MT_WIRE_VALUE, .ref = o->ref, .state = o->state, .adopted = (uint32_t)adopted};
    mt_piece piece = {0};
    if (o->state == MT_STATE_READY && !o->evicted) piece = (mt_piece){o->encoded, o->encoded_bytes};
    else if (o->state == MT_STATE_READY) m.state = MT_STATE_PENDING;
    else if (o->state == MT_STATE_PENDING) m.max_pending = mt_actor_max_pending(o);
    else if (o->state == MT_STATE_FAILED) {
        m.code = o->code, m.error_rank = o->error_rank;
        if (o->message) piece = (mt_piece){o->message, m.text_bytes = (uint32_t)strlen(o->message)};
    }
    mt_core_send(c, rank, &m, sizeof m, &piece, piece.bytes ? 1 : 0);
}

static void tell_holders(mt_core *c, mt_object *o) {
    if (!o->owned || !o->more) return;
    for (uint32_t i = 0; i < o->more->holders.count; i++) tell(c, o, (int)o->more->holders.rank[i], 0);
}

void mt_object_tell_again(mt_core *c, mt_object *o, int rank) {
    if (o->more && mt_ranks_has(&o->more->holders, (uint32_t)rank)) tell(c, o, rank, 0);
}

void mt_object_set_value(mt_core *c, mt_object *o, const void *encoded, size_t bytes) {
    uint32_t refs;
    const manta_ref *inside = o->owned ? mt_encoded_refs(encoded, bytes, &refs) : NULL;
    drop_inner(c, o);
    if (inside) {
        mt_reading *more = mt_object_more(c, o);
        more->inner = mt_object_hold_all(c, inside, refs), more->inner_count = refs;
    }
    forget_value(c, o);
    o->encoded = bytes <= sizeof o->small ? o->small : mt_take(c, bytes);
    memcpy(o->encoded, encoded, bytes);
    o->encoded_bytes = (uint32_t)bytes;
    o->state = MT_STATE_READY, o->evicted = 0;
    tell_holders(c, o);
    mt_wait_changed(c, o);
}

void mt_object_set_error(mt_core *c, mt_object *o, int code, int rank, const char *message) {
    mt_object_unpin(c, o);
    if (o->owned) free_copies(c, o);
    forget_value(c, o);
    o->state = MT_STATE_FAILED, o->evicted = 0;
    o->code = code, o->error_rank = (uint32_t)rank;
    if (message && *message) {
        size_t bytes = strlen(message) + 1;
        o->message = memcpy(mt_take(c, bytes), message, bytes);
    }
    tell_holders(c, o);
    mt_wait_changed(c, o);
}

// Calls that came with it as an argument, and wait for it here; it is held. One that goes back takes all its links with it.
static void give_calls_back(mt_core *c, mt_object *o) {
    for (mt_wait_link *l = o->links; l;) l = l->waiter->internal && mt_run_argument_lost(c, l->waiter) ? o->links : l->next;
}

void mt_object_set_pending(mt_core *c, mt_object *o) {
    mt_object_hold(o);
    mt_object_unpin(c, o);
    if (o->owned) free_copies(c, o);
    forget_value(c, o);
    o->state = MT_STATE_PENDING, o->evicted = 0;
    give_calls_back(c, o);
    tell_holders(c, o);
    if (o->is_actor) mt_actor_changed(c, o);
    mt_object_drop(c, o);
}

const manta_ref *mt_encoded_refs(const void *encoded, size_t bytes, uint32_t *count) {
    mt_value v;
    size_t used;
    *count = 0;
    if (mt_value_decode(encoded, bytes, &v, &used) != MT_OK || v.head->form != MT_VALUE_INLINE) return NULL;
    *count = (uint32_t)mt_value_ref_count(v.head);
    return *count ? v.payload : NULL;
}

// A result that came again, and nobody waited for it: it has taken the place of the first one there (mt_store_add).
int mt_object_lies_there(const mt_object *o, const void *encoded, size_t bytes) {
    mt_wire_place place;
    mt_value v;
    size_t used;
    if (mt_value_decode(encoded, bytes, &v, &used) != MT_OK || v.head->form != MT_VALUE_PLACE || !mt_object_place(o, &place, NULL)) return 0;
    return v.place.rank == place.rank || (o->more && mt_ranks_has(&o->more->copies, v.place.rank));
}

void mt_object_discard_result(mt_core *c, const void *encoded, size_t bytes) {
    mt_value v;
    size_t used;
    if (mt_value_decode(encoded, bytes, &v, &used) == MT_OK && v.head->form == MT_VALUE_PLACE && v.place.rank < (uint32_t)c->size)
        mt_core_send_ref(c, (int)v.place.rank, MT_WIRE_FREE, v.place.ref, 0);
}

// ---- the end of an object

static void free_object(mt_core *c, mt_object *o) {
    o->freeing = 1;
    mt_object_unpin(c, o);
    if (o->is_actor && o->link) mt_actor_changed(c, o);   // the link goes with it
    if (o->owned) {
        free_copies(c, o);
        if (o->is_group) mt_core_send_ref(c, MT_HEAD, MT_WIRE_GROUP_REMOVE, o->ref, 0);
        if (c->meetings) mt_directory_group_freed(c, o->ref);
        if (o->more && o->more->actor) mt_actor_object_freed(c, o);
        if (o->producer) mt_task_result_gone(c, o);
        drop_inner(c, o);
        mt_slots_remove(&c->objects, o->ref.slot);
        c->stats.objects--;
    } else {
        if (!o->lent && !mt_core_dead(c, (int)o->ref.owner)) mt_core_send_ref(c, (int)o->ref.owner, MT_WIRE_RELEASE, o->ref, 0);
        mt_map_remove(&c->borrowed, mt_ref_key(o->ref), o->ref.serial);
        c->stats.borrowed--;
    }
    MT_ASSERT(!o->links && !o->dependents && !o->adopting);
    forget_value(c, o);
    if (o->more) {
        mt_ranks_fini(&o->more->holders), mt_ranks_fini(&o->more->copies);
        mt_give(c, o->more, sizeof *o->more);
    }
    mt_give(c, o, sizeof *o);
}

// nobody holds it, but a task may need it again: its value goes, its record stays
static void evict(mt_core *c, mt_object *o) {
    if (o->state != MT_STATE_READY || o->evicted || !o->producer || o->producer->retries <= 0) return;
    mt_object_unpin(c, o);
    free_copies(c, o);
    drop_inner(c, o);
    forget_value(c, o);
    o->evicted = 1;
}

static int unheld(const mt_object *o) {
    return !o->holds && !o->freeing && !o->adopting && !(o->owned && o->more && o->more->holders.count);
}

static void let_object_go(mt_core *c, mt_object *o) {
    if (o->lineage && o->is_actor && o->owned) mt_actor_let_go(c, o);
    else if (o->lineage) evict(c, o);
    else free_object(c, o);
}

void mt_object_check_free(mt_core *c, mt_object *o) {
    if (!unheld(o)) return;
    if (o->to_free) return;
    if (c->freeing) {
        // it goes with another: one after the other, for a chain of them can be long
        o->to_free = 1, o->free_next = c->to_free;
        c->to_free = o;
        return;
    }
    c->freeing = 1;
    let_object_go(c, o);
    while (c->to_free) {
        mt_object *next = c->to_free;
        c->to_free = next->free_next;
        next->to_free = 0;
        if (unheld(next)) let_object_go(c, next);
    }
    c->freeing = 0;
}

void mt_object_drop(mt_core *c, mt_object *o) {
    MT_ASSERT(o->holds);
    o->holds--;
    mt_object_check_free(c, o);
}

// ---- messages between holders and owner

void mt_object_on_adopt(mt_core *c, int source, const mt_wire_ref *m) {
    mt_object *o = (int)m->ref.owner == c->rank ? mt_object_find(c, m->ref) : NULL;
    if (!o) {
        static const char gone[] = "nobody held it any more when the reference to it was used";
        int actor = mt_actor_class(m->ref) >= 0;   // found by its name in the moment of its end, for one
        mt_wire_value answer = {.wire.kind = MT_WIRE_VALUE, .ref = m->ref, .state = MT_STATE_FAILED, .adopted = 1,
            .code = actor ? MANTA_ACTOR_DIED : MANTA_OBJECT_LOST, .error_rank = (uint32_t)c->rank, .text_bytes = sizeof gone - 1};
        mt_core_send(c, source, &answer, sizeof answer, &(mt_piece){gone, sizeof gone - 1}, 1);
        return;
    }
    mt_reading *more = mt_object_more(c, o);
    if (!mt_ranks_has(&more->holders, (uint32_t)source)) mt_ranks_add(&more->holders, (uint32_t)source);
    if (o->evicted && o->producer && !mt_task_again(c, o->producer))
        mt_object_set_error(c, o, MANTA_OBJECT_LOST, c->rank, "its value was given up and its task has no retries left");
    tell(c, o, source, 1);
}

void mt_object_on_release(mt_core *c, int source, const mt_wire_ref *m) {
    mt_object *o = mt_object_find(c, m->ref);
    if (!o || !o->owned || !o->more) return;
    mt_ranks_remove(&o->more->holders, (uint32_t)source);
    mt_object_check_free(c, o);
}

// It is pinned in a heap that is still there: somebody may be looking at it, so it stays what it is until it is released,
// whatever becomes of the place where others find it.
static int in_view(const mt_core *c, const mt_object *o) {
    return o->state == MT_STATE_READY && o->pin == MT_PIN_HELD && !mt_core_dead(c, o->pin_rank);
}

void mt_object_on_value(mt_core *c, int source, const mt_wire_value *m) {
    size_t rest = m->wire.bytes - sizeof *m;
    mt_object *o = mt_object_find(c, m->ref);
    if (!o || o->owned || (int)m->ref.owner != source) return;
    mt_object_hold(o);
    if (m->adopted) adoption_ends(c, o);
    if (m->state == MT_STATE_READY) {
        mt_value v;
        size_t used;
        if (mt_value_decode(m + 1, rest, &v, &used) == MT_OK && mt_value_is_of(c, &v, &o->ref)) {
            // a place that changed is read anew, unless it is in reach already
            if (o->pin != MT_PIN_NONE && !in_view(c, o)) mt_object_unpin(c, o);
            mt_object_set_value(c, o, m + 1, used);
        } else mt_object_set_error(c, o, MANTA_INTERNAL, source, "its owner sent a value that cannot be read");
    } else if (in_view(c, o)) {
        mt_wait_changed(c, o);
    } else if (m->state == MT_STATE_FAILED) {
        char text[1024];
        snprintf(text, sizeof text, "%.*s", (int)(m->text_bytes < rest ? m->text_bytes : rest), (const char *)(m + 1));
        mt_object_set_error(c, o, mt_failure_code(m->code), (int)m->error_rank, text);
    } else {
        if (o->state != MT_STATE_PENDING) mt_object_set_pending(c, o);
        else give_calls_back(c, o);
        if (o->is_actor) mt_actor_limit(c, o, m->max_pending);
        mt_wait_changed(c, o);   // adopted: calls that pass the reference on may go
    }
    mt_core_run_deferred(c);
    mt_object_drop(c, o);
}

// ---- loss

void mt_object_lost(mt_core *c, mt_object *o, int rank) {
    mt_wire_place place;
    mt_ranks *copies = o->more ? &o->more->copies : NULL;
    if (!mt_object_place(o, &place, NULL)) return;
    if ((int)place.rank != rank) {
        // it may have fetched a copy since: that one is nobody's now
        if (copies && mt_ranks_remove(copies, (uint32_t)rank) && !mt_core_dead(c, rank)) mt_core_send_ref(c, rank, MT_WIRE_FREE, o->ref, 0);
        return;
    }
    mt_object_hold(o);
    int view = in_view(c, o) && o->pin_rank != rank;
    if (!view) mt_object_unpin(c, o);
    if (view || (copies && copies->count)) {
        // another rank has it
        mt_value v;
        size_t used;
        MT_ASSERT(mt_value_decode(o->encoded, o->encoded_bytes, &v, &used) == MT_OK);
        place.rank = copies && copies->count ? copies->rank[--copies->count] : (uint32_t)o->pin_rank;
        mt_value_head head = *v.head;
        int64_t shape[MANTA_MAX_DIMS] = {0};
        memcpy(shape, v.shape, sizeof *shape * head.ndim);
        _Alignas(16) uint8_t encoded[MT_PLACE_BYTES_MAX];
        mt_value_encode_place(&head, shape, &place, encoded);
        mt_object_set_value(c, o, encoded, mt_value_place_bytes(head.ndim));
    } else {
        // its task may be running again already, for a sister's sake: then this one waits for it, too
        int producer = o->producer != NULL;
        if (producer) mt_object_set_pending(c, o);
        if (producer && mt_task_again(c, o->producer)) {
            c->stats.retried++;
            mt_object_drop(c, o);
            return;
        }
        char text[160];
        snprintf(text, sizeof text, "its only copy was on rank %d, %s", rank,
            producer ? "and its task has no retries left" : "and no task can make it again");
        mt_object_set_error(c, o, MANTA_OBJECT_LOST, rank, text);
    }
    mt_object_drop(c, o);
}

// The host's fetcher is gone: whoever waits asks the next one.
static void ask_another(mt_core *c, mt_object *o) {
    o->pin = MT_PIN_NONE, o->view_rank = -1;
    mt_wait_changed(c, o);
}

static void owned_rank_dead(mt_core *c, mt_object *o, int rank) {
    mt_object_hold(o);
    mt_object_lost(c, o, rank);
    if (o->more) {
        while (mt_ranks_remove(&o->more->copies, (uint32_t)rank)) {}
        while (mt_ranks_remove(&o->more->holders, (uint32_t)rank)) {}
    }
    if (o->pin != MT_PIN_NONE && o->pin_rank == rank) ask_another(c, o);
    mt_object_drop(c, o);
}

static void borrowed_rank_dead(mt_core *c, mt_object *o, int rank) {
    mt_wire_place place;
    mt_object_hold(o);
    if ((int)o->ref.owner == rank) {
        adoption_ends(c, o);
        // what is in reach stays so until it is released: somebody may be looking at it
        int far = mt_object_place(o, &place, NULL) && !in_view(c, o);
        if (o->state == MT_STATE_FAILED || (o->state == MT_STATE_READY && !o->is_actor && !far)) {
            mt_object_drop(c, o);
            return;
        }
        char text[96];
        snprintf(text, sizeof text, "rank %d, which owned %s, is gone", rank, o->is_actor ? "the actor" : "the object");
        mt_object_set_error(c, o, o->is_actor ? MANTA_ACTOR_DIED : MANTA_OBJECT_LOST, rank, text);
    } else if (mt_object_place(o, &place, NULL) && (int)place.rank == rank) {
        // its owner will say where it is now
        mt_object_ask_owner(c, o);
        if (!in_view(c, o)) mt_object_set_pending(c, o);
    } else if (o->pin != MT_PIN_NONE && o->pin_rank == rank) {
        ask_another(c, o);
    }
    mt_object_drop(c, o);
}

void mt_object_rank_dead(mt_core *c, int rank) {
    for (uint32_t i = 0; i < c->objects.count; i++)
        if (c->objects.record[i]) owned_rank_dead(c, c->objects.record[i], rank);
    // the map moves while records go: names first
    uint32_t count = 0, capacity = c->borrowed.count;
    if (capacity) {
        manta_ref *refs = mt_take(c, sizeof *refs * capacity);
        for (uint32_t i = 0; i < c->borrowed.capacity; i++)
            if (c->borrowed.entry[i].record) refs[count++] = ((mt_object *)c->borrowed.entry[i].record)->ref;
        for (uint32_t i = 0; i < count; i++) {
            mt_object *o = mt_object_find(c, refs[i]);
            if (o) borrowed_rank_dead(c, o, rank);
        }
        mt_give(c, refs, sizeof *refs * capacity);
    }
    mt_core_run_deferred(c);
}

// ---- deferred releases and answers

int mt_core_must_defer(const mt_core *c) { return c->deferred || c->adopting_first; }

static void defer(mt_core *c, mt_deferred *d) {
    d->ticket = c->next_ticket;
    d->next = NULL;
    *c->deferred_last = d;
    c->deferred_last = &d->next;
}

void mt_core_defer_message(mt_core *c, int rank, void *body, size_t body_bytes, const mt_piece *more, int more_count) {
    size_t bytes = body_bytes;
    for (int i = 0; i < more_count; i++) bytes += more[i].bytes;
    mt_deferred *d = mt_take(c, sizeof *d + bytes);
    d->rank = rank, d->bytes = (uint32_t)bytes;
    memcpy(d->message, body, body_bytes);
    size_t at = body_bytes;
    for (int i = 0; i < more_count; at += more[i++].bytes) memcpy(d->message + at, more[i].data, more[i].bytes);
    defer(c, d);
}

void mt_core_run_deferred(mt_core *c) {
    while (c->deferred && (!c->adopting_first || c->adopting_first->ticket >= c->deferred->ticket)) {
        mt_deferred *d = c->deferred;
        c->deferred = d->next;
        if (!c->deferred) c->deferred_last = &c->deferred;
        if (d->release.serial) {
            mt_object *o = mt_object_find(c, d->release);
            if (o && o->holds) mt_object_drop(c, o);
        } else mt_core_send(c, d->rank, d->message, d->bytes, NULL, 0);
        mt_give(c, d, sizeof *d + d->bytes);
    }
}

// A hold that may have kept something alive which this rank is just adopting.
void mt_object_release(mt_core *c, mt_object *o) {
    if (o->holds > 1 || !mt_core_must_defer(c)) {
        mt_object_drop(c, o);
        return;
    }
    mt_deferred *d = mt_take(c, sizeof *d);
    d->release = o->ref;
    defer(c, d);
}

// ---- events

void mt_core_hold(mt_core *c, manta_ref ref) {
    mt_object *o = mt_object_adopt(c, ref);
    if (o) mt_object_hold(o);
    mt_core_settle(c);
}

void mt_core_release(mt_core *c, manta_ref ref) {
    mt_object *o = mt_object_find(c, ref);
    if (o && o->holds) mt_object_release(c, o);
    mt_core_settle(c);
}

manta_ref mt_core_put(mt_core *c, const mt_run_result *value) {
    mt_object *o = mt_object_new(c, 0);
    manta_ref ref = o->ref;
    if (value->encoded) {
        mt_object_set_value(c, o, value->encoded, ((const mt_value_head *)value->encoded)->encoded_bytes);
    } else {
        _Alignas(16) uint8_t encoded[MT_PLACE_BYTES_MAX];
        mt_wire_place place = {.ref = ref, .rank = (uint32_t)c->rank};
        mt_value_encode_place(&value->head, value->shape, &place, encoded);
        mt_store_add(c, ref, value);
        mt_object_set_value(c, o, encoded, mt_value_place_bytes(value->head.ndim));
    }
    mt_core_settle(c);
    return ref;
}
