// The subcommands of the program: one descriptor each, at the end of its file; apps.c lists them.
#ifndef MANTA_APPS_APP_H
#define MANTA_APPS_APP_H

#include "engine/base/option.h"
#include "engine/base/status.h"

typedef struct mt_app {
    const char *name;        // "train"
    const char *summary;     // one line for `manta help`
    const char *usage;       // "manta train --algo ppo --env ID [options]"
    const char *details;     // Nullable: a paragraph for help and the man page
    int uses_mpi;            // 1: runs on every rank; 0: one process, started without mpirun
    // Runs the subcommand; argv[0] is its name. A failure's message is the thread's last error; main prints it.
    mt_status (*run)(int argc, char **argv);
    // Fills option sections for help, man page and completion; returns their number (at most MT_OPTION_SECTIONS_MAX).
    // The objects are static and only ever hold defaults. NULL: no options.
    size_t (*sections)(mt_option_section *sections);
} mt_app;

extern const mt_app mt_app_train, mt_app_eval, mt_app_plot, mt_app_envs, mt_app_plugin, mt_app_doctor, mt_app_version, mt_app_help;

extern const mt_app *const mt_apps[];
extern const size_t mt_app_count;

mt_status mt_app_find(const char *name, const mt_app **out);   // MT_CONFIG with "did you mean"

// For subcommands with one option table: initialises it from the defaults, reads the command line, prints help when asked
// (*done is then 1). positionals (capacity) borrow from argv.
mt_status mt_app_parse(const mt_app *app, mt_options *options, const mt_option_section *sections, size_t section_count, int argc,
    char **argv, const char **positionals, size_t capacity, size_t *count, int *done);

#endif
