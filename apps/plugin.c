// manta plugin check: does a plugin keep the ABI's promises? Verdicts its author can act on.
#include "apps/app.h"
#include "rollout/check.h"

#include <stdio.h>
#include <string.h>

static mt_status run(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "check") == 0) return mt_check_plugin(argv[2]);
    return MT_FAIL(CONFIG, "usage: manta plugin check FILE.so");
}

const mt_app mt_app_plugin = {
    .name = "plugin",
    .summary = "check that an environment plugin keeps the ABI's promises",
    .usage = "manta plugin check FILE.so",
    .run = run,
};
