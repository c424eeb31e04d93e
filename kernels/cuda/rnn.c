// Recurrent layers (LSTM, GRU) on the GPU, over whole sequences. Formulae and shapes in kernels.h. Two ways:
//   - where episodes may start inside a sequence (`start` is given): one product W_x x + b_x of all steps at once, then for each
//     step a product W_h h + b_h (dense.c) and a cell (rnn_cell.cu), which leaves out what an earlier episode would bring. Backward
//     the same from the last step to the first, then the parameters' gradients as products over all rows at once. Two launches a
//     step, which a CUDA graph makes cheap.
//   - where none can start (`start` is NULL) and the caller brings the space for it: the vendor's library (rnn_dnn.c).
// The library cannot do the first: it takes the lengths of its sequences from the host when the call is made, and where episodes
// start stands in device memory and changes with every segment, while the captured graph stays.
//
// Flop: forward 2·T·N·G·H·(I + H), backward twice that. Determinism: dense.c's. One caller at a time, as for the context.
#include "kernels/cuda/rnn.h"
#include "kernels/cuda/dense.h"

#include <string.h>

// ---- scratch space: each part begins at a multiple of 256 bytes

typedef struct rnn_scratch {
    float *gates_x; // (T, N, G·H) forward: W_x x + b_x; backward dz of it
    float *gates_h; // (N, G·H) forward; (T, N, G·H) backward: dz of W_h h + b_h, where it is another (gru)
    float *before;  // (T, N, H) backward: h before each step
    float *dh, *dc; // (N, H) backward
} rnn_scratch;

static int64_t padded(int64_t floats) { return (floats + 63) / 64 * 64; }

static int64_t divide(float *scratch, mt_rnn_cell cell, int64_t steps, int64_t envs, int units, rnn_scratch *out) {
    const int64_t gates = (int64_t)mt_rnn_gates(cell) * units, rows = steps * envs;
    const int64_t sizes[] = {
        rows * gates, cell == MT_RNN_GRU ? rows * gates : envs * gates, rows * units, envs * units, envs * units};
    float **parts[] = {&out->gates_x, &out->gates_h, &out->before, &out->dh, &out->dc};
    int64_t at = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        *parts[i] = scratch ? scratch + at : NULL;
        at += padded(sizes[i]);
    }
    return at;
}

int64_t mt_cuda_rnn_scratch(mt_rnn_cell cell, int64_t steps, int64_t envs, int in, int units) {
    (void)in;
    rnn_scratch unused;
    return divide(NULL, cell, steps, envs, units, &unused);
}

// ---- step by step

static const uint8_t *start_of(const mt_rnn *a, int64_t t) { return a->start ? a->start + t * a->start_stride : NULL; }

// lstm: c, gru: h before step t
static const float *before_of(const mt_rnn *a, int64_t t, int64_t *stride) {
    const int lstm = a->cell == MT_RNN_LSTM, kept = mt_rnn_kept(a->cell, a->units);
    if (t == 0) {
        *stride = a->state_stride;
        return lstm ? a->state + a->units : a->state;
    }
    *stride = lstm ? kept : a->units;
    return lstm ? a->kept + (t - 1) * a->envs * kept + 4 * a->units : a->y + (t - 1) * a->envs * a->units;
}

// h before step t, dense: of the first it is taken out of the state
static mt_status h_before(mt_cuda_dnn *dnn, const mt_rnn *a, int64_t t, float *first, const float **out) {
    *out = t ? a->y + (t - 1) * a->envs * a->units : a->state_stride == a->units ? a->state : first;
    if (*out != first) return MT_OK;
    return mt_cuda_copy_columns(dnn->c, a->envs, a->units, a->state, a->state_stride, first, a->units);
}

