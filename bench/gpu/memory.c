// Own kernels at 16 M elements against a device-to-device copy of 128 MiB, bytes read plus bytes written a second. 16 M
// floats are 64 MiB: more than the second cache of any GPU up to now keeps between calls, but for a part on the largest
// (an H100 has 50 MiB). Bytes are those an operation cannot do without: each input read once, each output written once.
#include "bench/gpu/gpu.h"

enum { N = 1 << 24 }; // elements
#define CUDA (&bench_gpu.cuda)

static double copy_rate; // bytes a second

static void row(const char *name, gpu_fn *fn, void *context, double bytes) {
    gpu_row(name, bytes / gpu_seconds(fn, context) * 1e-9, "GB/s", "device-to-device copy", copy_rate * 1e-9);
}

// every array that the calls below use, by the names of kernels.h
static struct inputs {
    float *a, *b, *c, *d, *out, *out_2, *small, *small_2;
    uint8_t *flags;
    uint32_t *words;
    int32_t *action, *index, *nvec;
    double *result;
    mt_ppo_scalars *scalars;
    mt_ppo_stats *stats;
    mt_adam_scalars *adam;
} x;
static mt_activation act;
static int columns;

static mt_status call_copy(void *unused) {
    (void)unused;
    return mt_cuda_stream_copy(&bench_gpu.device, CUDA->stream, x.out, x.a, (size_t)2 * 4 * N);
}

// ---- element by element

static mt_status call_activate(void *u) { return (void)u, mt_cuda_activate(CUDA, act, N, x.a, x.out); }
static mt_status call_activate_backward(void *u) {
    return (void)u, mt_cuda_activate_backward(CUDA, act, N, x.a, x.b, x.c, x.out);
}
static mt_status call_sum(void *u) { return (void)u, mt_cuda_sum(CUDA, 2 * (int64_t)N, x.a, x.result); }
static mt_status call_sum_squares(void *u) { return (void)u, mt_cuda_sum_squares(CUDA, 2 * (int64_t)N, x.a, x.result); }
static mt_status call_mean_var(void *u) {
    return (void)u, mt_cuda_mean_var(CUDA, 2 * (int64_t)N, x.a, x.result, x.result + 1);
}
static mt_status call_nonfinite(void *u) {
    return (void)u, mt_cuda_count_nonfinite(CUDA, 2 * (int64_t)N, x.a, (int64_t *)x.result);
}
static mt_status call_axpy(void *u) { return (void)u, mt_cuda_axpy(CUDA, N, 1e-9f, x.a, x.out); }
static mt_status call_column_sums(void *u) {
    return (void)u, mt_cuda_column_sums(CUDA, 2 * N / 64, 64, x.a, x.small, 0);
}
static mt_status call_adam(void *u) {
    (void)u;
    mt_adam a = {.count = N,
        .param = x.out,
        .m = x.out_2,
        .v = x.d,
        .grad = x.c,
        .beta1 = 0.9f,
        .beta2 = 0.999f,
        .eps = 1e-5f};
    return mt_cuda_adam_clipped(CUDA, &a, 0.5f, x.adam, NULL);
}
static mt_status call_normalise(void *u) {
    return (void)u, mt_cuda_normalise(CUDA, N / columns, columns, x.small, x.small_2, 10, x.a, x.out);
}
static mt_status call_running(void *u) {
    (void)u;
    mt_running r = {.columns = columns, .count = 5, .mean = x.result, .m2 = x.result + 512};
    return mt_cuda_running_update(CUDA, &r, 2 * (int64_t)N / columns, x.a);
}
static mt_status call_streams(void *u) {
    return (void)u, mt_cuda_philox_streams(CUDA, 1, 2, 3, 2 * N / 4, (uint32_t *)x.out);
}
static mt_status call_normals(void *u) { return (void)u, mt_cuda_normals(CUDA, N, x.words, x.out); }

