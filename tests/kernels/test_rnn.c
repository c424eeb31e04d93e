// LSTM and GRU against a plain reference in double, which finite differences through all steps check in turn.
#include "activation_ref.h"
#include "fixture.h"

typedef struct net {
    mt_rnn_backward b;
    int64_t rows, gates, state, start_rows;
    float *x, *x_pre, *state_in, *state_out, *w_x, *w_h, *w_x_t, *w_h_t, *b_x, *b_h, *y, *kept, *scratch, *dy;
    uint8_t *start;
} net;

// flags: 1 start flags, 2 strided start and state, 4 no dx, 8 accumulate, 16 state_out is state, 32 no state_out
static net net_new(const mt_kernels *k, mt_rnn_cell cell, int64_t steps, int64_t envs, int in, int units,
    mt_activation x_act, int flags) {
    net n = {.rows = steps * envs, .gates = (int64_t)mt_rnn_gates(cell) * units, .state = mt_rnn_state(cell, units)};
    const int64_t stride = n.state + (flags & 2 ? 7 : 0), start_stride = envs + (flags & 2 ? 3 : 0);
    n.x_pre = normals_of(n.rows * in, 1);
    n.x = floats(n.rows * in);
    for (int64_t i = 0; i < n.rows * in; i++) n.x[i] = (float)activation_ref(x_act, n.x_pre[i]);
    n.state_in = normals_of((envs - 1) * stride + n.state, 0.7);
    n.state_out = flags & 16 ? n.state_in : filled((envs - 1) * stride + n.state, 9);
    n.w_x = normals_of(n.gates * in, 1 / sqrt(in)), n.w_h = normals_of(n.gates * units, 1 / sqrt(units));
    n.w_x_t = floats(n.gates * in), n.w_h_t = floats(n.gates * units);
    n.b_x = normals_of(n.gates, 0.5), n.b_h = normals_of(n.gates, 0.5);
    n.y = filled(n.rows * units, NAN), n.kept = filled(n.rows * mt_rnn_kept(cell, units), NAN);
    n.scratch = filled(k->rnn_scratch(cell, steps, envs, in, units), NAN);
    n.dy = normals_of(n.rows * units, 1);
    n.start_rows = steps ? (steps - 1) * start_stride + envs : 0;
    n.start = fenced(n.start_rows);
    for (int64_t i = 0; i < n.start_rows; i++)
        n.start[i] = i == 0 || random_u32() % 4 == 0; // the first sequence starts at once
    k->dense_pack((int)n.gates, in, n.w_x, n.w_x_t);
    k->dense_pack((int)n.gates, units, n.w_h, n.w_h_t);
    n.b = (mt_rnn_backward){.rnn = {.cell = cell,
                                .steps = steps,
                                .envs = envs,
                                .in = in,
                                .units = units,
                                .x = n.x,
                                .start = flags & 1 ? n.start : NULL,
                                .start_stride = start_stride,
                                .state = n.state_in,
                                .state_stride = stride,
                                .weight_x = n.w_x,
                                .weight_h = n.w_h,
                                .weight_x_t = n.w_x_t,
                                .weight_h_t = n.w_h_t,
                                .bias_x = n.b_x,
                                .bias_h = n.b_h,
                                .y = n.y,
                                .kept = n.kept,
                                .state_out = flags & 32 ? NULL : n.state_out,
                                .scratch = n.scratch},
        .dy = n.dy,
        .x_activation = x_act,
        .x_pre = mt_activation_needs_pre(x_act) ? n.x_pre : NULL,
        .dx = flags & 4 ? NULL : filled(n.rows * in, NAN),
        .dw_x = normals_of(n.gates * in, 1),
        .dw_h = normals_of(n.gates * units, 1),
        .db_x = normals_of(n.gates, 1),
        .db_h = normals_of(n.gates, 1),
        .accumulate = flags >> 3 & 1};
    return n;
}

// ---- the reference: one sequence step in double, and everything that the loss Σ dy ∘ y needs of it
typedef struct point { // what the reference reads, so that a difference can move any one value
    double *x, *w_x, *w_h, *b_x, *b_h, *state;
} point;
static double *doubles(const float *from, int64_t count) {
    double *to = malloc(sizeof *to * (size_t)(count + 1));
    for (int64_t i = 0; i < count; i++) to[i] = from[i];
    return to;
}
static double sigmoid(double z) { return 1 / (1 + exp(-z)); }

