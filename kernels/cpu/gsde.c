// State-dependent exploration (gSDE, Raffin, Kober & Stulp 2021), as Stable-Baselines3 computes it:
//   log_std:          var[b,a] = Σ_l h[b,l]² exp(2 s[l,a]) + 1e-6,  out[b,a] = ½ log var[b,a]
//   log_std_backward: ds[l,a] = exp(2 s[l,a]) Σ_b d[b,a] h[b,l]² / var[b,a]
//   noise:            out[b,a] = Σ_l h[b,l] matrix[b,l,a]
//   matrix:           matrix[b,i] = z[b,i] exp(s[i]),  i = (l, a)
// Shapes: h (B, L), s and ds (L, A), out and d (B, A), matrix (B, L, A). Lanes run over l and are summed in one fixed
// tree: a row's result knows of no other row, and ds sums rows in their order. exp(2 s) is computed once a call, in
// pieces that fit the stack. Bytes moved: 4 (L + A) a row; noise 4 (L + L A + A), matrix 8 L A a row.
#include <math.h>
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

enum {
    PIECE = 256, // latent units at once
    ROWS = 128   // rows at once, backward
};

LANE_INLINE vf load_column(const float *p, int64_t stride, int n) { return tile_column(p, stride, n); }

// w[l] = exp(2 s[l, a]) for `count` ≤ PIECE units; zeros up to the next whole vector
static void variances(int count, int dim, const float *log_std, float *w) {
    for (int l = 0; l < count; l += VF) {
        int n = lane_count(count - l);
        vf e = vf_exp(2.0f * load_column(log_std + (int64_t)l * dim, dim, n));
        vf_store(w + l, n < VF ? vf_where(lane_first(n), e) : e);
    }
}

// Σ_l h[l]² w[l]
LANE_INLINE float weighted_squares(int count, const float *h, const float *w) {
    vf sum = {};
    int l = 0;
    for (; l + VF <= count; l += VF) {
        vf x = vf_load(h + l);
        sum = vf_fma(x * x, vf_load(w + l), sum);
    }
    if (l < count) {
        vf x = vf_load_n(h + l, count - l);
        sum = vf_fma(x * x, vf_load(w + l), sum);
    }
    return lane_sum(sum);
}

void MT_ISA_NAME(mt_gsde_log_std)(
    int64_t rows, int latent, int dim, const float *h, const float *log_std, float *row_log_std) {
    float w[PIECE] __attribute__((aligned(64)));
    for (int a = 0; a < dim; a++)
        for (int l = 0; l < latent; l += PIECE) {
            int count = latent - l < PIECE ? latent - l : PIECE;
            variances(count, dim, log_std + (int64_t)l * dim + a, w);
            for (int64_t b = 0; b < rows; b++) {
                float sum = weighted_squares(count, h + b * latent + l, w);
                row_log_std[b * dim + a] = l ? row_log_std[b * dim + a] + sum : sum;
            }
        }
    int64_t i = 0, all = rows * dim;
    for (; i < all; i += VF) {
        int n = lane_count(all - i);
        lane_store_n(row_log_std + i, 0.5f * vf_log(lane_load_n(row_log_std + i, n) + 1e-6f), n);
    }
}

// one component: `rows` ≤ ROWS rows of coefficients d/var, added to (or overwriting) ds
static void backward_component(int rows, int latent, int dim, const float *h, const float *log_std,
    const float *coefficient, float *d_log_std, int accumulate) {
    for (int l = 0; l < latent; l += VF) {
        int n = lane_count(latent - l);
        vf sum = {};
        for (int b = 0; b < rows; b++) {
            vf x = lane_load_n(h + (int64_t)b * latent + l, n);
            sum = vf_fma(x * x, vf_set(coefficient[b]), sum);
        }
        sum *= vf_exp(2.0f * load_column(log_std + (int64_t)l * dim, dim, n));
        float *out = d_log_std + (int64_t)l * dim;
        if (accumulate) sum += load_column(out, dim, n);
        tile_column_store(out, dim, sum, n);
    }
}

void MT_ISA_NAME(mt_gsde_log_std_backward)(int64_t rows, int latent, int dim, const float *h, const float *log_std,
    const float *row_log_std, const float *d_row_log_std, float *d_log_std, int accumulate) {
    if (rows < 1 && !accumulate) memset(d_log_std, 0, sizeof(float) * (size_t)latent * (size_t)dim);
    float coefficient[ROWS];
    for (int64_t b = 0; b < rows; b += ROWS) {
        int count = rows - b < ROWS ? (int)(rows - b) : ROWS;
        for (int a = 0; a < dim; a++) {
            for (int i = 0; i < count; i += VF) {
                int n = lane_count(count - i);
                int64_t at = (b + i) * dim + a;
                vf inv_var = vf_exp(-2.0f * load_column(row_log_std + at, dim, n));
                lane_store_n(coefficient + i, load_column(d_row_log_std + at, dim, n) * inv_var, n);
            }
            backward_component(
                count, latent, dim, h + b * latent, log_std + a, coefficient, d_log_std + a, accumulate || b > 0);
        }
    }
}

// A = 1: a dot product
static float dot(int count, const float *x, const float *y) {
    vf sum = {};
    int l = 0;
    for (; l + VF <= count; l += VF) sum = vf_fma(vf_load(x + l), vf_load(y + l), sum);
    if (l < count) sum = vf_fma(vf_load_n(x + l, count - l), vf_load_n(y + l, count - l), sum);
    return lane_sum(sum);
}

void MT_ISA_NAME(mt_gsde_noise)(int64_t rows, int latent, int dim, const float *h, const float *matrix, float *noise) {
    for (int64_t b = 0; b < rows; b++, h += latent, matrix += (int64_t)latent * dim, noise += dim) {
        if (dim == 1) {
            noise[0] = dot(latent, h, matrix);
            continue;
        }
        for (int a = 0; a < dim; a += VF) {
            int n = lane_count(dim - a);
            const float *m = matrix + a;
            vf even = {}, odd = {};
            int l = 0;
            for (; l + 2 <= latent; l += 2, m += 2 * (int64_t)dim) {
                even = vf_fma(vf_set(h[l]), lane_load_n(m, n), even);
                odd = vf_fma(vf_set(h[l + 1]), lane_load_n(m + dim, n), odd);
            }
            if (l < latent) even = vf_fma(vf_set(h[l]), lane_load_n(m, n), even);
            lane_store_n(noise + a, even + odd, n);
        }
    }
}

void MT_ISA_NAME(mt_gsde_matrix)(
    int64_t rows, int64_t count, const float *z, int64_t z_stride, const float *log_std, float *matrix) {
    float deviation[PIECE];
    for (int64_t i = 0; i < count; i += PIECE) {
        int n = count - i < PIECE ? (int)(count - i) : PIECE;
        for (int j = 0; j < n; j++) deviation[j] = expf(log_std[i + j]);
        for (int64_t b = 0; b < rows; b++)
            for (int j = 0; j < n; j++) matrix[b * count + i + j] = z[b * z_stride + i + j] * deviation[j];
    }
}
