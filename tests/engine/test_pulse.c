// The sign of life: it changes while somebody beats, stands still when nobody does, and nothing stops when it cannot be written.
#include "engine/base/pulse.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/clock.h"

static char folder[64], path[96];

static void begin(void) {
    snprintf(folder, sizeof folder, "/tmp/manta-pulse-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pulse", folder);
}

static void end(void) {
    unlink(path);
    rmdir(folder);
}

TestSuite(pulse, .init = begin, .fini = end);

Test(pulse, changes_with_beats_and_only_with_beats) {
    char first[MT_PULSE_BYTES], second[MT_PULSE_BYTES];
    mt_pulse *pulse;
    mt_pulse_beat(NULL);
    cr_expect_eq(mt_pulse_read(path, first), MT_NOT_FOUND);
    cr_assert_eq(mt_pulse_create(path, 5 * MT_MILLISECOND_NS, &pulse), MT_OK);
    cr_assert_eq(mt_pulse_read(path, first), MT_OK);
    mt_pulse_beat(pulse);   // too early to write
    mt_pulse_read(path, second);
    cr_expect_str_eq(first, second);
    mt_sleep_ns(8 * MT_MILLISECOND_NS);
    mt_pulse_read(path, second);
    cr_expect_str_eq(first, second);
    mt_pulse_beat(pulse);
    mt_pulse_read(path, second);
    cr_expect_str_neq(first, second);
    cr_expect_eq(strlen(first), strlen(second));   // in place: needs no room on a full disk
    struct stat info;
    stat(path, &info);
    cr_expect_eq(info.st_mode & 07777, 0644);
    mt_pulse_destroy(pulse);
}

Test(pulse, a_second_process_of_the_same_run_changes_it_at_once) {
    char first[MT_PULSE_BYTES], second[MT_PULSE_BYTES];
    mt_pulse *pulse;
    cr_assert_eq(mt_pulse_create(path, MT_SECOND_NS, &pulse), MT_OK);
    mt_pulse_destroy(pulse);
    mt_pulse_read(path, first);
    FILE *f = fopen(path, "r+");
    fputs("00000000000000000009", f);   // another pid's
    fclose(f);
    mt_pulse_read(path, second);
    cr_expect_str_neq(first, second);
}

Test(pulse, a_file_that_cannot_be_written_is_an_error_at_the_start_and_nothing_later) {
    mt_pulse *pulse;
    cr_expect_neq(mt_pulse_create("/nowhere/pulse", 1, &pulse), MT_OK);
    cr_assert_eq(mt_pulse_create(path, 1, &pulse), MT_OK);
    unlink(path);
    mt_sleep_ns(1000);
    for (int i = 0; i < 100; i++) mt_pulse_beat(pulse);
    cr_expect_neq(access(path, F_OK), 0, "a run folder that was moved away does not come back");
    mt_pulse_destroy(pulse);
}

static void *beat(void *pulse) {
    for (int i = 0; i < 20000; i++) mt_pulse_beat(pulse);
    return NULL;
}

Test(pulse, many_threads_beat) {
    char text[MT_PULSE_BYTES];
    long long pid, count;
    mt_pulse *pulse;
    pthread_t threads[4];
    cr_assert_eq(mt_pulse_create(path, MT_MILLISECOND_NS / 10, &pulse), MT_OK);
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, beat, pulse);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    mt_pulse_read(path, text);
    cr_assert_eq(sscanf(text, "%lld %lld", &pid, &count), 2, "%s", text);
    cr_expect_eq(pid, getpid());
    cr_expect_gt(count, 0);
    mt_pulse_destroy(pulse);
}

Test(pulse, is_there_when_somebody_watches) {
    mt_pulse *pulse;
    unsetenv("MANTA_PULSE");
    cr_assert_eq(mt_pulse_open(4, &pulse), MT_OK);
    cr_expect_null(pulse);
    setenv("MANTA_PULSE", path, 1);
    cr_assert_eq(mt_pulse_open(4, &pulse), MT_OK);
    cr_expect_not_null(pulse);
    cr_expect_eq(access(path, F_OK), 0);
    mt_pulse_destroy(pulse);
}

Test(pulse, progress_beats_once_for_each_change) {
    char before[MT_PULSE_BYTES], after[MT_PULSE_BYTES];
    int64_t count = 0;
    mt_pulse *pulse;
    cr_assert_eq(mt_pulse_create(path, 0, &pulse), MT_OK);
    mt_progress p = {.count = &count, .pulse = pulse};
    mt_pulse_read(path, before);
    cr_expect_not(mt_progress_made(&p));
    mt_pulse_read(path, after);
    cr_expect_str_eq(before, after, "it beats without progress");
    count = 16;
    cr_expect(mt_progress_made(&p));
    mt_pulse_read(path, after);
    cr_expect_str_neq(before, after, "it does not beat");
    cr_expect_not(mt_progress_made(&p));
    cr_expect_not(mt_progress_made(NULL));
    mt_pulse_destroy(pulse);
}
