// Bytes into floats: every value, every length round the vectors' ends, nothing beyond.
#include "rollout/pixels.h"

#include <criterion/criterion.h>

enum { MOST = 530, GUARD = 8 };

static void converts(void (*convert)(int64_t, const uint8_t *, float *), int64_t count, int unit) {
    static uint8_t in[MOST];
    static float out[MOST + GUARD];
    for (int i = 0; i < MOST; i++) in[i] = (uint8_t)(i * 41 + 3 + count);
    for (int i = 0; i < MOST + GUARD; i++) out[i] = -7;
    convert(count, in, out);
    for (int64_t i = 0; i < count; i++) {
        float expected = unit ? (float)in[i] / 255.0f : (float)in[i];
        if (out[i] != expected) cr_assert_fail("%d of %d: %a, not %a", (int)i, (int)count, (double)out[i], (double)expected);
    }
    for (int64_t i = count; i < MOST + GUARD; i++) cr_assert_eq(out[i], -7, "written behind %d", (int)count);
}

Test(pixels, all_lengths) {
    for (int64_t count = 0; count < 70; count++) converts(mt_pixels_plain, count, 0), converts(mt_pixels_unit, count, 1);
    converts(mt_pixels_plain, MOST, 0);
}

Test(pixels, all_256_values_are_what_a_division_gives) {
    uint8_t in[256 + 1];
    float out[256 + 1];
    for (int first = 0; first < 2; first++) {   // by vectors and one by one
        for (int i = 0; i < 256; i++) in[i] = (uint8_t)i;
        if (first == 0) mt_pixels_unit(256, in, out);
        else for (int i = 0; i < 256; i++) mt_pixels_unit(1, in + i, out + i);
        for (int i = 0; i < 256; i++) cr_expect_eq(out[i], (float)i / 255.0f, "%d: %a", i, (double)out[i]);
    }
}

Test(pixels, lanes_are_interleaved) {
    enum { STRIDE = 40 };
    float block[4 * STRIDE], out[STRIDE * 7 + GUARD];
    for (int i = 0; i < 4 * STRIDE; i++) block[i] = (float)i;
    for (int lanes = 1; lanes <= 4; lanes++)
        for (int64_t pixels = 0; pixels <= 19; pixels++) {
            for (int i = 0; i < STRIDE * 7 + GUARD; i++) out[i] = -7;
            mt_pixels_interleave(lanes, pixels, block, STRIDE, out, 7);
            for (int64_t i = 0; i < STRIDE * 7 + GUARD; i++) {
                int inside = i / 7 < pixels && i % 7 < lanes;
                float expected = inside ? (float)(i % 7 * STRIDE + i / 7) : -7;
                if (out[i] != expected) cr_assert_fail("%d lanes, %d pixels, %d: %g", lanes, (int)pixels, (int)i, (double)out[i]);
            }
        }
}
