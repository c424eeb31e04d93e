// Agreement on failure; agree.h says what is promised. The thread that owns the communicator.
#include "engine/collective/agree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/collective/collective.h"
#include "engine/collective/mpi.h"
#include "engine/collective/mpi_wait.h"

#define NOBODY INT64_MAX

typedef struct verdict {
    int32_t status;
    char message[1000];
} verdict;

static void verdict_of(verdict *v, mt_status status) {
    int rank = mt_mpi_rank();
    memset(v, 0, sizeof *v);
    v->status = (int32_t)status;
    if (status == MT_OK) return;
    if (rank == 0 || strncmp(mt_last_error(), "rank ", 5) == 0)
        snprintf(v->message, sizeof v->message, "%.999s", mt_last_error());
    else snprintf(v->message, sizeof v->message, "rank %d: %.980s", rank, mt_last_error());
}

static mt_status told(const verdict *v) {
    return mt_fail((mt_status)v->status, __FILE__, __LINE__, "%.999s", v->message);
}

mt_status mt_comm_agree(mt_comm *comm, mt_status status) {
    int64_t first = status == MT_OK ? NOBODY : mt_comm_rank(comm);
    verdict v;
    verdict_of(&v, status);
    if (mt_comm_size(comm) == 1) return status;
    mt_status exchanged = mt_comm_allreduce(comm, &first, &first, 1, MT_I64, MT_REDUCE_MIN, 0);
    if (exchanged == MT_OK && first == NOBODY) return MT_OK;
    if (exchanged == MT_OK) exchanged = mt_comm_broadcast(comm, &v, sizeof v, (int)first);
    return exchanged == MT_OK || status != MT_OK ? told(&v) : exchanged;
}

mt_status mt_mpi_agree_status(MPI_Comm comm, mt_status status, int64_t deadline_ns) {
    int rank;
    if (comm == MPI_COMM_NULL) return status;
    verdict *v = malloc(sizeof *v);   // not on the stack: after a deadline MPI may still write there
    if (!v) return MT_FAIL(NO_MEMORY, "out of memory");
    verdict_of(v, status);
    mt_mpi_lock();
    mt_status exchanged = MT_MPI(MPI_Comm_rank(comm, &rank));
    mt_mpi_unlock();
    int64_t first = status == MT_OK ? NOBODY : rank;
    if (exchanged == MT_OK) exchanged = mt_mpi_agree(comm, &first, deadline_ns);
    if (exchanged == MT_OK && first != NOBODY) {
        MPI_Request request;
        mt_mpi_lock();
        exchanged = MT_MPI(MPI_Ibcast(v, sizeof *v, MPI_BYTE, (int)first, comm, &request));
        mt_mpi_unlock();
        if (exchanged == MT_OK) exchanged = mt_mpi_wait(&request, deadline_ns);
        if (exchanged != MT_OK) return status != MT_OK ? status : exchanged;   // *v stays with MPI
    }
    if (exchanged != MT_OK) status = status != MT_OK ? told(v) : exchanged;
    else if (first != NOBODY) status = told(v);
    free(v);
    return status;
}
