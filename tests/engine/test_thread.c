// thread.h: who computes what, visibility, many runs, odd counts. Races: race_workers.c under ThreadSanitizer.
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include "engine/base/clock.h"
#include "engine/base/thread.h"

enum { INDICES = 100 };

typedef struct job {
    int worker[INDICES], times[INDICES];
    pthread_t thread[INDICES];
} job;

static void note(void *context, int index, int worker) {
    job *j = context;
    j->worker[index] = worker;
    j->times[index]++;
    j->thread[index] = pthread_self();
}

Test(thread, every_index_once_and_statically_assigned) {
    for (int count = 0; count <= 5; count++)
        for (int spin = 0; spin < 2; spin++) {
            mt_workers *pool = NULL;
            cr_assert_eq(mt_workers_create(count, spin ? 20000 : 0, &pool), MT_OK);
            int n = mt_workers_count(pool);
            cr_assert_eq(n, count ? count : 1);
            for (int indices = 0; indices <= INDICES; indices += 7) {
                job j = {0};
                mt_workers_run(pool, note, &j, indices);
                int wrong = 0;
                for (int i = 0; i < INDICES; i++) {
                    bool ran = i < indices;
                    wrong += j.times[i] != ran || (ran && j.worker[i] != i % n);
                    wrong += ran && i % n == 0 && !pthread_equal(j.thread[i], pthread_self());
                }
                cr_assert_eq(wrong, 0);
            }
            mt_workers_destroy(pool);
        }
}

Test(thread, no_pool_runs_in_the_caller) {
    job j = {0};
    mt_workers_run(NULL, note, &j, 10);
    for (int i = 0; i < 10; i++) cr_assert(j.times[i] == 1 && j.worker[i] == 0);
    cr_assert_eq(mt_workers_count(NULL), 1);
    mt_workers_destroy(NULL);
}

Test(thread, impossible_counts) {
    mt_workers *pool;
    cr_assert_eq(mt_workers_create(-1, 0, &pool), MT_INVALID_ARGUMENT);
    cr_assert_eq(mt_workers_create(MT_WORKERS_MAX + 1, 0, &pool), MT_INVALID_ARGUMENT);
    cr_assert_null(pool);
}

static void add(void *context, int index, int worker) {
    (void)worker;
    ((long *)context)[index * 8]++;
}

// plain memory written in one run is read in the next, by other threads too
static void rotate(void *context, int index, int worker) {
    (void)worker;
    long (*rows)[2] = context;
    rows[index][1] = rows[(index + 1) % 3][0] + 1;
}

static void settle(void *context, int index, int worker) {
    (void)worker;
    long (*rows)[2] = context;
    rows[index][0] = rows[index][1];
}

Test(thread, many_runs) {
    mt_workers *pool;
    cr_assert_eq(mt_workers_create(3, MT_WORKERS_SPIN_AUTO, &pool), MT_OK);
    long sums[24] = {0}, rows[3][2] = {{0}};
    for (int i = 0; i < 5000; i++) {
        mt_workers_run(pool, add, sums, 3);
        mt_workers_run(pool, rotate, rows, 3);
        mt_workers_run(pool, settle, rows, 3);
    }
    for (int i = 0; i < 3; i++) cr_assert(sums[8 * i] == 5000 && rows[i][0] == 5000);
    mt_workers_destroy(pool);
}

static void masked(void *context, int index, int worker) {
    sigset_t mask;
    (void)worker;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    ((int *)context)[index] = sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM);
}

Test(thread, signals_are_the_main_threads) {
    mt_workers *pool;
    int blocked[2] = {9, 9};
    cr_assert_eq(mt_workers_create(2, 0, &pool), MT_OK);
    mt_workers_run(pool, masked, blocked, 2);
    cr_assert(blocked[0] == 0 && blocked[1] == 1);
    mt_workers_destroy(pool);
}

static void processors(void *context, int index, int worker) {
    (void)worker;
    CPU_ZERO(&((cpu_set_t *)context)[index]);
    pthread_getaffinity_np(pthread_self(), sizeof(cpu_set_t), &((cpu_set_t *)context)[index]);
}

// As many threads as processors: one each, for as long as the caller says. Fewer or more: where the system likes.
Test(thread, a_full_pool_has_a_processor_each_while_it_is_pinned) {
    cpu_set_t before, two, seen[3];
    mt_workers *pool;
    sched_getaffinity(0, sizeof before, &before);
    if (CPU_COUNT(&before) < 2) cr_skip_test("one processor only");
    two = before;
    for (int cpu = 0; CPU_COUNT(&two) > 2; cpu++) CPU_CLR(cpu, &two);
    sched_setaffinity(0, sizeof two, &two);
    for (int count = 2; count <= 3; count++) {
        cr_assert_eq(mt_workers_create(count, 0, &pool), MT_OK);
        mt_workers_pin(pool);
        mt_workers_run(pool, processors, seen, count);
        if (count == 2) cr_assert(CPU_COUNT(&seen[0]) == 1 && CPU_COUNT(&seen[1]) == 1 && !CPU_EQUAL(&seen[0], &seen[1]));
        for (int i = 0; i < 3 && count == 3; i++) cr_assert(CPU_EQUAL(&seen[i], &two));
        mt_workers_unpin(pool);
        mt_workers_run(pool, processors, seen, count);
        for (int i = 0; i < count; i++) cr_assert(CPU_EQUAL(&seen[i], &two));
        mt_workers_destroy(pool);
    }
}

static void nothing(void *context, int index, int worker) { (void)context, (void)index, (void)worker; }

Test(thread, an_idle_pool_uses_no_cpu) {
    mt_workers *pool;
    cr_assert_eq(mt_workers_create(3, 50000, &pool), MT_OK);
    mt_workers_run(pool, nothing, NULL, 3);
    struct timespec before, after;
    mt_sleep_ns(5 * MT_MILLISECOND_NS);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    mt_sleep_ns(200 * MT_MILLISECOND_NS);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    double used = (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    cr_assert_lt(used, 0.02);
    mt_workers_destroy(pool);
}
