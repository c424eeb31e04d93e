// The stages of a collective that cross nodes. Each piece is copied into the comm's scratch, handed to a non-blocking
// MPI collective, polled, and copied out; one MPI request at a time. The comm's thread, each MPI call under
// mt_mpi_lock.
#include <stdlib.h>
#include <string.h>
#include "engine/collective/comm.h"
#include "engine/collective/mpi.h"

enum { SCRATCH_BYTES = 32 << 20 }; // the largest piece, all scratch of it together

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

// the user's pointer may be NULL when there is nothing to copy
static void copy(void *dst, const void *src, size_t bytes) {
    if (bytes > 0) memcpy(dst, src, bytes);
}

static MPI_Datatype mpi_type(mt_dtype dtype) {
    return dtype == MT_F32 ? MPI_FLOAT : dtype == MT_F64 ? MPI_DOUBLE : MPI_INT64_T;
}

static MPI_Op mpi_op(mt_reduce_op op) {
    return op == MT_REDUCE_SUM ? MPI_SUM : op == MT_REDUCE_MAX ? MPI_MAX : MPI_MIN;
}

static mt_status scratch_need(mt_comm *comm, size_t bytes) {
    if (bytes <= comm->scratch_bytes && comm->scratch) return MT_OK;
    char *memory = aligned_alloc(64, bytes / 64 * 64 + 64);
    if (!memory) return MT_FAIL(NO_MEMORY, "out of memory: %zu bytes for an exchange between nodes", bytes);
    free(comm->scratch);
    comm->scratch = memory;
    comm->scratch_bytes = bytes;
    return MT_OK;
}

// elements of a piece when every one of them takes `each` bytes of scratch
static size_t piece_of(const mt_mpi_stage *s, size_t each) {
    size_t most = SCRATCH_BYTES / each;
    return min_size(s->count - s->at, most ? most : 1);
}

// ---- leaders, in place ---------------------------------------------------------------------------------------------

static mt_status leaders_begin(mt_comm *comm, mt_stage *stage) {
    mt_mpi_stage *s = &stage->mpi;
    int root = stage->kind == MT_STAGE_MPI_BROADCAST ? s->root : 0, code;
    int sending = stage->kind == MT_STAGE_MPI_ALLREDUCE || root == comm->node_index;
    s->piece = piece_of(s, s->element);
    MT_TRY(scratch_need(comm, s->piece * s->element));
    if (sending) copy(comm->scratch, s->dst + s->at * s->element, s->piece * s->element);
    mt_mpi_lock();
    if (stage->kind == MT_STAGE_MPI_BROADCAST)
        code = MPI_Ibcast(comm->scratch, (int)s->piece, MPI_BYTE, root, comm->leaders, &comm->pending);
    else
        code = MPI_Iallreduce(MPI_IN_PLACE, comm->scratch, (int)s->piece, mpi_type(s->dtype), mpi_op(s->op),
            comm->leaders, &comm->pending);
    mt_mpi_unlock();
    return mt_mpi_check(
        code, stage->kind == MT_STAGE_MPI_BROADCAST ? "MPI_Ibcast" : "MPI_Iallreduce", __FILE__, __LINE__);
}

static void leaders_end(mt_comm *comm, mt_stage *stage) {
    mt_mpi_stage *s = &stage->mpi;
    if (stage->kind == MT_STAGE_MPI_ALLREDUCE || s->root != comm->node_index)
        copy(s->dst + s->at * s->element, comm->scratch, s->piece * s->element);
    s->at += s->piece;
}

static mt_status barrier_begin(mt_comm *comm, mt_stage *stage) {
    stage->mpi.piece = 0;
    mt_mpi_lock();
    int code = MPI_Ibarrier(comm->leaders, &comm->pending);
    mt_mpi_unlock();
    return mt_mpi_check(code, "MPI_Ibarrier", __FILE__, __LINE__);
}

static void barrier_end(mt_comm *comm, mt_stage *stage) {
    (void)comm;
    (void)stage;
}

// ---- all ranks: gather
// -----------------------------------------------------------------------------------------------

static mt_status gather_begin(mt_comm *comm, mt_stage *stage) {
    mt_mpi_stage *s = &stage->mpi;
    s->piece = piece_of(s, (size_t)comm->size + 1);
    MT_TRY(scratch_need(comm, s->piece * ((size_t)comm->size + 1)));
    copy(comm->scratch, s->src + s->at, s->piece);
    mt_mpi_lock();
    int code = MPI_Iallgather(comm->scratch, (int)s->piece, MPI_BYTE, comm->scratch + s->piece, (int)s->piece, MPI_BYTE,
        comm->all, &comm->pending);
    mt_mpi_unlock();
    return mt_mpi_check(code, "MPI_Iallgather", __FILE__, __LINE__);
}

static void gather_end(mt_comm *comm, mt_stage *stage) {
    mt_mpi_stage *s = &stage->mpi;
    for (int r = 0; r < comm->size; r++)
        copy(s->dst + (size_t)r * s->count + s->at, comm->scratch + s->piece * ((size_t)r + 1), s->piece);
    s->at += s->piece;
}

