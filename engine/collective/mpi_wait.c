// Waiting for MPI requests with a deadline. Any thread, outside mt_mpi_lock.
#include "engine/collective/mpi_wait.h"

#include <sched.h>
#include <stdlib.h>
#include "engine/base/clock.h"
#include "engine/base/futex.h"
#include "engine/collective/mpi.h"

enum { POLLS_SPINNING = 64, POLLS_YIELDING = 256, SLEEP_MIN_NS = 5000, SLEEP_MAX_NS = 200000 };

void mt_mpi_backoff(int *polls) {
    int n = (*polls)++;
    if (n < POLLS_SPINNING)
        mt_cpu_relax();
    else if (n < POLLS_YIELDING)
        sched_yield();
    else {
        int64_t sleep = (int64_t)SLEEP_MIN_NS * (1 + (n - POLLS_YIELDING) / 16);
        mt_sleep_ns(sleep < SLEEP_MAX_NS ? sleep : SLEEP_MAX_NS);
        if (sleep >= SLEEP_MAX_NS) (*polls)--; // does not overflow in a long wait
    }
}

mt_status mt_mpi_wait(MPI_Request *request, int64_t deadline_ns) {
    for (int polls = 0, done = 0;;) {
        mt_mpi_lock();
        mt_status status = MT_MPI(MPI_Test(request, &done, MPI_STATUS_IGNORE));
        mt_mpi_unlock();
        if (status != MT_OK || done) return status;
        if (mt_deadline_passed(deadline_ns)) {
            mt_mpi_mark_broken();
            return MT_FAIL(
                DEADLINE, "a rank did not take part in setting up a communicator in time: is one stopped or lost?");
        }
        mt_mpi_backoff(&polls);
    }
}

mt_status mt_mpi_agree(MPI_Comm comm, int64_t *value, int64_t deadline_ns) {
    int64_t *both = malloc(2 * sizeof *both); // not on the stack: after a deadline MPI may still write there
    MPI_Request request;
    if (!both) return MT_FAIL(NO_MEMORY, "out of memory");
    both[0] = *value;
    mt_mpi_lock();
    mt_status status = MT_MPI(MPI_Iallreduce(&both[0], &both[1], 1, MPI_INT64_T, MPI_MIN, comm, &request));
    mt_mpi_unlock();
    if (status == MT_OK) status = mt_mpi_wait(&request, deadline_ns);
    if (status != MT_OK) return status; // `both` stays with MPI
    *value = both[1];
    free(both);
    return MT_OK;
}