static mt_status steps_forward(mt_cuda_dnn *dnn, const mt_rnn *a) {
    const int gates = mt_rnn_gates(a->cell) * a->units;
    rnn_scratch s;
    divide(a->scratch, a->cell, a->steps, a->envs, a->units, &s);
    MT_TRY(mt_cuda_dense_forward(dnn->dense, &(mt_dense_forward){.rows = a->steps * a->envs, .in = a->in, .out = gates,
                                                 .x = a->x, .weight = a->weight_x, .bias = a->bias_x, .y = s.gates_x}));
    for (int64_t t = 0; t < a->steps; t++) {
        const int last = t + 1 == a->steps;
        mt_rnn_step step = {.cell = a->cell, .envs = a->envs, .units = a->units, .gates_x = s.gates_x + t * a->envs * gates,
            .gates_h = s.gates_h, .bias_h = a->bias_h, .start = start_of(a, t), .y = a->y + t * a->envs * a->units,
            .kept = a->kept + t * a->envs * mt_rnn_kept(a->cell, a->units), .state_out = last ? a->state_out : NULL,
            .state_stride = a->state_stride};
        const float *h;
        MT_TRY(h_before(dnn, a, t, s.dh, &h));
        MT_TRY(mt_cuda_dense_forward(dnn->dense, &(mt_dense_forward){.rows = a->envs, .in = a->units, .out = gates, .x = h,
                                                     .weight = a->weight_h, .bias = a->bias_h, .y = s.gates_h}));
        step.before = before_of(a, t, &step.before_stride);
        MT_TRY(mt_cuda_rnn_step(dnn->c, &step));
    }
    return MT_OK;
}

static mt_status steps_backward(mt_cuda_dnn *dnn, const mt_rnn_backward *b) {
    const mt_rnn *a = &b->rnn;
    const int gates = mt_rnn_gates(a->cell) * a->units, gru = a->cell == MT_RNN_GRU;
    const int64_t rows = a->steps * a->envs;
    rnn_scratch s;
    divide(a->scratch, a->cell, a->steps, a->envs, a->units, &s);
    float *dz_x = s.gates_x, *dz_h = gru ? s.gates_h : dz_x;
    for (int64_t t = a->steps - 1; t >= 0; t--) {
        const int64_t at = t * a->envs;
        mt_rnn_step_back step = {.cell = a->cell, .envs = a->envs, .units = a->units, .start = start_of(a, t),
            .last = t + 1 == a->steps, .kept = a->kept + at * mt_rnn_kept(a->cell, a->units), .dy = b->dy + at * a->units,
            .dh = s.dh, .dc = s.dc, .dz_x = dz_x + at * gates, .dz_h = dz_h + at * gates};
        if (!step.last) step.start_after = start_of(a, t + 1);
        step.before = before_of(a, t, &step.before_stride);
        MT_TRY(mt_cuda_rnn_step_back(dnn->c, &step));
        if (t > 0) MT_TRY(mt_cuda_dense_inputs(dnn->dense, a->envs, a->units, gates, a->weight_h, step.dz_h, s.dh, gru));
    }
    MT_TRY(mt_cuda_rnn_before(dnn->c, a, s.before));
    MT_TRY(mt_cuda_dense_backward(dnn->dense, &(mt_dense_backward){.rows = rows, .in = a->units, .out = gates, .x = s.before,
                                                  .dz = dz_h, .dw = b->dw_h, .db = b->db_h, .accumulate = b->accumulate}));
    return mt_cuda_dense_backward(dnn->dense, &(mt_dense_backward){.rows = rows, .in = a->in, .out = gates, .x = a->x, .dz = dz_x,
                                                  .weight = a->weight_x, .x_activation = b->x_activation, .x_pre = b->x_pre,
                                                  .dx = b->dx, .dw = b->dw_x, .db = b->db_x, .accumulate = b->accumulate});
}

// ---- the layer

static mt_status zero_gradients(const mt_cuda *c, const mt_rnn_backward *b) {
    const size_t gates = (size_t)mt_rnn_gates(b->rnn.cell) * (size_t)b->rnn.units;
    if (b->accumulate) return MT_OK;
    MT_TRY(mt_cuda_zero(c, b->dw_x, sizeof(float) * gates * (size_t)b->rnn.in));
    MT_TRY(mt_cuda_zero(c, b->dw_h, sizeof(float) * gates * (size_t)b->rnn.units));
    MT_TRY(mt_cuda_zero(c, b->db_x, sizeof(float) * gates));
    return mt_cuda_zero(c, b->db_h, sizeof(float) * gates);
}

mt_status mt_cuda_rnn_forward(mt_cuda_dnn *dnn, const mt_rnn *a, void *space) {
    if (a->envs < 1 || a->steps < 1) return MT_OK;
    return space && !a->start ? mt_cuda_rnn_dnn_forward(dnn, a, space) : steps_forward(dnn, a);
}

mt_status mt_cuda_rnn_backward(mt_cuda_dnn *dnn, const mt_rnn_backward *a, void *space) {
    if (a->rnn.envs < 1 || a->rnn.steps < 1) return zero_gradients(dnn->c, a);
    return space && !a->rnn.start ? mt_cuda_rnn_dnn_backward(dnn, a, space) : steps_backward(dnn, a);
}
