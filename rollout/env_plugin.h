// The environments of a plugin: its entry symbol called, and everything that it returns checked.
#ifndef MANTA_ROLLOUT_ENV_PLUGIN_H
#define MANTA_ROLLOUT_ENV_PLUGIN_H

#include "engine/base/plugin.h"
#include "rollout/manta_env.h"

// Whether there are any: it exports manta_env_entry.
int mt_env_plugin_has(const mt_plugin *plugin);

// *out: inside the plugin. MT_PLUGIN with what is wrong; when it exports no environments, how it would.
mt_status mt_env_plugin_table(const mt_plugin *plugin, const manta_env_plugin **out);

// Checks what an entry symbol returned, and every descriptor in it, as a pure function over memory. `available` bytes may be
// read at table (SIZE_MAX when it is a loaded plugin's); `path` names the plugin in messages.
mt_status mt_env_plugin_validate(const manta_env_plugin *table, size_t available, const char *path);

#endif
