// Running normalisation. Each object has one owner at a time.
#include "rollout/normaliser.h"

#include <math.h>
#include <string.h>

static const double epsilon = 1e-8;   // VecNormalize's

static void register_running(mt_running *r, int columns, mt_arena *arena) {
    r->columns = columns;
    MT_ARENA_ADD(arena, r->mean, columns);
    MT_ARENA_ADD(arena, r->m2, columns);
}

void mt_normaliser_register(mt_normaliser *n, int obs, int observations, int rewards, float clip_obs, float clip_reward,
    mt_arena *arena) {
    *n = (mt_normaliser){.observations = observations, .rewards = rewards, .clip_obs = clip_obs, .clip_reward = clip_reward,
        .reward_scale = 1};
    register_running(&n->obs, obs, arena);
    register_running(&n->returns, 1, arena);
    MT_ARENA_ADD(arena, n->obs_mean, obs);
    MT_ARENA_ADD(arena, n->obs_inv_std, obs);
}

static void fill(mt_running *r, double count) {
    r->count = count;
    for (int c = 0; c < r->columns; c++) r->mean[c] = 0, r->m2[c] = count;   // variance 1
}

void mt_normaliser_reset(mt_normaliser *n) {
    fill(&n->obs, 1e-4), fill(&n->returns, 1e-4);
    mt_normaliser_publish(n);
}

void mt_normaliser_clear(mt_normaliser *n) { fill(&n->obs, 0), fill(&n->returns, 0); }

void mt_normaliser_publish(mt_normaliser *n) {
    mt_running_scale(&n->obs, epsilon, n->obs_mean, n->obs_inv_std);
    n->reward_scale = (float)(1 / sqrt(n->returns.m2[0] / n->returns.count + epsilon));
}

static void copy(mt_running *r, const mt_running *from) {
    r->count = from->count;
    memcpy(r->mean, from->mean, sizeof *r->mean * (size_t)r->columns);
    memcpy(r->m2, from->m2, sizeof *r->m2 * (size_t)r->columns);
}

void mt_normaliser_copy(mt_normaliser *n, const mt_normaliser *from) {
    copy(&n->obs, &from->obs), copy(&n->returns, &from->returns);
    memcpy(n->obs_mean, from->obs_mean, sizeof *n->obs_mean * (size_t)n->obs.columns);
    memcpy(n->obs_inv_std, from->obs_inv_std, sizeof *n->obs_inv_std * (size_t)n->obs.columns);
    n->reward_scale = from->reward_scale;
}

void mt_normaliser_apply(const mt_normaliser *n, const mt_kernels *k, int64_t rows, const float *x, float *y) {
    if (n->observations) k->normalise(rows, n->obs.columns, n->obs_mean, n->obs_inv_std, n->clip_obs, x, y);
    else if (x != y) memcpy(y, x, sizeof *x * (size_t)(rows * n->obs.columns));
}

// ---- as doubles

static double *store(const mt_running *r, double *out) {
    *out++ = r->count;
    memcpy(out, r->mean, sizeof *out * (size_t)r->columns);
    memcpy(out + r->columns, r->m2, sizeof *out * (size_t)r->columns);
    return out + 2 * r->columns;
}

static const double *load(mt_running *r, const double *in) {
    r->count = *in++;
    memcpy(r->mean, in, sizeof *in * (size_t)r->columns);
    memcpy(r->m2, in + r->columns, sizeof *in * (size_t)r->columns);
    return in + 2 * r->columns;
}

static const double *merge(mt_running *r, const double *in) {
    mt_running from = {.columns = r->columns, .count = in[0], .mean = (double *)in + 1, .m2 = (double *)in + 1 + r->columns};
    mt_running_merge(r, &from);
    return in + 1 + 2 * r->columns;
}

int mt_normaliser_doubles(const mt_normaliser *n) { return 2 * n->obs.columns + 1 + 2 * n->returns.columns + 1; }
void mt_normaliser_store(const mt_normaliser *n, double *out) { store(&n->returns, store(&n->obs, out)); }
void mt_normaliser_load(mt_normaliser *n, const double *in) { load(&n->returns, load(&n->obs, in)); }
void mt_normaliser_merge(mt_normaliser *n, const double *from) { merge(&n->returns, merge(&n->obs, from)); }
