// The subcommands of the program: one descriptor each, at the end of its file; apps.c lists them.
#ifndef MANTA_APPS_APP_H
#define MANTA_APPS_APP_H

#include "engine/base/file.h"
#include "engine/base/option.h"
#include "engine/base/status.h"

// How manta launch keeps a subcommand running: where its state is, and which words make a start a continuation.
typedef struct mt_app_plan {
    char run_folder[MT_PATH_BYTES];
    int fresh;                          // the folder was new or empty
    char first[MT_PATH_BYTES + 32];     // a word for the end of the first start's command; "": none
    char again[3][MT_PATH_BYTES + 32];  // for the end of every later one's
} mt_app_plan;

typedef struct mt_app {
    const char *name;        // "train"
    const char *summary;     // one line for `manta help`
    const char *usage;       // "manta train --algo ppo --env ID [options]"
    const char *details;     // Nullable: a paragraph for help and the man page
    int uses_mpi;            // 1: runs on every rank; 0: one process, started without mpirun
    int takes_command;       // 1: what follows the first word that is no flag is another command's
    // Runs the subcommand; argv[0] is its name. A failure's message is the thread's last error; main prints it.
    mt_status (*run)(int argc, char **argv);
    // Fills option sections for help, man page and completion; returns their number (at most MT_OPTION_SECTIONS_MAX).
    // The objects are static and only ever hold defaults. NULL: no options.
    size_t (*sections)(mt_option_section *sections);
    // Checks the command line as run would, and makes or finds the run folder, in the launcher's process. NULL: manta launch does
    // not run this subcommand. *done: help was asked for and printed.
    mt_status (*plan)(int argc, char **argv, mt_app_plan *plan, int *done);
} mt_app;

extern const mt_app mt_app_train, mt_app_launch, mt_app_status, mt_app_eval, mt_app_export, mt_app_plot, mt_app_envs, mt_app_plugin, mt_app_doctor, mt_app_version, mt_app_help;

extern const mt_app *const mt_apps[];
extern const size_t mt_app_count;

mt_status mt_app_find(const char *name, const mt_app **out);   // MT_CONFIG with "did you mean"

// For subcommands with one option table: initialises it from the defaults, reads the command line, prints help when asked
// (*done is then 1). positionals (capacity) borrow from argv.
mt_status mt_app_parse(const mt_app *app, mt_options *options, const mt_option_section *sections, size_t section_count, int argc,
    char **argv, const char **positionals, size_t capacity, size_t *count, int *done);

#endif
