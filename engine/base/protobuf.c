// Protocol Buffers' wire format: see protobuf.h. Pure functions of their arguments; any thread.
#include "engine/base/protobuf.h"

#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_LENGTH = 2, WIRE_32BIT = 5 };
enum { VARINT_BYTES = 10 };   // of 64 bits

static size_t encode_varint(uint64_t value, char out[VARINT_BYTES]) {
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) out[n++] = (char)((value & 0x7f) | 0x80);
    out[n++] = (char)value;
    return n;
}

static void put_varint(mt_text *out, uint64_t value) {
    char bytes[VARINT_BYTES];
    mt_text_append_bytes(out, bytes, encode_varint(value, bytes));
}

static void put_key(mt_text *out, unsigned field, unsigned wire_type) { put_varint(out, (uint64_t)field << 3 | wire_type); }

void mt_put_little_endian(void *out, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) ((unsigned char *)out)[i] = (unsigned char)(value >> (8 * i));
}

static void put_fixed(mt_text *out, uint64_t value, size_t bytes) {
    char fixed[8];
    mt_put_little_endian(fixed, value, bytes);
    mt_text_append_bytes(out, fixed, bytes);
}

void mt_protobuf_varint(mt_text *out, unsigned field, uint64_t value) {
    put_key(out, field, WIRE_VARINT);
    put_varint(out, value);
}

void mt_protobuf_double(mt_text *out, unsigned field, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(out, field, WIRE_64BIT);
    put_fixed(out, bits, 8);
}

void mt_protobuf_float(mt_text *out, unsigned field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(out, field, WIRE_32BIT);
    put_fixed(out, bits, 4);
}

void mt_protobuf_bytes(mt_text *out, unsigned field, const void *data, size_t bytes) {
    put_key(out, field, WIRE_LENGTH);
    put_varint(out, bytes);
    mt_text_append_bytes(out, data, bytes);
}

void mt_protobuf_string(mt_text *out, unsigned field, const char *string) { mt_protobuf_bytes(out, field, string, strlen(string)); }

size_t mt_protobuf_begin(mt_text *out, unsigned field) {
    put_key(out, field, WIRE_LENGTH);
    return out->length;
}

void mt_protobuf_end(mt_text *out, size_t begun) {
    char bytes[VARINT_BYTES];
    if (out->failed) return;
    size_t inside = out->length - begun, n = encode_varint(inside, bytes);
    mt_text_append_bytes(out, bytes, n);   // room, which the message then moves into
    if (out->failed) return;
    memmove(out->data + begun + n, out->data + begun, inside);
    memcpy(out->data + begun, bytes, n);
}
