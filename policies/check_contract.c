// The checker's look at single calls: the plan and the first parameters, what forward and backward write, and what they leave
// alone. Runs in a child process.
#include "policies/check_list.h"

#include "policies/policy_plugin.h"

#include <stdlib.h>
#include <string.h>

enum { ALL = (1 << CHECK_OUTPUTS) - 1 };

// ---- plan and first parameters

static int same_plan(const mt_check_subject *a, const mt_check_subject *b) {
    int same = a->parameter_count == b->parameter_count && a->row_floats == b->row_floats &&
               a->scratch_floats == b->scratch_floats && a->state_floats == b->state_floats &&
               a->output[0].width == b->output[0].width;
    for (uint32_t i = 0; same && i < a->parameter_count; i++) {
        const manta_parameter *p = &a->parameters[i], *q = &b->parameters[i];
        same = strcmp(p->name, q->name) == 0 && p->ndim == q->ndim && memcmp(p->shape, q->shape, sizeof *p->shape * p->ndim) == 0;
    }
    return same;
}

static float *first_parameters(mt_check_subject *s, uint64_t seed, int64_t *count) {
    char why[MANTA_ERROR_BYTES] = "";
    float *tensor[MANTA_POLICY_MAX_PARAMETERS];
    *count = 0;
    for (uint32_t i = 0; i < s->parameter_count; i++) *count += mt_parameter_floats(&s->parameters[i]);
    float *all = calloc((size_t)*count + 1, sizeof *all);
    if (!all) return NULL;
    for (int64_t i = 0, at = 0; i < s->parameter_count; at += mt_parameter_floats(&s->parameters[i++])) tensor[i] = all + at;
    mt_check_enter(s->session, "init");
    int code = s->policy        ? s->policy->init(s->instance, seed, tensor, why)
               : s->layer->init ? s->layer->init(&s->layer_plan, seed, tensor, why)
                                : 0;
    mt_check_leave(s->session);
    why[sizeof why - 1] = 0;
    if (code)
        mt_check_say(s->session, MT_VERDICT_FAIL, "init", "%s: init failed: %s", s->asked->name,
            *why ? why : "it left no message in `error`");
    if (!code) return all;
    free(all);
    return NULL;
}

static void check_init(mt_check_subject *s) {
    int64_t count;
    float *a = first_parameters(s, 7, &count), *b = a ? first_parameters(s, 7, &count) : NULL,
          *c = b ? first_parameters(s, 8, &count) : NULL;
    if (!c) goto out;
    for (int64_t i = 0; i < count; i++)
        if (!(a[i] - a[i] == 0)) {
            mt_check_say(s->session, MT_VERDICT_FAIL, "init", "%s: the %lldth first parameter is %g", s->asked->name,
                (long long)i + 1, (double)a[i]);
            goto out;
        }
    if (memcmp(a, b, sizeof *a * (size_t)count) != 0) {
        mt_check_say(s->session, MT_VERDICT_FAIL, "init",
            "%s: the same seed gave other first parameters; draw from the seed alone, never from "
            "rand() or time()",
            s->asked->name);
        goto out;
    }
    if (count && memcmp(a, c, sizeof *a * (size_t)count) == 0)
        mt_check_say(s->session, MT_VERDICT_WARN, "init",
            "%s: another seed gives the same first parameters; fine where they need no randomness", s->asked->name);
    mt_check_say(s->session, MT_VERDICT_PASS, "init", "first parameters are finite and depend on the seed alone");
out:
    free(a);
    free(b);
    free(c);
}

void mt_check_plan(mt_check_subject *s) {
    char why[MANTA_ERROR_BYTES];
    mt_check_subject second = {.session = s->session, .asked = s->asked, .policy = s->policy, .layer = s->layer};
    mt_check_arrays a;
    if (mt_check_subject_open(&second, why) != 0 || !same_plan(s, &second)) {
        mt_check_say(
            s->session, MT_VERDICT_FAIL, "plan", "%s: asked a second time for the same, it answered differently", s->asked->name);
        mt_check_subject_close(&second);
        return;
    }
    mt_check_subject_close(&second);
    if (s->policy) {
        mt_check_enter(s->session, "destroy of NULL");
        s->policy->destroy(NULL);
        mt_check_leave(s->session);
    }
    mt_check_say(s->session, MT_VERDICT_PASS, "plan", "sizes and shapes are possible, and the same whenever it is asked");
    if (!mt_check_arrays_open(&a, s, 1, 1)) check_init(s);
    mt_check_arrays_close(&a);
}

// ---- what calls write

typedef struct copies {
    const mt_guard *array[8 + CHECK_OUTPUTS + MANTA_POLICY_MAX_PARAMETERS];
    void *bytes[8 + CHECK_OUTPUTS + MANTA_POLICY_MAX_PARAMETERS];
    int count;
} copies;

