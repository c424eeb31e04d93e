// The launcher against everything that ends a job: what is lost is at most the time since the last checkpoint, and the result is the
// one of a run that nothing happened to.
#include "tests/apps/run.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL "--env CartPole-v1 --seed 5 --verbose 0 --deterministic --n-workers 4 --save-interval 0 -params n_envs:8 n_steps:64 batch_size:64 n_epochs:2"
#define LAUNCH "$MANTA launch -n 2 --mpirun-args '--oversubscribe' --backoff 0.1"

static run_result r;

static void expect(int code, const char *word) {
    cr_assert_eq(r.exit_code, code, "exit %d instead of %d:\n%s", r.exit_code, code, r.output);
    cr_assert_not_null(strstr(r.output, word), "no \"%s\" in:\n%s", word, r.output);
}

static void digest(const char *name, char out[32]) {
    char path[256], text[4096];
    snprintf(path, sizeof path, "%s/run.json", name);
    run_read(run_folder(), path, text, sizeof text);
    const char *at = strstr(text, "\"weights_xxh3\": \"");
    cr_assert_not_null(at, "%s", text);
    snprintf(out, 32, "%.16s", at + strlen("\"weights_xxh3\": \""));
    cr_assert_eq(strspn(out, "0123456789abcdef"), 16, "%s", text);
}

static void expect_equal_digests(const char *a, const char *b) {
    char first[32], second[32];
    digest(a, first), digest(b, second);
    cr_expect_str_eq(first, second, "%s and %s", a, b);
}

static void whole(const char *steps) {
    run(&r, run_folder(), 120, "$MANTA train --run-folder whole -n %s " SMALL, steps);
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
}

// ---- finding processes: each test's have its folder in their environment's PWD

static int has_word(const char *environment, size_t bytes, const char *word) {
    for (const char *at = environment; at < environment + bytes; at += strlen(at) + 1)
        if (strcmp(at, word) == 0) return 1;
    return 0;
}

// The first process of this test whose name is `name` and whose environment has `word`. 0: none.
static pid_t find(const char *name, const char *word) {
    static char environment[1 << 17];
    char path[300], mine[128], comm[64];
    snprintf(mine, sizeof mine, "MANTA_TEST_FOLDER=%s", run_folder());
    pid_t found = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *e; !found && (e = readdir(proc)) != NULL;) {
        if (atoi(e->d_name) <= 0) continue;
        snprintf(path, sizeof path, "/proc/%s/environ", e->d_name);
        FILE *f = fopen(path, "re");
        size_t n = f ? fread(environment, 1, sizeof environment - 1, f) : 0;
        if (f) fclose(f);
        environment[n] = 0;
        if (!has_word(environment, n, mine) || (word && !has_word(environment, n, word))) continue;
        snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
        comm[0] = 0;
        if ((f = fopen(path, "re")) != NULL) {
            if (fgets(comm, sizeof comm, f)) comm[strcspn(comm, "\n")] = 0;
            fclose(f);
        }
        if (strcmp(comm, name) == 0) found = (pid_t)atoi(e->d_name);
    }
    closedir(proc);
    return found;
}

static int generations(const char *name) {
    char path[256];
    int newest = 0;
    snprintf(path, sizeof path, "%s/%s/checkpoints", run_folder(), name);
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && (e = readdir(folder)) != NULL;)
        if (strncmp(e->d_name, "gen-", 4) == 0 && atoi(e->d_name + 4) > newest) newest = atoi(e->d_name + 4);
    if (folder) closedir(folder);
    return newest;
}

// Starts it in the background, its words in NAME.out, and waits until the run has its n-th checkpoint.
static pid_t start(const char *name, int checkpoint, const char *options, const char *arguments) {
    setenv("MANTA_TEST_FOLDER", run_folder(), 1);
    pid_t group = run_start(run_folder(), "exec " LAUNCH " %s train --run-folder %s %s " SMALL " >%s.out 2>&1", options, name, arguments, name);
    for (int i = 0; i < 6000 && generations(name) < checkpoint; i++) usleep(10000);
    cr_assert_geq(generations(name), checkpoint, "it did not begin");
    return group;
}

static void end(pid_t group, const char *name, int code, const char *word) {
    char path[128];
    r.exit_code = run_wait(group, 120);
    snprintf(path, sizeof path, "%s.out", name);
    run_read(run_folder(), path, r.output, sizeof r.output);
    expect(code, word);
}

static void expect_nothing_left(void) {
    for (int i = 0; i < 500 && (find("manta", NULL) || find("mpirun", NULL)); i++) usleep(10000);
    cr_expect_eq(find("manta", NULL), 0, "a rank lives on");
    cr_expect_eq(find("mpirun", NULL), 0, "mpirun lives on");
}

// ---- what is survived

