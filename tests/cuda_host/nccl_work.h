// What NCCL's operations do: pieces of work that meet other ranks in the hall and let other work go on meanwhile. All functions:
// with the device's lock held.
#ifndef MANTA_TESTS_CUDA_HOST_NCCL_WORK_H
#define MANTA_TESTS_CUDA_HOST_NCCL_WORK_H

#include <nccl.h>
#include "tests/cuda_host/nccl_hall.h"
#include "tests/cuda_host/work.h"

typedef enum mt_host_transfer_kind { MT_HOST_ALLREDUCE, MT_HOST_BROADCAST, MT_HOST_SEND, MT_HOST_RECEIVE } mt_host_transfer_kind;

typedef struct mt_host_transfer {
    mt_host_transfer_kind what;
    ncclDataType_t type;
    ncclRedOp_t op;
    size_t element;      // bytes
    const void *from;
    void *to;
    size_t count;
    int peer;            // or root
} mt_host_transfer;

typedef enum mt_host_comm_stage { MT_HOST_COMM_OPENS, MT_HOST_COMM_OPEN, MT_HOST_COMM_CLOSES } mt_host_comm_stage;

typedef struct mt_host_comm {
    uint32_t kind;       // of a handle (vendor.h)
    mt_host_hall *hall;  // owned
    char name[MT_HOST_HALL_NAME];
    int size, rank, device, blocking, tells; // tells: of ranks that are gone
    int aborted, references;
    mt_host_comm_stage stage;
    ncclResult_t error;  // ncclInProgress: something has begun
    int delay;           // so many times it is still in progress when asked
    uint64_t parts;      // of collectives, up to now
    uint64_t sent[MT_HOST_RANKS_MOST], received[MT_HOST_RANKS_MOST]; // parts of messages to and from each rank
    mt_host_work *last;  // that was queued; the next one follows it. A reference
    mt_host_operation *prepared; // not in its stream yet; a reference
    mt_host_stream *prepared_stream;
} mt_host_comm;

void mt_host_comm_release(mt_host_comm *comm);
int mt_host_comm_idle(const mt_host_comm *comm);         // nothing of it is queued
// what the next mt_host_comm_submit puts into the stream: transfers that go ahead together
void mt_host_comm_prepare(mt_host_comm *comm, mt_host_stream *stream, const mt_host_transfer *transfers, int count);
cudaError_t mt_host_comm_submit(mt_host_comm *comm);
void mt_host_comm_drop(mt_host_comm *comm);              // what is prepared and not in its stream

#endif
