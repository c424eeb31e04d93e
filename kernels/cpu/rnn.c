// LSTM and GRU over whole sequences, forward and backward through time. Formulas, gate order and shapes: kernels.h.
//   forward    step by step, a block of sequences at a time: W_x x into `kept`, W_h h on top of it, then the cell over what is
//              still in L2. Few sequences have their W_x x of several steps done at once
//   backward   some steps at a time: the gates' gradients and what they hand to the step before, then dx, dw and db of those steps
// 2·T·N·G·H·(I + H) flop forward, twice that backward. A row of `kept` (gru: with the gates' places) is
//   lstm  i f g o c         gru  r z n (W_hn h + b_hn)
// Determinism: a row's sums are chains over its own x and h; a sequence knows nothing of its neighbours.
// Bytes moved: forward x, y and kept once; backward these, dy and dx once, what lies between in scratch that L2 holds.
#include "kernels/cpu/activate.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/product.h"

enum {
    SLOTS = 4,                   // sums of a unit: lstm's gates, gru's r z (W_xn x + b_xn) (W_hn h + b_hn)
    PLACES = 4,                  // gradients kept of a row: lstm di df dg do, gru dr dz d(W_hn h + b_hn) dn
    BLOCK_ROWS = 96,             // whose sums L2 holds, forward
    CHUNK_ROWS = 192             // of several steps, backward
};

// steps that backward takes together
static int64_t chunk_steps(int64_t steps, int64_t envs) {
    int64_t some = envs < CHUNK_ROWS ? CHUNK_ROWS / (envs > 0 ? envs : 1) : 1;
    return some < steps ? some : steps;
}

int64_t MT_ISA_NAME(mt_rnn_scratch)(mt_rnn_cell cell, int64_t steps, int64_t envs, int in, int units) {
    (void)cell, (void)in;
    int64_t forward = SLOTS + BLOCK_ROWS, backward = (PLACES + 1) * chunk_steps(steps, envs) * envs + 2 * envs;
    return units * (forward > backward ? forward : backward);
}

// ---- what a step reads of the one before it, zero where an episode starts
static int starts_at(const mt_rnn *a, int64_t t, int64_t n) { return a->start && a->start[t * a->start_stride + n]; }

