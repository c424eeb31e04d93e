// The public constructors of arguments. Called by users on any thread; they judge nothing: what is wrong with an
// argument is found by mt_arg_check where it is used, because a constructor has nobody to tell. SIZE_MAX bytes stand
// for a NULL pointer where there should be data, or for a shape whose product overflows.
#include <string.h>
#include "engine/runtime/value.h"

const char *manta_code_name(int code) {
    static const char *const names[] = {
#define MANTA_X(name, text) #name,
        MANTA_CODE_LIST(MANTA_X)
#undef MANTA_X
    };
    return (unsigned)code < MANTA_CODE_COUNT ? names[code] : "?";
}

manta_arg manta_i64(int64_t x) {
    return (manta_arg){.value = {.type = MANTA_TYPE_I64, .bytes = sizeof x}, .scalar.i64 = x};
}

manta_arg manta_f64(double x) {
    return (manta_arg){.value = {.type = MANTA_TYPE_F64, .bytes = sizeof x}, .scalar.f64 = x};
}

static manta_arg string(manta_type type, const void *data, size_t bytes) {
    return (manta_arg){.value = {.type = type, .data = data, .bytes = data || !bytes ? bytes : SIZE_MAX}};
}

manta_arg manta_text(const char *text) { return string(MANTA_TYPE_TEXT, text, text ? strlen(text) : SIZE_MAX); }
manta_arg manta_bytes(const void *data, size_t bytes) { return string(MANTA_TYPE_BYTES, data, bytes); }

manta_arg manta_tensor(manta_type type, int ndim, const int64_t *shape, const void *data) {
    manta_arg arg = {.value = {.type = type, .ndim = ndim, .data = data}};
    int dims = ndim < 0 || !shape ? 0 : ndim < MANTA_MAX_DIMS ? ndim : MANTA_MAX_DIMS;
    uint64_t bytes = 0;
    for (int d = 0; d < dims; d++) arg.value.shape[d] = shape[d];
    if (ndim > 0 && !shape) arg.value.shape[0] = -1;
    int fits = mt_shape_bytes(type, ndim, arg.value.shape, &bytes);
    arg.value.bytes = fits && (data || !bytes) ? (size_t)bytes : SIZE_MAX;
    return arg;
}

manta_arg manta_vector(manta_type type, int64_t count, const void *data) { return manta_tensor(type, 1, &count, data); }

manta_arg manta_from(manta_ref ref) { return (manta_arg){.scalar.ref = ref, .resolve = 1}; }

manta_arg manta_reference(manta_ref ref) {
    return (manta_arg){.value = {.type = MANTA_TYPE_REF, .bytes = sizeof ref}, .scalar.ref = ref};
}

manta_arg manta_references(const manta_ref *refs, int64_t count) { return manta_vector(MANTA_TYPE_REF, count, refs); }

manta_arg manta_handle(manta_actor actor) {
    return (manta_arg){.value = {.type = MANTA_TYPE_ACTOR, .bytes = sizeof actor.ref}, .scalar.ref = actor.ref};
}
