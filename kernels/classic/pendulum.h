// Pendulum-v1, as Gymnasium 1.x computes it with NumPy 2: in double but for the torque, which is a float there and makes
// its own terms float. State: θ (not wrapped), θ'; the cache holds sin θ.
#ifndef MANTA_KERNELS_CLASSIC_PENDULUM_H
#define MANTA_KERNELS_CLASSIC_PENDULUM_H

#include "kernels/classic/rows.h"

enum { PENDULUM_THETA, PENDULUM_THETA_DOT, PENDULUM_STATES };
enum { PENDULUM_GRAVITY };   // param

static const double pendulum_pi = 3.141592653589793;

// Python's (x + π) % 2π − π. The remainder is exact, as fmod's: 2π in two parts whose products with n are exact.
VEC_FN vd pendulum_normalize(vd x) {
    const double turn = 2 * pendulum_pi, turn_high = 0x1.921fb544p+2, turn_low = turn - turn_high, round_to_integer = 0x1.8p52;
    vd shifted = x + pendulum_pi, size = vd_abs(shifted), rest;
    if (__builtin_expect(vl_any(vl_not(size < 1e5)), 0)) {
        rest = vd_fmod(size, turn);
    } else {
        vd n = (size * (1 / turn) + round_to_integer) - round_to_integer;
        rest = (size - n * turn_high) - n * turn_low;
        n = n - 1;
        rest = vd_select(rest < 0, (size - n * turn_high) - n * turn_low, rest);
    }
    rest = vd_select((shifted < 0) & (rest != 0), turn - rest, rest);
    return rest - pendulum_pi;
}

CLASSIC_FN void pendulum_move(const double *param, classic_rows *r) {
    const double max_speed = 8, max_torque = 2, dt = 0.05, mass = 1, length = 1;
    vd theta = r->state[PENDULUM_THETA], theta_dot = r->state[PENDULUM_THETA_DOT];
    vd torque = vd_clip(r->push, -max_torque, max_torque), sine = r->cache, cosine;

    vd angle = pendulum_normalize(theta);
    vd effort = vd_to_float((double)0.001f * vd_to_float(torque * torque));
    vd cost = angle * angle + 0.1 * (theta_dot * theta_dot) + effort;
    double pull = 3 * param[PENDULUM_GRAVITY] / (2 * length);
    theta_dot = theta_dot + (pull * sine + vd_to_float(3.0 / (mass * length * length) * torque)) * dt;
    theta_dot = vd_clip(theta_dot, -max_speed, max_speed);
    theta = theta + theta_dot * dt;

    vd_sincos(theta, &sine, &cosine);
    r->state[PENDULUM_THETA] = theta, r->state[PENDULUM_THETA_DOT] = theta_dot, r->cache = sine;
    r->obs[0] = vs_from(cosine), r->obs[1] = vs_from(sine), r->obs[2] = vs_from(theta_dot);
    r->reward = vs_from(-cost);
    r->terminated = vl_set(0);
    r->bad = classic_not_finite(r->push);
}

CLASSIC_FN void pendulum_begin(const double *unit, double *state) {
    state[PENDULUM_THETA] = -pendulum_pi + 2 * pendulum_pi * unit[0];
    state[PENDULUM_THETA_DOT] = -1 + 2 * unit[1];
}

VEC_FN double pendulum_cache(const double *state) {
    vd sine, cosine;
    vd_sincos(vd_set(state[PENDULUM_THETA]), &sine, &cosine);
    return vd_first(sine);
}

CLASSIC_FN void pendulum_observe(const double *state, float *obs) {
    vd sine, cosine;
    vd_sincos(vd_set(state[PENDULUM_THETA]), &sine, &cosine);
    obs[0] = (float)vd_first(cosine);
    obs[1] = (float)vd_first(sine);
    obs[2] = (float)state[PENDULUM_THETA_DOT];
}

#endif
