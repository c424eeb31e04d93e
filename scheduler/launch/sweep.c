// The sweep; sweep.h says what it goes by. The launcher's thread.
#include "scheduler/launch/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "engine/base/clock.h"
#include "engine/base/file.h"

enum { ENVIRONMENT_BYTES = 1 << 21 };   // more than the system lets a program have by default
#define AGAIN_NS (20 * MT_MILLISECOND_NS)

// ---- looking at one process

// A small file of /proc; what is not there or not ours to read is "".
static size_t read_proc(int pid, const char *name, char *out, size_t bytes) {
    char path[64];
    size_t used = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t n; fd >= 0 && used + 1 < bytes && (n = read(fd, out + used, bytes - 1 - used)) > 0;) used += (size_t)n;
    if (fd >= 0) close(fd);
    out[used] = '\0';
    return used;
}

// value of NAME in an environment of NUL-terminated words
static const char *variable(const char *environment, size_t bytes, const char *name) {
    size_t length = strlen(name);
    for (const char *word = environment; word < environment + bytes; word += strlen(word) + 1)
        if (strncmp(word, name, length) == 0 && word[length] == '=') return word + length + 1;
    return NULL;
}

static char state_of(int pid) {
    char text[512];
    read_proc(pid, "stat", text, sizeof text);
    const char *end = strrchr(text, ')');   // the name before it may hold anything
    return end && end[1] == ' ' ? end[2] : 'X';
}

static int belongs(int pid, const char *job, char *environment, mt_stray *out) {
    size_t bytes = read_proc(pid, "environ", environment, ENVIRONMENT_BYTES);
    const char *word = variable(environment, bytes, MT_JOB_WORD);
    if (!word || strcmp(word, job) != 0) return 0;
    const char *rank = variable(environment, bytes, "OMPI_COMM_WORLD_RANK");
    *out = (mt_stray){.pid = pid, .rank = rank ? atoi(rank) : -1, .state = state_of(pid)};
    return out->state != 'Z' && out->state != 'X';
}

// By a descriptor of the process, so that the number cannot have become another's between the look and the kill.
static int kill_one(int pid, const char *job, char *environment) {
    mt_stray stray;
#ifdef SYS_pidfd_open
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd >= 0) {
        int done = belongs(pid, job, environment, &stray) && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
        close(fd);
        return done;
    }
    if (errno == ESRCH) return 0;
#endif
    return belongs(pid, job, environment, &stray) && kill(pid, SIGKILL) == 0;
}

// ---- all of them

typedef void visit_fn(void *context, const mt_stray *stray, char *environment);

static mt_status visit_all(const char *job, pid_t except, visit_fn *visit, void *context) {
    mt_folder_names names;
    char *environment = malloc(ENVIRONMENT_BYTES);
    if (!environment) return MT_FAIL(NO_MEMORY, "out of memory for a look at the processes");
    mt_status status = mt_folder_list("/proc", &names);
    for (size_t i = 0; status == MT_OK && i < names.count; i++) {
        mt_stray stray;
        int pid = atoi(names.names[i]);
        if (pid > 0 && pid != getpid() && pid != except && belongs(pid, job, environment, &stray))
            visit(context, &stray, environment);
    }
    if (status == MT_OK) mt_folder_names_fini(&names);
    free(environment);
    return status;
}

static void list_one(void *context, const mt_stray *stray, char *environment) {
    (void)environment;
    mt_strays *out = context;
    if (out->count < MT_SWEEP_LIST) out->list[out->count] = *stray;
    out->count++;
}

mt_status mt_sweep_look(const char *job, pid_t except, mt_strays *out) {
    *out = (mt_strays){0};
    return visit_all(job, except, list_one, out);
}

typedef struct killer {
    const char *job;
    mt_strays seen;
    int killed;
} killer;

static void kill_visited(void *context, const mt_stray *stray, char *environment) {
    killer *k = context;
    list_one(&k->seen, stray, environment);
    k->killed += kill_one(stray->pid, k->job, environment);
}

