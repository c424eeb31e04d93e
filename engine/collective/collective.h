// Collectives between the ranks of a job: all-reduce, broadcast, all-gather, barrier, and registered slabs for
// gradients.
//
// Inside a node the data goes through manta's own shared memory, between nodes through MPI. One thread at a time may
// use a comm (any thread). Every rank of a comm makes the same calls in the same order with the same counts, types and
// flags.
//
// Blocking form: returns when the operation is done, or with MT_DEADLINE when the comm's timeout has passed.
// Non-blocking form (_start): gives a request; operations on one comm run in the order in which they were started, and
// make progress inside test, wait and the blocking calls of that comm (there is no thread behind them). Buffers belong
// to the operation until it is done.
//
// Failure: an operation that misses its deadline returns MT_DEADLINE and names the ranks it waited for, as far as
// known; the comm is then broken: every later call on it, and every other request of it, returns MT_COMM at once. The
// other ranks of the node notice at once too (MT_DEADLINE in the operation they are in), those on other nodes at their
// own deadline. What remains is mt_comm_destroy and, when ranks are missing, mt_mpi_abort. Destination buffers are
// undefined after an error. Nothing hangs.
//
// Determinism: inside a node the sum is always ((x0 + x1) + x2) + ... in rank order. MT_REDUCE_ORDERED promises that
// for several nodes too, whatever the layout: bit-identical to a serial loop over the ranks, on every rank.
#ifndef MANTA_ENGINE_COLLECTIVE_COLLECTIVE_H
#define MANTA_ENGINE_COLLECTIVE_COLLECTIVE_H

#include <stddef.h>
#include <stdint.h>
#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "engine/base/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_comm mt_comm;
typedef struct mt_comm_request mt_comm_request;
typedef struct mt_comm_slab mt_comm_slab;

typedef struct mt_comm_desc {
    int64_t timeout_ns; // deadline of the blocking calls, from their start; 0: 120 s; MT_NEVER: none
    int64_t spin_ns;    // how long a waiting rank spins before it sleeps; 0: chosen from the cores; < 0: never
    size_t stage_bytes; // shared memory per rank for buffers that are not registered; 0: 1 MiB; rounded up
    int node_ranks_max; // at most so many ranks form a node (0: no limit): a smaller "node" for tests and for NUMA
} mt_comm_desc;

typedef enum mt_reduce_op { MT_REDUCE_SUM, MT_REDUCE_MAX, MT_REDUCE_MIN, MT_REDUCE_OP_COUNT } mt_reduce_op;

enum {
    MT_REDUCE_ORDERED = 1 // the result does not depend on which ranks share a node
};

// ---- communicators -------------------------------------------------------------------------------------------------
// Creating is collective and not covered by a deadline (it is MPI's own). Nullable: desc (all defaults).
// MT_NO_MEMORY: the node's shared memory is too small; the message says how much was wanted and where.

mt_status mt_comm_world(const mt_comm_desc *desc, mt_comm **out); // all ranks; size 1 when there is no mpirun
mt_status mt_comm_dup(mt_comm *parent, const mt_comm_desc *desc, mt_comm **out);
// Ranks of `parent` with the same color >= 0 form a comm, ordered by (key, parent rank); color < 0: *out is NULL,
// MT_OK.
mt_status mt_comm_split(mt_comm *parent, int color, int key, const mt_comm_desc *desc, mt_comm **out);
// The `count` ranks of `parent` that are listed, in this order, form a comm; called by those alone. They meet first, within the
// parent's deadline and without keeping other threads from MPI, so they may come at different times. tag tells groups apart that are
// made at once by overlapping ranks.
mt_status mt_comm_group(mt_comm *parent, const int *ranks, int count, int tag, const mt_comm_desc *desc, mt_comm **out);
void mt_comm_destroy(mt_comm *comm); // Nullable: comm. Requests and slabs of it go first. Does not wait for anybody.

int mt_comm_rank(const mt_comm *comm);
int mt_comm_size(const mt_comm *comm);
int mt_comm_node_rank(const mt_comm *comm); // among the ranks that share this node's memory
int mt_comm_node_size(const mt_comm *comm);
int mt_comm_node_count(const mt_comm *comm);
int mt_comm_broken(const mt_comm *comm); // after an error: true
// MT_COMM where the process of a rank of this node is gone, as far as can be seen; what: of the message. Never waits.
mt_status mt_comm_check_alive(const mt_comm *comm, const char *what);
int64_t mt_comm_timeout_ns(const mt_comm *comm);

