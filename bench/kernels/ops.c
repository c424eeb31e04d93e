// The row operations of the CPU table: adam, reductions, GAE, V-trace, gather, distributions, PPO loss, random numbers, ...
//
//   bench_kernels_ops [--csv FILE]          MANTA_ISA=plain|avx2|avx512 chooses the instruction set
//
// Each operation at the sizes a training run calls it with. Three kinds of rows:
//   GB/s      of bytes read and written, against memcpy over the same number of bytes (so in the same cache)
//   ns/row    where a call is bound by its latency: rows are minibatch rows or environments
//   M words/s for random numbers, against memcpy writing as many bytes
// Times are the thread's CPU time, the median of 31 samples.
#include "bench/bench.h"
#include "engine/base/status.h"
#include "kernels/kernels.h"

static const mt_kernels *kernels;

// ---- inputs: one pool, so that operations start from warm caches

static float *floats(int64_t count, double low, double high) {
    size_t bytes = ((size_t)count * sizeof(float) + 63) / 64 * 64;
    float *x = aligned_alloc(64, bytes ? bytes : 64);
    if (!x) {
        fprintf(stderr, "bench_kernels_ops: out of memory\n");
        exit(7);
    }
    uint32_t state = 12345;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(low + (high - low) * (state * 0x1p-32));
    }
    return x;
}
static void *words(int64_t count, uint32_t below) { // random integers, all bits when below is 0
    uint32_t *w = (uint32_t *)(void *)floats(count, 0, 1), state = 99;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        w[i] = below ? (state >> 8) % below : state ^ state >> 16;
    }
    return w;
}

// ---- rows

static void row_bytes(const char *name, bench_fn *fn, void *context, double bytes) {
    double rate = bytes / bench_run(fn, context).median * 1e-9;
    char reference[64];
    snprintf(reference, sizeof reference, "memcpy of %.0f KiB", bytes / 2048);
    bench_row(name, rate, "GB/s", reference, bench_memcpy_rate((size_t)(bytes / 2)));
}
static void row_latency(const char *name, bench_fn *fn, void *context, double rows) {
    bench_row(name, bench_run(fn, context).median * 1e9 / rows, "ns/row", NULL, 0);
}

// ---- optimiser and reductions

static void call_adam(void *c) { kernels->adam(c); }
static void bench_adam(int64_t count, const char *name) {
    mt_adam a = {.count = count,
        .param = floats(count, -1, 1),
        .m = floats(count, -1e-3, 1e-3),
        .v = floats(count, 1e-6, 1e-5),
        .grad = floats(count, -1e-2, 1e-2),
        .grad_scale = 0.5f,
        .lr = 1e-9f,
        .beta1 = 0.9f,
        .beta2 = 0.999f,
        .eps = 1e-5f,
        .step = 10};
    row_bytes(name, call_adam, &a, 28.0 * (double)count);
    free(a.param), free(a.m), free(a.v), free((void *)a.grad);
}

typedef struct vector_call {
    int64_t count;
    float *x, *y;
    double mean, var;
} vector_call;
static volatile double sink;
static void call_sum(void *c) { sink = kernels->sum(((vector_call *)c)->count, ((vector_call *)c)->x); }
static void call_sum_squares(void *c) { sink = kernels->sum_squares(((vector_call *)c)->count, ((vector_call *)c)->x); }
static void call_nonfinite(void *c) {
    sink = (double)kernels->count_nonfinite(((vector_call *)c)->count, ((vector_call *)c)->x);
}
static void call_axpy(void *c) {
    kernels->axpy(((vector_call *)c)->count, 1e-9f, ((vector_call *)c)->x, ((vector_call *)c)->y);
}
static void call_mean_var(void *c) {
    vector_call *v = c;
    kernels->mean_var(v->count, v->x, &v->mean, &v->var);
}
static void bench_reduce(void) {
    vector_call c = {.count = 9500, .x = floats(1 << 24, -1, 1), .y = floats(9500, -1, 1)};
    row_bytes("sum_squares, 9,500 floats", call_sum_squares, &c, 4.0 * 9500);
    row_bytes("sum, 9,500 floats", call_sum, &c, 4.0 * 9500);
    row_bytes("count_nonfinite, 9,500 floats", call_nonfinite, &c, 4.0 * 9500);
    row_bytes("axpy, 9,500 floats", call_axpy, &c, 12.0 * 9500);
    c.count = 1 << 24;
    row_bytes("sum_squares, 16 M floats", call_sum_squares, &c, 4.0 * (1 << 24));
    row_bytes("count_nonfinite, 16 M floats", call_nonfinite, &c, 4.0 * (1 << 24));
    c.count = 64;
    row_latency("mean_var, 64 rows", call_mean_var, &c, 64);
    free(c.x), free(c.y);
}

