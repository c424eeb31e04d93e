// cuDNN's recurrent layers: LSTM and GRU of one layer and direction over packed sequences of any lengths. Any thread.
//   lstm  [i f g o] = W x + b_W + R h + b_R;  c = σ(f) c + σ(i) tanh(g);  h = σ(o) tanh(c)
//   gru   [r z n],  n = tanh(W_n x + b_Wn + σ(r) (R_n h + b_Rn));  h = (1 - σ(z)) n + σ(z) h
//
// Parameters stand in one array, in an order and with gaps that the seed chooses: only cudnnGetRNNWeightParams tells where. What
// forward keeps stands in the reserve space, behind a word that says whose it is and how far it got: forward, backward by data,
// backward by weights, in this order. The device's copy of the lengths, where there is one, has to be the host's.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/dnn.h"
#include "tests/cuda_host/report.h"

enum { ALIGN = 16, GATES_MOST = 4, GAP = 32, SCRATCH_LEAST = 1 << 12, RESERVED = 0x726e6e00 };
typedef enum phase { NOTHING, KEPT, BY_DATA } phase;

// a reserve space begins with
typedef struct reserve {
    uint32_t word; // RESERVED + phase
    int32_t rows, sequences, units, in, gates;
    uint32_t unused[10];
    float floats
        []; // (rows, gates + 1, units): gates after their functions, then c or R_n h + b_Rn; the same again: their gradients
} reserve;

typedef struct rnn {
    mt_host_operation operation;
    mt_host_rnn how;
    int steps, sequences, rows;
    int *lengths;                                              // owned
    const int32_t *device_lengths;                             // Nullable
    const float *x, *y_in, *dy, *hx, *cx, *dhy, *dcy, *params; // Nullable: hx, cx, dhy, dcy
    float *y, *hy, *cy, *dx, *dhx, *dcx, *gradients;           // Nullable: hy, cy, dhx, dcx
    reserve *kept;
    void *scratch;
    size_t reserve_bytes, scratch_bytes, param_bytes;
} rnn;

static int gates_of(const mt_host_rnn *r) { return r->cell == CUDNN_LSTM ? 4 : 3; }

// ---- where parameters are: matrices of the input's gates, of the state's, and as many biases

typedef struct places {
    int64_t matrix[2 * GATES_MOST], bias[2 * GATES_MOST], floats;
} places;

static places places_of(const mt_host_rnn *r) {
    const int gates = gates_of(r), parts = 4 * gates;
    int order[4 * GATES_MOST];
    uint64_t chance = mt_host_settings_get()->seed + (uint64_t)r->in * 65537 + (uint64_t)r->units;
    places p = {.floats = 0};
    for (int i = 0; i < parts; i++) order[i] = i;
    for (int i = parts - 1; i > 0; i--) {
        int j = (int)mt_host_random_below(&chance, (uint32_t)i + 1), other = order[i];
        order[i] = order[j], order[j] = other;
    }
    for (int i = 0; i < parts; i++) {
        int part = order[i], gate = part / 2, of_input = gate < gates;
        int64_t *where = part % 2 ? &p.bias[gate] : &p.matrix[gate];
        *where = p.floats;
        p.floats += part % 2 ? r->units : (int64_t)r->units * (of_input ? r->in : r->units);
        p.floats = (p.floats + 3) / 4 * 4 + GAP * mt_host_random_below(&chance, 2);
    }
    return p;
}

