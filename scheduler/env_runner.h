// The environment runner: an actor that rolls out its share of the logical workers. Its methods:
//
//     collect   f32[n] parameters, f64[m] normaliser → bytes news (mt_worker_news and moments, one a worker), bytes segments
//     link      u32[1+R] ranks of learner 0 and of all runners, all of which are called at the same time: from now on a collect gets no
//               parameters, and receives learner 0's (weights_link.h)
//     save      → bytes: state of its workers, a u64 length and the blob of each
//     load      bytes → i64: 1 when every environment continues exactly
//
// The segments are written where the learners read them: one object per collect, in memory that the host's ranks share.
#ifndef MANTA_SCHEDULER_ENV_RUNNER_H
#define MANTA_SCHEDULER_ENV_RUNNER_H

#include "engine/runtime/manta_runtime.h"
#include "rollout/worker.h"
#include "scheduler/rank_setup.h"

enum { MT_EPISODES_SHARED = 256 };   // episodes that a worker reports one by one in an iteration

// What a worker tells after its rollout; behind it lie its moments (mt_normaliser_doubles of them).
typedef struct mt_worker_news {
    int32_t signal;                 // a signal arrived at its rank: stop at this safe point
    int32_t listed;                 // episodes in the list
    int64_t ended;                  // episodes that ended
    double seconds;                 // of its runner's rollout
    mt_episode episodes[MT_EPISODES_SHARED];    // the last `listed` of them
} mt_worker_news;

extern const manta_class mt_env_runner_class;   // created with: i64 its number

// Bytes of one worker's news with a normaliser of so many doubles.
static inline size_t mt_worker_news_bytes(int doubles) { return sizeof(mt_worker_news) + sizeof(double) * (size_t)doubles; }

#endif
