// A test on every device that there is: the cpu, and a GPU where this build and machine have one. In the preset cuda-host one is always
// there (MANTA_CUDA_HOST).
#ifndef MANTA_TESTS_DEVICES_H
#define MANTA_TESTS_DEVICES_H

#include "engine/device/device.h"

#include <criterion/criterion.h>
#include <stdio.h>

#ifndef MANTA_CUDA_HOST
#define MANTA_CUDA_HOST 0
#endif

// calls test(device); one that is missing is named, not passed over
static inline void each_device(void (*test)(mt_device *device)) {
    static const char *const specs[] = {"cpu", "cuda"};
    for (int i = 0; i < 2; i++) {
        mt_device *device = NULL;
        if (mt_device_open(specs[i], &device) == MT_OK) test(device);
        else printf("skipped %s: %s\n", specs[i], mt_last_error());
        cr_assert(device || (i > 0 && !MANTA_CUDA_HOST), "the cpu is always there, and here a GPU, too");
        mt_device_close(device);
    }
}

#endif
