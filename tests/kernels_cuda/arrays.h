// Tests of the operations on arrays: activations, reductions, Adam, GAE, V-trace, gather, normalisation, layer norm,
// random numbers.
#ifndef MANTA_TESTS_KERNELS_CUDA_ARRAYS_H
#define MANTA_TESTS_KERNELS_CUDA_ARRAYS_H

#include "harness.h"

static const int64_t counts[] = {1, 3, 17, 64, 65, 1000, 4099, 70001};
enum { count_count = sizeof counts / sizeof *counts };

static void test_activate(void) {
    for (int act = 0; act < MT_ACT_COUNT; act++)
        for (int s = 0; s < count_count; s++) {
            int64_t n = counts[s];
            float *z = normals_of(n, 3), *y = host_floats(n), *dy = normals_of(n, 1), *dz = host_floats(n);
            if (n > 8) z[3] = NAN, z[4] = INFINITY, z[5] = -INFINITY, z[6] = 0, z[7] = -100;
            cpu->activate((mt_activation)act, n, z, y);
            cpu->activate_backward((mt_activation)act, n, y, z, dy, dz);
            float *z_up = UP(z, n), *y_up = NEW(float, n), *dy_up = UP(dy, n), *dz_up = NEW(float, n);
            must(mt_cuda_activate(&cuda, (mt_activation)act, n, z_up, y_up));
            must(mt_cuda_activate_backward(&cuda, (mt_activation)act, n, y_up, z_up, dy_up, dz_up));
            COMPARE(float, "activate", y_up, y, n, 1e-6, EXACT);
            COMPARE(float, "activate_backward", dz_up, dz, n, 1e-6, EXACT);
            must(mt_cuda_activate(&cuda, (mt_activation)act, n, z_up, z_up)); // in place
            COMPARE(float, "activate", z_up, y, n, 1e-6, EXACT);
            done(mt_activation_name((mt_activation)act));
        }
}

static void test_reduce(void) {
    for (int s = -1; s <= count_count; s++) {
        int64_t n = s < 0 ? 0 : s == count_count ? (1 << 22) + 3 : counts[s];
        float *x = normals_of(n, 1), *y = normals_of(n, 1), *bad = host_floats(n);
        for (int64_t i = 0; i < n; i++) x[i] += 3, bad[i] = i % 7 == 3 ? (i % 2 ? NAN : -INFINITY) : x[i];
        double want[4] = {cpu->sum(n, x), cpu->sum_squares(n, x)};
        cpu->mean_var(n, x, &want[2], &want[3]);
        int64_t nonfinite = cpu->count_nonfinite(n, bad);
        float *x_up = UP(x, n), *y_up = UP(y, n), *bad_up = UP(bad, n);
        double *got = NEW(double, 4), *again = NEW(double, 4);
        int64_t *found = NEW(int64_t, 1);
        for (int run = 0; run < 2; run++) {
            double *to = run ? again : got;
            must(mt_cuda_sum(&cuda, n, x_up, to));
            must(mt_cuda_sum_squares(&cuda, n, x_up, to + 1));
            must(mt_cuda_mean_var(&cuda, n, x_up, to + 2, to + 3));
        }
        must(mt_cuda_count_nonfinite(&cuda, n, bad_up, found));
        COMPARE(double, "sum", got, want, 1, 1e-12, TOLERANT);
        COMPARE(double, "sum_squares", got + 1, want + 1, 1, 1e-7, TOLERANT); // the CPU's partial sums are fp32
        COMPARE(double, "mean_var", got + 2, want + 2, 2, 1e-12, TOLERANT);
        COMPARE(int64_t, "count_nonfinite", found, &nonfinite, 1, 0, EXACT);
        repeats("sum, sum_squares, mean_var", got, again, 4 * sizeof(double));
        cpu->axpy(n, 0.3f, x, y);
        must(mt_cuda_axpy(&cuda, n, 0.3f, x_up, y_up));
        COMPARE(float, "axpy", y_up, y, n, 1e-7, EXACT);
        done("reduce");
    }
}

