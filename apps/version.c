// manta version: what this program is and what it was built with.
#include "apps/app.h"

#include "kernels/kernels.h"
#include "policies/manta_policy.h"
#include "rollout/manta_env.h"

#include <stdio.h>

static mt_status run(int argc, char **argv) {
    (void)argc, (void)argv;
    const mt_kernels *kernels;
    printf("manta %s\nenvironment ABI %u, policy ABI %u, compiler %s\n", MANTA_VERSION, MANTA_ENV_ABI_VERSION, MANTA_POLICY_ABI_VERSION, __VERSION__);
    MT_TRY(mt_kernels_choose(&kernels));
    printf("kernels %s\n", kernels->name);
    return MT_OK;
}

const mt_app mt_app_version = {
    .name = "version",
    .summary = "print the version",
    .usage = "manta version",
    .run = run,
};
