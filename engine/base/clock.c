// Clock: monotonic nanoseconds and deadlines. Any thread; no state.
#include "engine/base/clock.h"

#include <errno.h>
#include <time.h>

int64_t mt_clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * MT_SECOND_NS + t.tv_nsec;
}

int64_t mt_deadline_after(int64_t timeout_ns) {
    int64_t now = mt_clock_ns(), deadline;
    if (timeout_ns <= 0) return now;
    return __builtin_add_overflow(now, timeout_ns, &deadline) ? MT_NEVER : deadline;
}

int mt_deadline_passed(int64_t deadline_ns) { return deadline_ns != MT_NEVER && mt_clock_ns() >= deadline_ns; }

int64_t mt_deadline_left_ns(int64_t deadline_ns) {
    if (deadline_ns == MT_NEVER) return MT_NEVER;
    int64_t left = deadline_ns - mt_clock_ns();
    return left > 0 ? left : 0;
}

void mt_sleep_ns(int64_t duration_ns) {
    if (duration_ns <= 0) return;
    int64_t until = mt_deadline_after(duration_ns);
    struct timespec t = {.tv_sec = until / MT_SECOND_NS, .tv_nsec = until % MT_SECOND_NS};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}
