// Pi by throwing darts: many tasks of no order, their results taken as they come (manta_wait). Written in what C and C++ have in
// common; the build makes both.
//     mpirun -n 4 examples/monte_carlo_pi
#include "manta_runtime.h"

#include <math.h>
#include <stdio.h>

enum { BATCHES = 100, DARTS = 200000 };

// i64 -> i64: the batch's number seeds its darts; how many of them hit the circle
static int throw_darts(manta_context *c) {
    uint64_t random = (uint64_t)manta_i64_of(c, 0) << 40;
    int64_t hits = 0;
    for (int i = 0; i < DARTS; i++) {
        double at[2];
        for (int k = 0; k < 2; k++) {
            uint64_t z = random += 0x9E3779B97F4A7C15u;   // splitmix64
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
            at[k] = (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;   // 2^53
        }
        hits += at[0] * at[0] + at[1] * at[1] < 1;
    }
    return manta_return(c, manta_i64(hits));
}

static int driver(manta_context *c) {
    manta_ref pending[BATCHES];
    bool ready[BATCHES];
    int64_t hits = 0, thrown = 0;
    for (int i = 0; i < BATCHES; i++) pending[i] = manta_call(c, "throw_darts", manta_i64(i));
    for (int left = BATCHES; left > 0;) {
        int waiting = 0, code = manta_wait(c, pending, left, 1, MANTA_DEFAULT_TIMEOUT, ready);
        if (code != MANTA_OK) return code;
        for (int i = 0; i < left; i++) {
            int64_t batch;
            if (!ready[i]) {
                pending[waiting++] = pending[i];
                continue;
            }
            code = manta_get_i64(c, pending[i], &batch);
            if (code != MANTA_OK) return code;
            hits += batch, thrown += DARTS;
        }
        left = waiting;
    }
    double pi = 4.0 * (double)hits / (double)thrown;
    printf("pi is about %.4f, after %lld darts\n", pi, (long long)thrown);
    return fabs(pi - 3.14159265) < 0.002 ? MANTA_OK : manta_fail(c, "%g is not pi", pi);   // 0.0004 is one standard deviation
}

static const manta_task tasks[] = {{"throw_darts", throw_darts, "i64 -> i64"}};

int main(int argc, char **argv) {
    static const manta_program program = {tasks, 1, NULL, 0, driver, NULL};
    return manta_main(argc, argv, &program);
}
