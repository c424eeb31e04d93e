// See host.h. Called by the one thread of the simulator. The functions in `ops` are called from inside the core and only post
// events; the core is entered from mt_host_event and from bodies alone.
#include "tests/simulator/host.h"

#include <stdlib.h>
#include <string.h>
#include "engine/runtime/memory/heap.h"
#include "engine/runtime/wire.h"
#include "tests/simulator/body.h"
#include "tests/simulator/simulator.h"

// ---- what the core asks for

// A suspect gets no tasks from the head; methods wait there, and what is bound to a group's bundle.
static void check_suspect(const mt_host *h, int rank, const mt_wire *m) {
    const mt_wire_call *call = (const mt_wire_call *)(const void *)m;
    if (h->rank != 0 || m->kind != MT_WIRE_CALL || !h->sim->hosts[rank].suspected) return;
    if (call->call_kind != MT_CALL_METHOD && !call->placement_serial)
        mt_ledger_violate(&h->sim->ledger, "the head sends a task to rank %d, which it suspects", rank);
}

static void op_send(void *shell, int rank, const mt_piece *pieces, int count) {
    mt_host *h = shell;
    check_suspect(h, rank, pieces[0].data);
    mt_sim_network_send(&h->sim->network, h->sim->now_ns, h->rank, rank, pieces, count);
}

static void op_run(void *shell, mt_run *run) {
    mt_host *h = shell;
    if (h->sim->watch) {
        h->sim->watch(h, run);
        return;
    }
    mt_simulator *sim = h->sim;
    if (!sim->entering) mt_host_check_run(h, run);
    else if (sim->entered_count < 64) sim->entered[sim->entered_count++] = run;
    else mt_ledger_violate(&sim->ledger, "rank %d begins 64 calls at once", h->rank);
}

void mt_host_check_run(mt_host *h, mt_run *run) {
    int plan = mt_ledger_run(&h->sim->ledger, h->rank, run);
    mt_body *body = mt_body_create(h, run, plan);
    mt_simulator_post(h->sim, 200 + mt_simulator_random_ns(h->sim, 30000), MT_EVENT_START, h->rank, 0, body);
}

static void op_wake(void *shell, mt_waiter *waiter) {
    mt_host *h = shell;
    if (h->sim->woken) h->sim->woken(h->sim->watcher, waiter);
    else mt_body_wake(h, waiter);
}

static void op_destroy_actor(void *shell, uint32_t class_number, void *state) {
    mt_host *h = shell;
    (void)class_number;
    if (!state) {
        mt_ledger_violate(&h->sim->ledger, "rank %d is to destroy an actor without a state", h->rank);
        return;
    }
    mt_simulator_post(h->sim, 200 + mt_simulator_random_ns(h->sim, 100000), MT_EVENT_DESTROY, h->rank, 0, state);
}

static uint64_t op_heap_alloc(void *shell, uint64_t bytes) { return mt_memory_take(&((mt_host *)shell)->memory, bytes); }

static void op_heap_free(void *shell, uint64_t offset) {
    mt_host *h = shell;
    mt_heap_piece *block = mt_memory_block(&h->memory, offset);
    if (!block || block->offset != offset) {
        mt_ledger_violate(&h->sim->ledger, "rank %d frees offset %llu of its heap, where nothing begins", h->rank,
            (unsigned long long)offset);
        return;
    }
    mt_body_check_freed(h, block);
    mt_memory_give(&h->memory, offset);
}

static void *op_heap_at(void *shell, uint64_t offset) {
    mt_host *h = shell;
    if (!mt_memory_block(&h->memory, offset))
        mt_ledger_violate(&h->sim->ledger, "rank %d touches offset %llu of its heap, which is free", h->rank,
            (unsigned long long)offset);
    return mt_memory_at(&h->memory, offset);
}

static void disk(mt_host *h, int kind, mt_disk_job job) {
    mt_disk_job *own = malloc(sizeof *own);
    MT_ASSERT(own);
    mt_heap_piece *block = mt_memory_block(&h->memory, job.offset);
    if (!block || block->offset != job.offset || block->bytes < job.bytes)
        mt_ledger_violate(&h->sim->ledger, "rank %d moves %llu bytes at offset %llu between heap and disk, which are not a block",
            h->rank, (unsigned long long)job.bytes, (unsigned long long)job.offset);
    else job.serial = block->serial;
    job.fails = mt_rng_uniform(&h->sim->rng) < h->sim->mood.disk_failures;
    *own = job;
    h->sim->disk_jobs++;
    mt_simulator_post(h->sim, 20000 + mt_simulator_random_ns(h->sim, 3000000), kind, h->rank, 0, own);
}

