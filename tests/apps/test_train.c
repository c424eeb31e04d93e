// Training as a user runs it: the same bits for every layout of ranks and threads, exact continuation after every kind of
// end, learning, and what a run leaves behind.
#include "policies/safetensors.h"
#include "tests/apps/run.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMON "--seed 5 --verbose 0 --deterministic --n-workers 4 --save-interval 0"
#define CARTPOLE "--env CartPole-v1 " COMMON " -params n_envs:8 n_steps:64 batch_size:64 n_epochs:3 learning_rate:0.001 clip_range:0.2"

// the digest of a run's final weights, from its run.json
static void digest(const char *folder, const char *name, char out[32]) {
    char path[256], text[4096];
    snprintf(path, sizeof path, "%s/run.json", name);
    run_read(folder, path, text, sizeof text);
    const char *at = strstr(text, "\"weights_xxh3\": \"");
    cr_assert_not_null(at, "%s", text);
    snprintf(out, 32, "%.16s", at + strlen("\"weights_xxh3\": \""));
    cr_assert_eq(strspn(out, "0123456789abcdef"), 16, "%s", text);
}

static void train(const char *folder, int ranks, const char *name, const char *arguments) {
    static run_result r;
    run(&r, folder, 120, "$MPIRUN -n %d $MANTA train --algo ppo --run-folder %s %s", ranks, name, arguments);
    cr_assert_eq(r.exit_code, 0, "%d ranks, %s: exit %d\n%s", ranks, arguments, r.exit_code, r.output);
}

static void expect_equal_layouts(const char *arguments) {
    static const struct {
        int ranks, threads;
    } layouts[] = {{1, 1}, {1, 2}, {2, 1}, {2, 2}, {4, 1}, {1, 1}};   // the last one: on rerun
    const char *folder = run_folder();
    char first[32], other[32], name[32], all[1024];
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        snprintf(name, sizeof name, "layout%zu", i);
        snprintf(all, sizeof all, "--threads %d %s", layouts[i].threads, arguments);
        train(folder, layouts[i].ranks, name, all);
        digest(folder, name, i ? other : first);
        if (i) cr_expect_str_eq(other, first, "%d ranks x %d threads differ", layouts[i].ranks, layouts[i].threads);
    }
    // and a hash that could not differ would prove nothing
    snprintf(all, sizeof all, "%s --seed 6", arguments);
    train(folder, 1, "other_seed", all);
    digest(folder, "other_seed", other);
    cr_expect_str_neq(other, first);
}

Test(train, cartpole_has_the_same_bits_for_every_layout) { expect_equal_layouts("-n 4096 " CARTPOLE); }

Test(train, deterministic_alone_has_the_same_bits_for_every_layout) {
    // the number of logical workers must not come from ranks or threads
    expect_equal_layouts("-n 2048 --env CartPole-v1 --seed 5 --verbose 0 --deterministic --save-interval 0 -params n_envs:3 n_steps:64 n_epochs:2");
}

Test(train, normalised_acrobot_has_the_same_bits_for_every_layout) {
    expect_equal_layouts("-n 4096 --env Acrobot-v1 " COMMON " -params n_envs:8 n_steps:64");
}

Test(train, pendulum_with_gsde_has_the_same_bits_for_every_layout) {
    expect_equal_layouts("-n 4096 --env Pendulum-v1 " COMMON " -params n_envs:8 n_steps:64 n_epochs:3");
}

Test(train, uneven_shares_have_the_same_bits_for_every_layout) {
    // 6 environments over 4 workers: 1, 2, 1, 2
    expect_equal_layouts("-n 2048 --env CartPole-v1 " COMMON " -params n_envs:6 n_steps:32 batch_size:50 n_epochs:2");
}

Test(train, clipped_values_and_early_stops_have_the_same_bits_for_every_layout) {
    // what one net's rank has to be told by the other's: the KL divergence, and old values
    expect_equal_layouts("-n 4096 --env CartPole-v1 " COMMON " -params n_envs:8 n_steps:64 target_kl:0.004 clip_range_vf:0.2");
}