static void test_column_sums(void) {
    static const int columns[] = {1, 3, 17, 64, 65, 300};
    for (int s = 0; s < 7; s++)
        for (int k = 0; k < 6; k++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                int64_t rows = s == 0 ? 0 : counts[s - 1], n = rows * columns[k];
                float *x = normals_of(n, 1), *sum = normals_of(columns[k], 1), *sum_up = UP(sum, columns[k]),
                      *x_up = UP(x, n);
                for (int c = 0; c < columns[k]; c++) {
                    double total = accumulate ? sum[c] : 0;
                    for (int64_t b = 0; b < rows; b++) total += x[b * columns[k] + c];
                    sum[c] = (float)total;
                }
                must(mt_cuda_column_sums(&cuda, rows, columns[k], x_up, sum_up, accumulate));
                COMPARE(float, "column_sums", sum_up, sum, columns[k], 2e-7, TOLERANT);
                done("column_sums");
            }
}

// a gradient that is not finite changes nothing but what says so, and neither does any after it
static void test_adam_halts(void) {
    enum { N = 1000 };
    float *p = normals_of(N, 1), *m = normals_of(N, 1), *g = normals_of(N, 1), *g_up = UP(g, N), norm;
    float *p_up = UP(p, N), *m_up = UP(m, N), *v_up = UP(m, N);
    mt_adam_scalars scalars = {.step = 5, .lr = 1e-3f}, *scalars_up = UP(&scalars, 1);
    g[77] = NAN;
    mt_adam a = {.count = N, .param = p_up, .m = m_up, .v = v_up, .grad = UP(g, N), .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-5f};
    must(mt_cuda_adam_clipped(&cuda, &a, 0.5f, scalars_up, NULL));
    a.grad = g_up;
    must(mt_cuda_adam_clipped(&cuda, &a, 0.5f, scalars_up, NULL));
    a.param = p, a.grad = g;
    cpu->adam_clipped(&a, 0.5f, &scalars, &norm);
    g[77] = 0;
    cpu->adam_clipped(&a, 0.5f, &scalars, &norm);
    COMPARE(float, "adam, halted", p_up, p, N, 0, EXACT);
    COMPARE(float, "adam, halted", m_up, m, N, 0, EXACT);
    COMPARE(int64_t, "adam, halted", &scalars_up->step, &scalars.step, 1, 0, EXACT);
    COMPARE(int32_t, "adam, halted", &scalars_up->halted, &scalars.halted, 1, 0, EXACT);
    done("adam, halted");
}

static void test_adam(void) {
    for (int s = 0; s < count_count; s++)
        for (int variant = 0; variant < 4; variant++) {
            int64_t n = counts[s];
            float *p = normals_of(n, 1), *m = host_floats(n), *v = host_floats(n), max_norm = variant & 1 ? 0.5f : 0.0f;
            float *p_up = UP(p, n), *m_up = UP(m, n), *v_up = UP(v, n), *norm_up = NEW(float, 1);
            // clipped: the step and the rate stand in device memory, and nothing of them in the call
            mt_adam_scalars first = {.step = 0, .lr = 1e-3f}, *scalars = UP(&first, 1);
            int clipped = s % 2;
            for (int step = 1; step <= 3; step++) {
                float *g = normals_of(n, 0.7), *g_up = UP(g, n);
                mt_adam a = {.count = n,
                    .param = p,
                    .m = m,
                    .v = v,
                    .grad = g,
                    .grad_scale = 0.5f,
                    .lr = 1e-3f,
                    .beta1 = 0.9f,
                    .beta2 = 0.999f,
                    .eps = 1e-5f,
                    .weight_decay = variant & 2 ? 0.1f : 0,
                    .step = step};
                mt_adam on_gpu = a;
                on_gpu.param = p_up, on_gpu.m = m_up, on_gpu.v = v_up, on_gpu.grad = g_up;
                if (clipped) {
                    float norm;
                    on_gpu.step = 0, on_gpu.lr = on_gpu.grad_scale = NAN;
                    must(mt_cuda_adam_clipped(&cuda, &on_gpu, max_norm, scalars, norm_up));
                    first.halted = 0;
                    cpu->adam_clipped(&a, max_norm, &first, &norm);
                    COMPARE(float, "adam, norm", norm_up, &norm, 1, 1e-6, TOLERANT);
                    COMPARE(int64_t, "adam, step", &scalars->step, &first.step, 1, 0, EXACT);
                } else {
                    must(mt_cuda_adam(&cuda, &on_gpu));
                    cpu->adam(&a);
                }
                COMPARE(float, "adam", p_up, p, n, 2e-6, TOLERANT);
                COMPARE(float, "adam, moments", m_up, m, n, 1e-6, TOLERANT);
                COMPARE(float, "adam, moments", v_up, v, n, 1e-6, TOLERANT);
            }
            done("adam");
        }
    test_adam_halts();
}

