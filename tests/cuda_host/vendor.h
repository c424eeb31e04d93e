// What the vendor's libraries of operations (cuBLASLt, cuDNN, NCCL) share here: their functions begin like the runtime's, their
// arrays are looked at as whole allocations when the work runs, and their scratch space is filled with patterns, so that nobody can
// keep anything in it.
#ifndef MANTA_TESTS_CUDA_HOST_VENDOR_H
#define MANTA_TESTS_CUDA_HOST_VENDOR_H

#include <stddef.h>
#include <stdint.h>
#include "tests/cuda_host/work.h"

// the lock, then 0; or a code without it: a failure that the settings ask for (`standard` where they name none), or `broken` where
// the device has failed for good
int mt_host_vendor_enter(const char *function, int standard, int broken);
// a whole function of a library with these two codes: MT_HOST_VENDOR(type of its codes, standard, broken, what it does)
#define MT_HOST_VENDOR(type, standard, broken, ...)                                                                    \
    int entered_ = mt_host_vendor_enter(__func__, (int)(standard), (int)(broken));                                     \
    if (entered_) return (type)entered_;                                                                               \
    type code_ = (__VA_ARGS__);                                                                                        \
    pthread_mutex_unlock(&mt_host_lock);                                                                               \
    return code_

// An object that a caller holds: its first word says what it is, and that it still is.
void *mt_host_handle_create(size_t bytes, uint32_t kind, mt_host_object count);   // zeroed but for that word
void mt_host_handle_check(const void *handle, uint32_t kind, const char *what);   // ends the process when it is none
void mt_host_handle_destroy(void *handle, uint32_t kind, const char *what, mt_host_object count);

// Device memory that an operation reads or writes, when it runs. NULL with no bytes is all right.
void mt_host_vendor_array(const char *operation, const char *array, const void *at, size_t bytes, size_t align);
void mt_host_vendor_apart(const char *operation, const char *what, const void *a, size_t a_bytes, const void *b, size_t b_bytes);
void mt_host_vendor_scratch(const char *operation, void *at, size_t bytes);

// out (rows, columns) += a (rows, inner) · b (inner, columns), row-major, fp32, summed in the order of inner
void mt_host_product(int64_t rows, int64_t columns, int64_t inner, const float *a, const float *b, float *out);
void *mt_host_scratch_memory(size_t bytes);   // of the host, zeroed; free() it

#endif
