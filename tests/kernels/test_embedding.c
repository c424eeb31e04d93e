// Lookup, its gradient, and columns copied between arrays, against plain loops.
#include "fixture.h"

static void lookup(const mt_kernels *k) {
    static const int widths[] = {1, 3, 16, 17, 65}, entries[] = {1, 3, 17, 65};
    for (int w = 0; w < 5; w++)
        for (int e = 0; e < 4; e++)
            for (int r = 0; r < row_count_count; r += 3) {
                int width = widths[w], count = entries[e], accumulate = (w + e + r) & 1;
                int64_t rows = row_counts[r];
                float *index = floats(rows), *table = normals_of((int64_t)count * width, 1), *y = floats(rows * width);
                float *dy = normals_of(rows * width, 1), *dtable = filled((int64_t)count * width, 3);
                double *want = calloc((size_t)(count * width), sizeof *want);
                for (int64_t b = 0; b < rows; b++) index[b] = (float)(random_u32() % (uint32_t)count);
                index[rows / 2] = rows % 3 ? -5.0f : 1e30f; // clamped
                k->embedding_forward(rows, count, width, index, table, y);
                k->embedding_backward(rows, count, width, index, dy, dtable, accumulate);
                for (int i = 0; i < count * width; i++) want[i] = accumulate ? 3 : 0;
                for (int64_t b = 0; b < rows; b++) {
                    int at = index[b] < 0 ? 0 : index[b] >= (float)count ? count - 1 : (int)index[b];
                    for (int c = 0; c < width; c++) {
                        check_eq(y[b * width + c], table[at * width + c], "%s: y[%ld][%d]", k->name, (long)b, c);
                        want[at * width + c] += (double)dy[b * width + c];
                    }
                }
                for (int i = 0; i < count * width; i++)
                    near(dtable[i], want[i], 2e-5, "dtable[%d] of %d × %d", i, count, width);
                free(want);
                unfence();
            }
}
Test(embedding, parity_and_gradient) { each_isa(lookup); }

static void odd_indices(const mt_kernels *k) {
    const float index[] = {NAN, -INFINITY, INFINITY, -0.0f, 16777216.0f, 2.0f, 3.0f}, table[] = {10, 11, 12};
    float y[7];
    k->embedding_forward(7, 3, 1, index, table, y);
    const float want[] = {10, 10, 12, 10, 12, 12, 12};
    for (int i = 0; i < 7; i++)
        check_eq(y[i], want[i], "%s: index %g gives %g", k->name, (double)index[i], (double)y[i]);
}
Test(embedding, odd_indices_are_clamped) { each_isa(odd_indices); }

static void columns(const mt_kernels *k) {
    static const int64_t sizes[] = {1, 3, 16, 17, 65};
    for (int s = 0; s < 5; s++)
        for (int r = 0; r < row_count_count; r++)
            for (int64_t gap = 0; gap < 6; gap += 5) {
                int64_t rows = row_counts[r], n = sizes[s], x_stride = n + gap, y_stride = n + 2 * gap;
                float *x = normals_of((rows - 1) * x_stride + n, 1), *y = filled((rows - 1) * y_stride + n, 9);
                k->copy_columns(rows, n, x, x_stride, y, y_stride);
                for (int64_t i = 0; i < (rows - 1) * y_stride + n; i++)
                    check_eq(y[i], i % y_stride < n ? x[i / y_stride * x_stride + i % y_stride] : 9.0f, "%s: y[%ld]",
                        k->name, (long)i);
                k->copy_columns(0, n, x, x_stride, y, y_stride);
                unfence();
            }
}
Test(copy_columns, copies_them_and_nothing_else) { each_isa(columns); }
