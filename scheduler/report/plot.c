// `manta plot`: from runs to a picture. This file groups, scales and writes; plot_draw.c draws. One call, one picture,
// no state between calls.
#include "scheduler/report/plot.h"

#include <cairo-svg.h>
#include <cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "scheduler/report/metrics.h"
#include "scheduler/report/plot_draw.h"

enum { GRID_POINTS = 500, SIDE_MIN = 200, SIDE_MAX = 8000, SIDE_PIXELS_MAX = 30000 };

// --- labels --------------------------------------------------------------------------------------------------------

// Start and length of the path's last component before `end`.
static const char *last_component(const char *path, const char *end, size_t *length) {
    while (end > path && end[-1] == '/') end--;
    const char *start = end;
    while (start > path && start[-1] != '/') start--;
    *length = (size_t)(end - start);
    return start;
}

char *mt_plot_label(const char *path, char *buffer, size_t bytes) {
    size_t env_length, algo_length;
    const char *end = path + strlen(path);
    const char *env = last_component(path, end, &env_length);
    if (env_length > 4 && strncmp(env + env_length - 4, ".csv", 4) == 0 && env > path)
        env = last_component(path, env, &env_length);   // RUN/progress.csv is RUN
    const char *algo = last_component(path, env, &algo_length);

    size_t digits = 0;
    while (digits < env_length && env[env_length - 1 - digits] >= '0' && env[env_length - 1 - digits] <= '9') digits++;
    int numbered = digits > 0 && digits + 1 < env_length && env[env_length - 1 - digits] == '_';
    if (numbered && algo_length > 0 && *algo != '.')
        snprintf(buffer, bytes, "%.*s %.*s", (int)algo_length, algo, (int)(env_length - digits - 1), env);
    else snprintf(buffer, bytes, "%.*s", (int)env_length, env);
    return buffer;
}

static const char *axis_label(const char *column, char *buffer, size_t bytes) {
    mt_metric metric = mt_metric_find(column);
    if (metric == MT_METRIC_TOTAL_TIMESTEPS) return "environment steps";
    if (metric == MT_METRIC_TIME_ELAPSED) return "seconds of training";
    if (metric == MT_METRIC_EP_REW_MEAN) return "mean episode return";
    if (metric == MT_METRIC_EVAL_MEAN_REWARD) return "evaluation return";
    if (metric == MT_METRIC_EP_LEN_MEAN) return "mean episode length";
    if (metric == MT_METRIC_COUNT || strcmp(mt_metric_get(metric)->unit, "1") == 0) return column;
    snprintf(buffer, bytes, "%s (%s)", column, mt_metric_get(metric)->unit);
    return buffer;
}

// --- series --------------------------------------------------------------------------------------------------------

typedef struct group {
    mt_curve *curves;   // owned (count)
    size_t count;
} group;

static mt_status find_series(mt_plot_figure *figure, const char *label, size_t *out) {
    for (*out = 0; *out < figure->series_count; (*out)++)
        if (strcmp(figure->series[*out].label, label) == 0) return MT_OK;
    if (figure->series_count == MT_PLOT_SERIES_MAX)
        return MT_FAIL(INVALID_ARGUMENT, "more than %d curves in one picture: give runs that belong together one label",
            MT_PLOT_SERIES_MAX);
    snprintf(figure->series[figure->series_count++].label, sizeof figure->series[0].label, "%s", label);
    return MT_OK;
}

static mt_status load_run(const mt_plot_desc *desc, const mt_plot_run *run, mt_plot_figure *figure, group *groups) {
    char label[sizeof figure->series[0].label];
    if (run->label) snprintf(label, sizeof label, "%s", run->label);
    else mt_plot_label(run->path, label, sizeof label);
    if (!mt_text_is_utf8(label)) return MT_FAIL(INVALID_ARGUMENT, "the label of %s is not UTF-8 text", run->path);

    size_t s;
    MT_TRY(find_series(figure, label, &s));
    mt_curve *grown = realloc(groups[s].curves, (groups[s].count + 1) * sizeof *grown);
    if (!grown) return MT_FAIL(NO_MEMORY, "out of memory for the curves of %s", label);
    groups[s].curves = grown;
    MT_TRY(mt_curve_load(run->path, desc->x ? desc->x : "time/total_timesteps",
        desc->y ? desc->y : "rollout/ep_rew_mean", &grown[groups[s].count]));
    groups[s].count++;
    return mt_curve_smooth(&grown[groups[s].count - 1], desc->window);
}

static mt_status load_all(const mt_plot_desc *desc, mt_plot_figure *figure) {
    group groups[MT_PLOT_SERIES_MAX] = {0};
    mt_status status = MT_OK;
    for (size_t r = 0; r < desc->run_count && status == MT_OK; r++)
        status = load_run(desc, &desc->runs[r], figure, groups);
    for (size_t s = 0; s < figure->series_count && status == MT_OK; s++)
        status = mt_band_init(&figure->series[s].band, groups[s].curves, groups[s].count, GRID_POINTS, desc->spread);
    for (size_t s = 0; s < MT_PLOT_SERIES_MAX; s++) {
        for (size_t r = 0; r < groups[s].count; r++) mt_curve_fini(&groups[s].curves[r]);
        free(groups[s].curves);
    }
    return status;
}

