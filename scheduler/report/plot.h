// Learning curves as pictures: the core of `manta plot`, and of the figures in the README and docs.
//
// Each series is a group of runs (usually the seeds of one configuration): its mean as a line, its spread shaded. PNG
// or SVG by the ending of the output's name. The picture is a function of the data alone: no date, no machine.
#ifndef MANTA_SCHEDULER_REPORT_PLOT_H
#define MANTA_SCHEDULER_REPORT_PLOT_H

#include "scheduler/report/curve.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_PLOT_SERIES_MAX = 24 };

typedef struct mt_plot_run {
    const char *path;    // run folder or progress.csv
    const char *label;   // runs with one label are one series; NULL: mt_plot_label(path)
} mt_plot_run;

typedef struct mt_plot_desc {
    const mt_plot_run *runs;   // borrowed (run_count)
    size_t run_count;
    const char *output;        // FILE.png or FILE.svg
    const char *x;             // NULL: time/total_timesteps; time/time_elapsed for seconds; any column
    const char *y;             // NULL: rollout/ep_rew_mean
    const char *title;         // NULL: none
    const char *x_label, *y_label;   // NULL: from the metric
    mt_spread spread;          // default std
    size_t window;             // rows to smooth over; 0: none
    int has_reference;
    double reference;          // a dashed horizontal line (a published score)
    const char *reference_label;     // NULL: none
    int width, height;         // in points; 0: 800 x 500
    double scale;              // pixels per point of a PNG; 0: 2
} mt_plot_desc;

// Draws. The output is replaced whole (temporary name, rename), or not touched at all.
// MT_NOT_FOUND, MT_CORRUPT (file:line), MT_INVALID_ARGUMENT (ending, sizes, too many series), MT_IO, MT_NO_MEMORY.
mt_status mt_plot_draw(const mt_plot_desc *desc);

// About `want` round numbers (multiples of 1, 2, 2.5 or 5 times a power of ten) within [low, high]; returns how many
// (at most max).
size_t mt_plot_ticks(double low, double high, size_t want, double *ticks, size_t max);

// "ppo CartPole-v1" of "logs/ppo/CartPole-v1_3"; the folder's name when the path has another form.
char *mt_plot_label(const char *path, char *buffer, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
