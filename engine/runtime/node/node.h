// A node agent: threads and a transport round one core. It owns the core, the lock that guards it, the executors that run tasks
// and actors, the poll token, and two helpers: a background thread (messages while everybody else computes or sleeps, and the
// clock) and a disk thread (spilled objects). No globals: several nodes live in one process in tests.
//
//     node.c      making and ending, the core's table of functions, the lock
//     poll.c      the poll token, waiting, the background thread
//     executor.c  executor threads
//     disk.c      the disk thread
#ifndef MANTA_ENGINE_RUNTIME_NODE_H
#define MANTA_ENGINE_RUNTIME_NODE_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "engine/runtime/core.h"
#include "engine/runtime/memory/heap.h"
#include "engine/runtime/api/holds.h"
#include "engine/runtime/node/lock.h"
#include "engine/runtime/api/program.h"
#include "engine/runtime/transport/transport.h"
#include "engine/runtime/wire.h"

typedef struct mt_node mt_node;
typedef struct mt_executor mt_executor;
typedef struct mt_timeline mt_timeline;
typedef struct mt_disk mt_disk;

typedef struct mt_node_desc {
    mt_transport *transport;          // borrowed, as everything here; outlives the node
    mt_heap *heap;
    const mt_resources *totals;       // (size) what every rank has
    const mt_resource_names *names;
    const mt_program *program;
    void *user;                       // Nullable: what manta_user gives
    mt_timeline *timeline;            // Nullable: none
    const char *spill_folder;         // Nullable: the system's temporary one
    int spill;                        // 0: never to disk
    int argument_count;               // the driver's command line
    char **arguments;
    uint64_t seed, object_bytes;
    int64_t timeout_ns;               // of waits that name none; 0: 120 s; MT_NEVER: none
    int64_t spin_ns;                  // how long a waiting thread spins; 0: 50 us; < 0: not at all
    int cores;                        // of this rank, for threads that spin: more that want to run than these, and they yield; 0: 1
    int crowded;                      // more ranks than cores on this host: every spinning thread yields
    int executors_max;                // threads that can run; those that wait in a get come on top; 0: 4096
    int gpu_first, gpu_devices;       // of this host's devices this rank has [first, first + devices)
    int64_t heartbeat_ns, suspect_ns, dead_ns;   // 0: the core's own
} mt_node_desc;

mt_status mt_node_create(const mt_node_desc *desc, mt_node **out);

// Until the head ends the job (MT_OK) or this rank is out of it (MT_COMM). For the main thread of the ranks that have no driver.
mt_status mt_node_serve(mt_node *node);
// The head's: tells all ranks that the job ends.
void mt_node_end(mt_node *node);
// On every rank, after serve or end: what runs may end, what is queued is dropped, actors are destroyed; then until all ranks
// are so far. MT_DEADLINE names what still runs, MT_COMM the ranks that did not answer.
mt_status mt_node_drain(mt_node *node, int64_t deadline_ns);
// Ends the threads. When a body still runs, nothing is freed and the answer is MT_DEADLINE: the process has to end.
mt_status mt_node_destroy(mt_node *node);   // Nullable

// ---- the rest is the runtime's own

// What a thread goes back to when it has what it waited for: a function of the program, or the driver. slow is not 0 when it was
// slow to come back to the runtime, so that the background thread had to take over (poll.c). The node's, so it outlives contexts.
typedef struct mt_hint {
    _Atomic uint32_t slow;   // so many more times give the token away for good
    uint32_t penalty;
    int short_runs;          // under the lock: the last ones were shorter than waking a thread (executor.c)
} mt_hint;

enum { MT_ALIVE, MT_DYING, MT_DYING_AT_END, MT_DESTROYED };

// The state of an actor, in front of the user's bytes.
typedef struct mt_actor_state {
    struct mt_actor_state *next, **previous;   // the node's list
    struct mt_actor_state *dead_next;
    uint32_t class_number;
    int dying;
    mt_holds *retained;                        // owned: by manta_retain in its methods. NULL before the first
    manta_group *groups;                       // owned: those that its methods have joined (group.c)
} mt_actor_state;

