// Everything a user can get wrong, and everything that can be broken under him: each gives a message with what, where and
// what to do, the right exit status, and loses nothing.
#include "scheduler/checkpoint.h"
#include "tests/apps/run.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static run_result r;

#define SMALL "-n 1024 --verbose 0 -params n_envs:4 n_steps:32 batch_size:32 n_epochs:1"

static void expect_output(int exit_code, const char *const *words, size_t count) {
    cr_expect_eq(r.exit_code, exit_code, "exit %d instead of %d:\n%s", r.exit_code, exit_code, r.output);
    for (size_t i = 0; i < count; i++)
        cr_expect_not_null(strstr(r.output, words[i]), "no \"%s\" in:\n%s", words[i], r.output);
}
#define EXPECT(code, ...)                                                                                              \
    do {                                                                                                               \
        static const char *const words_[] = {__VA_ARGS__};                                                             \
        expect_output(code, words_, sizeof words_ / sizeof *words_);                                                   \
    } while (0)

static void manta(const char *arguments) { run(&r, run_folder(), 60, "$MANTA %s", arguments); }

Test(faults, misspelt_words_get_a_suggestion) {
    manta("trian --env CartPole-v1");
    EXPECT(2, "trian", "train");
    manta("train --algo pppo --env CartPole-v1");
    EXPECT(2, "pppo", "did you mean", "ppo");
    manta("train --algo ppo --env CartPole-v2");
    EXPECT(3, "CartPole-v2", "did you mean", "CartPole-v1");
    manta("train --algo ppo --env CartPole-v1 --sede 3");
    EXPECT(2, "sede", "did you mean", "seed");
    manta("train --algo ppo --env CartPole-v1 -params n_step:32");
    EXPECT(2, "n_step", "did you mean", "n_steps");
    manta("train --algo ppo --env Pendulum-v1 --env-kwargs gg:10");
    EXPECT(2, "gg");
    manta("train --algo ppo --env CartPole-v1 --device gpu");
    cr_expect_neq(r.exit_code, 0, "%s", r.output);
}

Test(faults, numbers_out_of_range_say_the_range_and_the_reason) {
    manta("train --algo ppo --env CartPole-v1 -params gamma:1.5");
    EXPECT(2, "gamma", "1.5", "0 to 1", "discount");
    manta("train --algo ppo --env CartPole-v1 -params n_envs:0");
    EXPECT(2, "n_envs", "0");
    manta("train --algo ppo --env CartPole-v1 -n -5");
    EXPECT(2, "n_timesteps");
    manta("train --algo ppo --env CartPole-v1 -params learning_rate:nan");
    EXPECT(2, "learning_rate");
    manta("train --algo ppo --env CartPole-v1 -params n_envs:10000000 n_steps:100000000");
    EXPECT(2, "n_envs");
    manta("train --algo ppo --env CartPole-v1 --n-workers 3 --verbose 0 -n 1000 -params use_sde:true");
    EXPECT(2, "use_sde");
}

// 1.2 TB: more than the machine has, wherever this runs, and refused before any of it is touched. (Rows of a rollout would not
// do: the most that are allowed fit into a large machine, which would then begin to fill them.)
Test(faults, networks_beyond_the_machine_are_refused) {
    run(&r, run_folder(), 60, "ASAN_OPTIONS=$ASAN_OPTIONS:allocator_may_return_null=1 $MANTA train --env CartPole-v1 --run-folder huge "
        "-params 'net_arch:[65536, 65536, 65536, 65536, 65536, 65536, 65536, 65536]'");
    EXPECT(7, "cannot allocate", "smaller networks");
}

