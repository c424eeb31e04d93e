// Loading an environment plugin: a shared object by path, checked before anything in it is called.
//
// The file must be named by an absolute path (symbolic links are resolved), be a regular file owned by root or by this
// user, and neither it nor its folder may be writable by group or others (a sticky folder such as /tmp may). It is opened with
// RTLD_NOW | RTLD_LOCAL. Its constructors run inside dlopen: an untrusted plugin belongs into a child process.
#ifndef MANTA_ROLLOUT_PLUGIN_H
#define MANTA_ROLLOUT_PLUGIN_H

#include <stddef.h>

#include "engine/base/status.h"
#include "rollout/manta_env.h"

typedef struct mt_plugin mt_plugin;

// MT_NOT_FOUND, MT_INVALID_ARGUMENT (path), MT_PLUGIN (everything else); the message says what, where and what to do.
mt_status mt_plugin_open(const char *path, mt_plugin **out);
void mt_plugin_close(mt_plugin *plugin);   // NULL is allowed. Nothing of the plugin may be in use

const char *mt_plugin_path(const mt_plugin *plugin);   // resolved
const manta_env_plugin *mt_plugin_table(const mt_plugin *plugin);

// Checks what an entry symbol returned, and every descriptor in it, as a pure function over memory. `available` bytes may be
// read at table (SIZE_MAX when it is a loaded plugin's); `path` names the plugin in messages.
mt_status mt_plugin_validate(const manta_env_plugin *table, size_t available, const char *path);

#endif
