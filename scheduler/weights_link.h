// The way of new weights from learner 0's GPU to those where runners act: a broadcast between devices, once an iteration, instead of
// an object in main memory. It is there where learners and runners both compute on GPUs and no runner shares a rank with another or
// with learner 0 (num_learners + num_env_runners up to the ranks). By NCCL where each of these ranks has a GPU of its own; else
// staged by engine/collective/gpu_group.h, which says so.
//
//     driver                 learner 0                        each runner
//     at the start           link                             link
//     every iteration        publish: sends and waits         collect: receives, packs, rolls out
//
// The driver asks for both at the same time. A learner publishes before it updates, and is done when its GPU has sent all.
#ifndef MANTA_SCHEDULER_WEIGHTS_LINK_H
#define MANTA_SCHEDULER_WEIGHTS_LINK_H

#include "scheduler/rank_setup.h"

// Whether there is one between these ranks, in a job that computes like this.
int mt_weights_link_wanted(const mt_rank_setup *setup, int learner_rank, const int *runner_rank, int runners);

// Collective over `ranks` (count), learner 0's first: from then on mt_compute_broadcast of *compute goes from it to all. *compute NULL:
// one is opened for that alone. Both are the caller's; *comm is destroyed after *compute is closed. What one cannot have, all learn.
mt_status mt_weights_link_open(const mt_rank_setup *setup, const uint32_t *ranks, int count, mt_compute **compute, mt_comm **comm);

#endif
