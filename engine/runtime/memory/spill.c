// Spill files: objects on disk. Called by the threads that move objects, each on ids of its own; the table of files has
// a lock of its own, which is not held while the disk works.
//
// Always holds: a slot with bytes has a complete file; a file that could not be written whole is gone. Nothing is
// fsynced: what is spilled need not outlive its process. The digest is there because disks and file systems of clusters
// do return other bytes than were written, and an object is then lost, not wrong.
//
// Folders of killed ranks. Each living rank holds an exclusive lock (flock) on its folder; whoever opens a spill beside
// it tries to lock every other folder of its user and removes those that it gets. A rank that has just made its folder
// and has not locked it yet can lose it that way: it looks after locking whether the folder is still there, and makes
// another.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/digest.h"
#include "engine/base/failpoint.h"
#include "engine/base/file.h"
#include "engine/runtime/memory/heap.h"

#define MAGIC  "MTSPILL1"
#define PREFIX "manta-spill-"

enum { SLOTS_FIRST = 64, ATTEMPTS = 16 };

typedef struct header {
    char magic[8];
    uint64_t id, bytes;
    mt_digest128 digest; // of the content
    uint64_t reserved[3];
} header;
_Static_assert(sizeof(header) == 64, "content begins on a 64-byte boundary");

typedef struct slot {
    uint64_t bytes;
    uint32_t generation; // of the id that is, or will be, in it
    uint32_t next;       // of the free list, one more than the index; 0: its end
    int in_use;
} slot;

struct mt_spill {
    pthread_mutex_t lock;
    char parent[MT_PATH_BYTES], name[64];
    int folder;               // descriptor, locked
    slot *slots;              // owned (capacity)
    uint32_t capacity, spare; // spare: head of the free list
    uint64_t bytes;
};

// ---- the folder

static mt_status make_folder(mt_spill *spill, int rank) {
    char path[MT_PATH_BYTES];
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        uint64_t random = 0;
        struct stat opened, named;
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            return mt_file_fail(errno, "name a folder in", spill->parent);
        snprintf(spill->name, sizeof spill->name, PREFIX "%d-%016llx", rank, (unsigned long long)random);
        MT_TRY(mt_path_join(path, sizeof path, spill->parent, spill->name));
        mt_status status = mt_folder_make_new(path, MT_FOLDER_PRIVATE);
        if (status == MT_EXISTS) continue;
        MT_TRY(status);
        spill->folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (spill->folder < 0) continue;
        // a file system without locks: nobody sweeps there either
        int locked = flock(spill->folder, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
        if (locked && fstat(spill->folder, &opened) == 0 && lstat(path, &named) == 0 && opened.st_ino == named.st_ino &&
            opened.st_dev == named.st_dev)
            return MT_OK;
        close(spill->folder);
        spill->folder = -1;
    }
    return MT_FAIL(IO, "cannot make a folder for spilled objects in %s", spill->parent);
}

// Failing to clean up after others is no failure of this rank.
static void sweep(const mt_spill *spill) {
    mt_folder_names names;
    char path[MT_PATH_BYTES];
    if (mt_folder_list(spill->parent, &names) != MT_OK) return;
    for (size_t i = 0; i < names.count; i++) {
        struct stat info;
        if (strncmp(names.names[i], PREFIX, strlen(PREFIX)) != 0 || strcmp(names.names[i], spill->name) == 0) continue;
        if (mt_path_join(path, sizeof path, spill->parent, names.names[i]) != MT_OK) continue;
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) continue;
        if (fstat(fd, &info) == 0 && info.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
            (void)mt_folder_remove_tree(spill->parent, names.names[i]);
        close(fd);
    }
    mt_folder_names_fini(&names);
}

