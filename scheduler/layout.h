// Who does what in a training job: how many learners and environment runners there are, on which ranks, and how the logical
// workers are divided among them. Plain data, the same on every rank, const after start.
//
// A job has W logical workers; results depend on W and not on the layout. Runner j rolls out the workers [W·j/R, W·(j+1)/R),
// learner i computes the gradients of [W·i/L, W·(i+1)/L). By default every rank has one of each; with fewer they stand apart as
// far as there are ranks: 1 + 3 and 2 + 2 on four.
#ifndef MANTA_SCHEDULER_LAYOUT_H
#define MANTA_SCHEDULER_LAYOUT_H

#include "scheduler/config.h"

typedef struct mt_layout {
    int ranks, learners, runners;   // L, R
    int workers;                    // W, a multiple of L
    int envs;                       // over all workers
} mt_layout;

// threads: the fewest of any rank. MT_CONFIG: numbers that do not divide.
mt_status mt_layout_init(mt_layout *layout, const mt_train_config *train, const mt_ppo_config *ppo, int ranks, int threads);

int mt_layout_learner_rank(const mt_layout *layout, int learner);   // where it stands when no placement is asked for
int mt_layout_runner_rank(const mt_layout *layout, int runner);

// With a placement: where those stand that reserve nothing. Ranks are taken host by host (pack) or one of each host in turn
// (spread), learners first, runners on ranks of their own as far as there are any: no two learners ever share one.
// node_of (ranks): each rank's host; order (ranks): the ranks as they are taken.
void mt_layout_order(const mt_layout *layout, mt_placement placement, const int *node_of, int *order);
int mt_layout_placed_learner(const mt_layout *layout, const int *order, int learner);
int mt_layout_placed_runner(const mt_layout *layout, const int *order, int runner);

static inline int mt_layout_runner_first(const mt_layout *l, int runner) { return (int)((int64_t)l->workers * runner / l->runners); }
static inline int mt_layout_runner_of(const mt_layout *l, int worker) {
    int r = (int)((int64_t)worker * l->runners / l->workers);
    while (mt_layout_runner_first(l, r + 1) <= worker) r++;
    return r;
}
static inline int mt_layout_learner_workers(const mt_layout *l) { return l->workers / l->learners; }

// Of `threads`, those that the workers of one learner or runner can use.
int mt_layout_threads(const mt_layout *layout, int threads);

// Environments are numbered through the job; worker w has those from n·w/W on.
static inline int mt_layout_first_env(const mt_layout *l, int worker) { return (int)((int64_t)l->envs * worker / l->workers); }
static inline int mt_layout_worker_envs(const mt_layout *l, int worker) {
    return mt_layout_first_env(l, worker + 1) - mt_layout_first_env(l, worker);
}

#endif
