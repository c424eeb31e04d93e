// Agreement on failure: what one rank could not do, all ranks learn in its own words, so that all give up alike, nobody
// waits for the dead, and whoever prints (rank 0) has the reason. One small reduction when nothing failed; start-up and
// other rare places.
//
// All ranks return the first failure in rank order. Its message names the rank of the job ("rank 3: ..."), but rank
// 0's, which is the one that prints, and one that names a rank already (agreed among the ranks of a node before).
#ifndef MANTA_ENGINE_COLLECTIVE_AGREE_H
#define MANTA_ENGINE_COLLECTIVE_AGREE_H

#include <mpi.h>
#include <stdint.h>
#include "engine/base/status.h"

typedef struct mt_comm mt_comm;

// Each rank gives its status, with the thread's last error. When the exchange itself fails, a rank's own failure stays
// its own.
mt_status mt_comm_agree(mt_comm *comm, mt_status status);

// Before there is an mt_comm. MPI_COMM_NULL: a rank alone. Outside mt_mpi_lock.
mt_status mt_mpi_agree_status(MPI_Comm comm, mt_status status, int64_t deadline_ns);

#endif