// h of `count` sequences from `from` on
static void previous_h(const mt_rnn *a, int64_t t, int64_t from, int64_t count, float *h) {
    const int units = a->units;
    for (int64_t n = from; n < from + count; n++, h += units) {
        const float *before = t ? a->y + ((t - 1) * a->envs + n) * units : a->state + n * a->state_stride;
        if (starts_at(a, t, n)) memset(h, 0, sizeof(float) * (size_t)units);
        else memcpy(h, before, sizeof(float) * (size_t)units);
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

typedef struct working {
    float *bias;                 // (SLOTS, H): what the sums start from
    float *h;                    // (BLOCK_ROWS, H): before the step
    int x_done;                  // W_x x is in `kept`
} working;

// W_x x of `rows` rows from `first` on, into `kept`
static void forward_x(const mt_rnn *a, const working *s, int64_t first, int64_t rows) {
    const int gates = mt_rnn_gates(a->cell) * a->units, row = mt_rnn_kept(a->cell, a->units);
    product p = {.m = rows, .n = gates, .k = a->in,
        .t = {.a = a->x + first * a->in, .a_row = a->in, .a_step = 1, .b = a->weight_x_t, .b_step = gates, .init = s->bias,
            .c = a->kept + first * row, .c_row = row}};
    // the rows after these are asked for meanwhile: they are written once, and memory is slow to hand them over
    const int64_t tiles = product_strip_tiles(&p);
    tile_ahead next = {(const char *)(p.t.c + rows * row), (rows * row * 4 / AHEAD_BYTES + tiles - 1) / tiles, AHEAD_BYTES};
    if (first + 2 * rows <= a->steps * a->envs) p.t.ahead = &next;
    product_run(&p);
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

// W_h h on top of it, for `rows` sequences from n on
static void forward_h(const mt_rnn *a, const working *s, int64_t t, int64_t n, int64_t rows) {
    const int units = a->units, gates = mt_rnn_gates(a->cell) * units, row = mt_rnn_kept(a->cell, units);
    const int together = a->cell == MT_RNN_LSTM ? gates : 2 * units;
    float *kept = a->kept + (t * a->envs + n) * row;
    product p = {.m = rows, .n = together, .k = units,
        .t = {.a = s->h, .a_row = units, .a_step = 1, .b = a->weight_h_t, .b_step = gates, .init = kept, .init_row = row,
            .c = kept, .c_row = row}};
    product_run(&p);
    if (a->cell == MT_RNN_LSTM) return;
    p.n = units;   // gru's third gate has a place of its own
    p.t.b += together;
    p.t.init = s->bias + gates, p.t.init_row = 0;
    p.t.c = kept + gates;
    product_run(&p);
}

static void forward_step(const mt_rnn *a, const working *s, int64_t t) {
    for (int64_t n = 0; n < a->envs; n += BLOCK_ROWS) {
        int64_t rows = a->envs - n < BLOCK_ROWS ? a->envs - n : BLOCK_ROWS;
        if (!s->x_done) forward_x(a, s, t * a->envs + n, rows);
        previous_h(a, t, n, rows, s->h);
        forward_h(a, s, t, n, rows);
        for (int64_t r = 0; r < rows; r++)
            if (a->cell == MT_RNN_LSTM) lstm_cell(a, t, n + r);
            else gru_cell(a, t, n + r, s->h + r * a->units);
    }
}

void MT_ISA_NAME(mt_rnn_forward)(const mt_rnn *a) {
    const int units = a->units, lstm = a->cell == MT_RNN_LSTM;
    working s = {.bias = a->scratch, .h = a->scratch + SLOTS * units, .x_done = a->envs < BLOCK_ROWS};
    // gru's b_hn stays inside r's product
    for (int i = 0; i < SLOTS * units; i++)
        s.bias[i] = lstm || i < 2 * units ? a->bias_x[i] + a->bias_h[i] : i < 3 * units ? a->bias_x[i] : a->bias_h[i - units];
    const int64_t ahead = s.x_done && a->envs > 0 ? BLOCK_ROWS / a->envs : 1;
    for (int64_t t = 0; t < a->steps; t++) {
        if (s.x_done && t % ahead == 0)
            forward_x(a, &s, t * a->envs, (a->steps - t < ahead ? a->steps - t : ahead) * a->envs);
        forward_step(a, &s, t);
    }
    if (a->state_out && a->steps > 0) store_state(a);
}

// ---- backward

typedef struct carried {
    int64_t first;               // the chunk's first step
    float *dz;                   // (chunk, N, PLACES·H): the gradients of the pre-activations
    float *h;                    // (chunk, N, H): h before each step
    float *dh, *dc;              // (N, H): from the step after
} carried;

static void lstm_cell_backward(const mt_rnn_backward *b, const carried *s, int64_t t, int64_t n) {
    const mt_rnn *a = &b->rnn;
    const int units = a->units;
    const int64_t row = t * a->envs + n;
    const float *kept = a->kept + row * 5 * units, *dy = b->dy + row * units, *c_before = previous_c(a, t, n);
    float *dz = s->dz + (row - s->first * a->envs) * PLACES * units, *dh_next = s->dh + n * units, *dc_next = s->dc + n * units;
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
    const float *kept = a->kept + row * 4 * units, *dy = b->dy + row * units;
    const float *h = s->h + (row - s->first * a->envs) * units;
    float *dz = s->dz + (row - s->first * a->envs) * PLACES * units, *dh_next = s->dh + n * units;
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
        .t = {.a = s->dz + (t - s->first) * a->envs * PLACES * units, .a_row = PLACES * units, .a_step = 1, .b = a->weight_h,
            .b_step = units, .init = s->dh, .init_row = units, .c = s->dh, .c_row = units}};
    product_run(&p);
    for (int64_t n = 0; n < a->envs; n++)
        if (starts_at(a, t, n)) memset(s->dh + n * units, 0, sizeof(float) * (size_t)units);
}

// gates [from, from + count) of dw (+)= dzᵀ input; `place` is where their gradients stand in a row of dz
static void weight_gradient(int64_t rows, int units, const float *dz, int place, int from, int count, const float *input, int in,
    float *dw, int accumulate) {
    product p = {.m = (int64_t)count * units, .n = in, .k = rows,
        .t = {.a = dz + (int64_t)place * units, .a_row = 1, .a_step = PLACES * units, .b = input, .b_step = in,
            .c = dw + (int64_t)from * units * in, .c_row = in}};
    if (accumulate) p.t.init = p.t.c, p.t.init_row = in;
    product_run(&p);
}
static void bias_gradient(int64_t rows, int units, const float *dz, int place, int from, int count, float *db, int accumulate) {
    static const float one = 1.0f;
    product p = {.m = 1, .n = (int64_t)count * units, .k = rows,
        .t = {.a = &one, .b = dz + (int64_t)place * units, .b_step = PLACES * units, .c = db + (int64_t)from * units}};
    if (accumulate) p.t.init = p.t.c;
    product_run(&p);
}

// of `rows` rows from `first` on, whose gradients are at dz and whose h before is at `h`
static void weight_gradients(const mt_rnn_backward *b, int64_t first, int64_t rows, const float *dz, const float *h,
    int accumulate) {
    const int in = b->rnn.in, units = b->rnn.units, lstm = b->rnn.cell == MT_RNN_LSTM, together = lstm ? 4 : 2;
    const float *x = b->rnn.x + first * in;
    weight_gradient(rows, units, dz, 0, 0, together, x, in, b->dw_x, accumulate);
    weight_gradient(rows, units, dz, 0, 0, lstm ? 4 : 3, h, units, b->dw_h, accumulate);
    bias_gradient(rows, units, dz, 0, 0, together, b->db_x, accumulate);
    bias_gradient(rows, units, dz, 0, 0, lstm ? 4 : 3, b->db_h, accumulate);
    if (lstm) return;
    weight_gradient(rows, units, dz, 3, 2, 1, x, in, b->dw_x, accumulate);
    bias_gradient(rows, units, dz, 3, 2, 1, b->db_x, accumulate);
}

static void x_gradient(const mt_rnn_backward *b, int64_t first, int64_t rows, const float *dz) {
    const mt_rnn *a = &b->rnn;
    const int units = a->units, in = a->in, lstm = a->cell == MT_RNN_LSTM;
    const epilogue e = {.act = b->x_activation, .backward = 1};
    // gru's dr and dz, then its dn
    const tile_part part[3] = {{0, 0}, {units, (int64_t)units * in}, {3 * units, (int64_t)2 * units * in}};
    product p = {.m = rows, .n = in, .k = (lstm ? 4 : 1) * units,
        .t = {.a = dz, .a_row = PLACES * units, .a_step = 1, .b = a->weight_x, .b_step = in, .part = lstm ? NULL : part, .parts = 3,
            .c = b->dx + first * in, .c_row = in, .y = (float *)(uintptr_t)a->x + first * in,   // a backward epilogue only reads y
            .pre = b->x_pre ? b->x_pre + first * in : NULL, .after = b->x_activation != MT_ACT_identity ? &e : NULL}};
    product_run(&p);
}

void MT_ISA_NAME(mt_rnn_backward)(const mt_rnn_backward *b) {
    const mt_rnn *a = &b->rnn;
    const int64_t chunk = chunk_steps(a->steps, a->envs), rows = chunk * a->envs * a->units;
    carried s = {.dz = a->scratch, .h = a->scratch + PLACES * rows};
    s.dh = s.h + rows;
    s.dc = s.dh + a->envs * a->units;
    memset(s.dh, 0, sizeof(float) * (size_t)(2 * a->envs * a->units));
    if (a->steps == 0) weight_gradients(b, 0, 0, s.dz, s.h, b->accumulate);
    for (int64_t end = a->steps; end > 0; end = s.first) {
        s.first = end > chunk ? end - chunk : 0;
        const int64_t first = s.first * a->envs, count = (end - s.first) * a->envs;
        for (int64_t t = s.first; t < end; t++) previous_h(a, t, 0, a->envs, s.h + (t - s.first) * a->envs * a->units);
        for (int64_t t = end - 1; t >= s.first; t--) backward_step(b, &s, t);
        weight_gradients(b, first, count, s.dz, s.h, b->accumulate || end < a->steps);
        if (b->dx) x_gradient(b, first, count, s.dz);
    }
}
