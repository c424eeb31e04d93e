// The manta side of safetensors_python.py: `write PATH` saves one tensor of every type, `read PATH` checks that a file
// holds exactly those. Element i of a tensor is i + 1 in its type; BF16 holds the upper halves of those floats.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "policies/safetensors.h"

enum { ELEMENTS = 6 };

static void fill(mt_dtype dtype, void *out) {
    for (int i = 0; i < ELEMENTS; i++) {
        float f = (float)(i + 1);
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        switch (dtype) {
        case MT_F32: ((float *)out)[i] = f; break;
        case MT_F64: ((double *)out)[i] = i + 1; break;
        case MT_BF16: ((uint16_t *)out)[i] = (uint16_t)(bits >> 16); break;
        case MT_I32: ((int32_t *)out)[i] = i + 1; break;
        case MT_I64: ((int64_t *)out)[i] = i + 1; break;
        case MT_U32: ((uint32_t *)out)[i] = (uint32_t)i + 1; break;
        case MT_U64: ((uint64_t *)out)[i] = (uint64_t)i + 1; break;
        default: ((uint8_t *)out)[i] = (uint8_t)(i + 1); break;
        }
    }
}

static int fail(void) { return fprintf(stderr, "%s\n", mt_last_error()), 1; }

static int write_sample(const char *path) {
    static uint64_t room[MT_DTYPE_COUNT][ELEMENTS];
    mt_named_tensor tensors[MT_DTYPE_COUNT];
    mt_string_pair metadata = {"made by", "manta"};
    for (int d = 0; d < MT_DTYPE_COUNT; d++) {
        fill((mt_dtype)d, room[d]);
        tensors[d] = (mt_named_tensor){mt_dtype_name((mt_dtype)d), {room[d], (mt_dtype)d, 2, {2, 3}}};
    }
    return mt_safetensors_save(path, tensors, MT_DTYPE_COUNT, &metadata, 1) == MT_OK ? 0 : fail();
}

static int read_sample(const char *path) {
    mt_safetensors file;
    if (mt_safetensors_load(path, &file) != MT_OK) return fail();
    int bad = 0, found = 0;
    for (int d = 0; d < MT_DTYPE_COUNT; d++) {
        uint64_t want[ELEMENTS] = {0}, got[ELEMENTS] = {0};
        mt_tensor into = {got, (mt_dtype)d, 2, {2, 3}};
        if (!mt_safetensors_find(&file, mt_dtype_name((mt_dtype)d))) continue;   // numpy has no BF16
        found++;
        fill((mt_dtype)d, want);
        if (mt_safetensors_read(&file, mt_dtype_name((mt_dtype)d), &into) != MT_OK) bad = fail();
        else if (memcmp(want, got, sizeof want) != 0) bad = fprintf(stderr, "%s differs\n", mt_dtype_name((mt_dtype)d));
    }
    const char *by = mt_safetensors_metadata(&file, "made by");
    if (found < MT_DTYPE_COUNT - 1 || !by || strcmp(by, "Python") != 0)
        bad = fprintf(stderr, "tensors or metadata missing\n");
    mt_safetensors_fini(&file);
    return bad != 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "write") == 0) return write_sample(argv[2]);
    if (argc == 3 && strcmp(argv[1], "read") == 0) return read_sample(argv[2]);
    return fprintf(stderr, "safetensors_sample write|read PATH\n"), 2;
}
