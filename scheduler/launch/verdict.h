// Verdict: what the end of an attempt means. A pure function of what was seen, for tests.
#ifndef MANTA_SCHEDULER_LAUNCH_VERDICT_H
#define MANTA_SCHEDULER_LAUNCH_VERDICT_H

#include "scheduler/launch/attempt.h"

typedef enum mt_verdict {
    MT_VERDICT_DONE,      // the run has what it was to do
    MT_VERDICT_STOPPED,   // somebody asked for the end
    MT_VERDICT_FINAL,     // the same would happen again: a bad option, a missing file, a broken plugin
    MT_VERDICT_RETRY      // everything else
} mt_verdict;

enum { MT_WHY_BYTES = 512 };

// outcome: of run.json ("running", "done", "interrupted", "failed"), "" when there is none. why: one line for people.
mt_verdict mt_attempt_verdict(const mt_attempt *attempt, const char *outcome, char why[MT_WHY_BYTES]);

// What the launcher itself ends with: the status whose exit code the job had; MT_COMM for those of signals, of mpirun
// itself and unknown ones; MT_DEADLINE for a job that hung.
mt_status mt_attempt_status(const mt_attempt *attempt);

#endif
