// Lock and bell: the slow paths. Protocol in lock.h.
#include "engine/runtime/node/lock.h"

#include "engine/base/clock.h"
#include "engine/base/futex.h"

// A holder is in the core for less than a microsecond as a rule; one that was preempted is not worth more than a few.
enum { LOCK_SPINS = 100 };

void mt_lock_slow(mt_lock *lock) {
    for (int i = 0; i < LOCK_SPINS; i++) {
        uint32_t free = 0;
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_weak_explicit(&lock->word, &free, 1, memory_order_acquire, memory_order_relaxed))
            return;
        mt_cpu_relax();
    }
    // from here the word says that somebody may sleep, until nobody does
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0) mt_futex_wait(&lock->word, 2, MT_NEVER);
}

void mt_lock_wake(mt_lock *lock) { mt_futex_wake_one(&lock->word); }

int mt_bell_sleep(mt_bell *bell, int64_t deadline_ns) {
    uint32_t seen = MT_BELL_OFF;
    if (!atomic_compare_exchange_strong_explicit(&bell->word, &seen, MT_BELL_ASLEEP, memory_order_acq_rel, memory_order_acquire))
        return 1;
    while (atomic_load_explicit(&bell->word, memory_order_acquire) == MT_BELL_ASLEEP) {
        if (mt_futex_wait(&bell->word, MT_BELL_ASLEEP, deadline_ns)) continue;
        // the deadline passed, unless somebody rang at the same moment
        seen = MT_BELL_ASLEEP;
        if (atomic_compare_exchange_strong_explicit(&bell->word, &seen, MT_BELL_OFF, memory_order_acq_rel, memory_order_acquire))
            return 0;
    }
    return 1;
}
