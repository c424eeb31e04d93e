// The learner's minibatches on the CPU. Called by the learner; the shares of its workers are computed on the thread pool.
//
// Where two ranks share the nets (pair.h), a rank computes one net's gradient for the workers of both; else both nets' for its
// own: with two threads one net on each, with any other number the workers' shares on all of them. For each minibatch: gradients of
// the shares into registered slabs, one all-reduce, clipping, Adam, repacking. Behind the parameters each slab carries the loss's
// sums, so that statistics and the target-KL test cost no message of their own.
#include "scheduler/learner_engine.h"

#include "engine/base/clock.h"
#include "scheduler/agree.h"
#include "scheduler/pair.h"

#include <math.h>
#include <stdlib.h>

enum {
    TAIL_FLOATS = 16,          // behind the parameters: the loss's sums
    POLICY_LOSS = 0, VALUE_LOSS, ENTROPY, APPROX_KL, CLIPPED, TAIL_SUMS,   // in the tail
    SQUARES = TAIL_SUMS, TOTALS,   // of a minibatch: the tail's sums and the gradient's Σ squares
    ROWS_AT_ONCE = 256,        // rows of a share that go through the network together, at most: they stay in the L2 cache
    SEQUENCE_ROWS_AT_ONCE = 2048   // of sequences: a step's product wants many of them side by side
};

// where a share's gradient is computed, and where it goes
typedef struct share_place {
    mt_ppo_space space[2];       // the second: the critic's, where each net has its thread
    float *slab;                 // of the running minibatch
} share_place;

typedef struct cpu_learner {
    mt_pair pair;
    mt_comm *column;             // borrowed: the ranks whose gradients are summed
    int parts;                   // the nets that this rank computes
    int net_threads;             // 2: one thread each
    mt_policy_range range;       // and their parameters
    share_place *place;          // owned (shares)
    float *received;             // (range.count + TAIL_FLOATS) where the summed gradient of several ranks goes
    float *sum;                  // the summed gradient of the running minibatch: there, or the first share's slab
    mt_comm_slab *slab;          // owned
    int epoch;
    int64_t minibatch;
    mt_adam adam;                // but for the slabs
} cpu_learner;

static cpu_learner *own(const mt_learner *l) { return l->own; }

// ---- life

static void destroy(mt_learner *l) {
    cpu_learner *c = own(l);
    mt_comm_slab_destroy(c->slab);
    mt_pair_fini(&c->pair);
    free(c->place);
    free(c);
}

// which nets of which workers are computed here
static mt_status divide(mt_learner *l, int *first_worker, int *shares, int *before) {
    const mt_learner_desc *d = &l->desc;
    cpu_learner *c = l->own = calloc(1, sizeof *c);
    MT_TRY(mt_agree(d->comm, c ? MT_OK : MT_FAIL(NO_MEMORY, "cannot allocate a learner")));
    MT_TRY(mt_agree(d->comm, mt_pair_init(&c->pair, d->comm, d->policy)));
    int paired = c->pair.two != NULL, first_own = mt_comm_rank(d->comm) * d->local_workers;
    c->column = paired ? c->pair.column : d->comm;
    c->parts = mt_pair_parts(&c->pair);
    c->net_threads = c->parts == MT_POLICY_BOTH && mt_workers_count(d->threads) == 2 && mt_pair_balanced(d->policy) ? 2 : 1;
    c->range = mt_policy_range_of(d->policy, c->parts);
    *shares = d->local_workers * (paired ? 2 : 1);
    *before = paired ? d->local_workers * mt_comm_rank(c->pair.two) : 0;
    *first_worker = first_own - *before;
    return MT_OK;
}

// The rows of a share that go through the network together: `most` are the most that any minibatch has.
static int64_t rows_at_once(const mt_learner *l, int64_t most) {
    int64_t unit = l->rows.unit;
    if (most < unit) most = unit;
    if (unit == 1) return mt_policy_rows_at_once(l->desc.policy, most < ROWS_AT_ONCE ? most : ROWS_AT_ONCE);
    int64_t rows = SEQUENCE_ROWS_AT_ONCE / unit * unit;
    return rows < unit ? unit : rows < most ? rows : most;
}

static mt_status reserve(mt_learner *l, mt_arena *arena) {
    const mt_learner_desc *d = &l->desc;
    cpu_learner *c = own(l);
    c->place = calloc((size_t)l->rows.shares, sizeof *c->place);
    if (!c->place) return MT_FAIL(NO_MEMORY, "cannot allocate a learner of %d workers", l->rows.shares);
    MT_ARENA_ADD(arena, c->received, mt_comm_size(c->column) > 1 ? c->range.count + TAIL_FLOATS : 0);
    for (int i = 0; i < l->rows.shares; i++) {
        int64_t at_once = rows_at_once(l, mt_learner_rows_most(&l->rows, l->rows.share[i].envs));
        for (int t = 0; t < c->net_threads; t++) mt_ppo_space_register(&c->place[i].space[t], d->policy, d->kernels, &d->shape, at_once, arena);
    }
    return MT_OK;
}

