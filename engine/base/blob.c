// Blobs: typed arrays under tags. Called by whoever saves or restores state, on its thread; the writer owns its memory,
// the reader none. Invariant of the reader: at ≤ bytes, and nothing is read or copied before its whole extent is known
// to lie inside the data.
#include "engine/base/blob.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs are little-endian and copied as they are");

static const char magic[8] = "MTBLOB1\n";
enum { RECORD_BYTES = 1 + 1 + 8 };   // tag length, dtype, count; then tag and payload

// ---- writer ----

// Room for `more` bytes at the end, or the writer's status.
static mt_status reserve(mt_blob *blob, size_t more) {
    if (blob->status != MT_OK) return blob->status;
    size_t need = 0;
    if (__builtin_add_overflow(blob->bytes, more, &need))
        return blob->status = MT_FAIL(NO_MEMORY, "a binary record of more than 2^64 bytes");
    if (need <= blob->capacity) return MT_OK;
    size_t capacity = blob->capacity < 256 ? 256 : blob->capacity;
    while (capacity < need) capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    uint8_t *data = realloc(blob->data, capacity);
    if (!data) return blob->status = MT_FAIL(NO_MEMORY, "no memory for a binary record of %zu bytes", need);
    blob->data = data;
    blob->capacity = capacity;
    return MT_OK;
}

static void append(mt_blob *blob, const void *data, size_t bytes) {
    if (bytes) memcpy(blob->data + blob->bytes, data, bytes);
    blob->bytes += bytes;
}

static void append_record(mt_blob *blob, const char *tag, size_t tag_bytes, mt_dtype dtype, uint64_t count) {
    uint8_t head[2] = {(uint8_t)tag_bytes, (uint8_t)dtype};
    append(blob, head, sizeof head);
    append(blob, &count, sizeof count);
    append(blob, tag, tag_bytes);
}

void mt_blob_put(mt_blob *blob, const char *tag, mt_dtype dtype, const void *data, size_t count) {
    size_t tag_bytes = strlen(tag), payload = 0;
    MT_ASSERT(tag_bytes >= 1 && tag_bytes <= MT_BLOB_MAX_TAG);
    MT_ASSERT((unsigned)dtype < MT_DTYPE_COUNT);
    MT_ASSERT(!__builtin_mul_overflow(count, mt_dtype_bytes(dtype), &payload));
    size_t start = blob->bytes ? 0 : sizeof magic;
    if (payload > SIZE_MAX - 256) blob->status = MT_FAIL(NO_MEMORY, "no memory for tag \"%s\"", tag);
    if (reserve(blob, start + RECORD_BYTES + tag_bytes + payload) != MT_OK) return;
    append(blob, magic, start);
    append_record(blob, tag, tag_bytes, dtype, count);
    append(blob, data, payload);
    blob->records++;
}

void mt_blob_put_text(mt_blob *blob, const char *tag, const char *text) {
    mt_blob_put(blob, tag, MT_U8, text, strlen(text));
}

mt_status mt_blob_finish(mt_blob *blob) {
    size_t start = blob->bytes ? 0 : sizeof magic;
    MT_TRY(reserve(blob, start + RECORD_BYTES));
    append(blob, magic, start);
    append_record(blob, "", 0, MT_U8, blob->records);
    return MT_OK;
}

void mt_blob_fini(mt_blob *blob) {
    free(blob->data);
    *blob = (mt_blob){0};
}

// ---- reader ----

mt_blob_reader mt_blob_read(const void *data, size_t bytes, const char *source) {
    mt_blob_reader reader = {.data = data, .bytes = bytes, .source = source};
    if (bytes < sizeof magic || memcmp(data, magic, sizeof magic) != 0)
        reader.status = MT_FAIL(CORRUPT, "%s: not a binary record of manta (its first bytes are wrong)", source);
    else reader.at = sizeof magic;
    return reader;
}

typedef struct record {
    const char *tag;   // view, tag_bytes without NUL
    size_t tag_bytes;
    mt_dtype dtype;
    uint64_t count;
    size_t payload;    // where it begins
} record;

