// Reading a run back: its options, its environment, the weights that were meant, and what is said when something is missing.
#include "scheduler/saved_run.h"

#include "scheduler/policy_probe.h"
#include "scheduler/report/run_folder.h"
#include "scheduler/weights_file.h"
#include "test_report_common.h"

#include <sys/stat.h>

TestSuite(saved_run, .init = make_test_folder, .fini = remove_test_folder);

#define CONFIG "algo: ppo\nenv: CartPole-v1\nn_timesteps: 4096\nseed: 9\npolicy_kwargs:\n  net_arch: [8]\n"
#define NORMALISED "normalize: true\n"

static mt_saved_run run;   // too large for a stack

// weights of the policy that `config` describes, in which every parameter is `value`
static void write_weights(const char *name, const char *env, int normalise, float value) {
    mt_train_config train;
    mt_ppo_config ppo;
    mt_option_section sections[MT_PPO_SECTIONS];
    mt_options options = {0};
    mt_environment environment;
    mt_codec codec;
    mt_policy *policy;
    mt_weights weights;
    mt_normaliser normaliser;
    mt_arena arena = {0};
    mt_ppo_sections(&train, &ppo, sections);
    CHECK_OK(mt_options_init(&options, sections, MT_PPO_SECTIONS));
    CHECK_OK(mt_options_set_text(&options, "env", env, MT_FROM_COMMAND_LINE, ""));
    CHECK_OK(mt_options_set_text(&options, "net_arch", "[8]", MT_FROM_COMMAND_LINE, ""));
    CHECK_OK(mt_environment_open(&environment, &train));
    CHECK_OK(mt_policy_probe(&ppo, &environment, &codec, &policy));
    mt_weights_register(&weights, policy, &arena);
    mt_normaliser_register(&normaliser, codec.obs, normalise, 0, 10, 10, &arena);
    CHECK_OK(mt_arena_commit(&arena));
    for (int64_t i = 0; i < policy->sizes.params; i++) weights.param[i] = value;
    normaliser.obs.count = 2;
    for (int c = 0; c < codec.obs; c++) normaliser.obs.mean[c] = 0.5 + c, normaliser.obs.m2[c] = 2 * 0.25;
    CHECK_OK(mt_weights_file_save(at(name), policy, weights.param, &normaliser, 4096));
    mt_arena_fini(&arena);
    mt_policy_destroy(policy);
    mt_environment_close(&environment);
    mt_options_fini(&options);
}

static void make_run(const char *config) {
    spill(at(MT_RUN_CONFIG), config);
    write_weights(MT_RUN_WEIGHTS, "CartPole-v1", strstr(config, NORMALISED) != NULL, 0.25f);
}

static void expect_weights(float value, const char *file) {
    cr_expect_eq(run.weights.param[run.policy->pi.layer[1].tensor[0]], value);
    cr_expect_eq(run.weights.param[run.policy->vf.layer[2].tensor[0]], value);
    cr_expect_str_eq(run.weights_path, at(file));
}

Test(saved_run, a_folder_gives_options_environment_and_weights) {
    make_run(CONFIG);
    CHECK_OK(mt_saved_run_open(test_folder, NULL, 0, &run));
    cr_expect_eq(run.train.seed, 9);
    cr_expect_eq(run.train.n_timesteps, 4096);
    cr_expect_eq(run.ppo.n_steps, 2048, "what the file does not say is the default");
    cr_expect_str_eq(run.environment.desc->id, "CartPole-v1");
    cr_expect_eq(run.policy->desc.obs, 4);
    cr_expect_eq(run.policy->desc.pi[0], 8);
    cr_expect_eq(run.normaliser.observations, 0);
    expect_weights(0.25f, MT_RUN_WEIGHTS);
    mt_saved_run_close(&run);
    cr_expect_null(run.policy);
    mt_saved_run_close(&run);   // harmless
}

// what a forward pass reads are the packed weights
Test(saved_run, weights_are_ready_to_evaluate) {
    mt_evaluation e;
    make_run(CONFIG);
    CHECK_OK(mt_saved_run_open(test_folder, "", 0, &run));
    mt_weights packed = run.weights;
    mt_arena arena = {0};
    MT_ARENA_ADD(&arena, packed.packed, run.policy->sizes.packed);
    CHECK_OK(mt_arena_commit(&arena));
    mt_weights_pack(&packed, run.policy, run.kernels, MT_POLICY_BOTH);
    cr_expect_arr_eq(run.weights.packed, packed.packed, sizeof(float) * (size_t)run.policy->sizes.packed);
    mt_arena_fini(&arena);
    CHECK_OK(mt_evaluate(&(mt_evaluate_desc){.env = run.environment.desc, .policy = run.policy, .kernels = run.kernels,
        .weights = &run.weights, .normaliser = &run.normaliser, .episodes = 2}, &e));
    cr_expect_eq(e.episodes, 2);
    mt_evaluation_fini(&e);
    mt_saved_run_close(&run);
}

