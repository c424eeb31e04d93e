// Tensor views: a pointer, a type and a shape. A view owns nothing and is passed by value or const pointer.
// Always dense and row-major; the last dimension is contiguous.
#ifndef MANTA_ENGINE_BASE_TENSOR_H
#define MANTA_ENGINE_BASE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_MAX_DIMS = 6 };

// X(name, bytes, safetensors name)
#define MT_DTYPE_LIST(X)                                                                                               \
    X(F32, 4, "F32")                                                                                                   \
    X(F64, 8, "F64")                                                                                                   \
    X(BF16, 2, "BF16")                                                                                                 \
    X(I32, 4, "I32")                                                                                                   \
    X(I64, 8, "I64")                                                                                                   \
    X(U32, 4, "U32")                                                                                                   \
    X(U64, 8, "U64")                                                                                                   \
    X(U8, 1, "U8")

typedef enum mt_dtype {
#define MT_X(name, bytes, text) MT_##name,
    MT_DTYPE_LIST(MT_X)
#undef MT_X
    MT_DTYPE_COUNT
} mt_dtype;

typedef struct mt_tensor {
    void *data;                  // view
    mt_dtype dtype;
    int ndim;                    // 0 = a scalar
    int64_t shape[MT_MAX_DIMS];  // unused entries are 0
} mt_tensor;

size_t mt_dtype_bytes(mt_dtype dtype);
const char *mt_dtype_name(mt_dtype dtype);                    // "F32"; "?" for a value outside the list
int64_t mt_tensor_count(const mt_tensor *t);                  // elements; 1 for a scalar
size_t mt_tensor_bytes(const mt_tensor *t);
int mt_tensor_same_shape(const mt_tensor *a, const mt_tensor *b);
int mt_tensor_format(const mt_tensor *t, char *out, size_t out_bytes);   // "F32 (64, 4)"; snprintf's result

#ifdef __cplusplus
}
#endif
#endif
