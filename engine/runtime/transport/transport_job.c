// The job's transport: a mesh in shared memory inside the node, MPI between nodes. Created collectively by the main thread;
// after that a job of one node calls no MPI at all.
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/collective/agree.h"
#include "engine/collective/comm.h"
#include "engine/collective/mpi.h"
#include "engine/collective/mpi_wait.h"
#include "engine/runtime/transport/doorbell.h"
#include "engine/runtime/transport/mesh.h"
#include "engine/runtime/transport/network.h"
#include "engine/runtime/transport/transport.h"

enum { PAGE = 4096 };
#define NAP_LEAST_NS (50 * MT_MICROSECOND_NS) // between looks at MPI while asleep: this, growing to the other
#define NAP_MOST_NS  MT_MILLISECOND_NS

typedef struct job {
    mt_transport transport;
    mt_mesh *mesh;       // owned
    mt_network *network; // owned; NULL: one node
    int *node_of;        // owned (size)
    int *member_of;      // owned (size): in the mesh; -1: on another node
    mt_shm_segment segment; // owned, behind the mesh
    void *private_part;     // owned, behind the mesh of a rank that is alone on its node
} job;

static job *job_of(mt_transport *t) { return (job *)(void *)t; }

static void job_send(mt_transport *t, int dst, const mt_piece *pieces, int count) {
    job *self = job_of(t);
    int member = self->member_of[dst];
    if (__builtin_expect(member >= 0, 1)) mt_mesh_send(self->mesh, member, pieces, count);
    else mt_network_send(self->network, dst, pieces, count, !mt_mesh_asleep(self->mesh));
}

static int job_poll(mt_transport *t, mt_deliver_fn deliver, void *context, int budget) {
    job *self = job_of(t);
    int delivered = mt_mesh_poll(self->mesh, deliver, context, budget);
    if (self->network) delivered += mt_network_poll(self->network, deliver, context, budget - delivered);
    return delivered;
}

static int job_pending(mt_transport *t) {
    job *self = job_of(t);
    return mt_mesh_pending(self->mesh) || (self->network && mt_network_pending(self->network));
}

static void job_set_asleep(mt_transport *t, int asleep) { mt_mesh_set_asleep(job_of(t)->mesh, asleep); }
static void job_ring(mt_transport *t) { mt_mesh_ring(job_of(t)->mesh); }

// MPI wakes nobody: naps between looks at it. While another thread polls, that one looks.
static void job_sleep(mt_transport *t, int64_t deadline_ns) {
    job *self = job_of(t);
    if (!self->network) {
        mt_mesh_sleep(self->mesh, deadline_ns);
        return;
    }
    for (int64_t nap = NAP_LEAST_NS;; nap = nap * 5 / 4 < NAP_MOST_NS ? nap * 5 / 4 : NAP_MOST_NS) {
        int64_t until = mt_deadline_after(nap);
        if (mt_mesh_asleep(self->mesh) && mt_network_probe(self->network)) return;
        if (mt_mesh_nap(self->mesh, until < deadline_ns ? until : deadline_ns)) return;
        if (mt_network_receiving(self->network)) return;
        if (mt_deadline_passed(deadline_ns)) break;
    }
    mt_mesh_sleep(self->mesh, deadline_ns); // has passed: looks after the processes
}

static int job_alive(mt_transport *t, int rank) {
    job *self = job_of(t);
    int member = self->member_of[rank];
    return member >= 0 ? mt_mesh_alive(self->mesh, member) : mt_network_alive(self->network, rank);
}

static size_t job_queued_bytes(mt_transport *t) {
    job *self = job_of(t);
    return mt_mesh_queued_bytes(self->mesh) + (self->network ? mt_network_queued_bytes(self->network) : 0);
}

static void job_destroy(mt_transport *t) {
    job *self = job_of(t);
    mt_network_destroy(self->network);
    mt_mesh_destroy(self->mesh);
    mt_shm_segment_destroy(&self->segment);
    free(self->private_part);
    free(self->member_of);
    free(self->node_of);
    free(self);
}

