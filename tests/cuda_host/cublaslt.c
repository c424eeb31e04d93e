// cuBLASLt: products of matrices in columns, D = α op(A) op(B) + β C, with the epilogues that manta asks for. fp32 or bf16 in,
// fp32 out; what is multiplied is rounded to TF32 where that is asked for. Any thread.
//
// An algorithm that the heuristic gives is good for the operation, shapes and alignments that it was asked about and for nothing
// else, and wants scratch space: both are looked at when it is used.
#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/report.h"
#include "tests/cuda_host/vendor.h"

enum { KIND_HANDLE = 0x4c740001, KIND_LAYOUT, KIND_OPERATION, KIND_PREFERENCE };
enum { SCRATCH_BYTES = 64 << 10, ALIGNMENT_STANDARD = 256 };

typedef struct layout {
    uint32_t kind;
    cudaDataType_t type;
    int64_t rows, columns, stride; // of a column
} layout;

typedef struct operation {
    uint32_t kind;
    cublasComputeType_t compute;
    cublasOperation_t transpose_a, transpose_b;
    cublasLtEpilogue_t epilogue;
    float *bias;
} operation;

typedef struct preference {
    uint32_t kind;
    uint32_t align[4]; // A, B, C, D
    size_t scratch_bytes;
} preference;

// what a cublasLtMatmulAlgo_t holds
typedef struct algorithm {
    uint32_t kind, align[4];
    uint32_t scratch_bytes;
    uint64_t asked_for; // a sum over operation and shapes
} algorithm;
_Static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t), "it has to hold that");

#define CALL(...) MT_HOST_VENDOR(cublasStatus_t, CUBLAS_STATUS_ALLOC_FAILED, CUBLAS_STATUS_EXECUTION_FAILED, __VA_ARGS__)

// ---- handles and descriptors

static cublasStatus_t create(void **out, size_t bytes, uint32_t kind, mt_host_object count) {
    *out = mt_host_handle_create(bytes, kind, count);
    return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t destroy(void *handle, uint32_t kind, const char *what, mt_host_object count) {
    mt_host_handle_destroy(handle, kind, what, count);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out) { CALL(create((void **)out, 64, KIND_HANDLE, MT_HOST_LIBRARY_HANDLE)); }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    CALL(destroy(handle, KIND_HANDLE, "cublasLtHandle_t", MT_HOST_LIBRARY_HANDLE));
}

