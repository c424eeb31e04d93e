// device.h, device_arena.h, budget.h: the cpu device, what is said about the others, and who gets which.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "engine/device/budget.h"
#include "engine/device/device.h"
#include "engine/device/device_arena.h"

// is there a GPU that this build can use?
static bool has_cuda(void) {
    mt_device *device;
    if (mt_device_open("cuda", &device) != MT_OK) return false;
    mt_device_close(device);
    return true;
}

Test(device, cpu) {
    static const char *const specs[] = {"cpu", "auto"};
    for (int i = 0; i < 2; i++) {
        mt_device *device;
        cr_assert_eq(mt_device_open(specs[i], &device), MT_OK);
        cr_assert(device->ordinal == 0 && device->name[0] && device->memory_bytes > 0);
        cr_assert_eq(device->kind, i == 1 && has_cuda() ? MT_DEVICE_CUDA : MT_DEVICE_CPU);
        if (device->kind == MT_DEVICE_CUDA) {   // its memory is not for reading here; tests/kernels_cuda does
            mt_device_close(device);
            continue;
        }
        char *a, *b;
        cr_assert_eq(mt_device_alloc(device, 1001, (void **)&a), MT_OK);
        cr_assert_eq(mt_device_alloc(device, 1001, (void **)&b), MT_OK);
        cr_assert_eq((uintptr_t)a % 64, 0);
        int dirty = 0;
        for (int k = 0; k < 1001; k++) dirty += a[k] != 0;
        cr_assert_eq(dirty, 0);
        cr_assert_eq(mt_device_fill(device, a, 7, 1001), MT_OK);
        cr_assert_eq(mt_device_copy(device, b, a, 1000), MT_OK);
        cr_assert_eq(mt_device_copy(device, b + 1, b, 999), MT_OK);
        cr_assert_eq(mt_device_sync(device), MT_OK);
        cr_assert(b[999] == 7 && b[1000] == 0);
        uint64_t bytes;
        cr_assert_eq(device->ops->memory_free(device, &bytes), MT_OK);
        mt_device_free(device, a);
        mt_device_free(device, b);
        mt_device_free(device, NULL);
        mt_device_close(device);
    }
    mt_device_close(NULL);
}

Test(device, odd_sizes) {
    mt_device *device;
    void *memory = &device;
    cr_assert_eq(mt_device_open("cpu", &device), MT_OK);
    cr_assert_eq(mt_device_alloc(device, 0, &memory), MT_OK);
    cr_assert_null(memory);
    cr_assert_eq(mt_device_alloc(device, SIZE_MAX, &memory), MT_NO_MEMORY);
    cr_assert_eq(mt_device_alloc(device, SIZE_MAX / 2, &memory), MT_NO_MEMORY);
    cr_assert_eq(mt_device_copy(device, NULL, NULL, 0), MT_OK);
    cr_assert_eq(mt_device_fill(device, NULL, 1, 0), MT_OK);
    mt_device_close(device);
}

Test(device, those_that_are_not_there) {
    mt_device *device = (mt_device *)1;
    static const char *const gpus[] = {"cuda:4095", "cuda", "cuda:0"};
    for (int i = 0; i < (has_cuda() ? 1 : 3); i++) {
        cr_expect_eq(mt_device_open(gpus[i], &device), MT_UNSUPPORTED);
        cr_expect_not_null(strstr(mt_last_error(), "--device cpu"), "%s", mt_last_error());   // what to do
        cr_expect_null(strchr(mt_last_error(), '\n'));
        cr_expect_null(device);
    }
    mt_device *none;
    cr_expect_eq(mt_device_open("gpu", &none), MT_CONFIG);
    cr_expect(strstr(mt_last_error(), "did you mean \"cuda\"?"), "%s", mt_last_error());
    static const char *const bad[] = {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "CPU ", "cdua", "tpu", "cuda:4294967296"};
    for (int i = 0; i < 10; i++) cr_expect_eq(mt_device_open(bad[i], &device), MT_CONFIG, "%s", bad[i]);
    mt_device_open("cdua", &device);
    cr_expect_not_null(strstr(mt_last_error(), "did you mean \"cuda\"?"));
    cr_expect_null(device);
}

Test(device, a_null_device_is_a_programmers_error, .signal = SIGABRT) { mt_device_sync(NULL); }

