// What the tests of the row operations share: instruction sets, random inputs, and arrays that end at a forbidden page.
#ifndef MANTA_TESTS_KERNELS_FIXTURE_H
#define MANTA_TESTS_KERNELS_FIXTURE_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/kernels.h"

// Criterion reports every assertion that is evaluated, and --full-stats waits for each: these speak only when they fail
#define check(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) cr_assert_fail("" __VA_ARGS__);                                                              \
    } while (0)
#define check_eq(a, b, ...) check((a) == (b), __VA_ARGS__)
#define check_lt(a, b, ...) check((a) < (b), __VA_ARGS__)
#define check_gt(a, b, ...) check((a) > (b), __VA_ARGS__)

#define FIXTURE static inline __attribute__((unused))

static const int64_t row_counts[] = {1, 2, 3, 7, 8, 16, 17, 31, 64, 65};
enum { row_count_count = sizeof row_counts / sizeof row_counts[0] };

// calls test(kernels) for each instruction set; one that is missing is named, not passed over
FIXTURE void each_isa(void (*test)(const mt_kernels *k)) {
    static const char *const names[MT_ISA_COUNT] = {"plain", "avx2", "avx512"};
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
        const mt_kernels *k = mt_kernels_cpu((mt_isa)isa);
        if (k)
            test(k);
        else
            printf("skipped %s: this machine or build has no %s\n", names[isa], names[isa]);
    }
}

// ---- random inputs: always the same in one test program
static uint64_t random_state = 0x853c49e6748fea9bull;
FIXTURE uint32_t random_u32(void) {
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(random_state >> 33) << 1 ^ (uint32_t)(random_state >> 20);
}
FIXTURE double uniform(double low, double high) { return low + (high - low) * (random_u32() * 0x1p-32); }
FIXTURE double normal(void) { return sqrt(-2 * log(1 - uniform(0, 1))) * cos(2 * M_PI * uniform(0, 1)); }

// ---- guarded arrays: the last byte stands before a page that may not be touched, what lies before the first is
// checked
enum { fence_max = 64, fence_byte = 0xa5 };
static struct fence {
    char *map, *data;
    size_t map_bytes;
} fences[fence_max];

FIXTURE void *fenced(int64_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = ((size_t)bytes + 64 + page - 1) / page * page;
    char *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(map != MAP_FAILED);
    check_eq(mprotect(map + room, page, PROT_NONE), 0);
    memset(map, fence_byte, room);
    for (int i = 0; i < fence_max; i++)
        if (!fences[i].map) {
            fences[i] = (struct fence){map, map + room - bytes, room + page};
            return fences[i].data;
        }
    cr_assert_fail("more than %d fenced arrays", fence_max);
    return NULL;
}
// checks and frees every fenced array
FIXTURE void unfence(void) {
    for (int i = 0; i < fence_max; i++) {
        struct fence *f = &fences[i];
        if (!f->map) continue;
        for (char *p = f->map; p < f->data; p++) check_eq((unsigned char)*p, fence_byte, "written before the array");
        munmap(f->map, f->map_bytes);
        f->map = NULL;
    }
}
FIXTURE float *floats(int64_t count) { return fenced(count * 4); }
FIXTURE float *normals_of(int64_t count, double scale) {
    float *x = floats(count);
    for (int64_t i = 0; i < count; i++) x[i] = (float)(scale * normal());
    return x;
}
FIXTURE float *filled(int64_t count, double value) {
    float *x = floats(count);
    for (int64_t i = 0; i < count; i++) x[i] = (float)value;
    return x;
}

#define near(got, want, tolerance, ...)                                                                                \
    do {                                                                                                               \
        double got_ = (got), want_ = (want), tol_ = (tolerance)*fmax(1.0, fabs(want_));                                \
        if (!(fabs(got_ - want_) <= tol_)) {                                                                           \
            char what_[256];                                                                                           \
            snprintf(what_, sizeof what_, __VA_ARGS__);                                                                \
            cr_assert_fail("%s: %s: got %.9g, want %.9g", k->name, what_, got_, want_);                                \
        }                                                                                                              \
    } while (0)

#endif
