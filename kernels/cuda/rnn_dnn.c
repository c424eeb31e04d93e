// Recurrent layers by the vendor's library (cuDNN's RNN of one layer and one direction), for sequences in which no episode starts;
// rnn.c says when. Formulae and shapes in kernels.h: the library's are the same, gate by gate (lstm i f g o; gru r z n with the
// bias of W_hn h inside the reset), its parameters stand in one array of its own order, and its states in arrays of their own.
//
// The caller's space for a layer and shape, kept from forward to backward, in parts at multiples of 256 bytes:
//   reserve | parameters | their gradients | h, c before | h, c after | lengths | dx nobody wants | what the library works in
// A plan (descriptors, where each gate's parameters stand) is found once for a shape and kept.
//
// Determinism: the library's. It may use several streams inside, and cuBLAS then promises the same bits only where
// CUBLAS_WORKSPACE_CONFIG=:4096:8 is set. One caller at a time, as for the context.
#include "kernels/cuda/rnn.h"

#include <stdlib.h>
#include <string.h>

enum { PLANS = 16, PART = 256 };

typedef struct rnn_key {
    int32_t cell, steps, envs, in, units;
} rnn_key; // no padding: compared as bytes
_Static_assert(sizeof(rnn_key) == 5 * sizeof(int32_t), "no padding");

// offsets into the space, bytes
typedef struct rnn_layout {
    size_t reserve, params, gradients, h_before, c_before, h_after, c_after, lengths, dx, work, all;
} rnn_layout;

typedef struct rnn_plan {
    rnn_key key;
    int used;
    cudnnDropoutDescriptor_t dropout;
    cudnnRNNDescriptor_t rnn;
    cudnnRNNDataDescriptor_t x, y;
    cudnnTensorDescriptor_t state, matrix, bias;
    size_t reserve_bytes, work_bytes, param_bytes;
    rnn_layout layout;
    int placed; // are the offsets below known?
    int64_t matrix_at[8], bias_at[8]; // floats: of the input's gates, then of the state's
} rnn_plan;

struct rnn_plans {
    int next; // the plan that the next new shape replaces once all are taken
    rnn_plan plans[PLANS];
};

// ---- plans

static void plan_fini(rnn_plan *p) {
    if (p->bias) cudnnDestroyTensorDescriptor(p->bias);
    if (p->matrix) cudnnDestroyTensorDescriptor(p->matrix);
    if (p->state) cudnnDestroyTensorDescriptor(p->state);
    if (p->y) cudnnDestroyRNNDataDescriptor(p->y);
    if (p->x) cudnnDestroyRNNDataDescriptor(p->x);
    if (p->rnn) cudnnDestroyRNNDescriptor(p->rnn);
    if (p->dropout) cudnnDestroyDropoutDescriptor(p->dropout);
    memset(p, 0, sizeof *p);
}

void mt_cuda_rnn_plans_destroy(struct rnn_plans *plans) {
    if (!plans) return;
    for (int i = 0; i < PLANS; i++) plan_fini(&plans->plans[i]);
    free(plans);
}

// all sequences are T long: packed and padded are then the same
static mt_status describe_data(const rnn_key *k, int width, cudnnRNNDataDescriptor_t *out) {
    float fill = 0;
    int *lengths = malloc(sizeof *lengths * (size_t)k->envs);
    if (!lengths) return MT_FAIL(NO_MEMORY, "out of memory for the lengths of %d sequences", k->envs);
    for (int n = 0; n < k->envs; n++) lengths[n] = k->steps;
    mt_status status = mt_cuda_dnn_check(cudnnCreateRNNDataDescriptor(out), "cudnnCreateRNNDataDescriptor", __FILE__, __LINE__);
    if (status == MT_OK)
        status = mt_cuda_dnn_check(cudnnSetRNNDataDescriptor(*out, CUDNN_DATA_FLOAT, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED,
                                       k->steps, k->envs, width, lengths, &fill),
            "cudnnSetRNNDataDescriptor", __FILE__, __LINE__);
    free(lengths);
    return status;
}

