// The runtime in a job: what this rank has, transport, heap and node, from the world's communicator to the end. For programs that
// embed the runtime (apps/) as well as for manta_main.
//
//     mt_comm_world(...);
//     mt_job_start(world, &options, &program, &job);            // every rank, together
//     mt_job_rank(job) == 0 ? mt_job_run_driver(job, &code) : mt_job_serve(job);
//     mt_job_stop(job);                                         // every rank, together
#ifndef MANTA_ENGINE_RUNTIME_JOB_H
#define MANTA_ENGINE_RUNTIME_JOB_H

#include "engine/base/file.h"
#include "engine/base/option.h"
#include "engine/base/status.h"
#include "engine/runtime/manta_runtime.h"

typedef struct mt_job mt_job;
typedef struct mt_comm mt_comm;

// Plain data. The table of options (mt_job_option_table) sets every field; zeroed and given to mt_options_init.
typedef struct mt_job_options {
    char resources[512];              // "cpu=4,gpu=1,tpu=2" over what is found
    char object_memory[32];           // "2G"; "": 30 % of this rank's memory
    char spill_folder[MT_PATH_BYTES]; // "": the system's temporary one
    bool spill;
    double timeout;                   // seconds, of waits that name none
    double end_timeout;               // seconds that bodies have at the job's end
    char timeline[MT_PATH_BYTES];     // "": none
    char metrics_file[MT_PATH_BYTES]; // "": none
    bool status;                      // rank 0 listens for manta status
} mt_job_options;

const mt_option *mt_job_option_table(size_t *count);

// Collective over world (borrowed). When one rank cannot start, none does, and each says why. argv: what manta_program_args gives.
mt_status mt_job_start(mt_comm *world, const mt_job_options *options, const manta_program *program, int argc, char **argv, mt_job **out);
int mt_job_rank(const mt_job *job);
int mt_job_size(const mt_job *job);

// Rank 0: runs the program's driver in this thread, then tells the others that the job ends. *code: the driver's manta_code, with
// its message as the thread's last error (mt_last_error) when it is not MANTA_OK.
mt_status mt_job_run_driver(mt_job *job, int *code);
// The others: until the job ends. MT_COMM: this rank is out of it.
mt_status mt_job_serve(mt_job *job);

// Collective: bodies end, actors are destroyed, the timeline is written. When it fails, ranks or threads are missing and the process
// should end with mt_mpi_abort; job is gone in either case.
mt_status mt_job_stop(mt_job *job);   // Nullable

#endif
