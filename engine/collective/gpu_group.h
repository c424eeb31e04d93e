// Ranks that train together on their GPUs: collectives and messages of device memory, by NCCL where each rank has a GPU of its own,
// and by way of main memory and MPI where it cannot (two ranks on one GPU) or is not wanted. Which it is, is found when the group
// is made; that it is the second for want of GPUs, rank 0 says in one line.
//
// One thread at a time may use a group (any thread). Every rank makes the same calls in the same order. Operations belong to a
// stream: they come after what was queued on it and before what is queued later.
//   NCCL     an operation is queued and nothing waits; it may be captured in a graph
//   staging  an operation waits for the stream, reduces in main memory and queues the way back; a graph cannot hold it, so an
//            update ends before it and goes on in another graph: ask mt_gpu_group_capturable
//
// Failure: as nccl.h and collective.h say; within the timeout of the group's comm, and at once where a process of this node is
// gone. Every later call returns MT_COMM.
#ifndef MANTA_ENGINE_COLLECTIVE_GPU_GROUP_H
#define MANTA_ENGINE_COLLECTIVE_GPU_GROUP_H

#include "engine/collective/collective.h"
#include "engine/device/cuda.h"

typedef struct mt_gpu_group mt_gpu_group;

enum { MT_GPU_THROUGH_HOST = 1 };   // staging, whether or not NCCL could

// Collective over comm (borrowed, must outlive the group). device (borrowed): this rank's; how many ranks share it, and this
// process's part of its memory, are set. most_bytes: of one operation usually; staging takes longer ones in parts. MT_UNSUPPORTED
// where a rank has no GPU; every rank gets the same verdict.
mt_status mt_gpu_group_create(mt_comm *comm, mt_device *device, size_t most_bytes, unsigned flags, mt_gpu_group **out);
void mt_gpu_group_destroy(mt_gpu_group *group);   // Nullable

int mt_gpu_group_capturable(const mt_gpu_group *group);   // may its operations stand in a graph?

// In place, of device memory. Types: MT_F32, MT_F64, MT_I64. Staging adds in the order of the ranks; NCCL's order depends on the
// machine and is the same in every run on it.
mt_status mt_gpu_group_allreduce(mt_gpu_group *group, mt_stream stream, void *data, size_t count, mt_dtype dtype, mt_reduce_op op);
mt_status mt_gpu_group_broadcast(mt_gpu_group *group, mt_stream stream, void *data, size_t bytes, int root);

// One rank sends what the other receives: gradients to a parameter server, weights back.
mt_status mt_gpu_group_send(mt_gpu_group *group, mt_stream stream, const void *data, size_t bytes, int to);
mt_status mt_gpu_group_receive(mt_gpu_group *group, mt_stream stream, void *data, size_t bytes, int from);

// Until the stream has got through all that is queued, watching for ranks that are gone. The comm's timeout begins anew whenever
// progress is made (Nullable).
mt_status mt_gpu_group_wait(mt_gpu_group *group, mt_stream stream, mt_progress *progress);

#endif
