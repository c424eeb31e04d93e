// How the rows of an update are dealt to minibatches, and what every minibatch is told of its advantages: the same for learners on
// every device, and for every layout of a job.
//
// Every worker draws the order of its rows for all epochs and the advantage's moments of its share of every minibatch (draw, on the
// thread pool); one all-gather makes the moments the whole minibatch's (combine).
#ifndef MANTA_SCHEDULER_LEARNER_ROWS_H
#define MANTA_SCHEDULER_LEARNER_ROWS_H

#include "scheduler/learner.h"

// What belongs to one worker whose share is computed here.
typedef struct mt_learner_share {
    const mt_segment *segment;   // of the running update
    int envs;
    int64_t rows;                // T·envs
    int64_t units;               // what minibatches are dealt of: rows, or of a recurrent policy environments' sequences
    int32_t *order;              // (epochs, units)
    double *moments;             // (epochs, minibatches, 2): Σ advantage, Σ advantage²; then those of the returns
} mt_learner_share;

typedef struct mt_learner_rows {
    const mt_learner_desc *desc; // borrowed
    int total_envs;
    int64_t unit;                // rows of a unit: 1, or of a recurrent policy T
    int64_t batch;               // units of a minibatch over all workers
    int64_t minibatches;         // per epoch
    int64_t *whole;              // (minibatches) rows of a whole minibatch, over all workers
    int first_worker, shares;    // the workers whose shares are computed here
    int own;                     // how many of them come before this learner's own
    mt_learner_share *share;     // owned (shares)
    double *all_moments;         // (W, moments of one worker)
    mt_ppo_scalars *scalars;     // (epochs, minibatches)
    uint32_t *words;             // (threads, words of one permutation)
    int64_t word_count;
    uint64_t iteration;          // of the running update
} mt_learner_rows;

// desc (with its worker_envs) must outlive it. The workers first .. first + shares are computed here, of which the learner's own
// begin at number `own`. The arrays are usable after the arena's commit and mt_learner_rows_ready.
mt_status mt_learner_rows_init(mt_learner_rows *rows, const mt_learner_desc *desc, int first_worker, int shares, int own, mt_arena *arena);
void mt_learner_rows_ready(mt_learner_rows *rows);
void mt_learner_rows_fini(mt_learner_rows *rows);   // also of one that is all zeros

// First unit of minibatch `b` in the shuffled order of a worker with `envs` environments. With one worker: b·batch.
int64_t mt_learner_rows_start(const mt_learner_rows *rows, int envs, int64_t b);
int64_t mt_learner_rows_most(const mt_learner_rows *rows, int envs);   // rows of such a worker in any minibatch

// segments (shares): NULL for a worker without environments.
void mt_learner_rows_draw(mt_learner_rows *rows, const mt_segment *const *segments, uint64_t iteration);
// Collective over desc->comm. Reads the report's schedules, fills in its explained_variance.
mt_status mt_learner_rows_combine(mt_learner_rows *rows, mt_learner_report *report);

// The number of minibatch `b` of an epoch among all of an update.
static inline int64_t mt_learner_rows_number(const mt_learner_rows *rows, int epoch, int64_t b) { return epoch * rows->minibatches + b; }

#endif
