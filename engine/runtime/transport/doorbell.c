// Sleeping and waking of a rank. Protocol in the header.
#include "engine/runtime/transport/doorbell.h"

#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "engine/base/clock.h"
#include "engine/base/futex.h"

// A sender that dies between taking the 1 and ringing must not cost more than this.
#define NAP_NS (500 * MT_MILLISECOND_NS)

int mt_barriers_register(void) {
    if (getenv("MANTA_TRANSPORT_FENCES")) return 0;
    long offered = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    if (offered < 0 || !(offered & MEMBARRIER_CMD_GLOBAL_EXPEDITED)) return 0;
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

void mt_barrier_everywhere(void) { syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0); }

void mt_sleeper_init(mt_sleeper *sleeper, mt_doorbell *door, int fenced) {
    sleeper->door = door;
    sleeper->fenced = fenced;
    atomic_init(&sleeper->seen, 0);
    atomic_init(&sleeper->rung, 0);
    atomic_init(&sleeper->idle, 0);
}

void mt_sleeper_set(mt_sleeper *sleeper, int asleep) {
    mt_doorbell *door = sleeper->door;
    if (!asleep) {
        atomic_store_explicit(&sleeper->idle, 0, memory_order_relaxed);
        atomic_store_explicit(&door->asleep, 0, memory_order_relaxed);
        return;
    }
    atomic_store(&sleeper->seen, atomic_load(&door->bell));
    // still set: nobody has rung since the last barrier, and whoever published since then would have
    if (!atomic_load(&door->asleep)) {
        atomic_exchange(&door->asleep, 1);
        if (!sleeper->fenced) mt_barrier_everywhere();
    }
    atomic_store(&sleeper->idle, 1);
}

int mt_sleeper_sleep(mt_sleeper *sleeper, int64_t deadline_ns) {
    _Atomic uint32_t *bell = &sleeper->door->bell;
    uint32_t seen = atomic_load(&sleeper->seen); // before `rung`: a ring after this moves the bell away from it
    if (!atomic_load(&sleeper->rung)) {
        int64_t nap = mt_deadline_after(NAP_NS);
        mt_futex_wait(bell, seen, nap < deadline_ns ? nap : deadline_ns);
    }
    // these rings have had their answer: while another thread polls, nobody else would move `seen`, and the next sleep would
    // be none
    uint32_t now = atomic_load(bell);
    atomic_store(&sleeper->seen, now);
    return atomic_exchange(&sleeper->rung, 0) || now != seen;
}

void mt_sleeper_ring(mt_sleeper *sleeper) {
    atomic_store(&sleeper->rung, 1);
    atomic_fetch_add(&sleeper->door->bell, 1);
    mt_futex_wake_all(&sleeper->door->bell);
}

void mt_doorbell_ring(mt_doorbell *door) {
    if (atomic_exchange(&door->asleep, 0) == 0) return;
    atomic_fetch_add(&door->bell, 1);
    mt_futex_wake_all(&door->bell);
}
