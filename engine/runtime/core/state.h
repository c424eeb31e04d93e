// What the files behind core.h share: the core's records. One noun a file: object.c, wait.c, store.c, task.c, dispatch.c,
// run.c, actor.c, placement.c, directory.c (names and meetings), health.c; core.c receives and ticks.
#ifndef MANTA_ENGINE_RUNTIME_CORE_STATE_H
#define MANTA_ENGINE_RUNTIME_CORE_STATE_H

#include <string.h>
#include "engine/runtime/core.h"
#include "engine/runtime/memory/heap.h"
#include "engine/runtime/core/pool.h"
#include "engine/runtime/wire.h"

enum {
    MT_PLACE_BYTES_MAX = 256,            // of an encoded value that says a place
    MT_SMALL_BYTES = 48,                 // an encoded value of at most this lies in the object itself
    MT_CHUNK_BYTES = 128 * 1024,         // of a large object on its way to another host
    MT_CHUNKS_AHEAD = 4,
    MT_CALLS_IN_FLIGHT = 4096,           // to one actor from one rank; the rest waits at the caller
    MT_TASKS_IN_FLIGHT = 256,            // to one rank, of tasks that want no resource
    MT_DEPTH_MAX = 64,                   // tasks queued at a busy rank beyond what it can run, when they are short
    MT_DEPTH_NS = 200 * 1000,            // as many as it runs in this time
    MT_STUCK_NS = 5 * 1000 * 1000,       // queued tasks of others go back when nothing has moved for so long
    MT_BUSY_NS = 20 * 1000 * 1000,       // no more tasks for so long to a rank that sent one back; doubled each time,
    MT_REFUSALS_MAX = 5,                 // up to 32 times
    MT_LINEAGE_BYTES = 64 << 20,         // of finished calls kept to run again; the oldest go first
    MT_SHAPES_IDLE = 256,                // more without calls are forgotten
    MT_EARLY_MAX = 4096,                 // messages of a peer that are ahead of their turn
    MT_HEAD = 0,
};

typedef struct mt_task mt_task;
typedef struct mt_link mt_link;          // calls from this rank to one actor
typedef struct mt_actor mt_actor;        // owner's record of an actor

// ---- objects (object.c, wait.c)
//
//     owned:     PENDING ──result, put──▶ READY ──copies lost──▶ PENDING (task runs again) ──▶ …
//                    └──error──▶ FAILED       └──nobody holds it, a task may need it again──▶ READY, evicted
//     borrowed:  PENDING (adopting) ──VALUE──▶ READY or FAILED ──VALUE──▶ …

typedef struct mt_reading {              // an owned object's rare part
    mt_ranks holders;                    // ranks that adopted it
    mt_ranks copies;                     // other ranks whose heap has it
    mt_object **inner;                   // owned (inner_count): references inside its inline value, held
    uint32_t inner_count;
    mt_actor *actor;
} mt_reading;

typedef enum mt_pin_state { MT_PIN_NONE, MT_PIN_ASKED, MT_PIN_HELD } mt_pin_state;

struct mt_object {
    manta_ref ref;
    uint32_t holds;                      // contexts, calls, containers of this rank
    uint32_t lineage;                    // finished tasks that would need it if they had to run again
    uint8_t owned, state, adopting, evicted, is_actor;
    uint8_t pin;                         // mt_pin_state
    uint8_t result_index, freeing, is_group;
    uint8_t to_free;                     // in the core's list of that name
    uint8_t awaited;                     // a placement group: calls wait for it
    uint8_t lent;                        // borrowed: known from a call's argument, held by its caller; not adopted (yet)
    uint8_t no_room;                     // the last reader found no memory for it; the next one asks again
    int32_t pin_rank, view_rank;
    uint64_t view_offset;
    uint64_t ticket;                     // of its adoption
    mt_object *older, *newer;            // adoptions under way, in order
    mt_object *free_next;
    uint8_t *encoded;                    // READY: view of `small`, or owned
    uint32_t encoded_bytes;
    int32_t code;
    uint32_t error_rank;
    char *message;                       // FAILED: owned. Nullable
    mt_wait_link *links;                 // waiting contexts
    struct mt_dependency *dependents;    // waiting calls
    mt_task *producer;                   // owned: the task that makes it. Nullable
    mt_reading *more;                    // owned. Nullable
    mt_link *link;                       // actor: this rank's calls. Nullable
    _Alignas(16) uint8_t small[MT_SMALL_BYTES];
};

