// The node: making it, the core's table of functions, and the end of the job.
//
// The end. The head's driver has returned: it tells all ranks END. Every rank then refuses to begin anything new (runs that are
// handed over end with MANTA_SHUTDOWN unstarted, waits end), waits for bodies that run, destroys the actors that are left, and
// tells the head ENDED. When all that live have, the head tells them BYE, and everybody leaves. Each step has the deadline of
// mt_node_drain.
//
// Functions of the table are called by the core with the lock held. They never call the core; what costs a system call is
// noted (later, wakes) and done by mt_node_leave.
#include "engine/runtime/node/node.h"
#include "engine/runtime/node/team.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/futex.h"
#include "engine/base/log.h"
#include "engine/runtime/api/context.h"
#include "engine/runtime/status/census.h"

enum { STACK_BYTES = 1 << 20, EXECUTORS_MAX = 4096 };
#define SPIN_NS    (50 * MT_MICROSECOND_NS)
#define TIMEOUT_NS (120 * MT_SECOND_NS)
#define LEAVE_NS   (2 * MT_SECOND_NS)   // executors without work end in microseconds

// ---- the lock's other half

void mt_node_ring(mt_node *node, mt_bell *bell) {
    if (!mt_bell_ring(bell)) return;
    if (node->wake_count == MT_NODE_WAKES) mt_futex_wake_all(&bell->word);   // more at once than is ever usual
    else node->wakes[node->wake_count++] = &bell->word;
    node->later = 1;
}

void mt_node_room(mt_node *node) {
    for (mt_waiting *w = node->room_waiters ? node->waiting : NULL; w; w = w->next)
        if (w->room) mt_node_ring(node, w->bell);
}

void mt_node_leave_slow(mt_node *node) {
    if (node->disk_refuses) mt_disk_refuse(node->disk);
    if (node->census_asker >= 0) mt_census_answer(node);
    _Atomic uint32_t *wakes[MT_NODE_WAKES];
    uint32_t count = node->wake_count;
    bool start = node->queued > node->starting, ring = node->ring_later;
    if (count) memcpy(wakes, node->wakes, count * sizeof *wakes);
    node->wake_count = 0;
    node->later = 0;
    node->ring_later = 0;
    mt_lock_give(&node->lock);
    // a thread that has gone meanwhile leaves a word that nobody waits on: that is harmless
    for (uint32_t i = 0; i < count; i++) mt_futex_wake_all(wakes[i]);
    if (ring) node->transport->ops->ring(node->transport);
    if (start) mt_node_start_executors(node);
}

// ---- the core's table

static void op_send(void *shell, int rank, const mt_piece *pieces, int count) {
    mt_node *node = shell;
    node->transport->ops->send(node->transport, rank, pieces, count);
}

static void op_run(void *shell, mt_run *run) { mt_node_run(shell, run); }
static void op_wake(void *shell, mt_waiter *waiter) { mt_node_ring(shell, waiter->shell); }

static void op_destroy_actor(void *shell, uint32_t class_number, void *state) {
    (void)class_number;
    mt_node_destroy_state(shell, mt_actor_state_of(state), 0);
}

static uint64_t op_heap_alloc(void *shell, uint64_t bytes) { return mt_heap_alloc(((mt_node *)shell)->heap, bytes); }
static void op_heap_free(void *shell, uint64_t offset) {
    mt_node *node = shell;
    mt_heap_free(node->heap, offset);
    mt_node_room(node);
}

static void *op_heap_at(void *shell, uint64_t offset) { return mt_heap_at(((mt_node *)shell)->heap, offset); }

static void op_spill(void *shell, uint64_t ticket, uint64_t offset, uint64_t bytes) {
    mt_disk_spill(((mt_node *)shell)->disk, ticket, offset, bytes);
}

static void op_restore(void *shell, uint64_t ticket, uint64_t file, uint64_t offset, uint64_t bytes) {
    mt_disk_restore(((mt_node *)shell)->disk, ticket, file, offset, bytes);
}

static void op_spill_drop(void *shell, uint64_t file) { mt_disk_drop(((mt_node *)shell)->disk, file); }

