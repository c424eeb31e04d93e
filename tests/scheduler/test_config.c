// What a training run is told: checks that cross options, presets, the forms of a conf file.
#include "engine/base/clock.h"
#include "scheduler/config.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fixture {
    mt_train_config train;
    mt_ppo_config ppo;
    mt_options options;
} fixture;

static void set_up(fixture *f) {
    mt_option_section sections[MT_PPO_SECTIONS];
    *f = (fixture){0};
    mt_ppo_sections(&f->train, &f->ppo, sections);
    cr_assert_eq(mt_options_init(&f->options, sections, MT_PPO_SECTIONS), MT_OK, "%s", mt_last_error());
    cr_assert_eq(setenv("MANTA_PRESETS", MANTA_SOURCE_DIR "/presets", 1), 0);
}

static void tear_down(fixture *f) { mt_options_fini(&f->options); }

static void says(mt_status status, mt_status expected, const char *words) {
    cr_expect_eq(status, expected, "got %s: %s", mt_status_name(status), mt_last_error());
    cr_expect(strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
}

// ---- the timeout

Test(config, timeout_in_nanoseconds) {
    fixture f;
    set_up(&f);
    cr_expect_eq(mt_train_config_timeout_ns(&f.train), 120 * MT_SECOND_NS);
    f.train.job.timeout = 0.25;
    cr_expect_eq(mt_train_config_timeout_ns(&f.train), MT_SECOND_NS / 4);
    f.train.job.timeout = 1e9;
    cr_expect_eq(mt_train_config_timeout_ns(&f.train), (int64_t)1e18);
    f.train.job.timeout = 0;
    cr_expect_eq(mt_train_config_timeout_ns(&f.train), MT_NEVER);
    f.train.job.timeout = 1e-12;   // less than the clock can tell: a deadline all the same, not the default
    cr_expect_eq(mt_train_config_timeout_ns(&f.train), 1);
    tear_down(&f);
}

// ---- checks

Test(config, defaults_pass_the_check) {
    fixture f;
    set_up(&f);
    cr_expect_eq(mt_train_config_check(&f.train, &f.ppo), MT_OK, "%s", mt_last_error());
    f.train.n_workers = 8;
    cr_expect_eq(mt_train_config_check(&f.train, &f.ppo), MT_OK, "%s", mt_last_error());
    tear_down(&f);
}

Test(config, check_says_what_is_wrong) {
    fixture f;
    set_up(&f);
    const mt_train_config train = f.train;
    const mt_ppo_config ppo = f.ppo;
    f.train.n_workers = 128;
    says(mt_train_config_check(&f.train, &f.ppo), MT_CONFIG, "batch_size 64 for 128 logical workers");
    f.train = train, f.ppo.n_envs = 100000, f.ppo.n_steps = 100000;
    says(mt_train_config_check(&f.train, &f.ppo), MT_CONFIG, "10000000000 rows");
    f.ppo = ppo, f.ppo.learner.batch_size = 1;
    says(mt_train_config_check(&f.train, &f.ppo), MT_CONFIG, "batch_size 1 with normalize_advantage");
    f.ppo.learner.normalize_advantage = false;
    cr_expect_eq(mt_train_config_check(&f.train, &f.ppo), MT_OK, "%s", mt_last_error());
    f.ppo = ppo, f.ppo.use_sde = true, f.ppo.sde_sample_freq = 0;
    says(mt_train_config_check(&f.train, &f.ppo), MT_CONFIG, "sde_sample_freq 0");
    tear_down(&f);
}

// ---- presets and files

static void check_cartpole(const fixture *f) {
    cr_expect_eq(f->ppo.n_envs, 8);
    cr_expect_eq(f->train.n_timesteps, 100000);
    cr_expect_eq(f->ppo.n_steps, 32);
    cr_expect_eq(f->ppo.learner.batch_size, 256);
    cr_expect_eq(f->ppo.gae_lambda, 0.8);
    cr_expect_eq(f->ppo.gamma, 0.98);
    cr_expect_eq(f->ppo.learner.n_epochs, 20);
    cr_expect_eq(f->ppo.learner.ent_coef, 0);
    cr_expect(f->ppo.learner.learning_rate.value == 0.001 && f->ppo.learner.learning_rate.linear);
    cr_expect(f->ppo.learner.clip_range.value == 0.2 && f->ppo.learner.clip_range.linear);
}

Test(config, preset_of_cartpole) {
    fixture f;
    int found = 0;
    set_up(&f);
    cr_assert_eq(mt_preset_apply(&f.options, "ppo", "CartPole-v1", &found), MT_OK, "%s", mt_last_error());
    cr_expect_eq(found, 1);
    check_cartpole(&f);
    cr_expect_eq(f.ppo.learner.vf_coef, 0.5);   // not in the preset
    cr_expect_eq(mt_options_origin(&f.options, "n_steps")->from, MT_FROM_PRESET);
    cr_expect_eq(mt_train_config_check(&f.train, &f.ppo), MT_OK);
    tear_down(&f);
}

Test(config, every_preset_applies_and_passes_the_check) {
    const char *const ids[] = {"CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0",
        "CartPoleNoVel-v1", "MemoryChain-v0", "Catch-v0", "CatchOrDodge-v0"};
    for (size_t i = 0; i < MT_COUNT(ids); i++) {
        fixture f;
        int found = 0;
        set_up(&f);
        cr_expect_eq(mt_preset_apply(&f.options, "ppo", ids[i], &found), MT_OK, "%s: %s", ids[i], mt_last_error());
        cr_expect_eq(found, 1, "%s", ids[i]);
        cr_expect_eq(mt_train_config_check(&f.train, &f.ppo), MT_OK, "%s: %s", ids[i], mt_last_error());
        if (strcmp(ids[i], "MountainCarContinuous-v0") == 0) {   // the zoo's dict(...) in policy_kwargs
            cr_expect_float_eq(f.ppo.log_std_init, -3.29, 1e-12);
            cr_expect_eq(f.ppo.ortho_init, false);
            cr_expect_eq(f.ppo.use_sde, true);
        }
        if (strcmp(ids[i], "MemoryChain-v0") == 0) {
            cr_expect(f.ppo.lstm_hidden_size == 32 && f.ppo.memory_horizon == 100 && f.ppo.net_arch[0].count == 0);
        }
        tear_down(&f);
    }
}

Test(config, a_convolutional_policy_has_no_hidden_layers_unless_they_are_given) {
    static const struct { const char *policy, *net_arch; int count; } cases[] = {
        {"CnnPolicy", NULL, 0}, {"ImpalaCnnGruPolicy", NULL, 0}, {"MlpLstmPolicy", NULL, 2}, {"MultiInputPolicy", NULL, 2}, {"CnnPolicy", "[32]", 1}};
    for (size_t i = 0; i < MT_COUNT(cases); i++) {
        fixture f;
        set_up(&f);
        cr_assert_eq(mt_options_set_text(&f.options, "policy", cases[i].policy, MT_FROM_COMMAND_LINE, "test"), MT_OK);
        if (cases[i].net_arch) cr_assert_eq(mt_options_set_text(&f.options, "net_arch", cases[i].net_arch, MT_FROM_FILE, "test"), MT_OK);
        cr_assert_eq(mt_ppo_follow(&f.options, &f.ppo), MT_OK);
        cr_expect_eq(f.ppo.net_arch[0].count, cases[i].count, "%s", cases[i].policy);
        tear_down(&f);
    }
}

Test(config, a_memorys_options_without_a_memory_are_refused) {
    fixture f;
    set_up(&f);
    cr_assert_eq(mt_options_set_text(&f.options, "lstm_hidden_size", "32", MT_FROM_PRESET, "preset"), MT_OK);
    cr_expect_eq(mt_ppo_follow(&f.options, &f.ppo), MT_OK);   // a preset's, for another policy
    cr_assert_eq(mt_options_set_text(&f.options, "gru_hidden_size", "32", MT_FROM_COMMAND_LINE, "command line"), MT_OK);
    cr_expect_eq(mt_ppo_follow(&f.options, &f.ppo), MT_CONFIG);
    cr_expect_not_null(strstr(mt_last_error(), "MlpLstmPolicy"), "%s", mt_last_error());
    cr_assert_eq(mt_options_set_text(&f.options, "policy", "CnnGruPolicy", MT_FROM_COMMAND_LINE, "command line"), MT_OK);
    cr_expect_eq(mt_ppo_follow(&f.options, &f.ppo), MT_OK);
    tear_down(&f);
}

// one option after another on a command line, and what the last one is refused with
static void refused_options(const char *const *options, int count, const char *words) {
    fixture f;
    set_up(&f);
    for (int i = 0; i + 1 < count; i += 2)
        cr_assert_eq(mt_options_set_text(&f.options, options[i], options[i + 1], MT_FROM_COMMAND_LINE, "command line"), MT_OK, "%s", mt_last_error());
    if (words) says(mt_ppo_follow(&f.options, &f.ppo), MT_CONFIG, words);
    else cr_expect_eq(mt_ppo_follow(&f.options, &f.ppo), MT_OK, "%s", mt_last_error());
    tear_down(&f);
}

Test(config, an_extractors_options_without_one_are_refused) {
    refused_options((const char *[]){"features_dim", "32"}, 2, "features_dim means nothing to MlpPolicy");
    refused_options((const char *[]){"features_dim", "32", "policy", "CnnPolicy"}, 4, NULL);
    refused_options((const char *[]){"features_dim", "32", "policy", "MultiInputPolicy"}, 4, NULL);   // its observation will say
    refused_options((const char *[]){"features_dim", "32", "policy", "CnnPolicy", "layers", "dense 3"}, 6, "features_dim means nothing with layers");
    refused_options((const char *[]){"policy", "MlpLstmPolicy", "shared_lstm", "true", "enable_critic_lstm", "true"}, 6, "either shares");
    refused_options((const char *[]){"policy", "MlpLstmPolicy", "shared_lstm", "true", "enable_critic_lstm", "false"}, 6, NULL);   // sb3-contrib's
}

Test(config, without_a_preset_the_defaults_stand) {
    fixture f;
    int found = 1;
    set_up(&f);
    cr_expect_eq(mt_preset_apply(&f.options, "ppo", "Nowhere-v0", &found), MT_OK);
    cr_expect_eq(found, 0);
    found = 1;
    cr_expect_eq(mt_preset_apply(&f.options, "no_such_algorithm", "CartPole-v1", &found), MT_OK);
    cr_expect_eq(found, 0);
    cr_expect_eq(f.ppo.n_steps, 2048);
    char path[PATH_MAX];
    says(mt_preset_path("no_such_algorithm", path, sizeof path), MT_NOT_FOUND, "MANTA_PRESETS");
    tear_down(&f);
}

static const char *write_file(const char *text) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/manta-config-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static mt_status apply_file(fixture *f, const char *text, const char *env) {
    const char *path = write_file(text);
    mt_status status = mt_conf_file_apply(&f->options, path, env);
    unlink(path);
    return status;
}

Test(config, conf_file_flat_and_in_the_zoo_form) {
    const char *const flat = "n_steps: 16\nlearning_rate: lin_0.01\npolicy_kwargs:\n  net_arch: [32]\n";
    const char *const zoo = "Other-v0:\n  n_steps: 99\nMine-v0:\n  n_steps: 16\n  learning_rate: lin_0.01\n"
        "  policy_kwargs: \"dict(net_arch=[32])\"\n";
    for (int form = 0; form < 2; form++) {
        fixture f;
        set_up(&f);
        cr_assert_eq(apply_file(&f, form ? zoo : flat, "Mine-v0"), MT_OK, "%s", mt_last_error());
        cr_expect_eq(f.ppo.n_steps, 16);
        cr_expect(f.ppo.learner.learning_rate.value == 0.01 && f.ppo.learner.learning_rate.linear);
        for (int net = 0; net < 2; net++) cr_expect(f.ppo.net_arch[net].count == 1 && f.ppo.net_arch[net].items[0] == 32);
        cr_expect_eq(mt_options_origin(&f.options, "n_steps")->from, MT_FROM_FILE);
        tear_down(&f);
    }
}

Test(config, conf_file_is_over_the_preset_and_under_the_command_line) {
    fixture f;
    int found;
    set_up(&f);
    cr_assert_eq(mt_options_set_text(&f.options, "gamma", "0.5", MT_FROM_COMMAND_LINE, "command line"), MT_OK);
    cr_assert_eq(apply_file(&f, "CartPole-v1:\n  n_steps: 16\n  gamma: 0.6\n", "CartPole-v1"), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_preset_apply(&f.options, "ppo", "CartPole-v1", &found), MT_OK, "%s", mt_last_error());
    cr_expect_eq(f.ppo.n_steps, 16);
    cr_expect_eq(f.ppo.gamma, 0.5);
    cr_expect_eq(f.ppo.learner.n_epochs, 20);
    tear_down(&f);
}

Test(config, layers_remember_their_file_and_line) {
    fixture f;
    set_up(&f);
    cr_assert_eq(apply_file(&f, "n_steps: 16\npolicy_kwargs:\n  layers: |\n    dense 3\n", "Mine-v0"), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_ppo_follow(&f.options, &f.ppo), MT_OK);
    cr_expect(f.ppo.layers_line == 3 && strstr(f.ppo.layers_file, "manta-config-"), "%s:%d", f.ppo.layers_file, f.ppo.layers_line);
    cr_assert_eq(mt_options_set_text(&f.options, "layers", "dense 4", MT_FROM_COMMAND_LINE, "command line"), MT_OK);
    cr_assert_eq(mt_ppo_follow(&f.options, &f.ppo), MT_OK);
    cr_expect_str_empty(f.ppo.layers_file);
    says(apply_file(&f, "layers: [dense 3]\n", "Mine-v0"), MT_CONFIG, "\"layers: |\"");
    tear_down(&f);
}

Test(config, conf_file_errors) {
    fixture f;
    set_up(&f);
    says(apply_file(&f, "n_stepz: 16\n", "Mine-v0"), MT_CONFIG, "n_steps");
    says(apply_file(&f, "Mine-v0:\n  gamma: 2\n", "Mine-v0"), MT_CONFIG, "gamma");
    cr_expect_neq(apply_file(&f, "Other-v0:\n  n_steps: 16\n", "Mine-v0"), MT_OK, "another environment's entry is not ours");
    cr_expect_neq(mt_conf_file_apply(&f.options, "/nonexistent/conf.yml", "Mine-v0"), MT_OK);
    tear_down(&f);
}
