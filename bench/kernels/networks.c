// Agents' networks on one core, against the FMA peak measured in the same run: each layer of the Nature DQN network, all of
// it by batch, the same of the IMPALA network, LSTM and GRU. bench/peers/torch_networks.py is PyTorch's side.
//   build/bench/bench_kernels_networks [--isa avx512|avx2|plain] [--only PREFIX] [--csv FILE]   (without --isa: the best)
// flop: 2·multiply-adds of the products, padding left out; backward is the weights' gradient and, but for the first layer, the
// input's.
#include "bench/bench.h"
#include "kernels/kernels.h"

static const mt_kernels *kernels;
static double peak;
static const char *only = "";

static float *array(int64_t count) {
    float *p = aligned_alloc(64, sizeof(float) * (size_t)((count + 15) / 16 * 16 + 16));
    if (!p) {
        fprintf(stderr, "bench_kernels_networks: out of memory\n");
        exit(7);
    }
    for (int64_t i = 0; i < count; i++) p[i] = (float)((i * 2654435761u) >> 16 & 1023) / 1024.0f - 0.5f;
    return p;
}

// the machine's other users cost some calls more, never less: the median of many short samples, of few long ones
static double seconds(bench_fn *fn, void *context) {
    bench_time once = bench_run_with(fn, context, CLOCK_THREAD_CPUTIME_ID, 1, 1e-3);
    int samples = once.best > 0.05 ? 5 : once.best > 5e-3 ? 11 : 31;
    return bench_run_with(fn, context, CLOCK_THREAD_CPUTIME_ID, samples, 2e-3).median;
}
static int wanted(const char *name) { return strncmp(name, only, strlen(only)) == 0; }
// nothing is built for rows that are not wanted
static int either(const char *a, const char *b) { return wanted(a) || wanted(b); }
static void rows_of(const char *name, bench_fn *fn, void *context, double flop, double items, const char *unit) {
    if (!wanted(name)) return;
    double s = seconds(fn, context);
    bench_row(name, flop / s * 1e-9, "GFLOP/s", "FMA peak", peak);
    if (items > 0) bench_row(name, items / s, unit, NULL, 0);
}

// ---- convolutions

typedef struct conv {
    mt_conv2d c;
    int64_t rows, x_count, y_count, w_count;
    int input_gradient;
    mt_activation activation, x_activation;
    float *x, *w, *wt, *wr, *b, *y, *dz, *dx, *dw, *db, *scratch;
} conv;

static conv conv_new(mt_conv2d c, int64_t rows, float *x, float *dx) {
    conv l = {.c = c, .rows = rows, .input_gradient = dx != NULL, .x = x, .dx = dx, .activation = MT_ACT_relu,
        .x_activation = dx ? MT_ACT_relu : MT_ACT_identity};
    l.x_count = rows * c.height * c.width * c.in;
    l.y_count = rows * mt_conv2d_out_height(&c) * mt_conv2d_out_width(&c) * c.out;
    l.w_count = (int64_t)c.out * c.in * c.kernel * c.kernel;
    l.w = array(l.w_count), l.wt = array(l.w_count), l.wr = array(l.w_count), l.dw = array(l.w_count);
    l.b = array(c.out), l.db = array(c.out);
    l.y = array(l.y_count), l.dz = array(l.y_count);
    l.scratch = array(kernels->conv2d_scratch(&c));
    kernels->conv2d_pack(&c, l.w, l.wt, l.wr);
    return l;
}
static void conv_free(conv *l) {
    free(l->w), free(l->wt), free(l->wr), free(l->dw), free(l->b), free(l->db), free(l->y), free(l->dz), free(l->scratch);
}
// pairs of a pixel of y and a tap inside the image, along one axis: taps in the padding are no work, and count for none
static double axis_taps(int in, int out, const mt_conv2d *c) {
    int64_t taps = 0;
    for (int y = 0; y < out; y++)
        for (int k = 0; k < c->kernel; k++) {
            int x = y * c->stride - c->padding + k;
            taps += x >= 0 && x < in;
        }
    return (double)taps;
}
static double conv_flop(const conv *l) {
    const mt_conv2d *c = &l->c;
    return 2.0 * (double)l->rows * axis_taps(c->height, mt_conv2d_out_height(c), c) *
        axis_taps(c->width, mt_conv2d_out_width(c), c) * c->in * c->out;
}
static void conv_forward(void *context) {
    conv *l = context;
    kernels->conv2d_forward(&(mt_conv2d_forward){.rows = l->rows, .conv = l->c, .activation = l->activation, .x = l->x,
        .weight_t = l->wt, .bias = l->b, .y = l->y, .scratch = l->scratch});
}
static void conv_backward(void *context) {
    conv *l = context;
    kernels->conv2d_backward(&(mt_conv2d_backward){.rows = l->rows, .conv = l->c, .x = l->x, .dz = l->dz, .weight_rows = l->wr,
        .x_activation = l->x_activation, .dx = l->dx, .dw = l->dw, .db = l->db, .scratch = l->scratch});
}
static void conv_pack(void *context) {
    conv *l = context;
    kernels->conv2d_pack(&l->c, l->w, l->wt, l->wr);
}

