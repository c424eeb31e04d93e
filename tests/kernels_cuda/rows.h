// Tests of the operations on rows: distributions and PPO's loss.
#ifndef MANTA_TESTS_KERNELS_CUDA_ROWS_H
#define MANTA_TESTS_KERNELS_CUDA_ROWS_H

#include "harness.h"

static const int64_t row_counts[] = {1, 3, 17, 128, 129, 1000, 4099};
enum { row_count_count = sizeof row_counts / sizeof *row_counts };

// ---- categorical

typedef struct layout {
    int components;
    int32_t nvec[4];
} layout;
static const layout layouts[] = {{1, {1}}, {1, {2}}, {1, {3}}, {1, {4}}, {1, {5}}, {1, {18}}, {1, {70}}, {1, {131}},
    {2, {2, 2}}, {3, {3, 2, 5}}, {4, {1, 33, 2, 4}}};
enum { layout_count = sizeof layouts / sizeof *layouts };

typedef struct actions {
    mt_categorical d, on_gpu;
    int32_t *action; // allowed ones
} actions;

static actions make_actions(const layout *l, int64_t rows, double scale, int masked) {
    int k = 0;
    for (int i = 0; i < l->components; i++) k += l->nvec[i];
    float *logits = normals_of(rows * k, scale);
    uint8_t *mask = masked ? host_bytes((size_t)(rows * k)) : NULL;
    actions x = {.action = host_bytes(4 * (size_t)(rows * l->components))};
    for (int64_t b = 0, i = 0; b < rows; b++)
        for (int a = 0; a < l->components; a++) {
            int32_t chosen = (int32_t)(random_u32() % (uint32_t)l->nvec[a]);
            x.action[b * l->components + a] = chosen;
            for (int j = 0; j < l->nvec[a]; j++, i++)
                if (mask) mask[i] = j == chosen || random_u32() % 2;
        }
    x.d = (mt_categorical){
        .rows = rows, .components = l->components, .nvec = l->nvec, .logit_count = k, .logits = logits, .mask = mask};
    x.on_gpu = x.d;
    x.on_gpu.nvec = UP(l->nvec, l->components);
    x.on_gpu.logits = UP(logits, rows * k);
    if (mask) x.on_gpu.mask = UP(mask, rows * k);
    return x;
}

static void run_categorical(const layout *l, int64_t rows, double scale, int masked) {
    actions x = make_actions(l, rows, scale, masked);
    int64_t n = rows * l->components;
    uint32_t *words = words_of(n);
    int32_t *action = host_bytes(4 * (size_t)n), *action_up = NEW(int32_t, n), *mode_up = NEW(int32_t, n);
    float *log_prob = host_floats(rows), *entropy = host_floats(rows), *log_prob_up = NEW(float, rows),
          *entropy_up = NEW(float, rows);
    cpu->categorical_sample(&x.d, words, action, log_prob);
    must(mt_cuda_categorical_sample(&cuda, &x.on_gpu, UP(words, n), action_up, log_prob_up));
    if (same_bits) COMPARE(int32_t, "categorical_sample, actions", action_up, action, n, 0, EXACT);
    COMPARE(float, "categorical_sample, log_prob", log_prob_up, log_prob, rows, 2e-6, EXACT);
    cpu->categorical_mode(&x.d, action);
    must(mt_cuda_categorical_mode(&cuda, &x.on_gpu, mode_up));
    COMPARE(int32_t, "categorical_mode", mode_up, action, n, 0, EXACT);
    cpu->categorical_log_prob(&x.d, x.action, log_prob, entropy);
    int32_t *given_up = UP(x.action, n);
    must(mt_cuda_categorical_log_prob(&cuda, &x.on_gpu, given_up, log_prob_up, entropy_up));
    COMPARE(float, "categorical_log_prob", log_prob_up, log_prob, rows, 2e-6, EXACT);
    COMPARE(float, "categorical_log_prob", entropy_up, entropy, rows, 2e-6, EXACT);
    float *alone = NEW(float, rows);
    must(mt_cuda_categorical_log_prob(&cuda, &x.on_gpu, NULL, NULL, alone));
    COMPARE(float, "categorical_log_prob", alone, entropy, rows, 2e-6, EXACT);
    done("categorical");
}

// ---- Gaussian and gSDE