mt_status mt_spill_open(const char *folder, int rank, mt_spill **out) {
    const char *temporary = getenv("TMPDIR");
    *out = NULL;
    if (!folder || !*folder) folder = temporary && *temporary ? temporary : "/tmp";
    if (strlen(folder) + 128 > MT_PATH_BYTES) return mt_file_fail(ENAMETOOLONG, "spill objects to", folder);
    mt_spill *spill = calloc(1, sizeof *spill);
    if (!spill) return MT_FAIL(NO_MEMORY, "out of memory for spilled objects");
    strcpy(spill->parent, folder);
    spill->folder = -1;
    pthread_mutex_init(&spill->lock, NULL);
    mt_status status = make_folder(spill, rank);
    if (status != MT_OK) {
        pthread_mutex_destroy(&spill->lock);
        free(spill);
        return status;
    }
    sweep(spill);
    *out = spill;
    return MT_OK;
}

void mt_spill_close(mt_spill *spill) {
    if (!spill) return;
    (void)mt_folder_remove_tree(spill->parent, spill->name);
    close(spill->folder);
    pthread_mutex_destroy(&spill->lock);
    free(spill->slots);
    free(spill);
}

// ---- ids: generation << 32 | index of the slot

static mt_status slot_take(mt_spill *spill, uint64_t *id) {
    mt_status status = MT_OK;
    pthread_mutex_lock(&spill->lock);
    if (!spill->spare) {
        uint32_t capacity = spill->capacity ? 2 * spill->capacity : SLOTS_FIRST;
        slot *grown = capacity > spill->capacity ? realloc(spill->slots, capacity * sizeof *grown) : NULL;
        if (grown) {
            for (uint32_t i = capacity; i-- > spill->capacity;) {
                grown[i] = (slot){.generation = 1, .next = spill->spare};
                spill->spare = i + 1;
            }
            spill->slots = grown;
            spill->capacity = capacity;
        } else {
            status = MT_FAIL(NO_MEMORY, "out of memory for the table of %u spilled objects", spill->capacity);
        }
    }
    if (status == MT_OK) {
        uint32_t index = spill->spare - 1;
        spill->spare = spill->slots[index].next;
        *id = (uint64_t)spill->slots[index].generation << 32 | index;
    }
    pthread_mutex_unlock(&spill->lock);
    return status;
}

static void slot_fill(mt_spill *spill, uint64_t id, uint64_t bytes) {
    pthread_mutex_lock(&spill->lock);
    slot *s = &spill->slots[(uint32_t)id];
    s->in_use = 1;
    s->bytes = bytes;
    spill->bytes += bytes;
    pthread_mutex_unlock(&spill->lock);
}

// needs the lock; NULL: nothing has this id
static slot *slot_find(const mt_spill *spill, uint64_t id) {
    uint32_t index = (uint32_t)id;
    if (index >= spill->capacity) return NULL;
    slot *s = &spill->slots[index];
    return s->in_use && s->generation == id >> 32 ? s : NULL;
}

static void slot_give(mt_spill *spill, uint64_t id) {
    pthread_mutex_lock(&spill->lock);
    slot *s = &spill->slots[(uint32_t)id];
    if (s->in_use) spill->bytes -= s->bytes;
    *s = (slot){.generation = s->generation + 1, .next = spill->spare};
    spill->spare = (uint32_t)id + 1;
    pthread_mutex_unlock(&spill->lock);
}

// ---- files

static mt_status file_path(const mt_spill *spill, uint64_t id, char path[MT_PATH_BYTES]) {
    int length = snprintf(path, MT_PATH_BYTES, "%s/%s/%016llx", spill->parent, spill->name, (unsigned long long)id);
    return length < MT_PATH_BYTES ? MT_OK : mt_file_fail(ENAMETOOLONG, "spill an object to", spill->parent);
}

static mt_status write_file(const char *path, uint64_t id, const void *data, uint64_t bytes) {
    header h = {.magic = MAGIC, .id = id, .bytes = bytes, .digest = mt_digest128_of(data, bytes)};
    int fd;
    MT_TRY(mt_file_open_exclusive(path, MT_FILE_PRIVATE, &fd));
    mt_status status = mt_file_write_all(fd, path, &h, sizeof h);
    if (status == MT_OK && bytes) status = mt_file_write_all(fd, path, data, bytes);
    // network file systems tell of a full disk here
    if (close(fd) != 0 && errno != EINTR && status == MT_OK) status = mt_file_fail(errno, "write", path);
    if (status != MT_OK) unlink(path);
    return status;
}

