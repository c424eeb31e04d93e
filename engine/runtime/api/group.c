// The API: collectives of actors. Members on the same rank meet in memory; the last to come (the leader) does the work for all
// of them, exchanging blocks with the other ranks (team.c), and the others wait. A member's thread, in one of its methods.
//
// Determinism: every sum is ((x0 + x1) + x2) + ... in member order, computed once, at one place, from the members' own values.
// So it is the same bits on every rank, whichever ranks the members are on.
//
// Large all-reduces go in two steps per segment: every rank gets its slice of all members' vectors and reduces it, then the
// slices go round; small ones in one: everybody gets everything. So each rank sends (members on it + 1) times the vector.
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/collective/reduce.h"
#include "engine/runtime/node/team.h"

enum { ALIGN_ELEMENTS = 16 };
#define SMALL_BYTES ((size_t)64 * 1024)   // that a rank sends in all: below it, one step less is worth more than fewer bytes

// ---- one call, by the leader

typedef struct job {
    mt_team *team;
    const mt_team_call *calls;   // (local_count)
    mt_team_call call;           // what all have in common
    size_t element;              // bytes
    int64_t begin, n;            // the segment
    mt_reduce_fn *reduce;
    int phase;                   // of an all-reduce
} job;

static int64_t slice_begin(const job *j, int rank) {
    int ranks = j->team->rank_count;
    int64_t each = (j->n + ranks - 1) / ranks;
    each = (each + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS;
    int64_t begin = each * rank;
    return begin < j->n ? begin : j->n;
}

static size_t slice_bytes(const job *j, int rank) { return (size_t)(slice_begin(j, rank + 1) - slice_begin(j, rank)) * j->element; }

static const char *source(const job *j, int local, int64_t at) { return (const char *)j->calls[local].src + (size_t)at * j->element; }

static size_t pack(void *context, const mt_team *t, int to, char *out) {
    const job *j = context;
    size_t used = 0, bytes = (size_t)j->n * j->element;
    switch (j->call.kind) {
    case MT_TEAM_ALLREDUCE:
        if (j->phase == 2) {   // my reduced slice
            memcpy(out, t->result + (size_t)slice_begin(j, t->self) * j->element, slice_bytes(j, t->self));
            return slice_bytes(j, t->self);
        }
        // my members' values: all of the segment, or his slice
        for (int i = 0; i < t->local_count; i++) {
            size_t part = j->phase == 0 ? bytes : slice_bytes(j, to);
            memcpy(out + used, source(j, i, j->begin + (j->phase == 0 ? 0 : slice_begin(j, to))), part);
            used += part;
        }
        return used;
    case MT_TEAM_ALLGATHER:
        for (int i = 0; i < t->local_count; i++, used += bytes) memcpy(out + used, source(j, i, j->begin), bytes);
        return used;
    case MT_TEAM_REDUCE_SCATTER:
        for (int m = 0; m < t->count; m++)
            for (int i = 0; t->rank_of[m] == to && i < t->local_count; i++, used += bytes)
                memcpy(out + used, source(j, i, m * j->call.count + j->begin), bytes);
        return used;
    case MT_TEAM_BROADCAST:
        if (t->rank_of[j->call.root] != t->self) return 0;
        memcpy(out, (const char *)j->calls[t->place_of[j->call.root]].dst + j->begin, bytes);
        return bytes;
    default: return 0;
    }
}

// every member's part in member order: here, or in the block that came from its rank
static void sources(const job *j, int64_t local_at, size_t block_stride, size_t block_at, const void **out) {
    const mt_team *t = j->team;
    for (int m = 0; m < t->count; m++)
        out[m] = t->rank_of[m] == t->self ? source(j, t->place_of[m], local_at)
                                          : mt_team_block(t, t->rank_of[m]) + (size_t)t->place_of[m] * block_stride + block_at;
}

static void give_all(const job *j, const char *from, int64_t at, size_t bytes) {
    for (int i = 0; i < j->team->local_count; i++) memcpy((char *)j->calls[i].dst + (size_t)at * j->element, from, bytes);
}

static uint64_t op_number(const job *j, int step) {
    // everything that must agree, in one word that is not 0
    uint64_t h = (uint64_t)j->call.kind + 1;
    const uint64_t parts[] = {(uint64_t)j->call.type, (uint64_t)j->call.op, (uint64_t)j->call.root, (uint64_t)j->call.count, (uint64_t)j->begin, (uint64_t)step};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) h = (h ^ parts[i]) * UINT64_C(0x9e3779b97f4a7c15) + (h >> 29);
    return h | 1;
}

