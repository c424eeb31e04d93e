// What the GPU benchmarks share: a device, arrays on it, and the time of a call on a stream.
//
// A time is that of `calls` calls between two events, divided; the median of several. Arrays that would stay in the
// second cache are visited in turn, so that each call finds them in memory.
#ifndef MANTA_BENCH_GPU_GPU_H
#define MANTA_BENCH_GPU_GPU_H

#include "bench/bench.h"
#include "kernels/cuda/cuda.h"

typedef struct gpu {
    mt_device device;
    mt_cuda cuda;
    mt_event before, after;
} gpu;
extern gpu bench_gpu;

typedef mt_status gpu_fn(void *context);

void gpu_must(mt_status status); // ends the program with the message
int gpu_open(void);              // 0, or 77 after the reason
void gpu_close(void);
double gpu_seconds(gpu_fn *fn, void *context);           // a call, back to back with others
float *gpu_floats(int64_t count, float low, float high); // device memory, random
void *gpu_words(int64_t count, uint32_t below);          // random integers below that, all bits when it is 0
void *gpu_zeros(int64_t bytes);
void gpu_free(void *memory); // Nullable

// bench_row of the one bench.h that has the files open
void gpu_row(const char *row, double value, const char *unit, const char *reference, double reference_value);

void bench_own_kernels(void); // memory.c
void bench_dense(void);       // dense.c
double gpu_product_rate(mt_cuda_dense *of); // dense.c: TFLOP/s of a product of 8192 × 8192 matrices
void bench_dnn(void);         // dnn.c
void bench_launches(void);    // launch.c
void bench_envs(void);        // envs.c

#endif
