// Blocks between the ranks of a team.
//
// Protocol. All ranks take the same steps, numbered by seq. In a step every rank sends every other one block (in chunks, through
// the core's SHELL messages, so in order and once) and waits for one from each. So a rank that is in step s has from everybody
// all of step s - 1, and nobody can be further than one step ahead of it: two sets of buffers, by parity of seq, are enough. A set is
// cleared when its step has been used up, which is before this rank sends its block of the step behind, and so before anybody
// can send one that belongs there again.
// Between ranks of a host only the place of a block is sent: it is written into the sender's heap (the window, two sets as well)
// and read there.
// A block may come before this rank's members have: it is kept until the team is there (early). For teams that were left nothing is
// kept; of those that never come to be (a join that ran into its deadline) the oldest blocks give way.
#include "engine/runtime/node/team.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/log.h"

enum {
    CHUNK_BYTES = 64 * 1024,
    BLOCK_BYTES_MAX = 256 * 1024,
    BLOCKS_BYTES_MAX = 8 << 20,    // of all ranks together
    BLOCK_BYTES_MIN = 8 * 1024,
    EARLY_BYTES_MAX = 32 << 20,
    WINDOW_SHARE = 8,              // a window has at most this part of the heap
};

typedef struct header {
    uint64_t op;
    uint64_t offset;   // in the sender's heap; MT_HEAP_NO_OFFSET: the bytes follow
    uint32_t seq, at, total, bytes;
} header;

typedef struct mt_team_early {
    struct mt_team_early *next;
    uint64_t id;
    int source;
    size_t bytes;
    char data[];
} early;

// ---- life

static int compare_ranks(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static int place_of_rank(const mt_team *t, uint32_t rank) {
    const uint32_t *found = bsearch(&rank, t->ranks, (size_t)t->rank_count, sizeof rank, compare_ranks);
    return found ? (int)(found - t->ranks) : -1;
}

static int layout(mt_team *t, const uint32_t *rank_of_member) {
    size_t n = (size_t)t->count;
    t->rank_of = calloc(n, sizeof *t->rank_of);
    t->place_of = calloc(n, sizeof *t->place_of);
    t->ranks = calloc(n, sizeof *t->ranks);
    t->members = calloc(n, sizeof *t->members);
    t->local = calloc(n, sizeof *t->local);
    if (!t->rank_of || !t->place_of || !t->ranks || !t->members || !t->local) return 0;
    memcpy(t->ranks, rank_of_member, n * sizeof *t->ranks);
    qsort(t->ranks, n, sizeof *t->ranks, compare_ranks);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || t->ranks[i] != t->ranks[t->rank_count - 1]) t->ranks[t->rank_count++] = t->ranks[i];
    t->self = place_of_rank(t, (uint32_t)t->node->rank);
    for (int m = 0; m < t->count; m++) {
        int k = t->rank_of[m] = place_of_rank(t, rank_of_member[m]);
        t->place_of[m] = t->members[k]++;
        if (t->members[k] > t->members_most) t->members_most = t->members[k];
        if (k == t->self) t->local[t->local_count++] = m;
    }
    return t->self >= 0;
}

static int buffers(mt_team *t) {
    size_t n = (size_t)t->local_count, ranks = (size_t)t->rank_count;
    size_t block = BLOCKS_BYTES_MAX / ranks / 64 * 64;
    t->block_bytes = (uint32_t)(block > BLOCK_BYTES_MAX ? BLOCK_BYTES_MAX : block < BLOCK_BYTES_MIN ? BLOCK_BYTES_MIN : block);
    t->calls = calloc(n, sizeof *t->calls);
    t->bells = calloc(n, sizeof *t->bells);
    t->stage = aligned_alloc(64, t->block_bytes + 64);
    t->result = aligned_alloc(64, t->block_bytes * ranks);
    for (int p = 0; p < 2; p++) {
        t->arrival[p] = calloc(ranks, sizeof *t->arrival[p]);
        t->block[p] = aligned_alloc(64, t->block_bytes * ranks);
        if (!t->arrival[p] || !t->block[p]) return 0;
    }
    return t->calls && t->bells && t->stage && t->result;
}

static void window_open(mt_team *t) {
    mt_node *node = t->node;
    uint64_t bytes = 2 * (uint64_t)t->rank_count * t->block_bytes;
    int neighbours = 0;
    for (int k = 0; k < t->rank_count; k++) neighbours += k != t->self && node->transport->node_of[t->ranks[k]] == node->transport->node;
    t->window_offset = neighbours && bytes <= mt_heap_stats_get(node->heap).limit_bytes / WINDOW_SHARE ? mt_core_allocate(node->core, bytes) : MT_HEAP_NO_OFFSET;
    if (t->window_offset != MT_HEAP_NO_OFFSET) t->window = mt_heap_at(node->heap, t->window_offset);
}

