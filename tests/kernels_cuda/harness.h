// What the programs here share: a device, arrays between guard zones on it, random inputs, and a table of the largest
// error of each kernel against the CPU's table (which tests/kernels holds against plain references and finite
// differences).
//
// Plain C without Criterion: the program has to run wherever a GPU is found.
#ifndef MANTA_TESTS_KERNELS_CUDA_HARNESS_H
#define MANTA_TESTS_KERNELS_CUDA_HARNESS_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/cuda/cuda.h"

#define HARNESS static inline __attribute__((unused))

// ---- the device: opened through its table, so that nothing beside the CUDA runtime is needed

static mt_device device = {.ops = &mt_device_cuda, .kind = MT_DEVICE_CUDA};
static mt_cuda cuda;
static const mt_kernels *cpu; // the reference
static int same_bits;         // is it the AVX2 table, whose bits the GPU's row operations have?
static int failures;

HARNESS void must(mt_status status) {
    if (status == MT_OK) return;
    fprintf(stderr, "%s: %s\n", mt_last_error_where(), mt_last_error());
    exit(1);
}

// 0, or 77 after the reason
HARNESS int harness_open(void) {
    if (device.ops->open(&device, 0) != MT_OK) {
        printf("skipped: %s\n", mt_last_error());
        return 77;
    }
    must(mt_cuda_init(&cuda, &device, MT_CUDA_WORKSPACE_BYTES));
    cpu = mt_kernels_cpu(MT_ISA_avx2_id);
    same_bits = cpu != NULL;
    if (!cpu) cpu = mt_kernels_cpu(MT_ISA_plain_id);
    printf("%s against %s\n", device.name, cpu->name);
    return 0;
}

// ---- arrays: on the host, and on the device between guard zones; `skew` elements from a multiple of 256 bytes

enum { GUARD_BYTES = 256, GUARD = 0xa5, ARRAYS_MOST = 64 };
static int skew;

static struct array {
    char *block;      // device: guard, data, guard
    size_t bytes, at; // of the data, in the block
} arrays[ARRAYS_MOST];
static int array_count;

// device copy of elements of host memory, or poison (NaN, -1) when from is NULL
HARNESS void *up(const void *from, size_t element, int64_t count) {
    size_t bytes = element * (size_t)count;
    struct array *a = &arrays[array_count++];
    if (array_count > ARRAYS_MOST) {
        fprintf(stderr, "more than %d arrays\n", ARRAYS_MOST);
        exit(1);
    }
    a->bytes = bytes;
    a->at = GUARD_BYTES + (size_t)skew * element;
    size_t all = a->at + bytes + GUARD_BYTES;
    void *block;
    must(device.ops->alloc(&device, all, &block));
    a->block = block;
    char *image = malloc(all);
    memset(image, GUARD, all);
    if (from)
        memcpy(image + a->at, from, bytes);
    else
        memset(image + a->at, 0xff, bytes);
    must(mt_cuda_stream_copy(&device, cuda.stream, a->block, image, all));
    must(mt_cuda_sync(&cuda));
    free(image);
    return a->block + a->at;
}
HARNESS void *down(const void *from, size_t bytes) { // the caller frees
    void *to = malloc(bytes ? bytes : 1);
    must(mt_cuda_stream_copy(&device, cuda.stream, to, from, bytes));
    must(mt_cuda_sync(&cuda));
    return to;
}
// host arrays of a case, freed with it
static void *hosts[ARRAYS_MOST];
static int host_count;
HARNESS void *host_bytes(size_t bytes) {
    void *p = calloc(1, bytes ? bytes : 1);
    hosts[host_count++] = p;
    if (host_count > ARRAYS_MOST) exit(1);
    return p;
}
HARNESS float *host_floats(int64_t count) { return host_bytes(4 * (size_t)count); }
#define UP(host, count)  up(host, sizeof *(host), count)
#define NEW(type, count) ((type *)up(NULL, sizeof(type), count))
#define ZEROS(type, count) ((type *)up(host_bytes(sizeof(type) * (size_t)(count)), sizeof(type), count))

// ends a case: guards whole? frees everything
HARNESS void done(const char *what) {
    for (int i = 0; i < array_count; i++) {
        struct array *a = &arrays[i];
        size_t all = a->at + a->bytes + GUARD_BYTES;
        unsigned char *image = down(a->block, all);
        size_t bad = 0;
        for (size_t b = 0; b < a->at; b++) bad += image[b] != GUARD;
        for (size_t b = a->at + a->bytes; b < all; b++) bad += image[b] != GUARD;
        if (bad)
            failures++, printf("FAILED %s: %zu bytes written outside array %d of %zu bytes\n", what, bad, i, a->bytes);
        free(image);
        device.ops->free(&device, a->block);
    }
    for (int i = 0; i < host_count; i++) free(hosts[i]);
    array_count = host_count = 0;
}

