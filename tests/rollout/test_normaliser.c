// Running normalisation as a rollout worker drives it, against VecNormalize (recorded by record_normaliser.py); merging; storing.
#include "rollout/normaliser.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/normaliser.h"
#include "rollout/worker.h"

// ---- environments that follow the script

struct manta_env {
    int step;
};
static const int64_t two[1] = {2};
static const manta_space script_observation = {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = MANTA_F32,
    .ndim = 1, .shape = {SCRIPT_OBS}};
static const manta_space script_action = {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_DISCRETE, .dtype = MANTA_I32,
    .nvec = two};

static int script_create(const manta_env_config *config, manta_env **out, char *error) {
    (void)config, (void)error;
    return *out = calloc(1, sizeof **out), *out == NULL;
}
static void script_destroy(manta_env *env) { free(env); }
static const manta_space *script_observations(const manta_env *env) { return (void)env, &script_observation; }
static const manta_space *script_actions(const manta_env *env) { return (void)env, &script_action; }
static int script_reset(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error) {
    (void)env, (void)seeds, (void)mask, (void)error;
    memcpy(batch->obs, script_obs, sizeof(float) * SCRIPT_ENVS * SCRIPT_OBS);
    return 0;
}
static int script_step(manta_env *env, const manta_env_batch *batch, char *error) {
    (void)error;
    int t = env->step++;
    memcpy(batch->obs, script_obs + (t + 1) * SCRIPT_ENVS * SCRIPT_OBS, sizeof(float) * SCRIPT_ENVS * SCRIPT_OBS);
    memcpy(batch->final_obs, script_obs + t * SCRIPT_ENVS * SCRIPT_OBS, sizeof(float) * SCRIPT_ENVS * SCRIPT_OBS);
    memcpy(batch->reward, script_reward + t * SCRIPT_ENVS, sizeof(float) * SCRIPT_ENVS);
    memcpy(batch->terminated, script_done + t * SCRIPT_ENVS, SCRIPT_ENVS);
    memset(batch->truncated, 0, SCRIPT_ENVS);
    return 0;
}
static const manta_env_desc script = {.struct_size = sizeof(manta_env_desc), .abi_version = MANTA_ENV_ABI_VERSION,
    .id = "Script-v0", .summary = "", .create = script_create, .destroy = script_destroy,
    .observation_space = script_observations, .action_space = script_actions, .reset = script_reset, .step = script_step};

// ---- VecNormalize

static void close_to(double got, double expected, double relative, const char *what, int at) {
    cr_expect_float_eq(got, expected, relative * fmax(1, fabs(expected)), "%s[%d] is %.9g, recorded %.9g", what, at, got, expected);
}

