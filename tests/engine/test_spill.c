// Spill files: what was written comes back or the error says why not, and nothing stays on disk.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/base/failpoint.h"
#include "engine/base/file.h"
#include "engine/runtime/memory/heap.h"

static char parent[64];
static mt_spill *spill;

static size_t entries(const char *folder, char *first) {
    mt_folder_names names;
    cr_assert_eq(mt_folder_list(folder, &names), MT_OK, "%s", mt_last_error());
    if (first && names.count) snprintf(first, MT_PATH_BYTES, "%s/%s", folder, names.names[0]);
    size_t count = names.count;
    mt_folder_names_fini(&names);
    return count;
}

// the one folder in parent, and its one file
static void the_file(char *path) {
    char folder[MT_PATH_BYTES];
    cr_assert_eq(entries(parent, folder), 1);
    cr_assert_eq(entries(folder, path), 1);
}

static void set_up(void) {
    strcpy(parent, "/tmp/manta-test-spill-XXXXXX");
    cr_assert_not_null(mkdtemp(parent));
    cr_assert_eq(mt_spill_open(parent, 3, &spill), MT_OK, "%s", mt_last_error());
}

static void tear_down(void) {
    mt_failpoint_set(NULL);
    mt_spill_close(spill);
    cr_assert_eq(entries(parent, NULL), 0, "something stays in %s", parent);
    rmdir(parent);
}

TestSuite(spill, .init = set_up, .fini = tear_down);

Test(spill, objects_come_back) {
    enum { OBJECTS = 200 };
    uint64_t ids[OBJECTS], total = 0;
    static unsigned char data[OBJECTS * 101], back[OBJECTS * 101];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 13 + i / 256);
    for (uint64_t i = 0; i < OBJECTS; i++) {
        cr_assert_eq(mt_spill_write(spill, data + i, i * 100, &ids[i]), MT_OK, "%s", mt_last_error());
        for (uint64_t k = 0; k < i; k++) cr_assert_neq(ids[k], ids[i]);
        total += i * 100;
        cr_assert_eq(mt_spill_bytes(spill), total);
    }
    for (int round = 0; round < 2; round++) // reading keeps the file
        for (uint64_t i = 0; i < OBJECTS; i++) {
            memset(back, 0, sizeof back);
            cr_assert_eq(mt_spill_read(spill, ids[i], back, i * 100), MT_OK, "%s", mt_last_error());
            cr_assert(memcmp(back, data + i, i * 100) == 0 && back[i * 100] == 0);
        }
    for (uint64_t i = 0; i < OBJECTS; i += 2) {
        mt_spill_drop(spill, ids[i]);
        total -= i * 100;
        cr_assert_eq(mt_spill_bytes(spill), total);
        cr_assert_eq(mt_spill_read(spill, ids[i], back, i * 100), MT_NOT_FOUND);
    }
    mt_spill_drop(spill, ids[0]); // again: nothing happens
    uint64_t id;
    cr_assert_eq(mt_spill_write(spill, data, 5, &id), MT_OK);
    for (uint64_t i = 0; i < OBJECTS; i++) cr_assert_neq(id, ids[i], "an old id must not name a new object");
    cr_assert_eq(mt_spill_read(spill, ids[OBJECTS - 2], back, 5), MT_NOT_FOUND);
    char folder[MT_PATH_BYTES];
    entries(parent, folder);
    cr_assert_eq(entries(folder, NULL), OBJECTS / 2 + 1);
}

Test(spill, it_is_private) {
    uint64_t id;
    char folder[MT_PATH_BYTES], path[MT_PATH_BYTES];
    struct stat info;
    cr_assert_eq(mt_spill_write(spill, "manta", 5, &id), MT_OK);
    cr_assert_eq(entries(parent, folder), 1);
    the_file(path);
    cr_assert(stat(folder, &info) == 0 && (info.st_mode & 07777) == 0700);
    cr_assert(stat(path, &info) == 0 && (info.st_mode & 07777) == 0600 && info.st_size == 64 + 5);
}

