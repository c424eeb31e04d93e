// Draws a figure. The style: white ground, hairline horizontal grid, no frame, grey words, one quiet colour per series,
// the spread as a tint of it, a legend in the emptiest corner. Sizes are in points; nothing here knows about pixels.
#include "scheduler/report/plot_draw.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct rgb {
    double r, g, b;
} rgb;

// clang-format off
#define HEX(code) {((code) >> 16 & 255) / 255.0, ((code) >> 8 & 255) / 255.0, ((code) & 255) / 255.0}
// clang-format on

// ten hues that stay apart for colour-blind readers in their first five, and never shout
static const rgb palette[] = {HEX(0x2f6db3), HEX(0xd9772b), HEX(0x3d9970), HEX(0xb5495b), HEX(0x7a62a8), HEX(0x8a6d4b),
    HEX(0xc774a8), HEX(0x5f7380), HEX(0x9c9a33), HEX(0x36a2b3)};
static const rgb INK = HEX(0x2b2f36), GREY = HEX(0x6b727c), HAIRLINE = HEX(0xe4e7eb), AXIS = HEX(0xb4bac2);

enum { PALETTE = sizeof palette / sizeof *palette, TICKS_MAX = 32, TICK_TEXT = 32 };
static const double TEXT_SIZE = 12, TITLE_SIZE = 15, LINE_WIDTH = 2;

typedef struct axes {
    double left, top, right, bottom;       // the plotting rectangle, in points
    double x_low, x_high, y_low, y_high;   // in data units
    double x_tick[TICKS_MAX], y_tick[TICKS_MAX];
    size_t x_ticks, y_ticks;
} axes;

static double px(const axes *a, double x) {
    return a->left + (x - a->x_low) / (a->x_high - a->x_low) * (a->right - a->left);
}
static double py(const axes *a, double y) {
    return a->bottom - (y - a->y_low) / (a->y_high - a->y_low) * (a->bottom - a->top);
}

static void ink(cairo_t *cr, rgb color, double alpha) { cairo_set_source_rgba(cr, color.r, color.g, color.b, alpha); }

// --- ticks ---------------------------------------------------------------------------------------------------------

size_t mt_plot_ticks(double low, double high, size_t want, double *ticks, size_t max) {
    if (!(high > low) || !isfinite(high - low) || want == 0) return 0;
    double rough = (high - low) / (double)want, power = pow(10, floor(log10(rough))), share = rough / power;
    double step = power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 2.5 ? 2.5 : share <= 5 ? 5 : 10);
    size_t count = 0;
    // whole multiples of the step, so that 0 is exactly 0; the slack takes in an end that is a rounding error away
    for (double k = ceil(low / step - 1e-9); k * step <= high + 1e-9 * step && count < max; k++)
        ticks[count++] = k == 0 ? 0 : k * step;
    return count;
}

static char *tick_text(double value, double step, char buffer[TICK_TEXT]) {
    double magnitude = fabs(value);
    if (value == 0) snprintf(buffer, TICK_TEXT, "0");
    else if (magnitude >= 1e9 || step < 1e-5) snprintf(buffer, TICK_TEXT, "%.3g", value);
    else if (step >= 1e5) snprintf(buffer, TICK_TEXT, "%.6gM", value / 1e6);
    else if (step >= 1e3) snprintf(buffer, TICK_TEXT, "%.6gk", value / 1e3);
    else snprintf(buffer, TICK_TEXT, "%.10g", value);
    return buffer;
}

// --- words ---------------------------------------------------------------------------------------------------------

