// The manta side of test_report_tensorboard.py: writes FOLDER's event files as a run that was killed after step 700 and
// resumed from its checkpoint of step 500 leaves them, and FOLDER/monitor.csv.
#include <stdio.h>
#include "engine/base/file.h"
#include "scheduler/report/csv.h"
#include "scheduler/report/tensorboard.h"

static mt_status write_part(const char *folder, int64_t resume_step, int from, int to, double offset) {
    mt_tensorboard *board;
    MT_TRY(mt_tensorboard_open(folder, resume_step, &board));
    mt_status status = MT_OK;
    for (int step = from; step <= to && status == MT_OK; step += 100) {
        mt_metrics_row row;
        mt_metrics_row_clear(&row);
        row.value[MT_METRIC_TOTAL_TIMESTEPS] = step;
        row.value[MT_METRIC_EP_REW_MEAN] = step + offset;
        if (step % 200 == 0) row.value[MT_METRIC_EVAL_MEAN_REWARD] = -step;
        status = mt_tensorboard_write(board, &row, 1700000000 + step);
    }
    MT_KEEP(status, mt_tensorboard_close(board));
    return status;
}

static mt_status write_monitor(const char *folder) {
    char path[MT_PATH_BYTES];
    mt_monitor_csv *monitor;
    MT_TRY(mt_path_join(path, sizeof path, folder, "monitor.csv"));
    MT_TRY(mt_monitor_csv_create(path, "CartPole-v1", 1700000000.5, &monitor));
    mt_status status = MT_OK;
    for (int i = 0; i < 3; i++) MT_KEEP(status, mt_monitor_csv_write(monitor, 21.5 * i, 20, 0.25 * i));
    MT_KEEP(status, mt_monitor_csv_close(monitor));
    return status;
}

int main(int count, char **words) {
    mt_status status = MT_OK;
    if (count != 2) return fprintf(stderr, "usage: %s FOLDER\n", words[0]), 2;
    MT_KEEP(status, write_part(words[1], -1, 100, 700, 0));
    MT_KEEP(status, write_part(words[1], 500, 600, 1000, 0.5));
    MT_KEEP(status, write_monitor(words[1]));
    if (status != MT_OK) fprintf(stderr, "%s\n", mt_last_error());
    return mt_status_exit_code(status);
}
