// The core of a rank: everything that the runtime decides, as one state machine. Events come in as function calls, actions go
// out through the shell's table of functions. No thread, lock, clock, MPI or file call is made in here, so the same code runs
// in a rank (node.c: threads and a transport round it) and, ten thousand times in one thread, in the simulator.
//
//     API thread ──submit, put, wait, release──▶ ┌──────┐ ──run──▶ executor thread ──finish──▶ (back in)
//     transport ──receive──────────────────────▶ │ core │ ──send──▶ transport
//     clock ──tick─────────────────────────────▶ └──────┘ ──wake──▶ waiting thread
//
// Calls into one core are made one at a time (the shell's lock). The shell's functions are called from inside them; they must
// not call back into the core, but may note what to do afterwards.
//
// Ownership. Who makes a call owns its results: the owner's rank keeps each object's state and value (or the place of a large
// one) and knows which ranks hold it. Another rank holds an object by adopting it: ADOPT to the owner, which counts it from
// then on and tells it the value. Whoever hands a reference on (in a call's arguments, in results, inside a value) keeps
// its own hold until the receiver had the chance to adopt: until the call's DONE; until KEPT; as long as the container lives.
// While an adoption is on its way, a rank's releases and DONEs wait behind it. So nothing is counted twice or late, and
// when a rank dies the owner just forgets its name.
#ifndef MANTA_ENGINE_RUNTIME_CORE_H
#define MANTA_ENGINE_RUNTIME_CORE_H

#include "engine/runtime/manta_runtime.h"
#include "engine/runtime/resources.h"
#include "engine/runtime/transport/transport.h"
#include "engine/runtime/value.h"

typedef struct mt_core mt_core;
typedef struct mt_object mt_object;
typedef struct mt_hosted mt_hosted;   // an actor that lives on this rank
typedef struct mt_run mt_run;
typedef struct mt_waiter mt_waiter;

// ---- what runs on this rank

// An argument as the executor finds it. When its payload is inline, value.payload; otherwise at (view_rank, view_offset).
typedef struct mt_run_argument {
    mt_value value;
    int view_rank;          // -1: inline
    uint64_t view_offset;
} mt_run_argument;

// A call that is to be run here. The shell reads the upper part; `core` is the core's. Between run and finish the shell's
// executor owns it.
struct mt_run {
    int call_kind;                  // mt_call_kind
    uint32_t function, class_number;
    int argument_count, result_count;
    mt_run_argument *arguments;     // (argument_count)
    const manta_ref *results;       // (result_count): their names
    manta_ref actor;
    mt_hosted *hosted;              // CREATE, METHOD
    void **state;                   // CREATE, METHOD: the actor's state, kept for the shell; it sets it in CREATE
    int caller;
    int gpu_count;
    const int *gpus;                // (gpu_count): numbers of this rank's devices
    int cancelled;                  // set by the core at any time; read with __atomic_load_n
    void *shell;                    // the shell's own
    struct mt_run_core *core;
};

// Who a body is as a caller: calls of one author to an actor stay in order. An actor's methods are one author, a task is one by
// itself, the driver (NULL) is 0.
uint64_t mt_run_author(const mt_run *run);

// A result on its way back.
typedef struct mt_run_result {
    const void *encoded;            // an encoded inline value; NULL: the value lies in this rank's heap:
    mt_value_head head;
    int64_t shape[MANTA_MAX_DIMS];
    uint64_t offset;                // in the heap; the core owns the block from now on
    const manta_ref *inner;         // references inside a value of type REF or ACTOR in the heap
} mt_run_result;

// The class of the actor that a reference stands for, plus 1: in its serial's upper 16 bits, so that whoever is handed an actor
// finds its methods, their signatures and numbers of results without asking. -1: no actor, or one that was never made.
enum { MT_ACTOR_CLASS_SHIFT = 48 };
static inline int mt_actor_class(manta_ref ref) { return (int)(ref.serial >> MT_ACTOR_CLASS_SHIFT) - 1; }

// ---- waiting

typedef struct mt_wait_link {
    struct mt_waiter *waiter;
    mt_object *object;              // NULL: satisfied or failed at once
    struct mt_wait_link *next, **previous;
    int satisfied;
} mt_wait_link;