static void run_gaussian(int64_t rows, int dim, int by_rows) {
    int64_t n = rows * dim, stds = by_rows ? n : dim;
    float *mean = normals_of(n, 1), *log_std = normals_of(stds, 0.5), *noise = normals_of(n, 1);
    float *action = host_floats(n), *log_prob = host_floats(rows), *entropy = host_floats(rows);
    mt_gaussian d = {.rows = rows, .dim = dim, .mean = mean, .log_std = log_std, .log_std_rows = by_rows}, on_gpu = d;
    on_gpu.mean = UP(mean, n), on_gpu.log_std = UP(log_std, stds);
    float *action_up = NEW(float, n), *log_prob_up = NEW(float, rows), *entropy_up = NEW(float, rows);
    cpu->gaussian_sample(&d, noise, action, log_prob);
    must(mt_cuda_gaussian_sample(&cuda, &on_gpu, UP(noise, n), action_up, log_prob_up));
    COMPARE(float, "gaussian_sample", action_up, action, n, 1e-6, EXACT);
    COMPARE(float, "gaussian_sample", log_prob_up, log_prob, rows, 2e-6, EXACT);
    cpu->gaussian_log_prob(&d, action, log_prob, entropy);
    must(mt_cuda_gaussian_log_prob(&cuda, &on_gpu, action_up, log_prob_up, entropy_up));
    COMPARE(float, "gaussian_log_prob", log_prob_up, log_prob, rows, 2e-6, EXACT);
    COMPARE(float, "gaussian_log_prob", entropy_up, entropy, rows, 2e-6, EXACT);
    float *alone = NEW(float, rows);
    must(mt_cuda_gaussian_log_prob(&cuda, &on_gpu, NULL, NULL, alone));
    COMPARE(float, "gaussian_log_prob", alone, entropy, rows, 2e-6, EXACT);
    done("gaussian");
}

static void run_gsde(int64_t rows, int latent, int dim, int accumulate) {
    int64_t n = rows * dim, size = (int64_t)latent * dim;
    float *h = normals_of(rows * latent, 1), *log_std = normals_of(size, 0.3), *matrix = normals_of(rows * size, 0.1),
          *d_out = normals_of(n, 1);
    float *out = host_floats(n), *d_log_std = normals_of(size, 1), *noise = host_floats(n);
    float *h_up = UP(h, rows * latent), *log_std_up = UP(log_std, size), *out_up = NEW(float, n),
          *d_log_std_up = UP(d_log_std, size);
    float *again = UP(d_log_std, size), *noise_up = NEW(float, n), *d_out_up = UP(d_out, n);
    cpu->gsde_log_std(rows, latent, dim, h, log_std, out);
    must(mt_cuda_gsde_log_std(&cuda, rows, latent, dim, h_up, log_std_up, out_up));
    COMPARE(float, "gsde_log_std", out_up, out, n, 1e-5, TOLERANT);
    float *same_out = UP(out, n);
    cpu->gsde_log_std_backward(rows, latent, dim, h, log_std, out, d_out, d_log_std, accumulate);
    must(mt_cuda_gsde_log_std_backward(
        &cuda, rows, latent, dim, h_up, log_std_up, same_out, d_out_up, d_log_std_up, accumulate));
    must(mt_cuda_gsde_log_std_backward(
        &cuda, rows, latent, dim, h_up, log_std_up, same_out, d_out_up, again, accumulate));
    COMPARE(float, "gsde_log_std_backward", d_log_std_up, d_log_std, size, 2e-5, TOLERANT);
    repeats("gsde_log_std_backward", d_log_std_up, again, 4 * (size_t)size);
    if (rows > 256 && size < 1024) { // less scratch space gives no other order of sums: it is refused
        mt_cuda little = cuda;
        little.workspace_bytes = sizeof(double) * (size_t)size;
        if (mt_cuda_gsde_log_std_backward(&little, rows, latent, dim, h_up, log_std_up, same_out, d_out_up, again, accumulate) != MT_NO_MEMORY)
            failures++, printf("FAILED gsde_log_std_backward: its sums depend on the scratch space\n");
    }
    cpu->gsde_noise(rows, latent, dim, h, matrix, noise);
    must(mt_cuda_gsde_noise(&cuda, rows, latent, dim, h_up, UP(matrix, rows * size), noise_up));
    COMPARE(float, "gsde_noise", noise_up, noise, n, 1e-5, TOLERANT);
    float *z = normals_of(rows * (size + 1), 1), *z_up = UP(z, rows * (size + 1)), *scaled = host_floats(rows * size),
          *scaled_up = NEW(float, rows * size);
    for (int gap = 0; gap < 2; gap++) {
        cpu->gsde_matrix(rows, size, z, size + gap, log_std, scaled);
        must(mt_cuda_gsde_matrix(&cuda, rows, size, z_up, size + gap, log_std_up, scaled_up));
        COMPARE(float, "gsde_matrix", scaled_up, scaled, rows * size, 1e-6, TOLERANT); // the CPU takes the library's exponential
    }
    done("gsde");
}

