// Observation and reward normalisation on the GPU.
//   running_update: (B, C) rows into fp64 running statistics. One pass: sums of d = x - x[0] and d² in fp64, whose
//   shift by the batch's first row keeps the digits of a large mean; then mean, M2 and one merge (Chan, Golub & LeVeque
//   1979) by column. Fixed order (columns.cuh). Bytes: 4 B C read. running_merge, running_scale: as kernels/running.c,
//   a thread a column. normalise: y = clip((x - mean)·inv_std, ±clip), elementwise, a NaN stays a NaN; y may be x.
//   Bytes: 4 B C read, 4 B C written.
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/vmath.cuh"

namespace {
using namespace mt;

struct moments_value {
    const float *x;
    int columns;
    __device__ auto of(int column) const {
        return [x = x + column, columns = columns, shift = (double)x[column]](int64_t row, double(&sum)[2]) {
            double d = (double)x[row * columns] - shift;
            sum[0] += d;
            sum[1] = fma(d, d, sum[1]);
        };
    }
};

__device__ __forceinline__ void merge_column(
    double *mean, double *m2, double count, double other_count, double other_mean, double other_m2) {
    double weight = other_count / (count + other_count), delta = other_mean - *mean;
    *mean += delta * weight;
    *m2 += other_m2 + delta * delta * (count * weight);
}

// columns C .. 2 C - 1 of the fold are the sums of squares; both of a column are needed: a fold of pairs
constexpr int threads = 256, merge_height = 32, merge_width = 16;
__global__ void __launch_bounds__(merge_height *merge_width) update_kernel(int64_t parts, int columns,
    const double *part, const float *x, double rows, double count, double *mean, double *m2) {
    MT_SHARED(double, sums, [2][merge_height][merge_width]);
    int column = (int)blockIdx.x * merge_width + (int)threadIdx.x;
    double sum[2] = {};
    if (column < columns)
#pragma unroll 4
        for (int64_t p = threadIdx.y; p < parts; p += merge_height)
#pragma unroll
            for (int q = 0; q < 2; q++) sum[q] += part[(2 * p + q) * columns + column];
    for (int q = 0; q < 2; q++) sums[q][threadIdx.y][threadIdx.x] = sum[q];
    for (int half = merge_height / 2; half; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.y < half)
            for (int q = 0; q < 2; q++) sums[q][threadIdx.y][threadIdx.x] += sums[q][threadIdx.y + half][threadIdx.x];
    }
    if (threadIdx.y || column >= columns) return;
    double shift = sums[0][0][threadIdx.x] / rows, about = sums[1][0][threadIdx.x] - sums[0][0][threadIdx.x] * shift;
    merge_column(mean + column, m2 + column, count, rows, (double)x[column] + shift, about < 0 ? 0 : about);
}

__global__ void __launch_bounds__(threads) merge_kernel(int columns, double count, double *mean, double *m2,
    double other_count, const double *other_mean, const double *other_m2) {
    int column = (int)blockIdx.x * threads + (int)threadIdx.x;
    if (column < columns)
        merge_column(mean + column, m2 + column, count, other_count, other_mean[column], other_m2[column]);
}

__global__ void __launch_bounds__(threads) scale_kernel(
    int columns, double count, const double *mean, const double *m2, double eps, float *mean_out, float *inv_std) {
    int column = (int)blockIdx.x * threads + (int)threadIdx.x;
    if (column >= columns) return;
    // before the first row: mean 0, variance 1
    double var = count > 0 ? m2[column] / count : 1.0;
    mean_out[column] = count > 0 ? (float)mean[column] : 0.0f;
    inv_std[column] = (float)(1.0 / sqrt(var + eps));
}

// by fours: Whole when C is a multiple of 4, so that four elements have neighbouring columns and never wrap
template <bool Whole> struct normalise_op {
    const float *mean, *inv_std, *x;
    float *y;
    float clip;
    uint32_t columns;
    template <int N> __device__ void at(int64_t i) const {
        auto v = load<N>(x + i);
        uint32_t column = (uint32_t)((uint64_t)i % columns);
        pack<float, N> m, s;
        if constexpr (Whole && N == 4) {
            m = load<N>(mean + column), s = load<N>(inv_std + column);
        } else {
#pragma unroll
            for (int k = 0; k < N; k++) {
                m.at[k] = mean[column], s.at[k] = inv_std[column];
                column = column + 1 == columns ? 0 : column + 1;
            }
        }
#pragma unroll
        for (int k = 0; k < N; k++) v.at[k] = clamped((v.at[k] - m.at[k]) * s.at[k], -clip, clip);
        store<N>(y + i, v);
    }
};

} // namespace

mt_status mt_cuda_running_update(const mt_cuda *c, mt_running *stats, int64_t rows, const float *x) {
    if (rows < 1 || stats->columns < 1) return MT_OK;
    column_parts p = {};
    MT_TRY(column_sums<2>(c, "running_update", rows, stats->columns, moments_value{x, stats->columns}, &p));
    MT_TRY(launch(c, "running_update, second pass", update_kernel, grid(ceil_div(stats->columns, merge_width)),
        dim3(merge_width, merge_height), 0, p.parts, stats->columns, p.part, x, (double)rows, stats->count, stats->mean,
        stats->m2));
    stats->count += (double)rows;
    return MT_OK;
}

mt_status mt_cuda_running_merge(const mt_cuda *c, mt_running *into, const mt_running *from) {
    MT_ASSERT(into->columns == from->columns);
    if (from->count <= 0 || into->columns < 1) return MT_OK;
    MT_TRY(launch(c, "running_merge", merge_kernel, grid(ceil_div(into->columns, threads)), threads, 0, into->columns,
        into->count, into->mean, into->m2, from->count, from->mean, from->m2));
    into->count += from->count;
    return MT_OK;
}

mt_status mt_cuda_running_scale(const mt_cuda *c, const mt_running *stats, double eps, float *mean, float *inv_std) {
    if (stats->columns < 1) return MT_OK;
    return launch(c, "running_scale", scale_kernel, grid(ceil_div(stats->columns, threads)), threads, 0, stats->columns,
        stats->count, stats->mean, stats->m2, eps, mean, inv_std);
}

mt_status mt_cuda_normalise(const mt_cuda *c, int64_t rows, int columns, const float *mean, const float *inv_std,
    float clip, const float *x, float *y) {
    int64_t count = rows * columns;
    if (columns % 4 == 0 && aligned(mean, inv_std))
        return each(
            c, "normalise", count, aligned(x, y), normalise_op<true>{mean, inv_std, x, y, clip, (uint32_t)columns});
    return each(
        c, "normalise", count, aligned(x, y), normalise_op<false>{mean, inv_std, x, y, clip, (uint32_t)columns});
}
