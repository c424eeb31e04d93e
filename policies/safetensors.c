// safetensors. Called by checkpoints, by `manta eval` and by whoever loads weights, on their thread. The writer copies
// no tensor; the reader returns views. Invariant after a successful decode: every tensor lies inside the bytes, no two
// overlap, and together with the header they are the whole file.
#include "policies/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/file.h"
#include "engine/base/text.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors files are little-endian and copied as they are");

static const uint64_t HEADER_MAX_BYTES = 100000000;   // the reference implementation's limit
static const char METADATA[] = "__metadata__";

// ---- writing ----

static mt_status check_tensor(const mt_named_tensor *t) {
    const char *name = t->name ? t->name : "(no name)";
    if (!t->name || !*t->name || strcmp(t->name, METADATA) == 0 || !mt_text_is_utf8(t->name))
        return MT_FAIL(INVALID_ARGUMENT, "a tensor cannot be saved under the name \"%s\"", name);
    if ((unsigned)t->tensor.dtype >= MT_DTYPE_COUNT || t->tensor.ndim < 0 || t->tensor.ndim > MT_MAX_DIMS)
        return MT_FAIL(INVALID_ARGUMENT, "tensor \"%s\": unknown type or more than %d dimensions", name, MT_MAX_DIMS);
    int64_t bytes = (int64_t)mt_dtype_bytes(t->tensor.dtype);
    for (int d = 0; d < t->tensor.ndim; d++)
        if (t->tensor.shape[d] < 0 || __builtin_mul_overflow(bytes, t->tensor.shape[d], &bytes))
            return MT_FAIL(INVALID_ARGUMENT, "tensor \"%s\": dimension %d is negative or the size overflows", name, d);
    if (bytes && !t->tensor.data) return MT_FAIL(INVALID_ARGUMENT, "tensor \"%s\" has no data", name);
    return MT_OK;
}

// wider types first, then by name: the order of the reference implementation, which also aligns every tensor
static int by_file_order(const void *a, const void *b) {
    const mt_named_tensor *x = *(const mt_named_tensor *const *)a, *y = *(const mt_named_tensor *const *)b;
    size_t x_bytes = mt_dtype_bytes(x->tensor.dtype), y_bytes = mt_dtype_bytes(y->tensor.dtype);
    if (x_bytes != y_bytes) return x_bytes < y_bytes ? 1 : -1;
    return strcmp(x->name, y->name);
}

// The tensors in file order; the caller frees.
static mt_status order_tensors(const mt_named_tensor *tensors, size_t count, const mt_named_tensor ***out) {
    const mt_named_tensor **order = calloc(count ? count : 1, sizeof *order);
    *out = NULL;
    if (!order) return MT_FAIL(NO_MEMORY, "no memory for a list of %zu tensors", count);
    for (size_t i = 0; i < count; i++) {
        order[i] = &tensors[i];
        mt_status status = check_tensor(order[i]);
        if (status != MT_OK) return free(order), status;
    }
    qsort(order, count, sizeof *order, by_file_order);
    *out = order;
    return MT_OK;
}

static json_t *describe_metadata(const mt_string_pair *metadata, size_t count) {
    json_t *map = json_object();
    for (size_t i = 0; i < count; i++)
        if (json_object_set_new(map, metadata[i].key, json_string(metadata[i].value)) != 0)
            return json_decref(map), NULL;
    return map;
}

static json_t *describe_tensor(const mt_tensor *t, uint64_t begin) {
    json_t *shape = json_array();
    for (int d = 0; d < t->ndim; d++) json_array_append_new(shape, json_integer(t->shape[d]));
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", mt_dtype_name(t->dtype), "shape", shape, "data_offsets",
        (json_int_t)begin, (json_int_t)(begin + mt_tensor_bytes(t)));
}

