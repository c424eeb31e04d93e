// The picture that both mountain cars share.
#ifndef MANTA_ROLLOUT_ENVS_MOUNTAIN_DRAW_H
#define MANTA_ROLLOUT_ENVS_MOUNTAIN_DRAW_H

#include <math.h>
#include <stdint.h>

#include "rollout/envs/canvas.h"

static inline double mt_mountain_height(double position) { return 0.45 * sin(3 * position) + 0.55; }

static inline void mt_mountain_draw(mt_canvas *canvas, const char *title, double position, double velocity, double goal,
    int64_t steps) {
    mt_canvas_world(canvas, -1.2, 0.6, 0, 1.35);
    for (int i = 0; i < 180; i++) {
        double x = -1.2 + 0.01 * i;
        mt_canvas_line(canvas, x, mt_mountain_height(x), x + 0.01, mt_mountain_height(x + 0.01));
    }
    mt_canvas_line(canvas, goal, mt_mountain_height(goal), goal, mt_mountain_height(goal) + 0.2);   // the flag
    mt_canvas_line(canvas, goal, mt_mountain_height(goal) + 0.2, goal + 0.07, mt_mountain_height(goal) + 0.16);
    mt_canvas_line(canvas, goal + 0.07, mt_mountain_height(goal) + 0.16, goal, mt_mountain_height(goal) + 0.12);

    // the car stands on the slope: its body is a block along (across, up), wheels below
    double slope = 1.35 * cos(3 * position), across = 1 / sqrt(1 + slope * slope), up = slope * across;
    double foot = mt_mountain_height(position) + 0.03;
    for (int layer = 0; layer < 6; layer++) {
        double lift = 0.03 + 0.015 * layer, cx = position - up * lift, cy = foot + across * lift;
        mt_canvas_line(canvas, cx - 0.07 * across, cy - 0.07 * up, cx + 0.07 * across, cy + 0.07 * up);
    }
    mt_canvas_circle(canvas, position - 0.04 * across, foot - 0.04 * up, 0.02);
    mt_canvas_circle(canvas, position + 0.04 * across, foot + 0.04 * up, 0.02);
    mt_canvas_print(canvas, 0, 0, "%s  step %lld  position %+.2f  velocity %+.3f", title, (long long)steps, position, velocity);
}

#endif
