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
    size_t align = arena->align_bytes ? arena->align_bytes : MT_ALIGN_BYTES, padded = (bytes + align - 1) / align * align;
    if (padded < bytes || padded > SIZE_MAX / 2 || arena->block_bytes > SIZE_MAX / 2 - padded) {
        arena->failed = 1;
        return;
    }
    arena->slots[arena->slot_count++] = (struct mt_arena_slot){where, name, bytes, arena->block_bytes};
    arena->block_bytes += padded;
}

static mt_status out_of_memory(const mt_arena *arena) {
    const struct mt_arena_slot *largest = NULL;
    for (size_t i = 0; i < arena->slot_count; i++)
        if (!largest || arena->slots[i].bytes > largest->bytes) largest = &arena->slots[i];
    return MT_FAIL(NO_MEMORY, "cannot allocate %zu bytes of buffers (largest: %s, %zu bytes); use fewer environments, "
        "shorter segments or smaller networks", arena->block_bytes, largest ? largest->name : "none",
        largest ? largest->bytes : 0);
}

mt_status mt_arena_failed(const mt_arena *arena) { return arena->failed ? out_of_memory(arena) : MT_OK; }

mt_status mt_arena_place(mt_arena *arena, void *block) {
    if (arena->block) return MT_FAIL(INVALID_ARGUMENT, "arena committed twice");
    MT_TRY(mt_arena_failed(arena));
    arena->block = block;
    arena->borrowed = 1;
    for (size_t i = 0; i < arena->slot_count; i++)
        if (arena->slots[i].bytes) *arena->slots[i].where = (char *)block + arena->slots[i].offset;
    return MT_OK;
}

mt_status mt_arena_commit(mt_arena *arena) {
    if (arena->block) return MT_FAIL(INVALID_ARGUMENT, "arena committed twice");
    // the system promises more than it has, and kills whoever takes the promise up
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    if (pages > 0 && arena->block_bytes / (size_t)page_bytes >= (size_t)pages) arena->failed = 1;
    void *block = NULL;
    if (!arena->failed && arena->block_bytes) {
        block = aligned_alloc(arena->align_bytes ? arena->align_bytes : MT_ALIGN_BYTES, arena->block_bytes);
        if (!block) arena->failed = 1;
    }
    if (block) memset(block, 0, arena->block_bytes);
    MT_TRY(mt_arena_place(arena, block));
    arena->borrowed = 0;
    return MT_OK;
}

void mt_arena_fini(mt_arena *arena) {
    if (arena->block)
        for (size_t i = 0; i < arena->slot_count; i++) *arena->slots[i].where = NULL;
    if (!arena->borrowed) free(arena->block);
    free(arena->slots);
    *arena = (mt_arena){0};
}

const char *mt_arena_slot_name(const mt_arena *arena, size_t i, size_t *bytes) {
    MT_ASSERT(i < arena->slot_count);
    *bytes = arena->slots[i].bytes;
    return arena->slots[i].name;
}
