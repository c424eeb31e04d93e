// The checker's comparisons of one call with another: workspaces, outputs that nobody wants, gradients added, rows alone, steps one
// by one, threads. Runs in a child process.
#include "policies/check_list.h"

#include "engine/base/clock.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = (1 << CHECK_OUTPUTS) - 1, ENVS = 4, STEPS = 5 };

static int64_t steps_of(const mt_check_subject *s) { return s->state_floats ? STEPS : 1; }
static int dx_of(const mt_check_subject *s) { return s->layer != NULL; }

static void say(mt_check_subject *s, const char *check, const char *what) {
    mt_check_say(s->session, MT_VERDICT_FAIL, check, "%s: %s", s->asked->name, what);
}

static int run(mt_check_arrays *a) {
    mt_check_zero(a);
    return mt_check_forward(a, ALL) || mt_check_backward(a, dx_of(a->subject));
}

static int differ(const mt_guard *a, const mt_guard *b) { return a->map && memcmp(a->start, b->start, a->bytes) != 0; }

// the name of an array that differs; NULL: none does
static const char *difference(const mt_check_arrays *a, const mt_check_arrays *b) {
    const mt_check_subject *s = a->subject;
    for (int o = 0; o < s->outputs; o++)
        if (differ(&a->out[o], &b->out[o])) return a->out[o].name;
    if (differ(&a->state_out, &b->state_out)) return "state_out";
    if (differ(&a->dx, &b->dx)) return "dx";
    for (uint32_t i = 0; i < s->parameter_count; i++)
        if (differ(&a->grad[i], &b->grad[i])) return a->grad[i].name;
    return NULL;
}

// two runs, one with rubbish in its workspace
static int check_reproducible(mt_check_subject *s, mt_check_arrays *a, mt_check_arrays *b) {
    if (b->row_space.map) mt_check_poison(&b->row_space);
    if (b->scratch.map) mt_check_poison(&b->scratch);
    if (run(a) || run(b)) return 1;
    const char *name = difference(a, b);
    if (!name) {
        mt_check_say(
            s->session, MT_VERDICT_PASS, "reproducible", "the same numbers give the same bits, whatever the workspace held");
        return 0;
    }
    mt_check_say(s->session, MT_VERDICT_FAIL, "reproducible",
        "%s: the same numbers gave other bits in %s; compute from the arguments alone, not "
        "from what the workspace or a static variable held",
        s->asked->name, name);
    return 1;
}

// a: has run. Head (with log σ) and value each alone
static int check_outputs(mt_check_subject *s, mt_check_arrays *a, mt_check_arrays *b) {
    static const int wanted[] = {1 | 4, 2};
    for (int k = 0; k < 2; k++) {
        if (mt_check_forward(b, wanted[k])) return 1;
        for (int o = 0; o < s->outputs; o++)
            if ((wanted[k] >> o & 1) && differ(&a->out[o], &b->out[o])) {
                say(s, "outputs",
                    k ? "the value has other bits when the head is not wanted"
                      : "the head has other bits when the value is not wanted");
                return 1;
            }
    }
    mt_check_say(s->session, MT_VERDICT_PASS, "outputs", "an output that nobody wants may be NULL, and changes nothing");
    return 0;
}

static double largest_of(const mt_guard *g) {
    double largest = 0;
    for (int64_t i = 0; i < mt_check_count(g); i++) largest = fmax(largest, fabs((double)mt_check_floats(g)[i]));
    return largest;
}

// a: has run. The same onto gradients that are there
static int check_adds(mt_check_subject *s, mt_check_arrays *a, mt_check_arrays *b) {
    for (uint32_t i = 0; i < s->parameter_count; i++) {
        float before = (float)(1 + largest_of(&a->grad[i]));
        for (int64_t k = 0; k < mt_check_count(&b->grad[i]); k++) mt_check_floats(&b->grad[i])[k] = before;
    }
    if (mt_check_forward(b, ALL) || mt_check_backward(b, 0)) return 1;
    for (uint32_t i = 0; i < s->parameter_count; i++) {
        double before = (float)(1 + largest_of(&a->grad[i]));
        for (int64_t k = 0; k < mt_check_count(&b->grad[i]); k++)
            if (fabs(mt_check_floats(&b->grad[i])[k] - before - mt_check_floats(&a->grad[i])[k]) > 1e-3 * before) {
                mt_check_say(s->session, MT_VERDICT_FAIL, "adds",
                    "%s: the gradient of %s[%lld] was %.4g and should be added to: %.4g was expected, %.4g "
                    "is there; use +=%s",
                    s->asked->name, s->parameters[i].name, (long long)k, before, before + (double)mt_check_floats(&a->grad[i])[k],
                    (double)mt_check_floats(&b->grad[i])[k], dx_of(s) ? ", also where dx is NULL" : "");
                return 1;
            }
    }
    mt_check_say(s->session, MT_VERDICT_PASS, "adds", "backward adds to the gradients");
    return 0;
}

