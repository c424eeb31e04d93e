// Communicators: how ranks are laid out over nodes, and the collectives as programs of stages. The comm's thread only.
// Always holds: a comm of size 1 never touches MPI; `group` is the node's, of size 1 when the rank is alone on its
// node.
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/collective/agree.h"
#include "engine/collective/comm.h"
#include "engine/collective/mpi.h"
#include "engine/collective/mpi_wait.h"

enum { STAGE_BYTES_DEFAULT = 1 << 20, PAGE = 4096 };
#define TIMEOUT_DEFAULT_NS (120 * MT_SECOND_NS)
#define SPIN_DEFAULT_NS    (20 * MT_MICROSECOND_NS) // about what falling asleep and being woken costs

// ---- layout over nodes
// -----------------------------------------------------------------------------------------------

static mt_status node_split(mt_comm *comm, int node_ranks_max) {
    MT_TRY(MT_MPI(MPI_Comm_split_type(comm->all, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &comm->node)));
    MT_TRY(MT_MPI(MPI_Comm_rank(comm->node, &comm->node_rank)));
    int limit = node_ranks_max > 0 ? node_ranks_max : MT_SHM_MEMBERS_MAX;
    MPI_Comm whole = comm->node;
    MT_TRY(MT_MPI(MPI_Comm_split(whole, comm->node_rank / limit, comm->node_rank, &comm->node)));
    MT_TRY(MT_MPI(MPI_Comm_free(&whole)));
    MT_TRY(MT_MPI(MPI_Comm_rank(comm->node, &comm->node_rank)));
    MT_TRY(MT_MPI(MPI_Comm_size(comm->node, &comm->node_size)));
    MT_TRY(MT_MPI(MPI_Comm_split(comm->all, comm->node_rank == 0 ? 0 : MPI_UNDEFINED, comm->rank, &comm->leaders)));
    return MT_OK;
}

// who is where
static mt_status layout_exchange(mt_comm *comm) {
    int two[2] = {0, 0}, pid = (int)getpid();
    if (comm->leaders != MPI_COMM_NULL) {
        MT_TRY(MT_MPI(MPI_Comm_rank(comm->leaders, &two[0])));
        MT_TRY(MT_MPI(MPI_Comm_size(comm->leaders, &two[1])));
    }
    MT_TRY(MT_MPI(MPI_Bcast(two, 2, MPI_INT, 0, comm->node)));
    comm->node_index = two[0];
    comm->node_count = two[1];
    MT_TRY(MT_MPI(MPI_Allgather(&comm->node_index, 1, MPI_INT, comm->node_index_of, 1, MPI_INT, comm->all)));
    MT_TRY(MT_MPI(MPI_Allgather(&comm->node_rank, 1, MPI_INT, comm->node_rank_of, 1, MPI_INT, comm->all)));
    for (int r = 0; r < comm->size; r++)
        if (comm->node_index_of[r] == comm->node_index) comm->node_members[comm->node_rank_of[r]] = r;
    MT_TRY(MT_MPI(MPI_Allgather(&pid, 1, MPI_INT, comm->node_pids, 1, MPI_INT, comm->node)));
    return MT_OK;
}

// more ranks on this node than cores that they may use together
static mt_status node_crowded(const mt_comm *comm, int *crowded) {
    cpu_set_t mine, all;
    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof mine, &mine) != 0)
        for (int c = 0; c < CPU_SETSIZE; c++) CPU_SET(c, &mine);
    MT_TRY(MT_MPI(MPI_Allreduce(&mine, &all, (int)sizeof all, MPI_BYTE, MPI_BOR, comm->node)));
    *crowded = comm->node_size > CPU_COUNT(&all);
    return MT_OK;
}

// the node's shared block, or a private one for a rank that is alone
static mt_status group_open(mt_comm *comm, size_t stage_bytes, int64_t deadline_ns) {
    size_t chunk = (stage_bytes + PAGE * MT_SHM_BUFFERS - 1) / (PAGE * MT_SHM_BUFFERS) * PAGE;
    size_t bytes = mt_shm_block_bytes(comm->node_size, chunk), part = 0;
    if (bytes == 0)
        return MT_FAIL(INVALID_ARGUMENT, "communicator: %zu staging bytes per rank are out of range", stage_bytes);
    if (comm->node_size == 1) {
        comm->private_block = aligned_alloc(PAGE, bytes);
        if (!comm->private_block) return MT_FAIL(NO_MEMORY, "communicator: out of memory (%zu bytes)", bytes);
        memset(comm->private_block, 0, bytes - MT_SHM_BUFFERS * chunk); // the header; staging is never read
        mt_shm_block_format(comm->private_block, 1, chunk);
        return mt_shm_group_attach(&comm->group, comm->private_block, bytes, 0, 1);
    }
    part = (bytes / (size_t)comm->node_size / PAGE + 1) * PAGE;
    MT_TRY(mt_shm_segment_create(&comm->segment, comm->node, part, deadline_ns));
    if (comm->node_rank == 0) mt_shm_block_format(comm->segment.base, comm->node_size, chunk);
    int64_t formatted = 1;
    MT_TRY(mt_mpi_agree(comm->node, &formatted, deadline_ns));
    MT_TRY(
        mt_shm_group_attach(&comm->group, comm->segment.base, comm->segment.bytes, comm->node_rank, comm->node_size));
    if (comm->segment.same_pids) comm->group.pids = comm->node_pids;
    return MT_OK;
}

