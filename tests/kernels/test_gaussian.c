// Diagonal Gaussian against double, log_std shared and by rows, tiny and large deviations.
#include "fixture.h"

static const int dims[] = {1, 2, 3, 4, 6, 17, 40};

static void run(const mt_kernels *k, int64_t rows, int dim, int by_rows, double shift) {
    float *mean = normals_of(rows * dim, 2), *noise = normals_of(rows * dim, 1), *action = floats(rows * dim);
    float *log_std = normals_of((by_rows ? rows : 1) * dim, 0.5), *log_prob = floats(rows), *again = floats(rows);
    float *entropy = floats(rows);
    for (int64_t i = 0; i < (by_rows ? rows : 1) * dim; i++) log_std[i] += (float)shift;
    mt_gaussian d = {.rows = rows, .dim = dim, .mean = mean, .log_std = log_std, .log_std_rows = by_rows};
    k->gaussian_sample(&d, noise, action, log_prob);
    k->gaussian_log_prob(&d, action, again, NULL);
    k->gaussian_log_prob(&d, action, NULL, entropy);
    for (int64_t b = 0; b < rows; b++) {
        double want = 0, want_again = 0, want_entropy = 0;
        for (int a = 0; a < dim; a++) {
            int64_t i = b * dim + a;
            double ls = log_std[by_rows ? i : a], t = ((double)action[i] - mean[i]) / exp(ls);
            near(action[i], mean[i] + exp(ls) * noise[i], 1e-6, "action (%ld, %d)", (long)b, a);
            want += -0.5 * (double)noise[i] * noise[i] - ls - 0.5 * log(2 * M_PI);
            want_again += -0.5 * t * t - ls - 0.5 * log(2 * M_PI);
            want_entropy += 0.5 + 0.5 * log(2 * M_PI) + ls;
        }
        near(log_prob[b], want, 3e-6, "sample's log_prob of row %ld, %d components", (long)b, dim);
        near(again[b], want_again, 3e-6, "log_prob of row %ld, %d components", (long)b, dim);
        near(entropy[b], want_entropy, 3e-6, "entropy of row %ld", (long)b);
    }
    unfence();
}

static void parity(const mt_kernels *k) {
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++)
        for (int r = 0; r < row_count_count; r++)
            for (int variant = 0; variant < 6; variant++)
                run(k, row_counts[r], dims[d], variant % 2, (double[]){0, -20, 3}[variant / 2]);
}
Test(gaussian, parity) { each_isa(parity); }
