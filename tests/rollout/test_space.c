// Spaces: what is accepted, what is refused and why.
#include <math.h>

#include "fixture.h"
#include "rollout/space.h"

static manta_space box(int64_t n, const float *low, const float *high) {
    return (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = MANTA_F32, .ndim = 1, .shape = {n},
        .low = low, .high = high};
}

static void refuses(const manta_space *space, mt_status expected, const char *words) {
    mt_space out;
    mt_status status = mt_space_init(&out, space, "space");
    cr_expect(status == expected, "%s: got %s", words, mt_status_name(status));
    cr_expect(strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
    cr_expect(out.count == 0 && !out.low);
}

Test(space, box_keeps_shape_and_bounds) {
    const float low[2] = {-1, -INFINITY}, high[2] = {1, 3};
    manta_space given = box(2, low, high);
    mt_space out;
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK, "%s", mt_last_error());
    cr_expect(out.count == 2 && out.bytes == 8 && out.ndim == 1 && out.logits == 0 && !out.bounded);
    cr_expect(out.low[1] == -INFINITY && out.high[1] == 3);
    char text[64];
    mt_space_format(&out, text, sizeof text);
    cr_expect_str_eq(text, "Box(2) f32");
    mt_space_fini(&out);
    given = box(3, NULL, NULL);
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK);
    cr_expect(out.low[2] == -INFINITY && out.high[2] == INFINITY);
    mt_space_fini(&out);
}

Test(space, discrete_kinds_count_their_logits) {
    const int64_t nvec[3] = {2, 5, 3};
    manta_space given = {.struct_size = sizeof given, .kind = MANTA_SPACE_MULTI_DISCRETE, .dtype = MANTA_I32, .ndim = 1, .shape = {3},
        .nvec = nvec};
    mt_space out;
    char text[64];
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK, "%s", mt_last_error());
    cr_expect(out.count == 3 && out.logits == 10 && out.bytes == 12);
    mt_space_format(&out, text, sizeof text);
    cr_expect_str_eq(text, "MultiDiscrete(2, 5, 3)");
    mt_space_fini(&out);
    given.kind = MANTA_SPACE_MULTI_BINARY, given.nvec = NULL;
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK, "%s", mt_last_error());
    cr_expect(out.logits == 6 && out.nvec[2] == 2);
    mt_space_fini(&out);
    given.kind = MANTA_SPACE_DISCRETE, given.ndim = 0, given.nvec = nvec + 1;
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK, "%s", mt_last_error());
    cr_expect(out.logits == 5 && out.count == 1);
    mt_space_format(&out, text, sizeof text);
    cr_expect_str_eq(text, "Discrete(5)");
    mt_space_fini(&out);
}

Test(space, format_stays_inside_its_bytes) {
    int64_t nvec[40];
    for (int i = 0; i < 40; i++) nvec[i] = INT64_C(1000000) + i;
    manta_space given = {.struct_size = sizeof given, .kind = MANTA_SPACE_MULTI_DISCRETE, .dtype = MANTA_I32, .ndim = 1, .shape = {40},
        .nvec = nvec};
    mt_space out;
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK, "%s", mt_last_error());
    for (size_t bytes = 1; bytes < 120; bytes++) {
        char text[128];
        memset(text, '#', sizeof text);
        mt_space_format(&out, text, bytes);
        cr_expect(memchr(text, 0, bytes) && text[bytes] == '#', "%zu bytes", bytes);
    }
    mt_space_fini(&out);
}

Test(space, refusals_say_why) {
    const float low[2] = {0, 2}, high[2] = {1, 1}, nan_low[2] = {NAN, 0};
    const int64_t bad_nvec[1] = {0};
    manta_space s = box(2, low, high);
    refuses(NULL, MT_PLUGIN, "returned NULL");
    refuses(&s, MT_PLUGIN, "low[1] is 2 and high[1] is 1");
    s.low = nan_low;
    refuses(&s, MT_PLUGIN, "low[0] is");
    s = box(0, NULL, NULL);
    refuses(&s, MT_PLUGIN, "shape[0] is 0");
    s = box(INT64_MAX, NULL, NULL);
    refuses(&s, MT_PLUGIN, "shape[0]");
    s.ndim = 2, s.shape[0] = INT64_C(1) << 20, s.shape[1] = INT64_C(1) << 62;
    refuses(&s, MT_PLUGIN, "shape[1]");
    s = box(2, NULL, NULL), s.struct_size = 8;
    refuses(&s, MT_PLUGIN, "struct_size is 8");
    s = box(2, NULL, NULL), s.kind = 99;
    refuses(&s, MT_PLUGIN, "kind 99");
    s.kind = MANTA_SPACE_DICT;
    refuses(&s, MT_UNSUPPORTED, "flatten");
    s = box(2, NULL, NULL), s.dtype = 0;
    refuses(&s, MT_PLUGIN, "dtype 0");
    s = box(2, NULL, NULL), s.ndim = 7;
    refuses(&s, MT_PLUGIN, "ndim is 7");
    s = (manta_space){.struct_size = sizeof s, .kind = MANTA_SPACE_DISCRETE, .dtype = MANTA_I32};
    refuses(&s, MT_PLUGIN, "nvec is NULL");
    s.nvec = bad_nvec;
    refuses(&s, MT_PLUGIN, "nvec[0] is 0");
    s.dtype = MANTA_F32;
    refuses(&s, MT_PLUGIN, "hold MANTA_I32");
}
