// manta plugin: what is in a plugin, and does it keep the ABIs' promises? Verdicts its author can act on.
#include "apps/app.h"
#include "policies/policy_plugin.h"
#include "rollout/check.h"
#include "rollout/env_plugin.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- check

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

// ---- list

// "policy my_net    a hidden layer each for policy and value (also on a GPU)"
static void print_head(const char *kind, const char *name, const char *summary, uint32_t capabilities) {
    printf("%-11s %-24s %s%s\n", kind, name, summary ? summary : "", capabilities & MANTA_ON_CUDA ? " (also on a GPU)" : "");
}

static void print_options(const char *flag, const manta_policy_option_desc *options, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        printf("%11s --%s %s:%s  %s\n", "", flag, options[i].key, options[i].default_value, options[i].help);
}

static void print_layer(const manta_layer_desc *l) {
    print_head("layer", l->name, l->summary, l->capabilities);
    printf("%11s %s", "", l->name);
    for (uint32_t i = 0; i < l->number_count; i++) printf(" %s", l->numbers[i].name);
    printf("\n");
    for (uint32_t i = 0; i < l->number_count; i++)
        printf("%11s   %s (%g): %s\n", "", l->numbers[i].name, l->numbers[i].standard, l->numbers[i].help);
}

static void print_policies(const manta_policy_plugin *t) {
    for (uint32_t i = 0; i < t->policy_count; i++) {
        print_head("policy", t->policies[i]->name, t->policies[i]->summary, t->policies[i]->capabilities);
        print_options("policy-options", t->policies[i]->options, t->policies[i]->option_count);
    }
    for (uint32_t i = 0; i < t->layer_count; i++) print_layer(t->layers[i]);
    for (uint32_t i = 0; i < t->loss_count; i++) {
        print_head("loss", t->losses[i]->name, t->losses[i]->summary, t->losses[i]->capabilities);
        print_options("loss-options", t->losses[i]->options, t->losses[i]->option_count);
    }
}

static mt_status print_all(const mt_plugin *plugin) {
    const manta_env_plugin *environments;
    const manta_policy_plugin *policies;
    if (mt_env_plugin_has(plugin) || !mt_policy_plugin_has(plugin)) {
        MT_TRY(mt_env_plugin_table(plugin, &environments));
        for (uint32_t i = 0; i < environments->env_count; i++) print_head("environment", environments->envs[i]->id, environments->envs[i]->summary, 0);
    }
    if (!mt_policy_plugin_has(plugin)) return MT_OK;
    MT_TRY(mt_policy_plugin_table(plugin, &policies));
    print_policies(policies);
    return MT_OK;
}

static mt_status list(const char *path) {
    char absolute[PATH_MAX];
    mt_plugin *plugin;
    if (!realpath(path, absolute)) return mt_file_fail(errno, "open plugin", path);
    MT_TRY(mt_plugin_open(absolute, &plugin));
    mt_status status = print_all(plugin);
    mt_plugin_close(plugin);
    return status;
}

static mt_status run(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "check") == 0 && argv[2][0] != '-') return check(argv[2]);
    if (argc == 3 && strcmp(argv[1], "list") == 0 && argv[2][0] != '-') return list(argv[2]);
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        printf("usage: %s\n\n%s\n\n%s\n", mt_app_plugin.usage, mt_app_plugin.summary, mt_app_plugin.details);
        return MT_OK;
    }
    return MT_FAIL(CONFIG, "usage: manta plugin check FILE.so, or manta plugin list FILE.so");
}

const mt_app mt_app_plugin = {
    .name = "plugin",
    .summary = "check that a plugin keeps the ABI's promises, or list what it brings",
    .usage = "manta plugin check|list FILE.so",
    .details = "check runs every environment, policy, layer and loss of the plugin in child processes, with guard pages round their arrays, holds "
               "gradients against finite differences, and prints PASS, WARN or FAIL for each promise, with what to do about it. Exit status 8 "
               "when one is broken. list prints names, summaries and options (an environment's: manta envs --plugin FILE.so).",
    .run = run,
};