// ---- large objects in this rank's heap (store.c)

typedef enum mt_stored_state { MT_STORED_HERE, MT_STORED_FETCHING, MT_STORED_SPILLING, MT_STORED_SPILLED, MT_STORED_RESTORING } mt_stored_state;

typedef struct mt_stored {
    manta_ref ref;
    uint64_t offset, bytes, file, ticket;
    mt_object **inner;                   // owned (inner_count): references inside it, held. Nullable
    uint32_t inner_count;
    uint8_t state, copy, doomed;         // doomed: freed by its owner, somebody still reads it
    uint8_t retired;                     // doomed, and its task has put another result in its place
    mt_ranks pins;                       // ranks that read it, once per pin
    mt_ranks asked;                      // ranks that wait for it (pins that cannot be granted yet)
    uint64_t fetched, requested;         // FETCHING: bytes that have come, and that were asked for
    uint32_t source;                     // FETCHING: from where
    struct mt_stored *older, *newer;     // least recently used first
    struct mt_stored *next_retired;
} mt_stored;

// ---- calls of this rank (task.c, dispatch.c)
//
//     WAITING (arguments) → QUEUED → SENT → DONE          METHOD: WAITING/QUEUED in its link, in order
//         ▲                   ▲       │ rank died, RETURNED: QUEUED again, or failed
//         └── results lost ───┴───────┘

typedef enum mt_task_state { MT_TASK_WAITING, MT_TASK_QUEUED, MT_TASK_SENT, MT_TASK_DONE } mt_task_state;

typedef struct mt_dependency {
    mt_object *object;                   // held; lineage when the task is DONE
    mt_task *task;
    struct mt_dependency *next, **previous;   // in the object's list while it is PENDING
    uint16_t argument;
    uint8_t value;                       // the argument is its value; 0: its reference
    uint8_t waits;
} mt_dependency;

// An encoded argument in the task's blob; bytes 0: the value of dependency `at`.
typedef struct mt_slice { uint32_t at, bytes; } mt_slice;

struct mt_task {
    uint64_t name;                       // (serial << 32) | slot
    uint8_t state, call_kind, extra, cancelled;
    uint8_t argument_count, result_count;
    uint32_t dependency_count, waiting;
    int32_t retries, rank;               // left; where it was sent
    uint32_t bytes;                      // of this block
    uint32_t blob_bytes;
    mt_wire_call *call;                  // head, refs, resources: as sent
    uint32_t head_bytes;
    struct mt_slice *argument;           // (argument_count)
    uint8_t *blob;                       // own encoded arguments
    mt_dependency *dependency;           // (dependency_count)
    mt_object **result;                  // (result_count) NULL: nobody wants it any more
    mt_task *next, **previous;           // in a shape's queue, a link's queue or list, a peer's list, the lineage
    mt_task *met_next, **met_previous;   // an argument has come: looked at when the event is done
    mt_task *again, **again_previous;    // being collected to run again
    struct mt_shape *shape;
    mt_link *link;
    struct mt_lane *lane;                // in one of its link's. Nullable
    mt_object *group;                    // placement group: held. Nullable
    mt_actor *actor;                     // CREATE: owned by its object
    int32_t on_rank;                     // -1: any
    mt_resources demand;
};

// Calls that want the same, in order.
typedef struct mt_shape {
    mt_resources demand;
    int on_rank;
    mt_task *first, **last;
    uint32_t count, cursor;
    int64_t sent;                        // of those bound to a rank
    uint32_t number, refused;            // refused: ranks that sent some back (mt_refusal)
    uint8_t saturated;                   // no rank has room; cleared when one may have
    uint8_t listed;                      // in the list of those with calls
    struct mt_shape *next;
} mt_shape;

// A rank sent calls of a shape back: no more of them for a while.
typedef struct mt_refusal { int64_t until_ns; uint32_t count; } mt_refusal;

// How long a function runs, measured by those who ran it.
typedef struct mt_pace { float mean_ns; } mt_pace;

// ---- another rank

typedef struct mt_early { struct mt_early *next; uint32_t bytes; _Alignas(8) uint8_t message[]; } mt_early;