static void begin_ending(mt_node *node) {
    node->ending = 1;
    atomic_store(&node->ending_seen, 1);
    for (mt_waiting *w = node->waiting; w; w = w->next) mt_node_ring(node, w->bell);
    if (node->main_bell) mt_node_ring(node, node->main_bell);
}

static void op_rank_suspect(void *shell, int rank, int64_t silent_ns) {
    (void)shell;
    if (silent_ns) mt_log_warn("rank %d has said nothing for %.0f s; rank 0 sends it no more tasks until it does", rank, 1e-9 * (double)silent_ns);
    else mt_log_warn("rank %d is heard again", rank);
}

static void op_rank_dead(void *shell, int rank, int reason) {
    mt_node *node = shell;
    (void)reason;
    node->rank_flags[rank] |= MT_RANK_DEAD;
    mt_census_rank_dead(node, rank);
    mt_team_rank_dead(node, rank);
    // without the head there is no job, and a rank that was declared dead is not in it
    if (rank == node->rank || rank == 0) {
        node->fenced = 1 + rank;
        begin_ending(node);
    }
    if (node->main_bell) mt_node_ring(node, node->main_bell);
}

static void op_shell_message(void *shell, int source, uint32_t topic, uint64_t argument, const void *data, size_t bytes) {
    mt_node *node = shell;
    if (topic == MT_TOPIC_GROUP) {
        mt_team_message(node, source, argument, data, bytes);
        return;
    }
    if (topic == MT_TOPIC_CENSUS_ASK || topic == MT_TOPIC_CENSUS_ANSWER) {
        mt_census_message(node, source, topic, argument, data, bytes);
        return;
    }
    if (topic == MT_TOPIC_END && source == 0) begin_ending(node);
    if (topic == MT_TOPIC_ENDED && node->rank == 0) node->rank_flags[source] |= MT_RANK_ENDED;
    if (topic == MT_TOPIC_BYE && source == 0) node->bye = 1;
    if (node->main_bell) mt_node_ring(node, node->main_bell);
}

static mt_question *question(mt_node *node, uint64_t number) {
    mt_question *q = node->questions;
    while (q && q->number != number) q = q->next;
    return q && !q->answered ? q : NULL;   // who asked may have stopped waiting
}

static void op_named(void *shell, uint64_t number, int code, manta_actor actor) {
    mt_node *node = shell;
    mt_question *q = question(node, number);
    if (!q) return;
    q->answered = 1;
    q->code = code;
    q->actor = actor;
    mt_node_ring(node, q->bell);
}

static void op_met(void *shell, uint64_t number, int code, const uint32_t *ranks, int count, uint64_t round) {
    mt_node *node = shell;
    mt_question *q = question(node, number);
    if (!q) return;
    q->answered = 1;
    q->code = code;
    q->round = round;
    if (code == MANTA_OK && count == q->count) memcpy(q->ranks, ranks, (size_t)count * sizeof *ranks);
    else if (code == MANTA_OK) q->code = MANTA_INVALID;
    mt_node_ring(node, q->bell);
}

void mt_node_ask(mt_node *node, mt_question *q) {
    q->number = ++node->last_question;
    q->answered = 0;
    q->next = node->questions;
    node->questions = q;
}

void mt_node_ask_end(mt_node *node, mt_question *q) {
    mt_question **at = &node->questions;
    while (*at != q) at = &(*at)->next;
    *at = q->next;
}

static const mt_core_ops node_ops = {
    .send = op_send,
    .run = op_run,
    .wake = op_wake,
    .destroy_actor = op_destroy_actor,
    .heap_alloc = op_heap_alloc,
    .heap_free = op_heap_free,
    .heap_at = op_heap_at,
    .spill = op_spill,
    .restore = op_restore,
    .spill_drop = op_spill_drop,
    .rank_suspect = op_rank_suspect,
    .rank_dead = op_rank_dead,
    .shell_message = op_shell_message,
    .met = op_met,
    .named = op_named,
};

// ---- making

