// The core's door: messages in sequence, time, and what there is to see. Start reading at mt_core_receive.
//
// An event is one call from the shell. What the rank sends to itself while it handles one waits in a loop and is handled at
// the end of the event (mt_core_settle), so that no handler runs in the middle of another.
#include "engine/runtime/core/state.h"

#include <stdlib.h>

// ---- peers

mt_peer *mt_core_peer(mt_core *c, int rank) {
    if (c->last_peer && c->last_peer->rank == rank) return c->last_peer;
    mt_peer *p = mt_map_get(&c->peers, (uint64_t)rank, 2);
    if (!p) {
        p = mt_take(c, sizeof *p);
        p->rank = rank;
        mt_map_put(&c->peers, (uint64_t)rank, 2, p);
    }
    return c->last_peer = p;
}

int mt_core_dead(const mt_core *c, int rank) { return c->dead.count && mt_ranks_has(&c->dead, (uint32_t)rank); }
int mt_core_rank_is_dead(const mt_core *c, int rank) { return mt_core_dead(c, rank); }

// ---- sending

static void send_to_self(mt_core *c, const void *body, size_t body_bytes, const mt_piece *more, int more_count, size_t bytes) {
    mt_early *e = mt_take(c, sizeof *e + bytes);
    e->bytes = (uint32_t)bytes;
    memcpy(e->message, body, body_bytes);
    size_t at = body_bytes;
    for (int i = 0; i < more_count; at += more[i++].bytes)
        if (more[i].bytes) memcpy(e->message + at, more[i].data, more[i].bytes);
    *c->loop_last = e;
    c->loop_last = &e->next;
}

void mt_core_send(mt_core *c, int rank, void *body, size_t body_bytes, const mt_piece *more, int more_count) {
    mt_wire *wire = body;
    mt_piece pieces[1 + MANTA_MAX_ARGUMENTS];
    size_t bytes = body_bytes;
    MT_ASSERT(rank >= 0 && rank < c->size && more_count <= MANTA_MAX_ARGUMENTS);
    pieces[0] = (mt_piece){body, body_bytes};
    for (int i = 0; i < more_count; i++) bytes += more[i].bytes, pieces[1 + i] = more[i];
    wire->bytes = (uint32_t)bytes, wire->incarnation = c->desc.incarnation;
    c->stats.sent++;
    if (rank == c->rank) {
        send_to_self(c, body, body_bytes, more, more_count, bytes);
        return;
    }
    mt_peer *p = mt_core_peer(c, rank);
    if (p->dead) return;
    wire->sequence = p->sequence_out++;
    c->ops->send(c->shell, rank, pieces, 1 + more_count);
}

void mt_core_send_ref(mt_core *c, int rank, int kind, manta_ref ref, uint64_t argument) {
    mt_wire_ref m = {.wire.kind = (uint16_t)kind, .ref = ref, .argument = argument};
    mt_core_send(c, rank, &m, sizeof m, NULL, 0);
}

void mt_core_shell_send(mt_core *c, int rank, uint32_t topic, uint64_t argument, const void *data, size_t bytes) {
    mt_wire_shell m = {.wire.kind = MT_WIRE_SHELL, .topic = topic, .bytes = (uint32_t)bytes, .argument = argument};
    mt_core_send(c, rank, &m, sizeof m, &(mt_piece){data, bytes}, bytes ? 1 : 0);
    mt_core_settle(c);
}

// ---- receiving

// Everything that can be asked about a reference: its owner's rank, and that it is one.
static int ref_in_range(const mt_core *c, manta_ref ref) { return ref.serial && ref.owner < (uint32_t)c->size; }

static void handle_ref(mt_core *c, int source, const mt_wire_ref *m) {
    mt_object *o;
    if (!ref_in_range(c, m->ref)) {
        c->stats.dropped_messages++;
        return;
    }
    switch (m->wire.kind) {
    case MT_WIRE_ADOPT: mt_object_on_adopt(c, source, m); break;
    case MT_WIRE_RELEASE: mt_object_on_release(c, source, m); break;
    case MT_WIRE_LOST:
        o = mt_object_find(c, m->ref);
        if (o && o->owned) mt_object_lost(c, o, (int)m->argument);
        // it waits for a word in any case
        if (o && o->owned) mt_object_tell_again(c, o, source);
        break;
    case MT_WIRE_STOP:
        o = mt_object_find(c, m->ref);
        if (o && o->owned && m->argument) mt_actor_stop(c, o);
        else if (o && o->owned && o->producer && o->state == MT_STATE_PENDING) mt_task_cancel(c, o->producer);
        break;
    case MT_WIRE_PIN: mt_store_on_pin(c, source, m); break;
    case MT_WIRE_UNPIN: mt_store_on_unpin(c, source, m->ref, m->argument); break;
    case MT_WIRE_FREE: mt_store_on_free(c, m->ref); break;
    case MT_WIRE_FETCH: mt_store_on_fetch(c, source, m); break;
    case MT_WIRE_COPY:
        o = mt_object_find(c, m->ref);
        if (o && o->owned && o->state == MT_STATE_READY && !o->evicted) mt_ranks_add(&mt_object_more(c, o)->copies, (uint32_t)source);
        else mt_core_send_ref(c, source, MT_WIRE_FREE, m->ref, 0);
        break;
    case MT_WIRE_GROUP_REMOVE: mt_placement_on_remove(c, m->ref); break;
    default: break;
    }
}