static mt_status build(mt_learner *l) {
    cpu_learner *c = own(l);
    return mt_comm_slab_create(c->column, l->rows.shares, (size_t)c->range.count + TAIL_FLOATS, MT_REDUCE_ORDERED, &c->slab);
}

// in which order the rows of the pair's workers are gone through is known to both of its ranks
static mt_status share_orders(mt_learner *l) {
    cpu_learner *c = own(l);
    for (int i = 0; c->pair.two && i < l->rows.shares; i++) {
        mt_learner_share *w = &l->rows.share[i];
        int from = i / l->desc.local_workers;
        if (!w->rows) continue;
        MT_TRY(mt_pair_send(&c->pair, from, w->order, sizeof *w->order * (size_t)(l->desc.config.n_epochs * w->units)));
    }
    return MT_OK;
}

// ---- the minibatches

// some parts of one share
static void gradient_of(mt_learner *l, int share_number, int parts, mt_ppo_space *space) {
    cpu_learner *c = own(l);
    const mt_learner_rows *r = &l->rows;
    const mt_learner_share *w = &r->share[share_number];
    int64_t first = mt_learner_rows_start(r, w->envs, c->minibatch), end = mt_learner_rows_start(r, w->envs, c->minibatch + 1);
    const mt_ppo_scalars *now = &r->scalars[mt_learner_rows_number(r, c->epoch, c->minibatch)];
    mt_ppo_share share = {
        .parts = parts, .segment = w->segment, .index = w->order + w->units * c->epoch + first, .count = end - first,
        .inv_rows = (float)(1.0 / (double)r->whole[c->minibatch]), .scalars = now, .host_scalars = now,
        .clips_value = now->clip_range_vf >= 0, .loss = l->desc.loss,
    };
    mt_ppo_stats stats = {0};
    float *slab = c->place[share_number].slab, *tail = slab + c->range.count;
    mt_ppo_gradient(l->desc.policy, l->desc.kernels, &l->weights, &share, space,
        slab + (mt_policy_range_of(l->desc.policy, parts).first - c->range.first), &stats);
    int others = ~c->parts;   // computed nowhere here: zero
    if ((parts | others) & MT_POLICY_ACTOR) {
        tail[POLICY_LOSS] = (float)stats.policy_loss, tail[ENTROPY] = (float)stats.entropy;
        tail[APPROX_KL] = (float)stats.approx_kl, tail[CLIPPED] = (float)stats.clipped;
    }
    if ((parts | others) & MT_POLICY_CRITIC) tail[VALUE_LOSS] = (float)stats.value_loss;
}

static void share_gradient(void *context, int index, int thread) {
    (void)thread;
    mt_learner *l = context;
    gradient_of(l, index, own(l)->parts, &own(l)->place[index].space[0]);
}

static int part_of(int net) { return net == 0 ? MT_POLICY_ACTOR : MT_POLICY_CRITIC; }

static void net_gradient(void *context, int net, int thread) {
    (void)thread;
    mt_learner *l = context;
    for (int i = 0; i < l->rows.shares; i++) gradient_of(l, i, part_of(net), &own(l)->place[i].space[net]);
}

// Σ squares of the summed gradient, net by net, so that it is the same whoever computes which
static double squares_of_sum(const mt_learner *l) {
    const cpu_learner *c = own(l);
    double squares = 0;
    for (int net = 0; net < 2; net++) {
        if (!(c->parts & part_of(net))) continue;
        mt_policy_range range = mt_policy_range_of(l->desc.policy, part_of(net));
        squares += l->desc.kernels->sum_squares(range.count, c->sum + (range.first - c->range.first));
    }
    return squares;
}

static void apply_parts(mt_learner *l, int parts) {
    cpu_learner *c = own(l);
    mt_policy_range range = mt_policy_range_of(l->desc.policy, parts);
    mt_adam adam = c->adam;
    adam.count = range.count, adam.grad = c->sum + (range.first - c->range.first);
    adam.param = l->weights.param + range.first, adam.m = l->m + range.first, adam.v = l->v + range.first;
    l->desc.kernels->adam(&adam);
    mt_weights_pack(&l->weights, l->desc.policy, l->desc.kernels, parts);
}

static void apply_net(void *context, int net, int thread) {
    (void)thread;
    apply_parts(context, part_of(net));
}

