// Files: read whole, write atomically, and the steps of a commit. System calls only, no state; any thread.
// Durable means: the data is fsynced before the rename, and the folder after it.
#include "engine/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/failpoint.h"

static const char *advice(int error) {
    switch (error) {
    case ENOSPC:
    case EDQUOT: return "disk full: free space or choose another --log-folder";
    case EROFS: return "the file system is read-only: choose another --log-folder";
    case EACCES:
    case EPERM: return "check the permissions";
    case ENOENT: return "check the path";
    case ENOTDIR: return "a part of the path is a file";
    case EMFILE:
    case ENFILE: return "too many open files: raise the limit (ulimit -n)";
    case EIO: return "the disk reports damage: check the system's log";
    case ENAMETOOLONG: return "choose a shorter name";
    case EEXIST: return "choose another name or remove it";
    default: return NULL;
    }
}

mt_status mt_file_fail(int error, const char *doing, const char *path) {
    const char *todo = advice(error);
    mt_status code = error == ENOENT ? MT_NOT_FOUND : error == EEXIST ? MT_EXISTS : error == ENOMEM ? MT_NO_MEMORY : MT_IO;
    return mt_fail(code, __FILE__, __LINE__, "cannot %s %s: %s%s%s", doing, path, strerror(error), todo ? "; " : "",
        todo ? todo : "");
}

// the failpoint's errno, or 0
static int injected(const char *point) {
    int error = mt_failpoint(point);
    if (error) errno = error;
    return error;
}

// ---- reading ----

static mt_status too_large(const char *path, size_t max_bytes) {
    return MT_FAIL(INVALID_ARGUMENT, "%s is larger than the %zu bytes expected of such a file", path, max_bytes);
}

// reads to the end: sizes reported by the system are a hint only (/proc says 0, a file may grow meanwhile)
static mt_status read_all(int fd, const char *path, size_t hint, size_t max_bytes, char **data, size_t *size) {
    size_t capacity = hint + 1, used = 0;
    char *buffer = malloc(capacity);
    if (!buffer) return MT_FAIL(NO_MEMORY, "out of memory (%zu bytes) while reading %s", capacity, path);
    for (;;) {
        if (used + 1 == capacity || capacity == 1) {
            size_t more = capacity < 4096 ? 4096 : 2 * capacity;
            char *grown = realloc(buffer, more);
            if (!grown) {
                free(buffer);
                return MT_FAIL(NO_MEMORY, "out of memory (%zu bytes) while reading %s", more, path);
            }
            buffer = grown;
            capacity = more;
        }
        ssize_t got = read(fd, buffer + used, capacity - 1 - used);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) continue;
        if (got > 0) used += (size_t)got;
        if (got > 0 && used <= max_bytes) continue;
        int error = errno;
        free(buffer);
        return got < 0 ? mt_file_fail(error, "read", path) : too_large(path, max_bytes);
    }
    buffer[used] = '\0';
    *data = buffer;
    *size = used;
    return MT_OK;
}

mt_status mt_file_read(const char *path, size_t max_bytes, char **data, size_t *size) {
    *data = NULL;
    size_t used = 0;
    // O_NONBLOCK: opening a pipe must not wait for its writer; it is refused right after
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return mt_file_fail(errno, "open", path);
    struct stat info;
    mt_status status = MT_OK;
    if (fstat(fd, &info) != 0) status = mt_file_fail(errno, "look at", path);
    else if (S_ISDIR(info.st_mode)) status = MT_FAIL(INVALID_ARGUMENT, "%s is a folder; a file is expected", path);
    else if (!S_ISREG(info.st_mode)) status = MT_FAIL(INVALID_ARGUMENT, "%s is not a regular file", path);
    else if ((uint64_t)info.st_size > max_bytes) status = too_large(path, max_bytes);
    else status = read_all(fd, path, (size_t)info.st_size, max_bytes, data, &used);
    close(fd);
    if (status == MT_OK && size) *size = used;
    return status;
}

// ---- writing ----

mt_status mt_file_open_exclusive(const char *path, mode_t mode, int *fd) {
    *fd = -1;
    if (injected("file.open")) return mt_file_fail(errno, "create", path);
    int opened = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (opened < 0) return mt_file_fail(errno, "create", path);
    // the umask has taken bits away: the mode asked for is the mode
    if (fchmod(opened, mode) != 0) {
        int error = errno;
        close(opened);
        unlink(path);
        return mt_file_fail(error, "set the mode of", path);
    }
    *fd = opened;
    return MT_OK;
}

mt_status mt_file_write_all(int fd, const char *path, const void *data, size_t size) {
    const char *bytes = data;
    do {
        if (injected("file.write")) return mt_file_fail(errno, "write", path);
        // at most 1 GiB a call: the system cuts larger ones anyway
        size_t part = size < ((size_t)1 << 30) ? size : (size_t)1 << 30;
        ssize_t done = part ? write(fd, bytes, part) : 0;
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return mt_file_fail(errno, "write", path);
        if (done == 0 && part) return mt_file_fail(ENOSPC, "write", path);
        bytes += done;
        size -= (size_t)done;
    } while (size);
    return MT_OK;
}

