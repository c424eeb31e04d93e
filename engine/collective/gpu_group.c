// Ranks that train together on their GPUs: which way, and the way by main memory and MPI. One thread at a time.
//
// Staging: one pinned buffer, which is the operation's from the wait for the stream until the copy back has run; the next operation
// waits for the stream first, so that one buffer is enough. Messages between two ranks are MPI's own, with the comm's deadline.
#include "engine/collective/gpu_group.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include "engine/base/log.h"
#include "engine/collective/agree.h"
#include "engine/collective/comm.h"
#include "engine/collective/gpus.h"
#include "engine/collective/mpi.h"
#include "engine/collective/mpi_wait.h"
#include "engine/collective/nccl.h"

enum { STAGE_BYTES_MOST = 64 << 20, STAGE_BYTES_LEAST = 4096, TAG = 0x6770 };

struct mt_gpu_group {
    mt_comm *comm;           // borrowed
    const mt_device *device; // borrowed
    mt_nccl *nccl;           // owned; NULL: staging
    char *stage;             // owned, pinned; staging alone
    size_t stage_bytes;
    int broken;              // staging: an operation failed
};

// ---- making a group

static mt_status open_stage(mt_gpu_group *group, size_t most_bytes) {
    group->stage_bytes = most_bytes < STAGE_BYTES_MOST ? (most_bytes + 7) / 8 * 8 : STAGE_BYTES_MOST; // of whole elements
    if (group->stage_bytes < STAGE_BYTES_LEAST) group->stage_bytes = STAGE_BYTES_LEAST;
    return mt_comm_agree(group->comm, mt_cuda_pinned_alloc(group->device, group->stage_bytes, (void **)&group->stage));
}

static mt_status open_way(mt_gpu_group *group, mt_device *device, size_t most_bytes, unsigned flags) {
    mt_gpu_meeting meeting;
    MT_TRY(mt_gpu_meet(group->comm, device, &meeting));
    if (meeting.without >= 0) return mt_nccl_create(group->comm, device, &meeting, &group->nccl); // says what is wrong
    if (meeting.shared[0] < 0 && !(flags & MT_GPU_THROUGH_HOST)) return mt_nccl_create(group->comm, device, &meeting, &group->nccl);
    if (mt_comm_rank(group->comm) == 0 && meeting.shared[0] >= 0)
        mt_log_info("ranks %d and %d share the %s: what goes between GPUs goes through main memory and MPI, since NCCL wants a GPU of "
                    "its own for each rank", meeting.shared[0], meeting.shared[1], meeting.where);
    return open_stage(group, most_bytes);
}

mt_status mt_gpu_group_create(mt_comm *comm, mt_device *device, size_t most_bytes, unsigned flags, mt_gpu_group **out) {
    *out = NULL;
    mt_gpu_group *group = calloc(1, sizeof *group);
    mt_status status = group ? MT_OK : MT_FAIL(NO_MEMORY, "out of memory for a group of GPUs");
    MT_TRY(mt_comm_agree(comm, status));
    group->comm = comm;
    group->device = device;
    status = open_way(group, device, most_bytes, flags);
    if (status != MT_OK) {
        mt_gpu_group_destroy(group);
        return status;
    }
    *out = group;
    return MT_OK;
}

void mt_gpu_group_destroy(mt_gpu_group *group) {
    if (!group) return;
    mt_nccl_destroy(group->nccl);
    mt_cuda_pinned_free(group->device, group->stage);
    free(group);
}

int mt_gpu_group_capturable(const mt_gpu_group *group) { return group->nccl != NULL || mt_comm_size(group->comm) == 1; }

// ---- staging

// What is done with a part of an operation while it stands in main memory.
typedef struct stage_work {
    mt_status (*run)(mt_gpu_group *group, const struct stage_work *work, size_t bytes);
    mt_dtype dtype;
    mt_reduce_op op;
    int peer; // or root
} stage_work;

enum { TO_HOST = 1, TO_DEVICE = 2 };

static mt_status staged_part(mt_gpu_group *group, mt_stream stream, char *data, size_t bytes, int ways, const stage_work *work) {
    if (ways & TO_HOST) MT_TRY(mt_cuda_stream_copy(group->device, stream, group->stage, data, bytes));
    MT_TRY(mt_cuda_stream_sync(group->device, stream)); // also: the copy back of the part before has run
    MT_TRY(work->run(group, work, bytes));
    return ways & TO_DEVICE ? mt_cuda_stream_copy(group->device, stream, data, group->stage, bytes) : MT_OK;
}

static mt_status staged(mt_gpu_group *group, mt_stream stream, void *data, size_t bytes, int ways, const stage_work *work) {
    if (mt_comm_size(group->comm) == 1) return MT_OK;
    if (group->broken || mt_comm_broken(group->comm)) return mt_comm_fail_broken(group->comm);
    mt_status status = MT_OK;
    for (size_t at = 0; at < bytes && status == MT_OK; at += group->stage_bytes)
        status = staged_part(group, stream, (char *)data + at, bytes - at < group->stage_bytes ? bytes - at : group->stage_bytes,
            ways, work);
    if (status != MT_OK) group->broken = 1; // ranks may be at different parts
    return status;
}

