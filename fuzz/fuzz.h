// Shared by the fuzz targets: libFuzzer's entry, a check that stays on, and a cursor that turns bytes into decisions.
#ifndef MANTA_FUZZ_FUZZ_H
#define MANTA_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

// A property that must hold for every input: a finding when it does not.
#define FUZZ_CHECK(expr) MT_ASSERT(expr)

// An exactly sized copy, so that AddressSanitizer sees a read past the end; never NULL.
static inline void *fuzz_copy(const void *data, size_t bytes) {
    void *copy = malloc(bytes ? bytes : 1);
    FUZZ_CHECK(copy != NULL);
    if (bytes) memcpy(copy, data, bytes);
    return copy;
}

// The input as a C string; the caller frees.
static inline char *fuzz_string(const uint8_t *data, size_t bytes) {
    char *text = malloc(bytes + 1);
    FUZZ_CHECK(text != NULL);
    if (bytes) memcpy(text, data, bytes);
    text[bytes] = 0;
    return text;
}

typedef struct fuzz_bytes {
    const uint8_t *data;
    size_t left;
} fuzz_bytes;

// The next `bytes` bytes, zeroes past the end.
static inline void fuzz_take(fuzz_bytes *f, void *out, size_t bytes) {
    size_t have = bytes < f->left ? bytes : f->left;
    memset(out, 0, bytes);
    if (have) memcpy(out, f->data, have);
    f->data += have;
    f->left -= have;
}
static inline uint8_t fuzz_u8(fuzz_bytes *f) {
    uint8_t value;
    fuzz_take(f, &value, 1);
    return value;
}
static inline uint32_t fuzz_u32(fuzz_bytes *f) {
    uint32_t value;
    fuzz_take(f, &value, 4);
    return value;
}

#endif
