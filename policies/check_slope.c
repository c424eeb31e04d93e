// Finite differences against a claimed gradient: along the claimed gradient and random directions, which miss no value, and along
// some single values, which name the culprit.
#include "policies/check_list.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIRECTIONS = 4, SINGLES = 24, HALVINGS = 8 };
static const double first_step = 0.04, tolerance_along = 0.03, tolerance_single = 0.1;

// central differences along d; d NULL: along value `index` alone
static double difference(const mt_check_slope *s, const float *kept, const double *d, int64_t index, double step) {
    double side[2];
    for (int k = 0; k < 2; k++) {
        double move = k ? -step : step;
        for (int64_t i = 0; d && i < s->count; i++) s->x[i] = kept[i] + (float)(move * d[i]);
        if (!d) s->x[index] = kept[index] + (float)move;
        side[k] = s->f(s->context);
    }
    for (int64_t i = 0; d && i < s->count; i++) s->x[i] = kept[i];
    if (!d) s->x[index] = kept[index];
    return (side[0] - side[1]) / (2 * step);
}

// Whether the slope is as wanted: at the best of several steps, because rounding spoils small ones, and kinks and curvature large
// ones.
static int agrees(mt_check_slope *s, const float *kept, const double *d, int64_t index, double wanted, double allowed) {
    double best = INFINITY, step = first_step;
    for (int halving = 0; halving < HALVINGS && !(best <= allowed); halving++, step /= 2) {
        double slope = difference(s, kept, d, index, step), off = fabs(slope - wanted);
        if (off < best) best = off, s->found = slope;
    }
    s->index = index, s->claimed = wanted;
    if (fabs(wanted) > 1e-3 || !(fabs(s->found) <= 1e-3)) s->flat = 0;
    return best <= allowed;
}

static int agrees_along(mt_check_slope *s, const float *kept, double *d, int direction, double length) {
    double squares = 0, wanted = 0;
    for (int64_t i = 0; i < s->count; i++) {
        double random = direction == 0 ? 0 : (double)mt_check_number(s->seed + (uint64_t)direction, (uint64_t)i);
        d[i] = random + (length > 0 ? s->g[i] / length : direction == 0);
    }
    for (int64_t i = 0; i < s->count; i++) squares += d[i] * d[i];
    for (int64_t i = 0; i < s->count; i++) d[i] /= sqrt(squares), wanted += d[i] * s->g[i];
    return agrees(s, kept, d, -1, wanted, tolerance_along * fmax(fabs(wanted), 0.05 * length + 1e-3));
}

int mt_check_slope_wrong(mt_check_slope *s) {
    float *kept = malloc(sizeof *kept * (size_t)s->count);
    double *d = malloc(sizeof *d * (size_t)s->count), length = 0, largest = 0;
    int right = 1;
    s->flat = 1;
    if (!kept || !d) goto out;
    memcpy(kept, s->x, sizeof *kept * (size_t)s->count);
    for (int64_t i = 0; i < s->count; i++) length += (double)s->g[i] * s->g[i], largest = fmax(largest, fabs((double)s->g[i]));
    length = sqrt(length);
    // single values first: they say where
    int64_t singles = s->count < SINGLES ? s->count : SINGLES;
    for (int64_t i = 0; i < singles && right; i++) {
        int64_t index = i * s->count / singles;
        double wanted = s->g[index];
        right = agrees(s, kept, NULL, index, wanted, tolerance_single * fmax(fabs(wanted), 0.1 * largest + 1e-3));
    }
    for (int k = 0; k < DIRECTIONS && right; k++) right = agrees_along(s, kept, d, k, length);
out:
    free(kept);
    free(d);
    return !right;
}
