// NCCL: communicators and groups. nccl_work.c has what the operations do. Any thread.
//
// A communicator that does not block (ncclConfig.blocking = 0) says ncclInProgress for as long as the seed likes and goes on when
// it is asked (ncclCommGetAsyncError); an operation is in its stream only then. A rank that is gone is reported as an error by some
// seeds and by none by others, as its transport would have it: then the others wait until they abort.
#include <nccl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/memory.h"
#include "tests/cuda_host/nccl_work.h"
#include "tests/cuda_host/report.h"
#include "tests/cuda_host/vendor.h"

enum { KIND_COMMUNICATOR = 0x6e63636c, CALLS_MOST = 256, DELAY_MOST = 4 };

static _Thread_local int group_depth;
static _Thread_local struct call {
    mt_host_comm *comm;
    mt_host_stream *stream;
    mt_host_transfer transfer;
} calls[CALLS_MOST]; // of the group
static _Thread_local int call_count;
static _Thread_local const char *last_error = "";

#define CALL(...) MT_HOST_VENDOR(ncclResult_t, ncclInternalError, ncclUnhandledCudaError, __VA_ARGS__)

static ncclResult_t fail(ncclResult_t code, const char *why) {
    last_error = why;
    return code;
}

static mt_host_comm *comm_of(ncclComm_t handle) {
    mt_host_handle_check(handle, KIND_COMMUNICATOR, "ncclComm_t");
    return (mt_host_comm *)handle;
}

// ---- coming together

static ncclResult_t unique_id(ncclUniqueId *id) {
    memset(id, 0, sizeof *id);
    mt_host_hall_name(id->internal);
    return ncclSuccess;
}
ncclResult_t ncclGetUniqueId(ncclUniqueId *id) { CALL(unique_id(id)); }

// all ranks are there: does each have a GPU of its own?
static ncclResult_t look_round(const mt_host_comm *c) {
    for (int a = 0; a < c->size; a++)
        for (int b = 0; b < a; b++)
            if (atomic_load(&c->hall->seats[a].gpu) == atomic_load(&c->hall->seats[b].gpu))
                return fail(ncclInvalidUsage, "Duplicate GPU detected: two ranks are on one device");
    return ncclSuccess;
}

// one step further; ncclInProgress: there is more to come
static ncclResult_t go_on(mt_host_comm *c) {
    if (c->error != ncclInProgress) return c->error;
    if (c->delay > 0) {
        c->delay--;
        return ncclInProgress;
    }
    if (c->stage == MT_HOST_COMM_OPENS) {
        if (!mt_host_hall_complete(c->hall)) return ncclInProgress;
        c->error = look_round(c);
        c->stage = MT_HOST_COMM_OPEN;
    } else if (c->stage == MT_HOST_COMM_CLOSES) {
        if (!mt_host_comm_idle(c)) return ncclInProgress;
        atomic_store(&c->hall->seats[c->rank].state, MT_HOST_SEAT_FINISHED);
        for (int r = 0; r < c->size; r++)
            if (atomic_load(&c->hall->seats[r].state) == MT_HOST_SEAT_TAKEN) return ncclInProgress;
        c->error = ncclSuccess;
    } else
        c->error = mt_host_comm_submit(c) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
    return c->error;
}

// begins something that may take its time; with the lock held
static ncclResult_t begin(mt_host_comm *c) {
    c->error = ncclInProgress;
    c->delay = c->blocking ? 0 : (int)mt_host_random_below(&mt_host_chance, DELAY_MOST);
    if (!c->blocking) return c->delay ? ncclInProgress : go_on(c);
    while (go_on(c) == ncclInProgress) mt_host_work_rest();
    return c->error;
}

