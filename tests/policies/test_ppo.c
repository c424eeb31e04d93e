// PPO's gradient through whole policies against finite differences of the loss, for every distribution and net layout.
#include "policies/ppo.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"

enum { STEPS = 7, ENVS = 3, ROWS = STEPS * ENVS, OBS = 5 };

typedef struct fixture {
    mt_policy *policy;
    const mt_kernels *k;
    mt_arena arena;
    mt_weights weights;
    mt_segment segment;
    mt_ppo_space space;
    float *grad;
    int32_t index[ROWS];
    mt_ppo_scalars scalars;
} fixture;

static void fill(float *out, int64_t count, double scale, mt_rng *rng) {
    for (int64_t i = 0; i < count; i++) out[i] = (float)(scale * mt_rng_normal(rng));
}

static void set_up(fixture *f, const mt_policy_desc *desc, int64_t rows_at_once, mt_isa isa) {
    mt_rng rng = mt_rng_at(7, mt_rng_stream(MT_RNG_USER, 1), 0);
    f->k = mt_kernels_cpu(isa);
    cr_assert_eq(mt_policy_create(desc, &f->policy), MT_OK, "%s", mt_last_error());
    int box = desc->distribution != MT_DIST_CATEGORICAL;
    mt_segment_shape shape = {.steps = STEPS, .envs = ENVS, .obs = OBS, .action = desc->action, .logits = box ? 0 : f->policy->head};
    mt_segment_register(&f->segment, &shape, &f->arena);
    mt_ppo_space_register(&f->space, f->policy, f->k, &shape, rows_at_once, &f->arena);
    mt_weights_register(&f->weights, f->policy, &f->arena);
    MT_ARENA_ADD(&f->arena, f->grad, f->policy->sizes.params);
    cr_assert_eq(mt_arena_commit(&f->arena), MT_OK);
    cr_assert_eq(mt_weights_init(&f->weights, f->policy, f->k, 3), MT_OK);
    // away from the small head of the initialisation, so that every term of the loss matters
    for (int64_t i = 0; i < f->policy->sizes.params; i++) f->weights.param[i] += (float)(0.1 * mt_rng_normal(&rng));
    mt_weights_pack(&f->weights, f->policy, f->k, MT_POLICY_BOTH);
    fill(f->segment.obs, (ROWS + ENVS) * OBS, 1, &rng);
    fill(f->segment.advantage, ROWS, 1, &rng);
    fill(f->segment.returns, ROWS, 1, &rng);
    fill(f->segment.value, ROWS + ENVS, 0.3, &rng);
    fill(f->segment.log_prob, ROWS, 0.3, &rng);
    for (int i = 0; i < ROWS; i++) f->segment.log_prob[i] -= 1;
    if (box) fill(f->segment.action, ROWS * desc->action, 1, &rng);
    for (int i = 0; !box && i < ROWS * desc->action; i++)
        f->segment.choice[i] = (int32_t)mt_rng_below(&rng, (uint32_t)desc->nvec[i % desc->action]);
    for (int i = 0; i < ROWS; i++) f->index[i] = (i * 5 + 2) % ROWS;   // 5 and 21 have no common divisor: a permutation
    f->scalars = (mt_ppo_scalars){.adv_mean = 0.1f, .adv_inv_std = 0.9f, .clip_range = 0.3f, .clip_range_vf = -1, .ent_coef = 0.02f, .vf_coef = 0.6f};
}

static void tear_down(fixture *f) {
    mt_arena_fini(&f->arena);
    mt_policy_destroy(f->policy);
}

static mt_ppo_stats gradient_of(fixture *f, int parts, int64_t rows, float *grad) {
    mt_ppo_share share = {.parts = parts, .segment = &f->segment, .index = f->index, .count = rows, .inv_rows = 1.0f / ROWS,
        .scalars = &f->scalars, .clips_value = f->scalars.clip_range_vf >= 0};
    mt_ppo_stats s = {0};
    mt_weights_pack(&f->weights, f->policy, f->k, MT_POLICY_BOTH);
    mt_ppo_gradient(f->policy, f->k, &f->weights, &share, &f->space, grad, &s);
    return s;
}