static mt_status core_make(mt_node *node) {
    const mt_node_desc *desc = &node->desc;
    mt_core_desc core = {
        .rank = node->rank,
        .size = node->size,
        .node_of = node->transport->node_of,
        .totals = desc->totals,
        .names = desc->names,
        .incarnation = 1,
        .seed = desc->seed,
        .object_bytes = desc->object_bytes,
        .heartbeat_ns = desc->heartbeat_ns,
        .suspect_ns = desc->suspect_ns,
        .dead_ns = desc->dead_ns,
        .gpu_devices = desc->gpu_devices,
        .spill = desc->spill,
    };
    return mt_core_create(&core, &node_ops, node, &node->core);
}

static mt_status node_make(mt_node *node) {
    const manta_program *program = node->program->desc;
    node->hints = calloc(1 + program->task_count + program->class_count, sizeof *node->hints);
    node->rank_flags = calloc((size_t)node->size, 1);
    node->gone = calloc((size_t)node->size, 1);
    if (!node->hints || !node->rank_flags || !node->gone) return MT_FAIL(NO_MEMORY, "out of memory for the node");
    if (pthread_attr_init(&node->thread_attributes) != 0) return MT_FAIL(NO_MEMORY, "out of memory for the node's threads");
    node->attributes_made = 1;
    pthread_attr_setstacksize(&node->thread_attributes, STACK_BYTES);
    MT_TRY(mt_disk_create(node, &node->disk));
    MT_TRY(core_make(node));
    // the first tick has happened before anybody asks anything
    node->next_tick_ns = mt_core_tick(node->core, mt_clock_ns());
    node->transport->ops->set_asleep(node->transport, 1);
    return mt_node_background_start(node);
}

static void node_free(mt_node *node) {
    mt_disk_destroy(node->disk);
    mt_core_destroy(node->core);
    mt_placements_free(node->placements);
    mt_teams_free(node->teams);
    mt_team_early_free(node);
    mt_holds_fini(&node->retained);
    for (mt_actor_state *s = node->actors, *next; s; s = next) {
        next = s->next;
        mt_context_forget_state(s);
        free(s);
    }
    if (node->attributes_made) pthread_attr_destroy(&node->thread_attributes);
    free(node->gone);
    free(node->rank_flags);
    free(node->hints);
    free(node);
}

mt_status mt_node_create(const mt_node_desc *desc, mt_node **out) {
    *out = NULL;
    mt_node *node = aligned_alloc(64, (sizeof *node + 63) / 64 * 64);
    if (!node) return MT_FAIL(NO_MEMORY, "out of memory for the node");
    memset(node, 0, sizeof *node);
    mt_holds_init(&node->retained);
    node->desc = *desc;
    node->transport = desc->transport;
    node->heap = desc->heap;
    node->program = desc->program;
    node->timeline = desc->timeline;
    node->rank = desc->transport->rank;
    node->size = desc->transport->size;
    node->began_ns = mt_clock_ns();
    node->census_asker = -1;
    node->spin_ns = desc->spin_ns > 0 ? desc->spin_ns : desc->spin_ns < 0 ? 0 : SPIN_NS;
    node->timeout_ns = desc->timeout_ns ? desc->timeout_ns : TIMEOUT_NS;
    if (node->desc.executors_max <= 0) node->desc.executors_max = EXECUTORS_MAX;
    if (node->desc.cores <= 0) node->desc.cores = 1;
    mt_status status = node_make(node);
    if (status == MT_OK) *out = node;
    else node_free(node);
    return status;
}

// ---- the end

// Lock held: sleeps until something happens or the deadline; 0: it has passed.
static int main_wait(mt_node *node, mt_bell *bell, int64_t deadline_ns) {
    mt_node_leave(node);
    int rung = mt_node_wait(node, bell, NULL, &node->hints[0], deadline_ns);
    mt_node_enter(node);
    mt_bell_reset(bell);
    return rung;
}

static mt_status out_of_job(const mt_node *node) {
    return node->fenced == 1 && node->rank != 0
        ? MT_FAIL(COMM, "rank %d: the job's first rank is gone; start the job again", node->rank)
        : MT_FAIL(COMM, "rank %d was out of reach for too long and is no longer part of the job", node->rank);
}

