// Convolutions and recurrent layers on the GPU against the CPU's table, over odd shapes, every activation, with and without bias,
// with episodes that start inside a sequence and without, and by the vendor's library. Exit status as own.c.
#include "engine/device/cuda_library.h"
#include "harness.h"
#include "kernels/cuda/dnn.h"

static mt_cuda_dense *dense;
static mt_cuda_dnn *dnn;
static double unit; // of a product's error: 2e-6, in TF32 2e-3

// ---- convolutions

typedef struct conv_case {
    int64_t rows;
    mt_conv2d conv;
} conv_case;
static const conv_case convs[] = {
    {1, {1, 1, 1, 1, 1, 1, 0}},
    {2, {5, 7, 3, 5, 3, 2, 1}},
    {3, {84, 84, 4, 32, 8, 4, 0}}, // Nature DQN's
    {3, {20, 20, 32, 64, 4, 2, 0}},
    {17, {9, 9, 64, 64, 3, 1, 0}},
    {3, {21, 21, 16, 32, 3, 1, 1}}, // IMPALA's
    {65, {6, 4, 2, 17, 3, 1, 2}},
    {5, {8, 8, 17, 1, 1, 1, 0}},
    {1, {3, 3, 65, 3, 3, 1, 0}},
};
enum { conv_count = sizeof convs / sizeof *convs };

static void run_conv(const conv_case *a, mt_activation act, int with_bias, int with_pre, int accumulate) {
    const mt_conv2d *c = &a->conv;
    const int64_t rows = a->rows, taps = (int64_t)c->kernel * c->kernel;
    const int64_t pixels = (int64_t)mt_conv2d_out_height(c) * mt_conv2d_out_width(c);
    const int64_t x_count = rows * c->height * c->width * c->in, y_count = rows * pixels * c->out, w_count = taps * c->in * c->out;
    const double terms = (double)(taps * c->in);
    float *z = normals_of(x_count, 1), *x = host_floats(x_count), *w = normals_of(w_count, 1 / sqrt(terms)),
          *b = normals_of(c->out, 1), *dz = normals_of(y_count, 1), *dw = normals_of(w_count, 1), *db = normals_of(c->out, 1),
          *y = host_floats(y_count),
          *pre = host_floats(y_count), *dx = host_floats(x_count), *w_t = host_floats(w_count), *w_rows = host_floats(w_count),
          *scratch = host_floats(cpu->conv2d_scratch(c));
    cpu->activate(act, x_count, z, x);
    cpu->conv2d_pack(c, w, w_t, w_rows);
    const int needs_pre = mt_activation_needs_pre(act);
    mt_conv2d_forward f = {.rows = rows, .conv = *c, .activation = act, .x = x, .weight_t = w_t, .bias = with_bias ? b : NULL,
        .y = y, .pre = pre, .scratch = scratch}, f_up = f;
    mt_conv2d_backward g = {.rows = rows, .conv = *c, .x = x, .dz = dz, .weight_rows = w_rows, .x_activation = act, .x_pre = z,
        .dx = with_pre ? dx : NULL, .dw = dw, .db = with_bias ? db : NULL, .accumulate = accumulate, .scratch = scratch}, g_up = g;
    float *packed = NEW(float, w_count), *packed_t = NEW(float, w_count), *own_scratch = NEW(float, mt_cuda_conv2d_scratch(c));
    f_up.x = g_up.x = UP(x, x_count), f_up.weight_t = packed_t, g_up.weight_rows = packed;
    f_up.bias = with_bias ? UP(b, c->out) : NULL, f_up.y = NEW(float, y_count);
    f_up.pre = with_pre || needs_pre ? NEW(float, y_count) : NULL, f_up.scratch = g_up.scratch = own_scratch;
    g_up.dz = UP(dz, y_count), g_up.x_pre = needs_pre ? UP(z, x_count) : NULL, g_up.dx = with_pre ? NEW(float, x_count) : NULL;
    g_up.dw = UP(dw, w_count), g_up.db = with_bias ? UP(db, c->out) : NULL;
    cpu->conv2d_forward(&f);
    cpu->conv2d_backward(&g);
    must(mt_cuda_conv2d_pack(&cuda, c, UP(w, w_count), packed_t, packed));
    must(mt_cuda_conv2d_forward(dnn, &f_up));
    must(mt_cuda_conv2d_backward(dnn, &g_up));
    const double length = sqrt((double)(rows * pixels) + 1);
    COMPARE(float, "conv2d_forward", f_up.y, y, y_count, unit * 5, TOLERANT);
    if (f_up.pre) COMPARE(float, "conv2d_forward", f_up.pre, pre, y_count, unit * 5, TOLERANT);
    COMPARE(float, "conv2d_backward, dw", g_up.dw, dw, w_count, unit * 5 * length, TOLERANT);
    if (with_bias) COMPARE(float, "conv2d_backward, db", g_up.db, db, c->out, 2e-6 * 5 * length, TOLERANT);
    if (g_up.dx)
        COMPARE(float, "conv2d_backward, dx", g_up.dx, dx, x_count, unit * 10 * sqrt((double)c->out / c->in + 1), TOLERANT);
    done("conv2d");
}

