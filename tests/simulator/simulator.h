// One simulated job: virtual ranks, the network between them, what befalls them, and the loop that takes one event after the
// other. A seed is a whole run: every number that is not given is drawn from it.
#ifndef MANTA_TESTS_SIMULATOR_SIMULATOR_H
#define MANTA_TESTS_SIMULATOR_SIMULATOR_H

#include "engine/base/rng.h"
#include "tests/simulator/host.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/network.h"
#include "tests/simulator/queue.h"

enum { MT_DRAWN = -1 };

typedef struct mt_sim_desc {
    uint64_t seed;
    int ranks, nodes, deaths, partitions, tasks;   // MT_DRAWN: from the seed
    int stalls, head;                              // ranks that stand still for a while; 1: rank 0 dies
    double duplicates;                             // percent of all messages; MT_DRAWN
    int mutation;                                  // mt_mutation
    int verbose;
} mt_sim_desc;

typedef struct mt_sim_report {
    int failed;
    char violation[MT_VIOLATION_BYTES + 4096];
    uint64_t events, messages, bytes, calls, actors, objects, values, errors, met, unmet, stalled, deadlines, locked_up, digest;
    int ranks, deaths;
    int64_t virtual_ns;
} mt_sim_report;

// What a seed is like: set once, read by host and workload.
typedef struct mt_mood {
    int scarce;                    // actors and groups may keep CPUs: anybody may have to wait long
    int tight;                     // heaps are small: objects go to disk, memory runs out
    int spill;
    double disk_failures;          // part of all disk operations
    uint64_t heap_bytes;
    int64_t heartbeat_ns, suspect_ns, dead_ns;
    int steps_most, depth_most, fan_most;
    double large, failing, cancelling, killing;    // chances
    int weights[24];               // of the workload's actions
    int64_t think_ns;
    int eager;                     // the core's clock is told the time more often than it asks for
} mt_mood;

struct mt_simulator {
    mt_sim_desc desc;              // with every number decided
    mt_mood mood;
    int size;
    int *node_of;                  // owned (size)
    mt_resources *totals;          // owned (size)
    mt_resource_names names;
    mt_queue queue;
    mt_sim_network network;
    mt_ledger ledger;
    mt_host *hosts;                // owned (size)
    mt_rng rng;                    // of what befalls the job, and of delays in hosts
    int64_t now_ns, stalled_ns;    // until when the rank that stands still does so
    uint64_t events, digest;
    int armed;                     // waits with a deadline that will come
    int calls_left;                // the workload makes no more than this
    int driver_done, bodies, disk_jobs, deaths;
    uint64_t questions;
    int locked_up;                 // times that its actors were ended from outside
    int entering, entered_count;   // a call is being made: runs that begin are looked at when its results are known
    mt_run *entered[64];
    mt_resources alike;            // with `watch`: what every rank has
    mt_run_watch *watch;           // Nullable: scale.c looks at runs itself
    void (*woken)(void *watcher, mt_waiter *waiter);
    void *watcher;
};

// How far a run is checked: nothing in it is printed but with `verbose`.
void mt_simulator_run(const mt_sim_desc *desc, mt_sim_report *out);

// ---- for host, workload and scale
void mt_simulator_init(mt_simulator *sim, const mt_sim_desc *desc);
void mt_simulator_fini(mt_simulator *sim);
int mt_simulator_next(mt_simulator *sim);          // takes one event; 0: there is none
void mt_simulator_post(mt_simulator *sim, int64_t after_ns, int kind, int rank, uint64_t number, void *data);
int64_t mt_simulator_random_ns(mt_simulator *sim, int64_t most_ns);
void mt_simulator_kill(mt_simulator *sim, int rank);

#endif
