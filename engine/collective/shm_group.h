// The ranks of one node, joined by a block of shared memory: counters, sleeping, and staging buffers.
// Works equally between threads of one process on plain memory (tests/engine/race_shm.c).
//
// Protocol. Each member owns one counter; it only ever adds one to it, and only the owner writes it. A count says how
// many steps of the common sequence of collectives the member has finished publishing. All members run the same
// sequence, so "everybody has reached count c" means the same to all. There are no other locks.
//
//   publish   the owner stores its count with a sequentially consistent exchange: everything it wrote to its stage
//             before (and every read it made of other stages before) happens before anyone who sees the count.
//   reached   acquire loads of all counts, compared modulo 2^32; true when none is behind.
//   wait      spin on `reached` for a bounded time, then sleep on the futex word `bell`:
//               waiter    b = bell; sleepers += 1; if reached or broken: done; futex_wait(bell, b); sleepers -= 1
//               publisher count = c; if sleepers > 0 and everybody has reached c: bell += 1; wake all
//             Both sides are sequentially consistent, so either the waiter sees the count or the publisher sees the
//             sleeper; and a bell rung between reading b and sleeping makes futex_wait return at once. The last member
//             to reach c sees all the others there, so somebody always rings; the others do not pay a system call.
//   broken    set once (compare-and-swap from 0) by a member that gives up; it rings the bell. A waiter that is not
//             satisfied and sees it gives up too. Nobody clears it.
//
// Staging: every member owns MT_SHM_BUFFERS buffers, the one used at count c is c modulo that. shm_allreduce.h shows
// why a buffer is never written while somebody may still read it.
#ifndef MANTA_ENGINE_COLLECTIVE_SHM_GROUP_H
#define MANTA_ENGINE_COLLECTIVE_SHM_GROUP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "engine/base/status.h"

enum { MT_SHM_BUFFERS = 4, MT_SHM_MEMBERS_MAX = 1024 };

typedef enum mt_shm_wait_result { MT_SHM_REACHED, MT_SHM_TIMED_OUT, MT_SHM_BROKEN, MT_SHM_DEAD } mt_shm_wait_result;

// One member's view. Private to the member; the block is shared.
typedef struct mt_shm_group {
    struct mt_shm_block *block; // view
    char *stages;               // view: (size, MT_SHM_BUFFERS, chunk_bytes)
    int rank, size;
    size_t chunk_bytes; // one staging buffer; a multiple of 4096, the same for all members
    uint32_t count;     // this member's own count, as published
    int64_t spin_ns;    // 0: never spin
    int crowded;        // more members than cores: yield in place of spinning
    int engaged;        // all others have come to the operation in progress
    const pid_t *pids;  // Nullable, view: (size), looked at while asleep to notice a dead member
} mt_shm_group;

size_t mt_shm_block_bytes(int size, size_t chunk_bytes); // what a block needs; 0 when the arguments are out of range

// One member formats the zeroed block before the others attach (the caller orders the two).
void mt_shm_block_format(void *block, int size, size_t chunk_bytes);

// MT_CORRUPT when the block is not one of this shape: another process wrote it, so it is not trusted.
mt_status mt_shm_group_attach(mt_shm_group *group, void *block, size_t block_bytes, int rank, int size);

void mt_shm_publish(mt_shm_group *group);                      // own count + 1
int mt_shm_reached(const mt_shm_group *group, uint32_t count); // everybody is at `count` or beyond
mt_shm_wait_result mt_shm_wait(mt_shm_group *group, uint32_t count, int64_t deadline_ns);

// Gives up for all. The first caller's rank is kept; -1 when nobody has given up.
void mt_shm_break(mt_shm_group *group);
int mt_shm_broken_by(const mt_shm_group *group);

uint32_t mt_shm_count_of(const mt_shm_group *group, int rank);
int mt_shm_member_alive(const mt_shm_group *group, int rank); // 1 also when it cannot be known

static inline char *mt_shm_stage(const mt_shm_group *group, int rank, uint32_t count) {
    return group->stages + ((size_t)rank * MT_SHM_BUFFERS + count % MT_SHM_BUFFERS) * group->chunk_bytes;
}

#endif
