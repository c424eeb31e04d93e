// Validating and copying spaces. Pure; any thread.
#include "rollout/space.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t mt_space_dtype_bytes(manta_dtype dtype) {
    switch (dtype) {
    case MANTA_F32: return 4;
    case MANTA_U8: return 1;
    case MANTA_I32: return 4;
    }
    return 0;
}

// kind, dtype and the number of dimensions go together
static mt_status check_form(const manta_space *space, const char *what) {
    if (space->struct_size < sizeof *space)
        return MT_FAIL(PLUGIN, "%s: struct_size is %u, version %u needs %zu; set it to sizeof(manta_space)", what,
            space->struct_size, MANTA_ENV_ABI_VERSION, sizeof *space);
    if (space->kind == MANTA_SPACE_DICT || space->kind == MANTA_SPACE_TUPLE)
        return MT_FAIL(UNSUPPORTED, "%s: dict and tuple spaces are reserved for a later version; flatten it into one box", what);
    if (space->kind < MANTA_SPACE_BOX || space->kind > MANTA_SPACE_MULTI_BINARY)
        return MT_FAIL(PLUGIN, "%s: kind %u is not a manta_space_kind", what, space->kind);
    if (!mt_space_dtype_bytes((manta_dtype)space->dtype))
        return MT_FAIL(PLUGIN, "%s: dtype %u is not MANTA_F32, MANTA_U8 or MANTA_I32", what, space->dtype);
    if (space->kind != MANTA_SPACE_BOX && space->dtype != MANTA_I32)
        return MT_FAIL(PLUGIN, "%s: discrete, multi-discrete and multi-binary arrays hold MANTA_I32, not dtype %u", what,
            space->dtype);
    uint32_t least = space->kind != MANTA_SPACE_DISCRETE, most = space->kind == MANTA_SPACE_BOX ? MANTA_SPACE_MAX_DIMS : least;
    if (space->ndim < least || space->ndim > most)
        return MT_FAIL(PLUGIN, "%s: ndim is %u, this kind has %u to %u dimensions", what, space->ndim, least, most);
    return MT_OK;
}

static mt_status check_shape(mt_space *out, const manta_space *space, const char *what) {
    out->count = 1;
    for (uint32_t d = 0; d < space->ndim; d++) {
        int64_t size = space->shape[d];
        if (size < 1 || size > MT_SPACE_MAX_ELEMENTS / out->count)
            return MT_FAIL(PLUGIN, "%s: shape[%u] is %lld; every dimension is 1 or more and an element has at most %lld values",
                what, d, (long long)size, (long long)MT_SPACE_MAX_ELEMENTS);
        out->shape[d] = size;
        out->count *= size;
    }
    out->bytes = (size_t)out->count * mt_space_dtype_bytes(out->dtype);
    return MT_OK;
}

static mt_status copy_bounds(mt_space *out, const manta_space *space, const char *what) {
    out->low = malloc((size_t)out->count * sizeof(float));
    out->high = malloc((size_t)out->count * sizeof(float));
    if (!out->low || !out->high) return MT_FAIL(NO_MEMORY, "%s: no memory for the bounds", what);
    out->bounded = 1;
    for (int64_t i = 0; i < out->count; i++) {
        float low = space->low ? space->low[i] : -INFINITY, high = space->high ? space->high[i] : INFINITY;
        if (!(low <= high))   // also NaN
            return MT_FAIL(PLUGIN, "%s: low[%lld] is %g and high[%lld] is %g; low must not be above high", what, (long long)i,
                (double)low, (long long)i, (double)high);
        out->low[i] = low;
        out->high[i] = high;
        out->bounded &= isfinite(low) && isfinite(high);
    }
    return MT_OK;
}

static mt_status copy_nvec(mt_space *out, const manta_space *space, const char *what) {
    int binary = out->kind == MANTA_SPACE_MULTI_BINARY;
    if (!binary && !space->nvec)
        return MT_FAIL(PLUGIN, "%s: nvec is NULL; give the number of values of each component", what);
    out->nvec = malloc((size_t)out->count * sizeof(int64_t));
    if (!out->nvec) return MT_FAIL(NO_MEMORY, "%s: no memory for nvec", what);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t values = binary ? 2 : space->nvec[i];
        if (values < 1 || values > MT_SPACE_MAX_ELEMENTS - out->logits)
            return MT_FAIL(PLUGIN, "%s: nvec[%lld] is %lld; 1 or more are needed, %lld in all at most", what, (long long)i,
                (long long)values, (long long)MT_SPACE_MAX_ELEMENTS);
        out->nvec[i] = values;
        out->logits += values;
    }
    return MT_OK;
}

mt_status mt_space_init(mt_space *out, const manta_space *space, const char *what) {
    memset(out, 0, sizeof *out);
    if (!space) return MT_FAIL(PLUGIN, "%s: the function returned NULL; return the instance's space", what);
    MT_TRY(check_form(space, what));
    mt_space made = {.kind = (manta_space_kind)space->kind, .dtype = (manta_dtype)space->dtype, .ndim = (int)space->ndim};
    mt_status status = check_shape(&made, space, what);
    if (status == MT_OK) status = (made.kind == MANTA_SPACE_BOX ? copy_bounds : copy_nvec)(&made, space, what);
    if (status != MT_OK)
        mt_space_fini(&made);
    else
        *out = made;
    return status;
}

void mt_space_fini(mt_space *space) {
    free(space->low);
    free(space->high);
    free(space->nvec);
    memset(space, 0, sizeof *space);
}

int mt_space_format(const mt_space *space, char *out, size_t out_bytes) {
    static const char *const names[] = {"?", "Box", "Discrete", "MultiDiscrete", "MultiBinary"};
    static const char *const types[] = {"?", "f32", "u8", "i32"};
    if (space->kind == MANTA_SPACE_DISCRETE) return snprintf(out, out_bytes, "Discrete(%lld)", (long long)space->nvec[0]);
    int list_nvec = space->kind == MANTA_SPACE_MULTI_DISCRETE, used = snprintf(out, out_bytes, "%s(", names[space->kind]);
    int64_t entries = list_nvec ? space->count : space->ndim, shown = entries > 8 ? 8 : entries;
    for (int64_t i = 0; i < shown; i++) {
        size_t left = (size_t)used < out_bytes ? out_bytes - (size_t)used : 0;
        used += snprintf(left ? out + used : NULL, left, i ? ", %lld" : "%lld",
            (long long)(list_nvec ? space->nvec[i] : space->shape[i]));
    }
    size_t left = (size_t)used < out_bytes ? out_bytes - (size_t)used : 0;
    used += snprintf(left ? out + used : NULL, left, "%s)%s%s", entries > shown ? ", ..." : "",
        space->kind == MANTA_SPACE_BOX ? " " : "", space->kind == MANTA_SPACE_BOX ? types[space->dtype] : "");
    return used;
}
