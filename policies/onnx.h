// A policy as an ONNX model, for whatever runs those: one step for N environments.
//
//     inputs    obs, or obs.KEY of each part of a dict: what the environment gave, encoded (docs/weights.md): (N, width), an image
//               (N, height, width, channels). The running normalisation is part of the model.
//               recurrent: state (N, S), zeros at first, and episode_start (N) bool
//               action_mask (N, K) bool: of an environment that has masks
//     outputs   logits (N, K), or mean and log_std (N, A)
//               action (N, A): the most probable choices (int64), or the mean inside the space's bounds
//               value (N); recurrent: next_state (N, S)
#ifndef MANTA_POLICIES_ONNX_H
#define MANTA_POLICIES_ONNX_H

#include "policies/onnx_graph.h"
#include "policies/policy.h"

typedef struct mt_onnx_desc {
    const mt_policy *policy;
    float *param;                              // (sizes.params); read
    // of the columns of all vectors, side by side; images and indices are never normalised. Nullable: they go in as they are
    const float *obs_mean, *obs_inv_std;
    float clip_obs;
    const float *low, *high;                   // (A): of a box. Nullable: unbounded
    int has_mask;                              // 1: there is an action_mask
    const char *version;                       // of the program that writes
    const mt_string_pair *metadata;            // (metadata_count)
    size_t metadata_count;
} mt_onnx_desc;

// The model's bytes; the caller frees *out. MT_UNSUPPORTED: a policy or a layer that ONNX has no operators for; past 2 GiB.
mt_status mt_onnx_encode(const mt_onnx_desc *desc, void **out, size_t *bytes);

#endif
