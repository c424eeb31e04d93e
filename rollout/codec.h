// Between an environment's arrays and the policy's: what a space means to a network, observations into floats, actions
// into what the environment accepts. Const after init; any thread.
//
// An encoded observation is one row of O floats, its parts side by side in the space's order:
//
//   image    a box of three dimensions: channels-last. One whose first dimension is the smallest is taken to be
//            channels-first and turned round, as Stable-Baselines3 does; bytes that range over 0..255 are divided by 255
//   vector   any other box, flattened; values as they are
//   vector   discrete kinds: one-hot by component
//   index    a discrete part (one number), where the policy looks it up in a table (embedding_dim): the number itself
#ifndef MANTA_ROLLOUT_CODEC_H
#define MANTA_ROLLOUT_CODEC_H

#include "policies/policy.h"
#include "rollout/env.h"

typedef struct mt_codec {
    const mt_space *observation, *action;   // borrowed from an mt_env
    int obs;                                // O: floats of an encoded observation
    int input_count;
    mt_input inputs[MT_MAX_INPUTS];         // what its columns are: one for each part of the observation
    int action_count;                       // A
    int logits;                             // K; 0 for a box
    int obs_is_plain;                       // encoding is a copy: the environment may write floats in place
} mt_codec;

// by_index: discrete parts are indices and not one-hot. MT_UNSUPPORTED: more parts, floats or components than a policy takes.
mt_status mt_codec_init(mt_codec *codec, const mt_env *env, int by_index);

// raw (rows, observation) as the environment wrote it → out (rows, O).
void mt_codec_encode(const mt_codec *codec, int64_t rows, const void *raw, float *out);

// Box: action (rows, A) clipped to the space's bounds into out. Discrete kinds need no translation.
void mt_codec_clip(const mt_codec *codec, int64_t rows, const float *action, float *out);

// Fills the parts of a policy's description that the spaces decide: obs, inputs, distribution, action, nvec.
// MT_CONFIG: gSDE asked for a space that is no box; too many components.
mt_status mt_codec_describe(const mt_codec *codec, int use_sde, mt_policy_desc *desc);

#endif
