// What the environment asks of the host implementation, read once, and the numbers that everything left to chance comes from.
//
//   MANTA_CUDA_HOST_SEED      order of streams, blocks and threads (1)
//   MANTA_CUDA_HOST_DEVICES   how many devices there are (2)
//   MANTA_CUDA_HOST_MEMORY    of each, bytes with K, M or G behind (4G)
//   MANTA_CUDA_HOST_FAIL      NAME:N[=CODE],...  the N-th call of NAME fails with CODE, or with what it would say when out of
//                             memory. NAME "kernel": the N-th kernel to run. Codes that a device does not recover from are
//                             then everybody's answer (runtime.c)
//   MANTA_CUDA_HOST_RACES     0: accesses of kernels are looked at for bounds alone (1)
//   MANTA_CUDA_HOST_PROTECT   when device memory is closed to the host: 0 never, 1 always, 2 by chance (2)
//   MANTA_CUDA_HOST_TRACE     1: each piece of work on stderr as it begins (0)
#ifndef MANTA_TESTS_CUDA_HOST_SETTINGS_H
#define MANTA_TESTS_CUDA_HOST_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

enum { MT_HOST_DEVICES_MOST = 16 };

typedef struct mt_host_settings {
    uint64_t seed;
    int devices;        // there are
    int visible_count;  // of them to this process: CUDA_VISIBLE_DEVICES
    int visible[MT_HOST_DEVICES_MOST]; // which
    size_t memory_bytes;
    int races, protect, trace;
} mt_host_settings;

const mt_host_settings *mt_host_settings_get(void);   // ends the process at a value that makes no sense

// 0, or the code with which this call of `name` has to fail; `standard` where the setting names none
int mt_host_settings_fail(const char *name, int standard);

// the next number of a sequence; below 1 counts as 1
static inline uint64_t mt_host_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u; // splitmix64 (Steele, Lea & Flood 2014)
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static inline uint32_t mt_host_random_below(uint64_t *state, uint32_t count) {
    return (uint32_t)((mt_host_random(state) >> 32) * (uint64_t)count >> 32);
}

#endif
