// Plugins: shared objects that somebody else wrote, found, looked at and loaded. What their entry symbols return belongs to the
// floor whose ABI it is (policies/manta_policy.h, rollout/manta_env.h).
//
// The file must be named by an absolute path (symbolic links are resolved), be a regular file owned by root or by this
// user, and neither it nor its folder may be writable by group or others (a sticky folder such as /tmp may). It is opened with
// RTLD_NOW | RTLD_LOCAL. Its constructors run inside dlopen: an untrusted plugin belongs into a child process.
#ifndef MANTA_ENGINE_BASE_PLUGIN_H
#define MANTA_ENGINE_BASE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/status.h"

typedef struct mt_plugin mt_plugin;

// MT_NOT_FOUND, MT_INVALID_ARGUMENT (path), MT_PLUGIN (everything else); the message says what, where and what to do.
mt_status mt_plugin_open(const char *path, mt_plugin **out);
void mt_plugin_close(mt_plugin *plugin);   // NULL is allowed. Nothing of the plugin may be in use

const char *mt_plugin_path(const mt_plugin *plugin);   // resolved

// The address of what it exports under this name; NULL: nothing.
void *mt_plugin_symbol(const mt_plugin *plugin, const char *name);

// What the table begins with that an entry symbol returns, in every ABI.
typedef struct mt_plugin_head {
    uint32_t struct_size, abi_version;
    const char *name, *version;
} mt_plugin_head;

// What an ABI wants of it; for messages, too.
typedef struct mt_plugin_abi {
    const char *what;     // "environment"
    const char *entry;    // "manta_env_entry"
    const char *header;   // "manta_env.h"
    const char *table;    // "manta_env_plugin"
    uint32_t version;
    size_t table_bytes;   // of this version's table
} mt_plugin_abi;

// As a pure function over memory: `available` bytes may be read at table (SIZE_MAX when it is a loaded plugin's); `path` names the
// plugin in messages. MT_PLUGIN.
mt_status mt_plugin_check_head(const void *table, size_t available, const mt_plugin_abi *abi, const char *path);

#endif
