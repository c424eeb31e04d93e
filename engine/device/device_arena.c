// Arena of a device: base/arena.h's plan in one block of the device's memory. One thread until committed.
#include "engine/device/device_arena.h"

enum { ALIGN_BYTES = 256 }; // what a GPU's memory comes in, and its libraries' fastest paths want

mt_arena *mt_device_arena_plan(mt_device_arena *arena) {
    arena->plan.align_bytes = ALIGN_BYTES;
    return &arena->plan;
}

void mt_device_arena_add(mt_device_arena *arena, void **where, size_t bytes, const char *name) {
    mt_arena_add(mt_device_arena_plan(arena), where, bytes, name);
}

static void largest(const mt_arena *plan, const char **name, size_t *bytes) {
    *name = "none", *bytes = 0;
    for (size_t i = 0; i < plan->slot_count; i++) {
        size_t own;
        const char *its = mt_arena_slot_name(plan, i, &own);
        if (own > *bytes) *name = its, *bytes = own;
    }
}

mt_status mt_device_arena_commit(mt_device_arena *arena) {
    mt_arena *plan = &arena->plan;
    void *block = NULL;
    if (plan->block) return MT_FAIL(INVALID_ARGUMENT, "arena committed twice");
    MT_TRY(mt_arena_failed(plan));
    // by the device's own table: a program of kernels alone links nothing else of it
    mt_status status = plan->block_bytes ? arena->device->ops->alloc(arena->device, plan->block_bytes, &block) : MT_OK;
    if (status != MT_OK) {
        const char *name;
        size_t bytes;
        largest(plan, &name, &bytes);
        return mt_fail_context(status, "%zu buffers (largest: %.60s, %zu bytes): ", plan->slot_count, name, bytes);
    }
    return mt_arena_place(plan, block);
}

void mt_device_arena_fini(mt_device_arena *arena) {
    void *block = arena->plan.block;
    mt_arena_fini(&arena->plan);
    if (block) arena->device->ops->free(arena->device, block);
}
