// Worker pool: fork and join on two words.
//
// Protocol.
//   epoch    written by the caller alone: +1 for each run, after the job fields are set (release). A worker that sees a
//            new epoch (acquire) reads the job. Workers sleep on it (futex).
//   working  workers that have not finished this run; set by the caller before the epoch moves, each worker takes one off
//            (release); the caller waits for 0 (acquire) and sleeps on it (futex).
//   sleepers, caller_sleeps   say whether a wake-up call is needed. Sequentially consistent with the words they belong to:
//            a sleeper announces itself, then looks at the word again (inside the futex call); a waker changes the word,
//            then looks for sleepers. One of the two sees the other, so no wake-up is lost.
// Job fields are plain: they are written only while no worker runs, between `working` = 0 and the next epoch.
#include "engine/base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/futex.h"
#include "engine/base/signal.h"

enum { LINE_BYTES = 64, SPINS_PER_LOOK = 64, AUTO_SPIN_NS = 50000 };

typedef struct worker {
    mt_workers *pool;   // borrowed
    int number;         // from 1; 0 is the caller
    pthread_t thread;
} worker;

struct mt_workers {
    alignas(LINE_BYTES) _Atomic uint32_t epoch;
    _Atomic uint32_t sleepers;
    alignas(LINE_BYTES) _Atomic uint32_t working;
    _Atomic uint32_t caller_sleeps;
    alignas(LINE_BYTES) mt_work_fn fn;   // the job; NULL: leave
    void *context;
    int index_count;
    int count;          // workers, the caller included
    int64_t spin_ns;
    worker *workers;    // owned (count - 1)
    bool pinned;        // between pin and unpin
    cpu_set_t cpus;     // then: what the caller ran on before
};

// Spins at most spin_ns while *word == value; true when it changed.
static bool spin_while(const _Atomic uint32_t *word, uint32_t value, int64_t spin_ns) {
    if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
    if (spin_ns <= 0) return false;
    int64_t until = mt_deadline_after(spin_ns);
    do
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
            mt_cpu_relax();
        }
    while (!mt_deadline_passed(until));
    return false;
}

static void wait_for_epoch(mt_workers *pool, uint32_t seen) {
    if (spin_while(&pool->epoch, seen, pool->spin_ns)) return;
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->epoch) == seen) mt_futex_wait(&pool->epoch, seen, MT_NEVER);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void wait_for_workers(mt_workers *pool) {
    for (;;) {
        uint32_t working = atomic_load_explicit(&pool->working, memory_order_acquire);
        if (working == 0) return;
        if (spin_while(&pool->working, working, pool->spin_ns)) continue;
        atomic_store(&pool->caller_sleeps, 1);
        while ((working = atomic_load(&pool->working)) != 0) mt_futex_wait(&pool->working, working, MT_NEVER);
        atomic_store(&pool->caller_sleeps, 0);
        return;
    }
}

static void run_share(const mt_workers *pool, int number) {
    for (int i = number; i < pool->index_count; i += pool->count) pool->fn(pool->context, i, number);
}

// Where it is refused, the system's choice stands.
static void set_processors(const mt_workers *pool, int number, const cpu_set_t *cpus) {
    pthread_setaffinity_np(number == 0 ? pthread_self() : pool->workers[number - 1].thread, sizeof *cpus, cpus);
}

void mt_workers_pin(mt_workers *pool) {
    if (!pool || pool->count == 1 || pthread_getaffinity_np(pthread_self(), sizeof pool->cpus, &pool->cpus) != 0) return;
    pool->pinned = CPU_COUNT(&pool->cpus) == pool->count;
    for (int cpu = 0, number = 0; pool->pinned && number < pool->count; cpu++) {
        if (!CPU_ISSET(cpu, &pool->cpus)) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        set_processors(pool, number++, &one);
    }
}