// Satisfied when `wanted` of its links are. The shell's function wake is called once then.
struct mt_waiter {
    int wanted, satisfied;
    int view;                       // large values must be in reach, too (get); 0: ready is enough (wait)
    int done;
    int internal;                   // the core's own: 0 for everybody else
    void *shell;
};

typedef struct mt_look {
    int state;                      // mt_value_state
    mt_value value;                 // READY
    int view_rank;                  // READY, in a heap, in reach: where; -1 when inline or not in reach
    uint64_t view_offset;
    int code, error_rank;           // FAILED
    const char *message;            // FAILED; valid while the object is held
} mt_look;

// ---- the shell's table

// Why a rank is out of the job.
typedef enum mt_reason { MT_REASON_GONE, MT_REASON_SILENT } mt_reason;   // its process ended; nothing was heard of it

typedef struct mt_core_ops {
    void (*send)(void *shell, int rank, const mt_piece *pieces, int count);
    void (*run)(void *shell, mt_run *run);                    // an executor shall run it now
    void (*wake)(void *shell, mt_waiter *waiter);
    void (*destroy_actor)(void *shell, uint32_t class_number, void *state);   // on an executor; answer: mt_core_actor_destroyed
    uint64_t (*heap_alloc)(void *shell, uint64_t bytes);      // MT_HEAP_NO_OFFSET: full
    void (*heap_free)(void *shell, uint64_t offset);
    void *(*heap_at)(void *shell, uint64_t offset);
    // Disk: done later, answered with mt_core_spilled and mt_core_restored. ticket names the object.
    void (*spill)(void *shell, uint64_t ticket, uint64_t offset, uint64_t bytes);
    void (*restore)(void *shell, uint64_t ticket, uint64_t file, uint64_t offset, uint64_t bytes);
    void (*spill_drop)(void *shell, uint64_t file);
    void (*rank_suspect)(void *shell, int rank, int64_t silent_ns);   // at the head: silent for so long; 0: heard again
    void (*rank_dead)(void *shell, int rank, int reason);     // the head said so; own rank: this process was fenced, it ends
    void (*shell_message)(void *shell, int source, uint32_t topic, uint64_t argument, const void *data, size_t bytes);
    void (*met)(void *shell, uint64_t question, int code, const uint32_t *ranks, int count, uint64_t round);
    void (*named)(void *shell, uint64_t question, int code, manta_actor actor);
} mt_core_ops;

typedef struct mt_core_desc {
    int rank, size;
    const int *node_of;             // (size) borrowed
    const mt_resources *totals;     // (size) borrowed: what every rank has
    const mt_resource_names *names; // borrowed
    uint32_t incarnation;
    uint64_t seed;                  // of choices that need no reason
    uint64_t object_bytes;          // limit of this rank's heap: above 80 % of it unread objects go to disk
    int64_t heartbeat_ns, suspect_ns, dead_ns;   // 0: 1 s, 5 s, 15 s
    int gpu_devices;                // of this rank (whole devices in totals)
    int spill;                      // 0: never to disk
} mt_core_desc;

mt_status mt_core_create(const mt_core_desc *desc, const mt_core_ops *ops, void *shell, mt_core **out);
void mt_core_destroy(mt_core *core);   // Nullable

// ---- events: network and time

void mt_core_receive(mt_core *core, int source, const void *message, size_t bytes);
// now_ns: any monotonic clock of this rank's. Returns when it wants to be called again.
int64_t mt_core_tick(mt_core *core, int64_t now_ns);
void mt_core_peer_gone(mt_core *core, int rank);   // its process has ended, this rank saw it
void mt_core_shell_send(mt_core *core, int rank, uint32_t topic, uint64_t argument, const void *data, size_t bytes);

// ---- events: the API

typedef struct mt_submit {
    int call_kind;
    uint32_t function, class_number;
    int argument_count, result_count;
    const manta_arg *arguments;           // checked (mt_arg_check); large payloads were put before (manta_from)
    mt_resources demand;                  // TASK, CREATE
    int cpu_afterwards;
    int on_rank;                          // -1: any
    manta_ref placement;                  // serial 0: none
    int bundle;                           // -1: any
    int max_retries;
    int max_restarts, max_task_retries, max_concurrency, max_pending;
    int detached;
    const char *name;                     // Nullable
    manta_ref actor;                      // METHOD
    uint64_t author;                      // METHOD: whose call (mt_run_author)
    int failed_code;                      // not OK: only makes references that have failed with this
    const char *failed_message;
} mt_submit;

