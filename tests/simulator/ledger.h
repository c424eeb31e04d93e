// The ledger of a simulated job: what was promised to whom, and whether it was kept. The workload enters every call, object,
// actor and group when it makes them, together with what they will be worth; virtual ranks report what they run, read and free.
// The ledger sees all ranks at once, which no rank can: that is its whole advantage over the core.
//
// What it holds (docs/runtime.md draws who promises what):
//   value     a reference gives the value that its maker meant, byte for byte, or an error for which there is a cause
//   once      a task runs once; again only when the rank that ran it is gone (or has lost its result to the disk)
//   order     calls of one rank to an actor begin in their order, on one instance at a time, at most once unless asked
//   room      what runs on a rank together never wants more than the rank has; a device is never given out beyond itself
//   hold      what is held is never lost while its owner lives and nothing died; what is viewed is never freed
#ifndef MANTA_TESTS_SIMULATOR_LEDGER_H
#define MANTA_TESTS_SIMULATOR_LEDGER_H

#include "engine/runtime/core.h"
#include "engine/runtime/wire.h"

enum { MT_PLAN_ARGUMENTS = 8, MT_GROUP_BUNDLES = 8, MT_RETAINED = 4, MT_VIOLATION_BYTES = 1500 };

typedef enum mt_made { MT_MADE_PUT, MT_MADE_CALL, MT_MADE_ACTOR, MT_MADE_GROUP } mt_made;

typedef enum mt_content {
    MT_CONTENT_NONE,
    MT_CONTENT_DATA,     // bytes that follow from `seed`
    MT_CONTENT_REFS,     // references, one of the lists that were entered
    MT_CONTENT_ACTOR,
    MT_CONTENT_RANKS,    // where the bundles of a group lie
} mt_content;

typedef struct mt_ref_list {
    struct mt_ref_list *next;
    int count;
    manta_ref refs[];    // (count)
} mt_ref_list;

typedef struct mt_entry {           // an object
    manta_ref ref;
    uint8_t made, content, stalls, actorish;   // stalls: may wait long for resources; actorish: an actor's turn is part of it
    uint8_t orphaned;                // somebody found it in an object whose owner, who held it for that, had died
    uint8_t outcome;                 // 0 not seen yet, 1 a value, 2 an error
    int outcome_code;
    int owner, plan, actor, group;   // -1: none
    uint64_t seed, bytes;
    mt_ref_list *lists;              // owned
    int lent_count, lent[6];         // methods that got it from their callers: see causes
    uint32_t visited;
} mt_entry;

typedef enum mt_argument_form { MT_GIVE_DATA, MT_GIVE_FROM, MT_GIVE_REFERENCE, MT_GIVE_HANDLE } mt_argument_form;

typedef enum mt_role { MT_ROLE_PLAIN, MT_ROLE_MEET } mt_role;

typedef struct mt_plan {             // a call
    int kind, depth, caller, role;   // mt_call_kind; the caller's rank
    int argument_count;              // behind the first, which is the plan's number
    struct { uint8_t form; int record; uint64_t seed; uint32_t bytes; } argument[MT_PLAN_ARGUMENTS];
    int result_count, result[MANTA_MAX_RESULTS];   // records
    int no_results;                  // it gives none: one record says that it is done
    mt_resources demand;
    int cpu_afterwards, on_rank, group, bundle, max_retries;
    int fails, infeasible, cancelled, refused;     // refused: the code of a call that was wrong from the start
    int actor, member, group_size;   // actor -1: none; of a meeting
    uint64_t author, sequence;       // METHOD: who on the caller's rank calls; the how manyth of all calls to the actor
    int runs, last_rank, running, blocked;
    uint32_t visited;
} mt_plan;

typedef struct mt_actor_entry {
    int record, plan;
    int max_restarts, max_task_retries, max_concurrency, max_pending, detached, holds_resources, stalls;
    int killed, name;                // killed: somebody asked for it; name: -1 none
    int creations;
    int found;                       // by its name, which holds nobody: it may end at the same moment
    struct mt_instance *live;        // the newest
    uint64_t sent;                   // calls to it
} mt_actor_entry;

