// All-reduce of float32 sums: manta against MPI_Allreduce of the same run, the three interleaved batch by batch.
//   mpi         MPI_Allreduce(src, dst), private buffers
//   manta       mt_comm_allreduce(src, dst), the same private buffers
//   registered  mt_comm_slab_allreduce(dst): the source stands in registered memory, as a learner's gradient does
// Times are microseconds per call on the slowest rank, medians over the repetitions (or another quantile: on a machine
// that others use, a low one shows what the undisturbed calls take). Ratios are mpi's time over manta's.
//
//     mpirun -n 2 bench_collective [--csv FILE] [--repetitions N] [--quantile Q] [--from BYTES] [--to BYTES]
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bench/bench.h"
#include "engine/collective/collective.h"
#include "engine/collective/mpi.h"

enum { LARGEST = 64 << 20, REPETITIONS = 400, BATCH_US = 50, FRESH_BYTES = 4096 };

static mt_comm *comm;
static int rank, size;
static double quantile = 0.5;

static void must(mt_status status) {
    if (status == MT_OK) return;
    fprintf(stderr, "bench_collective: %s\n", mt_last_error());
    mt_mpi_abort(1);
}

typedef enum way { MPI_WAY, MANTA_WAY, REGISTERED_WAY, WAYS } way;

static void one(way w, const float *src, float *dst, mt_comm_slab *slab, size_t count) {
    if (w == MPI_WAY)
        MPI_Allreduce(src, dst, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    else if (w == MANTA_WAY)
        must(mt_comm_allreduce(comm, src, dst, count, MT_F32, MT_REDUCE_SUM, 0));
    else
        must(mt_comm_slab_allreduce(slab, count, dst));
}

static void fill(float *x, size_t count, float with) {
    for (size_t i = 0; i < count; i++) x[i] = with;
    __asm__ volatile("" ::"r"(x) : "memory");
}

// Microseconds per call on this rank. From FRESH_BYTES on every call's source has just been written by its rank, as a
// gradient is, and the ranks start together; below that calls follow each other at once.
static double batch(way w, float *src, float *dst, mt_comm_slab *slab, size_t count, int calls) {
    int fresh = count * sizeof(float) >= FRESH_BYTES;
    int64_t spent = 0, start = 0;
    if (!fresh) must(mt_comm_barrier(comm));
    if (!fresh) start = mt_clock_ns();
    for (int i = 0; i < calls; i++) {
        if (fresh) {
            fill(w == REGISTERED_WAY ? mt_comm_gradient_buffer(slab) : src, count, (float)i);
            must(mt_comm_barrier(comm));
            start = mt_clock_ns();
        }
        one(w, src, dst, slab, count);
        if (fresh) spent += mt_clock_ns() - start;
    }
    if (!fresh) spent = mt_clock_ns() - start;
    return (double)spent * 1e-3 / calls;
}

static double quantile_of(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, bench_compare);
    return values[(int)(quantile * (n - 1) + 0.5)];
}

static void csv_row(const char *what, size_t bytes, double us, double mpi_us) {
    if (bench_output.csv)
        fprintf(bench_output.csv, "collective,\"%s %zu bytes %d ranks\",%.6g,MB/s,MPI_Allreduce,%.6g,%.4g\n", what,
            bytes, size, (double)bytes / us, (double)bytes / mpi_us, mpi_us / us);
}