Test(faults, bad_files_are_named_with_line) {
    run(&r, run_folder(), 60, "printf 'env: CartPole-v1\\n  gamma: [1\\n' > bad.yml; $MANTA train -f bad.yml");
    EXPECT(2, "bad.yml:");
    run(&r, run_folder(), 60, "printf 'env: CartPole-v1\\ngama: 0.9\\n' > key.yml; $MANTA train -f key.yml");
    EXPECT(2, "key.yml:2", "gama", "gamma");
    run(&r, run_folder(), 60, "printf 'env: CartPole-v1\\ngamma: 0.9\\ngamma: 0.8\\n' > twice.yml; $MANTA train -f twice.yml");
    EXPECT(2, "twice.yml:3", "gamma");
    run(&r, run_folder(), 60, "printf 'Acrobot-v1:\\n  gamma: 0.9\\nPendulum-v1:\\n  gamma: 0.8\\n' > zoo.yml; $MANTA train -f zoo.yml --env CartPole-v1");
    EXPECT(2, "zoo.yml:1", "nothing in it for CartPole-v1; it has Acrobot-v1, Pendulum-v1: say --env Acrobot-v1");
    manta("train -f zoo.yml");
    EXPECT(2, "zoo.yml:1", "without --env", "say --env Acrobot-v1");
    manta("train -f nowhere.yml --env CartPole-v1");
    EXPECT(3, "nowhere.yml");
    manta("train --env CartPole-v1 --resume nowhere");
    EXPECT(3, "nowhere");
    manta("eval nowhere");
    EXPECT(3, "nowhere");
    manta("plot nowhere");
    EXPECT(3, "nowhere");
    manta("train --algo ppo");
    EXPECT(2, "--env");
}

Test(faults, where_a_trace_or_objects_cannot_go_is_said_before_training) {
    manta("train --env CartPole-v1 --run-folder e --timeline nowhere/trace.json " SMALL);
    EXPECT(3, "--timeline: ", "nowhere/trace.json");
    manta("train --env CartPole-v1 --run-folder e --spill-folder nowhere " SMALL);
    EXPECT(3, "--spill-folder: ", "nowhere");
    manta("train --env CartPole-v1 --run-folder f --timeline trace.json " SMALL);
    EXPECT(0, "");
    run(&r, run_folder(), 10, "test -s trace.json && ! test -e trace.json.0");
    EXPECT(0, "");
}

Test(faults, a_run_folder_is_never_overwritten) {
    manta("train --env CartPole-v1 --run-folder a " SMALL);
    EXPECT(0, "");
    manta("train --env CartPole-v1 --run-folder a " SMALL);
    EXPECT(4, "a", "resume");
    manta("train --env CartPole-v1 " SMALL);
    EXPECT(0, "");
    manta("train --env CartPole-v1 " SMALL);
    EXPECT(0, "");
    run(&r, run_folder(), 10, "ls logs/ppo");
    EXPECT(0, "CartPole-v1_1", "CartPole-v1_2");
    // two processes at once: the second resume finds the first
    run(&r, run_folder(), 60, "$MANTA train --resume a -n 1e8 --verbose 0 & sleep 1; $MANTA train --resume a -n 1e8; code=$?; kill %%1; wait; exit $code");
    EXPECT(4, "a", "pid");
}

static void make_run(const char *name) {
    run(&r, run_folder(), 60, "$MANTA train --env CartPole-v1 --run-folder %s --save-freq 256 --keep-checkpoints 3 " SMALL, name);
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
}

Test(faults, a_damaged_checkpoint_falls_back_to_an_older_one_and_names_the_file) {
    make_run("t");
    run(&r, run_folder(), 60, "f=$(ls -d t/checkpoints/gen-* | tail -1)/policy.safetensors; truncate -s -7 $f; $MANTA train --resume t -n 2048 --verbose 0");
    EXPECT(0, "policy.safetensors", "gen-");
    make_run("u");
    run(&r, run_folder(), 60, "f=$(ls -d u/checkpoints/gen-* | tail -1)/state.blob; printf X | dd of=$f bs=1 seek=40 conv=notrunc 2>/dev/null; "
        "$MANTA train --resume u -n 2048 --verbose 0");
    EXPECT(0, "state.blob", "gen-");
    make_run("v");
    run(&r, run_folder(), 60, "for d in v/checkpoints/gen-*; do rm $d/manifest.json; done; $MANTA train --resume v -n 2048");
    cr_expect_neq(r.exit_code, 0, "%s", r.output);
    EXPECT(6, "manifest.json");
    cr_expect_null(strstr(r.output, "passed over"), "each is named once, in the error:\n%s", r.output);
}

