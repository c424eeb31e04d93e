// progress.csv and monitor.csv, written.
//
// progress.csv: a header of metric names, then one row per report; an absent value is an empty cell. The header is
// fixed when the file is opened: a metric outside it is MT_INVALID_ARGUMENT, not a silent hole.
// monitor.csv: Stable-Baselines3's Monitor format: `#{"t_start": 1700000000.0, "env_id": "CartPole-v1"}`, then r,l,t:
// one row per finished episode with its return, its length and the seconds since the run began.
//
// Numbers are printed so that reading them gives the same double again; a row is written whole or not at all.
#ifndef MANTA_SCHEDULER_REPORT_CSV_H
#define MANTA_SCHEDULER_REPORT_CSV_H

#include "scheduler/report/metrics.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_progress_csv mt_progress_csv;
typedef struct mt_monitor_csv mt_monitor_csv;

// A new file with these columns (time/total_timesteps is always one). MT_EXISTS when there is one already.
mt_status mt_progress_csv_create(const char *path, mt_metric_set columns, mt_progress_csv **out);

// Continues a file: rows with time/total_timesteps > resume_step are cut (the resumed run reports them again), as is a
// last line without its newline; columns that the file lacks are added, columns of its own that manta does not know are
// MT_CORRUPT. So write a row before the checkpoint that counts it. The old file stays whole until the new one replaces
// it by rename. No file yet: created. MT_CORRUPT names file and line.
mt_status mt_progress_csv_resume(const char *path, mt_metric_set columns, int64_t resume_step, mt_progress_csv **out);

// Appends one row and hands it to the system. MT_IO: the file is as before, and the next row may succeed.
mt_status mt_progress_csv_write(mt_progress_csv *csv, const mt_metrics_row *row);
mt_status mt_progress_csv_close(mt_progress_csv *csv);   // Nullable

// start_unix: unix seconds of the run's start. MT_EXISTS when there is a file already.
mt_status mt_monitor_csv_create(const char *path, const char *env_id, double start_unix, mt_monitor_csv **out);

// Continues a file after its first `keep_episodes` rows (rollout/episodes of the checkpoint); later ones are cut. Fewer
// rows than that (an earlier full disk) is no error. No file yet: created with start_unix.
mt_status mt_monitor_csv_resume(const char *path, const char *env_id, double start_unix, uint64_t keep_episodes,
    mt_monitor_csv **out);

// Buffered: fails only when the buffer (64 KiB) had to be written and could not be; those rows are then counted as
// lost.
mt_status mt_monitor_csv_write(mt_monitor_csv *csv, double reward, uint64_t length_steps, double seconds);
mt_status mt_monitor_csv_flush(mt_monitor_csv *csv);            // call it once per report and before a checkpoint
uint64_t mt_monitor_csv_lost(const mt_monitor_csv *csv);        // episodes whose rows could not be written
mt_status mt_monitor_csv_close(mt_monitor_csv *csv);            // flushes; Nullable

#ifdef __cplusplus
}
#endif
#endif
