// NCCL between the ranks of a communicator, each on a GPU of its own: operations are queued on a stream of the caller's, in the
// order of the kernels before and after them, and may be captured in a graph.
//
// One thread at a time may use an mt_nccl (any thread). Every rank makes the same calls in the same order. Nothing waits for the
// GPU but mt_nccl_wait, which watches: a kernel that waits for a rank that is gone never ends by itself.
//
// Failure: an error of the network, a process of this node that is gone, or a deadline that passes ends the communicator at once
// (its kernels give up, the stream runs on with undefined data): MT_COMM or MT_DEADLINE with the reason; every later call returns
// MT_COMM. What remains is mt_nccl_destroy and, since ranks are missing, mt_mpi_abort.
#ifndef MANTA_ENGINE_COLLECTIVE_NCCL_H
#define MANTA_ENGINE_COLLECTIVE_NCCL_H

#include "engine/collective/collective.h"
#include "engine/collective/gpus.h"
#include "engine/device/cuda.h"

typedef struct mt_nccl mt_nccl;

// Collective over comm (borrowed, must outlive it), within its timeout. Every rank gets the same verdict: MT_UNSUPPORTED where a
// rank has no GPU or two share one (meeting says who).
mt_status mt_nccl_create(mt_comm *comm, const mt_device *device, const mt_gpu_meeting *meeting, mt_nccl **out);
void mt_nccl_destroy(mt_nccl *nccl);   // Nullable. Collective while nothing failed, but waits for nobody longer than 5 s

// All arrays are this rank's device memory; src and dst are the same pointer or do not overlap. Types: MT_F32, MT_F64, MT_I64.
mt_status mt_nccl_allreduce(mt_nccl *nccl, mt_stream stream, const void *src, void *dst, size_t count, mt_dtype dtype,
    mt_reduce_op op);
mt_status mt_nccl_broadcast(mt_nccl *nccl, mt_stream stream, void *data, size_t bytes, int root);
// between two ranks: one sends what the other receives
mt_status mt_nccl_send(mt_nccl *nccl, mt_stream stream, const void *data, size_t bytes, int to);
mt_status mt_nccl_receive(mt_nccl *nccl, mt_stream stream, void *data, size_t bytes, int from);
// Between begin and end operations are gathered, and go ahead together: a rank that sends and receives does both at once.
mt_status mt_nccl_begin(mt_nccl *nccl);
mt_status mt_nccl_end(mt_nccl *nccl);

// Until the stream has got through all that is queued, or nothing happens for the comm's timeout: it begins anew whenever progress is
// made (Nullable: one timeout for all).
mt_status mt_nccl_wait(mt_nccl *nccl, mt_stream stream, mt_progress *progress);

#endif