static cudnnStatus_t weight_space(const void *handle, size_t *bytes) {
    *bytes = sizeof(float) * (size_t)places_of(mt_host_dnn_descriptor(handle, MT_HOST_DNN_RNN)).floats;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetRNNWeightSpaceSize(cudnnHandle_t handle, cudnnRNNDescriptor_t r, size_t *bytes) {
    (void)handle;
    MT_HOST_DNN(weight_space(r, bytes));
}

static void tell_shape(cudnnTensorDescriptor_t handle, int rows, int columns) {
    mt_host_dnn_descriptor(handle, MT_HOST_DNN_TENSOR);
    *(mt_host_tensor *)(void *)handle =
        (mt_host_tensor){.kind = MT_HOST_DNN_TENSOR, .set = 1, .rows = 1, .channels = columns, .height = rows, .width = 1};
}
static cudnnStatus_t weight_params(const mt_host_rnn *r, size_t bytes, const float *space, int gate, cudnnTensorDescriptor_t m,
    void **matrix, cudnnTensorDescriptor_t b, void **bias) {
    places p = places_of(r);
    if (gate < 0 || gate >= 2 * gates_of(r)) return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM, "no such gate");
    if (bytes != sizeof(float) * (size_t)p.floats) return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM, "the weight space's size");
    tell_shape(m, r->units, gate < gates_of(r) ? r->in : r->units);
    tell_shape(b, r->units, 1);
    *matrix = (void *)(uintptr_t)(space + p.matrix[gate]);
    *bias = (void *)(uintptr_t)(space + p.bias[gate]);
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetRNNWeightParams(cudnnHandle_t handle, cudnnRNNDescriptor_t r, int32_t layer, size_t bytes,
    const void *space, int32_t gate, cudnnTensorDescriptor_t m, void **matrix, cudnnTensorDescriptor_t b, void **bias) {
    (void)handle;
    if (layer != 0) return CUDNN_STATUS_BAD_PARAM;
    MT_HOST_DNN(weight_params(mt_host_dnn_descriptor(r, MT_HOST_DNN_RNN), bytes, space, gate, m, matrix, b, bias));
}

// matrices of the input's gates (side 0) or the state's as one (gates · units, width), or turned (width, gates · units)
static float *gathered(const rnn *w, int side, int turned) {
    const places p = places_of(&w->how);
    const int gates = gates_of(&w->how), units = w->how.units, width = side ? units : w->how.in, all = gates * units;
    float *out = mt_host_scratch_memory(sizeof *out * (size_t)all * (size_t)width);
    for (int g = 0; g < gates; g++)
        for (int u = 0; u < units; u++)
            for (int i = 0; i < width; i++) {
                float x = mt_host_dnn_round(w->params[p.matrix[side * gates + g] + (int64_t)u * width + i], w->how.math);
                out[turned ? (int64_t)i * all + g * units + u : (int64_t)(g * units + u) * width + i] = x;
            }
    return out;
}
static float bias_of(const rnn *w, const places *p, int side, int gate, int unit) {
    return w->params[p->bias[side * gates_of(&w->how) + gate] + unit];
}

// ---- packed sequences: step t has a row for each sequence that is longer

static int batch_at(const rnn *w, int t) {
    int n = 0;
    while (n < w->sequences && w->lengths[n] > t) n++;
    return n;
}
static int first_row(const rnn *w, int t) {
    int rows = 0;
    for (int s = 0; s < t; s++) rows += batch_at(w, s);
    return rows;
}
// h before step t of sequence n; NULL: zeros
static const float *h_before(const rnn *w, const float *y, int t, int n) {
    if (t == 0) return w->hx ? w->hx + (int64_t)n * w->how.units : NULL;
    return y + (int64_t)(first_row(w, t - 1) + n) * w->how.units;
}
static float *kept_row(const rnn *w, int row) {
    return w->kept->floats + (int64_t)row * (gates_of(&w->how) + 1) * w->how.units;
}
static float *gradient_row(const rnn *w, int row) { return kept_row(w, w->rows + row); }

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// ---- what all three look at

