// The synchronous on-policy flow: roll out, share what was seen, advantages, update; then again with the new weights.
//
//     environment runners ──segments──▶ learners ──▶ weights v+1 ──▶ environment runners
//            └─ news: episodes, moments, signals ──▶ the driver, which decides
//
// Runners and learners are actors (env_runner.h, learner_actor.h); this is their client, one object on the driver's rank. Calls
// return references at once: the segments never come here, they go from the runners to the learners as references.
#ifndef MANTA_SCHEDULER_FLOWS_ON_POLICY_H
#define MANTA_SCHEDULER_FLOWS_ON_POLICY_H

#include "engine/runtime/manta_runtime.h"
#include "rollout/worker.h"
#include "scheduler/learner.h"
#include "scheduler/rank_setup.h"

enum { MT_RETURN_WINDOW = 100 };   // episodes that rollout/ep_rew_mean is the mean of

typedef struct mt_on_policy_report {
    int64_t iteration, steps;            // done, since the run began; steps over all environments
    int signal;                          // a signal arrived somewhere: stop at this safe point
    const mt_episode *episodes;          // that ended in this iteration, in worker order; valid until the next
    int64_t episode_count;               // of them; at most MT_EPISODES_SHARED a worker
    int64_t total_episodes;              // ended since the run began
    int64_t listed_episodes;             // of those, reported one by one
    double ep_rew_mean, ep_len_mean;     // of the last 100; NaN before the first
    int window;                          // episodes in those means
    mt_learner_report learner;
    double rollout_seconds, update_seconds;
} mt_on_policy_report;

typedef struct mt_on_policy mt_on_policy;

// Creates the actors and waits for them. MT_CONFIG: the cluster does not have what they ask for; other failures are theirs.
// Both are borrowed: the context is the driver's.
mt_status mt_on_policy_create(manta_context *context, const mt_rank_setup *setup, mt_on_policy **out);
void mt_on_policy_destroy(mt_on_policy *flow);   // Nullable. The actors end

// One iteration. `remaining` as for mt_learner_update, at the iteration's end. A failure has the status of the actor that met it
// (a rollout's mostly MT_ENV) and names the worker and the rank.
mt_status mt_on_policy_iterate(mt_on_policy *flow, double remaining, mt_on_policy_report *report);

int64_t mt_on_policy_steps_per_iteration(const mt_on_policy *flow);   // T·n_envs
mt_normaliser *mt_on_policy_normaliser(mt_on_policy *flow);
const mt_weights *mt_on_policy_weights(const mt_on_policy *flow);     // as of the last iteration; valid until the next

// State, for checkpoints. The learner's lies in `state` as views that are valid until the next call; a worker's is a blob.
mt_status mt_on_policy_learner_state(mt_on_policy *flow, mt_learner_state *state);
mt_status mt_on_policy_set_learner_state(mt_on_policy *flow, const mt_learner_state *state);
typedef mt_status (*mt_worker_visit)(void *context, int worker, const void *blob, size_t bytes);
mt_status mt_on_policy_save_workers(mt_on_policy *flow, mt_worker_visit visit, void *context);   // those with environments, in order
// blobs (W): NULL for a worker without environments. *exact as mt_rollout_worker_load says, of all.
mt_status mt_on_policy_load_workers(mt_on_policy *flow, void *const *blobs, const size_t *bytes, int *exact);
// The driver's counters and windows.
void mt_on_policy_save(const mt_on_policy *flow, mt_blob *blob);
mt_status mt_on_policy_load(mt_on_policy *flow, mt_blob_reader *reader);

#endif
