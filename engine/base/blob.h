// Blob: a small binary record of typed arrays under tags, for state that is no tensor (counters, sequence tables, an
// environment's snapshot) inside checkpoints.
//
//     mt_blob blob = {0};                              mt_blob_reader r = mt_blob_read(data, bytes, "rng.blob");
//     mt_blob_put_u64(&blob, "counter", &counter, 1);  mt_blob_get_u64(&r, "counter", &counter, 1);
//     mt_blob_put_f32(&blob, "return", returns, N);    mt_blob_get_f32(&r, "return", returns, N);
//     MT_TRY(mt_blob_finish(&blob)); ... fini          MT_TRY(mt_blob_end(&r));
//
// The reader asks for the same tags, types and counts in the same order; anything else is MT_CORRUPT, with the source,
// the tag wanted and what is there instead. Both sides keep their first failure, so a chain of calls needs one check at
// the end: a failed get leaves its outputs untouched, and every later one fails with the same status.
//
// Format, little-endian: "MTBLOB1\n", then records (tag length u8, dtype u8, count u64, tag, payload), then a record
// with tag length 0 whose count is the number of records before it. Pure functions over the caller's storage; any
// thread.
#ifndef MANTA_ENGINE_BASE_BLOB_H
#define MANTA_ENGINE_BASE_BLOB_H

#include <stddef.h>
#include <stdint.h>
#include "engine/base/status.h"
#include "engine/base/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_BLOB_MAX_TAG = 63 };   // letters of a tag, 1..63

// The writer. Zero-initialised is empty. After MT_NO_MEMORY later puts do nothing.
typedef struct mt_blob {
    uint8_t *data;             // owned
    size_t bytes, capacity;
    uint64_t records;
    mt_status status;          // first failure of a put
} mt_blob;

// `count` elements of `dtype`. A bad tag or dtype is a programmer's error (asserted). data may be NULL when count is 0.
void mt_blob_put(mt_blob *blob, const char *tag, mt_dtype dtype, const void *data, size_t count);
void mt_blob_put_text(mt_blob *blob, const char *tag, const char *text);      // as U8 without the NUL
// Closes the record: call once, after the last put, before using data and bytes. mt_checkpoint_add_blob does it for
// you.
mt_status mt_blob_finish(mt_blob *blob);
void mt_blob_fini(mt_blob *blob);

// The reader: borrows data and source until it is done with. Errors are kept for the first get or end.
typedef struct mt_blob_reader {
    const uint8_t *data;       // borrowed
    size_t bytes, at;
    uint64_t records;          // read so far
    const char *source;        // borrowed: what messages call it
    mt_status status;          // first failure
} mt_blob_reader;

mt_blob_reader mt_blob_read(const void *data, size_t bytes, const char *source);
// Exactly `count` elements of `dtype` into out (caller's storage; may be NULL when count is 0).
mt_status mt_blob_get(mt_blob_reader *reader, const char *tag, mt_dtype dtype, void *out, size_t count);
// However many there are: a view into the data, NOT aligned for the dtype (memcpy from it), and their number.
mt_status mt_blob_view(mt_blob_reader *reader, const char *tag, mt_dtype dtype, const void **out, size_t *count);
// A text of at most out_bytes - 1 bytes without NUL inside; out is terminated.
mt_status mt_blob_get_text(mt_blob_reader *reader, const char *tag, char *out, size_t out_bytes);
mt_status mt_blob_end(mt_blob_reader *reader);     // MT_CORRUPT when records or bytes are left over

// X(suffix, C type, dtype): typed forms, so that the compiler checks the pointer: mt_blob_put_f32, mt_blob_get_f32, ...
#define MT_BLOB_TYPES(X) X(u8, uint8_t, U8) X(u32, uint32_t, U32) X(u64, uint64_t, U64) X(i32, int32_t, I32)           \
    X(i64, int64_t, I64) X(f32, float, F32) X(f64, double, F64)
#define MT_X(suffix, type, dtype)                                                                                      \
    static inline void mt_blob_put_##suffix(mt_blob *blob, const char *tag, const type *data, size_t count) {          \
        mt_blob_put(blob, tag, MT_##dtype, data, count);                                                               \
    }                                                                                                                  \
    static inline mt_status mt_blob_get_##suffix(mt_blob_reader *reader, const char *tag, type *out, size_t count) {   \
        return mt_blob_get(reader, tag, MT_##dtype, out, count);                                                       \
    }
MT_BLOB_TYPES(MT_X)
#undef MT_X

#ifdef __cplusplus
}
#endif
#endif
