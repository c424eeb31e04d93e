// Learning curves as numbers. Pure functions of files and arrays; any thread.
#include "scheduler/report/curve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "scheduler/report/csv_table.h"
#include "scheduler/report/run_folder.h"

static mt_status find_column(const mt_csv_table *table, const char *path, const char *name, int *out) {
    *out = mt_csv_table_column(table, name);
    if (*out >= 0) return MT_OK;
    char hint[128];
    const char *nearest = mt_text_nearest(name, (const char *const *)table->names, table->column_count);
    return MT_FAIL(
        NOT_FOUND, "%s has no column \"%.64s\"%s", path, name, mt_text_did_you_mean(nearest, hint, sizeof hint));
}

static mt_status take_columns(
    const mt_csv_table *table, const char *path, const char *x_name, const char *y_name, mt_curve *out) {
    int x_column, y_column;
    MT_TRY(find_column(table, path, x_name, &x_column));
    MT_TRY(find_column(table, path, y_name, &y_column));
    mt_curve curve = {
        .x = malloc((table->row_count + 1) * sizeof(double)), .y = malloc((table->row_count + 1) * sizeof(double))};
    if (!curve.x || !curve.y) {
        mt_curve_fini(&curve);
        return MT_FAIL(NO_MEMORY, "out of memory for %zu rows of %s", table->row_count, path);
    }
    for (size_t r = 0; r < table->row_count; r++) {
        const double *row = table->values + r * table->column_count;
        if (!isfinite(row[x_column]) || !isfinite(row[y_column])) continue;
        while (curve.count > 0 && curve.x[curve.count - 1] >= row[x_column]) curve.count--;
        curve.x[curve.count] = row[x_column];
        curve.y[curve.count++] = row[y_column];
    }
    if (curve.count == 0) {
        mt_curve_fini(&curve);
        return MT_FAIL(NOT_FOUND, "%s has no row with both %s and %s yet", path, x_name, y_name);
    }
    *out = curve;
    return MT_OK;
}

mt_status mt_curve_load(const char *path, const char *x, const char *y, mt_curve *out) {
    *out = (mt_curve){0};
    char file[MT_PATH_BYTES];
    int is_folder = mt_file_is_folder(path);
    MT_TRY(mt_path_join(file, sizeof file, is_folder ? path : "", is_folder ? MT_RUN_PROGRESS : path));
    mt_csv_table table;
    MT_TRY(mt_csv_table_read(file, &table));
    mt_status status = take_columns(&table, file, x, y, out);
    mt_csv_table_fini(&table);
    return status;
}

mt_status mt_curve_smooth(mt_curve *curve, size_t window) {
    if (window <= 1 || curve->count == 0) return MT_OK;
    double *raw = malloc(curve->count * sizeof *raw);
    if (!raw) return MT_FAIL(NO_MEMORY, "out of memory for smoothing %zu rows", curve->count);
    memcpy(raw, curve->y, curve->count * sizeof *raw);
    double sum = 0;
    for (size_t i = 0; i < curve->count; i++) {
        sum += raw[i];
        if (i >= window) sum -= raw[i - window];
        curve->y[i] = sum / (double)(i < window ? i + 1 : window);
    }
    free(raw);
    return MT_OK;
}

// y at x, which lies within the curve; *at walks along with an ascending x
static double interpolate(const mt_curve *curve, double x, size_t *at) {
    while (*at + 1 < curve->count && curve->x[*at + 1] <= x) (*at)++;
    if (*at + 1 == curve->count || x <= curve->x[*at]) return curve->y[*at];
    double share = (x - curve->x[*at]) / (curve->x[*at + 1] - curve->x[*at]);
    return curve->y[*at] + share * (curve->y[*at + 1] - curve->y[*at]);
}

static int same_axis(const mt_curve *runs, size_t run_count) {
    for (size_t r = 1; r < run_count; r++)
        if (runs[r].count != runs[0].count || memcmp(runs[r].x, runs[0].x, runs[0].count * sizeof(double)) != 0)
            return 0;
    return 1;
}

