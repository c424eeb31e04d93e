// The environments of classic control as arithmetic: what a step makes of their states. Their dynamics stand once, in the headers
// beside this one (cartpole.h and so on), in the words of vec.h: rollout/envs steps vectors of environments with them on the CPU, the
// kernel classic_step (row.h) one a thread on a GPU, and both get the same bits. Which environments there are for users, their options
// and spaces are rollout's.
#ifndef MANTA_KERNELS_CLASSIC_CLASSIC_H
#define MANTA_KERNELS_CLASSIC_CLASSIC_H

#include <stdint.h>

enum { CLASSIC_STATE_MAX = 4, CLASSIC_OBS_MAX = 6, CLASSIC_PARAM_MAX = 2 };

// X(KIND, name, doubles of state, floats of an observation, whether its actions are a number and not one of a few)
#define MT_CLASSIC_LIST(X)                                                                                             \
    X(CARTPOLE, cartpole, 4, 4, 0)                                                                                     \
    X(CARTPOLE_NO_VEL, cartpole_no_vel, 4, 2, 0)                                                                       \
    X(MOUNTAIN_CAR, mountain_car, 2, 2, 0)                                                                             \
    X(MOUNTAIN_CAR_CONTINUOUS, mountain_car_continuous, 2, 2, 1)                                                       \
    X(PENDULUM, pendulum, 2, 3, 1)                                                                                     \
    X(ACROBOT, acrobot, 4, 6, 0)   /* with vec.h's sine: its fast_math */

typedef enum mt_classic_kind {
#define MT_X(kind, name, states, obs, is_number) MT_CLASSIC_##kind,
    MT_CLASSIC_LIST(MT_X)
#undef MT_X
} mt_classic_kind;

// What is the same for all environments of a batch.
typedef struct mt_classic {
    mt_classic_kind kind;
    int64_t max_steps;                  // of an episode; INT64_MAX: no limit
    double param[CLASSIC_PARAM_MAX];    // the kind's options as numbers
    float low, high;                    // what an action that is a number is clipped to
} mt_classic;

// One environment at rest, as snapshots hold it; the kind's doubles of state follow.
typedef struct mt_classic_record {
    uint64_t tag;                       // of the environment's id
    uint64_t seed, episode;             // random stream; number of the next episode
    int64_t steps;                      // of the running episode
} mt_classic_record;

// One step of N environments. An episode that ends begins anew with Philox block (seed, stream "environment" 0, episode).
typedef struct mt_classic_step {
    mt_classic of;
    int64_t envs;                       // N
    void *records;                      // (N, mt_classic_record_bytes): carried on in place
    const int32_t *choice;              // (N); or
    const float *action;                // (N)
    float *obs;                         // (N, O): what comes next
    float *final_obs;                   // (N, O): written where an episode ended
    float *reward;                      // (N)
    uint8_t *terminated, *truncated;    // (N)
    uint8_t *ended;                     // (N): either of them
    uint8_t *bad;                       // (N): 1 where the action was none, not finite or not one of the few
} mt_classic_step;

static inline int64_t mt_classic_states(mt_classic_kind kind) {
    static const uint8_t count[] = {
#define MT_X(kind, name, states, obs, is_number) states,
        MT_CLASSIC_LIST(MT_X)
#undef MT_X
    };
    return count[kind];
}
static inline int64_t mt_classic_record_bytes(mt_classic_kind kind) {
    return (int64_t)(sizeof(mt_classic_record) + sizeof(double) * (uint64_t)mt_classic_states(kind));
}

#endif
