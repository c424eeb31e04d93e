// The learner as an actor: one on each of L ranks, whose communicator sums their gradients. Its methods:
//
//     connect   u32[L] ranks of all learners, in order; all are called at the same time
//               → i64[2] the workers whose segments it reads: the first, how many
//     update    i64 iteration, f64 remaining, then either the segments of those workers' runners as values, and behind them anything
//               else that has to be there first; or ref[R], the segments of all runners
//               → bytes (mt_learner_news), f32[?] parameters (of learner 0; of the others none)
//     link      u32[1+R] its own rank and the runners': from now on `publish` sends their GPUs the weights (weights_link.h); learner 0's
//     publish   → while the runners collect
//     weights   → f32[n] parameters
//     save      → f32[n] parameters, f32[n] and f32[n] moments of Adam, i64 steps of Adam
//     load      the same four →
#ifndef MANTA_SCHEDULER_LEARNER_ACTOR_H
#define MANTA_SCHEDULER_LEARNER_ACTOR_H

#include "engine/runtime/manta_runtime.h"
#include "scheduler/learner.h"
#include "scheduler/rank_setup.h"

typedef struct mt_learner_news {
    int32_t status;              // mt_status of the update
    int32_t rank;
    int32_t signal;              // a signal arrived at its rank: stop at this safe point
    double seconds;
    mt_learner_report report;
    char message[512];           // when status is not MT_OK
} mt_learner_news;

// The runners of the workers that a learner reads: [first, end).
static inline void mt_learner_runners(const mt_layout *layout, mt_learner_reads reads, int *first, int *end) {
    *first = mt_layout_runner_of(layout, reads.first);
    *end = mt_layout_runner_of(layout, reads.first + reads.count - 1) + 1;
}

extern const manta_class mt_learner_class;   // created with: i64 its number

#endif
