// Pendulum-v1: see kernels/classic/pendulum.h. Compiled once per instruction set.
#include "kernels/classic/pendulum.h"
#include "rollout/envs/builtin.h"
#include "rollout/envs/canvas.h"
#include "rollout/envs/classic_step.h"

enum { OBS = 3 };

CLASSIC_RULES(pendulum, PENDULUM_STATES, OBS, 1)

static void refresh(manta_env *env, uint32_t row) { env->cache[row] = pendulum_cache(&env->state[PENDULUM_THETA][row]); }

static void draw(const manta_env *env, uint32_t row, mt_canvas *canvas) {
    double theta = env->state[PENDULUM_THETA][row], across = -sin(theta), up = cos(theta);   // θ = 0 is upright, positive to the left
    mt_canvas_world(canvas, -1.2, 1.2, -1.2, 1.2);
    for (int side = -3; side <= 3; side++) {   // a rod of some width
        double shift = 0.015 * side;
        mt_canvas_line(canvas, -up * shift, across * shift, across - up * shift, up + across * shift);
    }
    mt_canvas_circle(canvas, 0, 0, 0.1);
    mt_canvas_circle(canvas, across, up, 0.1);
    mt_canvas_print(canvas, 0, 0, "Pendulum  step %lld", (long long)env->steps[row]);
    mt_canvas_print(canvas, 1, 0, "angle %+.0f deg", 180 / pendulum_pi * remainder(theta, 2 * pendulum_pi));
    mt_canvas_print(canvas, 2, 0, "speed %+.1f rad/s", env->state[PENDULUM_THETA_DOT][row]);
}

static const manta_space observation_space = CLASSIC_BOX(OBS, ((const float[]){-1, -1, -8}), ((const float[]){1, 1, 8}));
static const manta_space action_space = CLASSIC_BOX(1, ((const float[]){-2}), ((const float[]){2}));

static const classic_kind kind = {
    .desc = &MT_ISA_NAME(mt_env_pendulum),
    .id = MT_CLASSIC_PENDULUM,
    .state_count = PENDULUM_STATES,
    .obs_count = OBS,
    .observation_space = &observation_space,
    .action_space = &action_space,
    .param = {[PENDULUM_GRAVITY] = {"g", 10, 0}},
    .begin = begin,
    .observe = observe,
    .refresh = refresh,
    .draw = draw,
};

CLASSIC_CREATE(kind)
CLASSIC_STEP(OBS, physics, observe)

const manta_env_desc MT_ISA_NAME(mt_env_pendulum) = {
    CLASSIC_COMMON,
    .id = "Pendulum-v1",
    .summary = "swing a pendulum up and hold it with a torque in [-2, 2]",
    .reward_threshold = NAN,
    CLASSIC_OPTIONS(200, {"g", "10", "acceleration of gravity, m/s^2"}),
};
