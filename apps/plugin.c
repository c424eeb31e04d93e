// manta plugin check: does a plugin keep the ABIs' promises? Verdicts its author can act on.
#include "apps/app.h"
#include "rollout/check.h"

#include <stdio.h>
#include <string.h>

static void print_line(void *context, mt_verdict verdict, const char *check, const char *text) {
    int *warnings = context;
    *warnings += verdict == MT_VERDICT_WARN;
    printf("%s %s: %s\n", mt_verdict_name(verdict), check, text);
    fflush(stdout);
}

static mt_status check(const char *path) {
    int failures = 0, warnings = 0;
    MT_TRY(mt_plugin_check(path, NULL, print_line, &warnings, &failures));
    if (failures) return MT_FAIL(PLUGIN, "%s: %d of the ABI's promises broken, see the lines with FAIL", path, failures);
    printf("%s keeps the ABI's promises", path);
    if (warnings) printf(" (%d warning%s)", warnings, warnings == 1 ? "" : "s");
    printf("\n");
    return MT_OK;
}

static mt_status run(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "check") == 0 && argv[2][0] != '-') return check(argv[2]);
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        printf("usage: %s\n\n%s\n\n%s\n", mt_app_plugin.usage, mt_app_plugin.summary, mt_app_plugin.details);
        return MT_OK;
    }
    return MT_FAIL(CONFIG, "usage: manta plugin check FILE.so");
}

const mt_app mt_app_plugin = {
    .name = "plugin",
    .summary = "check that a plugin keeps the ABI's promises",
    .usage = "manta plugin check FILE.so",
    .details = "Runs every environment, policy, layer and loss of the plugin in child processes, with guard pages round their arrays, holds "
               "gradients against finite differences, and prints PASS, WARN or FAIL for each promise, with what to do about it. Exit status 8 "
               "when one is broken.",
    .run = run,
};
