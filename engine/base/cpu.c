// The processor: affinity mask, control groups (version 1 and 2), hwloc's topology. Reads /proc and /sys; any thread.
#include "engine/base/cpu.h"

#include <hwloc.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/file.h"

enum { SMALL_FILE_BYTES = 1 << 16, CPUINFO_BYTES = 1 << 22 };
#define CGROUP_ROOT "/sys/fs/cgroup"

// ---- control groups ----

// the first word of root/controller/path/name as a number; `unlimited` for "max", -1, or no such file
static double read_number(const char *root, const char *controller, const char *path, const char *name, int word) {
    char file[MT_PATH_BYTES], *text;
    int length = snprintf(file, sizeof file, "%s%s%s/%s", root, controller, path, name);
    if (length < 0 || length >= (int)sizeof file) return 0;
    if (mt_file_read(file, SMALL_FILE_BYTES, &text, NULL) != MT_OK) return 0;
    char *rest = text, *token = NULL;
    for (int i = 0; i <= word; i++) token = strsep(&rest, " \n");
    double value = 0;
    if (!token || mt_parse_f64(token, &value) != MT_OK) value = 0;   // "max"
    free(text);
    return value > 0 ? value : 0;
}

static double smaller_limit(double a, double b) { return a == 0 ? b : b == 0 || a < b ? a : b; }

static double quota_v2(const char *root, const char *controller, const char *path) {
    double quota = read_number(root, controller, path, "cpu.max", 0);
    double period = read_number(root, controller, path, "cpu.max", 1);
    return quota > 0 && period > 0 ? quota / period : 0;
}

static double quota_v1(const char *root, const char *controller, const char *path) {
    double quota = read_number(root, controller, path, "cpu.cfs_quota_us", 0);
    double period = read_number(root, controller, path, "cpu.cfs_period_us", 0);
    return quota > 0 && period > 0 ? quota / period : 0;
}

static double memory_v2(const char *root, const char *controller, const char *path) {
    return read_number(root, controller, path, "memory.max", 0);
}

static double memory_v1(const char *root, const char *controller, const char *path) {
    double bytes = read_number(root, controller, path, "memory.limit_in_bytes", 0);
    return bytes < 0x1p60 ? bytes : 0;   // "none" is written as a number near 2^63
}

typedef double (*limit_fn)(const char *root, const char *controller, const char *path);

// the tightest limit from the group up to the root: every level binds
static double limit_upwards(const char *root, const char *controller, const char *group, limit_fn limit) {
    char path[MT_PATH_BYTES];
    if (strlen(group) >= sizeof path) return 0;
    strcpy(path, group);
    double tightest = 0;
    for (;;) {
        size_t length = strlen(path);
        while (length && path[length - 1] == '/') path[--length] = '\0';
        tightest = smaller_limit(tightest, limit(root, controller, path));
        char *slash = strrchr(path, '/');
        if (!slash) return tightest;
        *slash = '\0';
    }
}

static bool has_word(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) return true;
    return false;
}

// membership lines are "number:controllers:/path"; version 2 has number 0 and no controllers
static double limit_in(const char *membership, const char *root, const char *wanted, limit_fn v1, limit_fn v2) {
    double tightest = 0;
    char *copy = strdup(membership), *rest = copy;
    for (char *line; copy && (line = strsep(&rest, "\n"));) {
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = '\0';
        controllers++;
        if (*controllers == '\0') tightest = smaller_limit(tightest, limit_upwards(root, "", path, v2));
        else if (has_word(controllers, wanted)) {
            char folder[256];
            snprintf(folder, sizeof folder, "/%s", wanted);
            tightest = smaller_limit(tightest, limit_upwards(root, folder, path, v1));
        }
    }
    free(copy);
    return tightest;
}

double mt_cpu_quota_in(const char *membership, const char *root) {
    return limit_in(membership, root, "cpu", quota_v1, quota_v2);
}

uint64_t mt_cpu_memory_limit_in(const char *membership, const char *root) {
    double bytes = limit_in(membership, root, "memory", memory_v1, memory_v2);
    return bytes < 0x1p60 ? (uint64_t)bytes : 0;
}

static char *membership_of_self(void) {
    char *text = NULL;
    if (mt_file_read("/proc/self/cgroup", SMALL_FILE_BYTES, &text, NULL) != MT_OK) text = strdup("");
    return text;
}

// ---- what this process may use ----

