// Checkpoints under faults: the process killed and the disk failing at every step there is. The promise each time: an
// older whole generation loads, and the next commit works.
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "checkpoint_sample.h"
#include "engine/base/failpoint.h"
#include "engine/base/log.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static sample_place place;

static void drop_line(void *context, mt_log_level level, const char *line, size_t bytes) {
    (void)context, (void)level, (void)line, (void)bytes;
}

static void set_up(void) {
    mt_log_desc desc = {.level = MT_LOG_ERROR, .size = 1, .write = drop_line};   // removals are reported by the hundred
    mt_log_start(&desc);
    place = sample_open();
    cr_assert_eq(sample_write(place.folder, 1, 3), MT_OK, "%s", mt_last_error());
}
static void tear_down(void) { sample_close(&place); }

TestSuite(checkpoint_faults, .init = set_up, .fini = tear_down);

static const char *const points[] = {"file.mkdir", "file.open", "file.write", "file.fsync", "file.rename",
    "checkpoint.manifest", "checkpoint.rename", "checkpoint.committed", "checkpoint.retain"};
enum { STEPS_MAX = 200 };

static uint64_t next_generation(void) {
    uint64_t next = 0;
    cr_assert_eq(mt_checkpoint_next_generation(place.folder, &next), MT_OK, "%s", mt_last_error());
    return next;
}

// Whatever happened: `old` or newer loads whole, leftovers go, the next generation commits.
static void check_recovery(uint64_t old, const char *what) {
    uint64_t found = sample_newest(place.folder, NULL, 0);
    cr_assert_geq(found, old, "%s: found %llu, %s", what, (unsigned long long)found, mt_last_error());
    cr_assert_eq(mt_checkpoint_prepare(place.folder), MT_OK, "%s: %s", what, mt_last_error());
    cr_assert_eq(sample_count(place.folder, ".tmp-"), 0, "%s", what);
    uint64_t next = next_generation();
    cr_assert_eq(sample_write(place.folder, next, 2), MT_OK, "%s: %s", what, mt_last_error());
    cr_assert_eq(sample_newest(place.folder, NULL, 0), next, "%s: %s", what, mt_last_error());
}

