// Registered slabs: two buffers per rank in memory that the node shares, so that a gradient is reduced from where it
// was written. The comm's thread only.
//
// Layout of a rank's part: buffer 0 | buffer 1, each (slabs_per_rank, stride) with stride a multiple of 64 bytes.
// Round k uses buffer k % 2. Who may touch a buffer when: its owner from the end of round k-1 to the start of round k;
// all ranks of the node from then until they publish something after round k. The owner's right comes back at the end
// of round k+1, in which it waited for everybody's publication (shm_allreduce.h): hence two buffers and no second
// barrier.
#include <stdlib.h>
#include <string.h>
#include "engine/collective/agree.h"
#include "engine/collective/comm.h"

enum { LINE = 64, PAGE = 4096 };

struct mt_comm_slab {
    mt_comm *comm; // borrowed
    size_t floats; // per slab
    int slabs;     // per rank
    unsigned flags;
    unsigned round;
    size_t stride_bytes, part_bytes;
    mt_shm_segment segment; // owned
    void *private_part;     // owned, when the rank is alone on its node
    char **parts[2];        // owned (node_size) each: where buffer b of every member begins
};

static mt_status slab_sizes(mt_comm_slab *slab) {
    size_t bytes;
    if (slab->slabs < 1 || __builtin_mul_overflow(slab->floats, sizeof(float), &bytes) || bytes > INT64_MAX / 4 / LINE)
        return MT_FAIL(
            INVALID_ARGUMENT, "slab: %d slabs of %zu floats per rank are out of range", slab->slabs, slab->floats);
    slab->stride_bytes = (bytes + LINE - 1) / LINE * LINE;
    if (slab->stride_bytes == 0) slab->stride_bytes = LINE;
    if (__builtin_mul_overflow(slab->stride_bytes, 2 * (size_t)slab->slabs, &bytes) || bytes > INT64_MAX / 2)
        return MT_FAIL(
            INVALID_ARGUMENT, "slab: %d slabs of %zu floats per rank are out of range", slab->slabs, slab->floats);
    slab->part_bytes = (bytes + PAGE - 1) / PAGE * PAGE;
    return MT_OK;
}

static mt_status slab_memory(mt_comm_slab *slab) {
    mt_comm *comm = slab->comm;
    size_t members = (size_t)comm->node_size, half = slab->stride_bytes * (size_t)slab->slabs;
    slab->parts[0] = calloc(2 * members, sizeof(char *));
    if (!slab->parts[0]) return MT_FAIL(NO_MEMORY, "slab: out of memory");
    slab->parts[1] = slab->parts[0] + members;
    char *base;
    if (members == 1) {
        base = slab->private_part = aligned_alloc(PAGE, slab->part_bytes);
        if (!base) return MT_FAIL(NO_MEMORY, "slab: out of memory (%zu bytes)", slab->part_bytes);
        memset(base, 0, slab->part_bytes);
    } else {
        MT_TRY(
            mt_shm_segment_create(&slab->segment, comm->node, slab->part_bytes, mt_deadline_after(comm->timeout_ns)));
        base = slab->segment.base;
    }
    for (size_t r = 0; r < members; r++) {
        slab->parts[0][r] = base + r * slab->part_bytes;
        slab->parts[1][r] = slab->parts[0][r] + half;
    }
    return MT_OK;
}

mt_status mt_comm_slab_create(
    mt_comm *comm, int slabs_per_rank, size_t floats_per_slab, unsigned flags, mt_comm_slab **out) {
    *out = NULL;
    if (comm->broken) return mt_comm_fail_broken(comm);
    mt_comm_slab *slab = calloc(1, sizeof *slab);
    if (!slab) return MT_FAIL(NO_MEMORY, "slab: out of memory");
    slab->comm = comm;
    slab->slabs = slabs_per_rank;
    slab->floats = floats_per_slab;
    slab->flags = flags;
    mt_status status = slab_sizes(slab); // the same on every rank, so all return here or none
    if (status == MT_OK) {
        status = slab_memory(slab);
        status = mt_comm_agree(comm, status);
    }
    if (status == MT_OK)
        *out = slab;
    else
        mt_comm_slab_destroy(slab);
    return status;
}

void mt_comm_slab_destroy(mt_comm_slab *slab) {
    if (!slab) return;
    mt_shm_segment_destroy(&slab->segment);
    free(slab->private_part);
    free(slab->parts[0]);
    free(slab);
}

float *mt_comm_slab_buffer(mt_comm_slab *slab, int i) {
    MT_ASSERT(i >= 0 && i < slab->slabs);
    return (float *)(slab->parts[slab->round & 1][slab->comm->node_rank] + (size_t)i * slab->stride_bytes);
}

static mt_status plan_slab(mt_comm_request *request, mt_comm_slab *slab, size_t count, float *dst) {
    mt_comm *comm = slab->comm;
    mt_comm_request_begin(request, comm, "all-reduce of slabs");
    if (count > slab->floats || (count > 0 && !dst))
        return MT_FAIL(INVALID_ARGUMENT, "all-reduce of slabs: %zu floats of slabs of %zu", count, slab->floats);
    char **parts = slab->parts[slab->round++ & 1];
    if (comm->node_count > 1 && (slab->flags & MT_REDUCE_ORDERED)) {
        mt_mpi_stage *s = &mt_comm_add_stage(request, MT_STAGE_MPI_ORDERED)->mpi;
        s->src = parts[comm->node_rank];
        s->dst = (char *)dst;
        s->count = count;
        s->element = sizeof(float);
        s->dtype = MT_F32;
        s->op = MT_REDUCE_SUM;
        s->slabs = slab->slabs;
        s->stride_bytes = slab->stride_bytes;
        return MT_OK;
    }
    mt_shm_slabs where = {.parts = parts, .slabs_per_member = slab->slabs, .stride_bytes = slab->stride_bytes};
    mt_shm_op_allreduce_slabs(&mt_comm_add_stage(request, MT_STAGE_SHM)->shm, &comm->group, &where, dst, count);
    mt_comm_add_reduce_tail(request, dst, count, MT_F32, MT_REDUCE_SUM);
    return MT_OK;
}

mt_status mt_comm_slab_allreduce(mt_comm_slab *slab, size_t count, float *dst) {
    mt_comm_request request;
    MT_TRY(plan_slab(&request, slab, count, dst));
    return mt_comm_run(&request);
}

mt_status mt_comm_slab_allreduce_start(mt_comm_slab *slab, size_t count, float *dst, mt_comm_request **out) {
    mt_comm_request request;
    *out = NULL;
    MT_TRY(plan_slab(&request, slab, count, dst));
    return mt_comm_launch(&request, out);
}