static ncclResult_t init(ncclComm_t *out, int size, const ncclUniqueId *id, int rank, const ncclConfig_t *config) {
    *out = NULL;
    if (size < 1 || size > MT_HOST_RANKS_MOST || rank < 0 || rank >= size) return fail(ncclInvalidArgument, "no such rank");
    if (config->magic != 0xcafebeef)
        return fail(ncclInvalidArgument, "ncclConfig_t argument not initialized via NCCL_CONFIG_INITIALIZER");
    const mt_host_settings *settings = mt_host_settings_get();
    int device = mt_host_device_current();
    if (device >= settings->visible_count) return ncclUnhandledCudaError;
    mt_host_hall *hall = mt_host_hall_enter(id->internal, size, rank, settings->visible[device]);
    if (!hall) return fail(ncclSystemError, "no shared memory, or the rank is there already");
    mt_host_comm *c = mt_host_handle_create(sizeof *c, KIND_COMMUNICATOR, MT_HOST_COMMUNICATOR);
    memcpy(c->name, id->internal, sizeof c->name);
    c->hall = hall, c->size = size, c->rank = rank, c->device = device;
    c->blocking = config->blocking != 0; // undefined: it blocks
    c->tells = (int)mt_host_random_below(&mt_host_chance, 2);
    c->references = 1;
    *out = (ncclComm_t)c;
    mt_host_work_in_background();
    return begin(c);
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int size, ncclUniqueId id, int rank, ncclConfig_t *config) {
    CALL(init(out, size, &id, rank, config));
}

// ---- asking

static ncclResult_t async_error(mt_host_comm *c, ncclResult_t *out) {
    go_on(c);
    if (c->error == ncclSuccess && c->tells)
        for (int r = 0; r < c->size; r++)
            if (atomic_load(&c->hall->seats[r].state) == MT_HOST_SEAT_TAKEN && r != c->rank && mt_host_hall_gone(c->hall, r))
                c->error = fail(ncclRemoteError, "the connection to another rank was closed");
    *out = c->error;
    return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *out) { CALL(async_error(comm_of(comm), out)); }

const char *ncclGetLastError(ncclComm_t comm) {
    (void)comm;
    return last_error;
}
const char *ncclGetErrorString(ncclResult_t code) {
    switch (code) {
    case ncclSuccess: return "no error";
    case ncclUnhandledCudaError: return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
    case ncclSystemError: return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
    case ncclInternalError: return "internal error - please report this issue to the NCCL developers";
    case ncclInvalidArgument: return "invalid argument (run with NCCL_DEBUG=WARN for details)";
    case ncclInvalidUsage: return "invalid usage (run with NCCL_DEBUG=WARN for details)";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInProgress: return "NCCL operation in progress";
    default: return "unknown result code";
    }
}

// ---- ending

static ncclResult_t finalize(mt_host_comm *c) {
    if (c->error == ncclInProgress) return fail(ncclInvalidUsage, "the communicator has something in progress");
    c->stage = MT_HOST_COMM_CLOSES;
    return begin(c);
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) { CALL(finalize(comm_of(comm))); }

static ncclResult_t end(mt_host_comm *c, int state) {
    atomic_store(&c->hall->seats[c->rank].state, state);
    mt_host_comm_drop(c);
    if (!mt_host_hall_complete(c->hall)) mt_host_hall_forget(c->name);
    *(uint32_t *)c = 0; // no handle any more; work that is queued still knows it
    mt_host_object_count(MT_HOST_COMMUNICATOR, -1);
    mt_host_comm_release(c);
    return ncclSuccess;
}
static ncclResult_t destroy(mt_host_comm *c) {
    if (c->stage != MT_HOST_COMM_CLOSES || c->error != ncclSuccess)
        while (!mt_host_comm_idle(c)) mt_host_work_rest(); // for ever, where a rank is gone
    return end(c, MT_HOST_SEAT_FINISHED);
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) { CALL(destroy(comm_of(comm))); }

// what is queued gives up; what it would have written is anything
static ncclResult_t abort_comm(mt_host_comm *c) {
    c->aborted = 1;
    return end(c, MT_HOST_SEAT_ABORTED);
}
ncclResult_t ncclCommAbort(ncclComm_t comm) { CALL(abort_comm(comm_of(comm))); }

// ---- operations

