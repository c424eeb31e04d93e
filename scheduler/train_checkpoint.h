// A training run's state in checkpoints: what is in a generation, written and read by the driver, for any number of ranks.
//
//     policy.safetensors     parameters (and the observation normaliser, for Python)
//     optimiser.safetensors  Adam's moments: adam.m.<parameter>, adam.v.<parameter>
//     state.blob             counters, windows, the normaliser's moments, Adam's step, seconds trained
//     worker-00003.blob      one a logical worker: its environments and where their random streams are
//
// Random numbers need no state of their own: they are functions of the seed and these counters.
#ifndef MANTA_SCHEDULER_TRAIN_CHECKPOINT_H
#define MANTA_SCHEDULER_TRAIN_CHECKPOINT_H

#include "scheduler/checkpoint.h"
#include "scheduler/flows/on_policy.h"

typedef struct mt_train_progress {   // what the driver keeps beside the flow
    int64_t steps, epochs;
    int64_t episodes;                // written to monitor.csv
    double seconds;                  // of training, over all sessions
    double best_eval;                // -inf before the first evaluation
    double start_unix;               // when the run first began
} mt_train_progress;

// The driver's. A failure leaves older generations intact. *generation is what was written.
mt_status mt_train_checkpoint_save(const char *folder, int keep, mt_on_policy *flow, const mt_policy *policy,
    const mt_train_progress *progress, uint64_t *generation);

// Loads the newest generation that verifies. *found is 0 when there is no generation at all, which is no failure; *exact is 0
// when environments without snapshots began new episodes.
mt_status mt_train_checkpoint_load(const char *folder, mt_on_policy *flow, const mt_policy *policy, const mt_layout *layout,
    mt_train_progress *progress, int *found, int *exact);

#endif