static void conv_rows(const char *network, mt_conv2d c, int64_t rows, int input_gradient) {
    char forward[128], backward[128], pack[128], shape[96];
    snprintf(shape, sizeof shape, "%dx%dx%d-%d %d/%d+%d, %lld images", c.height, c.width, c.in, c.out, c.kernel, c.stride,
        c.padding, (long long)rows);
    snprintf(forward, sizeof forward, "%s conv forward %s", network, shape);
    snprintf(backward, sizeof backward, "%s conv backward %s", network, shape);
    snprintf(pack, sizeof pack, "%s conv pack %s", network, shape);
    if (!either(forward, backward) && !wanted(pack)) return;
    int64_t count = rows * c.height * c.width * c.in;
    float *x = array(count), *dx = input_gradient ? array(count) : NULL;
    conv l = conv_new(c, rows, x, dx);
    rows_of(forward, conv_forward, &l, conv_flop(&l), 0, NULL);
    rows_of(backward, conv_backward, &l, conv_flop(&l) * (1 + input_gradient), 0, NULL);
    if (rows == 1 && wanted(pack)) bench_row(pack, seconds(conv_pack, &l) * 1e6, "us", NULL, 0);
    conv_free(&l);
    free(x), free(dx);
}

// ---- the Nature DQN network (Mnih et al. 2015): 32 8/4, 64 4/2, 64 3/1, 512, heads of 6 actions and a value

static const mt_conv2d nature_convs[3] = {{84, 84, 4, 32, 8, 4, 0}, {20, 20, 32, 64, 4, 2, 0}, {9, 9, 64, 64, 3, 1, 0}};
enum { FLAT = 7 * 7 * 64, HIDDEN = 512, HEADS = 2 };

typedef struct dense {
    int in, out;
    float *w, *wt, *b, *y, *dz, *dw, *db;
} dense;
static dense dense_new(int64_t rows, int in, int out) {
    dense d = {.in = in, .out = out, .w = array((int64_t)in * out), .wt = array((int64_t)in * out), .b = array(out),
        .y = array(rows * out), .dz = array(rows * out), .dw = array((int64_t)in * out), .db = array(out)};
    kernels->dense_pack(out, in, d.w, d.wt);
    return d;
}
static void dense_free(dense *d) { free(d->w), free(d->wt), free(d->b), free(d->y), free(d->dz), free(d->dw), free(d->db); }

typedef struct nature {
    int64_t rows;
    conv convs[3];
    dense hidden, heads[HEADS];
    float *image, *flat, *dflat, *dhead;   // (B, 84, 84, 4), (B, FLAT) in PyTorch's order, twice, (B, HIDDEN)
} nature;

