// What the environments of classic control share: storage by structure of arrays, options, seeding, episode and step
// counters, automatic reset, snapshots and state access. An environment's file adds its physics, which stands in kernels/classic;
// classic_step.h the loop.
//
// State arrays are padded to CLASSIC_PAD rows. Padding rows are stepped like the others (their outputs are dropped) and go
// back to zeros when an episode of theirs ends.
//
// Random numbers: episode e of a row whose stream was started with seed s begins with Philox block
// (s, stream "environment", e), whatever else happens in the batch.
#ifndef MANTA_ROLLOUT_ENVS_CLASSIC_H
#define MANTA_ROLLOUT_ENVS_CLASSIC_H

#include "kernels/classic/classic.h"
#include "rollout/manta_env.h"

enum { CLASSIC_PAD = 8 /* the widest vector, in doubles */ };

typedef struct classic_kind classic_kind;
struct mt_canvas;

struct manta_env {
    const classic_kind *kind;
    uint32_t num_envs, padded;                // B; B rounded up to CLASSIC_PAD
    int64_t max_steps;                        // INT64_MAX: no limit
    double param[CLASSIC_PARAM_MAX];          // the kind's options as numbers
    double *state[CLASSIC_STATE_MAX];         // (padded) each, owned
    double *cache;                            // (padded) a value derived from the state, see kind->refresh
    int64_t *steps;                           // (padded) of the running episode
    uint64_t *seed, *episode;                 // (B): random stream; number of the next episode
};

struct classic_kind {
    const manta_env_desc *desc;
    mt_classic_kind id;
    uint32_t state_count, obs_count;
    const manta_space *observation_space, *action_space;
    struct classic_param {
        const char *key;        // NULL: no such option
        double default_value;   // the same as in desc->options
        int is_switch;          // true/false → 1/0
    } param[CLASSIC_PARAM_MAX];   // options beside max_episode_steps

    // The state of a new episode out of four independent uniforms in [0, 1).
    void (*begin)(manta_env *env, uint32_t row, const double unit[4]);
    // One row's observation, the same bits as the vector loop writes.
    void (*observe)(const manta_env *env, uint32_t row, float *obs);
    // Recomputes env->cache[row] after the state was set from outside. Nullable.
    void (*refresh)(manta_env *env, uint32_t row);
    void (*draw)(const manta_env *env, uint32_t row, struct mt_canvas *canvas);
    // Why these environments, with their options, are not stepped by the kernel classic_step; NULL: they are. Nullable.
    const char *(*no_kernel)(const manta_env *env);
};

int classic_create(const classic_kind *kind, const manta_env_config *config, manta_env **out, char *error);
void classic_destroy(manta_env *env);
const manta_space *classic_observation_space(const manta_env *env);
const manta_space *classic_action_space(const manta_env *env);
int classic_reset(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error);
const void *classic_extension(const char *name);

// Starts the next episode of `row`: begin, step count 0, episode count + 1. A padding row is zeroed.
void classic_begin(manta_env *env, uint32_t row);

// For step: an action of row `row` that is outside the space. Writes the message, returns 1.
int classic_bad_action(const manta_env *env, uint32_t row, const void *action, char *error);

#endif