static void measure(size_t bytes, int most) {
    int repetitions = bytes <= 1 << 20 ? most : bytes <= 16 << 20 ? most / 4 + 1 : most / 16 + 1;
    size_t count = bytes / sizeof(float);
    float *src = aligned_alloc(64, (bytes + 63) / 64 * 64), *dst = aligned_alloc(64, (bytes + 63) / 64 * 64);
    double *times = malloc((size_t)repetitions * WAYS * sizeof *times), column[WAYS], values[5];
    int calls[WAYS];
    mt_comm_slab *slab;
    must(mt_comm_slab_create(comm, 1, count, 0, &slab));
    for (size_t i = 0; i < count; i++) src[i] = (float)(i & 1023), dst[i] = 0;
    for (int buffer = 0; buffer < 2; buffer++) {
        memcpy(mt_comm_gradient_buffer(slab), src, bytes);
        must(mt_comm_slab_allreduce(slab, count, dst));
    }
    // short batches, many of them: on a busy machine a median over them is that of the undisturbed ones
    for (int w = 0; w < WAYS; w++) {
        for (int k = 0; k < 5; k++) values[k] = batch((way)w, src, dst, slab, count, 2);
        double us = quantile_of(values, 5);
        calls[w] = us > BATCH_US ? 1 : (int)(BATCH_US / us);
    }
    MPI_Bcast(calls, WAYS, MPI_INT, 0, MPI_COMM_WORLD);
    for (int k = 0; k < repetitions; k++)
        for (int w = 0; w < WAYS; w++) times[w * repetitions + k] = batch((way)w, src, dst, slab, count, calls[w]);
    MPI_Allreduce(MPI_IN_PLACE, times, WAYS * repetitions, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    for (int w = 0; w < WAYS; w++) column[w] = quantile_of(times + w * repetitions, repetitions);
    if (rank == 0)
        printf("%10zu %12.2f %12.2f %12.2f %8.2fx %8.2fx\n", bytes, column[0], column[1], column[2],
            column[0] / column[1], column[0] / column[2]);
    csv_row("private", bytes, column[1], column[0]);
    csv_row("registered", bytes, column[2], column[0]);
    fflush(stdout);
    mt_comm_slab_destroy(slab);
    free(times);
    free(dst);
    free(src);
}

// The learner's round: write a gradient, reduce it. What the reduction adds to the writing, medians over single rounds.
static void hot_path(size_t bytes, int rounds) {
    size_t count = bytes / sizeof(float);
    float *dst = aligned_alloc(64, (bytes + 63) / 64 * 64);
    double *times = malloc((size_t)rounds * sizeof *times), column[2];
    mt_comm_slab *slab;
    must(mt_comm_slab_create(comm, 1, count, 0, &slab));
    for (int reduce = 0; reduce < 2; reduce++) {
        for (int i = 0; i < rounds; i++) {
            int64_t start = mt_clock_ns();
            float *g = mt_comm_gradient_buffer(slab), x = (float)i;
            fill(g, count, x);
            if (reduce) must(mt_comm_slab_allreduce(slab, count, dst));
            times[i] = (double)(mt_clock_ns() - start) * 1e-3;
        }
        must(mt_comm_barrier(comm));
        column[reduce] = quantile_of(times, rounds);
    }
    if (rank == 0)
        printf(
            "# a round of %zu bytes: %.2f us written and reduced, %.2f us written only, the reduction adds %.2f us\n",
            bytes, column[1], column[0], column[1] - column[0]);
    mt_comm_slab_destroy(slab);
    free(times);
    free(dst);
}

static double option(int argc, char **argv, const char *name, double value) {
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) value = atof(argv[i + 1]);
    return value;
}

int main(int argc, char **argv) {
    int repetitions = (int)option(argc, argv, "--repetitions", REPETITIONS);
    size_t from = (size_t)option(argc, argv, "--from", 8), to = (size_t)option(argc, argv, "--to", LARGEST);
    quantile = option(argc, argv, "--quantile", 0.5);
    if (repetitions < 1 || from < 4 || quantile < 0 || quantile > 1)
        return fprintf(stderr, "bench_collective: --repetitions N >= 1, --from BYTES >= 4, 0 <= --quantile Q <= 1\n"),
               2;
    must(mt_mpi_init(&argc, &argv));
    if (!mt_mpi_active()) return fprintf(stderr, "bench_collective: start it with mpirun -n 2\n"), 2;
    must(mt_comm_world(NULL, &comm));
    rank = mt_comm_rank(comm);
    size = mt_comm_size(comm);
    if (rank == 0) {
        bench_open(argc, argv, "collective");
        printf("# all-reduce, float32 sum, %d ranks on %d nodes, %d repetitions, quantile %.2f, us per call\n", size,
            mt_comm_node_count(comm), repetitions, quantile);
        printf("%10s %12s %12s %12s %9s %9s\n", "bytes", "mpi", "manta", "registered", "ratio", "reg");
    }
    hot_path(36620, 50 * repetitions);
    for (size_t bytes = from; bytes <= to; bytes *= 2) measure(bytes, repetitions);
    mt_comm_destroy(comm);
    int status = rank == 0 ? bench_close() : 0;
    must(mt_mpi_finalize());
    return status;
}
