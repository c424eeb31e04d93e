// Checkpoints, the writing side: the folder, begin, adds, commit, retention. Called from a training loop's thread on
// rank 0. Reading is checkpoint_load.c, the manifest's text manifest.c.
//
// Protocol, so that at every moment a reader finds only whole generations:
//   begin    under the folder's lock: make .tmp-gen-N (must be new), lock it for the writer's life
//   add      create exclusively, write, digest, fsync
//   commit   manifest written, fsynced, renamed inside .tmp-gen-N; .tmp-gen-N renamed to gen-N (never replacing); the
//            folder fsynced; then, under the folder's lock, older generations renamed to .tmp-old-gen-M and removed
//   prepare  under the folder's lock: every .tmp-* that nobody has locked is removed
// A killed process loses its locks with its life; nothing else says that it lived. The folder's lock exists so that
// prepare cannot see a temporary folder between its making and its locking. Where a file system knows no flock (some
// network file systems), two runs in one folder are not protected from each other's prepare; one run still is whole.
//
// Failpoints besides those of file.h: checkpoint.manifest, checkpoint.rename, checkpoint.committed, checkpoint.retain.
#include "scheduler/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include "engine/base/failpoint.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "scheduler/manifest.h"

enum { LOCK_TRIES = 5000, LOCK_PAUSE_NS = 1000000, CHUNK_BYTES = 1 << 20 };
#define OLD_PREFIX MT_TEMPORARY_PREFIX "old-"

struct mt_checkpoint_writer {
    char folder[MT_PATH_BYTES], path[MT_PATH_BYTES];       // path: of the temporary folder
    char temporary[MT_GENERATION_NAME_BYTES];              // its name
    int lock;                                              // open on it, flocked; -1 once it is gone
    int keep;
    mt_checkpoint manifest;                                // what has been added
    size_t capacity;                                       // of manifest.files
    mt_status status;                                      // first failure; the temporary folder is gone then
    char error[1024];
};

// ---- locks ----

// Opens a folder and locks it, waiting at most `tries` ms. *fd is -1 when somebody else keeps it (MT_DEADLINE).
static mt_status lock_folder(const char *path, int tries, int *fd) {
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0) return mt_file_fail(errno, "open", path);
    while (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) return MT_OK;   // a file system without flock: see the top
        if (--tries < 0) {
            close(*fd);
            *fd = -1;
            return MT_FAIL(DEADLINE, "%s is in use by another process", path);
        }
        nanosleep(&(struct timespec){.tv_nsec = LOCK_PAUSE_NS}, NULL);
    }
    return MT_OK;
}

