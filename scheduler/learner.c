// The PPO learner: its life, an update from its schedules to its report, and its state. Called by one thread of a rank. Rows and
// minibatches are dealt by learner_rows.c; they are run by learner_cpu.c or learner_device.c.
#include "scheduler/learner_engine.h"

#include "scheduler/agree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- life

static mt_status allocate(mt_learner *l, int first_worker, int shares, int own) {
    const mt_policy *policy = l->desc.policy;
    MT_TRY(mt_learner_rows_init(&l->rows, &l->desc, first_worker, shares, own, &l->arena));
    mt_weights_register(&l->weights, policy, &l->arena);
    MT_ARENA_ADD(&l->arena, l->m, policy->sizes.params);
    MT_ARENA_ADD(&l->arena, l->v, policy->sizes.params);
    MT_TRY(l->engine->reserve(l, &l->arena));
    MT_TRY(mt_arena_commit(&l->arena));
    mt_learner_rows_ready(&l->rows);
    return mt_weights_init(&l->weights, policy, l->desc.kernels, l->desc.seed);
}

static mt_status copy_worker_envs(mt_learner *l) {
    size_t bytes = sizeof *l->worker_envs * (size_t)l->desc.workers;
    l->worker_envs = malloc(bytes);
    if (!l->worker_envs) return MT_FAIL(NO_MEMORY, "cannot allocate a learner of %d workers", l->desc.workers);
    memcpy(l->worker_envs, l->desc.worker_envs, bytes);
    l->desc.worker_envs = l->worker_envs;
    return MT_OK;
}

static mt_status build(mt_learner *l) {
    int first_worker, shares, own;
    MT_TRY(mt_agree(l->desc.comm, copy_worker_envs(l)));
    MT_TRY(l->engine->divide(l, &first_worker, &shares, &own));
    MT_TRY(mt_agree(l->desc.comm, allocate(l, first_worker, shares, own)));
    return l->engine->build(l);
}

mt_status mt_learner_create(const mt_learner_desc *desc, mt_learner **out) {
    *out = NULL;
    mt_learner *l = calloc(1, sizeof *l);
    mt_status status = mt_agree(desc->comm, l ? MT_OK : MT_FAIL(NO_MEMORY, "cannot allocate a learner"));
    if (l) l->desc = *desc, l->engine = desc->compute ? &mt_learner_on_device : &mt_learner_on_cpu;
    if (status == MT_OK) status = build(l);
    if (status != MT_OK) {
        mt_learner_destroy(l);
        return status;
    }
    *out = l;
    return MT_OK;
}

void mt_learner_destroy(mt_learner *l) {
    if (!l) return;
    mt_arena_fini(&l->arena);   // which sets pointers in the others to NULL
    if (l->own) l->engine->destroy(l);
    mt_learner_rows_fini(&l->rows);
    free(l->worker_envs);
    free(l);
}

// ---- the report

void mt_learner_begin_epoch(mt_learner_report *r, int64_t *before_epoch) {
    *before_epoch = r->updates, r->approx_kl = 0;
    r->epochs++;
}

void mt_learner_add(const mt_learner *l, int epoch, int64_t minibatch, const mt_learner_sums *sums, mt_learner_report *r) {
    const mt_ppo_scalars *now = &l->rows.scalars[mt_learner_rows_number(&l->rows, epoch, minibatch)];
    double inv = 1.0 / (double)l->rows.whole[minibatch];
    r->policy_loss += sums->policy_loss * inv, r->value_loss += sums->value_loss * inv, r->entropy += sums->entropy * inv;
    r->approx_kl += sums->approx_kl * inv, r->clip_fraction += sums->clipped * inv;
    r->loss += (sums->policy_loss + now->vf_coef * sums->value_loss - now->ent_coef * sums->entropy) * inv;
    r->updates++;
}

// approx_kl is that of the last epoch, as SB3 reports it
void mt_learner_end_epochs(mt_learner_report *r, int64_t before_epoch) { r->approx_kl /= (double)(r->updates - before_epoch); }

int mt_learner_stops(const mt_learner *l, int64_t minibatch, double approx_kl) {
    double most = 1.5 * l->desc.config.target_kl;
    return most > 0 && approx_kl / (double)l->rows.whole[minibatch] > most;
}

mt_status mt_learner_not_finite(int64_t step) {
    return MT_FAIL(NUMERIC, "the gradient is not finite after %lld updates; lower learning_rate or check the environment's observations "
        "and rewards", (long long)step);
}

// mean standard deviation of the action noise, as train/std
static double mean_std(const mt_learner *l) {
    const mt_policy *p = l->desc.policy;
    double sum = 0;
    for (int64_t i = 0; i < p->log_std_count; i++) sum += exp(l->weights.param[p->log_std + i]);
    return p->log_std_count ? sum / (double)p->log_std_count : NAN;
}

// sums over minibatches become means
static void finish_report(const mt_learner *l, mt_learner_report *r) {
    double inv = r->updates ? 1.0 / (double)r->updates : 0;
    r->policy_loss *= inv, r->value_loss *= inv, r->entropy *= inv;
    r->clip_fraction *= inv, r->loss *= inv;
    r->updates -= r->stopped_early;   // the last minibatch was looked at and not applied
    r->grad_norm = r->updates ? r->grad_norm / (double)r->updates : NAN;
    r->std = mean_std(l);
}

// ---- an update

mt_status mt_learner_update(mt_learner *l, const mt_segment *const *segments, uint64_t iteration, double remaining,
    mt_learner_report *report) {
    const mt_learner_config *c = &l->desc.config;
    *report = (mt_learner_report){0};
    report->learning_rate = mt_schedule_at(c->learning_rate, remaining);
    report->clip_range = mt_schedule_at(c->clip_range, remaining);
    report->clip_range_vf = c->clip_range_vf.value < 0 ? -1 : mt_schedule_at(c->clip_range_vf, remaining);

    // order of rows and the advantage's moments, then every rank knows every minibatch's
    mt_learner_rows_draw(&l->rows, segments, iteration);
    if (l->engine->share) MT_TRY(l->engine->share(l));
    MT_TRY(mt_learner_rows_combine(&l->rows, report));

    MT_TRY(l->engine->run(l, report));
    finish_report(l, report);
    return MT_OK;
}

// ---- state

const mt_weights *mt_learner_weights(const mt_learner *l) { return &l->weights; }

int mt_learner_graphed(const mt_learner *l) { return l->engine->graphed ? l->engine->graphed(l) : 0; }

float *mt_learner_device_param(const mt_learner *l) { return l->engine->param ? l->engine->param(l) : NULL; }

mt_learner_reads mt_learner_reads_of(const mt_learner *l) {
    return (mt_learner_reads){.first = l->rows.first_worker, .count = l->rows.shares};
}

mt_status mt_learner_state_pull(mt_learner *l) { return l->engine->pull ? l->engine->pull(l) : MT_OK; }

mt_learner_state mt_learner_state_get(mt_learner *l) {
    return (mt_learner_state){.param = l->weights.param, .m = l->m, .v = l->v, .step = l->step};
}

mt_status mt_learner_state_set(mt_learner *l, int64_t step) {
    l->step = step;
    mt_weights_pack(&l->weights, l->desc.policy, l->desc.kernels, MT_POLICY_BOTH);
    return l->engine->push ? l->engine->push(l) : MT_OK;
}
