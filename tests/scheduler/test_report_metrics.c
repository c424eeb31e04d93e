// The metric table: unique names, printing, and docs/metrics.md as the table says.
#include <math.h>
#include "scheduler/report/metrics.h"
#include "test_report_common.h"

Test(report_metrics, names_are_unique_and_found) {
    for (int i = 0; i < MT_METRIC_COUNT; i++) {
        const mt_metric_info *info = mt_metric_get((mt_metric)i);
        cr_assert_eq(mt_metric_find(info->name), (mt_metric)i, "%s stands twice", info->name);
        cr_assert_not_null(strchr(info->name, '/'));
        cr_assert(*info->unit && *info->meaning, "%s has no unit or meaning", info->name);
        cr_assert_neq(info->meaning[strlen(info->meaning) - 1], '.', "%s", info->name);
    }
    cr_assert_eq(mt_metric_find("rollout/ep_rew_mean"), MT_METRIC_EP_REW_MEAN);
    cr_assert_eq(mt_metric_find("nothing"), MT_METRIC_COUNT);
}

Test(report_metrics, names_of_stable_baselines3_are_there) {
    static const char *const names[] = {"rollout/ep_rew_mean", "rollout/ep_len_mean", "time/fps", "time/iterations",
        "time/time_elapsed", "time/total_timesteps", "train/approx_kl", "train/clip_fraction", "train/clip_range",
        "train/clip_range_vf", "train/entropy_loss", "train/explained_variance", "train/learning_rate", "train/loss",
        "train/n_updates", "train/policy_gradient_loss", "train/value_loss", "train/std", "eval/mean_reward",
        "eval/mean_ep_length"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert_neq(mt_metric_find(names[i]), MT_METRIC_COUNT, "%s", names[i]);
}

Test(report_metrics, a_cleared_row_has_nothing) {
    mt_metrics_row row;
    mt_metrics_row_clear(&row);
    cr_assert_eq(mt_metrics_row_present(&row), 0);
    row.value[MT_METRIC_FPS] = 0;
    row.value[MT_METRIC_LOSS] = INFINITY;
    cr_assert_eq(mt_metrics_row_present(&row), MT_METRIC_BIT(FPS) | MT_METRIC_BIT(LOSS));
    cr_assert_eq(MT_METRIC_ALL & ~(((mt_metric_set)1 << (MT_METRIC_COUNT - 1)) * 2 - 1), 0);
}

Test(report_metrics, values_print_short) {
    static const struct {
        mt_metric metric;
        double value;
        const char *text;
    } cases[] = {
        {MT_METRIC_TOTAL_TIMESTEPS, 100000, "100000"},
        {MT_METRIC_TOTAL_TIMESTEPS, 4e12, "4e+12"},
        {MT_METRIC_EP_REW_MEAN, 431.24, "431.2"},
        {MT_METRIC_EP_REW_MEAN, -12345.6, "-12346"},
        {MT_METRIC_EP_REW_MEAN, 1234.56, "1234.6"},
        {MT_METRIC_APPROX_KL, 0.0087312, "0.008731"},
        {MT_METRIC_APPROX_KL, 1.2e-7, "1.2e-07"},
        {MT_METRIC_APPROX_KL, NAN, ""},
        {MT_METRIC_LOSS, -INFINITY, "-inf"},
        {MT_METRIC_UPDATE_SECONDS, 0.0123, "0.012"},
        {MT_METRIC_TIME_ELAPSED, 86400.25, "86400.2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[MT_METRIC_TEXT_BYTES];
        cr_assert_str_eq(mt_metric_print(cases[i].metric, cases[i].value, text), cases[i].text);
        cr_assert_leq(strlen(text), 12);
    }
    static const double hard[] = {-9.9999e307, -1.2345e-300, 999.95, 9999.95, -999999999.4};
    for (int m = 0; m < MT_METRIC_COUNT; m++)
        for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
            char text[MT_METRIC_TEXT_BYTES];
            cr_assert_leq(strlen(mt_metric_print((mt_metric)m, hard[i], text)), 12, "%s", text);
        }
}

Test(report_metrics, the_reference_is_current) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    CHECK_OK(mt_metrics_write_markdown(out));
    fclose(out);
    const char *path = MANTA_SOURCE_DIR "/docs/metrics.md";
    if (getenv("MANTA_UPDATE_DOCS")) CHECK_OK(mt_file_write_atomic(path, text, bytes, MT_FILE_PUBLIC));
    char *there = slurp(path);
    cr_assert_str_eq(there, text,
        "docs/metrics.md is not what scheduler/report/metrics.h says; MANTA_UPDATE_DOCS=1 build/tests/scheduler/"
        "test_report_metrics writes it anew");
    free(there);
    free(text);
}

Test(report_metrics, a_full_disk_is_an_error) {
    FILE *out = fopen("/dev/full", "w");
    cr_assert_not_null(out);
    CHECK_FAIL(IO, "metrics", mt_metrics_write_markdown(out));
    fclose(out);
}