mt_status mt_spill_write(mt_spill *spill, const void *data, uint64_t bytes, uint64_t *out_id) {
    char path[MT_PATH_BYTES];
    uint64_t id;
    *out_id = 0;
    MT_TRY(slot_take(spill, &id));
    mt_status status = file_path(spill, id, path);
    if (status == MT_OK) status = write_file(path, id, data, bytes);
    if (status != MT_OK) {
        slot_give(spill, id);
        return status;
    }
    slot_fill(spill, id, bytes);
    *out_id = id;
    return MT_OK;
}

static mt_status read_all(int fd, const char *path, void *data, uint64_t bytes) {
    char *to = data;
    int error = mt_failpoint("spill.read");
    while (bytes && !error) {
        ssize_t got = read(fd, to, bytes < (UINT64_C(1) << 30) ? bytes : UINT64_C(1) << 30);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) error = errno;
        if (got == 0) return MT_FAIL(CORRUPT, "%s was cut short", path);
        if (got > 0) to += got, bytes -= (uint64_t)got;
    }
    return error ? mt_file_fail(error, "read", path) : MT_OK;
}

static mt_status read_file(int fd, const char *path, uint64_t id, void *data, uint64_t bytes) {
    header h;
    struct stat info;
    if (fstat(fd, &info) != 0) return mt_file_fail(errno, "read", path);
    MT_TRY(read_all(fd, path, &h, sizeof h));
    if (memcmp(h.magic, MAGIC, sizeof h.magic) != 0 || h.id != id || h.bytes != bytes ||
        (uint64_t)info.st_size != sizeof h + bytes)
        return MT_FAIL(CORRUPT, "%s is not the spilled object of %llu bytes that was written there", path,
            (unsigned long long)bytes);
    MT_TRY(read_all(fd, path, data, bytes));
    if (!mt_digest_equal(mt_digest128_of(data, bytes), h.digest))
        return MT_FAIL(CORRUPT,
            "%s: the disk returned other bytes than were spilled; the object is lost. Check the disk, or choose "
            "another with --spill-folder",
            path);
    return MT_OK;
}

mt_status mt_spill_read(mt_spill *spill, uint64_t id, void *data, uint64_t bytes) {
    char path[MT_PATH_BYTES];
    pthread_mutex_lock(&spill->lock);
    const slot *s = slot_find(spill, id);
    uint64_t there = s ? s->bytes : 0;
    pthread_mutex_unlock(&spill->lock);
    if (!s) return MT_FAIL(NOT_FOUND, "no object was spilled as %016llx", (unsigned long long)id);
    if (there != bytes)
        return MT_FAIL(INVALID_ARGUMENT, "the spilled object has %llu bytes, not %llu", (unsigned long long)there,
            (unsigned long long)bytes);
    MT_TRY(file_path(spill, id, path));
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    // gone though we hold it: somebody cleaned the folder
    if (fd < 0)
        return errno == ENOENT ? MT_FAIL(CORRUPT, "%s was removed by somebody else", path)
                               : mt_file_fail(errno, "open", path);
    mt_status status = read_file(fd, path, id, data, bytes);
    close(fd);
    return status;
}

void mt_spill_drop(mt_spill *spill, uint64_t id) {
    char path[MT_PATH_BYTES];
    pthread_mutex_lock(&spill->lock);
    int known = slot_find(spill, id) != NULL;
    pthread_mutex_unlock(&spill->lock);
    if (!known) return;
    if (file_path(spill, id, path) == MT_OK) unlink(path);
    slot_give(spill, id);
}

uint64_t mt_spill_bytes(const mt_spill *spill) {
    mt_spill *s = (mt_spill *)spill; // the lock alone changes
    pthread_mutex_lock(&s->lock);
    uint64_t bytes = s->bytes;
    pthread_mutex_unlock(&s->lock);
    return bytes;
}
