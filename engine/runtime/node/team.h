// Team: the members of an actor group that live on one rank, and how the ranks of the group exchange data. group.c stands on it.
#ifndef MANTA_ENGINE_RUNTIME_TEAM_H
#define MANTA_ENGINE_RUNTIME_TEAM_H

#include "engine/runtime/api/context.h"

typedef struct mt_team mt_team;

typedef enum mt_team_kind { MT_TEAM_ALLREDUCE, MT_TEAM_BROADCAST, MT_TEAM_ALLGATHER, MT_TEAM_REDUCE_SCATTER, MT_TEAM_BARRIER } mt_team_kind;

// What one member calls. All members call the same but for the pointers.
typedef struct mt_team_call {
    mt_team_kind kind;
    const void *src;
    void *dst;
    int64_t count;       // elements; bytes of broadcast and allgather
    int type, op, root;
} mt_team_call;

// A member, as its actor (outside actors: its context) has it: on that one's list, and there until it ends.
struct manta_group {
    manta_group *next;
    mt_node *node;              // borrowed
    mt_team *team;              // NULL: it has left; under the lock
    int member, local, count;   // local: place among the members of this rank; count: of all members
};

struct mt_team {
    mt_team *next;            // the node's list
    mt_node *node;            // borrowed
    uint64_t id;
    int count;                // members
    int *rank_of;             // (count) place of the member's rank in `ranks`
    int *place_of;            // (count) place of the member among those of its rank
    int rank_count, self;     // self: of this rank in `ranks`
    uint32_t *ranks;          // (rank_count) ascending
    int *members;             // (rank_count) how many
    int members_most;
    int local_count;
    int *local;               // (local_count) member numbers
    // members of this rank meet; under the lock
    mt_team_call *calls;      // (local_count)
    mt_bell **bells;          // (local_count) of those that have come and wait; NULL otherwise
    int arrived, busy, users;
    uint64_t phase;
    int code, broken;         // broken: the code of every later call
    char error[256];
    // blocks between ranks; under the lock
    uint32_t seq;             // of the exchange under way, or the last
    uint32_t block_bytes;     // the most that one rank sends another at a time
    struct mt_team_arrival {
        uint64_t op;
        uint32_t got, total;
        const char *view;     // in the sender's heap; NULL: in `block`
    } *arrival[2];            // by parity of seq, (rank_count)
    int complete[2];
    char *block[2];           // (rank_count, block_bytes)
    mt_bell *leader;
    char *window;             // in this rank's heap: (2, rank_count, block_bytes) for ranks of this host; NULL: none
    uint64_t window_offset;
    // the leader's own
    char *stage;              // header, block_bytes
    char *result;             // (block_bytes * rank_count)
};

// After the meeting: the team of this rank, made by the first member that asks. NULL: no memory. Lock held.
mt_team *mt_team_get(mt_node *node, uint64_t id, const uint32_t *rank_of_member, int count);
void mt_team_release(mt_team *team);   // lock held; by a member that leaves
int mt_team_local(const mt_team *team, int member);   // its place among the members of this rank; -1: it is on another
void mt_teams_free(mt_team *first);    // the node's end; Nullable

// From the core's table, lock held.
void mt_team_message(mt_node *node, int source, uint64_t id, const void *data, size_t bytes);
void mt_team_rank_dead(mt_node *node, int rank);
void mt_team_early_free(mt_node *node);

// The leader's, without the lock. Every rank of the team gives every other one block and gets one; `pack` writes what goes to
// ranks[to] and returns its bytes (at most block_bytes). The blocks that came are at mt_team_block until the next exchange.
typedef size_t mt_team_pack(void *context, const mt_team *team, int to, char *out);
int mt_team_exchange(mt_team *team, manta_context *c, uint64_t op, mt_team_pack *pack, void *context, int64_t deadline_ns);
static inline const char *mt_team_block(const mt_team *team, int from) {
    const char *view = team->arrival[team->seq & 1][from].view;
    return view ? view : team->block[team->seq & 1] + (size_t)from * team->block_bytes;
}

int mt_team_break(mt_team *team, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));   // lock held; returns code

#endif
