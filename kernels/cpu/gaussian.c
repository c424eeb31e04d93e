// Diagonal Gaussian: with σ = exp(log_std) and t = (x - mean)/σ,
//   log p = Σ_A (-½ t² - log σ - ½ log 2π),  entropy = Σ_A (½ + ½ log 2π + log σ)
// Shapes: mean, action, noise (B, A); log_std (A) or (B, A); log_prob, entropy (B). Rows are lanes: a row's result
// knows of no other row. Bytes moved: 8 A read (12 A with log_std by rows) and 4 A + 4 written a row when sampling.
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/ops.h"

#define HALF_LOG_2PI 0.91893853320467274178f

// log σ of component a for the tile at row b
LANE_INLINE vf tile_log_std(const mt_gaussian *d, int64_t b, int a, int n) {
    return d->log_std_rows ? tile_column(d->log_std + b * d->dim + a, d->dim, n) : vf_set(d->log_std[a]);
}

LANE_INLINE void sample_tile(
    const mt_gaussian *d, const float *noise, float *action, float *log_prob, int64_t b, int n) {
    vf sum = {};
    for (int a = 0; a < d->dim; a++) {
        int64_t at = b * d->dim + a;
        vf log_std = tile_log_std(d, b, a, n), z = tile_column(noise + at, d->dim, n);
        tile_column_store(action + at, d->dim, vf_fma(vf_exp(log_std), z, tile_column(d->mean + at, d->dim, n)), n);
        sum += vf_fma(z * z, vf_set(-0.5f), -HALF_LOG_2PI - log_std);
    }
    lane_store_n(log_prob + b, sum, n);
}

void MT_ISA_NAME(mt_gaussian_sample)(const mt_gaussian *d, const float *noise, float *action, float *log_prob) {
    FOR_TILES(d->rows, sample_tile(d, noise, action, log_prob, b, n));
}

LANE_INLINE void log_prob_tile(
    const mt_gaussian *d, const float *action, float *log_prob, float *entropy, int64_t b, int n) {
    vf sum = {}, h = {};
    for (int a = 0; a < d->dim; a++) {
        int64_t at = b * d->dim + a;
        vf log_std = tile_log_std(d, b, a, n);
        h += log_std + (0.5f + HALF_LOG_2PI);
        if (!log_prob) continue;
        vf t = (tile_column(action + at, d->dim, n) - tile_column(d->mean + at, d->dim, n)) * vf_exp(-log_std);
        sum += vf_fma(t * t, vf_set(-0.5f), -HALF_LOG_2PI - log_std);
    }
    if (log_prob) lane_store_n(log_prob + b, sum, n);
    if (entropy) lane_store_n(entropy + b, h, n);
}

void MT_ISA_NAME(mt_gaussian_log_prob)(const mt_gaussian *d, const float *action, float *log_prob, float *entropy) {
    FOR_TILES(d->rows, log_prob_tile(d, action, log_prob, entropy, b, n));
}
