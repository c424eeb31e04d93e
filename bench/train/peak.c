// The machine's fp32 multiply-add peak: one core, and all cores at once (two hardware threads of one core share its units).
// bench/train/run.sh holds training against the latter.
//   bench_peak [--csv FILE] [--threads N]
#include "bench/bench.h"

#include "engine/base/thread.h"

#include <unistd.h>

enum { THREADS_MAX = 1024, CALLS = 20000 };

typedef struct burst {
    bench_fn *fn;
} burst;

static void run_burst(void *context, int index, int thread) {
    (void)index, (void)thread;
    for (int i = 0; i < CALLS; i++) ((burst *)context)->fn(NULL);
}

typedef struct all_cores {
    mt_workers *threads;
    burst burst;
    int count;
} all_cores;
static void run_all(void *context) {
    all_cores *a = context;
    mt_workers_run(a->threads, run_burst, &a->burst, a->count);
}

int main(int argc, char **argv) {
    int threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--threads") == 0) threads = atoi(argv[++i]);
    if (threads < 1 || threads > THREADS_MAX) threads = 1;
    bench_open(argc, argv, "train/peak");
    bench_isa isa = bench_fma_peak(BENCH_AVX512) > 0 ? BENCH_AVX512 : bench_fma_peak(BENCH_AVX2) > 0 ? BENCH_AVX2 : BENCH_PLAIN;
    double one = bench_fma_peak(isa), lanes = isa == BENCH_AVX512 ? 16 : isa == BENCH_AVX2 ? 8 : 4;
    bench_fn *fn = bench_fma_plain;
#if defined(__x86_64__)
    if (isa == BENCH_AVX512) fn = bench_fma_512;
    if (isa == BENCH_AVX2) fn = bench_fma_256;
#endif
    all_cores all = {.burst = {fn}, .count = threads};
    if (mt_workers_create(threads, MT_WORKERS_SPIN_AUTO, &all.threads) != MT_OK) {
        fprintf(stderr, "bench_peak: %s\n", mt_last_error());
        return 3;
    }
    bench_time t = bench_run_with(run_all, &all, CLOCK_MONOTONIC, 31, 5e-3);
    mt_workers_destroy(all.threads);
    double flop = 2.0 * lanes * BENCH_FMA_CHAINS * BENCH_FMA_ROUNDS * CALLS * threads;
    char row[64];
    bench_row("FMA peak, one core", one, "GFLOP/s", NULL, 0);
    snprintf(row, sizeof row, "FMA peak, %d cores at once", threads);
    bench_row(row, flop / t.best * 1e-9, "GFLOP/s", "as many times one core", one * threads);
    return bench_close();
}
