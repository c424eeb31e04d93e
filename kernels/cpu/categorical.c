// Categorical actions: sampling, mode, log-probability and entropy. Formulae in categorical.h; sampling inverts the
// cumulative sum: the first k with Σ_{j≤k} e_j > u Σ_j e_j, u in [0, 1) from one random word, so that an action is a
// function of its own row and word. Shapes in kernels.h. A row's result knows of no other row.
// Bytes moved: 4 K read a row (three times, from cache, in the general form), 8 written per component.
#include "kernels/cpu/categorical.h"
#include "kernels/cpu/ops.h"

LANE_INLINE vf unit(vi words) { return vf_from_int((vi)((vu)words >> 8)) * 0x1p-24f; } // mt_u32_to_unit

// ---- sampling

LANE_INLINE void sample_small(
    int k_count, const mt_categorical *d, const uint32_t *words, int32_t *action, float *log_prob, int64_t b, int n) {
    vf z[CATEGORICAL_SMALL], e[CATEGORICAL_SMALL];
    tile_load(z, k_count, d->logits + b * k_count, n);
    softmax_tile s = softmax_small(k_count, z, e);
    // the number of cumulative sums not above the target is the action; the last sum is the total, which always is
    // above
    vf target = unit(tile_column_i(words + b, 1, n)) * s.total, sum = {};
    vi a = {};
    vf picked = z[0];
    for (int k = 0; k < k_count - 1; k++) {
        sum += e[k];
        vm past = vf_le(sum, target);
        a = vi_select(past, vi_set(k + 1), a);
        picked = vf_select(past, z[k + 1], picked);
    }
    tile_column_store_i(action + b, 1, a, n);
    lane_store_n(log_prob + b, picked - s.log_total, n);
}

static vf sample_component(const component_tile *c, vi words, vi *action) {
    softmax_tile s = component_softmax(c);
    vf target = unit(words) * s.total, sum = {};
    vi a = {};
    for (int k = 0; k < c->actions - 1; k++) {
        sum += vf_exp(component_logit(c, k) - s.max);
        a = vi_select(vf_le(sum, target), vi_set(k + 1), a);
    }
    *action = a;
    return component_pick(c, &s, a) - s.log_total;
}

static void sample_tile(
    const mt_categorical *d, const uint32_t *words, int32_t *action, float *log_prob, int64_t b, int n) {
    vf sum = {};
    for (int i = 0, offset = 0; i < d->components; offset += d->nvec[i++]) {
        component_tile c;
        component_open(&c, d, b, offset, d->nvec[i], n);
        int64_t at = b * d->components + i;
        vi a;
        sum += sample_component(&c, tile_column_i(words + at, d->components, n), &a);
        tile_column_store_i(action + at, d->components, a, n);
    }
    lane_store_n(log_prob + b, sum, n);
}

void MT_ISA_NAME(mt_categorical_sample)(
    const mt_categorical *d, const uint32_t *words, int32_t *action, float *log_prob) {
    switch (categorical_is_small(d) ? d->logit_count : 0) {
    case 2: FOR_TILES(d->rows, sample_small(2, d, words, action, log_prob, b, n)); break;
    case 3: FOR_TILES(d->rows, sample_small(3, d, words, action, log_prob, b, n)); break;
    case 4: FOR_TILES(d->rows, sample_small(4, d, words, action, log_prob, b, n)); break;
    default: FOR_TILES(d->rows, sample_tile(d, words, action, log_prob, b, n)); break;
    }
}

// ---- mode: the first of the largest

static void mode_tile(const mt_categorical *d, int32_t *action, int64_t b, int n) {
    for (int i = 0, offset = 0; i < d->components; offset += d->nvec[i++]) {
        component_tile c;
        component_open(&c, d, b, offset, d->nvec[i], n);
        vf best = component_logit(&c, 0);
        vi a = {};
        for (int k = 1; k < c.actions; k++) {
            vf z = component_logit(&c, k);
            vm more = vf_lt(best, z);
            a = vi_select(more, vi_set(k), a);
            best = vf_select(more, z, best);
        }
        tile_column_store_i(action + b * d->components + i, d->components, a, n);
    }
}

void MT_ISA_NAME(mt_categorical_mode)(const mt_categorical *d, int32_t *action) {
    FOR_TILES(d->rows, mode_tile(d, action, b, n));
}

// ---- log-probability and entropy

LANE_INLINE void log_prob_small(
    int k_count, const mt_categorical *d, const int32_t *action, float *log_prob, float *entropy, int64_t b, int n) {
    vf z[CATEGORICAL_SMALL], e[CATEGORICAL_SMALL];
    tile_load(z, k_count, d->logits + b * k_count, n);
    softmax_tile s = softmax_small(k_count, z, e);
    if (log_prob) lane_store_n(log_prob + b, small_pick(k_count, z, tile_column_i(action + b, 1, n)) - s.log_total, n);
    if (entropy) lane_store_n(entropy + b, s.entropy, n);
}

static void log_prob_tile(
    const mt_categorical *d, const int32_t *action, float *log_prob, float *entropy, int64_t b, int n) {
    vf sum = {}, h = {};
    for (int i = 0, offset = 0; i < d->components; offset += d->nvec[i++]) {
        component_tile c;
        component_open(&c, d, b, offset, d->nvec[i], n);
        softmax_tile s = component_softmax(&c);
        h += s.entropy;
        if (log_prob)
            sum +=
                component_pick(&c, &s, tile_column_i(action + b * d->components + i, d->components, n)) - s.log_total;
    }
    if (log_prob) lane_store_n(log_prob + b, sum, n);
    if (entropy) lane_store_n(entropy + b, h, n);
}

void MT_ISA_NAME(mt_categorical_log_prob)(
    const mt_categorical *d, const int32_t *action, float *log_prob, float *entropy) {
    switch (categorical_is_small(d) ? d->logit_count : 0) {
    case 2: FOR_TILES(d->rows, log_prob_small(2, d, action, log_prob, entropy, b, n)); break;
    case 3: FOR_TILES(d->rows, log_prob_small(3, d, action, log_prob, entropy, b, n)); break;
    case 4: FOR_TILES(d->rows, log_prob_small(4, d, action, log_prob, entropy, b, n)); break;
    default: FOR_TILES(d->rows, log_prob_tile(d, action, log_prob, entropy, b, n)); break;
    }
}
