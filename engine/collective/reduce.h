// Reduction kernels: dst[i] = ((src[0][i] op src[1][i]) op src[2][i]) op ..., the order of the sources being part of
// the promise. Called by the collectives on the calling thread.
#ifndef MANTA_ENGINE_COLLECTIVE_REDUCE_H
#define MANTA_ENGINE_COLLECTIVE_REDUCE_H

#include <stddef.h>
#include "engine/base/tensor.h"
#include "engine/collective/collective.h"

// dst (count) is equal to some of the sources or overlaps none. sources >= 1; each (count).
typedef void mt_reduce_fn(void *dst, const void *const *src, int sources, size_t count);

// NULL when there is no such reduction.
mt_reduce_fn *mt_reduce_find(mt_dtype dtype, mt_reduce_op op);

// Fetches the cache lines of [p, p + bytes) for writing: one transfer between cores where reading first and writing
// later would take two. Changes nothing that can be seen.
static inline void mt_take_lines(const void *p, size_t bytes) {
#if defined(__x86_64__)
    for (size_t i = 0; i < bytes; i += 64) __asm__ volatile("prefetchw %0" ::"m"(*((const char *)p + i)));
#else
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)p + i, 1);
#endif
}

// Copies without leaving dst in the cache: for destinations that are larger than it.
void mt_copy_stream(void *dst, const void *src, size_t bytes);

// dst[i] = a[i] + b[i] without leaving dst in the cache. dst overlaps neither, or is equal to one.
void mt_sum2_stream_f32(float *dst, const float *a, const float *b, size_t count);

#endif