mt_status mt_sweep_processes(const char *job, pid_t except, int64_t deadline_ns, int *killed) {
    killer k = {.job = job};
    *killed = 0;
    for (;;) {
        k.seen.count = 0;
        MT_TRY(visit_all(job, except, kill_visited, &k));
        if (k.seen.count > *killed) *killed = k.seen.count;   // one that takes its time to die is met again
        if (k.seen.count == 0) return MT_OK;
        if (mt_deadline_passed(deadline_ns))
            return MT_FAIL(DEADLINE,
                "process %d of the job that ended cannot be killed (state %c): it waits for a device or a file "
                "server; look after it (ps -p %d)",
                k.seen.list[0].pid, k.seen.list[0].state, k.seen.list[0].pid);
        mt_sleep_ns(AGAIN_NS);
    }
}

// ---- files

static int is_ours(const char *path, int folder) {
    struct stat info;
    return lstat(path, &info) == 0 && info.st_uid == geteuid() &&
           (folder ? S_ISDIR(info.st_mode) : S_ISREG(info.st_mode));
}

// vader_segment.HOST.UID.JOB.N, JOB in hexadecimal: the family in its upper half
static int is_segment_of(const char *name, uint32_t family) {
    char tail[64];
    snprintf(tail, sizeof tail, ".%lu.%04x", (unsigned long)geteuid(), family);
    const char *at = strncmp(name, "vader_segment.", 14) == 0 ? strstr(name, tail) : NULL;
    if (!at) return 0;
    at += strlen(tail);
    return strspn(at, "0123456789abcdef") == 4 && at[4] == '.' && at[5] &&
           strspn(at + 5, "0123456789") == strlen(at + 5);
}

static void remove_segments(const char *folder, uint32_t family, int *removed) {
    mt_folder_names names;
    char path[MT_PATH_BYTES];
    if (mt_folder_list(folder, &names) != MT_OK) return;
    for (size_t i = 0; i < names.count; i++)
        if (is_segment_of(names.names[i], family) && mt_path_join(path, sizeof path, folder, names.names[i]) == MT_OK &&
            is_ours(path, 0) && unlink(path) == 0) ++*removed;
    mt_folder_names_fini(&names);
}

// BASE/ompi.HOST.UID/pid.PID
static void remove_session(const char *base, pid_t mpirun, int *removed) {
    char host[256] = "", parent[MT_PATH_BYTES], path[MT_PATH_BYTES], name[64], folder[384];
    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "pid.%ld", (long)mpirun);
    for (int whole = 0; whole < 2; whole++) {   // Open MPI may leave the domain out
        if (whole == 0) host[strcspn(host, ".")] = '\0';
        else if (gethostname(host, sizeof host - 1) != 0 || !strchr(host, '.')) return;
        snprintf(folder, sizeof folder, "ompi.%s.%lu", host, (unsigned long)geteuid());
        if (mt_path_join(parent, sizeof parent, base, folder) != MT_OK || !is_ours(parent, 1)) continue;
        if (mt_path_join(path, sizeof path, parent, name) == MT_OK && is_ours(path, 1) &&
            mt_folder_remove_tree(parent, name) == MT_OK)
            ++*removed;
    }
}

void mt_sweep_files(uint32_t family, pid_t mpirun, int *removed) {
    static const char *const bases[] = {"OMPI_MCA_orte_tmpdir_base", "TMPDIR", "TEMP", "TMP"};
    const char *segments = getenv("OMPI_MCA_btl_vader_backing_directory"), *base = NULL;
    *removed = 0;
    for (size_t i = 0; i < sizeof bases / sizeof *bases && !base; i++) base = getenv(bases[i]);
    if (family) remove_segments(segments ? segments : "/dev/shm", family, removed);
    remove_session(base ? base : "/tmp", mpirun, removed);
}
