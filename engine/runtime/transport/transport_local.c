// Virtual ranks in one process: a mesh in private memory, one transport per rank. A rank whose transport has been destroyed is
// gone for the others, so that the loss of a rank can be played too. The memory goes with the last of them.
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "engine/runtime/transport/doorbell.h"
#include "engine/runtime/transport/mesh.h"
#include "engine/runtime/transport/transport.h"

typedef struct world {
    atomic_int users;
    char *base; // owned mapping: pages appear as they are touched
    size_t bytes;
    int *node_of; // owned (size)
} world;

typedef struct local {
    mt_transport transport;
    mt_mesh *mesh; // owned
    world *world;  // shared
} local;

static local *local_of(mt_transport *t) { return (local *)(void *)t; }

static void local_send(mt_transport *t, int dst, const mt_piece *pieces, int count) {
    mt_mesh_send(local_of(t)->mesh, dst, pieces, count);
}
static int local_poll(mt_transport *t, mt_deliver_fn deliver, void *context, int budget) {
    return mt_mesh_poll(local_of(t)->mesh, deliver, context, budget);
}
static int local_pending(mt_transport *t) { return mt_mesh_pending(local_of(t)->mesh); }
static void local_set_asleep(mt_transport *t, int asleep) { mt_mesh_set_asleep(local_of(t)->mesh, asleep); }
static void local_sleep(mt_transport *t, int64_t deadline_ns) { mt_mesh_sleep(local_of(t)->mesh, deadline_ns); }
static void local_ring(mt_transport *t) { mt_mesh_ring(local_of(t)->mesh); }
static int local_alive(mt_transport *t, int rank) { return mt_mesh_alive(local_of(t)->mesh, rank); }
static size_t local_queued_bytes(mt_transport *t) { return mt_mesh_queued_bytes(local_of(t)->mesh); }

static void world_leave(world *w) {
    if (atomic_fetch_sub(&w->users, 1) != 1) return;
    if (w->base) munmap(w->base, w->bytes);
    free(w->node_of);
    free(w);
}

static void local_destroy(mt_transport *t) {
    local *self = local_of(t);
    mt_mesh_destroy(self->mesh);
    world_leave(self->world);
    free(self);
}

static const mt_transport_ops local_ops = {
    .name = "local",
    .send = local_send,
    .poll = local_poll,
    .pending = local_pending,
    .set_asleep = local_set_asleep,
    .sleep = local_sleep,
    .ring = local_ring,
    .alive = local_alive,
    .queued_bytes = local_queued_bytes,
    .destroy = local_destroy,
};

static mt_status rank_create(world *w, const mt_mesh_desc *desc, int nodes, mt_transport **out) {
    local *self = calloc(1, sizeof *self);
    if (!self) return MT_FAIL(NO_MEMORY, "local transport: out of memory");
    mt_status status = mt_mesh_create(desc, &self->mesh);
    if (status != MT_OK) {
        free(self);
        return status;
    }
    self->world = w;
    atomic_fetch_add(&w->users, 1);
    self->transport = (mt_transport){.ops = &local_ops,
        .rank = desc->member,
        .size = desc->members,
        .node = w->node_of[desc->member],
        .node_count = nodes,
        .node_of = w->node_of};
    *out = &self->transport;
    return MT_OK;
}

mt_status mt_transport_local_create(int size, int nodes, mt_transport **out) {
    if (size < 1 || size > 1024 || nodes < 1 || nodes > size)
        return MT_FAIL(INVALID_ARGUMENT, "local transport: %d ranks on %d nodes: 1 to 1024 ranks on no more nodes", size, nodes);
    mt_mesh_desc desc = {.members = size, .capacity = mt_mesh_ring_capacity(size), .fenced = !mt_barriers_register()};
    world *w = calloc(1, sizeof *w);
    mt_status status = MT_OK;
    if (!w) return MT_FAIL(NO_MEMORY, "local transport: out of memory");
    for (int r = 0; r < size; r++) out[r] = NULL;
    w->users = 1;
    w->node_of = calloc((size_t)size * 2, sizeof *w->node_of); // and, behind it, the ranks of the members
    w->bytes = (size_t)size * mt_mesh_part_bytes(size, desc.capacity);
    void *base = mmap(NULL, w->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base != MAP_FAILED) w->base = base;
    if (!w->node_of || !w->base) status = MT_FAIL(NO_MEMORY, "local transport of %d ranks: out of memory", size);
    if (status == MT_OK) {
        for (int r = 0; r < size; r++) w->node_of[r] = (int)((int64_t)r * nodes / size), w->node_of[size + r] = r;
        desc.base = w->base;
        desc.ranks = w->node_of + size;
    }
    for (int r = 0; r < size && status == MT_OK; r++) {
        desc.member = r;
        status = rank_create(w, &desc, nodes, &out[r]);
    }
    for (int r = 0; r < size && status != MT_OK; r++) {
        if (out[r]) local_destroy(out[r]);
        out[r] = NULL;
    }
    world_leave(w);
    return status;
}
