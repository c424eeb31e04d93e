// The part of the classic environments that is not hot: creating, seeding, resetting, snapshots, state access.
// Any thread, one at a time for an instance. Uses no global mutable state.
#include "rollout/envs/classic.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/text.h"
#include "rollout/envs/builtin.h"
#include "rollout/envs/canvas.h"

static int fail(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(char *error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error, MANTA_ERROR_BYTES, format, args);
    va_end(args);
    return 1;
}

// ---------------------------------------------------------------- options

static int parse_switch(const manta_env_option *option, double *out, char *error) {
    bool value;
    if (mt_parse_bool(option->value, &value) != MT_OK) return fail(error, "option %s: %s", option->key, mt_last_error());
    *out = value;
    return 0;
}

static int parse_number(const manta_env_option *option, double *out, char *error) {
    if (mt_parse_f64(option->value, out) == MT_OK) return 0;
    return fail(error, "option %s: %s", option->key, mt_last_error());
}

static int parse_max_steps(const manta_env_option *option, int64_t *out, char *error) {
    int64_t value;
    if (mt_parse_i64(option->value, &value) != MT_OK) return fail(error, "option %s: %s", option->key, mt_last_error());
    if (value < -1)
        return fail(error, "option %s: %s steps; give 1 or more, or 0 (or -1) for no limit", option->key, option->value);
    *out = value > 0 ? value : INT64_MAX;
    return 0;
}

static int configure(manta_env *env, const manta_env_option *option, char *error) {
    if (strcmp(option->key, "max_episode_steps") == 0) return parse_max_steps(option, &env->max_steps, error);
    for (int k = 0; k < CLASSIC_PARAM_MAX; k++) {
        const struct classic_param *param = &env->kind->param[k];
        if (!param->key || strcmp(option->key, param->key) != 0) continue;
        return (param->is_switch ? parse_switch : parse_number)(option, &env->param[k], error);
    }
    return fail(error, "unknown option '%s'", option->key);
}

// ---------------------------------------------------------------- life

static int allocate(manta_env *env) {
    size_t padded = env->padded, rows = env->num_envs;
    int ok = (env->steps = calloc(padded, sizeof *env->steps)) != NULL;
    ok &= (env->cache = calloc(padded, sizeof *env->cache)) != NULL;
    for (uint32_t k = 0; k < env->kind->state_count; k++)
        ok &= (env->state[k] = aligned_alloc(64, padded * sizeof(double))) != NULL;
    ok &= (env->seed = calloc(rows, sizeof *env->seed)) != NULL;
    ok &= (env->episode = calloc(rows, sizeof *env->episode)) != NULL;
    if (!ok) return 1;
    for (uint32_t k = 0; k < env->kind->state_count; k++) memset(env->state[k], 0, padded * sizeof(double));
    return 0;
}

int classic_create(const classic_kind *kind, const manta_env_config *config, manta_env **out, char *error) {
    *out = NULL;
    if (config->num_envs == 0 || config->num_envs > UINT32_MAX - CLASSIC_PAD)
        return fail(error, "num_envs is %u; at least 1 environment is needed", config->num_envs);
    manta_env *env = calloc(1, sizeof *env);
    if (!env) return fail(error, "out of memory");
    env->kind = kind;
    env->num_envs = config->num_envs;
    env->padded = (config->num_envs + CLASSIC_PAD - 1) / CLASSIC_PAD * CLASSIC_PAD;
    env->max_steps = kind->desc->max_episode_steps;
    for (int k = 0; k < CLASSIC_PARAM_MAX; k++) env->param[k] = kind->param[k].default_value;
    if (allocate(env)) {
        classic_destroy(env);
        return fail(error, "out of memory for %u environments", config->num_envs);
    }
    for (uint32_t i = 0; i < config->option_count; i++)
        if (configure(env, &config->options[i], error)) {
            classic_destroy(env);
            return 1;
        }
    memcpy(env->seed, config->seeds, env->num_envs * sizeof *env->seed);
    *out = env;
    return 0;
}

void classic_destroy(manta_env *env) {
    if (!env) return;
    for (int k = 0; k < CLASSIC_STATE_MAX; k++) free(env->state[k]);
    free(env->cache);
    free(env->steps);
    free(env->seed);
    free(env->episode);
    free(env);
}

const manta_space *classic_observation_space(const manta_env *env) { return env->kind->observation_space; }
const manta_space *classic_action_space(const manta_env *env) { return env->kind->action_space; }

// ---------------------------------------------------------------- episodes

static void refresh(manta_env *env, uint32_t row) {
    if (env->kind->refresh) env->kind->refresh(env, row);
}

void classic_begin(manta_env *env, uint32_t row) {
    env->steps[row] = 0;
    if (row < env->num_envs) {
        uint32_t words[4];
        mt_rng_block(env->seed[row], mt_rng_stream(MT_RNG_ENV, 0), env->episode[row]++, words);
        double unit[4];
        for (int k = 0; k < 4; k++) unit[k] = words[k] * 0x1p-32;
        env->kind->begin(env, row, unit);
    } else {
        for (uint32_t k = 0; k < env->kind->state_count; k++) env->state[k][row] = 0;
    }
    refresh(env, row);
}