static cublasStatus_t layout_create(
    cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows, uint64_t columns, int64_t stride) {
    if (type != CUDA_R_32F && type != CUDA_R_16BF) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (rows < 1 || columns < 1 || stride < (int64_t)rows) return CUBLAS_STATUS_INVALID_VALUE;
    layout *l = mt_host_handle_create(sizeof *l, KIND_LAYOUT, MT_HOST_DESCRIPTOR);
    l->type = type, l->rows = (int64_t)rows, l->columns = (int64_t)columns, l->stride = stride;
    *out = (cublasLtMatrixLayout_t)l;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(
    cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows, uint64_t columns, int64_t stride) {
    CALL(layout_create(out, type, rows, columns, stride));
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) {
    CALL(destroy(l, KIND_LAYOUT, "cublasLtMatrixLayout_t", MT_HOST_DESCRIPTOR));
}

static cublasStatus_t operation_create(cublasLtMatmulDesc_t *out, cublasComputeType_t compute, cudaDataType_t scale) {
    if (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    operation *o = mt_host_handle_create(sizeof *o, KIND_OPERATION, MT_HOST_DESCRIPTOR);
    o->compute = compute, o->transpose_a = o->transpose_b = CUBLAS_OP_N, o->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    *out = (cublasLtMatmulDesc_t)o;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute, cudaDataType_t scale) {
    CALL(operation_create(out, compute, scale));
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t o) {
    CALL(destroy(o, KIND_OPERATION, "cublasLtMatmulDesc_t", MT_HOST_DESCRIPTOR));
}

static cublasStatus_t take(void *to, size_t bytes, const void *from, size_t given) {
    if (!from || given != bytes) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, from, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t operation_set(operation *o, cublasLtMatmulDescAttributes_t which, const void *from, size_t bytes) {
    mt_host_handle_check(o, KIND_OPERATION, "cublasLtMatmulDesc_t");
    switch (which) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return take(&o->transpose_a, sizeof o->transpose_a, from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return take(&o->transpose_b, sizeof o->transpose_b, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return take(&o->epilogue, sizeof o->epilogue, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return take(&o->bias, sizeof o->bias, from, bytes);
    default: mt_host_fatal("cublasLtMatmulDescSetAttribute: tests/cuda_host does not know attribute %d", (int)which);
    }
}
cublasStatus_t cublasLtMatmulDescSetAttribute(
    cublasLtMatmulDesc_t o, cublasLtMatmulDescAttributes_t which, const void *from, size_t bytes) {
    CALL(operation_set((operation *)o, which, from, bytes));
}

static cublasStatus_t preference_create(cublasLtMatmulPreference_t *out) {
    preference *p = mt_host_handle_create(sizeof *p, KIND_PREFERENCE, MT_HOST_DESCRIPTOR);
    for (int i = 0; i < 4; i++) p->align[i] = ALIGNMENT_STANDARD;
    *out = (cublasLtMatmulPreference_t)p;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out) { CALL(preference_create(out)); }
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
    CALL(destroy(p, KIND_PREFERENCE, "cublasLtMatmulPreference_t", MT_HOST_DESCRIPTOR));
}
static cublasStatus_t preference_set(
    preference *p, cublasLtMatmulPreferenceAttributes_t which, const void *from, size_t bytes) {
    mt_host_handle_check(p, KIND_PREFERENCE, "cublasLtMatmulPreference_t");
    switch (which) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return take(&p->scratch_bytes, sizeof p->scratch_bytes, from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return take(&p->align[0], sizeof *p->align, from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return take(&p->align[1], sizeof *p->align, from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return take(&p->align[2], sizeof *p->align, from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return take(&p->align[3], sizeof *p->align, from, bytes);
    default: mt_host_fatal("cublasLtMatmulPreferenceSetAttribute: tests/cuda_host does not know attribute %d", (int)which);
    }
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t which, const void *from, size_t bytes) {
    CALL(preference_set((preference *)p, which, from, bytes));
}

// ---- which operation, and by which algorithm

typedef struct shape {
    int64_t m, n, k;
    const operation *operation;
    const layout *a, *b, *d;
} shape;

// INVALID_VALUE: matrices that do not fit each other
static cublasStatus_t shape_of(shape *s, const void *o, const void *a, const void *b, const void *c, const void *d) {
    *s = (shape){.operation = o, .a = a, .b = b, .d = d};
    mt_host_handle_check(o, KIND_OPERATION, "cublasLtMatmulDesc_t");
    const void *layouts[] = {a, b, c, d};
    for (int i = 0; i < 4; i++) mt_host_handle_check(layouts[i], KIND_LAYOUT, "cublasLtMatrixLayout_t");
    int ta = s->operation->transpose_a != CUBLAS_OP_N, tb = s->operation->transpose_b != CUBLAS_OP_N;
    s->m = s->d->rows, s->n = s->d->columns, s->k = ta ? s->a->rows : s->a->columns;
    const layout *c_layout = c;
    int fit = (ta ? s->a->columns : s->a->rows) == s->m && (tb ? s->b->columns : s->b->rows) == s->k &&
              (tb ? s->b->rows : s->b->columns) == s->n && c_layout->rows == s->m && c_layout->columns == s->n;
    if (!fit || s->a->type != s->b->type || s->d->type != CUDA_R_32F || c_layout->type != CUDA_R_32F)
        return CUBLAS_STATUS_INVALID_VALUE;
    // bf16 is multiplied in fp32 sums alone: what manta asks for
    if (s->a->type == CUDA_R_16BF && s->operation->compute != CUBLAS_COMPUTE_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

static uint64_t sum_of(const shape *s) {
    const operation *o = s->operation;
    const int64_t words[] = {s->m, s->n, s->k, o->compute, o->transpose_a, o->transpose_b, o->epilogue, s->a->type,
        s->a->stride, s->b->stride, s->d->stride};
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) sum = (sum ^ (uint64_t)words[i]) * 0x9e3779b97f4a7c15u;
    return sum;
}

static cublasStatus_t choose(const shape *s, const preference *p, int most, cublasLtMatmulHeuristicResult_t *out, int *count) {
    mt_host_handle_check(p, KIND_PREFERENCE, "cublasLtMatmulPreference_t");
    *count = 0;
    if (most < 1) return CUBLAS_STATUS_INVALID_VALUE;
    algorithm how = {.kind = KIND_HANDLE, .asked_for = sum_of(s)};
    how.scratch_bytes = p->scratch_bytes < SCRATCH_BYTES ? 0 : SCRATCH_BYTES;
    memcpy(how.align, p->align, sizeof how.align);
    memset(out, 0, sizeof *out);
    memcpy(&out->algo, &how, sizeof how);
    out->workspaceSize = how.scratch_bytes;
    out->wavesCount = 1;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t heuristic(cublasLtHandle_t handle, const void *o, const void *const layouts[4], const void *p, int most,
    cublasLtMatmulHeuristicResult_t *out, int *count) {
    shape s;
    mt_host_handle_check(handle, KIND_HANDLE, "cublasLtHandle_t");
    cublasStatus_t code = shape_of(&s, o, layouts[0], layouts[1], layouts[2], layouts[3]);
    return code == CUBLAS_STATUS_SUCCESS ? choose(&s, p, most, out, count) : code;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t o, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t p, int most,
    cublasLtMatmulHeuristicResult_t out[], int *count) {
    CALL(heuristic(handle, o, (const void *const[]){a, b, c, d}, p, most, out, count));
}

// ---- the product

typedef struct product {
    mt_host_operation operation;
    operation how; // copies of what the descriptors said
    layout a_layout, b_layout, d_layout;
    int64_t m, n, k;
    float alpha, beta;
    const void *a, *b;
    const float *c;
    float *d;
    algorithm chosen;
    void *scratch;
} product;

static size_t bytes_of(const layout *l) {
    size_t element = l->type == CUDA_R_32F ? 4 : 2;
    return element * (size_t)(l->stride * (l->columns - 1) + l->rows);
}

static float element(const layout *l, const void *from, int64_t row, int64_t column, int to_tf32) {
    const int64_t at = column * l->stride + row;
    uint32_t bits;
    float x;
    if (l->type == CUDA_R_16BF)
        bits = (uint32_t)((const uint16_t *)from)[at] << 16;
    else
        memcpy(&bits, (const float *)from + at, sizeof bits);
    if (to_tf32 && (bits & 0x7f800000u) != 0x7f800000u)
        bits = (bits + 0xfffu + (bits >> 13 & 1u)) & 0xffffe000u; // 10 bits of mantissa
    memcpy(&x, &bits, sizeof x);
    return x;
}

// op(A) as rows of k and columns of m, op(B) as rows of n and columns of k: a column of D is a row of their product
static float *multiply(const product *p) {
    const int tf32 = p->how.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && p->a_layout.type == CUDA_R_32F;
    const int ta = p->how.transpose_a != CUBLAS_OP_N, tb = p->how.transpose_b != CUBLAS_OP_N;
    float *a = mt_host_scratch_memory(sizeof(float) * (size_t)(p->k * p->m)),
          *b = mt_host_scratch_memory(sizeof(float) * (size_t)(p->n * p->k));
    float *d = mt_host_scratch_memory(sizeof(float) * (size_t)(p->n * p->m));
    for (int64_t k = 0; k < p->k; k++) {
        for (int64_t m = 0; m < p->m; m++) a[k * p->m + m] = element(&p->a_layout, p->a, ta ? k : m, ta ? m : k, tf32);
        for (int64_t n = 0; n < p->n; n++) b[n * p->k + k] = element(&p->b_layout, p->b, tb ? n : k, tb ? k : n, tf32);
    }
    mt_host_product(p->n, p->m, p->k, b, a, d);
    free(a);
    if (p->how.epilogue == CUBLASLT_EPILOGUE_BGRADB)
        for (int64_t n = 0; n < p->n; n++) {
            float sum = 0;
            for (int64_t k = 0; k < p->k; k++) sum += b[n * p->k + k];
            p->how.bias[n] = sum;
        }
    free(b);
    return d;
}

static void check_arrays(const product *p) {
    static const char name[] = "cublasLtMatmul";
    const size_t a = bytes_of(&p->a_layout), b = bytes_of(&p->b_layout), d = bytes_of(&p->d_layout);
    const int writes_bias = p->how.epilogue == CUBLASLT_EPILOGUE_BGRADB;
    const size_t bias = p->how.epilogue == CUBLASLT_EPILOGUE_DEFAULT || p->how.epilogue == CUBLASLT_EPILOGUE_RELU
                            ? 0
                            : 4 * (size_t)(writes_bias ? p->n : p->m);
    mt_host_vendor_array(name, "A", p->a, a, p->chosen.align[0]);
    mt_host_vendor_array(name, "B", p->b, b, p->chosen.align[1]);
    if (p->beta != 0) mt_host_vendor_array(name, "C", p->c, d, p->chosen.align[2]);
    mt_host_vendor_array(name, "D", p->d, d, p->chosen.align[3]);
    mt_host_vendor_array(name, "the bias", p->how.bias, bias, 4);
    mt_host_vendor_apart(name, "A and D", p->a, a, p->d, d);
    mt_host_vendor_apart(name, "B and D", p->b, b, p->d, d);
    if (p->c != p->d && p->beta != 0) mt_host_vendor_apart(name, "C and D", p->c, d, p->d, d);
    if (!p->chosen.scratch_bytes) return;
    mt_host_vendor_apart(name, "A and the scratch space", p->a, a, p->scratch, p->chosen.scratch_bytes);
    mt_host_vendor_apart(name, "B and the scratch space", p->b, b, p->scratch, p->chosen.scratch_bytes);
    mt_host_vendor_apart(name, "D and the scratch space", p->d, d, p->scratch, p->chosen.scratch_bytes);
}

static mt_host_step product_run(mt_host_operation *o, void **state) {
    const product *p = (product *)o;
    (void)state;
    check_arrays(p);
    mt_host_vendor_scratch("cublasLtMatmul", p->scratch, p->chosen.scratch_bytes);
    const int with_bias = p->how.epilogue == CUBLASLT_EPILOGUE_BIAS || p->how.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
    const int relu = p->how.epilogue == CUBLASLT_EPILOGUE_RELU || p->how.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
    float *made = multiply(p);
    for (int64_t n = 0; n < p->n; n++)
        for (int64_t m = 0; m < p->m; m++) {
            const int64_t at = n * p->d_layout.stride + m;
            float x = p->alpha * made[n * p->m + m];
            if (p->beta != 0) x += p->beta * p->c[at];
            if (with_bias) x += p->how.bias[m];
            p->d[at] = relu && x < 0 ? 0 : x;
        }
    free(made);
    return MT_HOST_DONE;
}

static int known(cublasLtEpilogue_t epilogue) {
    return epilogue == CUBLASLT_EPILOGUE_DEFAULT || epilogue == CUBLASLT_EPILOGUE_RELU || epilogue == CUBLASLT_EPILOGUE_BIAS ||
           epilogue == CUBLASLT_EPILOGUE_RELU_BIAS || epilogue == CUBLASLT_EPILOGUE_BGRADB;
}

static cublasStatus_t matmul(
    const shape *s, product say, const cublasLtMatmulAlgo_t *algo, size_t scratch_bytes, mt_host_stream *stream) {
    if (!known(s->operation->epilogue))
        mt_host_fatal("cublasLtMatmul: tests/cuda_host does not know epilogue %d", (int)s->operation->epilogue);
    if (!algo) mt_host_fatal("cublasLtMatmul without an algorithm");
    memcpy(&say.chosen, algo, sizeof say.chosen);
    if (say.chosen.kind != KIND_HANDLE || say.chosen.asked_for != sum_of(s))
        mt_host_fatal("cublasLtMatmul: this algorithm was chosen for another operation or shape");
    if (scratch_bytes < say.chosen.scratch_bytes) return CUBLAS_STATUS_INVALID_VALUE;
    if (stream->device != mt_host_device_current()) return CUBLAS_STATUS_INVALID_VALUE;
    product *p = (product *)mt_host_operation_create(sizeof *p, "cublasLtMatmul", stream->device, product_run, NULL);
    say.operation = p->operation;
    say.how = *s->operation, say.a_layout = *s->a, say.b_layout = *s->b, say.d_layout = *s->d;
    say.m = s->m, say.n = s->n, say.k = s->k;
    *p = say;
    return mt_host_submit(stream, &p->operation, NULL, 0, NULL) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                                               : CUBLAS_STATUS_EXECUTION_FAILED;
}
static cublasStatus_t enter_matmul(cublasLtHandle_t handle, const void *o, const void *const layouts[4], product say,
    const cublasLtMatmulAlgo_t *algo, size_t scratch_bytes, cudaStream_t stream) {
    shape s;
    mt_host_handle_check(handle, KIND_HANDLE, "cublasLtHandle_t");
    cublasStatus_t code = shape_of(&s, o, layouts[0], layouts[1], layouts[2], layouts[3]);
    return code == CUBLAS_STATUS_SUCCESS ? matmul(&s, say, algo, scratch_bytes, mt_host_stream_of(stream)) : code;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t o, const void *alpha, const void *a,
    cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
    cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo, void *scratch,
    size_t scratch_bytes, cudaStream_t stream) {
    product say = {
        .alpha = *(const float *)alpha, .beta = *(const float *)beta, .a = a, .b = b, .c = c, .d = d, .scratch = scratch};
    CALL(enter_matmul(
        handle, o, (const void *const[]){a_layout, b_layout, c_layout, d_layout}, say, algo, scratch_bytes, stream));
}

const char *cublasLtGetStatusString(cublasStatus_t code) {
    switch (code) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR: return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR: return "CUBLAS_STATUS_LICENSE_ERROR";
    default: return "an unknown cuBLAS status";
    }
}
