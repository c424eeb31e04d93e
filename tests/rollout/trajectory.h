// Recorded trajectories (format: tests/rollout/record.py) and replaying them through an environment.
#ifndef MANTA_TESTS_ROLLOUT_TRAJECTORY_H
#define MANTA_TESTS_ROLLOUT_TRAJECTORY_H

#include <stdint.h>

#include "rollout/manta_env.h"

typedef struct episode {
    uint32_t steps;
    const double *state;       // (state_count) initial
    const float *first_obs;    // (obs_count)
    const float *obs;          // (steps, obs_count)
    const float *reward;       // (steps)
    const void *action;        // (steps) of action_bytes
    const uint8_t *flags;      // (steps): 1 terminated, 2 truncated
} episode;

typedef struct trajectory {
    char id[41];
    uint32_t obs_count, state_count, action_bytes, episode_count;
    episode *episodes;         // owned
    char *bytes;               // owned: the file
} trajectory;

// 0, or 1 with a line on stderr.
int trajectory_read(const char *path, trajectory *out);
void trajectory_free(trajectory *t);

typedef struct parity {
    uint64_t steps, flag_errors;
    uint32_t episodes_off;           // with an error above the tolerance, or a flag error
    double worst_obs, worst_reward;  // |difference| / max(1, |recorded|)
    char first[256];                 // where the first error above the tolerance is; "" if none
} parity;

// Steps all episodes side by side as one batch of `desc`.
// 0, or 1 with a line on stderr when the environment cannot be run.
int trajectory_compare(const trajectory *t, const manta_env_desc *desc, double tolerance, parity *out);

#endif
