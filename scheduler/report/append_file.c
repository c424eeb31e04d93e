// A file that grows by whole records; see append_file.h. What always holds between calls: the file's end is
// `size_bytes`, or, when even cutting failed, the next write cuts first.
#include "scheduler/report/append_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/file.h"

static mt_status open_existing(mt_append_file *file) {
    file->fd = open(file->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file->fd < 0) return mt_file_fail(errno, "open", file->path);
    off_t end = lseek(file->fd, 0, SEEK_END);
    if (end < 0) return mt_file_fail(errno, "seek in", file->path);
    file->size_bytes = (uint64_t)end;
    return MT_OK;
}

mt_status mt_append_file_open(mt_append_file *file, const char *path, mt_append_mode mode) {
    *file = (mt_append_file){.fd = -1, .path = strdup(path)};
    if (!file->path) return MT_FAIL(NO_MEMORY, "out of memory for the path %s", path);
    mt_status status =
        mode == MT_APPEND_CREATE ? mt_file_open_exclusive(path, MT_FILE_PUBLIC, &file->fd) : open_existing(file);
    if (status != MT_OK) {
        if (file->fd >= 0) close(file->fd);
        free(file->path);
        *file = (mt_append_file){.fd = -1};
    }
    return status;
}

// 0 when the file ends, and the next write goes, where the last whole record ended
static int cut(mt_append_file *file) {
    if (ftruncate(file->fd, (off_t)file->size_bytes) != 0) return -1;
    return lseek(file->fd, (off_t)file->size_bytes, SEEK_SET) < 0 ? -1 : 0;
}

mt_status mt_append_file_write(mt_append_file *file, const void *data, size_t bytes) {
    MT_ASSERT(file->fd >= 0);
    if (bytes == 0) return MT_OK;
    if (file->torn) {
        if (cut(file) != 0) return mt_file_fail(errno, "cut the torn end of", file->path);
        file->torn = 0;
    }
    mt_status status = mt_file_write_all(file->fd, file->path, data, bytes);
    if (status != MT_OK) {
        file->torn = cut(file) != 0;
        return status;
    }
    file->size_bytes += bytes;
    return MT_OK;
}

mt_status mt_append_file_close(mt_append_file *file) {
    if (!file->path) return MT_OK;
    mt_status status = MT_OK;
    if (close(file->fd) != 0 && errno != EINTR) status = mt_file_fail(errno, "close", file->path);
    free(file->path);
    *file = (mt_append_file){.fd = -1};
    return status;
}
