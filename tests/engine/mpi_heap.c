// The ranks' side of test_heap.c: mpi_heap MODE NODE_RANKS_MAX, started by mpirun (or without). Exit status 0 and
// "passed" from rank 0; anything else is a failure with a line on standard error.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/failpoint.h"
#include "engine/collective/collective.h"
#include "engine/collective/mpi.h"
#include "engine/runtime/memory/heap.h"

static int rank, size;

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            fprintf(                                                                                                   \
                stderr, "rank %d of %d: line %d: %s; last error: %s\n", rank, size, __LINE__, #cond, mt_last_error()); \
            mt_mpi_abort(1);                                                                                           \
        }                                                                                                              \
    } while (0)

enum { BYTES = 3000000 };

static void views(mt_comm *world, int node_ranks_max) {
    mt_heap *heap;
    CHECK(mt_heap_job_create(world, UINT64_C(1) << 32, &heap) == MT_OK);
    // nothing of the heap has a name any more
    DIR *dir = opendir("/dev/shm");
    char mine[48];
    snprintf(mine, sizeof mine, "manta-%d-", (int)getpid());
    for (struct dirent *e; dir && (e = readdir(dir));) CHECK(strncmp(e->d_name, mine, strlen(mine)) != 0);
    if (dir) closedir(dir);

    char *data = malloc(BYTES);
    uint64_t at[64];
    memset(data, 'a' + rank, BYTES);
    for (int i = 0; i < rank; i++) (void)mt_heap_alloc(heap, 777); // not the same place on every rank
    uint64_t offset = mt_heap_alloc(heap, BYTES);
    CHECK(offset != MT_HEAP_NO_OFFSET);
    CHECK(mt_heap_write(heap, offset, data, BYTES) == MT_OK);
    CHECK(mt_comm_allgather(world, &offset, at, sizeof offset) == MT_OK);
    for (int r = 0; r < size; r++) {
        const char *seen = mt_heap_view(heap, r, at[r], BYTES);
        int near = node_ranks_max == 0 || r / node_ranks_max == rank / node_ranks_max;
        CHECK((seen != NULL) == near);
        for (int i = 0; seen && i < BYTES; i++) CHECK(seen[i] == 'a' + r);
    }
    CHECK(mt_comm_barrier(world) == MT_OK);
    // a peer that has gone leaves its memory to those who look at it
    if (rank == 0) mt_heap_destroy(heap);
    CHECK(mt_comm_barrier(world) == MT_OK);
    if (rank != 0 && mt_heap_view(heap, 0, at[0], 1)) CHECK(*(const char *)mt_heap_view(heap, 0, at[0], 1) == 'a');
    if (rank != 0) mt_heap_destroy(heap);
    free(data);
}

static void failing(mt_comm *world) {
    mt_heap *heap = NULL;
    // memfd fails on one rank: all go the other way
    if (rank == 1) CHECK(mt_failpoint_set("heap.create:EMFILE") == MT_OK);
    CHECK(mt_heap_job_create(world, 1 << 20, &heap) == MT_OK);
    CHECK(mt_heap_view(heap, (rank + 1) % size, 0, 1) != NULL);
    mt_heap_destroy(heap);
    if (rank == 1) CHECK(mt_failpoint_set("heap.create:ENOMEM+") == MT_OK);
    CHECK(mt_heap_job_create(world, 1 << 20, &heap) == MT_NO_MEMORY);
    CHECK(heap == NULL);
    CHECK(strstr(mt_last_error(), rank == 1 ? "cannot reserve 1048576 bytes" : "rank 1") != NULL);
    CHECK(mt_failpoint_set(NULL) == MT_OK);
    CHECK(mt_heap_job_create(world, rank ? 1 << 20 : 0, &heap) != MT_OK);
    CHECK(mt_heap_job_create(world, 1 << 20, &heap) == MT_OK);
    mt_heap_destroy(heap);
}

int main(int argc, char **argv) {
    mt_comm *world;
    const char *mode = argc > 1 ? argv[1] : "";
    mt_comm_desc desc = {.timeout_ns = 30 * MT_SECOND_NS, .node_ranks_max = argc > 2 ? atoi(argv[2]) : 0};
    if (mt_mpi_init(&argc, &argv) != MT_OK || mt_comm_world(&desc, &world) != MT_OK) return 1;
    rank = mt_comm_rank(world);
    size = mt_comm_size(world);
    if (strcmp(mode, "views") == 0)
        views(world, desc.node_ranks_max);
    else if (strcmp(mode, "failing") == 0)
        failing(world);
    else
        CHECK(!"a mode");
    CHECK(mt_comm_barrier(world) == MT_OK);
    if (rank == 0) printf("passed\n");
    mt_comm_destroy(world);
    return mt_mpi_finalize() == MT_OK ? 0 : 1;
}
