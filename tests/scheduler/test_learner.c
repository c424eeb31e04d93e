// The learner against Stable-Baselines3's PPO.train (recorded by record_ppo_update.py), and how it shares out rows, stops
// early, and refuses a gradient that is not finite.
#include "scheduler/learner.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/ppo_update.h"
#include "engine/base/rng.h"

enum { MAX_WORKERS = 8 };

typedef struct fixture {
    mt_policy *policy;
    mt_comm *comm;
    mt_learner *learner;
    mt_segment segment[MAX_WORKERS];
    mt_arena arena;
    const mt_segment *segments[MAX_WORKERS];   // NULL for a worker without environments
} fixture;

static mt_learner_config base_config(void) {
    return (mt_learner_config){.batch_size = RECORDED_STEPS * RECORDED_ENVS, .n_epochs = RECORDED_EPOCHS,
        .learning_rate = {0.003, 0}, .clip_range = {0.2, 0}, .clip_range_vf = {-1, 0}, .ent_coef = 0.02, .vf_coef = 0.6,
        .max_grad_norm = 0.5, .normalize_advantage = true, .adam_eps = 1e-5};
}

// actions: choices of a categorical head, or 0 for a Gaussian one of two components
static void set_up(fixture *f, int actions, const mt_learner_config *config, int workers, const int *envs, int64_t steps, mt_isa isa) {
    mt_policy_desc desc = {.obs = RECORDED_OBS, .distribution = actions ? MT_DIST_CATEGORICAL : MT_DIST_GAUSSIAN,
        .action = actions ? 1 : 2, .nvec = {actions}, .pi = {8, 8}, .vf = {8, 8}, .pi_depth = 2, .vf_depth = 2,
        .activation = MT_ACT_tanh, .ortho_init = 1};
    cr_assert_eq(mt_policy_create(&desc, &f->policy), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_comm_world(NULL, &f->comm), MT_OK, "%s", mt_last_error());
    mt_segment_shape shape = {.steps = steps, .obs = RECORDED_OBS, .action = desc.action, .logits = actions};
    mt_learner_desc d = {.policy = f->policy, .kernels = mt_kernels_cpu(isa), .comm = f->comm, .config = *config, .shape = shape,
        .workers = workers, .local_workers = workers, .worker_envs = envs, .seed = 5};
    for (int w = 0; w < workers; w++) {
        f->segments[w] = envs[w] ? &f->segment[w] : NULL;
        shape.envs = envs[w];
        if (envs[w]) mt_segment_register(&f->segment[w], &shape, &f->arena);
    }
    cr_assert_eq(mt_arena_commit(&f->arena), MT_OK);
    cr_assert_eq(mt_learner_create(&d, &f->learner), MT_OK, "%s", mt_last_error());
}

static void tear_down(fixture *f) {
    mt_learner_destroy(f->learner);
    mt_comm_destroy(f->comm);
    mt_arena_fini(&f->arena);
    mt_policy_destroy(f->policy);
}

// ---- Stable-Baselines3

typedef struct tensor_visit {
    const recorded_update *r;
    int found;
    double worst, moved;   // largest difference to what was recorded; largest change that was recorded
} tensor_visit;

static const recorded_tensor *recorded(tensor_visit *visit, const char *name, const mt_tensor *tensor) {
    for (int i = 0; i < visit->r->tensor_count; i++)
        if (strcmp(visit->r->tensors[i].name, name) == 0) {
            cr_assert_eq(mt_tensor_count(tensor), visit->r->tensors[i].count, "%s", name);
            visit->found++;
            return &visit->r->tensors[i];
        }
    cr_assert_fail("%s was not recorded", name);
    return NULL;
}

static mt_status fill_tensor(void *ctx, const char *name, const mt_tensor *tensor) {
    const recorded_tensor *t = recorded(ctx, name, tensor);
    memcpy(tensor->data, t->before, mt_tensor_bytes(tensor));
    return MT_OK;
}

static mt_status compare_tensor(void *ctx, const char *name, const mt_tensor *tensor) {
    tensor_visit *visit = ctx;
    const recorded_tensor *t = recorded(visit, name, tensor);
    for (int64_t i = 0; i < t->count; i++) {
        double got = ((const float *)tensor->data)[i], off = fabs(got - (double)t->after[i]);
        cr_expect_leq(off, 1e-5, "%s[%d] is %.9g, recorded %.9g", name, (int)i, got, (double)t->after[i]);
        visit->worst = fmax(visit->worst, off);
        visit->moved = fmax(visit->moved, fabs((double)t->after[i] - (double)t->before[i]));
    }
    return MT_OK;
}

