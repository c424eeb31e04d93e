// Convolutions and recurrent layers. Convolutions of the Nature DQN net and of IMPALA's, forward (bias, relu) and backward (dw, db,
// dx), against the vendor's own rate: a product of 8192 × 8192 matrices. LSTM and GRU over whole segments: step by step as they run
// where episodes may start inside, against the vendor's library, which runs where none can; and the steps as a CUDA graph.
#include "bench/gpu/gpu.h"

#include "engine/device/cuda_graph.h"

static mt_cuda_dense *dense;
static mt_cuda_dnn *dnn;

// ---- convolutions

static mt_status call_forward(void *context) { return mt_cuda_conv2d_forward(dnn, context); }
static mt_status call_backward(void *context) { return mt_cuda_conv2d_backward(dnn, context); }

static void conv(const char *what, int64_t rows, mt_conv2d c, int wants_dx, const char *mode, double peak) {
    char name[96];
    int64_t in = rows * c.height * c.width * c.in, out = rows * mt_conv2d_out_height(&c) * mt_conv2d_out_width(&c) * c.out,
            weights = (int64_t)c.out * c.in * c.kernel * c.kernel;
    double flop = 2.0 * (double)out * c.in * c.kernel * c.kernel;
    float *x = gpu_floats(in, 0, 1), *w = gpu_floats(weights, -0.1f, 0.1f), *b = gpu_floats(c.out, -1, 1),
          *dz = gpu_floats(out, -1, 1), *y = gpu_zeros(4 * out), *dx = gpu_zeros(4 * in), *dw = gpu_zeros(4 * weights),
          *db = gpu_zeros(4 * (int64_t)c.out), *scratch = gpu_zeros(4 * mt_cuda_conv2d_scratch(&c));
    mt_conv2d_forward f = {.rows = rows, .conv = c, .activation = MT_ACT_relu, .x = x, .weight_t = w, .bias = b, .y = y};
    mt_conv2d_backward g = {.rows = rows, .conv = c, .x = x, .dz = dz, .weight_rows = w, .x_activation = MT_ACT_relu,
        .dx = wants_dx ? dx : NULL, .dw = dw, .db = db, .scratch = scratch};
    snprintf(name, sizeof name, "conv2d forward, %s, %s, %lld rows", what, mode, (long long)rows);
    gpu_row(name, flop / gpu_seconds(call_forward, &f) * 1e-12, "TFLOP/s", "product of 8192", peak);
    snprintf(name, sizeof name, "conv2d backward, %s, %s, %lld rows", what, mode, (long long)rows);
    gpu_row(name, (wants_dx ? 2 : 1) * flop / gpu_seconds(call_backward, &g) * 1e-12, "TFLOP/s", "product of 8192", peak);
    float *all[] = {x, w, b, dz, y, dx, dw, db, scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) gpu_free(all[i]);
}

static void convs(const char *mode, double peak) {
    static const int64_t rows[] = {64, 1024};
    for (int i = 0; i < 2; i++) {
        conv("Nature 1", rows[i], (mt_conv2d){84, 84, 4, 32, 8, 4, 0}, 0, mode, peak);
        conv("Nature 2", rows[i], (mt_conv2d){20, 20, 32, 64, 4, 2, 0}, 1, mode, peak);
        conv("Nature 3", rows[i], (mt_conv2d){9, 9, 64, 64, 3, 1, 0}, 1, mode, peak);
        conv("IMPALA 32 at 42", rows[i], (mt_conv2d){42, 42, 32, 32, 3, 1, 1}, 1, mode, peak);
    }
}

// ---- recurrent layers

typedef struct segment {
    mt_rnn forward;
    mt_rnn_backward backward;
    void *space; // of the library's way
} segment;

static mt_status call_segment(void *context) {
    segment *s = context;
    MT_TRY(mt_cuda_rnn_forward(dnn, &s->forward, s->space));
    return mt_cuda_rnn_backward(dnn, &s->backward, s->space);
}
static mt_status call_graph(void *context) { return mt_cuda_graph_launch(context, bench_gpu.cuda.stream); }