static mt_status run_allreduce(mt_gpu_group *group, const stage_work *work, size_t bytes) {
    return mt_comm_allreduce(group->comm, group->stage, group->stage, bytes / mt_dtype_bytes(work->dtype), work->dtype, work->op,
        MT_REDUCE_ORDERED);
}
static mt_status run_broadcast(mt_gpu_group *group, const stage_work *work, size_t bytes) {
    return mt_comm_broadcast(group->comm, group->stage, bytes, work->peer);
}

// until MPI is done with the peer, or there is a reason not to wait any longer
static mt_status wait_for_message(const mt_gpu_group *group, MPI_Request *request, int peer) {
    const int64_t deadline_ns = mt_deadline_after(mt_comm_timeout_ns(group->comm));
    char what[64];
    snprintf(what, sizeof what, "a message with rank %d", peer);
    for (int polls = 0, done = 0;; mt_mpi_backoff(&polls)) {
        mt_mpi_lock();
        mt_status status = MT_MPI(MPI_Test(request, &done, MPI_STATUS_IGNORE));
        mt_mpi_unlock();
        if (status != MT_OK || done) return status;
        status = mt_comm_check_alive(group->comm, what);
        if (status == MT_OK && mt_deadline_passed(deadline_ns))
            status = MT_FAIL(DEADLINE, "%s: deadline passed; is that rank stopped, swapping or lost?", what);
        if (status == MT_OK) continue;
        mt_mpi_mark_broken();
        return status;
    }
}

// one message, with MPI; after a failure the buffer stays with it, and so does the request
static mt_status run_message(mt_gpu_group *group, const stage_work *work, size_t bytes, int send) {
    MPI_Request *request = malloc(sizeof *request);
    if (!request) return MT_FAIL(NO_MEMORY, "out of memory for a message");
    mt_mpi_lock();
    mt_status status = send ? MT_MPI(MPI_Isend(group->stage, (int)bytes, MPI_BYTE, work->peer, TAG, group->comm->all, request))
                            : MT_MPI(MPI_Irecv(group->stage, (int)bytes, MPI_BYTE, work->peer, TAG, group->comm->all, request));
    mt_mpi_unlock();
    if (status == MT_OK) status = wait_for_message(group, request, work->peer);
    if (status == MT_OK) free(request);
    else group->stage = NULL; // MPI may still write there
    return status;
}
static mt_status run_send(mt_gpu_group *group, const stage_work *work, size_t bytes) { return run_message(group, work, bytes, 1); }
static mt_status run_receive(mt_gpu_group *group, const stage_work *work, size_t bytes) {
    return run_message(group, work, bytes, 0);
}
_Static_assert(STAGE_BYTES_MOST <= INT_MAX, "MPI counts in int");

// ---- operations

mt_status mt_gpu_group_allreduce(mt_gpu_group *group, mt_stream stream, void *data, size_t count, mt_dtype dtype, mt_reduce_op op) {
    if (dtype != MT_F32 && dtype != MT_F64 && dtype != MT_I64)
        return MT_FAIL(INVALID_ARGUMENT, "all-reduce of %s between GPUs; F32, F64 and I64 are there", mt_dtype_name(dtype));
    if (group->nccl) return mt_nccl_allreduce(group->nccl, stream, data, data, count, dtype, op);
    stage_work work = {.run = run_allreduce, .dtype = dtype, .op = op};
    return staged(group, stream, data, count * mt_dtype_bytes(dtype), TO_HOST | TO_DEVICE, &work);
}

mt_status mt_gpu_group_broadcast(mt_gpu_group *group, mt_stream stream, void *data, size_t bytes, int root) {
    if (group->nccl) return mt_nccl_broadcast(group->nccl, stream, data, bytes, root);
    stage_work work = {.run = run_broadcast, .peer = root};
    return staged(group, stream, data, bytes, mt_comm_rank(group->comm) == root ? TO_HOST : TO_DEVICE, &work);
}

static mt_status is_peer(const mt_gpu_group *group, int peer) {
    if (peer >= 0 && peer < mt_comm_size(group->comm) && peer != mt_comm_rank(group->comm)) return MT_OK;
    return MT_FAIL(INVALID_ARGUMENT, "rank %d of %d cannot send to or receive from rank %d", mt_comm_rank(group->comm),
        mt_comm_size(group->comm), peer);
}

mt_status mt_gpu_group_send(mt_gpu_group *group, mt_stream stream, const void *data, size_t bytes, int to) {
    MT_TRY(is_peer(group, to));
    if (group->nccl) return mt_nccl_send(group->nccl, stream, data, bytes, to);
    stage_work work = {.run = run_send, .peer = to};
    return staged(group, stream, (void *)(uintptr_t)data, bytes, TO_HOST, &work);
}

mt_status mt_gpu_group_receive(mt_gpu_group *group, mt_stream stream, void *data, size_t bytes, int from) {
    MT_TRY(is_peer(group, from));
    if (group->nccl) return mt_nccl_receive(group->nccl, stream, data, bytes, from);
    stage_work work = {.run = run_receive, .peer = from};
    return staged(group, stream, data, bytes, TO_DEVICE, &work);
}

mt_status mt_gpu_group_wait(mt_gpu_group *group, mt_stream stream, mt_progress *progress) {
    return group->nccl ? mt_nccl_wait(group->nccl, stream, progress) : mt_cuda_stream_wait(group->device, stream, progress);
}
