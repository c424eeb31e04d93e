// Worker threads: a small pool with fork and join, for loops of microseconds (a batch of environments, a layer's rows).
//
// The calling thread is worker 0 and takes part; a pool of 1 (or 0) has no threads and runs everything in the caller.
// Index i always goes to worker i mod n: which worker computes what is a property of the program, not of the schedule.
// Waiting is a bounded spin, then sleep (futex): an idle pool uses no CPU.
#ifndef MANTA_ENGINE_BASE_THREAD_H
#define MANTA_ENGINE_BASE_THREAD_H

#include <stdint.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_WORKERS_MAX = 1024 };
#define MT_WORKERS_SPIN_AUTO ((int64_t)-1)   // 50 µs, or none when there are more workers than usable cores

typedef struct mt_workers mt_workers;

// `index` in [0, count), `worker` in [0, mt_workers_count). Must not call mt_workers_run on the same pool.
typedef void (*mt_work_fn)(void *context, int index, int worker);

// count: threads in all, the caller included; 0 and 1 mean none beside it. spin_ns: how long a waiting thread spins before
// it sleeps. Several ranks that share cores should pass 0. Threads block all signals: those are the main thread's.
mt_status mt_workers_create(int count, int64_t spin_ns, mt_workers **out);
int mt_workers_count(const mt_workers *pool);   // at least 1; 1 for NULL

// Calls fn for every index and returns when all are done; what the workers wrote is visible then. One caller at a time.
// Nullable: pool (runs in the caller).
void mt_workers_run(mt_workers *pool, mt_work_fn fn, void *context, int count);

// For many short runs to come: from pin to unpin the caller and the pool's threads keep to a processor each, if the pool has as
// many as the process may run on; else nothing happens. Left to itself the system may put two threads of a pool on one processor and
// leave them there, when the rest of the machine belongs to another session: PPO on two threads beside two busy programs
// trained 30 k steps/s so, 245 k with a processor each (Zen 5, 2 cores). By one thread; what it starts in between inherits its
// processor. Nullable.
void mt_workers_pin(mt_workers *pool);
void mt_workers_unpin(mt_workers *pool);

void mt_workers_destroy(mt_workers *pool);      // Nullable; joins the threads

#ifdef __cplusplus
}
#endif
#endif
