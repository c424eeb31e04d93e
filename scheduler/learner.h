// The PPO learner: owns the weights and the optimiser, turns segments into updates. One object a learner; the learners
// of a communicator hold the same weights, because they apply the same summed gradient in the same order.
//
// A job has W logical workers, W/learners of them each learner's. Every worker's share of a minibatch gives a gradient of its own and
// the shares are summed in worker order, so the result depends on W and not on how many ranks or threads did the work. Nor
// does it depend on whether two ranks share the two nets (pair.h) or each computes both.
#ifndef MANTA_SCHEDULER_LEARNER_H
#define MANTA_SCHEDULER_LEARNER_H

#include "engine/base/option.h"
#include "engine/base/pulse.h"
#include "engine/base/thread.h"
#include "engine/collective/collective.h"
#include "kernels/compute.h"
#include "policies/ppo.h"

// Hyper-parameters of an update (a part of the algorithm's options).
typedef struct mt_learner_config {
    int batch_size;               // rows of a minibatch over all workers
    int n_epochs;
    mt_schedule learning_rate, clip_range, clip_range_vf;   // clip_range_vf.value < 0: value loss not clipped
    double ent_coef, vf_coef, max_grad_norm;   // max_grad_norm 0: no clipping
    double target_kl;             // 0: never stop early
    bool normalize_advantage;
    double adam_eps, weight_decay;
} mt_learner_config;

typedef struct mt_learner_desc {
    const mt_policy *policy;      // borrowed
    const mt_kernels *kernels;    // borrowed: the CPU's
    mt_compute *compute;          // borrowed: where minibatches are computed. Nullable: on the CPU, with kernels
    int without_graph;            // with compute: ask for every operation anew in every update
    int parameter_server;         // with compute: the first learner has the optimiser; gradients go to it and parameters come back
    mt_comm *comm;                // borrowed
    mt_workers *threads;          // borrowed. Nullable: the caller's thread alone
    mt_learner_config config;
    const mt_plugin_loss *loss;   // borrowed. Nullable: PPO's own. Of an undivided policy alone
    mt_segment_shape shape;       // of a worker's segment; envs is ignored, worker_envs counts
    int workers;                  // W
    int local_workers;            // W / learners
    const int *worker_envs;       // (W) environments of every worker, 0 allowed
    uint64_t seed;
    mt_pulse *pulse;              // borrowed. Nullable: beaten after every minibatch
} mt_learner_desc;

// Means over all minibatches of an update (approx_kl: of its last epoch), over all workers.
typedef struct mt_learner_report {
    double policy_loss, value_loss, entropy, approx_kl, clip_fraction, loss, grad_norm;
    double explained_variance, learning_rate, clip_range, clip_range_vf, std;
    double allreduce_seconds;     // NaN on a GPU, whose sums stand between kernels
    int stopped_early;            // by target_kl
    int64_t updates;              // optimiser steps of this update
    int epochs;                   // passes begun over the segments
} mt_learner_report;

typedef struct mt_learner mt_learner;

mt_status mt_learner_create(const mt_learner_desc *desc, mt_learner **out);
void mt_learner_destroy(mt_learner *learner);   // Nullable

// The workers whose shares are computed here, [first, first + count): this rank's own, or those of both ranks of a pair (pair.h).
typedef struct mt_learner_reads {
    int first, count;
} mt_learner_reads;
mt_learner_reads mt_learner_reads_of(const mt_learner *learner);

// segments (mt_learner_reads): NULL for a worker without environments. `iteration` keys the minibatch order; `remaining` is 1
// at the start of training and 0 at its end. MT_NUMERIC when the gradient is not finite (the weights are then unchanged).
mt_status mt_learner_update(mt_learner *learner, const mt_segment *const *segments, uint64_t iteration, double remaining,
    mt_learner_report *report);

const mt_weights *mt_learner_weights(const mt_learner *learner);   // valid for reading between updates

// The parameters (params) in the memory of the device that it computes on; NULL on the CPU. Valid for reading between updates.
float *mt_learner_device_param(const mt_learner *learner);

int mt_learner_graphed(const mt_learner *learner);   // whether its updates are one graph by now, launched as a whole

// The optimiser's state, for checkpoints: parameters and both moments (policy->sizes.params each), and its step count. Reading:
// pull, then get. Setting: fill the views, then set.
typedef struct mt_learner_state {
    float *param, *m, *v;   // views
    int64_t step;
} mt_learner_state;
mt_status mt_learner_state_pull(mt_learner *learner);
mt_learner_state mt_learner_state_get(mt_learner *learner);
mt_status mt_learner_state_set(mt_learner *learner, int64_t step);

#endif
