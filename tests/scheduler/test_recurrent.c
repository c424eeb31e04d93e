// A recurrent policy from the rollout worker to the learner: what was acted with is what is learned from.
#include "engine/base/rng.h"
#include "rollout/envs/builtin.h"
#include "rollout/worker.h"
#include "scheduler/learner.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 24, ENVS = 5, ROWS = STEPS * ENVS };

typedef struct fixture {
    const mt_kernels *k;
    mt_policy *policy;
    mt_arena arena;
    mt_weights weights;
    mt_normaliser normaliser;
    mt_rollout_worker *worker;
    mt_policy_space space;
    mt_comm *comm;
    mt_learner *learner;
} fixture;

// an environment that is cut after a few steps, so that segments hold ends of both kinds
static const manta_env_option options[] = {{"max_episode_steps", "13"}};

static uint64_t worker_seed = 3;   // every test is a process of its own

static void start_worker(fixture *f, mt_rollout_worker **worker) {
    mt_rollout_worker_desc d = {.env = &mt_env_cartpole_plain, .options = options, .option_count = 1, .policy = f->policy, .kernels = f->k,
        .normaliser = &f->normaliser, .envs = ENVS, .steps = STEPS, .gamma = 0.99, .gae_lambda = 0.95, .sde_sample_freq = -1, .seed = worker_seed};
    cr_assert_eq(mt_rollout_worker_create(&d, worker), MT_OK, "%s", mt_last_error());
}

static void set_up(fixture *f, mt_memory memory, mt_memory_of of) {
    *f = (fixture){.k = mt_kernels_cpu(MT_ISA_plain_id)};
    mt_policy_desc desc = {.obs = 4, .distribution = MT_DIST_CATEGORICAL, .action = 1, .nvec = {2}, .pi = {8}, .vf = {8}, .pi_depth = 1,
        .vf_depth = 1, .activation = MT_ACT_tanh, .ortho_init = 1, .memory = memory, .memory_of = of, .memory_units = 16, .memory_depth = 1};
    cr_assert_eq(mt_policy_create(&desc, &f->policy), MT_OK, "%s", mt_last_error());
    mt_segment_shape shape = {.steps = STEPS, .obs = 4, .action = 1, .logits = 2, .state = f->policy->sizes.state};
    mt_weights_register(&f->weights, f->policy, &f->arena);
    mt_normaliser_register(&f->normaliser, 4, 0, 0, 10, 10, &f->arena);
    mt_policy_space_register(&f->space, f->policy, f->k, ROWS, 0, &f->arena);
    cr_assert_eq(mt_arena_commit(&f->arena), MT_OK);
    cr_assert_eq(mt_weights_init(&f->weights, f->policy, f->k, 2), MT_OK);
    mt_normaliser_reset(&f->normaliser);
    start_worker(f, &f->worker);
    cr_assert_eq(mt_comm_world(NULL, &f->comm), MT_OK, "%s", mt_last_error());
    static const int envs[] = {ENVS};
    mt_learner_desc l = {.policy = f->policy, .kernels = f->k, .comm = f->comm, .shape = shape, .workers = 1, .local_workers = 1,
        .worker_envs = envs, .seed = 5, .config = {.batch_size = 2 * STEPS, .n_epochs = 2, .learning_rate = {0.001, 0}, .clip_range = {0.2, 0},
            .clip_range_vf = {-1, 0}, .ent_coef = 0.01, .vf_coef = 0.5, .max_grad_norm = 0.5, .adam_eps = 1e-5, .normalize_advantage = true}};
    cr_assert_eq(mt_learner_create(&l, &f->learner), MT_OK, "%s", mt_last_error());
    memcpy(mt_learner_state_get(f->learner).param, f->weights.param, sizeof(float) * (size_t)f->policy->sizes.params);
    mt_learner_state_set(f->learner, 0);
}

static void tear_down(fixture *f) {
    mt_learner_destroy(f->learner);
    mt_comm_destroy(f->comm);
    mt_rollout_worker_destroy(f->worker);
    mt_arena_fini(&f->arena);
    mt_policy_destroy(f->policy);
}

static const mt_segment *collect(fixture *f) {
    cr_assert_eq(mt_rollout_worker_collect(f->worker, &f->weights), MT_OK, "%s", mt_last_error());
    mt_rollout_worker_finish(f->worker, &f->weights);
    return mt_rollout_worker_segment(f->worker);
}

