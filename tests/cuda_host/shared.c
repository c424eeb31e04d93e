// Shared memory of the block that runs: arrays in the order in which the block's threads come to them, between guard zones, all
// new for each block and full of patterns (NaN as a float, NaN as a double, out of range as an index).
#include <string.h>
#include "tests/cuda_host/block.h"
#include "tests/cuda_host/device_calls.h"
#include "tests/cuda_host/memory.h"
#include "tests/cuda_host/report.h"

enum { IDS_MOST = 1024, GUARD_BYTES = 64 };

typedef mt_host_shared_array array;

_Alignas(MT_HOST_PAGE) char mt_host_shared_memory[MT_HOST_SHARED_BYTES];
array mt_host_shared_arrays[MT_HOST_SHARED_ARRAYS]; // [0]: what the launch asked for
static int array_count, id_count;
static unsigned char array_of[IDS_MOST]; // of this block; 0: not yet
static size_t used, payload;
static int guards_made; // the memory is guard zone throughout but for the arrays

static char *add(size_t bytes, size_t align, const char *name, int id) {
    size_t at = (used + align - 1) / align * align;
    if (at + bytes + GUARD_BYTES > sizeof mt_host_shared_memory || array_count == MT_HOST_SHARED_ARRAYS)
        mt_host_fatal("shared array %s of %zu bytes: tests/cuda_host has no room for it beside %zu bytes of others", name,
            bytes, payload);
    char *p = mt_host_shared_memory + at;
    mt_host_memory_admit(p, bytes);
    mt_host_memory_poison(p, bytes);
    mt_host_shared_arrays[array_count++] = (array){p, bytes, name, id};
    used = at + bytes + GUARD_BYTES;
    payload += bytes;
    return p;
}

void mt_host_shared_begin(size_t dynamic_bytes) {
    if (!guards_made) mt_host_memory_guard(mt_host_shared_memory, sizeof mt_host_shared_memory);
    guards_made = 1;
    memset(mt_host_shared_arrays, 0, sizeof mt_host_shared_arrays);
    used = GUARD_BYTES, payload = 0, array_count = 0;
    add(dynamic_bytes, 256, "the launch's own", 0);
}

void *mt_host_shared_rest(void) {
    if (!mt_host_current) mt_host_fatal("shared memory in the host's code");
    return mt_host_shared_arrays[0].at;
}

void *mt_host_shared(int *id, size_t bytes, size_t align, const char *name, const char *file, int line) {
    if (!mt_host_current) mt_host_fatal("shared array %s in the host's code, at %s:%d", name, file, line);
    if (!*id) *id = ++id_count;
    if (*id >= IDS_MOST) mt_host_fatal("more than %d shared arrays: raise IDS_MOST", IDS_MOST);
    if (!array_of[*id]) {
        array_of[*id] = (unsigned char)array_count;
        add(bytes, align < 16 ? 16 : align, name, *id);
        if (payload > mt_host_now.grid->shared_most)
            mt_host_fatal("%zu bytes of shared memory, %zu of them for %s at %s:%d: a block may have %zu", payload, bytes, name,
                file, line, mt_host_now.grid->shared_most);
    }
    return mt_host_shared_arrays[array_of[*id]].at;
}

const array *mt_host_shared_find(const void *at) {
    for (int i = array_count - 1; i >= 0; i--)
        if ((const char *)at >= mt_host_shared_arrays[i].at) return &mt_host_shared_arrays[i];
    return NULL;
}

void mt_host_shared_end(void) {
    const char *from = mt_host_shared_memory;
    for (int i = 0; i < array_count; i++) {
        const array *a = &mt_host_shared_arrays[i];
        const char *bad = mt_host_memory_guard_broken(from, (size_t)(a->at - from));
        const char *end = a->at + a->bytes, *last = i + 1 < array_count ? mt_host_shared_arrays[i + 1].at : end + GUARD_BYTES;
        if (!bad) bad = mt_host_memory_guard_broken(end, (size_t)(last - end));
        if (bad)
            mt_host_fatal("%td bytes %s shared array %s of %zu bytes are written to", bad < a->at ? a->at - bad : bad - end,
                bad < a->at ? "before" : "past", a->name, a->bytes);
        from = last;
    }
    for (int i = 0; i < array_count; i++) {
        mt_host_memory_guard(mt_host_shared_arrays[i].at, mt_host_shared_arrays[i].bytes);
        array_of[mt_host_shared_arrays[i].id] = 0;
    }
}