// The header as JSON; *data_bytes is what follows it.
static mt_status describe(const mt_named_tensor *const *order, size_t count, const mt_string_pair *metadata,
    size_t metadata_count, json_t **out, uint64_t *data_bytes) {
    json_t *header = json_object(), *entry = NULL;
    uint64_t at = 0;
    if (metadata_count && json_object_set_new(header, METADATA, describe_metadata(metadata, metadata_count)) != 0)
        return json_decref(header), MT_FAIL(INVALID_ARGUMENT, "metadata of weights must be UTF-8 text");
    for (size_t i = 0; i < count; i++) {
        if (json_object_get(header, order[i]->name))
            return json_decref(header), MT_FAIL(INVALID_ARGUMENT, "two tensors are called \"%s\"", order[i]->name);
        entry = describe_tensor(&order[i]->tensor, at);
        if (!entry || json_object_set_new(header, order[i]->name, entry) != 0)
            return json_decref(header), MT_FAIL(NO_MEMORY, "no memory for the header of %zu tensors", count);
        at += mt_tensor_bytes(&order[i]->tensor);
        if (at > INT64_MAX) return json_decref(header), MT_FAIL(INVALID_ARGUMENT, "tensors of more than 2^63 bytes");
    }
    *out = header;
    *data_bytes = at;
    return MT_OK;
}

// Size field, JSON and padding in one block that the caller frees.
static mt_status encode_header(const json_t *header, struct iovec *out) {
    size_t bytes = json_dumpb(header, NULL, 0, JSON_COMPACT);
    uint64_t padded = (bytes + 7) / 8 * 8;
    if (bytes == 0) return MT_FAIL(NO_MEMORY, "no memory for the header of a weights file");
    if (padded > HEADER_MAX_BYTES)
        return MT_FAIL(INVALID_ARGUMENT, "too many tensors: their header of %" PRIu64 " bytes exceeds 100 MB", padded);
    char *block = malloc(8 + padded);
    if (!block) return MT_FAIL(NO_MEMORY, "no memory for the header of a weights file");
    memcpy(block, &padded, 8);
    json_dumpb(header, block + 8, padded, JSON_COMPACT);
    memset(block + 8 + bytes, ' ', padded - bytes);
    *out = (struct iovec){block, 8 + padded};
    return MT_OK;
}

mt_status mt_safetensors_layout(const mt_named_tensor *tensors, size_t count, const mt_string_pair *metadata,
    size_t metadata_count, mt_safetensors_parts *out) {
    mt_status status = MT_OK;
    const mt_named_tensor **order = NULL;
    json_t *header = NULL;
    uint64_t data_bytes = 0;
    *out = (mt_safetensors_parts){0};
    MT_TRY_GOTO(order_tensors(tensors, count, &order), done);
    MT_TRY_GOTO(describe(order, count, metadata, metadata_count, &header, &data_bytes), done);

    out->part = calloc(count + 1, sizeof *out->part);
    if (!out->part) MT_TRY_GOTO(MT_FAIL(NO_MEMORY, "no memory for a list of %zu tensors", count), done);
    MT_TRY_GOTO(encode_header(header, &out->part[0]), done);
    for (size_t i = 0; i < count; i++)
        out->part[i + 1] = (struct iovec){order[i]->tensor.data, mt_tensor_bytes(&order[i]->tensor)};
    out->count = count + 1;
    out->bytes = out->part[0].iov_len + data_bytes;
done:
    json_decref(header);
    free(order);
    if (status != MT_OK) mt_safetensors_parts_fini(out);
    return status;
}

void mt_safetensors_parts_fini(mt_safetensors_parts *parts) {
    if (parts->part) free(parts->part[0].iov_base);
    free(parts->part);
    *parts = (mt_safetensors_parts){0};
}

