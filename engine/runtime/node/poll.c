// The poll token: who reads messages, and how threads wait. One at a time polls the transport; who it is changes all the time.
//
// Why. The thread that waits for a message is the best one to receive it: no hand-over, no context switch. And a thread that
// computes must not be needed for messages to be answered.
//
// Protocol. `token` is one word: a state in the low two bits, and a count of drowsy releases above.
//   HELD     somebody polls. Only the holder moves it on.
//   ASLEEP   nobody polls and the transport's senders ring (set_asleep(1)): the background thread will come.
//   DROWSY   nobody polls and senders do NOT ring: whoever had it last said that he is back in a moment (he runs a body that has
//            always been short, or returned from a get). Giving it away costs a store, where ASLEEP costs a barrier in every
//            process of the host, and a futex call of a sender that finds it.
// Anyone may take it when it is not HELD, by compare-and-swap (acquire); after ASLEEP he stops the ringing (set_asleep(0)).
//   waiting threads    take it when they find it free, poll while they spin, and give it back for good before they sleep
//   calls passing by   (submit, put, ...) take it for one batch when messages lie there, under the lock that they have anyway
//   background thread  takes it when it is rung, and when it has been DROWSY for WATCH_NS without anybody coming: then the hint of
//                      the one who had promised to come back is told, and he gives it away for good the next times (mt_hint)
// No message is left lying:
//   ASLEEP   set_asleep(1); token = ASLEEP; full fence; look at pending() once more, and ring the background thread if need be.
//            A ring that found the token HELD may be forgotten: its message was published before, so this look sees it.
//   DROWSY   token = DROWSY (seq_cst), then look at `watching`: when it is 0 the background thread is rung. It sets watching to
//            0 before it sleeps for long, then looks at the token once more (seq_cst both).
//
// The lock is taken once per batch of messages and held through poll; the core answers straight into the transport.
#include "engine/runtime/node/node.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/futex.h"
#include "engine/base/signal.h"

enum { ASLEEP, DROWSY, HELD, STATES = 3, EPOCH = 4 };
enum { BATCH = 64, PASS_BATCH = 16, SPINS_PER_LOOK = 32, PENALTY_MAX = 4096 };
enum { PATIENCE = 128 };   // spins, some 5 us: then whoever is waited for may be waiting for this very core
#define WATCH_NS    (500 * MT_MICROSECOND_NS)
#define BUSY_TICK_NS (20 * MT_MILLISECOND_NS)
#define IDLE_TICK_NS (100 * MT_MILLISECOND_NS)
#define LOOK_OUT_NS MT_SECOND_NS   // how often the background thread asks whether the other processes live

// ---- the token

static bool take(mt_node *node) {
    uint64_t token = atomic_load_explicit(&node->token, memory_order_relaxed);
    if ((token & STATES) == HELD) return false;
    if (!atomic_compare_exchange_strong(&node->token, &token, (token & ~(uint64_t)STATES) | HELD)) return false;
    if ((token & STATES) == ASLEEP) node->transport->ops->set_asleep(node->transport, 0);
    return true;
}

// Returns whether messages lie there: then somebody has to take it again.
static bool give_for_good(mt_node *node) {
    uint64_t token = atomic_load_explicit(&node->token, memory_order_relaxed);
    node->transport->ops->set_asleep(node->transport, 1);
    atomic_store(&node->token, (token & ~(uint64_t)STATES) | ASLEEP);
    atomic_thread_fence(memory_order_seq_cst);
    return node->transport->ops->pending(node->transport);
}

static void give_for_now(mt_node *node, mt_hint *hint) {
    uint64_t token = atomic_load_explicit(&node->token, memory_order_relaxed);
    atomic_store_explicit(&node->drowsy_hint, hint, memory_order_relaxed);
    atomic_store(&node->token, (token & ~(uint64_t)STATES) + EPOCH + DROWSY);
    if (!atomic_load(&node->watching)) node->transport->ops->ring(node->transport);
}

// By somebody who goes on to something else.
static void give(mt_node *node, mt_hint *hint) {
    uint32_t slow = hint ? atomic_load_explicit(&hint->slow, memory_order_relaxed) : 1;
    if (slow == 0) {
        give_for_now(node, hint);
        return;
    }
    if (hint) atomic_store_explicit(&hint->slow, slow - 1, memory_order_relaxed);
    if (give_for_good(node)) node->transport->ops->ring(node->transport);
}

// ---- polling

