// Race test of thread.h, for ThreadSanitizer (Criterion does not start under it): forks and joins with and without spinning,
// sleeping workers, pools made and destroyed. Exits 0 when every sum is right; the sanitizer ends it otherwise.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/thread.h"

enum { CELLS = 64 };

static void step(void *context, int index, int worker) {
    (void)worker;
    long (*cells)[2] = context;
    cells[index][1] = cells[(index + 1) % CELLS][0] + cells[(index + CELLS - 1) % CELLS][0] + 1;
}

static void commit(void *context, int index, int worker) {
    (void)worker;
    long (*cells)[2] = context;
    cells[index][0] = cells[index][1] % 1000003;
}

static long run(int workers, int64_t spin_ns, int rounds, int pause) {
    static long cells[CELLS][2];
    memset(cells, 0, sizeof cells);
    mt_workers *pool = NULL;
    if (mt_workers_create(workers, spin_ns, &pool) != MT_OK) exit(2);
    for (int i = 0; i < rounds; i++) {
        mt_workers_run(pool, step, cells, CELLS);
        // workers are asleep now and then, so that both ways of waiting are taken
        if (pause && i % 50 == 0) mt_sleep_ns(100000);
        mt_workers_run(pool, commit, cells, CELLS);
    }
    mt_workers_destroy(pool);
    long sum = 0;
    for (int i = 0; i < CELLS; i++) sum = sum * 31 % 1000003 + cells[i][0];
    return sum;
}

int main(void) {
    int failed = 0;
    for (int rounds = 1; rounds <= 1000; rounds *= 10) {
        long expected = run(1, 0, rounds, 0);
        for (int workers = 2; workers <= 5; workers++)
            for (int spin = 0; spin < 3; spin++)
                failed += run(workers, spin == 0 ? 0 : spin == 1 ? 2000 : 100000, rounds, spin != 2) != expected;
    }
    for (int i = 0; i < 100; i++) failed += run(3, 1000, 1, 0) != run(1, 0, 1, 0);
    printf("race_workers: %s\n", failed ? "wrong sums" : "all sums right");
    return failed != 0;
}
