// PPO's loss and all its gradients in one pass over the rows (Schulman et al. 2017, eq. 7 and 9; the value term as in
// Stable-Baselines3). With A = (advantage - adv_mean)·adv_inv_std, r = exp(log p - old log p), c = clip_range:
//   policy  -min(A r, A clamp(r, 1-c, 1+c)),   value (v - R)² or (clip(v) - R)²,   entropy H
//   dL/dlog p = -w A r / B,  w = 1 inside [1-c, 1+c]; outside 1 where the first term is the smaller, ½ where both are
//   equal (torch.minimum's tie), 0 otherwise categorical: dL/dz_k = dL/dlogp ([k = a] - p_k) + ent_coef/B · p_k (log
//   p_k + H) Gaussian:    dL/dmean = dL/dlogp · t/σ,   dL/dlog_std = dL/dlogp (t² - 1) - ent_coef/B,   t = (a - mean)/σ
//   dL/dv = 2 vf_coef/B (v - R); with value clipping about old_value, 0 where |v - old_value| > clip_range_vf
// which are autograd's. 1/B is `inv_rows`. Shapes in kernels.h. Rows are lanes. Statistics are summed by lane in floats
// for at most FLUSH tiles, then in fp64, all in fixed order: deterministic. Bytes moved a row: 4·(K + A + 5) read, 4·(K
// + 1) written.
#include "kernels/cpu/categorical.h"
#include "kernels/cpu/ops.h"

#define HALF_LOG_2PI 0.91893853320467274178f
enum { FLUSH = 16, STATS = 6, SHARED_MAX = 32, GAUSSIAN_SMALL = 4 };

// ---- statistics, in the order of mt_ppo_stats
typedef struct loss_sums {
    vf lane[STATS];
    vd wide[STATS];
    int tiles;
} loss_sums;

LANE_INLINE void sums_start(loss_sums *s) { // not = {0}, which becomes a rep stos of 30 cycles
    for (int i = 0; i < STATS; i++) s->lane[i] = (vf){}, s->wide[i] = (vd){};
    s->tiles = 0;
}
LANE_INLINE void sums_flush(loss_sums *s) {
    for (int i = 0; i < STATS; i++) {
        s->wide[i] += lane_low_d(s->lane[i]) + lane_high_d(s->lane[i]);
        s->lane[i] = (vf){};
    }
    s->tiles = 0;
}
LANE_INLINE void sums_add(loss_sums *s, const vf *x, int n) {
    vm live = lane_first(n);
    for (int i = 0; i < STATS; i++) s->lane[i] += n == VF ? x[i] : vf_where(live, x[i]);
    if (++s->tiles == FLUSH) sums_flush(s);
}
static void sums_finish(loss_sums *s, mt_ppo_stats *out) {
    sums_flush(s);
    out->policy_loss += lane_sum_d(s->wide[0]);
    out->value_loss += lane_sum_d(s->wide[1]);
    out->entropy += lane_sum_d(s->wide[2]);
    out->approx_kl += lane_sum_d(s->wide[3]);
    out->clipped += lane_sum_d(s->wide[4]);
    out->ratio += lane_sum_d(s->wide[5]);
}

// ---- what both distributions share

// a call's arguments where no store can change them
typedef struct loss_rows {
    mt_ppo_rows rows;
    mt_ppo_scalars now;
} loss_rows;

// value term of n rows from b on: writes d_value, returns the loss
LANE_INLINE vf value_tile(const loss_rows *r, int64_t b, int n) {
    vf value = lane_load_n(r->rows.value + b, n), target = lane_load_n(r->rows.returns + b, n);
    const vf scale = vf_set(2.0f * r->now.vf_coef * r->rows.inv_rows);
    if (r->now.clip_range_vf < 0) {
        vf error = value - target;
        lane_store_n(r->rows.d_value + b, scale * error, n);
        return error * error;
    }
    const vf range = vf_set(r->now.clip_range_vf);
    vf old = lane_load_n(r->rows.old_value + b, n), moved = value - old;
    vf error = old + lane_clamp(moved, -range, range) - target;
    lane_store_n(r->rows.d_value + b, vf_where(vf_le(vf_abs(moved), range), scale * error), n);
    return error * error;
}

