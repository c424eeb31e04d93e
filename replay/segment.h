// A trajectory segment: what N environments did in T steps under one version of the weights, as structure of arrays.
//
// The letters, used everywhere above this floor:
//   T  time steps of a segment          N  environments in it          B  rows of a batch (often T·N)
//   O  floats of an observation         A  components of an action     K  logits of all components together
//
// Written by one sampler in time order, then read by learners; never both at once. Rows of (T, N, …) arrays are numbered
// t·N + n, which is how minibatch indices refer to them.
#ifndef MANTA_REPLAY_SEGMENT_H
#define MANTA_REPLAY_SEGMENT_H

#include "engine/base/arena.h"
#include "engine/base/status.h"
#include <stdint.h>

typedef struct mt_segment_shape {
    int64_t steps, envs;   // T, N
    int obs;               // O
    int action;            // A
    int logits;            // K; 0 = the action space is a box
    int masked;            // the environment sends action masks
    int state;             // S: floats of a recurrent policy's state; 0 = it has none
} mt_segment_shape;

// X(field, type, time rows, width of one row of one environment): every field once. The list allocates, gathers, sends,
// saves and prints. A field of width 0 is NULL. `s` is the shape.
#define MT_SEGMENT_FIELDS(X)                                                                                           \
    X(obs, float, s->steps + 1, s->obs)           /* as the policy saw it (normalised); row T is what comes next */    \
    X(action, float, s->steps, s->logits ? 0 : s->action)   /* box: before clipping to the bounds */                   \
    X(choice, int32_t, s->steps, s->logits ? s->action : 0) /* discrete kinds */                                       \
    X(mask, uint8_t, s->steps + 1, s->masked ? s->logits : 0)                                                          \
    X(log_prob, float, s->steps, 1)               /* of the whole action, by the behaviour policy, nats */             \
    X(start, uint8_t, s->steps, s->state ? 1 : 0)   /* 1: an episode begins, so the recurrent state is zero before */     \
    X(state, float, 1, s->state)                    /* recurrent state before the first step, of all layers */            \
    X(reward, float, s->steps, 1)                                                                                      \
    X(terminated, uint8_t, s->steps, 1)                                                                                \
    X(truncated, uint8_t, s->steps, 1)                                                                                 \
    X(value, float, s->steps + 1, 1)              /* V(obs) */                                                         \
    X(final_value, float, s->steps, 1)            /* V(final observation) where truncated, else unspecified */         \
    X(advantage, float, s->steps, 1)                                                                                   \
    X(returns, float, s->steps, 1)                /* the value function's target */

typedef struct mt_segment {
    mt_segment_shape shape;
#define MT_X(field, type, rows, width) type *field;
    MT_SEGMENT_FIELDS(MT_X)
#undef MT_X
} mt_segment;

// Registers every field with the arena; usable after mt_arena_commit.
void mt_segment_register(mt_segment *segment, const mt_segment_shape *shape, mt_arena *arena);

// The same fields one after the other in memory of the caller's, each at a multiple of 64 bytes: what travels as one object. The
// memory is 64-byte aligned and has mt_segment_block_bytes; a reader binds it alike (and does not write).
int64_t mt_segment_block_bytes(const mt_segment_shape *shape);
void mt_segment_bind(mt_segment *segment, const mt_segment_shape *shape, void *memory);

#endif
