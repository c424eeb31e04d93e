// What the end of an attempt means, for every kind of end.
#include "scheduler/launch/verdict.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static char why[MT_WHY_BYTES];

static mt_verdict verdict(int code, const char *outcome, const char *words) {
    mt_attempt a = {.code = code};
    snprintf(a.words, sizeof a.words, "%s", words);
    return mt_attempt_verdict(&a, outcome, why);
}

Test(verdict, success_is_what_run_json_says) {
    cr_expect_eq(verdict(0, "done", ""), MT_VERDICT_DONE);
    cr_expect_eq(verdict(1, "done", ""), MT_VERDICT_DONE, "a rank died after the last checkpoint: nothing is missing");
    // --enable-recovery: mpirun says 0 for a job whose ranks died
    cr_expect_eq(verdict(0, "running", ""), MT_VERDICT_RETRY);
    cr_expect_eq(verdict(0, "failed", ""), MT_VERDICT_RETRY);
    cr_expect_eq(verdict(0, "", ""), MT_VERDICT_RETRY, "it died before its first file");
    cr_expect_not_null(strstr(why, "--enable-recovery"), "%s", why);
}

Test(verdict, what_would_happen_again_is_final) {
    static const int codes[] = {2, 3, 4, 6, 8, 10, 13};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) cr_expect_eq(verdict(codes[i], "", ""), MT_VERDICT_FINAL, "%d", codes[i]);
    static const int others[] = {1, 5, 7, 9, 11, 12, 70, 134, 137, 139, 255};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) cr_expect_eq(verdict(others[i], "running", ""), MT_VERDICT_RETRY, "%d", others[i]);
    cr_expect_eq(verdict(1, "", "There are not enough slots available"), MT_VERDICT_FINAL);
    cr_expect_eq(verdict(132, "", "unable to launch the specified application as it could not access\nor execute an executable:"), MT_VERDICT_FINAL);
}

Test(verdict, a_stop_that_was_asked_for_is_no_failure) {
    cr_expect_eq(verdict(75, "running", ""), MT_VERDICT_STOPPED);
    cr_expect_eq(verdict(1, "interrupted", ""), MT_VERDICT_STOPPED, "mpirun said 1, the run says why");
    mt_attempt a = {.code = 137, .asked = 15, .signals = 2};
    cr_expect_eq(mt_attempt_verdict(&a, "running", why), MT_VERDICT_STOPPED);
    a = (mt_attempt){.code = 75, .hung = 1};
    cr_expect_eq(mt_attempt_verdict(&a, "interrupted", why), MT_VERDICT_RETRY, "it was the launcher that ended it");
    a = (mt_attempt){.code = 137, .asked = 15, .hung = 1};
    cr_expect_eq(mt_attempt_verdict(&a, "running", why), MT_VERDICT_STOPPED, "nobody wants it back");
}

Test(verdict, the_reason_is_the_words_of_who_knew) {
    verdict(137, "running", "manta: x\n-----\nmpirun noticed that process rank 3 with PID 0 on node h exited on signal 9 (Killed).\n-----\n");
    cr_expect_str_eq(why, "mpirun noticed that process rank 3 with PID 0 on node h exited on signal 9 (Killed).");
    verdict(12, "running", "  manta: rank 1: deadline\r\nwhat follows");
    cr_expect_str_eq(why, "manta: rank 1: deadline");
    verdict(1, "running", "");
    cr_expect_str_eq(why, "mpirun ended with status 1");
    verdict(137, "running", "");
    cr_expect_not_null(strstr(why, "signal 9"), "%s", why);
    mt_attempt a = {.hung = 1, .stuck = {.count = 40, .list = {{.pid = 7, .rank = 2, .state = 'T'}, {.pid = 8, .rank = -1, .state = 'T'}, {.pid = 9, .rank = 3, .state = 'R'}}}};
    mt_attempt_verdict(&a, "", why);
    cr_expect_str_eq(why, "it gave no sign of life: rank 2 (pid 7) is stopped");
    for (int i = 0; i < MT_SWEEP_LIST; i++) a.stuck.list[i] = (mt_stray){.pid = 2147483647, .rank = 2147483647, .state = 'D'};
    mt_attempt_verdict(&a, "", why);   // fits
    cr_expect_lt(strlen(why), sizeof why);
    char longest[MT_ATTEMPT_WORDS];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memcpy(longest, "manta: ", 7);
    verdict(12, "", longest);
    cr_expect_eq(strlen(why), sizeof why - 1);
}

Test(verdict, exit_codes_are_the_jobs_own) {
    mt_attempt a = {.code = 9};
    cr_expect_eq(mt_attempt_status(&a), MT_ENV);
    a.code = 137;
    cr_expect_eq(mt_attempt_status(&a), MT_COMM);
    a.code = 2;
    cr_expect_eq(mt_status_exit_code(mt_attempt_status(&a)), 2);
    a.hung = 1;
    cr_expect_eq(mt_attempt_status(&a), MT_DEADLINE);
}
