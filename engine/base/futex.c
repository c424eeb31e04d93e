// Futex on shared memory: never FUTEX_PRIVATE, since the word may be mapped by several processes. FUTEX_WAIT_BITSET is
// used because it takes an absolute deadline on CLOCK_MONOTONIC, so that early wake-ups do not stretch the wait.
#include "engine/base/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "engine/base/clock.h"

int mt_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns) {
    struct timespec t, *timeout = NULL;
    if (deadline_ns != MT_NEVER) {
        if (deadline_ns < 0) deadline_ns = 0;
        t = (struct timespec){.tv_sec = deadline_ns / MT_SECOND_NS, .tv_nsec = deadline_ns % MT_SECOND_NS};
        timeout = &t;
    }
    long rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, timeout, NULL, FUTEX_BITSET_MATCH_ANY);
    return !(rc == -1 && errno == ETIMEDOUT);
}

void mt_futex_wake_all(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); }

void mt_futex_wake_one(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0); }
