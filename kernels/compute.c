// Computing on the cpu device, and the way to the others.
#include "kernels/compute.h"

#include <stdlib.h>
#include <string.h>
#include "engine/base/arena.h"
#if MANTA_CUDA
#include "kernels/cuda/compute.h"
#endif

// ---- the cpu: everything is done at once

typedef struct cpu_compute {
    mt_compute base;
    mt_comm *comm;   // borrowed. Nullable
} cpu_compute;

static void cpu_close(mt_compute *c) { free(c); }
static void cpu_begin(mt_compute *c) { (void)c; }
static mt_status cpu_end(mt_compute *c) { return (void)c, MT_OK; }
static mt_status cpu_wait(mt_compute *c) { return (void)c, MT_OK; }

static void cpu_watch(mt_compute *c, const mt_progress *progress) { (void)c, (void)progress; }

static mt_status cpu_copy(mt_compute *c, void *to, const void *from, size_t bytes) {
    (void)c;
    memmove(to, from, bytes);
    return MT_OK;
}

static mt_status cpu_pinned_alloc(const mt_compute *c, size_t bytes, void **out) { return mt_device_alloc(c->device, bytes, out); }
static void cpu_pinned_free(const mt_compute *c, void *memory) { mt_device_free(c->device, memory); }

static mt_status cpu_join(mt_compute *c, mt_comm *comm, size_t most_bytes) {
    (void)most_bytes;
    ((cpu_compute *)c)->comm = comm;
    return MT_OK;
}

static mt_status cpu_allreduce(mt_compute *c, void *data, size_t count, mt_dtype dtype) {
    mt_comm *comm = ((cpu_compute *)c)->comm;
    return comm ? mt_comm_allreduce(comm, data, data, count, dtype, MT_REDUCE_SUM, MT_REDUCE_ORDERED) : MT_OK;
}

static mt_status cpu_reduce(mt_compute *c, float *data, size_t count, float *inbox) {
    (void)inbox;
    return cpu_allreduce(c, data, count, MT_F32);
}

static mt_status cpu_broadcast(mt_compute *c, void *data, size_t bytes) {
    mt_comm *comm = ((cpu_compute *)c)->comm;
    return comm ? mt_comm_broadcast(comm, data, bytes, 0) : MT_OK;
}

static int cpu_capturable(const mt_compute *c) { return (void)c, 0; }

static const mt_compute_ops cpu_ops = {
    .close = cpu_close,
    .begin = cpu_begin,
    .end = cpu_end,
    .copy = cpu_copy,
    .wait = cpu_wait,
    .watch = cpu_watch,
    .pinned_alloc = cpu_pinned_alloc,
    .pinned_free = cpu_pinned_free,
    .join = cpu_join,
    .allreduce = cpu_allreduce,
    .reduce = cpu_reduce,
    .broadcast = cpu_broadcast,
    .capturable = cpu_capturable,
};

static mt_status cpu_open(const mt_compute_desc *desc, mt_compute **out) {
    cpu_compute *c = calloc(1, sizeof *c);
    if (!c) return MT_FAIL(NO_MEMORY, "out of memory while preparing to compute on %s", desc->device->name);
    c->base = (mt_compute){.ops = &cpu_ops, .kernels = desc->cpu, .device = desc->device};
    *out = &c->base;
    return MT_OK;
}

// ---- any

mt_status mt_compute_open(const mt_compute_desc *desc, mt_compute **out) {
    *out = NULL;
#if MANTA_CUDA
    if (desc->device->kind == MT_DEVICE_CUDA) return mt_cuda_compute_open(desc, out);
#endif
    return cpu_open(desc, out);
}

void mt_compute_close(mt_compute *c) {
    if (c) c->ops->close(c);
}

void mt_compute_begin(mt_compute *c) { c->ops->begin(c); }
mt_status mt_compute_end(mt_compute *c) { return c->ops->end(c); }

mt_status mt_compute_copy(mt_compute *c, void *to, const void *from, size_t bytes) {
    return bytes ? c->ops->copy(c, to, from, bytes) : MT_OK;
}

mt_status mt_compute_wait(mt_compute *c) { return c->ops->wait(c); }
void mt_compute_watch(mt_compute *c, const mt_progress *progress) { c->ops->watch(c, progress); }

mt_status mt_compute_pinned_alloc(const mt_compute *c, size_t bytes, void **out) {
    *out = NULL;
    return bytes ? c->ops->pinned_alloc(c, bytes, out) : MT_OK;
}

void mt_compute_pinned_free(const mt_compute *c, void *memory) {
    if (memory) c->ops->pinned_free(c, memory);
}

mt_status mt_compute_join(mt_compute *c, mt_comm *comm, size_t most_bytes) { return c->ops->join(c, comm, most_bytes); }

mt_status mt_compute_allreduce(mt_compute *c, void *data, size_t count, mt_dtype dtype) {
    return count ? c->ops->allreduce(c, data, count, dtype) : MT_OK;
}

mt_status mt_compute_reduce(mt_compute *c, float *data, size_t count, float *inbox) {
    return count ? c->ops->reduce(c, data, count, inbox) : MT_OK;
}

mt_status mt_compute_broadcast(mt_compute *c, void *data, size_t bytes) { return bytes ? c->ops->broadcast(c, data, bytes) : MT_OK; }

int mt_compute_capturable(const mt_compute *c) { return c->ops->capturable(c); }

mt_status mt_compute_capture(mt_compute *c, mt_status (*record)(void *context), void *context, mt_graph **out) {
    MT_ASSERT(mt_compute_capturable(c));
    return c->ops->capture(c, record, context, out);
}

mt_status mt_compute_launch(mt_compute *c, const mt_graph *graph) { return c->ops->launch(c, graph); }

void mt_compute_graph_destroy(const mt_compute *c, mt_graph *graph) {
    if (graph) c->ops->graph_destroy(graph);
}
