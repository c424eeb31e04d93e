// PPO's loss and its gradient on rows of segments (Schulman et al. 2017), with the details of "The 37 Implementation
// Details of Proximal Policy Optimization" (Huang et al. 2022) as Stable-Baselines3 has them.
//
// A learner cuts a segment's rows into minibatches and calls mt_ppo_gradient for each; with several workers each computes
// the gradient of its share and the sum over workers is the minibatch's gradient.
#ifndef MANTA_POLICIES_PPO_H
#define MANTA_POLICIES_PPO_H

#include "policies/plugin_loss.h"
#include "policies/policy.h"
#include "replay/segment.h"

// One worker's share of one minibatch. Its arrays are memory of the kernels', as are weights, workspace, gradient and statistics.
typedef struct mt_ppo_share {
    int parts;                    // the nets whose gradient is wanted (MT_POLICY_ACTOR, MT_POLICY_CRITIC or both)
    const mt_segment *segment;
    const int32_t *index;         // (count): rows t·N + n; of a recurrent policy environments n, whose whole sequences are meant
    int64_t count;                // 0 is allowed: the gradient is zero
    float inv_rows;               // 1 / rows of the whole minibatch over all workers
    const mt_ppo_scalars *scalars;   // the same for all rows of a minibatch
    int clips_value;              // scalars->clip_range_vf ≥ 0
    const mt_plugin_loss *loss;   // in place of PPO's, of both parts together. Nullable
    const mt_ppo_scalars *host_scalars;   // with a plugin's loss: the same as *scalars, where the host reads them
} mt_ppo_share;

typedef struct mt_ppo_space {
    mt_policy_space net;
    float *obs, *action, *log_prob, *advantage, *returns, *old_value;   // gathered rows, (max_rows, …)
    int32_t *choice;
    uint8_t *mask;
    int32_t *row;                                                       // recurrent: numbers of the gathered rows, (max_rows)
    uint8_t *start;                                                     // (max_rows)
    float *state;                                                       // (max_rows / T, S)
    float *d_head, *d_value, *d_log_std;
    double *loss_sums;                                                  // (MANTA_LOSS_SUMS): a plugin's
} mt_ppo_space;

// max_rows: rows processed at once, of a recurrent policy at least a sequence of T; larger shares are cut into pieces that stay in
// the cache.
void mt_ppo_space_register(mt_ppo_space *space, const mt_policy *policy, const mt_kernels *k, const mt_segment_shape *shape,
    int64_t max_rows, mt_arena *arena);

// Writes the gradient of the share's parts (their range of the slab, padding untouched) and adds their sums to *stats. The
// bits are the same for the parts together and apart. An undivided policy's parts come together alone.
void mt_ppo_gradient(const mt_policy *policy, const mt_kernels *k, const mt_weights *weights, const mt_ppo_share *share,
    mt_ppo_space *space, float *grad, mt_ppo_stats *stats);

#endif
