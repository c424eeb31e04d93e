// Arena: buffers are registered by shape first, then everything is allocated at once, 64-byte aligned, zeroed.
//
//     mt_arena arena = {0};
//     mt_arena_add(&arena, (void **)&seg->reward, sizeof(float) * T * B, "reward");
//     ...
//     MT_TRY(mt_arena_commit(&arena));      // one allocation; every registered pointer is set
//     mt_arena_fini(&arena);                // pointers become NULL
//
// Nothing allocates after the first iterations because everything that lives that long stands in an arena.
#ifndef MANTA_ENGINE_BASE_ARENA_H
#define MANTA_ENGINE_BASE_ARENA_H

#include <stddef.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_ALIGN_BYTES = 64 };

typedef struct mt_arena {
    struct mt_arena_slot *slots;   // owned
    size_t slot_count, slot_capacity;
    void *block;                   // owned; NULL before commit
    size_t block_bytes;
    int failed;                    // an add ran out of memory or overflowed; reported by commit
} mt_arena;

// Registers `bytes` (0 gives NULL) for *where, which must stay valid until fini. Errors are kept for commit.
void mt_arena_add(mt_arena *arena, void **where, size_t bytes, const char *name);

// MT_NO_MEMORY (says how many bytes, and the largest slot by name), MT_INVALID_ARGUMENT when called twice.
mt_status mt_arena_commit(mt_arena *arena);

void mt_arena_fini(mt_arena *arena);

// size × count, or what no machine has: a product that wrapped would pass for a small buffer
static inline size_t mt_arena_bytes(size_t size, size_t count) {
    size_t bytes;
    return __builtin_mul_overflow(size, count, &bytes) ? (size_t)-1 : bytes;
}

#define MT_ARENA_ADD(arena, pointer, count)                                                                            \
    mt_arena_add((arena), (void **)&(pointer), mt_arena_bytes(sizeof *(pointer), (size_t)(count)), #pointer)

#ifdef __cplusplus
}
#endif
#endif
