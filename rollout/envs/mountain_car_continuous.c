// MountainCarContinuous-v0: see kernels/classic/mountain_car_continuous.h. Compiled once per instruction set.
#include "kernels/classic/mountain_car_continuous.h"
#include "rollout/envs/builtin.h"
#include "rollout/envs/classic_step.h"
#include "rollout/envs/mountain_draw.h"

enum { OBS = 2 };

CLASSIC_RULES(mountain_car_continuous, MOUNTAIN_CAR_STATES, OBS, 0)

static void draw(const manta_env *env, uint32_t row, mt_canvas *canvas) {
    mt_mountain_draw(canvas, "MountainCarContinuous", env->state[MOUNTAIN_CAR_POSITION][row],
        env->state[MOUNTAIN_CAR_VELOCITY][row], mountain_car_continuous_goal, env->steps[row]);
}

static const manta_space observation_space = CLASSIC_BOX(OBS, ((const float[]){-1.2f, -0.07f}), ((const float[]){0.6f, 0.07f}));
static const manta_space action_space = CLASSIC_BOX(1, ((const float[]){-1}), ((const float[]){1}));

static const classic_kind kind = {
    .desc = &MT_ISA_NAME(mt_env_mountain_car_continuous),
    .id = MT_CLASSIC_MOUNTAIN_CAR_CONTINUOUS,
    .state_count = MOUNTAIN_CAR_STATES,
    .obs_count = OBS,
    .observation_space = &observation_space,
    .action_space = &action_space,
    .param = {[MOUNTAIN_CAR_GOAL_VELOCITY] = {"goal_velocity", 0, 0}},
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
