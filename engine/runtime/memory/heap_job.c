// The heaps of a job: every rank makes its memory, tells the others, and opens those of its host. At start-up, by the
// thread that owns the communicator, within its deadline.
//
// All ranks take the same way: first memfds opened through /proc; when any rank cannot, POSIX objects, unlinked as soon
// as everybody has them. A rank that fails goes on to the exchange that tells the others, so that nobody waits for it.
#include <stdlib.h>
#include <string.h>
#include "engine/collective/agree.h"
#include "engine/collective/comm.h"
#include "engine/runtime/memory/heap_memory.h"

enum { PAGE = 4096 };

typedef struct attempt {
    mt_heap_memory own;
    mt_heap_memory *peer; // (size)
    mt_heap_offer *offer; // (size)
    int *opened;          // (size): what each rank says
} attempt;

static void attempt_undo(attempt *a, int size) {
    for (int r = 0; r < size; r++) mt_heap_memory_destroy(&a->peer[r]);
    mt_heap_memory_destroy(&a->own);
}

// *all: every rank has its memory and that of its host's others. An error of this rank alone is in *mine; what is
// returned concerns the exchange.
static mt_status attempt_run(attempt *a, mt_comm *world, uint64_t bytes, int posix, mt_status *mine, int *all) {
    mt_heap_offer offer = {.made = 0};
    int opened;
    *all = 0;
    *mine = mt_heap_memory_create(&a->own, bytes, posix);
    if (*mine == MT_OK) *mine = mt_heap_memory_offer(&a->own, &offer);
    offer.made = *mine == MT_OK;
    offer.node = world->node_index;
    MT_TRY(mt_comm_allgather(world, &offer, a->offer, sizeof offer));
    for (int r = 0; r < world->size && *mine == MT_OK; r++)
        if (r != world->rank && a->offer[r].made && world->node_index_of[r] == world->node_index)
            *mine = mt_heap_memory_open(&a->peer[r], &a->offer[r]);
    opened = *mine == MT_OK;
    MT_TRY(mt_comm_allgather(world, &opened, a->opened, sizeof opened));
    mt_heap_memory_unlink(&a->own);
    *all = 1;
    for (int r = 0; r < world->size; r++) *all = *all && a->opened[r];
    return MT_OK;
}

mt_status mt_heap_job_create(mt_comm *world, uint64_t limit_bytes, mt_heap **out) {
    const char *way = getenv("MANTA_SHM");
    size_t size = (size_t)world->size;
    int posix = way && strcmp(way, "posix") == 0, all = 0;
    *out = NULL;
    uint64_t bytes = (limit_bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    attempt a = {.own.fd = -1,
        .peer = calloc(size, sizeof *a.peer),
        .offer = calloc(size, sizeof *a.offer),
        .opened = calloc(size, sizeof *a.opened)};
    mt_status status = MT_OK, mine = MT_OK;
    if (!a.peer || !a.offer || !a.opened) status = MT_FAIL(NO_MEMORY, "object heap: out of memory for %zu ranks", size);
    status = mt_comm_agree(world, status);
    if (status != MT_OK) goto done;
    for (size_t r = 0; r < size; r++) a.peer[r].fd = -1;
    for (; !all && posix < 2; posix++) {
        status = attempt_run(&a, world, bytes, posix, &mine, &all);
        if (status != MT_OK || !all) attempt_undo(&a, world->size);
        if (status != MT_OK) goto done;
    }
    if (!all) status = mt_comm_agree(world, mine);
    if (status != MT_OK) goto done;

    status = mt_comm_agree(world, mt_heap_open(world->rank, world->size, &a.own, out));
    if (*out) {
        (*out)->peer = a.peer;
        a.peer = NULL;
    }
    if (status != MT_OK) {
        if (*out)
            mt_heap_destroy(*out);
        else
            attempt_undo(&a, world->size);
        *out = NULL;
    }
done:
    free(a.opened);
    free(a.offer);
    free(a.peer);
    return status;
}
