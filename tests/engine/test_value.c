// Values on the wire: what is encoded comes back, in its one size; anything else is refused. The constructors and
// mt_arg_check.
#include <criterion/criterion.h>
#include <string.h>
#include "engine/runtime/value.h"

static _Alignas(16) char wire[65536];
static const manta_ref some_ref = {.owner = 3, .slot = 7, .serial = 99};

// encodes and decodes; the bytes around the value must stay as they are
static manta_value round_trip(manta_arg arg) {
    mt_value value;
    size_t bytes = mt_value_encoded_bytes(&arg), used;
    cr_assert_eq(mt_arg_check(&arg), MT_OK, "%s", mt_last_error());
    cr_assert_eq(bytes % 16, 0);
    memset(wire, 0x5a, sizeof wire);
    mt_value_encode(&arg, wire);
    for (size_t i = bytes; i < bytes + 64; i++) cr_assert_eq(wire[i], 0x5a, "wrote behind the end");
    cr_assert_eq(mt_value_decode(wire, bytes + 64, &value, &used), MT_OK, "%s", mt_last_error());
    cr_assert_eq(used, bytes);
    mt_value_head head = mt_value_head_of(&arg);
    cr_assert_arr_eq(&head, value.head, sizeof head);
    if (value.head->form == MT_VALUE_FROM) return (manta_value){0};
    cr_assert_eq((uintptr_t)value.payload % 16, 0);
    // one byte less is not enough
    cr_assert_eq(mt_value_decode(wire, bytes - 1, &value, &used), MT_CORRUPT);
    cr_assert_eq(mt_value_decode(wire, bytes, &value, &used), MT_OK);
    manta_value view = mt_value_view(&value, value.payload);
    cr_assert_eq(view.type, arg.value.type);
    cr_assert_eq(view.ndim, arg.value.ndim);
    cr_assert_eq(view.bytes, arg.value.bytes);
    cr_assert_arr_eq(view.shape, arg.value.shape, sizeof view.shape);
    // what pads it is zero, so that equal values are equal bytes
    for (const char *p = (const char *)(value.shape + view.ndim); p < (const char *)value.payload; p++)
        cr_assert_eq(*p, 0);
    for (const char *p = (const char *)view.data + view.bytes; p < wire + bytes; p++) cr_assert_eq(*p, 0);
    return view;
}

Test(value, scalars_come_back) {
    cr_assert_eq(*(const int64_t *)round_trip(manta_i64(INT64_MIN)).data, INT64_MIN);
    cr_assert_eq(*(const double *)round_trip(manta_f64(-0.125)).data, -0.125);
    cr_assert_arr_eq(round_trip(manta_reference(some_ref)).data, &some_ref, sizeof some_ref);
    cr_assert_arr_eq(round_trip(manta_handle((manta_actor){some_ref})).data, &some_ref, sizeof some_ref);
    manta_arg none = {0};
    cr_assert_eq(round_trip(none).bytes, 0);
    cr_assert_eq(mt_value_encoded_bytes(&none), 16);
    manta_arg i = manta_i64(1);
    cr_assert_eq(mt_value_encoded_bytes(&i), 32, "an integer is a head and 16 bytes");
}

Test(value, strings_of_every_length_come_back) {
    char text[100];
    for (size_t length = 0; length < sizeof text; length++) {
        memset(text, 'x', length);
        text[length] = 0;
        manta_value view = round_trip(manta_text(text));
        cr_assert_str_eq((const char *)view.data, text);
        cr_assert_arr_eq(round_trip(manta_bytes(text, length)).data, text, length);
    }
    round_trip(manta_bytes(NULL, 0));
    // a text that is a part of another, without a NUL of its own
    manta_arg part = {.value = {.type = MANTA_TYPE_TEXT, .data = "manta ray", .bytes = 5}};
    cr_assert_str_eq((const char *)round_trip(part).data, "manta");
}

