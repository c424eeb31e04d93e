// Long chains of calls and objects, a hundred thousand links each: an error that runs down a chain, references inside references
// that are freed at once, a value that is stepped on for ever, and a different wish with every call. None may go as many calls
// deep, and memory stays bounded. A plain program on one rank, or on several: the last one then takes the steps.
#include "engine/runtime/manta_runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINKS = 100000, FLOATS = 1024, WISHES = 20000, MEMORY_KB = 400 * 1024 };

static int boom(manta_context *c) { return manta_fail(c, "the first failed"); }
static int add(manta_context *c) { return manta_return(c, manta_i64(manta_i64_of(c, 0) + manta_i64_of(c, 1))); }

static int step(manta_context *c) {
    manta_value v = manta_argument(c, 0);
    double *out = manta_result(c, 0, MANTA_TYPE_F64, 1, v.shape);
    for (int64_t i = 0; out && i < v.shape[0]; i++) out[i] = ((const double *)v.data)[i] + 1;
    return out ? MANTA_OK : manta_error(c).code;
}

static int check(int holds, const char *what) {
    printf("%s: %s\n", what, holds ? "ok" : "WRONG");
    return !holds;
}

static int errors_run_down(manta_context *c) {
    manta_ref last = manta_call(c, "boom");
    for (int i = 0; i < LINKS; i++) {
        manta_ref next = manta_call(c, "add", manta_from(last), manta_i64(1));
        manta_release(c, last);
        last = next;
    }
    int64_t x;
    int code = manta_get_i64(c, last, &x);
    return check(code == MANTA_TASK_FAILED && strstr(manta_error(c).message, "the first failed"), "an error, with the first one's words");
}

static int containers_are_freed(manta_context *c) {
    manta_ref outer = manta_put(c, manta_i64(1));
    for (int i = 0; i < LINKS; i++) {
        manta_ref next = manta_put(c, manta_reference(outer));
        manta_release(c, outer);
        outer = next;
    }
    manta_release(c, outer);
    return check(1, "references inside references");
}

static int steps_without_end(manta_context *c) {
    double zero[FLOATS] = {0};
    manta_options there = {.on_rank = MANTA_ON_RANK(manta_rank_count(c) - 1)};
    manta_ref x = manta_put(c, manta_vector(MANTA_TYPE_F64, FLOATS, zero));
    for (int i = 0; i < LINKS; i++) {
        manta_ref next = manta_call_with(c, "step", &there, manta_from(x));
        if (i % 64 == 0 && manta_get(c, next, NULL) != MANTA_OK) return check(0, "a step");
        manta_release(c, x);
        x = next;
    }
    manta_value v;
    int code = manta_get(c, x, &v);
    return check(code == MANTA_OK && ((const double *)v.data)[0] == LINKS, "steps from one to the next");
}

static int wishes_of_their_own(manta_context *c) {
    for (int i = 0; i < WISHES; i++) {
        int64_t x;
        manta_ref r = manta_call_with(c, "add", &(manta_options){.memory = (uint64_t)(1000 + i)}, manta_i64(i), manta_i64(1));
        if (manta_get_i64(c, r, &x) != MANTA_OK || x != i + 1) return check(0, "a call that wants its own");
        manta_release(c, r);
    }
    return check(1, "another wish with every call");
}

static long peak_kb(void) {
    char line[256];
    long kb = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "VmHWM: %ld", &kb);
    if (file) fclose(file);
    return kb;
}

static int driver(manta_context *c) {
    int wrong = errors_run_down(c) + containers_are_freed(c) + steps_without_end(c) + wishes_of_their_own(c);
    printf("peak %ld KB\n", peak_kb());
#if !defined(__SANITIZE_ADDRESS__)
    wrong += check(peak_kb() < MEMORY_KB, "bounded memory");
#endif
    return wrong ? manta_fail(c, "%d of them wrong", wrong) : MANTA_OK;
}

static const manta_task tasks[] = {{"boom", boom, "-> i64"}, {"add", add, "i64, i64 -> i64"}, {"step", step, "f64[n] -> f64[n]"}};

int main(int argc, char **argv) {
    return manta_main(argc, argv, &(manta_program){.tasks = tasks, .task_count = sizeof tasks / sizeof *tasks, .driver = driver});
}
