// The work of NCCL's operations: see nccl_work.h, and nccl_hall.h for the protocol.
//
// Sums are made by every rank for itself, in the order of ranks: all have the same bits, as NCCL's rings give them.
#include "tests/cuda_host/nccl_work.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "tests/cuda_host/memory.h"
#include "tests/cuda_host/report.h"
#include "tests/cuda_host/vendor.h"

typedef struct group {
    mt_host_operation operation;
    mt_host_comm *comm; // a reference
    int count, captured;
    mt_host_transfer transfers[];
} group;

typedef struct progress { // of one transfer
    size_t bytes;         // done
    int put, done;        // put: this rank's part is in the hall
} progress;

static const char *const names[] = {"ncclAllReduce", "ncclBroadcast", "ncclSend", "ncclRecv"};

void mt_host_comm_release(mt_host_comm *c) {
    if (--c->references) return;
    mt_host_hall_leave(c->hall);
    mt_host_work_release(c->last);
    free(c);
}

int mt_host_comm_idle(const mt_host_comm *c) { return !c->prepared && (!c->last || c->last->done); }

static size_t all_bytes(const mt_host_transfer *t) { return t->count * t->element; }

// ---- collectives, part by part

static int all_have(const mt_host_comm *c, size_t offset, uint64_t part) {
    for (int r = 0; r < c->size; r++)
        if (atomic_load_explicit((const _Atomic uint64_t *)((const char *)&c->hall->seats[r] + offset), memory_order_acquire) <
            part)
            return 0;
    return 1;
}

// NCCL's guide, "Using NCCL with CUDA Graphs": capture must be uniform over all ranks that take part
static void check_meeting(const mt_host_comm *c, const mt_host_transfer *t, int captured) {
    for (int r = 0; r < c->size; r++) {
        const mt_host_meeting *m = &c->hall->seats[r].meeting;
        if (m->captured != captured)
            mt_host_fatal("%s: rank %d launches it in a graph and rank %d does not; all do or none", names[t->what], captured ? c->rank : r,
                captured ? r : c->rank);
        if (m->what == (int)t->what && m->type == (int)t->type && m->op == (int)t->op && m->root == t->peer &&
            m->count == t->count)
            continue;
        mt_host_fatal(
            "rank %d calls %s of %zu elements (type %d, operation %d, root %d), rank %d %s of %llu (%d, %d, %d): they have to "
            "be the same",
            c->rank, names[t->what], t->count, (int)t->type, (int)t->op, t->peer, r, names[m->what],
            (unsigned long long)m->count, m->type, m->op, m->root);
    }
}

#define MT_HOST_REDUCE(type)                                                                                                   \
    static void reduce_##type(type *to, const type *x, size_t count, ncclRedOp_t op) {                                         \
        for (size_t i = 0; i < count; i++)                                                                                     \
            to[i] = op == ncclSum   ? to[i] + x[i]                                                                             \
                    : op == ncclMax ? (x[i] > to[i] ? x[i] : to[i])                                                            \
                                    : (x[i] < to[i] ? x[i] : to[i]);                                                           \
    }
MT_HOST_REDUCE(float)
MT_HOST_REDUCE(double)
MT_HOST_REDUCE(int64_t)

static void reduce_part(const mt_host_comm *c, const mt_host_transfer *t, char *to, size_t bytes) {
    memcpy(to, c->hall->parts[0], bytes);
    for (int r = 1; r < c->size; r++) {
        const void *x = c->hall->parts[r];
        if (t->type == ncclFloat32)
            reduce_float((float *)(void *)to, x, bytes / 4, t->op);
        else if (t->type == ncclFloat64)
            reduce_double((double *)(void *)to, x, bytes / 8, t->op);
        else if (t->type == ncclInt64)
            reduce_int64_t((int64_t *)(void *)to, x, bytes / 8, t->op);
        else
            mt_host_fatal("ncclAllReduce: tests/cuda_host does not know type %d", (int)t->type);
    }
}