static void elements(void) {
    char name[64];
    for (int k = MT_ACT_tanh; k < MT_ACT_COUNT; k++) {
        act = (mt_activation)k;
        snprintf(name, sizeof name, "activate, %s", mt_activation_name(act));
        row(name, call_activate, NULL, 8.0 * N);
        snprintf(name, sizeof name, "activate_backward, %s", mt_activation_name(act));
        row(name, call_activate_backward, NULL, 12.0 * N);
    }
    row("sum, 32 M", call_sum, NULL, 8.0 * N);
    row("sum_squares, 32 M", call_sum_squares, NULL, 8.0 * N);
    row("mean_var, 32 M (two passes)", call_mean_var, NULL, 16.0 * N);
    row("count_nonfinite, 32 M", call_nonfinite, NULL, 8.0 * N);
    row("axpy", call_axpy, NULL, 12.0 * N);
    row("column_sums, 64 columns, 32 M", call_column_sums, NULL, 8.0 * N);
    row("adam with clipping (norm and update)", call_adam, NULL, 32.0 * N);
    static const int widths[] = {4, 17, 64, 376};
    for (int i = 0; i < 4; i++) {
        columns = widths[i];
        snprintf(name, sizeof name, "normalise, %d columns", columns);
        row(name, call_normalise, NULL, 8.0 * (N / columns * columns));
        snprintf(name, sizeof name, "running_update, %d columns, 32 M", columns);
        row(name, call_running, NULL, 4.0 * (2 * N / columns * columns));
    }
    row("philox_streams, 32 M words", call_streams, NULL, 8.0 * N);
    row("normals", call_normals, NULL, 8.0 * N);
}

// ---- rows

static mt_categorical categorical;
static mt_gaussian gaussian;
static mt_ppo_rows ppo;
static int64_t rows;

static mt_status call_sample(void *u) {
    return (void)u, mt_cuda_categorical_sample(CUDA, &categorical, x.words, x.action, x.out_2);
}
static mt_status call_log_prob(void *u) {
    return (void)u, mt_cuda_categorical_log_prob(CUDA, &categorical, x.action, x.out, x.out_2);
}
static mt_status call_loss(void *u) {
    return (void)u, mt_cuda_ppo_loss_categorical(CUDA, &categorical, x.action, &ppo, x.out, x.stats);
}
static mt_status call_gaussian_sample(void *u) {
    return (void)u, mt_cuda_gaussian_sample(CUDA, &gaussian, x.b, x.out, x.out_2);
}
static mt_status call_gaussian_log_prob(void *u) {
    return (void)u, mt_cuda_gaussian_log_prob(CUDA, &gaussian, x.b, x.out, x.out_2);
}
static mt_status call_gaussian_loss(void *u) {
    return (void)u, mt_cuda_ppo_loss_gaussian(CUDA, &gaussian, x.b, &ppo, x.out, x.small, 0, x.stats);
}
static mt_status call_value(void *u) { return (void)u, mt_cuda_ppo_loss_value(CUDA, N, &ppo, x.stats); }
static mt_status call_gae(void *context) { return mt_cuda_gae(CUDA, context); }
static mt_status call_vtrace(void *context) { return mt_cuda_vtrace(CUDA, context); }
static mt_status call_gather(void *context) {
    return mt_cuda_gather_rows(CUDA, rows, *(int64_t *)context, x.a, x.index, x.out);
}
static mt_status call_norm(void *u) {
    return (void)u, mt_cuda_layer_norm_forward(CUDA, rows, columns, x.a, x.small, x.small_2, x.out, x.out_2, x.d);
}
static mt_status call_norm_backward(void *u) {
    return (void)u, mt_cuda_layer_norm_backward(
                        CUDA, rows, columns, x.a, x.small, x.b, x.d, x.out, x.small_2, x.small_2 + 1024, 0);
}
static mt_status call_gsde(void *u) { return (void)u, mt_cuda_gsde_log_std(CUDA, rows, 64, 6, x.a, x.small, x.out); }
static mt_status call_gsde_backward(void *u) {
    return (void)u, mt_cuda_gsde_log_std_backward(CUDA, rows, 64, 6, x.a, x.small, x.b, x.c, x.small_2, 0);
}
static mt_status call_noise(void *u) { return (void)u, mt_cuda_gsde_noise(CUDA, rows, 64, 6, x.b, x.a, x.out); }