// the whole segment again through the network, from its stored state; the state after it
static void check_segment(fixture *f, const mt_segment *s, float *state_out) {
    mt_sequences q = {.steps = STEPS, .envs = ENVS, .start = s->start, .state = s->state, .state_out = state_out, .state_stride = s->shape.state};
    mt_policy_output out = mt_policy_forward(f->policy, f->k, &f->weights, s->obs, ROWS, &q, MT_POLICY_BOTH, &f->space);
    float log_prob[ROWS];
    mt_categorical d = mt_policy_categorical(f->policy, &out, NULL, ROWS);
    f->k->categorical_log_prob(&d, s->choice, log_prob, NULL);
    cr_expect_arr_eq(out.value, s->value, sizeof(float) * ROWS, "V is not what the worker had");
    for (int i = 0; i < ROWS; i++) cr_expect_float_eq(log_prob[i], s->log_prob[i], 1e-5, "row %d", i);
}

static void check_flow(mt_memory memory, mt_memory_of of) {
    fixture f;
    set_up(&f, memory, of);
    size_t bytes = sizeof(float) * (size_t)(ENVS * f.policy->sizes.state);
    float *state = calloc(1, bytes);
    int begun = 0, cut = 0, ended = 0;
    for (int segment = 0; segment < 3; segment++) {
        const mt_segment *s = collect(&f);
        cr_expect_arr_eq(s->state, state, bytes, "segment %d does not go on where the last one ended", segment);
        for (int i = 0; i < ENVS; i++) cr_expect(segment > 0 || s->start[i] == 1);
        for (int r = ENVS; r < ROWS; r++) {
            cr_expect_eq(s->start[r], s->terminated[r - ENVS] | s->truncated[r - ENVS], "row %d", r);
            begun += s->start[r], cut += s->truncated[r], ended += s->terminated[r];
        }
        check_segment(&f, s, state);
    }
    cr_expect(begun > 10 && cut > 3 && ended > 0, "%d begun, %d cut, %d ended: that tests little", begun, cut, ended);
    free(state);
    tear_down(&f);
}

Test(recurrent, a_segment_is_what_the_network_says_of_it_from_the_stored_state) {
    for (int memory = MT_MEMORY_LSTM; memory <= MT_MEMORY_GRU; memory++)
        for (int of = MT_MEMORY_OF_EACH; of <= MT_MEMORY_SHARED; of++) check_flow((mt_memory)memory, (mt_memory_of)of);
}

// V of a cut episode's last observation comes from the state that the critic had then, of that environment. What the observation was,
// an environment with the same seeds and actions tells that is not cut.
Test(recurrent, a_cut_episode_is_bootstrapped_from_the_state_it_had) {
    enum { CUT = 13 };   // max_episode_steps of the worker's environments
    fixture f;
    worker_seed = 6;   // of whose environments the first falls before it is cut, so that rows and environments differ
    set_up(&f, MT_MEMORY_LSTM, MT_MEMORY_OF_EACH);
    const mt_segment *s = collect(&f);
    uint64_t seeds[ENVS];
    for (int i = 0; i < ENVS; i++) {
        mt_rng rng = mt_rng_at(worker_seed, mt_rng_stream(MT_RNG_ENV, (uint64_t)i), 0);
        seeds[i] = mt_rng_u64(&rng);
    }
    mt_env *uncut;
    mt_env_buffers io;
    cr_assert_eq(mt_env_create(&mt_env_cartpole_plain, &(manta_env_config){.struct_size = sizeof(manta_env_config), .num_envs = ENVS,
        .seeds = seeds}, &uncut), MT_OK);
    cr_assert_eq(mt_env_buffers_init(&io, uncut), MT_OK);
    cr_assert_eq(mt_env_reset(uncut, &io.batch, NULL, NULL), MT_OK);
    for (int t = 0; t < CUT; t++) {
        memcpy(io.action, s->choice + t * ENVS, sizeof(int32_t) * ENVS);
        cr_assert_eq(mt_env_step(uncut, &io.batch), MT_OK);
    }
    float obs[(CUT + 1) * ENVS * 4];
    memcpy(obs, s->obs, sizeof(float) * CUT * ENVS * 4);
    memcpy(obs + CUT * ENVS * 4, io.batch.obs, sizeof(float) * ENVS * 4);
    mt_sequences q = {.steps = CUT + 1, .envs = ENVS, .start = NULL, .state = s->state, .state_stride = s->shape.state};
    mt_policy_output out = mt_policy_forward(f.policy, f.k, &f.weights, obs, (CUT + 1) * ENVS, &q, MT_POLICY_BOTH, &f.space);
    int cut = 0, passed = 0;
    for (int n = 0; n < ENVS; n++) {
        int64_t row = (CUT - 1) * ENVS + n;
        int whole = 1;   // the episode that is cut here is the first
        for (int t = 0; t < CUT - 1; t++) whole &= !s->terminated[t * ENVS + n];
        passed += !s->truncated[row] && cut == 0;
        if (!whole || !s->truncated[row] || s->terminated[row]) continue;
        cut++;
        cr_expect_float_eq(s->final_value[row], out.value[CUT * ENVS + n], 1e-6, "environment %d", n);
    }
    cr_expect(cut >= 2 && passed > 0, "%d environments are cut in one step, %d before them are not: that tests little", cut, passed);
    mt_env_buffers_fini(&io);
    mt_env_destroy(uncut);
    tear_down(&f);
}

