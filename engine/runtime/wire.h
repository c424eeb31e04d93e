// Messages between the cores of two ranks. Little-endian, 8-byte aligned, a header first; receivers check lengths before they
// read (mt_wire_check) and drop what does not fit, counting it.
//
// Order: a link carries messages in sequence. A number that was seen is dropped, one that is early is kept until its turn, so
// that a network which repeats or overtakes changes nothing (core.c). A sender that was declared dead is not listened to.
#ifndef MANTA_ENGINE_RUNTIME_WIRE_H
#define MANTA_ENGINE_RUNTIME_WIRE_H

#include "engine/runtime/manta_runtime.h"
#include "engine/runtime/resources.h"
#include "engine/runtime/transport/transport.h"

// X(name, body struct): what it says, who sends it to whom
#define MT_WIRE_LIST(X)                                                                                                \
    /* calls: caller = owner of the results */                                                                         \
    X(CALL, mt_wire_call)             /* caller → executor: run this; results, arguments follow */                     \
    X(DONE, mt_wire_done)             /* executor → caller: an error text or the encoded results follow */             \
    X(RETURNED, mt_wire_task)         /* executor → caller: not begun, busy (1: an argument is lost) */                  \
    X(CANCEL, mt_wire_task)           /* caller → executor */                                                          \
    X(KEPT, mt_wire_task)             /* caller → executor: references inside the results are adopted; let go */       \
    /* references: holder ↔ owner */                                                                                   \
    X(ADOPT, mt_wire_ref)             /* holder → owner: I hold this; tell me its value when there is one */           \
    X(VALUE, mt_wire_value)           /* owner → holder: the answer to ADOPT, and every later change */                \
    X(RELEASE, mt_wire_ref)           /* holder → owner: I hold it no more */                                          \
    X(LOST, mt_wire_ref)              /* holder → owner: its place does not have it */                                 \
    X(STOP, mt_wire_ref)              /* holder → owner: cancel its task, or kill its actor (argument 1) */            \
    /* large objects: reader ↔ place */                                                                                \
    X(PIN, mt_wire_ref)               /* reader → place: I read it, keep it where it is */                             \
    X(PINNED, mt_wire_pinned)         /* place → reader */                                                             \
    X(UNPIN, mt_wire_ref)             /* reader → place: argument its offset + 1 */                                                            \
    X(FREE, mt_wire_ref)              /* owner → place: nobody holds it */                                             \
    X(FETCH, mt_wire_ref)             /* another host's place → place: send it over */                                 \
    X(CHUNK, mt_wire_chunk)           /* place → fetching place: a part of it follows */                               \
    X(COPY, mt_wire_ref)              /* place → owner: there is a copy here, too */                                   \
    /* actors: owner → host */                                                                                         \
    X(ACTOR_END, mt_wire_actor)       /* nobody holds it: end it when its calls are done; or at once (argument 1) */   \
    /* names: any ↔ head */                                                                                            \
    X(NAME_SET, mt_wire_name)         /* owner → head: an actor's name */                                              \
    X(NAME_DROP, mt_wire_name)                                                                                         \
    X(NAME_FIND, mt_wire_name)                                                                                         \
    X(NAME_REPLY, mt_wire_name)                                                                                        \
    /* placement groups: any ↔ head ↔ ranks */                                                                         \
    X(GROUP_PLACE, mt_wire_place_group)   /* any → head: bundles follow */                                             \
    X(GROUP_RESERVE, mt_wire_bundle)      /* head → rank */                                                            \
    X(GROUP_VOTE, mt_wire_bundle)         /* rank → head: argument 1 reserved, 0 not */                                \
    X(GROUP_UNDO, mt_wire_bundle)         /* head → rank: give it back */                                              \
    X(GROUP_PLACED, mt_wire_place_group)  /* head → asker: ranks (uint32) follow, or an error text */                  \
    X(GROUP_REMOVE, mt_wire_ref)          /* any → head */                                                             \
    X(FREED, mt_wire_empty)               /* rank → head: resources came back; a group may wait for them */            \
    /* collectives: meeting of the members at the group's owner */                                                     \
    X(MEET, mt_wire_meet)             /* member → owner */                                                             \
    X(UNMEET, mt_wire_meet)           /* member → owner: it waits no longer */                                         \
    X(MET, mt_wire_meet)              /* owner → member: all are there; their ranks (uint32, count) follow */          \
    /* health */                                                                                                       \
    X(HEARTBEAT, mt_wire_heartbeat)   /* rank → head, once a second; and back */                                       \
    X(GONE, mt_wire_rank)             /* rank → head: I saw that process end */                                        \
    X(DEAD, mt_wire_rank)             /* head → all: this rank is out of the job */                                    \
    X(SHELL, mt_wire_shell)           /* between shells: status, shutdown; the core hands it on */

typedef enum mt_wire_kind {
#define MT_X(name, body) MT_WIRE_##name,
    MT_WIRE_LIST(MT_X)
#undef MT_X
    MT_WIRE_KINDS
} mt_wire_kind;

typedef struct mt_wire {
    uint32_t bytes;      // of the whole message
    uint16_t kind, flags;
    uint32_t sequence;   // on this link, from 0
    uint32_t incarnation;
} mt_wire;

typedef enum mt_call_kind { MT_CALL_TASK, MT_CALL_CREATE, MT_CALL_METHOD } mt_call_kind;

