// Learning curves as numbers: one run's curve, and a group of runs (seeds) as mean and spread on a common axis.
//
// Runs of a group rarely report at the same steps and rarely end together. Each run is smoothed on its own rows, then
// interpolated linearly on a common grid; at every grid point mean and spread are taken over the runs that reach it.
#ifndef MANTA_SCHEDULER_REPORT_CURVE_H
#define MANTA_SCHEDULER_REPORT_CURVE_H

#include <stddef.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_curve {
    double *x, *y;   // owned (count), x ascending, all finite
    size_t count;
} mt_curve;

typedef enum mt_spread { MT_SPREAD_STD, MT_SPREAD_MINMAX, MT_SPREAD_NONE } mt_spread;

typedef struct mt_band {
    double *x, *mean, *low, *high;   // owned (count), one block
    size_t *runs;                    // (count) runs that reach the point
    size_t count;
    size_t run_count;
} mt_band;

// Columns `x` and `y` of a progress.csv; rows without either are left out, rows whose x does not rise replace the
// earlier ones (a file that a resumed run appended to). path: the file, or a run folder.
// MT_NOT_FOUND: no file, no such column (did you mean), or no row with both. MT_CORRUPT.
mt_status mt_curve_load(const char *path, const char *x, const char *y, mt_curve *out);

// A trailing mean over `window` rows, in place; 0 and 1 change nothing.
mt_status mt_curve_smooth(mt_curve *curve, size_t window);

// `points` grid points (at least 2) from the smallest first x to the largest last x. Runs that all report at the same x
// (and a single run) keep their own points. STD is the population's (NumPy's std).
mt_status mt_band_init(mt_band *band, const mt_curve *runs, size_t run_count, size_t points, mt_spread spread);

void mt_curve_fini(mt_curve *curve);
void mt_band_fini(mt_band *band);

#ifdef __cplusplus
}
#endif
#endif