Test(value, tensors_of_every_type_and_rank_come_back) {
    static const int64_t shapes[][MANTA_MAX_DIMS] = {
        {1, 1, 1, 1, 1, 1}, {3, 2, 1, 2, 3, 1}, {2, 0, 3, 1, 1, 1}, {5, 1, 3, 1, 1, 2}};
    static char data[4096];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7 + 1);
    for (int type = MANTA_TYPE_BYTES; type < MANTA_TYPE_COUNT; type++)
        for (int ndim = 0; ndim <= MANTA_MAX_DIMS; ndim++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                manta_value view = round_trip(manta_tensor((manta_type)type, ndim, shapes[s], data));
                uint64_t bytes;
                cr_assert(mt_shape_bytes((manta_type)type, ndim, shapes[s], &bytes) && bytes == view.bytes);
                cr_assert_arr_eq(view.data, data, bytes);
            }
}

Test(value, a_value_that_stands_for_another) {
    manta_arg arg = manta_from(some_ref);
    round_trip(arg);
    mt_value value;
    size_t used;
    cr_assert_eq(mt_value_decode(wire, sizeof wire, &value, &used), MT_OK);
    cr_assert_arr_eq(&value.from, &some_ref, sizeof some_ref);
    cr_assert_eq(value.head->form, MT_VALUE_FROM);
    memset(wire + 16, 0, 16);
    cr_assert_eq(mt_value_decode(wire, sizeof wire, &value, &used), MT_CORRUPT);
}

Test(value, a_value_that_lies_in_a_heap) {
    int64_t shape[] = {1000, 1000, 3};
    manta_arg arg = manta_tensor(MANTA_TYPE_F32, 3, shape, wire);
    mt_value_head head = mt_value_head_of(&arg);
    mt_wire_place place = {.ref = some_ref, .rank = 2};
    mt_value_encode_place(&head, shape, &place, wire);
    mt_value value;
    size_t used;
    cr_assert_eq(mt_value_decode(wire, sizeof wire, &value, &used), MT_OK, "%s", mt_last_error());
    cr_assert_eq(used, mt_value_place_bytes(3));
    cr_assert_eq(value.head->bytes, 12000000);
    cr_assert_arr_eq(&value.place, &place, sizeof place);
    cr_assert_null(value.payload);
    char text[64];
    mt_value_describe(value.head, value.shape, text, sizeof text);
    cr_assert_str_eq(text, "f32[1000,1000,3]");
    // a text whose end a peer has overwritten reads as an empty one
    mt_value_head text_head = {.type = MANTA_TYPE_TEXT, .form = MT_VALUE_PLACE, .bytes = 4};
    mt_value torn = {.head = &text_head};
    cr_assert_eq(mt_value_view(&torn, "abc").bytes, 3);
    cr_assert_eq(mt_value_view(&torn, "abcd").bytes, 0);
    cr_assert_str_eq(mt_value_view(&torn, "abcd").data, "");
    text_head.ndim = 1;
    int64_t three = 3;
    torn.shape = &three;
    cr_assert_eq(mt_value_view(&torn, "abcd").shape[0], 0);
}

Test(value, several_in_a_row) {
    manta_arg args[] = {
        manta_i64(1), manta_text("two"), manta_from(some_ref), {.resolve = 0}, manta_vector(MANTA_TYPE_U8, 3, "abc")};
    enum { COUNT = sizeof args / sizeof *args };
    mt_value values[COUNT + 1];
    size_t at = 0;
    for (int i = 0; i < COUNT; i++) {
        mt_value_encode(&args[i], wire + at);
        at += mt_value_encoded_bytes(&args[i]);
    }
    cr_assert_eq(mt_values_decode(wire, at, COUNT, values), MT_OK, "%s", mt_last_error());
    cr_assert_str_eq((const char *)values[1].payload, "two");
    cr_assert_arr_eq(values[4].payload, "abc", 3);
    cr_assert_eq(mt_values_decode(wire, at, COUNT - 1, values), MT_CORRUPT);
    cr_assert_eq(mt_values_decode(wire, at, COUNT + 1, values), MT_CORRUPT);
    cr_assert_eq(mt_values_decode(wire, at - 16, COUNT, values), MT_CORRUPT);
    cr_assert_eq(mt_values_decode(NULL, 0, 0, values), MT_OK);
}

