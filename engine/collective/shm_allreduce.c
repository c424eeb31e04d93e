// Collectives inside a node. Protocol and its proof at the top of the header. One thread per member.
#include "engine/collective/shm_allreduce.h"

#include <string.h>

enum {
    SOURCES_MAX = 64,       // sources handed to one call of a reduction kernel; more are added in turns
    BLOCK_BYTES = 4096,     // of those turns
    SLICE_BYTES = 64,       // slices begin on cache lines
    DIRECT_BYTES = 8 << 10, // size * bytes up to which everybody reading everything beats a second wait
    SLAB_DIRECT_BYTES = 8 << 10,
    TAKE_BYTES = 8 << 10,   // lines fetched ahead of the arithmetic
    STREAM_BYTES = 4 << 20, // results from here on bypass the cache
};

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

static void op_init(mt_shm_op *op, mt_shm_op_kind kind, size_t count, size_t element, size_t chunk) {
    *op = (mt_shm_op){.kind = kind, .count = count, .element = element, .chunk = chunk ? chunk : 1};
    // count 0 still synchronises
    op->chunks = count == 0 ? 1 : (uint32_t)((count + op->chunk - 1) / op->chunk);
}

void mt_shm_op_barrier(mt_shm_op *op) { op_init(op, MT_SHM_BARRIER, 0, 1, 1); }

void mt_shm_op_broadcast(mt_shm_op *op, const mt_shm_group *group, void *data, size_t bytes, int root) {
    op_init(op, MT_SHM_BROADCAST, bytes, 1, group->chunk_bytes);
    op->src = op->dst = data;
    op->root = root;
}

void mt_shm_op_gather(mt_shm_op *op, const mt_shm_group *group, const void *src, void *dst, size_t bytes) {
    op_init(op, MT_SHM_GATHER, bytes, 1, group->chunk_bytes);
    op->src = src;
    op->dst = dst;
}

void mt_shm_op_allreduce(mt_shm_op *op, const mt_shm_group *group, const void *src, void *dst, size_t count,
    size_t element, mt_reduce_fn *reduce) {
    size_t bytes = count * element;
    int direct = group->size == 1 || bytes * (size_t)group->size <= DIRECT_BYTES;
    op_init(op, direct ? MT_SHM_REDUCE_DIRECT : MT_SHM_REDUCE_SCATTERED, count, element, group->chunk_bytes / element);
    op->reduce = reduce;
    op->src = src;
    op->dst = dst;
    op->stream = bytes >= STREAM_BYTES;
}

void mt_shm_op_allreduce_slabs(
    mt_shm_op *op, const mt_shm_group *group, const mt_shm_slabs *slabs, float *dst, size_t count) {
    size_t bytes = count * sizeof(float);
    size_t sources = (size_t)group->size * (size_t)slabs->slabs_per_member;
    int direct = group->size == 1 || bytes * sources <= DIRECT_BYTES;
    op_init(op, direct ? MT_SHM_REDUCE_DIRECT : MT_SHM_REDUCE_SCATTERED, count, sizeof(float),
        direct ? count : group->chunk_bytes / sizeof(float));
    op->reduce = mt_reduce_find(MT_F32, MT_REDUCE_SUM);
    op->dst = (char *)dst;
    op->slabs = *slabs;
    op->stream = bytes >= STREAM_BYTES;
}

// where slab w of member r has its data of chunk c; own data of a staged operation is read where the user has it
static const char *source(const mt_shm_op *op, const mt_shm_group *group, uint32_t c, int r, int w) {
    if (op->slabs.parts)
        return op->slabs.parts[r] + (size_t)w * op->slabs.stride_bytes + (size_t)c * op->chunk * op->element;
    if (r == group->rank) return op->src + (size_t)c * op->chunk * op->element;
    return mt_shm_stage(group, r, op->base + c);
}

// the buffer of chunk c that belongs to member r and travels between r and the owners of the slices
static char *carrier(const mt_shm_op *op, const mt_shm_group *group, uint32_t c, int r) {
    if (op->slabs.parts) return op->slabs.parts[r] + (size_t)c * op->chunk * op->element;
    return mt_shm_stage(group, r, op->base + c);
}