Test(train, a_shared_trunk_has_the_same_bits_for_every_layout) {   // and no nets that two ranks could share
    expect_equal_layouts("-n 2048 --env CartPole-v1 " COMMON " --net-arch-shared 16 -params n_envs:8 n_steps:64 n_epochs:2");
}

Test(train, a_policy_with_lstms_has_the_same_bits_for_every_layout) {
    expect_equal_layouts("-n 2048 --env CartPole-v1 --policy MlpLstmPolicy --lstm-hidden-size 16 " COMMON " -params n_envs:8 n_steps:32 batch_size:96 n_epochs:2");
}

Test(train, a_policy_with_a_shared_gru_has_the_same_bits_for_every_layout) {
    expect_equal_layouts("-n 2048 --env CartPole-v1 --policy MlpGruPolicy --gru-hidden-size 16 --shared-gru " COMMON " -params n_envs:6 n_steps:32 batch_size:96 n_epochs:2");
}

// learners and environment runners on different ranks, by number, by placement, more runners than ranks
Test(train, learners_and_environment_runners_apart_have_the_same_bits) {
    static const struct { int ranks; const char *options; } layouts[] = {
        {1, ""}, {4, "--num-learners 1 --num-env-runners 3"}, {4, "--num-learners 2 --num-env-runners 2"},
        {4, "--num-learners 1 --num-env-runners 3 --placement spread --resources cpu=1 --num-cpus-per-learner 1 --num-cpus-per-env-runner 0.5"},
        {2, "--num-learners 1 --num-env-runners 4"}, {3, "--num-learners 2 --num-env-runners 4 --placement pack --resources cpu=3 --num-cpus-per-learner 2"},
    };
    const char *folder = run_folder();
    char first[32], other[32], name[32], all[1024];
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        snprintf(name, sizeof name, "apart%zu", i);
        snprintf(all, sizeof all, "-n 2048 --threads 1 " CARTPOLE " %s", layouts[i].options);
        train(folder, layouts[i].ranks, name, all);
        digest(folder, name, i ? other : first);
        if (i) cr_expect_str_eq(other, first, "%d ranks with %s differ", layouts[i].ranks, layouts[i].options);
    }
}

Test(train, deterministic_alone_has_the_same_bits_apart) {
    static const struct { int ranks; const char *options; } layouts[] = {
        {1, ""}, {2, ""}, {4, "--num-learners 1 --num-env-runners 3"}, {3, "--num-learners 1 --num-env-runners 2"},
    };
    const char *folder = run_folder();
    char first[32], other[32], name[32], all[1024];
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        snprintf(name, sizeof name, "alone%zu", i);
        snprintf(all, sizeof all, "-n 2048 --env CartPole-v1 --seed 5 --verbose 0 --deterministic --save-interval 0 %s "
            "-params n_envs:6 n_steps:64 n_epochs:2", layouts[i].options);
        train(folder, layouts[i].ranks, name, all);
        digest(folder, name, i ? other : first);
        if (i) cr_expect_str_eq(other, first, "%d ranks with %s differ", layouts[i].ranks, layouts[i].options);
    }
}

// ranks without one of the two leave their threads' work to nobody: the threads are divided by an actor's workers
Test(train, an_actor_has_a_thread_for_each_of_its_workers) {
    const char *folder = run_folder();
    static run_result r;
    run(&r, folder, 60, "$MPIRUN -n 2 --bind-to none bash -c 'echo $$ >pid.$OMPI_COMM_WORLD_RANK; exec $MANTA train --env CartPole-v1 --run-folder th -n 1e9 "
        "--threads 4 --num-learners 1 --num-env-runners 1 --n-workers 4 -params n_envs:8 n_steps:32' >th.log 2>&1 & "
        "for i in $(seq 500); do [ -s th/progress.csv ] && break; sleep 0.1; done; cat /proc/$(cat pid.1)/task/*/comm | grep -c manta-w; "
        "kill -USR1 $(cat pid.0); wait; cat th.log");
    cr_expect_geq(atoi(r.output), 3, "the runner's rank has %s", r.output);   // beside the executor's own
    cr_expect(strstr(r.output, "2 ranks x 4 threads"), "%s", r.output);
}

