// Running the blocks of a grid: see block.h.
#include "tests/cuda_host/block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/device_calls.h"
#include "tests/cuda_host/races.h"
#include "tests/cuda_host/report.h"
#include "tests/cuda_host/settings.h"

mt_host_block mt_host_now;
_Thread_local mt_host_thread *mt_host_current;

// ---- who runs

static void describe(char *text, size_t bytes) {
    const mt_host_thread *t = mt_host_current;
    const mt_host_block *b = &mt_host_now;
    if (!b->grid) return;
    int n = snprintf(text, bytes, "kernel %s, block (%u, %u, %u) of (%u, %u, %u)", mt_host_function_name(b->grid->kernel),
        b->index.x, b->index.y, b->index.z, b->grid->grid.x, b->grid->grid.y, b->grid->grid.z);
    if (t && n > 0 && (size_t)n < bytes)
        snprintf(text + n, bytes - (size_t)n, ", thread (%u, %u, %u) of (%u, %u, %u)", t->index.x, t->index.y, t->index.z,
            b->grid->block.x, b->grid->block.y, b->grid->block.z);
}

static void run_threads(void *unused);

void mt_host_block_wake(mt_host_thread *thread) {
    thread->state = MT_HOST_READY;
    mt_host_now.ready[mt_host_now.ready_count++] = thread->number;
}

// one of those who could go on; NULL when there is none
static mt_host_thread *choose(void) {
    mt_host_block *b = &mt_host_now;
    if (!b->ready_count) return NULL;
    int at = (int)mt_host_random_below(&b->random, (uint32_t)b->ready_count), number = b->ready[at];
    b->ready[at] = b->ready[--b->ready_count];
    return &b->threads[number];
}

// where each group of waiting threads stands: the message of a block that cannot go on
static void add_places(char *text, size_t bytes) {
    const mt_host_block *b = &mt_host_now;
    unsigned char counted[MT_HOST_THREADS_MOST] = {0};
    size_t n = strlen(text);
    for (int i = 0; i < b->thread_count; i++) {
        const mt_host_thread *t = &b->threads[i];
        int same = 0;
        if (counted[i]) continue;
        for (int j = i; j < b->thread_count; j++) {
            const mt_host_thread *u = &b->threads[j];
            if (counted[j] || u->state != t->state || (t->state != MT_HOST_ENDED && (u->line != t->line || u->file != t->file)))
                continue;
            counted[j] = 1;
            same++;
        }
        const char *what = t->state == MT_HOST_ENDED     ? "have ended"
                           : t->state == MT_HOST_BARRIER ? "wait at the barrier"
                                                         : "wait in an exchange of their warp";
        if (n >= bytes) return;
        if (t->state == MT_HOST_ENDED)
            n += (size_t)snprintf(text + n, bytes - n, "\n    %d threads %s (the first is %d)", same, what, i);
        else
            n += (size_t)snprintf(text + n, bytes - n, "\n    %d threads %s at %s:%d (the first is %d%s", same, what, t->file,
                t->line, i, t->state == MT_HOST_EXCHANGE ? ", its mask " : ")");
        if (t->state == MT_HOST_EXCHANGE && n < bytes) n += (size_t)snprintf(text + n, bytes - n, "0x%08x)", t->mask);
    }
}

static _Noreturn void stuck(const char *why) {
    char text[2048];
    snprintf(text, sizeof text, "%s:", why);
    add_places(text, sizeof text);
    mt_host_current = NULL;
    mt_host_fatal("%s", text);
}

// the barrier's last thread has come: all may go on
static void open_barrier(void) {
    mt_host_block *b = &mt_host_now;
    const mt_host_thread *first = NULL;
    for (int i = 0; i < b->thread_count; i++) {
        const mt_host_thread *t = &b->threads[i];
        if (t->state == MT_HOST_ENDED) continue;
        if (first && (t->line != first->line || t->file != first->file)) stuck("threads of a block meet at different barriers");
        first = t;
    }
    if (b->ended) stuck("threads of a block have ended before a barrier that others wait at");
    b->at_barrier = 0;
    b->predicate_sum = b->predicates;
    b->predicates = 0;
    mt_host_races_barrier();
    for (int i = 0; i < b->thread_count; i++)
        if (b->threads[i].state == MT_HOST_BARRIER) mt_host_block_wake(&b->threads[i]);
}

// the next thread's fiber, begun where it is a new one; NULL: all have ended
static mt_host_fiber *next_fiber(void) {
    mt_host_block *b = &mt_host_now;
    if (b->at_barrier && b->at_barrier == b->thread_count - b->ended) open_barrier();
    mt_host_thread *t = choose();
    mt_host_current = t;
    if (!t) {
        if (b->ended < b->thread_count) stuck("threads of a block wait for each other");
        return NULL;
    }
    if (t->state == MT_HOST_NEW) {
        t->fiber = mt_host_fiber_create(run_threads, NULL);
        t->stack = (uintptr_t)mt_host_fiber_stack(t->fiber);
    }
    t->state = MT_HOST_RUNS;
    return t->fiber;
}