// ---- PPO's loss

typedef struct loss {
    mt_ppo_rows rows, on_gpu;
    mt_ppo_scalars now;
    float *d_value;
    mt_ppo_stats *stats_up;
    int64_t count;
} loss;

static void make_loss(loss *x, int64_t rows, float clip_range_vf, int with_value) {
    *x = (loss){.count = rows, .d_value = host_floats(rows), .stats_up = ZEROS(mt_ppo_stats, 1)};
    float *old_log_prob = normals_of(rows, 1), *advantage = normals_of(rows, 2), *returns = normals_of(rows, 1),
          *old_value = normals_of(rows, 0.5), *value = normals_of(rows, 0.5);
    x->now = (mt_ppo_scalars){.adv_mean = 0.3f,
        .adv_inv_std = 0.7f,
        .clip_range = 0.2f,
        .clip_range_vf = clip_range_vf,
        .ent_coef = 0.01f,
        .vf_coef = 0.5f};
    x->rows = (mt_ppo_rows){
        .old_log_prob = old_log_prob, .advantage = advantage, .scalars = &x->now, .inv_rows = 0.5f / (float)rows};
    if (with_value)
        x->rows.returns = returns, x->rows.old_value = old_value, x->rows.value = value, x->rows.d_value = x->d_value;
}
// after the old log-probabilities have been chosen
static void loss_up(loss *x) {
    x->on_gpu = x->rows;
    x->on_gpu.scalars = UP(&x->now, 1);
    x->on_gpu.old_log_prob = UP(x->rows.old_log_prob, x->count);
    x->on_gpu.advantage = UP(x->rows.advantage, x->count);
    if (!x->rows.value) return;
    x->on_gpu.returns = UP(x->rows.returns, x->count);
    x->on_gpu.old_value = UP(x->rows.old_value, x->count);
    x->on_gpu.value = UP(x->rows.value, x->count);
    x->on_gpu.d_value = NEW(float, x->count);
}
static void compare_loss(const loss *x, const char *name, const mt_ppo_stats *want) {
    // the CPU sums by lane in fp32 for a while
    COMPARE(double, name, (double *)x->stats_up, (const double *)want, 6, 1e-5, TOLERANT);
    if (x->rows.value) COMPARE(float, "ppo_loss, d_value", x->on_gpu.d_value, x->d_value, x->count, 1e-7, EXACT);
}
static void near_old(loss *x, const float *log_prob) {
    for (int64_t b = 0; b < x->count; b++)
        ((float *)(uintptr_t)x->rows.old_log_prob)[b] = log_prob[b] + (float)(0.25 * normal());
}

static void run_loss_categorical(const layout *l, int64_t rows, int masked, float clip_range_vf, int with_value) {
    actions a = make_actions(l, rows, 1, masked);
    loss x;
    make_loss(&x, rows, clip_range_vf, with_value);
    int64_t n = rows * a.d.logit_count;
    float *log_prob = host_floats(rows), *d_logits = host_floats(n), *d_logits_up = NEW(float, n);
    cpu->categorical_log_prob(&a.d, a.action, log_prob, NULL);
    near_old(&x, log_prob);
    loss_up(&x);
    mt_ppo_stats want = {0}, *again = ZEROS(mt_ppo_stats, 1);
    cpu->ppo_loss_categorical(&a.d, a.action, &x.rows, d_logits, &want);
    int32_t *action_up = UP(a.action, rows * l->components);
    must(mt_cuda_ppo_loss_categorical(&cuda, &a.on_gpu, action_up, &x.on_gpu, d_logits_up, x.stats_up));
    COMPARE(float, "ppo_loss_categorical, d_logits", d_logits_up, d_logits, n, 1e-6, EXACT);
    compare_loss(&x, "ppo_loss_categorical, sums", &want);
    must(mt_cuda_ppo_loss_categorical(&cuda, &a.on_gpu, action_up, &x.on_gpu, d_logits_up, again));
    repeats("ppo_loss_categorical", x.stats_up, again, sizeof want);
    // sums are added to what is there
    must(mt_cuda_ppo_loss_categorical(&cuda, &a.on_gpu, action_up, &x.on_gpu, d_logits_up, again));
    cpu->ppo_loss_categorical(&a.d, a.action, &x.rows, d_logits, &want);
    COMPARE(double, "ppo_loss_categorical, added sums", (double *)again, (const double *)&want, 6, 1e-5, TOLERANT);
    done("ppo_loss_categorical");
}

