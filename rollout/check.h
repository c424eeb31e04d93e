// Does an environment keep the ABI's promises? Runs it in child processes, with guard pages round every array, and says
// for each promise PASS, WARN or FAIL with what happened, where, and what to do about it:
//
//     FAIL obs-bounds: environment 3 wrote 7.1 to obs[2] at step 17; observation_space.high[2] is 4.8: widen the space or clip
//
// The calling process should have one thread (it forks) and no MPI (engine/base/check.h).
#ifndef MANTA_ROLLOUT_CHECK_H
#define MANTA_ROLLOUT_CHECK_H

#include <stdint.h>

#include "engine/base/check.h"
#include "engine/base/status.h"
#include "rollout/manta_env.h"

typedef struct mt_check_options {
    uint32_t num_envs;    // 0: 7, which is not a multiple of anything
    uint32_t steps;       // 0: 2000, or the time limit and some where that is longer
    int64_t timeout_ns;   // of a single call of the environment; 0: 10 s
} mt_check_options;

// *failures = lines with MT_VERDICT_FAIL. The status speaks of the checker itself: MT_OK also when the environment failed.
// Nullable: options.
mt_status mt_env_check(const manta_env_desc *desc, const mt_check_options *options, mt_check_line_fn line, void *context,
    int *failures);

// The same for a plugin by path: every environment in it, and every policy, layer and loss (policies/policy_check.h). A relative path is
// resolved; MT_NOT_FOUND when nothing is there. The plugin is loaded in child processes alone.
mt_status mt_plugin_check(const char *path, const mt_check_options *options, mt_check_line_fn line, void *context, int *failures);

#endif