Test(faults, weights_cut_short_are_told_so_and_where_whole_ones_may_be) {
    make_run("w");
    run(&r, run_folder(), 60, "truncate -s 20000 w/policy.safetensors; $MANTA eval w");
    EXPECT(6, "cut short", "w/checkpoints/gen-*/policy.safetensors");
    run(&r, run_folder(), 60, "cp w/policy.safetensors . && $MANTA train --env CartPole-v1 --init-weights policy.safetensors --run-folder x");
    EXPECT(6, "cut short");
    cr_expect_null(strstr(r.output, "checkpoints"), "%s", r.output);
}

// A newer generation of a run, in which one file has other bytes (NULL: is not there), and every digest is right.
static void forge(const char *run_name, const char *name, const void *data, size_t bytes) {
    char folder[256];
    mt_checkpoint *from = NULL;
    mt_checkpoint_writer *to = NULL;
    snprintf(folder, sizeof folder, "%s/%s/checkpoints", run_folder(), run_name);
    cr_assert_eq(mt_checkpoint_open_newest(folder, &from), MT_OK, "%s", mt_last_error());
    mt_checkpoint_desc desc = {.folder = folder, .generation = from->generation + 1, .steps = from->steps, .build_id = from->build_id, .keep = 9};
    cr_assert_eq(mt_checkpoint_begin(&desc, &to), MT_OK, "%s", mt_last_error());
    for (size_t i = 0; i < from->file_count; i++) {
        void *own = NULL;
        size_t own_bytes = 0;
        int forged = strcmp(from->files[i].name, name) == 0;
        if (forged && !data) continue;
        cr_assert_eq(mt_checkpoint_read(from, from->files[i].name, &own, &own_bytes), MT_OK, "%s", mt_last_error());
        cr_assert_eq(mt_checkpoint_add_bytes(to, from->files[i].name, forged ? data : own, forged ? bytes : own_bytes), MT_OK, "%s", mt_last_error());
        free(own);
    }
    cr_assert_eq(mt_checkpoint_commit(to), MT_OK, "%s", mt_last_error());
    mt_checkpoint_close(from);
}

Test(faults, a_checkpoint_that_lacks_a_file_is_no_missing_checkpoint) {
    static const char *const files[] = {"state.blob", "worker-00000.blob", "optimiser.safetensors"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[16];
        snprintf(name, sizeof name, "lacks%zu", i);
        make_run(name);
        forge(name, files[i], NULL, 0);
        run(&r, run_folder(), 60, "$MANTA train --resume %s -n 2048 --verbose 0", name);
        expect_output(3, &files[i], 1);
    }
}

// a failure inside an actor is no environment's only because an actor met it
Test(faults, what_actors_meet_keeps_its_status) {
    make_run("y");
    forge("y", "worker-00000.blob", "garbage", 7);
    run(&r, run_folder(), 60, "$MANTA train --resume y -n 2048 --verbose 0");
    EXPECT(6, "worker-00000.blob");
    // 4 TB of shuffled rows, asked for by the learners alone
    for (int ranks = 1; ranks <= 2; ranks++) {
        run(&r, run_folder(), 60, "ASAN_OPTIONS=$ASAN_OPTIONS:allocator_may_return_null=1 $MPIRUN -n %d $MANTA train --env CartPole-v1 --run-folder z%d "
            "-params n_steps:1000000 batch_size:1000000 n_epochs:1000000", ranks, ranks);
        EXPECT(7, "learner", "cannot allocate");
    }
}

