// What the actors of one rank find there (manta_user): the run's configuration as this rank read it, the environment as this rank
// opened it. Const while the job runs; every rank has its own.
#ifndef MANTA_SCHEDULER_RANK_SETUP_H
#define MANTA_SCHEDULER_RANK_SETUP_H

#include "engine/collective/collective.h"
#include "policies/plugin_loss.h"
#include "rollout/codec.h"
#include "rollout/normaliser.h"
#include "scheduler/config.h"
#include "scheduler/devices.h"
#include "scheduler/environment.h"
#include "scheduler/layout.h"

typedef struct mt_rank_setup {
    const mt_train_config *train;    // borrowed
    const mt_ppo_config *ppo;        // borrowed
    mt_environment environment;      // owned
    const mt_kernels *kernels;       // the same instruction set on every rank
    mt_comm *world;                  // borrowed: what learners make their communicator from
    mt_pulse *pulse;                 // owned; NULL: nobody watches
    mt_layout layout;
    int threads;                     // of each actor at most
    mt_policy *policy;               // owned
    mt_plugin_loss *loss;            // owned; NULL: PPO's own
    mt_segment_shape shape;          // of a worker's segment, without its environments
    mt_devices devices;              // owned
} mt_rank_setup;

// The policy, the loss and the shape, found out with an instance of one environment.
mt_status mt_rank_setup_probe(mt_rank_setup *setup);
void mt_rank_setup_fini(mt_rank_setup *setup);

// The job's normaliser, as every holder of one registers it.
void mt_rank_setup_register_normaliser(const mt_rank_setup *setup, mt_normaliser *normaliser, mt_arena *arena);

// Of worker w's segment.
static inline mt_segment_shape mt_rank_setup_shape(const mt_rank_setup *s, int worker) {
    mt_segment_shape shape = s->shape;
    shape.envs = mt_layout_worker_envs(&s->layout, worker);
    return shape;
}

// A runner's object holds the segments of its workers one after the other: where worker w's begins, and how long the whole is.
int64_t mt_rank_setup_segment_at(const mt_rank_setup *setup, int worker);
int64_t mt_rank_setup_segments_bytes(const mt_rank_setup *setup, int runner);

#endif
