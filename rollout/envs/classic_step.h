// The step loop of the classic environments, inlined into each with its physics.
#ifndef MANTA_ROLLOUT_ENVS_CLASSIC_STEP_H
#define MANTA_ROLLOUT_ENVS_CLASSIC_STEP_H

#include "rollout/envs/classic.h"
#include "rollout/envs/vec.h"

// What physics makes of VD rows from `row` on. `action` points at VD actions; obs is (VD, obs_count), reward (VD).
// Reads and writes the state arrays. Lanes set in *bad had an action outside the space.
typedef struct classic_lanes {
    vl terminated, bad;
} classic_lanes;
typedef classic_lanes (*classic_physics)(manta_env *env, uint32_t row, const void *action, float *obs, float *reward);

#define CLASSIC_INLINE static inline __attribute__((always_inline))

// The ends of episodes among VD rows: keep the last observation, begin anew, observe.
CLASSIC_INLINE void classic_restart(manta_env *env, uint32_t row, unsigned ended, uint32_t obs_count,
    void (*observe)(const manta_env *, uint32_t, float *), float *obs, float *final_obs) {
    while (ended) {
        uint32_t lane = (uint32_t)__builtin_ctz(ended);
        ended &= ended - 1;
        memcpy(final_obs + lane * obs_count, obs + lane * obs_count, obs_count * sizeof *obs);
        classic_begin(env, row + lane);
        observe(env, row + lane, obs + lane * obs_count);
    }
}

CLASSIC_INLINE classic_lanes classic_step_lanes(manta_env *env, uint32_t row, const void *action, float *obs,
    float *reward, uint8_t *terminated, uint8_t *truncated, float *final_obs, uint32_t obs_count,
    classic_physics physics, void (*observe)(const manta_env *, uint32_t, float *)) {
    classic_lanes lanes = physics(env, row, action, obs, reward);
    vl steps = vl_load(env->steps + row) + 1;
    vl cut = steps >= env->max_steps;
    vl_store(env->steps + row, steps);
    vb_store_flags(terminated, lanes.terminated);
    vb_store_flags(truncated, cut);
    unsigned ended = vl_bits(lanes.terminated | cut);
    if (ended) classic_restart(env, row, ended, obs_count, observe, obs, final_obs);
    return lanes;
}

// All rows: whole vectors straight in the caller's arrays, the rest through buffers on the stack.
CLASSIC_INLINE int classic_step(manta_env *env, const manta_env_batch *batch, char *error, uint32_t obs_count,
    classic_physics physics, void (*observe)(const manta_env *, uint32_t, float *)) {
    const char *action = batch->action;   // actions of 4 bytes each, I32 or F32
    float *obs = batch->obs, *final_obs = batch->final_obs;
    uint32_t row = 0, count = env->num_envs;
    for (; row + VD <= count; row += VD) {
        classic_lanes lanes = classic_step_lanes(env, row, action + 4 * (size_t)row, obs + (size_t)row * obs_count,
            batch->reward + row, batch->terminated + row, batch->truncated + row, final_obs + (size_t)row * obs_count,
            obs_count, physics, observe);
        unsigned bad = vl_bits(lanes.bad);
        if (__builtin_expect(bad != 0, 0))
            return classic_bad_action(env, row + (uint32_t)__builtin_ctz(bad), batch->action, error);
    }
    if (row == count) return 0;

    uint32_t rest = count - row;
    int32_t action_part[VD] = {0};
    float obs_part[VD * CLASSIC_OBS_MAX], final_part[VD * CLASSIC_OBS_MAX], reward_part[VD];
    uint8_t terminated_part[VD], truncated_part[VD];
    memcpy(action_part, action + 4 * (size_t)row, 4 * rest);
    classic_lanes lanes = classic_step_lanes(env, row, action_part, obs_part, reward_part, terminated_part,
        truncated_part, final_part, obs_count, physics, observe);
    unsigned bad = vl_bits(lanes.bad);
    if (__builtin_expect(bad != 0, 0))
        return classic_bad_action(env, row + (uint32_t)__builtin_ctz(bad), batch->action, error);
    memcpy(obs + (size_t)row * obs_count, obs_part, rest * obs_count * sizeof(float));
    memcpy(batch->reward + row, reward_part, rest * sizeof(float));
    memcpy(batch->terminated + row, terminated_part, rest);
    memcpy(batch->truncated + row, truncated_part, rest);
    for (uint32_t i = 0; i < rest; i++)
        if (terminated_part[i] | truncated_part[i])
            memcpy(final_obs + (size_t)(row + i) * obs_count, final_part + i * obs_count, obs_count * sizeof(float));
    return 0;
}

#endif