// Never fails: out (max(result_count, 1)) are held once each; their error says what was wrong. CREATE: out[0] stands for the
// actor.
void mt_core_submit(mt_core *core, const mt_submit *submit, manta_ref *out);

// A value that the caller has: inline (encoded), or in this rank's heap. Held once.
manta_ref mt_core_put(mt_core *core, const mt_run_result *value);
uint64_t mt_core_allocate(mt_core *core, uint64_t bytes);   // in the heap, making room if need be; MT_HEAP_NO_OFFSET: full
int mt_core_making_room(const mt_core *core);   // objects are on their way to disk: allocate may succeed soon

void mt_core_hold(mt_core *core, manta_ref ref);      // adopts it when this rank does not know it
void mt_core_release(mt_core *core, manta_ref ref);
int mt_core_stop(mt_core *core, manta_ref ref, int kill_actor);   // cancel a call; kill an actor

// Links `count` references to the waiter; returns 1 when it is satisfied already (wake is not called then).
int mt_core_wait(mt_core *core, mt_waiter *waiter, const manta_ref *refs, int count, mt_wait_link *links);
// Without waiting: ready (count) and how many are. -1: one of them is not known here yet, so that only a wait can tell.
int mt_core_peek(const mt_core *core, const manta_ref *refs, int count, bool *ready);
void mt_core_wait_end(mt_core *core, mt_wait_link *links, int count);
// Why a reference is not ready, as far as this rank knows: "its call wants 1 CPU, and no rank has that free". Returns out.
const char *mt_core_why(mt_core *core, manta_ref ref, char *out, size_t bytes);
void mt_core_look(mt_core *core, manta_ref ref, mt_look *out);   // of a reference that is held

// Names. The answer comes through ops->named with the same question.
void mt_core_find_name(mt_core *core, const char *name, uint64_t question);

// Placement groups: an object whose value is a BYTES value of uint32 ranks, one per bundle.
manta_ref mt_core_place_group(mt_core *core, const mt_resources *bundles, int count, int strategy);
void mt_core_remove_group(mt_core *core, manta_ref group);

// Collectives: this rank's member of the group object has come; ops->met answers when all have.
void mt_core_meet(mt_core *core, manta_ref group, int member, int count, uint64_t question);
// It waits no longer: the owner strikes it out, unless the answer is on its way already.
void mt_core_unmeet(mt_core *core, manta_ref group, int member, uint64_t question);

// ---- events: executors

// The body ended. results (result_count) when code is MANTA_OK, else message. run is gone afterwards.
void mt_core_finish(mt_core *core, mt_run *run, int code, const char *message, const mt_run_result *results, int64_t run_ns);
void mt_core_blocked(mt_core *core, mt_run *run);     // its thread waits: others may have its CPUs meanwhile
void mt_core_unblocked(mt_core *core, mt_run *run);
void mt_core_actor_destroyed(mt_core *core, void *state);
void mt_core_spilled(mt_core *core, uint64_t ticket, uint64_t file, int ok);
void mt_core_restored(mt_core *core, uint64_t ticket, int ok);

// ---- looking inside

typedef struct mt_core_stats {
    uint64_t objects, borrowed, pending_tasks, queued_runs, running_runs, actors, stored, stored_bytes, spilled, spilled_bytes;
    uint64_t submitted, finished, failed, retried, received, sent, dropped_messages, fetched_bytes;
    mt_resources total, available;
    int dead_ranks;
    uint64_t memory_bytes;          // of the core's own records
} mt_core_stats;
void mt_core_stats_get(const mt_core *core, mt_core_stats *out);
int mt_core_rank_is_dead(const mt_core *core, int rank);
// Calls visit for every actor hosted here. Its name is the head's to know (mt_core_visit_names).
typedef struct mt_core_actor_info { manta_ref actor; uint32_t class_number; int queued, running; } mt_core_actor_info;
void mt_core_visit_actors(const mt_core *core, void (*visit)(void *context, const mt_core_actor_info *info), void *context);

// Calls visit for every actor's name there is. The head's: others know none.
void mt_core_visit_names(const mt_core *core, void (*visit)(void *context, manta_ref actor, const char *name), void *context);

// For tests: aborts with a message when the core's records contradict each other; at the end of everything (`idle`) also when
// an object, a task, a pin or a reservation is left over.
void mt_core_check(const mt_core *core, int idle);

#endif