// dL/dlog p of n rows; adds the tile's statistics
LANE_INLINE vf policy_tile(const loss_rows *r, int64_t b, int n, vf log_prob, vf entropy, loss_sums *sums) {
    vf adv = (lane_load_n(r->rows.advantage + b, n) - r->now.adv_mean) * r->now.adv_inv_std;
    vf log_ratio = log_prob - lane_load_n(r->rows.old_log_prob + b, n), ratio = vf_exp(log_ratio);
    const vf low = vf_set(1.0f - r->now.clip_range), high = vf_set(1.0f + r->now.clip_range);
    vf free = adv * ratio, clipped = adv * lane_clamp(ratio, low, high);
    vm whole = vm_or(vm_and(vf_le(low, ratio), vf_le(ratio, high)), vf_lt(free, clipped));
    vf used = vf_select(whole, free, vf_where(vf_eq(free, clipped), 0.5f * free));
    // a NaN must reach the gradient, where it is looked for
    used = vf_select(vf_isnan(free), free, used);
    vf stats[STATS] = {
        -vf_min(clipped, free),
        r->rows.value ? value_tile(r, b, n) : vf_set(0.0f),
        entropy,
        (ratio - 1.0f) - log_ratio,
        vf_where(vf_lt(vf_set(r->now.clip_range), vf_abs(ratio - 1.0f)), vf_set(1.0f)),
        ratio,
    };
    sums_add(sums, stats, n);
    return used * -r->rows.inv_rows;
}

// ---- the value term alone

LANE_INLINE void value_only(const loss_rows *r, loss_sums *sums, int64_t b, int n) {
    vf stats[STATS] = {};
    stats[1] = value_tile(r, b, n);
    sums_add(sums, stats, n);
}

void MT_ISA_NAME(mt_ppo_loss_value)(int64_t count, const mt_ppo_rows *rows, mt_ppo_stats *stats) {
    const loss_rows r = {*rows, *rows->scalars};
    loss_sums sums;
    sums_start(&sums);
    FOR_TILES(count, value_only(&r, &sums, b, n));
    sums_finish(&sums, stats);
}

// ---- categorical

// p_k and log p_k → dL/dz_k
LANE_INLINE vf d_logit(vf p, vf log_p, vf entropy, vm chosen, vf d_log_prob, vf bonus) {
    vf d = d_log_prob * (vf_where(chosen, vf_set(1.0f)) - p);
    return vf_fma(bonus * p, log_p + entropy, d);
}

LANE_INLINE void categorical_small(int k_count, const mt_categorical *d, const int32_t *action, const loss_rows *r,
    float *d_logits, loss_sums *sums, int64_t b, int n) {
    vf z[CATEGORICAL_SMALL], e[CATEGORICAL_SMALL];
    tile_load(z, k_count, d->logits + b * k_count, n);
    softmax_tile s = softmax_small(k_count, z, e);
    vi a = tile_column_i(action + b, 1, n);
    vf g = policy_tile(r, b, n, small_pick(k_count, z, a) - s.log_total, s.entropy, sums);
    const vf bonus = vf_set(r->now.ent_coef * r->rows.inv_rows);
    for (int k = 0; k < k_count; k++)
        z[k] = d_logit(e[k] * s.inv_total, z[k] - s.log_total, s.entropy, vi_eq(a, k), g, bonus);
    tile_store(d_logits + b * k_count, k_count, z, n);
}

static void component_gradient(
    const component_tile *c, const softmax_tile *s, vi action, vf g, vf bonus, float *d_logits) {
    for (int k = 0; k < c->actions; k++) {
        vf d = component_logit(c, k) - s->max;
        vf out = d_logit(vf_exp(d) * s->inv_total, d - s->log_total, s->entropy, vi_eq(action, k), g, bonus);
        tile_column_store(d_logits + k, c->stride, out, c->rows);
    }
}