// ours into the hall, then, when all are there, theirs out of it
static mt_host_step collective(mt_host_comm *c, const mt_host_transfer *t, int captured, progress *p) {
    size_t left = all_bytes(t) - p->bytes, bytes = left < MT_HOST_PART_BYTES ? left : MT_HOST_PART_BYTES;
    uint64_t part = c->parts + 1;
    mt_host_seat *seat = &c->hall->seats[c->rank];
    if (!p->put) {
        if (!all_have(c, offsetof(mt_host_seat, taken), part - 1)) return MT_HOST_BLOCKED;
        seat->meeting = (mt_host_meeting){(int)t->what, (int)t->type, (int)t->op, t->peer, captured, t->count};
        if (t->what == MT_HOST_ALLREDUCE || t->peer == c->rank)
            memcpy(c->hall->parts[c->rank], (const char *)t->from + p->bytes, bytes);
        atomic_store_explicit(&seat->put, part, memory_order_release);
        p->put = 1;
    }
    if (!all_have(c, offsetof(mt_host_seat, put), part)) return MT_HOST_BLOCKED;
    check_meeting(c, t, captured);
    if (t->what == MT_HOST_ALLREDUCE)
        reduce_part(c, t, (char *)t->to + p->bytes, bytes);
    else
        memcpy((char *)t->to + p->bytes, c->hall->parts[t->peer], bytes);
    c->parts = part;
    atomic_store_explicit(&seat->taken, part, memory_order_release);
    p->put = 0;
    p->bytes += bytes;
    p->done = p->bytes == all_bytes(t);
    return p->done ? MT_HOST_DONE : MT_HOST_AGAIN;
}

// ---- messages

static mt_host_step send(mt_host_comm *c, const mt_host_transfer *t, progress *p) {
    mt_host_box *box = &c->hall->boxes[c->rank][t->peer];
    size_t left = all_bytes(t) - p->bytes, bytes = left < MT_HOST_BOX_BYTES ? left : MT_HOST_BOX_BYTES;
    uint64_t part = c->sent[t->peer] + 1;
    if (atomic_load_explicit(&box->taken, memory_order_acquire) < part - 1) return MT_HOST_BLOCKED;
    if (left) {
        box->bytes = all_bytes(t);
        memcpy(box->data, (const char *)t->from + p->bytes, bytes);
        atomic_store_explicit(&box->put, part, memory_order_release);
        c->sent[t->peer] = part;
        p->bytes += bytes;
        return MT_HOST_AGAIN;
    }
    p->done = 1; // and taken: a sender ends with its receiver
    return MT_HOST_DONE;
}

static mt_host_step receive(mt_host_comm *c, const mt_host_transfer *t, progress *p) {
    mt_host_box *box = &c->hall->boxes[t->peer][c->rank];
    size_t left = all_bytes(t) - p->bytes, bytes = left < MT_HOST_BOX_BYTES ? left : MT_HOST_BOX_BYTES;
    uint64_t part = c->received[t->peer] + 1;
    if (left) {
        if (atomic_load_explicit(&box->put, memory_order_acquire) < part) return MT_HOST_BLOCKED;
        if (box->bytes != all_bytes(t))
            mt_host_fatal("rank %d receives %zu bytes from rank %d, which sends %llu", c->rank, all_bytes(t), t->peer,
                (unsigned long long)box->bytes);
        memcpy((char *)t->to + p->bytes, box->data, bytes);
        atomic_store_explicit(&box->taken, part, memory_order_release);
        c->received[t->peer] = part;
        p->bytes += bytes;
    }
    p->done = p->bytes == all_bytes(t);
    return p->done ? MT_HOST_DONE : MT_HOST_AGAIN;
}

// ---- a group of transfers

