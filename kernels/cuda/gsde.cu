// State-dependent exploration (gSDE, Raffin, Kober & Stulp 2021) on the GPU, as Stable-Baselines3 computes it:
//   log_std:          var[b,a] = Σ_l h[b,l]² exp(2 s[l,a]) + 1e-6,  out[b,a] = ½ log var[b,a]
//   log_std_backward: ds[l,a] = exp(2 s[l,a]) Σ_b d[b,a] h[b,l]² / var[b,a]
//   noise:            out[b,a] = Σ_l h[b,l] matrix[b,l,a]
// Shapes: h (B, L), s and ds (L, A), out and d (B, A), matrix (B, L, A). A thread has a
// row, or a warp for the noise: a row's result knows of no other row, sums over l have one fixed order; ds sums rows by
// blocks, whose number depends on the shape alone. Bytes moved: 4 (L + A) a
// row (backward 4 (L + 2 A)); noise 4 (L + L A + A) a row.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vmath.cuh"

namespace {
using namespace mt;

// ---- log_std: a thread has a row and 8 components; 32 units of 128 rows at a time stand in shared memory

constexpr int rows_of_block = 128, units = 32, dims = 8; // units: a warp's lanes

// 8 values that all threads of a warp read are two loads
__device__ __forceinline__ void add_products(float x, const float4 (&v)[dims / 4], float (&sum)[dims]) {
    sum[0] = fmaf(x, v[0].x, sum[0]), sum[1] = fmaf(x, v[0].y, sum[1]), sum[2] = fmaf(x, v[0].z, sum[2]),
    sum[3] = fmaf(x, v[0].w, sum[3]);
    sum[4] = fmaf(x, v[1].x, sum[4]), sum[5] = fmaf(x, v[1].y, sum[5]), sum[6] = fmaf(x, v[1].z, sum[6]),
    sum[7] = fmaf(x, v[1].w, sum[7]);
}

__global__ void __launch_bounds__(rows_of_block, 8)
    log_std_kernel(int64_t rows, int latent, int dim, const float *h, const float *log_std, float *out) {
    MT_SHARED(float, tile, [rows_of_block][units + 1]);
    MT_SHARED(float4, variance, [units][dims / 4]);
    const int64_t first_row = (int64_t)blockIdx.x * rows_of_block, b = first_row + threadIdx.x;
    for (int first = 0; first < dim; first += dims) {
        float sum[dims] = {};
        for (int l0 = 0; l0 < latent; l0 += units) {
            __syncthreads();
            // a warp has every fourth row; its loads are on their way together, eight at a time
            const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
            const float *from = h + first_row * latent + l0 + lane;
#pragma unroll
            for (int r0 = warp; r0 < rows_of_block; r0 += 8 * 4) {
                float x[8];
#pragma unroll
                for (int j = 0; j < 8; j++)
                    x[j] = first_row + r0 + 4 * j < rows && l0 + lane < latent ? from[(int64_t)(r0 + 4 * j) * latent]
                                                                               : 0.0f;
#pragma unroll
                for (int j = 0; j < 8; j++) tile[r0 + 4 * j][lane] = x[j];
            }
            for (int i = (int)threadIdx.x; i < units * dims; i += rows_of_block) {
                int l = l0 + i / dims, a = first + i % dims;
                reinterpret_cast<float *>(variance)[i] =
                    l < latent && a < dim ? mt::exp(2.0f * log_std[(int64_t)l * dim + a]) : 0.0f;
            }
            __syncthreads();
#pragma unroll 8
            for (int l = 0; l < units; l++) {
                float x = tile[threadIdx.x][l], square = x * x;
                add_products(square, variance[l], sum);
            }
        }
        if (b >= rows) continue;
#pragma unroll
        for (int a = 0; a < dims; a++)
            if (first + a < dim) out[b * dim + first + a] = 0.5f * mt::log(sum[a] + 1e-6f);
    }
}

// ---- backward: a block has every so many 32 rows, a width of units and 8 components; its lines of threads share the
// rows

constexpr int back_threads = 256, back_rows = 32, chunks_most = 512;
constexpr int64_t parts_floats = 1 << 20; // sums between the launches: at most 8 MiB, or one chunk

// Lines of `back_threads / Lines` threads, a unit each. part: (chunks, L·A) as ds, without exp(2 s)
template <int Lines>
__global__ void __launch_bounds__(back_threads) backward_kernel(int64_t rows, int latent, int dim, const float *h,
    const float *row_log_std, const float *d_row_log_std, double *part) {
    constexpr int width = back_threads / Lines, mine = back_rows / Lines;
    MT_SHARED(float4, coefficient, [back_rows][dims / 4]);
    MT_SHARED(float, sums, [back_threads][dims + 1]);
    const int at = (int)threadIdx.x, line = at / width, l = (int)blockIdx.y * width + at % width,
              first = (int)blockIdx.z * dims;
    float sum[dims] = {};
    for (int64_t b = (int64_t)blockIdx.x * back_rows; b < rows; b += (int64_t)gridDim.x * back_rows) {
        float x[mine];
#pragma unroll
        for (int j = 0; j < mine; j++) {
            int64_t row = b + line + j * Lines;
            x[j] = row < rows && l < latent ? h[row * latent + l] : 0.0f;
        }
        __syncthreads(); // the coefficients before have been read
        for (int i = at; i < back_rows * dims; i += back_threads) {
            int64_t row = b + i / dims;
            int a = first + i % dims;
            bool live = row < rows && a < dim;
            reinterpret_cast<float *>(coefficient)[i] =
                live ? d_row_log_std[row * dim + a] * mt::exp(-2.0f * row_log_std[row * dim + a]) : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int j = 0; j < mine; j++) add_products(x[j] * x[j], coefficient[line + j * Lines], sum);
    }
#pragma unroll
    for (int a = 0; a < dims; a++) sums[at][a] = sum[a];
    __syncthreads();
    if (line || l >= latent) return;
    for (int a = 0; a < dims && first + a < dim; a++) {
        double total = 0;
        for (int i = 0; i < Lines; i++) total += (double)sums[i * width + at][a];
        part[((int64_t)blockIdx.x * latent + l) * dim + first + a] = total;
    }
}

struct fold_to_log_std {
    int accumulate;
    const float *log_std;
    float *d_log_std;
    __device__ void operator()(int i, double total) const {
        fold_to_float{d_log_std, accumulate}(i, total * (double)mt::exp(2.0f * log_std[i]));
    }
};

// ---- noise: a warp has a row; its lanes stand on g·A neighbouring elements of the matrix, g units l at a time

constexpr int noise_threads = 128;
__global__ void __launch_bounds__(noise_threads)
    noise_kernel(int64_t rows, int latent, int dim, const float *h, const float *matrix, float *noise) {
    const int lane = (int)threadIdx.x % 32;
    const int64_t b = (int64_t)blockIdx.x * (noise_threads / 32) + threadIdx.x / 32;
    if (b >= rows) return;
    const float *x = h + b * latent, *m = matrix + b * latent * dim;
    for (int first = 0; first < dim; first += 32) {
        const int width = dim - first < 32 ? dim - first : 32, together = 32 / width, unit_at = lane / width,
                  a = first + lane % width;
        float sum = 0;
        if (unit_at < together)
#pragma unroll 8
            for (int l = unit_at; l < latent; l += together) sum = fmaf(x[l], m[(int64_t)l * dim + a], sum);
        float total = sum;
        for (int u = 1; u < together; u++) total += __shfl_sync(0xffffffffu, sum, (lane + u * width) % 32);
        if (lane < width) noise[b * dim + a] = total;
    }
}

// elements of a row are counted in 32 bits, all of them in Place
template <class Place> struct matrix_op {
    const float *z, *log_std;
    float *matrix;
    int64_t z_stride;
    Place count;
    template <int N> __device__ void at(int64_t i) const {
        Place row = (Place)i / count, column = (Place)i - row * count;
        auto x = load<N>(z + row * z_stride + column), s = load<N>(log_std + column);
#pragma unroll
        for (int k = 0; k < N; k++) x.at[k] *= mt::exp(s.at[k]);
        store<N>(matrix + i, x);
    }
};

} // namespace

