// The step loop of the classic environments, inlined into each with its physics, and what their files end in alike.
#ifndef MANTA_ROLLOUT_ENVS_CLASSIC_STEP_H
#define MANTA_ROLLOUT_ENVS_CLASSIC_STEP_H

#include "kernels/classic/rows.h"
#include "rollout/envs/classic.h"

// What physics makes of VD rows from `row` on. `action` points at VD actions; obs is (VD, obs_count), reward (VD).
// Reads and writes the state arrays. Lanes set in *bad had an action outside the space.
typedef struct classic_lanes {
    vl terminated, bad;
} classic_lanes;
typedef classic_lanes (*classic_physics)(manta_env *env, uint32_t row, const void *action, float *obs, float *reward);

#define CLASSIC_INLINE static inline __attribute__((always_inline))

// Physics by a move of kernels/classic, inlined. `cached`, a constant: the kind has a cache.
CLASSIC_INLINE classic_lanes classic_moved(manta_env *env, uint32_t row, const void *action, float *obs, float *reward,
    uint32_t state_count, uint32_t obs_count, int cached, void (*move)(const double *param, classic_rows *r)) {
    uint32_t rest = env->num_envs - row;
    classic_rows r = {.steps = vl_load(env->steps + row), .choice = vl_of_int32(vw_load(action)), .push = vd_from(vs_load(action)),
        .lanes = rest < VD ? (int)rest : VD};
    for (uint32_t k = 0; k < state_count; k++) r.state[k] = vd_load(env->state[k] + row);
    if (cached) r.cache = vd_load(env->cache + row);
    move(env->param, &r);
    for (uint32_t k = 0; k < state_count; k++) vd_store(env->state[k] + row, r.state[k]);
    if (cached) vd_store(env->cache + row, r.cache);
    vs_store_rows(obs, r.obs, (int)obs_count);
    vs_store(reward, r.reward);
    return (classic_lanes){.terminated = r.terminated, .bad = r.bad};
}

// What a step returns of up to 64 rows: bit i = row i of them.
typedef struct classic_ends {
    uint64_t ended, bad;
} classic_ends;

// VD rows from `row` on: physics, step count, flags. No branch depends on how the episodes go, so that the next rows' work
// overlaps with this one's; the ends are dealt with once for 64 rows (measured: a third more steps/s than row by row).
CLASSIC_INLINE classic_ends classic_step_lanes(manta_env *env, uint32_t row, const void *action, float *obs,
    float *reward, uint8_t *terminated, uint8_t *truncated, classic_physics physics) {
    classic_lanes lanes = physics(env, row, action, obs, reward);
    vl steps = vl_load(env->steps + row) + 1;
    vl cut = steps >= env->max_steps;
    vl_store(env->steps + row, steps);
    vb_store_flags(terminated, lanes.terminated);
    vb_store_flags(truncated, cut);
    return (classic_ends){vl_bits(lanes.terminated | cut), vl_bits(lanes.bad)};
}

// For each ended row: keep the last observation, begin anew, observe.
CLASSIC_INLINE void classic_restart(manta_env *env, uint32_t row, uint64_t ended, uint32_t obs_count,
    void (*observe)(const manta_env *, uint32_t, float *), float *obs, float *final_obs) {
    while (ended) {
        uint32_t i = (uint32_t)__builtin_ctzll(ended);
        ended &= ended - 1;
        memcpy(final_obs + (size_t)i * obs_count, obs + (size_t)i * obs_count, obs_count * sizeof *obs);
        classic_begin(env, row + i);
        observe(env, row + i, obs + (size_t)i * obs_count);
    }
}

// The rows that do not fill a vector, through buffers on the stack.
CLASSIC_INLINE int classic_step_rest(manta_env *env, uint32_t row, const manta_env_batch *batch, char *error, uint32_t obs_count,
    classic_physics physics, void (*observe)(const manta_env *, uint32_t, float *)) {
    uint32_t rest = env->num_envs - row;
    int32_t action[VD] = {0};
    float obs[VD * CLASSIC_OBS_MAX], final_obs[VD * CLASSIC_OBS_MAX], reward[VD];
    uint8_t terminated[VD], truncated[VD];
    memcpy(action, (const int32_t *)batch->action + row, 4 * rest);
    classic_ends ends = classic_step_lanes(env, row, action, obs, reward, terminated, truncated, physics);
    if (__builtin_expect(ends.bad != 0, 0))
        return classic_bad_action(env, row + (uint32_t)__builtin_ctzll(ends.bad), batch->action, error);
    if (ends.ended) classic_restart(env, row, ends.ended, obs_count, observe, obs, final_obs);
    memcpy((float *)batch->obs + (size_t)row * obs_count, obs, rest * obs_count * sizeof(float));
    memcpy(batch->reward + row, reward, rest * sizeof(float));
    memcpy(batch->terminated + row, terminated, rest);
    memcpy(batch->truncated + row, truncated, rest);
    for (uint32_t i = 0; i < rest; i++)
        if (terminated[i] | truncated[i])
            memcpy((float *)batch->final_obs + (size_t)(row + i) * obs_count, final_obs + i * obs_count, obs_count * sizeof(float));
    return 0;
}

