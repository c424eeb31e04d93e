// What a kernel's code calls: the C functions under the words of the CUDA language (language.h). They are called by the threads
// of a kernel, on fibers, and by nobody else.
#ifndef MANTA_TESTS_CUDA_HOST_DEVICE_CALLS_H
#define MANTA_TESTS_CUDA_HOST_DEVICE_CALLS_H

#include <stddef.h>
#include <stdint.h>
#include <vector_types.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---- where: of the thread that asks. A thread's answers never change, so that its function asks once
__attribute__((const)) uint3 mt_host_thread_index(void);
__attribute__((const)) uint3 mt_host_block_index(void);
__attribute__((const)) uint3 mt_host_block_size(void);
__attribute__((const)) uint3 mt_host_grid_size(void);

// ---- together: `line` of `file` is where it stands in the source
void mt_host_syncthreads(const char *file, int line);
int mt_host_syncthreads_count(int predicate, const char *file, int line);

typedef enum mt_host_warp_kind {
    MT_HOST_SYNCWARP,
    MT_HOST_SHFL,       // argument: the lane
    MT_HOST_SHFL_XOR,
    MT_HOST_SHFL_UP,    // argument: by how many
    MT_HOST_SHFL_DOWN,
    MT_HOST_BALLOT,     // value: the predicate. Answer: the lanes that said other than 0
    MT_HOST_REDUCE_ADD, // unsigned
    MT_HOST_REDUCE_MIN,
    MT_HOST_REDUCE_MAX,
} mt_host_warp_kind;
uint64_t mt_host_warp(mt_host_warp_kind kind, unsigned mask, uint64_t value, int argument, int width, const char *file, int line);

// ---- shared memory: an array of the block that runs, made at the block's first call with this id, full of patterns that no
// computation survives. *id: 0 in the beginning, the array's own
void *mt_host_shared(int *id, size_t bytes, size_t align, const char *name, const char *file, int line);
void *mt_host_shared_rest(void);   // the launch's own number of bytes

// ---- memory order
void mt_host_fence(void);

typedef enum mt_host_atomic_kind {
    MT_HOST_ATOMIC_ADD,
    MT_HOST_ATOMIC_SUB,
    MT_HOST_ATOMIC_MIN,
    MT_HOST_ATOMIC_MAX,
    MT_HOST_ATOMIC_AND,
    MT_HOST_ATOMIC_OR,
    MT_HOST_ATOMIC_XOR,
    MT_HOST_ATOMIC_EXCH,
    MT_HOST_ATOMIC_INC, // wraps to 0 above the operand
    MT_HOST_ATOMIC_DEC,
    MT_HOST_ATOMIC_CAS, // operand: the new value; compare: the old one
} mt_host_atomic_kind;
uint32_t mt_host_atomic_u32(mt_host_atomic_kind kind, uint32_t *at, uint32_t operand, uint32_t compare);
int32_t mt_host_atomic_i32(mt_host_atomic_kind kind, int32_t *at, int32_t operand, int32_t compare);
uint64_t mt_host_atomic_u64(mt_host_atomic_kind kind, uint64_t *at, uint64_t operand, uint64_t compare);
float mt_host_atomic_f32(mt_host_atomic_kind kind, float *at, float operand);
double mt_host_atomic_f64(mt_host_atomic_kind kind, double *at, double operand);

void mt_host_trap(const char *file, int line);

// for tests: loads and stores of kernels up to now; 0 in a build whose compiler reports none (a sanitizer's)
uint64_t mt_host_accesses(void);

#ifdef __cplusplus
}
#endif
#endif