static mt_status plan_describe(const mt_cuda_dnn *dnn, rnn_plan *p) {
    const rnn_key *k = &p->key;
    const int sizes[] = {1, k->envs, k->units}, strides[] = {k->envs * k->units, k->units, 1};
    DNN(cudnnCreateDropoutDescriptor(&p->dropout));
    DNN(cudnnSetDropoutDescriptor(p->dropout, dnn->handle, 0, NULL, 0, 0));
    DNN(cudnnCreateRNNDescriptor(&p->rnn));
    DNN(cudnnSetRNNDescriptor_v8(p->rnn, CUDNN_RNN_ALGO_STANDARD, k->cell == MT_RNN_LSTM ? CUDNN_LSTM : CUDNN_GRU,
        CUDNN_RNN_DOUBLE_BIAS, CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, dnn->math, k->in,
        k->units, k->units, 1, p->dropout, CUDNN_RNN_PADDED_IO_DISABLED));
    MT_TRY(describe_data(k, k->in, &p->x));
    MT_TRY(describe_data(k, k->units, &p->y));
    DNN(cudnnCreateTensorDescriptor(&p->state));
    DNN(cudnnSetTensorNdDescriptor(p->state, CUDNN_DATA_FLOAT, 3, sizes, strides));
    DNN(cudnnCreateTensorDescriptor(&p->matrix));
    DNN(cudnnCreateTensorDescriptor(&p->bias));
    DNN(cudnnGetRNNWeightSpaceSize(dnn->handle, p->rnn, &p->param_bytes));
    DNN(cudnnGetRNNTempSpaceSizes(dnn->handle, p->rnn, CUDNN_FWD_MODE_TRAINING, p->x, &p->work_bytes, &p->reserve_bytes));
    return MT_OK;
}

static void lay_out(rnn_plan *p) {
    const size_t state = sizeof(float) * (size_t)p->key.envs * (size_t)p->key.units,
                 dx = sizeof(float) * (size_t)p->key.steps * (size_t)p->key.envs * (size_t)p->key.in;
    rnn_layout *l = &p->layout;
    struct {
        size_t *where, bytes;
    } parts[] = {{&l->reserve, p->reserve_bytes}, {&l->params, p->param_bytes}, {&l->gradients, p->param_bytes},
        {&l->h_before, state}, {&l->c_before, state}, {&l->h_after, state}, {&l->c_after, state},
        {&l->lengths, sizeof(int32_t) * (size_t)p->key.envs}, {&l->dx, dx}, {&l->work, p->work_bytes}};
    l->all = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i].where = l->all;
        l->all += (parts[i].bytes + PART - 1) / PART * PART;
    }
}

static mt_status plan_of(mt_cuda_dnn *dnn, mt_rnn_cell cell, int64_t steps, int64_t envs, int in, int units, rnn_plan **out) {
    if (steps * envs > INT32_MAX)
        return MT_FAIL(UNSUPPORTED, "a recurrent layer over %lld steps of %lld sequences: too many for cuDNN", (long long)steps,
            (long long)envs);
    rnn_key key = {.cell = cell, .steps = (int32_t)steps, .envs = (int32_t)envs, .in = in, .units = units};
    if (!dnn->rnns) dnn->rnns = calloc(1, sizeof *dnn->rnns);
    if (!dnn->rnns) return MT_FAIL(NO_MEMORY, "out of memory for the recurrent layers' plans");
    for (int i = 0; i < PLANS; i++) {
        *out = &dnn->rnns->plans[i];
        if ((*out)->used && memcmp(&(*out)->key, &key, sizeof key) == 0) return MT_OK;
    }
    rnn_plan *p = *out = &dnn->rnns->plans[dnn->rnns->next];
    plan_fini(p);
    p->key = key;
    MT_TRY(mt_cuda_use(dnn->c->device));
    mt_status status = plan_describe(dnn, p);
    if (status != MT_OK) {
        plan_fini(p);
        return status;
    }
    lay_out(p);
    p->used = 1;
    dnn->rnns->next = (dnn->rnns->next + 1) % PLANS;
    return MT_OK;
}

mt_status mt_cuda_rnn_space(mt_cuda_dnn *dnn, mt_rnn_cell cell, int64_t steps, int64_t envs, int in, int units, size_t *bytes) {
    rnn_plan *p;
    *bytes = 0;
    MT_TRY(plan_of(dnn, cell, steps, envs, in, units, &p));
    *bytes = p->layout.all;
    return MT_OK;
}

