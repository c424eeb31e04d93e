// Acting. Called by rollout workers and evaluation, one thread an actor.
#include "rollout/actor.h"

#include <math.h>
#include <string.h>

static int even(int n) { return n + (n & 1); }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

void mt_actor_register(mt_actor *a, const mt_policy *policy, const mt_kernels *kernels, mt_rng_use use, uint64_t seed,
    uint64_t first_env, int64_t rows, mt_arena *arena) {
    *a = (mt_actor){.policy = policy, .kernels = kernels, .use = use, .seed = seed, .first_env = first_env, .rows = rows};
    // values of a whole segment go through the same workspace, so it is full-sized even for few environments
    int64_t at_once = a->at_once = mt_policy_rows_at_once(policy, MT_ACTOR_ROWS_AT_ONCE), state = policy->sizes.state;
    mt_policy_space_register(&a->space, policy, kernels, at_once, 0, arena);
    MT_ARENA_ADD(arena, a->state, state * rows);
    MT_ARENA_ADD(arena, a->start, state ? rows : 0);
    MT_ARENA_ADD(arena, a->value, state ? rows : 0);
    MT_ARENA_ADD(arena, a->row_state, state * at_once);
    MT_ARENA_ADD(arena, a->row_start, state ? at_once : 0);
    MT_ARENA_ADD(arena, a->blocks, 4 * at_once);
    MT_ARENA_ADD(arena, a->words, even(policy->desc.action) * at_once);
    MT_ARENA_ADD(arena, a->noise, even(policy->desc.action) * at_once);
    MT_ARENA_ADD(arena, a->matrix, policy->desc.distribution == MT_DIST_GSDE ? rows * policy->log_std_count : 0);
}

void mt_actor_begin(mt_actor *a) {
    if (a->policy->recurrent) memset(a->start, 1, (size_t)a->rows);
}

// One step of the environments first … first + rows through the policy; carries their states on.
static mt_policy_output forward(mt_actor *a, const mt_weights *weights, const float *obs, int64_t first, int64_t rows) {
    const mt_policy *p = a->policy;
    const float *at = obs + first * p->desc.obs;
    if (!p->recurrent) return mt_policy_forward(p, a->kernels, weights, at, rows, NULL, MT_POLICY_ACTOR, &a->space);
    float *state = a->state + first * p->sizes.state;
    mt_sequences s = {.steps = 1, .envs = rows, .start = a->start + first, .state = state, .state_out = state, .state_stride = p->sizes.state};
    mt_policy_output out = mt_policy_forward(p, a->kernels, weights, at, rows, &s, MT_POLICY_BOTH, &a->space);
    memcpy(a->value + first, out.value, sizeof(float) * (size_t)rows);
    memset(a->start + first, 0, (size_t)rows);
    return out;
}

// words (rows, width): component c of row r is word c mod 4 of block c/4 of the row's stream at this step
static void draw_words(mt_actor *a, int64_t first, int64_t rows, uint64_t step, int width) {
    int blocks = (width + 3) / 4;
    for (int b = 0; b < blocks; b++) {
        a->kernels->philox_streams(a->seed, mt_rng_stream(a->use, a->first_env + (uint64_t)first),
            step * (uint64_t)blocks + (uint64_t)b, rows, a->blocks);
        for (int64_t r = 0; r < rows; r++)
            for (int c = 4 * b; c < width && c < 4 * b + 4; c++) a->words[r * width + c] = a->blocks[4 * r + c - 4 * b];
    }
}

// noise (rows, A) from words of an even width
static void draw_normals(mt_actor *a, int64_t first, int64_t rows, uint64_t step) {
    int dim = a->policy->desc.action, width = even(dim);
    draw_words(a, first, rows, step, width);
    a->kernels->normals(rows * width, a->words, a->noise);
    for (int64_t r = 1; r < rows && width != dim; r++) memmove(a->noise + r * dim, a->noise + r * width, sizeof(float) * (size_t)dim);
}

