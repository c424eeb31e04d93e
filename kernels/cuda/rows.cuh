// Rows of a matrix, one a thread: what distributions and losses work on. A row's arithmetic is then the CPU's, in the
// same order, and knows of no other row. 128 rows stand in shared memory, loaded and stored in memory order by 16
// bytes, because rows read by a thread each would touch a line a thread. They stand as in memory where at most two of a
// warp's rows begin in one bank (a row length not divisible by 4), else a float further apart. Rows too wide for that
// are read where they are.
#ifndef MANTA_KERNELS_CUDA_ROWS_CUH
#define MANTA_KERNELS_CUDA_ROWS_CUH

#include "kernels/cuda/launch.cuh"

namespace mt {

constexpr int tile_rows = 128; // and threads of a block
constexpr size_t shared_most = 47 * 1024; // of 48 KiB: a kernel's own variables stand there too

__host__ __device__ inline int tile_stride(int columns) { return columns % 4 ? columns : columns + 1; }
__host__ __device__ inline size_t tile_bytes(int columns) {
    return sizeof(float) * (size_t)tile_rows * (size_t)tile_stride(columns);
}

// element by element: visit(i, slot) for place i in memory order, slot in the tile
template <class Visit> __device__ __forceinline__ void tile_each(int from, int rows, int columns, Visit visit) {
    const int stride = tile_stride(columns);
    for (int i = from + (int)threadIdx.x; i < rows * columns; i += tile_rows)
        visit(i, i / columns * stride + i % columns);
}
// by fours: v = read(i, slot) for four batches of a thread, then write(i, slot, v), so that loads are on their way
// together. Four neighbours are in one row, or rows follow each other without a gap. What is left of the count:
// tile_each
template <class Read, class Write>
__device__ __forceinline__ void tile_fours(int rows, int columns, Read read, Write write) {
    const bool gaps = columns % 4 == 0;
    const int count = rows * columns;
    for (int first = 4 * (int)threadIdx.x; first + 4 <= count; first += 16 * tile_rows) {
        pack<float, 4> v[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int i = first + 4 * j * tile_rows;
            if (i + 4 <= count) v[j] = read(i, gaps ? i + i / columns : i);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int i = first + 4 * j * tile_rows;
            if (i + 4 <= count) write(i, gaps ? i + i / columns : i, v[j]);
        }
    }
}

__device__ __forceinline__ void tile_load(float *tile, const float *from, int rows, int columns) {
    if (reinterpret_cast<uintptr_t>(from) % 16) {
        tile_each(0, rows, columns, [&](int i, int slot) { tile[slot] = from[i]; });
        return;
    }
    auto read = [&](int i, int) { return load<4>(from + i); };
    if (columns % 4)
        tile_fours(rows, columns, read, [&](int, int slot, const pack<float, 4> &v) { store<4>(tile + slot, v); });
    else
        tile_fours(rows, columns, read, [&](int, int slot, const pack<float, 4> &v) {
#pragma unroll
            for (int k = 0; k < 4; k++) tile[slot + k] = v.at[k];
        });
    tile_each(rows * columns & ~3, rows, columns, [&](int i, int slot) { tile[slot] = from[i]; });
}
__device__ __forceinline__ void tile_store(float *to, const float *tile, int rows, int columns) {
    if (reinterpret_cast<uintptr_t>(to) % 16) {
        tile_each(0, rows, columns, [&](int i, int slot) { to[i] = tile[slot]; });
        return;
    }
    auto write = [&](int i, int, const pack<float, 4> &v) { store<4>(to + i, v); };
    if (columns % 4)
        tile_fours(
            rows, columns, [&](int, int slot) { return load<4>(tile + slot); }, write);
    else
        tile_fours(
            rows, columns,
            [&](int, int slot) {
                return pack<float, 4>{tile[slot], tile[slot + 1], tile[slot + 2], tile[slot + 3]};
            },
            write);
    tile_each(rows * columns & ~3, rows, columns, [&](int i, int slot) { to[i] = tile[slot]; });
}

inline int64_t tile_count(int64_t rows) { return ceil_div(rows, tile_rows); }

} // namespace mt
#endif