void mt_core_handle(mt_core *c, int source, const mt_wire *m) {
    size_t bytes = m->bytes;
    const void *body = m;
    c->stats.received++;
    switch (m->kind) {
    case MT_WIRE_CALL: mt_run_on_call(c, source, body, bytes); break;
    case MT_WIRE_DONE: mt_task_on_done(c, source, body, bytes); break;
    case MT_WIRE_RETURNED: mt_task_on_returned(c, source, body); break;
    case MT_WIRE_CANCEL: mt_run_on_cancel(c, source, body); break;
    case MT_WIRE_KEPT: mt_run_on_kept(c, source, body); break;
    case MT_WIRE_VALUE: mt_object_on_value(c, source, body); break;
    case MT_WIRE_PINNED: mt_wait_on_pinned(c, source, body); break;
    case MT_WIRE_CHUNK: mt_store_on_chunk(c, source, body, bytes); break;
    case MT_WIRE_ACTOR_END: mt_actor_on_end(c, body); break;
    case MT_WIRE_NAME_SET:
    case MT_WIRE_NAME_DROP:
    case MT_WIRE_NAME_FIND:
    case MT_WIRE_NAME_REPLY: mt_directory_on_name(c, source, body); break;
    case MT_WIRE_GROUP_PLACE: mt_placement_on_group(c, source, body, bytes); break;
    case MT_WIRE_GROUP_RESERVE:
        if (source == MT_HEAD) mt_placement_on_reserve(c, source, body);
        break;
    case MT_WIRE_GROUP_VOTE: mt_placement_on_vote(c, source, body); break;
    case MT_WIRE_GROUP_UNDO:
        if (source == MT_HEAD) mt_placement_on_undo(c, body);
        break;
    case MT_WIRE_GROUP_PLACED:
        if (source == MT_HEAD) mt_placement_on_placed(c, body, bytes);
        break;
    case MT_WIRE_FREED: mt_placement_on_freed(c, source); break;
    case MT_WIRE_MEET:
    case MT_WIRE_UNMEET:
    case MT_WIRE_MET: mt_directory_on_meet(c, source, body, bytes); break;
    case MT_WIRE_HEARTBEAT: mt_health_on_heartbeat(c, source, body); break;
    case MT_WIRE_GONE: mt_health_on_gone(c, body); break;
    case MT_WIRE_DEAD:
        if (source == MT_HEAD) mt_health_on_dead(c, (int)((const mt_wire_rank *)body)->rank, (int)((const mt_wire_rank *)body)->reason);
        break;
    case MT_WIRE_SHELL: {
        const mt_wire_shell *s = body;
        c->ops->shell_message(c->shell, source, s->topic, s->argument, s + 1, bytes - sizeof *s);
        break;
    }
    default: handle_ref(c, source, body); break;
    }
}

void mt_core_settle(mt_core *c) {
    if (c->settling) return;
    c->settling = 1;
    for (mt_task_settle(c); c->loop; mt_task_settle(c)) {
        mt_early *e = c->loop;
        c->loop = e->next;
        if (!c->loop) c->loop_last = &c->loop;
        mt_core_handle(c, c->rank, (const mt_wire *)e->message);
        mt_give(c, e, sizeof *e + e->bytes);
    }
    c->settling = 0;
}

void mt_core_forget_early(mt_core *c, mt_peer *p) {
    while (p->early) {
        mt_early *e = p->early;
        p->early = e->next;
        mt_give(c, e, sizeof *e + e->bytes);
    }
    p->early_count = 0;
}

static void keep_early(mt_core *c, mt_peer *p, const mt_wire *m) {
    mt_early **at = &p->early;
    uint32_t ahead = m->sequence - p->sequence_in;
    if (p->early_count >= MT_EARLY_MAX) {
        c->stats.dropped_messages++;   // no transport of ours overtakes itself so far
        return;
    }
    while (*at && ((const mt_wire *)(*at)->message)->sequence - p->sequence_in < ahead) at = &(*at)->next;
    if (*at && ((const mt_wire *)(*at)->message)->sequence == m->sequence) return;
    mt_early *e = mt_take(c, sizeof *e + m->bytes);
    e->bytes = m->bytes;
    memcpy(e->message, m, m->bytes);
    e->next = *at;
    *at = e;
    p->early_count++;
}