static void run_gae(int64_t steps, int64_t envs, int exact) {
    int64_t n = steps * envs;
    float *reward = normals_of(n, 1), *value = normals_of(n + envs, 1), *final_value = normals_of(n, 1);
    uint8_t *ended = host_bytes((size_t)n), *cut = host_bytes((size_t)n);
    for (int64_t i = 0; i < n; i++) {
        ended[i] = random_u32() % 20 == 0, cut[i] = random_u32() % 20 == 0;
        if (!cut[i] || ended[i]) final_value[i] = NAN; // read only where truncated
    }
    mt_gae a = {.steps = steps,
        .envs = envs,
        .reward = reward,
        .value = value,
        .terminated = ended,
        .truncated = cut,
        .final_value = final_value,
        .gamma = 0.99f,
        .lambda = 0.95f,
        .advantage = host_floats(n),
        .returns = host_floats(n)};
    mt_gae on_gpu = a;
    on_gpu.reward = UP(reward, n), on_gpu.value = UP(value, n + envs), on_gpu.final_value = UP(final_value, n);
    on_gpu.terminated = UP(ended, n), on_gpu.truncated = UP(cut, n);
    on_gpu.advantage = NEW(float, n), on_gpu.returns = NEW(float, n);
    cpu->gae(&a);
    must(mt_cuda_gae(&cuda, &on_gpu));
    const char *name = exact ? "gae, many environments" : "gae, few environments";
    COMPARE(float, name, on_gpu.advantage, a.advantage, n, exact ? 1e-6 : 5e-6, exact);
    COMPARE(float, name, on_gpu.returns, a.returns, n, exact ? 1e-6 : 5e-6, exact);
    done(name);
}
static void test_gae(void) {
    static const int64_t shapes[][2] = {
        {17, 1}, {19, 3}, {65, 17}, {64, 33}, {1000, 8}, {2048, 65}, {4099, 9}, {257, 1029}};
    for (int i = 0; i < 8; i++) run_gae(shapes[i][0], shapes[i][1], 0);
    run_gae(1, 1, 1), run_gae(16, 65, 1), run_gae(37, 8195, 1);
}

static void run_vtrace(int64_t steps, int64_t envs, int exact) {
    int64_t n = steps * envs;
    float *reward = normals_of(n, 1), *value = normals_of(n + envs, 1), *final_value = normals_of(n, 1);
    float *behaviour = normals_of(n, 0.7), *target = normals_of(n, 0.7);
    uint8_t *ended = host_bytes((size_t)n), *cut = host_bytes((size_t)n);
    for (int64_t i = 0; i < n; i++) {
        ended[i] = random_u32() % 20 == 0, cut[i] = random_u32() % 20 == 0;
        if (!cut[i] || ended[i]) final_value[i] = NAN; // read only where truncated
    }
    mt_vtrace a = {.steps = steps,
        .envs = envs,
        .reward = reward,
        .value = value,
        .behaviour_log_prob = behaviour,
        .target_log_prob = target,
        .terminated = ended,
        .truncated = cut,
        .final_value = final_value,
        .gamma = 0.99f,
        .lambda = 0.95f,
        .rho_bar = 1.1f,
        .c_bar = 1.0f,
        .vs = host_floats(n),
        .advantage = host_floats(n)};
    mt_vtrace on_gpu = a;
    on_gpu.reward = UP(reward, n), on_gpu.value = UP(value, n + envs), on_gpu.final_value = UP(final_value, n);
    on_gpu.behaviour_log_prob = UP(behaviour, n), on_gpu.target_log_prob = UP(target, n);
    on_gpu.terminated = UP(ended, n), on_gpu.truncated = UP(cut, n);
    on_gpu.vs = NEW(float, n), on_gpu.advantage = NEW(float, n);
    cpu->vtrace(&a);
    must(mt_cuda_vtrace(&cuda, &on_gpu));
    const char *name = exact ? "vtrace, many environments" : "vtrace, few environments";
    COMPARE(float, name, on_gpu.vs, a.vs, n, exact ? 1e-6 : 5e-6, exact);
    COMPARE(float, name, on_gpu.advantage, a.advantage, n, exact ? 1e-6 : 5e-6, exact);
    done(name);
}
static void test_vtrace(void) {
    static const int64_t shapes[][2] = {
        {17, 1}, {19, 3}, {65, 17}, {64, 33}, {1000, 8}, {2048, 65}, {4099, 9}, {257, 1029}};
    for (int i = 0; i < 8; i++) run_vtrace(shapes[i][0], shapes[i][1], 0);
    run_vtrace(1, 1, 1), run_vtrace(16, 65, 1), run_vtrace(37, 8195, 1);
}

