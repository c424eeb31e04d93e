// Pulse: a job's sign of life, for whoever watches it from outside (manta launch --hang-timeout, a cluster's liveness probe).
//
// $MANTA_PULSE names a small file that changes while work is done; without it there is none. Whoever works beats: a rollout worker
// after each step of its batch, a learner after each minibatch, an evaluation after each step. So it goes on through an iteration
// that takes an hour, and stops with the work. (A thread of its own would go on beating in a process whose work hangs; the
// times of progress.csv stand still through every long iteration.) A beat costs a look at the clock; now and then one writes.
//
// All ranks of a job beat into one file, since it is not said which of them works: while one waits for the others, they change it,
// and when one hangs that the others need, all stand still soon. The more ranks, the more rarely each writes.
//
// Watching. Compare the file's bytes with those of the last look, on one's own clock: neither its time stamps nor the clocks of two
// hosts are needed. It is opened, written and closed each time, so that a network file system hands it on. That it cannot be
// written stops nothing (and looks like a hang to who watches).
#ifndef MANTA_ENGINE_BASE_PULSE_H
#define MANTA_ENGINE_BASE_PULSE_H

#include <stdint.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MT_PULSE_VARIABLE "MANTA_PULSE"

enum { MT_PULSE_BYTES = 64 };   // room for what the file holds, NUL included

typedef struct mt_pulse mt_pulse;

// The job's, of so many ranks: NULL when nobody watches. The file is made at once.
mt_status mt_pulse_open(int ranks, mt_pulse **out);
mt_status mt_pulse_create(const char *path, int64_t interval_ns, mt_pulse **out);
void mt_pulse_destroy(mt_pulse *pulse);   // Nullable; the file stays

void mt_pulse_beat(mt_pulse *pulse);   // Nullable. Any thread

// Work that goes on elsewhere, on a GPU, while somebody waits for it here: a count that it changes as it gets on.
typedef struct mt_progress {
    const int64_t *count;      // in memory that the work writes
    int64_t seen;
    mt_pulse *pulse;           // Nullable
} mt_progress;

// Has the count changed since the last look? Then it beats. Nullable: 0. The thread that waits
int mt_progress_made(mt_progress *progress);

// What the file holds; MT_NOT_FOUND before it is made.
mt_status mt_pulse_read(const char *path, char out[MT_PULSE_BYTES]);

#ifdef __cplusplus
}
#endif
#endif