static void check_arrays(const mt_host_transfer *t) {
    if (t->what != MT_HOST_RECEIVE && t->from)
        mt_host_vendor_array(names[t->what], "what is sent", t->from, all_bytes(t), t->element);
    if (t->what != MT_HOST_SEND) mt_host_vendor_array(names[t->what], "what is received", t->to, all_bytes(t), t->element);
    if (t->from && t->to && t->from != t->to)
        mt_host_vendor_apart(names[t->what], "what is sent and received", t->from, all_bytes(t), t->to, all_bytes(t));
}

static void give_up(const group *g) {
    for (int i = 0; i < g->count; i++)
        if (g->transfers[i].what != MT_HOST_SEND) mt_host_memory_poison(g->transfers[i].to, all_bytes(&g->transfers[i]));
}

// May this one go on? Collectives go one after the other, and so do the messages of a direction between two ranks.
static int turn(const group *g, const progress *p, int i) {
    const mt_host_transfer *t = &g->transfers[i];
    int apart = t->what == MT_HOST_SEND || t->what == MT_HOST_RECEIVE;
    for (int j = 0; j < i; j++) {
        const mt_host_transfer *u = &g->transfers[j];
        int both = apart ? u->what == t->what && u->peer == t->peer : u->what != MT_HOST_SEND && u->what != MT_HOST_RECEIVE;
        if (both && !p[j].done) return 0;
    }
    return !p[i].done;
}

static mt_host_step one_step(const group *g, const mt_host_transfer *t, progress *p) {
    mt_host_comm *c = g->comm;
    if (t->what == MT_HOST_SEND) return send(c, t, p);
    return t->what == MT_HOST_RECEIVE ? receive(c, t, p) : collective(c, t, g->captured, p);
}

static mt_host_step group_run(mt_host_operation *o, void **state) {
    const group *g = (group *)o;
    mt_host_step how = MT_HOST_BLOCKED;
    int left = 0;
    if (!*state) {
        if (!g->comm->aborted && g->comm->kind == 0)
            mt_host_fatal("%s on a communicator that was destroyed", names[g->transfers[0].what]);
        for (int i = 0; i < g->count; i++) check_arrays(&g->transfers[i]);
        *state = mt_host_scratch_memory(sizeof(progress) * (size_t)g->count);
    }
    progress *p = *state;
    if (g->comm->aborted) give_up(g);
    for (int i = 0; i < g->count && !g->comm->aborted; i++) {
        if (turn(g, p, i)) {
            mt_host_step one = one_step(g, &g->transfers[i], &p[i]);
            if (one != MT_HOST_BLOCKED) how = MT_HOST_AGAIN;
        }
        left += !p[i].done;
    }
    if (left && !g->comm->aborted) return how;
    free(p);
    *state = NULL;
    return MT_HOST_DONE;
}

static void group_fini(mt_host_operation *o) { mt_host_comm_release(((group *)o)->comm); }

void mt_host_comm_prepare(mt_host_comm *c, mt_host_stream *s, const mt_host_transfer *transfers, int count) {
    group *g = (group *)mt_host_operation_create(
        sizeof *g + (size_t)count * sizeof *transfers, names[transfers[0].what], s->device, group_run, group_fini);
    g->operation.meets = 1;
    g->comm = c;
    c->references++;
    g->count = count;
    memcpy(g->transfers, transfers, (size_t)count * sizeof *transfers);
    c->prepared = &g->operation;
    c->prepared_stream = s;
}

cudaError_t mt_host_comm_submit(mt_host_comm *c) {
    mt_host_operation *o = c->prepared;
    mt_host_work *w;
    if (!o) return cudaSuccess;
    c->prepared = NULL;
    ((group *)o)->captured = c->prepared_stream->capture != NULL;
    cudaError_t code = mt_host_submit(c->prepared_stream, o, &c->last, c->last != NULL, &w);
    if (code != cudaSuccess || !w) return code; // captured
    mt_host_work_release(c->last);
    c->last = w;
    return cudaSuccess;
}

void mt_host_comm_drop(mt_host_comm *c) {
    mt_host_operation *o = c->prepared;
    c->prepared = NULL;
    mt_host_operation_release(o);
}