static double loss_and_gradient(fixture *f, int64_t rows) {
    mt_ppo_stats s = gradient_of(f, MT_POLICY_BOTH, rows, f->grad);
    return (s.policy_loss + f->scalars.vf_coef * s.value_loss - f->scalars.ent_coef * s.entropy) / ROWS;
}

// Central differences in fp32 carry noise of about 1e-7/h in the loss; ratio kinks are avoided by the small step.
static void check_gradient(const mt_policy_desc *desc, double clip_range_vf) {
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
        if (!mt_kernels_cpu((mt_isa)isa)) {
            printf("skipped: this machine has no instruction set %d\n", isa);
            continue;
        }
        fixture f = {0};
        set_up(&f, desc, ROWS, (mt_isa)isa);
        f.scalars.clip_range_vf = (float)clip_range_vf;
        loss_and_gradient(&f, ROWS);
        int64_t count = f.policy->sizes.params;
        float *grad = malloc(sizeof *grad * (size_t)count);
        memcpy(grad, f.grad, sizeof *grad * (size_t)count);
        double largest = 0, worst = 0;
        for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(grad[i]));
        for (int64_t i = 0; i < count; i++) {
            const float h = 2e-3f, at = f.weights.param[i];
            f.weights.param[i] = at + h;
            double up = loss_and_gradient(&f, ROWS);
            f.weights.param[i] = at - h;
            double down = loss_and_gradient(&f, ROWS);
            f.weights.param[i] = at;
            // the slab's padding takes no part: both sides are 0 there
            worst = fmax(worst, fabs((up - down) / (2.0 * h) - grad[i]));
        }
        cr_expect_gt(largest, 1e-2, "a gradient of nothing tests nothing");
        cr_expect_lt(worst, 0.01 * largest + 5e-4, "isa %d: finite differences are off by %g of %g", isa, worst, largest);
        free(grad);
        tear_down(&f);
    }
}

static mt_policy_desc base_desc(mt_distribution distribution) {
    mt_policy_desc d = {.obs = OBS, .distribution = distribution, .action = 1, .pi = {9, 6}, .vf = {7}, .pi_depth = 2, .vf_depth = 1,
        .activation = MT_ACT_tanh, .ortho_init = 1, .log_std_init = -0.3f};
    if (distribution == MT_DIST_CATEGORICAL) d.nvec[0] = 3;
    return d;
}

Test(ppo, categorical) {
    mt_policy_desc d = base_desc(MT_DIST_CATEGORICAL);
    check_gradient(&d, -1);
}

Test(ppo, multi_discrete_silu_shared_trunk) {
    mt_policy_desc d = base_desc(MT_DIST_CATEGORICAL);
    d.action = 3, d.nvec[0] = 2, d.nvec[1] = 4, d.nvec[2] = 3;
    d.activation = MT_ACT_silu;
    d.shared[0] = 10, d.shared[1] = 8, d.shared_depth = 2;
    check_gradient(&d, -1);
}

Test(ppo, gaussian_elu) {
    mt_policy_desc d = base_desc(MT_DIST_GAUSSIAN);
    d.action = 2, d.activation = MT_ACT_elu;
    check_gradient(&d, -1);
}

Test(ppo, gaussian_without_hidden_layers) {
    mt_policy_desc d = base_desc(MT_DIST_GAUSSIAN);
    d.pi_depth = d.vf_depth = 0;
    check_gradient(&d, -1);
}

Test(ppo, value_clipping) {
    mt_policy_desc d = base_desc(MT_DIST_CATEGORICAL);
    check_gradient(&d, 0.4);
}

