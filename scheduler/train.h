// A training run from its configuration to its folder: sets up, drives the flow, reports, evaluates, saves, stops.
// Collective: every rank of the job calls mt_train with the same configuration.
#ifndef MANTA_SCHEDULER_TRAIN_H
#define MANTA_SCHEDULER_TRAIN_H

#include "scheduler/config.h"
#include "scheduler/report/run_folder.h"

#include <stdio.h>

typedef struct mt_train_desc {
    const mt_train_config *train;    // borrowed
    const mt_ppo_config *ppo;        // borrowed
    mt_options *options;             // borrowed: n_workers is set in it, then it becomes the resolved config.yml
    mt_comm *comm;                   // borrowed: the job's ranks
    const char *command_line;        // borrowed: for run.json
    int preset_found;                // for the opening line
    FILE *out;                       // borrowed: where rank 0's opening line and progress go
} mt_train_desc;

typedef struct mt_train_result {
    char run_folder[MT_RUN_PATH_BYTES];
    int64_t steps;
    double ep_rew_mean;              // NaN before the first episode
    int reached_stop_reward;
    uint64_t weights_digest;         // XXH3-64 of the parameters: equal for runs that are equal to the bit
    int abandoned;                   // threads of this rank's actors still run: what the desc borrows must stay for good
} mt_train_result;

// MT_INTERRUPTED when a signal stopped it (state saved). Other failures: the newest checkpoint is intact. After a failure with
// result->abandoned the process can only end, by mt_mpi_abort where there are other ranks.
mt_status mt_train(const mt_train_desc *desc, mt_train_result *result);

#endif
