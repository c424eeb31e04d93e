// What CartPole-v1 and its form without velocities share beside their physics: picture, bounds, options.
#ifndef MANTA_ROLLOUT_ENVS_CARTPOLE_VIEW_H
#define MANTA_ROLLOUT_ENVS_CARTPOLE_VIEW_H

#include "kernels/classic/cartpole.h"
#include "rollout/envs/canvas.h"
#include "rollout/envs/classic_step.h"

static inline void cartpole_draw(const manta_env *env, uint32_t row, mt_canvas *canvas) {
    double x = env->state[CARTPOLE_X][row], theta = env->state[CARTPOLE_THETA][row];
    mt_canvas_world(canvas, -cartpole_x_limit, cartpole_x_limit, -0.5, 1.4);
    mt_canvas_line(canvas, -cartpole_x_limit, 0, cartpole_x_limit, 0);
    for (double y = 0.04; y < 0.2; y += 0.02) mt_canvas_line(canvas, x - 0.25, y, x + 0.25, y);
    mt_canvas_line(canvas, x, 0.2, x + 2 * cartpole_half_length * sin(theta), 0.2 + 2 * cartpole_half_length * cos(theta));
    mt_canvas_print(canvas, 0, 0, "CartPole  step %lld  x %+.2f m  angle %+.1f deg", (long long)env->steps[row], x,
        theta * (180 / 3.141592653589793));
}

// bounds of what is observed
#define CARTPOLE_X_BOUND ((float)(2.4 * 2))
#define CARTPOLE_THETA_BOUND ((float)(12 * 2 * 3.141592653589793 / 360 * 2))

// max_episode_steps, and the option both have
#define CARTPOLE_OPTIONS                                                                                               \
    CLASSIC_OPTIONS(500,                                                                                               \
        {"sutton_barto_reward", "false", "true: reward 0 a step and -1 at the end, as in Sutton and Barto; else 1 a step"})

#endif