static void distributions(void) {
    static const int actions[] = {2, 4, 6, 18};
    char name[64];
    const mt_ppo_scalars scalars = {.adv_inv_std = 1, .clip_range = 0.2f, .clip_range_vf = -1, .ent_coef = 0.01f, .vf_coef = 0.5f};
    gpu_must(mt_cuda_stream_copy(&bench_gpu.device, CUDA->stream, x.scalars, &scalars, sizeof scalars));
    ppo = (mt_ppo_rows){.old_log_prob = x.c,
        .advantage = x.c + 1024,
        .returns = x.d,
        .old_value = x.d + 1024,
        .value = x.d + 2048,
        .scalars = x.scalars,
        .inv_rows = 1e-6f,
        .d_value = x.out_2};
    for (int i = 0; i < 4; i++) {
        int k = actions[i];
        double b = N / k;
        gpu_must(mt_cuda_stream_copy(&bench_gpu.device, CUDA->stream, x.nvec, &k, sizeof k));
        categorical = (mt_categorical){.rows = N / k, .components = 1, .nvec = x.nvec, .logit_count = k, .logits = x.a};
        snprintf(name, sizeof name, "categorical_sample, %d actions", k);
        row(name, call_sample, NULL, b * (4.0 * k + 12));
        snprintf(name, sizeof name, "categorical_log_prob, %d actions", k);
        row(name, call_log_prob, NULL, b * (4.0 * k + 12));
        snprintf(name, sizeof name, "ppo_loss_categorical, %d actions", k);
        row(name, call_loss, NULL, b * (4.0 * k + 20 + 4.0 * k + 4));
    }
    static const int dims[] = {1, 6, 17};
    for (int i = 0; i < 3; i++) {
        int a = dims[i];
        double b = N / a;
        gaussian = (mt_gaussian){.rows = N / a, .dim = a, .mean = x.a, .log_std = x.small};
        snprintf(name, sizeof name, "gaussian_sample, %d components", a);
        row(name, call_gaussian_sample, NULL, b * (12.0 * a + 4));
        snprintf(name, sizeof name, "gaussian_log_prob, %d components", a);
        row(name, call_gaussian_log_prob, NULL, b * (8.0 * a + 8));
        snprintf(name, sizeof name, "ppo_loss_gaussian, %d components", a);
        row(name, call_gaussian_loss, NULL, b * (8.0 * a + 16 + 4.0 * a + 4));
    }
    row("ppo_loss_value", call_value, NULL, 12.0 * N);
}

// ---- images, tables, columns

static mt_max_pool2d pool;
static float *entries;
static mt_status call_bias(void *u) {
    return (void)u, mt_cuda_bias_activate(CUDA, MT_ACT_relu, N / columns, columns, x.a, x.small, NULL, x.out);
}
static mt_status call_pool(void *u) {
    return (void)u, mt_cuda_max_pool2d_forward(CUDA, rows, &pool, x.a, x.out, (int32_t *)x.out_2);
}
static mt_status call_pool_backward(void *u) {
    return (void)u, mt_cuda_max_pool2d_backward(CUDA, rows, &pool, x.b, (int32_t *)x.out_2, MT_ACT_identity, x.a, NULL, x.out);
}
static mt_status call_turn(void *u) { return (void)u, mt_cuda_turn(CUDA, rows, 49, 64, x.a, x.out, 0); }
static mt_status call_copy_columns(void *u) {
    return (void)u, mt_cuda_copy_columns(CUDA, N / columns, columns / 2, x.a, columns, x.out, columns / 2);
}
static mt_status call_lookup(void *u) { return (void)u, mt_cuda_embedding_forward(CUDA, rows, 500, 64, entries, x.b, x.out); }
static mt_status call_lookup_backward(void *u) {
    return (void)u, mt_cuda_embedding_backward(CUDA, rows, 500, 64, entries, x.a, x.out, 0);
}

static void images(void) {
    char name[64];
    columns = 64;
    row("bias_activate, relu, 64 columns", call_bias, NULL, 8.0 * N);
    row("copy_columns, 32 of 64", call_copy_columns, NULL, 8.0 * (N / 2));
    rows = N / (49 * 64);
    row("turn, 49 x 64", call_turn, NULL, 8.0 * (double)(rows * 49 * 64));
    pool = (mt_max_pool2d){42, 42, 32, 3, 2, 1};
    rows = N / (42 * 42 * 32);
    double in = 42.0 * 42 * 32 * (double)rows, out = 21.0 * 21 * 32 * (double)rows;
    row("max_pool2d_forward, 42 x 42 x 32, 3 by 2", call_pool, NULL, 4 * in + 8 * out);
    row("max_pool2d_backward, 42 x 42 x 32, 3 by 2", call_pool_backward, NULL, 8 * out + 4 * in);
    entries = gpu_floats(N / 64, 0, 500);
    for (int i = 0; i < 2; i++) {
        rows = i ? N / 64 : 4096;
        snprintf(name, sizeof name, "embedding_forward, 500 x 64, %d rows", (int)rows);
        row(name, call_lookup, NULL, (double)rows * (4 + 8 * 64));
        snprintf(name, sizeof name, "embedding_backward, 500 x 64, %d rows", (int)rows);
        row(name, call_lookup_backward, NULL, (double)rows * (4 + 4 * 64) + 4.0 * 500 * 64);
    }
    gpu_free(entries);
}

