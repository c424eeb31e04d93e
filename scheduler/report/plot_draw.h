// The drawing half of plot.c: a figure that is all numbers and words, put on a Cairo context. Private to
// scheduler/report.
#ifndef MANTA_SCHEDULER_REPORT_PLOT_DRAW_H
#define MANTA_SCHEDULER_REPORT_PLOT_DRAW_H

#include <cairo.h>
#include "scheduler/report/plot.h"

enum { MT_PLOT_LABEL_BYTES = 128 };

typedef struct mt_plot_series {
    char label[MT_PLOT_LABEL_BYTES];
    mt_band band;   // owned by the figure's maker
} mt_plot_series;

typedef struct mt_plot_figure {
    int width, height;                      // in points
    const char *title, *x_label, *y_label;  // borrowed; title may be NULL
    int has_reference;
    double reference;
    const char *reference_label;            // Nullable
    mt_plot_series series[MT_PLOT_SERIES_MAX];
    size_t series_count;
} mt_plot_figure;

// Fills the whole figure, background included. Errors stay in the context (cairo_status).
void mt_plot_draw_figure(cairo_t *cr, const mt_plot_figure *figure);

#endif