// A context that waits; rung when the job ends.
typedef struct mt_waiting {
    struct mt_waiting *next, **previous;
    mt_bell *bell;
    int room;                   // for memory in the heap: rung when some may have come back
} mt_waiting;

// Topics of SHELL messages.
enum { MT_TOPIC_END = 1, MT_TOPIC_ENDED, MT_TOPIC_BYE, MT_TOPIC_GROUP };

// A question to the head or to a group's owner that somebody here waits for.
typedef struct mt_question {
    struct mt_question *next;
    uint64_t number;
    mt_bell *bell;
    int answered, code;
    manta_actor actor;          // of a name
    uint32_t *ranks;            // of a meeting: owned by the one who asked (count), filled in
    int count;
    uint64_t round;
} mt_question;

enum { MT_NODE_WAKES = 24, MT_NODE_TEAMS_GONE = 64 };

struct mt_node {
    // guarded by the lock
    alignas(64) mt_lock lock;
    mt_core *core;
    mt_executor *inside;        // the executor whose hands are free and whose thread is in the core now
    mt_executor *idle;          // newest first
    mt_run *queue_head, *queue_tail;   // runs without an executor, linked through run->shell
    mt_actor_state *dead_head, *dead_tail;
    int queued, starting, executors, working, blocked;
    int quiet, soon;            // runs in the queue that wait for executors which will soon be free; how many of these there are
    uint32_t moved;             // runs that have ended
    uint32_t wake_count;
    _Atomic uint32_t *wakes[MT_NODE_WAKES];   // futex calls owed: made after the lock is given back
    int later;                  // something is owed
    int ring_later;             // the background thread is to look at the quiet runs
    mt_actor_state *actors;
    mt_waiting *waiting;
    int room_waiters;           // of them
    int disk_refuses;           // there is no thread for what is to go to disk: it is answered when the lock is given back
    mt_question *questions;
    manta_placement *placements;
    struct mt_team *teams;      // groups that members on this rank have joined
    struct mt_team_early *early;
    size_t early_bytes;
    int early_dropped;          // said once
    uint64_t teams_gone[MT_NODE_TEAMS_GONE];   // the last that were left: what still comes for them is dropped
    uint32_t teams_gone_count;
    mt_holds retained;          // by manta_retain outside actors
    uint64_t last_question;
    int ending, stopping, bye;
    struct mt_census_wait *census_wait;   // Nullable: of the thread that waits for answers (census.c)
    int census_asker;           // who waits for this rank's answer; -1: nobody
    uint64_t census_question, census_last;
    int fenced;                 // 1 + the rank whose death ends the job for this one
    unsigned char *rank_flags;  // (size) MT_RANK_*
    mt_bell *main_bell;   // Nullable: of the thread in serve or drain
    mt_executor *all;           // every executor there is
    mt_disk *disk;

    alignas(64) _Atomic uint64_t token;   // poll.c
    _Atomic uint32_t watching;
    _Atomic int32_t spinning, busy;       // threads that spin; runs that somebody has and that do not wait
    _Atomic int64_t next_tick_ns;
    _Atomic(mt_hint *) drowsy_hint;
    unsigned char *gone;                  // (size) the background thread's: it has told the core
    _Atomic uint32_t background_stop;
    _Atomic uint32_t ending_seen;         // a copy of `ending` for threads without the lock
    _Atomic uint32_t quiet_seen;          // of `quiet` != 0
    _Atomic uint32_t threads_refused;     // the system gave no thread for a run: the background thread tries again