void mt_workers_unpin(mt_workers *pool) {
    if (!pool || !pool->pinned) return;
    for (int number = 0; number < pool->count; number++) set_processors(pool, number, &pool->cpus);
    pool->pinned = false;
}

static void *worker_main(void *argument) {
    const worker *self = argument;
    mt_workers *pool = self->pool;
    for (uint32_t seen = 0;; seen++) {
        wait_for_epoch(pool, seen);
        if (!pool->fn) return NULL;
        run_share(pool, self->number);
        // only the last one wakes the caller
        if (atomic_fetch_sub(&pool->working, 1) == 1 && atomic_load(&pool->caller_sleeps)) mt_futex_wake_all(&pool->working);
    }
}

static void publish(mt_workers *pool, mt_work_fn fn, void *context, int count) {
    pool->fn = fn;
    pool->context = context;
    pool->index_count = count;
    atomic_store_explicit(&pool->working, (uint32_t)pool->count - 1, memory_order_relaxed);
    atomic_fetch_add(&pool->epoch, 1);
    if (atomic_load(&pool->sleepers)) mt_futex_wake_all(&pool->epoch);
}

void mt_workers_run(mt_workers *pool, mt_work_fn fn, void *context, int count) {
    MT_ASSERT(fn);
    // one index belongs to worker 0: nobody needs to be woken
    if (!pool || pool->count == 1 || count <= 1) {
        int workers = pool ? pool->count : 1;
        for (int i = 0; i < count; i++) fn(context, i, i % workers);
        return;
    }
    publish(pool, fn, context, count);
    run_share(pool, 0);
    wait_for_workers(pool);
}

int mt_workers_count(const mt_workers *pool) { return pool ? pool->count : 1; }

static mt_status start_threads(mt_workers *pool, int wanted) {
    sigset_t before;
    mt_signal_block(&before);
    int error = 0;
    for (int i = 1; i < wanted && error == 0; i++) {
        worker *w = &pool->workers[i - 1];
        *w = (worker){.pool = pool, .number = i};
        error = pthread_create(&w->thread, NULL, worker_main, w);
        if (error) break;
        char name[32];   // the system takes 15 letters: enough for any count allowed
        snprintf(name, sizeof name, "manta-w%d", i);
        pthread_setname_np(w->thread, name);
        pool->count = i + 1;   // threads look at it after the first epoch only
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) return MT_OK;
    return MT_FAIL(NO_MEMORY, "cannot start worker thread %d of %d: %s; use fewer threads", pool->count, wanted - 1,
        strerror(error));
}

mt_status mt_workers_create(int count, int64_t spin_ns, mt_workers **out) {
    *out = NULL;
    if (count < 0 || count > MT_WORKERS_MAX)
        return MT_FAIL(INVALID_ARGUMENT, "%d worker threads asked for; 0 to %d are possible", count, MT_WORKERS_MAX);
    if (count == 0) count = 1;
    mt_workers *pool = aligned_alloc(LINE_BYTES, sizeof *pool);
    worker *workers = calloc((size_t)count, sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return MT_FAIL(NO_MEMORY, "out of memory for %d worker threads", count);
    }
    memset(pool, 0, sizeof *pool);
    pool->workers = workers;
    pool->count = 1;
    pool->spin_ns = spin_ns != MT_WORKERS_SPIN_AUTO ? spin_ns : count > mt_cpu_usable() ? 0 : AUTO_SPIN_NS;
    mt_status status = start_threads(pool, count);
    if (status != MT_OK) {
        mt_workers_destroy(pool);
        return status;
    }
    *out = pool;
    return MT_OK;
}

void mt_workers_destroy(mt_workers *pool) {
    if (!pool) return;
    if (pool->count > 1) {
        publish(pool, NULL, NULL, 0);
        for (int i = 0; i < pool->count - 1; i++) pthread_join(pool->workers[i].thread, NULL);
    }
    free(pool->workers);
    free(pool);
}