Test(launch, a_killed_rank_changes_nothing_but_the_time) {
    whole("24576");
    pid_t group = start("k", 2, "", "-n 24576 --save-freq 1024");
    pid_t rank = find("manta", "OMPI_COMM_WORLD_RANK=1");
    cr_assert_gt(rank, 0);
    kill(rank, SIGKILL);
    end(group, "k", 0, "relaunching from generation");
    cr_expect_not_null(strstr(r.output, "rank 1"), "who died is not said:\n%s", r.output);
    expect_equal_digests("whole", "k");
    expect_nothing_left();
}

Test(launch, a_killed_mpirun_leaves_nothing_behind_and_the_run_goes_on) {
    whole("24576");
    pid_t group = start("m", 2, "", "-n 24576 --save-freq 1024");
    pid_t mpirun = find("mpirun", NULL);
    cr_assert_gt(mpirun, 0);
    kill(mpirun, SIGKILL);
    end(group, "m", 0, "relaunching from generation");
    cr_expect_not_null(strstr(r.output, "swept"), "%s", r.output);
    expect_equal_digests("whole", "m");
    expect_nothing_left();
    char session[128];
    snprintf(session, sizeof session, "ls -d /tmp/ompi.*/pid.%d 2>/dev/null", (int)mpirun);
    run(&r, run_folder(), 10, "%s", session);
    cr_expect_neq(r.exit_code, 0, "its session folder is still there: %s", r.output);
}

Test(launch, a_stopped_rank_is_a_hung_job) {
    whole("65536");
    pid_t group = start("h", 2, "--hang-timeout 3", "-n 65536 --save-freq 2048 --timeout 0");
    pid_t rank = find("manta", "OMPI_COMM_WORLD_RANK=1");
    cr_assert_gt(rank, 0);
    // again and again: mpirun wakes it a second before it kills it, and the run would end well in that second
    pid_t keeper = run_start(run_folder(), "while kill -STOP %d 2>/dev/null; do sleep 0.002; done", (int)rank);
    end(group, "h", 0, "relaunching from generation");
    cr_expect_not_null(strstr(r.output, "no sign of life: rank 1"), "%s", r.output);
    cr_expect_not_null(strstr(r.output, "is stopped"), "%s", r.output);
    run_wait(keeper, 5);
    expect_equal_digests("whole", "h");
    expect_nothing_left();
}

Test(launch, progress_gives_the_budget_back) {
    whole("8192");
    // every start of rank 0 dies some checkpoints later: more often than the budget has relaunches
    run(&r, run_folder(), 200, "MANTA_FAILPOINTS=file.fsync:KILL@50 " LAUNCH " --max-relaunches 1 train --run-folder p -n 8192 --save-freq 512 " SMALL);
    expect(0, "attempt 2 ended");
    expect_equal_digests("whole", "p");
}

// ---- what is not

Test(launch, a_job_that_always_dies_ends_with_a_reason) {
    // inside the very first file: what lies in the folder then must not be in the next attempt's way
    run(&r, run_folder(), 100, "MANTA_FAILPOINTS=file.fsync:KILL@1 " LAUNCH " --max-relaunches 2 train --run-folder b -n 4096 " SMALL);
    expect(12, "gave up after 3 attempts");
    expect(12, "--max-relaunches 2");
    expect(12, "there is no checkpoint");
    expect(12, "exited on signal 9");
    cr_expect_null(strstr(r.output, "not empty"), "%s", r.output);
}

Test(launch, status_0_without_a_run_is_no_success) {
    // with --enable-recovery mpirun says 0 for a job whose ranks died
    run(&r, run_folder(), 100, "MANTA_FAILPOINTS=file.fsync:KILL@1 $MANTA launch -n 1 --backoff 0.1 --mpirun-args '--oversubscribe --enable-recovery' "
        "--max-relaunches 1 train --run-folder b -n 4096 " SMALL);
    expect(12, "gave up after 2 attempts");
    expect(12, "there is no checkpoint");
}

Test(launch, a_run_that_has_all_its_steps_is_a_success) {
    run(&r, run_folder(), 100, LAUNCH " train --run-folder c -n 2048 " SMALL " && " LAUNCH " train --resume c --verbose 0");
    expect(0, "");
    cr_expect_null(strstr(r.output, "relaunching"), "%s", r.output);
}

Test(launch, what_would_only_happen_again_is_not_tried_again) {
    run(&r, run_folder(), 60, LAUNCH " train --env CartPole-v1 --sede 3");
    expect(2, "did you mean \"--seed\"");
    run(&r, run_folder(), 60, LAUNCH " train --env CartPole-v1 -params gamma:3");
    expect(2, "gamma");
    run(&r, run_folder(), 60, LAUNCH " train --env CartPole-v7");
    expect(3, "not started again");
    cr_expect_null(strstr(r.output, "relaunching"), "%s", r.output);
    run(&r, run_folder(), 60, "$MANTA launch -n 300 train --env CartPole-v1");
    expect(2, "slots");
    run(&r, run_folder(), 60, "$MANTA launch --mpirun no-such-mpirun train --env CartPole-v1");
    expect(3, "--mpirun");
    run(&r, run_folder(), 60, "$MANTA launch --mpirun-args \"--bind-to 'none\" train --env CartPole-v1");
    expect(2, "is not closed");
    run(&r, run_folder(), 60, "$MANTA launch -n 2");
    expect(2, "what is to be launched");
    run(&r, run_folder(), 60, "$MANTA launch -n 2 eval somewhere");
    expect(2, "eval");
    run(&r, run_folder(), 60, "$MPIRUN -n 1 $MANTA launch -n 2 train --env CartPole-v1");
    expect(2, "without mpirun");
    run(&r, run_folder(), 60, "$MANTA launch -n 2 train --env CartPole-v1 $(printf -- '--verbose=0 %%.0s' {1..1100})");
    expect(2, "words");
    run(&r, run_folder(), 60, "ls logs/ppo/* 2>/dev/null || true");
    cr_expect_str_empty(r.output, "folders of runs that never began: %s", r.output);
}

