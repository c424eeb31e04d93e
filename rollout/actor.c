// Acting. Called by rollout workers and evaluation, one thread an actor.
#include "rollout/actor.h"

#include <string.h>

static int even(int n) { return n + (n & 1); }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// random words at once: an action's for each row, or exploration matrices, at least a whole one
static int64_t words_at_once(const mt_policy *p, int64_t at_once) {
    enum { MATRIX_WORDS = 4096 };
    int64_t action = even(p->desc.action) * at_once, matrix = p->log_std_count + (p->log_std_count & 1);
    if (p->desc.distribution == MT_DIST_GSDE && matrix < MATRIX_WORDS) matrix = MATRIX_WORDS / matrix * matrix;
    return p->desc.distribution == MT_DIST_GSDE && matrix > action ? matrix : action;
}

void mt_actor_register(mt_actor *a, const mt_actor_desc *d, mt_arena *arena) {
    const mt_policy *policy = d->policy;
    *a = (mt_actor){.policy = policy, .kernels = d->kernels, .use = d->use, .seed = d->seed, .first_env = d->first_env, .rows = d->rows,
        .values = d->values || policy->recurrent};
    // values of a whole segment go through the same workspace, so it is full-sized even for few environments
    int64_t rows = d->rows, state = policy->sizes.state;
    int64_t at_once = a->at_once = d->at_once ? d->at_once : mt_policy_rows_at_once(policy, MT_ACTOR_ROWS_AT_ONCE);
    mt_policy_space_register(&a->space, policy, d->kernels, at_once, 0, arena);
    MT_ARENA_ADD(arena, a->state, state * rows);
    MT_ARENA_ADD(arena, a->start, state ? rows : 0);
    MT_ARENA_ADD(arena, a->value, a->values ? rows : 0);
    MT_ARENA_ADD(arena, a->row_state, state * at_once);
    MT_ARENA_ADD(arena, a->row_start, state ? at_once : 0);
    a->word_count = words_at_once(policy, at_once);
    MT_ARENA_ADD(arena, a->step, 1);
    MT_ARENA_ADD(arena, a->words, a->word_count);
    MT_ARENA_ADD(arena, a->noise, a->word_count);
    MT_ARENA_ADD(arena, a->matrix, policy->desc.distribution == MT_DIST_GSDE ? rows * policy->log_std_count : 0);
}

void mt_actor_begin(mt_actor *a) {
    if (a->policy->recurrent) memset(a->start, 1, (size_t)a->rows);
}

// One step of the environments first … first + rows through the policy; carries their states on.
static mt_policy_output forward(mt_actor *a, const mt_weights *weights, const float *obs, int64_t first, int64_t rows) {
    const mt_policy *p = a->policy;
    const float *at = obs + first * p->desc.obs;
    int parts = a->values ? MT_POLICY_BOTH : MT_POLICY_ACTOR;
    mt_sequences s;
    if (p->recurrent) {
        float *state = a->state + first * p->sizes.state;
        s = (mt_sequences){.steps = 1, .envs = rows, .start = a->start + first, .state = state, .state_out = state, .state_stride = p->sizes.state};
    }
    mt_policy_output out = mt_policy_forward(p, a->kernels, weights, at, rows, p->recurrent ? &s : NULL, parts, &a->space);
    if (a->values) a->kernels->copy_columns(1, rows, out.value, rows, a->value + first, rows);
    if (p->recurrent) a->kernels->zero(rows, a->start + first);
    return out;
}

// noise (rows, A): normals are made in pairs, of an even number of words a row
static const float *draw_normals(mt_actor *a, int64_t first, int64_t rows) {
    const mt_kernels *k = a->kernels;
    int dim = a->policy->desc.action, width = even(dim);
    k->philox_words(a->seed, mt_rng_stream(a->use, a->first_env + (uint64_t)first), a->step, rows, width, a->words);
    k->normals(rows * width, a->words, a->noise);
    if (width == dim) return a->noise;
    float *noise = (float *)(void *)a->words;   // which are used up
    k->copy_columns(rows, dim, a->noise, width, noise, dim);
    return noise;
}