mt_status mt_safetensors_encode(const mt_named_tensor *tensors, size_t count, const mt_string_pair *metadata,
    size_t metadata_count, void **out, size_t *bytes) {
    mt_safetensors_parts parts;
    *out = NULL;
    *bytes = 0;
    MT_TRY(mt_safetensors_layout(tensors, count, metadata, metadata_count, &parts));
    char *block = malloc(parts.bytes), *at = block;
    for (size_t i = 0; block && i < parts.count; i++) {
        if (parts.part[i].iov_len) memcpy(at, parts.part[i].iov_base, parts.part[i].iov_len);
        at += parts.part[i].iov_len;
    }
    *out = block;
    *bytes = block ? parts.bytes : 0;
    uint64_t wanted = parts.bytes;
    mt_safetensors_parts_fini(&parts);
    return block ? MT_OK : MT_FAIL(NO_MEMORY, "no memory for %" PRIu64 " bytes of weights", wanted);
}

mt_status mt_safetensors_save(const char *path, const mt_named_tensor *tensors, size_t count,
    const mt_string_pair *metadata, size_t metadata_count) {
    void *data = NULL;
    size_t bytes = 0;
    MT_TRY(mt_safetensors_encode(tensors, count, metadata, metadata_count, &data, &bytes));
    mt_status status = mt_file_write_atomic(path, data, bytes, MT_FILE_PUBLIC);
    free(data);
    return status;
}

// ---- reading ----

// What one decode passes round.
typedef struct decoding {
    const uint8_t *data;
    uint64_t data_bytes;      // behind the header
    const char *source;
    mt_safetensors *out;
} decoding;

static int parse_dtype(const char *text, mt_dtype *out) {
    for (int d = 0; d < MT_DTYPE_COUNT; d++)
        if (strcmp(text, mt_dtype_name((mt_dtype)d)) == 0) return *out = (mt_dtype)d, 1;
    return 0;
}

// Fills t->ndim and t->shape; *bytes is the product.
static mt_status parse_shape(const decoding *d, const char *name, const json_t *shape, mt_tensor *t, uint64_t *bytes) {
    if (json_array_size(shape) > MT_MAX_DIMS)
        return MT_FAIL(UNSUPPORTED, "%s: tensor \"%s\" has %zu dimensions, at most %d are supported", d->source, name,
            json_array_size(shape), MT_MAX_DIMS);
    t->ndim = (int)json_array_size(shape);
    *bytes = mt_dtype_bytes(t->dtype);
    for (int i = 0; i < t->ndim; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        t->shape[i] = json_integer_value(dim);
        if (!json_is_integer(dim) || t->shape[i] < 0 || __builtin_mul_overflow(*bytes, (uint64_t)t->shape[i], bytes))
            return MT_FAIL(CORRUPT, "%s: tensor \"%s\": dimension %d is no size, or the tensor is impossibly big",
                d->source, name, i);
    }
    return MT_OK;
}

static mt_status parse_offsets(
    const decoding *d, const char *name, const json_t *offsets, mt_tensor *t, uint64_t bytes) {
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return MT_FAIL(CORRUPT, "%s: tensor \"%s\": \"data_offsets\" must be two integers", d->source, name);
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > d->data_bytes)
        return MT_FAIL(CORRUPT, "%s: tensor \"%s\": bytes %lld to %lld lie outside the file's %" PRIu64 "%s", d->source,
            name, (long long)begin, (long long)end, d->data_bytes, begin >= 0 && end >= begin ? "; the file is cut short" : "");
    if ((uint64_t)(end - begin) != bytes)
        return MT_FAIL(CORRUPT, "%s: tensor \"%s\": its shape needs %" PRIu64 " bytes, its offsets give %lld",
            d->source, name, bytes, (long long)(end - begin));
    t->data = (void *)(uintptr_t)(d->data + begin);   // a view that is only read: mt_tensor has no const twin
    return MT_OK;
}

