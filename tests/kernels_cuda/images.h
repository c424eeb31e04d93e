// Tests of the own operations on images, tables and columns: pooling, turning, lookup, copies, bias and activation.
#ifndef MANTA_TESTS_KERNELS_CUDA_IMAGES_H
#define MANTA_TESTS_KERNELS_CUDA_IMAGES_H

#include "harness.h"

static void run_bias_activate(mt_activation act, int64_t rows, int columns, int with_bias, int with_pre) {
    int64_t n = rows * columns;
    float *z = normals_of(n, 2), *bias = normals_of(columns, 1), *pre = host_floats(n), *y = host_floats(n);
    for (int64_t i = 0; i < n; i++) pre[i] = with_bias ? z[i] + bias[i % columns] : z[i];
    cpu->activate(act, n, pre, y);
    float *z_up = UP(z, n), *bias_up = with_bias ? UP(bias, columns) : NULL, *pre_up = NEW(float, n), *y_up = NEW(float, n);
    must(mt_cuda_bias_activate(&cuda, act, rows, columns, z_up, bias_up, with_pre ? pre_up : NULL, y_up));
    COMPARE(float, "bias_activate", y_up, y, n, 1e-6, EXACT);
    if (with_pre) COMPARE(float, "bias_activate", pre_up, pre, n, 0, EXACT);
    must(mt_cuda_bias_activate(&cuda, act, rows, columns, z_up, bias_up, NULL, z_up)); // in place
    COMPARE(float, "bias_activate", z_up, y, n, 1e-6, EXACT);
    done("bias_activate");
}
static void test_bias_activate(void) {
    static const int columns[] = {1, 3, 4, 16, 65};
    for (int act = 0; act < MT_ACT_COUNT; act++)
        for (int k = 0; k < 5; k++)
            for (int variant = 0; variant < 4; variant++)
                run_bias_activate((mt_activation)act, variant ? 67 : 1, columns[k], variant & 1, variant & 2);
}

// few different values, so that a window's largest is often there twice; NaN and infinities
static float *ties_of(int64_t count) {
    float *x = host_floats(count);
    for (int64_t i = 0; i < count; i++) x[i] = (float)((int)(random_u32() % 9) - 4);
    if (count > 40) x[7] = NAN, x[20] = INFINITY, x[33] = -INFINITY;
    return x;
}

static void run_max_pool2d(int64_t rows, mt_max_pool2d p, mt_activation act, int ties) {
    int64_t n = rows * p.height * p.width * p.channels,
            m = rows * mt_max_pool2d_out_height(&p) * mt_max_pool2d_out_width(&p) * p.channels;
    float *pre = ties ? ties_of(n) : normals_of(n, 1), *x = host_floats(n), *y = host_floats(m), *dy = normals_of(m, 1),
          *dx = host_floats(n);
    int32_t *argmax = host_bytes(4 * (size_t)m);
    cpu->activate(act, n, pre, x);
    float *x_up = UP(x, n), *y_up = NEW(float, m), *dx_up = NEW(float, n);
    int32_t *argmax_up = NEW(int32_t, m);
    cpu->max_pool2d_forward(rows, &p, x, y, argmax);
    must(mt_cuda_max_pool2d_forward(&cuda, rows, &p, x_up, y_up, argmax_up));
    COMPARE(float, "max_pool2d_forward", y_up, y, m, 0, EXACT);
    COMPARE(int32_t, "max_pool2d_forward", argmax_up, argmax, m, 0, EXACT);
    cpu->max_pool2d_backward(rows, &p, dy, argmax, act, x, pre, dx);
    must(mt_cuda_max_pool2d_backward(&cuda, rows, &p, UP(dy, m), argmax_up, act, x_up, UP(pre, n), dx_up));
    COMPARE(float, "max_pool2d_backward", dx_up, dx, n, 1e-6, EXACT);
    done("max_pool2d");
}
static void test_max_pool2d(void) {
    static const mt_max_pool2d shapes[] = {{1, 1, 1, 1, 1, 0}, {5, 7, 3, 3, 2, 1}, {8, 8, 16, 2, 2, 0}, {9, 6, 17, 3, 1, 1},
        {7, 7, 4, 5, 3, 2}, {21, 21, 32, 3, 2, 1}, {4, 11, 1, 3, 5, 0}, {6, 6, 2, 4, 1, 3}};
    for (int s = 0; s < 8; s++)
        for (int act = 0; act < MT_ACT_COUNT; act++)
            for (int ties = 0; ties < 2; ties++) run_max_pool2d(s == 5 ? 3 : 2 + s, shapes[s], (mt_activation)act, ties);
}

