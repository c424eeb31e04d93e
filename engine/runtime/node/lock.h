// Lock and bell: how the threads of a node keep out of each other's way and wait for each other.
//
// mt_lock is an adaptive mutex: a short spin, then a futex. Word: 0 free, 1 held, 2 held and somebody may sleep. Taking it is
// an acquire, giving it back a release, so what one holder wrote the next one sees.
//
// mt_bell is a thread's bell. Word: OFF, ASLEEP (its thread is in the futex or about to be), RUNG. The thread itself moves
// OFF → ASLEEP and back, anyone moves to RUNG; a ring that finds ASLEEP owes a futex call, which may be made later (after the
// node's lock is given back). A ring is never lost: it stays until the thread resets the bell.
#ifndef MANTA_ENGINE_RUNTIME_LOCK_H
#define MANTA_ENGINE_RUNTIME_LOCK_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct mt_lock {
    _Atomic uint32_t word;
} mt_lock;

void mt_lock_slow(mt_lock *lock);
void mt_lock_wake(mt_lock *lock);

static inline void mt_lock_take(mt_lock *lock) {
    uint32_t free = 0;
    if (!atomic_compare_exchange_strong_explicit(&lock->word, &free, 1, memory_order_acquire, memory_order_relaxed))
        mt_lock_slow(lock);
}

static inline void mt_lock_give(mt_lock *lock) {
    if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2) mt_lock_wake(lock);
}

enum { MT_BELL_OFF, MT_BELL_ASLEEP, MT_BELL_RUNG };

typedef struct mt_bell {
    _Atomic uint32_t word;
} mt_bell;

static inline void mt_bell_reset(mt_bell *bell) {
    atomic_store_explicit(&bell->word, MT_BELL_OFF, memory_order_relaxed);
}

static inline int mt_bell_rung(const mt_bell *bell) {
    return atomic_load_explicit(&bell->word, memory_order_acquire) == MT_BELL_RUNG;
}

// Returns 1 when its thread sleeps: then mt_futex_wake_all(&bell->word) is still to be called, by the caller, soon.
static inline int mt_bell_ring(mt_bell *bell) {
    return atomic_exchange_explicit(&bell->word, MT_BELL_RUNG, memory_order_acq_rel) == MT_BELL_ASLEEP;
}

// The bell's own thread: until rung (1) or the deadline (0; the bell is OFF again).
int mt_bell_sleep(mt_bell *bell, int64_t deadline_ns);

#endif
