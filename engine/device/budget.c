// What a device's memory will be used for. The thread that sets a run up; see budget.h.
#include "engine/device/budget.h"

#include <stdio.h>
#include <string.h>

static uint64_t saturated(uint64_t a, uint64_t b) { return a + b < a ? UINT64_MAX : a + b; }

void mt_device_budget_add(mt_device_budget *budget, const char *name, uint64_t bytes) {
    int i = 0;
    while (i < budget->count && strcmp(budget->entry[i].name, name) != 0) i++;
    if (i == MT_BUDGET_ENTRIES) budget->entry[--i].name = "the rest";
    if (i == budget->count) budget->entry[budget->count++].name = name;
    budget->entry[i].bytes = saturated(budget->entry[i].bytes, bytes);
    budget->all = saturated(budget->all, bytes);
}

void mt_device_budget_add_arena(mt_device_budget *budget, const mt_device_arena *arena) {
    for (size_t i = 0; i < arena->plan.slot_count; i++) {
        size_t bytes;
        const char *name = mt_arena_slot_name(&arena->plan, i, &bytes);
        mt_device_budget_add(budget, name, bytes);
    }
}

// free now, within this process's part
static mt_status available(const mt_device *device, uint64_t *bytes) {
    *bytes = 0;
    MT_TRY(device->ops->memory_free(device, bytes));
    if (*bytes == 0 || *bytes > device->memory_bytes) *bytes = device->memory_bytes;
    return MT_OK;
}

static const char *amount(uint64_t bytes, char *out, size_t out_bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 4) value /= 1024, unit++;
    snprintf(out, out_bytes, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

mt_status mt_device_budget_print(const mt_device_budget *budget, const mt_device *device, mt_text *out) {
    uint64_t left;
    char bytes[32], more[32];
    int order[MT_BUDGET_ENTRIES];
    MT_TRY(available(device, &left));
    mt_text_printf(
        out, "%s: %s of %s free", device->name, amount(budget->all, bytes, sizeof bytes), amount(left, more, sizeof more));
    if (device->sharers > 1) mt_text_printf(out, " (one of %d processes on it)", device->sharers);
    // the largest first; few enough to insert one by one
    for (int i = 0; i < budget->count; i++) {
        int at = i;
        for (; at > 0 && budget->entry[order[at - 1]].bytes < budget->entry[i].bytes; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    for (int i = 0; i < budget->count; i++)
        mt_text_printf(out, "%s %s %s", i ? "," : ":", budget->entry[order[i]].name,
            amount(budget->entry[order[i]].bytes, bytes, sizeof bytes));
    return mt_text_status(out);
}

mt_status mt_device_budget_check(const mt_device_budget *budget, const mt_device *device) {
    uint64_t left;
    MT_TRY(available(device, &left));
    if (budget->all <= left) return MT_OK;
    mt_text table = {0};
    mt_status status = mt_device_budget_print(budget, device, &table);
    if (status == MT_OK)
        status = MT_FAIL(NO_MEMORY, "this does not fit: %.800s; use smaller batches, shorter segments, or fewer environments",
            mt_text_str(&table));
    mt_text_fini(&table);
    return status;
}
