// Files: whole-file reads with a limit, writes that are there completely or not at all, folders.
//
// Every error names the path, the system's reason and what to do. Modes are exact whatever the umask (fchmod). Writes,
// fsyncs and renames pass failpoints (failpoint.h): file.open, file.write, file.fsync, file.rename, file.mkdir.
// MT_NOT_FOUND for ENOENT, MT_EXISTS for EEXIST, MT_IO for the rest. Any thread.
#ifndef MANTA_ENGINE_BASE_FILE_H
#define MANTA_ENGINE_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_PATH_BYTES = 4096 };   // room for any path, NUL included

enum {
    MT_FILE_PRIVATE = 0600,      // checkpoints, tokens, journals
    MT_FILE_PUBLIC = 0644,       // results people share: progress.csv, config.yml
    MT_FOLDER_PRIVATE = 0700,
    MT_FOLDER_PUBLIC = 0755
};

// The whole regular file, plus a NUL after it; the caller frees *data. *size may be NULL. A file larger than max_bytes is
// MT_INVALID_ARGUMENT; folders, pipes and devices are refused.
mt_status mt_file_read(const char *path, size_t max_bytes, char **data, size_t *size);

// Replaces path in one step: a temporary file beside it, created exclusively, written, fsynced, renamed; the folder
// fsynced. On failure the old file is intact and the temporary one gone.
mt_status mt_file_write_atomic(const char *path, const void *data, size_t size, mode_t mode);

// The steps by themselves, for files inside a folder that is renamed when complete (checkpoints) and for big files
// written in parts. open_exclusive: O_CREAT | O_EXCL, write only, close on exec, no link followed.
mt_status mt_file_open_exclusive(const char *path, mode_t mode, int *fd);
mt_status mt_file_write_all(int fd, const char *path, const void *data, size_t size);
mt_status mt_file_sync_close(int fd, const char *path);        // closes in every case
mt_status mt_file_rename(const char *from, const char *to);    // replaces a file; then fsyncs the folder of `to`
// Like rename, but MT_EXISTS when `to` is there (renameat2 RENAME_NOREPLACE): how a generation folder is committed.
mt_status mt_file_rename_new(const char *from, const char *to);
mt_status mt_file_sync_folder(const char *path);

bool mt_file_exists(const char *path);      // anything, a dangling link too
bool mt_file_is_folder(const char *path);
mt_status mt_file_size(const char *path, uint64_t *bytes);

// mkdir -p; those made get exactly `mode`. A file in the way is MT_EXISTS.
mt_status mt_folder_make(const char *path, mode_t mode);
// mkdir of one folder that must be new: MT_EXISTS when it is there. For run folders that are never overwritten.
mt_status mt_folder_make_new(const char *path, mode_t mode);

// Names in a folder without "." and "..", sorted bytewise. Free with mt_folder_names_fini.
typedef struct mt_folder_names {
    char **names;   // owned (count)
    size_t count;
} mt_folder_names;
mt_status mt_folder_list(const char *path, mt_folder_names *out);
void mt_folder_names_fini(mt_folder_names *names);

// Removes `name` (a file, a link or a whole folder) that stands directly in folder `root`. `name` is one path component:
// "..", "" and anything with '/' are MT_INVALID_ARGUMENT. Links are removed, never followed, so nothing outside goes. A
// missing name is MT_OK.
mt_status mt_folder_remove_tree(const char *root, const char *name);

// "a" + "b" → "a/b"; an absolute b stands alone; an empty a gives b. MT_INVALID_ARGUMENT when it does not fit.
mt_status mt_path_join(char *out, size_t out_bytes, const char *a, const char *b);
mt_status mt_path_parent(char *out, size_t out_bytes, const char *path);   // "a/b" → "a", "b" → ".", "/b" → "/"
const char *mt_path_name(const char *path);                                // view: what follows the last '/'

// Records the error of a failed system call on a path: "cannot write runs/a/config.yml: No space left on device; free ..."
mt_status mt_file_fail(int error, const char *doing, const char *path);

#ifdef __cplusplus
}
#endif
#endif
