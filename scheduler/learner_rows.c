// Rows of an update: the order in which they are gone through and the moments of the advantage. Called by learners; see
// learner_rows.h. Everything here is deterministic and depends on the logical workers alone.
#include "scheduler/learner_rows.h"

#include "engine/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VARIANCE_DOUBLES = 5 };   // count, Σ returns, Σ returns², Σ (returns - value), Σ (returns - value)²

static int64_t units_of(const mt_learner_rows *r, int envs) { return r->desc->shape.steps * envs / r->unit; }

int64_t mt_learner_rows_start(const mt_learner_rows *r, int envs, int64_t b) {
    int64_t units = units_of(r, envs);
    int64_t start = b * r->batch * envs / r->total_envs;
    return b == r->minibatches || start > units ? units : start;
}

int64_t mt_learner_rows_most(const mt_learner_rows *r, int envs) {
    int64_t most = 0;
    for (int64_t b = 0; b < r->minibatches; b++) {
        int64_t rows = (mt_learner_rows_start(r, envs, b + 1) - mt_learner_rows_start(r, envs, b)) * r->unit;
        if (rows > most) most = rows;
    }
    return most;
}

static int64_t moment_count(const mt_learner_rows *r) { return 2 * r->desc->config.n_epochs * r->minibatches + VARIANCE_DOUBLES; }

// ---- life

mt_status mt_learner_rows_init(mt_learner_rows *r, const mt_learner_desc *d, int first_worker, int shares, int own, mt_arena *arena) {
    *r = (mt_learner_rows){.desc = d, .first_worker = first_worker, .shares = shares, .own = own};
    r->share = calloc((size_t)shares, sizeof *r->share);
    if (!r->share) return MT_FAIL(NO_MEMORY, "cannot allocate a learner of %d workers", shares);
    for (int w = 0; w < d->workers; w++) r->total_envs += d->worker_envs[w];
    r->unit = d->policy->recurrent ? d->shape.steps : 1;
    r->batch = d->config.batch_size > r->unit ? d->config.batch_size / r->unit : 1;
    r->minibatches = (units_of(r, r->total_envs) + r->batch - 1) / r->batch;
    MT_ARENA_ADD(arena, r->all_moments, moment_count(r) * d->workers);
    MT_ARENA_ADD(arena, r->scalars, d->config.n_epochs * r->minibatches);
    MT_ARENA_ADD(arena, r->whole, r->minibatches);
    // of the largest worker of all ranks: it strides the counters of the shuffle, which must not depend on the layout
    int64_t most_units = 0;
    for (int w = 0; w < d->workers; w++)
        if (units_of(r, d->worker_envs[w]) > most_units) most_units = units_of(r, d->worker_envs[w]);
    r->word_count = (most_units + 3) / 4 * 4;
    MT_ARENA_ADD(arena, r->words, r->word_count * mt_workers_count(d->threads));
    for (int i = 0; i < shares; i++) {
        mt_learner_share *w = &r->share[i];
        w->envs = d->worker_envs[first_worker + i];
        w->rows = d->shape.steps * w->envs;
        w->units = units_of(r, w->envs);
        MT_ARENA_ADD(arena, w->order, d->config.n_epochs * w->units);
    }
    return MT_OK;
}

void mt_learner_rows_ready(mt_learner_rows *r) {
    const mt_learner_desc *d = r->desc;
    for (int64_t b = 0; b < r->minibatches; b++) {
        r->whole[b] = 0;
        for (int w = 0; w < d->workers; w++)
            r->whole[b] += (mt_learner_rows_start(r, d->worker_envs[w], b + 1) - mt_learner_rows_start(r, d->worker_envs[w], b)) * r->unit;
    }
    // the workers' moments lie where the all-gather wants them
    for (int i = 0; i < r->shares; i++) r->share[i].moments = r->all_moments + moment_count(r) * (r->first_worker + i);
}

void mt_learner_rows_fini(mt_learner_rows *r) {
    free(r->share);
    *r = (mt_learner_rows){0};
}

// ---- before the minibatches

// Fisher–Yates with one word a position, Philox stream (SHUFFLE, worker), counter (iteration, epoch). The multiply-shift's
// bias is below units·2⁻³², nothing beside the sampling noise of an epoch.
static void shuffle(const mt_learner_rows *r, int worker, int epoch, int32_t *order, int64_t units, uint32_t *words) {
    uint64_t counter = (r->iteration * (uint64_t)r->desc->config.n_epochs + (uint64_t)epoch) * (uint64_t)(r->word_count / 4);
    r->desc->kernels->philox_counters(r->desc->seed, mt_rng_stream(MT_RNG_SHUFFLE, (uint64_t)worker), counter, (units + 3) / 4,
        words);
    for (int64_t i = 0; i < units; i++) {
        int64_t j = (int64_t)((uint64_t)words[i] * (uint64_t)(i + 1) >> 32);
        order[i] = order[j];
        order[j] = (int32_t)i;
    }
}