static nature nature_new(int64_t rows) {
    nature n = {.rows = rows, .image = array(rows * 84 * 84 * 4)};
    for (int i = 0; i < 3; i++)
        n.convs[i] = conv_new(nature_convs[i], rows, i ? n.convs[i - 1].y : n.image, i ? n.convs[i - 1].dz : NULL);
    n.flat = array(rows * FLAT), n.dflat = array(rows * FLAT), n.dhead = array(rows * HIDDEN);
    n.hidden = dense_new(rows, FLAT, HIDDEN);
    n.heads[0] = dense_new(rows, HIDDEN, 6), n.heads[1] = dense_new(rows, HIDDEN, 1);
    return n;
}
static void nature_free(nature *n) {
    for (int i = 0; i < 3; i++) conv_free(&n->convs[i]);
    dense_free(&n->hidden), dense_free(&n->heads[0]), dense_free(&n->heads[1]);
    free(n->image), free(n->flat), free(n->dflat), free(n->dhead);
}
static void dense_forward(int64_t rows, const dense *d, const float *x, mt_activation act) {
    kernels->dense_forward(&(mt_dense_forward){.rows = rows, .in = d->in, .out = d->out, .activation = act, .x = x,
        .weight = d->w, .weight_t = d->wt, .bias = d->b, .y = d->y});
}
static void dense_backward(int64_t rows, const dense *d, const float *x, mt_activation x_act, float *dx) {
    kernels->dense_backward(&(mt_dense_backward){.rows = rows, .in = d->in, .out = d->out, .x = x, .dz = d->dz, .weight = d->w,
        .x_activation = x_act, .dx = dx, .dw = d->dw, .db = d->db});
}
static void heads_backward(int64_t rows, const dense *heads, const dense *hidden, float *dhead) {
    dense_backward(rows, &heads[0], hidden->y, MT_ACT_relu, hidden->dz);
    dense_backward(rows, &heads[1], hidden->y, MT_ACT_relu, dhead);
    kernels->axpy(rows * hidden->out, 1.0f, dhead, hidden->dz);
}
static void nature_forward(void *context) {
    nature *n = context;
    for (int i = 0; i < 3; i++) conv_forward(&n->convs[i]);
    kernels->turn(n->rows, 49, 64, n->convs[2].y, n->flat);
    dense_forward(n->rows, &n->hidden, n->flat, MT_ACT_relu);
    for (int i = 0; i < HEADS; i++) dense_forward(n->rows, &n->heads[i], n->hidden.y, MT_ACT_identity);
}
static void nature_both(void *context) {
    nature *n = context;
    nature_forward(n);
    heads_backward(n->rows, n->heads, &n->hidden, n->dhead);
    dense_backward(n->rows, &n->hidden, n->flat, MT_ACT_relu, n->dflat);
    kernels->turn(n->rows, 64, 49, n->dflat, n->convs[2].dz);
    for (int i = 2; i >= 0; i--) conv_backward(&n->convs[i]);
}
static void nature_rows(int64_t batch) {
    char forward[96], both[96];
    snprintf(forward, sizeof forward, "Nature CNN forward, %lld images", (long long)batch);
    snprintf(both, sizeof both, "Nature CNN forward+backward, %lld images", (long long)batch);
    if (!either(forward, both)) return;
    nature n = nature_new(batch);
    double flop = 0, first = conv_flop(&n.convs[0]);
    for (int i = 0; i < 3; i++) flop += conv_flop(&n.convs[i]);
    flop += 2.0 * (double)batch * (FLAT * HIDDEN + HIDDEN * 7);
    rows_of(forward, nature_forward, &n, flop, (double)batch, "images/s");
    rows_of(both, nature_both, &n, 3 * flop - first, (double)batch, "images/s");
    nature_free(&n);
}

// ---- the residual network of the IMPALA paper (Espeholt et al. 2018): 16, 32, 32 channels, 256, the same heads