// ---- PPO's loss and the distributions

typedef struct policy_call {
    mt_categorical categorical;
    mt_gaussian gaussian;
    mt_ppo_rows rows;
    mt_ppo_stats stats;
    int32_t *action;
    uint32_t *words;
    float *x, *noise, *log_prob, *entropy, *d_a, *d_b;
} policy_call;
static void call_ppo_categorical(void *c) {
    policy_call *p = c;
    kernels->ppo_loss_categorical(&p->categorical, p->action, &p->rows, p->d_a, &p->stats);
}
static void call_ppo_gaussian(void *c) {
    policy_call *p = c;
    kernels->ppo_loss_gaussian(&p->gaussian, p->x, &p->rows, p->d_a, p->d_b, 0, &p->stats);
}
static void call_ppo_value(void *c) {
    policy_call *p = c;
    kernels->ppo_loss_value(p->categorical.rows, &p->rows, &p->stats);
}
static void call_categorical_sample(void *c) {
    policy_call *p = c;
    kernels->categorical_sample(&p->categorical, p->words, p->action, p->log_prob);
}
static void call_categorical_log_prob(void *c) {
    policy_call *p = c;
    kernels->categorical_log_prob(&p->categorical, p->action, p->log_prob, p->entropy);
}
static void call_gaussian_sample(void *c) {
    policy_call *p = c;
    kernels->gaussian_sample(&p->gaussian, p->noise, p->x, p->log_prob);
}
static policy_call policy(int logit_count, const int32_t *nvec, int components, int dim, int by_rows) {
    enum { room = 4096 * 8 };
    static const mt_ppo_scalars scalars = {.adv_inv_std = 1, .clip_range = 0.2f, .clip_range_vf = -1, .ent_coef = 0.01f, .vf_coef = 0.5f};
    policy_call p = {.action = words(room, 2),
        .words = words(room, 0),
        .x = floats(room, -1, 1),
        .noise = floats(room, -2, 2),
        .log_prob = floats(room, -1, 0),
        .entropy = floats(room, 0, 1),
        .d_a = floats(room, 0, 0),
        .d_b = floats(room, 0, 0)};
    p.categorical = (mt_categorical){
        .components = components, .nvec = nvec, .logit_count = logit_count, .logits = floats(room, -1, 1)};
    p.gaussian =
        (mt_gaussian){.dim = dim, .mean = floats(room, -1, 1), .log_std = floats(room, -1, 0), .log_std_rows = by_rows};
    p.rows = (mt_ppo_rows){.old_log_prob = floats(4096, -1, -0.5),
        .advantage = floats(4096, -1, 1),
        .returns = floats(4096, -1, 1),
        .value = floats(4096, -1, 1),
        .scalars = &scalars,
        .inv_rows = 1.0f / 64,
        .d_value = floats(4096, 0, 0)};
    return p;
}
static void set_rows(policy_call *p, int64_t rows) { p->categorical.rows = p->gaussian.rows = rows; }