static void check_lengths(const rnn *w) {
    if (!w->device_lengths) return;
    mt_host_vendor_array(
        w->operation.name, "the sequences' lengths", w->device_lengths, sizeof(int32_t) * (size_t)w->sequences, 4);
    for (int n = 0; n < w->sequences; n++)
        if (w->device_lengths[n] != w->lengths[n])
            mt_host_fatal("%s: sequence %d is %d steps long on the device, %d on the host", w->operation.name, n,
                w->device_lengths[n], w->lengths[n]);
}
static void check_reserve(const rnn *w, phase least) {
    const reserve *r = w->kept;
    int same = r->rows == w->rows && r->sequences == w->sequences && r->units == w->how.units && r->in == w->how.in &&
               r->gates == gates_of(&w->how);
    if (r->word < RESERVED + (uint32_t)least || r->word > RESERVED + BY_DATA || !same)
        mt_host_fatal("%s: the reserve space is not what %s of the same shape left there", w->operation.name,
            least == KEPT ? "cudnnRNNForward" : "cudnnRNNBackwardData_v8");
}
static void check_arrays(const rnn *w) {
    const char *name = w->operation.name;
    const size_t in = 4 * (size_t)w->rows * (size_t)w->how.in, out = 4 * (size_t)w->rows * (size_t)w->how.units,
                 state = 4 * (size_t)w->sequences * (size_t)w->how.units;
    const struct {
        const char *what;
        const void *at;
        size_t bytes;
    } arrays[] = {{"x", w->x, in}, {"y", w->y, out}, {"y", w->y_in, out}, {"dy", w->dy, out}, {"dx", w->dx, in},
        {"hx", w->hx, state}, {"cx", w->cx, state}, {"hy", w->hy, state}, {"cy", w->cy, state}, {"dhy", w->dhy, state},
        {"dcy", w->dcy, state}, {"dhx", w->dhx, state}, {"dcx", w->dcx, state}, {"the parameters", w->params, w->param_bytes},
        {"the gradients", w->gradients, w->param_bytes}, {"the reserve space", w->kept, w->reserve_bytes}};
    check_lengths(w);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        if (!arrays[i].at) continue;
        mt_host_vendor_array(name, arrays[i].what, arrays[i].at, arrays[i].bytes, i < 13 ? 4 : ALIGN);
        mt_host_vendor_apart(name, "an array and the work space", arrays[i].at, arrays[i].bytes, w->scratch, w->scratch_bytes);
        for (size_t j = 0; j < i; j++)
            if (arrays[j].at)
                mt_host_vendor_apart(name, "two arrays", arrays[i].at, arrays[i].bytes, arrays[j].at, arrays[j].bytes);
    }
    mt_host_vendor_scratch(name, w->scratch, w->scratch_bytes);
}

// ---- forward

static void lstm_cell(const rnn *w, int t, int n, const float *a, float *kept, float *h) {
    const int units = w->how.units;
    const float *c_before = t ? kept_row(w, first_row(w, t - 1) + n) + 4 * units : w->cx ? w->cx + (int64_t)n * units : NULL;
    for (int u = 0; u < units; u++) {
        float i = sigmoid(a[u]), f = sigmoid(a[units + u]), g = tanhf(a[2 * units + u]), o = sigmoid(a[3 * units + u]);
        float c = f * (c_before ? c_before[u] : 0) + i * g;
        kept[u] = i, kept[units + u] = f, kept[2 * units + u] = g, kept[3 * units + u] = o, kept[4 * units + u] = c;
        h[u] = o * tanhf(c);
        if (w->cy && t + 1 == w->lengths[n]) w->cy[(int64_t)n * units + u] = c;
    }
}
// b: R h + b_R
static void gru_cell(const rnn *w, int t, int n, const float *a, const float *b, float *kept, float *h) {
    const int units = w->how.units;
    const float *before = h_before(w, w->y, t, n);
    for (int u = 0; u < units; u++) {
        float r = sigmoid(a[u] + b[u]), z = sigmoid(a[units + u] + b[units + u]), own = b[2 * units + u],
              c = tanhf(a[2 * units + u] + r * own);
        kept[u] = r, kept[units + u] = z, kept[2 * units + u] = c, kept[3 * units + u] = own;
        h[u] = (1 - z) * c + z * (before ? before[u] : 0);
    }
}

