// Values on the wire. Called by whoever makes a call (encode) and by whoever receives one (decode), a million times a
// second each: no allocation, and no loop but the one over dimensions. Pure functions; any thread.
//
// Always holds: the decoder reads nothing before its length has been checked, and accepts exactly the one size that
// head and shape ask for. A shape is zero-padded to 16 bytes, a payload as well.
#include "engine/runtime/value.h"

#include <stdio.h>
#include <string.h>

enum { ALIGN = 16 };

_Static_assert(sizeof(mt_value_head) == ALIGN, "a shape follows on a 16-byte boundary");
_Static_assert(
    sizeof(manta_ref) == ALIGN && sizeof(mt_wire_place) == 2 * ALIGN, "what follows a shape is whole in 16 bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are encoded as they lie in memory");

static const struct {
    uint32_t bytes;
    const char *name;
} types[MANTA_TYPE_COUNT] = {
#define MANTA_X(name, bytes, text) {bytes, text},
    MANTA_TYPE_LIST(MANTA_X)
#undef MANTA_X
};

uint32_t mt_type_bytes(manta_type type) { return (unsigned)type < MANTA_TYPE_COUNT ? types[type].bytes : 0; }
const char *mt_type_name(manta_type type) { return (unsigned)type < MANTA_TYPE_COUNT ? types[type].name : "?"; }

static int is_string(int type) { return type == MANTA_TYPE_BYTES || type == MANTA_TYPE_TEXT; }
static int is_ref(int type) { return type == MANTA_TYPE_REF || type == MANTA_TYPE_ACTOR; }
static size_t padded(size_t bytes) { return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1); }
static size_t payload_at(int ndim) { return padded(sizeof(mt_value_head) + (size_t)ndim * sizeof(int64_t)); }

int mt_shape_bytes(manta_type type, int ndim, const int64_t *shape, uint64_t *out) {
    int64_t bytes = mt_type_bytes(type);
    int bad = ndim < 0 || ndim > MANTA_MAX_DIMS;
    for (int d = 0; d < ndim && !bad; d++) bad = shape[d] < 0 || __builtin_mul_overflow(bytes, shape[d], &bytes);
    *out = bad ? 0 : (uint64_t)bytes;
    return !bad;
}

// ---- writing

mt_value_head mt_value_head_of(const manta_arg *arg) {
    const manta_value *v = &arg->value;
    if (arg->resolve)
        return (mt_value_head){.form = MT_VALUE_FROM, .encoded_bytes = sizeof(mt_value_head) + sizeof(manta_ref)};
    uint64_t bytes = (uint64_t)v->bytes + (v->type == MANTA_TYPE_TEXT);
    return (mt_value_head){.type = (uint8_t)v->type,
        .ndim = (uint8_t)v->ndim,
        .form = MT_VALUE_INLINE,
        .encoded_bytes = (uint32_t)(payload_at(v->ndim) + padded(bytes)),
        .bytes = bytes};
}

size_t mt_value_encoded_bytes(const manta_arg *arg) {
    if (arg->resolve) return sizeof(mt_value_head) + sizeof(manta_ref);
    return payload_at(arg->value.ndim) + padded(arg->value.bytes + (arg->value.type == MANTA_TYPE_TEXT));
}

size_t mt_value_place_bytes(int ndim) { return payload_at(ndim) + sizeof(mt_wire_place); }

static char *put_head(char *out, mt_value_head head, const int64_t *shape) {
    memcpy(out, &head, sizeof head);
    int64_t *to = (int64_t *)(void *)(out + sizeof head);
    for (int d = 0; d < head.ndim; d++) to[d] = shape[d];
    if (head.ndim & 1) to[head.ndim] = 0;
    return out + payload_at(head.ndim);
}

void mt_value_encode(const manta_arg *arg, void *out) {
    mt_value_head head = mt_value_head_of(arg);
    MT_ASSERT(arg->value.bytes < UINT32_MAX - 256); // what is larger lies in a heap
    char *to = put_head(out, head, arg->value.shape);
    if (head.form == MT_VALUE_FROM) {
        memcpy(to, &arg->scalar.ref, sizeof arg->scalar.ref);
        return;
    }
    if (head.bytes == 0) return;
    // zeros behind the payload, and TEXT's NUL with them
    memset((char *)out + head.encoded_bytes - ALIGN, 0, ALIGN);
    const void *from = arg->value.data ? arg->value.data : &arg->scalar;
    if (arg->value.bytes == sizeof(int64_t))
        memcpy(to, from, sizeof(int64_t)); // most calls: one store
    else if (arg->value.bytes)
        memcpy(to, from, arg->value.bytes);
}

