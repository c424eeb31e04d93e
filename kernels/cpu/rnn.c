// LSTM and GRU over whole sequences, forward and backward through time. Formulas, gate order and shapes: kernels.h.
//   forward    all rows' W_x x in one product into `kept`; then step by step W_h h on top of it and the cell
//   backward   step by step the gates' gradients, which scratch keeps for all steps; then dx, dw and db in one product each
// 2·T·N·G·H·(I + H) flop forward, twice that backward. A row of `kept` (gru: with the gates' places) is
//   lstm  i f g o c         gru  r z n (W_hn h + b_hn)
// Determinism: a row's sums are chains over its own x and h; a sequence knows nothing of its neighbours.
#include "kernels/cpu/activate.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/product.h"

enum { PLACES = 4 };   // gradients kept of a row: lstm di df dg do, gru dr dz d(W_hn h + b_hn) dn

int64_t MT_ISA_NAME(mt_rnn_scratch)(mt_rnn_cell cell, int64_t steps, int64_t envs, int in, int units) {
    (void)in;
    int64_t rows = steps * envs * units;
    return (int64_t)mt_rnn_gates(cell) * units + (PLACES + 1) * rows + 2 * envs * units;
}

// ---- what a step reads of the one before it, zero where an episode starts
static int starts_at(const mt_rnn *a, int64_t t, int64_t n) { return a->start && a->start[t * a->start_stride + n]; }

// h of every sequence before step t
static void previous_h(const mt_rnn *a, int64_t t, float *h) {
    const int units = a->units;
    for (int64_t n = 0; n < a->envs; n++, h += units) {
        const float *from = t ? a->y + ((t - 1) * a->envs + n) * units : a->state + n * a->state_stride;
        if (starts_at(a, t, n)) memset(h, 0, sizeof(float) * (size_t)units);
        else memcpy(h, from, sizeof(float) * (size_t)units);
    }
}
// lstm's c of sequence n before step t; NULL where it is zero
static const float *previous_c(const mt_rnn *a, int64_t t, int64_t n) {
    if (starts_at(a, t, n)) return NULL;
    if (t == 0) return a->state + n * a->state_stride + a->units;
    return a->kept + ((t - 1) * a->envs + n) * 5 * a->units + 4 * (int64_t)a->units;
}
static vf load_or_zero(const float *p, int at, int n) { return p ? lane_load_n(p + at, n) : vf_set(0.0f); }

static vf sigmoid(vf z) { return vf_fma(vf_tanh(z * 0.5f), vf_set(0.5f), vf_set(0.5f)); }

// ---- forward

static void lstm_cell(const mt_rnn *a, int64_t t, int64_t n) {
    const int units = a->units;
    float *kept = a->kept + (t * a->envs + n) * 5 * units, *y = a->y + (t * a->envs + n) * units;
    const float *c_before = previous_c(a, t, n);
    for (int u = 0; u < units; u += VF) {
        const int w = lane_count(units - u);
        vf i = sigmoid(lane_load_n(kept + u, w)), f = sigmoid(lane_load_n(kept + units + u, w));
        vf g = vf_tanh(lane_load_n(kept + 2 * units + u, w)), o = sigmoid(lane_load_n(kept + 3 * units + u, w));
        vf c = vf_fma(f, load_or_zero(c_before, u, w), i * g);
        lane_store_n(kept + u, i, w);
        lane_store_n(kept + units + u, f, w);
        lane_store_n(kept + 2 * units + u, g, w);
        lane_store_n(kept + 3 * units + u, o, w);
        lane_store_n(kept + 4 * units + u, c, w);
        lane_store_n(y + u, o * vf_tanh(c), w);
    }
}
static void gru_cell(const mt_rnn *a, int64_t t, int64_t n, const float *h_before) {
    const int units = a->units;
    float *kept = a->kept + (t * a->envs + n) * 4 * units, *y = a->y + (t * a->envs + n) * units;
    for (int u = 0; u < units; u += VF) {
        const int w = lane_count(units - u);
        vf r = sigmoid(lane_load_n(kept + u, w)), z = sigmoid(lane_load_n(kept + units + u, w));
        vf new = vf_tanh(vf_fma(r, lane_load_n(kept + 3 * units + u, w), lane_load_n(kept + 2 * units + u, w)));
        lane_store_n(kept + u, r, w);
        lane_store_n(kept + units + u, z, w);
        lane_store_n(kept + 2 * units + u, new, w);
        lane_store_n(y + u, vf_fma(z, lane_load_n(h_before + u, w) - new, new), w);
    }
}

