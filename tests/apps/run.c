// Children of tests. mpirun's daemons and ranks stay in the child's process group, so that one kill reaches all.
#include "tests/apps/run.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static char folder_path[64];

static void remove_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder_path);
    if (system(command)) fprintf(stderr, "could not remove %s\n", folder_path);
}

const char *run_folder(void) {
    if (!*folder_path) {
        snprintf(folder_path, sizeof folder_path, "/tmp/manta-test-XXXXXX");
        cr_assert_not_null(mkdtemp(folder_path));
        atexit(remove_folder);
    }
    return folder_path;
}

// in the child: never returns
static void become(const char *folder, const char *command, int output) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("MANTA", MANTA_PROGRAM, 1);
    setenv("MPIRUN", "mpirun --oversubscribe", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    if (chdir(folder) != 0) _exit(126);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0), dup2(output, 1), dup2(output, 2);
    execl("/bin/bash", "bash", "-c", command, (char *)NULL);
    _exit(127);
}

static int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

static pid_t start(const char *folder, const char *command, int output) {
    fflush(NULL);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) become(folder, command, output);
    setpgid(child, child);
    return child;
}

void run(run_result *out, const char *folder, int limit_seconds, const char *format, ...) {
    char command[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = start(folder, command, ends[1]);
    close(ends[1]);
    size_t used = 0;
    double end = now() + limit_seconds;
    int expired = 0;
    for (;;) {
        struct pollfd p = {.fd = ends[0], .events = POLLIN};
        double left = end - now();
        if (left <= 0 || poll(&p, 1, (int)(1000 * left) + 1) == 0) {
            expired = 1;
            break;
        }
        char rest[4096];
        ssize_t n = used + 1 < sizeof out->output ? read(ends[0], out->output + used, sizeof out->output - 1 - used)
                                                  : read(ends[0], rest, sizeof rest);
        if (n <= 0) break;
        if (used + 1 < sizeof out->output) used += (size_t)n;
    }
    out->output[used] = 0;
    if (expired) kill(-child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
    close(ends[0]);
    kill(-child, SIGKILL);   // whatever it left behind
    out->exit_code = expired ? 124 : code_of(status);
    cr_assert_not(expired, "did not end in %d s: %s\n%s", limit_seconds, command, out->output);
}

pid_t run_start(const char *folder, const char *format, ...) {
    char command[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t child = start(folder, command, null);
    close(null);
    return child;
}

int run_wait(pid_t group, int limit_seconds) {
    double end = now() + limit_seconds;
    int status;
    for (;;) {
        pid_t done = waitpid(group, &status, WNOHANG);
        if (done == group) break;
        if (now() > end) {
            kill(-group, SIGKILL);
            waitpid(group, &status, 0);
            return 124;
        }
        usleep(2000);
    }
    kill(-group, SIGKILL);
    return code_of(status);
}

void run_read(const char *folder, const char *name, char *out, size_t bytes) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s is not there", path);
    out[fread(out, 1, bytes - 1, f)] = 0;
    fclose(f);
}
