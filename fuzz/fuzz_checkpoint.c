// Checkpoints: the manifest, and binary records. The input is read as a manifest as it is, as what follows a manifest's
// first line (with a true digest put before it: else nothing would get past that guard), and as a binary record.
#include "engine/base/blob.h"
#include "engine/base/text.h"
#include "fuzz/fuzz.h"
#include "scheduler/checkpoint.h"
#include "scheduler/manifest.h"

static void check_same(const mt_checkpoint *a, const mt_checkpoint *b) {
    FUZZ_CHECK(a->generation == b->generation && a->steps == b->steps && a->file_count == b->file_count);
    FUZZ_CHECK(strcmp(a->build_id, b->build_id) == 0);
    for (size_t i = 0; i < a->file_count; i++) {
        FUZZ_CHECK(strcmp(a->files[i].name, b->files[i].name) == 0 && a->files[i].bytes == b->files[i].bytes);
        FUZZ_CHECK(mt_digest_equal(a->files[i].digest, b->files[i].digest));
        FUZZ_CHECK(mt_checkpoint_check_name(a->files[i].name) == MT_OK && !strchr(a->files[i].name, '/'));
    }
}

static void parse(const char *text, size_t bytes) {
    mt_checkpoint manifest, again;
    mt_text written = {0};
    mt_status status = mt_checkpoint_parse_manifest(text, bytes, "fuzz", &manifest);
    FUZZ_CHECK(status == MT_OK || status == MT_CORRUPT || status == MT_UNSUPPORTED);
    if (status != MT_OK) return;
    FUZZ_CHECK(mt_manifest_encode(&manifest, &written) == MT_OK);
    FUZZ_CHECK(mt_checkpoint_parse_manifest(written.data, written.length, "again", &again) == MT_OK);
    check_same(&manifest, &again);
    mt_checkpoint_fini(&again);
    mt_checkpoint_fini(&manifest);
    mt_text_fini(&written);
}

static void parse_with_digest(const uint8_t *rest, size_t bytes) {
    mt_text text = {0};
    char hex[MT_DIGEST_HEX_BYTES];
    mt_text_printf(&text, "{\"digest\": \"%s\",\n", mt_digest_hex(mt_digest128_of(rest, bytes), hex));
    mt_text_append_bytes(&text, (const char *)rest, bytes);
    char *copy = fuzz_copy(text.data, text.length);
    parse(copy, text.length);
    free(copy);
    mt_text_fini(&text);
}

// The record that fuzz/corpus/fuzz_checkpoint/record.blob holds.
static void read_record(const uint8_t *data, size_t bytes) {
    uint64_t counter;
    float returns[4];
    char name[16];
    const void *view = NULL;
    size_t count = 0;
    uint8_t sum = 0, *copy = fuzz_copy(data, bytes);
    mt_blob_reader reader = mt_blob_read(copy, bytes, "fuzz");
    mt_blob_get_u64(&reader, "counter", &counter, 1);
    mt_blob_get_f32(&reader, "return", returns, 4);
    if (mt_blob_get_text(&reader, "name", name, sizeof name) == MT_OK) FUZZ_CHECK(strlen(name) < sizeof name);
    mt_blob_view(&reader, "state", MT_F64, &view, &count);
    for (size_t i = 0; i < count * sizeof(double); i++) sum = (uint8_t)(sum + ((const uint8_t *)view)[i]);
    mt_status status = mt_blob_end(&reader);
    FUZZ_CHECK(status == reader.status && (status == MT_OK || status == MT_CORRUPT) && reader.at <= bytes);
    __asm__ volatile("" : : "r"(sum));   // the reads above are the test
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    char *copy = fuzz_copy(data, bytes);
    parse(copy, bytes);
    free(copy);
    parse_with_digest(data, bytes);
    read_record(data, bytes);
    return 0;
}
