// A compute of the cuda device: context, layers' libraries, the group of ranks that it sums with. See kernels/compute.h.
#include "kernels/cuda/compute.h"

#include <stdio.h>
#include <stdlib.h>
#include "engine/collective/gpu_group.h"
#include "engine/device/cuda_graph.h"

enum { COMPONENTS_MOST = 256, RESULTS = 2, SCRATCH_BESIDE = 4 << 20 };

static mt_cuda_compute *own(mt_compute *c) { return (mt_cuda_compute *)c; }
static const mt_cuda_compute *own_const(const mt_compute *c) { return (const mt_cuda_compute *)c; }

// ---- life

static void cuda_close(mt_compute *base) {
    mt_cuda_compute *c = own(base);
    if (c->cuda.stream) (void)mt_cuda_sync(&c->cuda);
    mt_gpu_group_destroy(c->group);
    mt_cuda_dnn_destroy(c->dnn);
    mt_cuda_dense_destroy(c->dnn_dense);
    mt_cuda_dense_destroy(c->dense);
    mt_device_free(base->device, c->results);
    mt_device_free(base->device, c->nvec);
    mt_cuda_fini(&c->cuda);
    free(c->host_nvec);
    free(c);
}

// bf16 would round the recurrent layers' weights again at each step: theirs are TF32 then
static mt_status open_layers(mt_cuda_compute *c, mt_precision precision) {
    static const mt_cuda_precision precisions[] = {
        [MT_PRECISION_FP32] = MT_CUDA_FP32, [MT_PRECISION_TF32] = MT_CUDA_TF32, [MT_PRECISION_BF16] = MT_CUDA_BF16};
    MT_TRY(mt_cuda_dense_create(&c->cuda, precisions[precision], &c->dense));
    if (precision == MT_PRECISION_BF16) MT_TRY(mt_cuda_dense_create(&c->cuda, MT_CUDA_TF32, &c->dnn_dense));
    return mt_cuda_dnn_create(&c->cuda, c->dnn_dense ? c->dnn_dense : c->dense, precision != MT_PRECISION_FP32, &c->dnn);
}

// A table of embeddings is added up in doubles; weights in bf16 take half the bytes of a float, in half of the scratch.
static size_t scratch_of(const mt_compute_desc *desc) {
    size_t usual = desc->scratch_bytes ? desc->scratch_bytes : MT_CUDA_WORKSPACE_BYTES;
    size_t most = desc->largest_array ? sizeof(double) * (size_t)desc->largest_array + SCRATCH_BESIDE : 0;
    return most > usual ? most : usual;
}

static mt_status build(mt_cuda_compute *c, const mt_compute_desc *desc) {
    MT_TRY(mt_cuda_init(&c->cuda, desc->device, scratch_of(desc)));
    MT_TRY(open_layers(c, desc->precision));
    c->host_nvec = calloc(COMPONENTS_MOST, sizeof *c->host_nvec);
    if (!c->host_nvec) return MT_FAIL(NO_MEMORY, "out of memory while preparing to compute on %s", desc->device->name);
    MT_TRY(mt_device_alloc(desc->device, sizeof *c->results * RESULTS, (void **)&c->results));
    return mt_device_alloc(desc->device, sizeof *c->nvec * COMPONENTS_MOST, (void **)&c->nvec);
}

// ---- passes

static void cuda_begin(mt_compute *base) {
    mt_cuda_compute *c = own(base);
    c->status = MT_OK;
    mt_cuda_table_enter(c);
}

static mt_status cuda_end(mt_compute *base) {
    const mt_cuda_compute *c = own_const(base);
    mt_cuda_table_enter(NULL);
    return c->status == MT_OK ? MT_OK : mt_fail(c->status, __FILE__, __LINE__, "%s", c->message);
}

static mt_status cuda_copy(mt_compute *base, void *to, const void *from, size_t bytes) {
    return mt_cuda_stream_copy(base->device, own(base)->cuda.stream, to, from, bytes);
}

static mt_status cuda_wait(mt_compute *base) {
    mt_cuda_compute *c = own(base);
    mt_progress *progress = c->progress.count ? &c->progress : NULL;
    return c->group ? mt_gpu_group_wait(c->group, c->cuda.stream, progress) : mt_cuda_stream_wait(base->device, c->cuda.stream, progress);
}