static void advantage_moments(const mt_learner_rows *r, const mt_learner_share *w, const int32_t *order, double *moments) {
    const float *advantage = w->segment->advantage;
    for (int64_t b = 0; b < r->minibatches; b++) {
        double sum = 0, squares = 0;
        int64_t i = mt_learner_rows_start(r, w->envs, b), end = mt_learner_rows_start(r, w->envs, b + 1);
        // rows, in a loop without another inside it
        for (; r->unit == 1 && i < end; i++) {
            double a = advantage[order[i]];
            sum += a, squares += a * a;
        }
        // or the steps of environments, which lie N rows apart
        for (; i < end; i++) {
            for (int64_t t = 0; t < r->unit; t++) {
                double a = advantage[t * w->envs + order[i]];
                sum += a, squares += a * a;
            }
        }
        moments[2 * b] = sum, moments[2 * b + 1] = squares;
    }
}

static void variance_sums(const mt_learner_share *w, double *out) {
    memset(out, 0, sizeof *out * VARIANCE_DOUBLES);
    out[0] = (double)w->rows;
    for (int64_t i = 0; i < w->rows; i++) {
        double y = w->segment->returns[i], error = y - w->segment->value[i];
        out[1] += y, out[2] += y * y, out[3] += error, out[4] += error * error;
    }
}

static void prepare_worker(void *context, int index, int thread) {
    mt_learner_rows *r = context;
    mt_learner_share *w = &r->share[r->own + index];
    if (!w->rows) return;   // its moments stay zero
    int worker = r->first_worker + r->own + index;
    uint32_t *words = r->words + r->word_count * thread;
    for (int e = 0; e < r->desc->config.n_epochs; e++) {
        int32_t *order = w->order + w->units * e;
        shuffle(r, worker, e, order, w->units, words);
        advantage_moments(r, w, order, w->moments + 2 * r->minibatches * e);
    }
    variance_sums(w, w->moments + moment_count(r) - VARIANCE_DOUBLES);
}

void mt_learner_rows_draw(mt_learner_rows *r, const mt_segment *const *segments, uint64_t iteration) {
    r->iteration = iteration;
    for (int i = 0; i < r->shares; i++) r->share[i].segment = segments[i];
    mt_workers_run(r->desc->threads, prepare_worker, r, r->desc->local_workers);
}

// variance from Σ and Σ², never below 0
static double variance(double n, double sum, double squares) {
    double v = n > 0 ? (squares - sum * sum / n) / n : 0;
    return v > 0 ? v : 0;
}

static void combine_moments(mt_learner_rows *r, mt_learner_report *report) {
    const mt_learner_config *c = &r->desc->config;
    int64_t count = moment_count(r), pairs = c->n_epochs * r->minibatches;
    double total[VARIANCE_DOUBLES] = {0};
    for (int w = 0; w < r->desc->workers; w++)
        for (int i = 0; i < VARIANCE_DOUBLES; i++)
            total[i] += r->all_moments[count * (w + 1) - VARIANCE_DOUBLES + i];
    double var_returns = variance(total[0], total[1], total[2]);
    report->explained_variance = var_returns > 0 ? 1 - variance(total[0], total[3], total[4]) / var_returns : NAN;
    for (int64_t p = 0; p < pairs; p++) {
        double sum = 0, squares = 0, n = (double)r->whole[p % r->minibatches];
        for (int w = 0; w < r->desc->workers; w++) {
            sum += r->all_moments[count * w + 2 * p];
            squares += r->all_moments[count * w + 2 * p + 1];
        }
        // SB3: (a - mean)/(std + 1e-8) with the unbiased std; a minibatch of one row is left as it is
        int use = c->normalize_advantage && n > 1;
        r->scalars[p] = (mt_ppo_scalars){
            .adv_mean = (float)(use ? sum / n : 0),
            .adv_inv_std = (float)(use ? 1 / (sqrt(variance(n, sum, squares) * n / (n - 1)) + 1e-8) : 1),
            .clip_range = (float)report->clip_range, .clip_range_vf = (float)report->clip_range_vf,
            .ent_coef = (float)c->ent_coef, .vf_coef = (float)c->vf_coef,
        };
    }
}

mt_status mt_learner_rows_combine(mt_learner_rows *r, mt_learner_report *report) {
    size_t bytes = sizeof(double) * (size_t)(moment_count(r) * r->desc->local_workers);
    MT_TRY(mt_comm_allgather(r->desc->comm, r->share[r->own].moments, r->all_moments, bytes));
    combine_moments(r, report);
    return MT_OK;
}
