// An attempt: one mpirun, started, watched and brought to its end by the launcher, which is its parent and no part of
// the job.
//
//     started ──▶ running ──ends by itself──────────────────────────────▶ ended
//                   │ a signal asks for the end: SIGUSR1 to mpirun        ▲
//                   │   (mpirun hands it to every rank, they save)        │
//                   │ a second one: SIGTERM (1 s to live); a third: SIGKILL
//                   └ no sign of life: SIGTERM, 5 s later SIGKILL ────────┘
//
// Why SIGUSR1 for every signal: mpirun answers SIGINT and SIGTERM by killing the ranks after about 1 s, which is no
// time to write a checkpoint, and hands SIGUSR1 on. mpirun is in a process group of its own, so a terminal's Ctrl-C
// reaches the launcher alone. When the launcher dies, however that happens, the kernel sends mpirun SIGTERM, which
// takes the ranks along.
#ifndef MANTA_SCHEDULER_LAUNCH_ATTEMPT_H
#define MANTA_SCHEDULER_LAUNCH_ATTEMPT_H

#include <signal.h>
#include "scheduler/launch/sweep.h"

enum { MT_ATTEMPT_WORDS = 4096 };   // so many of the last bytes on standard error are kept

// Gets standard error's bytes as they come.
typedef void (*mt_relay_fn)(void *context, const char *bytes, size_t count);

typedef struct mt_attempt_desc {
    char *const *command;      // borrowed: mpirun and all its words; ends with NULL
    const char *job;           // borrowed: the word of this attempt's processes
    const char *pulse;         // Nullable: the file that changes while the job works; its ranks get it by $MANTA_PULSE
    int64_t hang_ns;           // patience with it; 0: without end
    int uri_fd;                // memory that mpirun writes its address to (--report-uri); -1: none
    int signal_fd;             // signals that ask for the end, and SIGCHLD (mt_attempt_signals)
    const sigset_t *mask;      // what the child shall have
    mt_relay_fn relay;
    void *context;
} mt_attempt_desc;

typedef struct mt_attempt {
    pid_t mpirun;
    int code;                  // mpirun's exit status; 128 + signal when one ended it
    int asked;                 // the signal that asked for the end; 0: none
    int signals;               // how often
    int hung;                  // it gave no sign of life
    mt_strays stuck;           // hung: the processes, as they were then
    uint32_t family;           // number of mpirun's job; 0: it never said
    double seconds;
    char words[MT_ATTEMPT_WORDS];   // the end of what it said on standard error
} mt_attempt;

// Blocks the signals that ask for the end, and SIGCHLD, and gives a descriptor that delivers them. Those that are
// ignored (nohup) stay so. The caller closes it and restores `before`.
mt_status mt_attempt_signals(sigset_t *before, int *fd);
// Waits for the next of them. 0: the deadline.
int mt_attempt_signal_wait(int fd, int64_t deadline_ns);

// Runs it to its end. mpirun is left uncollected, so that its pid stays its own while the sweep goes by it:
// mt_attempt_collect. Not MT_OK: it could not be started at all.
mt_status mt_attempt_run(const mt_attempt_desc *desc, mt_attempt *out);
void mt_attempt_collect(const mt_attempt *attempt);

#endif
