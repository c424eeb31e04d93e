// Futex: sleep until a 32-bit word changes, between threads or between processes that map the same memory.
#ifndef MANTA_ENGINE_BASE_FUTEX_H
#define MANTA_ENGINE_BASE_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

// Sleeps while *word == expected, until a wake or the deadline (mt_clock_ns; MT_NEVER: no limit). May return early for
// no reason: look at the condition again. Returns 0 when the deadline passed, 1 otherwise.
int mt_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns);

void mt_futex_wake_all(_Atomic uint32_t *word);
void mt_futex_wake_one(_Atomic uint32_t *word);

// Tells the core that this is a spin loop.
static inline void mt_cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

#endif