// ---- random inputs: always the same in one program

static uint64_t random_state = 0x853c49e6748fea9bull;
HARNESS uint32_t random_u32(void) {
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(random_state >> 33) << 1 ^ (uint32_t)(random_state >> 20);
}
HARNESS double uniform(double low, double high) { return low + (high - low) * (random_u32() * 0x1p-32); }
HARNESS double normal(void) { return sqrt(-2 * log(1 - uniform(0, 1))) * cos(2 * M_PI * uniform(0, 1)); }
HARNESS float *normals_of(int64_t count, double scale) {
    float *x = host_floats(count);
    for (int64_t i = 0; i < count; i++) x[i] = (float)(scale * normal());
    return x;
}
HARNESS uint32_t *words_of(int64_t count) {
    uint32_t *w = host_bytes(4 * (size_t)count);
    for (int64_t i = 0; i < count; i++) w[i] = random_u32();
    return w;
}

// ---- the table

enum { KERNELS_MOST = 256 };
static struct row {
    const char *name;
    double worst, of_tolerance; // the largest error, and the largest part of its tolerance that one took
    double tolerance;           // of the case at hand
    int64_t cases, different;   // results whose bits are not the reference's
    int exact;                  // must the bits be the same?
} table[KERNELS_MOST];
static int table_rows;

HARNESS struct row *row_of(const char *name) {
    for (int i = 0; i < table_rows; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    if (table_rows == KERNELS_MOST) printf("FAILED %s: more than %d rows of results\n", name, KERNELS_MOST), exit(1);
    table[table_rows].name = name;
    return &table[table_rows++];
}

// one result of a case: |got - want| / max(1, |want|), NaN only where NaN is wanted
HARNESS void result(struct row *r, double got, double want, int64_t at) {
    double error = isnan(want) && isnan(got) ? 0 : got == want ? 0 : fabs(got - want) / fmax(1, fabs(want));
    if (!(error <= r->worst)) r->worst = error;
    if (r->tolerance > 0 && !(error / r->tolerance <= r->of_tolerance)) r->of_tolerance = error / r->tolerance;
    if (memcmp(&got, &want, sizeof got) != 0 && !(isnan(got) && isnan(want))) r->different++;
    if (!(error <= r->tolerance) || (r->exact && got != want && !isnan(want))) {
        if (failures++ < 40) printf("FAILED %s: result %lld is %.9g, want %.9g\n", r->name, (long long)at, got, want);
    }
}

enum { TOLERANT, EXACT }; // EXACT: the bits of the AVX2 table, where that is the reference
#define COMPARE(type, kernel, device_array, wanted, count, tol, bits)                                                  \
    do {                                                                                                               \
        struct row *row_ = row_of(kernel);                                                                             \
        const type *want_ = (wanted);                                                                                  \
        type *got_ = down((device_array), sizeof(type) * (size_t)(count));                                             \
        row_->tolerance = (tol), row_->exact = (bits) && same_bits, row_->cases++;                                     \
        for (int64_t i_ = 0; i_ < (int64_t)(count); i_++) result(row_, (double)got_[i_], (double)want_[i_], i_);       \
        free(got_);                                                                                                    \
    } while (0)

// a sum must come out the same every time
HARNESS void repeats(const char *kernel, const void *first, const void *second, size_t bytes) {
    void *a = down(first, bytes), *b = down(second, bytes);
    if (memcmp(a, b, bytes) != 0) failures++, printf("FAILED %s: another result the second time\n", kernel);
    free(a), free(b);
}

// the program's end: the table; 0 or 1
HARNESS int harness_close(void) {
    printf("%-36s %7s %12s %12s  %s\n", "kernel", "cases", "error", "of tolerance", "bits against the reference");
    for (int i = 0; i < table_rows; i++)
        printf("%-36s %7lld %12.3g %12.3g  %s\n", table[i].name, (long long)table[i].cases, table[i].worst,
            table[i].of_tolerance, table[i].different ? "differ" : "the same");
    mt_cuda_fini(&cuda);
    device.ops->close(&device);
    printf(failures ? "%d FAILED\n" : "all within tolerance\n", failures);
    return failures ? 1 : 0;
}

#endif