void mt_host_block_wait(void) {
    mt_host_thread *me = mt_host_current;
    mt_host_fiber *next = next_fiber();
    // all waited, and this one was the first to go on
    if (mt_host_current != me) mt_host_fiber_switch(me->fiber, next);
}

void mt_host_block_pause(void) {
    if (!mt_host_now.ready_count) return;
    mt_host_block_wake(mt_host_current);
    mt_host_block_wait();
}

// A fiber's life: its thread, and then, on the same stack, as many new ones as it is given before one that waited somewhere.
static void run_threads(void *unused) {
    mt_host_block *b = &mt_host_now;
    (void)unused;
    for (;;) {
        mt_host_thread *me = mt_host_current;
        b->grid->call(b->grid->closure);
        me->state = MT_HOST_ENDED;
        b->ended++;
        mt_host_warp_ended(me);
        mt_host_fiber *mine = me->fiber;
        me->fiber = NULL;
        if (b->at_barrier && b->at_barrier == b->thread_count - b->ended) open_barrier();
        mt_host_thread *next = choose();
        mt_host_current = next;
        if (!next && b->ended < b->thread_count) stuck("threads of a block wait for each other");
        if (!next || next->state != MT_HOST_NEW) {
            if (next) next->state = MT_HOST_RUNS;
            mt_host_fiber_leave(mine, next ? next->fiber : NULL);
        }
        next->fiber = mine;
        next->stack = me->stack;
        next->state = MT_HOST_RUNS;
    }
}

// ---- what a thread asks

static uint3 none(void) { mt_host_fatal("a kernel's words (threadIdx, ...) in the host's code"); }
uint3 mt_host_thread_index(void) { return mt_host_current ? mt_host_current->index : none(); }
uint3 mt_host_block_index(void) { return mt_host_current ? mt_host_now.index : none(); }
uint3 mt_host_block_size(void) { return mt_host_current ? mt_host_now.grid->block : none(); }
uint3 mt_host_grid_size(void) { return mt_host_current ? mt_host_now.grid->grid : none(); }

int mt_host_syncthreads_count(int predicate, const char *file, int line) {
    mt_host_thread *me = mt_host_current;
    if (!me) mt_host_fatal("__syncthreads() in the host's code, at %s:%d", file, line);
    me->state = MT_HOST_BARRIER;
    me->file = file, me->line = line;
    mt_host_now.at_barrier++;
    mt_host_now.predicates += predicate;
    mt_host_block_wait();
    return mt_host_now.predicate_sum;
}
void mt_host_syncthreads(const char *file, int line) { mt_host_syncthreads_count(0, file, line); }

void mt_host_trap(const char *file, int line) { mt_host_fatal("__trap() at %s:%d", file, line); }

// ---- a grid

static void run_block(uint64_t number) {
    mt_host_block *b = &mt_host_now;
    const mt_host_grid *g = b->grid;
    b->number = number;
    b->index = (uint3){
        (unsigned)(number % g->grid.x), (unsigned)(number / g->grid.x % g->grid.y), (unsigned)(number / g->grid.x / g->grid.y)};
    b->ended = b->at_barrier = b->predicates = 0;
    b->ready_count = 0;
    memset(b->exchanging, 0, sizeof b->exchanging);
    memset(b->alive, 0, sizeof b->alive);
    for (int i = 0; i < b->thread_count; i++) {
        b->alive[i / MT_HOST_WARP] |= 1u << i % MT_HOST_WARP;
        b->threads[i].state = MT_HOST_NEW;
        b->ready[b->ready_count++] = i;
    }
    mt_host_shared_begin(g->dynamic_bytes);
    mt_host_races_block();
    mt_host_fiber *first = next_fiber();
    mt_host_fiber_switch(NULL, first);
    mt_host_shared_end();
}

static uint64_t common_divisor(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

void mt_host_grid_run(const mt_host_grid *grid, uint64_t *random) {
    mt_host_block *b = &mt_host_now;
    uint64_t blocks = (uint64_t)grid->grid.x * grid->grid.y * grid->grid.z;
    // every block once: first, first + step, first + 2·step, ..., with a step that shares no divisor with their number
    uint64_t first = mt_host_random(random) % blocks, step = 1 + mt_host_random(random) % blocks;
    while (common_divisor(step, blocks) != 1) step++;
    mt_host_report_place(describe);
    b->grid = grid;
    b->random = mt_host_random(random);
    b->thread_count = (int)(grid->block.x * grid->block.y * grid->block.z);
    for (int i = 0; i < b->thread_count; i++) {
        b->threads[i].number = i;
        b->threads[i].index = (uint3){(unsigned)i % grid->block.x, (unsigned)i / grid->block.x % grid->block.y,
            (unsigned)i / grid->block.x / grid->block.y};
    }
    mt_host_races_grid(grid);
    for (uint64_t i = 0, at = first; i < blocks; i++, at = (at + step) % blocks) run_block(at);
    b->grid = NULL;
    mt_host_current = NULL;
}