static void op_spill(void *shell, uint64_t ticket, uint64_t offset, uint64_t bytes) {
    disk(shell, MT_EVENT_SPILLED, (mt_disk_job){.ticket = ticket, .offset = offset, .bytes = bytes});
}

static void op_restore(void *shell, uint64_t ticket, uint64_t file, uint64_t offset, uint64_t bytes) {
    disk(shell, MT_EVENT_RESTORED, (mt_disk_job){.ticket = ticket, .file = file, .offset = offset, .bytes = bytes});
}

static void op_spill_drop(void *shell, uint64_t file) {
    mt_host *h = shell;
    if (!mt_memory_drop(&h->memory, file))
        mt_ledger_violate(&h->sim->ledger, "rank %d drops spill file %llu, which it does not have", h->rank, (unsigned long long)file);
}

// Only the head suspects: a rank that slept, is slow or cut off.
static void op_rank_suspect(void *shell, int rank, int64_t silent_ns) {
    mt_host *h = shell;
    if (h->rank != 0) mt_ledger_violate(&h->sim->ledger, "rank %d suspects rank %d", h->rank, rank);
    h->sim->hosts[rank].suspected = silent_ns > 0;
}

static void op_rank_dead(void *shell, int rank, int reason) {
    mt_host *h = shell;
    (void)reason;
    if (rank < 0 || rank >= h->sim->size) {
        mt_ledger_violate(&h->sim->ledger, "rank %d hears that rank %d is dead", h->rank, rank);
        return;
    }
    if (!h->dead) MT_ASSERT(h->dead = calloc((size_t)h->sim->size, 1));
    h->dead[rank] = 1;
    if (!h->sim->ledger.suspect[rank] && !h->sim->ledger.suspect[h->rank])
        mt_ledger_violate(&h->sim->ledger, "rank %d hears that rank %d is dead, which lives", h->rank, rank);
    h->sim->ledger.suspect[rank] = 1;
    // fenced, or cut off from the head for so long that it must be: the process ends
    if (rank == h->rank || rank == 0) mt_simulator_post(h->sim, 0, MT_EVENT_FENCED, h->rank, 0, NULL);
}

static void op_shell_message(void *shell, int source, uint32_t topic, uint64_t argument, const void *data, size_t bytes) {
    mt_host *h = shell;
    if (topic == UINT32_MAX) return;   // network.c silenced another message
    mt_body_shell_message(h, source, topic, argument, data, bytes);
}

static void op_met(void *shell, uint64_t question, int code, const uint32_t *ranks, int count, uint64_t round) {
    mt_host *h = shell;
    int kept = code == MANTA_OK ? count : 0;
    mt_answer *a = malloc(sizeof *a + sizeof *ranks * (size_t)kept);
    MT_ASSERT(a);
    *a = (mt_answer){.question = question, .code = code, .count = kept, .round = round};
    if (kept) memcpy(a->ranks, ranks, sizeof *ranks * (size_t)kept);
    mt_simulator_post(h->sim, mt_simulator_random_ns(h->sim, 20000), MT_EVENT_MET, h->rank, 0, a);
}

static void op_named(void *shell, uint64_t question, int code, manta_actor actor) {
    mt_host *h = shell;
    mt_answer *a = calloc(1, sizeof *a);
    MT_ASSERT(a);
    *a = (mt_answer){.question = question, .code = code, .actor = actor};
    mt_simulator_post(h->sim, mt_simulator_random_ns(h->sim, 20000), MT_EVENT_NAMED, h->rank, 0, a);
}