// `steps` of the script a segment; the job's normaliser takes each segment's moments as the training flow does
static void check_script(int steps, int observations, int rewards) {
    const mt_kernels *k = mt_kernels_cpu(MT_ISA_plain_id);
    mt_policy_desc desc = {.obs = SCRIPT_OBS, .distribution = MT_DIST_CATEGORICAL, .action = 1, .nvec = {2}, .activation = MT_ACT_tanh};
    mt_policy *policy;
    mt_arena arena = {0};
    mt_weights weights;
    mt_normaliser job;
    mt_rollout_worker *worker;
    cr_assert_eq(mt_policy_create(&desc, &policy), MT_OK, "%s", mt_last_error());
    mt_weights_register(&weights, policy, &arena);
    mt_normaliser_register(&job, SCRIPT_OBS, observations, rewards, (float)script_clip_obs, (float)script_clip_reward, &arena);
    cr_assert_eq(mt_arena_commit(&arena), MT_OK);
    cr_assert_eq(mt_weights_init(&weights, policy, k, 1), MT_OK);
    mt_normaliser_reset(&job);
    mt_rollout_worker_desc d = {.env = &script, .policy = policy, .kernels = k, .normaliser = &job, .envs = SCRIPT_ENVS,
        .steps = steps, .gamma = script_gamma, .gae_lambda = 0.95, .sde_sample_freq = -1};
    cr_assert_eq(mt_rollout_worker_create(&d, &worker), MT_OK, "%s", mt_last_error());
    const mt_segment *s = mt_rollout_worker_segment(worker);
    for (int first = 0; first + steps <= SCRIPT_STEPS; first += steps) {
        cr_assert_eq(mt_rollout_worker_collect(worker, &weights), MT_OK, "%s", mt_last_error());
        // row 0 of a later segment is seen again with what is known by now: it is VecNormalize's row, too
        const float *obs = observations ? normal_obs : script_obs, *reward = rewards ? normal_reward : script_reward;
        for (int i = 0; i < (steps + 1) * SCRIPT_ENVS * SCRIPT_OBS; i++)
            close_to(s->obs[i], obs[first * SCRIPT_ENVS * SCRIPT_OBS + i], 1e-5, "obs", i);
        for (int i = 0; i < steps * SCRIPT_ENVS; i++) close_to(s->reward[i], reward[first * SCRIPT_ENVS + i], 1e-5, "reward", i);
        mt_normaliser_merge(&job, mt_rollout_worker_moments(worker));
        mt_normaliser_publish(&job);
    }
    if (observations) {
        close_to(job.obs.count, obs_rms_count, 1e-12, "count", 0);
        for (int c = 0; c < SCRIPT_OBS; c++) {
            close_to(job.obs.mean[c], obs_rms_mean[c], 1e-6, "mean", c);
            close_to(job.obs.m2[c] / job.obs.count, obs_rms_var[c], 1e-6, "variance", c);
        }
    }
    if (rewards) {
        close_to(job.returns.count, ret_rms_count, 1e-12, "count of returns", 0);
        close_to(job.returns.mean[0], ret_rms_mean, 1e-6, "mean of returns", 0);
        close_to(job.returns.m2[0] / job.returns.count, ret_rms_var, 1e-6, "variance of returns", 0);
    }
    mt_rollout_worker_destroy(worker);
    mt_arena_fini(&arena);
    mt_policy_destroy(policy);
}

Test(normaliser, one_segment_as_vec_normalize) { check_script(SCRIPT_STEPS, 1, 1); }
Test(normaliser, several_segments_as_vec_normalize) {
    check_script(5, 1, 1);
    check_script(2, 1, 1);
    check_script(1, 1, 1);
}
Test(normaliser, observations_alone) { check_script(SCRIPT_STEPS, 1, 0); }
Test(normaliser, rewards_alone) { check_script(SCRIPT_STEPS, 0, 1); }

// ---- merging and storing

enum { O = 3, PARTS = 4, ROWS = 7 };

typedef struct set {
    mt_normaliser whole, other, part[PARTS];
    mt_arena arena;
    float obs[PARTS * ROWS * O], returns[PARTS * ROWS];
} set;

static void set_up(set *f) {
    *f = (set){0};
    mt_normaliser *all[] = {&f->whole, &f->other, &f->part[0], &f->part[1], &f->part[2], &f->part[3]};
    for (int i = 0; i < PARTS + 2; i++) mt_normaliser_register(all[i], O, 1, 1, 10, 10, &f->arena);
    cr_assert_eq(mt_arena_commit(&f->arena), MT_OK);
    for (int i = 0; i < PARTS * ROWS * O; i++) f->obs[i] = (float)(sin(i * 1.7) * (i % O + 1) + 100 * (i % O));
    for (int i = 0; i < PARTS * ROWS; i++) f->returns[i] = (float)(cos(i * 0.9) * 5 + i / ROWS);
    const mt_kernels *k = mt_kernels_cpu(MT_ISA_plain_id);
    mt_normaliser_reset(&f->whole), mt_normaliser_reset(&f->other);
    for (int p = 0; p < PARTS; p++) {
        mt_normaliser_clear(&f->part[p]);
        k->running_update(&f->part[p].obs, ROWS, f->obs + p * ROWS * O);
        k->running_update(&f->part[p].returns, ROWS, f->returns + p * ROWS);
    }
}