static void keep(copies *c, const mt_guard *array) {
    if (!array->map) return;
    void *copy = malloc(array->bytes + 1);
    if (!copy) return;
    memcpy(copy, array->start, array->bytes);
    c->array[c->count] = array, c->bytes[c->count++] = copy;
}

static void keep_inputs(copies *c, const mt_check_arrays *a) {
    keep(c, &a->x), keep(c, &a->start), keep(c, &a->state);
    for (uint32_t i = 0; i < a->subject->parameter_count; i++) keep(c, &a->param[i]);
}

// 1 after saying which has changed; the copies are gone
static int changed(copies *c, const mt_check_subject *s, const char *call) {
    int found = 0;
    for (int i = 0; i < c->count; i++) {
        if (!found && memcmp(c->bytes[i], c->array[i]->start, c->array[i]->bytes) != 0) {
            mt_check_say(s->session, MT_VERDICT_FAIL, "read-only", "%s: %s changed %s, which it may only read", s->asked->name,
                call, c->array[i]->name);
            found = 1;
        }
        free(c->bytes[i]);
    }
    c->count = 0;
    return found;
}

static int unwritten(const mt_check_subject *s, const mt_guard *array, int64_t width, const char *call) {
    int64_t at = array->map ? mt_check_poisoned(array) : -1;
    if (at < 0) return 0;
    mt_check_say(s->session, MT_VERDICT_FAIL, "written",
        "%s: %s left %s unwritten at row %lld, value %lld; every value is to be written", s->asked->name, call, array->name,
        (long long)(at / width), (long long)(at % width));
    return 1;
}

static int infinite(const mt_check_subject *s, const mt_guard *array, const char *call) {
    int64_t at = array->map ? mt_check_nonfinite(array) : -1;
    if (at < 0) return 0;
    mt_check_say(s->session, MT_VERDICT_FAIL, "finite",
        "%s: %s wrote %g to %s, value %lld, from finite numbers; look for an unwritten workspace, a "
        "division by zero, an overflow of exp",
        s->asked->name, call, (double)mt_check_floats(array)[at], array->name, (long long)at);
    return 1;
}

static int forward_contract(mt_check_arrays *a) {
    mt_check_subject *s = a->subject;
    copies c = {0};
    if (a->row_space.map) mt_check_poison(&a->row_space);
    if (a->scratch.map) mt_check_poison(&a->scratch);
    if (a->state_out.map) mt_check_poison(&a->state_out);
    for (int o = 0; o < s->outputs; o++) mt_check_poison(&a->out[o]);
    keep_inputs(&c, a);
    if (mt_check_forward(a, ALL) || changed(&c, s, "forward")) return 1;
    for (int o = 0; o < s->outputs; o++)
        if (unwritten(s, &a->out[o], s->output[o].width, "forward") || infinite(s, &a->out[o], "forward")) return 1;
    return unwritten(s, &a->state_out, s->state_floats, "forward") || infinite(s, &a->state_out, "forward");
}

static int backward_contract(mt_check_arrays *a) {
    mt_check_subject *s = a->subject;
    copies c = {0};
    mt_check_zero(a);
    if (a->scratch.map) mt_check_poison(&a->scratch);   // it lasts one call
    if (a->dx.map) mt_check_poison(&a->dx);
    keep_inputs(&c, a);
    for (int o = 0; o < s->outputs; o++) keep(&c, &a->d_out[o]);
    if (s->layer) keep(&c, &a->out[0]);
    if (mt_check_backward(a, 1) || changed(&c, s, "backward")) return 1;
    if (unwritten(s, &a->dx, s->in, "backward") || infinite(s, &a->dx, "backward")) return 1;
    for (uint32_t i = 0; i < s->parameter_count; i++)
        if (infinite(s, &a->grad[i], "backward")) return 1;
    return 0;
}

void mt_check_contract(mt_check_subject *s) {
    mt_check_arrays a;
    if (!mt_check_arrays_open(&a, s, s->state_floats ? 5 : 1, 7) && !forward_contract(&a) && !backward_contract(&a)) {
        mt_check_say(s->session, MT_VERDICT_PASS, "written", "every output is written in each call");
        mt_check_say(s->session, MT_VERDICT_PASS, "finite", "no NaN or infinity from finite numbers, whatever the workspace held");
        mt_check_say(s->session, MT_VERDICT_PASS, "read-only", "inputs and parameters are left as they are");
        mt_check_say(s->session, MT_VERDICT_PASS, "guard", "nothing is written outside the arrays");
    }
    mt_check_arrays_close(&a);
}