typedef struct mt_peer {
    int rank;
    uint32_t incarnation;                // of its first message; others are not listened to
    uint32_t sequence_out, sequence_in;
    mt_early *early;                     // came before their turn, sorted
    uint32_t early_count;
    uint8_t dead, gone_reported, suspect;
    int64_t heard_ns;
    mt_resources outstanding;            // of tasks sent there
    uint32_t outstanding_count;
    mt_task *sent;                       // those tasks
} mt_peer;

// ---- what runs here (run.c)
//
//     PINNING (large arguments) → QUEUED (resources; an actor's turn) → RUNNING → (KEEPING: until KEPT) → gone

typedef enum mt_run_state { MT_RUN_PINNING, MT_RUN_QUEUED, MT_RUN_RUNNING, MT_RUN_KEEPING } mt_run_state;

typedef struct mt_run_core {
    mt_run run;
    uint8_t state, reserved, blocked, arriving;
    uint32_t bytes;                      // of this block
    uint64_t task;
    mt_wire_call *call;                  // view of this block
    mt_resources demand;
    struct mt_reserved *bundle;          // Nullable: resources come from there
    mt_waiter waiter;                    // for large arguments
    mt_wait_link *links;                 // (large_count) in this block
    uint32_t large_count;
    mt_object **kept;                    // KEEPING: held. owned (kept_count)
    uint32_t kept_count;
    int gpus[MT_GPUS_MAX];
    int gpu_units;                       // of each
    struct mt_run_core *next, **previous;
} mt_run_core;

struct mt_hosted {
    manta_ref ref;
    uint32_t class_number, incarnation;
    void *state;
    uint8_t alive, ending, destroying;
    int max_concurrency, running;
    mt_resources held;
    struct mt_reserved *bundle;
    int gpus[MT_GPUS_MAX], gpu_count, gpu_units;
    mt_run_core *first, **last;          // methods waiting their turn
    uint32_t queued;
    mt_hosted *next, **previous;
};

// ---- actors (actor.c)

// The value of the object that stands for an actor (type NONE): where it lives, and what its callers must know.
typedef struct mt_actor_place { uint32_t rank, incarnation, class_number; int32_t max_pending, max_task_retries; uint32_t spare[3]; } mt_actor_place;

struct mt_actor {
    mt_object *object;
    mt_task *creation;                   // its call, kept for restarts
    int32_t restarts;                    // left
    uint32_t incarnation;
    int32_t rank;                        // where it lives; -1 nowhere
    int32_t max_pending, max_task_retries;
    uint8_t ended, named, detached, alive;
    char name[MT_ACTOR_NAME_BYTES];
};

struct mt_link {
    mt_object *actor;                    // held while calls are pending
    int32_t rank;                        // -1: not known (yet, or any more)
    int32_t max_pending;                 // 0: no limit, or not known yet
    uint32_t incarnation, class_number;
    mt_task *first, **last;              // not sent, in order
    mt_task *sent, **sent_last;          // sent, in order
    uint32_t queued, in_flight;          // queued: in lanes, too
    struct mt_lane *lanes;               // all of them
    struct mt_lane *ready, **ready_last; // those whose first call may go
};

// Calls of one author to an actor, the first of which waits for an argument: others' overtake them, the author's own stay
// behind it. Never empty.
typedef struct mt_lane {
    mt_link *link;
    uint64_t author;
    mt_task *first, **last;
    struct mt_lane *next, **previous;
    struct mt_lane *ready_next, **ready_previous;   // previous NULL: not ready
} mt_lane;

// ---- placement groups (placement.c)

typedef struct mt_reserved {             // a bundle on this rank
    manta_ref group;
    uint32_t bundle;
    mt_resources total, available;
    uint8_t removing;
    struct mt_reserved *next;
} mt_reserved;

typedef struct mt_name { char name[MT_ACTOR_NAME_BYTES]; manta_ref actor; struct mt_name *next, **previous; } mt_name;   // head

typedef struct mt_meeting {              // owner of the group object
    manta_ref group;
    uint32_t count, come;
    uint64_t round;
    uint32_t *rank;                      // owned (count); UINT32_MAX: not come
    uint64_t *question;                  // owned (count)
    struct mt_meeting *next;
} mt_meeting;

// Releases and answers that wait for adoptions begun before them.
typedef struct mt_deferred {
    uint64_t ticket;
    manta_ref release;                   // serial 0: a message
    int rank;
    uint32_t bytes;
    struct mt_deferred *next;
    _Alignas(8) uint8_t message[];
} mt_deferred;

