// Tensor views. Pure functions; any thread.
#include "engine/base/tensor.h"

#include <stdio.h>
#include <string.h>

static const struct {
    size_t bytes;
    const char *name;
} dtype_table[MT_DTYPE_COUNT] = {
#define MT_X(name, bytes, text) [MT_##name] = {bytes, text},
    MT_DTYPE_LIST(MT_X)
#undef MT_X
};

size_t mt_dtype_bytes(mt_dtype dtype) { return (unsigned)dtype < MT_DTYPE_COUNT ? dtype_table[dtype].bytes : 0; }
const char *mt_dtype_name(mt_dtype dtype) { return (unsigned)dtype < MT_DTYPE_COUNT ? dtype_table[dtype].name : "?"; }

int64_t mt_tensor_count(const mt_tensor *t) {
    int64_t count = 1;
    for (int d = 0; d < t->ndim; d++) count *= t->shape[d];
    return count;
}

size_t mt_tensor_bytes(const mt_tensor *t) { return (size_t)mt_tensor_count(t) * mt_dtype_bytes(t->dtype); }

int mt_tensor_same_shape(const mt_tensor *a, const mt_tensor *b) {
    return a->ndim == b->ndim && memcmp(a->shape, b->shape, sizeof a->shape[0] * (size_t)a->ndim) == 0;
}

int mt_tensor_format(const mt_tensor *t, char *out, size_t out_bytes) {
    char dims[32 * MT_MAX_DIMS] = "";
    size_t used = 0;
    for (int d = 0; d < t->ndim; d++)
        used += (size_t)snprintf(dims + used, sizeof dims - used, d ? ", %lld" : "%lld", (long long)t->shape[d]);
    return snprintf(out, out_bytes, "%s (%s)", mt_dtype_name(t->dtype), dims);
}
