// Dense layers against the FMA peak measured in the same run, against goals, and against OpenBLAS's sgemm when
// it is installed (loaded at run time; manta does not link it). One core; the best of 31 samples for all, because two
// virtual CPUs may be two threads of one core, and then the neighbour's work shows even in CPU time.
//   build/bench/bench_kernels_dense [--isa avx512|avx2|plain] [--csv FILE]     (without --isa: every one this machine has)
#include <dlfcn.h>

#include "bench/bench.h"
#include "kernels/kernels.h"

static const char *const isa_names[MT_ISA_COUNT] = {"plain", "avx2", "avx512"};

static float *array(int64_t count) {
    float *p = aligned_alloc(64, sizeof(float) * (size_t)((count + 15) / 16 * 16));
    if (!p) exit(7);
    for (int64_t i = 0; i < count; i++) p[i] = (float)((i * 2654435761u) >> 16 & 1023) / 1024.0f - 0.5f;
    return p;
}

// ---- a multi-layer perceptron of tanh layers and a linear head
enum { MAX_LAYERS = 4 };
typedef struct mlp {
    const mt_kernels *kernels;
    int64_t rows;
    int layers, sizes[MAX_LAYERS + 1];
    float *x[MAX_LAYERS + 1], *dz[MAX_LAYERS + 1], *w[MAX_LAYERS], *wt[MAX_LAYERS], *b[MAX_LAYERS], *dw[MAX_LAYERS], *db[MAX_LAYERS];
    int input_gradient;          // also wanted for the first layer (a layer in the middle of a deeper network)
} mlp;

static mlp mlp_new(const mt_kernels *k, int64_t rows, int layers, const int *sizes) {
    mlp m = {.kernels = k, .rows = rows, .layers = layers};
    for (int l = 0; l <= layers; l++) {
        m.sizes[l] = sizes[l];
        m.x[l] = array(rows * sizes[l]);
        m.dz[l] = array(rows * sizes[l]);
    }
    for (int l = 0; l < layers; l++) {
        int64_t n = (int64_t)sizes[l] * sizes[l + 1];
        m.w[l] = array(n), m.wt[l] = array(n), m.dw[l] = array(n);
        m.b[l] = array(sizes[l + 1]), m.db[l] = array(sizes[l + 1]);
        k->dense_pack(sizes[l + 1], sizes[l], m.w[l], m.wt[l]);
    }
    return m;
}
static void mlp_free(mlp *m) {
    for (int l = 0; l <= m->layers; l++) free(m->x[l]), free(m->dz[l]);
    for (int l = 0; l < m->layers; l++) free(m->w[l]), free(m->wt[l]), free(m->dw[l]), free(m->b[l]), free(m->db[l]);
}
static void mlp_forward(void *context) {
    mlp *m = context;
    for (int l = 0; l < m->layers; l++)
        m->kernels->dense_forward(&(mt_dense_forward){.rows = m->rows, .in = m->sizes[l], .out = m->sizes[l + 1],
            .activation = l + 1 < m->layers || m->layers == 1 ? MT_ACT_tanh : MT_ACT_identity, .x = m->x[l], .weight = m->w[l],
            .weight_t = m->wt[l], .bias = m->b[l], .y = m->x[l + 1]});
}
static void mlp_backward(void *context) {
    mlp *m = context;
    for (int l = m->layers - 1; l >= 0; l--)
        m->kernels->dense_backward(&(mt_dense_backward){.rows = m->rows, .in = m->sizes[l], .out = m->sizes[l + 1], .x = m->x[l],
            .dz = m->dz[l + 1], .weight = m->w[l], .x_activation = l || m->input_gradient ? MT_ACT_tanh : MT_ACT_identity,
            .dx = l || m->input_gradient ? m->dz[l] : NULL, .dw = m->dw[l], .db = m->db[l]});
}
static void mlp_both(void *context) {
    mlp_forward(context);
    mlp_backward(context);
}
// flop of a row: forward 2·I·O a layer, backward the same for dw and, where wanted, for dx
static double mlp_flop(const mlp *m, int forward, int backward) {
    double flop = 0;
    for (int l = 0; l < m->layers; l++)
        flop += 2.0 * m->sizes[l] * m->sizes[l + 1] * (forward + (backward ? 1 + (l > 0 || m->input_gradient) : 0));
    return flop;
}

static void network(const mt_kernels *k, double peak, int64_t rows, int layers, const int *sizes, int backward, double goal) {
    mlp m = mlp_new(k, rows, layers, sizes);
    double s = bench_run(backward ? mlp_both : mlp_forward, &m).best;
    char name[128];
    int at = snprintf(name, sizeof name, "%s %s %d", k->name, backward ? "forward+backward" : "forward", sizes[0]);
    for (int l = 1; l <= layers; l++) at += snprintf(name + at, sizeof name - (size_t)at, "-%d", sizes[l]);
    snprintf(name + at, sizeof name - (size_t)at, " tanh, %lld rows", (long long)rows);
    bench_row(name, mlp_flop(&m, 1, backward) * (double)rows / s * 1e-9, "GFLOP/s", "FMA peak", peak);
    bench_row(name, (double)rows / s * 1e-6, "M rows/s", goal > 0 ? "goal" : NULL, goal);
    mlp_free(&m);
}