// Commits one generation in a child with `spec` set. Returns the wait status.
static int write_in_child(uint64_t generation, const char *spec) {
    pid_t child = fork();
    if (child == 0) {
        if (mt_failpoint_set(spec) != MT_OK) _exit(99);
        _exit(sample_write(place.folder, generation, 2) == MT_OK ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

Test(checkpoint_faults, killed_at_every_step) {
    for (size_t p = 0; p < COUNT(points); p++) {
        int n = 1, killed = 1;
        for (; killed && n < STEPS_MAX; n++) {
            char spec[128];
            snprintf(spec, sizeof spec, "%s:KILL@%d", points[p], n);
            uint64_t next = next_generation();
            int status = write_in_child(next, spec);
            killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
            cr_assert(killed || status == 0, "%s: status %d", spec, status);
            check_recovery(next - 1, spec);
        }
        cr_assert_gt(n, 2, "%s was passed at least once", points[p]);
        cr_assert_lt(n, STEPS_MAX);
    }
}

Test(checkpoint_faults, killed_at_random_moments) {
    unsigned seed = (unsigned)time(NULL);
    fprintf(stderr, "killed_at_random_moments: seed %u\n", seed);
    for (int round = 0; round < 60; round++) {
        uint64_t next = next_generation();
        pid_t child = fork();
        if (child == 0)
            for (uint64_t g = next;; g++)
                if (sample_write(place.folder, g, 2) != MT_OK) _exit(1);
        struct timespec pause = {.tv_nsec = rand_r(&seed) % 20000000};
        nanosleep(&pause, NULL);
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        cr_assert(WIFSIGNALED(status), "round %d: the writer failed by itself", round);
        check_recovery(next - 1, "random kill");
    }
}

// The process lives on: the generation fails with a typed error, nothing of it stays, the same process commits the
// next.
static void check_error(const char *spec, uint64_t generation, mt_status status) {
    cr_assert_neq(mt_last_error()[0], 0);
    cr_assert(status == MT_IO || status == MT_EXISTS, "%s: %s", spec, mt_status_name(status));
    cr_assert_eq(sample_count(place.folder, ".tmp-gen-"), 0, "%s left its temporary folder", spec);
    uint64_t found = sample_newest(place.folder, NULL, 0);
    cr_assert(found == generation - 1 || found == generation, "%s: found %llu", spec, (unsigned long long)found);
}

static void fail_at_every_step(const char *action) {
    for (size_t p = 0; p < COUNT(points); p++) {
        int n = 1, failed = 1;
        for (; failed && n < STEPS_MAX; n++) {
            char spec[128];
            snprintf(spec, sizeof spec, "%s:%s@%d", points[p], action, n);
            uint64_t next = next_generation();
            cr_assert_eq(mt_failpoint_set(spec), MT_OK, "%s", mt_last_error());
            mt_status status = sample_write(place.folder, next, 2);
            int left = sample_count(place.folder, "gen-");
            cr_assert_eq(mt_failpoint_set(NULL), MT_OK);
            // trouble in removing an old generation is no failure of the new one: more than two are left then
            failed = status != MT_OK || left > 2;
            if (status != MT_OK) check_error(spec, next, status);
            check_recovery(next - 1, spec);
        }
        cr_assert_gt(n, 2, "%s was passed at least once", points[p]);
        cr_assert_lt(n, STEPS_MAX);
    }
}

Test(checkpoint_faults, disk_full_at_every_step) {
    check_recovery(1, "before");
    fail_at_every_step("ENOSPC");
}
Test(checkpoint_faults, input_output_error_at_every_step) {
    check_recovery(1, "before");
    fail_at_every_step("EIO");
}

// A disk that stays full until something is removed.
Test(checkpoint_faults, disk_full_for_good) {
    cr_assert_eq(mt_failpoint_set("file.write:ENOSPC+"), MT_OK);
    for (uint64_t g = 2; g < 6; g++) {
        cr_assert_eq(sample_write(place.folder, g, 2), MT_IO);
        cr_assert(strstr(mt_last_error(), "No space left"), "%s", mt_last_error());
        cr_assert_eq(sample_count(place.folder, ".tmp-"), 0);
        cr_assert_eq(sample_newest(place.folder, NULL, 0), 1);
    }
    mt_failpoint_set(NULL);
    check_recovery(1, "after");
}

// ---- a real full disk ----

enum { NOT_PERMITTED = 77 };

// In a mount namespace of its own, so that nothing is left mounted whatever happens.
static int fill_small_disk(const char *at) {
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", at, "tmpfs", 0, "size=400k") != 0)
        return NOT_PERMITTED;
    char folder[MT_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/checkpoints", at);
    // one generation has about 60 KB and up to 100 are kept: the disk must fill up
    uint64_t g = 1, full = 0;
    for (; g < 40 && !full; g++) {
        mt_status status = sample_write(folder, g, 100);
        if (status == MT_IO && strstr(mt_last_error(), "No space left")) full = g;
        else if (status != MT_OK) return 2;
    }
    if (!full) return 3;
    if (sample_newest(folder, NULL, 0) != full - 1) return 4;
    if (sample_count(folder, ".tmp-") != 0) return 5;
    // again, then with room made by hand
    if (sample_write(folder, g, 100) == MT_OK) return 6;
    if (mt_folder_remove_tree(folder, "gen-00000001") != MT_OK) return 7;
    if (sample_write(folder, g, 2) != MT_OK) return 8;
    if (sample_newest(folder, NULL, 0) != g || sample_count(folder, "gen-") != 2) return 9;
    return 0;
}

Test(checkpoint_faults, a_real_full_disk) {
    pid_t child = fork();
    if (child == 0) _exit(fill_small_disk(place.run));
    int status = -1;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == NOT_PERMITTED) {
        tear_down();   // which a skip leaves out
        cr_skip_test("a small tmpfs cannot be mounted here (needs CAP_SYS_ADMIN)");
    }
    cr_assert_eq(WEXITSTATUS(status), 0, "step %d", WEXITSTATUS(status));
}