static void test_gather(void) {
    static const int64_t sizes[] = {1, 2, 3, 4, 8, 12, 16, 17, 24, 64, 100, 256, 4099};
    for (int s = 0; s < 13; s++)
        for (int r = 0; r < 6; r++) {
            int64_t rows = counts[r], from = rows + 5, n = rows * sizes[s];
            uint8_t *src = host_bytes((size_t)(from * sizes[s])), *dst = host_bytes((size_t)n);
            int32_t *index = host_bytes(4 * (size_t)rows);
            for (int64_t i = 0; i < from * sizes[s]; i++) src[i] = (uint8_t)random_u32();
            for (int64_t i = 0; i < rows; i++) index[i] = (int32_t)(random_u32() % (uint32_t)from);
            cpu->gather_rows(rows, sizes[s], src, index, dst);
            uint8_t *dst_up = NEW(uint8_t, n);
            must(mt_cuda_gather_rows(&cuda, rows, sizes[s], UP(src, from * sizes[s]), UP(index, rows), dst_up));
            COMPARE(uint8_t, "gather_rows", dst_up, dst, n, 0, EXACT);
            done("gather_rows");
        }
    static const int64_t sequences[][3] = {{1, 1, 1}, {3, 17, 5}, {128, 64, 64}, {2048, 3, 2}, {50, 4096, 1000}};
    for (int s = 0; s < 5; s++) {
        int64_t steps = sequences[s][0], envs = sequences[s][1], count = sequences[s][2], n = steps * count;
        int32_t *env = host_bytes(4 * (size_t)count), *row = host_bytes(4 * (size_t)n), *row_up = NEW(int32_t, n);
        for (int64_t j = 0; j < count; j++) env[j] = (int32_t)(random_u32() % (uint32_t)envs);
        cpu->sequence_rows(steps, envs, count, env, row);
        must(mt_cuda_sequence_rows(&cuda, steps, envs, count, UP(env, count), row_up));
        COMPARE(int32_t, "sequence_rows", row_up, row, n, 0, EXACT);
        done("sequence_rows");
    }
}

