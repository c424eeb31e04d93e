// Resuming a run beside other options, and beginning with another run's weights: what may change, what is refused, and that
// nothing is written where nothing is trained.
#include "tests/apps/run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SMALL "--env CartPole-v1 --seed 5 --verbose 0 --save-interval 0 -params n_envs:4 n_steps:32 batch_size:32 n_epochs:1"
#define FILES "find run -type f ! -name run.lock | sort | xargs sha256sum"   // the lock names who had it last

static run_result r;

// the exit status, and words that the output holds, up to a NULL
static void expect_words(int line, int code, const char *const *words) {
    cr_assert_eq(r.exit_code, code, "line %d: exit %d, not %d\n%s", line, r.exit_code, code, r.output);
    for (; *words; words++) cr_assert_not_null(strstr(r.output, *words), "line %d: no \"%s\" in\n%s", line, *words, r.output);
}

#define EXPECT(code, ...) expect_words(__LINE__, code, (const char *const[]){__VA_ARGS__, NULL})

static void make_run(const char *name, const char *options) {
    run(&r, run_folder(), 60, "$MANTA train -n 256 --run-folder %s " SMALL " %s", name, options);
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
}

// What a resume says, and that the run's files are as before.
static void resume(const char *options) {
    static char before[1 << 16];
    run(&r, run_folder(), 30, FILES);
    memcpy(before, r.output, sizeof before);
    static run_result said;
    run(&said, run_folder(), 60, "$MANTA train --resume run --verbose 0 %s", options);
    run(&r, run_folder(), 30, FILES);
    cr_assert_str_eq(r.output, before, "--resume run %s changed a file\n%s", options, said.output);
    r = said;
}

Test(resume, what_trains_nothing_changes_nothing) {
    make_run("run", "");
    resume("");
    EXPECT(0, "has 256 steps already", "larger -n");
    resume("-n 100");
    EXPECT(0, "has 256 steps already", "-n is 100");
    resume("--n-steps 64 --learning-rate 0.1");
    EXPECT(0, "nothing is trained or changed");
    run(&r, run_folder(), 60, "$MPIRUN -n 2 $MANTA train --resume run --verbose 0 --gamma 0.5 --n-workers 2; $MANTA eval run");
    EXPECT(0, "CartPole-v1, 100 episodes");
}

Test(resume, a_run_killed_after_its_last_checkpoint_gets_what_it_lacks) {
    make_run("run", "");
    run(&r, run_folder(), 60, "sed -i s/done/running/ run/run.json && mv run/policy.safetensors whole && "
        "$MANTA train --resume run && cmp whole run/policy.safetensors && grep -c '\"outcome\": \"done\"' run/run.json");
    EXPECT(0, "1");
}

// finished or not, with a checkpoint or before the first
static void expect_refusals(const char *more) {
    static const struct { const char *options, *was, *is; } changes[] = {
        {"--activation-fn relu", "activation_fn tanh", "relu"}, {"--net-arch 32", "net_arch {pi: [64, 64], vf: [64, 64]}", "pi: [32]"},
        {"--policy MlpLstmPolicy", "policy MlpPolicy", "MlpLstmPolicy"}, {"--normalize", "normalize false", "true"},
        {"--layers 'dense 64 relu'", "layers none", "dense 64 relu"}, {"--seed 9", "seed 5", "9"}, {"--no-ortho-init", "ortho_init true", "false"},
        {"--log-std-init -1", "log_std_init 0", "-1"}, {"--env Acrobot-v1", "env CartPole-v1", "--init-weights"},
        {"--init-weights run", "init_weights none", "run"},
    };
    char all[256];
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        snprintf(all, sizeof all, "%s %s", changes[i].options, more);
        resume(all);
        EXPECT(2, changes[i].was, changes[i].is, "leave ");
    }
}

Test(resume, what_a_run_cannot_change_is_refused_with_both_values) {
    make_run("run", "");
    expect_refusals("");
    expect_refusals("-n 512");
    run(&r, run_folder(), 10, "rm -r run/checkpoints/*");
    expect_refusals("");
    // said again it is no change, however it is written
    run(&r, run_folder(), 60, "$MANTA train --resume run --verbose 0 --activation-fn nn.Tanh --policy mlppolicy --net-arch 64,64 --seed 5 "
        "--env CartPole-v1");
    EXPECT(0, "no checkpoint yet");
}