static void bench_policy(void) {
    static const int32_t nvecs[][4] = {{2}, {3}, {4}, {6}, {18}, {3, 3, 2, 2}};
    static const int components[] = {1, 1, 1, 1, 1, 4}, logit_counts[] = {2, 3, 4, 6, 18, 10};
    char name[96];
    for (int i = 0; i < 6; i++) {
        policy_call p = policy(logit_counts[i], nvecs[i], components[i], 1, 0);
        const char *kind = components[i] > 1 ? "multi-discrete" : "discrete";
        for (int64_t rows = 16; rows <= 64; rows *= 4) {
            set_rows(&p, rows);
            snprintf(name, sizeof name, "ppo_loss %s %d, %ld rows", kind, logit_counts[i], (long)rows);
            row_latency(name, call_ppo_categorical, &p, (double)rows);
        }
        for (int64_t rows = 8; rows <= 64; rows *= 8) {
            set_rows(&p, rows);
            snprintf(name, sizeof name, "categorical_sample %s %d, %ld rows", kind, logit_counts[i], (long)rows);
            row_latency(name, call_categorical_sample, &p, (double)rows);
        }
        snprintf(name, sizeof name, "categorical_log_prob %s %d, 64 rows", kind, logit_counts[i]);
        row_latency(name, call_categorical_log_prob, &p, 64);
    }
    policy_call value = policy(2, nvecs[0], 1, 1, 0);
    set_rows(&value, 64);
    row_latency("ppo_loss value term alone, 64 rows", call_ppo_value, &value, 64);
    static const int dims[] = {1, 2, 4, 6};
    for (int i = 0; i < 4; i++)
        for (int by_rows = 0; by_rows < 2; by_rows++) {
            policy_call p = policy(2, nvecs[0], 1, dims[i], by_rows);
            const char *kind = by_rows ? "log_std by rows" : "shared log_std";
            set_rows(&p, 64);
            snprintf(name, sizeof name, "ppo_loss Gaussian %d, %s, 64 rows", dims[i], kind);
            row_latency(name, call_ppo_gaussian, &p, 64);
            set_rows(&p, 8);
            snprintf(name, sizeof name, "gaussian_sample %d, %s, 8 rows", dims[i], kind);
            row_latency(name, call_gaussian_sample, &p, 8);
        }
}

typedef struct gsde_call {
    int64_t rows;
    int latent, dim;
    float *h, *log_std, *row_log_std, *d, *d_log_std, *matrix, *noise;
} gsde_call;
static void call_gsde(void *c) {
    gsde_call *g = c;
    kernels->gsde_log_std(g->rows, g->latent, g->dim, g->h, g->log_std, g->row_log_std);
}
static void call_gsde_backward(void *c) {
    gsde_call *g = c;
    kernels->gsde_log_std_backward(g->rows, g->latent, g->dim, g->h, g->log_std, g->row_log_std, g->d, g->d_log_std, 0);
}
static void call_gsde_noise(void *c) {
    gsde_call *g = c;
    kernels->gsde_noise(g->rows, g->latent, g->dim, g->h, g->matrix, g->noise);
}
static void bench_gsde(void) {
    gsde_call g = {.latent = 64,
        .h = floats(64 * 64, -1, 1),
        .log_std = floats(64 * 8, -2, -1),
        .row_log_std = floats(64 * 8, -2, -1),
        .d = floats(64 * 8, -1, 1),
        .d_log_std = floats(64 * 8, 0, 0),
        .matrix = floats(64 * 64 * 8, -1, 1),
        .noise = floats(64 * 8, 0, 0)};
    char name[96];
    for (g.dim = 1; g.dim <= 4; g.dim *= 4) {
        g.rows = 64;
        snprintf(name, sizeof name, "gsde_log_std 64 x %d, 64 rows", g.dim);
        row_latency(name, call_gsde, &g, 64);
        snprintf(name, sizeof name, "gsde_log_std_backward 64 x %d, 64 rows", g.dim);
        row_latency(name, call_gsde_backward, &g, 64);
        g.rows = 4;
        snprintf(name, sizeof name, "gsde_noise 64 x %d, 4 rows", g.dim);
        row_latency(name, call_gsde_noise, &g, 4);
    }
}

// ---- advantages, data movement, normalisation

