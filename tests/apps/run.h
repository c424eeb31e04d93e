// Runs a program as a child with a time limit and gives back what it printed; the child dies with the test.
#ifndef MANTA_TESTS_APPS_RUN_H
#define MANTA_TESTS_APPS_RUN_H

#include <stddef.h>
#include <sys/types.h>

typedef struct run_result {
    int exit_code;          // 128 + signal when a signal ended it
    char output[1 << 16];   // standard output and error together, cut, zero-terminated
} run_result;

// A shell command line in which $MANTA is the program under test and $MPIRUN is `mpirun --oversubscribe` as fits this machine
// and user. `folder` becomes the working directory. A program that passes its time limit fails the test.
void run(run_result *out, const char *folder, int limit_seconds, const char *format, ...) __attribute__((format(printf, 4, 5)));

// The same in the background: its process group, for signals; run_wait collects it.
pid_t run_start(const char *folder, const char *format, ...) __attribute__((format(printf, 2, 3)));
int run_wait(pid_t group, int limit_seconds);

// A new folder for one test, removed at exit.
const char *run_folder(void);

// Reads a file whole; fails the test when it is not there.
void run_read(const char *folder, const char *name, char *out, size_t bytes);

#endif
