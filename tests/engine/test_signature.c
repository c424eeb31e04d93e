// Signatures: what parses into what, what is refused with which words, and what fits.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "engine/runtime/value.h"

static mt_signature parsed(const char *text) {
    mt_signature signature;
    memset(&signature, 0xee, sizeof signature);
    cr_assert_eq(mt_signature_parse(text, &signature), MT_OK, "\"%s\": %s", text, mt_last_error());
    return signature;
}

Test(signature, nothing_in_and_out) {
    static const char *const empty[] = {"", " ", "->", " -> ", NULL};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        mt_signature s = parsed(empty[i]);
        cr_expect(s.argument_count == 0 && s.result_count == 0 && !s.more);
    }
}

Test(signature, parts) {
    mt_signature s = parsed("i64, f32[n,4,?] ,any,ref[...],bytes -> f32[ n ], text");
    cr_assert_eq(s.argument_count, 5);
    cr_assert_eq(s.result_count, 2);
    cr_expect(s.argument[0].type == MANTA_TYPE_I64 && s.argument[0].ndim == 0 && !s.argument[0].any_type);
    cr_expect(s.argument[1].type == MANTA_TYPE_F32 && s.argument[1].ndim == 3);
    cr_expect(s.argument[1].dim[0].kind == MT_DIM_NAMED && s.argument[1].dim[0].value == 'n');
    cr_expect(s.argument[1].dim[1].kind == MT_DIM_FIXED && s.argument[1].dim[1].value == 4);
    cr_expect(s.argument[1].dim[2].kind == MT_DIM_ANY);
    cr_expect(s.argument[2].any_type && s.argument[2].ndim == -1);
    cr_expect(s.argument[3].type == MANTA_TYPE_REF && s.argument[3].ndim == -1);
    cr_expect(s.argument[4].type == MANTA_TYPE_BYTES && s.argument[4].ndim == 0);
    cr_expect(s.result[0].type == MANTA_TYPE_F32 && s.result[0].ndim == 1);
    cr_expect_eq(s.result[1].type, MANTA_TYPE_TEXT);
    s = parsed("i64, ...");
    cr_expect(s.argument_count == 1 && s.more);
    s = parsed("... -> none");
    cr_expect(s.argument_count == 0 && s.more && s.result_count == 1);
    s = parsed("-> f64[9223372036854775807]");
    cr_expect_eq(s.result[0].dim[0].value, INT64_MAX);
}

Test(signature, mistakes_are_named) {
    static const struct {
        const char *text, *message;
    } bad[] = {{"i64,", "letter 5 (\"\"): a type is missing"}, {",", "a type is missing"},
        {"f33", "did you mean \"f32\""}, {"i64, F32", "letter 6"}, {"f32[]", "a dimension is"},
        {"f32[n", "a ] is missing"}, {"f32[n,]", "a dimension is"}, {"f32[nm]", "one letter"},
        {"f32[-1]", "a dimension is"}, {"f32[N]", "a dimension is"}, {"f32[...,3]", "a ] is missing"},
        {"f32[3,...]", "a dimension is"}, {"f32[9223372036854775808]", "beyond 2^63"},
        {"f32[1,1,1,1,1,1,1]", "at most 6"}, {"i64 f32", "a comma, -> or the end"}, {"..., i64", "... is the last"},
        {"-> ...", "a type is missing"}, {"i64 -> i64 -> i64", "a comma, -> or the end"}, {"none[3]", "no dimensions"},
        {"i64 -> f32, , ", "a type is missing"}, {"- > i64", "a comma, -> or the end"}, {"\xff", "a type is missing"}};
    mt_signature signature;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(mt_signature_parse(bad[i].text, &signature), MT_CONFIG, "\"%s\"", bad[i].text);
        cr_expect(strstr(mt_last_error(), bad[i].message), "\"%s\" is not in: %s", bad[i].message, mt_last_error());
        cr_expect(strstr(mt_last_error(), bad[i].text), "does not quote: %s", mt_last_error());
    }
    char many[40 * 5] = "";
    for (int i = 0; i < 33; i++) strcat(many, i ? ",i64" : "i64");
    cr_expect_eq(mt_signature_parse(many, &signature), MT_CONFIG);
    many[32 * 4 - 1] = 0;
    cr_expect_eq(mt_signature_parse(many, &signature), MT_OK);
    cr_expect_eq(signature.argument_count, 32);
}

// checks these arguments one after the other; the status of the last
static mt_status check(const char *text, int count, const manta_arg *args) {
    mt_signature s = parsed(text);
    mt_binding binding;
    mt_status status = mt_signature_check_count(&s, count, "add");
    mt_binding_init(&binding);
    for (int i = 0; i < count && i < s.argument_count && status == MT_OK; i++) {
        mt_value_head head = mt_value_head_of(&args[i]);
        char what[32];
        snprintf(what, sizeof what, "argument %d", i);
        status = mt_signature_check(&s.argument[i], &head, args[i].value.shape, &binding, "add", what);
    }
    return status;
}
#define CHECK(text, ...)                                                                                               \
    check(text, (int)(sizeof((manta_arg[]){__VA_ARGS__}) / sizeof(manta_arg)), (manta_arg[]){__VA_ARGS__})