Test(faults, damaged_weights_are_refused) {
    make_run("w");
    run(&r, run_folder(), 60, "truncate -s 100 w/policy.safetensors; $MANTA eval w");
    EXPECT(6, "policy.safetensors");
    run(&r, run_folder(), 60, "$MANTA eval w --env Acrobot-v1; $MANTA train --env Acrobot-v1 --run-folder x " SMALL
        " && cp x/policy.safetensors w/ && $MANTA eval w");
    EXPECT(2, "policy.safetensors", "wanted");
}

Test(faults, a_full_disk_leaves_the_older_generation_and_training_goes_on) {
    make_run("d");
    // the 12th fsync is inside a checkpoint: the start's own files are written by then
    run(&r, run_folder(), 60, "MANTA_FAILPOINTS=file.fsync:ENOSPC@12 $MANTA train --resume d -n 4096 --save-freq 256 --verbose 0");
    EXPECT(0, "No space left", "free", "no checkpoint at");
    run(&r, run_folder(), 60, "$MANTA train --resume d -n 5120 --verbose 0");
    EXPECT(0, "");
}

// run.json's command is cut between two letters: one of these two lines had it cut inside one
Test(faults, long_command_lines_of_any_letters) {
    static const char *const names[] = {"long", "longx"};
    for (int i = 0; i < 2; i++) {
        run(&r, run_folder(), 60, "words=$(for i in $(seq 60); do printf -- '--tensorboard-log=%%s ' $(printf '\xc3\xa4%%.0s' $(seq 40)); done); "
            "$MANTA train --env CartPole-v1 --run-folder %s $words " SMALL " && iconv -f utf-8 -t utf-8 %s/run.json | grep -c done", names[i], names[i]);
        EXPECT(0, "1\n");
    }
}

// what the driver holds does not grow with every checkpoint that could not be written
Test(faults, checkpoints_that_fail_leave_no_objects) {
    make_run("l");
    setenv("XDG_RUNTIME_DIR", run_folder(), 1);
    pid_t group = run_start(run_folder(), "MANTA_FAILPOINTS=file.fsync:ENOSPC@12+ exec $MANTA train --resume l -n 1e9 --save-freq 128 "
        "--verbose 0 2>l.log");
    run(&r, run_folder(), 60, "for i in $(seq 500); do [ $(grep -c 'no checkpoint at' l.log) -gt 100 ] && break; sleep 0.1; done; $MANTA status --json");
    const char *owned = strstr(r.output, "\"owned\":");
    cr_expect_eq(r.exit_code, 0, "%s", r.output);
    cr_expect(owned && atoi(owned + strlen("\"owned\":")) < 50, "%s", r.output);
    kill(group, SIGUSR1);
    cr_expect_eq(run_wait(group, 30), 5);
}

Test(faults, environments_that_break_their_word) {
    run(&r, run_folder(), 60, "$MANTA train --env %s/walk_nan.so --run-folder n " SMALL, MANTA_PLUGINS);
    EXPECT(9, "environment", "rollout worker 0");
    run(&r, run_folder(), 60, "$MPIRUN -n 2 $MANTA train --env %s/walk_nan.so --run-folder n2 " SMALL, MANTA_PLUGINS);
    EXPECT(9, "rollout worker", "rank");
    run(&r, run_folder(), 60, "$MANTA train --env %s/walk_abi.so --run-folder o " SMALL, MANTA_PLUGINS);
    EXPECT(8, "walk_abi.so", "ABI");
    manta("train --env ./missing.so");
    EXPECT(3, "missing.so");
    run(&r, run_folder(), 60, "echo hello > text.so; $MANTA train --env ./text.so");
    EXPECT(8, "text.so");
}

Test(faults, plugin_check_prints_its_verdicts) {
    run(&r, run_folder(), 60, "cp %s/walk*.so . && $MANTA plugin check walk.so", MANTA_PLUGINS);
    EXPECT(0, "PASS obs-bounds: ", "walk.so keeps the ABI's promises\n");
    manta("plugin check walk_prints.so");
    EXPECT(0, "WARN silent: ", "walk_prints.so keeps the ABI's promises (4 warnings)\n");
    manta("plugin check walk_nan.so");
    EXPECT(8, "FAIL finite: ", "walk_nan.so: 3 of the ABI's promises broken");
    manta("plugin check missing.so");
    EXPECT(3, "missing.so");
}

