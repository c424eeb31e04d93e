// manta plot: learning curves of one or many runs.
#include "apps/app.h"

#include "scheduler/config.h"
#include "scheduler/report/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { RUNS_MAX = 512 };

typedef struct plot_config {
    char output[MT_OPTION_PATH_BYTES], x[MT_NAME_BYTES], y[MT_NAME_BYTES], title[MT_NAME_BYTES], labels[MT_OPTION_PATH_BYTES];
    char x_label[MT_NAME_BYTES], y_label[MT_NAME_BYTES], reference[32];
    int window, width, height, spread;
} plot_config;

static const char *const spreads[] = {"std", "minmax", "none", NULL};   // mt_spread's order

#define PLOT(field) MT_OPTION(plot_config, field), .group = "Plot"
static const mt_option options_table[] = {
    {PLOT(output), .type = MT_OPT_STRING, .letter = 'o', .flags = MT_OPTION_PATH, .standard = "curves.png", .help = "file to write: .png or .svg"},
    {PLOT(x), .type = MT_OPT_STRING, .standard = "time/total_timesteps", .help = "column of progress.csv along the x axis; time/time_elapsed for seconds"},
    {PLOT(y), .type = MT_OPT_STRING, .standard = "rollout/ep_rew_mean", .help = "column of progress.csv along the y axis"},
    {PLOT(labels), .type = MT_OPT_STRING, .standard = "", .help = "one label a run, separated by ','; runs of one label are one curve with its spread"},
    {PLOT(title), .type = MT_OPT_STRING, .standard = "", .help = "title of the picture"},
    {PLOT(x_label), .type = MT_OPT_STRING, .standard = "", .help = "text along the x axis"},
    {PLOT(y_label), .type = MT_OPT_STRING, .standard = "", .help = "text along the y axis"},
    {PLOT(spread), .type = MT_OPT_CHOICE, .choices = spreads, .standard = "std", .help = "what is shaded round the mean over runs"},
    {PLOT(window), .type = MT_OPT_INT, .standard = "0", .range = "[0, 1e6]", .why = "it is a number of rows", .unit = "rows", .help = "smooths over so many rows"},
    {PLOT(reference), .type = MT_OPT_STRING, .standard = "", .help = "a dashed line at this value, for example a published score"},
    {PLOT(width), .type = MT_OPT_INT, .standard = "800", .range = "[100, 10000]", .why = "it is a picture", .unit = "points", .help = "width"},
    {PLOT(height), .type = MT_OPT_INT, .standard = "500", .range = "[100, 10000]", .why = "it is a picture", .unit = "points", .help = "height"},
};

static plot_config config;
static size_t sections(mt_option_section *out) {
    out[0] = (mt_option_section){.table = options_table, .count = MT_COUNT(options_table), .object = &config};
    return 1;
}

static const char *given(const char *text) { return *text ? text : NULL; }

// cuts "a,a,b" at its commas and hands the pieces to the runs
static mt_status share_labels(mt_plot_run *runs, size_t count) {
    char *at = config.labels;
    for (size_t i = 0; i < count && *config.labels; i++) {
        if (!at) return MT_FAIL(CONFIG, "--labels has %zu labels for %zu runs; give one a run, separated by ','", i, count);
        runs[i].label = strsep(&at, ",");
    }
    return at ? MT_FAIL(CONFIG, "--labels has more labels than there are runs (%zu)", count) : MT_OK;
}

static mt_status draw(const char *const *paths, size_t count) {
    static mt_plot_run runs[RUNS_MAX];
    double reference = NAN;
    if (!count) return MT_FAIL(CONFIG, "which runs? give their folders: manta plot logs/ppo/CartPole-v1_1 logs/ppo/CartPole-v1_2 -o curve.png");
    for (size_t i = 0; i < count; i++) runs[i] = (mt_plot_run){.path = paths[i]};
    if (*config.labels) MT_TRY(share_labels(runs, count));
    if (*config.reference) MT_TRY(mt_parse_f64(config.reference, &reference));
    MT_TRY(mt_plot_draw(&(mt_plot_desc){
        .runs = runs, .run_count = count, .output = config.output, .x = config.x, .y = config.y, .title = given(config.title),
        .x_label = given(config.x_label), .y_label = given(config.y_label), .spread = (mt_spread)config.spread,
        .window = (size_t)config.window, .has_reference = !isnan(reference), .reference = reference, .width = config.width,
        .height = config.height,
    }));
    printf("%s\n", config.output);
    return MT_OK;
}

static mt_status run(int argc, char **argv) {
    mt_option_section list[1];
    mt_options options = {0};
    static const char *paths[RUNS_MAX];
    size_t count = 0;
    int done = 0;
    mt_status status = mt_app_parse(&mt_app_plot, &options, list, sections(list), argc, argv, paths, RUNS_MAX, &count, &done);
    if (status == MT_OK && !done) status = draw(paths, count);
    mt_options_fini(&options);
    return status;
}

const mt_app mt_app_plot = {
    .name = "plot",
    .summary = "draw learning curves of one or many runs",
    .usage = "manta plot RUN_FOLDER... [-o curves.png] [options]",
    .details = "Runs of the same algorithm and environment (or of one label) are drawn as one curve: the mean, and the spread shaded.",
    .run = run,
    .sections = sections,
};
