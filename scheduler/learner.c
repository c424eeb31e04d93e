// The PPO learner. Called by one thread of a rank; the shares of its workers are computed on the thread pool.
//
// Where two ranks share the nets (pair.h), a rank computes one net's gradient for the workers of both; else both nets' for its
// own: with two threads one net on each, with any other number the workers' shares on all of them. An update: every worker draws
// the order of its rows for all epochs and the advantage's moments of its share of every minibatch; one all-gather makes the
// moments the whole minibatch's; then for each minibatch: gradients of the shares into registered slabs, one all-reduce,
// clipping, Adam, repacking. Behind the parameters each slab carries the loss's sums, so
// that statistics and the target-KL test cost no message of their own.
#include "scheduler/learner.h"

#include "engine/base/clock.h"
#include "engine/base/rng.h"
#include "scheduler/agree.h"
#include "scheduler/pair.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAIL_FLOATS = 16,          // behind the parameters: the loss's sums
    POLICY_LOSS = 0, VALUE_LOSS, ENTROPY, APPROX_KL, CLIPPED, TAIL_SUMS,   // in the tail
    SQUARES = TAIL_SUMS, TOTALS,   // of a minibatch: the tail's sums and the gradient's Σ squares
    ROWS_AT_ONCE = 256,        // rows of a share that go through the network together, at most: they stay in the L2 cache
    SEQUENCE_ROWS_AT_ONCE = 2048,   // of sequences: a step's product wants many of them side by side
    VARIANCE_DOUBLES = 5       // count, Σ returns, Σ returns², Σ (returns - value), Σ (returns - value)²
};

// what belongs to one worker whose shares are computed here
typedef struct share_worker {
    const mt_segment *segment;   // of the running update
    int envs;
    int64_t rows;                // T·envs
    int64_t units;               // what minibatches are dealt of: rows, or of a recurrent policy environments' sequences
    int32_t *order;              // (epochs, units)
    double *moments;             // (epochs, minibatches, 2): Σ advantage, Σ advantage²; then VARIANCE_DOUBLES
    mt_ppo_space space[2];       // the second: the critic's, where each net has its thread
    float *slab;                 // of the running minibatch
} share_worker;

struct mt_learner {
    mt_learner_desc desc;
    int *worker_envs;            // owned (W)
    int total_envs;
    int64_t unit;                // rows of a unit: 1, or of a recurrent policy T
    int64_t batch;               // units of a minibatch over all workers
    int64_t minibatches;         // per epoch
    int64_t *rows;               // (minibatches) of a whole minibatch, over all workers
    mt_arena arena;
    mt_pair pair;
    mt_comm *column;             // borrowed: the ranks whose gradients are summed
    int parts;                   // the nets that this rank computes
    int net_threads;             // 2: one thread each
    mt_policy_range range;       // and their parameters
    int first_worker, shares;    // the workers for which it does: its own, or those of the pair
    int own;                     // how many shares come before its own
    share_worker *share;         // (shares)
    mt_weights weights;
    float *m, *v;                // Adam's moments (params)
    float *received;             // (range.count + TAIL_FLOATS) where the summed gradient of several ranks goes
    float *sum;                  // the summed gradient of the running minibatch: there, or the first share's slab
    int64_t step;
    mt_comm_slab *slab;          // owned
    double *all_moments;         // (W, moments of one worker)
    mt_ppo_scalars *scalars;     // (epochs, minibatches)
    uint32_t *words;             // (threads, words of one permutation)
    int64_t word_count;
    uint64_t iteration;          // of the running update
    int epoch;
    int64_t minibatch;
    mt_adam adam;                // but for the slabs
};

// ---- how rows are shared out

static int64_t units_of(const mt_learner *l, int envs) { return l->desc.shape.steps * envs / l->unit; }

// First unit of minibatch `b` in the shuffled order of a worker with `envs` environments. With one worker: b·batch.
static int64_t share_start(const mt_learner *l, int envs, int64_t b) {
    int64_t units = units_of(l, envs);
    int64_t start = b * l->batch * envs / l->total_envs;
    return b == l->minibatches || start > units ? units : start;
}

static void count_rows(mt_learner *l) {
    for (int64_t b = 0; b < l->minibatches; b++) {
        l->rows[b] = 0;
        for (int w = 0; w < l->desc.workers; w++)
            l->rows[b] += (share_start(l, l->worker_envs[w], b + 1) - share_start(l, l->worker_envs[w], b)) * l->unit;
    }
}