static void cuda_watch(mt_compute *base, const mt_progress *progress) { own(base)->progress = *progress; }

static mt_status cuda_pinned_alloc(const mt_compute *c, size_t bytes, void **out) {
    return mt_cuda_pinned_alloc(c->device, bytes, out);
}
static void cuda_pinned_free(const mt_compute *c, void *memory) { mt_cuda_pinned_free(c->device, memory); }

// ---- ranks

static mt_status cuda_join(mt_compute *base, mt_comm *comm, size_t most_bytes) {
    mt_cuda_compute *c = own(base);
    c->comm = comm;
    return mt_gpu_group_create(comm, base->device, most_bytes, 0, &c->group);
}

static mt_status cuda_allreduce(mt_compute *base, void *data, size_t count, mt_dtype dtype) {
    mt_cuda_compute *c = own(base);
    return c->group ? mt_gpu_group_allreduce(c->group, c->cuda.stream, data, count, dtype, MT_REDUCE_SUM) : MT_OK;
}

// the first rank hears the others one after the other: it has room for one
static mt_status cuda_reduce(mt_compute *base, float *data, size_t count, float *inbox) {
    mt_cuda_compute *c = own(base);
    if (!c->group) return MT_OK;
    if (mt_comm_rank(c->comm) > 0) return mt_gpu_group_send(c->group, c->cuda.stream, data, sizeof *data * count, 0);
    for (int r = 1; r < mt_comm_size(c->comm); r++) {
        MT_TRY(mt_gpu_group_receive(c->group, c->cuda.stream, inbox, sizeof *data * count, r));
        MT_TRY(mt_cuda_axpy(&c->cuda, (int64_t)count, 1.0f, inbox, data));
    }
    return MT_OK;
}

static mt_status cuda_broadcast(mt_compute *base, void *data, size_t bytes) {
    mt_cuda_compute *c = own(base);
    return c->group ? mt_gpu_group_broadcast(c->group, c->cuda.stream, data, bytes, 0) : MT_OK;
}

// ---- graphs: an mt_graph is the device's

static int cuda_capturable(const mt_compute *base) {
    const mt_cuda_compute *c = own_const(base);
    return !c->group || mt_gpu_group_capturable(c->group);
}

static mt_status cuda_capture(mt_compute *base, mt_status (*record)(void *context), void *context, mt_graph **out) {
    return mt_cuda_graph_capture(base->device, own(base)->cuda.stream, record, context, (mt_cuda_graph **)out);
}
static mt_status cuda_launch(mt_compute *base, const mt_graph *graph) {
    return mt_cuda_graph_launch((const mt_cuda_graph *)graph, own(base)->cuda.stream);
}
static void cuda_graph_destroy(mt_graph *graph) { mt_cuda_graph_destroy((mt_cuda_graph *)graph); }

static const mt_compute_ops cuda_ops = {
    .close = cuda_close,
    .begin = cuda_begin,
    .end = cuda_end,
    .copy = cuda_copy,
    .wait = cuda_wait,
    .watch = cuda_watch,
    .pinned_alloc = cuda_pinned_alloc,
    .pinned_free = cuda_pinned_free,
    .join = cuda_join,
    .allreduce = cuda_allreduce,
    .reduce = cuda_reduce,
    .broadcast = cuda_broadcast,
    .capturable = cuda_capturable,
    .capture = cuda_capture,
    .launch = cuda_launch,
    .graph_destroy = cuda_graph_destroy,
};

mt_status mt_cuda_compute_open(const mt_compute_desc *desc, mt_compute **out) {
    mt_cuda_compute *c = calloc(1, sizeof *c);
    if (!c) return MT_FAIL(NO_MEMORY, "out of memory while preparing to compute on %s", desc->device->name);
    c->base = (mt_compute){.ops = &cuda_ops, .kernels = &mt_cuda_kernels, .device = desc->device};
    mt_status status = build(c, desc);
    if (status != MT_OK) {
        cuda_close(&c->base);
        return status;
    }
    *out = &c->base;
    return MT_OK;
}
