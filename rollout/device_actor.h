// An actor on a device: observations go there, the policy runs on them, actions and values come back. The host asks, does
// something else, and waits when it wants what it asked for. The same random words as an actor on the CPU, so the same actions from
// the same logits.
//
//     write io->obs, io->mask, io->start, *io->step;  ask;  …;  wait;  read io->action or io->choice, io->log_prob, io->value
//
// Environments of classic control (kernels/classic) can step there, too: then a step is the policy, the environments, and a row of what
// both left, put down on the device, and the host hears nothing until it asks for the rows of a whole segment.
//
//     put_envs;  write io->obs, io->start, *io->step;  begin;  ask × T;  ask_rows;  ask_value;  wait;  read row(t), t < T, and io->value
//
// A step of all rows is captured as a graph when it is asked for the second time, copies included. Everything of one actor happens
// in order; what is written for a question must stay until the wait after it. One object a thread.
#ifndef MANTA_ROLLOUT_DEVICE_ACTOR_H
#define MANTA_ROLLOUT_DEVICE_ACTOR_H

#include "kernels/compute.h"
#include "rollout/actor.h"

typedef struct mt_device_actor_desc {
    mt_device *device;           // borrowed
    const mt_kernels *cpu;       // borrowed: the table on the cpu device
    mt_precision precision;
    const mt_policy *policy;     // borrowed
    const mt_weights *weights;   // borrowed: memory of the device, always at this place
    uint64_t seed, first_env;
    int64_t rows;                // N
    int masked;
    int without_graph;           // ask for every operation anew
    const mt_classic *envs;      // borrowed during create. Nullable: the host steps them
    int64_t steps;               // T: the most rows of a segment, with envs
    int actors;                  // of this process on the device, this one included; 0: it alone
} mt_device_actor_desc;

// One part in so many of the device's memory may go to an actor's activations, and one to what its segment's steps leave: a
// thirty-second, or of many actors a quarter for all.
static inline uint64_t mt_device_actor_part(int actors) { return actors > 8 ? 4 * (uint64_t)actors : 32; }

// What goes to and fro, in pinned memory.
typedef struct mt_device_actor_io {
    float *obs;                  // (N, O)
    uint8_t *mask;               // (N, K). NULL unless masked
    uint8_t *start;              // (N): 1 where obs begins an episode; all at first. NULL unless recurrent
    uint64_t *step;              // (1): keys the random numbers
    float *action;               // (N, A); or
    int32_t *choice;             // (N, A)
    float *log_prob, *value;     // (N)
    // with envs, in the rows of a segment: what the step that chose action left. obs is then what comes next
    float *reward;               // (N)
    uint8_t *terminated, *truncated;   // (N)
    uint8_t *bad;                // (N): 1 where the action was none
    float *final_obs;            // (N, O): where an episode ended
    float *final_value;          // (N): recurrent: V of final_obs
    // observations beside those: of episodes that were cut
    float *cut_obs;              // (N, O)
    int32_t *cut;                // (N): environments that they are of
    float *cut_value;            // (N)
} mt_device_actor_io;

typedef struct mt_device_actor mt_device_actor;

mt_status mt_device_actor_create(const mt_device_actor_desc *desc, mt_device_actor **out);
void mt_device_actor_destroy(mt_device_actor *actor);   // Nullable; waits
mt_device_actor_io *mt_device_actor_io_of(mt_device_actor *actor);

// An action and V for every row. explore: gSDE's matrices are drawn anew before.
mt_status mt_device_actor_ask(mt_device_actor *actor, int explore);
// V of the first `count` rows of cut_obs, from the state that their environments have after the last step asked for.
mt_status mt_device_actor_ask_cut(mt_device_actor *actor, int64_t count);
// V of obs alone: nothing is done and no state goes on.
mt_status mt_device_actor_ask_value(mt_device_actor *actor);
mt_status mt_device_actor_wait(mt_device_actor *actor);

int mt_device_actor_graphed(const mt_device_actor *actor);   // whether a step is one graph by now

// With envs. Environments go on from snapshots (N records, mt_env_snapshot_save) and back to them; both wait. begin: from io->obs on
// as row 0 of a segment. ask_rows: all that was put down since.
mt_status mt_device_actor_put_envs(mt_device_actor *actor, const void *records);
mt_status mt_device_actor_get_envs(mt_device_actor *actor, void *records);
mt_status mt_device_actor_begin(mt_device_actor *actor);
mt_status mt_device_actor_ask_rows(mt_device_actor *actor);
mt_device_actor_io mt_device_actor_row(const mt_device_actor *actor, int64_t t);   // after the wait; fields of a step alone

// Recurrent: every environment's state (N, S), in main memory. They wait.
mt_status mt_device_actor_state_get(mt_device_actor *actor, float *state);
mt_status mt_device_actor_state_set(mt_device_actor *actor, const float *state);

#endif
