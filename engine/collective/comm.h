// What the files behind collective.h share: the comm, its requests and the stages that a request is made of.
#ifndef MANTA_ENGINE_COLLECTIVE_COMM_H
#define MANTA_ENGINE_COLLECTIVE_COMM_H

#include <mpi.h>
#include "engine/collective/collective.h"
#include "engine/collective/shm_allreduce.h"
#include "engine/collective/shm_segment.h"

// A collective is a short list of stages: inside the node, between nodes, inside the node again.
typedef enum mt_stage_kind {
    MT_STAGE_SHM,           // shm: one operation of the node's group
    MT_STAGE_MPI_BARRIER,   // leaders
    MT_STAGE_MPI_BROADCAST, // leaders; root: node index
    MT_STAGE_MPI_ALLREDUCE, // leaders, in place
    MT_STAGE_MPI_ALLGATHER, // all ranks
    MT_STAGE_MPI_ORDERED,   // all ranks: slices are exchanged, summed in rank order by their owner, gathered
    MT_STAGE_KIND_COUNT
} mt_stage_kind;

// Between nodes. The user's data goes through the comm's scratch memory piece by piece: after a deadline MPI keeps the
// scratch, and the user's buffers are his again.
typedef struct mt_mpi_stage {
    const char *src;       // view
    char *dst;             // view
    size_t count, element; // bytes where the kind has no elements
    mt_dtype dtype;
    mt_reduce_op op;
    int root;
    int slabs; // ordered: slabs per rank, the slabs `stride_bytes` apart
    size_t stride_bytes;
    size_t at, piece; // elements done, elements under way
    int phase;        // ordered: 0 exchange, 1 gather
    int pending;      // a request is with MPI
} mt_mpi_stage;

typedef struct mt_stage {
    mt_stage_kind kind;
    union {
        mt_shm_op shm;
        mt_mpi_stage mpi;
    };
} mt_stage;

enum { MT_STAGES_MAX = 3 };

struct mt_comm_request {
    mt_comm *comm;         // borrowed
    mt_comm_request *next; // queue or free list
    const char *name;      // for messages
    int on_heap, done;
    int stage, stage_count;
    mt_stage stages[MT_STAGES_MAX];
};

// What an operation that cannot go on waits for.
typedef enum mt_blocked { MT_BLOCKED_NOT, MT_BLOCKED_SHM, MT_BLOCKED_MPI, MT_BLOCKED_ERROR } mt_blocked;

struct mt_comm {
    int rank, size, node_rank, node_size, node_index, node_count;
    int64_t timeout_ns;
    int broken;
    int *node_index_of;           // owned (size): node of each rank
    int *node_rank_of;            // owned (size): rank within its node
    int *node_members;            // owned (node_size): comm rank of each member of this node
    pid_t *node_pids;             // owned (node_size)
    MPI_Comm all, node, leaders;  // owned; MPI_COMM_NULL without MPI, leaders only on node rank 0
    mt_shm_group group;           // of this node; size 1 on private memory when the rank is alone
    mt_shm_segment segment;       // owned; behind group
    void *private_block;          // owned; behind group when the rank is alone
    mt_comm_request *head, *tail; // started, in order
    mt_comm_request *spare;       // owned free list
    char *scratch;                // owned, for the stages between nodes
    size_t scratch_bytes;
    MPI_Request pending; // at most one, using scratch
};

// request.c
mt_status mt_comm_run(mt_comm_request *request); // blocking, request on the caller's stack
mt_status mt_comm_launch(const mt_comm_request *request, mt_comm_request **out); // queues a copy
mt_status mt_comm_fail_broken(const mt_comm *comm);

// mpi_stage.c: makes progress; MT_BLOCKED_NOT when the stage is done, MT_BLOCKED_ERROR with the last error set
mt_blocked mt_mpi_stage_advance(mt_comm *comm, mt_stage *stage);

// operation.c: putting a program together. The tail takes a node's sum in dst to all nodes and back.
void mt_comm_request_begin(mt_comm_request *request, mt_comm *comm, const char *name);
mt_stage *mt_comm_add_stage(mt_comm_request *request, mt_stage_kind kind);
void mt_comm_add_reduce_tail(mt_comm_request *request, void *dst, size_t count, mt_dtype dtype, mt_reduce_op op);

static inline int mt_comm_is_leader(const mt_comm *comm) { return comm->node_rank == 0; }

#endif
