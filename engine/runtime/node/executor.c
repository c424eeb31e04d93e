// Executors: the threads that run tasks, methods, creations and destructions. Made when a run has nobody who would take it, idle
// afterwards, ended with the node. A thread that waits in a get inside a body counts as busy, so that others are made beside it.
//
// Handing over. Under the lock a run goes, in this order, to the executor whose own thread is in the core at this moment with
// free hands (it has just finished something, or it polls and has received the call: no other thread takes part); to the newest
// idle one (its caches are warm), which is rung; into the queue, which executors look at before they go idle. An executor on
// the idle list has neither run nor destruction; it leaves the list when it is given one.
//
// Short methods. An actor with max_concurrency 1000 may get 1000 calls in one batch; a thread for each would cost a hundred times
// what the methods do. So a method of a class whose methods were shorter than waking a thread (mt_hint.short_runs) waits in the
// queue, quietly, while an executor has such a method in hand (`soon`): that one will be back at once. Should it not be:
//     it waits in the runtime        another executor is woken then, and the next when that one waits, too (mt_node_not_soon)
//     it sleeps or computes long     the background thread sees that nothing has moved for 500 us, and wakes one, then two, four, ...
//                                    (mt_node_quiet_stuck); whoever is out so long is `soon` no more, nor short
// As long as there are quiet runs, somebody is `soon`, or an executor is being woken or started that will look at the queue.
#include "engine/runtime/node/executor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/futex.h"
#include "engine/base/signal.h"
#include "engine/runtime/api/context.h"

// ---- with the lock held

static void idle_add(mt_node *node, mt_executor *e) {
    mt_bell_reset(&e->bell);
    e->next = node->idle;
    if (e->next) e->next->previous = &e->next;
    e->previous = &node->idle;
    node->idle = e;
}

static void idle_remove(mt_executor *e) {
    if (!e->previous) return;
    *e->previous = e->next;
    if (e->next) e->next->previous = e->previous;
    e->previous = NULL;
}

static bool is_free(const mt_executor *e) { return !e->run && !e->dead; }

// somebody who can take something now; NULL: nobody
static mt_executor *free_executor(mt_node *node) {
    mt_executor *e = node->inside && is_free(node->inside) ? node->inside : node->idle;
    if (e) idle_remove(e);
    return e;
}

enum { SHORT_NS = 5000, SHORT_ENOUGH = 8, SHORT_MOST = 16 };

static bool is_short(const mt_node *node, const mt_run *run) {
    return run->call_kind == MT_CALL_METHOD && mt_node_hint_of(node, run)->short_runs >= SHORT_ENOUGH;
}

static void assign(mt_node *node, mt_executor *e, mt_run *run) {
    run->shell = NULL;
    e->run = run;
    if (is_short(node, run)) {
        e->context->soon = 1;
        node->soon++;
    }
}

static void append(mt_node *node, mt_run *run) {
    run->shell = NULL;
    if (node->queue_tail) node->queue_tail->shell = run;
    else node->queue_head = run;
    node->queue_tail = run;
}

static mt_run *pop(mt_node *node) {
    mt_run *run = node->queue_head;
    node->queue_head = run->shell;
    if (!node->queue_head) node->queue_tail = NULL;
    return run;
}

static void set_quiet(mt_node *node, int quiet) {
    bool begins = quiet && !node->quiet;
    node->quiet = quiet;
    if (begins || !quiet) atomic_store(&node->quiet_seen, quiet != 0);
    // the background thread looks every 500 us when it is watching anyhow
    if (begins && !atomic_load(&node->watching)) node->ring_later = node->later = 1;
}

// A thread that waits in a body is as good as not there: the limit is for those that can run.
static bool wants_thread(const mt_node *node) {
    return !node->stopping && node->queued > node->starting && node->executors - node->blocked < node->desc.executors_max;
}

void mt_node_blocked(mt_node *node, int by) {
    node->blocked += by;
    atomic_fetch_sub_explicit(&node->busy, by, memory_order_relaxed);
    if (wants_thread(node)) node->later = 1;
}

static void need_thread(mt_node *node) {
    node->queued++;
    if (wants_thread(node)) node->later = 1;
}

