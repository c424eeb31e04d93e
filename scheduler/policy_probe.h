// The policy that a configuration and an environment's spaces give.
#ifndef MANTA_SCHEDULER_POLICY_PROBE_H
#define MANTA_SCHEDULER_POLICY_PROBE_H

#include "rollout/codec.h"
#include "scheduler/config.h"
#include "scheduler/environment.h"

// Found out with an instance of one environment; shared by training and evaluation. codec: its sizes are set, its spaces are NULL.
// The policy goes before the environment, whose plugins it may be made of.
mt_status mt_policy_probe(const mt_ppo_config *config, const mt_environment *environment, mt_codec *codec, mt_policy **policy);

// The loss that a configuration names, for a policy; NULL: PPO's own.
mt_status mt_loss_probe(const mt_ppo_config *config, const mt_environment *environment, const mt_policy *policy, mt_plugin_loss **loss);

#endif
