// The cart and the pole: what CartPole-v1 and its form without velocities share. Barto, Sutton and Anderson 1983, as
// Gymnasium 1.x computes it: the same operations in the same order, in double, Euler steps of 0.02 s. State: x, x', θ, θ'.
#ifndef MANTA_KERNELS_CLASSIC_CARTPOLE_H
#define MANTA_KERNELS_CLASSIC_CARTPOLE_H

#include "kernels/classic/rows.h"

enum { CARTPOLE_X, CARTPOLE_X_DOT, CARTPOLE_THETA, CARTPOLE_THETA_DOT, CARTPOLE_STATES };
enum { CARTPOLE_SUTTON_BARTO_REWARD };   // param

static const double cartpole_half_length = 0.5, cartpole_x_limit = 2.4, cartpole_theta_limit = 12 * 2 * 3.141592653589793 / 360;

// `velocities`, a constant where this is inlined: whether they are observed.
CLASSIC_FN void cartpole_step(const double *param, classic_rows *r, int velocities) {
    const double gravity = 9.8, pole_mass = 0.1, total_mass = 0.1 + 1.0, pole_mass_length = 0.1 * 0.5, force_size = 10.0, tau = 0.02;
    vd x = r->state[CARTPOLE_X], x_dot = r->state[CARTPOLE_X_DOT];
    vd theta = r->state[CARTPOLE_THETA], theta_dot = r->state[CARTPOLE_THETA_DOT];
    vd force = vd_select(r->choice == 1, vd_set(force_size), vd_set(-force_size));

    // an episode ends at 0.21 rad, so only a state set from outside leaves the small range
    vd sine, cosine;
    if (__builtin_expect(!vl_any(vd_abs(theta) > 0.78), 1))
        vd_sincos_small(theta, &sine, &cosine);
    else
        vd_sincos_libm(theta, &sine, &cosine);

    // the divisions by a constant overlap with the rest: a product with a corrected reciprocal gained 2 % and was rejected
    vd temp = (force + pole_mass_length * (theta_dot * theta_dot) * sine) / total_mass;
    vd theta_acc = (gravity * sine - cosine * temp) /
                   (cartpole_half_length * (4.0 / 3.0 - pole_mass * (cosine * cosine) / total_mass));
    vd x_acc = temp - pole_mass_length * theta_acc * cosine / total_mass;
    x = x + tau * x_dot;
    x_dot = x_dot + tau * x_acc;
    theta = theta + tau * theta_dot;
    theta_dot = theta_dot + tau * theta_acc;

    r->state[CARTPOLE_X] = x, r->state[CARTPOLE_X_DOT] = x_dot;
    r->state[CARTPOLE_THETA] = theta, r->state[CARTPOLE_THETA_DOT] = theta_dot;
    r->obs[0] = vs_from(x), r->obs[velocities ? 2 : 1] = vs_from(theta);
    if (velocities) r->obs[1] = vs_from(x_dot), r->obs[3] = vs_from(theta_dot);
    r->terminated = (x < -cartpole_x_limit) | (x > cartpole_x_limit) | (theta < -cartpole_theta_limit) | (theta > cartpole_theta_limit);
    r->bad = (r->choice < 0) | (r->choice > 1);
    if (param[CARTPOLE_SUTTON_BARTO_REWARD] == 0)
        r->reward = vs_set(1.0f);
    else
        r->reward = vs_from(vd_select(r->terminated, vd_set(-1), vd_set(0)));
}

CLASSIC_FN void cartpole_move(const double *param, classic_rows *r) { cartpole_step(param, r, 1); }
CLASSIC_FN void cartpole_no_vel_move(const double *param, classic_rows *r) { cartpole_step(param, r, 0); }

CLASSIC_FN void cartpole_begin(const double *unit, double *state) {
    for (int k = 0; k < CARTPOLE_STATES; k++) state[k] = -0.05 + 0.1 * unit[k];
}
CLASSIC_FN void cartpole_no_vel_begin(const double *unit, double *state) { cartpole_begin(unit, state); }

CLASSIC_FN void cartpole_observe(const double *state, float *obs) {
    for (int k = 0; k < CARTPOLE_STATES; k++) obs[k] = (float)state[k];
}
CLASSIC_FN void cartpole_no_vel_observe(const double *state, float *obs) {
    obs[0] = (float)state[CARTPOLE_X];
    obs[1] = (float)state[CARTPOLE_THETA];
}

#endif