// the fraction of rows whose ratio is beyond 1e-4 of 1, when nothing is learned
static double rows_that_differ(fixture *f, const mt_segment *s) {
    static const int envs[] = {ENVS};
    mt_learner *still;
    mt_learner_report report;
    mt_learner_desc l = {.policy = f->policy, .kernels = f->k, .comm = f->comm, .shape = s->shape, .workers = 1, .local_workers = 1,
        .worker_envs = envs, .seed = 5, .config = {.batch_size = 2 * STEPS, .n_epochs = 1, .learning_rate = {0, 0}, .clip_range = {1e-4, 0},
            .clip_range_vf = {-1, 0}, .vf_coef = 0.5, .adam_eps = 1e-5}};
    cr_assert_eq(mt_learner_create(&l, &still), MT_OK, "%s", mt_last_error());
    memcpy(mt_learner_state_get(still).param, f->weights.param, sizeof(float) * (size_t)f->policy->sizes.params);
    mt_learner_state_set(still, 0);
    cr_assert_eq(mt_learner_update(still, &s, 0, 1, &report), MT_OK, "%s", mt_last_error());
    cr_expect_eq(report.updates, 3, "5 sequences are minibatches of 2, 2 and 1");
    mt_learner_destroy(still);
    return report.clip_fraction;
}

Test(recurrent, minibatches_of_sequences_replay_what_was_acted) {
    fixture f;
    set_up(&f, MT_MEMORY_LSTM, MT_MEMORY_OF_EACH);
    collect(&f);
    const mt_segment *s = collect(&f);   // begins in the middle of episodes
    cr_expect_eq(rows_that_differ(&f, s), 0, "no ratio is beyond 1e-4 of 1");
    // and with another state at the start some are
    for (int i = 0; i < ENVS * s->shape.state; i++) s->state[i] += 0.5f;
    cr_expect_gt(rows_that_differ(&f, s), 0.01);
    tear_down(&f);
}

// ---- state

Test(recurrent, a_worker_that_is_saved_and_loaded_goes_on_to_the_bit) {
    fixture f;
    mt_rollout_worker *other;
    mt_blob blob = {0};
    int exact = 0;
    set_up(&f, MT_MEMORY_GRU, MT_MEMORY_OF_EACH);
    collect(&f);
    cr_assert_eq(mt_rollout_worker_save(f.worker, &blob), MT_OK);
    cr_assert_eq(mt_blob_finish(&blob), MT_OK);
    start_worker(&f, &other);
    mt_blob_reader reader = mt_blob_read(blob.data, blob.bytes, "worker");
    cr_assert_eq(mt_rollout_worker_load(other, &reader, &exact), MT_OK, "%s", mt_last_error());
    cr_expect_eq(exact, 1);
    const mt_segment *a = collect(&f), *b = mt_rollout_worker_segment(other);
    cr_assert_eq(mt_rollout_worker_collect(other, &f.weights), MT_OK);
    mt_rollout_worker_finish(other, &f.weights);
    cr_expect_arr_eq(a->obs, b->obs, sizeof(float) * ROWS * 4);
    cr_expect_arr_eq(a->state, b->state, sizeof(float) * (size_t)(ENVS * a->shape.state));
    cr_expect_arr_eq(a->advantage, b->advantage, sizeof(float) * ROWS);
    mt_blob_fini(&blob);
    mt_rollout_worker_destroy(other);
    tear_down(&f);
}