void mt_actor_resample_now(mt_actor *a, const mt_weights *weights) {
    const mt_policy *p = a->policy;
    if (p->desc.distribution != MT_DIST_GSDE) return;
    int64_t count = p->log_std_count, width = count + (count & 1), at_once = a->word_count / width;
    for (int64_t first = 0; first < a->rows; first += at_once) {
        int64_t rows = smaller(at_once, a->rows - first);
        a->kernels->philox_words(a->seed, mt_rng_stream(MT_RNG_EXPLORE, a->first_env + (uint64_t)first), a->step, rows, (int)width, a->words);
        a->kernels->normals(rows * width, a->words, a->noise);
        a->kernels->gsde_matrix(rows, count, a->noise, width, weights->param + p->log_std, a->matrix + first * count);
    }
}

void mt_actor_resample(mt_actor *a, const mt_weights *weights, uint64_t step) {
    *a->step = step;
    mt_actor_resample_now(a, weights);
}

static void sample_box(mt_actor *a, const mt_policy_output *out, int64_t first, int64_t rows, float *action, float *log_prob) {
    const mt_policy *p = a->policy;
    mt_gaussian d = mt_policy_gaussian(p, out, rows);
    if (p->desc.distribution != MT_DIST_GSDE) {
        a->kernels->gaussian_sample(&d, draw_normals(a, first, rows), action, log_prob);
        return;
    }
    a->kernels->gsde_noise(rows, p->latent, p->desc.action, out->latent, a->matrix + first * p->log_std_count, action);
    a->kernels->axpy(rows * p->desc.action, 1.0f, out->head, action);
    a->kernels->gaussian_log_prob(&d, action, log_prob, NULL);
}

void mt_actor_sample_now(mt_actor *a, const mt_weights *weights, const float *obs, const uint8_t *mask, float *action, int32_t *choice,
    float *log_prob) {
    const mt_policy *p = a->policy;
    int dim = p->desc.action;
    for (int64_t first = 0; first < a->rows; first += a->at_once) {
        int64_t rows = smaller(a->at_once, a->rows - first);
        mt_policy_output out = forward(a, weights, obs, first, rows);
        if (p->desc.distribution == MT_DIST_CATEGORICAL) {
            a->kernels->philox_words(a->seed, mt_rng_stream(a->use, a->first_env + (uint64_t)first), a->step, rows, dim, a->words);
            mt_categorical d = mt_policy_categorical(p, &out, mask ? mask + first * p->head : NULL, rows);
            a->kernels->categorical_sample(&d, a->words, choice + first * dim, log_prob + first);
        } else {
            sample_box(a, &out, first, rows, action + first * dim, log_prob + first);
        }
    }
}

void mt_actor_sample(mt_actor *a, const mt_weights *weights, const float *obs, const uint8_t *mask, uint64_t step,
    float *action, int32_t *choice, float *log_prob) {
    *a->step = step;
    mt_actor_sample_now(a, weights, obs, mask, action, choice, log_prob);
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
            a->kernels->copy_columns(rows, dim, out.head, dim, action + first * dim, dim);
        }
    }
}

// The states from which rows go on; the network only reads them.
static mt_sequences states_of(mt_actor *a, const int32_t *env, int64_t first, int64_t rows) {
    int64_t state = a->policy->sizes.state;
    if (!env)
        return (mt_sequences){.steps = 1, .envs = rows, .start = a->start + first, .state = a->state + first * state, .state_stride = state};
    a->kernels->gather_rows(rows, 4 * state, a->state, env + first, a->row_state);
    a->kernels->gather_rows(rows, 1, a->start, env + first, a->row_start);
    return (mt_sequences){.steps = 1, .envs = rows, .start = a->row_start, .state = a->row_state, .state_stride = state};
}

void mt_actor_value(mt_actor *a, const mt_weights *weights, const float *obs, const int32_t *env, int64_t rows, float *value) {
    for (int64_t first = 0; first < rows; first += a->at_once) {
        int64_t n = smaller(a->at_once, rows - first);
        mt_sequences s;
        if (a->policy->recurrent) s = states_of(a, env, first, n);
        mt_policy_output out = mt_policy_forward(a->policy, a->kernels, weights, obs + first * a->policy->desc.obs, n,
            a->policy->recurrent ? &s : NULL, MT_POLICY_CRITIC, &a->space);
        a->kernels->copy_columns(1, n, out.value, n, value + first, n);
    }
}
