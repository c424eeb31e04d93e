// safetensors: named tensors in one file that Python's `safetensors` opens; nothing in it is ever executed.
//
// Format (https://github.com/huggingface/safetensors): u64 little-endian header size, a JSON header padded with spaces
// to a multiple of 8, then the tensors' bytes without gaps. The header maps a name to {dtype, shape, data_offsets}, and
// "__metadata__" to a map of strings.
//
// The writer puts tensors in the order the reference implementation uses (wider types first, then by name), so the same
// tensors give the same bytes in whatever order they are listed, and every tensor lies aligned for its type.
// The reader trusts nothing: header at most 100 MB and inside the file, exact JSON shape, known types, sizes without
// overflow, offsets without overlap, hole or rest, no name twice. Errors name the source and the tensor:
// MT_CORRUPT when the bytes break the format, MT_UNSUPPORTED for a type (F16, BOOL, ...) or rank manta has no view for.
#ifndef MANTA_POLICIES_SAFETENSORS_H
#define MANTA_POLICIES_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "engine/base/status.h"
#include "engine/base/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_named_tensor {
    const char *name;      // borrowed; UTF-8, not empty, not "__metadata__"
    mt_tensor tensor;
} mt_named_tensor;

typedef struct mt_string_pair {
    const char *key, *value;   // borrowed; UTF-8
} mt_string_pair;

// ---- writing ----

// The file in pieces, without copying a tensor: part[0] is the header, each further part one tensor's bytes.
typedef struct mt_safetensors_parts {
    struct iovec *part;    // owned (count); part[0].iov_base owned, the others view the tensors
    size_t count;
    uint64_t bytes;        // of the whole file
} mt_safetensors_parts;

// metadata: Nullable when metadata_count is 0. MT_INVALID_ARGUMENT names a tensor with a bad name, type or shape.
mt_status mt_safetensors_layout(const mt_named_tensor *tensors, size_t count, const mt_string_pair *metadata,
    size_t metadata_count, mt_safetensors_parts *out);
void mt_safetensors_parts_fini(mt_safetensors_parts *parts);

// Into one block; the caller frees *out.
mt_status mt_safetensors_encode(const mt_named_tensor *tensors, size_t count, const mt_string_pair *metadata,
    size_t metadata_count, void **out, size_t *bytes);

// Replaces `path` atomically (public mode: weights are results people share).
mt_status mt_safetensors_save(const char *path, const mt_named_tensor *tensors, size_t count,
    const mt_string_pair *metadata, size_t metadata_count);

// ---- reading ----

typedef struct mt_safetensors {
    mt_named_tensor *tensors;      // owned (count), sorted by name; data points into the bytes, read-only
    size_t count;
    mt_string_pair *metadata;      // owned (metadata_count), in the file's order
    size_t metadata_count;
    char *source;                  // owned: what messages call it
    struct json_t *header;         // owned: names and metadata point into it
    void *owned_bytes;             // owned: set by load; NULL after decode
} mt_safetensors;

// From memory that outlives *out and is not written meanwhile (a read-only mapping will do). `source` is copied.
mt_status mt_safetensors_decode(const void *data, size_t bytes, const char *source, mt_safetensors *out);
// Reads the file into memory first. Zeroes *out on failure.
mt_status mt_safetensors_load(const char *path, mt_safetensors *out);
void mt_safetensors_fini(mt_safetensors *file);

// The view of a tensor by name, NULL when there is none. Its data may be misaligned in files of other writers: only
// memcpy from it, or use read.
const mt_tensor *mt_safetensors_find(const mt_safetensors *file, const char *name);
// Copies a tensor into `into`, whose dtype and shape must be the file's: MT_NOT_FOUND (with "did you mean") or
// MT_CONFIG "weights.safetensors: tensor "actor.0.weight" is F32 (64, 4) but F32 (64, 8) is wanted".
mt_status mt_safetensors_read(const mt_safetensors *file, const char *name, const mt_tensor *into);
// The value of a metadata key; NULL when there is none.
const char *mt_safetensors_metadata(const mt_safetensors *file, const char *key);

#ifdef __cplusplus
}
#endif
#endif