// what only one rank fails at ends the job at once, with that rank's reason
Test(faults, one_rank_alone) {
    run(&r, run_folder(), 60, "$MPIRUN -n 1 -x MANTA_ISA=avx1024 $MANTA train --env CartPole-v1 --run-folder p " SMALL
        " : -n 1 $MANTA train --env CartPole-v1 --run-folder p " SMALL);
    EXPECT(2, "avx1024");
    run(&r, run_folder(), 60, "$MPIRUN -n 1 $MANTA train --env CartPole-v1 --run-folder p " SMALL
        " : -n 1 $MANTA train --env CartPole-v1 --run-folder p --seed 9 " SMALL);
    EXPECT(2, "rank 1", "rank 0");
    run(&r, run_folder(), 60, "$MPIRUN -n 1 -x MANTA_ISA=plain $MANTA train --env CartPole-v1 --run-folder q " SMALL
        " : -n 1 $MANTA train --env CartPole-v1 --run-folder q " SMALL " && grep kernels q/run.json");
    EXPECT(0, "cpu/plain");
}

// a rank that cannot read its command line has met the others before it leaves
Test(faults, a_flag_of_one_rank_alone) {
    static const struct { const char *flags; const char *words[2]; } odd[] = {
        {"--sede 3", {"rank 1", "did you mean"}}, {"extra", {"rank 1", "\"extra\" is not an option"}},
        {"--resume nowhere", {"rank 1", "nowhere"}}, {"--help", {"--help", "rank 1"}},
    };
    const int codes[] = {2, 2, 3, 2};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        run(&r, run_folder(), 30, "$MPIRUN -n 1 $MANTA train --env CartPole-v1 --run-folder p " SMALL " : -n 1 $MANTA train --env CartPole-v1 "
            "--run-folder p %s " SMALL, odd[i].flags);
        expect_output(codes[i], odd[i].words, 2);
    }
    run(&r, run_folder(), 30, "$MPIRUN -n 2 $MANTA train --help");
    EXPECT(0, "usage: manta train");
}

// one rank's environment takes 5 s for a step: too long for a short timeout, no matter for a longer one
static void slow_rank(int slow, const char *timeout, const char *folder) {
    const char *slowness[] = {"", "-x WALK_SLOW_SECONDS=5"};
    run(&r, run_folder(), 60, "manta=\"$MANTA train --env %s/walk_slow.so --timeout %s --run-folder %s " SMALL "\"; "
        "$MPIRUN -n 1 %s $manta : -n 1 %s $manta", MANTA_PLUGINS, timeout, folder, slowness[slow == 0], slowness[slow == 1]);
}

Test(faults, a_slow_rank_is_waited_for_as_long_as_the_timeout_says) {
    slow_rank(1, "2", "s1");
    EXPECT(11, "deadline passed", "rank 1 of 2", "--timeout 2");
    slow_rank(0, "2", "s0");   // the rank that otherwise prints
    EXPECT(11, "deadline passed", "rank 0 of 2", "--timeout 2");
    slow_rank(1, "50", "s2");
    EXPECT(0, "");
    slow_rank(0, "0", "s3");
    EXPECT(0, "");
    manta("train --env CartPole-v1 --timeout -1");
    EXPECT(2, "timeout", "0 to 1e9", "wait");
}

// a body that never returns keeps its thread, and whatever that thread uses: the deadline is what is told
Test(faults, an_environment_that_never_returns_ends_with_the_deadline) {
    for (int ranks = 1; ranks <= 2; ranks++) {
        run(&r, run_folder(), 60, "$MPIRUN -n %d $MANTA train --env %s/walk_hang.so --timeout 2 --end-timeout 1 --run-folder h%d " SMALL, ranks,
            MANTA_PLUGINS, ranks);
        EXPECT(11, "deadline passed", "--timeout 2");
        cr_expect_null(strstr(r.output, "Segmentation"), "%s", r.output);
    }
}

