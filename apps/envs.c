// manta envs: what can be trained on.
#include "apps/app.h"

#include "engine/base/file.h"
#include "rollout/env.h"
#include "rollout/env_registry.h"
#include "scheduler/config.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct envs_config {
    char plugin[MT_OPTION_PATH_BYTES];
} envs_config;

static const mt_option options_table[] = {
    {MT_OPTION(envs_config, plugin), .type = MT_OPT_STRING, .flags = MT_OPTION_PATH, .standard = "", .group = "Environments",
        .help = "also list the environments of this plugin"},
};

static envs_config config;
static size_t sections(mt_option_section *out) {
    out[0] = (mt_option_section){.table = options_table, .count = MT_COUNT(options_table), .object = &config};
    return 1;
}

static mt_status print_one(const mt_env_registry *registry, size_t index) {
    const manta_env_desc *d = mt_env_registry_at(registry, index);
    const char *origin = mt_env_registry_origin(registry, index);
    char observation[512], action[128];
    uint64_t seed = 0;
    mt_env *env = NULL;
    MT_TRY(mt_env_create(d, &(manta_env_config){.struct_size = sizeof(manta_env_config), .num_envs = 1, .seeds = &seed}, &env));
    mt_space_format(mt_env_observation_space(env), observation, sizeof observation);
    mt_space_format(mt_env_action_space(env), action, sizeof action);
    printf("%-26s %s\n%26s %s -> %s", d->id, d->summary ? d->summary : "", "", observation, action);
    if (d->max_episode_steps) printf(", at most %u steps", d->max_episode_steps);
    if (!isnan(d->reward_threshold)) printf(", solved at %g", d->reward_threshold);
    printf("%s%s\n", origin ? "\n                           from " : "", origin ? origin : "");
    for (uint32_t i = 0; i < d->option_count; i++)
        printf("%26s --env-kwargs %s:%s  %s\n", "", d->options[i].key, d->options[i].default_value, d->options[i].help);
    mt_env_destroy(env);
    return MT_OK;
}

static mt_status list(void) {
    mt_env_registry *registry = NULL;
    MT_TRY(mt_env_registry_create(&registry));
    mt_status status = MT_OK;
    if (*config.plugin) {
        char absolute[PATH_MAX];
        status = realpath(config.plugin, absolute) ? mt_env_registry_add_plugin(registry, absolute, NULL)
                                                   : mt_file_fail(errno, "open plugin", config.plugin);
    }
    for (size_t i = 0; status == MT_OK && i < mt_env_registry_count(registry); i++) status = print_one(registry, i);
    mt_env_registry_destroy(registry);
    return status;
}

static mt_status run(int argc, char **argv) {
    mt_option_section sections_here[1];
    mt_options options = {0};
    const char *extra;
    size_t count = 0;
    int done = 0;
    mt_status status = mt_app_parse(&mt_app_envs, &options, sections_here, sections(sections_here), argc, argv, &extra, 0, &count, &done);
    if (status == MT_OK && !done) status = list();
    mt_options_fini(&options);
    return status;
}

const mt_app mt_app_envs = {
    .name = "envs",
    .summary = "list the environments, their spaces and options",
    .usage = "manta envs [--plugin FILE.so]",
    .run = run,
    .sections = sections,
};