static mt_status layout_alloc(mt_comm *comm) {
    size_t ranks = (size_t)comm->size;
    comm->node_index_of = calloc(ranks, sizeof(int));
    comm->node_rank_of = calloc(ranks, sizeof(int));
    comm->node_members = calloc(ranks, sizeof(int));
    comm->node_pids = calloc(ranks, sizeof(pid_t));
    if (!comm->node_index_of || !comm->node_rank_of || !comm->node_members || !comm->node_pids)
        return MT_FAIL(NO_MEMORY, "communicator of %d ranks: out of memory", comm->size);
    return MT_OK;
}

static mt_status layout_open(mt_comm *comm, const mt_comm_desc *desc, int64_t deadline_ns) {
    int crowded = 0;
    size_t stage_bytes = desc->stage_bytes ? desc->stage_bytes : STAGE_BYTES_DEFAULT;
    comm->node_size = comm->node_count = 1;
    MT_TRY(layout_alloc(comm));
    if (comm->size > 1) {
        mt_mpi_lock();
        mt_status status = node_split(comm, desc->node_ranks_max);
        if (status == MT_OK) status = layout_exchange(comm);
        if (status == MT_OK) status = node_crowded(comm, &crowded);
        mt_mpi_unlock();
        MT_TRY(status);
    }
    MT_TRY(group_open(comm, stage_bytes, deadline_ns));
    comm->group.crowded = crowded;
    comm->group.spin_ns = desc->spin_ns > 0 ? desc->spin_ns : desc->spin_ns < 0 ? 0 : SPIN_DEFAULT_NS;
    return MT_OK;
}

// takes over `all` (MPI_COMM_NULL: a comm of one)
static mt_status comm_open(MPI_Comm all, int rank, int size, const mt_comm_desc *desc, mt_comm **out) {
    static const mt_comm_desc defaults;
    if (!desc) desc = &defaults;
    mt_comm *comm = calloc(1, sizeof *comm);
    *out = NULL;
    if (!comm) return MT_FAIL(NO_MEMORY, "communicator: out of memory");
    comm->rank = rank;
    comm->size = size;
    comm->all = all;
    comm->node = comm->leaders = MPI_COMM_NULL;
    comm->pending = MPI_REQUEST_NULL;
    comm->timeout_ns = desc->timeout_ns ? desc->timeout_ns : TIMEOUT_DEFAULT_NS;
    int64_t deadline_ns = mt_deadline_after(comm->timeout_ns);
    mt_status status = layout_open(comm, desc, deadline_ns);
    if (size > 1 && status != MT_COMM) status = mt_mpi_agree_status(all, status, deadline_ns);
    if (status == MT_OK)
        *out = comm;
    else
        mt_comm_destroy(comm);
    return status;
}

mt_status mt_comm_world(const mt_comm_desc *desc, mt_comm **out) {
    MPI_Comm all = MPI_COMM_NULL;
    int rank = 0, size = 1;
    *out = NULL;
    if (mt_mpi_active()) {
        mt_mpi_lock();
        mt_status status = MT_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
        if (status == MT_OK) status = MT_MPI(MPI_Comm_size(MPI_COMM_WORLD, &size));
        if (status == MT_OK && size > 1) status = MT_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &all));
        mt_mpi_unlock();
        MT_TRY(status);
    }
    return comm_open(all, rank, size, desc, out);
}

mt_status mt_comm_split(mt_comm *parent, int color, int key, const mt_comm_desc *desc, mt_comm **out) {
    MPI_Comm all = MPI_COMM_NULL;
    int rank = 0, size = 1;
    mt_status status = MT_OK;
    *out = NULL;
    if (parent->broken) return mt_comm_fail_broken(parent);
    if (parent->size > 1) {
        mt_mpi_lock();
        status = MT_MPI(MPI_Comm_split(parent->all, color < 0 ? MPI_UNDEFINED : color, key, &all));
        if (status == MT_OK && color >= 0) status = MT_MPI(MPI_Comm_rank(all, &rank));
        if (status == MT_OK && color >= 0) status = MT_MPI(MPI_Comm_size(all, &size));
        if (status == MT_OK && color >= 0 && size == 1) status = MT_MPI(MPI_Comm_free(&all));
        mt_mpi_unlock();
    }
    if (status != MT_OK || color < 0) return status;
    MT_TRY(comm_open(size == 1 ? MPI_COMM_NULL : all, rank, size, desc, out));
    // its ranks alone may fit on the cores, but those of the parent are there too
    if (parent->group.crowded) (*out)->group.crowded = 1;
    return MT_OK;
}

