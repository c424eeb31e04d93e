// The collectives as programs of stages: within the node, between the nodes' leaders, within the node again. On one
// node every program is a single shared-memory stage. The comm's thread only.
#include "engine/collective/comm.h"

mt_stage *mt_comm_add_stage(mt_comm_request *request, mt_stage_kind kind) {
    MT_ASSERT(request->stage_count < MT_STAGES_MAX);
    mt_stage *stage = &request->stages[request->stage_count++];
    stage->kind = kind;
    if (kind != MT_STAGE_SHM) stage->mpi = (mt_mpi_stage){.element = 1, .slabs = 1};
    return stage;
}

// the stages of a request are set up by those who add them, so that a short program costs little
void mt_comm_request_begin(mt_comm_request *request, mt_comm *comm, const char *name) {
    request->comm = comm;
    request->next = NULL;
    request->name = name;
    request->on_heap = request->done = request->stage = request->stage_count = 0;
}

static mt_shm_op *add_shm(mt_comm_request *request) { return &mt_comm_add_stage(request, MT_STAGE_SHM)->shm; }

static mt_mpi_stage *add_mpi(mt_comm_request *request, mt_stage_kind kind) {
    return &mt_comm_add_stage(request, kind)->mpi;
}

void mt_comm_add_reduce_tail(mt_comm_request *request, void *dst, size_t count, mt_dtype dtype, mt_reduce_op op) {
    mt_comm *comm = request->comm;
    if (comm->node_count == 1) return;
    if (mt_comm_is_leader(comm)) {
        mt_mpi_stage *s = add_mpi(request, MT_STAGE_MPI_ALLREDUCE);
        s->dst = dst;
        s->count = count;
        s->element = mt_dtype_bytes(dtype);
        s->dtype = dtype;
        s->op = op;
    }
    mt_shm_op_broadcast(add_shm(request), &comm->group, dst, count * mt_dtype_bytes(dtype), 0);
}

static mt_status plan_allreduce(mt_comm_request *request, mt_comm *comm, const void *src, void *dst, size_t count,
    mt_dtype dtype, mt_reduce_op op, unsigned flags) {
    mt_reduce_fn *reduce = mt_reduce_find(dtype, op);
    size_t bytes;
    mt_comm_request_begin(request, comm, "all-reduce");
    if (!reduce)
        return MT_FAIL(INVALID_ARGUMENT,
            "all-reduce: no reduction %d of type %s; there are sum, max and min of F32, F64, I64", (int)op,
            mt_dtype_name(dtype));
    if (__builtin_mul_overflow(count, mt_dtype_bytes(dtype), &bytes) || (count > 0 && (!src || !dst)))
        return MT_FAIL(INVALID_ARGUMENT, "all-reduce: bad buffer or count (%zu)", count);
    // only a sum of floating-point numbers depends on the order
    int ordered = (flags & MT_REDUCE_ORDERED) && op == MT_REDUCE_SUM && dtype != MT_I64;
    if (ordered && comm->node_count > 1) {
        mt_mpi_stage *s = add_mpi(request, MT_STAGE_MPI_ORDERED);
        s->src = src;
        s->dst = dst;
        s->count = count;
        s->element = mt_dtype_bytes(dtype);
        s->dtype = dtype;
        s->op = op;
        return MT_OK;
    }
    mt_shm_op_allreduce(add_shm(request), &comm->group, src, dst, count, mt_dtype_bytes(dtype), reduce);
    mt_comm_add_reduce_tail(request, dst, count, dtype, op);
    return MT_OK;
}

static mt_status plan_broadcast(mt_comm_request *request, mt_comm *comm, void *data, size_t bytes, int root) {
    mt_comm_request_begin(request, comm, "broadcast");
    if (root < 0 || root >= comm->size || (bytes > 0 && !data))
        return MT_FAIL(INVALID_ARGUMENT, "broadcast: bad buffer or root (%d of %d ranks)", root, comm->size);
    int home = comm->node_index_of[root], here = home == comm->node_index;
    if (here) mt_shm_op_broadcast(add_shm(request), &comm->group, data, bytes, comm->node_rank_of[root]);
    if (comm->node_count == 1) return MT_OK;
    if (mt_comm_is_leader(comm)) {
        mt_mpi_stage *s = add_mpi(request, MT_STAGE_MPI_BROADCAST);
        s->dst = data;
        s->count = bytes;
        s->root = home;
    }
    if (!here) mt_shm_op_broadcast(add_shm(request), &comm->group, data, bytes, 0);
    return MT_OK;
}

