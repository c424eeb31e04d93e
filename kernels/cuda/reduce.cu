// Sums over (count) floats on the GPU, into device memory, and y += alpha·x.
//   sum Σ x,  sum_squares Σ x²,  mean_var (mean and population variance, two passes),  count_nonfinite (NaN or ±inf),
//   column_sums (C) (+)= Σ_B x (B, C)
// Fixed order (sums.cuh), fp64 from the first addition on.
// Bytes moved: 4 · count read (mean_var twice that; axpy 8 read, 4 written an element).
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sums.cuh"

namespace {
using namespace mt;

struct plain_value {
    __device__ void operator()(float x, double &sum) const { sum += (double)x; }
};
struct square_about_value { // about the mean that an earlier launch left in device memory
    const double *mean;
    __device__ void operator()(float x, double &sum) const {
        double d = (double)x - *mean;
        sum = fma(d, d, sum);
    }
};
struct nonfinite_value {
    __device__ void operator()(float x, long long &sum) const { sum += (__float_as_int(x) & 0x7f800000) == 0x7f800000; }
};

struct store_sum {
    double *to;
    __device__ void operator()(double total) const { *to = total; }
};
struct store_quotient {
    double *to, divisor;
    __device__ void operator()(double total) const { *to = total / divisor; }
};
struct store_count {
    int64_t *to;
    __device__ void operator()(long long total) const { *to = total; }
};

struct axpy_op {
    float alpha;
    const float *x;
    float *y;
    template <int N> __device__ void at(int64_t i) const {
        auto a = load<N>(x + i), b = load<N>(y + i);
#pragma unroll
        for (int k = 0; k < N; k++) b.at[k] = fmaf(alpha, a.at[k], b.at[k]);
        store<N>(y + i, b);
    }
};

struct column_value {
    const float *x;
    int columns;
    __device__ auto of(int column) const {
        return
            [x = x + column, columns = columns](int64_t row, double(&sum)[1]) { sum[0] += (double)x[row * columns]; };
    }
};

} // namespace

mt_status mt_cuda_sum(const mt_cuda *c, int64_t count, const float *x, double *sum) {
    return sum_of<double>(c, "sum", count, x, plain_value{}, store_sum{sum});
}

mt_status mt_cuda_sum_squares(const mt_cuda *c, int64_t count, const float *x, double *sum) {
    return sum_of<double>(c, "sum_squares", count, x, square_value{}, store_sum{sum});
}

mt_status mt_cuda_mean_var(const mt_cuda *c, int64_t count, const float *x, double *mean, double *var) {
    double divisor = count > 0 ? (double)count : 1.0; // of nothing: 0 and 0
    MT_TRY(sum_of<double>(c, "mean", count, x, plain_value{}, store_quotient{mean, divisor}));
    return sum_of<double>(c, "variance", count, x, square_about_value{mean}, store_quotient{var, divisor});
}

mt_status mt_cuda_count_nonfinite(const mt_cuda *c, int64_t count, const float *x, int64_t *found) {
    return sum_of<long long>(c, "count_nonfinite", count, x, nonfinite_value{}, store_count{found});
}

mt_status mt_cuda_axpy(const mt_cuda *c, int64_t count, float alpha, const float *x, float *y) {
    return each(c, "axpy", count, aligned(x, y), axpy_op{alpha, x, y});
}

mt_status mt_cuda_column_sums(const mt_cuda *c, int64_t rows, int columns, const float *x, float *sum, int accumulate) {
    column_parts p = {};
    MT_TRY(column_sums<1>(c, "column_sums", rows, columns, column_value{x, columns}, &p));
    return fold(c, "column_sums, second pass", p.parts, columns, p.part, fold_to_float{sum, accumulate});
}
