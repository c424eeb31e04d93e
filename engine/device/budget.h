// What a device's memory will be used for, added up before anything is allocated: a run that cannot fit says so at once, in
// numbers, instead of hours later.
//
//     mt_device_budget budget = {0};
//     mt_device_budget_add(&budget, "parameters", 3 * sizeof(float) * count);
//     mt_device_budget_add_arena(&budget, &arena);               // what is registered there, name by name
//     MT_TRY(mt_device_budget_check(&budget, device));           // MT_NO_MEMORY with the table
//     mt_device_budget_print(&budget, device, &text);            // to be shown before the start
#ifndef MANTA_ENGINE_DEVICE_BUDGET_H
#define MANTA_ENGINE_DEVICE_BUDGET_H

#include "engine/base/text.h"
#include "engine/device/device_arena.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_BUDGET_ENTRIES = 32 };

typedef struct mt_device_budget {
    int count;
    uint64_t all;                  // bytes
    struct {
        const char *name;          // borrowed: a string literal
        uint64_t bytes;
    } entry[MT_BUDGET_ENTRIES];    // the last one takes what is more
} mt_device_budget;

void mt_device_budget_add(mt_device_budget *budget, const char *name, uint64_t bytes);   // added to an entry of that name
void mt_device_budget_add_arena(mt_device_budget *budget, const mt_device_arena *arena);

// Does it fit in what is free now, and in this process's part of a device that several share? A device that does not say what is
// free is believed to have all of its memory.
mt_status mt_device_budget_check(const mt_device_budget *budget, const mt_device *device);

// "NVIDIA H100: 1.2 GiB of 78.1 GiB free: segment 1.0 GiB, activations 180 MiB, parameters 24 MiB", the largest first
mt_status mt_device_budget_print(const mt_device_budget *budget, const mt_device *device, mt_text *out);

#ifdef __cplusplus
}
#endif
#endif