typedef struct mt_newest { int rank; uint64_t author, sequence; } mt_newest;

// An actor's state, made by its CREATE, gone with destroy_actor.
typedef struct mt_instance {
    int actor, rank, number, created, failed, running, ended;
    struct mt_newest *newest;        // owned (newest_count): of each author's calls, the newest that has begun
    int newest_count;
    int retained_count, retained[MT_RETAINED];     // records held by the state
    int gpu_count, gpus[16];
    struct mt_instance *next;        // all there ever were
} mt_instance;

typedef struct mt_group_entry {
    int record, strategy, count, removed;
    mt_resources bundle[MT_GROUP_BUNDLES];
    int feasible;                    // 1 surely, 0 surely not, -1 who knows
    uint32_t *ranks;                 // owned: once seen. Nullable
} mt_group_entry;

typedef struct mt_usage { mt_resources held; int64_t cpu_new; int64_t gpu[16]; } mt_usage;

typedef struct mt_ledger {
    int size;
    const int *node_of;              // (size) borrowed
    const mt_resources *totals;      // (size) borrowed
    int deaths, partitions, disk_failures, tight;  // what has happened; tight: heaps are small
    unsigned char *suspect;          // owned (size): died, was cut off, or somebody declared it dead
    mt_entry *records; int record_count, record_capacity;
    mt_plan *plans; int plan_count, plan_capacity;
    mt_actor_entry *actors; int actor_count, actor_capacity;
    mt_group_entry *groups; int group_count, group_capacity;
    mt_instance *instances;
    int *table; int table_size;      // owned: records by reference, -1 empty
    mt_usage *usage;                 // owned (size)
    uint32_t visit;
    int named_used[64];              // creations under each name
    uint64_t checked_values, checked_errors, met, unmet, stalled, deadlines;
    int failed;
    char violation[MT_VIOLATION_BYTES];
} mt_ledger;

void mt_ledger_init(mt_ledger *ledger, int size, const int *node_of, const mt_resources *totals);
void mt_ledger_fini(mt_ledger *ledger);

// Keeps the first of them.
void mt_ledger_violate(mt_ledger *ledger, const char *format, ...) __attribute__((format(printf, 2, 3)));

// ---- entering. Numbers, because the arrays move.
int mt_ledger_record(mt_ledger *ledger, manta_ref ref, mt_made made, mt_content content, int owner);
int mt_ledger_find(const mt_ledger *ledger, manta_ref ref);             // -1: never obtained
void mt_ledger_add_list(mt_ledger *ledger, int record, const manta_ref *refs, int count);
void mt_ledger_lend(mt_ledger *ledger, int record, int plan);
int mt_ledger_plan(mt_ledger *ledger);
int mt_ledger_actor(mt_ledger *ledger);
int mt_ledger_group(mt_ledger *ledger);

// ---- contents
uint64_t mt_content_seed(uint64_t a, uint64_t b);
void mt_content_fill(uint64_t seed, void *out, uint64_t bytes);
int mt_content_matches(uint64_t seed, const void *data, uint64_t bytes);
uint64_t mt_content_seed_of(const void *data, uint64_t bytes);          // what it says itself; bytes ≥ 8

// ---- reports of virtual ranks
int mt_ledger_run(mt_ledger *ledger, int rank, mt_run *run);            // the core wants it to run: its plan, or -1
void mt_ledger_blocked(mt_ledger *ledger, int plan, int rank);
void mt_ledger_finished(mt_ledger *ledger, int rank, mt_run *run, int plan, int code);
void mt_ledger_destroyed(mt_ledger *ledger, mt_instance *instance);
void mt_ledger_value(mt_ledger *ledger, int record, int reader, const mt_value *value, const void *payload);
void mt_ledger_error(mt_ledger *ledger, int record, int reader, int code, int error_rank, const char *message);
void mt_ledger_rank_gone(mt_ledger *ledger, int rank);
void mt_ledger_end(mt_ledger *ledger);                                  // everything is quiet

uint32_t mt_ledger_causes(mt_ledger *ledger, int record);               // codes it may end in, as bits
const char *mt_ledger_describe(const mt_ledger *ledger, int record, char out[256]);

#endif