// ---- rows

static void copy_sequence(const mt_check_arrays *from, int64_t env, mt_check_arrays *to) {
    const mt_check_subject *s = from->subject;
    for (int64_t t = 0; t < from->steps; t++) {
        int64_t row = t * from->envs + env;
        memcpy(mt_check_floats(&to->x) + t * s->in, mt_check_floats(&from->x) + row * s->in, sizeof(float) * (size_t)s->in);
        if (s->state_floats) ((uint8_t *)to->start.start)[t] = ((uint8_t *)from->start.start)[row];
        for (int o = 0; o < s->outputs; o++)
            memcpy(mt_check_floats(&to->d_out[o]) + t * s->output[o].width,
                mt_check_floats(&from->d_out[o]) + row * s->output[o].width, sizeof(float) * (size_t)s->output[o].width);
    }
    if (s->state_floats)
        memcpy(to->state.start, mt_check_floats(&from->state) + env * s->state_floats, sizeof(float) * (size_t)s->state_floats);
}

// a: has run. Sequences (rows, where nothing is remembered) one by one
static int check_rows(mt_check_subject *s, mt_check_arrays *a) {
    mt_check_arrays one, sum;   // sum: its gradients alone
    int failed = mt_check_arrays_open(&one, s, a->steps, 1) | mt_check_arrays_open(&sum, s, 1, 1);
    mt_check_zero(&sum);
    for (int64_t n = 0; n < a->envs && !failed; n++) {
        copy_sequence(a, n, &one);
        failed = run(&one);
        for (int64_t t = 0; t < a->steps && !failed; t++)
            for (int o = 0; o < s->outputs; o++) {
                int64_t width = s->output[o].width;
                if (memcmp(mt_check_floats(&one.out[o]) + t * width, mt_check_floats(&a->out[o]) + (t * a->envs + n) * width,
                        sizeof(float) * (size_t)width) == 0)
                    continue;
                mt_check_say(s->session, MT_VERDICT_FAIL, "rows",
                    "%s: %s of row %lld of %lld has other bits than of the same numbers alone; a row "
                    "depends on its own numbers, not on its index or its neighbours",
                    s->asked->name, a->out[o].name, (long long)(t * a->envs + n), (long long)a->rows);
                failed = 1;
                break;
            }
        for (uint32_t i = 0; i < s->parameter_count; i++)
            for (int64_t k = 0; k < mt_check_count(&sum.grad[i]); k++)
                mt_check_floats(&sum.grad[i])[k] += mt_check_floats(&one.grad[i])[k];
    }
    for (uint32_t i = 0; i < s->parameter_count && !failed; i++) {
        double allowed = 1e-3 * (largest_of(&a->grad[i]) + 1e-3);
        for (int64_t k = 0; k < mt_check_count(&sum.grad[i]) && !failed; k++) {
            double alone = mt_check_floats(&sum.grad[i])[k], whole = mt_check_floats(&a->grad[i])[k];
            if (fabs(alone - whole) <= allowed) continue;
            mt_check_say(s->session, MT_VERDICT_FAIL, "rows",
                "%s: the gradient of %s[%lld] of all rows is %.4g, and the sum over rows one by one %.4g; "
                "add up over all rows",
                s->asked->name, s->parameters[i].name, (long long)k, whole, alone);
            failed = 1;
        }
    }
    if (!failed)
        mt_check_say(
            s->session, MT_VERDICT_PASS, "rows", "a row's outputs depend on its own numbers alone, and gradients add up over rows");
    mt_check_arrays_close(&one);
    mt_check_arrays_close(&sum);
    return failed;
}

// ---- steps

// a: has run. Step by step, the state written where it is read
static int check_steps(mt_check_subject *s, mt_check_arrays *a) {
    mt_check_arrays one;
    int failed = mt_check_arrays_open(&one, s, 1, a->envs);
    if (!failed) memcpy(one.state.start, a->state.start, one.state.bytes);
    one.pass.state_out = one.state.start;
    for (int64_t t = 0; t < a->steps && !failed; t++) {
        memcpy(one.x.start, mt_check_floats(&a->x) + t * a->envs * s->in, one.x.bytes);
        memcpy(one.start.start, (uint8_t *)a->start.start + t * a->envs, one.start.bytes);
        failed = mt_check_forward(&one, ALL);
        for (int o = 0; o < s->outputs && !failed; o++) {
            if (memcmp(one.out[o].start, mt_check_floats(&a->out[o]) + t * a->envs * s->output[o].width, one.out[o].bytes) == 0)
                continue;
            mt_check_say(s->session, MT_VERDICT_FAIL, "steps",
                "%s: %s of step %lld has other bits when the steps are run one by one; go on from "
                "`state`, write `state_out` after the last step (they may be the same array), and zero the state before a step "
                "with `start`",
                s->asked->name, a->out[o].name, (long long)t);
            failed = 1;
        }
    }
    if (!failed && memcmp(one.state.start, a->state_out.start, one.state.bytes) != 0) {
        say(s, "steps", "state_out after several steps has other bits than after the same steps one by one");
        failed = 1;
    }
    mt_check_arrays_close(&one);
    return failed;
}