static int exchange(job *j, manta_context *c, int step, int64_t deadline_ns) {
    return mt_team_exchange(j->team, c, op_number(j, step), pack, j, deadline_ns);
}

static int allreduce_segment(job *j, manta_context *c, const void **from, int64_t deadline_ns) {
    mt_team *t = j->team;
    size_t bytes = (size_t)j->n * j->element;
    int code = MANTA_OK;
    size_t most = bytes * (size_t)t->members_most;
    if (t->rank_count == 1 || (most <= t->block_bytes && most * (size_t)(t->rank_count - 1) <= SMALL_BYTES)) {
        j->phase = 0;
        if (t->rank_count > 1) code = exchange(j, c, 0, deadline_ns);
        if (code != MANTA_OK) return code;
        sources(j, j->begin, bytes, 0, from);
        j->reduce(t->result, from, t->count, (size_t)j->n);
        give_all(j, t->result, j->begin, bytes);
        return MANTA_OK;
    }
    j->phase = 1;
    if ((code = exchange(j, c, 1, deadline_ns)) != MANTA_OK) return code;
    int64_t mine = slice_begin(j, t->self);
    sources(j, j->begin + mine, slice_bytes(j, t->self), 0, from);
    if (slice_bytes(j, t->self)) j->reduce(t->result + (size_t)mine * j->element, from, t->count, slice_bytes(j, t->self) / j->element);
    j->phase = 2;
    if ((code = exchange(j, c, 2, deadline_ns)) != MANTA_OK) return code;
    for (int k = 0; k < t->rank_count; k++)
        give_all(j, k == t->self ? t->result + (size_t)mine * j->element : mt_team_block(t, k), j->begin + slice_begin(j, k), slice_bytes(j, k));
    return MANTA_OK;
}

static int allgather_segment(job *j, manta_context *c, int64_t deadline_ns) {
    mt_team *t = j->team;
    size_t bytes = (size_t)j->n;
    int code = t->rank_count > 1 ? exchange(j, c, 0, deadline_ns) : MANTA_OK;
    for (int i = 0; i < t->local_count && code == MANTA_OK; i++)
        for (int m = 0; m < t->count; m++) {
            const char *from = t->rank_of[m] == t->self ? source(j, t->place_of[m], j->begin)
                                                        : mt_team_block(t, t->rank_of[m]) + (size_t)t->place_of[m] * bytes;
            memmove((char *)j->calls[i].dst + (size_t)m * (size_t)j->call.count + j->begin, from, bytes);
        }
    return code;
}

static int reduce_scatter_segment(job *j, manta_context *c, const void **from, int64_t deadline_ns) {
    mt_team *t = j->team;
    size_t bytes = (size_t)j->n * j->element;
    int code = t->rank_count > 1 ? exchange(j, c, 0, deadline_ns) : MANTA_OK;
    for (int i = 0; i < t->local_count && code == MANTA_OK; i++) {
        // a block holds, for each of my members, the parts of all of his
        for (int m = 0; m < t->count; m++) {
            size_t at = ((size_t)i * (size_t)t->members[t->rank_of[m]] + (size_t)t->place_of[m]) * bytes;
            from[m] = t->rank_of[m] == t->self ? source(j, t->place_of[m], t->local[i] * j->call.count + j->begin) : mt_team_block(t, t->rank_of[m]) + at;
        }
        j->reduce(t->result, from, t->count, (size_t)j->n);
        memcpy((char *)j->calls[i].dst + (size_t)j->begin * j->element, t->result, bytes);
    }
    return code;
}

static int broadcast_segment(job *j, manta_context *c, int64_t deadline_ns) {
    mt_team *t = j->team;
    int root = t->rank_of[j->call.root], code = t->rank_count > 1 ? exchange(j, c, 0, deadline_ns) : MANTA_OK;
    const char *from = root == t->self ? (const char *)j->calls[t->place_of[j->call.root]].dst + j->begin : mt_team_block(t, root);
    for (int i = 0; i < t->local_count && code == MANTA_OK; i++)
        if (t->local[i] != j->call.root) memcpy((char *)j->calls[i].dst + j->begin, from, (size_t)j->n);
    return code;
}

