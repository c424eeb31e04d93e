// Layer normalisation (Ba et al. 2016) on the GPU, PyTorch's: population variance, eps 1e-5.
//   forward:  xhat = (x - mean) · inv_std,  y = xhat ∘ gain + bias,  inv_std = 1/√(var + eps), mean and var over a row
//   backward: with u = dy ∘ gain:  dx = inv_std · (u - mean(u) - xhat · mean(u ∘ xhat)),  dgain = Σ_B dy ∘ xhat,
//             dbias = Σ_B dy
// Shapes: x, y, xhat, dy, dx (B, C); gain, bias, dgain, dbias (C); inv_std (B). y may be x, dx may be dy.
//
// Rows of up to 512 columns (backward 2048) stand in registers and memory is read once: narrow ones share a warp,
// backward ones of more than 256 columns have a block. dgain and dbias are summed on the way, by thread over its rows,
// then over threads and blocks in fp64 in a second, small launch. Wider rows take a block each and are read again from
// cache; their sums over rows are a pass of their own. Fixed order throughout, a row of y, xhat, dx knows of no other.
// Bytes moved: forward 4 B C read, 8 B C written; backward 8 B C read, 4 B C written.
#include "kernels/cuda/columns.cuh"

namespace {
using namespace mt;

constexpr float eps = 1e-5f;
constexpr int threads = 256, warps = threads / 32, forward_columns = 512, warp_columns = 256, backward_columns = 2048,
              backward_blocks = 512;
constexpr int block_threads = 128; // of a row's block, backward: four warps, whose sums are one load

// Σ of Q quantities over groups of `width` neighbouring lanes (a power of two), by halves; in each of them. All
// quantities a step together, so that the exchanges' latencies overlap
template <int Q> __device__ __forceinline__ void group_sums(float (&x)[Q], int width) {
    for (int offset = width / 2; offset; offset /= 2)
#pragma unroll
        for (int q = 0; q < Q; q++) x[q] += __shfl_xor_sync(0xffffffffu, x[q], offset);
}
// lanes that share a row: at most four columns a lane as long as that is fewer than 32
inline int group_width(int columns) {
    int width = 1;
    while (4 * width < columns && width < 32) width *= 2;
    return width;
}

// ---- rows in registers: N columns a lane, and several rows at a time where they are narrow: bytes on their way are
// what counts

template <int N, int Together>
__global__ void __launch_bounds__(threads) forward_kernel(int64_t rows, int columns, int width, const float *x,
    const float *gain, const float *bias, float *y, float *xhat, float *inv_std) {
    const int lane = (int)threadIdx.x % width, groups = threads / width;
    const int64_t first = (int64_t)blockIdx.x * (groups * Together) + threadIdx.x / width;
    float v[Together][N];
#pragma unroll
    for (int r = 0; r < Together; r++)
#pragma unroll
        for (int j = 0; j < N; j++) {
            int64_t row = first + r * groups;
            v[r][j] = row < rows && lane + j * width < columns ? x[row * columns + lane + j * width] : 0.0f;
        }
    float sum[Together] = {}, square[Together] = {};
#pragma unroll
    for (int r = 0; r < Together; r++)
#pragma unroll
        for (int j = 0; j < N; j++) sum[r] += v[r][j];
    group_sums(sum, width);
#pragma unroll
    for (int r = 0; r < Together; r++) {
        const float mean = sum[r] / (float)columns;
#pragma unroll
        for (int j = 0; j < N; j++) {
            v[r][j] -= mean;
            square[r] = lane + j * width < columns ? fmaf(v[r][j], v[r][j], square[r]) : square[r];
        }
    }
    group_sums(square, width);
#pragma unroll
    for (int r = 0; r < Together; r++) {
        const int64_t row = first + r * groups, at = row * columns;
        const float scale = 1.0f / sqrtf(square[r] / (float)columns + eps);
        if (row >= rows) continue;
        if (lane == 0) inv_std[row] = scale;
#pragma unroll
        for (int j = 0; j < N; j++) {
            int column = lane + j * width;
            if (column >= columns) continue;
            float h = v[r][j] * scale;
            xhat[at + column] = h;
            y[at + column] = fmaf(h, gain[column], bias[column]);
        }
    }
}

// Σ of Q quantities over the threads that share a row, in each of them; a block's alternate between two places in
// shared memory, so that one barrier a sum is enough
template <bool Block, int Q> __device__ __forceinline__ void row_sums(float (&x)[Q], int width, int turn) {
    if constexpr (!Block) {
        group_sums(x, width);
    } else {
        MT_SHARED(float4, part, [2][Q]); // a warp each
        group_sums(x, 32);
        if (threadIdx.x % 32 == 0)
#pragma unroll
            for (int q = 0; q < Q; q++) reinterpret_cast<float *>(&part[turn][q])[threadIdx.x / 32] = x[q];
        __syncthreads();
#pragma unroll
        for (int q = 0; q < Q; q++) {
            float4 p = part[turn][q];
            x[q] = (p.x + p.y) + (p.z + p.w);
        }
    }
}

// `width` threads share a row (a block's all, or a power of two of a warp's), N columns each, and take `together` rows
// at a time. part: (blocks, 2 C): dgain, dbias
template <int N, bool Block>
__global__ void __launch_bounds__(Block ? block_threads : threads, 4) backward_kernel(int64_t rows, int columns,
    int width, const float *dy, const float *gain, const float *xhat, const float *inv_std, float *dx, double *part) {
    constexpr int together = Block ? 16 / N : 8 / N, block = Block ? block_threads : threads;
    const int lane = (int)threadIdx.x % width, groups = block / width;
    const int64_t step = (int64_t)gridDim.x * groups;
    float g[N], dgain[N] = {}, dbias[N] = {};
#pragma unroll
    for (int j = 0; j < N; j++) g[j] = lane + j * width < columns ? gain[lane + j * width] : 0.0f;
    // all threads go round as often: sums need every one of them
    int64_t rounds = (rows + together * step - 1) / (together * step),
            row = (int64_t)blockIdx.x * groups + threadIdx.x / width;
    for (int64_t round = 0; round < rounds; round++, row += together * step) {
        float d[together][N], h[together][N], sums[2 * together] = {};
#pragma unroll
        for (int r = 0; r < together; r++)
#pragma unroll
            for (int j = 0; j < N; j++) {
                bool here = row + r * step < rows && lane + j * width < columns;
                int64_t at = (row + r * step) * columns + lane + j * width;
                d[r][j] = here ? dy[at] : 0.0f;
                h[r][j] = here ? xhat[at] : 0.0f;
            }
#pragma unroll
        for (int r = 0; r < together; r++)
#pragma unroll
            for (int j = 0; j < N; j++) {
                float u = d[r][j] * g[j];
                sums[2 * r] += u;
                sums[2 * r + 1] = fmaf(u, h[r][j], sums[2 * r + 1]);
                dgain[j] = fmaf(d[r][j], h[r][j], dgain[j]);
                dbias[j] += d[r][j];
            }
        row_sums<Block>(sums, width, (int)round & 1);
#pragma unroll
        for (int r = 0; r < together; r++) {
            if (row + r * step >= rows) continue;
            const float mean = sums[2 * r] / (float)columns, slope = sums[2 * r + 1] / (float)columns,
                        scale = inv_std[row + r * step];
#pragma unroll
            for (int j = 0; j < N; j++)
                if (lane + j * width < columns)
                    dx[(row + r * step) * columns + lane + j * width] =
                        scale * (d[r][j] * g[j] - mean - h[r][j] * slope);
        }
    }
    double *mine = part + (int64_t)blockIdx.x * 2 * columns;
    if constexpr (Block) { // a thread has its columns to itself
#pragma unroll
        for (int j = 0; j < N; j++)
            if (lane + j * width < columns)
                mine[lane + j * width] = (double)dgain[j], mine[columns + lane + j * width] = (double)dbias[j];
    } else { // groups of a warp, then warps
        MT_SHARED(float, sums, [warps][2][32 * N]);
#pragma unroll
        for (int j = 0; j < N; j++) {
            for (int offset = 16; offset >= width; offset /= 2) {
                dgain[j] += __shfl_xor_sync(0xffffffffu, dgain[j], offset);
                dbias[j] += __shfl_xor_sync(0xffffffffu, dbias[j], offset);
            }
            if ((int)threadIdx.x % 32 < width && lane + j * width < columns) {
                sums[threadIdx.x / 32][0][lane + j * width] = dgain[j];
                sums[threadIdx.x / 32][1][lane + j * width] = dbias[j];
            }
        }
        __syncthreads();
        for (int i = (int)threadIdx.x; i < 2 * columns; i += threads) {
            int q = i >= columns, column = i - q * columns;
            double sum = 0;
            for (int w = 0; w < warps; w++) sum += (double)sums[w][q][column];
            mine[i] = sum;
        }
    }
}

struct fold_to_gain_and_bias {
    int columns, accumulate;
    float *dgain, *dbias;
    __device__ void operator()(int i, double total) const {
        if (i < columns)
            fold_to_float{dgain, accumulate}(i, total);
        else
            fold_to_float{dbias, accumulate}(i - columns, total);
    }
};

// ---- rows wider than that: a block each

// the block's sums, in all threads
template <int Q> __device__ __forceinline__ void shared_sum(float (&x)[Q]) {
    MT_SHARED(float, total, [Q]);
    block_sum<Q, threads>(x);
    if (threadIdx.x == 0)
        for (int q = 0; q < Q; q++) total[q] = x[q];
    __syncthreads();
    for (int q = 0; q < Q; q++) x[q] = total[q];
}

__global__ void __launch_bounds__(threads) wide_forward_kernel(
    int columns, const float *x, const float *gain, const float *bias, float *y, float *xhat, float *inv_std) {
    const int64_t at = (int64_t)blockIdx.x * columns;
    float sum[1] = {}, square[1] = {};
    for (int c = (int)threadIdx.x; c < columns; c += threads) sum[0] += x[at + c];
    shared_sum(sum);
    const float mean = sum[0] / (float)columns;
    for (int c = (int)threadIdx.x; c < columns; c += threads)
        square[0] = fmaf(x[at + c] - mean, x[at + c] - mean, square[0]);
    shared_sum(square);
    const float scale = 1.0f / sqrtf(square[0] / (float)columns + eps);
    if (threadIdx.x == 0) inv_std[blockIdx.x] = scale;
    for (int c = (int)threadIdx.x; c < columns; c += threads) {
        float h = (x[at + c] - mean) * scale;
        xhat[at + c] = h;
        y[at + c] = fmaf(h, gain[c], bias[c]);
    }
}

__global__ void __launch_bounds__(threads) wide_backward_kernel(
    int columns, const float *dy, const float *gain, const float *xhat, const float *inv_std, float *dx) {
    const int64_t at = (int64_t)blockIdx.x * columns;
    float sums[2] = {};
    for (int c = (int)threadIdx.x; c < columns; c += threads) {
        float u = dy[at + c] * gain[c];
        sums[0] += u;
        sums[1] = fmaf(u, xhat[at + c], sums[1]);
    }
    shared_sum(sums);
    const float mean = sums[0] / (float)columns, slope = sums[1] / (float)columns, scale = inv_std[blockIdx.x];
    for (int c = (int)threadIdx.x; c < columns; c += threads)
        dx[at + c] = scale * (dy[at + c] * gain[c] - mean - xhat[at + c] * slope);
}

struct gain_and_bias_value {
    const float *dy, *xhat;
    int columns;
    __device__ auto of(int column) const {
        return [dy = dy + column, xhat = xhat + column, columns = columns](int64_t row, double(&sum)[2]) {
            float d = dy[row * columns];
            sum[0] = fma((double)d, (double)xhat[row * columns], sum[0]);
            sum[1] += (double)d;
        };
    }
};

} // namespace