static mt_host_step forward_run(mt_host_operation *o, void **state) {
    const rnn *w = (rnn *)o;
    const places p = places_of(&w->how);
    const int gates = gates_of(&w->how), units = w->how.units, all = gates * units, in = w->how.in;
    (void)state;
    check_arrays(w);
    float *w_x = gathered(w, 0, 1), *w_h = gathered(w, 1, 1), *x = mt_host_scratch_memory(4 * (size_t)w->rows * (size_t)in);
    float *a = mt_host_scratch_memory(4 * (size_t)w->rows * (size_t)all),
          *b = mt_host_scratch_memory(4 * (size_t)w->sequences * (size_t)all),
          *h = mt_host_scratch_memory(4 * (size_t)w->sequences * (size_t)units);
    for (int64_t i = 0; i < (int64_t)w->rows * in; i++) x[i] = mt_host_dnn_round(w->x[i], w->how.math);
    mt_host_product(w->rows, all, in, x, w_x, a);
    *w->kept = (reserve){
        .word = RESERVED + KEPT, .rows = w->rows, .sequences = w->sequences, .units = units, .in = in, .gates = gates};
    for (int t = 0, row = 0; t < w->steps; t++) {
        const int batch = batch_at(w, t);
        for (int n = 0; n < batch; n++)
            for (int u = 0; u < units; u++) {
                const float *before = h_before(w, w->y, t, n);
                h[n * units + u] = before ? mt_host_dnn_round(before[u], w->how.math) : 0;
            }
        memset(b, 0, 4 * (size_t)batch * (size_t)all);
        mt_host_product(batch, all, units, h, w_h, b);
        for (int n = 0; n < batch; n++, row++) {
            float *ax = a + (int64_t)row * all, *bh = b + (int64_t)n * all, *y = w->y + (int64_t)row * units;
            for (int g = 0; g < gates; g++)
                for (int u = 0; u < units; u++)
                    ax[g * units + u] += bias_of(w, &p, 0, g, u), bh[g * units + u] += bias_of(w, &p, 1, g, u);
            if (gates == 4) {
                for (int i = 0; i < all; i++) ax[i] += bh[i];
                lstm_cell(w, t, n, ax, kept_row(w, row), y);
            } else
                gru_cell(w, t, n, ax, bh, kept_row(w, row), y);
            if (w->hy && t + 1 == w->lengths[n]) memcpy(w->hy + (int64_t)n * units, y, 4 * (size_t)units);
        }
    }
    free(w_x), free(w_h), free(x), free(a), free(b), free(h);
    return MT_HOST_DONE;
}

// ---- backward by data

// of one row: dz of all gates; for gru behind them that of R_n h; dh and dc become what goes back without a product
static void lstm_back(const rnn *w, int t, int n, const float *kept, float *dz, float *dh, float *dc) {
    const int units = w->how.units;
    const float *c_before = t ? kept_row(w, first_row(w, t - 1) + n) + 4 * units : w->cx ? w->cx + (int64_t)n * units : NULL;
    for (int u = 0; u < units; u++) {
        float i = kept[u], f = kept[units + u], g = kept[2 * units + u], o = kept[3 * units + u],
              squashed = tanhf(kept[4 * units + u]);
        float back = dc[u] + dh[u] * o * (1 - squashed * squashed);
        dz[u] = back * g * i * (1 - i);
        dz[units + u] = back * (c_before ? c_before[u] : 0) * f * (1 - f);
        dz[2 * units + u] = back * i * (1 - g * g);
        dz[3 * units + u] = dh[u] * squashed * o * (1 - o);
        dc[u] = back * f;
        dh[u] = 0;
    }
}
static void gru_back(const rnn *w, int t, int n, const float *kept, float *dz, float *dh) {
    const int units = w->how.units;
    const float *before = h_before(w, w->y_in, t, n);
    for (int u = 0; u < units; u++) {
        float r = kept[u], z = kept[units + u], c = kept[2 * units + u], own = kept[3 * units + u];
        float dn = dh[u] * (1 - z) * (1 - c * c);
        dz[u] = dn * own * r * (1 - r);
        dz[units + u] = dh[u] * ((before ? before[u] : 0) - c) * z * (1 - z);
        dz[2 * units + u] = dn;
        dz[3 * units + u] = dn * r;
        dh[u] *= z;
    }
}
// dz of the state's side: that of R_n h where gru has its own
static float state_side(const rnn *w, const float *dz, int i) {
    const int units = w->how.units;
    return gates_of(&w->how) == 3 && i >= 2 * units ? dz[units + i] : dz[i];
}