// y (T, N, H) and the state (N, S) after the last step
static void reference(const net *n, const point *p, double *y, double *last) {
    const mt_rnn *a = &n->b.rnn;
    const int H = a->units, lstm = a->cell == MT_RNN_LSTM;
    double *zx = malloc(sizeof *zx * (size_t)n->gates), *zh = malloc(sizeof *zh * (size_t)n->gates);
    for (int64_t e = 0; e < a->envs; e++) {
        double *state = last + e * n->state;
        for (int64_t i = 0; i < n->state; i++) state[i] = p->state[e * a->state_stride + i];
        for (int64_t t = 0; t < a->steps; t++) {
            const double *x = p->x + (t * a->envs + e) * a->in;
            if (a->start && a->start[t * a->start_stride + e]) memset(state, 0, sizeof *state * (size_t)n->state);
            for (int64_t g = 0; g < n->gates; g++) {
                zx[g] = p->b_x[g], zh[g] = p->b_h[g];
                for (int i = 0; i < a->in; i++) zx[g] += p->w_x[g * a->in + i] * x[i];
                for (int i = 0; i < H; i++) zh[g] += p->w_h[g * H + i] * state[i];
            }
            for (int u = 0; u < H; u++) {
                double r = sigmoid(zx[u] + zh[u]), z = sigmoid(zx[H + u] + zh[H + u]); // i, f of an lstm
                if (lstm) {
                    double c = z * state[H + u] + r * tanh(zx[2 * H + u] + zh[2 * H + u]);
                    state[H + u] = c;
                    state[u] = sigmoid(zx[3 * H + u] + zh[3 * H + u]) * tanh(c);
                } else
                    state[u] = (1 - z) * tanh(zx[2 * H + u] + r * zh[2 * H + u]) + z * state[u];
                y[(t * a->envs + e) * H + u] = state[u];
            }
        }
    }
    free(zx), free(zh);
}
static double loss(const net *n, const point *p, double *y, double *last) {
    double sum = 0;
    reference(n, p, y, last);
    for (int64_t i = 0; i < n->rows * n->b.rnn.units; i++) sum += y[i] * (double)n->dy[i];
    return sum;
}
static point point_of(const net *n) {
    const mt_rnn *a = &n->b.rnn;
    return (point){doubles(n->x, n->rows * a->in), doubles(n->w_x, n->gates * a->in),
        doubles(n->w_h, n->gates * a->units), doubles(n->b_x, n->gates), doubles(n->b_h, n->gates),
        doubles(n->state_in, (a->envs - 1) * a->state_stride + n->state)};
}
static void point_free(point *p) { free(p->x), free(p->w_x), free(p->w_h), free(p->b_x), free(p->b_h), free(p->state); }

static const char *name_of(mt_rnn_cell cell) { return cell == MT_RNN_LSTM ? "lstm" : "gru"; }

static void check_forward(const mt_kernels *k, const net *n, const double *y, const double *last) {
    const mt_rnn *a = &n->b.rnn;
    for (int64_t i = 0; i < n->rows * a->units; i++)
        near(n->y[i], y[i], 1e-5, "%s T %ld N %ld %d → %d: y[%ld]", name_of(a->cell), (long)a->steps, (long)a->envs,
            a->in, a->units, (long)i);
    for (int64_t i = 0; a->state_out && i < (a->envs - 1) * a->state_stride + n->state; i++) {
        int64_t e = i / a->state_stride, at = i % a->state_stride;
        if (at < n->state)
            near(n->state_out[i], last[e * n->state + at], 1e-5, "state of %ld, %ld", (long)e, (long)at);
        else if (n->state_out != n->state_in)
            check_eq(n->state_out[i], 9.0f, "%s: wrote between states", k->name);
    }
}

static void forward(const mt_kernels *k, mt_rnn_cell cell, int64_t steps, int64_t envs, int in, int units, int flags) {
    net n = net_new(k, cell, steps, envs, in, units, MT_ACT_identity, flags);
    double *y = calloc((size_t)(n.rows * units + 1), sizeof *y), *last = calloc((size_t)(envs * n.state), sizeof *last);
    point p = point_of(&n);
    reference(&n, &p, y, last);
    k->rnn_forward(&n.b.rnn);
    check_forward(k, &n, y, last);
    free(y), free(last), point_free(&p);
    unfence();
}
static void parity(const mt_kernels *k) {
    static const int sizes[] = {1, 3, 16, 17, 65, 128};
    for (int cell = 0; cell < 2; cell++)
        for (int u = 0; u < 6; u++)
            for (int i = 0; i < 6; i += 1 + (u & 1))
                for (int e = 0; e < 5; e++) {
                    int odd = u + i + e,
                        flags = (odd & 1) | (odd & 2) | (odd % 5 == 0 ? 16 : 0) | (odd % 7 == 0 ? 32 : 0);
                    forward(k, (mt_rnn_cell)cell, 1 + odd % 5, sizes[e], sizes[i], sizes[u], flags);
                }
    for (int cell = 0; cell < 2; cell++)
        forward(k, (mt_rnn_cell)cell, 17, 150, 20, 33, 3), forward(k, (mt_rnn_cell)cell, 70, 2, 4, 7, 1);
}
Test(rnn, forward_matches_reference, .timeout = 300) { each_isa(parity); }

