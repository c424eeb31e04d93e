// status.h: names, messages, the thread's last error, check macros.
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include "engine/base/status.h"

Test(status, every_code_has_a_name_and_an_exit_code) {
    for (int s = 0; s < MT_STATUS_COUNT; s++) {
        cr_expect_str_neq(mt_status_name((mt_status)s), "?");
        cr_expect(strlen(mt_status_text((mt_status)s)) > 0);
        cr_expect_eq(mt_status_exit_code((mt_status)s) == 0, s == MT_OK);
    }
    cr_expect_str_eq(mt_status_name((mt_status)999), "?");
    cr_expect_eq(mt_status_exit_code((mt_status)-1), 70);
}

Test(status, fail_keeps_message_and_place) {
    cr_assert_eq(MT_FAIL(CONFIG, "bad %s %d", "key", 7), MT_CONFIG);
    cr_assert_str_eq(mt_last_error(), "bad key 7");
    cr_assert_not_null(strstr(mt_last_error_where(), "test_status.c:"));
    cr_assert_eq(mt_fail_context(MT_CONFIG, "%s:%d: ", "a.yml", 3), MT_CONFIG);
    cr_assert_str_eq(mt_last_error(), "a.yml:3: bad key 7");
}

Test(status, the_old_message_may_be_an_argument) {
    MT_FAIL(IO, "inner");
    MT_FAIL(IO, "outer: %s", mt_last_error());
    cr_assert_str_eq(mt_last_error(), "outer: inner");
}

Test(status, long_messages_are_cut) {
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    MT_FAIL(IO, "%s", text);
    cr_assert_eq(strlen(mt_last_error()), 1023);
    mt_fail_context(MT_IO, "%s", text);
    cr_assert_eq(strlen(mt_last_error()), 1023);
}

static mt_status fails_if(int yes) { return yes ? MT_FAIL(IO, "yes") : MT_OK; }

static mt_status tries(int yes, int *after) {
    MT_TRY(fails_if(yes));
    *after = 1;
    return MT_OK;
}

Test(status, macros) {
    int after = 0;
    cr_assert_eq(tries(1, &after), MT_IO);
    cr_assert_eq(after, 0);
    cr_assert_eq(tries(0, &after), MT_OK);
    cr_assert_eq(after, 1);
    mt_status first = MT_OK;
    MT_KEEP(first, MT_OK);
    MT_KEEP(first, MT_CORRUPT);
    MT_KEEP(first, MT_IO);
    cr_assert_eq(first, MT_CORRUPT);
}

static void *other_thread(void *result) {
    *(int *)result = mt_last_error()[0] == 0;
    MT_FAIL(IO, "of the other thread");
    return NULL;
}

Test(status, each_thread_has_its_own) {
    int empty = 0;
    pthread_t thread;
    MT_FAIL(IO, "mine");
    pthread_create(&thread, NULL, other_thread, &empty);
    pthread_join(thread, NULL);
    cr_assert(empty);
    cr_assert_str_eq(mt_last_error(), "mine");
}

Test(status, failed_assertion_aborts, .signal = SIGABRT) { MT_ASSERT(1 == 2); }