int classic_reset(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error) {
    (void)error;
    float *obs = batch->obs;
    for (uint32_t i = 0; i < env->num_envs; i++) {
        if (mask && !mask[i]) continue;
        if (seeds) {
            env->seed[i] = seeds[i];
            env->episode[i] = 0;
        }
        classic_begin(env, i);
        env->kind->observe(env, i, obs + (size_t)i * env->kind->obs_count);
    }
    return 0;
}

int classic_bad_action(const manta_env *env, uint32_t row, const void *action, char *error) {
    if (env->kind->action_space->kind == MANTA_SPACE_DISCRETE)
        return fail(error, "action %d of environment %u is not one of 0…%d", ((const int32_t *)action)[row], row,
            (int)env->kind->action_space->nvec[0] - 1);
    return fail(error, "action %g of environment %u is not a finite number", (double)((const float *)action)[row], row);
}

// ---------------------------------------------------------------- extensions

// a snapshot of one environment: an mt_classic_record, followed by state_count doubles; of another environment it is refused

static uint64_t tag_of(const manta_env *env) {   // FNV-1a of the id
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = env->kind->desc->id; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return hash;
}

static size_t snapshot_bytes(const manta_env *env) { return (size_t)mt_classic_record_bytes(env->kind->id); }

static void snapshot_save(const manta_env *env, uint32_t row, void *out) {
    mt_classic_record record = {tag_of(env), env->seed[row], env->episode[row], env->steps[row]};
    memcpy(out, &record, sizeof record);
    double *state = (double *)((char *)out + sizeof record);
    for (uint32_t k = 0; k < env->kind->state_count; k++) memcpy(state + k, &env->state[k][row], sizeof(double));
}

static int check_finite(const manta_env *env, const double *state, char *error) {
    for (uint32_t k = 0; k < env->kind->state_count; k++)
        if (!isfinite(state[k])) return fail(error, "state[%u] is %g: not a finite number", k, state[k]);
    return 0;
}

static int snapshot_load(manta_env *env, uint32_t row, const void *in, char *error) {
    mt_classic_record record;
    double state[CLASSIC_STATE_MAX];
    memcpy(&record, in, sizeof record);
    memcpy(state, (const char *)in + sizeof record, env->kind->state_count * sizeof(double));
    if (record.tag != tag_of(env)) return fail(error, "the snapshot is not one of %s", env->kind->desc->id);
    if (record.steps < 0 || record.steps >= env->max_steps)
        return fail(error, "the snapshot's step count is %lld, the limit is %lld", (long long)record.steps,
            (long long)env->max_steps);
    if (check_finite(env, state, error)) return 1;
    env->seed[row] = record.seed;
    env->episode[row] = record.episode;
    env->steps[row] = record.steps;
    for (uint32_t k = 0; k < env->kind->state_count; k++) env->state[k][row] = state[k];
    refresh(env, row);
    return 0;
}

static void state_get(const manta_env *env, uint32_t row, double *out) {
    for (uint32_t k = 0; k < env->kind->state_count; k++) out[k] = env->state[k][row];
}

static int state_set(manta_env *env, uint32_t row, const double *in, char *error) {
    if (check_finite(env, in, error)) return 1;
    for (uint32_t k = 0; k < env->kind->state_count; k++) env->state[k][row] = in[k];
    env->steps[row] = 0;
    refresh(env, row);
    return 0;
}

static uint32_t state_count(const manta_env *env) { return env->kind->state_count; }

static size_t render_text(const manta_env *env, uint32_t row, char *out, size_t bytes) {
    mt_canvas canvas;
    mt_canvas_init(&canvas);
    env->kind->draw(env, row, &canvas);
    return mt_canvas_text(&canvas, out, bytes);
}

static int describe(const manta_env *env, mt_classic *out, char *why) {
    const char *no = env->kind->no_kernel ? env->kind->no_kernel(env) : NULL;
    if (no) return fail(why, "%s", no);
    *out = (mt_classic){.kind = env->kind->id, .max_steps = env->max_steps};
    memcpy(out->param, env->param, sizeof out->param);
    return 0;
}

const void *classic_extension(const char *name) {
    static const manta_env_render render = {sizeof render, render_text};
    static const manta_env_snapshot snapshot = {sizeof snapshot, snapshot_bytes, snapshot_save, snapshot_load};
    static const manta_env_state state = {sizeof state, state_count, state_get, state_set};
    static const mt_env_classic_form form = {sizeof form, describe};
    if (strcmp(name, MANTA_EXT_RENDER) == 0) return &render;
    if (strcmp(name, MANTA_EXT_SNAPSHOT) == 0) return &snapshot;
    if (strcmp(name, MANTA_EXT_STATE) == 0) return &state;
    if (strcmp(name, MT_EXT_CLASSIC) == 0) return &form;
    return NULL;
}
