// device.h: the cpu device, and what is said about the others.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "engine/device/device.h"

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
    static const char *const bad[] = {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "CPU ", "cdua", "tpu", "cuda:4294967296"};
    for (int i = 0; i < 10; i++) cr_expect_eq(mt_device_open(bad[i], &device), MT_CONFIG, "%s", bad[i]);
    mt_device_open("cdua", &device);
    cr_expect_not_null(strstr(mt_last_error(), "did you mean \"cuda\"?"));
    cr_expect_null(device);
}

Test(device, a_null_device_is_a_programmers_error, .signal = SIGABRT) { mt_device_sync(NULL); }
