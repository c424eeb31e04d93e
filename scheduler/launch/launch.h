// Launch: keeps a job running from outside it. Starts mpirun, and when the job ends by anything but success, the user's
// wish or a fault that would only happen again, sweeps what it left, waits a moment and starts it anew from its newest
// checkpoint.
//
//     run ──▶ verdict ──done, stopped, final──▶ end
//      ▲         └retry──▶ sweep ──▶ newest checkpoint that verifies ──▶ budget ──left──▶ back off ─┐
//      └────────────────────────────────────────────────────────────────────┘                      │
//
// The budget is of relaunches without progress: a generation newer than any before gives all of it back, so a job that
// dies once a day runs for ever, and one that dies at the same place every time ends soon. A run without a checkpoint
// starts anew in the same folder; one whose checkpoints are all damaged ends, since starting it anew would lose them.
#ifndef MANTA_SCHEDULER_LAUNCH_LAUNCH_H
#define MANTA_SCHEDULER_LAUNCH_LAUNCH_H

#include "scheduler/launch/verdict.h"

enum { MT_LAUNCH_WORDS = 1024 };   // of a command line

typedef struct mt_launch_desc {
    const char *mpirun;                // borrowed, as everything here
    char *const *mpirun_words;         // what stands between mpirun and the program; ends with NULL
    const char *program;
    char *const *first, *const *again; // the words of the first start, and of those that continue; end with NULL
    const char *run_folder;
    int fresh; // the first attempt makes the run: what a failed start leaves in the folder may go
    int hosts;                         // there may be several: sweep them, too
    int max_relaunches;
    double backoff, hang_timeout;      // seconds
    mt_relay_fn relay;                 // standard error of the job
    void (*say)(void *context, const char *line);   // for the user: what happened, what happens next
    void *context;
} mt_launch_desc;

// MT_OK: the run is complete. MT_INTERRUPTED: stopped on request, state saved. Otherwise the job's own failure, or
// MT_COMM.
mt_status mt_launch(const mt_launch_desc *desc);

#endif
