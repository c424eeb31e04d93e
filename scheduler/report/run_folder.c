// Run folders and their locks; run_folder.h says the rules. Called by the program's main thread before and after
// training.
//
// Order that makes two starts safe: mkdir (exclusive) or an existing folder, then the lock, then, holding the lock, the
// look into the folder. Whoever has the lock alone decides what the folder is.
#include "scheduler/report/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/base/text.h"

_Static_assert((int)MT_RUN_PATH_BYTES == (int)MT_PATH_BYTES, "one limit for paths");

static mt_status set_path(mt_run_folder *folder, const char *path) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    if (length == 0) return MT_FAIL(INVALID_ARGUMENT, "the run folder's path is empty");
    if (length >= sizeof folder->path)
        return MT_FAIL(INVALID_ARGUMENT, "the run folder's path is too long: %.80s...", path);
    memcpy(folder->path, path, length);
    folder->path[length] = '\0';
    return MT_OK;
}

// --- the lock ------------------------------------------------------------------------------------------------------

static mt_status held_by_another(const char *folder, int fd) {
    char holder[256];
    ssize_t length = pread(fd, holder, sizeof holder - 1, 0);
    holder[length > 0 ? length : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return MT_FAIL(EXISTS, "%s is being written by another run (%s): wait for it, stop it, or choose another folder",
        folder, *holder ? holder : "which has not yet said its pid");
}

static mt_status sign(int fd, const char *lock_path) {
    char host[256] = "?", text[320];
    if (gethostname(host, sizeof host) != 0) strcpy(host, "?");
    host[sizeof host - 1] = '\0';
    int length = snprintf(text, sizeof text, "pid %ld on %s\n", (long)getpid(), host);
    if (ftruncate(fd, 0) != 0) return mt_file_fail(errno, "write", lock_path);
    return mt_file_write_all(fd, lock_path, text, (size_t)length);
}

static mt_status take_lock(mt_run_folder *folder) {
    char path[MT_PATH_BYTES];
    MT_TRY(mt_path_join(path, sizeof path, folder->path, MT_RUN_LOCK));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, MT_FILE_PUBLIC);
    if (fd < 0) return mt_file_fail(errno, "open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            mt_status status = held_by_another(folder->path, fd);
            close(fd);
            return status;
        }
        // some cluster file systems have no locks; refusing to train there would protect nobody
        mt_log_warn(
            "%s cannot be locked (%s): nothing keeps a second run out of this folder", folder->path, strerror(errno));
    }
    mt_status status = sign(fd, path);
    if (status != MT_OK) {
        close(fd);
        return status;
    }
    folder->lock_fd = fd;
    return MT_OK;
}

void mt_run_folder_close(mt_run_folder *folder) {
    if (folder->lock_fd >= 0) close(folder->lock_fd);
    folder->lock_fd = -1;
}

// --- numbers -------------------------------------------------------------------------------------------------------

// N of "ENV_N", or 0
static unsigned long number_of(const char *name, const char *env) {
    size_t length = strlen(env);
    if (strncmp(name, env, length) != 0 || name[length] != '_') return 0;
    const char *digits = name + length + 1;
    size_t count = strspn(digits, "0123456789");
    return count > 0 && count < 10 && digits[count] == '\0' ? strtoul(digits, NULL, 10) : 0;
}

static mt_status clean_name(const char *what, const char *name, char *out, size_t bytes) {
    if (!name[0] || name[0] == '.') return MT_FAIL(INVALID_ARGUMENT, "\"%s\" cannot name a folder (%s)", name, what);
    int length = snprintf(out, bytes, "%s", name);
    if (length < 0 || (size_t)length >= bytes)
        return MT_FAIL(INVALID_ARGUMENT, "the %s's name is too long: %.80s...", what, name);
    for (char *c = out; *c; c++)
        if (*c == '/' || *c == ':' || *c == '\\' || (unsigned char)*c < 0x20) *c = '-';
    return MT_OK;
}