static int64_t moment_count(const mt_learner *l) {
    return 2 * l->desc.config.n_epochs * l->minibatches + VARIANCE_DOUBLES;
}

// ---- creating

// which nets of which workers are computed here
static mt_status divide(mt_learner *l) {
    const mt_learner_desc *d = &l->desc;
    MT_TRY(mt_agree(d->comm, mt_pair_init(&l->pair, d->comm, d->policy)));
    int paired = l->pair.two != NULL, first_own = mt_comm_rank(d->comm) * d->local_workers;
    l->column = paired ? l->pair.column : d->comm;
    l->parts = mt_pair_parts(&l->pair);
    l->net_threads = l->parts == MT_POLICY_BOTH && mt_workers_count(d->threads) == 2 && mt_pair_balanced(d->policy) ? 2 : 1;
    l->range = mt_policy_range_of(d->policy, l->parts);
    l->shares = d->local_workers * (paired ? 2 : 1);
    l->own = paired ? d->local_workers * mt_comm_rank(l->pair.two) : 0;
    l->first_worker = first_own - l->own;
    return MT_OK;
}

// The rows of a share that go through the network together: `most` are the most that any minibatch has.
static int64_t rows_at_once(const mt_learner *l, int64_t most) {
    if (most < l->unit) most = l->unit;
    if (l->unit == 1) return mt_policy_rows_at_once(l->desc.policy, most < ROWS_AT_ONCE ? most : ROWS_AT_ONCE);
    int64_t rows = SEQUENCE_ROWS_AT_ONCE / l->unit * l->unit;
    return rows < l->unit ? l->unit : rows < most ? rows : most;
}

static mt_status allocate(mt_learner *l) {
    const mt_learner_desc *d = &l->desc;
    mt_arena *arena = &l->arena;
    int64_t params = d->policy->sizes.params, epochs = d->config.n_epochs;
    mt_weights_register(&l->weights, d->policy, arena);
    MT_ARENA_ADD(arena, l->m, params);
    MT_ARENA_ADD(arena, l->v, params);
    MT_ARENA_ADD(arena, l->received, mt_comm_size(l->column) > 1 ? l->range.count + TAIL_FLOATS : 0);
    MT_ARENA_ADD(arena, l->all_moments, moment_count(l) * d->workers);
    MT_ARENA_ADD(arena, l->scalars, epochs * l->minibatches);
    MT_ARENA_ADD(arena, l->rows, l->minibatches);
    // of the largest worker of all ranks: it strides the counters of the shuffle, which must not depend on the layout
    int64_t most_units = 0;
    for (int w = 0; w < d->workers; w++)
        if (units_of(l, l->worker_envs[w]) > most_units) most_units = units_of(l, l->worker_envs[w]);
    for (int i = 0; i < l->shares; i++) {
        share_worker *w = &l->share[i];
        w->envs = l->worker_envs[l->first_worker + i];
        w->rows = d->shape.steps * w->envs;
        w->units = units_of(l, w->envs);
        int64_t most = 0;
        for (int64_t b = 0; b < l->minibatches; b++) {
            int64_t rows = (share_start(l, w->envs, b + 1) - share_start(l, w->envs, b)) * l->unit;
            if (rows > most) most = rows;
        }
        MT_ARENA_ADD(arena, w->order, epochs * w->units);
        for (int t = 0; t < l->net_threads; t++)
            mt_ppo_space_register(&w->space[t], d->policy, d->kernels, &d->shape, rows_at_once(l, most), arena);
    }
    l->word_count = (most_units + 3) / 4 * 4;
    MT_ARENA_ADD(arena, l->words, l->word_count * mt_workers_count(d->threads));
    MT_TRY(mt_arena_commit(arena));
    count_rows(l);
    // the workers' moments lie where the all-gather wants them
    for (int i = 0; i < l->shares; i++) l->share[i].moments = l->all_moments + moment_count(l) * (l->first_worker + i);
    return MT_OK;
}

static mt_status allocate_lists(mt_learner *l, const mt_learner_desc *desc) {
    l->worker_envs = malloc(sizeof *l->worker_envs * (size_t)desc->workers);
    l->share = calloc((size_t)l->shares, sizeof *l->share);
    return l->worker_envs && l->share ? MT_OK : MT_FAIL(NO_MEMORY, "cannot allocate a learner of %d workers", desc->workers);
}

