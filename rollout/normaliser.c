// Running normalisation. Each object has one owner at a time.
#include "rollout/normaliser.h"

#include <math.h>
#include <string.h>

static const double epsilon = 1e-8;   // VecNormalize's

static void register_running(mt_running *r, int columns, mt_arena *arena) {
    int room = columns ? columns : 1;   // NULL, which memcpy may not be given, is what there would be for none
    r->columns = columns;
    MT_ARENA_ADD(arena, r->mean, room);
    MT_ARENA_ADD(arena, r->m2, room);
}

void mt_normaliser_register(mt_normaliser *n, int obs, int observations, int rewards, float clip_obs, float clip_reward,
    mt_arena *arena) {
    mt_normaliser_register_inputs(n, obs, NULL, 0, observations, rewards, clip_obs, clip_reward, arena);
}

// neighbours become one
static void add_span(mt_normaliser *n, int offset, int width) {
    struct mt_columns *last = n->span_count ? &n->span[n->span_count - 1] : NULL;
    if (last && last->offset + last->width == offset) last->width += width;
    else n->span[n->span_count++] = (struct mt_columns){offset, width};
}

void mt_normaliser_register_inputs(mt_normaliser *n, int obs, const mt_input *inputs, int input_count, int observations, int rewards,
    float clip_obs, float clip_reward, mt_arena *arena) {
    *n = (mt_normaliser){.observations = observations, .rewards = rewards, .clip_obs = clip_obs, .clip_reward = clip_reward,
        .reward_scale = 1, .width = obs};
    int columns = 0;
    for (int i = 0; i < input_count; i++)
        if (inputs[i].kind == MT_INPUT_VECTOR) add_span(n, inputs[i].offset, inputs[i].width);
    if (input_count == 0) add_span(n, 0, obs);
    for (int s = 0; s < n->span_count; s++) columns += n->span[s].width;
    n->observations &= columns > 0;
    register_running(&n->obs, columns, arena);
    register_running(&n->returns, 1, arena);
    MT_ARENA_ADD(arena, n->obs_mean, columns ? columns : 1);
    MT_ARENA_ADD(arena, n->obs_inv_std, columns ? columns : 1);
    MT_ARENA_ADD(arena, n->gathered, n->observations && columns < obs ? MT_NORMALISER_ROWS * columns : 0);
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

// the columns of a row that are normalised, side by side
static void gather(const mt_normaliser *n, const float *x, float *out) {
    for (int s = 0; s < n->span_count; s++) {
        memcpy(out, x + n->span[s].offset, sizeof *x * (size_t)n->span[s].width);
        out += n->span[s].width;
    }
}

void mt_normaliser_update(mt_normaliser *n, const mt_kernels *k, int64_t rows, const float *x) {
    if (n->obs.columns == n->width) {
        k->running_update(&n->obs, rows, x);
        return;
    }
    for (int64_t first = 0; first < rows; first += MT_NORMALISER_ROWS) {
        int64_t some = rows - first < MT_NORMALISER_ROWS ? rows - first : MT_NORMALISER_ROWS;
        for (int64_t r = 0; r < some; r++) gather(n, x + (first + r) * n->width, n->gathered + r * n->obs.columns);
        k->running_update(&n->obs, some, n->gathered);
    }
}

// one row, span by span
static void apply_spans(const mt_normaliser *n, const mt_kernels *k, const float *x, float *y) {
    for (int s = 0, column = 0; s < n->span_count; column += n->span[s++].width) {
        int at = n->span[s].offset;
        k->normalise(1, n->span[s].width, n->obs_mean + column, n->obs_inv_std + column, n->clip_obs, x + at, y + at);
    }
}

void mt_normaliser_apply(const mt_normaliser *n, const mt_kernels *k, int64_t rows, const float *x, float *y) {
    int all = n->obs.columns == n->width;
    if (n->observations && all) k->normalise(rows, n->width, n->obs_mean, n->obs_inv_std, n->clip_obs, x, y);
    else if (x != y) memcpy(y, x, sizeof *x * (size_t)(rows * n->width));
    for (int64_t r = 0; n->observations && !all && r < rows; r++) apply_spans(n, k, x + r * n->width, y + r * n->width);
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
