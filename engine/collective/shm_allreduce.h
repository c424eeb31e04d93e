// Collectives inside a node, as resumable step machines over a mt_shm_group. Nothing here waits: advance does what can
// be done now and says which count everybody must reach before it can go on. Also used with threads in one process.
//
// Direct form (barrier, broadcast, gather, small reductions): the data goes through the staging buffers chunk by chunk,
// and every member reads what all the others published.
//
//     put(0) publish   put(1) publish   wait(0) take(0)   put(2) publish   wait(1) take(1)   ...
//
//   With `base` the count at the start, put(s) fills the buffer of count base+s and publishing makes the count
//   base+s+1; take(s) waits until everybody has reached base+s+1 and reads the buffers of count base+s. Putting is one
//   chunk ahead of taking, so that a member rarely waits.
//
// Scattered form (larger reductions): a chunk is cut into one slice per member; the owner of a slice reduces it.
//
//     step s:  put(s)   wait for base+s   reduce(s-1)   take(s-2)   publish
//
//   put(s)     a member writes its slices of the others into its own buffer of count base+s
//   reduce(s)  the owner of a slice reads it from everybody's buffer of count base+s and writes the result back into
//   the
//              same lines: a buffer travels from its member to the owners and home again
//   take(s)    a member copies the results out of its own buffer
//
//   One synchronisation a chunk: everything in step s depends on step s-1 of the others alone. Writing the results back
//   is what makes this fast: a cache line moves to the owner once (fetched for writing, mt_take_lines) and back once,
//   and is then at home when its member writes the next data. Measured on 36 KB and two cores far apart: 5.5 us; with
//   every member reading what the others wrote (two transfers a line and direction) 23 us.
//
// Registered form: the members' slabs stand in shared memory already, so put does nothing and there is one chunk
// (direct) or chunks that are cut from the slabs (scattered; the first slab of each member is what carries the
// results).
//
// Why nobody sees a half-written buffer: the buffer of count c is read only after its member has published c+1, which
// is ordered after the writes; a result is read by the member only after its owner published the step after. Why nobody
// overwrites what is being read: the buffer of count c was last used at count c-4.
//   direct     its readers finish take(c-4) before they publish c-1 (put(c-2) comes after take(c-4)); the writer of c
//   has
//              waited for c-1 in take(c-2), or, when c is among the first two of an operation, for the last count of
//              the operation before, which is c-1 or c.
//   scattered  the owners finish reduce(c-4) before they publish c-2, the member's own take(c-4) comes before that of
//              c-3 and its put(c); the writer of c has waited for c-1 in step c-1 or at the end of the operation
//              before.
//   slabs      two buffers: the one of round k is used by others until they publish the first count after round k, and
//              its owner writes to it again only after round k+1 is done, for which it waited for that count.
#ifndef MANTA_ENGINE_COLLECTIVE_SHM_ALLREDUCE_H
#define MANTA_ENGINE_COLLECTIVE_SHM_ALLREDUCE_H

#include <stddef.h>
#include <stdint.h>
#include "engine/collective/reduce.h"
#include "engine/collective/shm_group.h"

typedef enum mt_shm_op_kind {
    MT_SHM_BARRIER,
    MT_SHM_BROADCAST,
    MT_SHM_GATHER,
    MT_SHM_REDUCE_DIRECT,
    MT_SHM_REDUCE_SCATTERED
} mt_shm_op_kind;

// Where the members' slabs of this round are. Slab w of member r begins at parts[r] + w * stride_bytes.
typedef struct mt_shm_slabs {
    char *const *parts; // view: (size)
    int slabs_per_member;
    size_t stride_bytes;
} mt_shm_slabs;

// One operation in progress. Fields are the machine's own; set up by the functions below, which touch no shared memory.
typedef struct mt_shm_op {
    mt_shm_op_kind kind;
    int root, started, stream;
    mt_reduce_fn *reduce;
    const char *src; // view
    char *dst;       // view
    size_t count;    // elements (bytes where the kind has no elements)
    size_t element;  // bytes
    size_t chunk;    // elements
    uint32_t chunks;
    mt_shm_slabs slabs;  // parts == NULL: staged
    uint32_t base;       // the group's count when the operation began
    uint32_t put, taken; // direct: chunks done; scattered: put = step, taken = whether put(step) is done
} mt_shm_op;

void mt_shm_op_barrier(mt_shm_op *op);
void mt_shm_op_broadcast(mt_shm_op *op, const mt_shm_group *group, void *data, size_t bytes, int root);
void mt_shm_op_gather(mt_shm_op *op, const mt_shm_group *group, const void *src, void *dst, size_t bytes);
void mt_shm_op_allreduce(mt_shm_op *op, const mt_shm_group *group, const void *src, void *dst, size_t count,
    size_t element, mt_reduce_fn *reduce);
void mt_shm_op_allreduce_slabs(
    mt_shm_op *op, const mt_shm_group *group, const mt_shm_slabs *slabs, float *dst, size_t count);

// 1: done. 0: call again when everybody has reached *wait_for (calling earlier does no harm).
int mt_shm_op_advance(mt_shm_op *op, mt_shm_group *group, uint32_t *wait_for);

#endif
