// NCCL between the ranks of a communicator. One thread at a time.
//
// Calls do not block (ncclConfig.blocking = 0): what a call has begun is settled by asking until it is no longer in progress, and
// while we ask we look for what would let us wait for ever: the library's asynchronous error, a process of this node that is gone,
// the deadline. `comm` is NULL in a group of one, whose operations are copies, and after a failure, when the library's communicator
// has been aborted.
#include "engine/collective/nccl.h"

#include <nccl.h>
#include <stdlib.h>
#include <string.h>
#include "engine/collective/agree.h"
#include "engine/collective/mpi.h"
#include "engine/collective/mpi_wait.h"
#include "engine/device/cuda_library.h"

#define END_NS (5 * MT_SECOND_NS)

struct mt_nccl {
    mt_comm *ranks;          // borrowed
    const mt_device *device; // borrowed
    ncclComm_t comm;         // owned
    int broken, gathering;   // gathering: between begin and end
};

// ---- codes

static mt_status check(const mt_nccl *nccl, ncclResult_t code, const char *call, int line) {
    if (code == ncclSuccess) return MT_OK;
    const char *more = nccl && nccl->comm ? ncclGetLastError(nccl->comm) : NULL;
    return mt_cuda_library_check(MT_LIBRARY_NCCL, (int)code, ncclGetErrorString(code), more, call, __FILE__, line);
}

static mt_status fail_broken(void) {
    return MT_FAIL(COMM, "NCCL's communicator is broken since an earlier error: save what is needed and end the job; a relaunch "
                         "resumes from the last checkpoint");
}

// ---- failure: kernels that wait for others give up

static void break_off(mt_nccl *nccl) {
    if (nccl->broken) return;
    nccl->broken = 1;
    mt_mpi_mark_broken();
    if (nccl->comm && mt_cuda_use(nccl->device) == MT_OK) ncclCommAbort(nccl->comm);
    nccl->comm = NULL;
}

// Is there a reason not to wait any longer? MT_OK: none. Breaks off otherwise. what: for the message
static mt_status look(mt_nccl *nccl, const char *what, int64_t deadline_ns) {
    ncclResult_t code = ncclSuccess;
    mt_status status = MT_OK;
    if (nccl->comm) status = check(nccl, ncclCommGetAsyncError(nccl->comm, &code), "ncclCommGetAsyncError", __LINE__);
    if (status == MT_OK && code != ncclInProgress) status = check(nccl, code, what, __LINE__);
    if (status == MT_OK) status = mt_comm_check_alive(nccl->ranks, what);
    if (status == MT_OK && mt_comm_broken(nccl->ranks))
        status = MT_FAIL(COMM, "%s: the communicator of these %d ranks broke meanwhile", what, mt_comm_size(nccl->ranks));
    if (status == MT_OK && mt_deadline_passed(deadline_ns))
        status = MT_FAIL(DEADLINE, "%s: deadline passed; not all of the %d ranks came. Is one stopped, swapping or lost?", what,
            mt_comm_size(nccl->ranks));
    if (status != MT_OK) break_off(nccl);
    return status;
}

// until what a call has begun is done, as far as the host has to do with it
static mt_status settle(mt_nccl *nccl, ncclResult_t code, const char *what, int line) {
    int64_t deadline_ns = 0;
    for (int polls = 0; code == ncclInProgress;) {
        if (deadline_ns == 0) deadline_ns = mt_deadline_after(mt_comm_timeout_ns(nccl->ranks));
        MT_TRY(look(nccl, what, deadline_ns));
        MT_TRY(check(nccl, ncclCommGetAsyncError(nccl->comm, &code), what, line));
        if (code == ncclInProgress) mt_mpi_backoff(&polls);
    }
    mt_status status = check(nccl, code, what, line);
    if (status != MT_OK) break_off(nccl);
    return status;
}

// ---- opening and closing