Test(device, every_rank_has_one_and_each_is_used) {
    static const int want[][7] = {{1, 1, 0}, {2, 1, 0, 0}, {1, 4, 0}, {2, 4, 0, 2}, {3, 8, 0, 3, 6}, {5, 2, 0, 0, 0, 1, 1}};
    for (int i = 0; i < 6; i++)   // ranks, devices, and each rank's
        for (int r = 0; r < want[i][0]; r++) cr_expect_eq(mt_device_ordinal_of(r, want[i][0], want[i][1]), want[i][2 + r]);
    for (int ranks = 1; ranks < 20; ranks++)
        for (int devices = 1; devices < 20; devices++) {
            int used[20] = {0}, most = 0, least = ranks;
            for (int r = 0; r < ranks; r++) used[mt_device_ordinal_of(r, ranks, devices)]++;
            for (int d = 0; d < devices; d++) most = used[d] > most ? used[d] : most, least = used[d] < least ? used[d] : least;
            // nobody waits for a device that stands idle: as evenly as it goes
            cr_expect(ranks <= devices ? most == 1 : most - least <= 1, "%d ranks, %d devices", ranks, devices);
        }
}

Test(device, a_cpu_for_every_rank) {
    mt_device *device;
    cr_assert_eq(mt_device_open_for_rank("cpu", 3, 4, &device), MT_OK);
    cr_assert(device->kind == MT_DEVICE_CPU && device->ordinal == 0 && device->sharers == 1);
    mt_device_close(device);
}

static mt_status is_full(const mt_device *device, size_t bytes, void **out) {
    (void)device, (void)out;
    return MT_FAIL(NO_MEMORY, "no room for %zu bytes", bytes);
}

Test(device, arena) {
    mt_device *device;
    cr_assert_eq(mt_device_open("cpu", &device), MT_OK);
    mt_device_arena arena = {.device = device};
    float *params;
    char *flags, *none;
    MT_DEVICE_ARENA_ADD(&arena, params, 100);
    MT_DEVICE_ARENA_ADD(&arena, flags, 1);
    MT_DEVICE_ARENA_ADD(&arena, none, 0);
    mt_device_budget budget = {0};
    mt_device_budget_add_arena(&budget, &arena);
    cr_expect(budget.count == 3 && budget.all == 401);
    cr_assert_eq(mt_device_arena_commit(&arena), MT_OK);
    cr_assert(params && flags && !none);
    cr_expect_eq(flags - (char *)params, 512);   // 256 and its multiples from the beginning
    for (int i = 0; i < 100; i++) cr_expect_eq(params[i], 0);
    cr_expect_eq(mt_device_arena_commit(&arena), MT_INVALID_ARGUMENT);
    mt_device_arena_fini(&arena);
    cr_expect(!params && !flags);
    mt_device_arena_fini(&arena);
    mt_device_ops ops = *device->ops;
    ops.alloc = is_full;
    mt_device full = *device;
    full.ops = &ops, arena.device = &full;
    MT_DEVICE_ARENA_ADD(&arena, params, 100);
    cr_expect_eq(mt_device_arena_commit(&arena), MT_NO_MEMORY);
    cr_expect_not_null(strstr(mt_last_error(), "largest: params"), "%s", mt_last_error());
    mt_device_arena_fini(&arena);
    mt_device_close(device);
}

Test(device, budget) {
    mt_device *device;
    cr_assert_eq(mt_device_open("cpu", &device), MT_OK);
    mt_device_budget budget = {0};
    mt_device_budget_add(&budget, "parameters", 1 << 20);
    mt_device_budget_add(&budget, "segment", 3 << 20);
    mt_device_budget_add(&budget, "parameters", 512 << 10);
    cr_expect_eq(mt_device_budget_check(&budget, device), MT_OK);
    mt_text text = {0};
    cr_assert_eq(mt_device_budget_print(&budget, device, &text), MT_OK);
    cr_expect_not_null(strstr(mt_text_str(&text), " 4.5 MiB of "), "%s", mt_text_str(&text));
    cr_expect_not_null(strstr(mt_text_str(&text), ": segment 3.0 MiB, parameters 1.5 MiB"), "%s", mt_text_str(&text));
    cr_expect_null(strchr(mt_text_str(&text), '\n'));
    // a device's part that several share is the limit, whatever is free
    mt_device part = *device;
    part.memory_bytes = 4 << 20, part.sharers = 2;
    cr_expect_eq(mt_device_budget_check(&budget, &part), MT_NO_MEMORY);
    cr_expect_not_null(strstr(mt_last_error(), "one of 2 processes"), "%s", mt_last_error());
    cr_expect_not_null(strstr(mt_last_error(), "segment 3.0 MiB"), "%s", mt_last_error());
    // more entries than places, and more than a number holds
    static const char names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN";
    for (int i = 0; i < 40; i++) mt_device_budget_add(&budget, names + i, 1);
    cr_expect_eq(budget.count, MT_BUDGET_ENTRIES);
    cr_expect_eq(budget.all, (uint64_t)(4608 << 10) + 40);
    mt_device_budget_add(&budget, "parameters", UINT64_MAX);
    cr_expect_eq(mt_device_budget_check(&budget, device), MT_NO_MEMORY);
    mt_text_fini(&text);
    mt_device_close(device);
}