Test(train, placements_need_no_reservations) {
    static const struct { int ranks; const char *options; } layouts[] = {
        {1, ""}, {2, "--placement pack"}, {2, "--placement spread"}, {4, "--placement pack"}, {4, "--placement spread"},
        {4, "--placement pack --num-learners 1 --num-env-runners 3"}, {4, "--placement pack --num-env-runners 2 --num-cpus-per-env-runner 0.5"},
    };
    const char *folder = run_folder();
    static run_result r;
    char first[32], other[32], name[32], all[1024];
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        snprintf(name, sizeof name, "placed%zu", i);
        snprintf(all, sizeof all, "-n 1024 --threads 1 " CARTPOLE " %s", layouts[i].options);
        train(folder, layouts[i].ranks, name, all);
        digest(folder, name, i ? other : first);
        if (i) cr_expect_str_eq(other, first, "%d ranks with %s differ", layouts[i].ranks, layouts[i].options);
    }
    run(&r, folder, 60, "$MPIRUN -n 2 $MANTA train --env CartPole-v1 --run-folder two --placement pack --resources cpu=4 --num-cpus-per-learner 1");
    cr_expect_eq(r.exit_code, 2, "%s", r.output);
    cr_expect(strstr(r.output, "two learners on rank 0") && strstr(r.output, "more than half of what a rank has"), "%s", r.output);
}

Test(train, an_experiment_file_says_who_does_what_and_the_timeline_shows_it) {
    const char *folder = run_folder();
    static run_result r;
    static char text[1 << 20];
    run(&r, folder, 5, "printf 'algo: ppo\nenv: CartPole-v1\nn_timesteps: 100000\nnum_learners: 1\nnum_env_runners: 3\n"
        "num_cpus_per_learner: 1\nplacement: spread\nresources: cpu=1\n' >experiment.yml");
    run(&r, folder, 120, "$MPIRUN -n 4 $MANTA train -f experiment.yml --stop-reward 475 --run-folder e --timeline trace.json");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    cr_expect(strstr(r.output, "1 learner, 3 environment runners"), "%s", r.output);
    run_read(folder, "e/run.json", text, sizeof text);
    cr_expect(strstr(text, "\"outcome\": \"done\""), "%s", text);
    // every rank did something, under its name
    run(&r, folder, 20, "for what in '\"pid\":3' 'Learner.update' 'EnvRunner.collect'; do grep -c -- \"$what\" trace.json || exit 1; done");
    cr_expect_eq(r.exit_code, 0, "%s", r.output);
}

Test(train, what_the_cluster_does_not_have_is_refused) {
    const char *folder = run_folder();
    static run_result r;
    run(&r, folder, 60, "$MPIRUN -n 2 $MANTA train --env CartPole-v1 --run-folder g --num-gpus-per-learner 1");
    cr_expect_eq(r.exit_code, 2, "%s", r.output);
    cr_expect(strstr(r.output, "learner 0: it wants 1 GPU") && strstr(r.output, "the whole cluster: 0"), "%s", r.output);
    run(&r, folder, 60, "$MPIRUN -n 2 $MANTA train --env CartPole-v1 --run-folder g --num-learners 3");
    cr_expect_eq(r.exit_code, 2, "%s", r.output);
    cr_expect(strstr(r.output, "num_learners 3 on 2 ranks"), "%s", r.output);
}

