// A policy's weights as a safetensors file that Python opens: the parameters under Stable-Baselines3's names, and the
// observation normaliser as obs_rms.mean, obs_rms.var and obs_rms.count (fp64) when there is one.
#ifndef MANTA_SCHEDULER_WEIGHTS_FILE_H
#define MANTA_SCHEDULER_WEIGHTS_FILE_H

#include "policies/policy.h"
#include "policies/safetensors.h"
#include "rollout/normaliser.h"

// Every tensor of a slab laid out as the policy's parameters, with `prefix` before its name ("adam.m." for a moment).
// The list is owned by the caller: mt_tensor_list_fini.
typedef struct mt_tensor_list {
    mt_named_tensor *items;   // owned (count); names owned too
    size_t count, capacity;
} mt_tensor_list;

mt_status mt_tensor_list_add(mt_tensor_list *list, const char *prefix, const char *name, const mt_tensor *tensor);
mt_status mt_tensor_list_add_slab(mt_tensor_list *list, const mt_policy *policy, float *slab, const char *prefix);
void mt_tensor_list_fini(mt_tensor_list *list);

// Replaces `path` atomically. normaliser: Nullable.
mt_status mt_weights_file_save(const char *path, const mt_policy *policy, float *param, const mt_normaliser *normaliser,
    int64_t steps);

// Reads parameters (and the normaliser's moments, when it normalises observations) and publishes the scale; packing is
// the caller's. MT_NOT_FOUND, MT_CONFIG name file and tensor.
mt_status mt_weights_file_load(const char *path, const mt_policy *policy, float *param, mt_normaliser *normaliser);

// The slab's tensors from an open file, each under prefix + name.
mt_status mt_weights_file_read_slab(const mt_safetensors *file, const mt_policy *policy, float *slab, const char *prefix);

#endif
