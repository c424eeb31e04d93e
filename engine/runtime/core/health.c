// Who lives. Every rank sends the head a heartbeat once a second and gets one back.
//
//     alive ⇄ suspect: nothing has come from it for suspect_ns: the head sends it no tasks until it is heard again
//     alive, suspect ──▶ dead, which is for ever
//
// The head calls a rank dead when its process was seen to end (GONE), or when nothing has come from it for dead_ns;
// it tells all, and the dead one too, should it only have slept: it is fenced then, and nobody listens to it any
// more. A rank that hears nothing from the head for as long ends itself.
//
// A rank that was stopped (SIGSTOP, a suspended machine) sees its own clock jump when it goes on: it does not take the
// others' silence in that time for death.
#include "engine/runtime/core/state.h"

static void send_heartbeat(mt_core *c, int rank) {
    mt_wire_heartbeat m = {.wire.kind = MT_WIRE_HEARTBEAT, .sent_ns = c->now_ns, .available = c->available,
        .queued = (uint32_t)c->stats.queued_runs, .running = (uint32_t)c->stats.running_runs};
    mt_core_send(c, rank, &m, sizeof m, NULL, 0);
}

void mt_health_on_heartbeat(mt_core *c, int source, const mt_wire_heartbeat *m) {
    (void)c, (void)source, (void)m;   // that it came is what it says: mt_core_receive notes when
}

static void declare_dead(mt_core *c, int rank, int reason) {
    mt_wire_rank m = {.wire.kind = MT_WIRE_DEAD, .rank = (uint32_t)rank, .reason = (uint32_t)reason};
    if (mt_core_dead(c, rank)) return;
    for (int r = 0; r < c->size; r++)
        if (r != c->rank && !mt_core_dead(c, r)) mt_core_send(c, r, &m, sizeof m, NULL, 0);
    mt_health_on_dead(c, rank, reason);
}

void mt_health_on_gone(mt_core *c, const mt_wire_rank *m) {
    if (c->rank == MT_HEAD && m->rank < (uint32_t)c->size && (int)m->rank != MT_HEAD) declare_dead(c, (int)m->rank, MT_REASON_GONE);
}

void mt_core_peer_gone(mt_core *c, int rank) {
    mt_peer *p = mt_core_peer(c, rank);
    if (rank == c->rank || p->gone_reported || mt_core_dead(c, rank)) return;
    p->gone_reported = 1;
    mt_wire_rank m = {.wire.kind = MT_WIRE_GONE, .rank = (uint32_t)rank};
    if (rank == MT_HEAD) mt_health_on_dead(c, rank, MT_REASON_GONE);
    else mt_core_send(c, MT_HEAD, &m, sizeof m, NULL, 0);
    mt_core_settle(c);
}

// The order matters: actors and objects first learn that a place is gone, then the calls that were on their way there.
void mt_health_on_dead(mt_core *c, int rank, int reason) {
    if (rank < 0 || rank >= c->size || mt_core_dead(c, rank)) return;
    if (rank == c->rank) {
        c->ops->rank_dead(c->shell, rank, reason);
        return;
    }
    mt_peer *p = mt_core_peer(c, rank);
    mt_ranks_add(&c->dead, (uint32_t)rank);
    p->dead = 1;
    c->stats.dead_ranks++;
    mt_core_forget_early(c, p);
    mt_actor_rank_dead(c, rank);
    mt_object_rank_dead(c, rank);
    mt_store_rank_dead(c, rank);
    mt_run_rank_dead(c, rank);
    mt_task_rank_dead(c, rank);
    mt_placement_rank_dead(c, rank);
    mt_directory_rank_dead(c, rank);
    mt_dispatch_rank_dead(c);
    c->ops->rank_dead(c->shell, rank, reason);
}

void mt_health_heard_again(mt_core *c, mt_peer *p) {
    p->suspect = 0;
    c->ops->rank_suspect(c->shell, p->rank, 0);
    mt_dispatch_all(c);
}

static void suspect(mt_core *c, mt_peer *p, int64_t silent) {
    p->suspect = 1;
    c->ops->rank_suspect(c->shell, p->rank, silent);
}

void mt_health_tick(mt_core *c) {
    int64_t stalled = c->now_ns - c->ticked_ns;
    if (!c->began_ns) c->began_ns = c->ticked_ns = c->now_ns, stalled = 0;
    c->ticked_ns = c->now_ns;
    // this rank slept: start counting anew
    if (stalled > c->desc.suspect_ns / 2) c->began_ns = c->now_ns;
    if (c->size == 1 || c->now_ns - c->heartbeat_ns < c->desc.heartbeat_ns) return;
    c->heartbeat_ns = c->now_ns;
    if (c->rank != MT_HEAD) {
        const mt_peer *head = mt_core_peer(c, MT_HEAD);
        int64_t heard = head->heard_ns > c->began_ns ? head->heard_ns : c->began_ns;
        send_heartbeat(c, MT_HEAD);
        if (c->now_ns - heard > c->desc.dead_ns) mt_health_on_dead(c, MT_HEAD, MT_REASON_SILENT);
        return;
    }
    for (int r = 1; r < c->size; r++) {
        if (mt_core_dead(c, r)) continue;
        mt_peer *p = mt_core_peer(c, r);
        int64_t heard = p->heard_ns > c->began_ns ? p->heard_ns : c->began_ns, silent = c->now_ns - heard;
        if (silent > c->desc.suspect_ns && !p->suspect) suspect(c, p, silent);
        if (silent > c->desc.dead_ns) declare_dead(c, r, MT_REASON_SILENT);
        else send_heartbeat(c, r);
    }
}

int64_t mt_health_deadline(const mt_core *c) { return c->size == 1 ? INT64_MAX : c->heartbeat_ns + c->desc.heartbeat_ns; }
