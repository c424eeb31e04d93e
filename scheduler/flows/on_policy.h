// The synchronous on-policy flow: roll out, share what was seen, advantages, update; then again with the new weights.
//
//     rollout workers ──segments──▶ learner ──▶ weights v+1 ──▶ rollout workers
//            └─ moments, episodes, stop requests: one exchange between all ranks an iteration
//
// One object a rank, driven by one thread; workers run on the thread pool. Every rank decides alike, because it decides
// from the exchanged data alone.
#ifndef MANTA_SCHEDULER_FLOWS_ON_POLICY_H
#define MANTA_SCHEDULER_FLOWS_ON_POLICY_H

#include "rollout/worker.h"
#include "scheduler/config.h"

enum { MT_RETURN_WINDOW = 100 };   // episodes that rollout/ep_rew_mean is the mean of

typedef struct mt_on_policy_desc {
    const mt_ppo_config *config;        // borrowed
    const manta_env_desc *env;          // borrowed
    const manta_env_option *options;    // borrowed during create
    uint32_t option_count;
    const mt_kernels *kernels;          // borrowed
    mt_comm *comm;                      // borrowed
    mt_workers *threads;                // borrowed. Nullable
    int workers;                        // W, a multiple of the ranks
    uint64_t seed;
    mt_pulse *pulse;                    // borrowed. Nullable: beaten while it works
} mt_on_policy_desc;

// What every rank can ask of all ranks in the next exchange; the largest value wins.
typedef struct mt_on_policy_request {
    int signal;        // a signal arrived: stop at this safe point
    int checkpoint;    // it is time to save
} mt_on_policy_request;

typedef struct mt_on_policy_report {
    int64_t iteration, steps;            // done, since the run began; steps over all environments
    mt_on_policy_request request;        // of all ranks
    const mt_episode *episodes;          // that ended in this iteration, in worker order; valid until the next
    int64_t episode_count;               // of them; at most MT_EPISODES_SHARED a worker
    int64_t total_episodes;              // ended since the run began
    int64_t listed_episodes;             // of those, reported one by one
    double ep_rew_mean, ep_len_mean;     // of the last 100; NaN before the first
    int window;                          // episodes in those means
    mt_learner_report learner;
    double rollout_seconds, update_seconds;
} mt_on_policy_report;

enum { MT_EPISODES_SHARED = 256 };   // episodes that a worker reports one by one in an iteration

typedef struct mt_on_policy mt_on_policy;

mt_status mt_on_policy_create(const mt_on_policy_desc *desc, mt_on_policy **out);
void mt_on_policy_destroy(mt_on_policy *flow);   // Nullable

// One iteration on all ranks. `remaining` as for mt_learner_update, at the iteration's end. A rollout that fails on one rank
// fails on all, with the worker and the rank named.
mt_status mt_on_policy_iterate(mt_on_policy *flow, mt_on_policy_request request, double remaining, mt_on_policy_report *report);

int64_t mt_on_policy_steps_per_iteration(const mt_on_policy *flow);   // T·n_envs
const mt_policy *mt_on_policy_policy(const mt_on_policy *flow);
mt_normaliser *mt_on_policy_normaliser(mt_on_policy *flow);
mt_learner *mt_on_policy_learner(mt_on_policy *flow);

// This rank's workers: NULL for one without environments. worker is its number in the job.
int mt_on_policy_local_workers(const mt_on_policy *flow);
mt_rollout_worker *mt_on_policy_worker(mt_on_policy *flow, int local, int *worker);

// The counters and windows that every rank holds alike, for checkpoints.
void mt_on_policy_save(const mt_on_policy *flow, mt_blob *blob);
mt_status mt_on_policy_load(mt_on_policy *flow, mt_blob_reader *reader);

// The policy that a configuration and an environment's spaces give, found out with an instance of one environment; shared
// with evaluation. codec: its sizes are set, its spaces are NULL.
mt_status mt_on_policy_probe(const mt_ppo_config *config, const manta_env_desc *env, const manta_env_option *options,
    uint32_t option_count, mt_codec *codec, mt_policy **policy);

#endif