enum { SECTIONS = 3, BLOCKS = 2, IMPALA_FLAT = 11 * 11 * 32, IMPALA_HIDDEN = 256 };

typedef struct residual {
    int64_t count;
    conv first, second;
    float *x, *relu, *dx;        // its input, that after relu, and the gradient of the latter on its way back
} residual;
typedef struct section {
    conv entry;
    mt_max_pool2d pool;
    residual blocks[BLOCKS];
    float *pooled;
    int32_t *argmax;
} section;
typedef struct impala {
    int64_t rows;
    section sections[SECTIONS];
    dense hidden, heads[HEADS];
    float *image, *relu, *flat, *dflat, *dhead;
} impala;

static residual residual_new(int64_t rows, int size, int channels, float *x) {
    residual r = {.count = rows * size * size * channels, .x = x};
    const mt_conv2d c = {size, size, channels, channels, 3, 1, 1};
    r.relu = array(r.count), r.dx = array(r.count);
    r.first = conv_new(c, rows, r.relu, r.dx);
    r.second = conv_new(c, rows, r.first.y, r.first.dz);
    r.second.activation = MT_ACT_identity;
    return r;
}
static impala impala_new(int64_t rows) {
    impala n = {.rows = rows, .image = array(rows * 84 * 84 * 4)};
    float *x = n.image, *dx = NULL;
    for (int s = 0, size = 84, in = 4; s < SECTIONS; s++) {
        section *p = &n.sections[s];
        const int out = s ? 32 : 16, half = (size + 1) / 2;
        p->entry = conv_new((mt_conv2d){size, size, in, out, 3, 1, 1}, rows, x, dx);
        p->entry.activation = p->entry.x_activation = MT_ACT_identity;
        p->pool = (mt_max_pool2d){size, size, out, 3, 2, 1};
        p->pooled = array(rows * half * half * out), p->argmax = (int32_t *)(void *)array(rows * half * half * out);
        for (int b = 0; b < BLOCKS; b++)
            p->blocks[b] = residual_new(rows, half, out, b ? p->blocks[b - 1].second.y : p->pooled);
        x = p->blocks[BLOCKS - 1].second.y, dx = p->blocks[BLOCKS - 1].second.dz;
        size = half, in = out;
    }
    n.relu = array(rows * IMPALA_FLAT), n.flat = array(rows * IMPALA_FLAT), n.dflat = array(rows * IMPALA_FLAT);
    n.dhead = array(rows * IMPALA_HIDDEN);
    n.hidden = dense_new(rows, IMPALA_FLAT, IMPALA_HIDDEN);
    n.heads[0] = dense_new(rows, IMPALA_HIDDEN, 6), n.heads[1] = dense_new(rows, IMPALA_HIDDEN, 1);
    return n;
}
static void impala_free(impala *n) {
    for (int s = 0; s < SECTIONS; s++) {
        section *p = &n->sections[s];
        for (int b = 0; b < BLOCKS; b++) {
            conv_free(&p->blocks[b].first), conv_free(&p->blocks[b].second);
            free(p->blocks[b].relu), free(p->blocks[b].dx);
        }
        conv_free(&p->entry), free(p->pooled), free(p->argmax);
    }
    dense_free(&n->hidden), dense_free(&n->heads[0]), dense_free(&n->heads[1]);
    free(n->image), free(n->relu), free(n->flat), free(n->dflat), free(n->dhead);
}
static double impala_flop(const impala *n) {
    double flop = 2.0 * (double)n->rows * (IMPALA_FLAT * IMPALA_HIDDEN + IMPALA_HIDDEN * 7);
    for (int s = 0; s < SECTIONS; s++) {
        flop += conv_flop(&n->sections[s].entry);
        for (int b = 0; b < BLOCKS; b++) flop += 2 * conv_flop(&n->sections[s].blocks[b].first);
    }
    return flop;
}