// what was before an episode's first step must not matter, and `start` NULL means nowhere
static int check_start(mt_check_subject *s, mt_check_arrays *a, mt_check_arrays *b) {
    memset(a->start.start, 0, a->start.bytes);
    memset(b->start.start, 0, b->start.bytes);
    memset(b->start.start, 1, (size_t)b->envs);
    memset(a->start.start, 1, (size_t)a->envs);
    for (int64_t i = 0; i < mt_check_count(&b->state); i++)
        mt_check_floats(&b->state)[i] = 0.5f * mt_check_number(991, (uint64_t)i);
    if (run(a) || run(b)) return 1;
    if (difference(a, b)) {
        say(s, "start",
            "an episode that begins at the first step depends on the state before it; `start` 1 means that the state is zero");
        return 1;
    }
    memset(a->start.start, 0, a->start.bytes);
    memcpy(b->state.start, a->state.start, a->state.bytes);
    b->pass.start = NULL, b->pass.state_out = NULL;
    if (run(a) || run(b)) return 1;
    memcpy(b->state_out.start, a->state_out.start, a->state_out.bytes);
    if (difference(a, b)) {
        say(s, "start", "`start` NULL gave other bits than `start` of zeros, or state_out NULL than state_out wanted");
        return 1;
    }
    return 0;
}

// ---- threads

typedef struct work {
    mt_check_subject subject;
    mt_check_session session;
    mt_check_shared shared;   // of its own: the parent watches the checker's thread
    mt_check_arrays arrays, alone;
    int64_t until_ns;
    int failed;
} work;

static void *thread_run(void *context) {
    work *w = context;
    while (!w->failed && mt_clock_ns() < w->until_ns) w->failed = run(&w->arrays) || difference(&w->alone, &w->arrays);
    return NULL;
}

// the same subject twice, with other inputs the second time, and what it makes of them alone
static int open_work(work *w, mt_check_subject *s, int number) {
    w->subject = *s;
    if (mt_check_arrays_open(&w->alone, &w->subject, steps_of(s), ENVS) ||
        mt_check_arrays_open(&w->arrays, &w->subject, steps_of(s), ENVS))
        return 1;
    for (int64_t i = 0; number && i < mt_check_count(&w->arrays.x); i++)
        mt_check_floats(&w->alone.x)[i] = mt_check_floats(&w->arrays.x)[i] = -0.7f * mt_check_floats(&w->arrays.x)[i];
    if (run(&w->alone)) return 1;
    w->session = *s->session, w->session.shared = &w->shared;
    w->subject.session = &w->session;
    return 0;
}

// one instance in two threads at once
static int check_threads(mt_check_subject *s) {
    work *w = calloc(2, sizeof *w);
    pthread_t thread[2];
    int started = 0, failed = !w || open_work(&w[0], s, 0) || open_work(&w[1], s, 1);
    mt_check_enter(s->session, "two threads");
    // long enough for both to run at once, or in turns on one processor
    for (int k = 0; k < 2 && !failed; k++) w[k].until_ns = mt_clock_ns() + MT_SECOND_NS / 10;
    for (; started < 2 && !failed; started++) failed = pthread_create(&thread[started], NULL, thread_run, &w[started]) != 0;
    for (int k = 0; k < started; k++) pthread_join(thread[k], NULL);
    mt_check_leave(s->session);
    if (!failed && (w[0].failed || w[1].failed)) {
        say(s, "threads",
            "two threads that compute with the same instance disturb each other; keep variables on the stack or in the workspace: "
            "none static, none in the instance");
        failed = 1;
    }
    if (!failed)
        mt_check_say(s->session, MT_VERDICT_PASS, "threads", "two threads with the same instance do not disturb each other");
    for (int k = 0; w && k < 2; k++) mt_check_arrays_close(&w[k].arrays), mt_check_arrays_close(&w[k].alone);
    free(w);
    return failed;
}

void mt_check_compare(mt_check_subject *s) {
    mt_check_arrays a, b;
    int failed = mt_check_arrays_open(&a, s, steps_of(s), ENVS) | mt_check_arrays_open(&b, s, steps_of(s), ENVS);
    failed = failed || check_reproducible(s, &a, &b) || (s->policy && check_outputs(s, &a, &b)) ||
             (s->parameter_count && check_adds(s, &a, &b)) || check_rows(s, &a) || check_threads(s);
    if (!failed && s->state_floats && !check_steps(s, &a) && !check_start(s, &a, &b))
        mt_check_say(s->session, MT_VERDICT_PASS, "steps",
            "a state goes on from step to step and from call to call, and is zero where an episode begins");
    mt_check_arrays_close(&a);
    mt_check_arrays_close(&b);
}