// Everybody tells the first, and the first tells everybody. Making a communicator blocks inside MPI, with the lock that every MPI
// call of the process needs: it must not begin before all have come, since one of those missing may wait for a message
// that another thread of this process is about to send.
static mt_status meet(mt_comm *parent, const int *ranks, int count, int rank, int tag, int64_t deadline_ns) {
    MPI_Request *requests = malloc(sizeof *requests * (size_t)count);   // after a deadline they stay with MPI
    if (!requests) return MT_FAIL(NO_MEMORY, "out of memory");
    mt_status status = MT_OK;
    for (int step = 0; step < 2 && status == MT_OK; step++) {
        int used = 0, send = (rank == 0) == (step == 1);
        mt_mpi_lock();
        for (int i = rank ? 0 : 1; i < (rank ? 1 : count) && status == MT_OK; i++)
            status = send ? MT_MPI(MPI_Isend(NULL, 0, MPI_BYTE, ranks[i], tag, parent->all, &requests[used++]))
                          : MT_MPI(MPI_Irecv(NULL, 0, MPI_BYTE, ranks[i], tag, parent->all, &requests[used++]));
        mt_mpi_unlock();
        for (int i = 0; i < used && status == MT_OK; i++) status = mt_mpi_wait(&requests[i], deadline_ns);
    }
    if (status == MT_OK) free(requests);
    return status;
}

mt_status mt_comm_group(mt_comm *parent, const int *ranks, int count, int tag, const mt_comm_desc *desc, mt_comm **out) {
    MPI_Comm all = MPI_COMM_NULL;
    int rank = -1;
    mt_status status = MT_OK;
    *out = NULL;
    if (parent->broken) return mt_comm_fail_broken(parent);
    for (int i = 0; i < count; i++)
        if (ranks[i] == parent->rank) rank = i;
    if (rank < 0) return MT_FAIL(INVALID_ARGUMENT, "communicator of a group: rank %d is not among its %d", parent->rank, count);
    if (count > 1) {
        MT_TRY(meet(parent, ranks, count, rank, tag, mt_deadline_after(parent->timeout_ns)));
        MPI_Group world, group = MPI_GROUP_NULL;
        mt_mpi_lock();
        status = MT_MPI(MPI_Comm_group(parent->all, &world));
        if (status == MT_OK) {
            status = MT_MPI(MPI_Group_incl(world, count, ranks, &group));
            if (status == MT_OK) status = MT_MPI(MPI_Comm_create_group(parent->all, group, tag, &all));
            if (group != MPI_GROUP_NULL) MPI_Group_free(&group);
            MPI_Group_free(&world);
        }
        mt_mpi_unlock();
    }
    MT_TRY(status);
    mt_comm_desc same = {.timeout_ns = parent->timeout_ns};
    MT_TRY(comm_open(all, rank, count, desc ? desc : &same, out));
    if (parent->group.crowded) (*out)->group.crowded = 1;
    return MT_OK;
}

mt_status mt_comm_dup(mt_comm *parent, const mt_comm_desc *desc, mt_comm **out) {
    mt_comm_desc same = {.timeout_ns = parent->timeout_ns};
    return mt_comm_split(parent, 0, parent->rank, desc ? desc : &same, out);
}

static void comm_free(MPI_Comm *comm) {
    if (*comm != MPI_COMM_NULL) MPI_Comm_free(comm);
}

void mt_comm_destroy(mt_comm *comm) {
    if (!comm) return;
    // broken: freeing waits for others in some MPIs, and a request that MPI still has may write into scratch
    int lost = comm->broken || comm->pending != MPI_REQUEST_NULL;
    if (!lost && mt_mpi_active()) {
        mt_mpi_lock();
        comm_free(&comm->leaders);
        comm_free(&comm->node);
        comm_free(&comm->all);
        mt_mpi_unlock();
    }
    for (mt_comm_request *r = comm->head, *next; r; r = next) next = r->next, free(r);
    for (mt_comm_request *r = comm->spare, *next; r; r = next) next = r->next, free(r);
    if (!lost) free(comm->scratch);
    mt_shm_segment_destroy(&comm->segment);
    free(comm->private_block);
    free(comm->node_pids);
    free(comm->node_members);
    free(comm->node_rank_of);
    free(comm->node_index_of);
    free(comm);
}

int mt_comm_rank(const mt_comm *comm) { return comm->rank; }
int mt_comm_size(const mt_comm *comm) { return comm->size; }
int mt_comm_node_rank(const mt_comm *comm) { return comm->node_rank; }
int mt_comm_node_size(const mt_comm *comm) { return comm->node_size; }
int mt_comm_node_count(const mt_comm *comm) { return comm->node_count; }
int mt_comm_broken(const mt_comm *comm) { return comm->broken || mt_shm_broken_by(&comm->group) >= 0; }
int64_t mt_comm_timeout_ns(const mt_comm *comm) { return comm->timeout_ns; }

mt_status mt_comm_check_alive(const mt_comm *comm, const char *what) {
    for (int r = 0; r < comm->node_size; r++)
        if (r != comm->node_rank && !mt_shm_member_alive(&comm->group, r))
            return MT_FAIL(COMM, "%s: the process of rank %d of %d has ended; its own output says why", what, comm->node_members[r], comm->size);
    return MT_OK;
}
