// Folders: making, listing, removing (declared in file.h). Removal works on descriptors relative to the root and follows no
// link, so that a link swapped in meanwhile cannot lead it outside. Any thread.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/failpoint.h"
#include "engine/base/file.h"

enum { REMOVE_DEPTH_MAX = 64 };   // one descriptor a level

mt_status mt_folder_make_new(const char *path, mode_t mode) {
    int error = mt_failpoint("file.mkdir");
    if (error == 0 && mkdir(path, mode) != 0) error = errno;
    if (error) return mt_file_fail(error, "make the folder", path);
    // exact mode whatever the umask; through a descriptor that follows no link
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return (mode & 0400) ? mt_file_fail(errno, "open", path) : MT_OK;
    error = fchmod(fd, mode) == 0 ? 0 : errno;
    close(fd);
    return error ? mt_file_fail(error, "set the mode of", path) : MT_OK;
}

static mt_status make_unless_there(const char *path, mode_t mode) {
    if (mt_file_is_folder(path)) return MT_OK;
    mt_status status = mt_folder_make_new(path, mode);
    // another process may have made it meanwhile
    if (status == MT_EXISTS && mt_file_is_folder(path)) return MT_OK;
    if (status == MT_EXISTS) return MT_FAIL(EXISTS, "%s is a file; a folder is needed there: remove it or choose another name", path);
    return status;
}

mt_status mt_folder_make(const char *path, mode_t mode) {
    char part[MT_PATH_BYTES];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part) return mt_file_fail(length ? ENAMETOOLONG : ENOENT, "make the folder", path);
    memcpy(part, path, length + 1);
    for (size_t i = 1; i < length; i++) {
        if (part[i] != '/' || part[i - 1] == '/') continue;
        part[i] = '\0';
        MT_TRY(make_unless_there(part, mode));
        part[i] = '/';
    }
    return make_unless_there(part, mode);
}

// ---- listing ----

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static mt_status add_name(mt_folder_names *names, size_t *capacity, const char *name) {
    if (names->count == *capacity) {
        size_t more = *capacity ? 2 * *capacity : 16;
        char **grown = realloc(names->names, more * sizeof *grown);
        if (!grown) return MT_FAIL(NO_MEMORY, "out of memory while listing a folder");
        names->names = grown;
        *capacity = more;
    }
    char *own = strdup(name);
    if (!own) return MT_FAIL(NO_MEMORY, "out of memory while listing a folder");
    names->names[names->count++] = own;
    return MT_OK;
}

static bool is_dot(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

mt_status mt_folder_list(const char *path, mt_folder_names *out) {
    *out = (mt_folder_names){0};
    size_t capacity = 0;
    DIR *folder = opendir(path);
    if (!folder) return mt_file_fail(errno, "list", path);
    mt_status status = MT_OK;
    while (status == MT_OK) {
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (!entry && errno) status = mt_file_fail(errno, "list", path);
        if (!entry) break;
        if (!is_dot(entry->d_name)) status = add_name(out, &capacity, entry->d_name);
    }
    closedir(folder);
    if (status != MT_OK) mt_folder_names_fini(out);
    else if (out->count) qsort(out->names, out->count, sizeof *out->names, compare_names);
    return status;
}

void mt_folder_names_fini(mt_folder_names *names) {
    for (size_t i = 0; i < names->count; i++) free(names->names[i]);
    free(names->names);
    *names = (mt_folder_names){0};
}

// ---- removing ----

static int remove_entry(int folder, const char *name, int depth);   // 0 or an errno

static int remove_inside(int fd, int depth) {
    DIR *stream = fdopendir(fd);   // owns fd from here
    if (!stream) {
        int error = errno;
        close(fd);
        return error;
    }
    int error = 0;
    while (error == 0) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (!entry) {
            error = errno;
            break;
        }
        if (!is_dot(entry->d_name)) error = remove_entry(dirfd(stream), entry->d_name, depth);
    }
    closedir(stream);
    return error;
}

static int remove_entry(int folder, const char *name, int depth) {
    struct stat info;
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT ? 0 : errno;
    if (!S_ISDIR(info.st_mode)) return unlinkat(folder, name, 0) == 0 || errno == ENOENT ? 0 : errno;
    if (depth >= REMOVE_DEPTH_MAX) return ELOOP;
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno;
    int error = remove_inside(fd, depth + 1);
    if (error) return error;
    return unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
}

mt_status mt_folder_remove_tree(const char *root, const char *name) {
    if (*name == '\0' || is_dot(name) || strchr(name, '/'))
        return MT_FAIL(INVALID_ARGUMENT, "\"%.100s\" is not the name of something in %s; nothing was removed", name, root);
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return mt_file_fail(errno, "open", root);
    int error = remove_entry(fd, name, 0);
    close(fd);
    if (error == 0) return MT_OK;
    char path[MT_PATH_BYTES];
    MT_TRY(mt_path_join(path, sizeof path, root, name));
    return mt_file_fail(error, "remove", path);
}
