// Pulse: a run's sign of life, for whoever watches it from outside (manta launch --hang-timeout, a cluster's liveness probe).
//
// A small file that says how much has been done. Whoever works beats: a rollout worker after each step of its batch, the learner
// after each minibatch, an evaluation after each step. So it goes on through an iteration that takes an hour, and stops
// with the work; a thread of its own would go on beating in a process whose work hangs, and the times of progress.csv
// stand still through every long iteration. A beat costs a look at the clock; once in interval_ns one of them writes.
//
// Watching. The file's bytes change while the work goes on: compare them with those of the last look, on one's own clock. Neither
// its time stamps nor the clocks of two hosts are needed. It is opened, written and closed each time, so that a network file
// system hands it on. That it cannot be written stops nothing (and looks like a hang to who watches).
#ifndef MANTA_ENGINE_BASE_PULSE_H
#define MANTA_ENGINE_BASE_PULSE_H

#include <stdint.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_PULSE_BYTES = 64 };   // room for what the file holds, NUL included

typedef struct mt_pulse mt_pulse;

mt_status mt_pulse_create(int64_t interval_ns, mt_pulse **out);
void mt_pulse_destroy(mt_pulse *pulse);   // Nullable; the file stays

// Makes the file, once; beats before it are for nobody. Before other threads beat. MT_IO and its like when it cannot be made.
mt_status mt_pulse_start(mt_pulse *pulse, const char *path);

void mt_pulse_beat(mt_pulse *pulse);   // Nullable. Any thread

// What the file holds; MT_NOT_FOUND before it is made.
mt_status mt_pulse_read(const char *path, char out[MT_PULSE_BYTES]);

#ifdef __cplusplus
}
#endif
#endif
