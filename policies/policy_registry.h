// Which policies, layers and losses plugins have brought. An object, not a global: filled by one thread at the start, then read
// from any. What manta has itself is not in it, and a plugin's name never hides one of manta's own.
#ifndef MANTA_POLICIES_POLICY_REGISTRY_H
#define MANTA_POLICIES_POLICY_REGISTRY_H

#include "engine/base/plugin.h"
#include "policies/manta_policy.h"

typedef enum mt_plugin_kind { MT_PLUGIN_POLICY, MT_PLUGIN_LAYER, MT_PLUGIN_LOSS, MT_PLUGIN_KINDS } mt_plugin_kind;

typedef struct mt_policy_entry {
    const char *name, *summary;   // the plugin's
    const char *origin;           // the plugin's path
    const void *desc;             // manta_policy_desc, manta_layer_desc or manta_loss_desc: the plugin's
} mt_policy_entry;

typedef struct mt_policy_registry {
    struct {
        mt_policy_entry *entries;   // owned (count)
        size_t count;
    } of[MT_PLUGIN_KINDS];
} mt_policy_registry;   // all zero: empty

// Adds what the plugin brings (MT_PLUGIN when that is nothing; mt_policy_plugin_has). The plugin must outlive the registry and
// what was made from it. MT_EXISTS when a name is taken by manta itself or another plugin: nothing is added then.
mt_status mt_policy_registry_add(mt_policy_registry *registry, const mt_plugin *plugin);
void mt_policy_registry_fini(mt_policy_registry *registry);

// Whether manta itself has the name, so that no plugin can.
int mt_policy_registry_reserves(mt_plugin_kind kind, const char *name);

// By name; NULL: no plugin has it. Nullable: registry.
const mt_policy_entry *mt_policy_registry_find(const mt_policy_registry *registry, mt_plugin_kind kind, const char *name);

#endif