// ---- parameters

// where the library has each gate's matrix and bias in its array
static mt_status place_params(const mt_cuda_dnn *dnn, rnn_plan *p, const float *params) {
    const int gates = mt_rnn_gates((mt_rnn_cell)p->key.cell);
    const int64_t floats = (int64_t)(p->param_bytes / sizeof(float));
    for (int g = 0; g < 2 * gates && !p->placed; g++) {
        void *matrix = NULL, *bias = NULL;
        DNN(cudnnGetRNNWeightParams(
            dnn->handle, p->rnn, 0, p->param_bytes, params, g, p->matrix, &matrix, p->bias, &bias));
        const int64_t count = (int64_t)p->key.units * (g < gates ? p->key.in : p->key.units);
        p->matrix_at[g] = matrix ? (float *)matrix - params : -1;
        p->bias_at[g] = bias ? (float *)bias - params : -1;
        if (p->matrix_at[g] < 0 || p->matrix_at[g] + count > floats || p->bias_at[g] < 0 || p->bias_at[g] + p->key.units > floats)
            return MT_FAIL(INTERNAL, "cuDNN places the parameters of a recurrent layer's gate %d outside their array", g);
    }
    p->placed = 1;
    return MT_OK;
}

// Neighbours that follow each other on both sides are one piece: often four in all.
static void add_piece(mt_rnn_pieces *pieces, float *array, int64_t at, int64_t count) {
    int last = pieces->pieces - 1;
    if (last >= 0 && pieces->piece[last].array + pieces->piece[last].count == array &&
        pieces->piece[last].at + pieces->piece[last].count == at) {
        pieces->piece[last].count += count;
        return;
    }
    pieces->piece[pieces->pieces].array = array;
    pieces->piece[pieces->pieces].at = at;
    pieces->piece[pieces->pieces++].count = count;
}

static mt_rnn_pieces pieces_of(const rnn_plan *p, float *w_x, float *w_h, float *b_x, float *b_h) {
    const int gates = mt_rnn_gates((mt_rnn_cell)p->key.cell);
    const int64_t in = p->key.in, units = p->key.units;
    mt_rnn_pieces pieces = {0};
    for (int g = 0; g < gates; g++) add_piece(&pieces, w_x + g * units * in, p->matrix_at[g], units * in);
    for (int g = 0; g < gates; g++) add_piece(&pieces, w_h + g * units * units, p->matrix_at[gates + g], units * units);
    for (int g = 0; g < gates; g++) add_piece(&pieces, b_x + g * units, p->bias_at[g], units);
    for (int g = 0; g < gates; g++) add_piece(&pieces, b_h + g * units, p->bias_at[gates + g], units);
    return pieces;
}

// parameters are only read
static mt_status pack_params(const mt_cuda_dnn *dnn, rnn_plan *p, const mt_rnn *a, char *space) {
    float *params = (float *)(void *)(space + p->layout.params);
    MT_TRY(place_params(dnn, p, params));
    mt_rnn_pieces pieces = pieces_of(p, (float *)(uintptr_t)a->weight_x, (float *)(uintptr_t)a->weight_h,
        (float *)(uintptr_t)a->bias_x, (float *)(uintptr_t)a->bias_h);
    return mt_cuda_rnn_pack(dnn->c, &pieces, params);
}

// ---- the layer

// the state, (N, S) with its own stride, to or from the library's arrays
static mt_status states_in(const mt_cuda_dnn *dnn, const rnn_plan *p, const mt_rnn *a, char *space) {
    const int units = a->units;
    float *h = (float *)(void *)(space + p->layout.h_before), *c = (float *)(void *)(space + p->layout.c_before);
    MT_TRY(mt_cuda_copy_columns(dnn->c, a->envs, units, a->state, a->state_stride, h, units));
    if (a->cell != MT_RNN_LSTM) return MT_OK;
    return mt_cuda_copy_columns(dnn->c, a->envs, units, a->state + units, a->state_stride, c, units);
}

