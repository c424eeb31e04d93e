// The policy that a configuration and an environment's spaces give.
#ifndef MANTA_SCHEDULER_POLICY_PROBE_H
#define MANTA_SCHEDULER_POLICY_PROBE_H

#include "rollout/codec.h"
#include "scheduler/config.h"

// Found out with an instance of one environment; shared by training and evaluation. codec: its sizes are set, its spaces are NULL.
mt_status mt_policy_probe(const mt_ppo_config *config, const manta_env_desc *env, const manta_env_option *options,
    uint32_t option_count, mt_codec *codec, mt_policy **policy);

#endif