static void copy_floats(float *to, const float *from, int64_t count) { memcpy(to, from, sizeof *to * (size_t)count); }

static void fill_segment(mt_segment *s, const recorded_update *r) {
    int64_t rows = RECORDED_STEPS * RECORDED_ENVS;
    copy_floats(s->obs, r->obs, rows * RECORDED_OBS);
    copy_floats(s->log_prob, r->log_prob, rows);
    copy_floats(s->value, r->value, rows);
    copy_floats(s->advantage, r->advantage, rows);
    copy_floats(s->returns, r->returns, rows);
    if (r->action) copy_floats(s->action, r->action, rows * s->shape.action);
    else memcpy(s->choice, r->choice, sizeof *s->choice * (size_t)rows);
}

static void check_number(const char *name, double got, double expected) {
    if (isnan(expected)) cr_expect(isnan(got), "%s is %.9g", name, got);
    else cr_expect_float_eq(got, expected, 1e-5 * fmax(1, fabs(expected)), "%s is %.9g, recorded %.9g", name, got, expected);
}

static void check_against_sb3(const recorded_update *r, int actions) {
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
        if (!mt_kernels_cpu((mt_isa)isa)) {
            printf("skipped: this machine has no instruction set %d\n", isa);
            continue;
        }
        mt_learner_config config = base_config();
        config.clip_range_vf.value = r->clip_range_vf, config.max_grad_norm = r->max_grad_norm;
        fixture f = {0};
        set_up(&f, actions, &config, 1, (const int[]){RECORDED_ENVS}, RECORDED_STEPS, (mt_isa)isa);
        fill_segment(&f.segment[0], r);
        mt_learner_state state = mt_learner_state_get(f.learner);
        tensor_visit visit = {.r = r};
        cr_assert_eq(mt_policy_visit(f.policy, state.param, fill_tensor, &visit), MT_OK);
        cr_expect_eq(visit.found, r->tensor_count);
        mt_learner_state_set(f.learner, 0);

        mt_learner_report report;
        cr_assert_eq(mt_learner_update(f.learner, f.segments, 0, 1, &report), MT_OK, "%s", mt_last_error());
        mt_policy_visit(f.policy, mt_learner_state_get(f.learner).param, compare_tensor, &visit);
        cr_expect_gt(visit.moved, 5e-3, "an update that moves nothing tests nothing");
        printf("%s: largest difference to PyTorch %.3g, of a largest step of %.3g\n", mt_kernels_cpu((mt_isa)isa)->name,
            visit.worst, visit.moved);

        cr_expect_eq(report.updates, RECORDED_EPOCHS);
        cr_expect_eq(report.epochs, RECORDED_EPOCHS);
        cr_expect_eq(report.stopped_early, 0);
        cr_expect_eq(mt_learner_state_get(f.learner).step, RECORDED_EPOCHS);
        check_number("policy_loss", report.policy_loss, r->policy_loss);
        check_number("value_loss", report.value_loss, r->value_loss);
        check_number("entropy", report.entropy, r->entropy);
        check_number("approx_kl", report.approx_kl, r->approx_kl);
        check_number("clip_fraction", report.clip_fraction, r->clip_fraction);
        check_number("loss", report.loss, r->loss);
        check_number("grad_norm", report.grad_norm, r->grad_norm);
        check_number("explained_variance", report.explained_variance, r->explained_variance);
        check_number("std", report.std, r->std);
        tear_down(&f);
    }
}

Test(learner, categorical_as_stable_baselines3) { check_against_sb3(&categorical_update, 3); }
Test(learner, gaussian_with_value_clipping_as_stable_baselines3) { check_against_sb3(&gaussian_update, 0); }
Test(learner, without_gradient_clipping_as_stable_baselines3) { check_against_sb3(&categorical_unclipped_update, 2); }

// ---- segments of the learner's own policy

