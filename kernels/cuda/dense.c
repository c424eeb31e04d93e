// Dense layers on the GPU, forward and backward, by the vendor's matrix products (cuBLASLt):
//   forward    y = act(x Wᵀ + b)                                        2·B·I·O flop
//   backward   dw (+)= dzᵀ x,  db (+)= Σ_B dz,  dx = (dz W) ∘ act'(x)   4·B·I·O flop
// Shapes in kernels.h. The product's own epilogue adds the bias, applies relu, and sums db where it overwrites; tanh,
// elu, silu and the exact gelu (the library's is the tanh approximation) follow as activate.cu's pass over the result,
// act' as its backward pass. What the library needs to know about a shape, its choice of algorithm included, is found
// once and kept.
//
// In bf16 what is multiplied is rounded to 7 bits of mantissa first, weights, inputs and gradients alike, while the master weights,
// the sums, the bias and everything between layers stay fp32: half the context's scratch space takes the rounded copies, as many
// rows at a time as it holds, the other half is the library's.
//
// The library counts in columns: a row-major (B, I) array is its I × B matrix, so y (O × B) = W (I × O)ᵀ · x (I × B).
// Determinism: the same bits from the same call on the same GPU and library; across GPUs, or for a row among other
// rows, the order of sums may differ. One caller at a time, as for its context.
#include "kernels/cuda/dense.h"

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>
#include "engine/device/cuda_library.h"

enum { PLANS = 128, ALIGNMENT_MOST = 256, ROWS_EACH = 8 };

static mt_status check(cublasStatus_t code, const char *call, int line) {
    if (code == CUBLAS_STATUS_SUCCESS) return MT_OK;
    return mt_cuda_library_check(MT_LIBRARY_CUBLASLT, (int)code, cublasLtGetStatusString(code), NULL, call, __FILE__, line);
}
#define LT(call) MT_TRY(check((call), #call, __LINE__))

// ---- plans: one a shape

typedef struct plan_key {
    int64_t m, n, k; // the library's: D (m × n) = op(A) op(B), k long
    int32_t transpose_a, transpose_b;
    int32_t epilogue, accumulate;
    int64_t alignment; // bytes that all pointers are multiples of
} plan_key;            // no padding: compared as bytes
_Static_assert(sizeof(plan_key) == 48, "no padding");

typedef struct plan {
    plan_key key;
    int used;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace_bytes;
} plan;

struct mt_cuda_dense {
    const mt_cuda *c; // borrowed
    mt_cuda_precision precision;
    cublasLtHandle_t handle;
    size_t workspace_bytes; // the library's part of the context's scratch space; behind it what is rounded to bf16
    int next; // the plan that the next new shape replaces once all are taken
    plan plans[PLANS];
};

static void plan_fini(plan *p) {
    if (p->d) cublasLtMatrixLayoutDestroy(p->d);
    if (p->b) cublasLtMatrixLayoutDestroy(p->b);
    if (p->a) cublasLtMatrixLayoutDestroy(p->a);
    if (p->operation) cublasLtMatmulDescDestroy(p->operation);
    memset(p, 0, sizeof *p);
}

static mt_status plan_describe(mt_cuda_dense *dense, plan *p) {
    const plan_key *key = &p->key;
    cublasOperation_t ta = key->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
                      tb = key->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = (cublasLtEpilogue_t)key->epilogue;
    int64_t a_rows = key->transpose_a ? key->k : key->m, a_columns = key->transpose_a ? key->m : key->k;
    int64_t b_rows = key->transpose_b ? key->n : key->k, b_columns = key->transpose_b ? key->k : key->n;
    cudaDataType_t multiplied = dense->precision == MT_CUDA_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    LT(cublasLtMatmulDescCreate(&p->operation,
        dense->precision == MT_CUDA_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
    LT(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta));
    LT(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb));
    LT(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    LT(cublasLtMatrixLayoutCreate(&p->a, multiplied, (uint64_t)a_rows, (uint64_t)a_columns, a_rows));
    LT(cublasLtMatrixLayoutCreate(&p->b, multiplied, (uint64_t)b_rows, (uint64_t)b_columns, b_rows));
    LT(cublasLtMatrixLayoutCreate(&p->d, CUDA_R_32F, (uint64_t)key->m, (uint64_t)key->n, key->m));
    return MT_OK;
}

static mt_status plan_choose(mt_cuda_dense *dense, plan *p, cublasLtMatmulPreference_t preference) {
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    uint32_t alignment = (uint32_t)p->key.alignment;
    size_t workspace_bytes = dense->workspace_bytes;
    LT(cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes, sizeof workspace_bytes));
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++)
        LT(cublasLtMatmulPreferenceSetAttribute(preference, alignments[i], &alignment, sizeof alignment));
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    LT(cublasLtMatmulAlgoGetHeuristic(
        dense->handle, p->operation, p->a, p->b, p->d, p->d, preference, 1, &found, &count));
    if (count < 1) return check(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic", __LINE__);
    p->algorithm = found.algo;
    p->workspace_bytes = found.workspaceSize;
    return MT_OK;
}

