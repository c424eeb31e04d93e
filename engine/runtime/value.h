// Values on the wire, and signatures. Pure functions over the caller's storage; any thread. What comes from another rank is
// read as hostile: every length is checked before it is used.
//
// An encoded value, little-endian. It begins on a 16-byte boundary (the caller sees to that; reading needs 8), and every
// part of it is padded with zeros to 16, so that the payload and the next value lie on such a boundary, too:
//     mt_value_head   type, dimensions, form, payload bytes
//     int64 shape[ndim]
//     payload         inline, or
//                     one mt_wire_place (the value lies in a heap), or one manta_ref (stands for the value it will have)
//
// Shapes. A scalar has ndim 0. BYTES and TEXT with ndim 0 have any length; with ndim 1 or more (manta_put_begin) the shape
// says it. TEXT's NUL belongs to no shape. A value of type NONE has neither shape nor payload.
#ifndef MANTA_ENGINE_RUNTIME_VALUE_H
#define MANTA_ENGINE_RUNTIME_VALUE_H

#include "engine/base/status.h"
#include "engine/base/text.h"
#include "engine/runtime/manta_runtime.h"

enum {
    MT_INLINE_BYTES = 4096,   // a value of at most this lies inside messages, a larger one in a heap
};

typedef enum mt_value_form {
    MT_VALUE_INLINE,   // the payload follows
    MT_VALUE_PLACE,    // an mt_wire_place follows
    MT_VALUE_FROM,     // a manta_ref follows whose value is meant; type NONE
    MT_VALUE_FORM_COUNT
} mt_value_form;

typedef struct mt_value_head {
    uint8_t type, ndim, form, spare;
    uint32_t encoded_bytes;   // of the whole encoded value, head included; a multiple of 16
    uint64_t bytes;           // of the payload (TEXT: with its NUL), wherever it lies
} mt_value_head;

// Where a large value lies: the object's name, the rank whose heap has it.
typedef struct mt_wire_place {
    manta_ref ref;
    uint32_t rank, spare;
    uint64_t reserved;
} mt_wire_place;

// A decoded value: a view into the encoded bytes.
typedef struct mt_value {
    const mt_value_head *head;
    const int64_t *shape;   // (ndim)
    const void *payload;    // inline
    mt_wire_place place;    // of MT_VALUE_PLACE
    manta_ref from;         // of MT_VALUE_FROM
} mt_value;

uint32_t mt_type_bytes(manta_type type);        // of an element; 0 for NONE and outside the list
const char *mt_type_name(manta_type type);      // "f32"; "?" outside the list

// Bytes of a dense tensor, without TEXT's NUL. 0: ndim is out of range, a dimension is negative, or the product overflows.
int mt_shape_bytes(manta_type type, int ndim, const int64_t *shape, uint64_t *out);

// The functions that write take arguments that passed mt_arg_check; out is 16-byte aligned.
mt_value_head mt_value_head_of(const manta_arg *arg);         // as it will be encoded, inline or FROM
size_t mt_value_encoded_bytes(const manta_arg *arg);          // with the payload inside
size_t mt_value_place_bytes(int ndim);                        // of an encoded value whose payload lies in a heap
void mt_value_encode(const manta_arg *arg, void *out);        // inline or FROM; out has mt_value_encoded_bytes
void mt_value_encode_place(const mt_value_head *head, const int64_t *shape, const mt_wire_place *place, void *out);

// Reads the value that begins at data; *used is its encoded size. MT_CORRUPT when it is not one.
mt_status mt_value_decode(const void *data, size_t bytes, mt_value *out, size_t *used);
// `count` values one after the other that fill `bytes` exactly; out (count).
mt_status mt_values_decode(const void *data, size_t bytes, int count, mt_value *out);

// As the user sees it; data: where the payload is, once it has been found (a TEXT that does not end in a NUL there reads as
// an empty one: a peer wrote it).
manta_value mt_value_view(const mt_value *value, const void *data);

// What is wrong with an argument as the user made it (type, negative shape, payload that does not fit, a NULL pointer, a {0}
// where a reference belongs): MT_INVALID_ARGUMENT.
mt_status mt_arg_check(const manta_arg *arg);

// References inside a value (type REF or ACTOR, inline or large): how many. They may be {0} when they come from a peer.
int64_t mt_value_ref_count(const mt_value_head *head);

// ---- signatures

typedef enum mt_dim { MT_DIM_FIXED, MT_DIM_NAMED, MT_DIM_ANY } mt_dim;

typedef struct mt_signature_part {
    manta_type type;
    int any_type;                    // `any`
    int ndim;                        // -1: any shape ([...])
    struct { mt_dim kind; int64_t value; } dim[MANTA_MAX_DIMS];   // FIXED: the size; NAMED: the letter
} mt_signature_part;

typedef struct mt_signature {
    int argument_count, result_count;
    int more;                        // any number of arguments after those
    mt_signature_part argument[MANTA_MAX_ARGUMENTS], result[MANTA_MAX_RESULTS];
} mt_signature;

// "" and NULL: no arguments, no results. MT_CONFIG: the message quotes the signature and points at the place.
mt_status mt_signature_parse(const char *text, mt_signature *out);

// Names of dimensions bound so far, for one call: arguments first, then results.
typedef struct mt_binding {
    int64_t size[26];   // -1: not bound
} mt_binding;
void mt_binding_init(mt_binding *binding);

// Does this value fit the part? A value of the form FROM is not known yet and fits; `bytes` and `text` without [] take any
// length. what: "argument 2" or "result 0" for the message; `function` its name. MT_INVALID_ARGUMENT:
// "add: argument 1 is f32[5], the signature wants f64[n] with n = 4".
mt_status mt_signature_check(const mt_signature_part *part, const mt_value_head *head, const int64_t *shape, mt_binding *binding,
    const char *function, const char *what);
mt_status mt_signature_check_count(const mt_signature *signature, int arguments, const char *function);

void mt_value_describe(const mt_value_head *head, const int64_t *shape, char *out, size_t out_bytes);   // "f32[5,2]"

#endif
