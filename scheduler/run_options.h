// The options of a run that exists, against those given for a new start of it or for a run that begins with its weights.
//
// A network's function is more than its tensors: an activation, a limit to observations and the like leave no trace in any shape.
// Who reads a run's parameters therefore compares options, and not shapes alone.
#ifndef MANTA_SCHEDULER_RUN_OPTIONS_H
#define MANTA_SCHEDULER_RUN_OPTIONS_H

#include "scheduler/config.h"

// --resume, on every rank: what the command line leaves open is the run's, from its config.yml, with the origin that stands
// there; what the command line changes is marked as changed. `train` is the object of the options; its relative paths become
// absolute. MT_CONFIG, naming the option and both values, for what a run cannot change under way: what its network computes, its
// environment, and what only its start asked for.
mt_status mt_run_options_resume(mt_options *options, mt_train_config *train, const char *folder);

// --init-weights: MT_CONFIG unless the run in the folder has a network that computes what that of these options does.
mt_status mt_run_options_same_network(const mt_options *options, const mt_ppo_config *ppo, const char *folder);

#endif