void mt_node_run(mt_node *node, mt_run *run) {
    bool self = node->inside && is_free(node->inside);
    atomic_fetch_add_explicit(&node->busy, 1, memory_order_relaxed);
    if (self ? node->quiet > 0 : node->soon && is_short(node, run)) {
        append(node, run);
        set_quiet(node, node->quiet + 1);
        if (!self) return;
        // it takes the oldest
        run = pop(node);
        set_quiet(node, node->quiet - 1);
    }
    mt_executor *e = free_executor(node);
    if (e) {
        assign(node, e, run);
        mt_node_ring(node, &e->bell);
        return;
    }
    append(node, run);
    need_thread(node);
}

static void wake_quiet(mt_node *node, int count) {
    for (; count > 0 && node->quiet; count--) {
        mt_executor *e = node->idle;
        set_quiet(node, node->quiet - 1);
        if (e) {
            idle_remove(e);
            assign(node, e, pop(node));
            mt_node_ring(node, &e->bell);
        } else need_thread(node);
    }
}

// nobody will soon be free, and nobody is on his way
static void see_to_quiet(mt_node *node) {
    while (node->quiet && !node->soon && !node->queued) wake_quiet(node, 1);
}

void mt_node_not_soon(mt_node *node, manta_context *c) {
    if (!c->soon) return;
    c->soon = 0;
    node->soon--;
    see_to_quiet(node);
}

void mt_node_quiet_stuck(mt_node *node, int count) {
    for (mt_executor *e = node->all; e; e = e->all_next) {
        if (!e->context || !e->context->soon) continue;
        e->context->soon = 0;
        if (e->run) mt_node_hint_of(node, e->run)->short_runs = 0;
    }
    node->soon = 0;
    wake_quiet(node, count);
    see_to_quiet(node);
}

void mt_node_destroy_state(mt_node *node, mt_actor_state *state, int at_end) {
    if (state->dying) return;
    state->dying = at_end ? MT_DYING_AT_END : MT_DYING;
    state->dead_next = NULL;
    atomic_fetch_add_explicit(&node->busy, 1, memory_order_relaxed);
    mt_executor *e = free_executor(node);
    if (e) {
        e->dead = state;
        mt_node_ring(node, &e->bell);
        return;
    }
    if (node->dead_tail) node->dead_tail->dead_next = state;
    else node->dead_head = state;
    node->dead_tail = state;
    need_thread(node);
}

// destructions first: they give memory back
static void take_queued(mt_node *node, mt_executor *e) {
    if (!is_free(e)) return;
    if (node->dead_head) {
        e->dead = node->dead_head;
        node->dead_head = e->dead->dead_next;
        if (!node->dead_head) node->dead_tail = NULL;
        node->queued--;
    } else if (node->queue_head) {
        assign(node, e, pop(node));
        if (node->queued) node->queued--;
        else set_quiet(node, node->quiet - 1);
    }
}

// of a method that has ended
static void note_length(mt_node *node, const mt_run *run, int64_t ns) {
    mt_hint *hint = mt_node_hint_of(node, run);
    if (run->call_kind != MT_CALL_METHOD) return;
    if (ns >= SHORT_NS) hint->short_runs = hint->short_runs > SHORT_ENOUGH ? hint->short_runs - SHORT_ENOUGH : 0;
    else if (hint->short_runs < SHORT_MOST) hint->short_runs++;
}

mt_hint *mt_node_hint_of(const mt_node *node, const mt_run *run) {
    const manta_program *desc = node->program->desc;
    if (!run) return &node->hints[0];
    if (run->call_kind == MT_CALL_TASK) return &node->hints[1 + (run->function < desc->task_count ? run->function : 0)];
    return &node->hints[1 + desc->task_count + (run->class_number < desc->class_count ? run->class_number : 0)];
}

mt_hint *mt_executor_hint(const mt_executor *self) {
    return self->run ? mt_node_hint_of(self->node, self->run) : &self->node->hints[0];
}

void mt_node_what_runs(mt_node *node, char *out, size_t out_bytes) {
    size_t used = 0;
    *out = '\0';
    for (const mt_executor *e = node->all; e && used + 1 < out_bytes; e = e->all_next) {
        if (is_free(e)) continue;
        const mt_function *f =
            e->run ? mt_program_function(node->program, e->run->call_kind, e->run->class_number, e->run->function) : NULL;
        const char *name = f ? f->name : e->dead ? "a destroy function" : "?";
        int n = snprintf(out + used, out_bytes - used, "%s%s", used ? ", " : "", name);
        used += n > 0 ? (size_t)n : 0;
    }
}

// ---- the threads

