// What a step of the classic environments works on: as many rows as vec.h has lanes. An environment's header has
//
//   NAME_move(param, rows)      one step: from state, steps and action to state, obs, reward and flags
//   NAME_begin(unit, state)     the state of a new episode out of four independent uniforms in [0, 1)
//   NAME_observe(state, obs)    one row's observation, the same bits as a move writes
#ifndef MANTA_KERNELS_CLASSIC_ROWS_H
#define MANTA_KERNELS_CLASSIC_ROWS_H

#include "kernels/classic/classic.h"
#include "kernels/classic/vec.h"

typedef struct classic_rows {
    vd state[CLASSIC_STATE_MAX];
    vd cache;                     // pendulum: the sine of its angle, which one step writes out and the next one needs
    int lanes;                    // so many of them are rows of the batch
    vl steps;                     // of the episode, before this step
    vl choice;                    // the action: one of a few; or
    vd push;                      // a number
    vs obs[CLASSIC_OBS_MAX], reward;
    vl terminated, bad;           // bad: the action is none
} classic_rows;

#if defined(__cplusplus)
#define CLASSIC_FN __device__ __forceinline__
#else
#define CLASSIC_FN static inline __attribute__((always_inline))
#endif

CLASSIC_FN vl classic_not_finite(vd x) { return vl_not(vd_abs(x) <= 0x1.fffffep127); }   // of what was a float

#endif
