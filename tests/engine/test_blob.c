// engine/base/blob: what is put comes back, and whatever else is asked for or done to the bytes is told.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/blob.h"

static const uint64_t counter = UINT64_MAX;
static const float returns[3] = {1.5f, -0.0f, INFINITY};
static const double mean = 0.1;
static const uint8_t bytes_in[4] = {0, 255, 1, 2};

static void put_all(mt_blob *blob) {
    mt_blob_put_u64(blob, "counter", &counter, 1);
    mt_blob_put_f32(blob, "returns", returns, 3);
    mt_blob_put_f64(blob, "mean", &mean, 1);
    mt_blob_put_text(blob, "env", "CartPole-v1");
    mt_blob_put_u8(blob, "bytes", bytes_in, 4);
    mt_blob_put_i32(blob, "none", NULL, 0);
    cr_assert_eq(mt_blob_finish(blob), MT_OK);
}

static mt_status get_all(const void *data, size_t bytes) {
    uint64_t u = 0;
    float f[3] = {0};
    double d = 0;
    char text[16] = "";
    const void *view = NULL;
    size_t count = 9;
    mt_blob_reader r = mt_blob_read(data, bytes, "rng.blob");
    mt_blob_get_u64(&r, "counter", &u, 1);
    mt_blob_get_f32(&r, "returns", f, 3);
    mt_blob_get_f64(&r, "mean", &d, 1);
    mt_blob_get_text(&r, "env", text, sizeof text);
    mt_blob_view(&r, "bytes", MT_U8, &view, &count);
    if (r.status == MT_OK) {
        cr_assert_eq(count, 4);
        cr_assert_eq(memcmp(view, bytes_in, 4), 0);
        cr_assert(u == counter && d == mean && memcmp(f, returns, sizeof f) == 0);
        cr_assert_str_eq(text, "CartPole-v1");
    }
    mt_blob_get_i32(&r, "none", NULL, 0);
    return mt_blob_end(&r);
}

Test(blob, what_is_put_comes_back) {
    mt_blob blob = {0};
    put_all(&blob);
    cr_assert_eq(get_all(blob.data, blob.bytes), MT_OK, "%s", mt_last_error());
    mt_blob_fini(&blob);
    cr_assert_null(blob.data);
    cr_assert_eq(mt_blob_finish(&blob), MT_OK, "an empty one is one too");
    mt_blob_reader r = mt_blob_read(blob.data, blob.bytes, "empty");
    cr_assert_eq(mt_blob_end(&r), MT_OK, "%s", mt_last_error());
    mt_blob_fini(&blob);
}

Test(blob, every_other_length_is_told) {
    mt_blob blob = {0};
    put_all(&blob);
    for (size_t length = 0; length <= blob.bytes + 1; length++) {
        uint8_t *cut = calloc(1, length ? length : 1);   // exactly sized, for AddressSanitizer
        memcpy(cut, blob.data, length < blob.bytes ? length : blob.bytes);
        cr_assert_eq(get_all(cut, length), length == blob.bytes ? MT_OK : MT_CORRUPT, "length %zu", length);
        free(cut);
    }
    mt_blob_fini(&blob);
}

// Values may change, and then only they; tags, types and counts are guarded.
Test(blob, flipped_bits_lead_nowhere) {
    mt_blob blob = {0};
    mt_blob_put_u64(&blob, "counter", &counter, 1);
    mt_blob_put_f32(&blob, "returns", returns, 3);
    cr_assert_eq(mt_blob_finish(&blob), MT_OK);
    for (size_t bit = 0; bit < 8 * blob.bytes; bit++) {
        blob.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        uint64_t u;
        float f[3];
        mt_blob_reader r = mt_blob_read(blob.data, blob.bytes, "flipped");
        mt_blob_get_u64(&r, "counter", &u, 1);
        mt_blob_get_f32(&r, "returns", f, 3);
        mt_status status = mt_blob_end(&r);
        cr_assert(status == MT_OK || status == MT_CORRUPT);
        cr_assert_leq(r.at, blob.bytes);
        blob.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    mt_blob_fini(&blob);
}

Test(blob, the_wrong_question_is_told_and_stays_told) {
    mt_blob blob = {0};
    put_all(&blob);
    uint64_t u = 7;
    uint32_t small = 7;
    mt_blob_reader r = mt_blob_read(blob.data, blob.bytes, "rng.blob");
    cr_assert_eq(mt_blob_get_u64(&r, "count", &u, 1), MT_CORRUPT);
    cr_assert(
        strstr(mt_last_error(), "rng.blob: \"count\" expected at byte 8, found \"counter\""), "%s", mt_last_error());
    cr_assert_eq(mt_blob_get_u64(&r, "counter", &u, 1), MT_CORRUPT, "the first failure stays");
    cr_assert_eq(mt_blob_end(&r), MT_CORRUPT);
    cr_assert_eq(u, 7, "outputs are untouched");

    r = mt_blob_read(blob.data, blob.bytes, "rng.blob");
    cr_assert_eq(mt_blob_get_u32(&r, "counter", &small, 1), MT_CORRUPT);
    cr_assert(strstr(mt_last_error(), "U64, U32 expected"), "%s", mt_last_error());
    r = mt_blob_read(blob.data, blob.bytes, "rng.blob");
    cr_assert_eq(mt_blob_get_u64(&r, "counter", &u, 2), MT_CORRUPT);
    cr_assert(strstr(mt_last_error(), "1 elements, 2 expected"), "%s", mt_last_error());
    r = mt_blob_read(blob.data, blob.bytes, "rng.blob");
    cr_assert_eq(mt_blob_end(&r), MT_CORRUPT, "left over");
    r = mt_blob_read("something else", 14, "rng.blob");
    cr_assert_eq(mt_blob_end(&r), MT_CORRUPT);
    mt_blob_fini(&blob);
}

Test(blob, texts_fit_or_are_told) {
    mt_blob blob = {0};
    mt_blob_put_text(&blob, "t", "12345");
    mt_blob_put_u8(&blob, "n", (const uint8_t *)"a\0b", 3);
    cr_assert_eq(mt_blob_finish(&blob), MT_OK);
    char out[8] = "";
    mt_blob_reader r = mt_blob_read(blob.data, blob.bytes, "b");
    cr_assert_eq(mt_blob_get_text(&r, "t", out, 5), MT_CORRUPT);
    r = mt_blob_read(blob.data, blob.bytes, "b");
    cr_assert_eq(mt_blob_get_text(&r, "t", out, 6), MT_OK);
    cr_assert_str_eq(out, "12345");
    cr_assert_eq(mt_blob_get_text(&r, "n", out, sizeof out), MT_CORRUPT, "a NUL inside");
    mt_blob_fini(&blob);
}
