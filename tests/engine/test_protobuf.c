// The wire format, byte by byte, from the examples in its documentation.
#include "engine/base/protobuf.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void expect(mt_text *got, const char *bytes, size_t count) {
    cr_assert_eq(mt_text_status(got), MT_OK);
    cr_expect_eq(got->length, count, "%zu bytes instead of %zu", got->length, count);
    cr_expect_eq(memcmp(got->data, bytes, count), 0);
    mt_text_fini(got);
}
#define EXPECT(got, bytes) expect(got, bytes, sizeof bytes - 1)

Test(protobuf, varints) {
    mt_text out = {0};
    mt_protobuf_varint(&out, 1, 150);
    mt_protobuf_varint(&out, 2, 0);
    mt_protobuf_varint(&out, 16, 127);
    mt_protobuf_varint(&out, 3, (uint64_t)-2);   // an int64 below zero takes ten bytes
    EXPECT(&out, "\x08\x96\x01" "\x10\x00" "\x80\x01\x7f" "\x18\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
}

Test(protobuf, fixed_fields_and_strings) {
    mt_text out = {0};
    mt_protobuf_float(&out, 1, 1.0f);
    mt_protobuf_double(&out, 2, -2.0);
    mt_protobuf_string(&out, 2, "testing");
    mt_protobuf_bytes(&out, 3, "\0\1", 2);
    EXPECT(&out, "\x0d\x00\x00\x80\x3f" "\x11\x00\x00\x00\x00\x00\x00\x00\xc0" "\x12\x07testing" "\x1a\x02\x00\x01");
}

Test(protobuf, messages_inside_messages) {
    mt_text out = {0};
    size_t outer = mt_protobuf_begin(&out, 3);
    mt_protobuf_varint(&out, 1, 150);
    size_t empty = mt_protobuf_begin(&out, 4);
    mt_protobuf_end(&out, empty);
    size_t inner = mt_protobuf_begin(&out, 2);
    mt_protobuf_varint(&out, 1, 1);
    mt_protobuf_end(&out, inner);
    mt_protobuf_end(&out, outer);
    mt_protobuf_varint(&out, 5, 5);
    EXPECT(&out, "\x1a\x09" "\x08\x96\x01" "\x22\x00" "\x12\x02\x08\x01" "\x28\x05");
}

// a length of two bytes moves what is behind it
Test(protobuf, a_long_message_keeps_its_bytes) {
    char text[300];
    mt_text out = {0};
    memset(text, 'x', sizeof text - 1), text[sizeof text - 1] = 0, text[0] = 'a', text[298] = 'z';
    size_t outer = mt_protobuf_begin(&out, 1);
    mt_protobuf_string(&out, 1, text);
    mt_protobuf_end(&out, outer);
    cr_assert_eq(out.length, 3 + 3 + 299);
    cr_expect_eq(memcmp(out.data, "\x0a\xae\x02\x0a\xab\x02", 6), 0);
    cr_expect_eq(memcmp(out.data + 6, text, 299), 0);
    mt_text_fini(&out);
}
