// Curves, bands, ticks and pictures. Pictures are checked as files (format, size, equal when drawn twice); how they
// look is for eyes.
#include <math.h>
#include "scheduler/report/plot.h"
#include "test_report_common.h"

TestSuite(report_plot, .init = make_test_folder, .fini = remove_test_folder);

// fontconfig, which Cairo uses, keeps what it read of the system's fonts until the process ends
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libfontconfig\n"; }

// --- curves --------------------------------------------------------------------------------------------------------

Test(report_plot, curve_load) {
    mt_curve c;
    CHECK_OK(mt_folder_make(at("run"), MT_FOLDER_PUBLIC));
    spill(at("run/progress.csv"), "r,steps,other\n,1,\n5,2,\n6,3,\n7,5,\n8,4,\n9,6,\n1");
    CHECK_OK(mt_curve_load(at("run"), "steps", "r", &c));
    // no r at 1; the row at 4 replaces the one at 5: a resumed run went back there; the torn end is dropped
    static const double x[] = {2, 3, 4, 6}, y[] = {5, 6, 8, 9};
    cr_assert_eq(c.count, 4);
    for (int i = 0; i < 4; i++) cr_assert(c.x[i] == x[i] && c.y[i] == y[i]);
    mt_curve_fini(&c);
    CHECK_OK(mt_curve_load(at("run/progress.csv"), "steps", "r", &c));
    mt_curve_fini(&c);
    CHECK_FAIL(NOT_FOUND, "did you mean \"steps\"", mt_curve_load(at("run"), "step", "r", &c));
    CHECK_FAIL(NOT_FOUND, "no row with both", mt_curve_load(at("run"), "steps", "other", &c));
    CHECK_FAIL(NOT_FOUND, "none", mt_curve_load(at("none"), "steps", "r", &c));
    cr_assert(!c.x && !c.y);
}

Test(report_plot, smoothing_is_a_trailing_mean) {
    double x[] = {1, 2, 3, 4}, y[] = {1, 3, 5, 7};
    mt_curve c = {.x = x, .y = y, .count = 4};
    CHECK_OK(mt_curve_smooth(&c, 1));
    cr_assert_eq(y[3], 7);
    CHECK_OK(mt_curve_smooth(&c, 2));
    cr_assert(y[0] == 1 && y[1] == 2 && y[2] == 4 && y[3] == 6);
    CHECK_OK(mt_curve_smooth(&c, 100));
    cr_assert_eq(y[3], 13.0 / 4);
}

Test(report_plot, band_of_runs_on_one_axis) {
    double x[] = {1, 2, 4}, a[] = {1, 2, 3}, b[] = {3, 2, 7};
    mt_curve runs[] = {{x, a, 3}, {x, b, 3}};
    mt_band band;
    CHECK_OK(mt_band_init(&band, runs, 2, 500, MT_SPREAD_STD));
    cr_assert_eq(band.count, 3);   // their own points
    cr_assert(band.mean[0] == 2 && band.low[0] == 1 && band.high[0] == 3);
    cr_assert(band.mean[1] == 2 && band.low[1] == 2 && band.high[1] == 2);
    cr_assert(band.mean[2] == 5 && band.low[2] == 3 && band.high[2] == 7 && band.runs[2] == 2);
    mt_band_fini(&band);
    CHECK_OK(mt_band_init(&band, runs, 1, 500, MT_SPREAD_MINMAX));
    cr_assert(band.count == 3 && band.mean[2] == 3 && band.low[2] == 3 && band.high[2] == 3);
    mt_band_fini(&band);
    CHECK_FAIL(INVALID_ARGUMENT, "band", mt_band_init(&band, runs, 0, 500, MT_SPREAD_STD));
    runs[1].count = 0;
    CHECK_FAIL(INVALID_ARGUMENT, "run 2", mt_band_init(&band, runs, 2, 500, MT_SPREAD_STD));
}

Test(report_plot, band_of_runs_of_unequal_length) {
    double xa[] = {0, 10}, a[] = {0, 10}, xb[] = {5, 15, 20}, b[] = {15, 25, 30};
    mt_curve runs[] = {{xa, a, 2}, {xb, b, 3}};   // y = x and y = x + 10
    mt_band band;
    CHECK_OK(mt_band_init(&band, runs, 2, 21, MT_SPREAD_MINMAX));
    cr_assert_eq(band.count, 21);
    for (size_t i = 0; i < band.count; i++) {
        double x = band.x[i];
        cr_assert_float_eq(x, (double)i, 1e-12);
        size_t n = (x <= 10) + (x >= 5);
        cr_assert_eq(band.runs[i], n);
        double low = x <= 10 ? x : x + 10, high = x >= 5 ? x + 10 : x;
        cr_assert_float_eq(band.low[i], low, 1e-9);
        cr_assert_float_eq(band.high[i], high, 1e-9);
        cr_assert_float_eq(band.mean[i], (low + high) / 2, 1e-9);
    }
    mt_band_fini(&band);
    // a hole between two runs is left out, and one-point runs are points
    double xc[] = {100}, c[] = {1};
    mt_curve apart[] = {{xa, a, 2}, {xc, c, 1}};
    CHECK_OK(mt_band_init(&band, apart, 2, 101, MT_SPREAD_STD));
    cr_assert_eq(band.count, 12);
    cr_assert(band.x[11] == 100 && band.mean[11] == 1 && band.runs[11] == 1);
    mt_band_fini(&band);
}

