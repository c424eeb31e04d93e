// progress.csv and monitor.csv: what is written, what a resume keeps, and that a failed write leaves whole rows only.
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "scheduler/report/csv.h"
#include "scheduler/report/csv_table.h"
#include "test_report_common.h"

TestSuite(report_csv, .init = make_test_folder, .fini = remove_test_folder);

static const mt_metric_set COLUMNS = MT_METRIC_BIT(EP_REW_MEAN) | MT_METRIC_BIT(TOTAL_TIMESTEPS) | MT_METRIC_BIT(LOSS);

static mt_metrics_row row_at(double steps, double reward, double loss) {
    mt_metrics_row row;
    mt_metrics_row_clear(&row);
    row.value[MT_METRIC_TOTAL_TIMESTEPS] = steps;
    row.value[MT_METRIC_EP_REW_MEAN] = reward;
    row.value[MT_METRIC_LOSS] = loss;
    return row;
}

static void write_row(mt_progress_csv *csv, double steps, double reward, double loss) {
    mt_metrics_row row = row_at(steps, reward, loss);
    CHECK_OK(mt_progress_csv_write(csv, &row));
}

#define HEADER "rollout/ep_rew_mean,time/total_timesteps,train/loss\n"

Test(report_csv, progress_rows) {
    mt_progress_csv *csv;
    CHECK_OK(mt_progress_csv_create(at("p.csv"), MT_METRIC_BIT(EP_REW_MEAN) | MT_METRIC_BIT(LOSS), &csv));
    write_row(csv, 2048, NAN, 0.1);
    write_row(csv, 4096, -21, INFINITY);
    write_row(csv, 6144, 22.25, 1e-5);
    mt_metrics_row row = row_at(1, 2, 3);
    row.value[MT_METRIC_STD] = 1;
    CHECK_FAIL(INVALID_ARGUMENT, "train/std", mt_progress_csv_write(csv, &row));
    CHECK_OK(mt_progress_csv_close(csv));
    check_text(at("p.csv"), HEADER ",2048,0.1\n-21,4096,inf\n22.25,6144,1.0e-05\n");

    CHECK_FAIL(EXISTS, "p.csv", mt_progress_csv_create(at("p.csv"), COLUMNS, &csv));
    cr_assert_null(csv);
    CHECK_OK(mt_progress_csv_close(NULL));
}

Test(report_csv, progress_numbers_read_back_equal) {
    static const double hard[] = {
        0.1, 1.0 / 3, 1e-310, -1.7976931348623157e308, 123456789012345678.0, 5e-324, 431.2000122};
    enum { COUNT = sizeof hard / sizeof *hard };
    mt_progress_csv *csv;
    CHECK_OK(mt_progress_csv_create(at("p.csv"), COLUMNS, &csv));
    for (int i = 0; i < COUNT; i++) write_row(csv, i, hard[i], -hard[i]);
    CHECK_OK(mt_progress_csv_close(csv));
    mt_csv_table table;
    CHECK_OK(mt_csv_table_read(at("p.csv"), &table));
    cr_assert_eq(table.row_count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(table.values[3 * i], hard[i]);
        cr_assert_eq(table.values[3 * i + 2], -hard[i]);
    }
    mt_csv_table_fini(&table);
}

Test(report_csv, resume_cuts_what_the_checkpoint_does_not_count) {
    spill(at("p.csv"), HEADER "1,100,0.5\n2,200,0.25\n3,300,0.125\n4,4");
    mt_progress_csv *csv;
    CHECK_OK(mt_progress_csv_resume(at("p.csv"), COLUMNS, 200, &csv));
    write_row(csv, 300, 3, 0.125);
    CHECK_OK(mt_progress_csv_close(csv));
    check_text(at("p.csv"), HEADER "1,100,0.5\n2,200,0.25\n3,300,0.125\n");
    // and again: nothing appears twice
    CHECK_OK(mt_progress_csv_resume(at("p.csv"), COLUMNS, 200, &csv));
    write_row(csv, 300, 3, 0.125);
    CHECK_OK(mt_progress_csv_close(csv));
    check_text(at("p.csv"), HEADER "1,100,0.5\n2,200,0.25\n3,300,0.125\n");
}

Test(report_csv, resume_adds_columns) {
    spill(at("p.csv"), "time/total_timesteps,rollout/ep_rew_mean\n100,1\n200,2\n");
    mt_progress_csv *csv;
    CHECK_OK(mt_progress_csv_resume(at("p.csv"), MT_METRIC_BIT(LOSS), 200, &csv));
    write_row(csv, 300, 3, 0.5);
    CHECK_OK(mt_progress_csv_close(csv));
    check_text(at("p.csv"), HEADER "1,100,\n2,200,\n3,300,0.5\n");
}

