// Clock: monotonic nanoseconds and deadlines. A deadline is an absolute point on this clock, never a duration.
// Wall-clock time is not offered: nothing that decides may depend on it (a jump of the system's clock has no effect).
#ifndef MANTA_ENGINE_BASE_CLOCK_H
#define MANTA_ENGINE_BASE_CLOCK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MT_NEVER INT64_MAX // the deadline that never comes

#define MT_MICROSECOND_NS INT64_C(1000)
#define MT_MILLISECOND_NS INT64_C(1000000)
#define MT_SECOND_NS      INT64_C(1000000000)

int64_t mt_clock_ns(void);                        // CLOCK_MONOTONIC; the same clock in every process of a host
int64_t mt_deadline_after(int64_t timeout_ns);    // now + timeout_ns; MT_NEVER when that overflows; now when negative
int mt_deadline_passed(int64_t deadline_ns);      // never true for MT_NEVER
int64_t mt_deadline_left_ns(int64_t deadline_ns); // 0 when passed, MT_NEVER for MT_NEVER
void mt_sleep_ns(int64_t duration_ns);            // sleeps through signals; <= 0 returns at once

#ifdef __cplusplus
}
#endif
#endif
