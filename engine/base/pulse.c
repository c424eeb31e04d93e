// The sign of life; pulse.h says what for. Beats come from the threads that work, reads from another process.
//
// The bytes written are of one length (two numbers padded to 20 digits), so that a full disk, which has no room for a new block,
// still takes them. Beats are counted by those that write, not by all: two threads would share a cache line otherwise.
#include "engine/base/pulse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/clock.h"
#include "engine/base/file.h"

enum { RANKS_A_SECOND = 10 };   // so many writes a second are no load for a file server

struct mt_pulse {
    _Atomic int64_t next_ns;   // whoever moves it on writes
    int64_t interval_ns;
    uint64_t written;          // of the writer; one at a time, since an interval is longer than a write
    char path[MT_PATH_BYTES];
};

static mt_status write_file(mt_pulse *pulse, int flags) {
    char text[MT_PULSE_BYTES];
    int length = snprintf(text, sizeof text, "%020lld %020" PRIu64 "\n", (long long)getpid(), pulse->written++);
    int fd = open(pulse->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, MT_FILE_PUBLIC);
    if (fd < 0) return mt_file_fail(errno, "write", pulse->path);
    ssize_t n = pwrite(fd, text, (size_t)length, 0);
    int error = n == length ? 0 : n < 0 ? errno : ENOSPC;
    if (close(fd) != 0 && !error) error = errno;
    return error ? mt_file_fail(error, "write", pulse->path) : MT_OK;
}

mt_status mt_pulse_create(const char *path, int64_t interval_ns, mt_pulse **out) {
    *out = NULL;
    mt_pulse *pulse = calloc(1, sizeof *pulse);
    if (!pulse) return MT_FAIL(NO_MEMORY, "out of memory for the sign of life");
    pulse->interval_ns = interval_ns;
    mt_status status = snprintf(pulse->path, sizeof pulse->path, "%s", path) < (int)sizeof pulse->path
        ? write_file(pulse, O_CREAT) : mt_file_fail(ENAMETOOLONG, "write", path);
    atomic_store(&pulse->next_ns, mt_deadline_after(interval_ns));
    if (status == MT_OK) *out = pulse;
    else free(pulse);
    return status;
}

mt_status mt_pulse_open(int ranks, mt_pulse **out) {
    const char *path = getenv(MT_PULSE_VARIABLE);
    *out = NULL;
    if (!path || !*path) return MT_OK;
    return mt_pulse_create(path, ranks > RANKS_A_SECOND ? ranks * (MT_SECOND_NS / RANKS_A_SECOND) : MT_SECOND_NS, out);
}

void mt_pulse_destroy(mt_pulse *pulse) { free(pulse); }

void mt_pulse_beat(mt_pulse *pulse) {
    if (!pulse) return;
    int64_t now = mt_clock_ns(), next = atomic_load_explicit(&pulse->next_ns, memory_order_relaxed);
    if (now < next) return;
    // MT_NEVER while it is written: nobody else writes at the same time. acquire and release: `written` goes from hand to hand
    if (!atomic_compare_exchange_strong_explicit(&pulse->next_ns, &next, MT_NEVER, memory_order_acquire, memory_order_relaxed)) return;
    (void)write_file(pulse, 0);   // tried again after the next interval
    atomic_store_explicit(&pulse->next_ns, mt_deadline_after(pulse->interval_ns), memory_order_release);
}

int mt_progress_made(mt_progress *p) {
    int64_t count = p ? __atomic_load_n(p->count, __ATOMIC_RELAXED) : 0;
    if (!p || count == p->seen) return 0;
    p->seen = count;
    mt_pulse_beat(p->pulse);
    return 1;
}

mt_status mt_pulse_read(const char *path, char out[MT_PULSE_BYTES]) {
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return mt_file_fail(errno, "read", path);
    ssize_t n = read(fd, out, MT_PULSE_BYTES - 1);
    int error = errno;
    close(fd);
    if (n < 0) return mt_file_fail(error, "read", path);
    out[n] = '\0';
    return MT_OK;
}
