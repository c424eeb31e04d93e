// What bodies do between their beginning and their end (workload.c), and the calls that they make (calls.c).
#ifndef MANTA_TESTS_SIMULATOR_WORKLOAD_H
#define MANTA_TESTS_SIMULATOR_WORKLOAD_H

#include "engine/runtime/memory/heap.h"
#include "tests/simulator/body.h"

enum { MT_NAMES = 6 };

typedef void mt_action(mt_body *body);

void mt_workload_weights(mt_rng *rng, int *weights);             // how often a seed does what: (24)
void mt_workload_sweep(mt_body *body);
const char *mt_workload_name(int name, char out[32]);            // "actor-3"

// ---- calls.c
uint64_t mt_workload_bytes(mt_body *body, int large);
int mt_workload_put(mt_body *body, uint64_t seed, uint64_t bytes);   // the record, held; -1: no room
int mt_workload_put_refs(mt_body *body, const manta_ref *refs, int count);
mt_action mt_workload_submit, mt_workload_create, mt_workload_invoke, mt_workload_meet, mt_workload_bad_call;
void mt_workload_place_group(mt_body *body);
void mt_workload_join(mt_body *body);                            // the body is a member of a meeting

#endif