// W_h h on top of the step's W_x x
static void forward_step(const mt_rnn *a, int64_t t, float *h) {
    const int units = a->units, gates = mt_rnn_gates(a->cell) * units, row = mt_rnn_kept(a->cell, units);
    float *kept = a->kept + t * a->envs * row;
    previous_h(a, t, h);
    const int together = a->cell == MT_RNN_LSTM ? gates : 2 * units;
    product p = {.m = a->envs, .n = together, .k = units,
        .t = {.a = h, .a_row = units, .a_step = 1, .b = a->weight_h_t, .b_step = gates, .init = kept, .init_row = row,
            .c = kept, .c_row = row}};
    product_run(&p);
    if (a->cell == MT_RNN_GRU) {
        p.n = units;
        p.t.b += together;
        p.t.init = a->bias_h + together, p.t.init_row = 0;
        p.t.c = kept + gates;
        product_run(&p);
    }
    for (int64_t n = 0; n < a->envs; n++)
        if (a->cell == MT_RNN_LSTM) lstm_cell(a, t, n);
        else gru_cell(a, t, n, h + n * units);
}

static void store_state(const mt_rnn *a) {
    const int units = a->units;
    const int64_t last = (a->steps - 1) * a->envs;
    for (int64_t n = 0; n < a->envs; n++) {
        float *to = a->state_out + n * a->state_stride;
        memcpy(to, a->y + (last + n) * units, sizeof(float) * (size_t)units);
        if (a->cell == MT_RNN_LSTM)
            memcpy(to + units, a->kept + (last + n) * 5 * units + 4 * (int64_t)units, sizeof(float) * (size_t)units);
    }
}

void MT_ISA_NAME(mt_rnn_forward)(const mt_rnn *a) {
    const int units = a->units, gates = mt_rnn_gates(a->cell) * units, row = mt_rnn_kept(a->cell, units);
    float *bias = a->scratch, *h = bias + gates;
    // gru's b_hn stays inside r's product
    for (int i = 0; i < gates; i++)
        bias[i] = a->bias_x[i] + (a->cell == MT_RNN_LSTM || i < 2 * units ? a->bias_h[i] : 0.0f);
    product p = {.m = a->steps * a->envs, .n = gates, .k = a->in,
        .t = {.a = a->x, .a_row = a->in, .a_step = 1, .b = a->weight_x_t, .b_step = gates, .init = bias, .c = a->kept,
            .c_row = row}};
    product_run(&p);
    for (int64_t t = 0; t < a->steps; t++) forward_step(a, t, h);
    if (a->state_out && a->steps > 0) store_state(a);
}

// ---- backward

typedef struct carried {
    float *dz;                   // (T, N, PLACES·H): the gradients of the pre-activations
    float *h;                    // (T, N, H): h before each step
    float *dh, *dc;              // (N, H): from the step after
} carried;

static void lstm_cell_backward(const mt_rnn_backward *b, const carried *s, int64_t t, int64_t n) {
    const mt_rnn *a = &b->rnn;
    const int units = a->units;
    const int64_t row = t * a->envs + n;
    const float *kept = a->kept + row * 5 * units, *dy = b->dy + row * units, *c_before = previous_c(a, t, n);
    float *dz = s->dz + row * PLACES * units, *dh_next = s->dh + n * units, *dc_next = s->dc + n * units;
    const vf one = vf_set(1.0f);
    for (int u = 0; u < units; u += VF) {
        const int w = lane_count(units - u);
        vf i = lane_load_n(kept + u, w), f = lane_load_n(kept + units + u, w), g = lane_load_n(kept + 2 * units + u, w);
        vf o = lane_load_n(kept + 3 * units + u, w), c = vf_tanh(lane_load_n(kept + 4 * units + u, w));
        vf dh = lane_load_n(dy + u, w) + lane_load_n(dh_next + u, w);
        vf dc = vf_fma(dh * o, vf_fma(-c, c, one), lane_load_n(dc_next + u, w));
        lane_store_n(dz + u, dc * g * i * (one - i), w);
        lane_store_n(dz + units + u, dc * load_or_zero(c_before, u, w) * f * (one - f), w);
        lane_store_n(dz + 2 * units + u, dc * i * vf_fma(-g, g, one), w);
        lane_store_n(dz + 3 * units + u, dh * c * o * (one - o), w);
        lane_store_n(dc_next + u, c_before ? dc * f : vf_set(0.0f), w);
        lane_store_n(dh_next + u, vf_set(0.0f), w);
    }
}
static void gru_cell_backward(const mt_rnn_backward *b, const carried *s, int64_t t, int64_t n) {
    const mt_rnn *a = &b->rnn;
    const int units = a->units;
    const int64_t row = t * a->envs + n;
    const float *kept = a->kept + row * 4 * units, *dy = b->dy + row * units, *h = s->h + row * units;
    float *dz = s->dz + row * PLACES * units, *dh_next = s->dh + n * units;
    const vf one = vf_set(1.0f);
    for (int u = 0; u < units; u += VF) {
        const int w = lane_count(units - u);
        vf r = lane_load_n(kept + u, w), z = lane_load_n(kept + units + u, w), new = lane_load_n(kept + 2 * units + u, w);
        vf dh = lane_load_n(dy + u, w) + lane_load_n(dh_next + u, w);
        vf dn = dh * (one - z) * vf_fma(-new, new, one);
        lane_store_n(dz + u, dn * lane_load_n(kept + 3 * units + u, w) * r * (one - r), w);
        lane_store_n(dz + units + u, dh * (lane_load_n(h + u, w) - new) * z * (one - z), w);
        lane_store_n(dz + 2 * units + u, dn * r, w);
        lane_store_n(dz + 3 * units + u, dn, w);
        lane_store_n(dh_next + u, dh * z, w);
    }
}