static mt_host_step data_run(mt_host_operation *o, void **state) {
    const rnn *w = (rnn *)o;
    const int gates = gates_of(&w->how), units = w->how.units, all = gates * units, in = w->how.in;
    (void)state;
    check_arrays(w);
    check_reserve(w, KEPT);
    const size_t states = 4 * (size_t)w->sequences * (size_t)units;
    float *w_x = gathered(w, 0, 0), *w_h = gathered(w, 1, 0), *dh = mt_host_scratch_memory(states),
          *dc = mt_host_scratch_memory(states);
    float *dz = mt_host_scratch_memory(4 * (size_t)w->rows * (size_t)all),
          *dz_h = mt_host_scratch_memory(4 * (size_t)w->sequences * (size_t)all);
    for (int t = w->steps - 1; t >= 0; t--) {
        const int batch = batch_at(w, t), first = first_row(w, t);
        for (int n = 0; n < batch; n++) {
            float *h = dh + (int64_t)n * units, *c = dc + (int64_t)n * units, *g = gradient_row(w, first + n);
            for (int u = 0; u < units && t + 1 == w->lengths[n]; u++) {
                h[u] = w->dhy ? w->dhy[(int64_t)n * units + u] : 0;
                c[u] = w->dcy ? w->dcy[(int64_t)n * units + u] : 0;
            }
            for (int u = 0; u < units; u++) h[u] += w->dy[(int64_t)(first + n) * units + u];
            if (gates == 4)
                lstm_back(w, t, n, kept_row(w, first + n), g, h, c);
            else
                gru_back(w, t, n, kept_row(w, first + n), g, h);
            for (int i = 0; i < all; i++) {
                dz[(int64_t)(first + n) * all + i] = mt_host_dnn_round(g[i], w->how.math);
                dz_h[(int64_t)n * all + i] = mt_host_dnn_round(state_side(w, g, i), w->how.math);
            }
        }
        mt_host_product(batch, units, all, dz_h, w_h, dh);
    }
    memset(w->dx, 0, 4 * (size_t)w->rows * (size_t)in);
    mt_host_product(w->rows, in, all, dz, w_x, w->dx);
    if (w->dhx) memcpy(w->dhx, dh, states);
    if (w->dcx && gates == 4) memcpy(w->dcx, dc, states);
    w->kept->word = RESERVED + BY_DATA;
    free(w_x), free(w_h), free(dh), free(dc), free(dz), free(dz_h);
    return MT_HOST_DONE;
}

// ---- backward by weights: adds

static mt_host_step weights_run(mt_host_operation *o, void **state) {
    const rnn *w = (rnn *)o;
    const places p = places_of(&w->how);
    const int gates = gates_of(&w->how), units = w->how.units, in = w->how.in;
    (void)state;
    check_arrays(w);
    check_reserve(w, BY_DATA);
    for (int t = 0, row = 0; t < w->steps; t++)
        for (int n = 0; n < batch_at(w, t); n++, row++) {
            const float *dz = gradient_row(w, row), *h = h_before(w, w->y_in, t, n), *x = w->x + (int64_t)row * in;
            for (int i = 0; i < gates * units; i++) {
                const int g = i / units, u = i % units;
                const float of_x = dz[i], of_h = state_side(w, dz, i), x_rounded = mt_host_dnn_round(of_x, w->how.math),
                            h_rounded = mt_host_dnn_round(of_h, w->how.math);
                float *to_x = w->gradients + p.matrix[g] + (int64_t)u * in,
                      *to_h = w->gradients + p.matrix[gates + g] + (int64_t)u * units;
                for (int j = 0; j < in; j++) to_x[j] += x_rounded * mt_host_dnn_round(x[j], w->how.math);
                for (int j = 0; j < units && h; j++) to_h[j] += h_rounded * mt_host_dnn_round(h[j], w->how.math);
                w->gradients[p.bias[g] + u] += of_x;
                w->gradients[p.bias[gates + g] + u] += of_h;
            }
        }
    return MT_HOST_DONE;
}