static const mt_transport_ops job_ops = {
    .name = "job",
    .send = job_send,
    .poll = job_poll,
    .pending = job_pending,
    .set_asleep = job_set_asleep,
    .sleep = job_sleep,
    .ring = job_ring,
    .alive = job_alive,
    .queued_bytes = job_queued_bytes,
    .destroy = job_destroy,
};

// ---- start

// The mesh of this node. All its ranks come here, and all find out together that it failed.
static mt_status mesh_open(job *self, mt_comm *world, int64_t deadline_ns) {
    mt_mesh_desc desc = {.member = world->node_rank, .members = world->node_size, .ranks = world->node_members};
    int64_t barriers = mt_barriers_register();
    desc.capacity = mt_mesh_ring_capacity(desc.members);
    size_t part_bytes = mt_mesh_part_bytes(desc.members, desc.capacity);
    if (desc.members == 1) {
        self->private_part = aligned_alloc(PAGE, part_bytes);
        if (!self->private_part) return MT_FAIL(NO_MEMORY, "transport: out of memory");
        memset(self->private_part, 0, part_bytes);
        desc.base = self->private_part;
        desc.fenced = 1; // nobody to fence off
        return mt_mesh_create(&desc, &self->mesh);
    }
    MT_TRY(mt_mpi_agree(world->node, &barriers, deadline_ns));
    desc.fenced = !barriers;
    MT_TRY(mt_shm_segment_create(&self->segment, world->node, part_bytes, deadline_ns));
    desc.base = self->segment.base;
    mt_status status = mt_mpi_agree_status(world->node, mt_mesh_create(&desc, &self->mesh), deadline_ns);
    if (status == MT_OK && self->segment.same_pids) mt_mesh_watch(self->mesh);
    return status;
}

static mt_status network_open(job *self, mt_comm *world) {
    char *near = calloc((size_t)world->size, 1);
    if (!near) return MT_FAIL(NO_MEMORY, "transport: out of memory");
    for (int r = 0; r < world->size; r++) near[r] = self->member_of[r] >= 0;
    mt_status status = mt_network_create(world->all, near, &self->network);
    free(near);
    return status;
}

mt_status mt_transport_job_create(mt_comm *world, mt_transport **out) {
    job *self = calloc(1, sizeof *self);
    int64_t deadline_ns = mt_deadline_after(world->timeout_ns);
    mt_status status = MT_OK;
    *out = NULL;
    if (self) self->node_of = calloc((size_t)world->size, sizeof *self->node_of);
    if (self) self->member_of = calloc((size_t)world->size, sizeof *self->member_of);
    if (!self || !self->node_of || !self->member_of)
        status = MT_FAIL(NO_MEMORY, "transport of %d ranks: out of memory", world->size);
    status = mt_mpi_agree_status(world->all, status, deadline_ns);
    if (status == MT_OK) {
        for (int r = 0; r < world->size; r++) {
            self->node_of[r] = world->node_index_of[r];
            self->member_of[r] = self->node_of[r] == world->node_index ? world->node_rank_of[r] : -1;
        }
        self->transport = (mt_transport){.ops = &job_ops,
            .rank = world->rank,
            .size = world->size,
            .node = world->node_index,
            .node_count = world->node_count,
            .node_of = self->node_of};
        status = mesh_open(self, world, deadline_ns);
        if (status == MT_OK && world->node_count > 1) status = network_open(self, world);
        if (status != MT_COMM) status = mt_mpi_agree_status(world->all, status, deadline_ns);
    }
    if (status == MT_OK) *out = &self->transport;
    else if (self) job_destroy(&self->transport);
    return status;
}

mt_status mt_transport_job_exchange(mt_comm *world, const void *mine, void *all, size_t bytes) {
    return mt_comm_allgather(world, mine, all, bytes);
}