static void impala_forward(void *context) {
    impala *n = context;
    for (int s = 0; s < SECTIONS; s++) {
        section *p = &n->sections[s];
        conv_forward(&p->entry);
        kernels->max_pool2d_forward(n->rows, &p->pool, p->entry.y, p->pooled, p->argmax);
        for (int b = 0; b < BLOCKS; b++) {
            residual *r = &p->blocks[b];
            kernels->activate(MT_ACT_relu, r->count, r->x, r->relu);
            conv_forward(&r->first);
            conv_forward(&r->second);
            kernels->axpy(r->count, 1.0f, r->x, r->second.y);
        }
    }
    kernels->activate(MT_ACT_relu, n->rows * IMPALA_FLAT, n->sections[SECTIONS - 1].blocks[BLOCKS - 1].second.y, n->relu);
    kernels->turn(n->rows, 121, 32, n->relu, n->flat);
    dense_forward(n->rows, &n->hidden, n->flat, MT_ACT_relu);
    for (int i = 0; i < HEADS; i++) dense_forward(n->rows, &n->heads[i], n->hidden.y, MT_ACT_identity);
}
static void impala_both(void *context) {
    impala *n = context;
    impala_forward(n);
    heads_backward(n->rows, n->heads, &n->hidden, n->dhead);
    dense_backward(n->rows, &n->hidden, n->flat, MT_ACT_relu, n->dflat);
    kernels->turn(n->rows, 32, 121, n->dflat, n->sections[SECTIONS - 1].blocks[BLOCKS - 1].second.dz);
    for (int s = SECTIONS - 1; s >= 0; s--) {
        section *p = &n->sections[s];
        for (int b = BLOCKS - 1; b >= 0; b--) {
            residual *r = &p->blocks[b];
            conv_backward(&r->second);
            conv_backward(&r->first);
            kernels->axpy(r->count, 1.0f, r->second.dz, r->dx);
            if (b) memcpy(p->blocks[b - 1].second.dz, r->dx, sizeof(float) * (size_t)r->count);
        }
        kernels->max_pool2d_backward(n->rows, &p->pool, p->blocks[0].dx, p->argmax, MT_ACT_identity, p->entry.y, NULL, p->entry.dz);
        conv_backward(&p->entry);
    }
}
static void impala_rows(int64_t batch) {
    char forward[96], both[96];
    snprintf(forward, sizeof forward, "IMPALA CNN forward, %lld images", (long long)batch);
    snprintf(both, sizeof both, "IMPALA CNN forward+backward, %lld images", (long long)batch);
    if (!either(forward, both)) return;
    impala n = impala_new(batch);
    double flop = impala_flop(&n), first = conv_flop(&n.sections[0].entry);
    rows_of(forward, impala_forward, &n, flop, (double)batch, "images/s");
    rows_of(both, impala_both, &n, 3 * flop - first, (double)batch, "images/s");
    impala_free(&n);
}

// ---- recurrent layers