static void merge(set *f, mt_normaliser *into, int p) {
    double row[64];
    cr_assert_leq(mt_normaliser_doubles(&f->part[p]), 64);
    mt_normaliser_store(&f->part[p], row);
    mt_normaliser_merge(into, row);
}

static void store(const mt_normaliser *n, double *out) {
    memset(out, 0, 64 * sizeof *out);
    mt_normaliser_store(n, out);
}

Test(normaliser, merging_parts_is_seeing_all) {
    set f;
    double a[64], b[64];
    const mt_kernels *k = mt_kernels_cpu(MT_ISA_plain_id);
    set_up(&f);
    for (int p = 0; p < PARTS; p++) merge(&f, &f.whole, p);
    k->running_update(&f.other.obs, PARTS * ROWS, f.obs);
    k->running_update(&f.other.returns, PARTS * ROWS, f.returns);
    store(&f.whole, a), store(&f.other, b);
    for (int i = 0; i < mt_normaliser_doubles(&f.whole); i++) cr_expect_float_eq(a[i], b[i], 1e-6 * fmax(1, fabs(b[i])), "%d: %g %g", i, a[i], b[i]);
    mt_arena_fini(&f.arena);
}

Test(normaliser, the_order_of_merging_is_rounding_alone_and_one_order_is_one_result) {
    set f;
    double a[64], b[64];
    set_up(&f);
    for (int p = 0; p < PARTS; p++) merge(&f, &f.whole, p);
    for (int p = PARTS; p-- > 0;) merge(&f, &f.other, p);
    store(&f.whole, a), store(&f.other, b);
    for (int i = 0; i < mt_normaliser_doubles(&f.whole); i++) cr_expect_float_eq(a[i], b[i], 1e-10 * fmax(1, fabs(b[i])), "%d", i);
    mt_normaliser_reset(&f.other);
    for (int p = 0; p < PARTS; p++) merge(&f, &f.other, p);
    store(&f.other, b);
    cr_expect_arr_eq(a, b, sizeof a);
    mt_arena_fini(&f.arena);
}

// a worker without environments has seen nothing
Test(normaliser, merging_nothing_changes_nothing) {
    set f;
    double a[64], b[64];
    set_up(&f);
    merge(&f, &f.whole, 0);
    store(&f.whole, a);
    mt_normaliser_clear(&f.part[1]);
    merge(&f, &f.whole, 1);
    store(&f.whole, b);
    cr_expect_arr_eq(a, b, sizeof a);
    mt_arena_fini(&f.arena);
}

Test(normaliser, stored_and_loaded_is_the_same) {
    set f;
    double a[64], b[64];
    const mt_kernels *k = mt_kernels_cpu(MT_ISA_plain_id);
    float x[ROWS * O], y[ROWS * O];
    set_up(&f);
    for (int p = 0; p < PARTS; p++) merge(&f, &f.whole, p);
    mt_normaliser_publish(&f.whole);
    cr_expect_eq(mt_normaliser_doubles(&f.whole), 1 + 2 * O + 3);
    store(&f.whole, a);
    mt_normaliser_load(&f.other, a);
    mt_normaliser_publish(&f.other);
    store(&f.other, b);
    cr_expect_arr_eq(a, b, sizeof a);
    mt_normaliser_apply(&f.whole, k, ROWS, f.obs, x);
    mt_normaliser_apply(&f.other, k, ROWS, f.obs, y);
    cr_expect_arr_eq(x, y, sizeof x);
    cr_expect_eq(f.whole.reward_scale, f.other.reward_scale);
    mt_normaliser_copy(&f.part[0], &f.whole);
    store(&f.part[0], b);
    cr_expect_arr_eq(a, b, sizeof a);
    cr_expect_eq(f.part[0].reward_scale, f.whole.reward_scale);
    mt_arena_fini(&f.arena);
}

// ---- images are left alone