// any number of components: their log-probabilities add up before any gradient is known
static void categorical_tile(const mt_categorical *d, const int32_t *action, const loss_rows *r, float *d_logits,
    loss_sums *sums, int64_t b, int n) {
    vf log_prob = {}, entropy = {};
    for (int i = 0, offset = 0; i < d->components; offset += d->nvec[i++]) {
        component_tile c;
        component_open(&c, d, b, offset, d->nvec[i], n);
        softmax_tile s = component_softmax(&c);
        log_prob +=
            component_pick(&c, &s, tile_column_i(action + b * d->components + i, d->components, n)) - s.log_total;
        entropy += s.entropy;
    }
    vf g = policy_tile(r, b, n, log_prob, entropy, sums);
    const vf bonus = vf_set(r->now.ent_coef * r->rows.inv_rows);
    for (int i = 0, offset = 0; i < d->components; offset += d->nvec[i++]) {
        component_tile c;
        component_open(&c, d, b, offset, d->nvec[i], n);
        softmax_tile s = component_softmax(&c);
        vi a = tile_column_i(action + b * d->components + i, d->components, n);
        component_gradient(&c, &s, a, g, bonus, d_logits + b * d->logit_count + offset);
    }
}

void MT_ISA_NAME(mt_ppo_loss_categorical)(
    const mt_categorical *d, const int32_t *action, const mt_ppo_rows *rows, float *d_logits, mt_ppo_stats *stats) {
    const loss_rows r = {*rows, *rows->scalars};
    loss_sums sums;
    sums_start(&sums);
    switch (categorical_is_small(d) ? d->logit_count : 0) {
    case 2: FOR_TILES(d->rows, categorical_small(2, d, action, &r, d_logits, &sums, b, n)); break;
    case 3: FOR_TILES(d->rows, categorical_small(3, d, action, &r, d_logits, &sums, b, n)); break;
    case 4: FOR_TILES(d->rows, categorical_small(4, d, action, &r, d_logits, &sums, b, n)); break;
    default: FOR_TILES(d->rows, categorical_tile(d, action, &r, d_logits, &sums, b, n)); break;
    }
    sums_finish(&sums, stats);
}

// ---- Gaussian

LANE_INLINE vf tile_log_std(const mt_gaussian *d, int64_t b, int a, int n) {
    return d->log_std_rows ? tile_column(d->log_std + b * d->dim + a, d->dim, n) : vf_set(d->log_std[a]);
}

// dL/dlog_std of a shared log_std: summed by lane for the first SHARED_MAX components, by tile for those beyond
typedef struct shared_sums {
    vf lane[SHARED_MAX];
} shared_sums;

// dim ≤ GAUSSIAN_SMALL, a constant: the columns stay in registers
LANE_INLINE void gaussian_small(int dim, const mt_gaussian *d, const float *action, const loss_rows *r, float *d_mean,
    float *d_log_std, loss_sums *sums, shared_sums *shared, int64_t b, int n) {
    vf t[GAUSSIAN_SMALL], mean[GAUSSIAN_SMALL], log_std[GAUSSIAN_SMALL], inv_std[GAUSSIAN_SMALL];
    vf log_prob = {}, entropy = {};
    int64_t at = b * dim;
    tile_load(t, dim, action + at, n);
    tile_load(mean, dim, d->mean + at, n);
    if (d->log_std_rows)
        tile_load(log_std, dim, d->log_std + at, n);
    else
        for (int a = 0; a < dim; a++) log_std[a] = vf_set(d->log_std[a]);
    for (int a = 0; a < dim; a++) {
        inv_std[a] = vf_exp(-log_std[a]);
        t[a] = (t[a] - mean[a]) * inv_std[a];
        log_prob += vf_fma(t[a] * t[a], vf_set(-0.5f), -HALF_LOG_2PI - log_std[a]);
        entropy += log_std[a] + (0.5f + HALF_LOG_2PI);
    }
    vf g = policy_tile(r, b, n, log_prob, entropy, sums);
    const vf bonus = vf_set(r->now.ent_coef * r->rows.inv_rows);
    for (int a = 0; a < dim; a++) {
        mean[a] = g * t[a] * inv_std[a];
        log_std[a] = g * vf_fma(t[a], t[a], vf_set(-1.0f)) - bonus;
    }
    tile_store(d_mean + at, dim, mean, n);
    if (d->log_std_rows)
        tile_store(d_log_std + at, dim, log_std, n);
    else
        for (int a = 0; a < dim; a++) shared->lane[a] += n < VF ? vf_where(lane_first(n), log_std[a]) : log_std[a];
}

