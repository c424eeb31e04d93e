// Guarded arrays and checks in children: where a write went wrong, and every way in which a child can end.
#include "engine/base/check.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- guards

Test(guard, writes_beside_the_array_are_found) {
    mt_guard a = {0}, b = {0};
    long at = 77;
    cr_assert_eq(mt_guard_map(&a, "a", 100), 0);
    cr_assert_eq(mt_guard_map(&b, "b", 5000), 0);
    cr_expect_eq((uintptr_t)a.start % 64, 0);
    memset(a.start, 0xff, 100);
    cr_expect_eq(mt_guard_broken(&a, &at), 0);
    ((char *)a.start)[100] = 1;
    cr_expect(mt_guard_broken(&a, &at) && at == 0);
    mt_guard_unmap(&a);
    ((char *)b.start)[-3] = 1;
    cr_expect(mt_guard_broken(&b, &at) && at == -3);
    mt_guard_unmap(&b);
    mt_guard_unmap(&b);   // nothing any more
}

Test(guard, a_forbidden_page_knows_its_array) {
    mt_guard a = {0}, b = {0};
    long at = 77;
    cr_assert(mt_guard_map(&a, "a", 4096) == 0 && mt_guard_map(&b, "b", 64) == 0);
    cr_expect(mt_guard_at((char *)a.start + 4096 + 8, &at) == &a && at == 8);
    cr_expect(mt_guard_at((char *)b.start - 4096, &at) == &b && at == -4096);
    cr_expect_null(mt_guard_at(&at, &at));
    char *gone = a.start;
    mt_guard_unmap(&a);
    cr_expect(mt_guard_at(gone, &at) != &a);
    mt_guard_unmap(&b);
}

// ---- checks

typedef struct heard {
    char lines[2048];
} heard;

static void take(void *context, mt_verdict verdict, const char *check, const char *text) {
    heard *h = context;
    size_t used = strlen(h->lines);
    snprintf(h->lines + used, sizeof h->lines - used, "%s %s: %s\n", mt_verdict_name(verdict), check, text);
}

static void child(mt_check_session *s, void *argument) {
    const char *how = argument;
    mt_check_say(s, MT_VERDICT_PASS, "begun", "%s\nand on", how);
    s->shared->answer = 41, s->shared->step = 6;
    mt_check_enter(s, "foreign");
    mt_guard array;
    if (strcmp(how, "exit") == 0) exit(9);
    if (strcmp(how, "abort") == 0) abort();
    if (strcmp(how, "hang") == 0) for (;;) pause();
    if (strcmp(how, "print") == 0) printf("hello");
    if (strcmp(how, "guard") == 0 && mt_guard_map(&array, "numbers", 64) == 0) ((volatile char *)array.start)[64 + 11] = 1;
    mt_check_leave(s);
    s->shared->answer++;
}

static void expect(const char *how, const char *words, int failures, uint64_t answer) {
    heard h = {0};
    uint64_t got = 7;
    mt_checker c = {.line = take, .context = &h, .timeout_ns = INT64_C(2000000000), .whose = "guests", .row = "row", .counted = "call"};
    cr_assert_eq(mt_checker_run(&c, child, (void *)(uintptr_t)how, &got), MT_OK, "%s", mt_last_error());
    cr_expect(strstr(h.lines, "PASS begun: ") && strstr(h.lines, " and on\n"), "%s", h.lines);
    cr_expect(strstr(h.lines, words), "'%s' is not in: %s", words, h.lines);
    cr_expect_eq(c.failures, failures);
    cr_expect_eq(got, answer);
}

Test(check, a_child_may_end_as_it_likes) {
    expect("well", "PASS begun: well and on", 0, 42);
    expect("exit", "FAIL exit: foreign (call 6) ended the process with exit(9)", 1, 0);
    expect("abort", "FAIL crash: foreign (call 6) died of signal 6", 1, 0);
    expect("hang", "FAIL hang: foreign did not return within 2 s (call 6)", 1, 0);
    expect("print", "WARN silent: it printed \"hello\"; guests stay silent", 0, 42);
    expect("guard", "FAIL guard: foreign (call 6) touched the byte 11 past the end of numbers; it ends after the last row", 1, 0);
}
