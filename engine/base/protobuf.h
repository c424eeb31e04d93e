// Protocol Buffers' wire format, written: fields appended to a growable string, messages inside messages. Enough for
// TensorBoard's events and ONNX models, whose libraries would bring C++ and a code generator along. There is no reader.
//
//     mt_text event = {0};
//     mt_protobuf_double(&event, 1, wall_time);
//     size_t summary = mt_protobuf_begin(&event, 5);     // fields from here on are the inner message's
//     ...
//     mt_protobuf_end(&event, summary);
//     MT_TRY(mt_text_status(&event));
//
// On the wire (https://protobuf.dev/programming-guides/encoding), all little-endian:
//     field    = varint(number << 3 | type), then  0: a varint   1: 8 bytes   2: a varint's count of bytes   5: 4 bytes
//     varint   = 7 bits a byte, the lowest first, the top bit set in all but the last
#ifndef MANTA_ENGINE_BASE_PROTOBUF_H
#define MANTA_ENGINE_BASE_PROTOBUF_H

#include "engine/base/text.h"

#ifdef __cplusplus
extern "C" {
#endif

void mt_protobuf_varint(mt_text *out, unsigned field, uint64_t value);   // int32, int64, uint64, bool, enum
void mt_protobuf_double(mt_text *out, unsigned field, double value);
void mt_protobuf_float(mt_text *out, unsigned field, float value);
void mt_protobuf_bytes(mt_text *out, unsigned field, const void *data, size_t bytes);
void mt_protobuf_string(mt_text *out, unsigned field, const char *string);

// What is appended between them is a message in `field`. end moves it to make room for its length. Inner ones end first.
size_t mt_protobuf_begin(mt_text *out, unsigned field);
void mt_protobuf_end(mt_text *out, size_t begun);

// `bytes` bytes of value, the lowest first: what fixed fields and a framing are made of
void mt_put_little_endian(void *out, uint64_t value, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