enum { WIDE = 10, MANY = 150 };   // more rows than are gathered at once
static const mt_input mixed[] = {
    {.name = "a", .kind = MT_INPUT_VECTOR, .offset = 0, .width = 2},
    {.name = "image", .kind = MT_INPUT_IMAGE, .offset = 2, .width = 4, .height = 2, .width_px = 2, .channels = 1},
    {.name = "b", .kind = MT_INPUT_VECTOR, .offset = 6, .width = 1},
    {.name = "c", .kind = MT_INPUT_VECTOR, .offset = 7, .width = 2},
    {.name = "index", .kind = MT_INPUT_INDEX, .offset = 9, .width = 1, .entries = 4},
};
static const int normalised[] = {0, 1, 6, 7, 8};

Test(normaliser, columns_of_images_are_left_alone) {
    mt_normaliser parts, plain;
    mt_arena arena = {0};
    float x[MANY * WIDE], y[MANY * WIDE], vectors[MANY * 5], expected[MANY * 5];
    const mt_kernels *k = mt_kernels_cpu(MT_ISA_plain_id);
    mt_normaliser_register_inputs(&parts, WIDE, mixed, 5, 1, 1, 10, 10, &arena);
    mt_normaliser_register(&plain, 5, 1, 1, 10, 10, &arena);
    cr_assert_eq(mt_arena_commit(&arena), MT_OK);
    cr_expect(parts.span_count == 2 && mt_normaliser_doubles(&parts) == mt_normaliser_doubles(&plain));
    mt_normaliser_reset(&parts), mt_normaliser_reset(&plain);
    for (int i = 0; i < MANY * WIDE; i++) x[i] = (float)(sin(i * 1.3) * 20 + i % WIDE);
    for (int r = 0; r < MANY; r++)
        for (int c = 0; c < 5; c++) vectors[5 * r + c] = x[WIDE * r + normalised[c]];
    mt_normaliser_update(&parts, k, MANY, x), mt_normaliser_update(&plain, k, MANY, vectors);
    mt_normaliser_publish(&parts), mt_normaliser_publish(&plain);
    for (int c = 0; c < 5; c++) cr_expect_float_eq(parts.obs.m2[c], plain.obs.m2[c], 1e-9 * plain.obs.m2[c]);
    mt_normaliser_apply(&parts, k, MANY, x, y), mt_normaliser_apply(&plain, k, MANY, vectors, expected);
    for (int r = 0; r < MANY; r++)
        for (int c = 0, v = 0; c < WIDE; c++) {
            int in = v < 5 && normalised[v] == c;
            float wanted = in ? expected[5 * r + v++] : x[WIDE * r + c];
            cr_assert(fabsf(y[WIDE * r + c] - wanted) <= (in ? 1e-6f : 0), "row %d column %d: %g, not %g", r, c, (double)y[WIDE * r + c], (double)wanted);
        }
    mt_normaliser_apply(&parts, k, MANY, x, x);   // in place
    cr_expect_arr_eq(x, y, sizeof x);
    mt_arena_fini(&arena);
}

Test(normaliser, an_image_alone_is_not_normalised) {
    mt_normaliser n, copy;
    mt_arena arena = {0};
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8];
    mt_input image = mixed[1];
    image.offset = 0;
    mt_normaliser_register_inputs(&n, 4, &image, 1, 1, 1, 10, 10, &arena);
    mt_normaliser_register_inputs(&copy, 4, &image, 1, 1, 1, 10, 10, &arena);
    cr_assert_eq(mt_arena_commit(&arena), MT_OK);
    cr_expect(!n.observations && n.rewards && mt_normaliser_doubles(&n) == 1 + 3);
    mt_normaliser_reset(&n);
    mt_normaliser_publish(&n);
    mt_normaliser_copy(&copy, &n);
    mt_normaliser_apply(&copy, mt_kernels_cpu(MT_ISA_plain_id), 2, x, y);
    cr_expect_arr_eq(x, y, sizeof x);
    mt_arena_fini(&arena);
}