static mt_status plan_make(mt_cuda_dense *dense, const plan_key *key, const void *bias, plan **out) {
    plan *p = &dense->plans[dense->next];
    cublasLtMatmulPreference_t preference;
    plan_fini(p);
    p->key = *key;
    mt_status status = plan_describe(dense, p);
    // the choice may depend on there being a bias
    if (status == MT_OK && bias)
        status =
            check(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
                "bias", __LINE__);
    if (status == MT_OK)
        status = check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate", __LINE__);
    if (status == MT_OK) {
        status = plan_choose(dense, p, preference);
        cublasLtMatmulPreferenceDestroy(preference);
    }
    if (status != MT_OK) {
        plan_fini(p);
        return status;
    }
    p->used = 1;
    dense->next = (dense->next + 1) % PLANS;
    *out = p;
    return MT_OK;
}

// D = op(A) op(B) + accumulate · D, then the epilogue; bias is what it reads or, for db, writes
static mt_status product(mt_cuda_dense *dense, plan_key key, const void *a, const void *b, void *d, const void *bias) {
    const float one = 1, beta = key.accumulate ? 1.0f : 0.0f;
    uintptr_t places = (uintptr_t)a | (uintptr_t)b | (uintptr_t)d | (uintptr_t)bias | ALIGNMENT_MOST;
    key.alignment = (int64_t)(places & -places);
    MT_TRY(mt_cuda_use(dense->c->device));
    plan *p = NULL;
    for (int i = 0; i < PLANS && !p; i++)
        if (dense->plans[i].used && memcmp(&dense->plans[i].key, &key, sizeof key) == 0) p = &dense->plans[i];
    if (!p) MT_TRY(plan_make(dense, &key, bias, &p));
    if (bias) LT(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
    LT(cublasLtMatmul(dense->handle, p->operation, &one, a, p->a, b, p->b, &beta, d, p->d, d, p->d, &p->algorithm,
        dense->c->workspace, p->workspace_bytes, dense->c->stream));
    return MT_OK;
}

// ---- rounding to bf16

// The copies behind the library's part: the weights, then x and dz of as many rows as fit.
typedef struct rounded {
    uint16_t *weight, *x, *dz; // weight: NULL where none is wanted
    int64_t rows;              // at once
} rounded;

static size_t padded(size_t bytes) { return (bytes + ALIGNMENT_MOST - 1) / ALIGNMENT_MOST * ALIGNMENT_MOST; }

static mt_status round_weights(const mt_cuda_dense *dense, int in, int out, const float *weight, rounded *r) {
    const size_t all = dense->c->workspace_bytes - dense->workspace_bytes, count = (size_t)in * (size_t)out,
                 weights = weight ? padded(count * sizeof *r->weight) : 0, row = ((size_t)in + (size_t)out) * sizeof *r->x;
    char *space = (char *)dense->c->workspace + dense->workspace_bytes;
    if (weights + 2 * ALIGNMENT_MOST + ROWS_EACH * row > all)
        return MT_FAIL(NO_MEMORY,
            "a dense layer of %d to %d in bf16 needs more than %zu bytes of scratch space; give mt_cuda_init at least %zu", in, out,
            dense->c->workspace_bytes, 2 * (weights + 2 * ALIGNMENT_MOST + ROWS_EACH * row));
    r->rows = (int64_t)((all - weights - 2 * ALIGNMENT_MOST) / row) / ROWS_EACH * ROWS_EACH;
    r->weight = weight ? (uint16_t *)(void *)space : NULL;
    r->x = (uint16_t *)(void *)(space + weights);
    r->dz = (uint16_t *)(void *)(space + weights + padded((size_t)r->rows * (size_t)in * sizeof *r->x));
    return weight ? mt_cuda_round_bf16(dense->c, (int64_t)count, weight, r->weight) : MT_OK;
}

static int64_t rows_left(const rounded *r, int64_t rows, int64_t first) { return rows - first < r->rows ? rows - first : r->rows; }

// ---- the layer's three products, on what is rounded where that is wanted

// y = x Wᵀ (+ b, relu)
static mt_status outputs(mt_cuda_dense *dense, const mt_dense_forward *a, cublasLtEpilogue_t epilogue, float *to) {
    plan_key key = {.m = a->out, .n = a->rows, .k = a->in, .transpose_a = 1, .epilogue = (int32_t)epilogue};
    if (dense->precision != MT_CUDA_BF16) return product(dense, key, a->weight, a->x, to, a->bias);
    rounded r;
    MT_TRY(round_weights(dense, a->in, a->out, a->weight, &r));
    for (int64_t first = 0; first < a->rows; first += r.rows) {
        key.n = rows_left(&r, a->rows, first);
        MT_TRY(mt_cuda_round_bf16(dense->c, key.n * a->in, a->x + first * a->in, r.x));
        MT_TRY(product(dense, key, r.weight, r.x, to + first * a->out, a->bias));
    }
    return MT_OK;
}

// dx (+)= dz W
mt_status mt_cuda_dense_inputs(mt_cuda_dense *dense, int64_t rows, int in, int out, const float *weight, const float *dz,
    float *dx, int accumulate) {
    plan_key key = {.m = in, .n = rows, .k = out, .accumulate = accumulate != 0, .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
    if (dense->precision != MT_CUDA_BF16) return product(dense, key, weight, dz, dx, NULL);
    rounded r;
    MT_TRY(round_weights(dense, in, out, weight, &r));
    for (int64_t first = 0; first < rows; first += r.rows) {
        key.n = rows_left(&r, rows, first);
        MT_TRY(mt_cuda_round_bf16(dense->c, key.n * out, dz + first * out, r.dz));
        MT_TRY(product(dense, key, r.weight, r.dz, dx + first * in, NULL));
    }
    return MT_OK;
}

// dw (+)= dzᵀ x, and db = Σ dz where the library can sum it on the way
static mt_status weights(mt_cuda_dense *dense, const mt_dense_backward *a) {
    const int fused = a->db && !a->accumulate && dense->precision != MT_CUDA_BF16;
    plan_key key = {.m = a->in, .n = a->out, .k = a->rows, .transpose_b = 1, .accumulate = a->accumulate != 0,
        .epilogue = fused ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_DEFAULT};
    if (a->db && !fused) MT_TRY(mt_cuda_column_sums(dense->c, a->rows, a->out, a->dz, a->db, a->accumulate));
    if (dense->precision != MT_CUDA_BF16) return product(dense, key, a->x, a->dz, a->dw, fused ? a->db : NULL);
    rounded r;
    MT_TRY(round_weights(dense, a->in, a->out, NULL, &r));
    for (int64_t first = 0; first < a->rows; first += r.rows) {
        key.k = rows_left(&r, a->rows, first);
        MT_TRY(mt_cuda_round_bf16(dense->c, key.k * a->in, a->x + first * a->in, r.x));
        MT_TRY(mt_cuda_round_bf16(dense->c, key.k * a->out, a->dz + first * a->out, r.dz));
        MT_TRY(product(dense, key, r.x, r.dz, a->dw, NULL));
        key.accumulate = 1;
    }
    return MT_OK;
}

// ---- the layer

mt_status mt_cuda_dense_create(const mt_cuda *c, mt_cuda_precision precision, mt_cuda_dense **out) {
    *out = NULL;
    mt_cuda_dense *dense = calloc(1, sizeof *dense);
    if (!dense) return MT_FAIL(NO_MEMORY, "out of memory for the dense layers' plans");
    dense->c = c;
    dense->precision = precision;
    dense->workspace_bytes = c->workspace_bytes;
    if (precision == MT_CUDA_BF16) dense->workspace_bytes = c->workspace_bytes / 2 / ALIGNMENT_MOST * ALIGNMENT_MOST;
    mt_status status = mt_cuda_use(c->device);
    if (status == MT_OK) status = check(cublasLtCreate(&dense->handle), "cublasLtCreate", __LINE__);
    if (status != MT_OK) {
        free(dense);
        return status;
    }
    *out = dense;
    return MT_OK;
}

mt_cuda_precision mt_cuda_dense_precision(const mt_cuda_dense *dense) { return dense->precision; }

void mt_cuda_dense_destroy(mt_cuda_dense *dense) {
    if (!dense) return;
    for (int i = 0; i < PLANS; i++) plan_fini(&dense->plans[i]);
    cublasLtDestroy(dense->handle);
    free(dense);
}

mt_status mt_cuda_dense_forward(mt_cuda_dense *dense, const mt_dense_forward *a) {
    if (a->rows < 1) return MT_OK;
    MT_ASSERT(a->pre || !mt_activation_needs_pre(a->activation));
    int relu = a->activation == MT_ACT_relu && !a->pre, whole = relu || (a->activation == MT_ACT_identity && !a->pre);
    float *to = a->pre ? a->pre : a->y;
    cublasLtEpilogue_t epilogue = a->bias ? (relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS)
                                          : (relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT);
    MT_TRY(outputs(dense, a, epilogue, to));
    return whole ? MT_OK : mt_cuda_activate(dense->c, a->activation, a->rows * a->out, to, a->y);
}

mt_status mt_cuda_dense_backward(mt_cuda_dense *dense, const mt_dense_backward *a) {
    if (a->rows < 1) {
        if (a->accumulate) return MT_OK;
        if (a->db) MT_TRY(mt_cuda_zero(dense->c, a->db, sizeof *a->db * (size_t)a->out));
        return mt_cuda_zero(dense->c, a->dw, sizeof *a->dw * (size_t)a->out * (size_t)a->in);
    }
    MT_TRY(weights(dense, a));
    if (!a->dx) return MT_OK;
    MT_TRY(mt_cuda_dense_inputs(dense, a->rows, a->in, a->out, a->weight, a->dz, a->dx, 0));
    if (a->x_activation == MT_ACT_identity) return MT_OK;
    return mt_cuda_activate_backward(dense->c, a->x_activation, a->rows * a->in, a->x, a->x_pre, a->dx, a->dx);
}
