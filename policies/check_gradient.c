// A policy's or layer's backward against finite differences of its forward. Runs in a child process.
#include "policies/check_list.h"

#include <stdio.h>

enum { POINTS = 3 };

// Σ d_out·out: what has the gradients that backward is given
static double objective(void *context) {
    mt_check_arrays *a = context;
    double sum = 0;
    mt_check_forward(a, (1 << CHECK_OUTPUTS) - 1);   // its guards were looked at before
    for (int o = 0; o < a->subject->outputs; o++)
        for (int64_t i = 0; i < mt_check_count(&a->out[o]); i++)
            sum += (double)mt_check_floats(&a->d_out[o])[i] * mt_check_floats(&a->out[o])[i];
    return sum;
}

static void say_wrong(mt_check_subject *s, const mt_check_slope *slope, const char *what) {
    char place[64] = "";
    if (slope->index >= 0) snprintf(place, sizeof place, "[%lld]", (long long)slope->index);
    mt_check_say(s->session, MT_VERDICT_FAIL, "gradient",
        "%s: backward says that the loss changes by %.4g with %s%s%s, finite differences of "
        "forward say %.4g; look at the derivative",
        s->asked->name, slope->claimed, what, place, slope->index < 0 ? " as a whole" : "", slope->found);
}

// Whether something is wrong at one point of several: a kink may lie too near to it, so an error must be one everywhere. `last`:
// says it.
static int wrong_at(mt_check_subject *s, uint64_t point, int last) {
    mt_check_arrays a;
    int wrong = mt_check_arrays_open(&a, s, s->state_floats ? 5 : 1, 3);
    for (int64_t i = 0; i < mt_check_count(&a.x) && !wrong; i++)
        mt_check_floats(&a.x)[i] += (float)point * 0.3f * mt_check_number(500, (uint64_t)i);
    wrong = wrong || mt_check_forward(&a, (1 << CHECK_OUTPUTS) - 1) || mt_check_backward(&a, s->layer != NULL);
    for (uint32_t i = 0; i <= s->parameter_count && !wrong; i++) {
        int input = i == s->parameter_count;   // last: what it reads, of a layer
        if (input && !s->layer) break;
        mt_guard *x = input ? &a.x : &a.param[i], *g = input ? &a.dx : &a.grad[i];
        const char *name = input ? "its input" : s->parameters[i].name;
        mt_check_slope slope = {
            .f = objective, .context = &a, .x = x->start, .g = g->start, .count = mt_check_count(x), .seed = 100 + i};
        wrong = mt_check_slope_wrong(&slope);
        if (wrong && last) say_wrong(s, &slope, name);
        if (slope.flat && !wrong)
            mt_check_say(s->session, MT_VERDICT_WARN, "gradient", "%s: %s changes nothing", s->asked->name, name);
    }
    mt_check_arrays_close(&a);
    return wrong;
}

void mt_check_gradient(mt_check_subject *s) {
    for (uint64_t point = 0; point < POINTS; point++)
        if (!wrong_at(s, point, point == POINTS - 1)) {
            mt_check_say(s->session, MT_VERDICT_PASS, "gradient", "backward agrees with finite differences of forward");
            return;
        }
}