// Lock held on entry and on return.
static void work(mt_executor *e) {
    mt_node *node = e->node;
    node->working++;
    mt_node_leave(node);
    if (e->dead) {
        mt_actor_state *state = e->dead;
        mt_context_destroy_state(e->context, state);
        mt_node_enter(node);
        node->inside = e;
        e->dead = NULL;
        mt_context_release_state(node, state);
        if (state->dying == MT_DYING_AT_END) state->dying = MT_DESTROYED;   // the core still knows it: freed with the node
        else {
            mt_core_actor_destroyed(node->core, mt_actor_state_user(state));
            mt_context_free_state(state);
        }
    } else {
        mt_run *run = e->run;
        mt_context_run(e->context, run);
        mt_node_enter(node);
        node->inside = e;
        e->run = NULL;
        node->moved++;
        if (e->context->soon) {
            // it looks at the queue itself before long
            e->context->soon = 0;
            node->soon--;
        }
        note_length(node, run, e->context->run_ns);
        mt_context_finish(e->context, run);
    }
    node->inside = NULL;
    node->working--;
    atomic_fetch_sub_explicit(&node->busy, 1, memory_order_relaxed);
    if (node->ending && node->main_bell) mt_node_ring(node, node->main_bell);
}

static void *executor_main(void *argument) {
    mt_executor *e = argument;
    mt_node *node = e->node;
    mt_node_enter(node);
    node->starting--;
    for (;;) {
        take_queued(node, e);
        see_to_quiet(node);
        if (!is_free(e)) {
            work(e);
            continue;
        }
        if (node->stopping) break;
        idle_add(node, e);
        mt_node_leave(node);
        mt_node_wait(node, &e->bell, e, NULL, MT_NEVER);
        mt_node_enter(node);
        idle_remove(e);
    }
    manta_context *context = e->context;
    e->context = NULL;   // mt_node_quiet_stuck looks at all
    mt_node_leave(node);
    mt_context_destroy(context);
    atomic_fetch_add(&node->executors_gone, 1);
    mt_futex_wake_all(&node->executors_gone);
    return NULL;
}

static int start_one(mt_node *node, int number) {
    sigset_t before;
    mt_executor *e = aligned_alloc(64, (sizeof *e + 63) / 64 * 64);
    if (!e) return 0;
    memset(e, 0, sizeof *e);
    e->node = node;
    e->number = number;
    e->context = mt_context_create(node, number);
    if (!e->context) {
        free(e);
        return 0;
    }
    mt_node_enter(node);
    e->all_next = node->all;
    node->all = e;
    mt_node_leave(node);
    mt_signal_block(&before);
    int error = pthread_create(&e->thread, &node->thread_attributes, executor_main, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) return 1;
    mt_node_enter(node);
    mt_executor **at = &node->all;
    while (*at != e) at = &(*at)->all_next;
    *at = e->all_next;
    mt_node_leave(node);
    mt_context_destroy(e->context);
    free(e);
    return 0;
}

// When the system gives no more threads, those there are go on alone and what is queued waits for them; there may be none, so the
// background thread tries again with every tick.
void mt_node_start_executors(mt_node *node) {
    for (;;) {
        mt_node_enter(node);
        int number = node->executors;
        bool more = wants_thread(node);
        if (more) {
            node->starting++;
            node->executors++;
        }
        mt_lock_give(&node->lock);
        if (!more) return;
        if (start_one(node, number + 1)) continue;
        mt_node_enter(node);
        node->starting--;
        node->executors--;
        mt_lock_give(&node->lock);
        atomic_store(&node->threads_refused, 1);
        return;
    }
}

bool mt_node_executors_stop(mt_node *node, int64_t deadline_ns) {
    mt_node_enter(node);
    node->stopping = 1;
    for (mt_executor *e = node->idle; e; e = e->next) mt_node_ring(node, &e->bell);
    int wanted = node->executors;
    mt_node_leave(node);
    for (;;) {
        uint32_t gone = atomic_load(&node->executors_gone);
        if (gone >= (uint32_t)wanted) break;
        if (!mt_futex_wait(&node->executors_gone, gone, deadline_ns) && atomic_load(&node->executors_gone) < (uint32_t)wanted) return false;
    }
    for (mt_executor *e = node->all, *next; e; e = next) {
        next = e->all_next;
        pthread_join(e->thread, NULL);
        free(e);
    }
    node->all = NULL;
    node->executors = 0;
    return true;
}