static void rnn(mt_rnn_cell cell, int64_t steps, int64_t envs, int units, const char *mode) {
    const int in = units, gates = mt_rnn_gates(cell) * units, state = mt_rnn_state(cell, units);
    const int64_t rows = steps * envs, weights = (int64_t)gates * units;
    char name[96], reference[96];
    size_t bytes;
    gpu_must(mt_cuda_rnn_space(dnn, cell, steps, envs, in, units, &bytes));
    mt_rnn r = {.cell = cell, .steps = steps, .envs = envs, .in = in, .units = units, .x = gpu_floats(rows * in, -1, 1),
        .start = gpu_zeros(rows), .start_stride = envs, .state = gpu_zeros(4 * envs * state), .state_stride = state,
        .weight_x = gpu_floats(weights, -0.1f, 0.1f), .weight_h = gpu_floats(weights, -0.1f, 0.1f),
        .bias_x = gpu_floats(gates, -1, 1), .bias_h = gpu_floats(gates, -1, 1), .y = gpu_zeros(4 * rows * units),
        .kept = gpu_zeros(4 * rows * mt_rnn_kept(cell, units)),
        .scratch = gpu_zeros(4 * mt_cuda_rnn_scratch(cell, steps, envs, in, units))};
    mt_rnn_backward b = {.dy = gpu_floats(rows * units, -1, 1), .dx = gpu_zeros(4 * rows * in), .dw_x = gpu_zeros(4 * weights),
        .dw_h = gpu_zeros(4 * weights), .db_x = gpu_zeros(4 * (int64_t)gates), .db_h = gpu_zeros(4 * (int64_t)gates)};
    segment by_steps = {r, b, NULL}, by_library = {r, b, gpu_zeros((int64_t)bytes)};
    by_steps.backward.rnn = r;
    by_library.forward.start = NULL;
    by_library.backward.rnn = by_library.forward;
    const char *cell_name = cell == MT_RNN_LSTM ? "lstm" : "gru";
    double library = gpu_seconds(call_segment, &by_library) * 1e6;
    snprintf(reference, sizeof reference, "%s of %d, %lld x %lld, %s, by the library", cell_name, units, (long long)steps,
        (long long)envs, mode);
    gpu_row(reference, library, "us", NULL, 0);
    double own = gpu_seconds(call_segment, &by_steps) * 1e6;
    snprintf(name, sizeof name, "%s of %d, %lld x %lld, %s, by steps", cell_name, units, (long long)steps, (long long)envs, mode);
    gpu_row(name, own, "us", reference, library);
    mt_cuda_graph *graph;
    gpu_must(mt_cuda_graph_capture(&bench_gpu.device, bench_gpu.cuda.stream, call_segment, &by_steps, &graph));
    double captured = gpu_seconds(call_graph, graph) * 1e6;
    snprintf(name, sizeof name, "%s of %d, %lld x %lld, %s, by steps as a CUDA graph", cell_name, units, (long long)steps,
        (long long)envs, mode);
    gpu_row(name, captured, "us", reference, library);
    mt_cuda_graph_destroy(graph);
    const void *all[] = {r.x, r.start, r.state, r.weight_x, r.weight_h, r.bias_x, r.bias_h, r.y, r.kept, r.scratch, b.dy, b.dx,
        b.dw_x, b.dw_h, b.db_x, b.db_h, by_library.space};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) gpu_free((void *)(uintptr_t)all[i]);
}

void bench_dnn(void) {
    for (mt_cuda_precision precision = MT_CUDA_FP32; precision <= MT_CUDA_TF32; precision++) {
        const char *mode = precision == MT_CUDA_FP32 ? "fp32" : "TF32";
        gpu_must(mt_cuda_dense_create(&bench_gpu.cuda, precision, &dense));
        gpu_must(mt_cuda_dnn_create(&bench_gpu.cuda, dense, precision == MT_CUDA_TF32, &dnn));
        convs(mode, gpu_product_rate(dense));
        for (int cell = 0; cell < 2; cell++) {
            rnn((mt_rnn_cell)cell, 64, 64, 128, mode);
            rnn((mt_rnn_cell)cell, 64, 4096, 128, mode);
            rnn((mt_rnn_cell)cell, 128, 256, 512, mode);
        }
        mt_cuda_dnn_destroy(dnn);
        mt_cuda_dense_destroy(dense);
    }
}
