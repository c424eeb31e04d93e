// Which environments there are: the built-in ones and those of loaded plugins. An object, not a global: a program makes one.
// Filled by one thread at the start, then read from any.
#ifndef MANTA_ROLLOUT_ENV_REGISTRY_H
#define MANTA_ROLLOUT_ENV_REGISTRY_H

#include <stddef.h>

#include "engine/base/plugin.h"
#include "engine/base/status.h"
#include "rollout/manta_env.h"

typedef struct mt_env_registry mt_env_registry;

mt_status mt_env_registry_create(mt_env_registry **out);   // with the built-in environments
void mt_env_registry_destroy(mt_env_registry *registry);   // unloads plugins: every mt_env of theirs must be gone

// Loads a plugin and adds its environments; one that brings policies, layers or losses alone has none. *out: Nullable; owned by the
// registry, for what else is in it (policies/policy_registry.h). Errors of mt_plugin_open and mt_env_plugin_table; MT_EXISTS when an id is taken already.
mt_status mt_env_registry_add_plugin(mt_env_registry *registry, const char *path, const mt_plugin **out);

// *out = the descriptor, owned by the registry.
// MT_NOT_FOUND says "did you mean" when a known id is near.
mt_status mt_env_registry_find(const mt_env_registry *registry, const char *id, const manta_env_desc **out);
const char *mt_env_registry_nearest(const mt_env_registry *registry, const char *id);   // NULL: nothing is near

// In the order of adding; for `manta envs`.
size_t mt_env_registry_count(const mt_env_registry *registry);
const manta_env_desc *mt_env_registry_at(const mt_env_registry *registry, size_t index);
const char *mt_env_registry_origin(const mt_env_registry *registry, size_t index);      // plugin's path; NULL: built in

#endif
