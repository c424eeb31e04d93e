// The registry: a growing list of each kind. Searched linearly: there are a few entries, and only at the start.
#include "policies/policy_registry.h"

#include "policies/architecture.h"
#include "policies/network_text.h"
#include "policies/policy_plugin.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[MT_PLUGIN_KINDS] = {"policy", "layer", "loss"};

// what a list of descriptors holds at `index`
static mt_policy_entry entry_of(const manta_policy_plugin *table, mt_plugin_kind kind, uint32_t index, const char *origin) {
    if (kind == MT_PLUGIN_POLICY)
        return (mt_policy_entry){table->policies[index]->name, table->policies[index]->summary, origin, table->policies[index]};
    if (kind == MT_PLUGIN_LAYER)
        return (mt_policy_entry){table->layers[index]->name, table->layers[index]->summary, origin, table->layers[index]};
    return (mt_policy_entry){table->losses[index]->name, table->losses[index]->summary, origin, table->losses[index]};
}

int mt_policy_registry_reserves(mt_plugin_kind kind, const char *name) {
    if (kind == MT_PLUGIN_LAYER) return mt_network_text_knows(name);
    return kind == MT_PLUGIN_POLICY && mt_policy_find(name) >= 0;
}

static mt_status check_free(const mt_policy_registry *registry, mt_plugin_kind kind, const mt_policy_entry *e) {
    const mt_policy_entry *taken = mt_policy_registry_find(registry, kind, e->name);
    if (!taken && !mt_policy_registry_reserves(kind, e->name)) return MT_OK;
    return MT_FAIL(EXISTS, "%s: the name %s of a %s is taken already by %s; rename it%s", e->origin, e->name, kind_names[kind],
        taken ? taken->origin : "manta itself", taken ? ", or load one of them" : "");
}

mt_status mt_policy_registry_add(mt_policy_registry *registry, const mt_plugin *plugin) {
    const manta_policy_plugin *table;
    MT_TRY(mt_policy_plugin_table(plugin, &table));
    const uint32_t counts[MT_PLUGIN_KINDS] = {table->policy_count, table->layer_count, table->loss_count};
    const char *origin = mt_plugin_path(plugin);
    for (int k = 0; k < MT_PLUGIN_KINDS; k++)
        for (uint32_t i = 0; i < counts[k]; i++) {
            mt_policy_entry e = entry_of(table, (mt_plugin_kind)k, i, origin);
            MT_TRY(check_free(registry, (mt_plugin_kind)k, &e));
        }
    // room for all of them first: then nothing can fail
    for (int k = 0; k < MT_PLUGIN_KINDS; k++) {
        size_t count = registry->of[k].count + counts[k];
        mt_policy_entry *entries = count ? realloc(registry->of[k].entries, count * sizeof *entries) : NULL;
        if (count && !entries) return MT_FAIL(NO_MEMORY, "no memory for the list of plugins' policies");
        if (count) registry->of[k].entries = entries;
    }
    for (int k = 0; k < MT_PLUGIN_KINDS; k++)
        for (uint32_t i = 0; i < counts[k]; i++)
            registry->of[k].entries[registry->of[k].count++] = entry_of(table, (mt_plugin_kind)k, i, origin);
    return MT_OK;
}

void mt_policy_registry_fini(mt_policy_registry *registry) {
    for (int k = 0; k < MT_PLUGIN_KINDS; k++) free(registry->of[k].entries);
    *registry = (mt_policy_registry){0};
}

const mt_policy_entry *mt_policy_registry_find(const mt_policy_registry *registry, mt_plugin_kind kind, const char *name) {
    for (size_t i = 0; registry && i < registry->of[kind].count; i++)
        if (strcmp(registry->of[kind].entries[i].name, name) == 0) return &registry->of[kind].entries[i];
    return NULL;
}
