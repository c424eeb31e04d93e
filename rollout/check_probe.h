// Inside the checker's child process: an instance of the environment whose arrays lie between guard pages.
#ifndef MANTA_ROLLOUT_CHECK_PROBE_H
#define MANTA_ROLLOUT_CHECK_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "rollout/check.h"
#include "rollout/manta_env.h"
#include "rollout/space.h"

typedef struct check_session {
    mt_check_session base;
    const manta_env_desc *desc;
    uint32_t num_envs, steps;
} check_session;

enum { CHECK_ACTION, CHECK_OBS, CHECK_REWARD, CHECK_TERMINATED, CHECK_TRUNCATED, CHECK_FINAL_OBS, CHECK_ACTION_MASK,
    CHECK_SEEDS, CHECK_RESET_MASK, CHECK_ARRAYS };

typedef struct check_probe {
    check_session *session;
    manta_env *env;
    uint32_t num_envs;
    mt_space observation, action;
    mt_guard arrays[CHECK_ARRAYS];
    manta_env_batch batch;
    uint64_t step;              // calls of step so far
} check_probe;

#define check_say(session, ...) mt_check_say(&(session)->base, __VA_ARGS__)
static inline void check_enter(check_session *session, const char *call) { mt_check_enter(&session->base, call); }
static inline void check_leave(check_session *session) { mt_check_leave(&session->base); }

// 0, or 1 after saying why. `seed`: environment i gets seed + i. Close a probe that failed to open, too.
int probe_open(check_probe *probe, check_session *session, uint32_t num_envs, uint64_t seed);
void probe_close(check_probe *probe);

// 0, or 1 after saying why (the environment returned an error, or wrote outside its arrays).
// Nullable: seeds (num_envs), mask (num_envs).
int probe_reset(check_probe *probe, const uint64_t *seeds, const uint8_t *mask);
int probe_step(check_probe *probe);

// Actions that depend on (seed, row + first_row, step) and the action mask alone; within the space.
void probe_choose(check_probe *probe, uint64_t seed, uint32_t first_row);

// Reset, then `steps` steps: digest[t·num_envs + i] of everything that step t wrote for row i; t = 0 is the reset.
int probe_run(check_probe *probe, uint64_t action_seed, uint32_t first_row, uint32_t steps, uint64_t *digest);
uint64_t probe_digest(const check_probe *probe, uint32_t row, int after_reset);

#endif
