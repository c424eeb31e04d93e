// Census: what every rank of the job has and does, asked for by the head and gathered with a deadline, so that a rank that is dead or
// stuck shows as one that gave no answer. For manta status and --metrics-file.
//
//     head ──ASK(question)──▶ every rank that lives        shell messages (core.h): the core hands them on unread
//     head ◀──ANSWER(question)── its numbers, its actors   answers to an older question are dropped
//
// A rank answers when it leaves its lock the next time, from whichever thread took the message in. Nobody asks, nothing happens.
#ifndef MANTA_ENGINE_RUNTIME_CENSUS_H
#define MANTA_ENGINE_RUNTIME_CENSUS_H

#include "engine/base/text.h"
#include "engine/runtime/core.h"
#include "engine/runtime/api/program.h"
#include "engine/runtime/wire.h"

typedef struct mt_node mt_node;

enum { MT_TOPIC_CENSUS_ASK = 16, MT_TOPIC_CENSUS_ANSWER };
enum { MT_CENSUS_ACTORS_MAX = 1024, MT_HOST_BYTES = 64 };   // actors that a rank lists: an answer is one message

typedef struct mt_actor_entry {
    manta_ref actor;
    uint32_t class_number;
    int32_t queued, running;
    uint32_t spare;
    char name[MT_ACTOR_NAME_BYTES];   // "": none
} mt_actor_entry;

// An answer: this, then `listed` entries.
typedef struct mt_rank_entry {
    int64_t pid;
    char host[MT_HOST_BYTES];
    mt_core_stats stats;
    uint32_t listed, spare;
} mt_rank_entry;

typedef enum mt_rank_state { MT_RANK_SILENT, MT_RANK_ANSWERED, MT_RANK_GONE } mt_rank_state;

typedef struct mt_census_rank {
    mt_rank_state state;
    int node;                  // number of its host in the job
    mt_rank_entry entry;       // ANSWERED
    mt_actor_entry *actors;    // owned (entry.listed)
} mt_census_rank;

typedef struct mt_census {
    int size;
    int64_t uptime_ns;
    mt_census_rank *ranks;     // owned (size)
    const mt_resource_names *names;   // borrowed of the node, like the next
    const mt_program *program;
} mt_census;

// Any thread but one that runs a body with the lock; one at a time on a node (MT_EXISTS). Never fails because of other ranks.
mt_status mt_census_take(mt_node *node, int64_t deadline_ns, mt_census *out);
void mt_census_fini(mt_census *census);
void mt_census_cancel(mt_node *node);   // one that waits stops waiting

// As texts. title: what the job is called; command: its command line.
typedef struct mt_census_title {
    const char *job, *command;
    int64_t pid;
} mt_census_title;
mt_status mt_census_json(const mt_census *census, const mt_census_title *title, mt_text *out);
mt_status mt_census_prometheus(const mt_census *census, const mt_census_title *title, mt_text *out);   // text format 0.0.4

// An answer as another rank sent it: MT_CORRUPT when its lengths contradict each other. actors: owned by the caller.
mt_status mt_census_decode(const void *data, size_t bytes, mt_rank_entry *entry, mt_actor_entry **actors);

// node.c, with the lock held
typedef struct mt_census_wait mt_census_wait;
void mt_census_message(mt_node *node, int source, uint32_t topic, uint64_t question, const void *data, size_t bytes);
void mt_census_rank_dead(mt_node *node, int rank);
void mt_census_answer(mt_node *node);   // outside the core

#endif