// What one rank cannot allocate, all learn before they make the next thing together.
static mt_status build(mt_learner *l, const mt_learner_desc *desc) {
    MT_TRY(divide(l));
    MT_TRY(mt_agree(desc->comm, allocate_lists(l, desc)));
    memcpy(l->worker_envs, desc->worker_envs, sizeof *l->worker_envs * (size_t)desc->workers);
    for (int w = 0; w < desc->workers; w++) l->total_envs += l->worker_envs[w];
    l->unit = desc->policy->recurrent ? desc->shape.steps : 1;
    l->batch = desc->config.batch_size > l->unit ? desc->config.batch_size / l->unit : 1;
    l->minibatches = (units_of(l, l->total_envs) + l->batch - 1) / l->batch;
    MT_TRY(mt_agree(desc->comm, allocate(l)));   // the slab is made together or not at all
    MT_TRY(mt_comm_slab_create(l->column, l->shares, (size_t)l->range.count + TAIL_FLOATS, MT_REDUCE_ORDERED,
        &l->slab));
    return mt_weights_init(&l->weights, desc->policy, desc->kernels, desc->seed);
}

mt_status mt_learner_create(const mt_learner_desc *desc, mt_learner **out) {
    *out = NULL;
    mt_learner *l = calloc(1, sizeof *l);
    mt_status status = mt_agree(desc->comm, l ? MT_OK : MT_FAIL(NO_MEMORY, "cannot allocate a learner"));
    if (l) l->desc = *desc;
    if (status == MT_OK) status = build(l, desc);
    if (status != MT_OK) {
        mt_learner_destroy(l);
        return status;
    }
    *out = l;
    return MT_OK;
}

void mt_learner_destroy(mt_learner *l) {
    if (!l) return;
    mt_comm_slab_destroy(l->slab);
    mt_pair_fini(&l->pair);
    mt_arena_fini(&l->arena);
    free(l->share);
    free(l->worker_envs);
    free(l);
}

// ---- before the minibatches: order of rows, moments of the advantage

// Fisher–Yates with one word a position, Philox stream (SHUFFLE, worker), counter (iteration, epoch). The multiply-shift's
// bias is below units·2⁻³², nothing beside the sampling noise of an epoch.
static void shuffle(const mt_learner *l, int worker, int epoch, int32_t *order, int64_t units, uint32_t *words) {
    uint64_t counter = (l->iteration * (uint64_t)l->desc.config.n_epochs + (uint64_t)epoch) * (uint64_t)(l->word_count / 4);
    l->desc.kernels->philox_counters(l->desc.seed, mt_rng_stream(MT_RNG_SHUFFLE, (uint64_t)worker), counter, (units + 3) / 4,
        words);
    for (int64_t i = 0; i < units; i++) {
        int64_t j = (int64_t)((uint64_t)words[i] * (uint64_t)(i + 1) >> 32);
        order[i] = order[j];
        order[j] = (int32_t)i;
    }
}

static void advantage_moments(const mt_learner *l, const share_worker *w, const int32_t *order, double *moments) {
    const float *advantage = w->segment->advantage;
    for (int64_t b = 0; b < l->minibatches; b++) {
        double sum = 0, squares = 0;
        for (int64_t i = share_start(l, w->envs, b), end = share_start(l, w->envs, b + 1); i < end; i++) {
            // a row, or the steps of an environment, which lie N rows apart
            for (int64_t t = 0; t < l->unit; t++) {
                double a = advantage[t * w->envs + order[i]];
                sum += a, squares += a * a;
            }
        }
        moments[2 * b] = sum, moments[2 * b + 1] = squares;
    }
}

static void variance_sums(const share_worker *w, double *out) {
    memset(out, 0, sizeof *out * VARIANCE_DOUBLES);
    out[0] = (double)w->rows;
    for (int64_t i = 0; i < w->rows; i++) {
        double y = w->segment->returns[i], error = y - w->segment->value[i];
        out[1] += y, out[2] += y * y, out[3] += error, out[4] += error * error;
    }
}

static void prepare_worker(void *context, int index, int thread) {
    mt_learner *l = context;
    share_worker *w = &l->share[l->own + index];
    if (!w->rows) return;   // its moments stay zero
    int worker = l->first_worker + l->own + index;
    uint32_t *words = l->words + l->word_count * thread;
    for (int e = 0; e < l->desc.config.n_epochs; e++) {
        int32_t *order = w->order + w->units * e;
        shuffle(l, worker, e, order, w->units, words);
        advantage_moments(l, w, order, w->moments + 2 * l->minibatches * e);
    }
    variance_sums(w, w->moments + moment_count(l) - VARIANCE_DOUBLES);
}