static void refused(mt_value_head head, const int64_t *shape) {
    mt_value value;
    size_t used = 1;
    memset(wire, 1, sizeof wire);
    memcpy(wire, &head, sizeof head);
    if (shape) memcpy(wire + 16, shape, head.ndim * sizeof *shape);
    cr_expect_eq(mt_value_decode(wire, 4096, &value, &used), MT_CORRUPT,
        "type %d ndim %d form %d encoded %u bytes %llu", head.type, head.ndim, head.form, head.encoded_bytes,
        (unsigned long long)head.bytes);
    cr_expect_eq(used, 0);
}

Test(value, hostile_heads_are_refused) {
    enum { F32 = MANTA_TYPE_F32, I64 = MANTA_TYPE_I64, TEXT = MANTA_TYPE_TEXT, BYTES = MANTA_TYPE_BYTES };
    refused((mt_value_head){.type = MANTA_TYPE_COUNT, .encoded_bytes = 16}, NULL);
    refused((mt_value_head){.type = I64, .ndim = 7, .encoded_bytes = 80, .bytes = 8}, NULL);
    refused((mt_value_head){.type = I64, .form = MT_VALUE_FORM_COUNT, .encoded_bytes = 32, .bytes = 8}, NULL);
    refused((mt_value_head){.type = I64, .spare = 1, .encoded_bytes = 32, .bytes = 8}, NULL);
    refused((mt_value_head){.type = I64, .encoded_bytes = 16, .bytes = 8}, NULL);
    refused((mt_value_head){.type = I64, .encoded_bytes = 0, .bytes = 8}, NULL);
    refused((mt_value_head){.type = I64, .encoded_bytes = 48, .bytes = 8}, NULL);
    refused((mt_value_head){.type = I64, .encoded_bytes = 32, .bytes = 16}, NULL);
    refused((mt_value_head){.type = I64, .encoded_bytes = 32, .bytes = 4}, NULL);
    refused((mt_value_head){.type = BYTES, .encoded_bytes = 8192, .bytes = 8176}, NULL);
    refused((mt_value_head){.type = BYTES, .encoded_bytes = 16, .bytes = UINT64_MAX}, NULL);
    refused((mt_value_head){.type = BYTES, .encoded_bytes = 32, .bytes = UINT64_MAX - 15}, NULL);
    refused((mt_value_head){.type = TEXT, .encoded_bytes = 16}, NULL);
    refused((mt_value_head){.type = TEXT, .encoded_bytes = 32, .bytes = 4}, NULL); // no NUL
    refused((mt_value_head){.type = TEXT, .form = MT_VALUE_PLACE, .encoded_bytes = 48}, NULL);
    refused((mt_value_head){.type = TEXT, .form = MT_VALUE_PLACE, .encoded_bytes = 48, .bytes = 1ull << 63}, NULL);
    refused((mt_value_head){.encoded_bytes = 32, .bytes = 1}, NULL);
    refused((mt_value_head){.ndim = 1, .encoded_bytes = 32}, (int64_t[]){0});
    refused((mt_value_head){.type = F32, .ndim = 1, .encoded_bytes = 48, .bytes = 8}, (int64_t[]){-2});
    refused((mt_value_head){.type = F32, .ndim = 2, .encoded_bytes = 48, .bytes = 16}, (int64_t[]){-2, -2});
    refused((mt_value_head){.type = F32, .ndim = 2, .encoded_bytes = 48, .bytes = 16}, (int64_t[]){2, 3});
    refused(
        (mt_value_head){.type = F32, .ndim = 2, .encoded_bytes = 32}, (int64_t[]){INT64_C(1) << 40, INT64_C(1) << 40});
    refused((mt_value_head){.type = F32, .ndim = 1, .form = MT_VALUE_PLACE, .encoded_bytes = 64, .bytes = 5},
        (int64_t[]){1});
    refused((mt_value_head){.type = F32, .form = MT_VALUE_FROM, .encoded_bytes = 32, .bytes = 4}, NULL);
    refused((mt_value_head){.form = MT_VALUE_FROM, .encoded_bytes = 48}, NULL);
    mt_value value;
    size_t used;
    for (size_t bytes = 0; bytes < 16; bytes++) cr_expect_eq(mt_value_decode(wire, bytes, &value, &used), MT_CORRUPT);
    manta_arg one = manta_i64(1);
    mt_value_encode(&one, wire);
    memmove(wire + 4, wire, 32);
    cr_expect_eq(mt_value_decode(wire + 4, 32, &value, &used), MT_CORRUPT);
}

