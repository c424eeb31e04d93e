// The part of the puzzles that is not hot: creating, options, seeding, resetting, snapshots, state access.
// Any thread, one at a time for an instance. Uses no global mutable state.
#include "rollout/envs/puzzle.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/rng.h"
#include "engine/base/text.h"
#include "rollout/envs/canvas.h"

int puzzle_fail(char *error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error, MANTA_ERROR_BYTES, format, args);
    va_end(args);
    return 1;
}

// ---------------------------------------------------------------- options

static int parse(const struct puzzle_option *option, const char *key, const char *text, double *out, char *error) {
    double value;
    if (mt_parse_f64(text, &value) != MT_OK) return puzzle_fail(error, "option %s: %s", key, mt_last_error());
    if (!(value >= option->low && value <= option->high) || (option->is_whole && value != floor(value)))
        return puzzle_fail(error, "option %s: %s; give a %s from %g to %g", key, text, option->is_whole ? "whole number" : "number",
            option->low, option->high);
    *out = value;
    return 0;
}

// the defaults, then those given
static int configure(manta_env *env, const manta_env_config *config, char *error) {
    const manta_env_desc *desc = env->kind->desc;
    for (uint32_t k = 0; k < desc->option_count; k++)
        if (parse(&env->kind->option[k], desc->options[k].key, desc->options[k].default_value, &env->option[k], error)) return 1;
    for (uint32_t i = 0; i < config->option_count; i++) {
        const manta_env_option *given = &config->options[i];
        uint32_t k = 0;
        while (k < desc->option_count && strcmp(desc->options[k].key, given->key) != 0) k++;
        if (k == desc->option_count) return puzzle_fail(error, "unknown option '%s'", given->key);
        if (parse(&env->kind->option[k], given->key, given->value, &env->option[k], error)) return 1;
    }
    return 0;
}

// ---------------------------------------------------------------- spaces

int puzzle_box(manta_env *env, int slot, const char *name, manta_dtype dtype, uint32_t ndim, const int64_t *shape, float low, float high,
    char *error) {
    size_t count = 1;
    for (uint32_t d = 0; d < ndim; d++) count *= (size_t)shape[d];
    float *bounds[2] = {malloc(count * sizeof(float)), malloc(count * sizeof(float))};
    env->bounds[2 * slot] = bounds[0], env->bounds[2 * slot + 1] = bounds[1];
    if (!bounds[0] || !bounds[1]) return puzzle_fail(error, "out of memory for a space of %zu values", count);
    for (size_t i = 0; i < count; i++) bounds[0][i] = low, bounds[1][i] = high;
    env->space[slot] = (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = dtype, .ndim = ndim,
        .low = bounds[0], .high = bounds[1], .name = name};
    memcpy(env->space[slot].shape, shape, ndim * sizeof *shape);
    return 0;
}

const manta_space *puzzle_observation_space(const manta_env *env) { return &env->space[0]; }
const manta_space *puzzle_action_space(const manta_env *env) { return &env->action_space; }

// ---------------------------------------------------------------- life

int puzzle_create(const puzzle_kind *kind, const manta_env_config *config, manta_env **out, char *error) {
    *out = NULL;
    if (config->num_envs == 0) return puzzle_fail(error, "num_envs is 0; at least 1 environment is needed");
    size_t rows = config->num_envs;
    manta_env *env = calloc(1, sizeof *env);
    if (!env) return puzzle_fail(error, "out of memory");
    env->kind = kind;
    env->num_envs = config->num_envs;
    env->state = calloc(rows * kind->state_count, sizeof *env->state);
    env->seed = calloc(rows, sizeof *env->seed);
    env->episode = calloc(rows, sizeof *env->episode);
    int failed = env->state && env->seed && env->episode ? 0 : puzzle_fail(error, "out of memory for %u environments", config->num_envs);
    if (failed || configure(env, config, error) || kind->set_up(env, error)) {
        puzzle_destroy(env);
        return 1;
    }
    env->action_space = (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_DISCRETE, .dtype = MANTA_I32,
        .nvec = &env->actions};
    memcpy(env->seed, config->seeds, rows * sizeof *env->seed);
    *out = env;
    return 0;
}

void puzzle_destroy(manta_env *env) {
    if (!env) return;
    for (int k = 0; k < 2 * PUZZLE_SPACES_MAX; k++) free(env->bounds[k]);
    free(env->state);
    free(env->seed);
    free(env->episode);
    free(env);
}

// ---------------------------------------------------------------- episodes

void puzzle_begin(manta_env *env, uint32_t row) {
    uint32_t words[4];
    mt_rng_block(env->seed[row], mt_rng_stream(MT_RNG_ENV, 0), env->episode[row]++, words);
    env->kind->begin(env, puzzle_state(env, row), words);
}