static void call_gae(void *c) { kernels->gae(c); }
static void bench_gae(int64_t steps, int64_t envs) {
    int64_t count = steps * envs;
    uint8_t *ended = calloc((size_t)count, 1), *cut = calloc((size_t)count, 1);
    for (int64_t i = 0; i < count; i += 190) ended[i] = 1;
    for (int64_t i = 77; i < count; i += 500) cut[i] = 1;
    mt_gae a = {.steps = steps,
        .envs = envs,
        .reward = floats(count, 0, 1),
        .value = floats(count + envs, -1, 1),
        .terminated = ended,
        .truncated = cut,
        .final_value = floats(count, -1, 1),
        .gamma = 0.99f,
        .lambda = 0.95f,
        .advantage = floats(count, 0, 0),
        .returns = floats(count, 0, 0)};
    char name[96];
    snprintf(name, sizeof name, "gae %ld x %ld", (long)steps, (long)envs);
    if (envs < 16)
        row_latency(name, call_gae, &a, (double)count);
    else
        row_bytes(name, call_gae, &a, 18.0 * (double)count);
    free(ended), free(cut), free((void *)a.reward), free((void *)a.value), free((void *)a.final_value),
        free(a.advantage), free(a.returns);
}

static void call_vtrace(void *c) { kernels->vtrace(c); }
static void bench_vtrace(int64_t steps, int64_t envs) {
    int64_t count = steps * envs;
    uint8_t *ended = calloc((size_t)count, 1), *cut = calloc((size_t)count, 1);
    for (int64_t i = 0; i < count; i += 190) ended[i] = 1;
    for (int64_t i = 77; i < count; i += 500) cut[i] = 1;
    float *memory = floats(8 * count + envs, -1, 1); // all arrays of floats, one behind the other
    mt_vtrace a = {.steps = steps,
        .envs = envs,
        .reward = memory,
        .behaviour_log_prob = memory + count,
        .target_log_prob = memory + 2 * count,
        .final_value = memory + 3 * count,
        .vs = memory + 4 * count,
        .advantage = memory + 5 * count,
        .value = memory + 6 * count,
        .terminated = ended,
        .truncated = cut,
        .gamma = 0.99f,
        .lambda = 0.95f,
        .rho_bar = 1,
        .c_bar = 1};
    char name[96];
    snprintf(name, sizeof name, "vtrace %ld x %ld", (long)steps, (long)envs);
    if (envs < 16)
        row_latency(name, call_vtrace, &a, (double)count);
    else
        row_bytes(name, call_vtrace, &a, 26.0 * (double)count);
    free(ended), free(cut), free(memory);
}

typedef struct gather_call {
    int64_t rows, row_bytes;
    void *src, *dst;
    int32_t *index;
} gather_call;
static void call_gather(void *c) {
    gather_call *g = c;
    kernels->gather_rows(g->rows, g->row_bytes, g->src, g->index, g->dst);
}
static void bench_gather(void) {
    static const int64_t sizes[] = {4, 16, 24, 32, 64, 112, 1024};
    gather_call g = {.src = floats(2048 * 256, 0, 1), .dst = floats(2048 * 256, 0, 1), .index = words(2048, 2048)};
    char name[96];
    for (int i = 0; i < 7; i++) {
        g.row_bytes = sizes[i];
        g.rows = 64;
        snprintf(name, sizeof name, "gather_rows of %ld bytes, 64 of 2,048", (long)sizes[i]);
        row_latency(name, call_gather, &g, 64);
    }
    g.rows = 2048;
    row_bytes("gather_rows of 1,024 bytes, 2,048 of 2,048", call_gather, &g, 2048 * 2048.0);
    free(g.src), free(g.dst), free(g.index);
}

