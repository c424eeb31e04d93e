// Starting mpirun from a test: a child with a time limit that dies with the test, its output kept.
#ifndef MANTA_TESTS_ENGINE_MPI_LAUNCH_H
#define MANTA_TESTS_ENGINE_MPI_LAUNCH_H

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/base/clock.h"

enum { LAUNCH_ARGS_MAX = 24, LAUNCH_OUTPUT_BYTES = 1 << 16 };

typedef struct launch_result {
    int status; // exit status; 128 + signal; -1 when the time was up
    double seconds;
    char output[LAUNCH_OUTPUT_BYTES]; // stdout and stderr, NUL-terminated, cut at the end
} launch_result;

// In the child: nothing of an outer mpirun, root allowed, and no leak reports about MPI itself.
static inline void launch_environment(void) {
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("ASAN_OPTIONS", "detect_leaks=0", 0);
}

// Runs argv (NULL-terminated) for at most limit_s seconds, then kills it.
static inline void launch(char *const argv[], double limit_s, launch_result *result) {
    int out[2], status = 0;
    size_t used = 0;
    int64_t start = mt_clock_ns(), deadline = mt_deadline_after((int64_t)(limit_s * 1e9));
    result->status = -1;
    if (pipe(out) != 0) return;
    pid_t test = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != test) _exit(127);
        dup2(out[1], 1);
        dup2(out[1], 2);
        close(out[0]);
        close(out[1]);
        launch_environment();
        execvp(argv[0], argv);
        dprintf(2, "cannot start %s\n", argv[0]);
        _exit(127);
    }
    close(out[1]);
    while (!mt_deadline_passed(deadline)) {
        struct pollfd ready = {.fd = out[0], .events = POLLIN};
        char rest[4096];
        if (poll(&ready, 1, 100) <= 0) continue;
        size_t room = sizeof result->output - 1 - used;
        ssize_t n = read(out[0], room ? result->output + used : rest, room ? room : sizeof rest);
        if (n <= 0) break;
        if (room) used += (size_t)n;
    }
    result->output[used] = 0;
    close(out[0]);
    int late = mt_deadline_passed(deadline);
    if (late) kill(pid, SIGTERM); // mpirun takes its ranks with it
    for (int i = 0; late && i < 30 && waitpid(pid, &status, WNOHANG) == 0; i++) mt_sleep_ns(100 * MT_MILLISECOND_NS);
    if (late) kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    result->seconds = (double)(mt_clock_ns() - start) * 1e-9;
    if (!late) result->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// mpirun [extra] -n ranks program arguments...; extra may be NULL
static inline void launch_mpirun(int ranks, const char *extra, const char *program, const char *const *arguments,
    double limit_s, launch_result *result) {
    char count[16];
    const char *argv[LAUNCH_ARGS_MAX] = {MANTA_MPIEXEC, "--oversubscribe", "--bind-to", "none"};
    int n = 4;
    if (extra) argv[n++] = extra;
    snprintf(count, sizeof count, "%d", ranks);
    argv[n++] = "-n";
    argv[n++] = count;
    argv[n++] = program;
    for (; *arguments && n < LAUNCH_ARGS_MAX - 1; arguments++) argv[n++] = *arguments;
    argv[n] = NULL;
    launch((char *const *)argv, limit_s, result);
}

#endif