// no rows: gradients of nothing; and arrays where the library cannot read
static void run_conv_edges(void) {
    float some[54], none[54] = {0};
    for (int i = 0; i < 54; i++) some[i] = 1;
    mt_conv2d_backward a = {.conv = {3, 3, 3, 2, 3, 1, 0}, .dw = UP(some, 54), .db = UP(some, 2), .accumulate = 1};
    must(mt_cuda_conv2d_backward(dnn, &a));
    COMPARE(float, "conv2d_backward, no rows", a.dw, some, 54, 0, TOLERANT);
    a.accumulate = 0;
    must(mt_cuda_conv2d_backward(dnn, &a));
    COMPARE(float, "conv2d_backward, no rows", a.dw, none, 54, 0, TOLERANT);
    COMPARE(float, "conv2d_backward, no rows", a.db, none, 2, 0, TOLERANT);
    float *x = NEW(float, 32), *y = NEW(float, 32), *w = NEW(float, 56);
    mt_conv2d_forward f = {.rows = 1, .conv = a.conv, .x = x + 1, .weight_t = w, .y = y};
    if (mt_cuda_conv2d_forward(dnn, &f) != MT_INVALID_ARGUMENT || !strstr(mt_last_error(), "multiples of 16"))
        failures++, printf("FAILED conv2d: misaligned images\n");
    done("conv2d, edges");
}

static void test_conv(void) {
    for (int s = 0; s < conv_count; s++)
        for (int act = 0; act < MT_ACT_COUNT; act++)
            for (int variant = 0; variant < 4; variant++)
                if (s < 2 || s > 5 || variant == (s + act) % 4) // the large ones not every way
                    run_conv(&convs[s], (mt_activation)act, variant & 1, variant & 2, (variant + s) % 2);
    run_conv_edges();
    // more elements than the library counts: in parts
    const int64_t all = dnn->elements_most;
    dnn->elements_most = 10000; // 12 images
    for (int variant = 0; variant < 4; variant++) run_conv(&convs[6], MT_ACT_relu, variant & 1, variant & 2, variant & 1);
    dnn->elements_most = 1000; // less than four images
    mt_conv2d_forward f = {.rows = 1, .conv = {20, 20, 1, 1, 3, 1, 0}};
    if (mt_cuda_conv2d_forward(dnn, &f) != MT_UNSUPPORTED) failures++, printf("FAILED conv2d: images that are too large\n");
    dnn->elements_most = all;
}

// ---- recurrent layers

enum { STARTS, NO_STARTS, LIBRARY }; // by steps, by steps without any start, by the vendor's library