static mt_status refuse(const mt_gpu_meeting *meeting) {
    if (meeting->without >= 0)
        return MT_FAIL(UNSUPPORTED,
            "NCCL reduces between GPUs, and rank %d computes on none; give all ranks --device cuda, or none", meeting->without);
    if (meeting->shared[0] >= 0)
        return MT_FAIL(UNSUPPORTED,
            "NCCL wants a GPU of its own for each rank, and ranks %d and %d both compute on the %s; start fewer ranks, or let "
            "gradients go through main memory and MPI",
            meeting->shared[0], meeting->shared[1], meeting->where);
    return MT_OK;
}

// the id goes from rank 0 to all over MPI
static mt_status open_comm(mt_nccl *nccl) {
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    memset(&id, 0, sizeof id);
    mt_status status = mt_cuda_use(nccl->device);
    if (status == MT_OK && mt_comm_rank(nccl->ranks) == 0) status = check(NULL, ncclGetUniqueId(&id), "ncclGetUniqueId", __LINE__);
    MT_TRY(mt_comm_agree(nccl->ranks, status));
    MT_TRY(mt_comm_broadcast(nccl->ranks, &id, sizeof id, 0));
    config.blocking = 0;
    status = settle(nccl, ncclCommInitRankConfig(&nccl->comm, mt_comm_size(nccl->ranks), id, mt_comm_rank(nccl->ranks), &config),
        "ncclCommInitRankConfig", __LINE__);
    return mt_comm_agree(nccl->ranks, status);
}

mt_status mt_nccl_create(mt_comm *comm, const mt_device *device, const mt_gpu_meeting *meeting, mt_nccl **out) {
    *out = NULL;
    MT_TRY(refuse(meeting));
    mt_nccl *nccl = calloc(1, sizeof *nccl);
    mt_status status = nccl ? MT_OK : MT_FAIL(NO_MEMORY, "out of memory for a communicator between GPUs");
    if (nccl) nccl->ranks = comm, nccl->device = device;
    if (mt_comm_size(comm) > 1) {
        status = mt_comm_agree(comm, status);
        if (status == MT_OK) status = open_comm(nccl);
    }
    if (status != MT_OK) {
        mt_nccl_destroy(nccl);
        return status;
    }
    *out = nccl;
    return MT_OK;
}

// what is still queued gets through, or nobody waits for it
static void close_comm(mt_nccl *nccl) {
    ncclResult_t code = ncclCommFinalize(nccl->comm);
    int64_t deadline_ns = mt_deadline_after(END_NS);
    for (int polls = 0; code == ncclInProgress && look(nccl, "ncclCommFinalize", deadline_ns) == MT_OK;) {
        if (ncclCommGetAsyncError(nccl->comm, &code) != ncclSuccess) break;
        if (code == ncclInProgress) mt_mpi_backoff(&polls);
    }
    if (nccl->broken) return;
    if (code == ncclSuccess) ncclCommDestroy(nccl->comm);
    else ncclCommAbort(nccl->comm);
}

void mt_nccl_destroy(mt_nccl *nccl) {
    if (!nccl) return;
    if (nccl->comm && mt_cuda_use(nccl->device) == MT_OK) close_comm(nccl);
    free(nccl);
}

// ---- operations

// before each: is there a communicator to queue it on? 0 in a group of one
static mt_status ready(mt_nccl *nccl, int *several) {
    *several = mt_comm_size(nccl->ranks) > 1;
    if (nccl->broken) return fail_broken();
    return mt_cuda_use(nccl->device);
}

// what is gathered is settled at the end of the group
static mt_status queued(mt_nccl *nccl, ncclResult_t code, const char *call, int line) {
    if (nccl->gathering && code == ncclInProgress) return MT_OK;
    return settle(nccl, code, call, line);
}
#define QUEUED(call) queued(nccl, (call), #call, __LINE__)

static mt_status type_of(mt_dtype dtype, ncclDataType_t *out) {
    switch (dtype) {
    case MT_F32: *out = ncclFloat32; return MT_OK;
    case MT_F64: *out = ncclFloat64; return MT_OK;
    case MT_I64: *out = ncclInt64; return MT_OK;
    default: return MT_FAIL(INVALID_ARGUMENT, "NCCL all-reduce of %s; F32, F64 and I64 are there", mt_dtype_name(dtype));
    }
}

