// Looking after other processes. A process that has ended and waits for its parent (a zombie) counts as ended.
#include "engine/runtime/transport/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// The start of a process, and whether it has ended; 0 when its file cannot be read.
static uint64_t start_of(int64_t pid, int *ended) {
    char path[64], line[1024];
    unsigned long long start = 0;
    char state = 0;
    *ended = 0;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    size_t n = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[n] = 0;
    // field 2 is the name in brackets, which may hold anything; 3 the state, 22 the start
    const char *at = strrchr(line, ')');
    if (!at || sscanf(at + 1, " %c", &state) != 1) return 0;
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
    if (!at || sscanf(at, "%llu", &start) != 1) return 0;
    *ended = state == 'Z' || state == 'X';
    return start;
}

mt_process_id mt_process_self(void) {
    int ended;
    mt_process_id id = {.pid = getpid()};
    id.start = start_of(id.pid, &ended);
    return id;
}

static int alive_by_number(mt_process_id id) {
    int ended;
    if (kill((pid_t)id.pid, 0) != 0 && errno == ESRCH) return 0;
    uint64_t start = start_of(id.pid, &ended);
    return !ended && (!start || !id.start || start == id.start);
}

void mt_process_watch_open(mt_process_watch *watch, mt_process_id id) {
    *watch = (mt_process_watch){.id = id, .pidfd = -1};
    if (id.pid <= 0 || id.pid > INT32_MAX) {
        watch->id.pid = 0;
        return;
    }
#ifdef SYS_pidfd_open
    watch->pidfd = (int)syscall(SYS_pidfd_open, (pid_t)id.pid, 0);
    // the number was somebody else's by then
    if (watch->pidfd >= 0 && !alive_by_number(id)) {
        close(watch->pidfd);
        watch->pidfd = -1;
    }
#endif
}

int mt_process_watch_alive(const mt_process_watch *watch) {
    if (watch->id.pid <= 0) return 1;
    struct pollfd end = {.fd = watch->pidfd, .events = POLLIN};
    if (watch->pidfd >= 0) return poll(&end, 1, 0) <= 0;
    return alive_by_number(watch->id);
}

void mt_process_watch_close(mt_process_watch *watch) {
    if (watch->pidfd >= 0) close(watch->pidfd);
    *watch = (mt_process_watch){.pidfd = -1};
}
