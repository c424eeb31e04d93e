// manta status of a job under mpirun, from another process, while it runs, hangs and ends.
#include "tests/apps/run.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static run_result r;

static void expect(int code, const char *word) {
    cr_assert_eq(r.exit_code, code, "exit %d instead of %d:\n%s", r.exit_code, code, r.output);
    cr_assert_not_null(strstr(r.output, word), "no \"%s\" in:\n%s", word, r.output);
}

// A job of three ranks whose sockets lie in this test's folder; waits until it answers.
static pid_t start(void) {
    setenv("XDG_RUNTIME_DIR", run_folder(), 1);
    pid_t group = run_start(run_folder(), "exec $MPIRUN -n 3 $MANTA train --env CartPole-v1 --run-folder s -n 1e9 --verbose 0 --metrics-file m.prom "
        "-params n_envs:8 n_steps:64");
    for (int i = 0; i < 400; i++) {
        run(&r, run_folder(), 20, "$MANTA status");
        if (r.exit_code == 0 && strstr(r.output, "Learner")) return group;
        usleep(50000);
    }
    cr_assert_fail("the job does not answer: %s", r.output);
    return 0;
}

static void stop(pid_t group) {
    kill(group, SIGUSR1);
    run_wait(group, 60);
    run(&r, run_folder(), 20, "$MANTA status");
    expect(3, "no job of yours runs");
}

static pid_t pid_of_rank(const char *json, int rank) {
    char mark[32];
    snprintf(mark, sizeof mark, "\"rank\": %d,", rank);
    const char *at = strstr(json, mark);
    cr_assert_not_null(at, "%s", json);
    at = strstr(at, "\"pid\": ");
    cr_assert_not_null(at);
    return (pid_t)atol(at + 7);
}

// Prometheus's text format 0.0.4: every line is a comment or name{labels} value, and no name comes without its TYPE before it.
static void expect_prometheus(const char *text) {
    char type[256] = "";
    int samples = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        cr_assert_not_null(strchr(line, '\n'), "the last line has no end");
        if (strncmp(line, "# TYPE ", 7) == 0) {
            snprintf(type, sizeof type, "%.*s", (int)strcspn(line + 7, " "), line + 7);
            char again[300];
            snprintf(again, sizeof again, "# TYPE %s ", type);
            cr_expect_null(strstr(line + 7, again), "%s twice", type);
        }
        if (*line == '#') continue;
        size_t name = strcspn(line, "{ \n");
        cr_assert(name == strlen(type) && strncmp(line, type, name) == 0, "%.80s has the type of %s", line, type);
        cr_assert_eq(strspn(line, "abcdefghijklmnopqrstuvwxyz_"), name, "%.80s", line);
        cr_assert_eq(strncmp(line, "manta_", 6), 0);
        const char *value = strchr(line, '}');
        char *end;
        cr_assert(value && value[1] == ' ', "%.80s", line);
        strtod(value + 2, &end);
        cr_assert(end > value + 2 && *end == '\n', "%.120s", line);
        samples++;
    }
    cr_expect_gt(samples, 60);
}

Test(status, a_running_job_is_seen_from_another_process) {
    char file[256];
    pid_t group = start();
    run(&r, run_folder(), 20, "$MANTA status");
    expect(0, "ranks       3 on 1 host\n");
    expect(0, "EnvRunner");
    expect(0, "resources   CPU ");
    run(&r, run_folder(), 20, "$MANTA status --json | python3 -c 'import json, sys; d = json.load(sys.stdin); assert len(d[\"ranks\"]) == 3 and d[\"silent\"] == 0' && echo fine");
    expect(0, "fine");
    run(&r, run_folder(), 20, "$MANTA status --prometheus");
    cr_assert_eq(r.exit_code, 0);
    expect_prometheus(r.output);
    run(&r, run_folder(), 20, "$MANTA status --json");
    pid_t head = pid_of_rank(r.output, 0);
    run(&r, run_folder(), 20, "$MANTA status %d", head);
    expect(0, "ranks       3");
    run(&r, run_folder(), 20, "$MANTA status 1");
    expect(3, "no job 1");
    run(&r, run_folder(), 20, "$MANTA status --json --prometheus");
    expect(2, "not both");
    // the file for node_exporter
    snprintf(file, sizeof file, "%s/m.prom", run_folder());
    for (int i = 0; i < 500 && access(file, R_OK) != 0; i++) usleep(20000);
    run_read(run_folder(), "m.prom", r.output, sizeof r.output);
    expect_prometheus(r.output);
    stop(group);
    cr_expect_neq(access(file, F_OK), 0);
}

Test(status, a_stopped_rank_gives_no_answer) {
    pid_t group = start();
    run(&r, run_folder(), 20, "$MANTA status --json");
    pid_t rank = pid_of_rank(r.output, 2);
    kill(rank, SIGSTOP);
    run(&r, run_folder(), 20, "$MANTA status");
    kill(rank, SIGCONT);
    expect(0, "1 give no answer");
    expect(0, "no answer");
    stop(group);
}

Test(status, what_a_killed_job_left_is_not_a_job) {
    pid_t group = start();
    run(&r, run_folder(), 20, "$MANTA status --json");
    kill(pid_of_rank(r.output, 0), SIGKILL);
    run_wait(group, 60);
    run(&r, run_folder(), 20, "$MANTA status");
    expect(3, "no job of yours runs");
    run(&r, run_folder(), 20, "ls manta");
    cr_expect_str_empty(r.output, "its socket is still there: %s", r.output);
}

Test(status, nobody_listens_on_a_network) {
    pid_t group = start();
    run(&r, run_folder(), 20, "$MANTA status --json");
    // without mpirun there is no MPI either: what then listens would be manta's own
    stop(group);
    group = run_start(run_folder(), "exec $MANTA train --env CartPole-v1 --run-folder alone -n 1e9 --verbose 0");
    for (int i = 0; i < 400 && (run(&r, run_folder(), 20, "$MANTA status"), r.exit_code); i++) usleep(50000);
    run(&r, run_folder(), 20, "for fd in /proc/%d/fd/*; do readlink $fd; done | sed -n 's/^socket:.\\(.*\\).$/\\1/p' | while read -r inode; do "
        "grep -w $inode /proc/net/tcp /proc/net/tcp6 /proc/net/udp; done; echo looked", group);
    cr_expect_str_eq(r.output, "looked\n", "%s", r.output);
    stop(group);
}