static int64_t segment_elements(const job *j) {
    const mt_team *t = j->team;
    int64_t block = t->block_bytes / (int64_t)j->element, most = t->members_most;
    switch (j->call.kind) {
    case MT_TEAM_ALLREDUCE: return (block / most / ALIGN_ELEMENTS - 1) * ALIGN_ELEMENTS * t->rank_count;
    case MT_TEAM_REDUCE_SCATTER: return block / (most * most);
    case MT_TEAM_ALLGATHER: return block / most;
    default: return block;
    }
}

static int lead(mt_team *t, manta_context *c, int64_t deadline_ns) {
    job j = {.team = t, .calls = t->calls, .call = t->calls[0]};
    static const mt_dtype dtypes[] = {[MANTA_TYPE_F32] = MT_F32, [MANTA_TYPE_F64] = MT_F64, [MANTA_TYPE_I64] = MT_I64};
    bool sums = j.call.kind == MT_TEAM_ALLREDUCE || j.call.kind == MT_TEAM_REDUCE_SCATTER;
    j.element = !sums ? 1 : mt_type_bytes((manta_type)j.call.type);
    if (sums) j.reduce = mt_reduce_find(dtypes[j.call.type], (mt_reduce_op)j.call.op);
    if (j.call.kind == MT_TEAM_BARRIER) return t->rank_count > 1 ? exchange(&j, c, 0, deadline_ns) : MANTA_OK;
    const void **from = calloc((size_t)t->count, sizeof *from);
    int64_t most = segment_elements(&j);
    int code = !from ? MANTA_NO_MEMORY : most < 1 ? MANTA_INVALID : MANTA_OK;
    for (; j.begin < j.call.count && code == MANTA_OK; j.begin += j.n) {
        j.n = j.call.count - j.begin < most ? j.call.count - j.begin : most;
        switch (j.call.kind) {
        case MT_TEAM_ALLREDUCE: code = allreduce_segment(&j, c, from, deadline_ns); break;
        case MT_TEAM_ALLGATHER: code = allgather_segment(&j, c, deadline_ns); break;
        case MT_TEAM_REDUCE_SCATTER: code = reduce_scatter_segment(&j, c, from, deadline_ns); break;
        default: code = broadcast_segment(&j, c, deadline_ns);
        }
    }
    free(from);
    return code;
}

// ---- members of a rank meet

static bool same_call(const mt_team_call *a, const mt_team_call *b) {
    return a->kind == b->kind && a->count == b->count && a->type == b->type && a->op == b->op && a->root == b->root;
}

// lock held on entry and on return
static int wait_for_leader(mt_team *t, manta_context *c, int64_t deadline_ns) {
    uint64_t phase = t->phase;
    while (t->phase == phase) {
        mt_bell_reset(&c->bell);
        if (t->broken && !t->busy) return t->broken;
        if (t->busy) {   // the leader reads and writes this member's memory, and has a deadline of its own
            mt_node_leave(t->node);
            mt_node_wait(t->node, &c->bell, NULL, mt_context_hint(c), MT_NEVER);
            mt_node_enter(t->node);
        } else if (!mt_context_wait(c, deadline_ns) && t->phase == phase && !t->busy)
            return mt_team_break(t, t->node->ending ? MANTA_SHUTDOWN : MANTA_DEADLINE, "%d of %d members of the group on rank %d made the call in time",
                t->arrived, t->local_count, t->node->rank);
    }
    return t->code;
}

static int call(manta_context *c, manta_group *g, mt_team_call what) {
    mt_node *node = g->node;
    int64_t deadline_ns = mt_context_deadline(c, MANTA_DEFAULT_TIMEOUT), begin_ns = c->ring ? mt_clock_ns() : 0;
    mt_node_enter(node);
    mt_team *t = g->team;
    if (!t) {
        mt_node_leave(node);
        return mt_context_fail(c, MANTA_INVALID, "member %d has left the group; join one again first", g->member);
    }
    int code = t->broken;
    if (!code) {
        t->calls[g->local] = what;
        if (++t->arrived < t->local_count) {
            t->bells[g->local] = &c->bell;
            code = wait_for_leader(t, c, deadline_ns);
            t->bells[g->local] = NULL;
        } else {
            t->busy = 1;
            for (int i = 1; i < t->local_count && !code; i++)
                if (!same_call(&t->calls[0], &t->calls[i])) code = mt_team_break(t, MANTA_INVALID, "members %d and %d of the group make different calls, or with other counts or types", t->local[0], t->local[i]);
            mt_node_leave(node);
            if (!code) code = lead(t, c, deadline_ns);
            mt_node_enter(node);
            if (code && !t->broken) mt_team_break(t, code, "%s", code == MANTA_NO_MEMORY ? "no memory" : "too many members on one rank");
            t->busy = 0, t->arrived = 0, t->code = code, t->phase++;
            for (int i = 0; i < t->local_count; i++)
                if (t->bells[i]) mt_node_ring(node, t->bells[i]);
        }
    }
    if (code) mt_context_fail(c, code, "group of %d: %s; leave it and make another", t->count, t->error);
    mt_node_leave(node);
    if (__builtin_expect(c->ring != NULL, 0)) {
        static const char *const names[] = {"all-reduce", "broadcast", "all-gather", "reduce-scatter", "barrier"};
        bool sums = what.kind == MT_TEAM_ALLREDUCE || what.kind == MT_TEAM_REDUCE_SCATTER;
        mt_timeline_add(c->ring, MT_TIMELINE_TRANSFER, names[what.kind], begin_ns, mt_clock_ns(), code,
            (uint64_t)what.count * (sums ? mt_type_bytes((manta_type)what.type) : 1));
    }
    return code;
}

