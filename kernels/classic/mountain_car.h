// MountainCar-v0 (Moore 1990), as Gymnasium 1.x computes it, in double. State: position, velocity.
#ifndef MANTA_KERNELS_CLASSIC_MOUNTAIN_CAR_H
#define MANTA_KERNELS_CLASSIC_MOUNTAIN_CAR_H

#include "kernels/classic/rows.h"

enum { MOUNTAIN_CAR_POSITION, MOUNTAIN_CAR_VELOCITY, MOUNTAIN_CAR_STATES };
enum { MOUNTAIN_CAR_GOAL_VELOCITY };   // param

static const double mountain_car_goal = 0.5;

CLASSIC_FN void mountain_car_move(const double *param, classic_rows *r) {
    const double min_position = -1.2, max_position = 0.6, max_speed = 0.07, force = 0.001, gravity = 0.0025;
    vd position = r->state[MOUNTAIN_CAR_POSITION], velocity = r->state[MOUNTAIN_CAR_VELOCITY];

    vd sine, cosine;
    vd_sincos(3 * position, &sine, &cosine);
    velocity = velocity + (vd_of_int(r->choice - 1) * force + cosine * -gravity);
    velocity = vd_clip(velocity, -max_speed, max_speed);
    position = vd_clip(position + velocity, min_position, max_position);
    velocity = vd_select((position == min_position) & (velocity < 0), vd_set(0), velocity);   // the wall on the left

    r->state[MOUNTAIN_CAR_POSITION] = position, r->state[MOUNTAIN_CAR_VELOCITY] = velocity;
    r->obs[0] = vs_from(position), r->obs[1] = vs_from(velocity);
    r->reward = vs_set(-1.0f);
    r->terminated = (position >= mountain_car_goal) & (velocity >= param[MOUNTAIN_CAR_GOAL_VELOCITY]);
    r->bad = (r->choice < 0) | (r->choice > 2);
}

CLASSIC_FN void mountain_car_begin(const double *unit, double *state) {
    state[MOUNTAIN_CAR_POSITION] = -0.6 + 0.2 * unit[0];
    state[MOUNTAIN_CAR_VELOCITY] = 0;
}

CLASSIC_FN void mountain_car_observe(const double *state, float *obs) {
    for (int k = 0; k < MOUNTAIN_CAR_STATES; k++) obs[k] = (float)state[k];
}

#endif
