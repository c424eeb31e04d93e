// A finished (or running) run read back from its folder: configuration, environment, policy and weights, ready to evaluate.
#ifndef MANTA_SCHEDULER_SAVED_RUN_H
#define MANTA_SCHEDULER_SAVED_RUN_H

#include "scheduler/environment.h"
#include "scheduler/evaluate.h"

typedef struct mt_saved_run {
    mt_train_config train;
    mt_ppo_config ppo;
    mt_environment environment;      // owned
    mt_policy *policy;               // owned
    const mt_kernels *kernels;
    mt_weights weights;
    mt_normaliser normaliser;
    mt_arena arena;                  // owns weights and normaliser
    char weights_path[4096];         // what was loaded
} mt_saved_run;

// folder: a run folder, or a weights file inside one. env: Nullable; evaluates in another environment than the run's, whose
// spaces must be the same. best: the best evaluation's weights instead of the newest.
mt_status mt_saved_run_open(const char *folder, const char *env, int best, mt_saved_run *out);
void mt_saved_run_close(mt_saved_run *run);

#endif