static mt_status states_out(const mt_cuda_dnn *dnn, const rnn_plan *p, const mt_rnn *a, const char *space) {
    const int units = a->units;
    const float *h = (const float *)(const void *)(space + p->layout.h_after),
                *c = (const float *)(const void *)(space + p->layout.c_after);
    if (!a->state_out) return MT_OK;
    MT_TRY(mt_cuda_copy_columns(dnn->c, a->envs, units, h, units, a->state_out, a->state_stride));
    if (a->cell != MT_RNN_LSTM) return MT_OK;
    return mt_cuda_copy_columns(dnn->c, a->envs, units, c, units, a->state_out + units, a->state_stride);
}

mt_status mt_cuda_rnn_dnn_forward(mt_cuda_dnn *dnn, const mt_rnn *a, void *where) {
    char *space = where;
    const int lstm = a->cell == MT_RNN_LSTM;
    rnn_plan *p;
    MT_TRY(plan_of(dnn, a->cell, a->steps, a->envs, a->in, a->units, &p));
    MT_TRY(pack_params(dnn, p, a, space));
    MT_TRY(states_in(dnn, p, a, space));
    // the library has been told on the host; some of its versions read them on the device, too
    int32_t *lengths = (int32_t *)(void *)(space + p->layout.lengths);
    MT_TRY(mt_cuda_rnn_lengths(dnn->c, a->envs, (int32_t)a->steps, lengths));
    MT_TRY(mt_cuda_use(dnn->c->device));
    DNN(cudnnRNNForward(dnn->handle, p->rnn, CUDNN_FWD_MODE_TRAINING, lengths, p->x, a->x, p->y, a->y, p->state,
        space + p->layout.h_before, space + p->layout.h_after, p->state, lstm ? space + p->layout.c_before : NULL,
        lstm ? space + p->layout.c_after : NULL, p->param_bytes, space + p->layout.params, p->work_bytes, space + p->layout.work,
        p->reserve_bytes, space + p->layout.reserve));
    return states_out(dnn, p, a, space);
}

mt_status mt_cuda_rnn_dnn_backward(mt_cuda_dnn *dnn, const mt_rnn_backward *b, void *where) {
    const mt_rnn *a = &b->rnn;
    const int lstm = a->cell == MT_RNN_LSTM;
    char *space = where;
    rnn_plan *p;
    MT_TRY(plan_of(dnn, a->cell, a->steps, a->envs, a->in, a->units, &p));
    char *dx = b->dx ? (char *)b->dx : space + p->layout.dx;
    float *gradients = (float *)(void *)(space + p->layout.gradients);
    const int32_t *lengths = (const int32_t *)(const void *)(space + p->layout.lengths);
    MT_TRY(place_params(dnn, p, (const float *)(const void *)(space + p->layout.params)));
    MT_TRY(mt_cuda_zero(dnn->c, gradients, p->param_bytes)); // the library only adds
    DNN(cudnnRNNBackwardData_v8(dnn->handle, p->rnn, lengths, p->y, a->y, b->dy, p->x, dx, p->state, space + p->layout.h_before,
        NULL, NULL, p->state, lstm ? space + p->layout.c_before : NULL, NULL, NULL, p->param_bytes, space + p->layout.params,
        p->work_bytes, space + p->layout.work, p->reserve_bytes, space + p->layout.reserve));
    DNN(cudnnRNNBackwardWeights_v8(dnn->handle, p->rnn, CUDNN_WGRAD_MODE_ADD, lengths, p->x, a->x, p->state,
        space + p->layout.h_before, p->y, a->y, p->param_bytes, gradients, p->work_bytes, space + p->layout.work, p->reserve_bytes,
        space + p->layout.reserve));
    mt_rnn_pieces pieces = pieces_of(p, b->dw_x, b->dw_h, b->db_x, b->db_h);
    MT_TRY(mt_cuda_rnn_unpack(dnn->c, &pieces, gradients, b->accumulate));
    if (!b->dx || b->x_activation == MT_ACT_identity) return MT_OK;
    return mt_cuda_activate_backward(
        dnn->c, b->x_activation, a->steps * a->envs * a->in, a->x, b->x_pre, b->dx, b->dx);
}