struct mt_core {
    mt_core_desc desc;
    const mt_core_ops *ops;
    void *shell;
    int rank, size;
    int64_t now_ns, ticked_ns, heartbeat_ns;
    mt_pool pool;
    mt_core_stats stats;
    uint64_t next_serial, next_ticket, random;

    mt_slots objects;                    // owned objects
    mt_map borrowed;                     // by (owner, slot), serial
    mt_slots tasks;
    mt_object *adopting_first, *adopting_last;
    mt_deferred *deferred, **deferred_last;
    mt_early *loop, **loop_last;         // messages of this rank to itself, for mt_core_settle
    uint8_t settling;

    mt_map stored;                       // by ref
    mt_map tickets;                      // disk operations
    mt_stored *oldest, *newest, *retired;
    uint64_t spilling_bytes;
    uint32_t disk_pending;
    int restores_wait;                   // readers wait for room (store.c)

    mt_map peers;
    mt_peer *last_peer;
    mt_ranks dead;
    mt_map shape_map;                    // by a hash of what they want
    mt_shape *shapes, *last_shape;       // those with calls (or that had some a moment ago); the last that was found
    mt_task *met, **met_last;
    mt_task *lineage, **lineage_last;    // DONE, oldest first
    uint64_t lineage_bytes;
    mt_object *to_free;                  // nobody holds them: freed one after the other
    uint8_t freeing;
    mt_task *group_waiters;              // calls whose placement group is not placed yet
    mt_map pace;                         // by function
    mt_map refusals;                     // by rank and shape's number
    uint32_t shape_count, shapes_most;   // made so far; in the map before idle ones are forgotten
    mt_resources arriving;               // of own calls on their way to this rank's queue: as good as taken
    uint8_t own_turn;                    // a run from elsewhere began last: own tasks come first now

    mt_resources available;              // of this rank; can be negative while blocked runs came back
    int64_t gpu_free[MT_GPUS_MAX];       // units left of each device
    mt_run_core *queue, **queue_last;    // TASK and CREATE, in order of coming
    mt_run_core *running;                // RUNNING, KEEPING and PINNING
    int64_t moved_ns;                    // when a run began or ended last
    uint8_t head_waits;                  // the head could not reserve here: tell it when resources come back
    mt_hosted *hosted;
    mt_map hosted_by_ref;
    mt_map lanes;                        // by link and author
    mt_reserved *reserved;

    // head
    mt_name *names;
    struct mt_group *groups;
    mt_map group_map, name_map;          // head: by reference; by the name's hash
    mt_resources *group_free;            // owned (size): totals less what placement groups have. NULL before the first
    uint32_t groups_waiting;
    int64_t groups_tried_ns, groups_retry_ns, dispatched_ns;
    uint64_t next_attempt;
    int64_t began_ns;                    // the first tick

    mt_meeting *meetings;
};

// ---- small helpers

static inline int mt_ref_same(manta_ref a, manta_ref b) { return a.serial == b.serial && a.slot == b.slot && a.owner == b.owner; }
static inline uint64_t mt_ref_key(manta_ref r) { return ((uint64_t)r.owner << 32) | r.slot; }
static inline void *mt_take(mt_core *c, size_t bytes) { return mt_pool_take(&c->pool, bytes); }
static inline void mt_give(mt_core *c, void *block, size_t bytes) { mt_pool_give(&c->pool, block, bytes); }
// A failure's code that another rank speaks of.
static inline int mt_failure_code(int code) { return code > MANTA_OK && code < MANTA_CODE_COUNT ? code : MANTA_INTERNAL; }
// What another rank speaks of. A place: there is such a rank. An object's value: it has no other object stand for it, and if it
// is a place, it is the object's own (object NULL: any).
static inline int mt_place_in_range(const mt_core *c, const mt_value *v) { return v->head->form != MT_VALUE_PLACE || v->place.rank < (uint32_t)c->size; }
static inline int mt_value_is_of(const mt_core *c, const mt_value *v, const manta_ref *object) {
    if (v->head->form != MT_VALUE_PLACE) return v->head->form == MT_VALUE_INLINE;
    return mt_place_in_range(c, v) && (!object || mt_ref_same(v->place.ref, *object));
}
static inline size_t mt_up16(size_t n) { return (n + 15) & ~(size_t)15; }