// ---- gradients of every argument by central differences of the reference
static void gradient_of(const mt_kernels *k, const net *n, const point *p, const char *what, double *value,
    const float *got, const float *before, int64_t count, int64_t step, double *y, double *last) {
    const double h = 1e-5;
    for (int64_t i = 0; i < count; i += step) {
        double kept = value[i];
        value[i] = kept + h;
        double up = loss(n, p, y, last);
        value[i] = kept - h;
        double slope = (up - loss(n, p, y, last)) / (2 * h);
        value[i] = kept;
        if (before) slope += (double)before[i];
        near(got[i], slope, 3e-5, "%s T %ld N %ld %d → %d: %s[%ld]", name_of(n->b.rnn.cell), (long)n->b.rnn.steps,
            (long)n->b.rnn.envs, n->b.rnn.in, n->b.rnn.units, what, (long)i);
    }
}
static float *copy(const float *x, int64_t count) {
    float *to = malloc(sizeof *to * (size_t)(count + 1));
    memcpy(to, x, sizeof *to * (size_t)count);
    return to;
}
// every `step`th value of each gradient
static void gradients(const mt_kernels *k, mt_rnn_cell cell, int64_t steps, int64_t envs, int in, int units,
    mt_activation x_act, int flags, int64_t step) {
    net n = net_new(k, cell, steps, envs, in, units, x_act, flags);
    double *y = calloc((size_t)(n.rows * units + 1), sizeof *y), *last = calloc((size_t)(envs * n.state), sizeof *last);
    point p = point_of(&n);
    const mt_rnn_backward *b = &n.b;
    struct {
        const char *what;
        double *value;
        const float *got;
        int64_t count;
    } parts[] = {{"dw_x", p.w_x, b->dw_x, n.gates * in}, {"dw_h", p.w_h, b->dw_h, n.gates * units},
        {"db_x", p.b_x, b->db_x, n.gates}, {"db_h", p.b_h, b->db_h, n.gates}};
    float *before[4];
    for (int i = 0; i < 4; i++) before[i] = copy(parts[i].got, parts[i].count);
    k->rnn_forward(&b->rnn);
    for (int64_t i = 0; i < k->rnn_scratch(cell, steps, envs, in, units); i++)
        n.scratch[i] = NAN; // nothing is kept in it
    k->rnn_backward(b);
    for (int i = 0; i < 4; i++) {
        gradient_of(k, &n, &p, parts[i].what, parts[i].value, parts[i].got, b->accumulate ? before[i] : NULL,
            parts[i].count, step, y, last);
        free(before[i]);
    }
    for (int64_t i = 0; b->dx && i < n.rows * in; i += step) {
        const double h = 1e-5, kept = p.x[i];
        p.x[i] = activation_ref(x_act, n.x_pre[i] + h);
        double up = loss(&n, &p, y, last);
        p.x[i] = activation_ref(x_act, n.x_pre[i] - h);
        near(b->dx[i], (up - loss(&n, &p, y, last)) / (2 * h), 3e-5, "%s, x made by %s: dx[%ld]", name_of(cell),
            mt_activation_name(x_act), (long)i);
        p.x[i] = kept;
    }
    free(y), free(last), point_free(&p);
    unfence();
}
static void differences(const mt_kernels *k) {
    static const int sizes[][4] = {// T, N, I, H
        {1, 1, 1, 1}, {1, 3, 3, 17}, {3, 1, 17, 3}, {5, 3, 2, 5}, {17, 2, 3, 3}, {2, 17, 5, 4}, {9, 5, 16, 16},
        {3, 2, 65, 17}};
    for (int cell = 0; cell < 2; cell++)
        for (int s = 0; s < 8; s++)
            for (int flags = 0; flags < 16; flags += 1 + s % 3) {
                if (flags & 4 && s & 1) continue;
                int64_t work = (int64_t)sizes[s][0] * sizes[s][1] * sizes[s][3] * (sizes[s][2] + sizes[s][3]);
                gradients(k, (mt_rnn_cell)cell, sizes[s][0], sizes[s][1], sizes[s][2], sizes[s][3],
                    (mt_activation)((s + flags) % MT_ACT_COUNT), flags, 1 + work / 400);
            }
    for (int cell = 0; cell < 2; cell++) {
        gradients(
            k, (mt_rnn_cell)cell, 40, 33, 17, 33, MT_ACT_tanh, 3, 997); // beyond a block of sequences, or of steps
        gradients(k, (mt_rnn_cell)cell, 3, 300, 5, 20, MT_ACT_relu, 1, 499);
        gradients(k, (mt_rnn_cell)cell, 300, 1, 3, 7, MT_ACT_identity, 9, 41);
    }
}
Test(rnn, gradients_match_differences, .timeout = 300) { each_isa(differences); }

