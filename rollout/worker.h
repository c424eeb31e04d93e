// A rollout worker: a batch of environments, an actor and the segment it fills. It knows nothing of learners, ranks or
// files; it is given weights to read and a normaliser's scale, and gives back a segment and news.
//
//     for every iteration:  collect(weights) → finish(weights) → segment; the owner merges the moments of all workers
//
// With a device the policy runs there (device_actor.h), and who drives several workers on one thread can step the environments of one
// while the device computes for the others; collect is begin, then ask and step for every t, then end:
//
// Environments of classic control step on the device, too: no step then waits for anything, and end takes all that they left.
//
//     begin all;  ask all for step 0;  for every t: for every worker: step(t), ask(t + 1);  end all
//
// One thread at a time per worker; different workers run at the same time.
#ifndef MANTA_ROLLOUT_WORKER_H
#define MANTA_ROLLOUT_WORKER_H

#include "engine/base/blob.h"
#include "engine/base/pulse.h"
#include "replay/segment.h"
#include "rollout/actor.h"
#include "rollout/device_actor.h"
#include "rollout/codec.h"
#include "rollout/normaliser.h"

typedef struct mt_rollout_worker_desc {
    const manta_env_desc *env;         // borrowed for the worker's life
    const manta_env_option *options;   // borrowed during create
    uint32_t option_count;
    const mt_policy *policy;           // borrowed
    const mt_kernels *kernels;         // borrowed
    const mt_normaliser *normaliser;   // borrowed: the job's; changed by its owner between segments only
    uint64_t first_env;                // number of this worker's first environment in the whole job
    int envs, steps;                   // N ≥ 1, T ≥ 1
    double gamma, gae_lambda;
    int sde_sample_freq;
    uint64_t seed;
    mt_pulse *pulse;                   // borrowed. Nullable: beaten after every step
    int outside;                       // 1: the segment's memory is the caller's, given anew before every collect
    mt_device *device;                 // borrowed. Nullable: the policy runs on the CPU, with the weights given to collect and finish
    mt_precision precision;            // on the device
    const mt_weights *device_weights;  // borrowed: its memory, always at this place; changed between segments only
    int workers;                       // of this process that have the device, this one included; 0: it alone
    int host_envs;                     // 1: environments step on the CPU whatever they are
} mt_rollout_worker_desc;

// An episode that ended during the segment: undiscounted return of the environment's own rewards, and length.
typedef struct mt_episode {
    float reward;
    int32_t steps;
} mt_episode;

typedef struct mt_rollout_worker mt_rollout_worker;

mt_status mt_rollout_worker_create(const mt_rollout_worker_desc *desc, mt_rollout_worker **out);
void mt_rollout_worker_destroy(mt_rollout_worker *worker);   // Nullable

// With desc.outside: memory (mt_segment_block_bytes of the segment's shape, 64-byte aligned) that the next collect and finish fill.
void mt_rollout_worker_bind(mt_rollout_worker *worker, void *memory);

// Steps the environments T times into the segment. MT_ENV, MT_NUMERIC: the environment failed; the segment is unusable. So it is
// after a failure of the device.
mt_status mt_rollout_worker_collect(mt_rollout_worker *worker, const mt_weights *weights);

// The same in parts, of a worker with a device: ask queues the policy's step t, step waits for it and steps the environments.
mt_status mt_rollout_worker_begin(mt_rollout_worker *worker);
mt_status mt_rollout_worker_ask(mt_rollout_worker *worker, int64_t t);
mt_status mt_rollout_worker_step(mt_rollout_worker *worker, int64_t t);
mt_status mt_rollout_worker_end(mt_rollout_worker *worker);

// Evaluates V where the device has not, computes advantages and returns.
void mt_rollout_worker_finish(mt_rollout_worker *worker, const mt_weights *weights);

// Whether the device steps the environments. MT_UNSUPPORTED says why it does not.
mt_status mt_rollout_worker_carried(const mt_rollout_worker *worker);

const mt_segment *mt_rollout_worker_segment(const mt_rollout_worker *worker);

// Episodes that ended in the last collect, in time order, and the moments it saw (mt_normaliser_doubles of them).
int64_t mt_rollout_worker_episodes(const mt_rollout_worker *worker, const mt_episode **out);
const double *mt_rollout_worker_moments(const mt_rollout_worker *worker);

// Everything needed to go on exactly between two segments. *exact (Nullable) is 0 when the environment has no snapshots:
// its episodes then start anew, with new random streams.
mt_status mt_rollout_worker_save(mt_rollout_worker *worker, mt_blob *blob);
mt_status mt_rollout_worker_load(mt_rollout_worker *worker, mt_blob_reader *reader, int *exact);

#endif