Test(train, a_run_and_its_continuation_equal_one_long_run) {
    const char *folder = run_folder();
    static run_result r;
    char whole[32], parts[32];
    train(folder, 2, "whole", "-n 8192 " CARTPOLE);
    train(folder, 2, "parts", "-n 4096 " CARTPOLE);
    digest(folder, "whole", whole);
    digest(folder, "parts", parts);
    cr_expect_str_neq(whole, parts);
    // continued by one rank instead of two
    run(&r, folder, 120, "$MANTA train --resume parts -n 8192 --verbose 0");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    digest(folder, "parts", parts);
    cr_expect_str_eq(whole, parts);
    // every row of progress.csv once
    static char a[1 << 16], b[1 << 16];
    int lines_a = 0, lines_b = 0;
    run_read(folder, "whole/progress.csv", a, sizeof a);
    run_read(folder, "parts/progress.csv", b, sizeof b);
    for (char *p = a; (p = strchr(p, '\n')); p++) lines_a++;
    for (char *p = b; (p = strchr(p, '\n')); p++) lines_b++;
    cr_expect_eq(lines_a, lines_b, "%d and %d rows", lines_a, lines_b);
}

// more runners than fit into one call's arguments: the learners get lists
Test(train, many_environment_runners_have_the_same_bits) {
    const char *folder = run_folder(), *options = "-n 2048 --env CartPole-v1 --seed 5 --verbose 0 --deterministic --n-workers 16 "
        "--save-interval 0 --threads 1 -params n_envs:16 n_steps:32 batch_size:64 n_epochs:2";
    char one[32], many[32], all[512];
    train(folder, 1, "one", options);
    snprintf(all, sizeof all, "%s --num-env-runners 16", options);
    train(folder, 2, "many", all);
    digest(folder, "one", one);
    digest(folder, "many", many);
    cr_expect_str_eq(one, many);
}

Test(train, a_run_goes_on_in_another_layout) {
    const char *folder = run_folder();
    static run_result r;
    char whole[32], parts[32];
    train(folder, 1, "whole", "-n 4096 " CARTPOLE);
    train(folder, 4, "parts", "-n 2048 " CARTPOLE " --num-learners 1 --num-env-runners 3");
    run(&r, folder, 120, "$MPIRUN -n 2 $MANTA train --resume parts -n 4096 --verbose 0 --num-learners 2 --num-env-runners 4");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    digest(folder, "whole", whole);
    digest(folder, "parts", parts);
    cr_expect_str_eq(whole, parts);
}

Test(train, the_example_experiment) {
    static run_result r;
    run(&r, run_folder(), 60, "$MPIRUN -n 4 $MANTA train -f %s/experiment.yml --run-folder e -n 4096", MANTA_EXAMPLES);
    cr_expect_eq(r.exit_code, 0, "%s", r.output);
    cr_expect_not_null(strstr(r.output, "trained 4096 steps"), "%s", r.output);
}

static int newest_generation(const char *folder, const char *name) {
    static run_result r;
    run(&r, folder, 20, "ls %s/checkpoints 2>/dev/null | sed -n 's/^gen-0*//p' | sort -n | tail -1", name);
    return atoi(r.output);
}

// Kills a run at a random moment after its next checkpoint. 0: it had ended by itself.
static int kill_after_a_checkpoint(const char *folder, const char *name, pid_t group) {
    int before = newest_generation(folder, name);
    siginfo_t ended = {0};   // looked at without collecting it
    for (int i = 0; i < 1000 && !ended.si_pid && newest_generation(folder, name) == before; i++) {
        usleep(5000);
        waitid(P_PID, (id_t)group, &ended, WEXITED | WNOHANG | WNOWAIT);
    }
    usleep((useconds_t)(rand() % 200000));
    int status;
    if (waitpid(group, &status, WNOHANG) == group) {
        cr_assert_eq(status, 0, "the run failed by itself");
        return 0;
    }
    kill(-group, SIGKILL);
    cr_assert_eq(run_wait(group, 60), 128 + SIGKILL);
    // the ranks are in process groups of their own and end when they miss mpirun: the run's lock says when
    static run_result r;
    run(&r, folder, 60, "for i in $(seq 300); do flock -n %s/run.lock true && exit 0; sleep 0.1; done; exit 1", name);
    cr_assert_eq(r.exit_code, 0, "the ranks of a killed mpirun live on");
    return 1;
}