void mt_value_encode_place(const mt_value_head *head, const int64_t *shape, const mt_wire_place *place, void *out) {
    mt_value_head own = *head;
    own.form = MT_VALUE_PLACE;
    own.spare = 0;
    own.encoded_bytes = (uint32_t)mt_value_place_bytes(head->ndim);
    memcpy(put_head(out, own, shape), place, sizeof *place);
}

// ---- reading

// The payload's size agrees with type and shape, and is one that a shape could have.
static int size_fits(const mt_value_head *head, const int64_t *shape) {
    uint64_t content = head->bytes, dense;
    if (content > INT64_MAX) return 0;
    if (head->type == MANTA_TYPE_TEXT && content-- == 0) return 0;
    if (head->type == MANTA_TYPE_NONE && head->ndim) return 0;
    if (!mt_shape_bytes((manta_type)head->type, head->ndim, shape, &dense)) return 0;
    return dense == content || (head->ndim == 0 && is_string(head->type));
}

mt_status mt_value_decode(const void *data, size_t bytes, mt_value *out, size_t *used) {
    const mt_value_head *head = data;
    *used = 0;
    if ((uintptr_t)data % 8) return MT_FAIL(CORRUPT, "a message: a value begins off its boundary");
    if (bytes < sizeof *head) return MT_FAIL(CORRUPT, "a message: %zu bytes are left where a value should be", bytes);
    if (head->type >= MANTA_TYPE_COUNT || head->ndim > MANTA_MAX_DIMS || head->form >= MT_VALUE_FORM_COUNT ||
        head->spare)
        return MT_FAIL(
            CORRUPT, "a message: a value of type %d, %d dimensions, form %d", head->type, head->ndim, head->form);

    // its one right size, in 64 bits: only then does anything behind the head get read
    size_t at = payload_at(head->ndim);
    const char *behind = (const char *)data + at;
    if (head->encoded_bytes > bytes || head->encoded_bytes < at)
        return MT_FAIL(CORRUPT, "a message: a value of %u bytes where %zu are left", head->encoded_bytes, bytes);
    uint64_t room = head->encoded_bytes - at, want = sizeof(manta_ref);
    if (head->form == MT_VALUE_INLINE) want = head->bytes > room ? UINT64_MAX : padded(head->bytes);
    if (head->form == MT_VALUE_PLACE) want = sizeof(mt_wire_place);
    if (room != want)
        return MT_FAIL(CORRUPT, "a message: a value of %u bytes says that %llu of them are its payload",
            head->encoded_bytes, (unsigned long long)head->bytes);

    const int64_t *shape = (const int64_t *)(const void *)(head + 1);
    if (!size_fits(head, shape))
        return MT_FAIL(CORRUPT, "a message: %llu bytes of type %s do not agree with their shape",
            (unsigned long long)head->bytes, types[head->type].name);
    *out = (mt_value){.head = head, .shape = shape};
    if (head->form == MT_VALUE_INLINE) {
        out->payload = behind;
        if (head->type == MANTA_TYPE_TEXT && behind[head->bytes - 1] != 0)
            return MT_FAIL(CORRUPT, "a message: a text without its end");
    } else if (head->form == MT_VALUE_PLACE) {
        memcpy(&out->place, behind, sizeof out->place);
    } else {
        memcpy(&out->from, behind, sizeof out->from);
        if (head->type != MANTA_TYPE_NONE || out->from.serial == 0)
            return MT_FAIL(CORRUPT, "a message: a value that stands for another names none");
    }
    *used = head->encoded_bytes;
    return MT_OK;
}

mt_status mt_values_decode(const void *data, size_t bytes, int count, mt_value *out) {
    const char *at = data;
    for (int i = 0; i < count; i++) {
        size_t used;
        MT_TRY(mt_value_decode(at, bytes, &out[i], &used));
        at += used;
        bytes -= used;
    }
    if (bytes) return MT_FAIL(CORRUPT, "a message: %zu bytes are left behind its %d values", bytes, count);
    return MT_OK;
}