enum { NAME_BYTES = 200 };

// LOG_FOLDER/ALGO and the cleaned ENV
static mt_status parent_of_runs(
    const char *log_folder, const char *algo, const char *env, char parent[MT_PATH_BYTES], char env_name[NAME_BYTES]) {
    char algo_name[NAME_BYTES];
    MT_TRY(clean_name("algorithm", algo, algo_name, sizeof algo_name));
    MT_TRY(clean_name("environment", env, env_name, NAME_BYTES));
    return mt_path_join(parent, MT_PATH_BYTES, log_folder, algo_name);
}

static mt_status highest_number(const char *parent, const char *env_name, unsigned long *out) {
    mt_folder_names names;
    MT_TRY(mt_folder_list(parent, &names));
    *out = 0;
    for (size_t i = 0; i < names.count; i++) {
        unsigned long number = number_of(names.names[i], env_name);
        if (number > *out) *out = number;
    }
    mt_folder_names_fini(&names);
    return MT_OK;
}

// --- create and resume ---------------------------------------------------------------------------------------------

mt_status mt_run_folder_create(const char *log_folder, const char *algo, const char *env, mt_run_folder *out) {
    *out = (mt_run_folder){.lock_fd = -1};
    char parent[MT_PATH_BYTES], env_name[NAME_BYTES], name[NAME_BYTES + 16];
    unsigned long number;
    MT_TRY(parent_of_runs(log_folder, algo, env, parent, env_name));
    MT_TRY(mt_folder_make(parent, MT_FOLDER_PUBLIC));
    MT_TRY(highest_number(parent, env_name, &number));
    mt_status status;
    do {   // another start may take the number between the look and the mkdir; then the next one is tried
        snprintf(name, sizeof name, "%s_%lu", env_name, ++number);
        MT_TRY(mt_path_join(out->path, sizeof out->path, parent, name));
        status = mt_folder_make_new(out->path, MT_FOLDER_PUBLIC);
    } while (status == MT_EXISTS && number < 999999999);
    MT_TRY(status);
    return take_lock(out);
}

static mt_status check_empty(const char *path) {
    mt_folder_names names;
    MT_TRY(mt_folder_list(path, &names));
    mt_status status = MT_OK;
    for (size_t i = 0; i < names.count && status == MT_OK; i++) {
        if (strcmp(names.names[i], MT_RUN_LOCK) == 0 || strcmp(names.names[i], MT_RUN_PULSE) == 0)
            continue; // not the run's yet
        status = MT_FAIL(EXISTS,
            "%s is not empty (%.64s): a new run would overwrite what is there; --resume continues a run, or choose "
            "another folder",
            path, names.names[i]);
    }
    mt_folder_names_fini(&names);
    return status;
}

mt_status mt_run_folder_create_at(const char *path, mt_run_folder *out) {
    *out = (mt_run_folder){.lock_fd = -1};
    MT_TRY(set_path(out, path));
    MT_TRY(mt_folder_make(out->path, MT_FOLDER_PUBLIC));
    // once before the lock, so that a full folder does not get a lock file, and once holding it
    char lock[MT_PATH_BYTES];
    MT_TRY(mt_path_join(lock, sizeof lock, out->path, MT_RUN_LOCK));
    if (!mt_file_exists(lock)) MT_TRY(check_empty(out->path));
    MT_TRY(take_lock(out));
    mt_status status = check_empty(out->path);
    if (status != MT_OK) mt_run_folder_close(out);
    return status;
}

mt_status mt_run_folder_resume(const char *path, mt_run_folder *out) {
    *out = (mt_run_folder){.lock_fd = -1};
    MT_TRY(set_path(out, path));
    MT_TRY(mt_run_folder_check(out->path));
    return take_lock(out);
}

