// What a launch costs: a short kernel (axpy of 1,024 floats), a hundred times one after the other, launched one by one
// and as a CUDA graph of a hundred nodes; wall time from the first call to the end of the last kernel. And an update of
// a small net in its own right: forward, backward and Adam of two layers of 64, at 64 rows.
#include "bench/gpu/gpu.h"

#include "engine/device/cuda_graph.h"

enum { CALLS = 100 };
static float *x, *y;
static mt_adam_scalars *scalars;
static mt_cuda_dense *dense;
static mt_cuda_graph *graph;

static mt_status short_kernels(void) {
    for (int i = 0; i < CALLS; i++) MT_TRY(mt_cuda_axpy(&bench_gpu.cuda, 1024, 1e-9f, x, y));
    return MT_OK;
}

// weights and all else at different places of one array
static mt_status small_update(void) {
    enum { ROWS = 64, SIDE = 64, SIZE = SIDE * SIDE };
    float *at = x, *w = at, *b = at + SIZE, *in = at + 2 * SIZE, *mid = at + 3 * SIZE, *out = at + 4 * SIZE, *dw = y,
          *db = y + SIZE, *d = y + 2 * SIZE;
    mt_dense_forward f = {
        .rows = ROWS, .in = SIDE, .out = SIDE, .activation = MT_ACT_tanh, .x = in, .weight = w, .bias = b, .y = mid};
    mt_dense_backward g = {.rows = ROWS,
        .in = SIDE,
        .out = SIDE,
        .x = mid,
        .dz = out,
        .weight = w,
        .x_activation = MT_ACT_tanh,
        .dx = d,
        .dw = dw,
        .db = db};
    MT_TRY(mt_cuda_dense_forward(dense, &f));
    f.x = mid, f.y = out;
    MT_TRY(mt_cuda_dense_forward(dense, &f));
    MT_TRY(mt_cuda_dense_backward(dense, &g));
    g.x = in, g.dz = d, g.dx = NULL, g.dw = y + 3 * SIZE, g.db = y + 4 * SIZE;
    MT_TRY(mt_cuda_dense_backward(dense, &g));
    mt_adam a = {.count = SIZE,
        .param = at + 5 * SIZE,
        .m = at + 6 * SIZE,
        .v = at + 7 * SIZE,
        .grad = dw,
        .beta1 = 0.9f,
        .beta2 = 0.999f,
        .eps = 1e-5f};
    return mt_cuda_adam_clipped(&bench_gpu.cuda, &a, 0.5f, scalars, NULL);
}

static mt_status launch_graph(void) { return mt_cuda_graph_launch(graph, bench_gpu.cuda.stream); }
static mt_status recorded(void *fn) { return ((mt_status(*)(void))(uintptr_t)fn)(); }

static void call(void *context) {
    gpu_must(((mt_status(*)(void))(uintptr_t)context)());
    gpu_must(mt_cuda_sync(&bench_gpu.cuda));
}
static double microseconds(mt_status (*fn)(void)) { return bench_run_wall(call, (void *)(uintptr_t)fn).median * 1e6; }

static void compare(const char *what, mt_status (*fn)(void), double divisor) {
    char name[96], reference[96];
    double by_one = microseconds(fn) / divisor; // algorithms are chosen here, before the capture
    gpu_must(mt_cuda_graph_capture(&bench_gpu.device, bench_gpu.cuda.stream, recorded, (void *)(uintptr_t)fn, &graph));
    double at_once = microseconds(launch_graph) / divisor;
    snprintf(name, sizeof name, "%s, launched one by one", what);
    gpu_row(name, by_one, "us", NULL, 0);
    snprintf(name, sizeof name, "%s, as a CUDA graph", what);
    snprintf(reference, sizeof reference, "%s, launched one by one", what);
    gpu_row(name, at_once, "us", reference, by_one);
    mt_cuda_graph_destroy(graph);
}

void bench_launches(void) {
    gpu_must(mt_cuda_dense_create(&bench_gpu.cuda, MT_CUDA_FP32, &dense));
    x = gpu_floats(1 << 16, 0.01f, 0.02f), y = gpu_floats(1 << 16, 0.01f, 0.02f), scalars = gpu_zeros(sizeof *scalars);
    compare("one of 100 short kernels", short_kernels, CALLS);
    compare("an update of 2 layers of 64 at 64 rows", small_update, 1);
    gpu_free(x), gpu_free(y), gpu_free(scalars);
    mt_cuda_dense_destroy(dense);
}
