// Do a plugin's policies, layers and losses keep the ABI's promises? Runs them in child processes, with guard pages round every
// array, holds every backward function against finite differences of its forward, and says for each promise PASS, WARN or FAIL with
// what happened, where, and what to do about it:
//
//     FAIL gradient: policy my_net, 3 actions: backward says that the loss changes by 0.21 with hidden.bias[3], finite differences
//     of forward say 0.42; look at the derivative
//
// The calling process should have one thread (it forks) and no MPI (engine/base/check.h).
#ifndef MANTA_POLICIES_POLICY_CHECK_H
#define MANTA_POLICIES_POLICY_CHECK_H

#include "engine/base/check.h"

// All that the plugin at `path` (absolute) brings to this floor; the plugin is loaded in child processes alone. timeout_ns: of a
// single call, 0: 10 s. *failures = lines with MT_VERDICT_FAIL. The status speaks of the checker itself.
mt_status mt_policy_plugin_check(const char *path, int64_t timeout_ns, mt_check_line_fn line, void *context, int *failures);

#endif