// any dim
LANE_INLINE void gaussian_tile(const mt_gaussian *d, const float *action, const loss_rows *r, float *d_mean,
    float *d_log_std, loss_sums *sums, shared_sums *shared, int64_t b, int n) {
    vf log_prob = {}, entropy = {};
    for (int a = 0; a < d->dim; a++) {
        int64_t at = b * d->dim + a;
        vf log_std = tile_log_std(d, b, a, n);
        vf t = (tile_column(action + at, d->dim, n) - tile_column(d->mean + at, d->dim, n)) * vf_exp(-log_std);
        log_prob += vf_fma(t * t, vf_set(-0.5f), -HALF_LOG_2PI - log_std);
        entropy += log_std + (0.5f + HALF_LOG_2PI);
    }
    vf g = policy_tile(r, b, n, log_prob, entropy, sums);
    const vf bonus = vf_set(r->now.ent_coef * r->rows.inv_rows);
    for (int a = 0; a < d->dim; a++) {
        int64_t at = b * d->dim + a;
        vf inv_std = vf_exp(-tile_log_std(d, b, a, n));
        vf t = (tile_column(action + at, d->dim, n) - tile_column(d->mean + at, d->dim, n)) * inv_std;
        tile_column_store(d_mean + at, d->dim, g * t * inv_std, n);
        vf d_scale = g * vf_fma(t, t, vf_set(-1.0f)) - bonus;
        if (d->log_std_rows) {
            tile_column_store(d_log_std + at, d->dim, d_scale, n);
            continue;
        }
        if (n < VF) d_scale = vf_where(lane_first(n), d_scale);
        if (a < SHARED_MAX)
            shared->lane[a] += d_scale;
        else
            d_log_std[a] += lane_sum(d_scale);
    }
}

void MT_ISA_NAME(mt_ppo_loss_gaussian)(const mt_gaussian *d, const float *action, const mt_ppo_rows *rows,
    float *d_mean, float *d_log_std, int accumulate, mt_ppo_stats *stats) {
    const loss_rows r = {*rows, *rows->scalars};
    loss_sums sums;
    shared_sums shared;
    sums_start(&sums);
    int lanes = d->log_std_rows ? 0 : d->dim < SHARED_MAX ? d->dim : SHARED_MAX;
    for (int a = 0; a < lanes; a++) shared.lane[a] = (vf){};
    if (!d->log_std_rows && !accumulate) memset(d_log_std, 0, sizeof(float) * (size_t)d->dim);
    switch (d->dim) {
    case 1: FOR_TILES(d->rows, gaussian_small(1, d, action, &r, d_mean, d_log_std, &sums, &shared, b, n)); break;
    case 2: FOR_TILES(d->rows, gaussian_small(2, d, action, &r, d_mean, d_log_std, &sums, &shared, b, n)); break;
    case 3: FOR_TILES(d->rows, gaussian_small(3, d, action, &r, d_mean, d_log_std, &sums, &shared, b, n)); break;
    case 4: FOR_TILES(d->rows, gaussian_small(4, d, action, &r, d_mean, d_log_std, &sums, &shared, b, n)); break;
    default: FOR_TILES(d->rows, gaussian_tile(d, action, &r, d_mean, d_log_std, &sums, &shared, b, n)); break;
    }
    for (int a = 0; a < lanes; a++) d_log_std[a] += lane_sum(shared.lane[a]);
    sums_finish(&sums, stats);
}

// ---- another loss

void MT_ISA_NAME(mt_add_loss_sums)(const double *sums, float vf_coef, float ent_coef, mt_ppo_stats *stats) {
    stats->policy_loss += sums[0] - (double)vf_coef * sums[1] + (double)ent_coef * sums[2];
    stats->value_loss += sums[1];
    stats->entropy += sums[2];
    stats->approx_kl += sums[3];
    stats->clipped += sums[4];
}