// in which order the rows of the pair's workers are gone through is known to both of its ranks
static mt_status share_rows(mt_learner *l) {
    for (int i = 0; l->pair.two && i < l->shares; i++) {
        share_worker *w = &l->share[i];
        int from = i / l->desc.local_workers;
        if (!w->rows) continue;
        MT_TRY(mt_pair_send(&l->pair, from, w->order, sizeof *w->order * (size_t)(l->desc.config.n_epochs * w->units)));
    }
    return MT_OK;
}

// variance from Σ and Σ², never below 0
static double variance(double n, double sum, double squares) {
    double v = n > 0 ? (squares - sum * sum / n) / n : 0;
    return v > 0 ? v : 0;
}

static void combine_moments(mt_learner *l, mt_learner_report *report) {
    const mt_learner_config *c = &l->desc.config;
    int64_t count = moment_count(l), pairs = c->n_epochs * l->minibatches;
    double total[VARIANCE_DOUBLES] = {0};
    for (int w = 0; w < l->desc.workers; w++)
        for (int i = 0; i < VARIANCE_DOUBLES; i++)
            total[i] += l->all_moments[count * (w + 1) - VARIANCE_DOUBLES + i];
    double var_returns = variance(total[0], total[1], total[2]);
    report->explained_variance = var_returns > 0 ? 1 - variance(total[0], total[3], total[4]) / var_returns : NAN;
    for (int64_t p = 0; p < pairs; p++) {
        double sum = 0, squares = 0, n = (double)l->rows[p % l->minibatches];
        for (int w = 0; w < l->desc.workers; w++) {
            sum += l->all_moments[count * w + 2 * p];
            squares += l->all_moments[count * w + 2 * p + 1];
        }
        // SB3: (a - mean)/(std + 1e-8) with the unbiased std; a minibatch of one row is left as it is
        int use = c->normalize_advantage && n > 1;
        l->scalars[p] = (mt_ppo_scalars){
            .adv_mean = (float)(use ? sum / n : 0),
            .adv_inv_std = (float)(use ? 1 / (sqrt(variance(n, sum, squares) * n / (n - 1)) + 1e-8) : 1),
            .clip_range = (float)report->clip_range, .clip_range_vf = (float)report->clip_range_vf,
            .ent_coef = (float)c->ent_coef, .vf_coef = (float)c->vf_coef,
        };
    }
}

// ---- the minibatches

static const mt_ppo_scalars *scalars_now(const mt_learner *l) { return &l->scalars[l->epoch * l->minibatches + l->minibatch]; }

// some parts of one share
static void gradient_of(mt_learner *l, share_worker *w, int parts, mt_ppo_space *space) {
    int64_t first = share_start(l, w->envs, l->minibatch), end = share_start(l, w->envs, l->minibatch + 1);
    mt_ppo_share share = {
        .parts = parts, .segment = w->segment, .index = w->order + w->units * l->epoch + first, .count = end - first,
        .inv_rows = (float)(1.0 / (double)l->rows[l->minibatch]), .scalars = scalars_now(l), .host_scalars = scalars_now(l),
        .clips_value = scalars_now(l)->clip_range_vf >= 0, .loss = l->desc.loss,
    };
    mt_ppo_stats stats = {0};
    float *grad = w->slab + (mt_policy_range_of(l->desc.policy, parts).first - l->range.first), *tail = w->slab + l->range.count;
    mt_ppo_gradient(l->desc.policy, l->desc.kernels, &l->weights, &share, space, grad, &stats);
    int others = ~l->parts;   // computed nowhere here: zero
    if ((parts | others) & MT_POLICY_ACTOR) {
        tail[POLICY_LOSS] = (float)stats.policy_loss, tail[ENTROPY] = (float)stats.entropy;
        tail[APPROX_KL] = (float)stats.approx_kl, tail[CLIPPED] = (float)stats.clipped;
    }
    if ((parts | others) & MT_POLICY_CRITIC) tail[VALUE_LOSS] = (float)stats.value_loss;
}

static void share_gradient(void *context, int index, int thread) {
    (void)thread;
    mt_learner *l = context;
    gradient_of(l, &l->share[index], l->parts, &l->share[index].space[0]);
}

static int part_of(int net) { return net == 0 ? MT_POLICY_ACTOR : MT_POLICY_CRITIC; }