typedef struct rnn_case {
    int64_t steps, envs;
    int in, units;
} rnn_case;
static const rnn_case rnns[] = {{1, 1, 1, 1}, {1, 17, 5, 64}, {3, 3, 17, 5}, {17, 5, 3, 17}, {9, 65, 64, 33}, {33, 2, 65, 64}};
enum { rnn_count = sizeof rnns / sizeof *rnns };

static float *transposed(const float *w, int out, int in) {
    float *t = host_floats((int64_t)out * in);
    cpu->dense_pack(out, in, w, t);
    return t;
}

static void run_rnn(const rnn_case *a, mt_rnn_cell cell, int way, mt_activation act, int accumulate) {
    const int64_t rows = a->steps * a->envs, x_count = rows * a->in, y_count = rows * a->units;
    const int gates = mt_rnn_gates(cell) * a->units, state = mt_rnn_state(cell, a->units), stride = state + 3 * accumulate;
    const int64_t start_stride = a->envs + 2 * accumulate, wx_count = (int64_t)gates * a->in, wh_count = (int64_t)gates * a->units;
    float *z = normals_of(x_count, 1), *x = host_floats(x_count), *w_x = normals_of(wx_count, 1 / sqrt(a->in)),
          *w_h = normals_of(wh_count, 1 / sqrt(a->units)), *b_x = normals_of(gates, 0.5), *b_h = normals_of(gates, 0.5),
          *dy = normals_of(y_count, 1), *before = normals_of(a->envs * stride, 0.7), *after = host_floats(a->envs * stride),
          *dw_x = normals_of(wx_count, 1), *dw_h = normals_of(wh_count, 1), *db_x = normals_of(gates, 1),
          *db_h = normals_of(gates, 1);
    uint8_t *start = host_bytes((size_t)(a->steps * start_stride));
    for (int64_t i = 0; i < a->steps * start_stride; i++) start[i] = way == STARTS && random_u32() % 4 == 0;
    // what an episode before leaves must not get through, be it NaN
    if (way == STARTS) start[0] = 1, before[0] = NAN, before[state - 1] = NAN;
    cpu->activate(act, x_count, z, x);
    mt_rnn r = {.cell = cell, .steps = a->steps, .envs = a->envs, .in = a->in, .units = a->units, .x = x,
        .start = way == STARTS ? start : NULL, .start_stride = start_stride, .state = before, .state_stride = stride,
        .weight_x = w_x,
        .weight_h = w_h, .weight_x_t = transposed(w_x, gates, a->in), .weight_h_t = transposed(w_h, gates, a->units), .bias_x = b_x,
        .bias_h = b_h, .y = host_floats(y_count), .kept = host_floats(rows * mt_rnn_kept(cell, a->units)), .state_out = after,
        .scratch = host_floats(cpu->rnn_scratch(cell, a->steps, a->envs, a->in, a->units))}, up_r = r;
    mt_rnn_backward g = {.rnn = r, .dy = dy, .x_activation = act, .x_pre = z, .dx = way == NO_STARTS ? NULL : host_floats(x_count),
        .dw_x = dw_x, .dw_h = dw_h, .db_x = db_x, .db_h = db_h, .accumulate = accumulate};
    up_r.x = UP(x, x_count), up_r.start = way == STARTS ? UP(start, a->steps * start_stride) : NULL;
    up_r.state = UP(before, a->envs * stride), up_r.weight_x = UP(w_x, wx_count), up_r.weight_h = UP(w_h, wh_count);
    up_r.weight_x_t = up_r.weight_h_t = NULL, up_r.bias_x = UP(b_x, gates), up_r.bias_h = UP(b_h, gates);
    up_r.y = NEW(float, y_count), up_r.kept = NEW(float, rows * mt_rnn_kept(cell, a->units));
    up_r.state_out = UP(after, a->envs * stride);
    up_r.scratch = NEW(float, mt_cuda_rnn_scratch(cell, a->steps, a->envs, a->in, a->units));
    mt_rnn_backward g_up = g;
    g_up.rnn = up_r, g_up.dy = UP(dy, y_count), g_up.x_pre = UP(z, x_count), g_up.dx = g.dx ? NEW(float, x_count) : NULL;
    g_up.dw_x = UP(dw_x, wx_count), g_up.dw_h = UP(dw_h, wh_count), g_up.db_x = UP(db_x, gates), g_up.db_h = UP(db_h, gates);
    size_t bytes = 0;
    if (way == LIBRARY) must(mt_cuda_rnn_space(dnn, cell, a->steps, a->envs, a->in, a->units, &bytes));
    void *space = way == LIBRARY ? NEW(char, (int64_t)bytes) : NULL;
    cpu->rnn_forward(&r);
    cpu->rnn_backward(&g);
    must(mt_cuda_rnn_forward(dnn, &up_r, space));
    must(mt_cuda_rnn_backward(dnn, &g_up, space));
    static const char *const names[][4] = {{"lstm, forward", "lstm, dx", "lstm, dw", "lstm, db"},
        {"gru, forward", "gru, dx", "gru, dw", "gru, db"},
        {"lstm by the library, forward", "lstm by the library, dx", "lstm by the library, dw", "lstm by the library, db"},
        {"gru by the library, forward", "gru by the library, dx", "gru by the library, dw", "gru by the library, db"}};
    const char *const *name = names[2 * (way == LIBRARY) + (cell == MT_RNN_GRU)];
    const double length = sqrt((double)rows + 1), deep = unit * (unit > 1e-4 ? 20 : 5); // TF32's errors add up over the steps
    COMPARE(float, name[0], up_r.y, r.y, y_count, deep, TOLERANT);
    COMPARE(float, name[0], up_r.state_out, after, a->envs * stride, deep, TOLERANT);
    if (g.dx) COMPARE(float, name[1], g_up.dx, g.dx, x_count, 2 * deep, TOLERANT);
    COMPARE(float, name[2], g_up.dw_x, dw_x, wx_count, deep * length, TOLERANT);
    COMPARE(float, name[2], g_up.dw_h, dw_h, wh_count, deep * length, TOLERANT);
    COMPARE(float, name[3], g_up.db_x, db_x, gates, deep * length, TOLERANT);
    COMPARE(float, name[3], g_up.db_h, db_h, gates, deep * length, TOLERANT);
    done(name[0]);
}