mt_status mt_nccl_allreduce(mt_nccl *nccl, mt_stream stream, const void *src, void *dst, size_t count, mt_dtype dtype,
    mt_reduce_op op) {
    static const ncclRedOp_t ops[] = {[MT_REDUCE_SUM] = ncclSum, [MT_REDUCE_MAX] = ncclMax, [MT_REDUCE_MIN] = ncclMin};
    ncclDataType_t type = ncclFloat32;
    int several;
    MT_TRY(type_of(dtype, &type));
    MT_TRY(ready(nccl, &several));
    if (!several) return src == dst ? MT_OK : mt_cuda_stream_copy(nccl->device, stream, dst, src, count * mt_dtype_bytes(dtype));
    return QUEUED(ncclAllReduce(src, dst, count, type, ops[op], nccl->comm, stream));
}

mt_status mt_nccl_broadcast(mt_nccl *nccl, mt_stream stream, void *data, size_t bytes, int root) {
    int several;
    MT_TRY(ready(nccl, &several));
    return several ? QUEUED(ncclBroadcast(data, data, bytes, ncclUint8, root, nccl->comm, stream)) : MT_OK;
}

static mt_status no_peer(const mt_nccl *nccl, int peer) {
    return MT_FAIL(INVALID_ARGUMENT, "rank %d of %d cannot send to or receive from rank %d", mt_comm_rank(nccl->ranks),
        mt_comm_size(nccl->ranks), peer);
}
static int is_peer(const mt_nccl *nccl, int peer) {
    return peer >= 0 && peer < mt_comm_size(nccl->ranks) && peer != mt_comm_rank(nccl->ranks);
}

mt_status mt_nccl_send(mt_nccl *nccl, mt_stream stream, const void *data, size_t bytes, int to) {
    int several;
    if (!is_peer(nccl, to)) return no_peer(nccl, to);
    MT_TRY(ready(nccl, &several));
    return QUEUED(ncclSend(data, bytes, ncclUint8, to, nccl->comm, stream));
}

mt_status mt_nccl_receive(mt_nccl *nccl, mt_stream stream, void *data, size_t bytes, int from) {
    int several;
    if (!is_peer(nccl, from)) return no_peer(nccl, from);
    MT_TRY(ready(nccl, &several));
    return QUEUED(ncclRecv(data, bytes, ncclUint8, from, nccl->comm, stream));
}

mt_status mt_nccl_begin(mt_nccl *nccl) {
    int several;
    MT_TRY(ready(nccl, &several));
    if (several) MT_TRY(check(nccl, ncclGroupStart(), "ncclGroupStart", __LINE__));
    nccl->gathering = 1;
    return MT_OK;
}

mt_status mt_nccl_end(mt_nccl *nccl) {
    int several;
    nccl->gathering = 0;
    MT_TRY(ready(nccl, &several));
    return several ? settle(nccl, ncclGroupEnd(), "ncclGroupEnd", __LINE__) : MT_OK;
}

// ---- waiting

mt_status mt_nccl_wait(mt_nccl *nccl, mt_stream stream, mt_progress *progress) {
    int several, done = 0;
    int64_t deadline_ns = mt_deadline_after(mt_comm_timeout_ns(nccl->ranks));
    MT_TRY(ready(nccl, &several));
    if (!several) return mt_cuda_stream_wait(nccl->device, stream, progress);
    for (int polls = 0;;) {
        mt_status status = mt_cuda_stream_done(nccl->device, stream, &done);
        if (status != MT_OK) break_off(nccl); // this GPU is in trouble: nobody should wait for it
        if (status != MT_OK || done) return status;
        if (mt_progress_made(progress)) deadline_ns = mt_deadline_after(mt_comm_timeout_ns(nccl->ranks));
        MT_TRY(look(nccl, "NCCL", deadline_ns));
        mt_mpi_backoff(&polls);
    }
}
