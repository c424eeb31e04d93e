// Requests: the queue of a comm, and waiting. The comm's thread only. Operations run strictly in the order in which
// they were started; a blocked one blocks those behind it. The first failure breaks the comm for good.
#include <stdio.h>
#include <stdlib.h>
#include "engine/collective/comm.h"
#include "engine/collective/mpi.h"
#include "engine/collective/mpi_wait.h"

mt_status mt_comm_fail_broken(const mt_comm *comm) {
    return MT_FAIL(COMM,
        "this communicator of %d ranks is broken since an earlier deadline or error: save what is needed and "
        "end the job; a relaunch resumes from the last checkpoint",
        comm->size);
}

// goes through the stages as far as possible
static mt_blocked advance(mt_comm_request *request, uint32_t *wait_for) {
    mt_comm *comm = request->comm;
    for (; request->stage < request->stage_count; request->stage++) {
        mt_stage *stage = &request->stages[request->stage];
        if (stage->kind == MT_STAGE_SHM) {
            if (!mt_shm_op_advance(&stage->shm, &comm->group, wait_for)) return MT_BLOCKED_SHM;
        } else {
            mt_blocked blocked = mt_mpi_stage_advance(comm, stage);
            if (blocked != MT_BLOCKED_NOT) return blocked;
        }
    }
    request->done = 1;
    return MT_BLOCKED_NOT;
}

static void pop_head(mt_comm *comm) {
    comm->head = comm->head->next;
    if (!comm->head) comm->tail = NULL;
}

// ---- failure -------------------------------------------------------------------------------------------------------

static void break_comm(mt_comm *comm) {
    if (comm->size > 1) mt_mpi_mark_broken();
    if (!comm->broken) mt_shm_break(&comm->group);
    comm->broken = 1;
}

// "2, 3 (process gone)": members of this node that have not reached the count
static void missing(const mt_comm *comm, uint32_t count, char *text, size_t bytes) {
    int n = 0;
    size_t used = 0;
    for (int r = 0; r < comm->node_size; r++) {
        if ((int32_t)(mt_shm_count_of(&comm->group, r) - count) >= 0) continue;
        if (used + 64 < bytes)
            used += (size_t)snprintf(text + used, bytes - used, "%s%d%s", n ? ", " : "", comm->node_members[r],
                mt_shm_member_alive(&comm->group, r) ? "" : " (process gone)");
        n++;
    }
    if (n == 0) snprintf(text, bytes, "(of another node)");
}

static mt_status fail_shm(mt_comm_request *request, mt_shm_wait_result result, uint32_t count) {
    mt_comm *comm = request->comm;
    char ranks[512];
    missing(comm, count, ranks, sizeof ranks);
    int by = mt_shm_broken_by(&comm->group);
    break_comm(comm);
    if (result == MT_SHM_DEAD)
        return MT_FAIL(COMM, "%s: missing rank %s of %d: a process of this node has ended; its own output says why",
            request->name, ranks, comm->size);
    if (result == MT_SHM_BROKEN && by >= 0 && by < comm->node_size &&
        (int32_t)(mt_shm_count_of(&comm->group, by) - count) < 0 && comm->node_count > 1)
        return MT_FAIL(DEADLINE, "%s: rank %d gave up waiting for other nodes. Is a node down or the network cut?",
            request->name, comm->node_members[by]);
    if (result == MT_SHM_BROKEN && by >= 0 && by < comm->node_size)
        return MT_FAIL(DEADLINE,
            "%s: rank %d gave up waiting; missing: rank %s of %d. Is it stopped, swapping or lost?", request->name,
            comm->node_members[by], ranks, comm->size);
    return MT_FAIL(DEADLINE, "%s: deadline passed; missing: rank %s of %d. Is it stopped, swapping or lost?%s",
        request->name, ranks, comm->size, comm->node_count > 1 ? " (or its node's leader waits for another node)" : "");
}

static mt_status fail_mpi(mt_comm_request *request) {
    mt_comm *comm = request->comm;
    break_comm(comm);
    return MT_FAIL(DEADLINE,
        "%s: deadline passed while waiting for other nodes (%d of %d ranks are elsewhere; MPI does not "
        "say which are missing). Is a node down or the network cut?",
        request->name, comm->size - comm->node_size, comm->size);
}

// ---- waiting -------------------------------------------------------------------------------------------------------

