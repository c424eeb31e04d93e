// All sinks of a run behind one door; reporter.h says what happens when one fails. Rank 0's training thread.
#include "scheduler/report/reporter.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "scheduler/report/csv.h"
#include "scheduler/report/run_folder.h"
#include "scheduler/report/tensorboard.h"

typedef enum sink { SINK_PROGRESS_CSV, SINK_MONITOR_CSV, SINK_TENSORBOARD, SINKS } sink;

static const char *const sink_names[SINKS] = {MT_RUN_PROGRESS, MT_RUN_MONITOR, "the TensorBoard file"};

struct mt_reporter {
    mt_progress_csv *progress_csv;   // owned, like the next three
    mt_monitor_csv *monitor_csv;
    mt_tensorboard *tensorboard;   // NULL: not wanted
    mt_progress *progress;
    uint64_t lost_rows[SINKS];
    int failing[SINKS];
};

// Says the first failure of a row of failures, and the end of it.
static void note(mt_reporter *reporter, sink which, mt_status status) {
    if (status != MT_OK && which != SINK_MONITOR_CSV) reporter->lost_rows[which]++;
    if ((status != MT_OK) == reporter->failing[which]) return;
    reporter->failing[which] = status != MT_OK;
    mt_progress_clear(reporter->progress);
    if (status != MT_OK) mt_log_warn("%s; training goes on, and rows are lost until this is mended", mt_last_error());
    else mt_log_info("%s is being written again", sink_names[which]);
}

static mt_status open_csv(const mt_reporter_desc *desc, mt_reporter *reporter) {
    char path[MT_PATH_BYTES];
    MT_TRY(mt_path_join(path, sizeof path, desc->run_folder, MT_RUN_PROGRESS));
    if (desc->resume) MT_TRY(mt_progress_csv_resume(path, desc->columns, desc->resume_step, &reporter->progress_csv));
    else MT_TRY(mt_progress_csv_create(path, desc->columns, &reporter->progress_csv));
    MT_TRY(mt_path_join(path, sizeof path, desc->run_folder, MT_RUN_MONITOR));
    if (!desc->resume) return mt_monitor_csv_create(path, desc->env_id, desc->start_unix, &reporter->monitor_csv);
    return mt_monitor_csv_resume(path, desc->env_id, desc->start_unix, desc->resume_episodes, &reporter->monitor_csv);
}

static mt_status open_tensorboard(const mt_reporter_desc *desc, mt_reporter *reporter) {
    char path[MT_PATH_BYTES];
    const char *folder = desc->tensorboard;
    if (folder && !*folder) return MT_OK;
    if (!folder) {
        MT_TRY(mt_path_join(path, sizeof path, desc->run_folder, MT_RUN_TENSORBOARD));
        folder = path;
    }
    return mt_tensorboard_open(folder, desc->resume ? desc->resume_step : -1, &reporter->tensorboard);
}

mt_status mt_reporter_create(const mt_reporter_desc *desc, mt_reporter **out) {
    *out = NULL;
    mt_reporter *reporter = calloc(1, sizeof *reporter);
    if (!reporter) return MT_FAIL(NO_MEMORY, "out of memory for the reports");
    mt_progress_desc progress = desc->progress;
    if (desc->resume) progress.first_step = desc->resume_step;
    mt_status status;
    MT_TRY_GOTO(open_csv(desc, reporter), fail);
    MT_TRY_GOTO(open_tensorboard(desc, reporter), fail);
    MT_TRY_GOTO(mt_progress_create(&progress, &reporter->progress), fail);
    *out = reporter;
    return MT_OK;

fail:
    mt_reporter_destroy(reporter);
    return status;
}

void mt_reporter_episode(mt_reporter *reporter, double reward, uint64_t length_steps, double seconds) {
    mt_status status = mt_monitor_csv_write(reporter->monitor_csv, reward, length_steps, seconds);
    // success says nothing here: most rows only go into the buffer
    if (status != MT_OK) note(reporter, SINK_MONITOR_CSV, status);
}

void mt_reporter_step(mt_reporter *reporter, int64_t steps) { mt_progress_update(reporter->progress, steps); }

void mt_reporter_row(mt_reporter *reporter, const mt_metrics_row *row) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);   // TensorBoard's time axis; nothing decides by it
    note(reporter, SINK_PROGRESS_CSV, mt_progress_csv_write(reporter->progress_csv, row));
    note(reporter, SINK_MONITOR_CSV, mt_monitor_csv_flush(reporter->monitor_csv));
    if (reporter->tensorboard)
        note(reporter, SINK_TENSORBOARD,
            mt_tensorboard_write(reporter->tensorboard, row, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec));
    mt_progress_row(reporter->progress, row);
}

void mt_reporter_clear(mt_reporter *reporter) { mt_progress_clear(reporter->progress); }

void mt_reporter_print(mt_reporter *reporter, FILE *to, const char *text, size_t bytes) {
    mt_progress_print(reporter->progress, to, text, bytes);
}

void mt_reporter_finish(mt_reporter *reporter, int64_t steps, const char *verb) {
    note(reporter, SINK_MONITOR_CSV, mt_monitor_csv_flush(reporter->monitor_csv));
    reporter->lost_rows[SINK_MONITOR_CSV] = mt_monitor_csv_lost(reporter->monitor_csv);
    mt_progress_finish(reporter->progress, steps, verb);
    for (int i = 0; i < SINKS; i++)
        if (reporter->lost_rows[i])
            mt_log_warn("%llu rows of %s could not be written and are lost", (unsigned long long)reporter->lost_rows[i],
                sink_names[i]);
}

void mt_reporter_destroy(mt_reporter *reporter) {
    if (!reporter) return;
    mt_progress_destroy(reporter->progress);
    mt_status first = mt_progress_csv_close(reporter->progress_csv);
    MT_KEEP(first, mt_monitor_csv_close(reporter->monitor_csv));
    MT_KEEP(first, mt_tensorboard_close(reporter->tensorboard));
    if (first != MT_OK) mt_log_warn("%s", mt_last_error());
    free(reporter);
}
