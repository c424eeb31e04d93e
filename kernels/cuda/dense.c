// Dense layers on the GPU, forward and backward, by the vendor's matrix products (cuBLASLt):
//   forward    y = act(x Wᵀ + b)                                        2·B·I·O flop
//   backward   dw (+)= dzᵀ x,  db (+)= Σ_B dz,  dx = (dz W) ∘ act'(x)   4·B·I·O flop
// Shapes in kernels.h. The product's own epilogue adds the bias, applies relu, and sums db where it overwrites; tanh,
// elu, silu and the exact gelu (the library's is the tanh approximation) follow as activate.cu's pass over the result,
// act' as its backward pass. What the library needs to know about a shape, its choice of algorithm included, is found
// once and kept.
//
// The library counts in columns: a row-major (B, I) array is its I × B matrix, so y (O × B) = W (I × O)ᵀ · x (I × B).
// Determinism: the same bits from the same call on the same GPU and library; across GPUs, or for a row among other
// rows, the order of sums may differ. One caller at a time, as for its context.
#include "kernels/cuda/dense.h"

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>
#include "engine/device/cuda_library.h"

enum { PLANS = 128, ALIGNMENT_MOST = 256 };

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
    cublasLtHandle_t handle;
    cublasComputeType_t compute;
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
    LT(cublasLtMatmulDescCreate(&p->operation, dense->compute, CUDA_R_32F));
    LT(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta));
    LT(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb));
    LT(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    LT(cublasLtMatrixLayoutCreate(&p->a, CUDA_R_32F, (uint64_t)a_rows, (uint64_t)a_columns, a_rows));
    LT(cublasLtMatrixLayoutCreate(&p->b, CUDA_R_32F, (uint64_t)b_rows, (uint64_t)b_columns, b_rows));
    LT(cublasLtMatrixLayoutCreate(&p->d, CUDA_R_32F, (uint64_t)key->m, (uint64_t)key->n, key->m));
    return MT_OK;
}

static mt_status plan_choose(mt_cuda_dense *dense, plan *p, cublasLtMatmulPreference_t preference) {
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    uint32_t alignment = (uint32_t)p->key.alignment;
    size_t workspace_bytes = dense->c->workspace_bytes;
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

// ---- the layer

mt_status mt_cuda_dense_create(const mt_cuda *c, int tf32, mt_cuda_dense **out) {
    *out = NULL;
    mt_cuda_dense *dense = calloc(1, sizeof *dense);
    if (!dense) return MT_FAIL(NO_MEMORY, "out of memory for the dense layers' plans");
    dense->c = c;
    dense->compute = tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    mt_status status = mt_cuda_use(c->device);
    if (status == MT_OK) status = check(cublasLtCreate(&dense->handle), "cublasLtCreate", __LINE__);
    if (status != MT_OK) {
        free(dense);
        return status;
    }
    *out = dense;
    return MT_OK;
}

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
    plan_key key = {.m = a->out,
        .n = a->rows,
        .k = a->in,
        .transpose_a = 1,
        .epilogue = a->bias ? (relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS)
                            : (relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT)};
    MT_TRY(product(dense, key, a->weight, a->x, to, a->bias));
    return whole ? MT_OK : mt_cuda_activate(dense->c, a->activation, a->rows * a->out, to, a->y);
}

mt_status mt_cuda_dense_inputs(mt_cuda_dense *dense, int64_t rows, int in, int out, const float *weight, const float *dz,
    float *dx, int accumulate) {
    plan_key key = {.m = in, .n = rows, .k = out, .accumulate = accumulate != 0, .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
    return product(dense, key, weight, dz, dx, NULL);
}

mt_status mt_cuda_dense_backward(mt_cuda_dense *dense, const mt_dense_backward *a) {
    if (a->rows < 1) {
        if (a->accumulate) return MT_OK;
        if (a->db) MT_TRY(mt_cuda_zero(dense->c, a->db, sizeof *a->db * (size_t)a->out));
        return mt_cuda_zero(dense->c, a->dw, sizeof *a->dw * (size_t)a->out * (size_t)a->in);
    }
    int fused = a->db && !a->accumulate;
    plan_key weights = {.m = a->in,
        .n = a->out,
        .k = a->rows,
        .transpose_b = 1,
        .accumulate = a->accumulate != 0,
        .epilogue = fused ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_DEFAULT};
    MT_TRY(product(dense, weights, a->x, a->dz, a->dw, fused ? a->db : NULL));
    if (a->db && !fused) MT_TRY(mt_cuda_column_sums(dense->c, a->rows, a->out, a->dz, a->db, 1));
    if (!a->dx) return MT_OK;
    MT_TRY(mt_cuda_dense_inputs(dense, a->rows, a->in, a->out, a->weight, a->dz, a->dx, 0));
    if (a->x_activation == MT_ACT_identity) return MT_OK;
    return mt_cuda_activate_backward(dense->c, a->x_activation, a->rows * a->in, a->x, a->x_pre, a->dx, a->dx);
}