// All rows: whole vectors straight in the caller's arrays, then the rest.
CLASSIC_INLINE int classic_step(manta_env *env, const manta_env_batch *batch, char *error, uint32_t obs_count,
    classic_physics physics, void (*observe)(const manta_env *, uint32_t, float *)) {
    const int32_t *action = batch->action;   // 4 bytes each, I32 or F32
    float *obs = batch->obs, *final_obs = batch->final_obs;
    uint32_t row = 0, whole = env->num_envs / VD * VD;
    while (row < whole) {
        classic_ends block = {0};
        uint32_t first = row, end = whole - row > 64 ? row + 64 : whole;
        for (; row < end; row += VD) {
            classic_ends ends = classic_step_lanes(env, row, action + row, obs + (size_t)row * obs_count, batch->reward + row,
                batch->terminated + row, batch->truncated + row, physics);
            block.ended |= ends.ended << (row - first);
            block.bad |= ends.bad << (row - first);
        }
        if (__builtin_expect(block.bad != 0, 0))
            return classic_bad_action(env, first + (uint32_t)__builtin_ctzll(block.bad), batch->action, error);
        classic_restart(env, first, block.ended, obs_count, observe, obs + (size_t)first * obs_count, final_obs + (size_t)first * obs_count);
    }
    return row < env->num_envs ? classic_step_rest(env, row, batch, error, obs_count, physics, observe) : 0;
}

// ---- what a file ends in. The functions differ in what they call, and being of one file each lets physics be inlined.

#define CLASSIC_BEGIN(name, state_count)                                                                               \
    static void begin(manta_env *env, uint32_t row, const double unit[4]) {                                            \
        double state[state_count];                                                                                     \
        name##_begin(unit, state);                                                                                     \
        for (int k = 0; k < state_count; k++) env->state[k][row] = state[k];                                           \
    }

// physics, begin and observe out of NAME_move, NAME_begin and NAME_observe
#define CLASSIC_RULES(name, state_count, obs_count, cached)                                                            \
    CLASSIC_INLINE classic_lanes physics(manta_env *env, uint32_t row, const void *action, float *obs, float *reward) { \
        return classic_moved(env, row, action, obs, reward, state_count, obs_count, cached, name##_move);              \
    }                                                                                                                  \
    CLASSIC_BEGIN(name, state_count)                                                                                   \
    static void observe(const manta_env *env, uint32_t row, float *obs) {                                              \
        double state[state_count];                                                                                     \
        for (int k = 0; k < state_count; k++) state[k] = env->state[k][row];                                           \
        name##_observe(state, obs);                                                                                    \
    }

#define CLASSIC_CREATE(kind)                                                                                           \
    static int create(const manta_env_config *config, manta_env **out, char *error) {                                  \
        return classic_create(&(kind), config, out, error);                                                            \
    }

#define CLASSIC_STEP(obs_count, physics, observe)                                                                      \
    static int step(manta_env *env, const manta_env_batch *batch, char *error) {                                       \
        return classic_step(env, batch, error, obs_count, physics, observe);                                           \
    }

// The fields of a descriptor that are the same in all; create and step are the file's.
#define CLASSIC_COMMON                                                                                                 \
    .struct_size = sizeof(manta_env_desc), .abi_version = MANTA_ENV_ABI_VERSION,                                       \
    .capabilities = MANTA_ENV_DETERMINISTIC, .create = create, .destroy = classic_destroy,                             \
    .observation_space = classic_observation_space, .action_space = classic_action_space, .reset = classic_reset,      \
    .step = step, .extension = classic_extension

// The time limit, and the options: the limit again and those given, each {key, default, help}.
#define CLASSIC_OPTIONS(limit, ...)                                                                                    \
    .max_episode_steps = limit,                                                                                        \
    .option_count = sizeof((const manta_env_option_desc[]){__VA_ARGS__}) / sizeof(manta_env_option_desc) + 1,          \
    .options = (const manta_env_option_desc[]) {                                                                       \
        {"max_episode_steps", #limit, "steps after which an episode is cut; 0 = never"}, __VA_ARGS__                   \
    }

// The spaces. low, high: (count).
#define CLASSIC_BOX(count, low_, high_)                                                                                \
    {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = MANTA_F32, .ndim = 1, .shape = {count},     \
        .low = (low_), .high = (high_)}
#define CLASSIC_CHOICES(count)                                                                                         \
    {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_DISCRETE, .dtype = MANTA_I32,                             \
        .nvec = (const int64_t[]){count}}

#endif