Test(spill, every_flipped_byte_is_noticed) {
    uint64_t id;
    char path[MT_PATH_BYTES], data[100], back[100];
    memset(data, 7, sizeof data);
    cr_assert_eq(mt_spill_write(spill, data, sizeof data, &id), MT_OK);
    the_file(path);
    int fd = open(path, O_RDWR);
    for (off_t at = 0; at < 164; at += at == 39 ? 25 : 1) { // 40 to 63 are reserved
        char byte, flipped;
        cr_assert_eq(pread(fd, &byte, 1, at), 1);
        flipped = byte ^ 16;
        cr_assert_eq(pwrite(fd, &flipped, 1, at), 1);
        cr_assert_eq(mt_spill_read(spill, id, back, sizeof back), MT_CORRUPT, "byte %d", (int)at);
        cr_assert(strstr(mt_last_error(), path), "%s", mt_last_error());
        cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    }
    cr_assert_eq(mt_spill_read(spill, id, back, sizeof back), MT_OK);
    cr_assert_eq(ftruncate(fd, 163), 0);
    cr_assert_eq(mt_spill_read(spill, id, back, sizeof back), MT_CORRUPT);
    cr_assert_eq(ftruncate(fd, 165), 0);
    cr_assert_eq(mt_spill_read(spill, id, back, sizeof back), MT_CORRUPT);
    cr_assert_eq(ftruncate(fd, 10), 0);
    cr_assert_eq(mt_spill_read(spill, id, back, sizeof back), MT_CORRUPT);
    close(fd);
    unlink(path);
    cr_assert_eq(mt_spill_read(spill, id, back, sizeof back), MT_CORRUPT);
    cr_assert_eq(mt_spill_read(spill, id, back, 99), MT_INVALID_ARGUMENT);
    mt_spill_drop(spill, id);
    cr_assert_eq(mt_spill_bytes(spill), 0);
}

Test(spill, a_full_disk_leaves_nothing_behind) {
    static const char *const points[] = {"file.open:ENOSPC", "file.write:ENOSPC", "file.write:EIO@2"};
    uint64_t id;
    char folder[MT_PATH_BYTES], data[1000] = {0};
    entries(parent, folder);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        id = 1;
        cr_assert_eq(mt_failpoint_set(points[i]), MT_OK);
        cr_assert_eq(mt_spill_write(spill, data, sizeof data, &id), MT_IO, "%s", points[i]);
        cr_assert_eq(id, 0);
        cr_assert_eq(entries(folder, NULL), 0, "%s leaves a file", points[i]);
        cr_assert_eq(mt_spill_bytes(spill), 0);
    }
    cr_assert_eq(mt_failpoint_set("spill.read:EIO@2"), MT_OK);
    cr_assert_eq(mt_spill_write(spill, data, sizeof data, &id), MT_OK);
    cr_assert_eq(mt_spill_read(spill, id, data, sizeof data), MT_IO);
    cr_assert_eq(mt_spill_read(spill, id, data, sizeof data), MT_OK, "the file is still there");
}

// The system itself cuts the write: the file may not grow beyond a limit.
Test(spill, a_write_that_is_cut_short_is_an_error) {
    struct rlimit old, limit;
    uint64_t id;
    static char data[100000];
    char folder[MT_PATH_BYTES];
    entries(parent, folder);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = 50000;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    mt_status status = mt_spill_write(spill, data, sizeof data, &id);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    cr_assert_eq(status, MT_IO);
    cr_assert_eq(entries(folder, NULL), 0);
}

Test(spill, the_folder_of_a_killed_process_is_swept_and_no_other) {
    int ready[2];
    char byte;
    cr_assert_eq(pipe(ready), 0);
    pid_t test = getpid(), child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != test) _exit(1);
        mt_spill *own;
        uint64_t id;
        if (mt_spill_open(parent, 4, &own) != MT_OK || mt_spill_write(own, "left", 4, &id) != MT_OK) _exit(1);
        cr_assert_eq(write(ready[1], "x", 1), 1);
        for (;;) pause();
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    char keep[MT_PATH_BYTES];
    snprintf(keep, sizeof keep, "%s/manta-other", parent);
    cr_assert_eq(mkdir(keep, 0700), 0);
    mt_spill *other;
    cr_assert_eq(mt_spill_open(parent, 5, &other), MT_OK);
    cr_assert_eq(entries(parent, NULL), 4, "the living keep theirs");
    mt_spill_close(other);
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert_eq(entries(parent, NULL), 3, "nobody has swept yet");
    cr_assert_eq(mt_spill_open(parent, 5, &other), MT_OK);
    cr_assert_eq(entries(parent, NULL), 3, "swept, and a new one");
    mt_spill_close(other);
    cr_assert_eq(entries(parent, NULL), 2);
    rmdir(keep);
}

Test(spill, where_it_cannot_be) {
    mt_spill *none;
    cr_assert_eq(mt_spill_open("/nowhere/at/all", 0, &none), MT_NOT_FOUND);
    cr_assert_null(none);
    char *long_name = calloc(1, MT_PATH_BYTES + 1);
    memset(long_name, 'a', MT_PATH_BYTES);
    cr_assert_eq(mt_spill_open(long_name, 0, &none), MT_IO);
    free(long_name);
    setenv("TMPDIR", parent, 1);
    cr_assert_eq(mt_spill_open(NULL, 0, &none), MT_OK);
    cr_assert_eq(entries(parent, NULL), 2);
    mt_spill_close(none);
    mt_spill_close(NULL);
}