mt_status mt_cuda_gsde_log_std(
    const mt_cuda *c, int64_t rows, int latent, int dim, const float *h, const float *log_std, float *row_log_std) {
    if (rows < 1 || dim < 1) return MT_OK;
    return launch(c, "gsde_log_std", log_std_kernel, grid(ceil_div(rows, rows_of_block)), rows_of_block, 0, rows,
        latent, dim, h, log_std, row_log_std);
}

mt_status mt_cuda_gsde_log_std_backward(const mt_cuda *c, int64_t rows, int latent, int dim, const float *h,
    const float *log_std, const float *row_log_std, const float *d_row_log_std, float *d_log_std, int accumulate) {
    if (latent < 1 || dim < 1) return MT_OK;
    int64_t size = (int64_t)latent * dim, chunks = clamp(ceil_div(rows, 4 * back_rows), 1, chunks_most);
    if (size > INT32_MAX)
        return MT_FAIL(UNSUPPORTED, "gsde_log_std_backward: %lld parameters, at most 2^31", (long long)size);
    int width = latent <= 32 ? 32 : latent <= 64 ? 64 : 128;
    chunks = clamp(parts_floats / size, 1, chunks);
    double *part;
    MT_TRY(workspace(c, chunks * size, &part));
    auto kernel = width == 32 ? backward_kernel<8> : width == 64 ? backward_kernel<4> : backward_kernel<2>;
    MT_TRY(launch(c, "gsde_log_std_backward", kernel, grid(chunks, ceil_div(latent, width), ceil_div(dim, dims)),
        back_threads, 0, rows, latent, dim, h, row_log_std, d_row_log_std, part));
    return fold(c, "gsde_log_std_backward, second pass", chunks, (int)size, part,
        fold_to_log_std{accumulate, log_std, d_log_std});
}

mt_status mt_cuda_gsde_noise(
    const mt_cuda *c, int64_t rows, int latent, int dim, const float *h, const float *matrix, float *noise) {
    if (rows < 1 || dim < 1) return MT_OK;
    return launch(c, "gsde_noise", noise_kernel, grid(ceil_div(rows, noise_threads / 32)), noise_threads, 0, rows,
        latent, dim, h, matrix, noise);
}

mt_status mt_cuda_gsde_matrix(const mt_cuda *c, int64_t rows, int64_t count, const float *z, int64_t z_stride,
    const float *log_std, float *matrix) {
    bool by_four = aligned(z, log_std, matrix) && ((count | z_stride) & 3) == 0;
    if (rows * count < UINT32_MAX)
        return each(c, "gsde_matrix", rows * count, by_four, matrix_op<uint32_t>{z, log_std, matrix, z_stride, (uint32_t)count});
    return each(c, "gsde_matrix", rows * count, by_four, matrix_op<int64_t>{z, log_std, matrix, z_stride, count});
}