mt_status mt_cuda_layer_norm_forward(const mt_cuda *c, int64_t rows, int columns, const float *x, const float *gain,
    const float *bias, float *y, float *xhat, float *inv_std) {
    if (rows < 1 || columns < 1) return MT_OK;
    if (columns > forward_columns)
        return launch(c, "layer_norm_forward", wide_forward_kernel, grid(rows), threads, 0, columns, x, gain, bias, y,
            xhat, inv_std);
    int width = group_width(columns), together = columns <= 32 ? 4 : columns <= 128 ? 2 : 1;
    auto kernel = columns <= 32    ? forward_kernel<4, 4>
                  : columns <= 128 ? forward_kernel<4, 2>
                  : columns <= 256 ? forward_kernel<8, 1>
                                   : forward_kernel<16, 1>;
    return launch(c, "layer_norm_forward", kernel, grid(ceil_div(rows, together * (threads / width))), threads, 0, rows,
        columns, width, x, gain, bias, y, xhat, inv_std);
}

mt_status mt_cuda_layer_norm_backward(const mt_cuda *c, int64_t rows, int columns, const float *dy, const float *gain,
    const float *xhat, const float *inv_std, float *dx, float *dgain, float *dbias, int accumulate) {
    if (columns < 1) return MT_OK;
    fold_to_gain_and_bias finish = {columns, accumulate, dgain, dbias};
    if (columns > backward_columns) {
        // the sums first: dx may then overwrite dy
        column_parts p = {};
        MT_TRY(column_sums<2>(
            c, "layer_norm_backward, gain and bias", rows, columns, gain_and_bias_value{dy, xhat, columns}, &p));
        MT_TRY(fold(c, "layer_norm_backward, second pass", p.parts, 2 * columns, p.part, finish));
        if (rows < 1) return MT_OK;
        return launch(c, "layer_norm_backward", wide_backward_kernel, grid(rows), threads, 0, columns, dy, gain, xhat,
            inv_std, dx);
    }
    bool block = columns > warp_columns;
    int width = block ? block_threads : group_width(columns), block_size = block ? block_threads : threads;
    int64_t blocks = clamp(ceil_div(rows, 4 * block_size / width), 1, backward_blocks);
    double *part;
    MT_TRY(workspace(c, blocks * 2 * columns, &part));
    auto kernel = columns <= 128            ? backward_kernel<4, false>
                  : columns <= warp_columns ? backward_kernel<8, false>
                  : columns <= 512          ? backward_kernel<4, true>
                  : columns <= 1024         ? backward_kernel<8, true>
                                            : backward_kernel<16, true>;
    MT_TRY(launch(c, "layer_norm_backward", kernel, grid(blocks), block_size, 0, rows, columns, width, dy, gain, xhat,
        inv_std, dx, part));
    return fold(c, "layer_norm_backward, second pass", blocks, 2 * columns, part, finish);
}
