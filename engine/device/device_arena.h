// Arena of a device: buffers are registered by shape first, then one allocation takes them all, each 256 bytes or a multiple from
// its beginning, zeroed. On a GPU that is one cudaMalloc for everything that lives as long as a learner: parameters, gradients,
// activations, the segment, scratch space.
//
//     mt_device_arena arena = {.device = device};
//     MT_DEVICE_ARENA_ADD(&arena, learner->param, count);
//     ...
//     MT_TRY(mt_device_arena_commit(&arena));   // every registered pointer is set
//     mt_device_arena_fini(&arena);             // pointers become NULL
//
// One thread until committed; the memory is then shared as its users agree.
#ifndef MANTA_ENGINE_DEVICE_DEVICE_ARENA_H
#define MANTA_ENGINE_DEVICE_DEVICE_ARENA_H

#include "engine/base/arena.h"
#include "engine/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_device_arena {
    const mt_device *device;   // borrowed
    mt_arena plan;
} mt_device_arena;

// Registers `bytes` (0 gives NULL) for *where, which must stay valid until fini. Errors are kept for commit.
void mt_device_arena_add(mt_device_arena *arena, void **where, size_t bytes, const char *name);
mt_arena *mt_device_arena_plan(mt_device_arena *arena);   // for what registers with any arena; commit is the device's

// MT_NO_MEMORY: how many bytes were wanted and are free, and which buffer is the largest; MT_INVALID_ARGUMENT when called twice.
mt_status mt_device_arena_commit(mt_device_arena *arena);

void mt_device_arena_fini(mt_device_arena *arena);   // also of one that is all zeros

#define MT_DEVICE_ARENA_ADD(arena, pointer, count)                                                                     \
    mt_device_arena_add(                                                                                               \
        (arena), (void **)&(pointer), mt_arena_bytes(sizeof *(pointer), (size_t)(count)), #pointer)

#ifdef __cplusplus
}
#endif
#endif