// A call. Behind it: refs[result_count], padded to 16; mt_resources (TASK and CREATE); then argument_count encoded values.
typedef struct mt_wire_call {
    mt_wire wire;
    uint64_t task;            // the caller's name for it: (serial << 32) | slot
    manta_ref actor;          // CREATE: the object that stands for it; METHOD: whom
    uint16_t call_kind, result_count, argument_count, spare;
    uint32_t function;        // number of the task; of the class; of the method in its class
    uint32_t class_number;
    uint32_t incarnation;     // of the actor
    int32_t max_concurrency;
    uint32_t placement_slot;  // of the group's bundle on the executor, when placement_serial is not 0
    int32_t bundle;
    uint64_t placement_serial;
    uint32_t cpu_afterwards;  // CREATE: keep the CPUs while it lives (they were asked for)
    uint32_t placement_owner;
    uint32_t stay;            // it may run on that rank only: never RETURNED
    int32_t max_pending, max_task_retries;   // CREATE: for the actor's callers
    uint32_t spare2;
    uint64_t author;          // METHOD: who on the caller's rank calls
} mt_wire_call;
_Static_assert(sizeof(mt_wire_call) % 16 == 0, "what follows begins on 16 bytes");

typedef struct mt_wire_done {
    mt_wire wire;
    uint64_t task;
    int32_t code;             // manta_code; not OK: an error text of text_bytes follows in place of results
    uint32_t error_rank;
    uint32_t result_count, text_bytes;
    uint32_t run_ns;          // saturating
    uint32_t keep;            // the results hold references: answer with KEPT
} mt_wire_done;
_Static_assert(sizeof(mt_wire_done) % 16 == 0, "what follows begins on 16 bytes");

typedef struct mt_wire_task { mt_wire wire; uint64_t task; manta_ref actor; uint64_t argument; } mt_wire_task;
typedef struct mt_wire_ref { mt_wire wire; manta_ref ref; uint64_t argument; } mt_wire_ref;

typedef enum mt_value_state { MT_STATE_PENDING, MT_STATE_READY, MT_STATE_FAILED } mt_value_state;

// READY: one encoded value follows (16-aligned); FAILED: code and text.
typedef struct mt_wire_value {
    mt_wire wire;
    manta_ref ref;
    uint32_t state, adopted;  // adopted 1: the answer to an ADOPT
    int32_t code;
    uint32_t error_rank, text_bytes;
    int32_t max_pending;      // PENDING, an actor that is being made: of its callers; they learn the rest with its place
    uint64_t spare;
} mt_wire_value;
_Static_assert(sizeof(mt_wire_value) % 16 == 0, "what follows begins on 16 bytes");

typedef struct mt_wire_pinned {
    mt_wire wire;
    manta_ref ref;
    uint64_t offset, bytes;   // offset MT_HEAP_NO_OFFSET: it is not here (code says why)
    int32_t code;
    uint32_t rank;            // in whose heap; refused: who was thought to have it
} mt_wire_pinned;

typedef struct mt_wire_chunk {
    mt_wire wire;
    manta_ref ref;
    uint64_t at, total;       // bytes of the object; total UINT64_MAX: it does not come (code says why)
    uint32_t bytes;
    int32_t code;
} mt_wire_chunk;

typedef struct mt_wire_actor { mt_wire wire; manta_ref actor; uint32_t incarnation, argument; } mt_wire_actor;

enum { MT_ACTOR_NAME_BYTES = 64 };
typedef struct mt_wire_name {
    mt_wire wire;
    manta_ref actor;
    uint64_t question;
    int32_t code;
    uint32_t spare;
    char name[MT_ACTOR_NAME_BYTES];
} mt_wire_name;

typedef struct mt_wire_place_group {
    mt_wire wire;
    manta_ref group;          // the asker's object
    uint32_t strategy, count;
    int32_t code;
    uint32_t text_bytes;
} mt_wire_place_group;

typedef struct mt_wire_bundle {
    mt_wire wire;
    manta_ref group;
    uint32_t bundle, argument;
    uint64_t attempt;
    mt_resources resources;
} mt_wire_bundle;

typedef struct mt_wire_meet {
    mt_wire wire;
    manta_ref group;
    uint32_t member, count;
    uint64_t question;        // the member's own
    uint64_t round;
    int32_t code;
    uint32_t spare;
} mt_wire_meet;

// Members of a collective: MET has all their ranks in one message.
enum { MT_MEMBERS_MAX = 1 << 15 };
_Static_assert(sizeof(mt_wire_meet) + MT_MEMBERS_MAX * sizeof(uint32_t) <= MT_MESSAGE_BYTES_MAX, "one message");

typedef struct mt_wire_heartbeat { mt_wire wire; int64_t sent_ns; mt_resources available; uint32_t queued, running; } mt_wire_heartbeat;
typedef struct mt_wire_rank { mt_wire wire; uint32_t rank, reason; } mt_wire_rank;
typedef struct mt_wire_empty { mt_wire wire; uint64_t spare; } mt_wire_empty;
typedef struct mt_wire_shell { mt_wire wire; uint32_t topic, bytes; uint64_t argument; } mt_wire_shell;

const char *mt_wire_name_of(unsigned kind);

// 0 when `bytes` cannot be a message: too short for its kind, or its own length differs.
int mt_wire_check(const void *message, size_t bytes);

#endif