static void deliver(void *context, int source, const void *message, size_t bytes) {
    mt_node *node = context;
    mt_core_receive(node->core, source, message, bytes);
}

// The holder's. Returns how many messages came.
static int poll_once(mt_node *node, mt_executor *self) {
    mt_transport *t = node->transport;
    if (!t->ops->pending(t)) return 0;
    mt_node_enter(node);
    node->inside = self;
    int count = t->ops->poll(t, deliver, node, BATCH);
    node->inside = NULL;
    mt_node_leave(node);
    return count;
}

static void tick(mt_node *node, int64_t now) {
    mt_node_enter(node);
    int64_t next = mt_core_tick(node->core, now);
    mt_core_stats stats;
    mt_core_stats_get(node->core, &stats);
    mt_node_leave(node);
    // what the core wants may come up just after it was asked
    int64_t at_most = now + (stats.pending_tasks + stats.running_runs + stats.queued_runs ? BUSY_TICK_NS : IDLE_TICK_NS);
    if (next > at_most) next = at_most;
    atomic_store_explicit(&node->next_tick_ns, next, memory_order_relaxed);
}

void mt_node_pass(mt_node *node, mt_hint *hint) {
    mt_transport *t = node->transport;
    if ((atomic_load_explicit(&node->token, memory_order_relaxed) & STATES) == HELD) return;
    if (atomic_load_explicit(&hint->slow, memory_order_relaxed)) return;
    if (!t->ops->pending(t) || !take(node)) return;
    t->ops->poll(t, deliver, node, PASS_BATCH);
    give_for_now(node, hint);
}

// ---- waiting

// Spinning must not take a core from a thread that has something to do. A yield costs 0.3 us when nobody wants the core. Without it
// for the first spins when there are cores enough; later always, since there are other programs, and the system may have
// put the thread that is waited for on this very core (measured: 110 us in place of 4 for a call within a rank, under load).
static bool should_yield(const mt_node *node) {
    return node->desc.crowded || atomic_load_explicit(&node->spinning, memory_order_relaxed) +
            atomic_load_explicit(&node->busy, memory_order_relaxed) > node->desc.cores;
}

static bool spin(mt_node *node, mt_bell *bell, mt_executor *self, bool *have, int64_t deadline_ns) {
    int64_t now = mt_clock_ns(), until = now + node->spin_ns;
    bool rung = false;
    int patience = PATIENCE;
    atomic_fetch_add_explicit(&node->spinning, 1, memory_order_relaxed);
    for (unsigned i = 1;; i++) {
        if ((rung = mt_bell_rung(bell))) break;
        if (!*have) *have = take(node);
        if (*have && poll_once(node, self)) {
            until = 0;   // what came restarts the clock
            patience = PATIENCE;
            continue;
        }
        bool yield = should_yield(node) || --patience < 0;
        if (yield) sched_yield();
        else mt_cpu_relax();
        // a yield may take as long as the others please: then look at the clock every time
        if (i % SPINS_PER_LOOK && until && !yield) continue;
        now = mt_clock_ns();
        if (until == 0) until = now + node->spin_ns;
        if (now >= until || now >= deadline_ns) break;
        if (*have && now >= atomic_load_explicit(&node->next_tick_ns, memory_order_relaxed)) tick(node, now);
    }
    atomic_fetch_sub_explicit(&node->spinning, 1, memory_order_relaxed);
    return rung;
}

int mt_node_wait(mt_node *node, mt_bell *bell, mt_executor *self, mt_hint *hint, int64_t deadline_ns) {
    for (;;) {
        bool have = false;
        if (mt_bell_rung(bell)) return 1;
        if (node->spin_ns > 0 && spin(node, bell, self, &have, deadline_ns)) {
            if (have) give(node, self ? mt_executor_hint(self) : hint);
            return 1;
        }
        // nobody sleeps on a promise: a token that is drowsy is given away for good
        if (!have && (atomic_load_explicit(&node->token, memory_order_relaxed) & STATES) == DROWSY) have = take(node);
        // now somebody polls, or the senders ring; a message that came at the last moment is worth another round
        if (have && give_for_good(node)) {
            if (node->spin_ns > 0 && !mt_deadline_passed(deadline_ns)) continue;
            node->transport->ops->ring(node->transport);
        }
        return mt_bell_sleep(bell, deadline_ns);
    }
}

// ---- the background thread