// ---- all ranks: ordered reduction
// ------------------------------------------------------------------------------------ A piece of size * slice
// elements: rank j owns elements [j * slice, (j+1) * slice). Scratch, in slices:
//   send (size, slabs) | received (size, slabs) | sum (1) | gathered (size)

static size_t ordered_slice(const mt_comm *comm, const mt_mpi_stage *s) {
    return (s->piece + (size_t)comm->size - 1) / (size_t)comm->size;
}

static mt_status ordered_exchange(mt_comm *comm, mt_mpi_stage *s) {
    size_t ranks = (size_t)comm->size, slabs = (size_t)s->slabs;
    size_t slices = 2 * ranks * slabs + 1 + ranks;
    s->piece = piece_of(s, slices * s->element / ranks + 1);
    size_t slice = ordered_slice(comm, s), bytes = slice * s->element;
    MT_TRY(scratch_need(comm, slices * bytes));
    for (size_t j = 0; j < ranks; j++)
        for (size_t w = 0; w < slabs; w++) {
            size_t from = min_size(j * slice, s->piece), n = min_size(slice, s->piece - from) * s->element;
            char *to = comm->scratch + (j * slabs + w) * bytes;
            copy(to, s->src + w * s->stride_bytes + (s->at + from) * s->element, n);
            memset(to + n, 0, bytes - n);
        }
    mt_mpi_lock();
    int code = MPI_Ialltoall(comm->scratch, (int)(slabs * bytes), MPI_BYTE, comm->scratch + ranks * slabs * bytes,
        (int)(slabs * bytes), MPI_BYTE, comm->all, &comm->pending);
    mt_mpi_unlock();
    return mt_mpi_check(code, "MPI_Ialltoall", __FILE__, __LINE__);
}

static mt_status ordered_gather(mt_comm *comm, mt_mpi_stage *s) {
    size_t ranks = (size_t)comm->size, slabs = (size_t)s->slabs, slice = ordered_slice(comm, s);
    size_t bytes = slice * s->element;
    char *received = comm->scratch + ranks * slabs * bytes, *sum = received + ranks * slabs * bytes;
    mt_reduce_fn *reduce = mt_reduce_find(s->dtype, s->op);
    copy(sum, received, bytes);
    for (size_t i = 1; i < ranks * slabs; i++) {
        const void *two[2] = {sum, received + i * bytes};
        reduce(sum, two, 2, slice);
    }
    mt_mpi_lock();
    int code = MPI_Iallgather(sum, (int)bytes, MPI_BYTE, sum + bytes, (int)bytes, MPI_BYTE, comm->all, &comm->pending);
    mt_mpi_unlock();
    return mt_mpi_check(code, "MPI_Iallgather", __FILE__, __LINE__);
}

static mt_status ordered_begin(mt_comm *comm, mt_stage *stage) {
    return stage->mpi.phase == 0 ? ordered_exchange(comm, &stage->mpi) : ordered_gather(comm, &stage->mpi);
}

static void ordered_end(mt_comm *comm, mt_stage *stage) {
    mt_mpi_stage *s = &stage->mpi;
    s->phase ^= 1;
    if (s->phase == 1) return;
    size_t bytes = ordered_slice(comm, s) * s->element, slices = 2 * (size_t)comm->size * (size_t)s->slabs + 1;
    copy(s->dst + s->at * s->element, comm->scratch + slices * bytes, s->piece * s->element);
    s->at += s->piece;
}

// ---- progress
// --------------------------------------------------------------------------------------------------------

static const struct {
    mt_status (*begin)(mt_comm *comm, mt_stage *stage); // copies in, hands to MPI
    void (*end)(mt_comm *comm, mt_stage *stage);        // copies out, moves on
} kinds[MT_STAGE_KIND_COUNT] = {
    [MT_STAGE_MPI_BARRIER] = {barrier_begin, barrier_end},
    [MT_STAGE_MPI_BROADCAST] = {leaders_begin, leaders_end},
    [MT_STAGE_MPI_ALLREDUCE] = {leaders_begin, leaders_end},
    [MT_STAGE_MPI_ALLGATHER] = {gather_begin, gather_end},
    [MT_STAGE_MPI_ORDERED] = {ordered_begin, ordered_end},
};

mt_blocked mt_mpi_stage_advance(mt_comm *comm, mt_stage *stage) {
    mt_mpi_stage *s = &stage->mpi;
    for (;;) {
        if (!s->pending && kinds[stage->kind].begin(comm, stage) != MT_OK) return MT_BLOCKED_ERROR;
        s->pending = 1;
        int done = 0;
        mt_mpi_lock();
        mt_status status = MT_MPI(MPI_Test(&comm->pending, &done, MPI_STATUS_IGNORE));
        mt_mpi_unlock();
        if (status != MT_OK) return MT_BLOCKED_ERROR;
        if (!done) return MT_BLOCKED_MPI;
        s->pending = 0;
        kinds[stage->kind].end(comm, stage);
        // count 0 goes round once, so that it synchronises too
        if (s->at >= s->count && s->phase == 0) return MT_BLOCKED_NOT;
    }
}
