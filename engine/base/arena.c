// Arena: register, then one aligned zeroed allocation. Owned by one thread until committed; the memory is then shared freely.
#include "engine/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mt_arena_slot {
    void **where;
    const char *name;   // borrowed: a string literal
    size_t bytes, offset;
};

void mt_arena_add(mt_arena *arena, void **where, size_t bytes, const char *name) {
    *where = NULL;
    if (arena->slot_count == arena->slot_capacity) {
        size_t capacity = arena->slot_capacity ? 2 * arena->slot_capacity : 16;
        struct mt_arena_slot *slots = realloc(arena->slots, capacity * sizeof *slots);
        if (!slots) {
            arena->failed = 1;
            return;
        }
        arena->slots = slots;
        arena->slot_capacity = capacity;
    }
    // every slot starts on its own cache line; sums that overflow are kept as a failure
    size_t padded = (bytes + MT_ALIGN_BYTES - 1) / MT_ALIGN_BYTES * MT_ALIGN_BYTES;
    if (padded < bytes || padded > SIZE_MAX / 2 || arena->block_bytes > SIZE_MAX / 2 - padded) {
        arena->failed = 1;
        return;
    }
    arena->slots[arena->slot_count++] = (struct mt_arena_slot){where, name, bytes, arena->block_bytes};
    arena->block_bytes += padded;
}

mt_status mt_arena_commit(mt_arena *arena) {
    if (arena->block) return MT_FAIL(INVALID_ARGUMENT, "arena committed twice");
    // the system promises more than it has, and kills whoever takes the promise up
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    if (pages > 0 && arena->block_bytes / (size_t)page_bytes >= (size_t)pages) arena->failed = 1;
    if (!arena->failed && arena->block_bytes) {
        arena->block = aligned_alloc(MT_ALIGN_BYTES, arena->block_bytes);
        if (!arena->block) arena->failed = 1;
    }
    if (arena->failed) {
        const struct mt_arena_slot *largest = NULL;
        for (size_t i = 0; i < arena->slot_count; i++)
            if (!largest || arena->slots[i].bytes > largest->bytes) largest = &arena->slots[i];
        return MT_FAIL(NO_MEMORY, "cannot allocate %zu bytes of buffers (largest: %s, %zu bytes); use fewer environments, "
            "shorter segments or smaller networks", arena->block_bytes, largest ? largest->name : "none",
            largest ? largest->bytes : 0);
    }
    if (arena->block) memset(arena->block, 0, arena->block_bytes);
    for (size_t i = 0; i < arena->slot_count; i++)
        if (arena->slots[i].bytes) *arena->slots[i].where = (char *)arena->block + arena->slots[i].offset;
    return MT_OK;
}

void mt_arena_fini(mt_arena *arena) {
    if (arena->block)
        for (size_t i = 0; i < arena->slot_count; i++) *arena->slots[i].where = NULL;
    free(arena->block);
    free(arena->slots);
    *arena = (mt_arena){0};
}
