// Exchanges within a warp: whoever calls waits until all lanes that its mask names, and that have not ended, have come to the
// same exchange with the same mask; then every one of them has its answer. Nothing moves in lockstep otherwise.
#include "tests/cuda_host/block.h"
#include "tests/cuda_host/device_calls.h"
#include "tests/cuda_host/races.h"
#include "tests/cuda_host/report.h"

static mt_host_thread *lane_of(const mt_host_thread *t, int lane) {
    int number = t->number / MT_HOST_WARP * MT_HOST_WARP + lane;
    return number < mt_host_now.thread_count ? &mt_host_now.threads[number] : NULL;
}
static int same_exchange(const mt_host_thread *a, const mt_host_thread *b) {
    return b->state == MT_HOST_EXCHANGE && b->kind == a->kind && b->mask == a->mask && b->width == a->width;
}

// the lane that a shuffle reads; itself where that is outside its segment
static int source_of(const mt_host_thread *t) {
    int lane = t->number % MT_HOST_WARP, segment = lane / t->width * t->width, in = lane - segment, from;
    switch (t->kind) {
    case MT_HOST_SHFL: return segment + (t->argument & (t->width - 1));
    case MT_HOST_SHFL_XOR: from = lane ^ t->argument; return from < segment + t->width ? from : lane;
    case MT_HOST_SHFL_UP: return in - t->argument >= 0 ? lane - t->argument : lane;
    case MT_HOST_SHFL_DOWN: return in + t->argument < t->width ? lane + t->argument : lane;
    default: return lane;
    }
}

static uint64_t combined(const mt_host_thread *t) {
    uint64_t all = t->kind == MT_HOST_REDUCE_MIN ? UINT32_MAX : 0;
    for (int lane = 0; lane < MT_HOST_WARP; lane++) {
        const mt_host_thread *u = lane_of(t, lane);
        if (!(t->mask >> lane & 1) || !u || !same_exchange(t, u)) continue;
        uint64_t x = u->value;
        if (t->kind == MT_HOST_BALLOT)
            all |= (uint64_t)(x != 0) << lane;
        else if (t->kind == MT_HOST_REDUCE_ADD)
            all = (uint32_t)(all + x);
        else if (t->kind == MT_HOST_REDUCE_MIN)
            all = x < all ? x : all;
        else if (t->kind == MT_HOST_REDUCE_MAX)
            all = x > all ? x : all;
    }
    return all;
}

static uint64_t answer_to(const mt_host_thread *t) {
    if (t->kind == MT_HOST_SYNCWARP) return 0;
    if (t->kind > MT_HOST_SHFL_DOWN) return combined(t);
    int lane = source_of(t);
    const mt_host_thread *u = lane_of(t, lane);
    if (!(t->mask >> lane & 1) || !u || !same_exchange(t, u))
        mt_host_fatal("lane %d reads lane %d in an exchange at %s:%d, and that lane %s", t->number % MT_HOST_WARP, lane,
            t->file, t->line,
            !(t->mask >> lane & 1) ? "is not in the mask"
            : !u                   ? "does not exist: the block ends within the warp"
                                   : "has ended");
    return u->value;
}

// all here? then they have their answers and go on
static int complete(mt_host_thread *t) {
    const int warp = t->number / MT_HOST_WARP;
    if (mt_host_now.exchanging[warp] < __builtin_popcount(t->mask & mt_host_now.alive[warp])) return 0; // most often
    for (int lane = 0; lane < MT_HOST_WARP; lane++) {
        const mt_host_thread *u = t->mask >> lane & 1 ? lane_of(t, lane) : NULL;
        if (u && u->state != MT_HOST_ENDED && !same_exchange(t, u)) return 0;
    }
    mt_host_thread *members[MT_HOST_WARP];
    int count = 0;
    for (int lane = 0; lane < MT_HOST_WARP; lane++) {
        mt_host_thread *u = t->mask >> lane & 1 ? lane_of(t, lane) : NULL;
        if (u && u->state != MT_HOST_ENDED) members[count++] = u;
    }
    for (int i = 0; i < count; i++) members[i]->answer = answer_to(members[i]);
    if (t->kind == MT_HOST_SYNCWARP) mt_host_races_syncwarp(members, count);
    for (int i = 0; i < count; i++) mt_host_block_wake(members[i]);
    mt_host_now.exchanging[warp] -= count;
    return 1;
}

void mt_host_warp_ended(mt_host_thread *thread) {
    const int warp = thread->number / MT_HOST_WARP;
    mt_host_now.alive[warp] &= ~(1u << thread->number % MT_HOST_WARP);
    if (!mt_host_now.exchanging[warp]) return;
    for (int lane = 0; lane < MT_HOST_WARP; lane++) {
        mt_host_thread *u = lane_of(thread, lane);
        if (u && u->state == MT_HOST_EXCHANGE && u->mask >> thread->number % MT_HOST_WARP & 1) complete(u);
    }
}

uint64_t mt_host_warp(
    mt_host_warp_kind kind, unsigned mask, uint64_t value, int argument, int width, const char *file, int line) {
    mt_host_thread *me = mt_host_current;
    if (!me) mt_host_fatal("an exchange within a warp in the host's code, at %s:%d", file, line);
    if (!(mask >> me->number % MT_HOST_WARP & 1))
        mt_host_fatal("lane %d takes part in an exchange at %s:%d whose mask 0x%08x does not name it",
            me->number % MT_HOST_WARP, file, line, mask);
    if (width < 1 || width > MT_HOST_WARP || (width & (width - 1)))
        mt_host_fatal("an exchange at %s:%d over %d lanes: a power of two up to 32 is wanted", file, line, width);
    me->kind = (int)kind, me->mask = mask, me->value = value, me->argument = argument, me->width = width;
    me->file = file, me->line = line;
    me->state = MT_HOST_EXCHANGE;
    mt_host_now.exchanging[me->number / MT_HOST_WARP]++;
    complete(me);
    mt_host_block_wait();
    return me->answer;
}