static int affinity_count(void) {
    // larger machines than cpu_set_t holds need a larger set: grow until the kernel accepts it
    for (int size = 1024; size <= 1 << 18; size *= 2) {
        cpu_set_t *set = CPU_ALLOC(size);
        if (!set) break;
        size_t bytes = CPU_ALLOC_SIZE(size);
        int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0) return count;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

static int usable(int affinity, double quota) {
    int cores = affinity;
    if (quota > 0 && ceil(quota) < cores) cores = (int)ceil(quota);
    return cores < 1 ? 1 : cores;
}

int mt_cpu_usable(void) {
    char *membership = membership_of_self();
    double quota = membership ? mt_cpu_quota_in(membership, CGROUP_ROOT) : 0;
    free(membership);
    return usable(affinity_count(), quota);
}

// ---- what the machine is ----

const char *mt_cpu_model(char *out, size_t out_bytes) {
    char *text = NULL;
    snprintf(out, out_bytes, "unknown processor");
    if (mt_file_read("/proc/cpuinfo", CPUINFO_BYTES, &text, NULL) != MT_OK) return out;
    char *line = strstr(text, "model name");
    char *value = line ? strchr(line, ':') : NULL;
    if (value) {
        value += 1 + (value[1] == ' ');
        value[strcspn(value, "\n")] = '\0';
        if (*value) snprintf(out, out_bytes, "%s", value);
    }
    free(text);
    return out;
}

uint64_t mt_cpu_memory_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
}

static uint64_t cache_bytes(hwloc_topology_t topology, hwloc_obj_type_t type) {
    hwloc_obj_t cache = hwloc_get_obj_by_type(topology, type, 0);
    return cache ? cache->attr->cache.size : 0;
}

static int count_of(hwloc_topology_t topology, hwloc_obj_type_t type) {
    int count = hwloc_get_nbobjs_by_type(topology, type);
    return count > 0 ? count : 0;
}

static mt_status query_topology(mt_cpu_info *out) {
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0) return MT_FAIL(INTERNAL, "hwloc cannot be started");
    // the machine, not only what this container may use of it
    hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    mt_status status = MT_OK;
    if (hwloc_topology_load(topology) != 0) status = MT_FAIL(INTERNAL, "hwloc cannot read this machine's topology");
    else {
        out->packages = count_of(topology, HWLOC_OBJ_PACKAGE);
        out->cores = count_of(topology, HWLOC_OBJ_CORE);
        out->threads = count_of(topology, HWLOC_OBJ_PU);
        out->numa_nodes = count_of(topology, HWLOC_OBJ_NUMANODE);
        out->l2_bytes = cache_bytes(topology, HWLOC_OBJ_L2CACHE);
        out->l3_bytes = cache_bytes(topology, HWLOC_OBJ_L3CACHE);
    }
    hwloc_topology_destroy(topology);
    return status;
}

static void query_isa(mt_cpu_info *out) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    out->avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    out->avx512 = out->avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    (void)out;
#endif
}

mt_status mt_cpu_query(mt_cpu_info *out) {
    *out = (mt_cpu_info){0};
    char *membership = membership_of_self();
    if (membership) {
        out->quota = mt_cpu_quota_in(membership, CGROUP_ROOT);
        out->memory_limit_bytes = mt_cpu_memory_limit_in(membership, CGROUP_ROOT);
    }
    free(membership);
    mt_cpu_model(out->model, sizeof out->model);
    out->affinity = affinity_count();
    out->usable = usable(out->affinity, out->quota);
    out->memory_bytes = mt_cpu_memory_bytes();
    query_isa(out);
    return query_topology(out);
}

void mt_cpu_format(const mt_cpu_info *info, mt_text *out) {
    mt_text_printf(out, "processor     %s\n", info->model);
    mt_text_printf(out, "topology      %d package%s, %d cores, %d threads, %d NUMA node%s\n", info->packages,
        info->packages == 1 ? "" : "s", info->cores, info->threads, info->numa_nodes, info->numa_nodes == 1 ? "" : "s");
    mt_text_printf(out, "caches        L2 %.1f MiB, L3 %.1f MiB\n", (double)info->l2_bytes * 0x1p-20,
        (double)info->l3_bytes * 0x1p-20);
    mt_text_printf(out, "usable cores  %d (affinity mask %d", info->usable, info->affinity);
    if (info->quota > 0) mt_text_printf(out, ", control group allows %.4g", info->quota);
    mt_text_printf(out, ")\nmemory        %.1f GiB", (double)info->memory_bytes * 0x1p-30);
    if (info->memory_limit_bytes)
        mt_text_printf(out, ", control group allows %.1f GiB", (double)info->memory_limit_bytes * 0x1p-30);
    mt_text_printf(out, "\ninstructions  %s\n", info->avx512 ? "AVX-512" : info->avx2 ? "AVX2" : "baseline");
}