static void serve(mt_node *node) {
    do {
        while (poll_once(node, NULL))
            // a thread that waits does better
            if (atomic_load_explicit(&node->spinning, memory_order_relaxed)) {
                give_for_now(node, NULL);
                return;
            }
    } while (give_for_good(node) && take(node));
}

// The promise to be back in a moment was not kept.
static void take_over(mt_node *node) {
    mt_hint *hint = atomic_load_explicit(&node->drowsy_hint, memory_order_relaxed);
    if (!take(node)) return;
    if (hint) {
        hint->penalty = hint->penalty < PENALTY_MAX ? 2 * hint->penalty + 8 : PENALTY_MAX;
        atomic_store_explicit(&hint->slow, hint->penalty, memory_order_relaxed);
    }
    serve(node);
}

static void look_out(mt_node *node) {
    for (int r = 0; r < node->size; r++) {
        if (r == node->rank || node->gone[r] || node->transport->ops->alive(node->transport, r)) continue;
        node->gone[r] = 1;
        mt_node_enter(node);
        mt_core_peer_gone(node->core, r);
        mt_node_leave(node);
    }
}

// Quiet runs (executor.c) that nobody comes for: how often it was looked without anything having moved.
typedef struct quiet_watch {
    uint32_t moved;
    int64_t since_ns;
    int wake;
} quiet_watch;

static void watch_quiet(mt_node *node, quiet_watch *watch, int64_t now) {
    mt_node_enter(node);
    if (node->moved != watch->moved || !watch->since_ns) *watch = (quiet_watch){.moved = node->moved, .since_ns = now, .wake = 1};
    else if (now - watch->since_ns >= WATCH_NS && node->quiet) {
        mt_node_quiet_stuck(node, watch->wake);
        watch->since_ns = now;
        if (watch->wake < 1 << 20) watch->wake *= 2;
    }
    mt_node_leave(node);
}

static void *background_main(void *argument) {
    mt_node *node = argument;
    mt_transport *t = node->transport;
    quiet_watch watch = {0};
    uint64_t seen = UINT64_MAX;
    int64_t seen_ns = 0, look_out_ns = mt_clock_ns() + LOOK_OUT_NS;
    while (!atomic_load(&node->background_stop)) {
        int64_t now = mt_clock_ns();
        if (now >= atomic_load_explicit(&node->next_tick_ns, memory_order_relaxed)) tick(node, now);
        if (now >= look_out_ns) {
            look_out(node);
            look_out_ns = now + LOOK_OUT_NS;
        }
        if (atomic_exchange(&node->threads_refused, 0)) mt_node_start_executors(node);
        bool quiet = atomic_load(&node->quiet_seen);
        if (quiet) {
            watch_quiet(node, &watch, now);
            atomic_store(&node->watching, 1);
        } else watch.since_ns = 0;
        int64_t until = atomic_load_explicit(&node->next_tick_ns, memory_order_relaxed);
        if (until > look_out_ns) until = look_out_ns;
        uint64_t token = atomic_load(&node->token);
        if ((token & STATES) == ASLEEP && t->ops->pending(t) && take(node)) {
            serve(node);
            continue;
        }
        if (token / EPOCH != seen) {
            // since the last look somebody was drowsy: look again soon
            seen = token / EPOCH;
            seen_ns = now;
            atomic_store(&node->watching, 1);
        } else if ((token & STATES) == DROWSY) {
            if (now - seen_ns >= WATCH_NS) {
                take_over(node);
                continue;
            }
        } else if (!quiet && now - seen_ns >= WATCH_NS && atomic_load_explicit(&node->watching, memory_order_relaxed)) {
            atomic_store(&node->watching, 0);
            continue;   // and look once more
        }
        if (atomic_load_explicit(&node->watching, memory_order_relaxed) && until > now + WATCH_NS) until = now + WATCH_NS;
        t->ops->sleep(t, until);
    }
    return NULL;
}

mt_status mt_node_background_start(mt_node *node) {
    sigset_t before;
    mt_signal_block(&before);
    int error = pthread_create(&node->background, &node->thread_attributes, background_main, node);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return MT_FAIL(NO_MEMORY, "cannot start the message thread: %s; allow more processes (ulimit -u)", strerror(error));
    node->background_started = 1;
    pthread_setname_np(node->background, "manta-net");
    return MT_OK;
}

void mt_node_background_stop(mt_node *node) {
    if (!node->background_started) return;
    atomic_store(&node->background_stop, 1);
    node->transport->ops->ring(node->transport);
    pthread_join(node->background, NULL);
    node->background_started = 0;
}