static mt_status parse_tensor(const decoding *d, const char *name, const json_t *entry, mt_tensor *t) {
    const json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape"),
                 *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_string(dtype) || !json_is_array(shape) || !json_is_array(offsets) || json_object_size(entry) != 3)
        return MT_FAIL(
            CORRUPT, "%s: tensor \"%s\": must have dtype, shape and data_offsets, and nothing else", d->source, name);
    if (!parse_dtype(json_string_value(dtype), &t->dtype))
        return MT_FAIL(UNSUPPORTED, "%s: tensor \"%s\" is of type %s, which manta does not read", d->source, name,
            json_string_value(dtype));
    uint64_t bytes = 0;
    MT_TRY(parse_shape(d, name, shape, t, &bytes));
    return parse_offsets(d, name, offsets, t, bytes);
}

static mt_status parse_metadata(const decoding *d, json_t *map) {
    mt_safetensors *out = d->out;
    if (!json_is_object(map)) return MT_FAIL(CORRUPT, "%s: \"__metadata__\" is not a map of texts", d->source);
    out->metadata = calloc(json_object_size(map) + 1, sizeof *out->metadata);
    if (!out->metadata) return MT_FAIL(NO_MEMORY, "%s: no memory for its metadata", d->source);
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value) {
        if (!json_is_string(value)) return MT_FAIL(CORRUPT, "%s: metadata \"%s\" is not a text", d->source, key);
        out->metadata[out->metadata_count++] = (mt_string_pair){key, json_string_value(value)};
    }
    return MT_OK;
}

static int by_place(const void *a, const void *b) {
    const mt_named_tensor *x = a, *y = b;
    if (x->tensor.data != y->tensor.data) return (uintptr_t)x->tensor.data < (uintptr_t)y->tensor.data ? -1 : 1;
    // empty tensors share their place with the one that follows: they come first
    size_t x_bytes = mt_tensor_bytes(&x->tensor), y_bytes = mt_tensor_bytes(&y->tensor);
    return x_bytes < y_bytes ? -1 : x_bytes > y_bytes;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const mt_named_tensor *)a)->name, ((const mt_named_tensor *)b)->name);
}

// The tensors, laid end to end, must be the data exactly.
static mt_status check_coverage(const decoding *d) {
    mt_safetensors *out = d->out;
    uint64_t at = 0;
    qsort(out->tensors, out->count, sizeof *out->tensors, by_place);
    for (size_t i = 0; i < out->count; i++) {
        uint64_t begin = (uint64_t)((const uint8_t *)out->tensors[i].tensor.data - d->data);
        if (begin != at)
            return MT_FAIL(CORRUPT, "%s: tensor \"%s\" %s", d->source, out->tensors[i].name,
                begin < at ? "overlaps another one" : "comes after a hole");
        at += mt_tensor_bytes(&out->tensors[i].tensor);
    }
    if (at != d->data_bytes)
        return MT_FAIL(CORRUPT, "%s: %" PRIu64 " bytes after the last tensor", d->source, d->data_bytes - at);
    qsort(out->tensors, out->count, sizeof *out->tensors, by_name);
    return MT_OK;
}

// Checks the size field and parses the JSON; names and metadata stay views into it.
static mt_status parse_header(decoding *d, uint64_t bytes) {
    uint64_t header_bytes = 0;
    if (bytes < 8)
        return MT_FAIL(CORRUPT, "%s: too short for a safetensors file (%" PRIu64 " bytes)", d->source, bytes);
    memcpy(&header_bytes, d->data, 8);
    if (header_bytes > HEADER_MAX_BYTES || header_bytes > bytes - 8)
        return MT_FAIL(CORRUPT, "%s: its header claims %" PRIu64 " bytes, the file has %" PRIu64
            " (cut short, or not a safetensors file)", d->source, header_bytes, bytes);
    const char *text = (const char *)d->data + 8;
    json_error_t error;
    // the reference implementation asks for '{' as the first letter, so that the size field cannot hide other formats
    json_t *header =
        header_bytes && text[0] == '{' ? json_loadb(text, header_bytes, JSON_REJECT_DUPLICATES, &error) : NULL;
    if (!header)
        return MT_FAIL(CORRUPT, "%s: its header is not valid JSON (%s)", d->source,
            header_bytes && text[0] == '{' ? error.text : "it does not begin with '{'");
    d->out->header = header;
    d->data += 8 + header_bytes;
    d->data_bytes = bytes - 8 - header_bytes;
    return MT_OK;
}

