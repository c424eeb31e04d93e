// Waiting for MPI requests with a deadline: MPI has no such wait, so the request is polled, soon with sleeps in
// between.
#ifndef MANTA_ENGINE_COLLECTIVE_MPI_WAIT_H
#define MANTA_ENGINE_COLLECTIVE_MPI_WAIT_H

#include <mpi.h>
#include <stdint.h>
#include "engine/base/status.h"

// A pause between two polls that grows with the number of polls so far: spin, yield, sleep up to 200 us.
void mt_mpi_backoff(int *polls);

// MT_DEADLINE leaves the request with MPI: its buffers must stay in place until the process ends.
mt_status mt_mpi_wait(MPI_Request *request, int64_t deadline_ns);

// *value becomes the smallest over the communicator. The buffers are the function's own.
mt_status mt_mpi_agree(MPI_Comm comm, int64_t *value, int64_t deadline_ns);

#endif
