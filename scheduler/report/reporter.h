// All sinks of a run behind one door: progress.csv, monitor.csv, TensorBoard and the progress line.
//
// A sink that fails (disk full) is reported once through the log and again when it recovers; training goes on. What was
// lost is counted and said at the end. Rank 0 only; one thread, but for mt_reporter_print.
#ifndef MANTA_SCHEDULER_REPORT_REPORTER_H
#define MANTA_SCHEDULER_REPORT_REPORTER_H

#include "scheduler/report/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_reporter mt_reporter;

typedef struct mt_reporter_desc {
    const char *run_folder;        // borrowed until create returns
    const char *env_id;
    const char *tensorboard;       // folder of event files; NULL: RUN_FOLDER/tb; "": none
    mt_metric_set columns;         // of progress.csv
    double start_unix;             // unix seconds of the run's first start
    int resume;                    // continue files that are there
    int64_t resume_step;           // with resume: the checkpoint's time/total_timesteps
    uint64_t resume_episodes;      // with resume: the checkpoint's rollout/episodes
    mt_progress_desc progress;     // first_step is set from resume_step
} mt_reporter_desc;

// Opening is strict (a folder that cannot be written at the start is an error); later failures are not.
mt_status mt_reporter_create(const mt_reporter_desc *desc, mt_reporter **out);

void mt_reporter_episode(mt_reporter *reporter, double reward, uint64_t length_steps, double seconds);
void mt_reporter_step(mt_reporter *reporter, int64_t steps);                // mt_progress_update
void mt_reporter_row(mt_reporter *reporter, const mt_metrics_row *row);     // every sink; flushes the monitor
void mt_reporter_clear(mt_reporter *reporter);                              // mt_progress_clear
void mt_reporter_print(mt_reporter *reporter, FILE *to, const char *text, size_t bytes);   // any thread
void mt_reporter_finish(mt_reporter *reporter, int64_t steps, const char *verb);   // final line, and what was lost
void mt_reporter_destroy(mt_reporter *reporter);   // Nullable

#ifdef __cplusplus
}
#endif
#endif