void mt_run_folder_remove_unused(const char *path) {
    mt_folder_names names;
    char lock[MT_PATH_BYTES], pulse[MT_PATH_BYTES];
    if (!mt_file_is_folder(path) || mt_folder_list(path, &names) != MT_OK) return;
    int unused = 1;
    for (size_t i = 0; i < names.count; i++)
        unused = unused && (strcmp(names.names[i], MT_RUN_LOCK) == 0 || strcmp(names.names[i], MT_RUN_PULSE) == 0);
    mt_folder_names_fini(&names);
    // the message of why it is unused is still to be told: nothing here may fail loudly
    if (!unused || snprintf(lock, sizeof lock, "%s/%s", path, MT_RUN_LOCK) >= (int)sizeof lock) return;
    if (snprintf(pulse, sizeof pulse, "%s/%s", path, MT_RUN_PULSE) >= (int)sizeof pulse) return;
    int fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    int held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!held) unlink(pulse), unlink(lock), rmdir(path);
    if (fd >= 0) close(fd);
}

mt_status mt_run_folder_file(const mt_run_folder *folder, const char *name, char *buffer, size_t bytes) {
    return mt_path_join(buffer, bytes, folder->path, name);
}

mt_status mt_run_folder_check(const char *path) {
    char config[MT_PATH_BYTES];
    MT_TRY(mt_path_join(config, sizeof config, path, MT_RUN_CONFIG));
    if (!mt_file_exists(path)) return MT_FAIL(NOT_FOUND, "there is no run folder %s", path);
    if (!mt_file_is_folder(path)) return MT_FAIL(NOT_FOUND, "%s is a file, not a run folder", path);
    if (access(config, R_OK) != 0)
        return errno == ENOENT ? MT_FAIL(NOT_FOUND, "%s is not a run folder: it has no %s", path, MT_RUN_CONFIG)
                               : mt_file_fail(errno, "read", config);
    return MT_OK;
}

// --- find ----------------------------------------------------------------------------------------------------------

static mt_status nothing_found(const char *parent, const char *env_name, const mt_folder_names *names) {
    char stem[NAME_BYTES], hint[NAME_BYTES + 64] = "";
    const char *nearest = mt_text_nearest(env_name, (const char *const *)names->names, names->count);
    if (nearest) {
        // "CartPole-v1_3" -> "CartPole-v1"
        snprintf(stem, sizeof stem, "%s", nearest);
        char *underscore = strrchr(stem, '_');
        if (underscore) *underscore = '\0';
        mt_text_did_you_mean(stem, hint, sizeof hint);
    }
    return MT_FAIL(NOT_FOUND, "no run of %s below %s%s", env_name, parent, hint);
}

mt_status mt_run_folder_find_newest(
    const char *log_folder, const char *algo, const char *env, char *path, size_t bytes) {
    char parent[MT_PATH_BYTES], env_name[NAME_BYTES], best[MT_PATH_BYTES] = "";
    MT_TRY(parent_of_runs(log_folder, algo, env, parent, env_name));
    if (!mt_file_is_folder(parent)) return MT_FAIL(NOT_FOUND, "no runs of %s: there is no folder %s", algo, parent);
    mt_folder_names names;
    MT_TRY(mt_folder_list(parent, &names));
    unsigned long highest = 0;
    mt_status status = MT_OK;
    for (size_t i = 0; i < names.count && status == MT_OK; i++) {
        char candidate[MT_PATH_BYTES];
        unsigned long number = number_of(names.names[i], env_name);
        if (number <= highest) continue;
        status = mt_path_join(candidate, sizeof candidate, parent, names.names[i]);
        if (status != MT_OK || mt_run_folder_check(candidate) != MT_OK) continue;
        highest = number;
        strcpy(best, candidate);
    }
    if (status == MT_OK && highest == 0) status = nothing_found(parent, env_name, &names);
    mt_folder_names_fini(&names);
    MT_TRY(status);
    return mt_path_join(path, bytes, "", best);
}
