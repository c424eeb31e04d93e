// Run folders: where a run leaves what it made. LOG_FOLDER/ALGO/ENV_N, N the next free number, as in RL Baselines3 Zoo:
// logs/ppo/CartPole-v1_1. Created exclusively, so that two starts never share one; held by a lock while a run writes.
//
// The lock is flock() on run.lock, whose text says pid and host. It vanishes with the process, however that ends, so a
// killed run never blocks its own resume. (flock and not fcntl: a second open in the same process conflicts too, and
// closing an unrelated descriptor does not drop it. The descriptor is close-on-exec; a child that forks without exec
// shares it. A file system without locks gives a warning, not an error.)
#ifndef MANTA_SCHEDULER_REPORT_RUN_FOLDER_H
#define MANTA_SCHEDULER_REPORT_RUN_FOLDER_H

#include <stddef.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// the layout of a run folder
#define MT_RUN_CONFIG "config.yml"                  // the resolved options: a run is reproducible from it
#define MT_RUN_INFO "run.json"                      // program version, build, host, command line, seed, outcome
#define MT_RUN_PROGRESS "progress.csv"
#define MT_RUN_MONITOR "monitor.csv"
#define MT_RUN_TENSORBOARD "tb"                     // folder of event files
#define MT_RUN_CHECKPOINTS "checkpoints"            // folder of generations
#define MT_RUN_WEIGHTS "policy.safetensors"         // the newest weights
#define MT_RUN_BEST_WEIGHTS "best_policy.safetensors"   // of the best evaluation
#define MT_RUN_LOCK "run.lock"
#define MT_RUN_PULSE "pulse"                        // changes while it works, under manta launch (engine/base/pulse.h)

enum { MT_RUN_PATH_BYTES = 4096 };

typedef struct mt_run_folder {
    char path[MT_RUN_PATH_BYTES];   // as given, no trailing slash
    int lock_fd;                    // owned; -1 when closed
} mt_run_folder;

// Creates LOG_FOLDER/ALGO/ENV_N (and the parents) and locks it. A '/' or ':' in a name becomes '-'.
// MT_IO (where and why), MT_INVALID_ARGUMENT (a name that is empty or begins with a dot).
mt_status mt_run_folder_create(const char *log_folder, const char *algo, const char *env, mt_run_folder *out);

// An explicit --run-folder: created, or an existing one that is empty. MT_EXISTS when it holds something (says how to
// resume), or when another process holds it (says which).
mt_status mt_run_folder_create_at(const char *path, mt_run_folder *out);

// An existing run, to be continued: MT_NOT_FOUND when there is no run, MT_EXISTS when a process still writes it (pid,
// host).
mt_status mt_run_folder_resume(const char *path, mt_run_folder *out);

// Drops the lock. Harmless when closed.
void mt_run_folder_close(mt_run_folder *folder);

// Removes a folder in which nothing was ever written but its lock, for a launcher whose job did not start. Others stay.
void mt_run_folder_remove_unused(const char *path);

// PATH/NAME into buffer. MT_INVALID_ARGUMENT when it does not fit.
mt_status mt_run_folder_file(const mt_run_folder *folder, const char *name, char *buffer, size_t bytes);

// Whether `path` holds a run (a readable config.yml). MT_NOT_FOUND says what is missing. Takes no lock: for eval and
// plot.
mt_status mt_run_folder_check(const char *path);

// The run with the highest number of this env and algo below log_folder. MT_NOT_FOUND names what was looked for, and
// the nearest there is.
mt_status mt_run_folder_find_newest(
    const char *log_folder, const char *algo, const char *env, char *path, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