// ---- OpenBLAS doing the same three products (without bias and activation)
typedef void sgemm_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
    float beta, float *c, int ldc);
static sgemm_fn *sgemm;

static void blas_open(void) {
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "cblas_sgemm") : NULL;
    memcpy(&sgemm, &symbol, sizeof sgemm);
    if (!sgemm) printf("skipped: OpenBLAS is not installed (Debian: libopenblas0)\n");
}
static void blas_both(void *context) {
    mlp *m = context;
    enum { row_major = 101, none = 111, transposed = 112 };
    int rows = (int)m->rows, in = m->sizes[0], out = m->sizes[1];
    sgemm(row_major, none, none, rows, out, in, 1, m->x[0], in, m->wt[0], out, 0, m->x[1], out);
    sgemm(row_major, transposed, none, out, in, rows, 1, m->dz[1], out, m->x[0], in, 0, m->dw[0], in);
    sgemm(row_major, none, none, rows, in, out, 1, m->dz[1], out, m->w[0], in, 0, m->dz[0], in);
}

static void one_layer(const mt_kernels *k, double peak, int64_t rows, int size, double goal) {
    mlp m = mlp_new(k, rows, 1, (int[]){size, size});
    m.input_gradient = 1;
    double flop = 2.0 * size * size * (double)rows;
    char name[128];
    snprintf(name, sizeof name, "%s forward %d-%d tanh, %lld rows", k->name, size, size, (long long)rows);
    bench_row(name, flop / bench_run(mlp_forward, &m).best * 1e-9, "GFLOP/s", "FMA peak", peak);
    snprintf(name, sizeof name, "%s forward+backward %d-%d tanh, %lld rows", k->name, size, size, (long long)rows);
    double both = 3 * flop / bench_run(mlp_both, &m).best * 1e-9;
    bench_row(name, both, "GFLOP/s", "FMA peak", peak);
    if (goal > 0) bench_row(name, both / peak, "of peak", "goal", goal);
    if (sgemm) bench_row(name, both, "GFLOP/s", "OpenBLAS sgemm x3", 3 * flop / bench_run(blas_both, &m).best * 1e-9);
    mlp_free(&m);
}

// ---- pieces
typedef struct piece {
    const mt_kernels *kernels;
    int64_t count;
    int size;
    float *a, *b;
} piece;
static void run_tanh(void *context) {
    piece *p = context;
    p->kernels->activate(MT_ACT_tanh, p->count, p->a, p->b);
}
static void run_pack(void *context) {
    piece *p = context;
    p->kernels->dense_pack(p->size, p->size, p->a, p->b);
}
static void pieces(const mt_kernels *k) {
    char name[128];
    piece p = {.kernels = k, .count = 2048, .size = 64, .a = array(4096), .b = array(4096 + 16) + 16};
    snprintf(name, sizeof name, "%s tanh, 2048 values", k->name);
    bench_row(name, 2048 / bench_run(run_tanh, &p).best * 1e-9, "G values/s", NULL, 0);
    snprintf(name, sizeof name, "%s pack 64 x 64", k->name);
    double s = bench_run(run_pack, &p).best;
    bench_row(name, 2 * 16384 / s * 1e-9, "GB/s", "memcpy", bench_memcpy_rate(16384));
    bench_row(name, s * 1e6, "us", NULL, 0);
    free(p.a), free(p.b - 16);
}

static void instruction_set(mt_isa isa) {
    const mt_kernels *k = mt_kernels_cpu(isa);
    char name[64];
    if (!k) {
        printf("skipped: this machine or build has no %s\n", isa_names[isa]);
        return;
    }
    double peak = bench_fma_peak((bench_isa)isa);
    snprintf(name, sizeof name, "%s FMA peak", k->name);
    bench_row(name, peak, "GFLOP/s", NULL, 0);
    static const int cartpole[] = {4, 64, 64, 2}, critic[] = {8, 64, 64, 1};
    static const int64_t rollout[] = {1, 4, 8, 16, 32};
    for (size_t i = 0; i < sizeof rollout / sizeof *rollout; i++) network(k, peak, rollout[i], 3, cartpole, 0, 0);
    network(k, peak, 64, 3, cartpole, 0, 10);
    network(k, peak, 256, 3, cartpole, 0, 10);
    network(k, peak, 1024, 3, cartpole, 0, 10);
    network(k, peak, 64, 3, critic, 0, 0);
    network(k, peak, 64, 3, cartpole, 1, 0);
    network(k, peak, 256, 3, cartpole, 1, 0);
    network(k, peak, 64, 3, critic, 1, 0);
    one_layer(k, peak, 64, 64, 0.30);
    one_layer(k, peak, 64, 256, 0.50);
    one_layer(k, peak, 256, 256, 0.50);
    one_layer(k, peak, 2048, 256, 0.50);
    one_layer(k, peak, 256, 512, 0.50);
    one_layer(k, peak, 256, 1024, 0.50);
    pieces(k);
}

int main(int argc, char **argv) {
    const char *only = NULL;
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--isa") == 0) only = argv[i + 1];
    bench_open(argc, argv, "kernels/dense");
    blas_open();
    for (int isa = MT_ISA_COUNT - 1; isa >= 0; isa--)
        if (!only || strcmp(only, isa_names[isa]) == 0) instruction_set((mt_isa)isa);
    return bench_close();
}