static int sync_descriptor(int fd) {
    if (injected("file.fsync")) return -1;
    int rc;
    do rc = fsync(fd);
    while (rc != 0 && errno == EINTR);
    return rc;
}

mt_status mt_file_sync_close(int fd, const char *path) {
    int error = sync_descriptor(fd) == 0 ? 0 : errno;
    // close reports late write errors of network file systems; after it the descriptor is gone in every case
    if (close(fd) != 0 && error == 0 && errno != EINTR) error = errno;
    return error ? mt_file_fail(error, "write to disk", path) : MT_OK;
}

mt_status mt_file_sync_folder(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return mt_file_fail(errno, "open", path);
    int error = sync_descriptor(fd) == 0 ? 0 : errno;
    close(fd);
    // EINVAL: some file systems cannot sync folders, and there is nothing better to do on them
    return error && error != EINVAL ? mt_file_fail(error, "write to disk", path) : MT_OK;
}

static mt_status sync_parent(const char *path) {
    char parent[MT_PATH_BYTES];
    MT_TRY(mt_path_parent(parent, sizeof parent, path));
    return mt_file_sync_folder(parent);
}

mt_status mt_file_rename(const char *from, const char *to) {
    if (injected("file.rename") || rename(from, to) != 0) return mt_file_fail(errno, "put in place", to);
    return sync_parent(to);
}

mt_status mt_file_rename_new(const char *from, const char *to) {
    if (injected("file.rename")) return mt_file_fail(errno, "put in place", to);
    int rc = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (rc != 0 && (errno == EINVAL || errno == ENOSYS)) {
        // a file system without the flag: look first; the gap is open only to a second writer of the same folder
        if (mt_file_exists(to)) return mt_file_fail(EEXIST, "put in place", to);
        rc = rename(from, to);
    }
    if (rc != 0) return mt_file_fail(errno, "put in place", to);
    return sync_parent(to);
}

static mt_status write_new(const char *path, const void *data, size_t size, mode_t mode) {
    int fd;
    MT_TRY(mt_file_open_exclusive(path, mode, &fd));
    mt_status status = mt_file_write_all(fd, path, data, size);
    MT_KEEP(status, mt_file_sync_close(fd, path));
    return status;
}

mt_status mt_file_write_atomic(const char *path, const void *data, size_t size, mode_t mode) {
    static atomic_uint serial;
    char temporary[MT_PATH_BYTES], parent[MT_PATH_BYTES];
    MT_TRY(mt_path_parent(parent, sizeof parent, path));
    int length = snprintf(temporary, sizeof temporary, "%s/.%.200s.%ld.%u.tmp", parent, mt_path_name(path), (long)getpid(),
        atomic_fetch_add(&serial, 1));
    if (length >= (int)sizeof temporary) return mt_file_fail(ENAMETOOLONG, "write", path);
    mt_status status = write_new(temporary, data, size, mode);
    if (status == MT_EXISTS) return status;   // somebody else's: not ours to remove
    if (status == MT_OK) status = mt_file_rename(temporary, path);
    // after a failed sync of the folder the file is in place and this removes nothing
    if (status != MT_OK) unlink(temporary);
    return status;
}

// ---- looking, paths ----

bool mt_file_exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

bool mt_file_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

mt_status mt_file_size(const char *path, uint64_t *bytes) {
    struct stat info;
    if (stat(path, &info) != 0) return mt_file_fail(errno, "look at", path);
    *bytes = (uint64_t)info.st_size;
    return MT_OK;
}

mt_status mt_path_join(char *out, size_t out_bytes, const char *a, const char *b) {
    bool alone = *a == '\0' || *b == '/';
    size_t length = strlen(a);
    bool slash = length && a[length - 1] == '/';
    int need = snprintf(out, out_bytes, "%s%s%s", alone ? "" : a, alone || slash ? "" : "/", b);
    if (need >= 0 && (size_t)need < out_bytes) return MT_OK;
    if (out_bytes) out[0] = '\0';
    return MT_FAIL(INVALID_ARGUMENT, "the path %.60s.../%.60s is too long; choose a shorter one", a, b);
}

const char *mt_path_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

mt_status mt_path_parent(char *out, size_t out_bytes, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 1;
    const char *from = slash ? path : ".";
    if (slash == path) length = 1;   // "/b" stands in "/"
    if (length >= out_bytes) return MT_FAIL(INVALID_ARGUMENT, "the path %.100s... is too long; choose a shorter one", path);
    memcpy(out, from, length);
    out[length] = '\0';
    return MT_OK;
}