    // const after create
    alignas(64) mt_transport *transport;
    mt_heap *heap;
    const mt_program *program;
    mt_timeline *timeline;
    mt_hint *hints;             // owned: the driver's, one per task, one per class (create and all methods)
    mt_node_desc desc;
    int rank, size;
    int64_t began_ns;
    int64_t spin_ns, timeout_ns;
    pthread_t background;
    int background_started;
    pthread_attr_t thread_attributes;
    int attributes_made;
    _Atomic uint32_t executors_gone;
};

enum { MT_RANK_ENDED = 1, MT_RANK_DEAD = 2 };

static inline void mt_node_enter(mt_node *node) { mt_lock_take(&node->lock); }
void mt_node_leave_slow(mt_node *node);
static inline void mt_node_leave(mt_node *node) {
    if (__builtin_expect(node->later, 0)) mt_node_leave_slow(node);
    else mt_lock_give(&node->lock);
}

// With the lock held: rings, and owes the futex call when the thread sleeps.
void mt_node_ring(mt_node *node, mt_bell *bell);
void mt_node_room(mt_node *node);   // with the lock held: memory in the heap may have come back, or will not

// Questions, with the lock held: put on the list with a number of its own; taken off again, answered or not.
void mt_node_ask(mt_node *node, mt_question *question);
void mt_node_ask_end(mt_node *node, mt_question *question);

// poll.c. Waits until rung (1) or the deadline (0), driving the message loop meanwhile where no other thread does. No lock held.
// Nullable: self (the executor that is idle; hint is not looked at then). hint: what this thread goes back to afterwards.
int mt_node_wait(mt_node *node, mt_bell *bell, mt_executor *self, mt_hint *hint, int64_t deadline_ns);
// With the lock held: handles messages that lie there, when nobody else does. For calls that pass by.
void mt_node_pass(mt_node *node, mt_hint *hint);
mt_status mt_node_background_start(mt_node *node);
void mt_node_background_stop(mt_node *node);

// executor.c
mt_hint *mt_executor_hint(const mt_executor *self);             // of the run that it was given
mt_hint *mt_node_hint_of(const mt_node *node, const mt_run *run);   // Nullable: run (the driver's)
void mt_node_run(mt_node *node, mt_run *run);                   // lock held: somebody shall run it
void mt_node_destroy_state(mt_node *node, mt_actor_state *state, int at_end);   // lock held
void mt_node_blocked(mt_node *node, int by);                    // lock held: a body begins (1) or ends (-1) to wait
void mt_node_start_executors(mt_node *node);                    // no lock held: as many as are missing
void mt_node_not_soon(mt_node *node, manta_context *c);         // lock held: its body waits, or has ended
void mt_node_quiet_stuck(mt_node *node, int count);             // lock held: nothing has moved; so many quiet runs get threads
bool mt_node_executors_stop(mt_node *node, int64_t deadline_ns);   // false: a body still runs
void mt_node_what_runs(mt_node *node, char *out, size_t out_bytes);   // lock held: names, for messages

static inline void *mt_actor_state_user(mt_actor_state *state) { return (char *)state + 64; }
static inline mt_actor_state *mt_actor_state_of(void *user) { return (mt_actor_state *)(void *)((char *)user - 64); }
_Static_assert(sizeof(mt_actor_state) <= 64, "the user's state begins 64 bytes behind");

// api/placement.c
manta_ref mt_placement_ref(const manta_placement *placement);
int mt_placement_count(const manta_placement *placement);
void mt_placements_free(manta_placement *first);   // Nullable: all records of the list

// disk.c: with the lock held
mt_status mt_disk_create(mt_node *node, mt_disk **out);
void mt_disk_destroy(mt_disk *disk);   // Nullable; no lock held
void mt_disk_spill(mt_disk *disk, uint64_t ticket, uint64_t offset, uint64_t bytes);
void mt_disk_restore(mt_disk *disk, uint64_t ticket, uint64_t file, uint64_t offset, uint64_t bytes);
void mt_disk_drop(mt_disk *disk, uint64_t file);
void mt_disk_refuse(mt_disk *disk);    // outside the core: what waits for a thread that cannot be made has failed

#endif