// ---- core.c
mt_peer *mt_core_peer(mt_core *core, int rank);
int mt_core_dead(const mt_core *core, int rank);
// Sends a message: body begins with an mt_wire, whose kind the caller sets; more pieces may follow. What this rank sends to
// itself is received when the event in progress is done (mt_core_settle, the last act of every event): never in the middle of it.
void mt_core_send(mt_core *core, int rank, void *body, size_t body_bytes, const mt_piece *more, int more_count);
void mt_core_send_ref(mt_core *core, int rank, int kind, manta_ref ref, uint64_t argument);
void mt_core_forget_early(mt_core *core, mt_peer *peer);
void mt_core_settle(mt_core *core);
void mt_core_handle(mt_core *core, int source, const mt_wire *message);

// ---- object.c
mt_object *mt_object_find(const mt_core *core, manta_ref ref);   // NULL: not known here
mt_object *mt_object_adopt(mt_core *core, manta_ref ref);        // found, or made and adopted; NULL: own, and gone. Not held yet
void mt_object_ask_owner(mt_core *core, mt_object *o);             // a lent one: adopts it, so that its owner tells what becomes of it
mt_object *mt_object_lent(mt_core *core, const mt_value *value);   // a large argument's: found, or made; NULL: own, and gone
mt_object *mt_object_new(mt_core *core, uint32_t actor_class);   // owned, PENDING, held once; actor_class: + 1, 0 for none
static inline void mt_object_hold(mt_object *o) { o->holds++; }
void mt_object_drop(mt_core *core, mt_object *o);                // a hold less, at once (not for what a user held: that defers)
void mt_object_release(mt_core *core, mt_object *o);             // a hold less, behind the adoptions under way
void mt_object_check_free(mt_core *core, mt_object *o);
mt_reading *mt_object_more(mt_core *core, mt_object *o);
void mt_object_set_value(mt_core *core, mt_object *o, const void *encoded, size_t bytes);   // READY; tells everybody
void mt_object_set_error(mt_core *core, mt_object *o, int code, int rank, const char *message);   // FAILED; tells everybody
void mt_object_set_pending(mt_core *core, mt_object *o);         // its value is gone and may come again
mt_object **mt_object_hold_all(mt_core *core, const manta_ref *refs, uint32_t count);   // adopts and holds; NULL for 0
void mt_object_drop_all(mt_core *core, mt_object **objects, uint32_t count);             // and gives the array back
const manta_ref *mt_encoded_refs(const void *encoded, size_t bytes, uint32_t *count);   // references inside an inline value
int mt_object_place(const mt_object *o, mt_wire_place *place, uint64_t *bytes);   // 1: READY and in a heap
void mt_object_lost(mt_core *core, mt_object *o, int rank);      // owned: rank does not have it (any more)
void mt_object_tell_again(mt_core *core, mt_object *o, int rank);  // a holder that waits for a word
void mt_object_rank_dead(mt_core *core, int rank);
void mt_object_on_adopt(mt_core *core, int source, const mt_wire_ref *m);
void mt_object_on_value(mt_core *core, int source, const mt_wire_value *m);
void mt_object_on_release(mt_core *core, int source, const mt_wire_ref *m);
void mt_core_run_deferred(mt_core *core);
void mt_core_defer_message(mt_core *core, int rank, void *body, size_t body_bytes, const mt_piece *more, int more_count);
int mt_core_must_defer(const mt_core *core);
int mt_object_lies_there(const mt_object *o, const void *encoded, size_t bytes);
void mt_object_discard_result(mt_core *core, const void *encoded, size_t bytes);   // a result nobody wants: its place may free it

// ---- wait.c
void mt_wait_changed(mt_core *core, mt_object *o);               // state or reach changed: looks at links and dependents
int mt_object_in_reach(mt_core *core, mt_object *o);             // 1: value can be read here; else asks for it when it can be
void mt_object_unpin(mt_core *core, mt_object *o);
extern const char mt_wait_no_room_text[];
void mt_wait_on_pinned(mt_core *core, int source, const mt_wire_pinned *m);
void mt_wait_unlink_all(mt_core *core, mt_wait_link *links, int count);
void mt_wait_link_all(mt_core *core, mt_waiter *waiter, mt_object *const *objects, int count, mt_wait_link *links);