void mt_actor_resample(mt_actor *a, const mt_weights *weights, uint64_t step) {
    const mt_policy *p = a->policy;
    if (p->desc.distribution != MT_DIST_GSDE) return;
    int64_t count = p->log_std_count, at_once = 4 * a->at_once;   // words that fit in blocks
    for (int64_t r = 0; r < a->rows; r++) {
        float *matrix = a->matrix + r * count;
        uint64_t stream = mt_rng_stream(MT_RNG_EXPLORE, a->first_env + (uint64_t)r);
        uint64_t counter = step * (uint64_t)((count + 3) / 4);
        for (int64_t i = 0; i < count; i += at_once) {
            int64_t n = smaller(at_once, count - i), pairs = n + (n & 1);
            float z[4 * MT_ACTOR_ROWS_AT_ONCE];
            a->kernels->philox_counters(a->seed, stream, counter + (uint64_t)(i / 4), (n + 3) / 4, a->blocks);
            a->kernels->normals(pairs, a->blocks, z);
            for (int64_t j = 0; j < n; j++) matrix[i + j] = z[j] * expf(weights->param[p->log_std + i + j]);
        }
    }
}

static void sample_box(mt_actor *a, const mt_policy_output *out, int64_t first, int64_t rows, uint64_t step, float *action,
    float *log_prob) {
    const mt_policy *p = a->policy;
    mt_gaussian d = mt_policy_gaussian(p, out, rows);
    if (p->desc.distribution != MT_DIST_GSDE) {
        draw_normals(a, first, rows, step);
        a->kernels->gaussian_sample(&d, a->noise, action, log_prob);
        return;
    }
    a->kernels->gsde_noise(rows, p->latent, p->desc.action, out->latent, a->matrix + first * p->log_std_count, action);
    a->kernels->axpy(rows * p->desc.action, 1.0f, out->head, action);
    a->kernels->gaussian_log_prob(&d, action, log_prob, NULL);
}

void mt_actor_sample(mt_actor *a, const mt_weights *weights, const float *obs, const uint8_t *mask, uint64_t step,
    float *action, int32_t *choice, float *log_prob) {
    const mt_policy *p = a->policy;
    int dim = p->desc.action;
    for (int64_t first = 0; first < a->rows; first += a->at_once) {
        int64_t rows = smaller(a->at_once, a->rows - first);
        mt_policy_output out = forward(a, weights, obs, first, rows);
        if (p->desc.distribution == MT_DIST_CATEGORICAL) {
            draw_words(a, first, rows, step, dim);
            mt_categorical d = mt_policy_categorical(p, &out, mask ? mask + first * p->head : NULL, rows);
            a->kernels->categorical_sample(&d, a->words, choice + first * dim, log_prob + first);
        } else {
            sample_box(a, &out, first, rows, step, action + first * dim, log_prob + first);
        }
    }
}

void mt_actor_mode(mt_actor *a, const mt_weights *weights, const float *obs, const uint8_t *mask, float *action,
    int32_t *choice) {
    const mt_policy *p = a->policy;
    int dim = p->desc.action;
    for (int64_t first = 0; first < a->rows; first += a->at_once) {
        int64_t rows = smaller(a->at_once, a->rows - first);
        mt_policy_output out = forward(a, weights, obs, first, rows);
        if (p->desc.distribution == MT_DIST_CATEGORICAL) {
            mt_categorical d = mt_policy_categorical(p, &out, mask ? mask + first * p->head : NULL, rows);
            a->kernels->categorical_mode(&d, choice + first * dim);
        } else {
            memcpy(action + first * dim, out.head, sizeof(float) * (size_t)(rows * dim));
        }
    }
}

// The states from which rows go on, in scratch: the network may not write to them.
static mt_sequences states_of(mt_actor *a, const int32_t *env, int64_t first, int64_t rows) {
    int state = a->policy->sizes.state;
    for (int64_t r = 0; r < rows; r++) {
        int64_t e = env ? env[first + r] : first + r;
        memcpy(a->row_state + r * state, a->state + e * state, sizeof(float) * (size_t)state);
        a->row_start[r] = a->start[e];
    }
    return (mt_sequences){.steps = 1, .envs = rows, .start = a->row_start, .state = a->row_state, .state_stride = state};
}

void mt_actor_value(mt_actor *a, const mt_weights *weights, const float *obs, const int32_t *env, int64_t rows, float *value) {
    for (int64_t first = 0; first < rows; first += a->at_once) {
        int64_t n = smaller(a->at_once, rows - first);
        mt_sequences s;
        if (a->policy->recurrent) s = states_of(a, env, first, n);
        mt_policy_output out = mt_policy_forward(a->policy, a->kernels, weights, obs + first * a->policy->desc.obs, n,
            a->policy->recurrent ? &s : NULL, MT_POLICY_CRITIC, &a->space);
        memcpy(value + first, out.value, sizeof(float) * (size_t)n);
    }
}
