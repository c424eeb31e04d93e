// The registry: two growing lists, of environments and of plugins. Searched linearly: there are tens of entries.
#include "rollout/env_registry.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/text.h"
#include "policies/policy_plugin.h"
#include "rollout/env_plugin.h"
#include "rollout/envs/builtin.h"

struct entry {
    const manta_env_desc *desc;   // borrowed from the program or the plugin
    const char *origin;           // plugin's path, borrowed from it; NULL: built in
};

struct mt_env_registry {
    struct entry *entries;   // owned
    size_t count;
    mt_plugin **plugins;     // owned
    size_t plugin_count;
};

static const struct entry *lookup(const mt_env_registry *registry, const char *id) {
    for (size_t i = 0; i < registry->count; i++)
        if (strcmp(registry->entries[i].desc->id, id) == 0) return &registry->entries[i];
    return NULL;
}

static mt_status append(mt_env_registry *registry, const manta_env_desc *const *descs, size_t count, const char *origin) {
    for (size_t i = 0; i < count; i++) {
        const struct entry *taken = lookup(registry, descs[i]->id);
        if (taken)
            return MT_FAIL(EXISTS, "%s: the environment id %s is taken already by %s; rename it, or load one of them", origin,
                descs[i]->id, taken->origin ? taken->origin : "a built-in environment");
    }
    struct entry *entries = realloc(registry->entries, (registry->count + count) * sizeof *entries);
    if (!entries) return MT_FAIL(NO_MEMORY, "no memory for the list of environments");
    registry->entries = entries;
    for (size_t i = 0; i < count; i++) entries[registry->count++] = (struct entry){descs[i], origin};
    return MT_OK;
}

mt_status mt_env_registry_create(mt_env_registry **out) {
    *out = NULL;
    mt_env_registry *registry = calloc(1, sizeof *registry);
    if (!registry) return MT_FAIL(NO_MEMORY, "no memory for the list of environments");
    const manta_env_desc *const *builtins;
    size_t count;
    mt_status status = mt_env_builtins_choose(&builtins, &count);
    if (status == MT_OK) status = append(registry, builtins, count, NULL);
    if (status != MT_OK) {
        mt_env_registry_destroy(registry);
        return status;
    }
    *out = registry;
    return MT_OK;
}

void mt_env_registry_destroy(mt_env_registry *registry) {
    if (!registry) return;
    for (size_t i = 0; i < registry->plugin_count; i++) mt_plugin_close(registry->plugins[i]);
    free(registry->plugins);
    free(registry->entries);
    free(registry);
}

static mt_status add_environments(mt_env_registry *registry, const mt_plugin *plugin) {
    const manta_env_plugin *table;
    if (!mt_env_plugin_has(plugin)) {
        if (mt_policy_plugin_has(plugin)) return MT_OK;
        return MT_FAIL(PLUGIN, "plugin %s: it exports neither " MANTA_ENV_ENTRY_SYMBOL " nor " MANTA_POLICY_ENTRY_SYMBOL "; define one "
            "with MANTA_EXPORT (extern \"C\" in C++), as manta_env.h and manta_policy.h say", mt_plugin_path(plugin));
    }
    MT_TRY(mt_env_plugin_table(plugin, &table));
    return append(registry, table->envs, table->env_count, mt_plugin_path(plugin));
}

mt_status mt_env_registry_add_plugin(mt_env_registry *registry, const char *path, const mt_plugin **out) {
    if (out) *out = NULL;
    mt_plugin **plugins = realloc(registry->plugins, (registry->plugin_count + 1) * sizeof *plugins);
    if (!plugins) return MT_FAIL(NO_MEMORY, "no memory for the list of plugins");
    registry->plugins = plugins;
    mt_plugin *plugin;
    MT_TRY(mt_plugin_open(path, &plugin));
    mt_status status = add_environments(registry, plugin);
    if (status != MT_OK) {
        mt_plugin_close(plugin);
        return status;
    }
    plugins[registry->plugin_count++] = plugin;
    if (out) *out = plugin;
    return MT_OK;
}

static const char *id_at(const void *list, size_t index) { return ((const struct entry *)list)[index].desc->id; }

const char *mt_env_registry_nearest(const mt_env_registry *registry, const char *id) {
    return mt_text_nearest_at(id, id_at, registry->entries, registry->count);
}

mt_status mt_env_registry_find(const mt_env_registry *registry, const char *id, const manta_env_desc **out) {
    const struct entry *found = lookup(registry, id);
    *out = found ? found->desc : NULL;
    if (found) return MT_OK;
    char hint[160];
    mt_text_did_you_mean(mt_env_registry_nearest(registry, id), hint, sizeof hint);
    return MT_FAIL(NOT_FOUND, "no environment is called '%s' (`manta envs` lists them, --plugin loads more)%s", id, hint);
}

size_t mt_env_registry_count(const mt_env_registry *registry) { return registry->count; }
const manta_env_desc *mt_env_registry_at(const mt_env_registry *registry, size_t index) { return registry->entries[index].desc; }
const char *mt_env_registry_origin(const mt_env_registry *registry, size_t index) { return registry->entries[index].origin; }