// one step with the state in place: how a policy acts
static void run_acting(mt_rnn_cell cell) {
    enum { N = 5, I = 3, H = 6 };
    const int gates = mt_rnn_gates(cell) * H, state = mt_rnn_state(cell, H);
    float *x = normals_of(N * I, 1), *s = normals_of(N * state, 1), *w_x = normals_of(gates * I, 1),
          *w_h = normals_of(gates * H, 1), *b = normals_of(gates, 1);
    uint8_t start[N] = {0, 1, 0, 0, 1};
    mt_rnn r = {.cell = cell, .steps = 1, .envs = N, .in = I, .units = H, .x = x, .start = start, .start_stride = N, .state = s,
        .state_stride = state, .weight_x = w_x, .weight_h = w_h, .weight_x_t = transposed(w_x, gates, I),
        .weight_h_t = transposed(w_h, gates, H), .bias_x = b, .bias_h = b, .y = host_floats(N * H),
        .kept = host_floats(N * mt_rnn_kept(cell, H)), .state_out = s, .scratch = host_floats(cpu->rnn_scratch(cell, 1, N, I, H))},
           up_r = r;
    float *s_up = UP(s, N * state);
    up_r.x = UP(x, N * I), up_r.start = UP(start, N), up_r.state = up_r.state_out = s_up, up_r.weight_x = UP(w_x, gates * I);
    up_r.weight_h = UP(w_h, gates * H), up_r.bias_x = up_r.bias_h = UP(b, gates), up_r.y = NEW(float, N * H);
    up_r.kept = NEW(float, N * mt_rnn_kept(cell, H)), up_r.scratch = NEW(float, mt_cuda_rnn_scratch(cell, 1, N, I, H));
    for (int step = 0; step < 3; step++) {
        cpu->rnn_forward(&r);
        must(mt_cuda_rnn_forward(dnn, &up_r, NULL));
    }
    COMPARE(float, "rnn, state in place", up_r.y, r.y, N * H, unit * 20, TOLERANT);
    COMPARE(float, "rnn, state in place", s_up, s, N * state, unit * 20, TOLERANT);
    done("rnn, state in place");
}

