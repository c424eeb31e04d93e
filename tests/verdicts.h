// What a checker said: its lines, counted, and the reason of the first failure. For the tests of `manta plugin check`.
#ifndef MANTA_TESTS_VERDICTS_H
#define MANTA_TESTS_VERDICTS_H

#include "engine/base/check.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

typedef struct verdicts {
    int fails, warns, passes;
    char first_fail[900], all[32768];   // "check: text"
    size_t used;
} verdicts;

// an mt_check_line_fn, `context` is a verdicts
static inline void verdicts_take(void *context, mt_verdict verdict, const char *check, const char *text) {
    verdicts *v = context;
    if (verdict == MT_VERDICT_FAIL && !v->fails++) snprintf(v->first_fail, sizeof v->first_fail, "%s: %s", check, text);
    v->warns += verdict == MT_VERDICT_WARN;
    v->passes += verdict == MT_VERDICT_PASS;
    int n = snprintf(v->all + v->used, sizeof v->all - v->used, "%s %s: %s\n", mt_verdict_name(verdict), check, text);
    if (n > 0 && v->used + (size_t)n < sizeof v->all) v->used += (size_t)n;
}

// the plugin failed, first of all for this reason: the check's name and words of its line
static inline void expect_fails_for(const verdicts *v, const char *plugin, const char *check, const char *words) {
    cr_expect(v->fails > 0, "%s passed:\n%s", plugin, v->all);
    cr_expect(strncmp(v->first_fail, check, strlen(check)) == 0 && v->first_fail[strlen(check)] == ':', "%s: expected %s, got %s",
        plugin, check, v->first_fail);
    cr_expect(strstr(v->first_fail, words), "%s: '%s' is not in: %s", plugin, words, v->first_fail);
}

#endif
