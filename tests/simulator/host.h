// A virtual rank: the shell round one core in the simulator. It takes what the core says (send, run, wake, spill) into the
// simulator's queue and comes back with the answers later, as threads, disks and a network would.
#ifndef MANTA_TESTS_SIMULATOR_HOST_H
#define MANTA_TESTS_SIMULATOR_HOST_H

#include "engine/runtime/core.h"
#include "tests/simulator/network.h"
#include "tests/simulator/memory.h"

typedef struct mt_simulator mt_simulator;
typedef struct mt_host mt_host;
typedef struct mt_body mt_body;

// A run that a watcher takes does not reach the workload; it finishes it itself.
typedef void mt_run_watch(mt_host *host, mt_run *run);

struct mt_host {
    mt_simulator *sim;
    int rank, alive;
    int suspected;               // by the head
    mt_core *core;               // owned; NULL once the rank is gone
    int64_t stalled_ns;          // until then it does nothing
    int64_t clock_ns;            // its clock is so much ahead of the simulator's
    mt_memory memory;
    unsigned char *dead;         // owned (size): the core called rank_dead for it. NULL: for nobody yet
    mt_body *bodies;             // what runs here, the newest first
    uint64_t told, heard;        // sums over shell messages
};

typedef struct mt_disk_job { uint64_t ticket, file, offset, bytes, serial; int fails; } mt_disk_job;

// An answer to find_name or meet, on its way to the body that asked.
typedef struct mt_answer { uint64_t question, round; int code, count; manta_actor actor; uint32_t ranks[]; } mt_answer;

mt_status mt_host_init(mt_host *host, mt_simulator *sim, int rank);
void mt_host_fini(mt_host *host);
void mt_host_event(mt_host *host, const mt_event *event);    // of every kind that is a rank's
void mt_host_check_run(mt_host *host, mt_run *run);          // enters it and gives it to an executor
void mt_host_end(mt_host *host);                             // its process ends, now
int mt_host_thinks_dead(const mt_host *host, int rank);

#endif