static void test_rnn(void) {
    for (int s = 0; s < rnn_count; s++)
        for (int cell = 0; cell < 2; cell++)
            for (int way = STARTS; way <= LIBRARY; way++)
                for (int accumulate = 0; accumulate < 2; accumulate++)
                    run_rnn(&rnns[s], (mt_rnn_cell)cell, way, (mt_activation)((s + way + cell) % MT_ACT_COUNT), accumulate);
    for (int cell = 0; cell < 2; cell++) run_acting((mt_rnn_cell)cell);
}

// ---- what a code of the vendor's libraries becomes

static void test_codes(void) {
    static const struct {
        mt_cuda_library library;
        int code;
        mt_status status;
        const char *words;
    } cases[] = {{MT_LIBRARY_CUDNN, 0, MT_OK, NULL}, {MT_LIBRARY_CUDNN, 3000, MT_UNSUPPORTED, "that manta was built with"},
        {MT_LIBRARY_CUDNN, 3004, MT_UNSUPPORTED, "that manta was built with"},
        {MT_LIBRARY_CUDNN, 2003, MT_INTERNAL, "fault in manta"},
        {MT_LIBRARY_CUDNN, 4004, MT_NO_MEMORY, "memory free"}, {MT_LIBRARY_CUDNN, 4000, MT_INTERNAL, "nvidia-smi"},
        {MT_LIBRARY_CUBLASLT, 3, MT_NO_MEMORY, "memory free"}, {MT_LIBRARY_CUBLASLT, 13, MT_INTERNAL, "nvidia-smi"},
        {MT_LIBRARY_NCCL, 6, MT_COMM, "another rank ended"}, {MT_LIBRARY_NCCL, 5, MT_UNSUPPORTED, "each rank one"},
        {MT_LIBRARY_NCCL, 99, MT_INTERNAL, "nvidia-smi"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_status status = mt_cuda_library_check(cases[i].library, cases[i].code, "text", "more", "aCall(x)", "file.c", 7);
        int told = !cases[i].words || (strstr(mt_last_error(), cases[i].words) && strstr(mt_last_error(), "text: more") &&
                                          strstr(mt_last_error(), "in aCall(x)") && !strcmp(mt_last_error_where(), "file.c:7"));
        if (status != cases[i].status || !told)
            failures++, printf("FAILED code %d of library %d: %s, \"%s\"\n", cases[i].code, (int)cases[i].library,
                mt_status_name(status), mt_last_error());
    }
}

int main(void) {
    test_codes();
    int status = harness_open();
    if (status) return failures ? 1 : status;
    for (int tf32 = 0; tf32 < 2; tf32++) {
        unit = tf32 ? 2e-3 : 2e-6;
        must(mt_cuda_dense_create(&cuda, tf32 ? MT_CUDA_TF32 : MT_CUDA_FP32, &dense));
        must(mt_cuda_dnn_create(&cuda, dense, tf32, &dnn));
        test_conv();
        test_rnn();
        mt_cuda_dnn_destroy(dnn);
        mt_cuda_dense_destroy(dense);
    }
    return harness_close();
}
