// MountainCarContinuous-v0, as Gymnasium 1.x computes it with NumPy 2. Its state is an array of doubles after a reset and
// of floats after a step, and NumPy computes float op Python number in float: which operations round to float depends on
// that and on whether the action was clipped (then the force is a Python number). Followed here operation by operation,
// because the roundings of 999 steps add up. State: position, velocity, held as doubles. Compiled once per instruction set.
#include "rollout/envs/builtin.h"
#include "rollout/envs/classic_step.h"
#include "rollout/envs/mountain_draw.h"

enum { POSITION, VELOCITY, OBS = 2 };
enum { GOAL_VELOCITY };   // param

static const double min_position = -1.2, max_position = 0.6, max_speed = 0.07, goal_position = 0.45, power = 0.0015;

// `fresh`: the state is that of a reset, in double; then bounds are compared as doubles, else as floats
static inline vd clip_as(vl fresh, vd x, double low, double high) {
    return vd_select(fresh, vd_clip(x, low, high), vd_clip(x, (float)low, (float)high));
}

CLASSIC_INLINE classic_lanes physics(manta_env *env, uint32_t row, const void *action, float *obs, float *reward) {
    vd position = vd_load(env->state[POSITION] + row), velocity = vd_load(env->state[VELOCITY] + row);
    vl fresh = vl_load(env->steps + row) == 0;
    vd push = vd_from(vs_load(action));

    vd angle = 3 * position, sine, cosine;
    vd_sincos(vd_select(fresh, angle, vd_to_float(angle)), &sine, &cosine);
    vd pull = 0.0025 * cosine, force = vd_clip(push, -1, 1);
    vl clipped = force != push;
    vd change = vd_select(clipped, force * power - pull, vd_to_float(vd_to_float(force * (float)power) - vd_to_float(pull)));
    velocity = vd_select(fresh, velocity + change, vd_to_float(velocity + vd_to_float(change)));
    velocity = clip_as(fresh, velocity, -max_speed, max_speed);
    position = vd_select(fresh, position + velocity, vd_to_float(position + velocity));
    position = clip_as(fresh, position, min_position, max_position);
    vl wall = (position == min_position) | (position == (float)min_position);
    velocity = vd_select(wall & (velocity < 0), vd_set(0), velocity);

    position = vd_to_float(position);
    velocity = vd_to_float(velocity);
    vl terminated = (position >= (float)goal_position) & (velocity >= (float)env->param[GOAL_VELOCITY]);
    vd_store(env->state[POSITION] + row, position);
    vd_store(env->state[VELOCITY] + row, velocity);
    vs_store_rows(obs, (vs[]){vs_from(position), vs_from(velocity)}, OBS);
    vs_store(reward, vs_from(vd_select(terminated, vd_set(100), vd_set(0)) - push * push * 0.1));
    return (classic_lanes){.terminated = terminated, .bad = ~(vd_abs(push) <= 0x1.fffffep127)};
}

static void begin(manta_env *env, uint32_t row, const double unit[4]) {
    env->state[POSITION][row] = -0.6 + 0.2 * unit[0];
    env->state[VELOCITY][row] = 0;
}

static void observe(const manta_env *env, uint32_t row, float *obs) {
    for (int k = 0; k < OBS; k++) obs[k] = (float)env->state[k][row];
}

static void draw(const manta_env *env, uint32_t row, mt_canvas *canvas) {
    mt_mountain_draw(canvas, "MountainCarContinuous", env->state[POSITION][row], env->state[VELOCITY][row], goal_position,
        env->steps[row]);
}

static const manta_space observation_space = CLASSIC_BOX(OBS, ((const float[]){-1.2f, -0.07f}), ((const float[]){0.6f, 0.07f}));
static const manta_space action_space = CLASSIC_BOX(1, ((const float[]){-1}), ((const float[]){1}));

static const classic_kind kind = {
    .desc = &MT_ISA_NAME(mt_env_mountain_car_continuous),
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

const manta_env_desc MT_ISA_NAME(mt_env_mountain_car_continuous) = {
    CLASSIC_COMMON,
    .id = "MountainCarContinuous-v0",
    .summary = "swing a weak car out of a valley with a force in [-1, 1]; force costs",
    .reward_threshold = 90,
    CLASSIC_OPTIONS(999,
        {"goal_velocity", "0", "least velocity at the flag for the episode to end, position units a step"}),
};