static void wrong(manta_arg arg, const char *message) {
    cr_expect_eq(mt_arg_check(&arg), MT_INVALID_ARGUMENT, "%s", message);
    cr_expect(strstr(mt_last_error(), message), "\"%s\" is not in \"%s\"", message, mt_last_error());
}

Test(value, arguments_are_checked) {
    int64_t two[] = {2, 2}, negative[] = {2, -1}, huge[] = {INT64_C(1) << 62, 4}, many[9] = {1};
    float data[4] = {0};
    manta_ref refs[2] = {some_ref, {0}};
    wrong(manta_text(NULL), "text: its data is NULL");
    wrong(manta_bytes(NULL, 3), "bytes: its data is NULL");
    wrong(manta_tensor(MANTA_TYPE_F32, 2, two, NULL), "f32[2,2]: its data is NULL");
    wrong(manta_tensor(MANTA_TYPE_I64, 0, NULL, NULL), "i64: its data is NULL");
    wrong(manta_tensor(MANTA_TYPE_F32, 2, NULL, data), "not negative");
    wrong(manta_tensor(MANTA_TYPE_F32, 2, negative, data), "f32[2,-1]");
    wrong(manta_tensor(MANTA_TYPE_F32, 2, huge, data), "2^63");
    wrong(manta_tensor(MANTA_TYPE_F32, 7, many, data), "7 dimensions");
    wrong(manta_tensor(MANTA_TYPE_F32, -1, two, data), "-1 dimensions");
    wrong(manta_tensor((manta_type)99, 2, two, data), "99 is not a type");
    wrong(manta_tensor(MANTA_TYPE_NONE, 1, two, data), "neither shape");
    wrong(manta_reference((manta_ref){0}), "reference 0 of 1 is empty");
    wrong(manta_handle((manta_actor){{0}}), "actor 0 of 1 is empty");
    wrong(manta_references(refs, 2), "reference 1 of 2 is empty");
    wrong(manta_from((manta_ref){0}), "manta_from");
    manta_arg odd = manta_tensor(MANTA_TYPE_F32, 2, two, data);
    odd.value.bytes = 15;
    wrong(odd, "16 bytes, not 15");
    manta_arg fine = manta_references(refs, 1), empty = manta_vector(MANTA_TYPE_F32, 0, NULL);
    cr_expect_eq(mt_arg_check(&fine), MT_OK);
    cr_expect_eq(mt_arg_check(&empty), MT_OK);
    mt_value_head head = mt_value_head_of(&fine);
    cr_expect_eq(mt_value_ref_count(&head), 1);
    head = mt_value_head_of(&empty);
    cr_expect_eq(mt_value_ref_count(&head), 0);
}

Test(value, descriptions_and_names) {
    char text[64];
    mt_value_head head = {.type = MANTA_TYPE_F32, .ndim = 2};
    mt_value_describe(&head, (int64_t[]){5, 2}, text, sizeof text);
    cr_expect_str_eq(text, "f32[5,2]");
    for (size_t room = 1; room < 9; room++) {
        memset(text, 'z', sizeof text);
        mt_value_describe(&head, (int64_t[]){5, 2}, text, room);
        cr_expect(
            strlen(text) < room && strncmp(text, "f32[5,2]", strlen(text)) == 0 && text[room] == 'z', "%zu", room);
    }
    head = (mt_value_head){.type = 200};
    mt_value_describe(&head, NULL, text, sizeof text);
    cr_expect_str_eq(text, "?");
    cr_expect_str_eq(manta_code_name(MANTA_ACTOR_DIED), "ACTOR_DIED");
    cr_expect_str_eq(manta_code_name(-1), "?");
    cr_expect_str_eq(manta_code_name(MANTA_CODE_COUNT), "?");
}
