// What the ranks' programs (mpi_*.c) check with: a failure says which rank, where and why, and ends the job.
#ifndef MANTA_TESTS_ENGINE_MPI_CHECK_H
#define MANTA_TESTS_ENGINE_MPI_CHECK_H

#include <stdio.h>
#include "engine/base/status.h"
#include "engine/collective/mpi.h"

static int rank, size;   // the program's own, set at its start

#define CHECK(cond, ...)                                                                                               \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            fprintf(stderr, "rank %d of %d: %s:%d: %s: ", rank, size, __FILE__, __LINE__, #cond);                      \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\n  last error: %s (%s)\n", mt_last_error(), mt_last_error_where());                      \
            mt_mpi_abort(1);                                                                                           \
        }                                                                                                              \
    } while (0)
#define OK(expr) CHECK((expr) == MT_OK, "failed")

#endif