static manta_arg tensor(manta_type type, int ndim, int64_t a, int64_t b) {
    static double data[64];
    return manta_tensor(type, ndim, (int64_t[]){a, b}, data);
}

Test(signature, what_fits) {
    manta_ref ref = {.serial = 1};
    cr_expect_eq(CHECK("i64, f64", manta_i64(1), manta_f64(2)), MT_OK);
    cr_expect_eq(CHECK("i64", manta_f64(2)), MT_INVALID_ARGUMENT);
    cr_expect_eq(CHECK("any", manta_f64(2)), MT_OK);
    cr_expect_eq(CHECK("any", tensor(MANTA_TYPE_F32, 2, 3, 3)), MT_OK);
    cr_expect_eq(CHECK("any[3]", tensor(MANTA_TYPE_F32, 2, 3, 3)), MT_INVALID_ARGUMENT);
    cr_expect_eq(CHECK("i64", manta_from(ref)), MT_OK);
    cr_expect_eq(CHECK("ref, actor", manta_reference(ref), manta_handle((manta_actor){ref})), MT_OK);
    cr_expect_eq(CHECK("ref", manta_references(&ref, 1)), MT_INVALID_ARGUMENT);
    cr_expect_eq(CHECK("ref[?]", manta_references(&ref, 1)), MT_OK);
    cr_expect_eq(CHECK("f32", tensor(MANTA_TYPE_F32, 1, 1, 0)), MT_INVALID_ARGUMENT);
    cr_expect_eq(CHECK("f32[...]", tensor(MANTA_TYPE_F32, 0, 0, 0)), MT_OK);
    cr_expect_eq(CHECK("f32[...]", tensor(MANTA_TYPE_F64, 0, 0, 0)), MT_INVALID_ARGUMENT);
    cr_expect_eq(CHECK("f32[n,n]", tensor(MANTA_TYPE_F32, 2, 4, 4)), MT_OK);
    cr_expect_eq(CHECK("f32[n,n]", tensor(MANTA_TYPE_F32, 2, 4, 5)), MT_INVALID_ARGUMENT);
    cr_expect_eq(CHECK("f32[0]", tensor(MANTA_TYPE_F32, 1, 0, 0)), MT_OK);
    cr_expect_eq(CHECK("f32[n], f64[n,z]", tensor(MANTA_TYPE_F32, 1, 4, 0), tensor(MANTA_TYPE_F64, 2, 4, 0)), MT_OK);
    cr_expect_eq(CHECK("text, bytes", manta_text("abc"), manta_bytes("abc", 3)), MT_OK);
    cr_expect_eq(CHECK("text, bytes", tensor(MANTA_TYPE_TEXT, 1, 3, 0), tensor(MANTA_TYPE_BYTES, 1, 3, 0)), MT_OK);
    cr_expect_eq(CHECK("bytes[3], text[3]", manta_bytes("abc", 3), manta_text("abc")), MT_OK);
    cr_expect_eq(CHECK("bytes[4]", manta_bytes("abc", 3)), MT_INVALID_ARGUMENT);
    cr_expect_eq(CHECK("bytes", tensor(MANTA_TYPE_BYTES, 2, 3, 3)), MT_INVALID_ARGUMENT);
    cr_expect_eq(CHECK("text", manta_bytes("abc", 3)), MT_INVALID_ARGUMENT);
}

Test(signature, counts) {
    cr_expect_eq(check("i64", 0, NULL), MT_INVALID_ARGUMENT);
    cr_expect_str_eq(mt_last_error(), "add takes 1 argument, was given 0");
    cr_expect_eq(CHECK("i64", manta_i64(1), manta_i64(2)), MT_INVALID_ARGUMENT);
    cr_expect_eq(CHECK("i64, i64, ...", manta_i64(1)), MT_INVALID_ARGUMENT);
    cr_expect_str_eq(mt_last_error(), "add takes at least 2 arguments, was given 1");
    cr_expect_eq(CHECK("i64, ...", manta_i64(1), manta_text("a"), manta_i64(3)), MT_OK);
}

Test(signature, messages_name_both_sides) {
    cr_expect_eq(CHECK("f64[n], f64[n,?]", tensor(MANTA_TYPE_F64, 1, 4, 0), tensor(MANTA_TYPE_F32, 1, 5, 0)),
        MT_INVALID_ARGUMENT);
    cr_expect_str_eq(mt_last_error(), "add: argument 1 is f32[5], the signature wants f64[n,?] with n = 4");
    cr_expect_eq(CHECK("i64", manta_text("a")), MT_INVALID_ARGUMENT);
    cr_expect_str_eq(mt_last_error(), "add: argument 0 is text, the signature wants i64");
    cr_expect_eq(CHECK("any[2]", manta_i64(1)), MT_INVALID_ARGUMENT);
    cr_expect_str_eq(mt_last_error(), "add: argument 0 is i64, the signature wants any[2]");
    cr_expect_eq(CHECK("i64[...]", manta_text("a")), MT_INVALID_ARGUMENT);
    cr_expect_str_eq(mt_last_error(), "add: argument 0 is text, the signature wants i64[...]");
    cr_expect_eq(CHECK("f32[a,b,a]", tensor(MANTA_TYPE_F32, 2, 3, 3)), MT_INVALID_ARGUMENT);
}