// gSDE's features are deliberately not differentiated through the variance (SB3's default), so only the head's and log σ's
// gradients are the loss's; those of the policy's hidden layers are checked with the variance held fixed elsewhere.
Test(ppo, gsde_head_and_log_std) {
    mt_policy_desc d = base_desc(MT_DIST_GSDE);
    d.action = 2;
    fixture f = {0};
    set_up(&f, &d, ROWS, MT_ISA_plain_id);
    loss_and_gradient(&f, ROWS);
    const mt_layer *head = &f.policy->pi.layer[f.policy->pi.count - 1];
    int64_t from[] = {head->tensor[0], head->tensor[1], f.policy->log_std}, count[] = {head->in * head->size, head->size, f.policy->log_std_count};
    float grad[4096];
    cr_assert_leq(f.policy->sizes.params, 4096);
    memcpy(grad, f.grad, sizeof *grad * (size_t)f.policy->sizes.params);
    for (int p = 0; p < 3; p++)
        for (int64_t i = from[p]; i < from[p] + count[p]; i++) {
            const float h = 2e-3f, at = f.weights.param[i];
            f.weights.param[i] = at + h;
            double up = loss_and_gradient(&f, ROWS);
            f.weights.param[i] = at - h;
            double down = loss_and_gradient(&f, ROWS);
            f.weights.param[i] = at;
            cr_expect_float_eq((up - down) / (2.0 * h), grad[i], 0.01 * fabs(grad[i]) + 1e-3, "part %d, parameter %d", p, (int)i);
        }
    tear_down(&f);
}

Test(ppo, pieces_give_the_same_gradient) {
    mt_policy_desc d = base_desc(MT_DIST_CATEGORICAL);
    fixture whole = {0}, pieces = {0};
    set_up(&whole, &d, ROWS, MT_ISA_plain_id);
    set_up(&pieces, &d, 4, MT_ISA_plain_id);
    double a = loss_and_gradient(&whole, ROWS), b = loss_and_gradient(&pieces, ROWS);
    cr_expect_float_eq(a, b, 1e-5);
    for (int64_t i = 0; i < whole.policy->sizes.params; i++) cr_expect_float_eq(whole.grad[i], pieces.grad[i], 1e-5);
    tear_down(&whole);
    tear_down(&pieces);
}

Test(ppo, no_rows_give_a_zero_gradient) {
    mt_policy_desc d = base_desc(MT_DIST_CATEGORICAL);
    fixture f = {0};
    set_up(&f, &d, ROWS, MT_ISA_plain_id);
    loss_and_gradient(&f, ROWS);
    loss_and_gradient(&f, 0);
    for (int64_t i = 0; i < f.policy->sizes.params; i++) cr_expect_eq(f.grad[i], 0);
    tear_down(&f);
}

// two ranks that share the nets must arrive at what one rank computes
static void check_parts(const mt_policy_desc *d, float clip_range_vf, int64_t rows_at_once) {
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
        if (!mt_kernels_cpu((mt_isa)isa)) continue;
        fixture f = {0};
        set_up(&f, d, rows_at_once, (mt_isa)isa);
        f.scalars.clip_range_vf = clip_range_vf;
        mt_ppo_stats both = gradient_of(&f, MT_POLICY_BOTH, ROWS, f.grad);
        float *apart = calloc((size_t)f.policy->sizes.params, sizeof *apart);
        mt_policy_range actor = mt_policy_range_of(f.policy, MT_POLICY_ACTOR), critic = mt_policy_range_of(f.policy, MT_POLICY_CRITIC);
        cr_assert_eq(actor.first, 0);
        cr_assert_eq(critic.first, actor.count);
        cr_assert_eq(critic.first + critic.count, f.policy->sizes.params);
        // the critic first: the actor's must not reach into its range
        mt_ppo_stats value = gradient_of(&f, MT_POLICY_CRITIC, ROWS, apart + critic.first);
        mt_ppo_stats policy = gradient_of(&f, MT_POLICY_ACTOR, ROWS, apart);
        cr_expect_eq(memcmp(f.grad, apart, sizeof *apart * (size_t)f.policy->sizes.params), 0, "isa %d", isa);
        cr_expect_eq(policy.value_loss, 0);
        policy.value_loss = value.value_loss;
        cr_expect_eq(memcmp(&both, &policy, sizeof both), 0, "isa %d", isa);
        free(apart);
        tear_down(&f);
    }
}

Test(ppo, parts_have_the_bits_of_the_whole) {
    for (int distribution = 0; distribution < 3; distribution++) {
        mt_policy_desc d = base_desc((mt_distribution)distribution);
        check_parts(&d, -1, ROWS);
        check_parts(&d, 0.4f, 4);
    }
}
