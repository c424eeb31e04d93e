// A plugin's loss in place of PPO's: its instance, and its function called on gathered rows.
#ifndef MANTA_POLICIES_PLUGIN_LOSS_H
#define MANTA_POLICIES_PLUGIN_LOSS_H

#include "policies/policy.h"

typedef struct mt_plugin_loss {
    const manta_loss_desc *desc;   // borrowed from a loaded plugin
    manta_loss *instance;          // owned
    manta_action_space action;     // the policy's; nvec is borrowed from it
} mt_plugin_loss;

// For the outputs of this policy, which must outlive it. MT_CONFIG: an option, or it refuses, with its words; MT_PLUGIN.
mt_status mt_plugin_loss_create(const manta_loss_desc *desc, const mt_policy *policy, const manta_policy_option *options,
    int option_count, mt_plugin_loss **out);
void mt_plugin_loss_destroy(mt_plugin_loss *loss);   // Nullable

// batch: all but action and where its arrays lie, which k knows. d_log_std is zero before.
void mt_plugin_loss_gradient(const mt_plugin_loss *loss, const mt_kernels *k, manta_loss_batch batch);

#endif
