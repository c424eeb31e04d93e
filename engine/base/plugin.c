// Opens plugins. The checks of path and mode are made on the descriptor of the open file, and that descriptor
// is what is loaded (/proc/self/fd), so that the file cannot be exchanged between check and load. One thread, at start-up.
#include "engine/base/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct mt_plugin {
    char path[PATH_MAX];   // resolved
    void *handle;
    int file;              // open as long as the object is loaded; -1: not
    char name[PATH_MAX];   // what it was loaded by
};

mt_status mt_plugin_check_head(const void *table, size_t available, const mt_plugin_abi *abi, const char *path) {
    mt_plugin_head head = {0};
    if (!table)
        return MT_FAIL(PLUGIN, "%s: %s returned NULL: it does not work with ABI version %u; get a build for this manta", path,
            abi->entry, abi->version);
    if (available < 2 * sizeof(uint32_t))
        return MT_FAIL(PLUGIN, "%s: the plugin's table is cut short (%zu bytes)", path, available);
    memcpy(&head, table, 2 * sizeof(uint32_t));
    // the version first: with another one the rest of the struct means nothing
    if (head.abi_version != abi->version)
        return MT_FAIL(PLUGIN, "%s: made for %s ABI version %u, this manta speaks version %u; recompile it against this manta's %s",
            path, abi->what, head.abi_version, abi->version, abi->header);
    if (head.struct_size < abi->table_bytes || head.struct_size > available)
        return MT_FAIL(PLUGIN, "%s: the plugin's struct_size is %u, version %u needs %zu; set .struct_size = sizeof(%s)", path,
            head.struct_size, abi->version, abi->table_bytes, abi->table);
    memcpy(&head, table, sizeof head);
    if (!head.name || !head.version)
        return MT_FAIL(PLUGIN, "%s: the plugin's %s is NULL; give it a text", path, head.name ? "version" : "name");
    return MT_OK;
}

// ---- the file

static mt_status check_mode(const char *path, const struct stat *info, const char *what, int sticky_is_fine) {
    if (info->st_uid != 0 && info->st_uid != geteuid())
        return MT_FAIL(PLUGIN, "%s: %s belongs to user %u, not to root or to you (%u); plugins run with your rights: copy it to a "
            "folder of yours", path, what, (unsigned)info->st_uid, (unsigned)geteuid());
    if ((info->st_mode & (S_IWGRP | S_IWOTH)) && !(sticky_is_fine && (info->st_mode & S_ISVTX)))
        return MT_FAIL(PLUGIN, "%s: %s can be written by group or others (mode %04o); run chmod go-w on it", path, what,
            (unsigned)info->st_mode & 07777);
    return MT_OK;
}

static mt_status check_folder(const char *path) {
    char folder[PATH_MAX];
    struct stat info;
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    slash[slash == folder] = 0;   // "/x" lies in "/"
    if (stat(folder, &info) != 0) return MT_FAIL(IO, "%s: cannot look at its folder: %s", path, strerror(errno));
    return check_mode(path, &info, "its folder", 1);
}

static mt_status open_file(const char *given, char path[PATH_MAX], int *file) {
    struct stat info;
    if (!given || given[0] != '/')
        return MT_FAIL(INVALID_ARGUMENT, "plugin '%s': give the absolute path of the .so (for example \"$PWD/my_env.so\")",
            given ? given : "");
    if (!realpath(given, path))
        return MT_FAIL(NOT_FOUND, "plugin %s: %s; check the path", given, strerror(errno));
    *file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);   // O_NONBLOCK: a named pipe must not hang us
    if (*file < 0) return MT_FAIL(IO, "plugin %s: cannot be opened: %s", path, strerror(errno));
    if (fstat(*file, &info) != 0) return MT_FAIL(IO, "plugin %s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return MT_FAIL(PLUGIN, "plugin %s: not a regular file; name the .so itself", path);
    MT_TRY(check_mode(path, &info, "the file", 0));
    return check_folder(path);
}

// ---- the object

// The loader takes an object by a name that it knows for the one it has: a second plugin whose descriptor had the first one's number
// would be the first again. Hence the descriptor stays open, and its number taken.
static mt_status load(mt_plugin *plugin) {
    // /proc is not everywhere (containers without it): the path is the second choice
    struct stat same;
    snprintf(plugin->name, sizeof plugin->name, "/proc/self/fd/%d", plugin->file);
    if (stat(plugin->name, &same) != 0) memcpy(plugin->name, plugin->path, sizeof plugin->name);
    plugin->handle = dlopen(plugin->name, RTLD_NOW | RTLD_LOCAL);
    if (!plugin->handle) {
        const char *why = dlerror();
        return MT_FAIL(PLUGIN, "plugin %s: cannot be loaded: %s; build it with cc -shared -fPIC for this machine and link what "
            "it uses", plugin->path, why ? why : "unknown reason");
    }
    return MT_OK;
}

mt_status mt_plugin_open(const char *path, mt_plugin **out) {
    *out = NULL;
    mt_plugin *plugin = calloc(1, sizeof *plugin);
    if (!plugin) return MT_FAIL(NO_MEMORY, "no memory for a plugin");
    plugin->file = -1;
    mt_status status = open_file(path, plugin->path, &plugin->file);
    if (status == MT_OK) status = load(plugin);
    if (status != MT_OK) {
        mt_plugin_close(plugin);
        return status;
    }
    *out = plugin;
    return MT_OK;
}

void mt_plugin_close(mt_plugin *plugin) {
    if (!plugin) return;
    if (plugin->handle) dlclose(plugin->handle);
    // one that cannot be unloaded keeps its name
    void *still = plugin->handle ? dlopen(plugin->name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    if (still) dlclose(still);
    else if (plugin->file >= 0) close(plugin->file);
    free(plugin);
}

const char *mt_plugin_path(const mt_plugin *plugin) { return plugin->path; }
void *mt_plugin_symbol(const mt_plugin *plugin, const char *name) { return dlsym(plugin->handle, name); }
