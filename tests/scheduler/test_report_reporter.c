// All sinks together: a run, its resume, and a disk that fills up in the middle without stopping anything.
#include <math.h>
#include "engine/base/log.h"
#include "scheduler/report/csv_table.h"
#include "scheduler/report/reporter.h"
#include "scheduler/report/run_folder.h"
#include "test_report_common.h"

TestSuite(report_reporter, .init = make_test_folder, .fini = remove_test_folder);

static mt_reporter *start(const char *folder, FILE *out, int resume, int64_t step, uint64_t episodes) {
    mt_reporter *reporter;
    mt_reporter_desc desc = {.run_folder = folder,
        .env_id = "CartPole-v1",
        .start_unix = 1700000000,
        .columns = MT_METRIC_BIT(EP_REW_MEAN) | MT_METRIC_BIT(EPISODES),
        .resume = resume,
        .resume_step = step,
        .resume_episodes = episodes,
        .progress = {.out = out, .total_steps = 1000, .verbose = 1}};
    CHECK_OK(mt_reporter_create(&desc, &reporter));
    return reporter;
}

static void iterate(mt_reporter *reporter, int from, int to) {
    for (int i = from; i <= to; i++) {
        mt_metrics_row row;
        mt_metrics_row_clear(&row);
        mt_reporter_episode(reporter, i, 10, i);
        mt_reporter_step(reporter, i * 100);
        row.value[MT_METRIC_TOTAL_TIMESTEPS] = i * 100;
        row.value[MT_METRIC_EP_REW_MEAN] = i;
        row.value[MT_METRIC_EPISODES] = i;
        mt_reporter_row(reporter, &row);
    }
}

static size_t rows_of(const char *path) {
    mt_csv_table table;
    CHECK_OK(mt_csv_table_read(path, &table));
    size_t rows = table.row_count;
    mt_csv_table_fini(&table);
    return rows;
}

Test(report_reporter, a_killed_run_and_its_resume_leave_every_row_once) {
    char folder[MT_PATH_BYTES];
    strcpy(folder, test_folder);
    FILE *out = fopen("/dev/null", "w");
    mt_reporter *reporter = start(folder, out, 0, 0, 0);
    iterate(reporter, 1, 7);   // the checkpoint is of 500 steps, then it dies
    mt_reporter_destroy(reporter);
    reporter = start(folder, out, 1, 500, 5);
    iterate(reporter, 6, 10);
    mt_reporter_finish(reporter, 1000, "trained");
    mt_reporter_destroy(reporter);
    mt_reporter_destroy(NULL);
    fclose(out);

    cr_assert_eq(rows_of(at(MT_RUN_PROGRESS)), 10);
    cr_assert_eq(rows_of(at(MT_RUN_MONITOR)), 10);
    mt_folder_names names;
    CHECK_OK(mt_folder_list(at(MT_RUN_TENSORBOARD), &names));
    cr_assert_eq(names.count, 2);
    mt_folder_names_fini(&names);
}

static char log_text[8192];
static void keep_log(void *context, mt_log_level level, const char *line, size_t bytes) {
    (void)context, (void)level;
    strncat(log_text, line, bytes < sizeof log_text - strlen(log_text) - 1 ? bytes : 0);
}

static int occurrences(const char *word) {
    int count = 0;
    for (const char *found = log_text; (found = strstr(found, word)); found++) count++;
    return count;
}

Test(report_reporter, a_full_disk_stops_nothing_and_is_said_once) {
    mt_log_start(&(mt_log_desc){.level = MT_LOG_INFO, .size = 1, .write = keep_log});
    FILE *out = fopen("/dev/null", "w");
    mt_reporter *reporter = start(test_folder, out, 0, 0, 0);
    iterate(reporter, 1, 3);
    CHECK_OK(mt_failpoint_set("file.write:ENOSPC+"));
    iterate(reporter, 4, 6);
    cr_assert_eq(occurrences("training goes on"), 3, "%s", log_text);   // once for each sink
    CHECK_OK(mt_failpoint_set(NULL));
    iterate(reporter, 7, 10);
    cr_assert_eq(occurrences("written again"), 3, "%s", log_text);
    mt_reporter_finish(reporter, 1000, "trained");
    cr_assert_eq(occurrences("3 rows of"), 3, "%s", log_text);
    mt_reporter_destroy(reporter);
    fclose(out);
    cr_assert_eq(rows_of(at(MT_RUN_PROGRESS)), 7);
    cr_assert_eq(rows_of(at(MT_RUN_MONITOR)), 7);
}

Test(report_reporter, opening_is_strict) {
    mt_reporter *reporter;
    mt_reporter_desc desc = {.run_folder = at("none"), .env_id = "x"};
    CHECK_FAIL(NOT_FOUND, "progress.csv", mt_reporter_create(&desc, &reporter));
    cr_assert_null(reporter);
    spill(at(MT_RUN_PROGRESS), "an older run's\n");
    desc.run_folder = test_folder;
    CHECK_FAIL(EXISTS, "progress.csv", mt_reporter_create(&desc, &reporter));
    check_text(at(MT_RUN_PROGRESS), "an older run's\n");
}

Test(report_reporter, tensorboard_elsewhere_or_nowhere) {
    mt_reporter *reporter;
    mt_reporter_desc desc = {.run_folder = test_folder, .env_id = "x", .tensorboard = ""};
    CHECK_OK(mt_reporter_create(&desc, &reporter));
    cr_assert(!mt_file_exists(at(MT_RUN_TENSORBOARD)));
    iterate(reporter, 0, -1);
    mt_reporter_destroy(reporter);
    desc.resume = 1;
    desc.tensorboard = at("else/where");
    CHECK_OK(mt_reporter_create(&desc, &reporter));
    cr_assert(mt_file_is_folder(at("else/where")));
    mt_reporter_destroy(reporter);
}
