// A policy's parameters as Stable-Baselines3 lists them: model.policy.state_dict(). There a features extractor has more names
// than one. A shared one is features_extractor, pi_features_extractor and vf_features_extractor at once; where policy and value
// have one each, the policy's is also called features_extractor. Strict loading in PyTorch wants all the names; a file that
// safetensors.torch.save_model wrote has one of them.
#ifndef MANTA_POLICIES_STATE_DICT_H
#define MANTA_POLICIES_STATE_DICT_H

#include "policies/policy.h"
#include "policies/safetensors.h"

// mt_policy_visit with every name that a tensor has. Stops at the first failure.
mt_status mt_state_dict_visit(const mt_policy *policy, float *param, mt_tensor_visit visit, void *ctx);

// mt_safetensors_read under the name, or another that Stable-Baselines3 has for the same tensor. A failure is about the name
// asked for.
mt_status mt_state_dict_read(const mt_safetensors *file, const char *name, const mt_tensor *into);

#endif
