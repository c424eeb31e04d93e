// The blocks of a grid, one after the other in an order from the seed, and the threads of a block, each on a fiber. A thread
// runs until it waits (a barrier, an exchange within its warp), ends, or has used up a number of loads and stores that the seed
// chose; which one goes on is the seed's choice, too. No two threads run at the same time, none can rely on another's pace.
//
// Reported, and the process ended: threads that can never go on (some at one barrier, some at another, some in an exchange that
// the others do not come to), a barrier that some threads cannot reach because they have ended, an exchange that reads a lane
// that takes no part in it or whose mask misses the lane that calls, guard zones of shared arrays written to.
//
// Called with the device's lock held, by whichever thread of the process makes the device work.
#ifndef MANTA_TESTS_CUDA_HOST_BLOCK_H
#define MANTA_TESTS_CUDA_HOST_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <vector_types.h>
#include "tests/cuda_host/fiber.h"

enum { MT_HOST_THREADS_MOST = 1024, MT_HOST_WARP = 32, MT_HOST_SHARED_BYTES = 256 << 10, MT_HOST_SHARED_ARRAYS = 64 };

typedef struct mt_host_grid {
    const void *kernel;
    void (*call)(const void *closure);
    const void *closure;             // borrowed
    size_t closure_bytes;
    uint3 grid, block;
    size_t dynamic_bytes, shared_most; // shared memory: asked for at the launch, allowed in all
    int device;
} mt_host_grid;

typedef enum mt_host_state {
    MT_HOST_NEW,
    MT_HOST_READY,
    MT_HOST_RUNS,
    MT_HOST_BARRIER,
    MT_HOST_EXCHANGE,
    MT_HOST_ENDED
} mt_host_state;

typedef struct mt_host_thread {
    uint3 index;
    int number, state;
    mt_host_fiber *fiber;            // owned from its beginning to its end; shared with nobody
    uintptr_t stack;                 // of the fiber: its lowest address
    const char *file;                // where it waits
    int line;
    // an exchange
    int kind, argument, width;
    unsigned mask;
    uint64_t value, answer;
} mt_host_thread;

typedef struct mt_host_block {
    const mt_host_grid *grid;
    uint3 index;
    uint64_t number;                 // in the grid
    int thread_count, ended, at_barrier, predicates, predicate_sum;
    mt_host_thread threads[MT_HOST_THREADS_MOST];
    int ready[MT_HOST_THREADS_MOST], ready_count; // who could go on
    int exchanging[MT_HOST_THREADS_MOST / MT_HOST_WARP]; // threads of each warp that wait in an exchange
    unsigned alive[MT_HOST_THREADS_MOST / MT_HOST_WARP]; // lanes of each warp that have not ended
    uint64_t random;
} mt_host_block;

extern mt_host_block mt_host_now;                         // the block that runs
extern _Thread_local mt_host_thread *mt_host_current;     // its thread that runs here; NULL: the host's code

void mt_host_grid_run(const mt_host_grid *grid, uint64_t *random);

// for warp.c and races.c
void mt_host_block_wake(mt_host_thread *thread);          // it waits no longer
void mt_host_block_wait(void);                            // the current thread, whose state says for what
void mt_host_block_pause(void);                           // lets another go on, perhaps
void mt_host_warp_ended(mt_host_thread *thread);          // those who wait for it look again

// ---- shared.c: the block's shared memory
void mt_host_shared_begin(size_t dynamic_bytes);
void mt_host_shared_end(void);                            // looks at the guard zones
extern char mt_host_shared_memory[MT_HOST_SHARED_BYTES];
typedef struct mt_host_shared_array {
    char *at;
    size_t bytes;
    const char *name;
    int id;
} mt_host_shared_array;
extern mt_host_shared_array mt_host_shared_arrays[MT_HOST_SHARED_ARRAYS]; // by address
// the last that begins at or before an address; NULL: none
const mt_host_shared_array *mt_host_shared_find(const void *at);

#endif