Test(launch, damaged_checkpoints_are_never_replaced_by_a_fresh_start) {
    run(&r, run_folder(), 100, LAUNCH " train --run-folder d -n 2048 " SMALL " && rm d/checkpoints/*/manifest.json && " LAUNCH " train --resume d -n 4096 --verbose 0");
    expect(6, "manifest.json");
    cr_expect_null(strstr(r.output, "relaunching"), "%s", r.output);
}

// ---- being asked to stop

static void expect_stop(int number, const char *name) {
    pid_t group = start(name, 1, "", "-n 1e9 --save-freq 1024");
    kill(group, number);
    end(group, name, 75, "state saved at");
    expect_nothing_left();
    run(&r, run_folder(), 10, "cat %s/run.json", name);
    expect(0, "interrupted");
}

Test(launch, sigterm_saves_and_exits_with_75) { expect_stop(SIGTERM, "st"); }
Test(launch, sigint_saves_and_exits_with_75) { expect_stop(SIGINT, "si"); }

Test(launch, a_run_that_was_stopped_goes_on_where_it_was) {
    whole("16384");
    pid_t group = start("s", 1, "", "-n 16384 --save-freq 1024");
    kill(group, SIGUSR1);
    run_wait(group, 60);   // 75, or 0 when it was done first
    run(&r, run_folder(), 100, LAUNCH " train --resume s --verbose 0");
    expect(0, "");
    expect_equal_digests("whole", "s");
}

Test(launch, a_second_signal_does_not_wait) {
    pid_t group = start("q", 1, "--hang-timeout 0", "-n 1e9 --save-freq 1024 --timeout 0");
    pid_t rank = find("manta", "OMPI_COMM_WORLD_RANK=1");
    cr_assert_gt(rank, 0);
    kill(rank, SIGSTOP);   // so it cannot save
    kill(group, SIGTERM);
    usleep(300000);
    kill(group, SIGTERM);
    // mpirun wakes it to die; whether the ranks have the time to save is theirs
    end(group, "q", 75, "manta: stopped");
    expect_nothing_left();
}

Test(launch, a_signal_during_the_sweep_of_other_hosts_stops) {
    // an mpirun whose jobs fail at once and whose sweep takes its time
    run(&r, run_folder(), 10, "printf '#!/bin/sh\\ncase \"$*\" in *--sweep=*) touch sweeps; exec sleep 60;; esac\\necho job >>jobs; exit 12\\n' >fake "
        "&& chmod +x fake && cat fake");
    cr_assert_eq(r.exit_code, 0, "%s", r.output);
    pid_t group = run_start(run_folder(), "exec $MANTA launch -n 1 --host localhost --mpirun ./fake --backoff 0.1 train --run-folder w " SMALL
        " >w.out 2>&1");
    for (int i = 0; i < 1000; i++) {
        run(&r, run_folder(), 10, "test -e sweeps");
        if (r.exit_code == 0) break;
        usleep(10000);
    }
    cr_assert_eq(r.exit_code, 0, "it never swept");
    kill(group, SIGTERM);
    end(group, "w", 75, "stopped");
    run(&r, run_folder(), 10, "cat jobs");
    cr_expect_str_eq(r.output, "job\n");
}

Test(launch, a_killed_launcher_takes_the_job_along) {
    pid_t group = start("l", 1, "", "-n 1e9 --save-freq 1024");
    kill(group, SIGKILL);
    cr_expect_eq(run_wait(group, 20), 128 + SIGKILL);
    expect_nothing_left();
}

Test(launch, options_of_the_command_stay_the_commands) {
    run(&r, run_folder(), 60, "$MANTA launch -n 2 train --help");
    expect(0, "usage: manta train");
    run(&r, run_folder(), 60, "$MANTA launch --help");
    expect(0, "--hang-timeout");
    // -n of each; a run folder that nobody named
    run(&r, run_folder(), 60, "$MANTA launch -n 1 --mpirun-args --oversubscribe train -n 2048 --env CartPole-v1 --verbose 0 -params n_steps:64 && ls logs/ppo");
    expect(0, "CartPole-v1_1");
}
