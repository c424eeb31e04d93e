// MountainCar-v0 (Moore 1990), as Gymnasium 1.x computes it, in double. State: position, velocity. Compiled once per
// instruction set.
#include "rollout/envs/builtin.h"
#include "rollout/envs/classic_step.h"
#include "rollout/envs/mountain_draw.h"

enum { POSITION, VELOCITY, OBS = 2 };
enum { GOAL_VELOCITY };   // param

static const double min_position = -1.2, max_position = 0.6, max_speed = 0.07, goal_position = 0.5, force = 0.001,
                    gravity = 0.0025;

CLASSIC_INLINE classic_lanes physics(manta_env *env, uint32_t row, const void *action, float *obs, float *reward) {
    vd position = vd_load(env->state[POSITION] + row), velocity = vd_load(env->state[VELOCITY] + row);
    vl push = __builtin_convertvector(vw_load(action), vl);

    vd sine, cosine;
    vd_sincos(3 * position, &sine, &cosine);
    velocity = velocity + (__builtin_convertvector(push - 1, vd) * force + cosine * -gravity);
    velocity = vd_clip(velocity, -max_speed, max_speed);
    position = vd_clip(position + velocity, min_position, max_position);
    velocity = vd_select((position == min_position) & (velocity < 0), vd_set(0), velocity);   // the wall on the left

    vd_store(env->state[POSITION] + row, position);
    vd_store(env->state[VELOCITY] + row, velocity);
    vs_store_rows(obs, (vs[]){vs_from(position), vs_from(velocity)}, OBS);
    vs_store(reward, -1.0f - (vs){});
    return (classic_lanes){.terminated = (position >= goal_position) & (velocity >= env->param[GOAL_VELOCITY]),
        .bad = (push < 0) | (push > 2)};
}

static void begin(manta_env *env, uint32_t row, const double unit[4]) {
    env->state[POSITION][row] = -0.6 + 0.2 * unit[0];
    env->state[VELOCITY][row] = 0;
}

static void observe(const manta_env *env, uint32_t row, float *obs) {
    for (int k = 0; k < OBS; k++) obs[k] = (float)env->state[k][row];
}

static void draw(const manta_env *env, uint32_t row, mt_canvas *canvas) {
    mt_mountain_draw(canvas, "MountainCar", env->state[POSITION][row], env->state[VELOCITY][row], goal_position, env->steps[row]);
}

static const manta_space observation_space = CLASSIC_BOX(OBS, ((const float[]){-1.2f, -0.07f}), ((const float[]){0.6f, 0.07f}));
static const manta_space action_space = CLASSIC_CHOICES(3);

static const classic_kind kind = {
    .desc = &MT_ISA_NAME(mt_env_mountain_car),
    .state_count = 2,
    .obs_count = OBS,
    .observation_space = &observation_space,
    .action_space = &action_space,
    .param = {[GOAL_VELOCITY] = {"goal_velocity", 0, 0}},
    .begin = begin,
    .observe = observe,
    .draw = draw,
};

CLASSIC_CREATE(kind)
CLASSIC_STEP(OBS, physics, observe)

const manta_env_desc MT_ISA_NAME(mt_env_mountain_car) = {
    CLASSIC_COMMON,
    .id = "MountainCar-v0",
    .summary = "swing a weak car out of a valley: left, nothing or right",
    .reward_threshold = -110,
    CLASSIC_OPTIONS(200,
        {"goal_velocity", "0", "least velocity at the flag for the episode to end, position units a step"}),
};
