// Sweep: what an attempt at a job leaves behind on this host, found and removed once its mpirun is gone.
//
// Measured on Open MPI 4.1: a killed mpirun leaves its ranks (those that are not in MPI run on for ever, a stopped one
// too), a session folder below the temporary one, and the ranks' segments in /dev/shm. mpirun's daemons on other hosts
// clean up by themselves when they lose it.
//
// Nothing is found by a guess. A process belongs to the attempt when its environment holds the attempt's word
// (MANTA_JOB=...), which children inherit and only the launcher sets; segments carry the number of mpirun's job, which
// mpirun was asked for; the session folder carries mpirun's pid, which is not given to another process before the
// launcher has collected mpirun. All of it only where this user owns it.
#ifndef MANTA_SCHEDULER_LAUNCH_SWEEP_H
#define MANTA_SCHEDULER_LAUNCH_SWEEP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "engine/base/status.h"

#define MT_JOB_WORD "MANTA_JOB"

enum { MT_JOB_BYTES = 64, MT_SWEEP_LIST = 16 };

typedef struct mt_stray {
    pid_t pid;
    int rank;       // -1: not one (a rank's child)
    char state;     // as in /proc/PID/stat: 'R', 'S', 'T' stopped, 'D' waits for a device
} mt_stray;

typedef struct mt_strays {
    int count;                       // found; the first of them are listed
    mt_stray list[MT_SWEEP_LIST];
} mt_strays;

// The processes of the attempt `job` on this host, but for mpirun itself (`except`) and the caller.
mt_status mt_sweep_look(const char *job, pid_t except, mt_strays *out);

// Kills them, as long as there are any (a process may fork while it is looked for) or until the deadline: MT_DEADLINE
// names one that cannot be killed. *killed counts.
mt_status mt_sweep_processes(const char *job, pid_t except, int64_t deadline_ns, int *killed);

// Removes segments of mpirun's job `family` (0: not known) and mpirun's session folder; *removed counts. What cannot be
// removed is left: it does no harm but to the memory it takes.
void mt_sweep_files(uint32_t family, pid_t mpirun, int *removed);

#endif