typedef struct rnn {
    mt_rnn_backward b;
    float *state;
} rnn;
static void rnn_forward(void *context) { kernels->rnn_forward(&((rnn *)context)->b.rnn); }
static void rnn_both(void *context) {
    rnn_forward(context);
    kernels->rnn_backward(&((rnn *)context)->b);
}
static void rnn_rows(mt_rnn_cell cell, int64_t steps, int64_t envs, int units) {
    const char *title = cell == MT_RNN_LSTM ? "LSTM" : "GRU";
    char forward[96], both[96];
    snprintf(forward, sizeof forward, "%s %d forward, %lld x %lld", title, units, (long long)steps, (long long)envs);
    snprintf(both, sizeof both, "%s %d forward+backward, %lld x %lld", title, units, (long long)steps, (long long)envs);
    if (!either(forward, both)) return;
    const int64_t rows = steps * envs, gates = (int64_t)mt_rnn_gates(cell) * units, state = mt_rnn_state(cell, units);
    float *w = array(gates * units), *wt = array(gates * units), *arrays[] = {array(rows * units), array(rows * units),
        array(rows * mt_rnn_kept(cell, units)), array(rows * units), array(rows * units), array(envs * state), array(envs * state),
        array(kernels->rnn_scratch(cell, steps, envs, units, units)), array(gates * units), array(gates * units), array(gates),
        array(gates), array(gates)};
    for (int64_t i = 0; i < gates * units; i++) w[i] *= 0.2f;
    kernels->dense_pack((int)gates, units, w, wt);
    uint8_t *start = calloc((size_t)rows, 1);
    if (!start) exit(7);
    for (int64_t i = 0; i < rows; i++) start[i] = i % 211 == 210;
    rnn r = {.b = {.rnn = {.cell = cell, .steps = steps, .envs = envs, .in = units, .units = units, .x = arrays[0], .start = start,
                       .start_stride = envs, .state = arrays[5], .state_stride = state, .weight_x = w, .weight_h = w,
                       .weight_x_t = wt, .weight_h_t = wt, .bias_x = arrays[10], .bias_h = arrays[10], .y = arrays[1],
                       .kept = arrays[2], .state_out = arrays[6], .scratch = arrays[7]},
                 .dy = arrays[3], .x_activation = MT_ACT_relu, .dx = arrays[4], .dw_x = arrays[8], .dw_h = arrays[9],
                 .db_x = arrays[11], .db_h = arrays[12]}};
    const double flop = 2.0 * (double)(rows * gates) * 2 * units;
    rows_of(forward, rnn_forward, &r, flop, (double)rows, "steps/s");
    rows_of(both, rnn_both, &r, 3 * flop, (double)rows, "steps/s");
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
    free(w), free(wt), free(start);
}

int main(int argc, char **argv) {
    int isa = MT_ISA_COUNT - 1;
    int64_t largest = 1024;   // batch of images
    while (isa > 0 && !mt_kernels_cpu((mt_isa)isa)) isa--;
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--only") == 0) only = argv[i + 1];
        if (strcmp(argv[i], "--largest") == 0) largest = strtoll(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--isa") == 0) isa = strcmp(argv[i + 1], "plain") == 0 ? 0 : strcmp(argv[i + 1], "avx2") == 0 ? 1 : 2;
    }
    kernels = mt_kernels_cpu((mt_isa)isa);
    if (!kernels) {
        fprintf(stderr, "bench_kernels_networks: this machine or build lacks that instruction set\n");
        return 2;
    }
    bench_open(argc, argv, "kernels/networks");
    peak = bench_fma_peak((bench_isa)isa);
    char name[64];
    snprintf(name, sizeof name, "%s FMA peak", kernels->name);
    bench_row(name, peak, "GFLOP/s", NULL, 0);
    for (int i = 0; i < 3; i++)
        for (int64_t batch = 1; batch <= 64; batch *= 64) conv_rows("Nature", nature_convs[i], batch, i > 0);
    for (int64_t batch = 1; batch <= largest; batch *= 2) nature_rows(batch);
    static const mt_conv2d impala_convs[] = {{84, 84, 4, 16, 3, 1, 1}, {42, 42, 16, 16, 3, 1, 1}, {42, 42, 16, 32, 3, 1, 1},
        {21, 21, 32, 32, 3, 1, 1}, {11, 11, 32, 32, 3, 1, 1}};
    for (int i = 0; i < 5; i++) conv_rows("IMPALA", impala_convs[i], 16, i > 0);
    for (int64_t batch = 1; batch <= largest; batch *= 2) impala_rows(batch);
    static const int64_t shapes[][2] = {{1, 1}, {1, 64}, {1, 1024}, {16, 1}, {16, 8}, {16, 64}, {16, 1024}, {128, 1}, {128, 8},
        {128, 64}};
    for (int cell = 0; cell < 2; cell++)
        for (int i = 0; i < 10; i++) rnn_rows((mt_rnn_cell)cell, shapes[i][0], shapes[i][1], 128);
    return bench_close();
}
