// Reductions against plain double loops, cancellation and overflow included.
#include "fixture.h"

static const int64_t counts[] = {0, 1, 3, 15, 16, 17, 31, 33, 63, 65, 127, 129, 1000, 10007};
enum { count_count = sizeof counts / sizeof counts[0] };

static void parity(const mt_kernels *k) {
    for (int c = 0; c < count_count; c++) {
        int64_t n = counts[c];
        float *x = normals_of(n, 3), *y = normals_of(n, 1), *before = floats(n);
        for (int64_t i = 0; i < n; i++) x[i] += 1000;
        memcpy(before, y, sizeof(float) * (size_t)n);
        double sum = 0, squares = 0, about = 0, mean, var;
        for (int64_t i = 0; i < n; i++) sum += x[i], squares += (double)x[i] * x[i];
        for (int64_t i = 0; i < n; i++) about += (x[i] - sum / (double)n) * (x[i] - sum / (double)n);
        near(k->sum(n, x), sum, 1e-12, "sum of %ld", (long)n);
        near(k->sum_squares(n, x), squares, 3e-7, "sum of squares of %ld", (long)n);
        k->mean_var(n, x, &mean, &var);
        near(mean, n ? sum / (double)n : 0, 1e-12, "mean of %ld", (long)n);
        near(var, n ? about / (double)n : 0, 1e-9, "variance of %ld", (long)n);
        k->axpy(n, -0.75f, x, y);
        for (int64_t i = 0; i < n; i++) near(y[i], before[i] - 0.75 * x[i], 1e-6, "axpy[%ld]", (long)i);
        unfence();
    }
}
Test(reduce, parity) { each_isa(parity); }

static void extremes(const mt_kernels *k) {
    float *x = filled(1000, 1e30);
    near(k->sum_squares(1000, x), 1000 * (double)1e30f * 1e30f, 1e-12, "squares beyond a float");
    for (int i = 0; i < 1000; i++) x[i] = 1e-30f;
    check_lt(fabs(k->sum_squares(1000, x) / (1000 * (double)1e-30f * 1e-30f) - 1), 1e-12, "%s: squares below a float",
        k->name);
    for (int i = 0; i < 1000; i++) x[i] = i % 2 ? 1e8f : -1e8f;
    x[999] += 8;
    near(k->sum(1000, x), 8, 0, "cancellation");
    x[500] = NAN;
    check(isnan(k->sum_squares(1000, x)) && isnan(k->sum(1000, x)), "%s: a NaN was hidden", k->name);
    unfence();
}
Test(reduce, extremes) { each_isa(extremes); }

static void nonfinite(const mt_kernels *k) {
    for (int c = 0; c < count_count; c++) {
        int64_t n = counts[c], want = 0;
        float *x = normals_of(n, 1e30);
        for (int64_t i = 0; i < n; i++) {
            if (random_u32() % 3) continue;
            static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
            x[i] = bad[random_u32() % 4];
            want++;
        }
        if (n > 2 && isfinite(x[1])) x[1] = 1e-42f; // denormals are fine
        check_eq(k->count_nonfinite(n, x), want, "%s: of %ld", k->name, (long)n);
        unfence();
    }
}
Test(reduce, counts_what_is_not_finite) { each_isa(nonfinite); }
