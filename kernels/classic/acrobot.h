// Acrobot-v1 (Sutton 1996; the book's dynamics), as Gymnasium 1.x computes it: one Runge–Kutta step of 0.2 s in double. The
// initial state is rounded to float there, and so it is here. State: θ1, θ2, θ1', θ2'.
//
// Whose sine, cosine and square these are, is the includer's to say (acrobot_sine, acrobot_cosine, acrobot_square; `libm` is passed on
// to them): rollout/envs/acrobot.c has the C library's beside vec.h's. Without ACROBOT_FUNCTIONS they are vec.h's.
#ifndef MANTA_KERNELS_CLASSIC_ACROBOT_H
#define MANTA_KERNELS_CLASSIC_ACROBOT_H

#include "kernels/classic/rows.h"

enum { ACROBOT_THETA1, ACROBOT_THETA2, ACROBOT_DTHETA1, ACROBOT_DTHETA2, ACROBOT_STATES };

static const double acrobot_pi = 3.141592653589793;

#if !defined(ACROBOT_FUNCTIONS)
VEC_FN vd acrobot_cosine(vd x, int libm) {
    vd s, c;
    (void)libm;
    vd_sincos(x, &s, &c);
    return c;
}
VEC_FN vd acrobot_sine(vd x, int libm) {
    vd s, c;
    (void)libm;
    vd_sincos(x, &s, &c);
    return s;
}
VEC_FN vd acrobot_square(vd x, int libm) { return (void)libm, x * x; }
#endif

typedef struct acrobot_pose {
    vd v[ACROBOT_STATES];
} acrobot_pose;

// Gymnasium's _dsdt with both lengths, masses and moments of inertia 1 and centres of mass at 0.5, in its order.
CLASSIC_FN acrobot_pose acrobot_derivative(acrobot_pose s, vd torque, int libm) {
    const double gravity = 9.8;
    vd dtheta1 = s.v[ACROBOT_DTHETA1], dtheta2 = s.v[ACROBOT_DTHETA2];
    vd sine2 = acrobot_sine(s.v[ACROBOT_THETA2], libm), cosine2 = acrobot_cosine(s.v[ACROBOT_THETA2], libm);
    vd d1 = 0.25 + (1.25 + cosine2) + 1.0 + 1.0;
    vd d2 = (0.25 + 0.5 * cosine2) + 1.0;
    vd phi2 = 0.5 * gravity * acrobot_cosine(s.v[ACROBOT_THETA1] + s.v[ACROBOT_THETA2] - acrobot_pi / 2, libm);
    vd phi1 = -0.5 * acrobot_square(dtheta2, libm) * sine2 - dtheta2 * dtheta1 * sine2 +
              1.5 * gravity * acrobot_cosine(s.v[ACROBOT_THETA1] - acrobot_pi / 2, libm) + phi2;
    vd ddtheta2 = (torque + d2 / d1 * phi1 - 0.5 * acrobot_square(dtheta1, libm) * sine2 - phi2) / (1.25 - acrobot_square(d2, libm) / d1);
    vd ddtheta1 = -(d2 * ddtheta2 + phi1) / d1;
    acrobot_pose d = {{dtheta1, dtheta2, ddtheta1, ddtheta2}};
    return d;
}

CLASSIC_FN acrobot_pose acrobot_moved(acrobot_pose from, acrobot_pose along, double time) {
    for (int k = 0; k < ACROBOT_STATES; k++) from.v[k] = from.v[k] + time * along.v[k];
    return from;
}

// Into [−π, π] by whole turns, one subtraction at a time. A step turns less than two of them.
VEC_FN vd acrobot_wrap(vd x) {
    for (int turn = 0; turn < 64 && vl_any(x > acrobot_pi); turn++) x = vd_select(x > acrobot_pi, x - 2 * acrobot_pi, x);
    for (int turn = 0; turn < 64 && vl_any(x < -acrobot_pi); turn++) x = vd_select(x < -acrobot_pi, x + 2 * acrobot_pi, x);
    if (__builtin_expect(vl_any(vd_abs(x) > acrobot_pi), 0)) x = vd_remainder(x, 2 * acrobot_pi);   // a state set from outside
    return x;
}

CLASSIC_FN void acrobot_step(classic_rows *r, int libm) {
    const double dt = 0.2, max_speed1 = 4 * acrobot_pi, max_speed2 = 9 * acrobot_pi;
    vd torque = vd_of_int(r->choice - 1);
    acrobot_pose s;
    for (int k = 0; k < ACROBOT_STATES; k++) s.v[k] = r->state[k];

    acrobot_pose k1 = acrobot_derivative(s, torque, libm);
    acrobot_pose k2 = acrobot_derivative(acrobot_moved(s, k1, dt / 2), torque, libm);
    acrobot_pose k3 = acrobot_derivative(acrobot_moved(s, k2, dt / 2), torque, libm);
    acrobot_pose k4 = acrobot_derivative(acrobot_moved(s, k3, dt), torque, libm);
    for (int k = 0; k < ACROBOT_STATES; k++) s.v[k] = s.v[k] + dt / 6.0 * (k1.v[k] + 2 * k2.v[k] + 2 * k3.v[k] + k4.v[k]);
    s.v[ACROBOT_THETA1] = acrobot_wrap(s.v[ACROBOT_THETA1]);
    s.v[ACROBOT_THETA2] = acrobot_wrap(s.v[ACROBOT_THETA2]);
    s.v[ACROBOT_DTHETA1] = vd_clip(s.v[ACROBOT_DTHETA1], -max_speed1, max_speed1);
    s.v[ACROBOT_DTHETA2] = vd_clip(s.v[ACROBOT_DTHETA2], -max_speed2, max_speed2);

    vd sine1 = acrobot_sine(s.v[ACROBOT_THETA1], libm), cosine1 = acrobot_cosine(s.v[ACROBOT_THETA1], libm);
    vd sine2 = acrobot_sine(s.v[ACROBOT_THETA2], libm), cosine2 = acrobot_cosine(s.v[ACROBOT_THETA2], libm);
    for (int k = 0; k < ACROBOT_STATES; k++) r->state[k] = s.v[k];
    r->obs[0] = vs_from(cosine1), r->obs[1] = vs_from(sine1), r->obs[2] = vs_from(cosine2), r->obs[3] = vs_from(sine2);
    r->obs[4] = vs_from(s.v[ACROBOT_DTHETA1]), r->obs[5] = vs_from(s.v[ACROBOT_DTHETA2]);
    r->terminated = -cosine1 - acrobot_cosine(s.v[ACROBOT_THETA2] + s.v[ACROBOT_THETA1], libm) > 1.0;
    r->reward = vs_from(vd_select(r->terminated, vd_set(0), vd_set(-1)));
    r->bad = (r->choice < 0) | (r->choice > 2);
}

CLASSIC_FN void acrobot_move(const double *param, classic_rows *r) { (void)param, acrobot_step(r, 0); }

CLASSIC_FN void acrobot_begin(const double *unit, double *state) {
    for (int k = 0; k < ACROBOT_STATES; k++) state[k] = (float)(-0.1 + 0.2 * unit[k]);
}

CLASSIC_FN void acrobot_observe(const double *state, float *obs) {
    for (int k = 0; k < 2; k++) {
        vd sine, cosine;
        vd_sincos(vd_set(state[k]), &sine, &cosine);
        obs[2 * k] = (float)vd_first(cosine);
        obs[2 * k + 1] = (float)vd_first(sine);
        obs[4 + k] = (float)state[ACROBOT_DTHETA1 + k];
    }
}

#endif