manta_value mt_value_view(const mt_value *value, const void *data) {
    const mt_value_head *head = value->head;
    manta_value view = {.type = (manta_type)head->type, .ndim = head->ndim, .data = data, .bytes = (size_t)head->bytes};
    for (int d = 0; d < head->ndim; d++) view.shape[d] = value->shape[d];
    if (head->type == MANTA_TYPE_TEXT) {
        view.bytes--;
        if (data && ((const char *)data)[view.bytes] != 0) {
            view.data = "\0\0\0\0\0\0\0";
            view.bytes = 0;
            if (view.ndim) view.ndim = 1, view.shape[0] = 0;
        }
    }
    return view;
}

int64_t mt_value_ref_count(const mt_value_head *head) {
    return is_ref(head->type) ? (int64_t)(head->bytes / sizeof(manta_ref)) : 0;
}

// ---- arguments

static mt_status check_refs(const manta_arg *arg) {
    const manta_ref *refs = arg->value.data ? arg->value.data : &arg->scalar.ref;
    int64_t count = (int64_t)(arg->value.bytes / sizeof *refs);
    for (int64_t i = 0; i < count; i++)
        if (refs[i].serial == 0)
            return MT_FAIL(INVALID_ARGUMENT,
                "%s %lld of %lld is empty ({0}): it names nothing; was it released, or did the call "
                "that should have given it fail?",
                arg->value.type == MANTA_TYPE_REF ? "reference" : "actor", (long long)i, (long long)count);
    return MT_OK;
}

mt_status mt_arg_check(const manta_arg *arg) {
    const manta_value *v = &arg->value;
    char text[96];
    uint64_t dense;
    if (arg->resolve) {
        if (arg->scalar.ref.serial == 0)
            return MT_FAIL(INVALID_ARGUMENT, "manta_from was given an empty reference ({0})");
        return MT_OK;
    }
    if ((unsigned)v->type >= MANTA_TYPE_COUNT)
        return MT_FAIL(INVALID_ARGUMENT, "%d is not a type; see manta_type", (int)v->type);
    if (v->ndim < 0 || v->ndim > MANTA_MAX_DIMS)
        return MT_FAIL(INVALID_ARGUMENT, "%d dimensions; a value has 0 to %d", v->ndim, MANTA_MAX_DIMS);
    if (v->type == MANTA_TYPE_NONE && (v->ndim || v->bytes))
        return MT_FAIL(INVALID_ARGUMENT, "a value of type none has neither shape nor bytes");

    mt_value_head head = {.type = (uint8_t)v->type, .ndim = (uint8_t)v->ndim};
    if (!mt_shape_bytes(v->type, v->ndim, v->shape, &dense)) {
        mt_value_describe(&head, v->shape, text, sizeof text);
        return MT_FAIL(
            INVALID_ARGUMENT, "%s: dimensions are not negative, and their product is below 2^63 bytes", text);
    }
    // a scalar may lie in the argument itself; manta_tensor and manta_text say SIZE_MAX for a NULL that they were given
    int own = v->ndim == 0 && !is_string(v->type) && v->bytes <= sizeof arg->scalar;
    if (!v->data && v->bytes && !own) {
        mt_value_describe(&head, v->shape, text, sizeof text);
        return MT_FAIL(INVALID_ARGUMENT, "%s: its data is NULL", text);
    }
    if (dense != v->bytes && !(v->ndim == 0 && is_string(v->type))) {
        mt_value_describe(&head, v->shape, text, sizeof text);
        return MT_FAIL(INVALID_ARGUMENT, "%s has %llu bytes, not %zu", text, (unsigned long long)dense, v->bytes);
    }
    if (v->bytes > INT64_MAX) return MT_FAIL(INVALID_ARGUMENT, "%zu bytes are too many for a value", v->bytes);
    return is_ref(v->type) ? check_refs(arg) : MT_OK;
}

void mt_value_describe(const mt_value_head *head, const int64_t *shape, char *out, size_t out_bytes) {
    int ndim = head->ndim > MANTA_MAX_DIMS ? MANTA_MAX_DIMS : head->ndim;
    size_t at = 0;
    for (int d = -1; d <= ndim && at < out_bytes; d++) {
        int wrote;
        if (d < 0)
            wrote = snprintf(out, out_bytes, "%s", mt_type_name((manta_type)head->type));
        else if (d == ndim)
            wrote = ndim ? snprintf(out + at, out_bytes - at, "]") : 0;
        else
            wrote = snprintf(out + at, out_bytes - at, "%c%lld", d ? ',' : '[', (long long)shape[d]);
        at += (size_t)wrote;
    }
}