// log_prob is what the policy says, so that every ratio is 1
static void fill_random(fixture *f, int workers, int actions) {
    const mt_kernels *k = mt_kernels_cpu(MT_ISA_plain_id);
    mt_rng rng = mt_rng_at(11, mt_rng_stream(MT_RNG_USER, 2), 0);
    for (int w = 0; w < workers; w++) {
        mt_segment *s = &f->segment[w];
        int64_t rows = s->shape.steps * s->shape.envs;
        if (!rows) continue;
        mt_arena arena = {0};
        mt_policy_space space;
        mt_policy_space_register(&space, f->policy, k, rows, 0, &arena);
        cr_assert_eq(mt_arena_commit(&arena), MT_OK);
        for (int64_t i = 0; i < rows * RECORDED_OBS; i++) s->obs[i] = (float)mt_rng_normal(&rng);
        mt_policy_output out = mt_policy_forward(f->policy, k, mt_learner_weights(f->learner), s->obs, rows, NULL, MT_POLICY_ACTOR, &space);
        for (int64_t i = 0; i < rows; i++) {
            double sum = 0;
            for (int a = 0; a < actions; a++) sum += exp((double)out.head[i * actions + a]);
            s->choice[i] = (int32_t)mt_rng_below(&rng, (uint32_t)actions);
            s->log_prob[i] = (float)((double)out.head[i * actions + s->choice[i]] - log(sum));
            s->advantage[i] = (float)mt_rng_normal(&rng);
            s->value[i] = (float)mt_rng_normal(&rng);
            s->returns[i] = (float)mt_rng_normal(&rng);
        }
        mt_arena_fini(&arena);
    }
}

static float *copy_param(fixture *f) {
    size_t bytes = sizeof(float) * (size_t)f->policy->sizes.params;
    return memcpy(malloc(bytes), mt_learner_weights(f->learner)->param, bytes);
}

static int param_equal(fixture *f, const float *before) {
    return memcmp(before, mt_learner_weights(f->learner)->param, sizeof(float) * (size_t)f->policy->sizes.params) == 0;
}

// ---- shares
//
// With a learning rate of 0 every ratio stays 1. One row whose old log-probability is far off is then the only one that is
// clipped, so clip_fraction · updates is Σ 1/(rows of the minibatch) over the minibatches that hold this row: 1/m when it is
// in exactly one, of m rows. Over all rows Σ 1/m is the number of minibatches when each minibatch's rows are all there.

typedef struct share_case {
    int workers, envs[MAX_WORKERS], steps, batch;
} share_case;

static void check_shares(const share_case *c) {
    int rows = 0, of_size[4096] = {0}, updates = 0;
    for (int w = 0; w < c->workers; w++) rows += c->envs[w] * c->steps;
    mt_learner_config config = base_config();
    config.learning_rate.value = 0, config.batch_size = c->batch, config.n_epochs = 1, config.normalize_advantage = false;
    fixture f = {0};
    set_up(&f, 3, &config, c->workers, c->envs, c->steps, MT_ISA_plain_id);
    fill_random(&f, c->workers, 3);
    double minibatches = 0;
    for (int w = 0; w < c->workers; w++)
        for (int i = 0; i < c->envs[w] * c->steps; i++) {
            float *log_prob = &f.segment[w].log_prob[i], at = *log_prob;
            *log_prob = at - 1;   // ratio e
            mt_learner_report report;
            cr_assert_eq(mt_learner_update(f.learner, f.segments, 3, 1, &report), MT_OK, "%s", mt_last_error());
            *log_prob = at;
            double part = report.clip_fraction * (double)report.updates, size = 1 / part;
            cr_assert_gt(part, 0, "W %d, batch %d: worker %d's row %d is in no minibatch", c->workers, c->batch, w, i);
            cr_assert_float_eq(size, round(size), 1e-3, "W %d, batch %d: worker %d's row %d: %g", c->workers, c->batch, w, i, size);
            cr_assert_lt(round(size), c->batch + c->workers, "W %d, batch %d: a minibatch of %g rows", c->workers, c->batch, size);
            of_size[(int)round(size)]++;
            minibatches += 1 / round(size);
            updates = (int)report.updates;
        }
    cr_expect_float_eq(minibatches, updates, 1e-6, "W %d, batch %d: rows fill %g of %d minibatches", c->workers, c->batch, minibatches, updates);
    cr_expect_leq(updates, (rows + c->batch - 1) / c->batch);
    for (int size = 1; size < 4096; size++)
        cr_expect_eq(of_size[size] % size, 0, "W %d, batch %d: %d rows in minibatches of %d", c->workers, c->batch, of_size[size], size);
    if (c->workers == 1) cr_expect_eq(of_size[c->batch], rows / c->batch * c->batch, "all minibatches but the last are full");
    tear_down(&f);
}