static void run_loss_gaussian(int64_t rows, int dim, int by_rows, float clip_range_vf, int accumulate) {
    int64_t n = rows * dim, stds = by_rows ? n : dim;
    float *mean = normals_of(n, 1), *log_std = normals_of(stds, 0.3), *action = normals_of(n, 1),
          *log_prob = host_floats(rows);
    for (int64_t i = 0; i < n; i++) action[i] = mean[i] + action[i] * expf(log_std[by_rows ? i : i % dim]);
    float *d_mean = host_floats(n), *d_log_std = normals_of(stds, 1);
    mt_gaussian d = {.rows = rows, .dim = dim, .mean = mean, .log_std = log_std, .log_std_rows = by_rows}, on_gpu = d;
    on_gpu.mean = UP(mean, n), on_gpu.log_std = UP(log_std, stds);
    loss x;
    make_loss(&x, rows, clip_range_vf, 1);
    cpu->gaussian_log_prob(&d, action, log_prob, NULL);
    near_old(&x, log_prob);
    loss_up(&x);
    float *d_mean_up = NEW(float, n), *d_log_std_up = UP(d_log_std, stds), *again = UP(d_log_std, stds),
          *action_up = UP(action, n);
    mt_ppo_stats want = {0};
    cpu->ppo_loss_gaussian(&d, action, &x.rows, d_mean, d_log_std, accumulate, &want);
    must(mt_cuda_ppo_loss_gaussian(
        &cuda, &on_gpu, action_up, &x.on_gpu, d_mean_up, d_log_std_up, accumulate, x.stats_up));
    COMPARE(float, "ppo_loss_gaussian, d_mean", d_mean_up, d_mean, n, 1e-6, EXACT);
    if (by_rows)
        COMPARE(float, "ppo_loss_gaussian, d_log_std by rows", d_log_std_up, d_log_std, stds, 1e-6, EXACT);
    else
        COMPARE(float, "ppo_loss_gaussian, d_log_std", d_log_std_up, d_log_std, stds, 5e-6,
            TOLERANT); // the CPU's sum is fp32
    compare_loss(&x, "ppo_loss_gaussian, sums", &want);
    mt_ppo_stats *stats_again = ZEROS(mt_ppo_stats, 1);
    must(mt_cuda_ppo_loss_gaussian(&cuda, &on_gpu, action_up, &x.on_gpu, d_mean_up, again, accumulate, stats_again));
    repeats("ppo_loss_gaussian", d_log_std_up, again, 4 * (size_t)stds);
    repeats("ppo_loss_gaussian, sums", x.stats_up, stats_again, sizeof want);
    done("ppo_loss_gaussian");
}

static void run_loss_value(int64_t rows, float clip_range_vf) {
    loss x;
    make_loss(&x, rows, clip_range_vf, 1);
    mt_ppo_stats want = {0};
    loss_up(&x);
    cpu->ppo_loss_value(rows, &x.rows, &want);
    must(mt_cuda_ppo_loss_value(&cuda, rows, &x.on_gpu, x.stats_up));
    compare_loss(&x, "ppo_loss_value, sums", &want);
    mt_ppo_stats *again = ZEROS(mt_ppo_stats, 1);
    must(mt_cuda_ppo_loss_value(&cuda, rows, &x.on_gpu, again));
    repeats("ppo_loss_value", x.stats_up, again, sizeof want);
    done("ppo_loss_value");
}

static void run_loss_sums(void) {
    const double sums[MT_LOSS_SUMS] = {3.5, 1.25, -0.5, 0.125, 7};
    mt_ppo_stats want = {.policy_loss = 1, .value_loss = 2, .entropy = 3, .approx_kl = 4, .clipped = 5, .ratio = 6}, *got = UP(&want, 1);
    cpu->add_loss_sums(sums, 0.5f, 0.01f, &want);
    must(mt_cuda_add_loss_sums(&cuda, UP(sums, MT_LOSS_SUMS), 0.5f, 0.01f, got));
    COMPARE(double, "add_loss_sums", (double *)got, (const double *)&want, 6, 1e-15, TOLERANT);
    done("add_loss_sums");
}