// -n 4096, then on to 8192, equals 8192 at once: normaliser, gSDE matrices and environments' states included
static void expect_exact_resume(const char *arguments) {
    const char *folder = run_folder();
    static run_result r;
    char whole[32], parts[32], all[1024];
    snprintf(all, sizeof all, "-n 8192 %s", arguments);
    train(folder, 1, "whole", all);
    snprintf(all, sizeof all, "-n 4096 %s", arguments);
    train(folder, 2, "parts", all);
    run(&r, folder, 120, "$MPIRUN -n 4 $MANTA train --resume parts -n 8192 --verbose 0");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    digest(folder, "whole", whole);
    digest(folder, "parts", parts);
    cr_expect_str_eq(whole, parts);
}

Test(train, a_normalised_run_resumes_exactly) { expect_exact_resume("--env MountainCar-v0 " COMMON " -params n_envs:8 n_steps:64"); }
Test(train, a_run_with_gsde_resumes_exactly) { expect_exact_resume("--env Pendulum-v1 " COMMON " -params n_envs:8 n_steps:64 n_epochs:3"); }
Test(train, a_run_with_memory_resumes_exactly) {
    expect_exact_resume("--env CartPole-v1 --policy MlpLstmPolicy --lstm-hidden-size 16 " COMMON
        " -params n_envs:8 n_steps:64 batch_size:128 n_epochs:2 learning_rate:0.001 clip_range:0.2");
}

Test(train, a_run_without_a_checkpoint_starts_from_the_beginning) {
    const char *folder = run_folder();
    static run_result r;
    char whole[32], again[32];
    train(folder, 1, "whole", "-n 2048 " CARTPOLE);
    run(&r, folder, 60, "cp -r whole again && rm -rf again/checkpoints/* && $MANTA train --resume again --verbose 0");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    cr_expect_not_null(strstr(r.output, "no checkpoint yet"), "%s", r.output);
    digest(folder, "whole", whole);
    digest(folder, "again", again);
    cr_expect_str_eq(whole, again);
}

// ---- weights to begin with

// a learning rate of 0 keeps them as they were given
#define KEEP "-n 512 -params n_envs:8 n_steps:64 learning_rate:0"

static void expect_weights_of(const char *folder, int ranks, const char *name, const char *arguments, const char *want) {
    char got[32];
    train(folder, ranks, name, arguments);
    digest(folder, name, got);
    cr_expect_str_eq(got, want, "%d ranks, %s", ranks, arguments);
}

Test(train, initial_weights_are_those_of_a_run_or_a_file) {
    const char *folder = run_folder();
    char want[32], fresh[32];
    train(folder, 1, "first", "-n 1024 " CARTPOLE);
    digest(folder, "first", want);
    train(folder, 1, "fresh", "--env CartPole-v1 " COMMON " " KEEP);
    digest(folder, "fresh", fresh);
    cr_expect_str_neq(want, fresh);
    expect_weights_of(folder, 1, "second", "--init-weights first --env CartPole-v1 " COMMON " " KEEP, want);
    expect_weights_of(folder, 2, "third", "--trained-agent first/policy.safetensors --env CartPole-v1 " COMMON " " KEEP, want);
    static run_result r;
    run(&r, folder, 60, "$MANTA export safetensors first && rm -rf third/checkpoints/*");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    expect_weights_of(folder, 1, "fourth", "--init-weights state_dict.safetensors --env CartPole-v1 " COMMON " " KEEP, want);
    // killed before its first checkpoint, a run begins with them again
    run(&r, folder, 60, "$MANTA train --resume third");
    cr_expect_eq(r.exit_code, 0, "%s", r.output);
    digest(folder, "third", fresh);
    cr_expect_str_eq(fresh, want);
}