Test(saved_run, the_normaliser_is_read_with_the_weights) {
    make_run(CONFIG NORMALISED "clip_obs: 3\n");
    CHECK_OK(mt_saved_run_open(test_folder, NULL, 0, &run));
    cr_expect_eq(run.normaliser.observations, 1);
    cr_expect_eq(run.normaliser.clip_obs, 3);
    for (int c = 0; c < 4; c++) {
        cr_expect_eq(run.normaliser.obs_mean[c], 0.5f + (float)c);
        cr_expect_float_eq(run.normaliser.obs_inv_std[c], 2, 1e-5);
    }
    mt_saved_run_close(&run);
    spill(at(MT_RUN_CONFIG), CONFIG NORMALISED "norm_obs: false\n");
    CHECK_OK(mt_saved_run_open(test_folder, NULL, 0, &run));
    cr_expect_eq(run.normaliser.observations, 0);
    mt_saved_run_close(&run);
}

Test(saved_run, best_and_any_other_file_of_the_folder) {
    make_run(CONFIG);
    CHECK_FAIL(NOT_FOUND, MT_RUN_BEST_WEIGHTS, mt_saved_run_open(test_folder, NULL, 1, &run));
    write_weights(MT_RUN_BEST_WEIGHTS, "CartPole-v1", 0, 0.5f);
    write_weights("mine.safetensors", "CartPole-v1", 0, 0.75f);
    CHECK_OK(mt_saved_run_open(test_folder, NULL, 1, &run));
    expect_weights(0.5f, MT_RUN_BEST_WEIGHTS);
    mt_saved_run_close(&run);
    CHECK_OK(mt_saved_run_open(at("mine.safetensors"), NULL, 0, &run));
    expect_weights(0.75f, "mine.safetensors");
    mt_saved_run_close(&run);
    CHECK_OK(mt_saved_run_open(at(MT_RUN_WEIGHTS), NULL, 1, &run));   // a file is a file, whatever is best
    expect_weights(0.25f, MT_RUN_WEIGHTS);
    mt_saved_run_close(&run);
}

Test(saved_run, another_environment_must_have_the_same_spaces) {
    make_run(CONFIG);
    CHECK_FAIL(CONFIG, "wanted", mt_saved_run_open(test_folder, "Acrobot-v1", 0, &run));
    cr_expect_null(run.policy);
    CHECK_FAIL(NOT_FOUND, "CartPole-v1", mt_saved_run_open(test_folder, "CartPole-v2", 0, &run));
    // the run's own environment may be gone, as long as the one that is asked for fits the weights
    spill(at(MT_RUN_CONFIG), "env: Acrobot-v1\npolicy_kwargs:\n  net_arch: [8]\n");
    CHECK_FAIL(CONFIG, "wanted", mt_saved_run_open(test_folder, NULL, 0, &run));
    CHECK_OK(mt_saved_run_open(test_folder, "CartPole-v1", 0, &run));
    cr_expect_str_eq(run.environment.desc->id, "CartPole-v1");
    expect_weights(0.25f, MT_RUN_WEIGHTS);
    mt_saved_run_close(&run);
}

Test(saved_run, environment_options_of_the_run_hold) {
    make_run(CONFIG "env_kwargs:\n  max_episode_steps: 7\n");
    CHECK_OK(mt_saved_run_open(test_folder, NULL, 0, &run));
    cr_assert_eq(run.environment.option_count, 1);
    cr_expect_str_eq(run.environment.options[0].key, "max_episode_steps");
    cr_expect_str_eq(run.environment.options[0].value, "7");
    mt_saved_run_close(&run);
}

Test(saved_run, says_what_is_missing_or_wrong) {
    CHECK_FAIL(NOT_FOUND, "no run folder", mt_saved_run_open(at("nowhere"), NULL, 0, &run));
    CHECK_FAIL(NOT_FOUND, "not a run folder: it has no " MT_RUN_CONFIG, mt_saved_run_open(test_folder, NULL, 0, &run));
    spill(at(MT_RUN_CONFIG), CONFIG);
    CHECK_FAIL(NOT_FOUND, MT_RUN_WEIGHTS, mt_saved_run_open(test_folder, NULL, 0, &run));
    cr_expect_null(run.policy);
    spill(at(MT_RUN_WEIGHTS), "not weights");
    CHECK_FAIL(CORRUPT, MT_RUN_WEIGHTS, mt_saved_run_open(test_folder, NULL, 0, &run));
    spill(at(MT_RUN_CONFIG), CONFIG "gama: 0.9\n");
    CHECK_FAIL(CONFIG, MT_RUN_CONFIG ":7", mt_saved_run_open(test_folder, NULL, 0, &run));
    cr_expect_null(run.policy);
}