static const mt_core_ops ops = {
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

// ---- its life

mt_status mt_host_init(mt_host *h, mt_simulator *sim, int rank) {
    *h = (mt_host){.sim = sim, .rank = rank, .alive = 1};
    h->clock_ns = 1000 + (int64_t)mt_rng_below(&sim->rng, 1000000000) * (sim->watch ? 0 : 1);
    mt_memory_init(&h->memory, sim->mood.heap_bytes);
    int gpus = (int)(sim->totals[rank].amount[MT_RESOURCE_GPU] / MT_RESOURCE_UNIT);
    mt_core_desc desc = {.rank = rank, .size = sim->size, .node_of = sim->node_of, .totals = sim->totals, .names = &sim->names,
        .incarnation = 1, .seed = sim->desc.seed * 31 + (uint64_t)rank, .object_bytes = sim->mood.heap_bytes,
        .heartbeat_ns = sim->mood.heartbeat_ns, .suspect_ns = sim->mood.suspect_ns, .dead_ns = sim->mood.dead_ns,
        .gpu_devices = gpus, .spill = sim->mood.spill};
    return mt_core_create(&desc, &ops, h, &h->core);
}

void mt_host_end(mt_host *h) {
    if (!h->alive) return;
    h->alive = 0;
    mt_body_rank_gone(h);
    mt_core_destroy(h->core);
    h->core = NULL;
}

void mt_host_fini(mt_host *h) {
    if (h->core) mt_core_destroy(h->core);
    mt_memory_fini(&h->memory);
    free(h->dead);
}

int mt_host_thinks_dead(const mt_host *h, int rank) { return h->dead && h->dead[rank]; }

static void tick(mt_host *h) {
    int64_t now = h->sim->now_ns + h->clock_ns, next = mt_core_tick(h->core, now);
    if (next <= now) next = now + 1000;
    if (h->sim->mood.eager) {
        // as a rank does it: what the core wants may come up just after it was asked
        mt_core_stats stats;
        mt_core_stats_get(h->core, &stats);
        int64_t at_most = now + (stats.pending_tasks + stats.running_runs + stats.queued_runs ? 5000000 : 100000000);
        if (next > at_most) next = at_most;
    }
    mt_queue_push(&h->sim->queue,
        (mt_event){.at_ns = next - h->clock_ns, .kind = MT_EVENT_TICK, .rank = h->rank, .idle = 1});
}

static void disk_done(mt_host *h, const mt_event *e) {
    mt_disk_job job = *(mt_disk_job *)e->data;
    mt_heap_piece *block = mt_memory_block(&h->memory, job.offset);
    if (!block || block->offset != job.offset || block->serial != job.serial) {
        mt_ledger_violate(&h->sim->ledger, "rank %d gave a block away while the disk was at it", h->rank);
        return;
    }
    if (job.fails) h->sim->ledger.disk_failures++;
    if (e->kind == MT_EVENT_SPILLED) {
        uint64_t file = job.fails ? 0 : mt_memory_write(&h->memory, job.offset, job.bytes);
        mt_core_spilled(h->core, job.ticket, file, !job.fails);
    } else {
        if (!job.fails && !mt_memory_read(&h->memory, job.file, job.offset, job.bytes))
            mt_ledger_violate(&h->sim->ledger, "rank %d reads spill file %llu, which is not there", h->rank, (unsigned long long)job.file);
        mt_core_restored(h->core, job.ticket, !job.fails);
    }
}

void mt_host_event(mt_host *h, const mt_event *e) {
    if (e->kind == MT_EVENT_SPILLED || e->kind == MT_EVENT_RESTORED) h->sim->disk_jobs--;
    if (h->alive) {
        mt_packet *packet = e->data;
        switch (e->kind) {
        case MT_EVENT_MESSAGE:
        case MT_EVENT_SERVED: mt_core_receive(h->core, packet->source, packet->data, packet->bytes); break;
        case MT_EVENT_TICK: tick(h); break;
        case MT_EVENT_SPILLED:
        case MT_EVENT_RESTORED: disk_done(h, e); break;
        case MT_EVENT_DESTROY: mt_body_destroy_actor(h, e->data); break;
        case MT_EVENT_FENCED: mt_simulator_kill(h->sim, h->rank); break;
        case MT_EVENT_GONE: mt_core_peer_gone(h->core, (int)e->number); break;
        case MT_EVENT_NAMED:
        case MT_EVENT_MET: mt_body_answer(h, e); break;
        default: break;
        }
    }
    if (e->kind == MT_EVENT_MESSAGE || e->kind == MT_EVENT_SERVED || e->kind == MT_EVENT_SPILLED || e->kind == MT_EVENT_RESTORED ||
        e->kind == MT_EVENT_NAMED || e->kind == MT_EVENT_MET)
        free(e->data);
}
