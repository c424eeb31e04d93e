// Layer norm against double, and its gradients against finite differences of the double reference.
#include "fixture.h"

static const int widths[] = {1, 2, 3, 15, 16, 17, 33, 64, 65, 130};

// Σ dy ∘ y of one row
static double row_loss(int columns, const double *x, const float *gain, const float *bias, const float *dy) {
    double mean = 0, var = 0, loss = 0;
    for (int c = 0; c < columns; c++) mean += x[c] / columns;
    for (int c = 0; c < columns; c++) var += (x[c] - mean) * (x[c] - mean) / columns;
    for (int c = 0; c < columns; c++) loss += dy[c] * ((x[c] - mean) / sqrt(var + 1e-5) * gain[c] + bias[c]);
    return loss;
}

static void run(const mt_kernels *k, int64_t rows, int columns, int accumulate) {
    int64_t count = rows * columns;
    float *x = normals_of(count, 2), *gain = normals_of(columns, 1), *bias = normals_of(columns, 1), *y = floats(count);
    float *xhat = floats(count), *inv_std = floats(rows), *dy = normals_of(count, 1), *dx = floats(count);
    float *dgain = filled(columns, 3), *dbias = filled(columns, 5);
    double *xd = malloc(sizeof(double) * (size_t)columns);
    for (int64_t i = 0; i < count; i++) x[i] += 10;
    k->layer_norm_forward(rows, columns, x, gain, bias, y, xhat, inv_std);
    k->layer_norm_backward(rows, columns, dy, gain, xhat, inv_std, dx, dgain, dbias, accumulate);
    for (int64_t b = 0; b < rows; b++) {
        double mean = 0, var = 0;
        for (int c = 0; c < columns; c++) mean += (xd[c] = x[b * columns + c]) / columns;
        for (int c = 0; c < columns; c++) var += (xd[c] - mean) * (xd[c] - mean) / columns;
        for (int c = 0; c < columns; c++) {
            int64_t i = b * columns + c;
            near(y[i], (xd[c] - mean) / sqrt(var + 1e-5) * gain[c] + bias[c], 2e-5, "y (%ld, %d) of %d", (long)b, c,
                columns);
            const double h = 1e-5, keep = xd[c];
            xd[c] = keep + h;
            double up = row_loss(columns, xd, gain, bias, dy + b * columns);
            xd[c] = keep - h;
            double down = row_loss(columns, xd, gain, bias, dy + b * columns);
            xd[c] = keep;
            near(dx[i], (up - down) / (2 * h), 1e-4, "dx (%ld, %d) of %d", (long)b, c, columns);
        }
    }
    for (int c = 0; c < columns; c++) {
        double want_gain = accumulate ? 3 : 0, want_bias = accumulate ? 5 : 0;
        for (int64_t b = 0; b < rows; b++)
            want_gain += (double)dy[b * columns + c] * xhat[b * columns + c], want_bias += dy[b * columns + c];
        near(dgain[c], want_gain, 2e-5, "dgain[%d]", c);
        near(dbias[c], want_bias, 2e-5, "dbias[%d]", c);
    }
    free(xd);
    unfence();
}

static void parity(const mt_kernels *k) {
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++)
        for (int r = 0; r < row_count_count; r += 3) {
            if (widths[w] == 2) continue; // two columns are ±1 whatever x is: nothing to compare
            run(k, row_counts[r], widths[w], 0);
            run(k, row_counts[r], widths[w], 1);
        }
}
Test(layer_norm, parity_and_gradients) { each_isa(parity); }