// clips, steps, repacks; leaves everything as it was when the gradient is not finite
static mt_status apply_gradient(mt_learner *l, double norm, float lr) {
    cpu_learner *c = own(l);
    double max = l->desc.config.max_grad_norm;
    if (!isfinite(norm)) return mt_learner_not_finite(l->step);
    c->adam = (mt_adam){
        .grad_scale = max > 0 && norm > max ? (float)(max / (norm + 1e-6)) : 1.0f,
        .lr = lr, .beta1 = 0.9f, .beta2 = 0.999f, .eps = (float)l->desc.config.adam_eps,
        .weight_decay = (float)l->desc.config.weight_decay, .step = ++l->step,
    };
    if (c->net_threads == 2) mt_workers_run(l->desc.threads, apply_net, l, 2);
    else apply_parts(l, c->parts);
    l->weights.version++;
    return MT_OK;
}

// c->sum = the slabs of all workers, added in worker order. Where all of them are this rank's, the first is added to: every
// byte of a gradient is in the second-level cache by now, and a sum of two in a third place takes 0.53 us, this 0.31.
static mt_status add_slabs(mt_learner *l) {
    cpu_learner *c = own(l);
    int64_t count = c->range.count + TAIL_FLOATS;
    if (mt_comm_size(c->column) > 1) return mt_comm_slab_allreduce(c->slab, (size_t)count, c->sum = c->received);
    c->sum = c->place[0].slab;
    for (int i = 1; i < l->rows.shares; i++) l->desc.kernels->axpy(count, 1.0f, c->place[i].slab, c->sum);
    return MT_OK;
}

// The gradient of all workers in c->sum, and its totals. Of the shared nets each rank has its own gradient, and both the
// totals of both.
static mt_status sum_gradients(mt_learner *l, double *total) {
    cpu_learner *c = own(l);
    MT_TRY(add_slabs(l));
    for (int i = 0; i < TAIL_SUMS; i++) total[i] = c->sum[c->range.count + i];
    total[SQUARES] = squares_of_sum(l);
    return mt_pair_add(&c->pair, total, TOTALS);
}

static mt_status minibatch_update(mt_learner *l, float lr, mt_learner_report *report) {
    cpu_learner *c = own(l);
    if (!l->rows.whole[c->minibatch]) return MT_OK;   // uneven shares can leave a minibatch without rows
    double total[TOTALS];
    for (int i = 0; i < l->rows.shares; i++) c->place[i].slab = mt_comm_slab_buffer(c->slab, i);
    if (c->net_threads == 2) mt_workers_run(l->desc.threads, net_gradient, l, 2);
    else mt_workers_run(l->desc.threads, share_gradient, l, l->rows.shares);
    int64_t before = mt_clock_ns();
    MT_TRY(sum_gradients(l, total));
    report->allreduce_seconds += 1e-9 * (double)(mt_clock_ns() - before);
    mt_pulse_beat(l->desc.pulse);
    mt_learner_add(l, c->epoch, c->minibatch, &(mt_learner_sums){.policy_loss = total[POLICY_LOSS], .value_loss = total[VALUE_LOSS],
        .entropy = total[ENTROPY], .approx_kl = total[APPROX_KL], .clipped = total[CLIPPED]}, report);
    if (mt_learner_stops(l, c->minibatch, total[APPROX_KL])) {
        report->stopped_early = 1;
        return MT_OK;
    }
    double norm = sqrt(total[SQUARES]);
    MT_TRY(apply_gradient(l, norm, lr));
    report->grad_norm += norm;
    return MT_OK;
}

static mt_status run_epochs(mt_learner *l, mt_learner_report *report) {
    cpu_learner *c = own(l);
    int64_t before_epoch = 0;
    for (c->epoch = 0; c->epoch < l->desc.config.n_epochs && !report->stopped_early; c->epoch++) {
        mt_learner_begin_epoch(report, &before_epoch);
        for (c->minibatch = 0; c->minibatch < l->rows.minibatches && !report->stopped_early; c->minibatch++)
            MT_TRY(minibatch_update(l, (float)report->learning_rate, report));
    }
    mt_learner_end_epochs(report, before_epoch);
    return MT_OK;
}

// from here on every rank has both nets again, and their moments, which a checkpoint may want
static mt_status complete_nets(mt_learner *l) {
    cpu_learner *c = own(l);
    float *slabs[] = {l->weights.param, l->m, l->v};
    if (!c->pair.two) return MT_OK;
    for (int i = 0; i < 3; i++) MT_TRY(mt_pair_complete(&c->pair, l->desc.policy, slabs[i]));
    mt_weights_pack(&l->weights, l->desc.policy, l->desc.kernels, MT_POLICY_BOTH & ~c->parts);
    return MT_OK;
}

static mt_status run(mt_learner *l, mt_learner_report *report) {
    mt_workers_pin(l->desc.threads);
    mt_status status = run_epochs(l, report);
    mt_workers_unpin(l->desc.threads);
    if (status == MT_OK || status == MT_NUMERIC) MT_KEEP(status, complete_nets(l));   // all ranks saw the same gradient
    return status;
}

const mt_learner_engine mt_learner_on_cpu = {
    .divide = divide,
    .reserve = reserve,
    .build = build,
    .destroy = destroy,
    .share = share_orders,
    .run = run,
};
