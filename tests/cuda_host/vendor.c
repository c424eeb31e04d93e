// What the vendor's libraries share here: see vendor.h.
#include "tests/cuda_host/vendor.h"

#include <stdlib.h>
#include "tests/cuda_host/memory.h"
#include "tests/cuda_host/report.h"

int mt_host_vendor_enter(const char *function, int standard, int broken_code) {
    mt_host_begin();
    int code = mt_host_settings_fail(function, standard);
    if (code) return code;
    pthread_mutex_lock(&mt_host_lock);
    if (mt_host_broken() == cudaSuccess) return 0;
    pthread_mutex_unlock(&mt_host_lock);
    return broken_code;
}

void *mt_host_handle_create(size_t bytes, uint32_t kind, mt_host_object count) {
    uint32_t *handle = calloc(1, bytes);
    if (!handle) mt_host_fatal("out of memory");
    *handle = kind;
    mt_host_object_count(count, 1);
    return handle;
}
void mt_host_handle_check(const void *handle, uint32_t kind, const char *what) {
    if (!handle || *(const uint32_t *)handle != kind) mt_host_fatal("%p is no %s, or was destroyed", handle, what);
}
void mt_host_handle_destroy(void *handle, uint32_t kind, const char *what, mt_host_object count) {
    mt_host_handle_check(handle, kind, what);
    *(uint32_t *)handle = 0;
    mt_host_object_count(count, -1);
    free(handle);
}

void mt_host_vendor_array(const char *operation, const char *array, const void *at, size_t bytes, size_t align) {
    if (!bytes) return;
    if (!mt_host_memory_inside(at)) mt_host_fatal("%s: %s at %p is not device memory", operation, array, at);
    const char *bad = mt_host_memory_check(at, bytes, NULL);
    if (bad) mt_host_fatal("%s: %s, %zu bytes at %p: %s", operation, array, bytes, at, bad);
    if ((uintptr_t)at % align) mt_host_fatal("%s: %s at %p is no multiple of %zu", operation, array, at, align);
}
void mt_host_vendor_apart(
    const char *operation, const char *what, const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
    if ((const char *)a < (const char *)b + b_bytes && (const char *)b < (const char *)a + a_bytes)
        mt_host_fatal("%s: %s overlap", operation, what);
}
void mt_host_vendor_scratch(const char *operation, void *at, size_t bytes) {
    mt_host_vendor_array(operation, "the scratch space", at, bytes, 16);
    mt_host_memory_poison(at, bytes);
}

void *mt_host_scratch_memory(size_t bytes) {
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p) mt_host_fatal("out of memory");
    return p;
}

// four rows at a time, so that a row of b is read for all of them
static inline void add_rows(int64_t rows, int64_t columns, int64_t inner, const float *a, const float *b, float *out) {
    for (int64_t i = 0; i < inner; i++)
        for (int64_t r = 0; r < rows; r++) {
            const float factor = a[r * inner + i], *from = b + i * columns;
            float *to = out + r * columns;
            for (int64_t c = 0; c < columns; c++) to[c] += factor * from[c];
        }
}
void mt_host_product(int64_t rows, int64_t columns, int64_t inner, const float *a, const float *b, float *out) {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) add_rows(4, columns, inner, a + r * inner, b, out + r * columns);
    add_rows(rows - r, columns, inner, a + r * inner, b, out + r * columns);
}
