// Devices: which kinds this build has, and the checked way to their tables. Any thread.
#include "engine/device/device.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "engine/base/log.h"
#include "engine/base/text.h"
#if MANTA_CUDA
#include "engine/device/cuda.h"
#endif

static mt_status open_kind(const mt_device_ops *ops, int ordinal, mt_device **out) {
    mt_device *device = calloc(1, sizeof *device);
    if (!device) return MT_FAIL(NO_MEMORY, "out of memory while opening device %s", ops->kind_name);
    device->ops = ops;
    device->kind = ops->kind;
    device->ordinal = ordinal;
    device->sharers = 1;
    mt_status status = ops->open(device, ordinal);
    if (status != MT_OK) {
        free(device);
        return status;
    }
    *out = device;
    return MT_OK;
}

static mt_status unknown_device(const char *spec) {
    static const char *const known[] = {"cpu", "auto", "cuda"};
    char hint[96];
    int gpu = strncasecmp(spec, "gpu", 3) == 0 || strncasecmp(spec, "nvidia", 6) == 0;
    mt_text_did_you_mean(gpu ? "cuda" : mt_text_nearest(spec, known, sizeof known / sizeof *known), hint, sizeof hint);
    return MT_FAIL(CONFIG, "no device is called \"%.60s\" (cpu, auto, cuda or cuda:0)%s", spec, hint);
}

int mt_device_ordinal_of(int local_rank, int local_ranks, int devices) {
    MT_ASSERT(devices >= 1 && local_rank >= 0 && local_rank < local_ranks);
    if (local_ranks > devices) return (int)((int64_t)local_rank * devices / local_ranks);
    int more = devices % local_ranks; // the first ranks get what is left over
    return local_rank * (devices / local_ranks) + (local_rank < more ? local_rank : more);
}

#if MANTA_CUDA

static mt_status open_cuda(const char *spec, int ordinal, mt_device **out) {
    (void)spec;
    return open_kind(&mt_device_cuda, ordinal, out);
}

static int own_ordinal(int local_rank, int local_ranks) {
    int devices = mt_cuda_device_count();
    return devices ? mt_device_ordinal_of(local_rank, local_ranks, devices) : 0;
}

static mt_status open_auto(int ordinal, mt_device **out) {
    if (open_kind(&mt_device_cuda, ordinal, out) == MT_OK) return MT_OK;
    mt_log_info("computing on the CPU: %s", mt_last_error());
    return open_kind(&mt_device_cpu, 0, out);
}

#else

static mt_status open_cuda(const char *spec, int ordinal, mt_device **out) {
    (void)ordinal, (void)out;
    return MT_FAIL(UNSUPPORTED, "device %.60s: this build of manta computes on the CPU (--device cpu or auto); cmake --preset cuda makes "
        "the other one (docs/gpu.md)", spec);
}

static int own_ordinal(int local_rank, int local_ranks) { return (void)local_rank, (void)local_ranks, 0; }

static mt_status open_auto(int ordinal, mt_device **out) { return (void)ordinal, open_kind(&mt_device_cpu, 0, out); }

#endif

mt_status mt_device_open(const char *spec, mt_device **out) { return mt_device_open_for_rank(spec, 0, 1, out); }

mt_status mt_device_open_for_rank(const char *spec, int local_rank, int local_ranks, mt_device **out) {
    *out = NULL;
    if (strcmp(spec, "cpu") == 0) return open_kind(&mt_device_cpu, 0, out);
    if (strcmp(spec, "auto") == 0) return open_auto(own_ordinal(local_rank, local_ranks), out);
    int64_t ordinal = 0;
    bool cuda = strcmp(spec, "cuda") == 0;
    bool numbered = strncmp(spec, "cuda:", 5) == 0 && mt_parse_i64(spec + 5, &ordinal) == MT_OK && ordinal >= 0 && ordinal <= INT_MAX;
    if (!cuda && !numbered) return unknown_device(spec);
    return open_cuda(spec, cuda ? own_ordinal(local_rank, local_ranks) : (int)ordinal, out);
}

void mt_device_close(mt_device *device) {
    if (!device) return;
    device->ops->close(device);
    free(device);
}

mt_status mt_device_alloc(const mt_device *device, size_t bytes, void **out) {
    MT_ASSERT(device);
    *out = NULL;
    return bytes ? device->ops->alloc(device, bytes, out) : MT_OK;
}

void mt_device_free(const mt_device *device, void *memory) {
    MT_ASSERT(device);
    if (memory) device->ops->free(device, memory);
}

mt_status mt_device_copy(const mt_device *device, void *to, const void *from, size_t bytes) {
    MT_ASSERT(device);
    return bytes ? device->ops->copy(device, to, from, bytes) : MT_OK;
}

mt_status mt_device_fill(const mt_device *device, void *memory, unsigned char byte, size_t bytes) {
    MT_ASSERT(device);
    return bytes ? device->ops->fill(device, memory, byte, bytes) : MT_OK;
}

mt_status mt_device_sync(const mt_device *device) {
    MT_ASSERT(device);
    return device->ops->sync(device);
}