Test(report_plot, spread_without_cancellation) {
    double x[] = {1}, a[] = {1e9 + 1}, b[] = {1e9 + 3};
    mt_curve runs[] = {{x, a, 1}, {x, b, 1}};
    mt_band band;
    CHECK_OK(mt_band_init(&band, runs, 2, 2, MT_SPREAD_STD));
    cr_assert(band.low[0] == 1e9 + 1 && band.high[0] == 1e9 + 3);
    mt_band_fini(&band);
}

// --- ticks and labels ----------------------------------------------------------------------------------------------

Test(report_plot, ticks) {
    double t[32];
    cr_assert_eq(mt_plot_ticks(0, 100000, 5, t, 32), 6);
    cr_assert(t[0] == 0 && t[1] == 20000 && t[5] == 100000);
    cr_assert_eq(mt_plot_ticks(-0.31, 0.32, 4, t, 32), 3);
    cr_assert(t[1] == 0 && !signbit(t[1]));
    cr_assert_eq(mt_plot_ticks(1, 1, 4, t, 32), 0);
    cr_assert_eq(mt_plot_ticks(0, INFINITY, 4, t, 32), 0);
    cr_assert_eq(mt_plot_ticks(NAN, 1, 4, t, 32), 0);
    static const double spans[] = {1e-300, 1e-9, 0.37, 7, 499, 12345, 3e15, 1e300};
    for (size_t s = 0; s < sizeof spans / sizeof *spans; s++)
        for (size_t want = 2; want < 12; want++) {
            double low = -0.3 * spans[s], high = 0.7 * spans[s];
            size_t n = mt_plot_ticks(low, high, want, t, 32);
            cr_assert(n >= want / 2 && n <= want + 1, "%zu of %zu for %g", n, want, spans[s]);
            for (size_t i = 0; i < n; i++) {
                cr_assert(t[i] >= low - 1e-6 * spans[s] && t[i] <= high + 1e-6 * spans[s]);
                cr_assert(i == 0 || t[i] > t[i - 1]);
            }
        }
    cr_assert_eq(mt_plot_ticks(0, 100, 20, t, 3), 3);
}

