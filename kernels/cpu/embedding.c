// Lookup of rows in a table, and columns copied between arrays.
//   embedding_forward    y[b] = table[index[b]]                         8·B·W bytes
//   embedding_backward   dtable (+)= Σ_b dy[b] at index[b], b ascending
//   copy_columns         y[b, 0..columns) = x[b, 0..columns)
// An index is a whole number in a float, clamped to the table; NaN is entry 0.
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

static int64_t entry(float index, int entries) {
    if (!(index > 0.0f)) return 0;
    return index >= (float)entries ? entries - 1 : (int64_t)index < entries ? (int64_t)index : entries - 1;
}

void MT_ISA_NAME(mt_embedding_forward)(int64_t rows, int entries, int width, const float *index, const float *table, float *y) {
    for (int64_t b = 0; b < rows; b++)
        memcpy(y + b * width, table + entry(index[b], entries) * width, sizeof(float) * (size_t)width);
}

void MT_ISA_NAME(mt_embedding_backward)(int64_t rows, int entries, int width, const float *index, const float *dy, float *dtable,
    int accumulate) {
    if (!accumulate) memset(dtable, 0, sizeof(float) * (size_t)entries * (size_t)width);
    for (int64_t b = 0; b < rows; b++) {
        float *to = dtable + entry(index[b], entries) * width;
        for (int c = 0; c < width; c += VF) {
            int n = lane_count(width - c);
            lane_store_n(to + c, lane_load_n(to + c, n) + lane_load_n(dy + b * width + c, n), n);
        }
    }
}

void MT_ISA_NAME(mt_copy_columns)(int64_t rows, int64_t columns, const float *x, int64_t x_stride, float *y, int64_t y_stride) {
    if (x_stride == columns && y_stride == columns) columns *= rows, rows = rows > 0;
    for (int64_t b = 0; b < rows; b++) memcpy(y + b * y_stride, x + b * x_stride, sizeof(float) * (size_t)columns);
}