static double observations_seen(const char *folder, const char *name) {
    char path[512];
    double count = 0;
    mt_safetensors file;
    snprintf(path, sizeof path, "%s/%s/policy.safetensors", folder, name);
    cr_assert_eq(mt_safetensors_load(path, &file), MT_OK, "%s", mt_last_error());
    mt_status status = mt_safetensors_read(&file, "obs_rms.count", &(mt_tensor){.data = &count, .dtype = MT_F64});
    cr_assert_eq(status, MT_OK, "%s", mt_last_error());
    mt_safetensors_fini(&file);
    return count;
}

Test(train, initial_weights_bring_the_normaliser_along) {
    const char *folder = run_folder();
    static run_result r;
    train(folder, 1, "first", "-n 4096 --env Pendulum-v1 " COMMON " -params n_envs:8 n_steps:64 normalize:true");
    train(folder, 2, "second", "--init-weights first --env Pendulum-v1 " COMMON " " KEEP " normalize:true");
    double first = observations_seen(folder, "first"), second = observations_seen(folder, "second");
    cr_expect_gt(first, 4096);
    cr_expect_float_eq(second - first, 512 + 8, 1e-3, "%g after %g", second, first);   // and those that its episodes began with
    train(folder, 1, "none", "--env Pendulum-v1 " COMMON " " KEEP " normalize:false");
    run(&r, folder, 60, "$MANTA train --init-weights none --run-folder third --env Pendulum-v1 -n 512 -params normalize:true");
    cr_expect(r.exit_code == 2 && strstr(r.output, "normalize false"), "%s", r.output);
    run(&r, folder, 60, "cp none/policy.safetensors . && $MANTA train --init-weights policy.safetensors --run-folder third --env Pendulum-v1 "
        "-n 512 -params normalize:true");
    cr_expect(r.exit_code == 2 && strstr(r.output, "obs_rms.mean"), "%s", r.output);
}

Test(train, initial_weights_that_do_not_fit_leave_no_run_behind) {
    const char *folder = run_folder();
    static run_result r;
    train(folder, 1, "first", "-n 1024 " CARTPOLE);
    run(&r, folder, 60, "$MANTA train --init-weights first --env Acrobot-v1 --no-normalize --run-folder second -n 512");
    cr_expect_eq(r.exit_code, 2, "%s", r.output);
    cr_expect(strstr(r.output, "mlp_extractor.policy_net.0.weight"), "%s", r.output);
    run(&r, folder, 60, "$MPIRUN -n 2 $MANTA train --init-weights nothing.safetensors --env CartPole-v1 --run-folder second");
    cr_expect_eq(r.exit_code, 3, "%s", r.output);
    run(&r, folder, 60, "test ! -e second");
    cr_expect_eq(r.exit_code, 0, "a run folder is there");
}

Test(train, sigkill_at_random_moments_changes_nothing) {
    const char *folder = run_folder();
    char whole[32], killed[32];
    // the learning rate falls with the steps: a continuation that forgot where it was would differ
    const char *arguments = "-n 120000 --save-freq 512 --env CartPole-v1 " COMMON " -params n_steps:64 batch_size:64 n_epochs:2";
    train(folder, 2, "whole", arguments);
    digest(folder, "whole", whole);
    srand((unsigned)getpid());
    int kills = 0;
    pid_t group = run_start(folder, "exec $MPIRUN -n 2 $MANTA train --algo ppo --run-folder killed %s", arguments);
    while (kills < 3 && kill_after_a_checkpoint(folder, "killed", group)) {
        kills++;
        group = run_start(folder, "exec $MPIRUN -n 2 $MANTA train --resume killed --verbose 0");
    }
    if (kills == 3) cr_assert_eq(run_wait(group, 120), 0);
    cr_assert_geq(kills, 2, "the run ended before it could be killed twice");
    digest(folder, "killed", killed);
    cr_expect_str_eq(whole, killed, "%d kills", kills);
}

