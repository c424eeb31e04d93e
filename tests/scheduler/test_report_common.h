// What the report tests share: a fresh folder under /tmp per test, whole-file reads, and checks that print the last
// error.
#ifndef MANTA_TESTS_SCHEDULER_TEST_REPORT_COMMON_H
#define MANTA_TESTS_SCHEDULER_TEST_REPORT_COMMON_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/failpoint.h"
#include "engine/base/file.h"
#include "engine/base/status.h"

#define CHECK_OK(expr) cr_assert_eq((expr), MT_OK, "%s", mt_last_error())

// fails as it should, and the message has this word in it
#define CHECK_FAIL(code, word, expr)                                                                                   \
    do {                                                                                                               \
        mt_status got_ = (expr);                                                                                       \
        cr_assert_eq(got_, MT_##code, "%s instead of %s: %s", mt_status_name(got_), #code, mt_last_error());           \
        cr_assert_not_null(strstr(mt_last_error(), (word)), "no \"%s\" in: %s", (word), mt_last_error());              \
    } while (0)

static char test_folder[64];

// Criterion runs each test in a process of its own: one folder per process.
__attribute__((unused)) static void make_test_folder(void) {
    strcpy(test_folder, "/tmp/manta-report-XXXXXX");
    cr_assert_not_null(mkdtemp(test_folder));
}

__attribute__((unused)) static void remove_test_folder(void) {
    mt_failpoint_set(NULL);
    mt_folder_remove_tree("/tmp", mt_path_name(test_folder));
}

// FOLDER/name; four results live at a time
__attribute__((unused)) static const char *at(const char *name) {
    static char paths[4][MT_PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, MT_PATH_BYTES, "%s/%s", test_folder, name);
    return path;
}

__attribute__((unused)) static char *slurp(const char *path) {
    char *text = NULL;
    CHECK_OK(mt_file_read(path, 1 << 26, &text, NULL));
    return text;
}

__attribute__((unused)) static void spill(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

__attribute__((unused)) static void check_text(const char *path, const char *expected) {
    char *text = slurp(path);
    cr_assert_str_eq(text, expected);
    free(text);
}

#endif
