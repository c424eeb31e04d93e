// The node's collectives with threads in one process on plain memory: what ThreadSanitizer can watch. Tiny staging
// buffers, so that every operation takes many steps; random kinds and sizes, the same for all members; results checked.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/collective/shm_allreduce.h"

enum { MEMBERS_MAX = 5, LARGEST = 20000, CHUNK = 4096, OPERATIONS = 1500, SLABS = 2 };

typedef struct shared {
    int members;
    void *block;
    size_t block_bytes;
    char *parts[2][MEMBERS_MAX]; // slabs: (buffer, member)
    int crowded;
} shared;

typedef struct member {
    shared *all;
    int rank;
    mt_shm_group group;
    unsigned round; // of the slabs
    float *src, *dst;
} member;

static void fail(const member *m, const char *what, int operation, size_t i) {
    fprintf(stderr, "race_shm: member %d of %d: %s, operation %d, element %zu\n", m->rank, m->all->members, what,
        operation, i);
    exit(1);
}

static void run(member *m, mt_shm_op *op, int operation) {
    uint32_t count;
    while (!mt_shm_op_advance(op, &m->group, &count))
        if (mt_shm_wait(&m->group, count, mt_deadline_after(20 * MT_SECOND_NS)) != MT_SHM_REACHED)
            fail(m, "did not come back", operation, 0);
}

static float value(int rank, int operation, size_t i) {
    return (float)(rank + 1) * (float)(operation % 17) + (float)(i % 101);
}

static float total(int ranks, int operation, size_t i) {
    return (float)(ranks * (ranks + 1) / 2) * (float)(operation % 17) + (float)ranks * (float)(i % 101);
}

static void all_reduce(member *m, int operation, size_t n, int in_place) {
    mt_shm_op op;
    float *dst = in_place ? m->src : m->dst;
    for (size_t i = 0; i < n; i++) m->src[i] = value(m->rank, operation, i);
    mt_shm_op_allreduce(&op, &m->group, m->src, dst, n, sizeof(float), mt_reduce_find(MT_F32, MT_REDUCE_SUM));
    run(m, &op, operation);
    for (size_t i = 0; i < n; i++)
        if (dst[i] != total(m->all->members, operation, i)) fail(m, "wrong sum", operation, i);
}

static void slabs(member *m, int operation, size_t n) {
    mt_shm_op op;
    char *const *parts = m->all->parts[m->round++ & 1];
    for (int w = 0; w < SLABS; w++)
        for (size_t i = 0; i < n; i++)
            ((float *)(void *)parts[m->rank])[w * LARGEST + (int)i] = value(m->rank * SLABS + w, operation, i);
    mt_shm_slabs where = {parts, SLABS, LARGEST * sizeof(float)};
    mt_shm_op_allreduce_slabs(&op, &m->group, &where, m->dst, n);
    run(m, &op, operation);
    for (size_t i = 0; i < n; i++)
        if (m->dst[i] != total(m->all->members * SLABS, operation, i)) fail(m, "wrong sum of slabs", operation, i);
}

static void broadcast(member *m, int operation, size_t n) {
    mt_shm_op op;
    int root = operation % m->all->members;
    for (size_t i = 0; i < n; i++) m->src[i] = m->rank == root ? value(root, operation, i) : -1;
    mt_shm_op_broadcast(&op, &m->group, m->src, n * sizeof(float), root);
    run(m, &op, operation);
    for (size_t i = 0; i < n; i++)
        if (m->src[i] != value(root, operation, i)) fail(m, "wrong broadcast", operation, i);
}

static void gather(member *m, int operation, size_t n) {
    mt_shm_op op;
    for (size_t i = 0; i < n; i++) m->src[i] = value(m->rank, operation, i);
    mt_shm_op_gather(&op, &m->group, m->src, m->dst, n * sizeof(float));
    run(m, &op, operation);
    for (int r = 0; r < m->all->members; r++)
        for (size_t i = 0; i < n; i++)
            if (m->dst[(size_t)r * n + i] != value(r, operation, i)) fail(m, "wrong gather", operation, i);
}

static void *member_main(void *context) {
    member *m = context;
    mt_shm_op op;
    unsigned random = 12345; // the same sequence for all
    if (mt_shm_group_attach(&m->group, m->all->block, m->all->block_bytes, m->rank, m->all->members) != MT_OK)
        fail(m, mt_last_error(), 0, 0);
    m->group.crowded = m->all->crowded;
    m->group.spin_ns = m->rank % 2 ? 2000 : 0;
    for (int operation = 0; operation < OPERATIONS; operation++) {
        random = random * 1664525u + 1013904223u;
        // mostly short, now and then many chunks
        size_t n = (random >> 8) % ((random & 7) == 0 ? LARGEST : 900);
        switch ((random >> 4) & 7) {
        case 0:
            mt_shm_op_barrier(&op);
            run(m, &op, operation);
            break;
        case 1: broadcast(m, operation, n); break;
        case 2: gather(m, operation, n); break;
        case 3: all_reduce(m, operation, n, 1); break;
        case 4: all_reduce(m, operation, n, 0); break;
        default: slabs(m, operation, n); break;
        }
    }
    return NULL;
}

static void race(int members, int crowded) {
    shared all = {.members = members, .crowded = crowded};
    member m[MEMBERS_MAX];
    pthread_t thread[MEMBERS_MAX];
    all.block_bytes = mt_shm_block_bytes(members, CHUNK);
    all.block = aligned_alloc(4096, all.block_bytes);
    memset(all.block, 0, all.block_bytes);
    mt_shm_block_format(all.block, members, CHUNK);
    for (int r = 0; r < members; r++) {
        for (int b = 0; b < 2; b++) all.parts[b][r] = aligned_alloc(64, SLABS * LARGEST * sizeof(float));
        m[r] = (member){.all = &all,
            .rank = r,
            .src = malloc(LARGEST * sizeof(float)),
            .dst = malloc((size_t)members * LARGEST * sizeof(float))};
    }
    for (int r = 0; r < members; r++)
        if (pthread_create(&thread[r], NULL, member_main, &m[r]) != 0) exit(1);
    for (int r = 0; r < members; r++) pthread_join(thread[r], NULL);
    for (int r = 0; r < members; r++) {
        for (int b = 0; b < 2; b++) free(all.parts[b][r]);
        free(m[r].src);
        free(m[r].dst);
    }
    free(all.block);
}

int main(void) {
    for (int members = 1; members <= MEMBERS_MAX; members++) race(members, members > 2);
    printf("race_shm: fine\n");
    return 0;
}
