// y (B, N, M) (+)= x (B, M, N) turned within each row, on the GPU: channels-last images to PyTorch's order of flattening and back,
// and a convolution's filters to the library's order and back. A block turns a tile of 32 × 32 by way of shared memory, so that
// reads and writes are both in memory order.
// Bytes moved: 8 an element, 12 where it is added. Each element on its own: deterministic. Not in place.
#include "kernels/cuda/launch.cuh"

namespace {
using namespace mt;

constexpr int tile = 32, tile_rows = 8; // threads: (tile, tile_rows)

template <bool Add>
__global__ void __launch_bounds__(tile *tile_rows)
    turn_kernel(int64_t m, int64_t n, unsigned tiles_m, unsigned tiles_n, const float *x, float *y) {
    MT_SHARED(float, at, [tile][tile + 1]); // a column of it is in 32 banks
    const unsigned line = blockIdx.x / tiles_n, row = line / tiles_m;
    const int64_t first_m = (int64_t)(line - row * tiles_m) * tile, first_n = (int64_t)(blockIdx.x - line * tiles_n) * tile;
    x += row * m * n, y += row * m * n;
    for (int k = (int)threadIdx.y; k < tile; k += tile_rows) {
        int64_t i = first_m + k, j = first_n + threadIdx.x;
        if (i < m && j < n) at[k][threadIdx.x] = x[i * n + j];
    }
    __syncthreads();
    for (int k = (int)threadIdx.y; k < tile; k += tile_rows) {
        int64_t i = first_m + threadIdx.x, j = first_n + k;
        if (i >= m || j >= n) continue;
        float *to = y + j * m + i, value = at[threadIdx.x][k];
        *to = Add ? *to + value : value;
    }
}

} // namespace

mt_status mt_cuda_turn(const mt_cuda *c, int64_t rows, int64_t m, int64_t n, const float *x, float *y, int accumulate) {
    int64_t tiles_m = ceil_div(m, tile), tiles_n = ceil_div(n, tile), blocks = rows * tiles_m * tiles_n;
    if (blocks < 1) return MT_OK;
    if (blocks > INT32_MAX)
        return MT_FAIL(UNSUPPORTED, "turn: %lld rows of %lld x %lld are more than one launch on the GPU takes", (long long)rows,
            (long long)m, (long long)n);
    return launch(c, "turn", accumulate ? turn_kernel<true> : turn_kernel<false>, grid(blocks), dim3(tile, tile_rows), 0, m, n,
        tiles_m, tiles_n, x, y);
}