static void unlock(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

// ---- the folder ----

// Removes one leftover unless its writer lives.
static mt_status sweep(const char *folder, const char *name) {
    char path[MT_PATH_BYTES];
    int lock = -1;
    MT_TRY(mt_path_join(path, sizeof path, folder, name));
    mt_status status = mt_file_is_folder(path) ? lock_folder(path, 0, &lock) : MT_OK;
    if (status == MT_DEADLINE) {
        mt_log_warn("%s is being written by another process and stays; are two runs using this folder?", path);
        return MT_OK;
    }
    MT_KEEP(status, mt_folder_remove_tree(folder, name));
    unlock(&lock);
    if (status == MT_OK) mt_log_info("removed %s, which an interrupted run left behind", path);
    return status;
}

mt_status mt_checkpoint_prepare(const char *folder) {
    mt_folder_names names = {0};
    int lock = -1;
    MT_TRY(mt_folder_make(folder, MT_FOLDER_PRIVATE));
    MT_TRY(lock_folder(folder, LOCK_TRIES, &lock));
    mt_status status = mt_folder_list(folder, &names);
    for (size_t i = 0; status == MT_OK && i < names.count; i++)
        if (strncmp(names.names[i], MT_TEMPORARY_PREFIX, strlen(MT_TEMPORARY_PREFIX)) == 0)
            status = sweep(folder, names.names[i]);
    mt_folder_names_fini(&names);
    unlock(&lock);
    return status;
}

mt_status mt_checkpoint_next_generation(const char *folder, uint64_t *generation) {
    mt_folder_names names = {0};
    uint64_t number = 0, newest = 0;
    *generation = 0;
    mt_status status = mt_folder_list(folder, &names);
    if (status != MT_OK && status != MT_NOT_FOUND) return status;
    for (size_t i = 0; i < names.count; i++) {
        bool known = mt_generation_parse(names.names[i], "", &number) ||
                     mt_generation_parse(names.names[i], MT_TEMPORARY_PREFIX, &number);
        if (known && number > newest) newest = number;
    }
    mt_folder_names_fini(&names);
    *generation = newest + 1;
    return MT_OK;
}

// ---- one file ----

// Writes and digests in step, so that each chunk is still in the cache for the second of the two.
static mt_status write_part(int fd, const char *path, mt_digest *digest, const struct iovec *part) {
    const char *at = part->iov_base;
    for (size_t left = part->iov_len; left > 0;) {
        size_t chunk = left < CHUNK_BYTES ? left : CHUNK_BYTES;
        mt_digest_update(digest, at, chunk);
        MT_TRY(mt_file_write_all(fd, path, at, chunk));
        at += chunk;
        left -= chunk;
    }
    return MT_OK;
}

static mt_status write_file(const char *folder, const char *name, const struct iovec *parts, size_t count,
    mt_checkpoint_file *out) {
    char path[MT_PATH_BYTES];
    mt_status status = MT_OK;
    mt_digest *digest = NULL;
    int fd = -1;
    *out = (mt_checkpoint_file){0};
    MT_TRY(mt_checkpoint_check_name(name));
    MT_TRY(mt_path_join(path, sizeof path, folder, name));
    MT_TRY(mt_digest_create(&digest));
    MT_TRY_GOTO(mt_file_open_exclusive(path, MT_FILE_PRIVATE, &fd), done);
    for (size_t i = 0; i < count; i++) {
        MT_TRY_GOTO(write_part(fd, path, digest, &parts[i]), close_file);
        out->bytes += parts[i].iov_len;
    }
    out->digest = mt_digest_value(digest);
    memcpy(out->name, name, strlen(name) + 1);
    status = mt_file_sync_close(fd, path);
    goto done;
close_file:
    close(fd);
done:
    mt_digest_destroy(digest);
    if (status != MT_OK) *out = (mt_checkpoint_file){0};
    return status;
}

// ---- a generation in the making ----

static mt_status check_desc(const mt_checkpoint_desc *desc) {
    if (desc->generation == 0 || desc->generation > MT_GENERATION_MAX || desc->steps > INT64_MAX)
        return MT_FAIL(INVALID_ARGUMENT, "a checkpoint cannot have generation %" PRIu64 " and %" PRIu64 " steps",
            desc->generation, desc->steps);
    if (desc->keep < 1) return MT_FAIL(INVALID_ARGUMENT, "at least one checkpoint must be kept, not %d", desc->keep);
    return MT_OK;
}

// Makes and locks the temporary folder; nobody may have it, and the generation must be new.
static mt_status make_temporary(mt_checkpoint_writer *w) {
    char name[MT_GENERATION_NAME_BYTES], final[MT_PATH_BYTES];
    mt_generation_name("", w->manifest.generation, name);
    MT_TRY(mt_path_join(final, sizeof final, w->folder, name));
    if (mt_file_exists(final)) return MT_FAIL(EXISTS, "%s exists already", final);
    mt_status status = mt_folder_make_new(w->path, MT_FOLDER_PRIVATE);
    if (status == MT_EXISTS)
        return MT_FAIL(
            EXISTS, "%s is being written already (or was left by a killed run: the next start removes it)", w->path);
    MT_TRY(status);
    status = lock_folder(w->path, LOCK_TRIES, &w->lock);
    if (status != MT_OK) (void)mt_folder_remove_tree(w->folder, w->temporary);
    return status;
}

static mt_status begin(const mt_checkpoint_desc *desc, mt_checkpoint_writer *w) {
    int lock = -1;
    w->lock = -1;
    w->keep = desc->keep;
    w->manifest.generation = desc->generation;
    w->manifest.steps = desc->steps;
    w->manifest.build_id = strdup(desc->build_id);
    if (!w->manifest.build_id) return MT_FAIL(NO_MEMORY, "no memory for a checkpoint");
    mt_generation_name(MT_TEMPORARY_PREFIX, desc->generation, w->temporary);
    MT_TRY(mt_path_join(w->folder, sizeof w->folder, "", desc->folder));
    MT_TRY(mt_path_join(w->path, sizeof w->path, w->folder, w->temporary));

    MT_TRY(mt_folder_make(w->folder, MT_FOLDER_PRIVATE));
    MT_TRY(lock_folder(w->folder, LOCK_TRIES, &lock));
    mt_status status = make_temporary(w);
    unlock(&lock);
    return status;
}

static void destroy(mt_checkpoint_writer *w) {
    unlock(&w->lock);
    mt_checkpoint_fini(&w->manifest);
    free(w);
}

mt_status mt_checkpoint_begin(const mt_checkpoint_desc *desc, mt_checkpoint_writer **out) {
    *out = NULL;
    MT_TRY(check_desc(desc));
    mt_checkpoint_writer *w = calloc(1, sizeof *w);
    if (!w) return MT_FAIL(NO_MEMORY, "no memory for a checkpoint");
    mt_status status = begin(desc, w);
    if (status != MT_OK) destroy(w);
    else *out = w;
    return status;
}

// Removes the temporary folder; the errors that led here stay the last ones.
static void discard(mt_checkpoint_writer *w) {
    if (w->lock < 0) return;
    if (mt_folder_remove_tree(w->folder, w->temporary) != MT_OK)
        mt_log_warn("leftover of a failed checkpoint: %s; the next start removes it", mt_last_error());
    unlock(&w->lock);
}

// Abandons the generation at the first failure, at once: on a full disk its bytes are needed.
static mt_status keep_failure(mt_checkpoint_writer *w, mt_status status) {
    if (status == MT_OK || w->status != MT_OK) return status;
    w->status = status;
    snprintf(w->error, sizeof w->error, "%s", mt_last_error());
    discard(w);
    return mt_fail(status, __FILE__, __LINE__, "%s", w->error);
}

static mt_status failed_before(const mt_checkpoint_writer *w) {
    return w->status == MT_OK ? MT_OK : mt_fail(w->status, __FILE__, __LINE__, "%s", w->error);
}

// Takes a written file into the list.
static mt_status list_file(mt_checkpoint_writer *w, const mt_checkpoint_file *file) {
    mt_checkpoint *m = &w->manifest;
    if (m->file_count == w->capacity) {
        size_t capacity = w->capacity ? 2 * w->capacity : 16;
        mt_checkpoint_file *files = realloc(m->files, capacity * sizeof *files);
        if (!files) return MT_FAIL(NO_MEMORY, "no memory for a checkpoint of %zu files", capacity);
        m->files = files;
        w->capacity = capacity;
    }
    m->files[m->file_count++] = *file;
    return MT_OK;
}

static mt_status add_parts(mt_checkpoint_writer *w, const char *name, const struct iovec *parts, size_t count) {
    mt_checkpoint_file file;
    MT_TRY(write_file(w->path, name, parts, count, &file));
    return list_file(w, &file);
}

mt_status mt_checkpoint_add_bytes(mt_checkpoint_writer *writer, const char *name, const void *data, size_t bytes) {
    MT_TRY(failed_before(writer));
    struct iovec part = {(void *)(uintptr_t)data, bytes};
    return keep_failure(writer, add_parts(writer, name, &part, 1));
}

mt_status mt_checkpoint_add_tensors(mt_checkpoint_writer *writer, const char *name, const mt_named_tensor *tensors,
    size_t count, const mt_string_pair *metadata, size_t metadata_count) {
    mt_safetensors_parts parts;
    MT_TRY(failed_before(writer));
    mt_status status = mt_safetensors_layout(tensors, count, metadata, metadata_count, &parts);
    if (status == MT_OK) status = add_parts(writer, name, parts.part, parts.count);
    mt_safetensors_parts_fini(&parts);
    return keep_failure(writer, status);
}

mt_status mt_checkpoint_add_blob(mt_checkpoint_writer *writer, const char *name, mt_blob *blob) {
    MT_TRY(failed_before(writer));
    MT_TRY(keep_failure(writer, mt_blob_finish(blob)));
    return mt_checkpoint_add_bytes(writer, name, blob->data, blob->bytes);
}

// ---- commit ----

static mt_status pass_failpoint(const char *name, const char *path) {
    int error = mt_failpoint(name);
    return error ? mt_file_fail(error, "commit", path) : MT_OK;
}

static mt_status write_manifest(mt_checkpoint_writer *w) {
    char path[MT_PATH_BYTES];
    mt_text text = {0};
    MT_TRY(mt_path_join(path, sizeof path, w->path, MT_MANIFEST_NAME));
    mt_status status = mt_manifest_encode(&w->manifest, &text);
    if (status == MT_OK) status = pass_failpoint("checkpoint.manifest", path);
    if (status == MT_OK) status = mt_file_write_atomic(path, text.data, text.length, MT_FILE_PRIVATE);
    mt_text_fini(&text);
    return status;
}

// From here on the generation is there. When the fsync after the rename fails it is there too, but may not outlive a
// power cut: that is returned as the failure it is, and nothing is removed.
static mt_status publish(mt_checkpoint_writer *w) {
    char name[MT_GENERATION_NAME_BYTES], final[MT_PATH_BYTES];
    mt_generation_name("", w->manifest.generation, name);
    MT_TRY(mt_path_join(final, sizeof final, w->folder, name));
    MT_TRY(pass_failpoint("checkpoint.rename", final));
    MT_TRY(mt_file_rename_new(w->path, final));
    return pass_failpoint("checkpoint.committed", final);
}

// Whole as far as a look at the manifest and the sizes can tell.
static bool looks_whole(const char *folder, uint64_t generation) {
    mt_checkpoint m;
    if (mt_manifest_load(folder, generation, &m) != MT_OK) return false;
    bool whole = true;
    for (size_t i = 0; whole && i < m.file_count; i++) whole = mt_checkpoint_check_file(m.path, &m.files[i]) == MT_OK;
    mt_checkpoint_fini(&m);
    return whole;
}

// Renamed first, so that a removal cut short never leaves half a generation under a generation's name.
static mt_status remove_generation(const char *folder, uint64_t generation) {
    char name[MT_GENERATION_NAME_BYTES], old[MT_GENERATION_NAME_BYTES], from[MT_PATH_BYTES], to[MT_PATH_BYTES];
    mt_generation_name("", generation, name);
    mt_generation_name(OLD_PREFIX, generation, old);
    MT_TRY(mt_path_join(from, sizeof from, folder, name));
    MT_TRY(mt_path_join(to, sizeof to, folder, old));
    MT_TRY(pass_failpoint("checkpoint.retain", from));
    MT_TRY(mt_file_rename_new(from, to));
    return mt_folder_remove_tree(folder, old);
}

static mt_status retain(const mt_checkpoint_writer *w) {
    uint64_t *list = NULL;
    size_t count = 0;
    int lock = -1, whole = 0;
    MT_TRY(lock_folder(w->folder, LOCK_TRIES, &lock));
    mt_status status = mt_generation_list(w->folder, &list, &count);
    for (size_t i = count; i-- > 0;) {
        if (list[i] > w->manifest.generation) continue;   // not ours to judge
        if (whole >= w->keep) MT_KEEP(status, remove_generation(w->folder, list[i]));
        else whole += looks_whole(w->folder, list[i]);
    }
    free(list);
    unlock(&lock);
    return status;
}

mt_status mt_checkpoint_commit(mt_checkpoint_writer *writer) {
    mt_status status = failed_before(writer);
    if (status == MT_OK) status = keep_failure(writer, write_manifest(writer));
    if (status == MT_OK) status = keep_failure(writer, publish(writer));
    if (status == MT_OK && retain(writer) != MT_OK)
        mt_log_warn("an old checkpoint could not be removed: %s", mt_last_error());
    destroy(writer);
    return status;
}

void mt_checkpoint_abandon(mt_checkpoint_writer *writer) {
    if (!writer) return;
    discard(writer);
    destroy(writer);
}
