// Finding a run's environment. One thread, at start-up.
#include "scheduler/environment.h"

#include "engine/base/file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

// The registry wants an absolute path, so that what is loaded never depends on a search.
static mt_status add_plugin(mt_env_registry *registry, const char *path) {
    char absolute[PATH_MAX];
    if (!realpath(path, absolute)) return mt_file_fail(errno, "open plugin", path);
    return mt_env_registry_add_plugin(registry, absolute);
}

// calls the registry for each of a ':'-separated list of paths
static mt_status load_plugins(mt_env_registry *registry, const char *list) {
    while (*list) {
        size_t length = strcspn(list, ":");
        char path[MT_OPTION_PATH_BYTES];
        snprintf(path, sizeof path, "%.*s", (int)length, list);
        if (length) MT_TRY(add_plugin(registry, path));
        list += length + (list[length] == ':');
    }
    return MT_OK;
}

// "./my_env.so[:ID]": loads the plugin; *id is then ID or the plugin's only environment
static mt_status open_path(mt_env_registry *registry, const char *env, const char **id) {
    const char *end = strstr(env, ".so") + 3;
    char path[MT_NAME_BYTES];
    snprintf(path, sizeof path, "%.*s", (int)(end - env), env);
    size_t before = mt_env_registry_count(registry);
    MT_TRY(add_plugin(registry, path));
    size_t added = mt_env_registry_count(registry) - before;
    if (*end == ':') *id = end + 1;
    else if (added == 1) *id = mt_env_registry_at(registry, before)->id;
    else
        return MT_FAIL(CONFIG, "%s has %zu environments: say which, as --env %s:ID (manta envs --plugin %s lists them)", path, added,
            path, path);
    return MT_OK;
}

static int is_path(const char *env) {
    const char *so = strstr(env, ".so");
    return so && (so[3] == 0 || so[3] == ':');
}

static mt_status open_environment(mt_environment *e, const mt_train_config *config) {
    const char *id = config->env;
    MT_TRY(mt_env_registry_create(&e->registry));
    MT_TRY(load_plugins(e->registry, config->plugin));
    if (is_path(config->env)) MT_TRY(open_path(e->registry, config->env, &id));
    MT_TRY(mt_env_registry_find(e->registry, id, &e->desc));
    for (int i = 0; i < config->env_kwargs.count; i++)
        e->options[i] = (manta_env_option){.key = config->env_kwargs.items[i].key, .value = config->env_kwargs.items[i].value};
    e->option_count = (uint32_t)config->env_kwargs.count;
    return mt_env_check_options(e->desc, e->options, e->option_count);
}

mt_status mt_environment_open(mt_environment *out, const mt_train_config *config) {
    *out = (mt_environment){0};
    mt_status status = open_environment(out, config);
    if (status != MT_OK) mt_environment_close(out);
    return status;
}

void mt_environment_close(mt_environment *environment) {
    mt_env_registry_destroy(environment->registry);
    *environment = (mt_environment){0};
}
