// Policies, layers and losses of plugins as a user trains with them: the examples learn, the bits do not depend on ranks and
// threads, runs are continued and evaluated, and what cannot be is said.
#include "tests/apps/run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMON "--env CartPole-v1 --seed 5 --verbose 0 --deterministic --n-workers 4 --save-interval 0 -params n_envs:8 n_steps:32 batch_size:96 n_epochs:2 learning_rate:0.001 clip_range:0.2"
#define MY_POLICY "--plugin my_policy.so --policy my_net"
#define MY_LAYER "--plugin my_layer.so --layers 'swiglu 16; swiglu 8 0.5'"
#define MY_LOSS "--plugin my_loss.so --loss spo"
#define MEMORY "--plugin plain.so --policy plain --policy-options memory:1"

static run_result r;

// a folder with all plugins, which nobody else can write (the build folder's mode depends on the umask)
static const char *plugins(void) {
    const char *folder = run_folder();
    run(&r, folder, 10, "cp " MANTA_BINARY_DIR "/examples/my_*.so " MANTA_BINARY_DIR "/tests/policies/plugins/plain.so "
        MANTA_BINARY_DIR "/tests/policies/plugins/both.so . && chmod 755 . *.so");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    return folder;
}

static void train(const char *folder, int ranks, const char *name, const char *arguments) {
    run(&r, folder, 120, "$MPIRUN -n %d $MANTA train --algo ppo --run-folder %s %s", ranks, name, arguments);
    cr_assert_eq(r.exit_code, 0, "%d ranks, %s: exit %d\n%s", ranks, arguments, r.exit_code, r.output);
}

static void digest(const char *folder, const char *name, char out[32]) {
    char path[256], text[4096];
    snprintf(path, sizeof path, "%s/run.json", name);
    run_read(folder, path, text, sizeof text);
    const char *at = strstr(text, "\"weights_xxh3\": \"");
    cr_assert_not_null(at, "%s", text);
    snprintf(out, 32, "%.16s", at + strlen("\"weights_xxh3\": \""));
}

// ---- learning

static double number_after(const char *text, const char *word) {
    const char *at = strstr(text, word);
    cr_assert_not_null(at, "no %s in %s", word, text);
    return atof(at + strlen(word));
}

static void learns_cartpole(const char *arguments) {
    const char *folder = plugins();
    run(&r, folder, 300, "$MANTA train --env CartPole-v1 --seed 1 -n 300000 --stop-reward 475 --run-folder run %s", arguments);
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    char *last = strstr(r.output, "trained ");
    cr_assert_not_null(last, "%s", r.output);
    cr_expect_geq(number_after(last, "ep_rew_mean "), 475, "%s: %s", arguments, last);
    run(&r, folder, 60, "$MANTA eval run --n-episodes 20 --json");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    // what it learned is there again: chance makes 10 to 30 steps (its likeliest actions are not the ones that it was scored by)
    cr_expect_geq(number_after(r.output, "\"mean_reward\":"), 200, "%s", r.output);
}

Test(plugins, my_policy_learns_cartpole) { learns_cartpole(MY_POLICY); }
Test(plugins, my_layer_learns_cartpole) { learns_cartpole("--plugin my_layer.so --layers 'swiglu 32'"); }
Test(plugins, my_loss_learns_cartpole) { learns_cartpole(MY_LOSS); }

// ---- the same bits

static void expect_equal_layouts(const char *arguments) {
    static const struct {
        int ranks, threads;
    } layouts[] = {{1, 1}, {1, 2}, {2, 1}, {2, 2}, {4, 1}};
    const char *folder = plugins();
    char first[32], other[32], name[32], all[1024];
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        snprintf(name, sizeof name, "layout%zu", i);
        snprintf(all, sizeof all, "-n 2048 --threads %d " COMMON " %s", layouts[i].threads, arguments);
        train(folder, layouts[i].ranks, name, all);
        digest(folder, name, i ? other : first);
        if (i) cr_expect_str_eq(other, first, "%s: %d ranks x %d threads differ", arguments, layouts[i].ranks, layouts[i].threads);
    }
    snprintf(all, sizeof all, "-n 2048 " COMMON " %s --seed 6", arguments);
    train(folder, 1, "other_seed", all);
    digest(folder, "other_seed", other);
    cr_expect_str_neq(other, first);
}

Test(plugins, a_policy_has_the_same_bits_for_every_layout) { expect_equal_layouts(MY_POLICY); }
Test(plugins, a_policy_that_remembers_has_the_same_bits_for_every_layout) { expect_equal_layouts(MEMORY); }
Test(plugins, a_layer_has_the_same_bits_for_every_layout) { expect_equal_layouts(MY_LAYER); }
Test(plugins, a_loss_has_the_same_bits_for_every_layout) { expect_equal_layouts(MY_LOSS); }

