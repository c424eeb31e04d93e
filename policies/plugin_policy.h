// A plugin's whole policy behind mt_policy (policy.h): its instance, its plan, checked, and where its tensors lie in a slab.
#ifndef MANTA_POLICIES_PLUGIN_POLICY_H
#define MANTA_POLICIES_PLUGIN_POLICY_H

#include "policies/policy.h"

typedef struct mt_plugin_policy {
    const manta_policy_desc *desc;                 // borrowed from a loaded plugin
    manta_policy *instance;                        // owned
    manta_policy_plan plan;                        // its lists are the instance's
    int64_t offset[MANTA_POLICY_MAX_PARAMETERS];   // of each tensor, multiples of 16 floats
} mt_plugin_policy;

// Makes an instance of desc->plugin for what desc describes; head: K. Places its tensors. MT_CONFIG: an option, or it refuses, with
// its words; MT_PLUGIN: what it answers is impossible.
mt_status mt_plugin_policy_create(const mt_policy_desc *desc, int head, mt_slab_sizes *sizes, mt_plugin_policy **out);
void mt_plugin_policy_destroy(mt_plugin_policy *policy);   // Nullable

mt_status mt_plugin_policy_visit(const mt_plugin_policy *policy, float *param, mt_tensor_visit visit, void *ctx);
int64_t mt_plugin_policy_parameter_count(const mt_plugin_policy *policy);   // without padding

// param: a whole slab, zero where its tensors lie.
mt_status mt_plugin_policy_init(const mt_plugin_policy *policy, float *param, uint64_t seed);

// pass: all but param. out, d: what is wanted, and given.
void mt_plugin_policy_forward(const mt_plugin_policy *policy, const mt_kernels *k, const float *param, manta_pass pass,
    manta_policy_output out);
// accumulate 0: begins the gradient at zero.
void mt_plugin_policy_backward(const mt_plugin_policy *policy, const mt_kernels *k, const float *param, manta_pass pass,
    manta_policy_gradient d, float *grad, int accumulate);

#endif