Test(learner, every_row_is_in_one_minibatch_an_epoch) {
    const share_case cases[] = {
        {1, {4}, 8, 8}, {1, {4}, 8, 7}, {1, {3}, 5, 100}, {1, {3}, 5, 1}, {2, {2, 2}, 8, 8}, {2, {2, 1}, 8, 8}, {2, {2, 1}, 7, 5},
        {3, {2, 1, 1}, 8, 10}, {3, {2, 2, 1}, 6, 7}, {4, {1, 1, 1, 0}, 6, 4}, {4, {3, 3, 2, 2}, 4, 16}, {5, {1, 1, 1, 1, 1}, 3, 4},
        {8, {2, 2, 1, 1, 1, 1, 1, 1}, 5, 13},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_shares(&cases[i]);
}

// ---- stopping

Test(learner, target_kl_stops_before_the_step) {
    mt_learner_config config = base_config();
    config.batch_size = 8, config.target_kl = 0.01;
    fixture f = {0};
    set_up(&f, 3, &config, 1, (const int[]){4}, 8, MT_ISA_plain_id);
    fill_random(&f, 1, 3);
    for (int i = 0; i < 32; i++) f.segment[0].log_prob[i] -= 0.5f;   // KL e^0.5 - 1 - 0.5 = 0.149
    float *before = copy_param(&f);
    mt_learner_report report;
    cr_assert_eq(mt_learner_update(f.learner, f.segments, 0, 1, &report), MT_OK, "%s", mt_last_error());
    cr_expect_eq(report.stopped_early, 1);
    cr_expect_eq(report.updates, 0);
    cr_expect_eq(report.epochs, 1);
    cr_expect_float_eq(report.approx_kl, exp(0.5) - 1.5, 1e-5);
    cr_expect(isnan(report.grad_norm));
    cr_expect_eq(mt_learner_state_get(f.learner).step, 0);
    cr_expect(param_equal(&f, before));
    free(before);
    tear_down(&f);
}

// a KL that grows with the steps: some are taken, the rest is not
Test(learner, target_kl_stops_in_the_middle) {
    mt_learner_config config = base_config();
    config.batch_size = 8, config.n_epochs = 50, config.learning_rate.value = 0.01, config.target_kl = 0.02;
    fixture f = {0};
    set_up(&f, 3, &config, 1, (const int[]){4}, 8, MT_ISA_plain_id);
    fill_random(&f, 1, 3);
    mt_learner_report report;
    cr_assert_eq(mt_learner_update(f.learner, f.segments, 0, 1, &report), MT_OK, "%s", mt_last_error());
    cr_expect_eq(report.stopped_early, 1);
    cr_expect_gt(report.updates, 0);
    cr_expect_lt(report.updates, 200);
    cr_expect_eq(report.epochs, report.updates / 4 + 1);
    cr_expect_eq(mt_learner_state_get(f.learner).step, report.updates);
    tear_down(&f);
}

// ---- numbers that are none

static void check_nan(bool normalise, int workers, const int *envs) {
    mt_learner_config config = base_config();
    config.batch_size = 1000, config.normalize_advantage = normalise;
    fixture f = {0};
    set_up(&f, 3, &config, workers, envs, 8, MT_ISA_plain_id);
    fill_random(&f, workers, 3);
    float *before = copy_param(&f), *advantage = &f.segment[workers - 1].advantage[5], at = *advantage;
    mt_learner_report report;
    *advantage = NAN;
    cr_expect_eq(mt_learner_update(f.learner, f.segments, 0, 1, &report), MT_NUMERIC);
    cr_expect(strstr(mt_last_error(), "not finite"), "%s", mt_last_error());
    cr_expect(param_equal(&f, before), "the weights changed");
    cr_expect_eq(mt_learner_state_get(f.learner).step, 0);
    mt_learner_state state = mt_learner_state_get(f.learner);
    for (int64_t i = 0; i < f.policy->sizes.params; i++) cr_expect(state.m[i] == 0 && state.v[i] == 0, "moment %d changed", (int)i);
    *advantage = at;   // and goes on when the numbers are numbers again
    cr_expect_eq(mt_learner_update(f.learner, f.segments, 1, 1, &report), MT_OK, "%s", mt_last_error());
    cr_expect_not(param_equal(&f, before));
    free(before);
    tear_down(&f);
}

Test(learner, nan_advantage_leaves_the_weights) {
    check_nan(true, 1, (const int[]){4});
    check_nan(false, 1, (const int[]){4});
    check_nan(true, 3, (const int[]){2, 1, 1});
}
