// Finding a run's environment. One thread, at start-up.
#include "scheduler/environment.h"

#include "engine/base/file.h"
#include "policies/policy_plugin.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

// The registry wants an absolute path, so that what is loaded never depends on a search.
static mt_status add_plugin(mt_environment *e, const char *path) {
    char absolute[PATH_MAX];
    const mt_plugin *plugin;
    if (!realpath(path, absolute)) return mt_file_fail(errno, "open plugin", path);
    MT_TRY(mt_env_registry_add_plugin(e->registry, absolute, &plugin));
    return mt_policy_plugin_has(plugin) ? mt_policy_registry_add(&e->policies, plugin) : MT_OK;
}

// each of a ':'-separated list of paths
static mt_status load_plugins(mt_environment *e, const char *list) {
    while (*list) {
        size_t length = strcspn(list, ":");
        char path[MT_OPTION_PATH_BYTES];
        snprintf(path, sizeof path, "%.*s", (int)length, list);
        if (length) MT_TRY(add_plugin(e, path));
        list += length + (list[length] == ':');
    }
    return MT_OK;
}

// what follows the last ".so" that ends a path: "" or ":ID"; NULL when `env` is no path
static const char *after_path(const char *env) {
    const char *end = NULL;
    for (const char *so = strstr(env, ".so"); so; so = strstr(so + 1, ".so"))
        if (so[3] == 0 || so[3] == ':') end = so + 3;
    return end;
}

// "./my_env.so[:ID]": loads the plugin; *id is then ID or the plugin's only environment
static mt_status open_path(mt_environment *e, const char *env, const char **id) {
    const char *end = after_path(env);
    char path[MT_OPTION_PATH_BYTES];
    snprintf(path, sizeof path, "%.*s", (int)(end - env), env);
    size_t before = mt_env_registry_count(e->registry);
    MT_TRY(add_plugin(e, path));
    size_t added = mt_env_registry_count(e->registry) - before;
    if (*end == ':') *id = end + 1;
    else if (added == 1) *id = mt_env_registry_at(e->registry, before)->id;
    else if (added == 0)
        return MT_FAIL(CONFIG, "%s brings no environment; load it with --plugin, and say --env for one", path);
    else
        return MT_FAIL(CONFIG, "%s has %zu environments: say which, as --env %s:ID (manta envs --plugin %s lists them)", path, added,
            path, path);
    return MT_OK;
}

static mt_status open_environment(mt_environment *e, const mt_train_config *config) {
    const char *id = config->env;
    if (!*id) return MT_FAIL(CONFIG, "no environment: say --env, for example --env CartPole-v1 (manta envs lists them)");
    MT_TRY(mt_env_registry_create(&e->registry));
    MT_TRY(load_plugins(e, config->plugin));
    if (after_path(config->env)) MT_TRY(open_path(e, config->env, &id));
    MT_TRY(mt_env_registry_find(e->registry, id, &e->desc));
    for (int i = 0; i < config->env_kwargs.count; i++)
        e->options[i] = (manta_env_option){.key = config->env_kwargs.items[i].key, .value = config->env_kwargs.items[i].value};
    e->option_count = (uint32_t)config->env_kwargs.count;
    return mt_env_check_options(e->desc, e->options, e->option_count);
}

// one path of a configuration, in place
static mt_status make_absolute(const char *what, char *path, size_t bytes) {
    char absolute[PATH_MAX];
    if (!realpath(path, absolute)) return mt_file_fail(errno, what, path);
    if (strlen(absolute) >= bytes) return MT_FAIL(CONFIG, "the path %s is too long", absolute);
    strcpy(path, absolute);
    return MT_OK;
}

// a ':'-separated list of them, in place
static mt_status make_list_absolute(char *list, size_t bytes) {
    char all[MT_OPTION_PATH_BYTES] = "", one[MT_OPTION_PATH_BYTES];
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, ":"), used = strlen(all);
        snprintf(one, sizeof one, "%.*s", (int)length, at);
        if (length) MT_TRY(make_absolute("open plugin", one, sizeof one));
        if (used + strlen(one) + 2 > bytes) return MT_FAIL(CONFIG, "the list of plugins %s is too long", list);
        if (length) snprintf(all + used, sizeof all - used, "%s%s", used ? ":" : "", one);
        at += length + (at[length] == ':');
    }
    strcpy(list, all);
    return MT_OK;
}

mt_status mt_environment_make_absolute(mt_train_config *config) {
    const char *end = after_path(config->env);
    MT_TRY(make_list_absolute(config->plugin, sizeof config->plugin));
    if (*config->init_weights) MT_TRY(make_absolute("open", config->init_weights, sizeof config->init_weights));
    if (!end) return MT_OK;
    char id[MT_NAME_BYTES];
    snprintf(id, sizeof id, "%s", end);
    config->env[end - config->env] = 0;
    MT_TRY(make_absolute("open plugin", config->env, sizeof config->env - sizeof id));
    strcat(config->env, id);
    return MT_OK;
}

mt_status mt_environment_open(mt_environment *out, const mt_train_config *config) {
    *out = (mt_environment){0};
    mt_status status = open_environment(out, config);
    if (status != MT_OK) mt_environment_close(out);
    return status;
}

void mt_environment_close(mt_environment *environment) {
    mt_policy_registry_fini(&environment->policies);
    mt_env_registry_destroy(environment->registry);
    *environment = (mt_environment){0};
}