static void run_turn(int64_t rows, int64_t m, int64_t n) {
    int64_t size = rows * m * n;
    float *x = normals_of(size, 1), *y = host_floats(size), *sum = host_floats(size);
    float *x_up = UP(x, size), *y_up = NEW(float, size);
    cpu->turn(rows, m, n, x, y);
    must(mt_cuda_turn(&cuda, rows, m, n, x_up, y_up, 0));
    COMPARE(float, "turn", y_up, y, size, 0, EXACT);
    for (int64_t i = 0; i < size; i++) sum[i] = y[i] + y[i];
    must(mt_cuda_turn(&cuda, rows, m, n, x_up, y_up, 1));
    COMPARE(float, "turn, added", y_up, sum, size, 0, EXACT);
    done("turn");
}
static void test_turn(void) {
    static const int64_t shapes[][3] = {{1, 1, 1}, {3, 1, 17}, {2, 17, 1}, {5, 49, 64}, {7, 33, 31}, {1, 300, 65}, {64, 9, 3}};
    for (int s = 0; s < 7; s++) run_turn(shapes[s][0], shapes[s][1], shapes[s][2]);
}

static void run_copy_columns(int64_t rows, int64_t columns, int64_t x_more, int64_t y_more) {
    int64_t n = rows * (columns + x_more), m = rows * (columns + y_more);
    float *x = normals_of(n, 1), *y = normals_of(m, 1), *x_up = UP(x, n), *y_up = UP(y, m);
    cpu->copy_columns(rows, columns, x, columns + x_more, y, columns + y_more);
    must(mt_cuda_copy_columns(&cuda, rows, columns, x_up, columns + x_more, y_up, columns + y_more));
    COMPARE(float, "copy_columns", y_up, y, m, 0, EXACT);
    done("copy_columns");
}
static void test_copy_columns(void) {
    static const int64_t columns[] = {1, 3, 4, 17, 64, 257};
    for (int k = 0; k < 6; k++)
        for (int variant = 0; variant < 4; variant++)
            run_copy_columns(variant ? 35 : 1, columns[k], variant & 1 ? 8 : 3 * variant, variant & 2 ? 4 : 0);
}

static int entry_of(float index, int entries) {
    return !(index > 0) ? 0 : index < (float)entries ? (int)index : entries - 1;
}
static void run_embedding(int64_t rows, int entries, int width, int accumulate) {
    int64_t n = rows * width, size = (int64_t)entries * width;
    float *index = host_floats(rows), *vectors = normals_of(size, 1), *y = host_floats(n), *dy = normals_of(n, 1);
    float *dtable = normals_of(size, 1);
    // half of all name one entry; a few stand beside the table or are no number
    for (int64_t b = 0; b < rows; b++)
        index[b] = random_u32() % 2 ? (float)(entries / 2) : (float)(random_u32() % (uint32_t)entries);
    if (rows > 16) index[3] = -1, index[4] = (float)entries, index[5] = 1e30f, index[6] = NAN, index[7] = -INFINITY;
    float *index_up = UP(index, rows), *y_up = NEW(float, n), *dy_up = UP(dy, n), *dtable_up = UP(dtable, size),
          *again = UP(dtable, size);
    cpu->embedding_forward(rows, entries, width, index, vectors, y);
    must(mt_cuda_embedding_forward(&cuda, rows, entries, width, index_up, UP(vectors, size), y_up));
    COMPARE(float, "embedding_forward", y_up, y, n, 0, EXACT);
    // the CPU's sums are fp32 from the first to the last: the reference here is double
    double *total = host_bytes(8 * (size_t)size);
    for (int64_t i = 0; i < n; i++) total[(int64_t)entry_of(index[i / width], entries) * width + i % width] += dy[i];
    for (int64_t i = 0; i < size; i++) dtable[i] = (float)(total[i] + (accumulate ? dtable[i] : 0));
    must(mt_cuda_embedding_backward(&cuda, rows, entries, width, index_up, dy_up, dtable_up, accumulate));
    must(mt_cuda_embedding_backward(&cuda, rows, entries, width, index_up, dy_up, again, accumulate));
    COMPARE(float, "embedding_backward", dtable_up, dtable, size, 2e-7, TOLERANT);
    repeats("embedding_backward", dtable_up, again, 4 * (size_t)size);
    done("embedding");
}
static void test_embedding(void) {
    static const int shapes[][2] = {{1, 1}, {3, 17}, {16, 64}, {65, 3}, {500, 65}, {17, 300}};
    static const int64_t rows[] = {1, 3, 65, 1000, 4099};
    for (int s = 0; s < 6; s++)
        for (int r = 0; r < 5; r++) run_embedding(rows[r], shapes[s][0], shapes[s][1], r % 2);
    run_embedding(0, 5, 8, 0), run_embedding(0, 5, 8, 1);
    run_embedding(70001, 4, 8, 0); // more spans than parts
}

static void test_images(void) {
    test_bias_activate();
    test_max_pool2d();
    test_turn();
    test_copy_columns();
    test_embedding();
}

#endif