static void net_gradient(void *context, int net, int thread) {
    (void)thread;
    mt_learner *l = context;
    for (int i = 0; i < l->shares; i++) gradient_of(l, &l->share[i], part_of(net), &l->share[i].space[net]);
}

// Σ squares of the summed gradient, net by net, so that it is the same whoever computes which
static double squares_of_sum(const mt_learner *l) {
    double squares = 0;
    for (int net = 0; net < 2; net++) {
        if (!(l->parts & part_of(net))) continue;
        mt_policy_range range = mt_policy_range_of(l->desc.policy, part_of(net));
        squares += l->desc.kernels->sum_squares(range.count, l->sum + (range.first - l->range.first));
    }
    return squares;
}

static void apply_parts(mt_learner *l, int parts) {
    mt_policy_range range = mt_policy_range_of(l->desc.policy, parts);
    mt_adam adam = l->adam;
    adam.count = range.count, adam.grad = l->sum + (range.first - l->range.first);
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
    double max = l->desc.config.max_grad_norm;
    if (!isfinite(norm))
        return MT_FAIL(NUMERIC, "the gradient is not finite after %lld updates; lower learning_rate or check the "
            "environment's observations and rewards%s", (long long)l->step,
            l->desc.loss || l->desc.policy->plugin ? ", or the plugin (manta plugin check)" : "");
    l->adam = (mt_adam){
        .grad_scale = max > 0 && norm > max ? (float)(max / (norm + 1e-6)) : 1.0f,
        .lr = lr, .beta1 = 0.9f, .beta2 = 0.999f, .eps = (float)l->desc.config.adam_eps,
        .weight_decay = (float)l->desc.config.weight_decay, .step = ++l->step,
    };
    if (l->net_threads == 2) mt_workers_run(l->desc.threads, apply_net, l, 2);
    else apply_parts(l, l->parts);
    l->weights.version++;
    return MT_OK;
}

static void add_stats(const mt_learner *l, const double *total, mt_learner_report *r) {
    double inv = 1.0 / (double)l->rows[l->minibatch];
    const mt_ppo_scalars *now = scalars_now(l);
    r->policy_loss += total[POLICY_LOSS] * inv, r->value_loss += total[VALUE_LOSS] * inv, r->entropy += total[ENTROPY] * inv;
    r->approx_kl += total[APPROX_KL] * inv, r->clip_fraction += total[CLIPPED] * inv;
    r->loss += (total[POLICY_LOSS] + now->vf_coef * total[VALUE_LOSS] - now->ent_coef * total[ENTROPY]) * inv;
}

// l->sum = the slabs of all workers, added in worker order. Where all of them are this rank's, the first is added to: every
// byte of a gradient is in the second-level cache by now, and a sum of two in a third place takes 0.53 us, this 0.31.
static mt_status add_slabs(mt_learner *l) {
    int64_t count = l->range.count + TAIL_FLOATS;
    if (mt_comm_size(l->column) > 1) return mt_comm_slab_allreduce(l->slab, (size_t)count, l->sum = l->received);
    l->sum = l->share[0].slab;
    for (int i = 1; i < l->shares; i++) l->desc.kernels->axpy(count, 1.0f, l->share[i].slab, l->sum);
    return MT_OK;
}

// The gradient of all workers in l->sum, and its totals. Of the shared nets each rank has its own gradient, and both the
// totals of both.
static mt_status sum_gradients(mt_learner *l, double *total) {
    MT_TRY(add_slabs(l));
    for (int i = 0; i < TAIL_SUMS; i++) total[i] = l->sum[l->range.count + i];
    total[SQUARES] = squares_of_sum(l);
    return mt_pair_add(&l->pair, total, TOTALS);
}

static mt_status minibatch_update(mt_learner *l, float lr, mt_learner_report *report) {
    if (!l->rows[l->minibatch]) return MT_OK;   // uneven shares can leave a minibatch without rows
    double total[TOTALS];
    for (int i = 0; i < l->shares; i++) l->share[i].slab = mt_comm_slab_buffer(l->slab, i);
    if (l->net_threads == 2) mt_workers_run(l->desc.threads, net_gradient, l, 2);
    else mt_workers_run(l->desc.threads, share_gradient, l, l->shares);
    int64_t before = mt_clock_ns();
    MT_TRY(sum_gradients(l, total));
    report->allreduce_seconds += 1e-9 * (double)(mt_clock_ns() - before);
    mt_pulse_beat(l->desc.pulse);
    add_stats(l, total, report);
    report->updates++;
    double kl = total[APPROX_KL] / (double)l->rows[l->minibatch], norm = sqrt(total[SQUARES]);
    if (l->desc.config.target_kl > 0 && kl > 1.5 * l->desc.config.target_kl) {
        report->stopped_early = 1;
        return MT_OK;
    }
    MT_TRY(apply_gradient(l, norm, lr));
    report->grad_norm += norm;
    return MT_OK;
}