// ---- queueing

static size_t reserve_size(const mt_host_rnn *r, int rows) {
    return sizeof(reserve) + 4 * 2 * (size_t)rows * (size_t)(gates_of(r) + 1) * (size_t)r->units;
}
static size_t scratch_size(const mt_host_rnn *r, int rows) {
    return SCRATCH_LEAST + 16 * ((size_t)rows * (size_t)r->units / 4);
}
static int rows_of(const mt_host_rnn_data *d) {
    int rows = 0;
    for (int n = 0; n < d->sequences; n++) rows += d->lengths[n];
    return rows;
}

static cudnnStatus_t temp_sizes(const mt_host_rnn *r, const mt_host_rnn_data *x, size_t *scratch, size_t *reserved) {
    if (!x->lengths || x->width != r->in) return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "the input's width");
    *scratch = scratch_size(r, rows_of(x));
    *reserved = reserve_size(r, rows_of(x));
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetRNNTempSpaceSizes(cudnnHandle_t handle, cudnnRNNDescriptor_t r, cudnnForwardMode_t mode,
    cudnnRNNDataDescriptor_t x, size_t *scratch, size_t *reserved) {
    (void)handle;
    if (mode != CUDNN_FWD_MODE_TRAINING) mt_host_fatal("cuDNN: tests/cuda_host knows training alone");
    MT_HOST_DNN(temp_sizes(
        mt_host_dnn_descriptor(r, MT_HOST_DNN_RNN), mt_host_dnn_descriptor(x, MT_HOST_DNN_RNN_DATA), scratch, reserved));
}

static void rnn_fini(mt_host_operation *o) { free(((rnn *)o)->lengths); }

// `say` has the arrays; descriptors and sizes are looked at here
static cudnnStatus_t queue(cudnnHandle_t handle, cudnnRNNDescriptor_t r, cudnnRNNDataDescriptor_t x, cudnnRNNDataDescriptor_t y,
    cudnnTensorDescriptor_t h, const char *name, mt_host_step (*run)(mt_host_operation *, void **), rnn *say) {
    const mt_host_dnn *dnn = mt_host_dnn_descriptor(handle, MT_HOST_DNN_HANDLE);
    const mt_host_rnn_data *in = mt_host_dnn_descriptor(x, MT_HOST_DNN_RNN_DATA),
                           *out = mt_host_dnn_descriptor(y, MT_HOST_DNN_RNN_DATA);
    const mt_host_tensor *state = mt_host_dnn_descriptor(h, MT_HOST_DNN_TENSOR);
    say->how = *(const mt_host_rnn *)mt_host_dnn_descriptor(r, MT_HOST_DNN_RNN);
    int fit = in->lengths && out->lengths && in->width == say->how.in && out->width == say->how.units &&
              in->sequences == out->sequences && in->steps == out->steps &&
              memcmp(in->lengths, out->lengths, sizeof(int) * (size_t)in->sequences) == 0 && state->rows == 1 &&
              state->channels == in->sequences * say->how.units;
    if (!fit) return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "the shapes of input, output, state and layer");
    say->steps = in->lengths[0], say->sequences = in->sequences, say->rows = rows_of(in);
    if (say->reserve_bytes < reserve_size(&say->how, say->rows) || say->scratch_bytes < scratch_size(&say->how, say->rows) ||
        say->param_bytes != 4 * (size_t)places_of(&say->how).floats)
        return mt_host_dnn_fail(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT, "the size of the work, reserve or weight space");
    rnn *w = (rnn *)mt_host_operation_create(sizeof *w, name, dnn->device, run, rnn_fini);
    say->operation = w->operation;
    say->lengths = mt_host_scratch_memory(sizeof(int) * (size_t)in->sequences);
    memcpy(say->lengths, in->lengths, sizeof(int) * (size_t)in->sequences);
    *w = *say;
    return mt_host_dnn_submit(dnn, &w->operation);
}