// Reads the record head at `at`; advances nothing.
static mt_status peek(mt_blob_reader *r, const char *wanted, record *out) {
    if (r->status != MT_OK) return r->status;
    size_t left = r->bytes - r->at;
    if (left < RECORD_BYTES || left - RECORD_BYTES < r->data[r->at])
        return r->status =
                   MT_FAIL(CORRUPT, "%s: ends at byte %zu, where \"%s\" should stand", r->source, r->bytes, wanted);
    const uint8_t *head = r->data + r->at;
    out->tag_bytes = head[0];
    out->dtype = (mt_dtype)head[1];
    memcpy(&out->count, head + 2, sizeof out->count);
    out->tag = (const char *)head + RECORD_BYTES;
    out->payload = r->at + RECORD_BYTES + out->tag_bytes;
    return MT_OK;
}

// Finds the next record to be `tag` of `dtype`, wholly inside the data.
static mt_status next(mt_blob_reader *r, const char *tag, mt_dtype dtype, record *out) {
    MT_TRY(peek(r, tag, out));
    if (out->tag_bytes != strlen(tag) || memcmp(out->tag, tag, out->tag_bytes) != 0)
        return r->status = MT_FAIL(CORRUPT, "%s: \"%s\" expected at byte %zu, found \"%.*s\"", r->source, tag, r->at,
                   (int)out->tag_bytes, out->tag);
    if (out->dtype != dtype)
        return r->status = MT_FAIL(CORRUPT, "%s: \"%s\" is of type %s, %s expected", r->source, tag,
                   mt_dtype_name(out->dtype), mt_dtype_name(dtype));
    if (out->count > (r->bytes - out->payload) / mt_dtype_bytes(dtype))
        return r->status = MT_FAIL(CORRUPT, "%s: \"%s\" claims %llu elements, which the %zu bytes do not hold",
                   r->source, tag, (unsigned long long)out->count, r->bytes);
    return MT_OK;
}

static void pass(mt_blob_reader *r, const record *found) {
    r->at = found->payload + (size_t)found->count * mt_dtype_bytes(found->dtype);
    r->records++;
}

mt_status mt_blob_get(mt_blob_reader *reader, const char *tag, mt_dtype dtype, void *out, size_t count) {
    record found = {0};
    MT_TRY(next(reader, tag, dtype, &found));
    if (found.count != count)
        return reader->status = MT_FAIL(CORRUPT, "%s: \"%s\" has %llu elements, %zu expected", reader->source, tag,
                   (unsigned long long)found.count, count);
    if (count) memcpy(out, reader->data + found.payload, count * mt_dtype_bytes(dtype));
    pass(reader, &found);
    return MT_OK;
}

mt_status mt_blob_view(mt_blob_reader *reader, const char *tag, mt_dtype dtype, const void **out, size_t *count) {
    *out = NULL;
    *count = 0;
    record found = {0};
    MT_TRY(next(reader, tag, dtype, &found));
    *out = reader->data + found.payload;
    *count = (size_t)found.count;
    pass(reader, &found);
    return MT_OK;
}

mt_status mt_blob_get_text(mt_blob_reader *reader, const char *tag, char *out, size_t out_bytes) {
    record found = {0};
    MT_TRY(next(reader, tag, MT_U8, &found));
    const uint8_t *text = reader->data + found.payload;
    if (found.count >= out_bytes || (found.count && memchr(text, 0, (size_t)found.count)))
        return reader->status = MT_FAIL(CORRUPT, "%s: \"%s\" is not a text of less than %zu bytes", reader->source, tag,
                   out_bytes);
    if (found.count) memcpy(out, text, (size_t)found.count);
    out[found.count] = 0;
    pass(reader, &found);
    return MT_OK;
}

mt_status mt_blob_end(mt_blob_reader *reader) {
    record found = {0};
    MT_TRY(peek(reader, "the end", &found));
    if (found.tag_bytes != 0)
        return reader->status = MT_FAIL(CORRUPT, "%s: the end expected at byte %zu, found \"%.*s\"", reader->source,
                   reader->at, (int)found.tag_bytes, found.tag);
    if (found.count != reader->records || found.payload != reader->bytes)
        return reader->status = MT_FAIL(CORRUPT, "%s: %zu bytes after the end, or records missing", reader->source,
                   reader->bytes - found.payload);
    reader->at = reader->bytes;
    return MT_OK;
}
