// The subcommands of the program: one descriptor each, at the end of its file; main.c lists them.
#ifndef MANTA_APPS_APP_H
#define MANTA_APPS_APP_H

#include "engine/base/option.h"
#include "engine/base/status.h"

typedef struct mt_app {
    const char *name;        // "train"
    const char *summary;     // one line for `manta help`
    const char *usage;       // "manta train --algo ppo --env ID [options]"
    const char *details;     // Nullable: paragraphs for `manta help NAME` and the man page
    int uses_mpi;            // 1: runs on every rank; 0: on one process, started without mpirun
    // Runs the subcommand; argv[0] is its name. A failure's message is the thread's last error; main prints it.
    mt_status (*run)(int argc, char **argv);
    // Fills option sections for help, man page and completion; returns their number (at most MT_OPTION_SECTIONS_MAX).
    // The objects are static and only ever hold defaults. NULL: no options.
    size_t (*sections)(mt_option_section *sections);
} mt_app;

extern const mt_app mt_app_train;

#endif