// the gradients of step t, and what it hands to the step before
static void backward_step(const mt_rnn_backward *b, const carried *s, int64_t t) {
    const mt_rnn *a = &b->rnn;
    const int units = a->units, gates = mt_rnn_gates(a->cell) * units;
    for (int64_t n = 0; n < a->envs; n++)
        if (a->cell == MT_RNN_LSTM) lstm_cell_backward(b, s, t, n);
        else gru_cell_backward(b, s, t, n);
    product p = {.m = a->envs, .n = units, .k = gates,
        .t = {.a = s->dz + t * a->envs * PLACES * units, .a_row = PLACES * units, .a_step = 1, .b = a->weight_h,
            .b_step = units, .init = s->dh, .init_row = units, .c = s->dh, .c_row = units}};
    product_run(&p);
    for (int64_t n = 0; n < a->envs; n++)
        if (starts_at(a, t, n)) memset(s->dh + n * units, 0, sizeof(float) * (size_t)units);
}

// gates [from, from + count) of dw (+)= dzᵀ input, db (+)= Σ dz; `place` is where their gradients stand in a row of dz
static void weight_gradient(const mt_rnn_backward *b, const float *dz, int place, int from, int count, const float *input, int in,
    float *dw, float *db) {
    static const float one = 1.0f;
    const int units = b->rnn.units;
    product p = {.m = (int64_t)count * units, .n = in, .k = b->rnn.steps * b->rnn.envs,
        .t = {.a = dz + (int64_t)place * units, .a_row = 1, .a_step = PLACES * units, .b = input, .b_step = in,
            .c = dw + (int64_t)from * units * in, .c_row = in}};
    if (b->accumulate) p.t.init = p.t.c, p.t.init_row = in;
    product_run(&p);
    product sums = {.m = 1, .n = (int64_t)count * units, .k = p.k,
        .t = {.a = &one, .b = p.t.a, .b_step = PLACES * units, .c = db + (int64_t)from * units}};
    if (b->accumulate) sums.t.init = sums.t.c;
    product_run(&sums);
}

static void x_gradient(const mt_rnn_backward *b, const float *dz) {
    const mt_rnn *a = &b->rnn;
    const int units = a->units, lstm = a->cell == MT_RNN_LSTM;
    epilogue e = {.act = b->x_activation, .backward = 1};
    product p = {.m = a->steps * a->envs, .n = a->in, .k = (lstm ? 4 : 2) * units,
        .t = {.a = dz, .a_row = PLACES * units, .a_step = 1, .b = a->weight_x, .b_step = a->in, .c = b->dx, .c_row = a->in,
            .y = (float *)(uintptr_t)a->x, .pre = b->x_pre}};   // a backward epilogue only reads y
    const epilogue *after = b->x_activation != MT_ACT_identity ? &e : NULL;
    if (lstm) p.t.after = after;
    product_run(&p);
    if (lstm) return;
    p.k = units;
    p.t.a = dz + 3 * units;
    p.t.b += (int64_t)2 * units * a->in;
    p.t.init = b->dx, p.t.init_row = a->in;
    p.t.after = after;
    product_run(&p);
}

void MT_ISA_NAME(mt_rnn_backward)(const mt_rnn_backward *b) {
    const mt_rnn *a = &b->rnn;
    const int64_t rows = a->steps * a->envs * a->units;
    carried s = {.dz = a->scratch, .h = a->scratch + PLACES * rows};
    s.dh = s.h + rows;
    s.dc = s.dh + a->envs * a->units;
    memset(s.dh, 0, sizeof(float) * (size_t)(2 * a->envs * a->units));
    for (int64_t t = 0; t < a->steps; t++) previous_h(a, t, s.h + t * a->envs * a->units);
    for (int64_t t = a->steps - 1; t >= 0; t--) backward_step(b, &s, t);
    if (a->cell == MT_RNN_LSTM) {
        weight_gradient(b, s.dz, 0, 0, 4, a->x, a->in, b->dw_x, b->db_x);
        weight_gradient(b, s.dz, 0, 0, 4, s.h, a->units, b->dw_h, b->db_h);
    } else {
        weight_gradient(b, s.dz, 0, 0, 2, a->x, a->in, b->dw_x, b->db_x);
        weight_gradient(b, s.dz, 3, 2, 1, a->x, a->in, b->dw_x, b->db_x);
        weight_gradient(b, s.dz, 0, 0, 3, s.h, a->units, b->dw_h, b->db_h);
    }
    if (b->dx) x_gradient(b, s.dz);
}
