// Weight files. Two readings of an input: as a whole file, and as "JSON header, newline, data" (libFuzzer would have to
// guess the eight size bytes otherwise). What decodes must be readable byte by byte and survive being written again.
#include "fuzz/fuzz.h"
#include "policies/safetensors.h"

static void check_same(const mt_safetensors *a, const mt_safetensors *b) {
    FUZZ_CHECK(a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        const mt_tensor *x = &a->tensors[i].tensor, *y = mt_safetensors_find(b, a->tensors[i].name);
        FUZZ_CHECK(y && x->dtype == y->dtype && mt_tensor_same_shape(x, y));
        size_t bytes = mt_tensor_bytes(x);
        FUZZ_CHECK(bytes == 0 || memcmp(x->data, y->data, bytes) == 0);
    }
}

static void write_again(const mt_safetensors *file) {
    void *data = NULL;
    size_t bytes = 0;
    mt_safetensors again;
    mt_status status =
        mt_safetensors_encode(file->tensors, file->count, file->metadata, file->metadata_count, &data, &bytes);
    if (status == MT_INVALID_ARGUMENT) return;   // a tensor without a name can be read but is not written
    FUZZ_CHECK(status == MT_OK);
    FUZZ_CHECK(mt_safetensors_decode(data, bytes, "again", &again) == MT_OK);
    check_same(file, &again);
    mt_safetensors_fini(&again);
    free(data);
}

static void decode(const uint8_t *data, size_t bytes) {
    mt_safetensors file;
    uint8_t *copy = fuzz_copy(data, bytes);
    mt_status status = mt_safetensors_decode(copy, bytes, "fuzz", &file);
    FUZZ_CHECK(status == MT_OK || status == MT_CORRUPT || status == MT_UNSUPPORTED);
    if (status == MT_OK) write_again(&file);
    mt_safetensors_fini(&file);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    decode(data, bytes);
    const uint8_t *newline = bytes ? memchr(data, '\n', bytes) : NULL;
    if (!newline) return 0;
    uint64_t header = (uint64_t)(newline - data);
    uint8_t *file = malloc(8 + bytes);
    FUZZ_CHECK(file != NULL);
    memcpy(file, &header, 8);
    memcpy(file + 8, data, header);
    memcpy(file + 8 + header, newline + 1, bytes - header - 1);
    decode(file, 8 + bytes - 1);
    free(file);
    return 0;
}
