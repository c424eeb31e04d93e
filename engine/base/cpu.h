// The processor: what this process may use of it, and what it is. Any thread.
#ifndef MANTA_ENGINE_BASE_CPU_H
#define MANTA_ENGINE_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/base/status.h"
#include "engine/base/text.h"

#ifdef __cplusplus
extern "C" {
#endif

// Cores this process can keep busy: the smaller of its affinity mask (mpirun binds ranks) and its control group's quota
// (containers), rounded up; at least 1. Reads a few files of /proc and /sys: call once, keep the number.
int mt_cpu_usable(void);

// "AMD EPYC 9654", or "unknown processor" when the system does not say. Returns out.
const char *mt_cpu_model(char *out, size_t out_bytes);
uint64_t mt_cpu_memory_bytes(void);   // of the machine; 0 when unknown

typedef struct mt_cpu_info {
    char model[128];           // mt_cpu_model
    int packages, cores, threads, numa_nodes;   // of the machine; 0 when unknown
    int affinity;              // logical processors in this process's mask
    double quota;              // cores by control group; 0 = no limit
    int usable;                // mt_cpu_usable
    uint64_t l2_bytes, l3_bytes;                // of one cache; 0 when unknown
    uint64_t memory_bytes;     // of the machine
    uint64_t memory_limit_bytes;                // by control group; 0 = no limit
    bool avx2, avx512;         // instruction sets manta has kernels for (x86-64-v3, x86-64-v4)
} mt_cpu_info;

mt_status mt_cpu_query(mt_cpu_info *out);                  // topology through hwloc: some milliseconds
void mt_cpu_format(const mt_cpu_info *info, mt_text *out); // several lines, for `manta doctor`

// The parts that read control groups, on text and folders of the caller's choice (tests).
// membership: the text of /proc/self/cgroup; root: "/sys/fs/cgroup". Version 1 and 2; 0 = no limit.
double mt_cpu_quota_in(const char *membership, const char *root);
uint64_t mt_cpu_memory_limit_in(const char *membership, const char *root);

#ifdef __cplusplus
}
#endif
#endif
