// The environment that a run's options name: a built-in one, one of a plugin given by --plugin, or a plugin's path itself. And what
// else these plugins bring: policies, layers, losses.
#ifndef MANTA_SCHEDULER_ENVIRONMENT_H
#define MANTA_SCHEDULER_ENVIRONMENT_H

#include "policies/policy_registry.h"
#include "rollout/env.h"
#include "rollout/env_registry.h"
#include "scheduler/config.h"

typedef struct mt_environment {
    mt_env_registry *registry;                  // owned; with it all plugins, so it goes last
    mt_policy_registry policies;                // owned: what plugins bring besides environments
    const manta_env_desc *desc;                 // owned by the registry
    manta_env_option options[MT_PAIRS_MAX];     // (option_count) views into the configuration
    uint32_t option_count;
} mt_environment;

// `--env CartPole-v1`, `--env ./my_env.so` (a plugin with one environment) or `--env ./my_env.so:Other-v0`. Errors of the
// registry and of plugins; MT_CONFIG for unknown env_kwargs. `config` must outlive *out.
mt_status mt_environment_open(mt_environment *out, const mt_train_config *config);
// Replaces relative paths of plugins in the configuration by absolute ones, so that a run folder's config.yml works from
// everywhere. MT_NOT_FOUND when one is not there.
mt_status mt_environment_make_absolute(mt_train_config *config);
void mt_environment_close(mt_environment *environment);   // after everything that was made from plugins

#endif
