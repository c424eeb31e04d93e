// Doorbell: how a rank sleeps without missing a message, and is woken once however many are sent.
//
// Protocol, on a line that the rank shares with all its senders:
//   asleep   set by the rank's set_asleep. A sender that has published and finds it set swaps it for 0; the one that got the 1
//            rings. So nobody rings a rank that is awake, and many messages to a sleeping one ring once.
//   bell     futex word, +1 with every ring.
// and in the rank's own memory:
//   seen     the bell as it was before `asleep` was last set, or when the sleeper last woke: it waits for it to change. Not the
//            bell at the moment of falling asleep: a ring may come between set_asleep by one thread and the sleep of another.
//   rung     somebody in this process wants the sleeper to look; sticky, since a set_asleep in between reads the bell anew.
//   idle     what set_asleep said last. Idle and not asleep any more: a ring that nobody has answered, even when its message
//            lies nowhere any more (another thread read it between the sender's publishing and its ring). Whoever looks must
//            set_asleep anew, or the next sender does not ring.
//
//   sleeper  seen = bell; asleep = 1; FULL BARRIER; look at all rings; sleep while bell == seen
//   sender   publish; FULL BARRIER; if asleep and swap(asleep, 0) == 1: bell += 1; wake
//
// The barrier of the sender is paid with every message, that of the sleeper only before it sleeps. Where the kernel has
// membarrier(2) the sleeper therefore pays for both: it makes every processor that runs one of the job's processes go
// through a barrier (0.5 us when the others are idle, 5 us when not; measured). A sender's look at `asleep` that came before
// this barrier came after its publishing, which is then visible; one that comes after sees the 1. Otherwise (`fenced`) the
// sender publishes with a locked instruction. All ranks of a node agree on one of the two before the first message.
// Measured, 100 bytes to a reader that polls, on a quiet 16-core Xeon: 24 ns a send without, 39 ns with it (a locked
// instruction waits until the reader's copy of the tail's line is gone).
#ifndef MANTA_ENGINE_RUNTIME_DOORBELL_H
#define MANTA_ENGINE_RUNTIME_DOORBELL_H

#include <stdatomic.h>
#include <stdint.h>
#include "engine/runtime/transport/ring.h"

// shared
typedef struct mt_doorbell {
    _Alignas(MT_RING_LINE) _Atomic uint32_t asleep;
    _Atomic uint32_t bell;
} mt_doorbell;

// the rank's own side
typedef struct mt_sleeper {
    mt_doorbell *door;
    _Atomic uint32_t seen, rung, idle;
    int fenced;
} mt_sleeper;

// This process may be made to go through barriers. 0: it cannot, or MANTA_TRANSPORT_FENCES is set; then use fences.
int mt_barriers_register(void);
void mt_barrier_everywhere(void); // of all registered processes of this machine

void mt_sleeper_init(mt_sleeper *sleeper, mt_doorbell *door, int fenced);
void mt_sleeper_set(mt_sleeper *sleeper, int asleep);             // whoever polls
int mt_sleeper_sleep(mt_sleeper *sleeper, int64_t deadline_ns);   // one thread; 1: somebody rang
void mt_sleeper_ring(mt_sleeper *sleeper);                        // any thread of this process

void mt_doorbell_ring(mt_doorbell *door);

static inline int mt_sleeper_idle(const mt_sleeper *sleeper) {
    return atomic_load_explicit(&sleeper->idle, memory_order_relaxed) != 0;
}
// A ring is not answered yet.
static inline int mt_sleeper_owes(const mt_sleeper *sleeper) {
    return mt_sleeper_idle(sleeper) && !atomic_load_explicit(&sleeper->door->asleep, memory_order_relaxed);
}

// After publishing with mt_publish.
static inline void mt_doorbell_knock(mt_doorbell *door) {
    if (__builtin_expect(atomic_load(&door->asleep) != 0, 0)) mt_doorbell_ring(door);
}

#endif