// mean and deviation of a minibatch's advantages, from their sums
static void run_advantage_scale(int64_t count) {
    float *advantage = normals_of(count, 3), want[2] = {0, 1};
    double mean = 0, squares = 0;
    mt_ppo_scalars before = {.clip_range = 0.2f, .vf_coef = 0.5f}, *scalars = UP(&before, 1);
    for (int64_t i = 0; i < count; i++) mean += (advantage[i] += 1) / (double)count;
    for (int64_t i = 0; i < count; i++) squares += (advantage[i] - mean) * (advantage[i] - mean);
    if (count > 1) want[0] = (float)mean, want[1] = (float)(1 / (sqrt(squares / (double)(count - 1)) + 1e-8));
    float *up_advantage = UP(advantage, count);
    double *sums = NEW(double, 2);
    must(mt_cuda_sum(&cuda, count, up_advantage, sums));
    must(mt_cuda_sum_squares(&cuda, count, up_advantage, sums + 1));
    must(mt_cuda_advantage_scale(&cuda, (double)count, sums, scalars));
    COMPARE(float, "advantage_scale", (float *)scalars, want, 2, 1e-6, TOLERANT);
    COMPARE(float, "advantage_scale, the rest", (float *)scalars + 2, (float *)&before + 2, 4, 0, EXACT);
    done("advantage_scale");
}

// what a learner looks for must not get lost: a NaN, and an infinite ratio that the clip discards
static void run_loss_extremes(void) {
    float mean[4] = {0}, action[4] = {1, 1, 1, 1}, log_std[1] = {0}, d_mean[4], d_log_std[1] = {0}, old[4],
          advantage[4] = {1, -1, 0, 1};
    const float log_prob = -0.5f - 0.91893853320467274178f;
    old[0] = log_prob - 1000, old[1] = log_prob, old[2] = log_prob, old[3] = NAN;
    mt_ppo_scalars now = {.adv_inv_std = 1, .clip_range = 0.2f, .clip_range_vf = -1};
    mt_ppo_rows r = {.old_log_prob = old,
                    .advantage = advantage,
                    .scalars = &now,
                    .inv_rows = 1},
                on_gpu = r;
    mt_ppo_stats want = {0}, *stats_up = ZEROS(mt_ppo_stats, 1);
    mt_gaussian d = {.rows = 4, .dim = 1, .mean = mean, .log_std = log_std};
    cpu->ppo_loss_gaussian(&d, action, &r, d_mean, d_log_std, 0, &want);
    d.mean = UP(mean, 4), d.log_std = UP(log_std, 1), on_gpu.old_log_prob = UP(old, 4),
    on_gpu.advantage = UP(advantage, 4), on_gpu.scalars = UP(&now, 1);
    float *d_mean_up = NEW(float, 4);
    must(mt_cuda_ppo_loss_gaussian(&cuda, &d, UP(action, 4), &on_gpu, d_mean_up, NEW(float, 1), 0, stats_up));
    COMPARE(float, "ppo_loss, extremes", d_mean_up, d_mean, 4, 1e-6, EXACT);
    COMPARE(double, "ppo_loss, extremes", (double *)stats_up, (double *)&want, 6, 1e-6, TOLERANT);
    done("ppo_loss, extremes");
}

static void test_rows(void) {
    static const int dims[] = {1, 2, 3, 6, 17, 40, 61};
    for (int r = 0; r < row_count_count; r++) {
        int64_t rows = row_counts[r];
        for (int l = 0; l < layout_count; l++)
            for (int variant = 0; variant < 4; variant++) {
                run_categorical(&layouts[l], rows, variant & 2 ? 30 : 1, variant & 1);
                run_loss_categorical(&layouts[l], rows, variant & 1, variant & 2 ? 0.3f : -1.0f, variant != 1);
            }
        for (int d = 0; d < 7; d++)
            for (int variant = 0; variant < 4; variant++) {
                run_gaussian(rows, dims[d], variant & 1);
                run_loss_gaussian(rows, dims[d], variant & 1, variant & 2 ? 0.3f : -1.0f, variant & 2);
            }
        run_advantage_scale(rows);
        for (int clipped = 0; clipped < 2; clipped++) run_loss_value(rows, clipped ? 0.3f : -1.0f);
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            run_gsde(rows, 64, 6, accumulate);
            run_gsde(rows, 17, 1, accumulate);
            run_gsde(rows, 65, 40, accumulate);
            run_gsde(rows, 300, 3, accumulate);
        }
    }
    run_categorical(&layouts[3], 300007, 1, 0);
    run_loss_categorical(&layouts[3], 300007, 0, -1, 1); // more tiles than blocks
    run_loss_gaussian(200003, 3, 0, 0.3f, 0);
    run_loss_sums();
    run_loss_extremes();
}

#endif