// a failure is heard while the driver waits for others, and is not lost in their deadline: whichever rank fails, whichever hangs
Test(faults, one_failure_is_heard_before_another_deadline) {
    static const char *const fate[] = {"-x WALK_SLOW_SECONDS=60", "-x WALK_SLOW_NAN=1"};
    for (int bad = 0; bad < 2; bad++) {
        char worker[32];
        snprintf(worker, sizeof worker, "rollout worker %d", bad);
        run(&r, run_folder(), 60, "manta=\"$MANTA train --env %s/walk_slow.so --timeout 25 --end-timeout 1 --run-folder f%d " SMALL "\"; "
            "$MPIRUN -n 1 %s $manta : -n 1 %s $manta; code=$?; echo after $SECONDS; exit $code", MANTA_PLUGINS, bad, fate[bad == 0], fate[bad == 1]);
        expect_output(9, (const char *const[]){worker, "after "}, 2);
        const char *after = strstr(r.output, "after ");
        cr_expect(after && atoi(after + strlen("after ")) < 20, "%s", r.output);
    }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)   // these need more addresses than the limit leaves
Test(faults, one_rank_without_memory) {
    run(&r, run_folder(), 60, "$MPIRUN -n 1 $MANTA train --env CartPole-v1 --run-folder m " SMALL
        " : -n 1 bash -c 'ulimit -v 400000; exec $MANTA train --env CartPole-v1 --run-folder m " SMALL "'");
    EXPECT(7, "manta: rank 1: ", "ulimit -v");
    cr_expect_null(strstr(r.output, "see its message"), "%s", r.output);
}
#endif

Test(faults, more_ranks_than_slots) {
    run(&r, run_folder(), 60, "mpirun -n 512 $MANTA train --env CartPole-v1 --run-folder slots " SMALL);
    cr_expect_neq(r.exit_code, 0, "%s", r.output);
    cr_expect_not_null(strstr(r.output, "slots"), "%s", r.output);
}

Test(faults, fewer_rows_than_workers) {
    manta("train --env CartPole-v1 --n-workers 8 --run-folder b -n 1024 -params n_envs:8 n_steps:32 batch_size:4 normalize_advantage:false");
    EXPECT(2, "batch_size", "n_workers");
}

Test(faults, an_instruction_set_that_is_none) {
    run(&r, run_folder(), 60, "MANTA_ISA=avx1024 $MANTA version");
    EXPECT(2, "avx1024", "avx512");
}

Test(faults, more_ranks_than_environments_still_train) {
    run(&r, run_folder(), 60, "$MPIRUN -n 4 $MANTA train --env CartPole-v1 --run-folder k -n 512 --verbose 0 -params n_envs:2 n_steps:32 batch_size:32");
    EXPECT(0, "");
}

// mpirun may end the others before they have spoken; whoever speaks says how to go on
Test(faults, a_rank_left_behind_says_how_to_go_on) {
    int spoken = 0;
    for (int i = 0; i < 6 && !spoken; i++) {
        run(&r, run_folder(), 60, "$MPIRUN -n 2 $MANTA train --env CartPole-v1 -n 1e9 --verbose 0 --run-folder left%d & "
            "until [ -d left%d/checkpoints ]; do sleep 0.1; done; sleep 0.5; "
            "for p in $(pgrep -f 'run-folder left%d$'); do grep -qz OMPI_COMM_WORLD_RANK=1 /proc/$p/environ && kill -9 $p; done; wait", i, i, i);
        const char *line = strstr(r.output, "manta: ");
        if (!line) continue;
        spoken = 1;
        cr_expect(strstr(line, "manta train --resume left"), "%s", r.output);
    }
    cr_expect(spoken, "%s", r.output);
}
