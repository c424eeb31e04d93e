// Running statistics against whole-data ones, merging, scaling, and normalisation itself.
#include "fixture.h"

static const int widths[] = {1, 2, 3, 4, 5, 6, 8, 15, 16, 17, 33, 64};
enum { width_count = sizeof widths / sizeof widths[0] };

static mt_running running(int columns) {
    double *d = calloc((size_t)columns * 2, sizeof(double));
    return (mt_running){.columns = columns, .mean = d, .m2 = d + columns};
}

static void updates(const mt_kernels *k) {
    for (int w = 0; w < width_count; w++) {
        int columns = widths[w];
        enum { total = 300 };
        float *x = normals_of(total * columns, 2);
        for (int i = 0; i < total * columns; i++) x[i] += 1000 * (float)(i % columns);
        mt_running s = running(columns), first = running(columns), second = running(columns);
        for (int64_t at = 0, i = 0; at < total; i++) {
            int64_t rows = row_counts[i % row_count_count];
            if (rows > total - at) rows = total - at;
            float *batch = floats(rows * columns);
            memcpy(batch, x + at * columns, sizeof(float) * (size_t)(rows * columns));
            k->running_update(&s, rows, batch);
            k->running_update(at < 100 ? &first : &second, rows, batch);
            at += rows;
        }
        mt_running_merge(&first, &second);
        check_eq(s.count, total);
        check_eq(first.count, total);
        float *mean = floats(columns), *inv_std = floats(columns);
        mt_running_scale(&s, 1e-8, mean, inv_std);
        for (int c = 0; c < columns; c++) {
            double m = 0, m2 = 0;
            for (int b = 0; b < total; b++) m += x[b * columns + c] / (double)total;
            for (int b = 0; b < total; b++) m2 += (x[b * columns + c] - m) * (x[b * columns + c] - m);
            near(s.mean[c], m, 1e-12, "mean of column %d", c);
            near(s.m2[c], m2, 1e-9, "m2 of column %d", c);
            near(first.mean[c], m, 1e-12, "merged mean of column %d", c);
            near(first.m2[c], m2, 1e-9, "merged m2 of column %d", c);
            near(mean[c], m, 1e-6, "scale's mean");
            near(inv_std[c], 1 / sqrt(m2 / total + 1e-8), 1e-6, "scale's inv_std");
        }
        free(s.mean), free(first.mean), free(second.mean);
        unfence();
    }
}
Test(running, updates_equal_the_whole) { each_isa(updates); }

Test(running, empty_statistics_do_nothing) {
    mt_running s = running(2), none = running(2);
    float mean[2], inv_std[2];
    mt_running_merge(&s, &none);
    mt_running_scale(&s, 0, mean, inv_std);
    check(s.count == 0 && mean[0] == 0 && inv_std[1] == 1);
    free(s.mean), free(none.mean);
}

static void normalises(const mt_kernels *k) {
    for (int w = 0; w < width_count; w++)
        for (int r = 0; r < row_count_count; r++) {
            int columns = widths[w];
            int64_t rows = row_counts[r], count = rows * columns;
            float *x = normals_of(count, 3), *y = floats(count), *mean = normals_of(columns, 1),
                  *inv_std = floats(columns);
            for (int c = 0; c < columns; c++) inv_std[c] = (float)uniform(0.2, 3);
            x[count / 2] = NAN;
            k->normalise(rows, columns, mean, inv_std, 2.5f, x, y);
            for (int64_t i = 0; i < count; i++) {
                double want = ((double)x[i] - mean[i % columns]) * inv_std[i % columns];
                if (isnan(x[i]))
                    check(isnan(y[i]), "%s: a NaN was hidden", k->name);
                else
                    near(y[i], fmax(-2.5, fmin(2.5, want)), 1e-6, "(%ld) of %ld x %d", (long)i, (long)rows, columns);
            }
            k->normalise(rows, columns, mean, inv_std, 2.5f, x, x); // in place
            check_eq(memcmp(x, y, sizeof(float) * (size_t)count), 0, "%s: in place differs", k->name);
            unfence();
        }
}
Test(normalise, parity) { each_isa(normalises); }