// more sources than one call takes: block by block, since dst may be the same memory as a source that comes late
static void reduce_many(const mt_shm_op *op, const mt_shm_group *group, uint32_t c, size_t from, size_t to, char *dst) {
    _Alignas(64) char block[BLOCK_BYTES];
    const void *sources[SOURCES_MAX];
    int slabs = op->slabs.parts ? op->slabs.slabs_per_member : 1;
    for (size_t n; from < to; from += n, dst += n * op->element) {
        int k = 0;
        n = min_size(to - from, BLOCK_BYTES / op->element);
        for (int i = 0; i < group->size * slabs; i++) {
            if (k == SOURCES_MAX) {
                op->reduce(block, sources, k, n);
                sources[0] = block;
                k = 1;
            }
            sources[k++] = source(op, group, c, i / slabs, i % slabs) + from * op->element;
        }
        op->reduce(block, sources, k, n);
        memcpy(dst, block, n * op->element);
    }
}

// dst = the reduction of elements [from, to) of chunk c over all slabs of all members, in order
static void reduce_range(
    const mt_shm_op *op, const mt_shm_group *group, uint32_t c, size_t from, size_t to, char *dst) {
    const void *sources[SOURCES_MAX];
    int slabs = op->slabs.parts ? op->slabs.slabs_per_member : 1, n = group->size * slabs;
    if (n > SOURCES_MAX) {
        reduce_many(op, group, c, from, to, dst);
        return;
    }
    for (int i = 0; i < n; i++) sources[i] = source(op, group, c, i / slabs, i % slabs) + from * op->element;
    if (op->stream && op->kind == MT_SHM_REDUCE_DIRECT && n == 2 && op->reduce == mt_reduce_find(MT_F32, MT_REDUCE_SUM))
        mt_sum2_stream_f32((float *)dst, sources[0], sources[1], to - from);
    else
        op->reduce(dst, sources, n, to - from);
}

static void copy_out(const mt_shm_op *op, char *dst, const char *src, size_t bytes) {
    if (op->stream)
        mt_copy_stream(dst, src, bytes);
    else
        memcpy(dst, src, bytes);
}

static size_t chunk_count(const mt_shm_op *op, uint32_t c) {
    return op->count == 0 ? 0 : min_size(op->chunk, op->count - (size_t)c * op->chunk);
}

// ---- direct --------------------------------------------------------------------------------------------------------

static void direct_put(const mt_shm_op *op, mt_shm_group *group, uint32_t c) {
    size_t bytes = chunk_count(op, c) * op->element;
    int mine = op->kind != MT_SHM_BARRIER && (op->kind != MT_SHM_BROADCAST || op->root == group->rank);
    if (mine && bytes > 0 && group->size > 1 && !op->slabs.parts)
        memcpy(mt_shm_stage(group, group->rank, op->base + c), op->src + (size_t)c * op->chunk * op->element, bytes);
    mt_shm_publish(group);
}

static void direct_take(const mt_shm_op *op, const mt_shm_group *group, uint32_t c) {
    size_t n = chunk_count(op, c), offset = (size_t)c * op->chunk * op->element;
    if (n == 0) return;
    if (op->kind == MT_SHM_BROADCAST) {
        if (op->root != group->rank) memcpy(op->dst + offset, mt_shm_stage(group, op->root, op->base + c), n);
    } else if (op->kind == MT_SHM_GATHER) {
        for (int r = 0; r < group->size; r++) {
            char *to = op->dst + (size_t)r * op->count + offset;
            if (r != group->rank)
                memcpy(to, mt_shm_stage(group, r, op->base + c), n);
            else if (to != op->src + offset)
                memcpy(to, op->src + offset, n);
        }
    } else if (op->kind == MT_SHM_REDUCE_DIRECT) {
        reduce_range(op, group, c, 0, n, op->dst + offset);
    }
}

static int direct_advance(mt_shm_op *op, mt_shm_group *group, uint32_t *wait_for) {
    while (op->taken < op->chunks) {
        for (; op->put < op->chunks && op->put <= op->taken + 1; op->put++) direct_put(op, group, op->put);
        *wait_for = op->base + op->taken + 1;
        if (!mt_shm_reached(group, *wait_for)) return 0;
        group->engaged = 1;
        direct_take(op, group, op->taken++);
    }
    return 1;
}