static void window_close(mt_team *t) {   // as an object that nobody holds
    mt_run_result block = {.offset = t->window_offset,
        .head = {.type = MANTA_TYPE_BYTES, .form = MT_VALUE_PLACE, .bytes = 2 * (uint64_t)t->rank_count * t->block_bytes}};
    if (t->window) mt_core_release(t->node->core, mt_core_put(t->node->core, &block));
}

static void team_free(mt_team *t) {
    for (int p = 0; p < 2; p++) free(t->arrival[p]), free(t->block[p]);
    free(t->result), free(t->stage), free(t->bells), free(t->calls);
    free(t->local), free(t->members), free(t->ranks), free(t->place_of), free(t->rank_of);
    free(t);
}

static void take_early(mt_node *node, uint64_t id) {
    for (early **at = &node->early, *e; (e = *at);) {
        if (e->id != id) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        node->early_bytes -= e->bytes;
        mt_team_message(node, e->source, e->id, e->data, e->bytes);
        free(e);
    }
}

mt_team *mt_team_get(mt_node *node, uint64_t id, const uint32_t *rank_of_member, int count) {
    mt_team *t = node->teams;
    while (t && t->id != id) t = t->next;
    if (t) {
        t->users++;
        return t;
    }
    t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->node = node;
    t->id = id;
    t->count = count;
    t->users = 1;
    if (!layout(t, rank_of_member) || !buffers(t)) {
        team_free(t);
        return NULL;
    }
    window_open(t);
    t->next = node->teams;
    node->teams = t;
    for (int k = 0; k < t->rank_count; k++)
        if (node->rank_flags[t->ranks[k]] & MT_RANK_DEAD) mt_team_break(t, MANTA_COMM, "rank %u of the group died", t->ranks[k]);
    take_early(node, id);
    return t;
}

void mt_team_release(mt_team *team) {
    if (--team->users) return;
    mt_team **at = &team->node->teams;
    while (*at != team) at = &(*at)->next;
    *at = team->next;
    team->node->teams_gone[team->node->teams_gone_count++ % MT_NODE_TEAMS_GONE] = team->id;
    window_close(team);
    team_free(team);
}

int mt_team_local(const mt_team *t, int member) { return t->rank_of[member] == t->self ? t->place_of[member] : -1; }

void mt_teams_free(mt_team *first) {
    for (mt_team *next; first; first = next) {
        next = first->next;
        team_free(first);
    }
}

int mt_team_break(mt_team *t, int code, const char *format, ...) {
    if (!t->broken) {
        va_list list;
        va_start(list, format);
        vsnprintf(t->error, sizeof t->error, format, list);
        va_end(list);
        t->broken = code;
    }
    if (t->leader) mt_node_ring(t->node, t->leader);
    for (int i = 0; i < t->local_count && !t->busy; i++)
        if (t->bells && t->bells[i]) mt_node_ring(t->node, t->bells[i]);
    return code;
}

void mt_team_rank_dead(mt_node *node, int rank) {
    for (mt_team *t = node->teams; t; t = t->next)
        if (place_of_rank(t, (uint32_t)rank) >= 0) mt_team_break(t, MANTA_COMM, "rank %d of the group died", rank);
}

// ---- what comes

static void keep_early(mt_node *node, int source, uint64_t id, const void *data, size_t bytes) {
    for (uint32_t i = 0; i < MT_NODE_TEAMS_GONE && i < node->teams_gone_count; i++)
        if (node->teams_gone[i] == id) return;
    while (node->early && node->early_bytes + bytes > EARLY_BYTES_MAX) {
        early *oldest = node->early;
        if (!node->early_dropped++) mt_log_warn("rank %d drops blocks for groups that nobody here has joined", node->rank);
        node->early = oldest->next;
        node->early_bytes -= oldest->bytes;
        free(oldest);
    }
    early *e = malloc(sizeof *e + bytes);
    if (!e) return;   // its receiver runs into its deadline
    *e = (early){.id = id, .source = source, .bytes = bytes};
    memcpy(e->data, data, bytes);
    early **at = &node->early;
    while (*at) at = &(*at)->next;
    *at = e;
    node->early_bytes += bytes;
}

void mt_team_early_free(mt_node *node) {
    for (early *e = node->early, *next; e; e = next) next = e->next, free(e);
    node->early = NULL;
}

