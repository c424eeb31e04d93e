// The node's shared block: counters and sleeping. Protocol at the top of the header. Each member is used by one thread.
#include "engine/collective/shm_group.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/futex.h"

enum {
    BLOCK_MAGIC = 0x6d74736d,
    LINE = 128, // two cache lines: the prefetcher fetches pairs
    PAGE = 4096,
    SPINS_BEFORE_CLOCK = 16, // looks at the counters before the first look at the clock
    YIELD_LONG_NS = 30000,
    ENGAGED_SPINS = 10,
};
#define LIVENESS_NS (200 * MT_MILLISECOND_NS) // how often a sleeper looks whether the others are alive

typedef struct member_line {
    _Alignas(LINE) _Atomic uint32_t count;
} member_line;

struct mt_shm_block {
    uint32_t magic, size;
    uint64_t chunk_bytes;
    _Alignas(LINE) _Atomic uint32_t bell; // futex word
    _Atomic uint32_t sleepers;            // same line: both are cold while nobody sleeps
    _Atomic uint32_t broken;              // 0, or rank + 1 of who gave up first
    member_line members[];                // (size)
};

static size_t header_bytes(int size) {
    size_t bytes = sizeof(struct mt_shm_block) + (size_t)size * sizeof(member_line);
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

size_t mt_shm_block_bytes(int size, size_t chunk_bytes) {
    size_t stages;
    if (size < 1 || size > MT_SHM_MEMBERS_MAX || chunk_bytes % PAGE != 0) return 0;
    if (__builtin_mul_overflow((size_t)size * MT_SHM_BUFFERS, chunk_bytes, &stages)) return 0;
    if (stages > SSIZE_MAX - header_bytes(size)) return 0;
    return header_bytes(size) + stages;
}

void mt_shm_block_format(void *memory, int size, size_t chunk_bytes) {
    struct mt_shm_block *block = memory;
    block->size = (uint32_t)size;
    block->chunk_bytes = chunk_bytes;
    block->magic = BLOCK_MAGIC;
}

mt_status mt_shm_group_attach(mt_shm_group *group, void *memory, size_t block_bytes, int rank, int size) {
    struct mt_shm_block *block = memory;
    size_t chunk = block->chunk_bytes;
    if (block->magic != BLOCK_MAGIC || block->size != (uint32_t)size || rank < 0 || rank >= size ||
        mt_shm_block_bytes(size, chunk) == 0 || mt_shm_block_bytes(size, chunk) > block_bytes)
        return MT_FAIL(CORRUPT,
            "the node's shared block is not what rank %d of %d expects: do all ranks run the same manta?", rank, size);
    *group = (mt_shm_group){.block = block,
        .stages = (char *)memory + header_bytes(size),
        .rank = rank,
        .size = size,
        .chunk_bytes = chunk,
        .count = block->members[rank].count,
        .spin_ns = 0};
    return MT_OK;
}

static void ring(struct mt_shm_block *block) {
    atomic_fetch_add(&block->bell, 1);
    mt_futex_wake_all(&block->bell);
}

int mt_shm_reached(const mt_shm_group *group, uint32_t count) {
    const struct mt_shm_block *block = group->block;
    for (int r = 0; r < group->size; r++)
        if ((int32_t)(atomic_load_explicit(&block->members[r].count, memory_order_acquire) - count) < 0) return 0;
    return 1;
}

// the waiter's look after it has announced itself: part of the seq_cst order that makes the bell reliable
static int reached_in_order(const mt_shm_group *group, uint32_t count) {
    for (int r = 0; r < group->size; r++)
        if ((int32_t)(atomic_load(&group->block->members[r].count) - count) < 0) return 0;
    return 1;
}

void mt_shm_publish(mt_shm_group *group) {
    struct mt_shm_block *block = group->block;
    uint32_t count = ++group->count;
    atomic_exchange(&block->members[group->rank].count, count);
    if (atomic_load(&block->sleepers) > 0 && reached_in_order(group, count)) ring(block);
}

// Members outnumber the cores: yield, since the one that is waited for may need this very core. A yield that takes long
// met somebody with a lot to do; then sleeping is better.
static int yield_while(const mt_shm_group *group, uint32_t count) {
    int64_t start = mt_clock_ns(), now = start, before = start;
    while (now - start < group->spin_ns && now - before < YIELD_LONG_NS) {
        if (mt_shm_reached(group, count)) return 1;
        before = now;
        sched_yield();
        now = mt_clock_ns();
    }
    return mt_shm_reached(group, count);
}

// Every member has a core: spin, longer when the others are known to be at it. Sleeping in the middle of an operation
// is expensive on a busy machine: who wakes up waits until the scheduler gives the core back, and by then the others
// sleep.
static int spin_while(const mt_shm_group *group, uint32_t count) {
    for (int i = 0; i < SPINS_BEFORE_CLOCK; i++) {
        if (mt_shm_reached(group, count)) return 1;
        mt_cpu_relax();
    }
    int64_t until = mt_clock_ns() + (group->engaged ? ENGAGED_SPINS * group->spin_ns : group->spin_ns);
    while (mt_clock_ns() < until)
        for (int i = 0; i < SPINS_BEFORE_CLOCK; i++) {
            if (mt_shm_reached(group, count)) return 1;
            mt_cpu_relax();
        }
    return mt_shm_reached(group, count);
}

int mt_shm_member_alive(const mt_shm_group *group, int rank) {
    return !group->pids || kill(group->pids[rank], 0) == 0 || errno != ESRCH;
}

static int anybody_dead(const mt_shm_group *group, uint32_t count) {
    for (int r = 0; r < group->size; r++)
        if ((int32_t)(mt_shm_count_of(group, r) - count) < 0 && !mt_shm_member_alive(group, r)) return 1;
    return 0;
}

mt_shm_wait_result mt_shm_wait(mt_shm_group *group, uint32_t count, int64_t deadline_ns) {
    struct mt_shm_block *block = group->block;
    mt_shm_wait_result result;
    if (mt_shm_reached(group, count)) return MT_SHM_REACHED;
    if (group->spin_ns > 0 && (group->crowded ? yield_while(group, count) : spin_while(group, count)))
        return MT_SHM_REACHED;
    atomic_fetch_add(&block->sleepers, 1);
    for (;;) {
        uint32_t bell = atomic_load(&block->bell);
        result = MT_SHM_REACHED;
        if (reached_in_order(group, count)) break;
        result = MT_SHM_BROKEN;
        if (atomic_load(&block->broken)) break;
        result = MT_SHM_TIMED_OUT;
        if (mt_deadline_passed(deadline_ns)) break;
        result = MT_SHM_DEAD;
        int64_t slice = mt_deadline_after(LIVENESS_NS);
        if (slice > deadline_ns) slice = deadline_ns;
        if (!mt_futex_wait(&block->bell, bell, slice) && anybody_dead(group, count) && !reached_in_order(group, count))
            break;
    }
    atomic_fetch_sub(&block->sleepers, 1);
    return result;
}

void mt_shm_break(mt_shm_group *group) {
    uint32_t nobody = 0;
    atomic_compare_exchange_strong(&group->block->broken, &nobody, (uint32_t)group->rank + 1);
    ring(group->block);
}

int mt_shm_broken_by(const mt_shm_group *group) { return (int)atomic_load(&group->block->broken) - 1; }

uint32_t mt_shm_count_of(const mt_shm_group *group, int rank) {
    return atomic_load(&group->block->members[rank].count);
}