// ---- scattered -----------------------------------------------------------------------------------------------------

// elements [from, to) of chunk c belong to `owner`
static void slice_of(const mt_shm_op *op, const mt_shm_group *group, uint32_t c, int owner, size_t *from, size_t *to) {
    size_t n = chunk_count(op, c), line = SLICE_BYTES / op->element;
    size_t slice = (n + (size_t)group->size - 1) / (size_t)group->size;
    slice = (slice + line - 1) / line * line;
    *from = min_size(n, slice * (size_t)owner);
    *to = min_size(n, *from + slice);
}

static void scattered_put(const mt_shm_op *op, const mt_shm_group *group, uint32_t c) {
    char *stage = mt_shm_stage(group, group->rank, op->base + c);
    const char *src = op->src + (size_t)c * op->chunk * op->element;
    size_t from, to, bytes = chunk_count(op, c) * op->element;
    slice_of(op, group, c, group->rank, &from, &to);
    from *= op->element, to *= op->element;
    memcpy(stage, src, from);
    memcpy(stage + to, src + to, bytes - to);
}

// own slice, block by block: fetch the others' lines for writing, reduce into one of them, copy to the rest and to dst
static void scattered_reduce(const mt_shm_op *op, const mt_shm_group *group, uint32_t c) {
    size_t from, to, block = TAKE_BYTES / op->element;
    char *dst = op->dst + (size_t)c * op->chunk * op->element;
    slice_of(op, group, c, group->rank, &from, &to);
    for (size_t at = from, n; at < to; at += n) {
        char *first = NULL;
        size_t offset = at * op->element;
        n = min_size(block, to - at);
        for (int r = 0; r < group->size; r++)
            if (r != group->rank) mt_take_lines(carrier(op, group, c, r) + offset, n * op->element);
        for (int r = 0; r < group->size; r++) {
            if (r == group->rank) continue;
            char *theirs = carrier(op, group, c, r) + offset;
            if (first)
                memcpy(theirs, first, n * op->element);
            else
                reduce_range(op, group, c, at, at + n, first = theirs);
        }
        copy_out(op, dst + offset, first, n * op->element);
    }
}

static void scattered_take(const mt_shm_op *op, const mt_shm_group *group, uint32_t c) {
    char *dst = op->dst + (size_t)c * op->chunk * op->element, *mine = carrier(op, group, c, group->rank);
    for (int k = 1; k < group->size; k++) {
        int owner = (group->rank + k) % group->size; // everybody begins elsewhere
        size_t from, to;
        slice_of(op, group, c, owner, &from, &to);
        for (size_t at = from * op->element, end = to * op->element, n; at < end; at += n) {
            n = min_size(TAKE_BYTES, end - at);
            mt_take_lines(mine + at, n);
            copy_out(op, dst + at, mine + at, n);
        }
    }
}

static int scattered_advance(mt_shm_op *op, mt_shm_group *group, uint32_t *wait_for) {
    for (;; op->put++, op->taken = 0) {
        uint32_t step = op->put, chunks = op->chunks;
        if (step < chunks && !op->taken && !op->slabs.parts) scattered_put(op, group, step);
        op->taken = 1;
        *wait_for = op->base + step;
        if (step > 0 && !mt_shm_reached(group, *wait_for)) return 0;
        group->engaged = step > 0;
        if (step >= 1 && step <= chunks) scattered_reduce(op, group, step - 1);
        if (step >= 2) scattered_take(op, group, step - 2);
        if (step > chunks) return 1;
        mt_shm_publish(group);
    }
}

int mt_shm_op_advance(mt_shm_op *op, mt_shm_group *group, uint32_t *wait_for) {
    if (!op->started) {
        op->started = 1;
        op->base = group->count;
        group->engaged = 0;
    }
    return op->kind == MT_SHM_REDUCE_SCATTERED ? scattered_advance(op, group, wait_for)
                                               : direct_advance(op, group, wait_for);
}