static void expect_signal_saves(int number) {
    const char *folder = run_folder();
    static run_result r;
    pid_t group = run_start(folder, "exec $MANTA train --algo ppo --env CartPole-v1 --run-folder s -n 1e9 --verbose 0 -params n_steps:32");
    for (int i = 0; i < 200; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/s/progress.csv", folder);
        if (access(path, F_OK) == 0) break;
        usleep(20000);
    }
    usleep(200000);
    kill(group, number);
    cr_expect_eq(run_wait(group, 20), 75, "signal %d", number);
    run(&r, folder, 20, "$MANTA eval s --n-episodes 3 --json");
    cr_expect_eq(r.exit_code, 0, "%s", r.output);
    cr_expect_not_null(strstr(r.output, "\"mean_reward\""));
    run(&r, folder, 5, "grep -c interrupted s/run.json");
    cr_expect_eq(atoi(r.output), 1);
}

Test(train, sigterm_saves_and_exits_with_75) { expect_signal_saves(SIGTERM); }
Test(train, sigint_saves_and_exits_with_75) { expect_signal_saves(SIGINT); }
Test(train, sigusr1_saves_and_exits_with_75) { expect_signal_saves(SIGUSR1); }

// whichever rank a signal goes to: the driver's, one with a learner alone, one with an environment runner alone
static void expect_signal_seen(int ranks, int rank, const char *layout) {
    const char *folder = run_folder();
    static run_result r;
    char name[32];
    snprintf(name, sizeof name, "n%dr%d", ranks, rank);
    pid_t group = run_start(folder, "exec $MPIRUN -n %d bash -c 'echo $$ >%s.$OMPI_COMM_WORLD_RANK; exec $MANTA train --env CartPole-v1 "
        "--run-folder %s -n 1e9 --verbose 0 %s -params n_steps:32 n_envs:4'", ranks, name, name, layout);
    run(&r, folder, 60, "for i in $(seq 500); do [ -s %s/progress.csv ] && break; sleep 0.1; done; kill -USR1 $(cat %s.%d)", name, name, rank);
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    int code = run_wait(group, 30);
    cr_expect(code == 75 || code == 1, "%d ranks with %s, signal to rank %d: exit %d", ranks, layout, rank, code);
    run(&r, folder, 5, "grep -c interrupted %s/run.json", name);
    cr_expect_eq(atoi(r.output), 1, "%d ranks with %s, signal to rank %d", ranks, layout, rank);
}

Test(train, a_signal_to_any_rank_stops_the_run) {
    for (int rank = 0; rank < 2; rank++) expect_signal_seen(2, rank, "--num-learners 1 --num-env-runners 1");
    expect_signal_seen(3, 1, "--num-learners 2 --num-env-runners 1");
}

Test(train, cartpole_is_solved_over_two_ranks_with_the_preset) {
    const char *folder = run_folder();
    static run_result r;
    run(&r, folder, 120, "$MPIRUN -n 2 $MANTA train --algo ppo --env CartPole-v1 --run-folder c --seed 1");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    run(&r, folder, 60, "$MANTA eval c --n-episodes 100 --json");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    const char *at = strstr(r.output, "\"mean_reward\":");
    cr_assert_not_null(at, "%s", r.output);
    cr_expect_gt(atof(at + strlen("\"mean_reward\":")), 475.0, "%s", r.output);
}

// the output of a dry run, which leaves nothing behind
static const char *dry(const char *arguments, int code) {
    static run_result r;
    run(&r, run_folder(), 60, "$MANTA train --dry-run --run-folder d %s; code=$?; ls d && exit 99; exit $code", arguments);
    cr_assert_eq(r.exit_code, code, "%s: exit %d\n%s", arguments, r.exit_code, r.output);
    return r.output;
}

static void expect_in(const char *words, const char *output) { cr_expect(strstr(output, words), "'%s' is not in: %s", words, output); }

