// State-dependent exploration against double; its gradient against finite differences.
#include "fixture.h"

static const int latents[] = {1, 3, 16, 17, 64, 65, 300}, dims[] = {1, 2, 3, 17};

static double row_log_std(int latent, int dim, const float *h, const double *log_std, int a) {
    double var = 1e-6;
    for (int l = 0; l < latent; l++) var += (double)h[l] * h[l] * exp(2 * log_std[l * dim + a]);
    return 0.5 * log(var);
}

static void run(const mt_kernels *k, int64_t rows, int latent, int dim, int accumulate) {
    float *h = normals_of(rows * latent, 1), *log_std = normals_of(latent * dim, 0.3), *out = floats(rows * dim);
    float *d = normals_of(rows * dim, 1), *d_log_std = filled(latent * dim, 2),
          *matrix = normals_of(rows * latent * dim, 1);
    float *noise = floats(rows * dim);
    double *ls = malloc(sizeof(double) * (size_t)(latent * dim));
    for (int i = 0; i < latent * dim; i++) ls[i] = log_std[i] -= 1.5f;
    k->gsde_log_std(rows, latent, dim, h, log_std, out);
    k->gsde_log_std_backward(rows, latent, dim, h, log_std, out, d, d_log_std, accumulate);
    k->gsde_noise(rows, latent, dim, h, matrix, noise);
    for (int64_t b = 0; b < rows; b++)
        for (int a = 0; a < dim; a++) {
            near(out[b * dim + a], row_log_std(latent, dim, h + b * latent, ls, a), 2e-6, "log_std (%ld, %d)", (long)b,
                a);
            double want = 0;
            for (int l = 0; l < latent; l++) want += (double)h[b * latent + l] * matrix[(b * latent + l) * dim + a];
            near(noise[b * dim + a], want, 1e-5, "noise (%ld, %d) of %d", (long)b, a, latent);
        }
    for (int l = 0; l < latent; l += 1 + latent / 20)
        for (int a = 0; a < dim; a++) {
            double want = accumulate ? 2 : 0, keep = ls[l * dim + a];
            for (int64_t b = 0; b < rows; b++) {
                ls[l * dim + a] = keep + 1e-5;
                double up = row_log_std(latent, dim, h + b * latent, ls, a);
                ls[l * dim + a] = keep - 1e-5;
                double down = row_log_std(latent, dim, h + b * latent, ls, a);
                want += d[b * dim + a] * (up - down) / 2e-5;
            }
            ls[l * dim + a] = keep;
            near(d_log_std[l * dim + a], want, 2e-5, "d_log_std (%d, %d) of %ld rows", l, a, (long)rows);
        }
    free(ls);
    unfence();
}

static void parity(const mt_kernels *k) {
    for (size_t l = 0; l < sizeof latents / sizeof latents[0]; l++)
        for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++)
            for (int r = 0; r < row_count_count; r += 2) run(k, row_counts[r], latents[l], dims[d], r / 2 % 2);
    run(k, 300, 64, 1, 0);
    run(k, 300, 64, 2, 1);
}
Test(gsde, parity_and_gradient) { each_isa(parity); }

static void independent(const mt_kernels *k) {
    float *h = normals_of(65 * 64, 1), *log_std = normals_of(64 * 2, 1), *all = floats(65 * 2), *one = floats(2);
    k->gsde_log_std(65, 64, 2, h, log_std, all);
    for (int b = 0; b < 65; b++) {
        k->gsde_log_std(1, 64, 2, h + 64 * b, log_std, one);
        check_eq(memcmp(one, all + 2 * b, 8), 0, "%s: row %d", k->name, b);
    }
    unfence();
}
Test(gsde, a_row_knows_of_no_other) { each_isa(independent); }

static void matrices(const mt_kernels *k) {
    static const int64_t counts[] = {1, 3, 17, 255, 256, 257, 600};
    for (int c = 0; c < 7; c++)
        for (int r = 0; r < row_count_count; r += 2) {
            int64_t rows = row_counts[r], count = counts[c], stride = count + (count & 1);
            float *z = normals_of(rows * stride, 1), *log_std = normals_of(count, 0.5), *matrix = floats(rows * count);
            k->gsde_matrix(rows, count, z, stride, log_std, matrix);
            for (int64_t i = 0; i < rows * count; i++)
                near(matrix[i], (double)z[i / count * stride + i % count] * exp((double)log_std[i % count]), 1e-6, "matrix[%ld]",
                    (long)i);
            unfence();
        }
}
Test(gsde, matrices_are_scaled_normals) { each_isa(matrices); }
