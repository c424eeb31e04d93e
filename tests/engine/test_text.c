// text.h: growable string, strict numbers, nearest word.
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/option.h"
#include "engine/base/rng.h"
#include "engine/base/text.h"

Test(text, grows) {
    mt_text text = {0};
    cr_assert_str_eq(mt_text_str(&text), "");
    for (int i = 0; i < 1000; i++) mt_text_printf(&text, "%d,", i % 10);
    mt_text_append(&text, "end");
    mt_text_append_bytes(&text, "", 0);
    cr_assert_eq(text.length, 2003);
    cr_assert_str_eq(mt_text_str(&text) + 1998, "9,end");
    cr_assert_eq(mt_text_status(&text), MT_OK);
    mt_text_clear(&text);
    cr_assert_str_eq(mt_text_str(&text), "");
    mt_text_fini(&text);
    cr_assert_null(text.data);
}

Test(text, keeps_a_failure) {
    mt_text text = {0};
    mt_text_append_bytes(&text, "x", SIZE_MAX / 2);
    mt_text_append(&text, "y");
    cr_assert_eq(mt_text_status(&text), MT_NO_MEMORY);
    cr_assert_str_eq(mt_text_str(&text), "");
    mt_text_fini(&text);
}

Test(text, nearest) {
    static const char *const envs[] = {"CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1", "Acrobot-v1"};
    static const struct {
        const char *word, *expected;
    } cases[] = {
        {"CartPole-v0", "CartPole-v1"}, {"cartpole-v1", "CartPole-v1"}, {"cartpole", "CartPole-v1"},
        {"CratPole-v1", "CartPole-v1"}, {"Pendulm", "Pendulum-v1"}, {"MountainCar", "MountainCar-v0"},
        {"mountain_car-v0", "MountainCar-v0"}, {"MountainCarContinous-v0", "MountainCarContinuous-v0"},
        {"Breakout", NULL}, {"", NULL}, {"x", NULL}, {"Acrobt", "Acrobot-v1"},
    };
    for (size_t i = 0; i < MT_COUNT(cases); i++) {
        const char *found = mt_text_nearest(cases[i].word, envs, MT_COUNT(envs));
        cr_expect_eq(found == NULL, cases[i].expected == NULL, "%s -> %s", cases[i].word, found ? found : "none");
        if (found && cases[i].expected) cr_expect_str_eq(found, cases[i].expected);
    }
}

Test(text, nearest_takes_a_transposition_for_one_slip) {
    static const char *const list[] = {"batch", "gamma"};
    cr_assert_str_eq(mt_text_nearest("agmma", list, 2), "gamma");
    static const char *const two[] = {"ab", "cd"};
    cr_assert_str_eq(mt_text_nearest("ba", two, 2), "ab");
    cr_assert_null(mt_text_nearest("xy", two, 2));
}

Test(text, nearest_survives_odd_lists) {
    static const char *const list[] = {NULL, "", "ok"};
    cr_assert_str_eq(mt_text_nearest("okk", list, 3), "ok");
    char large[500];
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = 0;
    cr_assert_null(mt_text_nearest(large, list, 3));
    char out[8];
    cr_assert_str_eq(mt_text_did_you_mean(NULL, out, sizeof out), "");
    char wide[64];
    cr_assert_str_eq(mt_text_did_you_mean("a", wide, sizeof wide), "; did you mean \"a\"?");
}

Test(parse, integers) {
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0}, {"-1", -1}, {"+7", 7}, {"1e5", 100000}, {"1E5", 100000}, {"1.5e1", 15}, {"64.0", 64}, {"007", 7},
        {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN}, {"-0", 0}};
    for (size_t i = 0; i < MT_COUNT(good); i++) {
        int64_t value = -99;
        cr_expect_eq(mt_parse_i64(good[i].text, &value), MT_OK, "%s", good[i].text);
        cr_expect_eq(value, good[i].value, "%s", good[i].text);
    }
    static const char *const bad[] = {"", " 1", "1 ", "1x", "x", "0x10", "1_000", "1e", "e5", "1.5", "1e-1", "--1", "+", "-", ".",
        "9223372036854775808", "-9223372036854775809", "1e19", "1e400", "nan", "inf", "1e5.0", "1,5", "１"};
    for (size_t i = 0; i < MT_COUNT(bad); i++) {
        int64_t value = -99;
        cr_expect_eq(mt_parse_i64(bad[i], &value), MT_INVALID_ARGUMENT, "%s", bad[i]);
        cr_expect_eq(value, -99, "%s", bad[i]);
    }
}