// ---- a sequence has the same bits whatever sequences are beside it, and however the steps are divided over calls
static void independence(const mt_kernels *k) {
    static const int64_t counts[] = {1, 2, 5, 6, 7, 16, 64};
    static const int units[] = {5, 16, 40, 128};
    for (int cell = 0; cell < 2; cell++)
        for (int u = 0; u < 4; u++) {
            const int64_t T = 6, N = 70;
            const int I = 19, H = units[u];
            net n = net_new(k, (mt_rnn_cell)cell, T, N, I, H, MT_ACT_identity, 1);
            k->rnn_forward(&n.b.rnn);
            for (int c = 0; c < 7; c++)
                for (int64_t from = 0; from <= 4; from += 2) {
                    mt_rnn part = n.b.rnn;
                    int64_t count = counts[c], S = n.state;
                    float *x = floats(T * count * I), *y = floats(T * count * H),
                          *kept = floats(T * count * mt_rnn_kept(part.cell, H));
                    float *state = floats(count * S);
                    uint8_t *start = fenced(T * count);
                    for (int64_t t = 0; t < T; t++) {
                        memcpy(x + t * count * I, n.x + (t * N + from) * I, sizeof(float) * (size_t)(count * I));
                        memcpy(start + t * count, n.start + t * N + from, (size_t)count);
                    }
                    memcpy(state, n.state_in + from * S, sizeof(float) * (size_t)(count * S));
                    part.envs = count, part.start_stride = count, part.start = start, part.x = x, part.y = y,
                    part.kept = kept;
                    part.state = part.state_out = state;
                    for (int64_t t = 0; t < T; t += 1 + c % 2) { // a step or two a call
                        part.steps = T - t < 1 + c % 2 ? T - t : 1 + c % 2;
                        part.x = x + t * count * I, part.y = y + t * count * H, part.start = start + t * count;
                        part.kept = kept + t * count * mt_rnn_kept(part.cell, H);
                        k->rnn_forward(&part);
                    }
                    for (int64_t t = 0; t < T; t++)
                        check_eq(
                            memcmp(y + t * count * H, n.y + (t * N + from) * H, sizeof(float) * (size_t)(count * H)), 0,
                            "%s: %s of %d: step %ld of sequences %ld..+%ld differs", k->name, name_of(part.cell), H,
                            (long)t, (long)from, (long)count);
                    check_eq(memcmp(state, n.state_out + from * S, sizeof(float) * (size_t)(count * S)), 0,
                        "%s: state differs", k->name);
                    for (int i = 0; i < fence_max; i++) // the part's arrays alone
                        if (fences[i].data == (char *)x || fences[i].data == (char *)y ||
                            fences[i].data == (char *)kept || fences[i].data == (char *)state ||
                            fences[i].data == (char *)start) {
                            munmap(fences[i].map, fences[i].map_bytes);
                            fences[i].map = NULL;
                        }
                }
            unfence();
        }
}
Test(rnn, sequence_does_not_depend_on_its_neighbours, .timeout = 300) { each_isa(independence); }

static void no_work(const mt_kernels *k) {
    for (int cell = 0; cell < 2; cell++) {
        net n = net_new(k, (mt_rnn_cell)cell, 0, 3, 5, 7, MT_ACT_identity, 0);
        k->rnn_forward(&n.b.rnn);
        k->rnn_backward(&n.b);
        for (int64_t i = 0; i < n.gates * 7; i++) check_eq(n.b.dw_h[i], 0.0f, "%s: dw_h of no steps", k->name);
        unfence();
    }
}
Test(rnn, zero_steps) { each_isa(no_work); }

// a NaN in one sequence stays there, and an episode's start ends it
static void nan_sequence(const mt_kernels *k) {
    for (int cell = 0; cell < 2; cell++) {
        net n = net_new(k, (mt_rnn_cell)cell, 6, 9, 5, 20, MT_ACT_identity, 1);
        memset(n.start, 0, (size_t)n.start_rows);
        n.start[4 * 9 + 3] = 1;
        n.x[(1 * 9 + 3) * 5 + 2] = NAN;
        k->rnn_forward(&n.b.rnn);
        for (int64_t i = 0; i < n.rows * 20; i++) {
            int64_t t = i / 20 / 9, e = i / 20 % 9;
            check_eq(isnan(n.y[i]) != 0, e == 3 && t >= 1 && t < 4, "%s: y of step %ld of sequence %ld is %g", k->name,
                (long)t, (long)e, (double)n.y[i]);
        }
        unfence();
    }
}
Test(rnn, nan_ends_with_the_episode) { each_isa(nan_sequence); }