Test(report_csv, resume_without_a_file_creates_it) {
    mt_progress_csv *csv;
    CHECK_OK(mt_progress_csv_resume(at("p.csv"), COLUMNS, 200, &csv));
    CHECK_OK(mt_progress_csv_close(csv));
    check_text(at("p.csv"), HEADER);
}

Test(report_csv, resume_names_the_garbage_and_leaves_it) {
    static const struct {
        const char *text, *word;
    } cases[] = {
        {HEADER "1,100,0.5\nrubbish,200,1\n", "p.csv:3"},
        {HEADER "1,100\n", "p.csv:2"},
        {"a,b\n1,2\n", "\"a\" is no metric"},
        {"train/loss\n1\n", "total_timesteps"},
        {"", "no header"},
        {HEADER "\"1,100,0.5\n", "quotation"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_progress_csv *csv;
        spill(at("p.csv"), cases[i].text);
        CHECK_FAIL(CORRUPT, cases[i].word, mt_progress_csv_resume(at("p.csv"), COLUMNS, 200, &csv));
        cr_assert_null(csv);
        check_text(at("p.csv"), cases[i].text);
    }
}

Test(report_csv, a_full_disk_costs_that_row_only) {
    mt_progress_csv *csv;
    CHECK_OK(mt_progress_csv_create(at("p.csv"), COLUMNS, &csv));
    write_row(csv, 1, 1, 1);
    CHECK_OK(mt_failpoint_set("file.write:ENOSPC"));
    mt_metrics_row row = row_at(2, 2, 2);
    CHECK_FAIL(IO, "p.csv", mt_progress_csv_write(csv, &row));
    write_row(csv, 3, 3, 3);
    CHECK_OK(mt_progress_csv_close(csv));
    check_text(at("p.csv"), HEADER "1,1,1\n3,3,3\n");
}

Test(report_csv, a_row_half_written_is_cut_off) {
    // a real short write: the file-size limit lets the first bytes of a row through
    mt_progress_csv *csv;
    CHECK_OK(mt_progress_csv_create(at("p.csv"), COLUMNS, &csv));
    write_row(csv, 1, 1, 1);
    char *path = strdup(at("p.csv"));
    struct stat before, after;
    cr_assert_eq(stat(path, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit, small;
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = (rlim_t)before.st_size + 3;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    mt_metrics_row row = row_at(2, 2, 2);
    mt_status status = mt_progress_csv_write(csv, &row);
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_eq(status, MT_IO);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_eq(after.st_size, before.st_size);
    write_row(csv, 3, 3, 3);
    CHECK_OK(mt_progress_csv_close(csv));
    check_text(path, HEADER "1,1,1\n3,3,3\n");
    free(path);
}

Test(report_csv, a_failed_create_leaves_no_file) {
    mt_progress_csv *csv;
    mt_monitor_csv *monitor;
    CHECK_OK(mt_failpoint_set("file.write:ENOSPC+"));
    CHECK_FAIL(IO, "p.csv", mt_progress_csv_create(at("p.csv"), COLUMNS, &csv));
    CHECK_FAIL(IO, "m.csv", mt_monitor_csv_create(at("m.csv"), "CartPole-v1", 0, &monitor));
    cr_assert(!mt_file_exists(at("p.csv")) && !mt_file_exists(at("m.csv")));
    CHECK_OK(mt_failpoint_set(NULL));
    CHECK_FAIL(NOT_FOUND, "none", mt_progress_csv_create(at("none/p.csv"), COLUMNS, &csv));
}

Test(report_csv, a_resume_that_cannot_write_keeps_the_old_file) {
    mt_progress_csv *csv;
    spill(at("p.csv"), HEADER "1,100,0.5\n2,200,0.25\n");
    CHECK_OK(mt_failpoint_set("file.write:ENOSPC"));
    CHECK_FAIL(IO, "p.csv", mt_progress_csv_resume(at("p.csv"), COLUMNS, 100, &csv));
    check_text(at("p.csv"), HEADER "1,100,0.5\n2,200,0.25\n");
}

// --- monitor.csv ---------------------------------------------------------------------------------------------------

#define MONITOR_HEAD "#{\"t_start\": 1700000000.500000, \"env_id\": \"CartPole-v1\"}\nr,l,t\n"

Test(report_csv, monitor_is_stable_baselines3s_format) {
    mt_monitor_csv *csv;
    CHECK_OK(mt_monitor_csv_create(at("m.csv"), "CartPole-v1", 1700000000.5, &csv));
    CHECK_OK(mt_monitor_csv_write(csv, 21, 21, 0.25));
    CHECK_OK(mt_monitor_csv_write(csv, -0.1, 200, 1.5));
    check_text(at("m.csv"), MONITOR_HEAD);   // buffered
    CHECK_OK(mt_monitor_csv_flush(csv));
    check_text(at("m.csv"), MONITOR_HEAD "21,21,0.250000\n-0.1,200,1.500000\n");
    CHECK_OK(mt_monitor_csv_write(csv, NAN, 1, NAN));
    CHECK_OK(mt_monitor_csv_close(csv));
    mt_csv_table table;
    CHECK_OK(mt_csv_table_read(at("m.csv"), &table));
    cr_assert_eq(table.row_count, 3);
    cr_assert_eq(mt_csv_table_column(&table, "l"), 1);
    mt_csv_table_fini(&table);
}

Test(report_csv, monitor_quotes_a_strange_name) {
    mt_monitor_csv *csv;
    CHECK_OK(mt_monitor_csv_create(at("m.csv"), "a\"b\\c\nd", 0, &csv));
    CHECK_OK(mt_monitor_csv_close(csv));
    check_text(at("m.csv"), "#{\"t_start\": 0.000000, \"env_id\": \"a\\\"b\\\\c\\u000ad\"}\nr,l,t\n");
}

Test(report_csv, monitor_resume_keeps_the_counted_episodes) {
    mt_monitor_csv *csv;
    CHECK_OK(mt_monitor_csv_create(at("m.csv"), "CartPole-v1", 1700000000.5, &csv));
    enum { ROWS = 20000 };   // several buffers
    for (int i = 0; i < ROWS; i++) CHECK_OK(mt_monitor_csv_write(csv, i, 10, i));
    CHECK_OK(mt_monitor_csv_close(csv));

    CHECK_OK(mt_monitor_csv_resume(at("m.csv"), "CartPole-v1", 0, 12345, &csv));
    CHECK_OK(mt_monitor_csv_write(csv, -1, 7, 99));
    CHECK_OK(mt_monitor_csv_close(csv));
    mt_csv_table table;
    CHECK_OK(mt_csv_table_read(at("m.csv"), &table));
    cr_assert_eq(table.row_count, 12346);
    cr_assert_eq(table.values[3 * 12344], 12344);
    cr_assert_eq(table.values[3 * 12345], -1);
    mt_csv_table_fini(&table);

    // a torn end goes, and too few rows are no error
    int fd = open(at("m.csv"), O_WRONLY | O_APPEND);
    cr_assert_eq(write(fd, "12.5,3", 6), 6);
    close(fd);
    CHECK_OK(mt_monitor_csv_resume(at("m.csv"), "CartPole-v1", 0, 1000000, &csv));
    CHECK_OK(mt_monitor_csv_close(csv));
    CHECK_OK(mt_csv_table_read(at("m.csv"), &table));
    cr_assert_eq(table.row_count, 12346);
    cr_assert_eq(table.torn, 0);
    mt_csv_table_fini(&table);

    CHECK_OK(mt_monitor_csv_resume(at("m.csv"), "CartPole-v1", 0, 0, &csv));
    CHECK_OK(mt_monitor_csv_close(csv));
    check_text(at("m.csv"), MONITOR_HEAD);
}

Test(report_csv, monitor_resume_refuses_other_files) {
    mt_monitor_csv *csv;
    static const char *const texts[] = {"", "r,l,t\n1,2,3\n", "#{}\n", "no monitor"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        spill(at("m.csv"), texts[i]);
        CHECK_FAIL(CORRUPT, "m.csv:", mt_monitor_csv_resume(at("m.csv"), "x", 0, 5, &csv));
        check_text(at("m.csv"), texts[i]);
    }
}

Test(report_csv, monitor_counts_what_a_full_disk_lost) {
    mt_monitor_csv *csv;
    CHECK_OK(mt_monitor_csv_create(at("m.csv"), "CartPole-v1", 1700000000.5, &csv));
    CHECK_OK(mt_monitor_csv_write(csv, 1, 1, 1));
    CHECK_OK(mt_monitor_csv_write(csv, 2, 2, 2));
    CHECK_OK(mt_failpoint_set("file.write:ENOSPC"));
    CHECK_FAIL(IO, "m.csv", mt_monitor_csv_flush(csv));
    cr_assert_eq(mt_monitor_csv_lost(csv), 2);
    CHECK_OK(mt_monitor_csv_write(csv, 3, 3, 3));
    CHECK_OK(mt_monitor_csv_flush(csv));
    cr_assert_eq(mt_monitor_csv_lost(csv), 2);
    CHECK_OK(mt_monitor_csv_close(csv));
    check_text(at("m.csv"), MONITOR_HEAD "3,3,3.000000\n");
}
