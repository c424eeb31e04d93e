// What every benchmark shares: two clocks, medians, the machine's limits measured in the same run, and rows.
//
//   int main(int argc, char **argv) {
//       bench_open(argc, argv, "kernels/dense");                        // [--csv FILE]
//       double peak = bench_fma_peak(BENCH_AVX512);
//       bench_time t = bench_run(call, &context);                       // seconds a call
//       bench_row("forward 64 x 64", flop / t.median * 1e-9, "GFLOP/s", "FMA peak", peak);
//       return bench_close();
//   }
//
// A row says name, value, unit, what it is compared with, and the ratio value / reference. The table goes to stdout; with
// --csv FILE the rows are appended to FILE as bench,row,value,unit,reference,reference_value,ratio.
// bench_run measures the thread's CPU time, so that a neighbour's compiler does not count; bench_run_wall measures the
// clock on the wall, for what waits or uses several threads.
#ifndef MANTA_BENCH_BENCH_H
#define MANTA_BENCH_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BENCH_API static inline __attribute__((unused))

// ---- clocks
BENCH_API double bench_clock(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
BENCH_API double bench_wall_s(void) { return bench_clock(CLOCK_MONOTONIC); }
BENCH_API double bench_cpu_s(void) { return bench_clock(CLOCK_THREAD_CPUTIME_ID); }

// ---- repetition
typedef struct bench_time {
    double best, median;   // seconds a call
} bench_time;
typedef void bench_fn(void *context);

BENCH_API int bench_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
BENCH_API double bench_median(double *values, int count) {   // sorts them
    qsort(values, (size_t)count, sizeof *values, bench_compare);
    return values[count / 2];
}

// `samples` samples (≤ 101) of at least `sample_s` seconds each
BENCH_API bench_time bench_run_with(bench_fn *fn, void *context, clockid_t clock, int samples, double sample_s) {
    double times[101];
    int64_t calls = 1;
    for (double t = 0; t < sample_s;) {
        double start = bench_clock(clock);
        for (int64_t i = 0; i < calls; i++) fn(context);
        t = bench_clock(clock) - start;
        if (t < sample_s) calls = t > sample_s / 100 ? (int64_t)(1.2 * (double)calls * sample_s / t) + 1 : calls * 10;
    }
    for (int s = 0; s < samples; s++) {
        double start = bench_clock(clock);
        for (int64_t i = 0; i < calls; i++) fn(context);
        times[s] = (bench_clock(clock) - start) / (double)calls;
    }
    double median = bench_median(times, samples);
    return (bench_time){.best = times[0], .median = median};
}
BENCH_API bench_time bench_run(bench_fn *fn, void *context) {
    return bench_run_with(fn, context, CLOCK_THREAD_CPUTIME_ID, 31, 2e-3);
}
BENCH_API bench_time bench_run_wall(bench_fn *fn, void *context) {
    return bench_run_with(fn, context, CLOCK_MONOTONIC, 31, 2e-3);
}

// ---- limits of this machine
typedef enum bench_isa { BENCH_PLAIN, BENCH_AVX2, BENCH_AVX512 } bench_isa;   // the order of mt_isa

// Twelve independent chains of multiply-add in registers; 32 rounds a call. asm, so that nothing is optimised away.
enum { BENCH_FMA_ROUNDS = 32, BENCH_FMA_CHAINS = 12 };
#if defined(__x86_64__)
#define BENCH_TWELVE(op)                                                                                               \
    op("0") op("1") op("2") op("3") op("4") op("5") op("6") op("7") op("8") op("9") op("10") op("11")
#define BENCH_CLOBBER                                                                                                  \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13"
#define BENCH_FMA_Z(n) "vfmadd231ps %%zmm12, %%zmm12, %%zmm" n "\n"
#define BENCH_FMA_Y(n) "vfmadd231ps %%ymm12, %%ymm12, %%ymm" n "\n"
#define BENCH_FMA_X(n) "movaps %%xmm12, %%xmm13\n mulps %%xmm12, %%xmm13\n addps %%xmm13, %%xmm" n "\n"
BENCH_API void bench_fma_512(void *unused) {
    (void)unused;
    __asm__ volatile("vpxorq %%zmm12, %%zmm12, %%zmm12\n" ::: BENCH_CLOBBER);
    for (int i = 0; i < BENCH_FMA_ROUNDS; i++) __asm__ volatile(BENCH_TWELVE(BENCH_FMA_Z)::: BENCH_CLOBBER);
    __asm__ volatile("vzeroupper" ::: BENCH_CLOBBER);
}
BENCH_API void bench_fma_256(void *unused) {
    (void)unused;
    __asm__ volatile("vpxor %%ymm12, %%ymm12, %%ymm12\n" ::: BENCH_CLOBBER);
    for (int i = 0; i < BENCH_FMA_ROUNDS; i++) __asm__ volatile(BENCH_TWELVE(BENCH_FMA_Y)::: BENCH_CLOBBER);
    __asm__ volatile("vzeroupper" ::: BENCH_CLOBBER);
}
BENCH_API void bench_fma_plain(void *unused) {
    (void)unused;
    __asm__ volatile("xorps %%xmm12, %%xmm12\n" ::: BENCH_CLOBBER);
    for (int i = 0; i < BENCH_FMA_ROUNDS; i++) __asm__ volatile(BENCH_TWELVE(BENCH_FMA_X)::: BENCH_CLOBBER);
}
#else
BENCH_API void bench_fma_plain(void *unused) {
    typedef float f4 __attribute__((vector_size(16)));
    (void)unused;
    f4 sum[BENCH_FMA_CHAINS] = {{0}}, x = {0};
    for (int i = 0; i < BENCH_FMA_ROUNDS; i++)
        for (int c = 0; c < BENCH_FMA_CHAINS; c++) {
            sum[c] += x * x;
            __asm__ volatile("" : "+w"(sum[c]));
        }
}
#endif

// GFLOP/s of one core; 0 where the instruction set is missing
BENCH_API double bench_fma_peak(bench_isa isa) {
    bench_fn *fn = bench_fma_plain;
    int lanes = 4;
#if defined(__x86_64__)
    if (isa == BENCH_AVX512) {
        if (!__builtin_cpu_supports("avx512f")) return 0;
        fn = bench_fma_512, lanes = 16;
    } else if (isa == BENCH_AVX2) {
        if (!__builtin_cpu_supports("fma")) return 0;
        fn = bench_fma_256, lanes = 8;
    }
#else
    if (isa != BENCH_PLAIN) return 0;
#endif
    bench_time t = bench_run(fn, NULL);
    return 2.0 * lanes * BENCH_FMA_CHAINS * BENCH_FMA_ROUNDS / t.best * 1e-9;
}

typedef struct bench_copy_context {
    void *to;
    const void *from;
    size_t bytes;
} bench_copy_context;
BENCH_API void bench_copy(void *context) {
    bench_copy_context *c = context;
    memcpy(c->to, c->from, c->bytes);
    __asm__ volatile("" ::: "memory");
}
// GB/s of memcpy at this size, bytes read plus bytes written; 0 when memory is short
BENCH_API double bench_memcpy_rate(size_t bytes) {
    size_t rounded = (bytes + 4095) / 4096 * 4096;
    void *memory = aligned_alloc(4096, 2 * rounded + 4096);
    if (!memory) return 0;
    memset(memory, 1, 2 * rounded + 4096);
    bench_copy_context c = {(char *)memory + rounded + 512, memory, bytes};   // + 512: not 4 KiB apart
    double rate = 2.0 * (double)bytes / bench_run(bench_copy, &c).median * 1e-9;
    free(memory);
    return rate;
}
// the memory's own: 128 MiB, far past the caches
BENCH_API double bench_memcpy_bandwidth(void) { return bench_memcpy_rate((size_t)128 << 20); }

// ---- rows
static struct {
    const char *name;
    FILE *csv;
} bench_output;

BENCH_API void bench_open(int argc, char **argv, const char *name) {
    bench_output.name = name;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--csv") == 0 && i + 1 < argc) {
            const char *path = argv[++i];
            bench_output.csv = fopen(path, "a");
            if (!bench_output.csv) {
                perror(path);
                exit(3);
            }
            if (ftell(bench_output.csv) == 0) fprintf(bench_output.csv, "bench,row,value,unit,reference,reference_value,ratio\n");
        }
    }
    printf("%s\n%-56s %12s %-10s %8s  %s\n", name, "", "value", "unit", "ratio", "to");
}
// reference may be NULL: a value by itself
BENCH_API void bench_row(const char *row, double value, const char *unit, const char *reference, double reference_value) {
    if (reference && reference_value > 0)
        printf("%-56s %12.5g %-10s %8.3f  %s (%.5g)\n", row, value, unit, value / reference_value, reference, reference_value);
    else printf("%-56s %12.5g %-10s\n", row, value, unit);
    fflush(stdout);
    if (!bench_output.csv) return;
    if (reference && reference_value > 0)
        fprintf(bench_output.csv, "%s,\"%s\",%.6g,%s,\"%s\",%.6g,%.4g\n", bench_output.name, row, value, unit, reference,
            reference_value, value / reference_value);
    else fprintf(bench_output.csv, "%s,\"%s\",%.6g,%s,,,\n", bench_output.name, row, value, unit);
}
// 0, or 3 when the CSV could not be written
BENCH_API int bench_close(void) {
    if (!bench_output.csv) return 0;
    int failed = ferror(bench_output.csv) | fclose(bench_output.csv);
    return failed ? 3 : 0;
}

#endif
