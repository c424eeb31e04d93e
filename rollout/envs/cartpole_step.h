// The cart and the pole: what CartPole-v1 and its form without velocities share. Barto, Sutton and Anderson 1983, as
// Gymnasium 1.x computes it: the same operations in the same order, in double, Euler steps of 0.02 s. State: x, x', θ, θ'.
#ifndef MANTA_ROLLOUT_ENVS_CARTPOLE_STEP_H
#define MANTA_ROLLOUT_ENVS_CARTPOLE_STEP_H

#include "rollout/envs/canvas.h"
#include "rollout/envs/classic_step.h"

enum { X, X_DOT, THETA, THETA_DOT, CARTPOLE_STATE };
enum { SUTTON_BARTO_REWARD };   // param

static const double gravity = 9.8, pole_mass = 0.1, total_mass = 0.1 + 1.0, half_length = 0.5, pole_mass_length = 0.1 * 0.5,
                    force_size = 10.0, tau = 0.02, x_limit = 2.4, theta_limit = 12 * 2 * 3.141592653589793 / 360;

// `velocities`, a constant where this is inlined: whether they are observed.
CLASSIC_INLINE classic_lanes cartpole_step(manta_env *env, uint32_t row, const void *action, float *obs, float *reward,
    int velocities) {
    vd x = vd_load(env->state[X] + row), x_dot = vd_load(env->state[X_DOT] + row);
    vd theta = vd_load(env->state[THETA] + row), theta_dot = vd_load(env->state[THETA_DOT] + row);
    vl push = __builtin_convertvector(vw_load(action), vl);
    vd force = vd_select(push == 1, vd_set(force_size), vd_set(-force_size));

    // an episode ends at 0.21 rad, so only a state set from outside leaves the small range
    vd sine, cosine;
    if (__builtin_expect(vl_bits(vd_abs(theta) > 0.78) == 0, 1))
        vd_sincos_small(theta, &sine, &cosine);
    else
        vd_sincos_libm(theta, &sine, &cosine);

    // the divisions by a constant overlap with the rest: a product with a corrected reciprocal gained 2 % and was rejected
    vd temp = (force + pole_mass_length * (theta_dot * theta_dot) * sine) / total_mass;
    vd theta_acc = (gravity * sine - cosine * temp) /
                   (half_length * (4.0 / 3.0 - pole_mass * (cosine * cosine) / total_mass));
    vd x_acc = temp - pole_mass_length * theta_acc * cosine / total_mass;
    x = x + tau * x_dot;
    x_dot = x_dot + tau * x_acc;
    theta = theta + tau * theta_dot;
    theta_dot = theta_dot + tau * theta_acc;

    vd_store(env->state[X] + row, x);
    vd_store(env->state[X_DOT] + row, x_dot);
    vd_store(env->state[THETA] + row, theta);
    vd_store(env->state[THETA_DOT] + row, theta_dot);
    if (velocities)
        vs_store_rows(obs, (vs[]){vs_from(x), vs_from(x_dot), vs_from(theta), vs_from(theta_dot)}, 4);
    else
        vs_store_rows(obs, (vs[]){vs_from(x), vs_from(theta)}, 2);

    vl terminated = (x < -x_limit) | (x > x_limit) | (theta < -theta_limit) | (theta > theta_limit);
    if (env->param[SUTTON_BARTO_REWARD] == 0)
        vs_store(reward, 1.0f - (vs){});
    else
        vs_store(reward, vs_from(vd_select(terminated, vd_set(-1), vd_set(0))));
    return (classic_lanes){.terminated = terminated, .bad = (push < 0) | (push > 1)};
}

static inline void cartpole_begin(manta_env *env, uint32_t row, const double unit[4]) {
    for (int k = 0; k < CARTPOLE_STATE; k++) env->state[k][row] = -0.05 + 0.1 * unit[k];
}

static inline void cartpole_draw(const manta_env *env, uint32_t row, mt_canvas *canvas) {
    double x = env->state[X][row], theta = env->state[THETA][row];
    mt_canvas_world(canvas, -x_limit, x_limit, -0.5, 1.4);
    mt_canvas_line(canvas, -x_limit, 0, x_limit, 0);
    for (double y = 0.04; y < 0.2; y += 0.02) mt_canvas_line(canvas, x - 0.25, y, x + 0.25, y);
    mt_canvas_line(canvas, x, 0.2, x + 2 * half_length * sin(theta), 0.2 + 2 * half_length * cos(theta));
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