// Runs the queue, then `own` (Nullable: not queued, after all others), until the target is done. *deadline_ns 0: to be
// set from the comm's timeout when the first real wait comes, which spares the fast path a look at the clock.
static mt_status drive(mt_comm *comm, mt_comm_request *own, mt_comm_request *target, int64_t deadline_ns) {
    int polls = 0;
    while (!target->done) {
        mt_comm_request *running = comm->head ? comm->head : own;
        uint32_t count = 0;
        mt_blocked blocked = advance(running, &count);
        if (blocked == MT_BLOCKED_NOT) {
            if (running != own) pop_head(comm);
            polls = 0;
            continue;
        }
        if (blocked == MT_BLOCKED_ERROR) {
            break_comm(comm);
            return MT_COMM;
        }
        if (deadline_ns == 0) deadline_ns = mt_deadline_after(comm->timeout_ns);
        if (blocked == MT_BLOCKED_SHM) {
            mt_shm_wait_result result = mt_shm_wait(&comm->group, count, deadline_ns);
            if (result != MT_SHM_REACHED) return fail_shm(running, result, count);
        } else {
            if (mt_shm_broken_by(&comm->group) >= 0) return fail_shm(running, MT_SHM_BROKEN, comm->group.count);
            if (mt_deadline_passed(deadline_ns)) return fail_mpi(running);
            mt_mpi_backoff(&polls);
        }
    }
    return MT_OK;
}

mt_status mt_comm_run(mt_comm_request *request) {
    mt_comm *comm = request->comm;
    if (comm->broken) return mt_comm_fail_broken(comm);
    return drive(comm, request, request, 0);
}

mt_status mt_comm_launch(const mt_comm_request *from, mt_comm_request **out) {
    mt_comm *comm = from->comm;
    uint32_t count;
    *out = NULL;
    if (comm->broken) return mt_comm_fail_broken(comm);
    mt_comm_request *request = comm->spare;
    if (request)
        comm->spare = request->next;
    else
        request = malloc(sizeof *request);
    if (!request) return MT_FAIL(NO_MEMORY, "out of memory for a request of %zu bytes", sizeof *request);
    *request = *from;
    request->on_heap = 1;
    request->next = NULL;
    if (comm->tail)
        comm->tail->next = request;
    else
        comm->head = request;
    comm->tail = request;
    // publish what can be published, so that the others do not wait for our first test
    while (comm->head) {
        mt_blocked blocked = advance(comm->head, &count);
        if (blocked == MT_BLOCKED_ERROR) break_comm(comm);
        if (blocked != MT_BLOCKED_NOT) break;
        pop_head(comm);
    }
    *out = request;
    return MT_OK;
}

// the caller lets go of it
static void release(mt_comm_request **handle) {
    mt_comm_request *request = *handle, **link = &request->comm->head, *before = NULL;
    mt_comm *comm = request->comm;
    for (; *link && *link != request; link = &(*link)->next) before = *link;
    if (*link) {
        *link = request->next;
        if (comm->tail == request) comm->tail = before;
    }
    request->next = comm->spare;
    comm->spare = request;
    *handle = NULL;
}

mt_status mt_comm_request_test(mt_comm_request **handle, int *done) {
    mt_comm_request *request = *handle;
    mt_comm *comm = request->comm;
    mt_status status = MT_OK;
    uint32_t count;
    *done = 0;
    while (!request->done && !comm->broken) {
        mt_blocked blocked = advance(comm->head, &count);
        if (blocked == MT_BLOCKED_NOT)
            pop_head(comm);
        else if (blocked == MT_BLOCKED_ERROR) {
            status = MT_COMM;
            break_comm(comm);
        } else if (mt_shm_broken_by(&comm->group) >= 0)
            status = fail_shm(comm->head, MT_SHM_BROKEN, blocked == MT_BLOCKED_SHM ? count : comm->group.count);
        else
            return MT_OK;
    }
    if (request->done)
        *done = 1;
    else if (status == MT_OK)
        status = mt_comm_fail_broken(comm);
    release(handle);
    return status;
}

mt_status mt_comm_request_wait(mt_comm_request **handle, int64_t deadline_ns) {
    mt_comm_request *request = *handle;
    mt_comm *comm = request->comm;
    mt_status status = MT_OK;
    if (!request->done)
        status =
            comm->broken ? mt_comm_fail_broken(comm) : drive(comm, NULL, request, deadline_ns > 0 ? deadline_ns : 1);
    release(handle);
    return status;
}
