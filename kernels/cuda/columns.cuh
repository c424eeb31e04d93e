// The first pass of a sum over rows: Q quantities for each of C columns, from any function: value.of(column) is what a
// thread keeps, and called with (row, sums) it adds a row. The rows are dealt out to
// `parts` blocks, whose number depends on the shape alone (dealt, not cut into chunks: chunks begin a power of two
// apart, in one memory channel, which was 3 to 5 % slower on an H100). Their sums go to scratch space as (parts, Q·C),
// for fold() to add in order.
#ifndef MANTA_KERNELS_CUDA_COLUMNS_CUH
#define MANTA_KERNELS_CUDA_COLUMNS_CUH

#include "kernels/cuda/launch.cuh"

namespace mt {

constexpr int column_threads = 256, column_tile = 64, column_blocks = 1024;

// A block is column_tile columns wide, or as wide as there are; its threads stand in rows beside each other, so that a
// step reads whole lines.
template <int Q, class Value>
__global__ void __launch_bounds__(column_threads) column_kernel(int64_t rows, int columns, Value value, double *part) {
    MT_SHARED(double, sums, [Q][column_threads]);
    int first = (int)blockIdx.y * column_tile, width = columns - first < column_tile ? columns - first : column_tile;
    int height = column_threads / width, row = (int)threadIdx.x / width, column = first + (int)threadIdx.x % width;
    double sum[Q] = {};
    if (row < height) {
        auto add = value.of(column);
#pragma unroll 8
        for (int64_t b = (int64_t)blockIdx.x * height + row; b < rows; b += (int64_t)gridDim.x * height) add(b, sum);
    }
#pragma unroll
    for (int q = 0; q < Q; q++) sums[q][threadIdx.x] = sum[q];
    for (int half = column_threads / 2; half; half /= 2) {
        __syncthreads();
        if (row < half && row + half < height)
#pragma unroll
            for (int q = 0; q < Q; q++) sums[q][threadIdx.x] += sums[q][threadIdx.x + half * width];
    }
    if (row == 0)
#pragma unroll
        for (int q = 0; q < Q; q++) part[((int64_t)blockIdx.x * Q + q) * columns + column] = sums[q][threadIdx.x];
}

struct column_parts {
    double *part; // (parts, Q, C), scratch space
    int64_t parts;
};

template <int Q, class Value>
mt_status column_sums(const mt_cuda *c, const char *name, int64_t rows, int columns, Value value, column_parts *out) {
    int64_t tiles = ceil_div(columns, column_tile),
            height = columns < column_tile ? column_threads / columns : column_threads / column_tile;
    if (tiles > 65535)
        return MT_FAIL(UNSUPPORTED, "%s: %d columns, the GPU's kernel takes at most 4194240", name, columns);
    out->parts = clamp(ceil_div(rows, 8 * height), 1, clamp(column_blocks / tiles, 1, column_blocks));
    MT_TRY(workspace(c, out->parts * Q * columns, &out->part));
    return launch(
        c, name, column_kernel<Q, Value>, grid(out->parts, tiles), column_threads, 0, rows, columns, value, out->part);
}

} // namespace mt
#endif
