// Log-softmax over the actions of a tile of rows, for categorical.c and ppo_loss.c.
//
// Two forms. Small: one component of 2, 3 or 4 actions and no mask, the columns in registers (the hot case). Component:
// any number of actions, masks, several components; columns beyond COMPONENT_KEPT are fetched again in each pass. With
// d = z - max z and S = Σ exp d:  log p_k = d_k - log S,  entropy = log S - Σ exp(d_k) d_k / S. A masked action's logit
// counts as -FLT_MAX: its probability is exactly 0. A component without any allowed action counts as uniform (the
// environment broke its promise; nothing becomes NaN here).
#ifndef MANTA_KERNELS_CPU_CATEGORICAL_H
#define MANTA_KERNELS_CPU_CATEGORICAL_H

#include <float.h>
#include "kernels/cpu/lanes.h"
#include "kernels/kernels.h"

enum { CATEGORICAL_SMALL = 4 };
static inline int categorical_is_small(const mt_categorical *d) {
    return d->components == 1 && !d->mask && d->logit_count >= 2 && d->logit_count <= CATEGORICAL_SMALL;
}

typedef struct softmax_tile {
    vf max, total, inv_total, log_total, entropy;
} softmax_tile;

// ---- small

// z: logits in, d out; e: exp d. One of two exponentials is exp 0: two actions need only the other
LANE_INLINE softmax_tile softmax_small(int k_count, vf *z, vf *e) {
    softmax_tile s = {.max = z[0]};
    for (int k = 1; k < k_count; k++) s.max = vf_max(s.max, z[k]);
    vf weighted = {};
    if (k_count == 2) {
        vm first = vf_lt(z[0], z[1]); // the first is the smaller
        vf d = vf_select(first, z[0], z[1]) - s.max, smaller = vf_exp(d);
        const vf one = vf_set(1.0f);
        e[0] = vf_select(first, smaller, one);
        e[1] = vf_select(first, one, smaller);
        z[0] -= s.max;
        z[1] -= s.max;
        s.total = 1.0f + smaller;
        weighted = smaller * d;
    } else {
        s.total = (vf){};
        for (int k = 0; k < k_count; k++) {
            z[k] -= s.max;
            e[k] = vf_exp(z[k]);
            s.total += e[k];
            weighted = vf_fma(e[k], z[k], weighted);
        }
    }
    s.inv_total = 1.0f / s.total;
    s.log_total = vf_log(s.total);
    s.entropy = s.log_total - weighted * s.inv_total;
    return s;
}

LANE_INLINE vf small_pick(int k_count, const vf *z, vi action) {
    vf picked = z[0];
    for (int k = 1; k < k_count; k++) picked = vf_select(vi_eq(action, k), z[k], picked);
    return picked;
}

// ---- component

enum { COMPONENT_KEPT = 32 }; // columns fetched once

typedef struct component_tile {
    const float *logits; // of the tile's first row, the component's first action
    const uint8_t *mask; // Nullable
    int64_t stride;      // K
    int actions, rows;   // rows ≤ VF
    vf column[COMPONENT_KEPT];
} component_tile;

LANE_INLINE vf component_fetch(const component_tile *c, int k) {
    vf z = tile_column(c->logits + k, c->stride, c->rows);
    return c->mask ? vf_select(tile_column_mask(c->mask + k, c->stride, c->rows), z, vf_set(-FLT_MAX)) : z;
}
LANE_INLINE vf component_logit(const component_tile *c, int k) {
    return k < COMPONENT_KEPT ? c->column[k] : component_fetch(c, k);
}

LANE_INLINE void component_open(
    component_tile *c, const mt_categorical *d, int64_t row, int offset, int actions, int rows) {
    int64_t at = row * d->logit_count + offset;
    c->logits = d->logits + at;
    c->mask = d->mask ? d->mask + at : 0;
    c->stride = d->logit_count;
    c->actions = actions;
    c->rows = rows;
    c->column[0] = component_fetch(c, 0);
    for (int k = 1; k < actions && k < COMPONENT_KEPT; k++) c->column[k] = component_fetch(c, k);
}

LANE_INLINE softmax_tile component_softmax(const component_tile *c) {
    softmax_tile s = {.max = component_logit(c, 0)};
    for (int k = 1; k < c->actions; k++) s.max = vf_max(s.max, component_logit(c, k));
    vf weighted = {};
    s.total = (vf){};
    for (int k = 0; k < c->actions; k++) {
        vf d = component_logit(c, k) - s.max, e = vf_exp(d);
        s.total += e;
        weighted = vf_fma(e, d, weighted);
    }
    s.inv_total = 1.0f / s.total;
    s.log_total = vf_log(s.total);
    s.entropy = s.log_total - weighted * s.inv_total;
    return s;
}

// d of the given actions
LANE_INLINE vf component_pick(const component_tile *c, const softmax_tile *s, vi action) {
    vf picked = {};
    for (int k = 0; k < c->actions; k++) picked = vf_select(vi_eq(action, k), component_logit(c, k) - s->max, picked);
    return picked;
}

#endif