Test(train, a_dry_run_shows_the_network_and_ends) {
    const char *out = dry("--env Catch-v0 --layers 'conv2d 4 3 stride 2 relu; flatten; view = dense 8'", 0);
    expect_in("features_extractor.0                         conv2d 3 stride 2 relu       17 x 17 x 4                40\n", out);
    expect_in("features_extractor.view                      dense                        8                        9256\n", out);
    expect_in("action_net ", out), expect_in("in all ", out);
    out = dry("--env Pendulum-v1 --policy MlpLstmPolicy --lstm-hidden-size 8 -params n_envs:4 n_steps:64 batch_size:100", 0);
    expect_in("lstm_critic.l0                               lstm ", out);
    expect_in("minibatches of 64 rows: whole sequences of 64 (batch_size 100)\n", out);
    out = dry("--env CartPole-v1 --policy MlpLstmPolicy -params n_envs:4 n_steps:64 batch_size:128", 0);
    cr_expect_null(strstr(out, "minibatches"), "%s", out);
    static run_result r;
    run(&r, run_folder(), 60, "$MANTA train --env CartPole-v1 -n 64 --verbose 2 -params n_envs:1 n_steps:64");
    expect_in("mlp_extractor.policy_net.2                   dense tanh ", r.output);
}

Test(train, options_that_mean_nothing_to_the_policy_are_not_taken_in_silence) {
    expect_in("embedding_dim means nothing here", dry("--env CartPole-v1 --embedding-dim 4", 2));
    expect_in("features_dim means nothing to MultiInputPolicy here", dry("--env CartPole-v1 --policy MultiInputPolicy --features-dim 4", 2));
    expect_in("layers do not read \"image\"", dry("--env CatchOrDodge-v0 --layers 'input goal; dense 8'", 0));
    expect_in("layers stand in place of CnnPolicy's extractor", dry("--env Catch-v0 --policy CnnPolicy --layers 'flatten; dense 8'", 0));
    expect_in("CnnPolicy reads 2 parts as MultiInputPolicy does", dry("--env CatchOrDodge-v0 --policy CnnPolicy", 0));
    expect_in("precision is for a GPU", dry("--env CartPole-v1 --device cpu --precision bf16", 0));
}

Test(train, a_gpu_that_is_not_there_is_missed_by_the_option_that_wants_it) {
    static run_result r;
    run(&r, run_folder(), 60, "$MANTA train --dry-run --env CartPole-v1 --device cpu --rollout-device cuda");
    if (r.exit_code) expect_in("manta: rollout_device cuda: device cuda: ", r.output);
    run(&r, run_folder(), 60, "$MANTA train --dry-run --env CartPole-v1 --device cuda --rollout-device cpu");
    if (r.exit_code) expect_in("manta: device cuda: ", r.output);
}

Test(train, stop_reward_ends_a_run_early) {
    const char *folder = run_folder();
    static run_result r;
    run(&r, folder, 60, "$MANTA train --algo ppo --env CartPole-v1 --run-folder e --stop-reward 40 --verbose 0");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    char text[4096];
    run_read(folder, "e/run.json", text, sizeof text);
    const char *at = strstr(text, "\"steps\":");
    cr_assert_not_null(at);
    cr_expect_lt(atoi(at + strlen("\"steps\":")), 100000);
}

Test(train, evaluations_during_training_are_reported_and_the_best_is_kept) {
    const char *folder = run_folder();
    static run_result r;
    run(&r, folder, 60, "$MPIRUN -n 2 $MANTA train --algo ppo --env CartPole-v1 --run-folder v -n 20000 --eval-freq 5000 --verbose 0");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    run(&r, folder, 20, "head -1 v/progress.csv | grep -c eval/mean_reward; $MANTA eval v --best --n-episodes 5");
    cr_expect_eq(r.exit_code, 0, "%s", r.output);
    cr_expect_eq(atoi(r.output), 1, "%s", r.output);
}
