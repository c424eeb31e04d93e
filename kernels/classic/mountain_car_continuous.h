// MountainCarContinuous-v0, as Gymnasium 1.x computes it with NumPy 2. Its state is an array of doubles after a reset and
// of floats after a step, and NumPy computes float op Python number in float: which operations round to float depends on
// that and on whether the action was clipped (then the force is a Python number). Followed here operation by operation,
// because the roundings of 999 steps add up. State: position, velocity, held as doubles.
#ifndef MANTA_KERNELS_CLASSIC_MOUNTAIN_CAR_CONTINUOUS_H
#define MANTA_KERNELS_CLASSIC_MOUNTAIN_CAR_CONTINUOUS_H

#include "kernels/classic/mountain_car.h"

static const double mountain_car_continuous_goal = 0.45;

// `fresh`: the state is that of a reset, in double; then bounds are compared as doubles, else as floats
VEC_FN vd mountain_car_clip_as(vl fresh, vd x, double low, double high) {
    return vd_select(fresh, vd_clip(x, low, high), vd_clip(x, (float)low, (float)high));
}

CLASSIC_FN void mountain_car_continuous_move(const double *param, classic_rows *r) {
    const double min_position = -1.2, max_position = 0.6, max_speed = 0.07, power = 0.0015;
    vd position = r->state[MOUNTAIN_CAR_POSITION], velocity = r->state[MOUNTAIN_CAR_VELOCITY], push = r->push;
    vl fresh = r->steps == 0;

    vd angle = 3 * position, sine, cosine;
    vd_sincos(vd_select(fresh, angle, vd_to_float(angle)), &sine, &cosine);
    vd pull = 0.0025 * cosine, force = vd_clip(push, -1, 1);
    vl clipped = force != push;
    vd change = vd_select(clipped, force * power - pull, vd_to_float(vd_to_float(force * (float)power) - vd_to_float(pull)));
    velocity = vd_select(fresh, velocity + change, vd_to_float(velocity + vd_to_float(change)));
    velocity = mountain_car_clip_as(fresh, velocity, -max_speed, max_speed);
    position = vd_select(fresh, position + velocity, vd_to_float(position + velocity));
    position = mountain_car_clip_as(fresh, position, min_position, max_position);
    vl wall = (position == min_position) | (position == (float)min_position);
    velocity = vd_select(wall & (velocity < 0), vd_set(0), velocity);

    position = vd_to_float(position);
    velocity = vd_to_float(velocity);
    r->terminated = (position >= (float)mountain_car_continuous_goal) & (velocity >= (float)param[MOUNTAIN_CAR_GOAL_VELOCITY]);
    r->state[MOUNTAIN_CAR_POSITION] = position, r->state[MOUNTAIN_CAR_VELOCITY] = velocity;
    r->obs[0] = vs_from(position), r->obs[1] = vs_from(velocity);
    r->reward = vs_from(vd_select(r->terminated, vd_set(100), vd_set(0)) - push * push * 0.1);
    r->bad = classic_not_finite(push);
}

CLASSIC_FN void mountain_car_continuous_begin(const double *unit, double *state) { mountain_car_begin(unit, state); }
CLASSIC_FN void mountain_car_continuous_observe(const double *state, float *obs) { mountain_car_observe(state, obs); }

#endif
