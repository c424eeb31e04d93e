// The program: finds the subcommand, starts MPI where it is needed, prints what failed.
#include "apps/app.h"

#include "engine/collective/mpi.h"

#include <stdio.h>
#include <string.h>

static mt_status run(int argc, char **argv) {
    const mt_app *app = &mt_app_help;
    if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) app = &mt_app_version;
    else if (argc > 1 && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0) MT_TRY(mt_app_find(argv[1], &app));
    if (app->uses_mpi) MT_TRY(mt_mpi_init(&argc, &argv));
    return argc > 1 ? app->run(argc - 1, argv + 1) : app->run(argc, argv);
}

int main(int argc, char **argv) {
    mt_status status = run(argc, argv);
    int code = mt_status_exit_code(status);
    // a deadline is told by whoever waited: rank 0 may be the one that the others missed
    if (status != MT_OK && mt_mpi_rank() == 0) fprintf(stderr, "manta: %s\n", mt_last_error());
    else if (status == MT_DEADLINE) fprintf(stderr, "manta: rank %d: %s\n", mt_mpi_rank(), mt_last_error());
    // ranks that still wait for a missing one must not wait for ever
    if (status == MT_COMM || status == MT_DEADLINE) mt_mpi_abort(code);
    if (mt_mpi_active() && mt_mpi_finalize() != MT_OK) mt_mpi_abort(code ? code : 1);
    return code;
}
