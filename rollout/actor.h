// Acting: observations through the policy to sampled actions, with random numbers keyed by (seed, environment, step), so
// that an environment's actions do not depend on which worker, thread or rank steps it or on how many rows go together.
// One object a thread; allocates once. All arrays here are memory of the kernels': of the CPU, or of a device (device_actor.h).
//
// Of a recurrent policy it holds every environment's state: sampling carries it on, from zero where `start` is set, and clears
// `start`; whoever steps the environments sets it again where an episode ended. The critic has a state, too, so sampling evaluates
// V in the same pass.
#ifndef MANTA_ROLLOUT_ACTOR_H
#define MANTA_ROLLOUT_ACTOR_H

#include "engine/base/rng.h"
#include "policies/policy.h"

typedef struct mt_actor {
    const mt_policy *policy;     // borrowed
    const mt_kernels *kernels;   // borrowed
    uint64_t seed, first_env;    // row r is environment first_env + r
    int64_t rows;                // N
    mt_rng_use use;              // MT_RNG_ACTION, or MT_RNG_EVAL
    int64_t at_once;             // rows that go through the network together
    int values;                  // sampling evaluates V, too; of a recurrent policy it always does
    mt_policy_space space;
    float *state;                // recurrent: (N, S)
    uint8_t *start;              // recurrent: (N): 1 where the next observation begins an episode; all at first
    float *value;                // with values: (N): V of the observations of the last sample
    float *row_state;            // recurrent: (rows at once, S) scratch
    uint8_t *row_start;          // recurrent: (rows at once) scratch
    uint64_t *step;              // (1): keys the random numbers
    int64_t word_count;
    uint32_t *words;             // (word_count)
    float *noise;                // (word_count)
    float *matrix;               // gSDE: (N, L, A)
} mt_actor;

enum { MT_ACTOR_ROWS_AT_ONCE = 256 };   // at most

typedef struct mt_actor_desc {
    const mt_policy *policy;     // borrowed
    const mt_kernels *kernels;   // borrowed
    mt_rng_use use;
    uint64_t seed, first_env;
    int64_t rows;                // N
    int64_t at_once;             // 0: as many as the CPU's caches like
    int values;
} mt_actor_desc;

void mt_actor_register(mt_actor *actor, const mt_actor_desc *desc, mt_arena *arena);

void mt_actor_begin(mt_actor *actor);   // recurrent: every environment begins an episode. After the arena's commit

// gSDE: draws every row's exploration matrix anew, keyed by `step`. Nothing for the other distributions.
void mt_actor_resample(mt_actor *actor, const mt_weights *weights, uint64_t step);

// obs (N, O), mask (N, K) Nullable. Writes choice (N, A) or action (N, A), whichever the policy has, and log_prob (N).
void mt_actor_sample(mt_actor *actor, const mt_weights *weights, const float *obs, const uint8_t *mask, uint64_t step,
    float *action, int32_t *choice, float *log_prob);

// The same keyed by what stands in actor->step.
void mt_actor_resample_now(mt_actor *actor, const mt_weights *weights);
void mt_actor_sample_now(mt_actor *actor, const mt_weights *weights, const float *obs, const uint8_t *mask, float *action, int32_t *choice,
    float *log_prob);

// The most probable action: the mode, or the mean.
void mt_actor_mode(mt_actor *actor, const mt_weights *weights, const float *obs, const uint8_t *mask, float *action,
    int32_t *choice);

// V(obs) of any number of rows: obs (rows, O) → value (rows). Recurrent: row r is what environment env[r] (Nullable: r) sees next;
// its state is read and not carried on.
void mt_actor_value(mt_actor *actor, const mt_weights *weights, const float *obs, const int32_t *env, int64_t rows, float *value);

#endif