static mt_status decode(decoding *d, uint64_t bytes) {
    MT_TRY(parse_header(d, bytes));
    mt_safetensors *out = d->out;
    out->tensors = calloc(json_object_size(out->header) + 1, sizeof *out->tensors);
    if (!out->tensors) return MT_FAIL(NO_MEMORY, "%s: no memory for its tensors", d->source);
    const char *name;
    json_t *entry;
    json_object_foreach(out->header, name, entry) {
        if (strcmp(name, METADATA) == 0) {
            MT_TRY(parse_metadata(d, entry));
            continue;
        }
        out->tensors[out->count].name = name;
        MT_TRY(parse_tensor(d, name, entry, &out->tensors[out->count].tensor));
        out->count++;
    }
    return check_coverage(d);
}

mt_status mt_safetensors_decode(const void *data, size_t bytes, const char *source, mt_safetensors *out) {
    *out = (mt_safetensors){.source = strdup(source)};
    if (!out->source) return MT_FAIL(NO_MEMORY, "%s: no memory to read it", source);
    decoding d = {.data = data, .source = out->source, .out = out};
    mt_status status = decode(&d, bytes);
    if (status != MT_OK) mt_safetensors_fini(out);
    return status;
}

mt_status mt_safetensors_load(const char *path, mt_safetensors *out) {
    char *data = NULL;
    size_t bytes = 0;
    *out = (mt_safetensors){0};
    MT_TRY(mt_file_read(path, SIZE_MAX - 1, &data, &bytes));
    mt_status status = mt_safetensors_decode(data, bytes, path, out);
    if (status != MT_OK) free(data);
    else out->owned_bytes = data;
    return status;
}

void mt_safetensors_fini(mt_safetensors *file) {
    free(file->tensors);
    free(file->metadata);
    free(file->source);
    json_decref(file->header);
    free(file->owned_bytes);
    *file = (mt_safetensors){0};
}

// ---- looking up ----

const mt_tensor *mt_safetensors_find(const mt_safetensors *file, const char *name) {
    mt_named_tensor key = {.name = name};
    const mt_named_tensor *found = bsearch(&key, file->tensors, file->count, sizeof key, by_name);
    return found ? &found->tensor : NULL;
}

static const char *name_at(const void *list, size_t index) { return ((const mt_named_tensor *)list)[index].name; }

mt_status mt_safetensors_read(const mt_safetensors *file, const char *name, const mt_tensor *into) {
    const mt_tensor *found = mt_safetensors_find(file, name);
    if (!found) {
        char hint[256];
        const char *nearest = mt_text_nearest_at(name, name_at, file->tensors, file->count);
        return MT_FAIL(NOT_FOUND, "%s: no tensor \"%s\" among its %zu%s", file->source, name, file->count,
            mt_text_did_you_mean(nearest, hint, sizeof hint));
    }
    if (found->dtype != into->dtype || !mt_tensor_same_shape(found, into)) {
        char is[160], wanted[160];
        mt_tensor_format(found, is, sizeof is);
        mt_tensor_format(into, wanted, sizeof wanted);
        return MT_FAIL(CONFIG,
            "%s: tensor \"%s\" is %s but %s is wanted; were the weights trained with another network or "
            "environment?",
            file->source, name, is, wanted);
    }
    if (mt_tensor_bytes(found)) memcpy(into->data, found->data, mt_tensor_bytes(found));
    return MT_OK;
}

const char *mt_safetensors_metadata(const mt_safetensors *file, const char *key) {
    for (size_t i = 0; i < file->metadata_count; i++)
        if (strcmp(file->metadata[i].key, key) == 0) return file->metadata[i].value;
    return NULL;
}