// the comment behind an option in config.yml
static void expect_origin(const char *key, const char *value, const char *origin) {
    run(&r, run_folder(), 10, "grep '^ *%s: ' run/config.yml", key);
    cr_assert_not_null(strstr(r.output, value), "%s", r.output);
    const char *comment = strstr(r.output, " # ");
    cr_assert_not_null(comment, "%s", r.output);
    cr_expect(strstr(comment, origin) == comment + 3 && comment[3 + strlen(origin)] == '\n', "%s is not from %s", r.output, origin);
}

Test(resume, options_keep_where_they_came_from) {
    run(&r, run_folder(), 10, "printf 'gae_lambda: 0.9\\n' > more.yml");
    make_run("run", "-f more.yml --tensorboard-log 'run/a #\"b' --n-workers 2");
    for (int turn = 0; turn < 2; turn++) {
        expect_origin("n_timesteps", turn ? "512" : "256", turn ? "command line, on resume" : "command line");
        expect_origin("gae_lambda", "0.9", "more.yml:1");
        expect_origin("tensorboard_log", "run/a #", "command line");
        expect_origin("n_workers", "2", "command line");
        expect_origin("vf_coef", "0.5", "default");
        expect_origin("net_arch", "64", "default");
        run(&r, run_folder(), 60, "grep -q presets/ppo.yml:.* run/config.yml && $MANTA train --resume run -n 512 --n-workers 2 --seed 5 --verbose 0");
        EXPECT(0, "");
    }
}

Test(resume, initial_weights_need_the_network_they_are_of) {
    make_run("run", "");
    run(&r, run_folder(), 60, "$MANTA train --init-weights run --run-folder b " SMALL " --activation-fn relu; code=$?; ls; exit $code");
    EXPECT(2, "--init-weights", "activation_fn tanh", "relu");
    cr_expect_null(strstr(r.output, "\nb\n"), "a folder was left behind:\n%s", r.output);
    run(&r, run_folder(), 60, "$MANTA train --init-weights run/policy.safetensors --run-folder b " SMALL " --normalize");
    EXPECT(2, "normalize false", "true");
    run(&r, run_folder(), 60, "$MANTA train --init-weights run --run-folder b " SMALL " --net-arch 32");
    EXPECT(2, "net_arch {pi: [64, 64], vf: [64, 64]}", "pi: [32]");
    // what means nothing without normalize, and weights that lie alone
    run(&r, run_folder(), 60, "$MANTA train -n 128 --init-weights run --run-folder c " SMALL " --clip-obs 3");
    EXPECT(0, "");
    run(&r, run_folder(), 60, "cp run/policy.safetensors . && $MANTA train -n 128 --init-weights policy.safetensors --run-folder d " SMALL " --activation-fn relu");
    EXPECT(0, "");
}

Test(resume, ranks_that_do_not_fit_are_told_which_do) {
    make_run("run", "--n-workers 4");
    run(&r, run_folder(), 60, "$MPIRUN -n 3 $MANTA train --resume run -n 512");
    EXPECT(2, "n_workers 4 over 3 ranks", "resume it on 1, 2 or 4 ranks");
    run(&r, run_folder(), 60, "$MPIRUN -n 3 $MANTA train --env CartPole-v1 --n-workers 4 --run-folder new");
    EXPECT(2, "use a multiple of 3");
}

Test(resume, evaluation_under_mpirun_plays_and_prints_once) {
    make_run("run", "");
    run(&r, run_folder(), 60, "$MANTA eval run --json --n-episodes 5 > alone 2> /dev/null; $MPIRUN -n 3 $MANTA eval run --json --n-episodes 5 > all && cmp alone all");
    EXPECT(0, "mpirun is not needed");
    run(&r, run_folder(), 60, "$MPIRUN -n 2 $MANTA eval nowhere");
    EXPECT(3, "nowhere");
}

Test(resume, the_weights_that_a_run_began_with_may_be_gone) {
    make_run("first", "");
    make_run("run", "--init-weights first");
    run(&r, run_folder(), 60, "rm -r first && $MANTA train --resume run -n 512 --verbose 0 && grep -c 'first.*command line' run/config.yml");
    EXPECT(0, "1");
    run(&r, run_folder(), 60, "rm -r run/checkpoints/* && $MANTA train --resume run -n 512 --verbose 0");
    EXPECT(3, "first");
}

Test(resume, a_gpu_that_is_reserved_and_not_used_is_told) {
    make_run("run", "--resources gpu=1 --num-gpus-per-learner 1");
    EXPECT(0, "learners reserve GPUs", "--device cuda");
    make_run("other", "--resources gpu=1 --num-gpus-per-learner 1 --device cpu");
    cr_expect_null(strstr(r.output, "learners reserve GPUs"), "%s", r.output);
}
