// Evaluation: whole episodes with fixed weights, on environments of their own, never seen by training.
#ifndef MANTA_SCHEDULER_EVALUATE_H
#define MANTA_SCHEDULER_EVALUATE_H

#include <stdio.h>
#include "rollout/actor.h"
#include "rollout/codec.h"
#include "rollout/normaliser.h"
#include "rollout/worker.h"

typedef struct mt_evaluate_desc {
    const manta_env_desc *env;         // borrowed, as all pointers here
    const manta_env_option *options;
    uint32_t option_count;
    const mt_policy *policy;
    const mt_kernels *kernels;
    const mt_weights *weights;
    const mt_normaliser *normaliser;   // its published scale
    int episodes;                      // ≥ 1
    int stochastic;                    // 0: the most probable action; 1: sampled
    uint64_t seed;
    FILE *render;                      // Nullable: draws environment 0 as text after every step
    int render_delay_ms;
    mt_pulse *pulse;                   // Nullable: beaten after every step
} mt_evaluate_desc;

typedef struct mt_evaluation {
    int episodes;
    double mean_reward, std_reward;    // population standard deviation, as NumPy's
    double mean_ep_length, min_reward, max_reward;
    mt_episode *each;                  // owned (episodes)
} mt_evaluation;

// Every environment plays its share of the episodes, fixed in advance, so that short episodes are not preferred.
// MT_ENV, MT_NUMERIC from the environment; MT_UNSUPPORTED when it cannot be drawn.
mt_status mt_evaluate(const mt_evaluate_desc *desc, mt_evaluation *out);
void mt_evaluation_fini(mt_evaluation *evaluation);

#endif