static void test_normalise(void) {
    static const int columns[] = {1, 3, 4, 17, 65, 376};
    for (int k = 0; k < 6; k++)
        for (int s = 0; s < 7; s++) {
            int c = columns[k];
            int64_t rows = counts[s], n = rows * c;
            double *stats = host_bytes(32 * (size_t)c);
            mt_running whole = {.columns = c, .mean = stats, .m2 = stats + c},
                       other = {.columns = c, .mean = stats + 2 * c, .m2 = stats + 3 * c};
            double *stats_up = UP(stats, 4 * c);
            mt_running up_whole = {.columns = c, .mean = stats_up, .m2 = stats_up + c},
                       up_other = {.columns = c, .mean = stats_up + 2 * c, .m2 = stats_up + 3 * c};
            float *mean = host_floats(c), *inv_std = host_floats(c), *mean_up = NEW(float, c),
                  *inv_std_up = NEW(float, c);
            mt_running_scale(&whole, 1e-8, mean, inv_std); // before the first row
            must(mt_cuda_running_scale(&cuda, &up_whole, 1e-8, mean_up, inv_std_up));
            COMPARE(float, "running_scale", mean_up, mean, c, 0, EXACT);
            COMPARE(float, "running_scale", inv_std_up, inv_std, c, 0, EXACT);
            float *x = NULL, *x_up = NULL;
            for (int batch = 0; batch < 3; batch++) { // the second of whole's three goes by way of a merge
                x = normals_of(n, 2), x_up = NULL;
                for (int64_t i = 0; i < n; i++) x[i] += (float)(100 * (i % c));
                x_up = UP(x, n);
                cpu->running_update(batch == 1 ? &other : &whole, rows, x);
                must(mt_cuda_running_update(&cuda, batch == 1 ? &up_other : &up_whole, rows, x_up));
            }
            mt_running_merge(&whole, &other);
            must(mt_cuda_running_merge(&cuda, &up_whole, &up_other));
            if (whole.count != up_whole.count) failures++, printf("FAILED running_merge: %g rows\n", up_whole.count);
            COMPARE(double, "running_update, running_merge", stats_up, stats, 2 * c, 1e-10, TOLERANT);
            mt_running_scale(&whole, 1e-8, mean, inv_std);
            must(mt_cuda_running_scale(&cuda, &up_whole, 1e-8, mean_up, inv_std_up));
            // of one's own numbers: the last bits of the statistics are not the question here
            float *own_mean = down(mean_up, 4 * (size_t)c), *own_inv_std = down(inv_std_up, 4 * (size_t)c),
                  *y = host_floats(n);
            if (n > 2) x[1] = NAN;
            x_up = UP(x, n);
            cpu->normalise(rows, c, own_mean, own_inv_std, 2, x, y);
            free(own_mean), free(own_inv_std);
            float *y_up = NEW(float, n);
            must(mt_cuda_normalise(&cuda, rows, c, mean_up, inv_std_up, 2, x_up, y_up));
            COMPARE(float, "normalise", y_up, y, n, 0, EXACT);
            must(mt_cuda_normalise(&cuda, rows, c, mean_up, inv_std_up, 2, x_up, x_up));
            COMPARE(float, "normalise", x_up, y, n, 0, EXACT);
            done("normalise");
        }
}

static void run_layer_norm(int64_t rows, int columns, int accumulate) {
    int64_t n = rows * columns;
    float *x = normals_of(n, 2), *gain = normals_of(columns, 1), *bias = normals_of(columns, 1), *dy = normals_of(n, 1);
    float *y = host_floats(n), *xhat = host_floats(n), *inv_std = host_floats(rows), *dx = host_floats(n);
    float *dgain = normals_of(columns, 1), *dbias = normals_of(columns, 1);
    float *dgain_up = UP(dgain, columns), *dbias_up = UP(dbias, columns), *again = UP(dgain, columns),
          *gain_up = UP(gain, columns);
    float *y_up = NEW(float, n), *xhat_up = NEW(float, n), *inv_std_up = NEW(float, rows), *dx_up = NEW(float, n),
          *dy_up = UP(dy, n);
    must(mt_cuda_layer_norm_forward(
        &cuda, rows, columns, UP(x, n), gain_up, UP(bias, columns), y_up, xhat_up, inv_std_up));
    cpu->layer_norm_forward(rows, columns, x, gain, bias, y, xhat, inv_std);
    // a single column's variance is 0: 1/√eps enlarges what rounding left of x - mean
    COMPARE(float, "layer_norm_forward", y_up, y, n, 1e-5, TOLERANT);
    COMPARE(float, "layer_norm_forward", xhat_up, xhat, n, 1e-5, TOLERANT);
    COMPARE(float, "layer_norm_forward", inv_std_up, inv_std, rows, 1e-5, TOLERANT);
    float *same_xhat = UP(xhat, n), *same_inv_std = UP(inv_std, rows);
    // the CPU's sums over rows are fp32 from the first to the last: the reference here is double
    double *total = host_bytes(16 * (size_t)columns);
    for (int64_t i = 0; i < n; i++)
        total[i % columns] += (double)dy[i] * xhat[i], total[columns + i % columns] += dy[i];
    float *want = host_floats(2 * columns);
    for (int i = 0; i < columns; i++)
        want[i] = (float)(total[i] + (accumulate ? dgain[i] : 0)),
        want[columns + i] = (float)(total[columns + i] + (accumulate ? dbias[i] : 0));
    cpu->layer_norm_backward(rows, columns, dy, gain, xhat, inv_std, dx, dgain, dbias, accumulate);
    must(mt_cuda_layer_norm_backward(
        &cuda, rows, columns, dy_up, gain_up, same_xhat, same_inv_std, dx_up, dgain_up, dbias_up, accumulate));
    COMPARE(float, "layer_norm_backward, dx", dx_up, dx, n, 1e-5 * (columns == 1 ? 300 : 1), TOLERANT);
    COMPARE(float, "layer_norm_backward, gain and bias", dgain_up, want, columns, 2e-5, TOLERANT);
    COMPARE(float, "layer_norm_backward, gain and bias", dbias_up, want + columns, columns, 2e-5, TOLERANT);
    must(mt_cuda_layer_norm_backward(&cuda, rows, columns, dy_up, gain_up, same_xhat, same_inv_std, dy_up, again,
        dbias_up, accumulate)); // dx over dy
    COMPARE(float, "layer_norm_backward, dx", dy_up, dx, n, 1e-5 * (columns == 1 ? 300 : 1), TOLERANT);
    repeats("layer_norm_backward", dgain_up, again, 4 * (size_t)columns);
    done("layer_norm");
}
static void test_layer_norm(void) {
    static const int columns[] = {1, 3, 4, 17, 33, 64, 65, 129, 256, 300, 513, 1100, 2048, 2100};
    for (int k = 0; k < 14; k++)
        for (int s = 0; s < 6; s++) run_layer_norm(counts[s], columns[k], s % 2);
    run_layer_norm(70001, 17, 0), run_layer_norm(20011, 65, 0);
}