static void fill_axis(mt_band *band, const mt_curve *runs, size_t run_count) {
    if (same_axis(runs, run_count)) {
        memcpy(band->x, runs[0].x, band->count * sizeof *band->x);
        return;
    }
    double low = INFINITY, high = -INFINITY;
    for (size_t r = 0; r < run_count; r++) {
        low = fmin(low, runs[r].x[0]);
        high = fmax(high, runs[r].x[runs[r].count - 1]);
    }
    for (size_t i = 0; i < band->count; i++) band->x[i] = low + (high - low) * (double)i / (double)(band->count - 1);
    band->x[band->count - 1] = high;   // not a rounding error away: the longest run must reach it
}

typedef struct moments {
    double sum, sum_squares, low, high;   // of y minus the first run's y: no cancellation in the variance
    size_t runs;
} moments;

static void finish_point(mt_band *band, size_t i, double base, const moments *m, mt_spread spread) {
    double n = (double)m->runs, mean = m->sum / n, variance = m->sum_squares / n - mean * mean;
    double std = variance > 0 ? sqrt(variance) : 0;
    band->runs[i] = m->runs;
    band->mean[i] = base + mean;
    band->low[i] = base + (spread == MT_SPREAD_MINMAX ? m->low : spread == MT_SPREAD_STD ? mean - std : mean);
    band->high[i] = base + (spread == MT_SPREAD_MINMAX ? m->high : spread == MT_SPREAD_STD ? mean + std : mean);
}

static void fill_points(mt_band *band, const mt_curve *runs, size_t *at, mt_spread spread) {
    size_t kept = 0;
    for (size_t i = 0; i < band->count; i++) {
        double x = band->x[i], base = 0;
        moments m = {.low = INFINITY, .high = -INFINITY};
        for (size_t r = 0; r < band->run_count; r++) {
            if (x < runs[r].x[0] || x > runs[r].x[runs[r].count - 1]) continue;
            double y = interpolate(&runs[r], x, &at[r]);
            if (m.runs++ == 0) base = y;
            y -= base;
            m.sum += y;
            m.sum_squares += y * y;
            m.low = fmin(m.low, y);
            m.high = fmax(m.high, y);
        }
        if (m.runs == 0) continue;   // a hole that no run covers
        band->x[kept] = x;
        finish_point(band, kept++, base, &m, spread);
    }
    band->count = kept;
}

mt_status mt_band_init(mt_band *band, const mt_curve *runs, size_t run_count, size_t points, mt_spread spread) {
    *band = (mt_band){.run_count = run_count};
    if (run_count == 0 || points < 2) return MT_FAIL(INVALID_ARGUMENT, "a band needs a run and two grid points");
    for (size_t r = 0; r < run_count; r++)
        if (runs[r].count == 0) return MT_FAIL(INVALID_ARGUMENT, "run %zu of a band has no points", r + 1);
    size_t count = same_axis(runs, run_count) ? runs[0].count : points;
    size_t *at = calloc(run_count, sizeof *at);
    band->count = count;
    band->x = malloc(4 * count * sizeof(double));
    band->runs = malloc(count * sizeof(size_t));
    if (!at || !band->x || !band->runs) {
        free(at);
        mt_band_fini(band);
        return MT_FAIL(NO_MEMORY, "out of memory for a curve of %zu points", count);
    }
    band->mean = band->x + count;
    band->low = band->mean + count;
    band->high = band->low + count;
    fill_axis(band, runs, run_count);
    fill_points(band, runs, at, spread);
    free(at);
    return MT_OK;
}

void mt_curve_fini(mt_curve *curve) {
    free(curve->x);
    free(curve->y);
    *curve = (mt_curve){0};
}

void mt_band_fini(mt_band *band) {
    free(band->x);
    free(band->runs);
    *band = (mt_band){0};
}