void mt_team_message(mt_node *node, int source, uint64_t id, const void *data, size_t bytes) {
    mt_team *t = node->teams;
    header h;
    while (t && t->id != id) t = t->next;
    if (!t) {
        keep_early(node, source, id, data, bytes);
        return;
    }
    int from = place_of_rank(t, (uint32_t)source);
    if (from < 0 || bytes < sizeof h || t->broken) return;
    memcpy(&h, data, sizeof h);
    uint32_t ahead = h.seq - t->seq;
    bool near = h.offset != MT_HEAP_NO_OFFSET;
    const char *view = near && h.total ? mt_heap_view(node->heap, source, h.offset, h.total) : NULL;
    if (ahead > 1 || h.total > t->block_bytes || h.bytes != (near ? 0 : bytes - sizeof h) || h.at > h.total || h.bytes > h.total - h.at ||
        (near && h.total && !view)) {
        mt_team_break(t, MANTA_INTERNAL, "rank %d sent a block that is not of this group's next call", source);
        return;
    }
    struct mt_team_arrival *a = &t->arrival[h.seq & 1][from];
    a->op = h.op, a->total = h.total, a->view = view;
    if (near) a->got = h.total;
    else memcpy(t->block[h.seq & 1] + (size_t)from * t->block_bytes + h.at, (const char *)data + sizeof h, h.bytes);
    a->got += h.bytes;
    if (a->got < a->total) return;
    if (++t->complete[h.seq & 1] == t->rank_count - 1 && h.seq == t->seq && t->leader) mt_node_ring(node, t->leader);
}

// ---- a step

static void send_block(mt_team *t, int to, const header *like, size_t bytes) {
    mt_node *node = t->node;
    char *block = t->stage + 64;
    size_t at = 0;
    do {
        header h = *like;
        size_t chunk = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
        h.at = (uint32_t)at, h.bytes = (uint32_t)chunk, h.total = (uint32_t)bytes;
        memcpy(block + at - sizeof h, &h, sizeof h);   // over what has gone already
        mt_node_enter(node);
        mt_core_shell_send(node->core, (int)t->ranks[to], MT_TOPIC_GROUP, t->id, block + at - sizeof h, sizeof h + chunk);
        mt_node_leave(node);
        at += chunk;
    } while (at < bytes);
}

static int wait_for_blocks(mt_team *t, manta_context *c, int64_t deadline_ns) {   // lock held
    int missing = 0, code = MANTA_OK;
    while (t->complete[t->seq & 1] < t->rank_count - 1 && code == MANTA_OK) {
        if (t->broken) return t->broken;
        if (t->node->ending) return mt_team_break(t, MANTA_SHUTDOWN, "the job ends");
        mt_bell_reset(&c->bell);
        t->leader = &c->bell;
        int rung = mt_context_wait(c, deadline_ns);
        t->leader = NULL;
        if (rung || t->node->ending) continue;
        for (int k = 0; k < t->rank_count; k++)
            if (k != t->self && !(t->arrival[t->seq & 1][k].got >= t->arrival[t->seq & 1][k].total && t->arrival[t->seq & 1][k].op)) missing = (int)t->ranks[k];
        code = mt_team_break(t, MANTA_DEADLINE, "the group's members on rank %d did not make the call in time", missing);
    }
    return code;
}

int mt_team_exchange(mt_team *t, manta_context *c, uint64_t op, mt_team_pack *pack, void *context, int64_t deadline_ns) {
    mt_node *node = t->node;
    // the step before is used up
    mt_node_enter(node);
    memset(t->arrival[t->seq & 1], 0, (size_t)t->rank_count * sizeof *t->arrival[0]);
    t->complete[t->seq & 1] = 0;
    t->seq++;
    mt_node_leave(node);
    for (int i = 1; i < t->rank_count; i++) {
        int to = (t->self + i) % t->rank_count;   // not all to the same one first
        header h = {.op = op, .seq = t->seq, .offset = MT_HEAP_NO_OFFSET};
        if (t->window && node->transport->node_of[t->ranks[to]] == node->transport->node) {
            uint64_t at = ((uint64_t)(t->seq & 1) * (uint64_t)t->rank_count + (uint64_t)to) * t->block_bytes;
            h.total = (uint32_t)pack(context, t, to, t->window + at);
            h.offset = t->window_offset + at;
            mt_node_enter(node);
            mt_core_shell_send(node->core, (int)t->ranks[to], MT_TOPIC_GROUP, t->id, &h, sizeof h);
            mt_node_leave(node);
        } else send_block(t, to, &h, pack(context, t, to, t->stage + 64));
    }
    mt_node_enter(node);
    int code = wait_for_blocks(t, c, deadline_ns);
    for (int k = 0; k < t->rank_count && code == MANTA_OK; k++)
        if (k != t->self && t->arrival[t->seq & 1][k].op != op)
            code = mt_team_break(t, MANTA_INVALID, "members on rank %u make another call, or the same with other counts or types: all members make the same calls", t->ranks[k]);
    mt_node_leave(node);
    return code;
}
