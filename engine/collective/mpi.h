// MPI at its edge: starting, stopping, aborting, and vendor codes turned into mt_status. Include it only in engine/.
//
// Without mpirun (no launcher variable in the environment) MPI is not initialised at all: the process is rank 0 of 1
// and starts at once. MPI is asked for MPI_THREAD_SERIALIZED: any thread may call it, one at a time, so every call
// outside start-up is made under mt_mpi_lock().
#ifndef MANTA_ENGINE_COLLECTIVE_MPI_H
#define MANTA_ENGINE_COLLECTIVE_MPI_H

#include "engine/base/status.h"

mt_status mt_mpi_init(int *argc, char ***argv); // Nullable: both. A second call is MT_OK.
mt_status mt_mpi_finalize(void);                // MT_COMM, without waiting, when a comm is broken: abort instead
_Noreturn void mt_mpi_abort(int exit_code);     // ends every rank of the job; without MPI: _exit

int mt_mpi_active(void);   // MPI is initialised (by mt_mpi_init or by the host program) and not finalised
int mt_mpi_launched(void); // a launcher started this process: its environment has the launcher's variables
int mt_mpi_rank(void);     // in the world; 0 without MPI
int mt_mpi_size(void);     // 1 without MPI

void mt_mpi_lock(void); // not recursive; hold it for one call, never while waiting
void mt_mpi_unlock(void);

void mt_mpi_mark_broken(void); // ranks are missing: finalize must not wait for them

// Turns an MPI return code into MT_COMM with the call's name and MPI's own text (MT_OK for success).
mt_status mt_mpi_check(int code, const char *call, const char *file, int line);

#define MT_MPI(call) mt_mpi_check((call), #call, __FILE__, __LINE__)

#endif