static ncclResult_t check(const mt_host_comm *c, const mt_host_stream *s, const mt_host_transfer *t) {
    if (c->error == ncclInProgress)
        return fail(ncclInvalidUsage, "the communicator has something in progress: ask ncclCommGetAsyncError first");
    if (c->error != ncclSuccess) return c->error;
    if (c->stage != MT_HOST_COMM_OPEN) return fail(ncclInvalidUsage, "the communicator was finalized");
    if (s->device != c->device) return fail(ncclInvalidUsage, "the stream is of another device");
    if (t->peer < 0 || t->peer >= c->size) return fail(ncclInvalidArgument, "no such rank");
    if (!t->element) return fail(ncclInvalidArgument, "tests/cuda_host does not know this type");
    return ncclSuccess;
}

// gathers it, or begins it; with the lock held
static ncclResult_t queue(mt_host_comm *c, mt_host_stream *s, const mt_host_transfer *t) {
    ncclResult_t code = check(c, s, t);
    if (code != ncclSuccess) return code;
    if (group_depth) {
        if (call_count == CALLS_MOST) mt_host_fatal("more than %d operations in a group: raise CALLS_MOST", CALLS_MOST);
        calls[call_count++] = (struct call){c, s, *t};
        return ncclSuccess;
    }
    mt_host_comm_prepare(c, s, t, 1);
    return begin(c);
}

static size_t bytes_of(ncclDataType_t type) {
    switch (type) {
    case ncclFloat32: return 4;
    case ncclFloat64:
    case ncclInt64: return 8;
    case ncclUint8: return 1;
    default: return 0;
    }
}

ncclResult_t ncclAllReduce(
    const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
    mt_host_transfer t = {
        .what = MT_HOST_ALLREDUCE, .type = type, .op = op, .element = bytes_of(type), .from = from, .to = to, .count = count};
    CALL(queue(comm_of(comm), mt_host_stream_of(stream), &t));
}
ncclResult_t ncclBroadcast(
    const void *from, void *to, size_t count, ncclDataType_t type, int root, ncclComm_t comm, cudaStream_t stream) {
    mt_host_transfer t = {.what = MT_HOST_BROADCAST,
        .type = type,
        .element = bytes_of(type),
        .from = from,
        .to = to,
        .count = count,
        .peer = root};
    CALL(queue(comm_of(comm), mt_host_stream_of(stream), &t));
}
ncclResult_t ncclSend(const void *from, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
    mt_host_transfer t = {
        .what = MT_HOST_SEND, .type = type, .element = bytes_of(type), .from = from, .count = count, .peer = peer};
    CALL(queue(comm_of(comm), mt_host_stream_of(stream), &t));
}
ncclResult_t ncclRecv(void *to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
    mt_host_transfer t = {
        .what = MT_HOST_RECEIVE, .type = type, .element = bytes_of(type), .to = to, .count = count, .peer = peer};
    CALL(queue(comm_of(comm), mt_host_stream_of(stream), &t));
}

// the header has them without prototypes
ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);

ncclResult_t ncclGroupStart(void) {
    group_depth++;
    return ncclSuccess;
}

// what belongs to one communicator and stream is one piece of work; the first that is in progress says so for all
static ncclResult_t group_end(void) {
    ncclResult_t result = ncclSuccess;
    if (--group_depth > 0) return ncclSuccess;
    if (group_depth < 0) {
        group_depth = 0;
        return fail(ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
    }
    for (int i = 0; i < call_count; i++) {
        mt_host_transfer together[CALLS_MOST];
        mt_host_comm *c = calls[i].comm;
        mt_host_stream *s = calls[i].stream;
        int count = 0;
        if (!c) continue;
        for (int j = i; j < call_count; j++)
            if (calls[j].comm == c && calls[j].stream == s) {
                together[count++] = calls[j].transfer;
                calls[j].comm = NULL;
            }
        mt_host_comm_prepare(c, s, together, count);
        ncclResult_t code = begin(c);
        if (result == ncclSuccess) result = code;
    }
    call_count = 0;
    return result;
}
ncclResult_t ncclGroupEnd(void) { CALL(group_end()); }