static mt_status run_epochs(mt_learner *l, mt_learner_report *report) {
    int64_t before_epoch = 0;
    for (l->epoch = 0; l->epoch < l->desc.config.n_epochs && !report->stopped_early; l->epoch++) {
        before_epoch = report->updates, report->approx_kl = 0;
        report->epochs++;
        for (l->minibatch = 0; l->minibatch < l->minibatches && !report->stopped_early; l->minibatch++)
            MT_TRY(minibatch_update(l, (float)report->learning_rate, report));
    }
    report->approx_kl /= (double)(report->updates - before_epoch);   // of the last epoch, as SB3 reports it
    return MT_OK;
}

// from here on every rank has both nets again, and their moments, which a checkpoint may want
static mt_status complete_nets(mt_learner *l) {
    float *slabs[] = {l->weights.param, l->m, l->v};
    if (!l->pair.two) return MT_OK;
    for (int i = 0; i < 3; i++) MT_TRY(mt_pair_complete(&l->pair, l->desc.policy, slabs[i]));
    mt_weights_pack(&l->weights, l->desc.policy, l->desc.kernels, MT_POLICY_BOTH & ~l->parts);
    return MT_OK;
}

// mean standard deviation of the action noise, as train/std
static double mean_std(const mt_learner *l) {
    const mt_policy *p = l->desc.policy;
    double sum = 0;
    for (int64_t i = 0; i < p->log_std_count; i++) sum += exp(l->weights.param[p->log_std + i]);
    return p->log_std_count ? sum / (double)p->log_std_count : NAN;
}

mt_status mt_learner_update(mt_learner *l, const mt_segment *const *segments, uint64_t iteration, double remaining,
    mt_learner_report *report) {
    const mt_learner_config *c = &l->desc.config;
    *report = (mt_learner_report){0};
    report->learning_rate = mt_schedule_at(c->learning_rate, remaining);
    report->clip_range = mt_schedule_at(c->clip_range, remaining);
    report->clip_range_vf = c->clip_range_vf.value < 0 ? -1 : mt_schedule_at(c->clip_range_vf, remaining);
    l->iteration = iteration;
    for (int i = 0; i < l->shares; i++) l->share[i].segment = segments[i];

    // order of rows and the advantage's moments, then every rank knows every minibatch's
    mt_workers_run(l->desc.threads, prepare_worker, l, l->desc.local_workers);
    size_t bytes = sizeof(double) * (size_t)(moment_count(l) * l->desc.local_workers);
    MT_TRY(share_rows(l));
    MT_TRY(mt_comm_allgather(l->desc.comm, l->share[l->own].moments, l->all_moments, bytes));
    combine_moments(l, report);

    mt_workers_pin(l->desc.threads);
    mt_status status = run_epochs(l, report);
    mt_workers_unpin(l->desc.threads);
    if (status == MT_OK || status == MT_NUMERIC) MT_KEEP(status, complete_nets(l));   // all ranks saw the same gradient
    MT_TRY(status);

    double inv = report->updates ? 1.0 / (double)report->updates : 0;
    report->policy_loss *= inv, report->value_loss *= inv, report->entropy *= inv;
    report->clip_fraction *= inv, report->loss *= inv;
    report->updates -= report->stopped_early;   // the last minibatch was looked at and not applied
    report->grad_norm = report->updates ? report->grad_norm / (double)report->updates : NAN;
    report->std = mean_std(l);
    return MT_OK;
}

// ---- state

const mt_weights *mt_learner_weights(const mt_learner *l) { return &l->weights; }

mt_learner_reads mt_learner_reads_of(const mt_learner *l) { return (mt_learner_reads){.first = l->first_worker, .count = l->shares}; }

mt_learner_state mt_learner_state_get(mt_learner *l) {
    return (mt_learner_state){.param = l->weights.param, .m = l->m, .v = l->v, .step = l->step};
}

void mt_learner_state_set(mt_learner *l, int64_t step) {
    l->step = step;
    mt_weights_pack(&l->weights, l->desc.policy, l->desc.kernels, MT_POLICY_BOTH);
}