cudnnStatus_t cudnnRNNForward(cudnnHandle_t handle, cudnnRNNDescriptor_t r, cudnnForwardMode_t mode, const int32_t lengths[],
    cudnnRNNDataDescriptor_t x_shape, const void *x, cudnnRNNDataDescriptor_t y_shape, void *y, cudnnTensorDescriptor_t h,
    const void *hx, void *hy, cudnnTensorDescriptor_t c, const void *cx, void *cy, size_t param_bytes, const void *params,
    size_t scratch_bytes, void *scratch, size_t reserve_bytes, void *reserved) {
    rnn say = {.device_lengths = lengths,
        .x = x,
        .y = y,
        .hx = hx,
        .hy = hy,
        .cx = cx,
        .cy = cy,
        .params = params,
        .kept = reserved,
        .scratch = scratch,
        .param_bytes = param_bytes,
        .scratch_bytes = scratch_bytes,
        .reserve_bytes = reserve_bytes};
    (void)c;
    if (mode != CUDNN_FWD_MODE_TRAINING) mt_host_fatal("cuDNN: tests/cuda_host knows training alone");
    MT_HOST_DNN(queue(handle, r, x_shape, y_shape, h, "cudnnRNNForward", forward_run, &say));
}

cudnnStatus_t cudnnRNNBackwardData_v8(cudnnHandle_t handle, cudnnRNNDescriptor_t r, const int32_t lengths[],
    cudnnRNNDataDescriptor_t y_shape, const void *y, const void *dy, cudnnRNNDataDescriptor_t x_shape, void *dx,
    cudnnTensorDescriptor_t h, const void *hx, const void *dhy, void *dhx, cudnnTensorDescriptor_t c, const void *cx,
    const void *dcy, void *dcx, size_t param_bytes, const void *params, size_t scratch_bytes, void *scratch,
    size_t reserve_bytes, void *reserved) {
    rnn say = {.device_lengths = lengths,
        .y_in = y,
        .dy = dy,
        .dx = dx,
        .hx = hx,
        .dhy = dhy,
        .dhx = dhx,
        .cx = cx,
        .dcy = dcy,
        .dcx = dcx,
        .params = params,
        .kept = reserved,
        .scratch = scratch,
        .param_bytes = param_bytes,
        .scratch_bytes = scratch_bytes,
        .reserve_bytes = reserve_bytes};
    (void)c;
    MT_HOST_DNN(queue(handle, r, x_shape, y_shape, h, "cudnnRNNBackwardData_v8", data_run, &say));
}

cudnnStatus_t cudnnRNNBackwardWeights_v8(cudnnHandle_t handle, cudnnRNNDescriptor_t r, cudnnWgradMode_t mode,
    const int32_t lengths[], cudnnRNNDataDescriptor_t x_shape, const void *x, cudnnTensorDescriptor_t h, const void *hx,
    cudnnRNNDataDescriptor_t y_shape, const void *y, size_t param_bytes, void *gradients, size_t scratch_bytes, void *scratch,
    size_t reserve_bytes, void *reserved) {
    rnn say = {.device_lengths = lengths,
        .x = x,
        .hx = hx,
        .y_in = y,
        .gradients = gradients,
        .kept = reserved,
        .scratch = scratch,
        .param_bytes = param_bytes,
        .scratch_bytes = scratch_bytes,
        .reserve_bytes = reserve_bytes};
    if (mode != CUDNN_WGRAD_MODE_ADD) return CUDNN_STATUS_BAD_PARAM; // the vendor's only one, too
    MT_HOST_DNN(queue(handle, r, x_shape, y_shape, h, "cudnnRNNBackwardWeights_v8", weights_run, &say));
}