// ---- store.c
mt_stored *mt_store_find(const mt_core *core, manta_ref ref);
int mt_store_pin(mt_core *core, manta_ref ref, int reader, uint64_t *offset);   // 1: granted; 0: not now or not here
void mt_store_add(mt_core *core, manta_ref ref, const mt_run_result *value);   // in this rank's heap
void mt_store_on_pin(mt_core *core, int source, const mt_wire_ref *m);
void mt_store_on_unpin(mt_core *core, int source, manta_ref ref, uint64_t offset_1);
void mt_store_on_free(mt_core *core, manta_ref ref);
void mt_store_on_fetch(mt_core *core, int source, const mt_wire_ref *m);
void mt_store_on_chunk(mt_core *core, int source, const mt_wire_chunk *m, size_t bytes);
void mt_store_rank_dead(mt_core *core, int rank);
void mt_store_fini(mt_core *core);
int mt_store_reader(const mt_core *core, int place);             // whom this rank asks for an object at `place`: it, or its host's fetcher

static inline int mt_dependency_met(const mt_dependency *d) {
    return d->value ? d->object->state != MT_STATE_PENDING && !d->object->evicted : !d->object->adopting;
}

// ---- task.c
mt_task *mt_task_of(const mt_core *core, uint64_t name);
void mt_task_fail(mt_core *core, mt_task *task, int code, int rank, const char *message);
void mt_task_dependency_ready(mt_core *core, mt_dependency *d);   // notes it; mt_task_settle acts on it
void mt_task_settle(mt_core *core);                              // calls whose arguments have come go, or fail
void mt_task_send(mt_core *core, mt_task *task, int rank);       // CALL with its arguments as they are now
int mt_task_may_go(mt_core *core, mt_task *task);                // 0: it waits for its arguments again, or has failed
void mt_task_on_done(mt_core *core, int source, const mt_wire_done *m, size_t bytes);
void mt_task_on_returned(mt_core *core, int source, const mt_wire_task *m);
void mt_task_result_gone(mt_core *core, mt_object *o);           // an owned object of a task is freed
int mt_task_again(mt_core *core, mt_task *task);                 // its results are lost: runs it once more; 0: it cannot
void mt_task_lost(mt_core *core, mt_task *task, int rank);       // it was sent to a rank that died
void mt_task_unlink(mt_task *task);
void mt_task_free(mt_core *core, mt_task *task);
void mt_task_cancel(mt_core *core, mt_task *task);
void mt_task_drop_dependencies(mt_core *core, mt_task *task);
void mt_task_rank_dead(mt_core *core, int rank);
void mt_task_create_again(mt_core *core, mt_task *task);         // an actor's creation, once more
void mt_task_ready_again(mt_core *core, mt_task *task);          // what it waited for besides its arguments has come

// ---- dispatch.c
void mt_dispatch_add(mt_core *core, mt_task *task, int first);    // QUEUED; first: before the others
void mt_dispatch_shape(mt_core *core, mt_shape *shape);
void mt_dispatch_room(mt_core *core, int rank);                  // something ended there: it may have room
void mt_dispatch_all(mt_core *core);
void mt_dispatch_refused(mt_core *core, const mt_task *task, int rank);   // it came back from there
void mt_dispatch_accepted(mt_core *core, const mt_task *task, int rank);  // one ran there
void mt_dispatch_ended(mt_core *core, mt_task *task);            // queued or sent: not any more
void mt_dispatch_group_known(mt_core *core, mt_object *group);
void mt_dispatch_rank_dead(mt_core *core);
void mt_dispatch_fini(mt_core *core);
float *mt_dispatch_pace(mt_core *core, uint32_t function);
const char *mt_dispatch_infeasible(const mt_core *core, const mt_resources *demand, int on_rank, char *out, size_t bytes);

// ---- run.c
void mt_run_on_call(mt_core *core, int source, const mt_wire_call *m, size_t bytes);
void mt_run_on_cancel(mt_core *core, int source, const mt_wire_task *m);
void mt_run_on_kept(mt_core *core, int source, const mt_wire_task *m);
void mt_run_begin_more(mt_core *core);                           // resources came back, a run was queued
void mt_run_argument_ready(mt_core *core, mt_waiter *waiter);
int mt_run_argument_lost(mt_core *core, mt_waiter *waiter);
void mt_run_rank_dead(mt_core *core, int rank);
void mt_run_tick(mt_core *core);
void mt_run_refuse(mt_core *core, mt_run_core *run, int code, const char *message);   // not begun: answers and frees it
void mt_run_free(mt_core *core, mt_run_core *run);
int mt_run_idle_now(const mt_core *core, const mt_resources *demand);   // could begin here at once
void mt_run_resources_back(mt_core *core);
void mt_run_start(mt_core *core, mt_run_core *run);
void mt_run_give_back(mt_core *core, const mt_resources *what, mt_reserved *bundle, const int *gpus, int gpu_count, int gpu_units);

