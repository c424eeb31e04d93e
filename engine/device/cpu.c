// The cpu device: the host's own memory. Everything is complete when the call returns, so sync has nothing to do.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/arena.h"
#include "engine/base/cpu.h"
#include "engine/device/device.h"

static mt_status cpu_open(mt_device *device, int ordinal) {
    (void)ordinal;
    mt_cpu_model(device->name, sizeof device->name);
    device->memory_bytes = mt_cpu_memory_bytes();
    return MT_OK;
}

static void cpu_close(mt_device *device) { (void)device; }

static mt_status cpu_alloc(const mt_device *device, size_t bytes, void **out) {
    (void)device;
    size_t padded = (bytes + MT_ALIGN_BYTES - 1) / MT_ALIGN_BYTES * MT_ALIGN_BYTES;
    void *memory = padded >= bytes && padded <= PTRDIFF_MAX ? aligned_alloc(MT_ALIGN_BYTES, padded) : NULL;
    if (!memory) return MT_FAIL(NO_MEMORY, "cannot allocate %zu bytes of main memory; use smaller batches or networks", bytes);
    memset(memory, 0, padded);
    *out = memory;
    return MT_OK;
}

static void cpu_free(const mt_device *device, void *memory) {
    (void)device;
    free(memory);
}

static mt_status cpu_copy(const mt_device *device, void *to, const void *from, size_t bytes) {
    (void)device;
    memmove(to, from, bytes);
    return MT_OK;
}

static mt_status cpu_fill(const mt_device *device, void *memory, unsigned char byte, size_t bytes) {
    (void)device;
    memset(memory, byte, bytes);
    return MT_OK;
}

static mt_status cpu_sync(const mt_device *device) {
    (void)device;
    return MT_OK;
}

static mt_status cpu_memory_free(const mt_device *device, uint64_t *bytes) {
    (void)device;
    long pages = sysconf(_SC_AVPHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    *bytes = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    return MT_OK;
}

const mt_device_ops mt_device_cpu = {
    .kind_name = "cpu",
    .kind = MT_DEVICE_CPU,
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .copy = cpu_copy,
    .fill = cpu_fill,
    .sync = cpu_sync,
    .memory_free = cpu_memory_free,
};