typedef struct norm_call {
    int64_t rows;
    int columns;
    mt_running running;
    float *x, *y, *a, *b, *xhat, *inv_std, *dgain, *dbias;
} norm_call;
static void call_running(void *c) {
    kernels->running_update(&((norm_call *)c)->running, ((norm_call *)c)->rows, ((norm_call *)c)->x);
}
static void call_normalise(void *c) {
    norm_call *n = c;
    kernels->normalise(n->rows, n->columns, n->a, n->b, 10, n->x, n->y);
}
static void call_layer_norm(void *c) {
    norm_call *n = c;
    kernels->layer_norm_forward(n->rows, n->columns, n->x, n->a, n->b, n->y, n->xhat, n->inv_std);
}
static void call_layer_norm_backward(void *c) {
    norm_call *n = c;
    kernels->layer_norm_backward(n->rows, n->columns, n->x, n->a, n->xhat, n->inv_std, n->y, n->dgain, n->dbias, 0);
}
static void bench_norm(void) {
    enum { room = 4096 * 64 };
    double moments[128] = {0};
    norm_call n = {.x = floats(room, -1, 1),
        .y = floats(room, 0, 0),
        .a = floats(256, 0.5, 1),
        .b = floats(256, 0.5, 1),
        .xhat = floats(room, -1, 1),
        .inv_std = floats(4096, 1, 1),
        .dgain = floats(256, 0, 0),
        .dbias = floats(256, 0, 0)};
    static const int columns[] = {1, 3, 4, 6, 64};
    char name[96];
    for (int i = 0; i < 5; i++) {
        n.columns = columns[i], n.rows = 8;
        n.running = (mt_running){.columns = columns[i], .count = 1, .mean = moments, .m2 = moments + 64};
        snprintf(name, sizeof name, "running_update 8 x %d", columns[i]);
        row_latency(name, call_running, &n, 8);
        snprintf(name, sizeof name, "normalise 8 x %d", columns[i]);
        row_latency(name, call_normalise, &n, 8);
    }
    n.rows = 4096, n.columns = 64;
    row_bytes("normalise 4,096 x 64", call_normalise, &n, 8.0 * room);
    n.rows = 64;
    for (n.columns = 64; n.columns <= 256; n.columns *= 4) {
        snprintf(name, sizeof name, "layer_norm_forward 64 x %d", n.columns);
        row_bytes(name, call_layer_norm, &n, 12.0 * 64 * n.columns);
        snprintf(name, sizeof name, "layer_norm_backward 64 x %d", n.columns);
        row_bytes(name, call_layer_norm_backward, &n, 12.0 * 64 * n.columns);
    }
}

// ---- random numbers

typedef struct random_call {
    int64_t count;
    uint32_t *words;
    float *out;
} random_call;
static void call_streams(void *c) {
    kernels->philox_streams(1, 2, 3, ((random_call *)c)->count, ((random_call *)c)->words);
}
static void call_counters(void *c) {
    kernels->philox_counters(1, 2, 3, ((random_call *)c)->count, ((random_call *)c)->words);
}
static void call_normals(void *c) {
    kernels->normals(((random_call *)c)->count, ((random_call *)c)->words, ((random_call *)c)->out);
}
static void bench_random(void) {
    random_call r = {.count = 8, .words = words(1 << 16, 0), .out = floats(1 << 16, 0, 0)};
    row_latency("philox_streams, 8 environments", call_streams, &r, 8);
    row_latency("normals, 8", call_normals, &r, 8);
    r.count = 1 << 12;
    double words_s = 4.0 * (double)r.count / bench_run(call_counters, &r).median;
    bench_row("philox_counters, 4,096 blocks", words_s * 1e-6, "M words/s", "memcpy's writes",
        bench_memcpy_rate(1 << 16) * 1e3 / 8);
    r.count = 1 << 14;
    double normals_s = (double)r.count / bench_run(call_normals, &r).median;
    bench_row("normals, 16,384", normals_s * 1e-6, "M floats/s", "memcpy", bench_memcpy_rate(1 << 16) * 1e3 / 8);
    free(r.words), free(r.out);
}

int main(int argc, char **argv) {
    if (mt_kernels_choose(&kernels) != MT_OK) {
        fprintf(stderr, "bench_kernels_ops: %s\n", mt_last_error());
        return 2;
    }
    char title[64];
    snprintf(title, sizeof title, "kernels/ops %s", kernels->name);
    bench_open(argc, argv, title);
    bench_adam(9500, "adam, 9,500 parameters");
    bench_adam(135000, "adam, 135,000 parameters");
    bench_adam(1 << 24, "adam, 16 M parameters");
    bench_reduce();
    bench_policy();
    bench_gsde();
    static const int64_t segments[][2] = {{256, 1}, {256, 8}, {256, 16}, {128, 64}, {128, 4096}};
    for (int i = 0; i < 5; i++) bench_gae(segments[i][0], segments[i][1]), bench_vtrace(segments[i][0], segments[i][1]);
    bench_gather();
    bench_norm();
    bench_random();
    return bench_close();
}