mt_status mt_node_serve(mt_node *node) {
    mt_bell bell = {0};
    mt_node_enter(node);
    node->main_bell = &bell;
    while (!node->ending) main_wait(node, &bell, MT_NEVER);
    node->main_bell = NULL;
    mt_status status = node->fenced ? out_of_job(node) : MT_OK;
    mt_node_leave(node);
    return status;
}

static void tell_all(mt_node *node, uint32_t topic) {
    for (int r = 0; r < node->size; r++)
        if (r != node->rank && !(node->rank_flags[r] & MT_RANK_DEAD)) mt_core_shell_send(node->core, r, topic, 0, NULL, 0);
}

void mt_node_end(mt_node *node) {
    mt_node_enter(node);
    if (!node->ending) {
        tell_all(node, MT_TOPIC_END);
        begin_ending(node);
    }
    mt_node_leave(node);
}

static bool actors_left(mt_node *node) {
    bool left = false;
    for (mt_actor_state *s = node->actors; s; s = s->next) {
        if (s->dying == MT_DESTROYED) continue;
        left = true;
        mt_node_destroy_state(node, s, 1);
    }
    return left;
}

static int ranks_missing(const mt_node *node, char *out, size_t out_bytes) {
    int missing = 0;
    size_t used = 0;
    *out = '\0';
    for (int r = 1; r < node->size; r++) {
        if (node->rank_flags[r]) continue;
        int n = missing++ < 8 && used < out_bytes ? snprintf(out + used, out_bytes - used, "%s%d", used ? ", " : "", r) : 0;
        used += n > 0 ? (size_t)n : 0;
    }
    return missing;
}

static mt_status drain(mt_node *node, mt_bell *bell, int64_t deadline_ns) {
    char text[256];
    while (node->working || node->queued || node->quiet || actors_left(node))
        if (!main_wait(node, bell, deadline_ns)) {
            mt_node_what_runs(node, text, sizeof text);
            return MT_FAIL(DEADLINE, "rank %d: the job ends, but this still runs: %s; let long bodies look at manta_cancelled", node->rank, text);
        }
    mt_context_release_retained(node);
    if (node->fenced) return out_of_job(node);
    if (node->rank != 0) {
        mt_core_shell_send(node->core, 0, MT_TOPIC_ENDED, 0, NULL, 0);
        while (!node->bye && !node->fenced)
            if (!main_wait(node, bell, deadline_ns)) return MT_FAIL(COMM, "rank %d: the head did not say when the job's end was reached", node->rank);
        return node->fenced ? out_of_job(node) : MT_OK;
    }
    mt_status status = MT_OK;
    int missing;
    // a rank whose bodies do not end says which: let it speak first
    if (deadline_ns < MT_NEVER - LEAVE_NS) deadline_ns += LEAVE_NS;
    while ((missing = ranks_missing(node, text, sizeof text)) != 0)
        if (!main_wait(node, bell, deadline_ns)) {
            status = MT_FAIL(COMM, "%d ranks did not come to the job's end in time: %s", missing, text);
            break;
        }
    tell_all(node, MT_TOPIC_BYE);
    return status;
}

mt_status mt_node_drain(mt_node *node, int64_t deadline_ns) {
    mt_bell bell = {0};
    mt_node_enter(node);
    node->main_bell = &bell;
    mt_status status = drain(node, &bell, deadline_ns);
    node->main_bell = NULL;
    mt_node_leave(node);
    return status;
}

mt_status mt_node_destroy(mt_node *node) {
    if (!node) return MT_OK;
    if (!mt_node_executors_stop(node, mt_deadline_after(LEAVE_NS))) {
        char text[256];
        mt_node_enter(node);
        mt_node_what_runs(node, text, sizeof text);
        mt_node_leave(node);
        return MT_FAIL(DEADLINE, "rank %d: %s did not return; the process has to end with it running", node->rank, text);
    }
    mt_node_background_stop(node);
    node_free(node);
    return MT_OK;
}
