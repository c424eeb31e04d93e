// What the files of the learner share: the learner itself, and the engine that runs its minibatches, on the CPU (learner_cpu.c) or
// on a device (learner_device.c). Nobody else includes this.
//
// Collective calls are made by all learners of a communicator alike. What one rank cannot have, all learn before they make the next
// thing together (mt_agree).
#ifndef MANTA_SCHEDULER_LEARNER_ENGINE_H
#define MANTA_SCHEDULER_LEARNER_ENGINE_H

#include "scheduler/learner_rows.h"

typedef struct mt_learner_engine {
    // makes l->own and says whose shares are computed here. Collective
    mt_status (*divide)(mt_learner *l, int *first_worker, int *shares, int *own);
    mt_status (*reserve)(mt_learner *l, mt_arena *arena);       // what it wants of the host's memory, once rows are known
    mt_status (*build)(mt_learner *l);                          // the rest, once that is there. Collective
    void (*destroy)(mt_learner *l);                             // whatever there is of l->own
    mt_status (*share)(mt_learner *l);                          // after the orders were drawn. Nullable
    mt_status (*run)(mt_learner *l, mt_learner_report *report); // all minibatches of an update; the host's weights are new then
    mt_status (*pull)(mt_learner *l);                           // Nullable: the host's moments are always there
    mt_status (*push)(mt_learner *l);                           // after the host's parameters, moments and step were set. Nullable
    float *(*param)(const mt_learner *l);                       // on the device. Nullable: the host's are all there are
    int (*graphed)(const mt_learner *l);                        // Nullable: never
} mt_learner_engine;

extern const mt_learner_engine mt_learner_on_cpu, mt_learner_on_device;

struct mt_learner {
    mt_learner_desc desc;
    int *worker_envs;            // owned (W)
    const mt_learner_engine *engine;
    void *own;                   // owned by the engine
    mt_arena arena;
    mt_learner_rows rows;
    mt_weights weights;          // of the host
    float *m, *v;                // Adam's moments (params)
    int64_t step;
};

// Sums of a minibatch's rows over all workers.
typedef struct mt_learner_sums {
    double policy_loss, value_loss, entropy, approx_kl, clipped;
} mt_learner_sums;

// The report of an update is made of its minibatches, in their order: begin_epoch, then add for each that has rows, end at last.
void mt_learner_begin_epoch(mt_learner_report *report, int64_t *before_epoch);
void mt_learner_add(const mt_learner *l, int epoch, int64_t minibatch, const mt_learner_sums *sums, mt_learner_report *report);
void mt_learner_end_epochs(mt_learner_report *report, int64_t before_epoch);

// Whether a minibatch of so many rows ends the update by target_kl.
int mt_learner_stops(const mt_learner *l, int64_t minibatch, double approx_kl);

mt_status mt_learner_not_finite(int64_t step);   // what a gradient that is not finite comes to

#endif
