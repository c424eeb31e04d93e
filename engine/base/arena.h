// Arena: buffers are registered by shape first, then everything is allocated at once, 64-byte aligned, zeroed.
//
//     mt_arena arena = {0};
//     mt_arena_add(&arena, (void **)&seg->reward, sizeof(float) * T * B, "reward");
//     ...
//     MT_TRY(mt_arena_commit(&arena));      // one allocation; every registered pointer is set
//     mt_arena_fini(&arena);                // pointers become NULL
//
// Nothing allocates after the first iterations because everything that lives that long stands in an arena. Memory of another
// kind (a GPU's: engine/device/device_arena.h) is somebody else's block, in which mt_arena_place sets the same pointers.
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
    size_t align_bytes;            // where every buffer begins; a power of two, set before the first add; 0: MT_ALIGN_BYTES
    int borrowed;                  // the block is the caller's: fini leaves it
    int failed;                    // an add ran out of memory or overflowed; reported by commit
} mt_arena;

// Registers `bytes` (0 gives NULL) for *where, which must stay valid until fini. Errors are kept for commit.
void mt_arena_add(mt_arena *arena, void **where, size_t bytes, const char *name);

// MT_NO_MEMORY (says how many bytes, and the largest slot by name), MT_INVALID_ARGUMENT when called twice.
mt_status mt_arena_commit(mt_arena *arena);

// Instead of commit: block (borrowed, block_bytes, aligned; NULL only when block_bytes is 0) takes the buffers, which are not
// zeroed here. Fails as commit does; ask mt_arena_failed before making a block of block_bytes.
mt_status mt_arena_place(mt_arena *arena, void *block);
mt_status mt_arena_failed(const mt_arena *arena);   // MT_OK, or what commit would say of the adds

void mt_arena_fini(mt_arena *arena);

// What was registered as number i < slot_count.
const char *mt_arena_slot_name(const mt_arena *arena, size_t i, size_t *bytes);

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