static void font(cairo_t *cr, double size, int bold) {
    cairo_select_font_face(
        cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
}

static double text_width(cairo_t *cr, const char *text) {
    cairo_text_extents_t extents;
    cairo_text_extents(cr, text, &extents);
    return extents.x_advance;
}

// anchor: 0 begins at x, 0.5 is centred, 1 ends there. The baseline is y.
static void words(cairo_t *cr, double x, double y, double anchor, const char *text) {
    cairo_move_to(cr, x - anchor * text_width(cr, text), y);
    cairo_show_text(cr, text);
}

// --- scales --------------------------------------------------------------------------------------------------------

static void data_range(const mt_plot_figure *f, axes *a) {
    *a = (axes){.x_low = INFINITY, .x_high = -INFINITY, .y_low = INFINITY, .y_high = -INFINITY};
    for (size_t s = 0; s < f->series_count; s++) {
        const mt_band *band = &f->series[s].band;
        for (size_t i = 0; i < band->count; i++) {
            a->x_low = fmin(a->x_low, band->x[i]);
            a->x_high = fmax(a->x_high, band->x[i]);
            a->y_low = fmin(a->y_low, band->low[i]);
            a->y_high = fmax(a->y_high, band->high[i]);
        }
    }
    if (f->has_reference) {
        a->y_low = fmin(a->y_low, f->reference);
        a->y_high = fmax(a->y_high, f->reference);
    }
}

static void widen(double *low, double *high, double below, double above) {
    double span = *high - *low;
    if (!(span > 0)) {   // one value: some room on both sides of it
        span = fabs(*low) > 0 ? fabs(*low) * 0.2 : 1;
        *low -= span / 2;
        *high += span / 2;
        return;
    }
    *low -= below * span;
    *high += above * span;
}

static void scale_axes(const mt_plot_figure *f, axes *a) {
    data_range(f, a);
    // axes begin at nought, unless the curves are far from it
    if (a->x_low > 0 && a->x_low < 0.25 * a->x_high) a->x_low = 0;
    if (a->y_low > 0 && a->y_low < 0.2 * a->y_high) a->y_low = 0;
    widen(&a->x_low, &a->x_high, 0, 0.005);
    widen(&a->y_low, &a->y_high, 0.05, 0.05);
    a->x_ticks = mt_plot_ticks(a->x_low, a->x_high, (size_t)f->width / 130 + 1, a->x_tick, TICKS_MAX);
    a->y_ticks = mt_plot_ticks(a->y_low, a->y_high, (size_t)f->height / 80 + 1, a->y_tick, TICKS_MAX);
}

static double step_of(const double *ticks, size_t count) { return count > 1 ? ticks[1] - ticks[0] : 1; }

static void place(cairo_t *cr, const mt_plot_figure *f, axes *a) {
    char text[TICK_TEXT];
    double widest = 0;
    font(cr, TEXT_SIZE, 0);
    for (size_t i = 0; i < a->y_ticks; i++)
        widest = fmax(widest, text_width(cr, tick_text(a->y_tick[i], step_of(a->y_tick, a->y_ticks), text)));
    a->left = 14 + TEXT_SIZE + 12 + widest + 10;
    a->right = f->width - 26;
    a->top = f->title ? 54 : 26;
    a->bottom = f->height - 58;
}

// --- room ----------------------------------------------------------------------------------------------------------

typedef struct box {
    double x, y, width, height;
} box;

// How much of the curves a box would hide: mean points count most, the spread's edges a little.
static double hidden(const mt_plot_figure *f, const axes *a, box b) {
    double sum = 0;
    for (size_t s = 0; s < f->series_count; s++) {
        const mt_band *band = &f->series[s].band;
        double one = 1.0 / (double)band->count;
        for (size_t i = 0; i < band->count; i++) {
            double x = px(a, band->x[i]);
            if (x < b.x || x > b.x + b.width) continue;
            double mean = py(a, band->mean[i]), low = py(a, band->low[i]), high = py(a, band->high[i]);
            if (mean > b.y && mean < b.y + b.height) sum += one;
            if (low > b.y && high < b.y + b.height) sum += 0.2 * one;
        }
    }
    if (f->has_reference && py(a, f->reference) > b.y - 4 && py(a, f->reference) < b.y + b.height + 4) sum += 0.3;
    return sum;
}

// --- parts ---------------------------------------------------------------------------------------------------------

static void hairline(cairo_t *cr, double x0, double y0, double x1, double y1) {
    // on the half point, where a one-point line is sharp
    cairo_move_to(cr, floor(x0) + 0.5, floor(y0) + 0.5);
    cairo_line_to(cr, floor(x1) + 0.5, floor(y1) + 0.5);
    cairo_stroke(cr);
}

static void draw_axes(cairo_t *cr, const mt_plot_figure *f, const axes *a) {
    char text[TICK_TEXT];
    cairo_set_line_width(cr, 1);
    font(cr, TEXT_SIZE, 0);
    for (size_t i = 0; i < a->y_ticks; i++) {
        double y = py(a, a->y_tick[i]);
        ink(cr, HAIRLINE, 1);
        hairline(cr, a->left, y, a->right, y);
        ink(cr, GREY, 1);
        words(cr, a->left - 10, y + TEXT_SIZE * 0.36, 1, tick_text(a->y_tick[i], step_of(a->y_tick, a->y_ticks), text));
    }
    ink(cr, AXIS, 1);
    hairline(cr, a->left, a->bottom, a->right, a->bottom);
    for (size_t i = 0; i < a->x_ticks; i++) {
        double x = px(a, a->x_tick[i]);
        ink(cr, AXIS, 1);
        hairline(cr, x, a->bottom, x, a->bottom + 5);
        ink(cr, GREY, 1);
        words(cr, x, a->bottom + 20, 0.5, tick_text(a->x_tick[i], step_of(a->x_tick, a->x_ticks), text));
    }
    ink(cr, INK, 1);
    words(cr, (a->left + a->right) / 2, f->height - 14, 0.5, f->x_label);
    cairo_save(cr);
    cairo_translate(cr, 14 + TEXT_SIZE * 0.8, (a->top + a->bottom) / 2);
    cairo_rotate(cr, -M_PI / 2);
    words(cr, 0, 0, 0.5, f->y_label);
    cairo_restore(cr);
    if (f->title) {
        font(cr, TITLE_SIZE, 1);
        words(cr, a->left, 32, 0, f->title);
    }
}

static void draw_reference(cairo_t *cr, const mt_plot_figure *f, const axes *a) {
    if (!f->has_reference) return;
    static const double dashes[] = {5, 4};
    double y = py(a, f->reference);
    ink(cr, GREY, 1);
    cairo_set_line_width(cr, 1);
    cairo_set_dash(cr, dashes, 2, 0);
    hairline(cr, a->left, y, a->right, y);
    cairo_set_dash(cr, NULL, 0, 0);
    if (!f->reference_label) return;
    font(cr, TEXT_SIZE - 1, 0);
    // above the line where there is room, at the end where fewer curves are
    double width = text_width(cr, f->reference_label), baseline = y - 5;
    if (baseline - TEXT_SIZE < a->top) baseline = y + TEXT_SIZE + 2;
    box at_left = {a->left, baseline - TEXT_SIZE, width + 8, TEXT_SIZE + 4}, at_right = at_left;
    at_right.x = a->right - at_right.width;
    double x = hidden(f, a, at_right) <= hidden(f, a, at_left) ? at_right.x : at_left.x;
    words(cr, x + 4, baseline, 0, f->reference_label);
}

static void draw_spread(cairo_t *cr, const mt_band *band, const axes *a, rgb color) {
    if (band->run_count < 2 || band->count < 2) return;
    for (size_t i = 0; i < band->count; i++) cairo_line_to(cr, px(a, band->x[i]), py(a, band->high[i]));
    for (size_t i = band->count; i-- > 0;) cairo_line_to(cr, px(a, band->x[i]), py(a, band->low[i]));
    cairo_close_path(cr);
    ink(cr, color, 0.16);
    cairo_fill(cr);
}

// The mean; where some of the runs are missing (not begun, ended early) it is paler, because it is another mean.
static void draw_mean(cairo_t *cr, const mt_band *band, const axes *a, rgb color) {
    cairo_set_line_width(cr, LINE_WIDTH);
    if (band->count == 1) {
        ink(cr, color, 1);
        cairo_arc(cr, px(a, band->x[0]), py(a, band->mean[0]), 3.5, 0, 2 * M_PI);
        cairo_fill(cr);
        return;
    }
    for (size_t i = 0; i + 1 < band->count;) {
        int whole = band->runs[i] == band->run_count && band->runs[i + 1] == band->run_count;
        cairo_move_to(cr, px(a, band->x[i]), py(a, band->mean[i]));
        do {
            i++;
            cairo_line_to(cr, px(a, band->x[i]), py(a, band->mean[i]));
        } while (
            i + 1 < band->count && (band->runs[i] == band->run_count && band->runs[i + 1] == band->run_count) == whole);
        ink(cr, color, whole ? 1 : 0.45);
        cairo_stroke(cr);
    }
}

// --- legend --------------------------------------------------------------------------------------------------------

static const double LEGEND_ROW = 19, LEGEND_PAD = 9, LEGEND_MARK = 22;

static char *legend_text(const mt_plot_series *series, char *buffer, size_t bytes) {
    if (series->band.run_count > 1) snprintf(buffer, bytes, "%s (%zu runs)", series->label, series->band.run_count);
    else snprintf(buffer, bytes, "%s", series->label);
    return buffer;
}

static box legend_place(const mt_plot_figure *f, const axes *a, double width, double height) {
    const double margin = 10;
    double right = a->right - width - margin, bottom = a->bottom - height - margin;
    const box corners[] = {{right, bottom, width, height}, {a->left + margin, a->top + margin, width, height},
        {right, a->top + margin, width, height}, {a->left + margin, bottom, width, height}};
    size_t best = 0;
    for (size_t i = 1; i < 4; i++)
        if (hidden(f, a, corners[i]) < hidden(f, a, corners[best]) - 1e-9) best = i;
    return corners[best];
}

static void series_dashes(cairo_t *cr, size_t s) {
    static const double dashes[] = {6, 3};
    cairo_set_dash(cr, dashes, s / PALETTE % 2 ? 2 : 0, 0);   // past the palette's end the hues come again, dashed
}

static void draw_legend(cairo_t *cr, const mt_plot_figure *f, const axes *a) {
    char text[MT_PLOT_LABEL_BYTES + 32];
    // one curve under a title needs no key
    if (f->series_count == 1 && f->title && f->series[0].band.run_count == 1) return;
    double widest = 0;
    font(cr, TEXT_SIZE, 0);
    for (size_t s = 0; s < f->series_count; s++)
        widest = fmax(widest, text_width(cr, legend_text(&f->series[s], text, sizeof text)));
    box b = legend_place(
        f, a, widest + LEGEND_MARK + 8 + 2 * LEGEND_PAD, LEGEND_ROW * (double)f->series_count + 2 * LEGEND_PAD - 4);
    // the ground reaches to the figure's edge, so that no stubs of grid lines stay beside it
    double from = b.x - a->left < 20 ? a->left : b.x, to = a->right - b.x - b.width < 20 ? a->right + 1 : b.x + b.width;
    cairo_rectangle(cr, from, b.y, to - from, b.height);
    cairo_set_source_rgba(cr, 1, 1, 1, 0.85);
    cairo_fill(cr);
    for (size_t s = 0; s < f->series_count; s++) {
        double y = b.y + LEGEND_PAD + LEGEND_ROW * ((double)s + 0.5) - 2;
        ink(cr, palette[s % PALETTE], 1);
        cairo_set_line_width(cr, LINE_WIDTH + 0.5);
        series_dashes(cr, s);
        cairo_move_to(cr, b.x + LEGEND_PAD, y);
        cairo_line_to(cr, b.x + LEGEND_PAD + LEGEND_MARK, y);
        cairo_stroke(cr);
        ink(cr, INK, 1);
        words(cr, b.x + LEGEND_PAD + LEGEND_MARK + 8, y + TEXT_SIZE * 0.36, 0,
            legend_text(&f->series[s], text, sizeof text));
    }
    cairo_set_dash(cr, NULL, 0, 0);
}

void mt_plot_draw_figure(cairo_t *cr, const mt_plot_figure *f) {
    axes a;
    scale_axes(f, &a);
    place(cr, f, &a);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    draw_axes(cr, f, &a);

    cairo_save(cr);
    cairo_rectangle(cr, a.left, a.top - 4, a.right - a.left + 4, a.bottom - a.top + 4);
    cairo_clip(cr);
    // all tints below all lines
    for (size_t s = 0; s < f->series_count; s++) draw_spread(cr, &f->series[s].band, &a, palette[s % PALETTE]);
    draw_reference(cr, f, &a);
    for (size_t s = 0; s < f->series_count; s++) {
        series_dashes(cr, s);
        draw_mean(cr, &f->series[s].band, &a, palette[s % PALETTE]);
    }
    cairo_set_dash(cr, NULL, 0, 0);
    cairo_restore(cr);
    draw_legend(cr, f, &a);
}