static void expect_exact_continuation(const char *arguments) {
    const char *folder = plugins();
    char whole[32], parts[32], all[1024];
    snprintf(all, sizeof all, "-n 2048 " COMMON " %s", arguments);
    train(folder, 1, "whole", all);
    snprintf(all, sizeof all, "-n 1024 " COMMON " %s", arguments);
    train(folder, 2, "parts", all);
    // from elsewhere: the run's config.yml knows the plugins' whole paths
    run(&r, folder, 60, "mkdir -p elsewhere && cd elsewhere && $MANTA train --resume ../parts -n 2048");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    digest(folder, "whole", whole);
    digest(folder, "parts", parts);
    cr_expect_str_eq(whole, parts, "%s", arguments);
}

Test(plugins, a_run_with_memory_continues_exactly) { expect_exact_continuation(MEMORY); }
Test(plugins, a_run_of_three_plugins_continues_exactly) {
    expect_exact_continuation("--plugin ./my_policy.so:my_loss.so:my_layer.so --policy my_net --loss spo");
}

// ---- names, files, refusals

Test(plugins, one_file_brings_an_environment_and_a_policy) {
    const char *folder = plugins();
    train(folder, 1, "named", "--plugin both.so --env MoonLanding-v0 --policy my_net -n 512 --verbose 0 -params n_envs:4 n_steps:32");
    train(folder, 2, "by_path", "--env ./both.so --policy my_net -n 512 --verbose 0 -params n_envs:4 n_steps:32");
    run(&r, folder, 60, "$MANTA eval by_path --n-episodes 3");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    cr_expect(strstr(r.output, "MoonLanding-v0, 3 episodes"), "%s", r.output);
}

Test(plugins, what_a_plugin_brings_is_listed) {
    const char *folder = plugins();
    run(&r, folder, 20, "for f in my_policy my_layer my_loss; do $MANTA plugin list $f.so; done");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    cr_expect(strstr(r.output, "--policy-options hidden:64  units of both hidden layers"), "%s", r.output);
    cr_expect(strstr(r.output, "swiglu units beta") && strstr(r.output, "beta (1): how sharp the gate is"), "%s", r.output);
    cr_expect(strstr(r.output, "--loss-options strength:1"), "%s", r.output);
    run(&r, folder, 20, "cp $MANTA program.so; $MANTA plugin list program.so");
    cr_expect_neq(r.exit_code, 0);
}

Test(plugins, weights_are_named_in_the_file) {
    const char *folder = plugins();
    train(folder, 1, "policy", "-n 256 " COMMON " " MY_POLICY);
    train(folder, 1, "layer", "-n 256 " COMMON " " MY_LAYER);
    run(&r, folder, 10, "grep -ao '\"policy.hidden.weight\":[^}]*}' policy/policy.safetensors");
    cr_expect(strstr(r.output, "\"shape\":[4,64]"), "%s", r.output);
    run(&r, folder, 10, "grep -ao '\"vf_features_extractor.1.gate.weight\"\\|\"features_extractor.1.gate.weight\"' layer/policy.safetensors");
    cr_expect(strstr(r.output, "features_extractor.1.gate.weight"), "%s", r.output);
}

static void refused(const char *folder, const char *arguments, const char *words) {
    run(&r, folder, 20, "$MANTA train --env CartPole-v1 -n 100 %s", arguments);
    cr_expect_neq(r.exit_code, 0, "%s", arguments);
    cr_expect(strstr(r.output, words), "%s: '%s' is not in %s", arguments, words, r.output);
}

Test(plugins, what_cannot_be_is_said) {
    const char *folder = plugins();
    refused(folder, "--plugin my_policy.so --policy my_nett", "no policy is called \"my_nett\"; did you mean \"my_net\"?");
    refused(folder, "--policy my_net", "no policy is called \"my_net\" (--plugin loads more)");
    refused(folder, MY_POLICY " --policy-options hiden:8", "policy my_net has no option 'hiden'; did you mean \"hidden\"?");
    refused(folder, MY_POLICY " --policy-options hidden:0", "policy my_net: hidden is '0'; give 1 to 4096 units");
    refused(folder, MY_POLICY " --layers 'dense 4'", "layers are for manta's own policies");
    refused(folder, MY_LAYER " --layers 'swiglu 0.5'", "units is 0.5; give a whole number");
    refused(folder, MY_LAYER " --layers 'swigly 8'", "no layer is called \"swigly\"; did you mean \"swiglu\"?");
    refused(folder, MY_LOSS " --loss-options strength:x", "loss spo: strength is 'x'");
    refused(folder, "--plugin my_loss.so --loss spoo", "no loss is called \"spoo\"; did you mean \"spo\"?");
    refused(folder, "--plugin my_loss.so:my_loss.so --loss spo", "the name spo of a loss is taken already by");
    refused(folder, "--loss-options strength:1", "loss_options are for a plugin's loss; say which with --loss");
    refused(folder, "--policy-options a:b", "policy_options are for a plugin's policy; MlpPolicy has policy_kwargs");
    refused(folder, "--env ./my_loss.so", "brings no environment; load it with --plugin");
    refused(folder, MY_POLICY " --net-arch 32", "net_arch is for manta's own policies; my_net has policy_options");
}
