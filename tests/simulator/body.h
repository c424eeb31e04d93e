// A body that runs on a virtual rank: the driver, a task, a method, a creation. What a thread and its context are in a real
// rank: it holds references, waits, asks, and gives results in the end. What it does in between is the workload's (workload.c).
#ifndef MANTA_TESTS_SIMULATOR_BODY_H
#define MANTA_TESTS_SIMULATOR_BODY_H

#include "engine/base/rng.h"
#include "tests/simulator/host.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/queue.h"

typedef struct mt_view { int rank; uint64_t offset, serial, bytes; } mt_view;   // rank -1: none

typedef struct mt_held {
    int record, holds;
    mt_view view;
} mt_held;

typedef enum mt_phase { MT_PHASE_BEGIN, MT_PHASE_WORK, MT_PHASE_DRAIN, MT_PHASE_RESULT } mt_phase;
typedef enum mt_asking { MT_ASK_NOTHING, MT_ASK_NAME, MT_ASK_MEET } mt_asking;

struct mt_body {
    mt_host *host;
    mt_run *run;                     // NULL: the driver, or the sweeper that ends detached actors
    int plan, depth, attempt;        // plan -1: of those
    int phase, steps, code, ended;
    int events;                      // of the queue that name it
    mt_rng rng;
    int64_t began_ns;
    mt_held *held;                   // owned (held_count)
    int held_count, held_capacity;
    int *offered, offered_count;     // owned: records whose references came in arguments
    mt_view argument[MT_PLAN_ARGUMENTS + 1];
    uint64_t chain;                  // over the contents of its arguments
    int blind;                       // it could not read them all
    int groups[8], group_count;      // placement groups that it made
    // waiting
    mt_waiter waiter;
    mt_wait_link *links;             // owned (wait_count)
    int *wait_record, wait_count, waiting, armed, woken;
    uint64_t wait_number;
    int64_t wait_since_ns, wait_deadline_ns;   // deadline 0: none
    int may_stall;                   // when the deadline passes, that is noted as a wait for resources
    // asking
    int asking, asked_name, member;
    uint64_t question;
    mt_view result_view;
    int result_tries;
    void *result_memory[MANTA_MAX_RESULTS];
    int sweep;                       // the sweeper: actor it is at; -1: no sweeper
    mt_body *next, **previous;       // of its host
};

// ---- from the host
mt_body *mt_body_create(mt_host *host, mt_run *run, int plan);   // run NULL: the driver
void mt_body_event(const mt_event *event);                       // START, STEP, WAKE, DEADLINE
void mt_body_wake(mt_host *host, mt_waiter *waiter);
void mt_body_answer(mt_host *host, const mt_event *event);       // NAMED, MET
void mt_body_destroy_actor(mt_host *host, void *state);
void mt_body_check_freed(mt_host *host, const mt_heap_piece *block);  // nobody looks at it
void mt_body_shell_message(mt_host *host, int source, uint32_t topic, uint64_t argument, const void *data, size_t bytes);
void mt_body_rank_gone(mt_host *host);
void mt_body_describe(const mt_body *body, char *out, size_t out_bytes);

// ---- for the workload
uint32_t mt_body_below(mt_body *body, uint32_t bound);
int mt_body_chance(mt_body *body, double p);
void mt_body_got(mt_body *body, int record);                     // a reference that was just made: held once
int mt_body_hold(mt_body *body, int record);                     // one more; returns where in `held`
void mt_body_drop(mt_body *body, int at);                        // one less
// deadline 0: none. Ends in mt_workload_waited for every record that is there.
void mt_body_wait(mt_body *body, const int *records, int count, int wanted, int view, int64_t deadline_ns, int may_stall);
void mt_body_ask(mt_body *body, int asking, uint64_t question);  // waits for an answer
const void *mt_body_payload(mt_body *body, const mt_value *value, int view_rank, uint64_t view_offset, mt_view *view);
mt_simulator *mt_body_sim(const mt_body *body);

// ---- of the workload (workload.c, calls.c)
void mt_workload_begin(mt_body *body);                           // arguments are checked
void mt_workload_act(mt_body *body);                             // one action; may wait
void mt_workload_drain(mt_body *body);                           // waits for what shall be seen before the end
void mt_workload_look(mt_body *body, int record, int view);      // it is there
void mt_workload_named(mt_body *body, int code, manta_actor actor);
void mt_workload_unmeet(mt_body *body);   // its time is up, before its question ends
void mt_workload_met(mt_body *body, int code, const uint32_t *ranks, int count, uint64_t round);
int mt_workload_results(mt_body *body, mt_run_result *results);  // a code; -1: come again

#endif