void puzzle_noise(const manta_env *env, uint32_t row, uint32_t step, int count, float *out) {
    uint64_t counter = (env->episode[row] - 1) * PUZZLE_STEPS_MAX + step;
    uint32_t words[4] = {0};
    for (int i = 0; i < count; i++) {
        if (i % 4 == 0) mt_rng_block(env->seed[row], mt_rng_stream(MT_RNG_ENV, 1 + (uint64_t)i / 4), counter, words);
        out[i] = 2 * mt_u32_to_unit(words[i % 4]) - 1;
    }
}

int puzzle_reset(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error) {
    (void)error;
    for (uint32_t i = 0; i < env->num_envs; i++) {
        if (mask && !mask[i]) continue;
        if (seeds) {
            env->seed[i] = seeds[i];
            env->episode[i] = 0;
        }
        puzzle_begin(env, i);
        env->kind->observe(env, i, (char *)batch->obs + i * env->obs_bytes);
    }
    return 0;
}

// ---------------------------------------------------------------- extensions

typedef struct puzzle_record {   // one environment in a snapshot
    uint64_t tag;                // of the environment's id and options: a snapshot of another environment is refused
    uint64_t seed, episode;
    int32_t state[PUZZLE_STATE_MAX];
} puzzle_record;

static uint64_t mix(uint64_t hash, const void *data, size_t bytes) {   // FNV-1a
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t tag_of(const manta_env *env) {
    const char *id = env->kind->desc->id;
    return mix(mix(0xcbf29ce484222325u, id, strlen(id)), env->option, sizeof env->option);
}

static size_t snapshot_bytes(const manta_env *env) { return (void)env, sizeof(puzzle_record); }

static void snapshot_save(const manta_env *env, uint32_t row, void *out) {
    puzzle_record record = {tag_of(env), env->seed[row], env->episode[row], {0}};
    memcpy(record.state, puzzle_state(env, row), env->kind->state_count * sizeof *record.state);
    memcpy(out, &record, sizeof record);
}

static int check_state(const manta_env *env, uint32_t k, double value, char *error) {
    int32_t values = env->kind->values(env, k);
    if (value >= 0 && value < values && value == floor(value)) return 0;
    return puzzle_fail(error, "state[%u] is %g; it is a whole number from 0 to %d", k, value, values - 1);
}

static int snapshot_load(manta_env *env, uint32_t row, const void *in, char *error) {
    puzzle_record record;
    memcpy(&record, in, sizeof record);
    if (record.tag != tag_of(env)) return puzzle_fail(error, "the snapshot is not one of %s with these options", env->kind->desc->id);
    if (record.episode == 0) return puzzle_fail(error, "the snapshot's episode has not begun");
    for (uint32_t k = 0; k < env->kind->state_count; k++)
        if (check_state(env, k, record.state[k], error)) return 1;
    env->seed[row] = record.seed;
    env->episode[row] = record.episode;
    memcpy(puzzle_state(env, row), record.state, env->kind->state_count * sizeof *record.state);
    return 0;
}

static uint32_t state_count(const manta_env *env) { return env->kind->state_count; }

static void state_get(const manta_env *env, uint32_t row, double *out) {
    for (uint32_t k = 0; k < env->kind->state_count; k++) out[k] = puzzle_state(env, row)[k];
}

static int state_set(manta_env *env, uint32_t row, const double *in, char *error) {
    for (uint32_t k = 0; k < env->kind->state_count; k++)
        if (check_state(env, k, in[k], error)) return 1;
    for (uint32_t k = 0; k < env->kind->state_count; k++) puzzle_state(env, row)[k] = (int32_t)in[k];
    return 0;
}

static size_t render_text(const manta_env *env, uint32_t row, char *out, size_t bytes) {
    mt_canvas canvas;
    mt_canvas_init(&canvas);
    env->kind->draw(env, row, &canvas);
    return mt_canvas_text(&canvas, out, bytes);
}

const void *puzzle_extension(const char *name) {
    static const manta_env_render render = {sizeof render, render_text};
    static const manta_env_snapshot snapshot = {sizeof snapshot, snapshot_bytes, snapshot_save, snapshot_load};
    static const manta_env_state state = {sizeof state, state_count, state_get, state_set};
    if (strcmp(name, MANTA_EXT_RENDER) == 0) return &render;
    if (strcmp(name, MANTA_EXT_SNAPSHOT) == 0) return &snapshot;
    if (strcmp(name, MANTA_EXT_STATE) == 0) return &state;
    return NULL;
}