static void others(void) {
    static const int64_t shapes[][2] = {{128, N / 128}, {1024, N / 1024}, {2048, 64}};
    char name[64];
    for (int i = 0; i < 3; i++) {
        mt_gae a = {.steps = shapes[i][0],
            .envs = shapes[i][1],
            .reward = x.a,
            .value = x.b,
            .terminated = x.flags,
            .truncated = x.flags + N,
            .final_value = x.c,
            .gamma = 0.99f,
            .lambda = 0.95f,
            .advantage = x.out,
            .returns = x.out_2};
        snprintf(name, sizeof name, "gae, %d steps of %d environments", (int)a.steps, (int)a.envs);
        row(name, call_gae, &a, 22.0 * (double)(a.steps * a.envs));
        mt_vtrace v = {.steps = a.steps,
            .envs = a.envs,
            .reward = x.a,
            .value = x.b,
            .behaviour_log_prob = x.c,
            .target_log_prob = x.d,
            .terminated = x.flags,
            .truncated = x.flags + N,
            .final_value = x.c,
            .gamma = 0.99f,
            .lambda = 0.95f,
            .rho_bar = 1,
            .c_bar = 1,
            .vs = x.out,
            .advantage = x.out_2};
        snprintf(name, sizeof name, "vtrace, %d steps of %d environments", (int)v.steps, (int)v.envs);
        row(name, call_vtrace, &v, 30.0 * (double)(v.steps * v.envs));
    }
    static const int64_t sizes[] = {4, 16, 68, 256};
    for (int i = 0; i < 4; i++) {
        int64_t bytes = sizes[i];
        rows = 4 * (int64_t)N / bytes < N / 4 ? 4 * (int64_t)N / bytes : N / 4;
        snprintf(name, sizeof name, "gather_rows, rows of %d bytes", (int)bytes);
        row(name, call_gather, &bytes, (double)rows * (2.0 * (double)bytes + 4));
    }
    static const int widths[] = {17, 64, 256, 512, 1024};
    for (int i = 0; i < 5; i++) {
        columns = widths[i], rows = N / columns;
        snprintf(name, sizeof name, "layer_norm_forward, %d columns", columns);
        row(name, call_norm, NULL, 12.0 * (double)(rows * columns) + 4.0 * (double)rows);
        snprintf(name, sizeof name, "layer_norm_backward, %d columns", columns);
        row(name, call_norm_backward, NULL, 12.0 * (double)(rows * columns) + 4.0 * (double)rows);
    }
    rows = N / 64;
    row("gsde_log_std, 64 units, 6 components", call_gsde, NULL, (double)rows * 4 * (64 + 6));
    row("gsde_log_std_backward, 64 units, 6 components", call_gsde_backward, NULL, (double)rows * 4 * (64 + 12));
    rows = 2 * N / (64 * 6);
    row("gsde_noise, 64 units, 6 components", call_noise, NULL, (double)rows * 4 * (64 + 64 * 6 + 6));
}

void bench_own_kernels(void) {
    x.a = gpu_floats(2 * (int64_t)N, -1, 1), x.b = gpu_floats(N + N / 8, -1, 1), x.c = gpu_floats(N + 4096, -1, 1),
    x.d = gpu_floats(N + 4096, 0.1f, 1);
    x.out = gpu_zeros(8 * (int64_t)N), x.out_2 = gpu_zeros(4 * (int64_t)N);
    x.small = gpu_floats(4096, -1, 1), x.small_2 = gpu_floats(4096, 0.5f, 1);
    x.flags = gpu_zeros(2 * (int64_t)N), x.words = gpu_words(N, 0), x.action = gpu_words(N, 2),
    x.index = gpu_words(N / 4, N / 64);
    x.nvec = gpu_zeros(64), x.result = gpu_zeros(8 * 1024), x.stats = gpu_zeros(sizeof *x.stats);
    x.scalars = gpu_zeros(sizeof *x.scalars), x.adam = gpu_zeros(sizeof *x.adam);
    copy_rate = 2.0 * 2 * 4 * N / gpu_seconds(call_copy, NULL);
    gpu_row("device-to-device copy of 128 MiB", copy_rate * 1e-9, "GB/s", NULL, 0);
    elements();
    distributions();
    others();
    images();
    void *all[] = {x.a, x.b, x.c, x.d, x.out, x.out_2, x.small, x.small_2, x.flags, x.words, x.action, x.index, x.nvec,
        x.result, x.stats, x.scalars, x.adam};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) gpu_free(all[i]);
}