// ---- operations, blocking ------------------------------------------------------------------------------------------
// src and dst are either the same pointer or do not overlap. count 0 is fine (pointers may be NULL then). Types of
// a reduction: MT_F32, MT_F64, MT_I64. Only the barrier promises that every rank has come when it returns.

mt_status mt_comm_allreduce(
    mt_comm *comm, const void *src, void *dst, size_t count, mt_dtype dtype, mt_reduce_op op, unsigned flags);
mt_status mt_comm_broadcast(mt_comm *comm, void *data, size_t bytes, int root);
// dst: (size, bytes), rank-major. src may be dst + rank * bytes.
mt_status mt_comm_allgather(mt_comm *comm, const void *src, void *dst, size_t bytes);
mt_status mt_comm_barrier(mt_comm *comm);

// ---- operations, non-blocking --------------------------------------------------------------------------------------

mt_status mt_comm_allreduce_start(mt_comm *comm, const void *src, void *dst, size_t count, mt_dtype dtype,
    mt_reduce_op op, unsigned flags, mt_comm_request **out);
mt_status mt_comm_broadcast_start(mt_comm *comm, void *data, size_t bytes, int root, mt_comm_request **out);
mt_status mt_comm_allgather_start(mt_comm *comm, const void *src, void *dst, size_t bytes, mt_comm_request **out);
mt_status mt_comm_barrier_start(mt_comm *comm, mt_comm_request **out);

// Makes what progress is possible without waiting. MT_OK with *done = 0: not yet. When done or failed the request is
// gone and *request is NULL.
mt_status mt_comm_request_test(mt_comm_request **request, int *done);

// Waits until the request is done or deadline_ns (absolute, mt_clock_ns; MT_NEVER: none) has passed; the request is
// gone afterwards in either case and *request is NULL. A deadline in the past still finishes what needs no waiting.
mt_status mt_comm_request_wait(mt_comm_request **request, int64_t deadline_ns);

// ---- registered slabs ----------------------------------------------------------------------------------------------
// A gradient is written straight into memory that the node's other ranks can read; the all-reduce then copies nothing.
//
//     MT_TRY(mt_comm_slab_create(comm, 1, parameters, MT_REDUCE_ORDERED, &slab));
//     each minibatch:
//         float *gradient = mt_comm_gradient_buffer(slab);     // ask again every round: the two buffers alternate
//         ... write gradient[0 .. count) ...
//         MT_TRY(mt_comm_slab_allreduce(slab, count, sum));    // sum: private memory (count)
//
// With several slabs per rank the result is the sum over all size * slabs_per_rank slabs in the order of the logical
// workers, worker = rank * slabs_per_rank + slab: bit-identical for every number of ranks that divides the workers.

// Collective. slabs_per_rank >= 1 and floats_per_slab >= 0 equal on all ranks. The buffers are 64-byte aligned and
// zero.
mt_status mt_comm_slab_create(
    mt_comm *comm, int slabs_per_rank, size_t floats_per_slab, unsigned flags, mt_comm_slab **out);
void mt_comm_slab_destroy(mt_comm_slab *slab); // Nullable: slab. Before its comm.

// This round's buffer for slab i of this rank, (floats_per_slab). Yours until the slab's all-reduce starts, which takes
// it (contents undefined afterwards); when that all-reduce is done, and not before, the other buffer is yours.
float *mt_comm_slab_buffer(mt_comm_slab *slab, int i);
static inline float *mt_comm_gradient_buffer(mt_comm_slab *slab) { return mt_comm_slab_buffer(slab, 0); }

// dst (count): private memory, count <= floats_per_slab; the first `count` floats of every slab are summed.
mt_status mt_comm_slab_allreduce(mt_comm_slab *slab, size_t count, float *dst);
mt_status mt_comm_slab_allreduce_start(mt_comm_slab *slab, size_t count, float *dst, mt_comm_request **out);

#ifdef __cplusplus
}
#endif
#endif
