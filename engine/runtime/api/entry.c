// manta_main: a whole program in one call. It stands in for the user's main and is the one place of the engine that prints.
//
// Exit status: 0; the driver's failure as mt_status_exit_code says it; 2 for a bad command line.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/status.h"
#include "engine/collective/collective.h"
#include "engine/collective/mpi.h"
#include "engine/runtime/job.h"

// How many words from argv[1] on are the runtime's own: flags of its table and their values, up to the first that is none. "--"
// ends them and is dropped (*skip).
static int own_arguments(const mt_options *options, int argc, char **argv, int *skip) {
    int i = 1;
    *skip = 0;
    while (i < argc && strncmp(argv[i], "--", 2) == 0) {
        char name[64];
        const char *flag = argv[i] + 2;
        size_t length = strcspn(flag, "=");
        if (length == 0 && !*flag) {
            *skip = 1;
            break;
        }
        if (length >= sizeof name) break;
        memcpy(name, flag, length);
        name[length] = '\0';
        for (char *at = name; *at; at++)
            if (*at == '-') *at = '_';
        int no = strncmp(name, "no_", 3) == 0;
        const mt_option *option = mt_options_find(options, no ? name + 3 : name);
        if (!option) break;
        int needs_value = option->type != MT_OPT_BOOL && flag[length] != '=';
        if (needs_value && i + 1 >= argc) {
            i++;   // the option table says what is missing
            break;
        }
        i += 1 + needs_value;
    }
    return i - 1;
}

static mt_status options_read(mt_job_options *out, int argc, char **argv, int *used) {
    mt_options options;
    mt_option_section section = {.object = out};
    const char *positionals[1];
    size_t positional_count;
    int skip;
    section.table = mt_job_option_table(&section.count);
    MT_TRY(mt_options_init(&options, &section, 1));
    int own = own_arguments(&options, argc, argv, &skip);
    mt_status status = mt_options_parse_args(&options, own + 1, argv, positionals, 0, &positional_count);
    mt_options_fini(&options);
    *used = own + skip;
    return status;
}

// *started: the ranks have agreed that the job is up; from then on each may fail alone.
static mt_status run(int argc, char **argv, const manta_program *program, int *driver_code, int *started) {
    static mt_job_options options;   // large: paths
    int used = 0;
    mt_comm *world = NULL;
    mt_job *job = NULL;
    MT_TRY(mt_mpi_init(&argc, &argv));
    MT_TRY(options_read(&options, argc, argv, &used));
    MT_TRY(mt_comm_world(NULL, &world));
    mt_status status = mt_job_start(world, &options, program, argc - used - 1, argv + used + 1, &job);
    *started = status == MT_OK;
    if (status == MT_OK) status = mt_job_rank(job) == 0 ? mt_job_run_driver(job, driver_code) : mt_job_serve(job);
    if (status == MT_OK && *driver_code != MANTA_OK)
        fprintf(stderr, "%s: %s\n", manta_code_name(*driver_code), mt_last_error());
    if (status == MT_OK) status = mt_job_stop(job);
    if (status == MT_OK) mt_comm_destroy(world);
    return status;
}

static int exit_code_of(int code) {
    switch (code) {
    case MANTA_OK: return 0;
    case MANTA_INFEASIBLE:
    case MANTA_INVALID: return mt_status_exit_code(MT_INVALID_ARGUMENT);
    case MANTA_NOT_FOUND: return mt_status_exit_code(MT_NOT_FOUND);
    case MANTA_EXISTS: return mt_status_exit_code(MT_EXISTS);
    case MANTA_DEADLINE: return mt_status_exit_code(MT_DEADLINE);
    case MANTA_NO_MEMORY: return mt_status_exit_code(MT_NO_MEMORY);
    case MANTA_IO: return mt_status_exit_code(MT_IO);
    case MANTA_COMM:
    case MANTA_ACTOR_DIED:
    case MANTA_OBJECT_LOST: return mt_status_exit_code(MT_COMM);
    default: return 1;
    }
}

int manta_main(int argc, char **argv, const manta_program *program) {
    int code = MANTA_OK, started = 0;
    mt_status status = run(argc, argv, program, &code, &started);
    int exit_code = code != MANTA_OK || status == MT_OK ? exit_code_of(code) : mt_status_exit_code(status);
    if (status != MT_OK) {
        // how the start failed all ranks know alike; later each may have its own reason
        const char *reason = mt_last_error();
        if (started && strncmp(reason, "rank ", 5) != 0) fprintf(stderr, "manta: rank %d: %s\n", mt_mpi_rank(), reason);
        else if (started || mt_mpi_rank() == 0 || status == MT_DEADLINE) fprintf(stderr, "manta: %s\n", reason);
        fflush(NULL);
        mt_mpi_abort(exit_code);
    }
    fflush(NULL);
    if (mt_mpi_active() && mt_mpi_finalize() != MT_OK) mt_mpi_abort(exit_code ? exit_code : 1);
    return exit_code;
}