Test(report_plot, labels) {
    static const char *const cases[][2] = {
        {"logs/ppo/CartPole-v1_3", "ppo CartPole-v1"},
        {"logs/ppo/CartPole-v1_3/", "ppo CartPole-v1"},
        {"/a/logs/ppo/CartPole-v1_12/progress.csv", "ppo CartPole-v1"},
        {"mine", "mine"},
        {"./mine_2", "mine_2"},
        {"runs/first try", "first try"},
        {"progress.csv", "progress.csv"},
        {"a/_1", "_1"},
        {"/", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char label[64];
        cr_assert_str_eq(mt_plot_label(cases[i][0], label, sizeof label), cases[i][1]);
    }
    char tiny[4];
    cr_assert_str_eq(mt_plot_label("logs/ppo/CartPole-v1_3", tiny, sizeof tiny), "ppo");
}

// --- pictures ------------------------------------------------------------------------------------------------------

static mt_plot_run make_run(int number, int rows, double slope) {
    static char paths[64][MT_PATH_BYTES];
    char name[64];
    snprintf(name, sizeof name, "logs/ppo/CartPole-v1_%d", number);
    CHECK_OK(mt_folder_make(at(name), MT_FOLDER_PUBLIC));
    strcpy(paths[number], at(name));
    strcat(name, "/progress.csv");
    FILE *file = fopen(at(name), "w");
    fputs("time/total_timesteps,rollout/ep_rew_mean\n", file);
    for (int i = 1; i <= rows; i++) fprintf(file, "%d,%g\n", i * 1000, slope * i);
    fclose(file);
    return (mt_plot_run){.path = paths[number]};
}

static size_t png_side(const char *png, int which) {
    const unsigned char *p = (const unsigned char *)png + 16 + 4 * which;
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

Test(report_plot, png_and_svg) {
    mt_plot_run runs[] = {make_run(1, 50, 1), make_run(2, 40, 1.5), make_run(3, 1, 1), make_run(4, 60, -2)};
    runs[3].label = "another & <odd> \u00fcber";
    mt_plot_desc desc = {.runs = runs,
        .run_count = 4,
        .output = at("a.png"),
        .title = "A title",
        .window = 3,
        .has_reference = 1,
        .reference = 40,
        .reference_label = "solved",
        .width = 600,
        .height = 300,
        .scale = 1.5};
    CHECK_OK(mt_plot_draw(&desc));
    char *png = slurp(desc.output);
    cr_assert_eq(memcmp(png, "\x89PNG\r\n\x1a\n", 8), 0);
    cr_assert_eq(png_side(png, 0), 900);
    cr_assert_eq(png_side(png, 1), 450);
    free(png);

    // the same data, the same bytes
    desc.output = at("b.png");
    CHECK_OK(mt_plot_draw(&desc));
    size_t a_bytes, b_bytes;
    char *again;
    CHECK_OK(mt_file_read(at("a.png"), 1 << 26, &png, &a_bytes));
    CHECK_OK(mt_file_read(at("b.png"), 1 << 26, &again, &b_bytes));
    cr_assert(a_bytes == b_bytes && memcmp(png, again, a_bytes) == 0);
    free(png);
    free(again);

    desc.output = at("c.svg");
    desc.spread = MT_SPREAD_NONE;
    CHECK_OK(mt_plot_draw(&desc));
    char *svg = slurp(desc.output);
    cr_assert(strncmp(svg, "<?xml", 5) == 0 && strstr(svg, "</svg>"));
    free(svg);
}

Test(report_plot, strange_data) {
    // one point, a constant, huge and tiny numbers: a picture each, no error
    static const char *const bodies[] = {"1,1\n", "1,5\n2,5\n3,5\n", "1,0\n2,0\n", "1,1e300\n2,-1e300\n",
        "1,1e-300\n2,2e-300\n", "-5,1\n-4,2\n", "1000000000,1\n1000000001,1\n", "0,inf\n1,3\n2,nan\n"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char text[256];
        snprintf(text, sizeof text, "time/total_timesteps,rollout/ep_rew_mean\n%s", bodies[i]);
        spill(at("p.csv"), text);
        char path[MT_PATH_BYTES];
        strcpy(path, at("p.csv"));
        mt_plot_run run = {.path = path};
        mt_plot_desc desc = {.runs = &run, .run_count = 1, .output = at("p.png"), .scale = 1};
        CHECK_OK(mt_plot_draw(&desc));
    }
}

Test(report_plot, bad_requests) {
    mt_plot_run runs[MT_PLOT_SERIES_MAX + 1];
    static char labels[MT_PLOT_SERIES_MAX + 1][16];
    for (int i = 0; i <= MT_PLOT_SERIES_MAX; i++) {
        runs[i] = make_run(i, 3, 1);
        snprintf(labels[i], sizeof labels[i], "%d", i);
        runs[i].label = labels[i];
    }
    mt_plot_desc desc = {.runs = runs, .run_count = MT_PLOT_SERIES_MAX + 1, .output = at("a.png"), .scale = 1};
    CHECK_FAIL(INVALID_ARGUMENT, "more than 24 curves", mt_plot_draw(&desc));
    desc.run_count = MT_PLOT_SERIES_MAX;
    CHECK_OK(mt_plot_draw(&desc));
    unlink(desc.output);

    mt_plot_desc bad = desc;
    bad.run_count = 0;
    CHECK_FAIL(INVALID_ARGUMENT, "nothing to plot", mt_plot_draw(&bad));
    bad = desc, bad.output = "picture.jpg";
    CHECK_FAIL(INVALID_ARGUMENT, ".png or .svg", mt_plot_draw(&bad));
    bad = desc, bad.output = "a.png/picture";
    CHECK_FAIL(INVALID_ARGUMENT, ".png or .svg", mt_plot_draw(&bad));
    bad = desc, bad.width = 10;
    CHECK_FAIL(INVALID_ARGUMENT, "10 x 500", mt_plot_draw(&bad));
    bad = desc, bad.scale = 1e9;
    CHECK_FAIL(INVALID_ARGUMENT, "pixels", mt_plot_draw(&bad));
    bad = desc, bad.title = "\xff";
    CHECK_FAIL(INVALID_ARGUMENT, "UTF-8", mt_plot_draw(&bad));
    bad = desc, bad.y = "rollout/ep_rew_men";
    CHECK_FAIL(NOT_FOUND, "did you mean \"rollout/ep_rew_mean\"", mt_plot_draw(&bad));
    bad = desc, bad.output = "/nowhere/at/all.png";
    CHECK_FAIL(NOT_FOUND, "/nowhere/at", mt_plot_draw(&bad));
    runs[1].path = "/nowhere/run";
    CHECK_FAIL(NOT_FOUND, "/nowhere/run", mt_plot_draw(&desc));
    spill(at("bad.csv"), "time/total_timesteps,rollout/ep_rew_mean\n1,2\n2,x\n");
    runs[1].path = at("bad.csv");
    CHECK_FAIL(CORRUPT, "bad.csv:3", mt_plot_draw(&desc));
    cr_assert(!mt_file_exists(desc.output));
}

Test(report_plot, a_full_disk_keeps_the_old_picture) {
    mt_plot_run run = make_run(1, 5, 1);
    spill(at("a.png"), "old");
    mt_plot_desc desc = {.runs = &run, .run_count = 1, .output = at("a.png"), .scale = 1};
    CHECK_OK(mt_failpoint_set("file.write:ENOSPC"));
    CHECK_FAIL(IO, "a.png", mt_plot_draw(&desc));
    check_text(at("a.png"), "old");
}