// ---- the API

static int check_count(manta_context *c, int64_t count) {
    if (count >= 1 && count <= MT_MEMBERS_MAX) return MANTA_OK;
    return mt_context_fail(c, MANTA_INVALID, "a group of %lld actors cannot be made: it has 1 to %d members", (long long)count, MT_MEMBERS_MAX);
}

manta_ref manta_group_create(manta_context *c, const manta_actor *actors, int count) {
    if (check_count(c, count) != MANTA_OK) return mt_context_failed_ref(c);
    return manta_put(c, manta_vector(MANTA_TYPE_ACTOR, count, actors));
}

static int members_of(manta_context *c, manta_ref group, double seconds, int *count) {
    manta_value value;
    int code = manta_get_within(c, group, seconds, &value);
    if (code != MANTA_OK) return code;
    if (value.type == MANTA_TYPE_ACTOR && value.ndim == 1 && (code = check_count(c, value.shape[0])) != MANTA_OK) return code;
    if (value.type != MANTA_TYPE_ACTOR || value.ndim != 1)
        return mt_context_fail(c, MANTA_INVALID, "this reference is no group of actors; use one of manta_group_create");
    *count = (int)value.shape[0];
    return MANTA_OK;
}

static int meet(manta_context *c, manta_ref group, int member, double seconds, mt_question *q) {
    mt_node *node = c->node;
    mt_bell_reset(&c->bell);
    q->bell = &c->bell;
    mt_node_enter(node);
    mt_node_ask(node, q);
    mt_core_meet(node->core, group, member, q->count, q->number);
    if (!q->answered) mt_context_wait(c, mt_context_deadline(c, seconds));
    if (!q->answered) mt_core_unmeet(node->core, group, member, q->number);
    mt_node_ask_end(node, q);
    int ending = node->ending;
    mt_node_leave(node);
    if (!q->answered)
        return mt_context_fail(c, ending ? MANTA_SHUTDOWN : MANTA_DEADLINE, "the group's %d members did not all join in time", q->count);
    if (q->code == MANTA_OK) return MANTA_OK;
    return mt_context_fail(c, q->code, "joining the group as member %d of %d: %s", member, q->count,
        q->code == MANTA_EXISTS ? "somebody has joined as this member" : q->code == MANTA_ACTOR_DIED ? "a member's rank died" : manta_code_name(q->code));
}

int manta_group_join(manta_context *c, manta_ref group, int member, double seconds, manta_group **out) {
    int count = 0;
    *out = NULL;
    int code = members_of(c, group, seconds, &count);
    if (code != MANTA_OK) return code;
    if (member < 0 || member >= count) return mt_context_fail(c, MANTA_INVALID, "member %d does not exist: the group has members 0 to %d", member, count - 1);
    mt_question q = {.count = count, .ranks = calloc((size_t)count, sizeof *q.ranks)};
    manta_group *g = calloc(1, sizeof *g);
    if (!q.ranks || !g) {
        free(q.ranks);
        free(g);
        return mt_context_fail(c, MANTA_NO_MEMORY, "no memory for a group of %d", count);
    }
    code = meet(c, group, member, seconds, &q);
    if (code == MANTA_OK) {
        uint64_t id = (group.serial * UINT64_C(0x9e3779b97f4a7c15)) ^ ((uint64_t)group.owner << 32) ^ (q.round * UINT64_C(0xbf58476d1ce4e5b9)) ^ group.slot;
        mt_node_enter(c->node);
        mt_team *t = mt_team_get(c->node, id, q.ranks, count);
        int local = t ? mt_team_local(t, member) : -1;
        manta_group **list = c->state ? &mt_actor_state_of(c->state)->groups : &c->groups;
        if (t && local < 0) mt_team_release(t);
        else if (t) {
            *g = (manta_group){.next = *list, .node = c->node, .team = t, .member = member, .local = local, .count = count};
            *out = *list = g;
        }
        mt_node_leave(c->node);
        if (!t) code = mt_context_fail(c, MANTA_NO_MEMORY, "no memory for a group of %d", count);
        else if (!*out) code = mt_context_fail(c, MANTA_INTERNAL, "member %d is not on this rank", member);
    }
    if (code != MANTA_OK) free(g);
    free(q.ranks);
    return code;
}

