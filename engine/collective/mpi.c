// MPI at its edge. mt_mpi_init and mt_mpi_finalize are called by the main thread; the rest by any thread.
// Always holds: the world's error handler is MPI_ERRORS_RETURN, so that no MPI error ends the process by itself.
#include "engine/collective/mpi.h"

#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t mpi_mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_int mpi_ours, mpi_broken, world_rank, world_size = 1;

mt_status mt_mpi_check(int code, const char *call, const char *file, int line) {
    if (code == MPI_SUCCESS) return MT_OK;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) text[0] = 0;
    int name = (int)strcspn(call, "(");
    return mt_fail(MT_COMM, file, line,
        "%.*s: %s (code %d): the job's other ranks or the network are in trouble; see what mpirun says", name, call,
        text[0] ? text : "unknown MPI error", code);
}

int mt_mpi_launched(void) {
    static const char *const variables[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_FD", "PMI2_RANK"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (getenv(variables[i])) return 1;
    return 0;
}

int mt_mpi_active(void) {
    int initialized = 0, finalized = 0;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    return initialized && !finalized;
}

static mt_status world_open(void) {
    int rank, size;
    MT_TRY(MT_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN)));
    MT_TRY(MT_MPI(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN)));
    MT_TRY(MT_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank)));
    MT_TRY(MT_MPI(MPI_Comm_size(MPI_COMM_WORLD, &size)));
    world_rank = rank;
    world_size = size;
    return MT_OK;
}

#if defined(__SANITIZE_ADDRESS__)
// Asked by LeakSanitizer as the process ends. Open MPI unloads components and keeps what they allocated, and nobody can tell
// any more whose it was; so ranks are not checked for leaks, and processes that run without MPI are.
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return mt_mpi_launched(); }
#endif

// A job on one node needs no network: its ranks meet in manta's shared memory and MPI's. Open MPI probes every network driver
// it was built with all the same, half of a short run's start. The user's own setting, if any, stands.
static void skip_network_probes(void) {
    const char *here = getenv("OMPI_COMM_WORLD_LOCAL_SIZE"), *all = getenv("OMPI_COMM_WORLD_SIZE");
    if (!here || !all || strcmp(here, all) != 0) return;
    setenv("OMPI_MCA_pml", "ob1", 0);
    setenv("OMPI_MCA_btl", "self,vader", 0);
}

mt_status mt_mpi_init(int *argc, char ***argv) {
    int finalized = 0, provided = MPI_THREAD_SINGLE;
    if (mt_mpi_active()) return world_open();
    MPI_Finalized(&finalized);
    if (finalized) return MT_FAIL(COMM, "MPI was finalised already and cannot start again in the same process");
    if (!mt_mpi_launched()) return MT_OK;
    skip_network_probes();
    MT_TRY(MT_MPI(MPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, &provided)));
    mpi_ours = 1;
    if (provided < MPI_THREAD_SERIALIZED)
        return MT_FAIL(UNSUPPORTED, "this MPI allows calls from one thread only; manta needs MPI_THREAD_SERIALIZED "
                                    "(Debian's Open MPI has it)");
    return world_open();
}

mt_status mt_mpi_finalize(void) {
    if (!mpi_ours || !mt_mpi_active()) return MT_OK;
    if (mpi_broken)
        return MT_FAIL(COMM, "ranks of this job are missing: MPI cannot be shut down in order, abort the job");
    mpi_ours = 0;
    return MT_MPI(MPI_Finalize());
}

_Noreturn void mt_mpi_abort(int exit_code) {
    if (mt_mpi_active()) MPI_Abort(MPI_COMM_WORLD, exit_code);
    _exit(exit_code);
}

int mt_mpi_rank(void) { return world_rank; }
int mt_mpi_size(void) { return world_size; }
void mt_mpi_lock(void) { pthread_mutex_lock(&mpi_mutex); }
void mt_mpi_unlock(void) { pthread_mutex_unlock(&mpi_mutex); }
void mt_mpi_mark_broken(void) { mpi_broken = 1; }