static void test_philox(void) {
    for (int s = 0; s < count_count; s++) {
        int64_t n = counts[s];
        uint32_t *want = host_bytes(16 * (size_t)n), *got = NEW(uint32_t, 4 * n);
        uint64_t seed = 0x123456789abcdef0u, stream = 0xffffffff00000000u - 3,
                 counter = 0xfffffffeu; // carries into the high words
        cpu->philox_streams(seed, stream, counter, n, want);
        must(mt_cuda_philox_streams(&cuda, seed, stream, counter, n, got));
        COMPARE(uint32_t, "philox_streams", got, want, 4 * n, 0, EXACT);
        cpu->philox_counters(seed, stream, counter, n, want);
        must(mt_cuda_philox_counters(&cuda, seed, stream, counter, n, got));
        COMPARE(uint32_t, "philox_counters", got, want, 4 * n, 0, EXACT);
        for (int64_t count = 4 * n - 2; count <= 4 * n; count += 2) {
            float *z = host_floats(count), *z_up = NEW(float, count);
            cpu->normals(count, want, z);
            must(mt_cuda_normals(&cuda, count, got, z_up));
            COMPARE(float, "normals", z_up, z, count, 1e-6, EXACT);
        }
        done("philox");
    }
    static const int widths[] = {1, 2, 3, 4, 6, 17, 384};
    for (int k = 0; k < 7; k++)
        for (int s = 0; s < 6; s++) {
            int64_t rows = counts[s];
            uint64_t step = s % 2 ? 0xffffffffu : 12345, seed = 0x123456789abcdef0u, stream = 0xffffffff00000000u - 3;
            uint32_t *want = host_bytes(4 * (size_t)(rows * widths[k])), *got = NEW(uint32_t, rows * widths[k]);
            cpu->philox_words(seed, stream, &step, rows, widths[k], want);
            must(mt_cuda_philox_words(&cuda, seed, stream, UP(&step, 1), rows, widths[k], got));
            COMPARE(uint32_t, "philox_words", got, want, rows * widths[k], 0, EXACT);
            done("philox_words");
        }
}

static void test_arrays(void) {
    test_activate();
    test_reduce();
    test_column_sums();
    test_adam();
    test_gae();
    test_vtrace();
    test_gather();
    test_normalise();
    test_layer_norm();
    test_philox();
}

#endif