// lock held
static void leave(manta_group *g) {
    mt_team *team = g->team;
    g->team = NULL;   // the record stays until its owner ends: who leaves twice finds that it has left
    if (team) mt_team_release(team);
}

void manta_group_leave(manta_group *group) {
    if (!group) return;
    mt_node *node = group->node;
    mt_node_enter(node);
    leave(group);
    mt_node_leave(node);
}

void mt_groups_end(manta_group **list) {
    for (manta_group *g; (g = *list);) {
        *list = g->next;
        // the others on this rank need not wait for it until their deadline; when nobody is left, nobody hears it
        if (g->team) mt_team_break(g->team, MANTA_ACTOR_DIED, "member %d ended without leaving", g->member);
        leave(g);
        free(g);
    }
}

void mt_groups_forget(manta_group **list) {
    for (manta_group *g; (g = *list);) {
        *list = g->next;
        free(g);
    }
}

int manta_group_size(const manta_group *group) { return group->count; }
int manta_group_member(const manta_group *group) { return group->member; }

static int reducible(manta_context *c, int64_t count, manta_type type, manta_reduce op) {
    if (type != MANTA_TYPE_F32 && type != MANTA_TYPE_F64 && type != MANTA_TYPE_I64)
        return mt_context_fail(c, MANTA_INVALID, "values of type %s cannot be reduced; f32, f64 and i64 can", mt_type_name(type));
    if ((unsigned)op > MANTA_MIN || count < 0) return mt_context_fail(c, MANTA_INVALID, "reduction %d of %lld elements is none", (int)op, (long long)count);
    return MANTA_OK;
}

_Static_assert((int)MANTA_SUM == (int)MT_REDUCE_SUM && (int)MANTA_MAX == (int)MT_REDUCE_MAX && (int)MANTA_MIN == (int)MT_REDUCE_MIN, "the same numbers");

int manta_group_allreduce(manta_context *c, manta_group *group, const void *src, void *dst, int64_t count, manta_type type, manta_reduce op) {
    int code = reducible(c, count, type, op);
    if (code != MANTA_OK) return code;
    return call(c, group, (mt_team_call){.kind = MT_TEAM_ALLREDUCE, .src = src, .dst = dst, .count = count, .type = (int)type, .op = (int)op});
}

int manta_group_reduce_scatter(manta_context *c, manta_group *group, const void *src, void *dst, int64_t count, manta_type type, manta_reduce op) {
    int code = reducible(c, count, type, op);
    if (code != MANTA_OK) return code;
    return call(c, group, (mt_team_call){.kind = MT_TEAM_REDUCE_SCATTER, .src = src, .dst = dst, .count = count, .type = (int)type, .op = (int)op});
}

int manta_group_broadcast(manta_context *c, manta_group *group, void *data, size_t bytes, int root) {
    if (root < 0 || root >= group->count) return mt_context_fail(c, MANTA_INVALID, "root %d is no member: the group has %d", root, group->count);
    return call(c, group, (mt_team_call){.kind = MT_TEAM_BROADCAST, .dst = data, .count = (int64_t)bytes, .root = root});
}

int manta_group_allgather(manta_context *c, manta_group *group, const void *src, void *dst, size_t bytes) {
    return call(c, group, (mt_team_call){.kind = MT_TEAM_ALLGATHER, .src = src, .dst = dst, .count = (int64_t)bytes});
}

int manta_group_barrier(manta_context *c, manta_group *group) { return call(c, group, (mt_team_call){.kind = MT_TEAM_BARRIER}); }