void mt_core_receive(mt_core *c, int source, const void *message, size_t bytes) {
    const mt_wire *m = message;
    if (source < 0 || source >= c->size || !mt_wire_check(message, bytes)) {
        c->stats.dropped_messages++;
        return;
    }
    mt_peer *p = mt_core_peer(c, source);
    if (p->dead || (p->incarnation && p->incarnation != m->incarnation)) {
        c->stats.dropped_messages++;
        return;
    }
    p->incarnation = m->incarnation;
    p->heard_ns = c->now_ns;
    if (p->suspect) {
        mt_health_heard_again(c, p);
        mt_core_settle(c);   // the message itself may be one that waits for others
    }
    int32_t ahead = (int32_t)(m->sequence - p->sequence_in);
    if (ahead < 0) return;
    if (ahead > 0) {
        keep_early(c, p, m);
        return;
    }
    p->sequence_in++;
    mt_core_handle(c, source, m);
    mt_core_settle(c);
    while (p->early && ((const mt_wire *)p->early->message)->sequence == p->sequence_in) {
        mt_early *e = p->early;
        p->early = e->next;
        p->early_count--;
        p->sequence_in++;
        mt_core_handle(c, source, (const mt_wire *)e->message);
        mt_give(c, e, sizeof *e + e->bytes);
        mt_core_settle(c);
    }
}

// ---- time

int64_t mt_core_tick(mt_core *c, int64_t now_ns) {
    if (now_ns > c->now_ns) c->now_ns = now_ns;
    mt_health_tick(c);
    mt_run_tick(c);
    mt_placement_tick(c);
    int64_t next = mt_health_deadline(c);
    int waiting = 0;
    for (const mt_shape *s = c->shapes; s; s = s->next) waiting |= s->first != NULL;
    if (waiting && c->now_ns - c->dispatched_ns >= MT_BUSY_NS) {
        c->dispatched_ns = c->now_ns;
        mt_dispatch_all(c);
    }
    mt_core_settle(c);
    if (c->queue && next > c->now_ns + MT_STUCK_NS) next = c->now_ns + MT_STUCK_NS;
    if ((waiting || c->groups_waiting) && next > c->now_ns + MT_BUSY_NS) next = c->now_ns + MT_BUSY_NS;
    return next;
}

// ---- life

mt_status mt_core_create(const mt_core_desc *desc, const mt_core_ops *ops, void *shell, mt_core **out) {
    *out = NULL;
    mt_core *c = calloc(1, sizeof *c);
    if (!c) return MT_FAIL(NO_MEMORY, "cannot allocate the runtime's core");
    c->desc = *desc, c->ops = ops, c->shell = shell;
    c->rank = desc->rank, c->size = desc->size;
    if (!c->desc.heartbeat_ns) c->desc.heartbeat_ns = INT64_C(1000000000);
    if (!c->desc.suspect_ns) c->desc.suspect_ns = 5 * c->desc.heartbeat_ns;
    if (!c->desc.dead_ns) c->desc.dead_ns = 15 * c->desc.heartbeat_ns;
    if (c->desc.gpu_devices > MT_GPUS_MAX) c->desc.gpu_devices = MT_GPUS_MAX;
    c->deferred_last = &c->deferred, c->loop_last = &c->loop, c->queue_last = &c->queue;
    c->met_last = &c->met, c->lineage_last = &c->lineage;
    c->shapes_most = MT_SHAPES_IDLE;
    c->random = desc->seed + (uint64_t)desc->rank;
    c->available = desc->totals[desc->rank];
    for (int g = 0; g < c->desc.gpu_devices; g++) c->gpu_free[g] = MT_RESOURCE_UNIT;
    *out = c;
    return MT_OK;
}

void mt_core_destroy(mt_core *c) {
    if (!c) return;
    for (uint32_t i = 0; i < c->objects.count; i++) {
        mt_object *o = c->objects.record[i];
        if (o && o->more) mt_ranks_fini(&o->more->holders), mt_ranks_fini(&o->more->copies);
    }
    mt_slots_fini(&c->objects);
    mt_slots_fini(&c->tasks);
    mt_map_fini(&c->borrowed);
    mt_map_fini(&c->peers);
    mt_map_fini(&c->hosted_by_ref);
    mt_map_fini(&c->lanes);
    mt_map_fini(&c->group_map);
    mt_map_fini(&c->name_map);
    mt_store_fini(c);
    mt_dispatch_fini(c);
    mt_placement_fini(c);
    mt_directory_fini(c);
    mt_ranks_fini(&c->dead);
    mt_pool_fini(&c->pool);
    free(c);
}

void mt_core_stats_get(const mt_core *c, mt_core_stats *out) {
    *out = c->stats;
    out->total = c->desc.totals[c->rank], out->available = c->available;
    out->memory_bytes = c->pool.bytes + sizeof *c + (c->objects.capacity + c->tasks.capacity) * (sizeof(void *) + sizeof(uint32_t)) +
        (c->borrowed.capacity + c->stored.capacity + c->peers.capacity + c->hosted_by_ref.capacity + c->lanes.capacity +
            c->group_map.capacity + c->name_map.capacity) * sizeof(mt_map_entry);
}