// ---- actor.c
void mt_actor_created(mt_core *core, mt_object *o, mt_task *creation, const mt_submit *submit);
void mt_actor_creation_done(mt_core *core, mt_task *task, int source, int code, int error_rank, const char *message, const void *encoded, size_t bytes);
void mt_actor_stop(mt_core *core, mt_object *o);                 // owner: kill
void mt_actor_let_go(mt_core *core, mt_object *actor);           // nobody holds it but lineage
void mt_actor_object_freed(mt_core *core, mt_object *o);
void mt_actor_changed(mt_core *core, mt_object *o);              // caller: its object's state changed
void mt_actor_submit(mt_core *core, mt_task *task, mt_object *actor);
int mt_actor_max_pending(const mt_object *o);                    // owner: of an actor that is being made; 0: no limit
void mt_actor_limit(mt_core *core, mt_object *o, int max_pending);   // caller: its owner says so before it has a place
void mt_actor_call_ready(mt_core *core, mt_task *task);
void mt_actor_call_done(mt_core *core, mt_task *task);
void mt_actor_rank_dead(mt_core *core, int rank);
void mt_actor_method(mt_core *core, mt_run_core *run);           // host: a call has come
void mt_actor_begin_more(mt_core *core, mt_hosted *hosted);
void mt_actor_run_finished(mt_core *core, mt_run_core *run, int code);
void mt_actor_unqueue(mt_core *core, mt_run_core *run);          // host: a method that waits for its turn is taken out
size_t mt_actor_encode_place(const mt_core *core, const mt_wire_call *creation, void *out);
void mt_actor_on_end(mt_core *core, const mt_wire_actor *m);
void mt_actor_name_answer(mt_core *core, const mt_wire_name *m);
int mt_actor_waits_for_name(const mt_task *creation);            // the head has not said yet whether its name is free
mt_hosted *mt_actor_find_hosted(const mt_core *core, manta_ref ref, uint32_t incarnation);
mt_hosted *mt_actor_host(mt_core *core, mt_run_core *run);       // host: room for the actor that CREATE makes
void mt_actor_unhost(mt_core *core, mt_hosted *hosted);

// ---- placement.c
mt_reserved *mt_placement_find(const mt_core *core, manta_ref group, int bundle);
int mt_placement_rank_of(const mt_core *core, manta_ref group, int bundle, uint32_t *count);   // from the group's value; -1
void mt_placement_on_group(mt_core *core, int source, const mt_wire_place_group *m, size_t bytes);
void mt_placement_on_reserve(mt_core *core, int source, const mt_wire_bundle *m);
void mt_placement_on_vote(mt_core *core, int source, const mt_wire_bundle *m);
void mt_placement_on_undo(mt_core *core, const mt_wire_bundle *m);
void mt_placement_on_placed(mt_core *core, const mt_wire_place_group *m, size_t bytes);
void mt_placement_on_remove(mt_core *core, manta_ref group);
void mt_placement_on_freed(mt_core *core, int source);
void mt_placement_returned(mt_core *core, mt_reserved *reserved);
void mt_placement_tick(mt_core *core);
void mt_placement_rank_dead(mt_core *core, int rank);
void mt_placement_fini(mt_core *core);

// ---- directory.c
void mt_directory_on_name(mt_core *core, int source, const mt_wire_name *m);
void mt_directory_on_meet(mt_core *core, int source, const mt_wire_meet *m, size_t bytes);
void mt_directory_rank_dead(mt_core *core, int rank);
void mt_directory_group_freed(mt_core *core, manta_ref group);
void mt_directory_fini(mt_core *core);

// ---- health.c
void mt_health_tick(mt_core *core);
void mt_health_heard_again(mt_core *core, mt_peer *peer);
void mt_health_on_heartbeat(mt_core *core, int source, const mt_wire_heartbeat *m);
void mt_health_on_gone(mt_core *core, const mt_wire_rank *m);
void mt_health_on_dead(mt_core *core, int rank, int reason);
int64_t mt_health_deadline(const mt_core *core);

#endif