static mt_status plan_allgather(mt_comm_request *request, mt_comm *comm, const void *src, void *dst, size_t bytes) {
    size_t total;
    mt_comm_request_begin(request, comm, "all-gather");
    if ((bytes > 0 && (!src || !dst)) || __builtin_mul_overflow(bytes, (size_t)comm->size, &total))
        return MT_FAIL(
            INVALID_ARGUMENT, "all-gather: bad buffer or size (%zu bytes of each of %d ranks)", bytes, comm->size);
    if (comm->node_count == 1) {
        mt_shm_op_gather(add_shm(request), &comm->group, src, dst, bytes);
        return MT_OK;
    }
    mt_mpi_stage *s = add_mpi(request, MT_STAGE_MPI_ALLGATHER);
    s->src = src;
    s->dst = dst;
    s->count = bytes;
    return MT_OK;
}

static mt_status plan_barrier(mt_comm_request *request, mt_comm *comm) {
    mt_comm_request_begin(request, comm, "barrier");
    mt_shm_op_barrier(add_shm(request));
    if (comm->node_count == 1) return MT_OK;
    if (mt_comm_is_leader(comm)) add_mpi(request, MT_STAGE_MPI_BARRIER);
    mt_shm_op_barrier(add_shm(request));
    return MT_OK;
}

// ---- blocking
// --------------------------------------------------------------------------------------------------------

mt_status mt_comm_allreduce(
    mt_comm *comm, const void *src, void *dst, size_t count, mt_dtype dtype, mt_reduce_op op, unsigned flags) {
    mt_comm_request request;
    MT_TRY(plan_allreduce(&request, comm, src, dst, count, dtype, op, flags));
    return mt_comm_run(&request);
}

mt_status mt_comm_broadcast(mt_comm *comm, void *data, size_t bytes, int root) {
    mt_comm_request request;
    MT_TRY(plan_broadcast(&request, comm, data, bytes, root));
    return mt_comm_run(&request);
}

mt_status mt_comm_allgather(mt_comm *comm, const void *src, void *dst, size_t bytes) {
    mt_comm_request request;
    MT_TRY(plan_allgather(&request, comm, src, dst, bytes));
    return mt_comm_run(&request);
}

mt_status mt_comm_barrier(mt_comm *comm) {
    mt_comm_request request;
    MT_TRY(plan_barrier(&request, comm));
    return mt_comm_run(&request);
}

// ---- non-blocking
// ----------------------------------------------------------------------------------------------------

mt_status mt_comm_allreduce_start(mt_comm *comm, const void *src, void *dst, size_t count, mt_dtype dtype,
    mt_reduce_op op, unsigned flags, mt_comm_request **out) {
    mt_comm_request request;
    *out = NULL;
    MT_TRY(plan_allreduce(&request, comm, src, dst, count, dtype, op, flags));
    return mt_comm_launch(&request, out);
}

mt_status mt_comm_broadcast_start(mt_comm *comm, void *data, size_t bytes, int root, mt_comm_request **out) {
    mt_comm_request request;
    *out = NULL;
    MT_TRY(plan_broadcast(&request, comm, data, bytes, root));
    return mt_comm_launch(&request, out);
}

mt_status mt_comm_allgather_start(mt_comm *comm, const void *src, void *dst, size_t bytes, mt_comm_request **out) {
    mt_comm_request request;
    *out = NULL;
    MT_TRY(plan_allgather(&request, comm, src, dst, bytes));
    return mt_comm_launch(&request, out);
}

mt_status mt_comm_barrier_start(mt_comm *comm, mt_comm_request **out) {
    mt_comm_request request;
    *out = NULL;
    MT_TRY(plan_barrier(&request, comm));
    return mt_comm_launch(&request, out);
}