Test(parse, floats) {
    static const struct {
        const char *text;
        double value;
    } good[] = {{"0", 0}, {"-1.5", -1.5}, {".5", 0.5}, {"5.", 5}, {"1e-3", 0.001}, {"1e-400", 0}, {"3.0e+2", 300}};
    for (size_t i = 0; i < MT_COUNT(good); i++) {
        double value = -99;
        cr_expect_eq(mt_parse_f64(good[i].text, &value), MT_OK, "%s", good[i].text);
        cr_expect_eq(value, good[i].value, "%s", good[i].text);
    }
    static const char *const bad[] = {"", " 1", "1\n", "nan", "NaN", "inf", "-inf", "1e400", "0x1p3", "1e", "1..2", "1.2.3", "one"};
    for (size_t i = 0; i < MT_COUNT(bad); i++) {
        double value = -99;
        cr_expect_eq(mt_parse_f64(bad[i], &value), MT_INVALID_ARGUMENT, "%s", bad[i]);
        cr_expect_eq(value, -99);
    }
}

Test(parse, truth) {
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "on", "1"}, *const no[] = {"false", "False", "no", "off", "0"};
    bool value = false;
    for (size_t i = 0; i < MT_COUNT(yes); i++) cr_expect(mt_parse_bool(yes[i], &value) == MT_OK && value, "%s", yes[i]);
    for (size_t i = 0; i < MT_COUNT(no); i++) cr_expect(mt_parse_bool(no[i], &value) == MT_OK && !value, "%s", no[i]);
    cr_expect_eq(mt_parse_bool("2", &value), MT_INVALID_ARGUMENT);
    cr_expect_eq(mt_parse_bool("", &value), MT_INVALID_ARGUMENT);
    cr_expect_eq(mt_parse_bool("truex", &value), MT_INVALID_ARGUMENT);
}

Test(format, reads_back_the_same) {
    mt_rng rng = mt_rng_at(1, mt_rng_stream(MT_RNG_USER, 0), 0);
    char text[MT_F64_TEXT_BYTES];
    for (int i = 0; i < 20000; i++) {
        union {
            uint64_t bits;
            double value;
        } u = {mt_rng_u64(&rng)}, back;
        if (!isfinite(u.value)) continue;
        mt_format_f64(u.value, text, sizeof text);
        bool same = mt_parse_f64(text, &back.value) == MT_OK && back.bits == u.bits;
        bool yaml_float = !strchr(text, 'e') || strchr(text, '.');
        if (!same || !yaml_float) cr_assert_fail("%a is written %s", u.value, text);
        float single = (float)mt_rng_normal(&rng) * 1e-3f;
        mt_format_f32(single, text, sizeof text);
        same = mt_parse_f64(text, &back.value) == MT_OK && (float)back.value == single;
        if (!same) cr_assert_fail("%a is written %s", (double)single, text);
    }
    cr_assert_str_eq(mt_format_f64(3e-4, text, sizeof text), "0.0003");
    cr_assert_str_eq(mt_format_f64(1e-5, text, sizeof text), "1.0e-05");
    cr_assert_str_eq(mt_format_f64(-DBL_MAX, text, sizeof text), "-1.7976931348623157e+308");
    cr_assert_str_eq(mt_format_f32(0.1f, text, sizeof text), "0.1");
    cr_assert_str_eq(mt_format_f64((double)NAN, text, sizeof text), ".nan");
    cr_assert_str_eq(mt_format_f64(-(double)INFINITY, text, sizeof text), "-.inf");
}

Test(utf8, well_formed_or_not) {
    static const char *const good[] = {"", "plain", "h\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x9f", "\xef\xbf\xbf"};
    static const char *const bad[] = {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "a\xe2\x82"};
    for (size_t i = 0; i < MT_COUNT(good); i++) cr_expect(mt_text_is_utf8(good[i]), "good %zu", i);
    for (size_t i = 0; i < MT_COUNT(bad); i++) cr_expect(!mt_text_is_utf8(bad[i]), "bad %zu", i);
    cr_expect(mt_text_equal_fold("N-Steps", "n_steps"));
    cr_expect(!mt_text_equal_fold("n_steps", "n_step"));
}
