// Validating and copying spaces; where the parts of a dict lie. Pure; any thread.
#include "rollout/space.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
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

// ---------------------------------------------------------------- boxes and discrete kinds

static mt_status init_leaf(mt_space *out, const manta_space *space, const char *what) {
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

static mt_status check_head(const manta_space *space, const char *what) {
    if (!space) return MT_FAIL(PLUGIN, "%s: the function returned NULL; return the instance's space", what);
    if (space->struct_size < sizeof *space)
        return MT_FAIL(PLUGIN, "%s: struct_size is %u, version %u needs %zu; set it to sizeof(manta_space)", what,
            space->struct_size, MANTA_ENV_ABI_VERSION, sizeof *space);
    if (space->kind < MANTA_SPACE_BOX || space->kind > MANTA_SPACE_TUPLE)
        return MT_FAIL(PLUGIN, "%s: kind %u is not a manta_space_kind", what, space->kind);
    return MT_OK;
}

// ---------------------------------------------------------------- dict and tuple

static int is_composite(uint32_t kind) { return kind == MANTA_SPACE_DICT || kind == MANTA_SPACE_TUPLE; }

// where the next part of a struct begins, and what its end is padded to
typedef struct layout {
    size_t bytes, alignment;
} layout;

static size_t align_up(size_t bytes, size_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

static int valid_name(const char *name) {
    size_t length = name ? strnlen(name, MANTA_SPACE_NAME_BYTES) : 0;
    if (length == 0 || length == MANTA_SPACE_NAME_BYTES) return 0;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_' && name[i] != '-') return 0;
    return 1;
}

// path of child `index` of the space at `path` ("" for the whole)
static mt_status name_child(const manta_space *space, uint32_t index, const char *what, const char *path,
    char out[MANTA_SPACE_NAME_BYTES]) {
    char number[16];
    const char *name = space->children[index]->name;
    if (space->kind == MANTA_SPACE_TUPLE) {
        snprintf(number, sizeof number, "%u", index);
        name = number;
    } else if (!valid_name(name)) {
        return MT_FAIL(PLUGIN, "%s: the name of child %u is %s; give it 1 to %d of the characters A-Z a-z 0-9 _ -", what, index,
            name ? "not one that is allowed" : "NULL", MANTA_SPACE_NAME_BYTES - 1);
    }
    for (uint32_t k = 0; k < index && space->kind == MANTA_SPACE_DICT; k++)
        if (strcmp(space->children[k]->name, name) == 0)
            return MT_FAIL(PLUGIN, "%s: two children are called %s; give each a name of its own", what, name);
    int length = snprintf(out, MANTA_SPACE_NAME_BYTES, "%s%s%s", path, *path ? "." : "", name);
    if (length >= MANTA_SPACE_NAME_BYTES)
        return MT_FAIL(PLUGIN, "%s: %s.%s is longer than %d characters; shorten the names", what, path, name,
            MANTA_SPACE_NAME_BYTES - 1);
    return MT_OK;
}

static mt_status add_part(mt_space *whole, const manta_space *space, const char *what, const char *name, layout *at) {
    if (whole->part_count == MANTA_SPACE_MAX_PARTS)
        return MT_FAIL(PLUGIN, "%s: more than %d parts; put those of one kind into one box", what, MANTA_SPACE_MAX_PARTS);
    mt_space *part = &whole->parts[whole->part_count];
    MT_TRY(init_leaf(part, space, what));
    whole->part_count++;   // from here on mt_space_fini frees it
    if (part->count > MT_SPACE_MAX_ELEMENTS - whole->count)
        return MT_FAIL(PLUGIN, "%s: the parts have more than %lld values together", what, (long long)MT_SPACE_MAX_ELEMENTS);
    size_t size = mt_space_dtype_bytes(part->dtype);
    memcpy(part->name, name, sizeof part->name);
    part->offset = align_up(at->bytes, size);
    whole->count += part->count;
    whole->bounded &= part->kind != MANTA_SPACE_BOX || part->bounded;
    *at = (layout){part->offset + part->bytes, size > at->alignment ? size : at->alignment};
    return MT_OK;
}

// Appends the parts of a dict or tuple to whole->parts, with offsets from its own start; *out is its size and alignment.
// Children may point anywhere, back at their parents too: the number of levels ends the recursion, that of parts the loop,
// since every level brings at least one part.
static mt_status add_children(mt_space *whole, const manta_space *space, const char *what, const char *path, int depth, layout *out) {
    *out = (layout){0, 1};
    if (depth > MANTA_SPACE_MAX_DEPTH)
        return MT_FAIL(PLUGIN, "%s: more than %d dicts or tuples inside one another; flatten some", what, MANTA_SPACE_MAX_DEPTH);
    if (space->child_count == 0 || space->child_count > MANTA_SPACE_MAX_PARTS || !space->children)
        return MT_FAIL(PLUGIN, "%s: child_count is %u and children is %s; a dict or tuple has 1 to %d", what, space->child_count,
            space->children ? "given" : "NULL", MANTA_SPACE_MAX_PARTS);
    for (uint32_t i = 0; i < space->child_count; i++) {
        const manta_space *child = space->children[i];
        char name[MANTA_SPACE_NAME_BYTES] = "", part[320];
        if (!child) return MT_FAIL(PLUGIN, "%s: children[%u] is NULL; child_count is %u", what, i, space->child_count);
        MT_TRY(name_child(space, i, what, path, name));
        snprintf(part, sizeof part, depth == 1 ? "%s, part %s" : "%s.%s", what, depth == 1 ? name : strrchr(name, '.') + 1);
        MT_TRY(check_head(child, part));
        if (!is_composite(child->kind)) {
            MT_TRY(add_part(whole, child, part, name, out));
            continue;
        }
        layout inner;
        int first = whole->part_count;
        MT_TRY(add_children(whole, child, part, name, depth + 1, &inner));
        size_t start = align_up(out->bytes, inner.alignment);
        for (int k = first; k < whole->part_count; k++) whole->parts[k].offset += start;
        *out = (layout){start + inner.bytes, inner.alignment > out->alignment ? inner.alignment : out->alignment};
    }
    out->bytes = align_up(out->bytes, out->alignment);
    return MT_OK;
}

static mt_status init_composite(mt_space *out, const manta_space *space, const char *what) {
    mt_space made = {.kind = (manta_space_kind)space->kind, .bounded = 1};
    made.parts = calloc(MANTA_SPACE_MAX_PARTS, sizeof *made.parts);
    if (!made.parts) return MT_FAIL(NO_MEMORY, "%s: no memory for its parts", what);
    layout all;
    mt_status status = add_children(&made, space, what, "", 1, &all);
    made.bytes = all.bytes;
    if (status != MT_OK)
        mt_space_fini(&made);
    else
        *out = made;
    return status;
}

// ---------------------------------------------------------------- any

mt_status mt_space_init(mt_space *out, const manta_space *space, const char *what) {
    memset(out, 0, sizeof *out);
    MT_TRY(check_head(space, what));
    return (is_composite(space->kind) ? init_composite : init_leaf)(out, space, what);
}

mt_status mt_space_init_action(mt_space *out, const manta_space *space, const char *what) {
    memset(out, 0, sizeof *out);
    MT_TRY(check_head(space, what));
    if (is_composite(space->kind))
        return MT_FAIL(UNSUPPORTED, "%s: actions of several parts are not supported; put them into one box, or into one "
            "multi-discrete space", what);
    if (space->kind == MANTA_SPACE_BOX && space->dtype != MANTA_F32)
        return MT_FAIL(UNSUPPORTED, "%s: a box of actions must be MANTA_F32; use a discrete kind for integers", what);
    return init_leaf(out, space, what);
}

void mt_space_fini(mt_space *space) {
    for (int i = 0; i < space->part_count; i++) mt_space_fini(&space->parts[i]);
    free(space->parts);
    free(space->low);
    free(space->high);
    free(space->nvec);
    memset(space, 0, sizeof *space);
}

// ---------------------------------------------------------------- as text

// snprintf behind what is there already: `used` may be past the end
static int append(char *out, size_t out_bytes, int used, const char *format, ...) __attribute__((format(printf, 4, 5)));
static int append(char *out, size_t out_bytes, int used, const char *format, ...) {
    size_t left = (size_t)used < out_bytes ? out_bytes - (size_t)used : 0;
    va_list args;
    va_start(args, format);
    used += vsnprintf(left ? out + used : NULL, left, format, args);
    va_end(args);
    return used;
}

static int format_leaf(const mt_space *space, char *out, size_t out_bytes, int used) {
    static const char *const names[] = {"?", "Box", "Discrete", "MultiDiscrete", "MultiBinary"};
    static const char *const types[] = {"?", "f32", "u8", "i32"};
    int list_nvec = space->kind == MANTA_SPACE_DISCRETE || space->kind == MANTA_SPACE_MULTI_DISCRETE;
    int64_t entries = list_nvec ? space->count : space->ndim, shown = entries > 8 ? 8 : entries;
    used = append(out, out_bytes, used, "%s(", names[space->kind]);
    for (int64_t i = 0; i < shown; i++)
        used = append(out, out_bytes, used, i ? ", %lld" : "%lld", (long long)(list_nvec ? space->nvec[i] : space->shape[i]));
    return append(out, out_bytes, used, "%s)%s%s", entries > shown ? ", ..." : "", space->kind == MANTA_SPACE_BOX ? " " : "",
        space->kind == MANTA_SPACE_BOX ? types[space->dtype] : "");
}

int mt_space_format(const mt_space *space, char *out, size_t out_bytes) {
    if (!space->parts) return format_leaf(space, out, out_bytes, 0);
    int used = append(out, out_bytes, 0, space->kind == MANTA_SPACE_DICT ? "Dict(" : "Tuple(");
    for (int i = 0; i < space->part_count; i++) {
        used = append(out, out_bytes, used, "%s%s: ", i ? ", " : "", space->parts[i].name);
        used = format_leaf(&space->parts[i], out, out_bytes, used);
    }
    return append(out, out_bytes, used, ")");
}