// --- output --------------------------------------------------------------------------------------------------------

static cairo_status_t to_text(void *closure, const unsigned char *data, unsigned bytes) {
    mt_text *text = closure;
    mt_text_append_bytes(text, (const char *)data, bytes);
    return text->failed ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

static mt_status from_cairo(cairo_status_t status, const char *output) {
    if (status == CAIRO_STATUS_SUCCESS) return MT_OK;
    if (status == CAIRO_STATUS_NO_MEMORY) return MT_FAIL(NO_MEMORY, "out of memory for the picture %s", output);
    return MT_FAIL(INTERNAL, "cannot draw %s: %s", output, cairo_status_to_string(status));
}

static mt_status render(const mt_plot_desc *desc, const mt_plot_figure *figure, int svg, mt_text *image) {
    double scale = svg ? 1 : desc->scale > 0 ? desc->scale : 2;
    cairo_surface_t *surface = svg ? cairo_svg_surface_create_for_stream(to_text, image, figure->width, figure->height)
                                   : cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)lround(figure->width * scale),
                                         (int)lround(figure->height * scale));
    cairo_t *cr = cairo_create(surface);
    cairo_scale(cr, scale, scale);
    mt_plot_draw_figure(cr, figure);
    cairo_status_t status = cairo_status(cr);
    cairo_destroy(cr);
    if (status == CAIRO_STATUS_SUCCESS && !svg) status = cairo_surface_write_to_png_stream(surface, to_text, image);
    cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    return from_cairo(status, desc->output);
}

static mt_status check(const mt_plot_desc *desc, int *svg) {
    if (desc->run_count == 0) return MT_FAIL(INVALID_ARGUMENT, "nothing to plot: name at least one run folder");
    const char *dot = strrchr(mt_path_name(desc->output), '.');
    *svg = dot && strcmp(dot, ".svg") == 0;
    if (!*svg && !(dot && strcmp(dot, ".png") == 0))
        return MT_FAIL(
            INVALID_ARGUMENT, "cannot tell the picture's format from %s: end the name in .png or .svg", desc->output);
    int width = desc->width ? desc->width : 800, height = desc->height ? desc->height : 500;
    if (width < SIDE_MIN || height < SIDE_MIN || width > SIDE_MAX || height > SIDE_MAX)
        return MT_FAIL(INVALID_ARGUMENT, "a picture of %d x %d points: both sides must be %d to %d", width, height,
            SIDE_MIN, SIDE_MAX);
    double scale = desc->scale > 0 ? desc->scale : 2;
    if (!*svg && (!isfinite(scale) || scale * fmax(width, height) > SIDE_PIXELS_MAX))
        return MT_FAIL(INVALID_ARGUMENT, "a scale of %g makes more than %d pixels a side", scale, SIDE_PIXELS_MAX);
    const char *texts[] = {desc->title, desc->x_label, desc->y_label, desc->reference_label};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i] && !mt_text_is_utf8(texts[i]))
            return MT_FAIL(INVALID_ARGUMENT, "a title or label is not UTF-8 text");
    return MT_OK;
}

mt_status mt_plot_draw(const mt_plot_desc *desc) {
    int svg = 0;
    MT_TRY(check(desc, &svg));
    mt_plot_figure *figure = calloc(1, sizeof *figure);
    if (!figure) return MT_FAIL(NO_MEMORY, "out of memory for the picture %s", desc->output);
    char x_label[128], y_label[128];
    figure->width = desc->width ? desc->width : 800;
    figure->height = desc->height ? desc->height : 500;
    figure->title = desc->title;
    figure->x_label =
        desc->x_label ? desc->x_label : axis_label(desc->x ? desc->x : "time/total_timesteps", x_label, sizeof x_label);
    figure->y_label =
        desc->y_label ? desc->y_label : axis_label(desc->y ? desc->y : "rollout/ep_rew_mean", y_label, sizeof y_label);
    figure->has_reference = desc->has_reference && isfinite(desc->reference);
    figure->reference = desc->reference;
    figure->reference_label = desc->reference_label;

    mt_text image = {0};
    mt_status status;
    MT_TRY_GOTO(load_all(desc, figure), done);
    MT_TRY_GOTO(render(desc, figure, svg, &image), done);
    MT_TRY_GOTO(mt_text_status(&image), done);
    status = mt_file_write_atomic(desc->output, mt_text_str(&image), image.length, MT_FILE_PUBLIC);

done:
    mt_text_fini(&image);
    for (size_t s = 0; s < figure->series_count; s++) mt_band_fini(&figure->series[s].band);
    free(figure);
    return status;
}
