// What the checker's children look at. Nothing here runs in the parent.
#include "policies/check_subject.h"

#include "policies/policy_plugin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what is asked for

static const int32_t three[] = {3}, three_and_two[] = {3, 2};
static const manta_policy_input camera[] = {
    {.name = "camera", .kind = MANTA_INPUT_IMAGE, .count = 9 * 8 * 2, .height = 9, .width = 8, .channels = 2},
    {.name = "speed", .kind = MANTA_INPUT_VECTOR, .offset = 9 * 8 * 2, .count = 3}};

#define CATEGORICAL(a, n, k)                                                                                                       \
    { sizeof(manta_action_space), MANTA_ACTION_CATEGORICAL, a, n, k }
#define GAUSSIAN(a)                                                                                                                \
    { sizeof(manta_action_space), MANTA_ACTION_GAUSSIAN, a, NULL, a }
const mt_check_case mt_check_policy_cases[CHECK_CASES] = {
    {.name = "3 actions", .action = CATEGORICAL(1, three, 3), .obs = 5},
    {.name = "3 x 2 actions", .action = CATEGORICAL(2, three_and_two, 5), .obs = 1},
    {.name = "a box of 2", .action = GAUSSIAN(2), .obs = 6},
    {.name = "an image and a vector", .action = CATEGORICAL(1, three, 3), .obs = 9 * 8 * 2 + 3, .input_count = 2, .inputs = camera},
};
const mt_check_case mt_check_layer_cases[CHECK_CASES - 1] = {
    {.name = "a vector of 5", .height = 1, .width = 1, .channels = 5},
    {.name = "a vector of 1", .height = 1, .width = 1, .channels = 1},
    {.name = "an image of 4 x 3 x 2", .height = 4, .width = 3, .channels = 2},
};

// ---- making it

static int say_and_fail(mt_check_subject *s, const char *check) {
    mt_check_say(s->session, MT_VERDICT_FAIL, check, "%s: %s", s->asked->name, mt_last_error());
    return 1;
}

static void end_text(char *why) { why[MANTA_ERROR_BYTES - 1] = 0; }

static int refused(mt_check_subject *s, int code, const char *why) {
    if (!code) return 0;
    if (*why) return 2;
    mt_check_say(s->session, MT_VERDICT_FAIL, "create", "%s: it returned %d and left no message in `error`", s->asked->name, code);
    return 1;
}

static int open_policy(mt_check_subject *s, char *why) {
    const mt_check_case *a = s->asked;
    manta_policy_config config = {
        .struct_size = sizeof config, .obs = a->obs, .input_count = a->input_count, .inputs = a->inputs, .action = &a->action};
    mt_check_enter(s->session, "create");
    int code = s->policy->create(&config, &s->instance, why);
    mt_check_leave(s->session);
    end_text(why);
    if (code) s->instance = NULL;
    int failed = refused(s, code, why);
    if (failed) return failed;
    if (!s->instance) {
        mt_check_say(s->session, MT_VERDICT_FAIL, "create", "%s: create returned 0 but left *out NULL", a->name);
        return 1;
    }
    mt_check_enter(s->session, "plan");
    const manta_policy_plan *plan = s->policy->plan(s->instance);
    mt_check_leave(s->session);
    if (!plan || plan->struct_size < sizeof *plan) {
        mt_check_say(s->session, MT_VERDICT_FAIL, "plan", "%s: %s", a->name,
            plan ? "its struct_size is too small; set it with sizeof(manta_policy_plan)" : "it returned NULL");
        return 1;
    }
    s->parameters = plan->parameters, s->parameter_count = plan->parameter_count;
    s->row_floats = plan->row_floats, s->scratch_floats = plan->scratch_floats, s->state_floats = plan->state_floats;
    s->in = a->obs;
    s->output[0].name = "head", s->output[0].width = a->action.head;
    s->output[1].name = "value", s->output[1].width = 1;
    s->output[2].name = "log_std", s->output[2].width = a->action.components;
    s->outputs = (s->policy->capabilities & MANTA_POLICY_LOG_STD) && a->action.kind == MANTA_ACTION_GAUSSIAN ? 3 : 2;
    return 0;
}

static int open_layer(mt_check_subject *s, char *why) {
    manta_layer_plan *p = &s->layer_plan;
    *p = (manta_layer_plan){
        .struct_size = sizeof *p, .in_height = s->asked->height, .in_width = s->asked->width, .in_channels = s->asked->channels};
    for (uint32_t i = 0; i < s->layer->number_count; i++) p->numbers[i] = s->layer->numbers[i].standard;
    manta_layer_plan asked = *p;
    mt_check_enter(s->session, "plan");
    int code = s->layer->plan(p, why);
    mt_check_leave(s->session);
    end_text(why);
    int failed = refused(s, code, why);
    if (failed) return failed;
    if (p->struct_size != asked.struct_size || memcmp(p->numbers, asked.numbers, sizeof asked.numbers) ||
        p->in_height != asked.in_height || p->in_width != asked.in_width || p->in_channels != asked.in_channels) {
        mt_check_say(
            s->session, MT_VERDICT_FAIL, "plan", "%s: it changed the first half of the plan, which is the host's", s->asked->name);
        return 1;
    }
    if (p->out_height < 1 || p->out_width < 1 || p->out_channels < 1 || p->out_height > 1 << 20 || p->out_width > 1 << 20 ||
        p->out_channels > 1 << 22 || p->out_height * p->out_width * p->out_channels > 1 << 22) {
        mt_check_say(s->session, MT_VERDICT_FAIL, "plan", "%s: its output is %lld x %lld x %lld; set all three sides",
            s->asked->name, (long long)p->out_height, (long long)p->out_width, (long long)p->out_channels);
        return 1;
    }
    s->parameters = p->parameters, s->parameter_count = p->parameter_count;
    s->row_floats = p->row_floats, s->scratch_floats = p->scratch_floats, s->state_floats = p->state_floats;
    s->in = p->in_height * p->in_width * p->in_channels;
    s->outputs = 1, s->output[0].name = "y", s->output[0].width = p->out_height * p->out_width * p->out_channels;
    return 0;
}

int mt_check_subject_open(mt_check_subject *s, char *why) {
    memset(why, 0, MANTA_ERROR_BYTES);
    int failed = s->policy ? open_policy(s, why) : open_layer(s, why);
    uint32_t most = s->policy ? MANTA_POLICY_MAX_PARAMETERS : MANTA_LAYER_MAX_PARAMETERS;
    if (!failed && (mt_parameters_validate(s->parameters, s->parameter_count, most, "the plan") != MT_OK ||
                       mt_workspace_validate(s->row_floats, s->scratch_floats, s->state_floats, "the plan") != MT_OK))
        failed = say_and_fail(s, "plan");
    if (failed) mt_check_subject_close(s);
    return failed;
}

void mt_check_subject_close(mt_check_subject *s) {
    if (!s->instance) return;
    mt_check_enter(s->session, "destroy");
    s->policy->destroy(s->instance);
    mt_check_leave(s->session);
    s->instance = NULL;
}

// ---- arrays

float mt_check_number(uint64_t seed, uint64_t index) {
    uint64_t state = seed * UINT64_C(0xd1342543de82ef95) ^ (index + 1) * UINT64_C(0xaf251af3b0f025b5);
    manta_init_u64(&state);
    return (float)manta_init_uniform(&state, -1, 1);
}

static int map(mt_check_arrays *a, mt_guard *guard, const char *name, int64_t floats) {
    if (floats <= 0 || !mt_guard_map(guard, name, sizeof(float) * (size_t)floats)) return 0;
    mt_check_say(
        a->subject->session, MT_VERDICT_FAIL, "plan", "no memory for %lld floats of %s; ask for less", (long long)floats, name);
    return 1;
}

enum { SEED_X = 1, SEED_STATE, SEED_OUT, SEED_PARAM };

// rows t·N + n, filled by (n, t), so that a sequence has the same whatever stands beside it
static void fill_rows(const mt_check_arrays *a, const mt_guard *array, int64_t width, uint64_t seed) {
    for (int64_t t = 0; t < a->steps && array->map; t++)
        for (int64_t n = 0; n < a->envs; n++)
            for (int64_t i = 0; i < width; i++)
                mt_check_floats(array)[(t * a->envs + n) * width + i] =
                    mt_check_number(seed, ((uint64_t)n * 1000 + (uint64_t)t) * 100000 + (uint64_t)i);
}

static int map_rows(mt_check_arrays *a) {
    mt_check_subject *s = a->subject;
    int64_t n = a->rows;
    if (map(a, &a->x, "x", n * s->in) || map(a, &a->row_space, "row_space", n * s->row_floats) ||
        map(a, &a->scratch, "scratch", s->scratch_floats) || map(a, &a->state, "state", a->envs * s->state_floats) ||
        map(a, &a->state_out, "state_out", a->envs * s->state_floats) || (s->layer && map(a, &a->dx, "dx", n * s->in)))
        return 1;
    if (s->state_floats && mt_guard_map(&a->start, "start", (size_t)n)) return 1;
    for (int o = 0; o < s->outputs; o++)
        if (map(a, &a->out[o], s->output[o].name, n * s->output[o].width) || map(a, &a->d_out[o], "d_out", n * s->output[o].width))
            return 1;
    return 0;
}

static int map_parameters(mt_check_arrays *a) {
    mt_check_subject *s = a->subject;
    size_t count = s->parameter_count ? s->parameter_count : 1;
    a->param = calloc(count, sizeof *a->param), a->grad = calloc(count, sizeof *a->grad);
    a->param_at = calloc(count, sizeof *a->param_at), a->grad_at = calloc(count, sizeof *a->grad_at);
    if (!a->param || !a->grad || !a->param_at || !a->grad_at) return 1;
    for (uint32_t i = 0; i < s->parameter_count; i++) {
        int64_t floats = mt_parameter_floats(&s->parameters[i]);
        if (map(a, &a->param[i], s->parameters[i].name, floats) || map(a, &a->grad[i], s->parameters[i].name, floats)) return 1;
        a->param_at[i] = a->param[i].start, a->grad_at[i] = a->grad[i].start;
    }
    return 0;
}

static int guards_broken(mt_check_arrays *a) {
    mt_check_subject *s = a->subject;
    const mt_guard *all[9 + 2 * CHECK_OUTPUTS] = {&a->x, &a->row_space, &a->scratch, &a->start, &a->state, &a->state_out, &a->dx};
    int count = 7;
    for (int o = 0; o < s->outputs; o++) all[count++] = &a->out[o], all[count++] = &a->d_out[o];
    for (uint32_t i = 0; i < (uint32_t)count + 2 * s->parameter_count; i++) {
        uint32_t p = i - (uint32_t)count;
        const mt_guard *g = i < (uint32_t)count ? all[i] : p < s->parameter_count ? &a->param[p] : &a->grad[p - s->parameter_count];
        long at;
        if (!g->map || !mt_guard_broken(g, &at)) continue;
        mt_check_say(s->session, MT_VERDICT_FAIL, "guard",
            "%s: the byte %ld %s of %s was written (%lld rows); %s has %zu bytes: check the index", s->asked->name,
            at < 0 ? -at : at, at < 0 ? "before the start" : "past the end", g->name, (long long)a->rows, g->name, g->bytes);
        return 1;
    }
    return 0;
}

static int init(mt_check_arrays *a) {
    mt_check_subject *s = a->subject;
    char why[MANTA_ERROR_BYTES] = "";
    int (*layer_init)(const manta_layer_plan *, uint64_t, float *const *, char *) = s->layer ? s->layer->init : NULL;
    if (s->layer && !layer_init) return 0;
    float **param = calloc(s->parameter_count ? s->parameter_count : 1, sizeof *param);
    if (!param) return 1;
    for (uint32_t i = 0; i < s->parameter_count; i++) param[i] = a->param[i].start;
    mt_check_enter(s->session, "init");
    int code = s->policy ? s->policy->init(s->instance, 7, param, why) : layer_init(&s->layer_plan, 7, param, why);
    mt_check_leave(s->session);
    free(param);
    end_text(why);
    if (!code) return guards_broken(a);
    mt_check_say(
        s->session, MT_VERDICT_FAIL, "init", "%s: init failed: %s", s->asked->name, *why ? why : "it left no message in `error`");
    return 1;
}

int mt_check_arrays_open(mt_check_arrays *a, mt_check_subject *s, int64_t steps, int64_t envs) {
    memset(a, 0, sizeof *a);
    a->subject = s, a->steps = steps, a->envs = envs, a->rows = steps * envs;
    if (map_rows(a) || map_parameters(a) || init(a)) return 1;
    // off the places where an initialisation has zeros, and gradients with them
    for (uint32_t i = 0; i < s->parameter_count; i++)
        for (int64_t k = 0; k < mt_check_count(&a->param[i]); k++)
            mt_check_floats(&a->param[i])[k] += 0.2f * mt_check_number(SEED_PARAM + i * UINT64_C(1000), (uint64_t)k);
    fill_rows(a, &a->x, s->in, SEED_X);
    for (int o = 0; o < s->outputs; o++) fill_rows(a, &a->d_out[o], s->output[o].width, SEED_OUT + (uint64_t)o * 100);
    for (int64_t i = 0; i < envs * s->state_floats; i++)
        mt_check_floats(&a->state)[i] = 0.5f * mt_check_number(SEED_STATE, (uint64_t)i);
    a->pass = (manta_pass){.struct_size = sizeof a->pass,
        .device = MANTA_DEVICE_CPU,
        .rows = a->rows,
        .x = a->x.start,
        .param = a->param_at,
        .row_space = a->row_space.start,
        .scratch = a->scratch.start,
        .steps = steps,
        .envs = envs};
    if (!s->state_floats) return 0;
    // episodes begin in the middle of one sequence, and at the first step of another
    uint8_t *start = a->start.start;
    for (int64_t n = 0; n < envs; n++) {
        if (n % 3 == 1) start[n] = 1;
        if (n % 3 == 2 && steps > 2) start[2 * envs + n] = 1;
    }
    a->pass.start = start, a->pass.state = a->state.start, a->pass.state_out = a->state_out.start,
    a->pass.state_stride = s->state_floats;
    return 0;
}

void mt_check_arrays_close(mt_check_arrays *a) {
    mt_guard *all[] = {&a->x, &a->row_space, &a->scratch, &a->start, &a->state, &a->state_out, &a->dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mt_guard_unmap(all[i]);
    for (int o = 0; o < CHECK_OUTPUTS; o++) mt_guard_unmap(&a->out[o]), mt_guard_unmap(&a->d_out[o]);
    for (uint32_t i = 0; a->param && a->grad && i < a->subject->parameter_count; i++)
        mt_guard_unmap(&a->param[i]), mt_guard_unmap(&a->grad[i]);
    free(a->param), free(a->grad), free(a->param_at), free(a->grad_at);
    memset(a, 0, sizeof *a);
}

// ---- calls

int mt_check_forward(mt_check_arrays *a, int wanted) {
    mt_check_subject *s = a->subject;
    float *out[CHECK_OUTPUTS];
    for (int o = 0; o < CHECK_OUTPUTS; o++) out[o] = wanted >> o & 1 ? a->out[o].start : NULL;
    s->session->shared->step++;
    mt_check_enter(s->session, "forward");
    if (s->policy) {
        manta_policy_output given = {.struct_size = sizeof given, .head = out[0], .value = out[1], .log_std = out[2]};
        s->policy->forward(s->instance, &a->pass, &given);
    } else {
        s->layer->forward(&s->layer_plan, &a->pass, out[0]);
    }
    mt_check_leave(s->session);
    return guards_broken(a);
}

int mt_check_backward(mt_check_arrays *a, int with_dx) {
    mt_check_subject *s = a->subject;
    manta_pass pass = a->pass;
    pass.state_out = NULL;
    s->session->shared->step++;
    mt_check_enter(s->session, "backward");
    if (s->policy) {
        manta_policy_gradient d = {
            .struct_size = sizeof d, .head = a->d_out[0].start, .value = a->d_out[1].start, .log_std = a->d_out[2].start};
        s->policy->backward(s->instance, &pass, &d, a->grad_at);
    } else {
        s->layer->backward(&s->layer_plan, &pass, a->out[0].start, a->d_out[0].start, with_dx ? a->dx.start : NULL, a->grad_at);
    }
    mt_check_leave(s->session);
    return guards_broken(a);
}

void mt_check_zero(mt_check_arrays *a) {
    for (uint32_t i = 0; i < a->subject->parameter_count; i++) memset(a->grad[i].start, 0, a->grad[i].bytes);
}

// ---- looking at arrays

static const uint32_t poison = 0xffc0deadu;   // a NaN that arithmetic does not make

void mt_check_poison(const mt_guard *array) {
    for (int64_t i = 0; i < mt_check_count(array); i++) memcpy(mt_check_floats(array) + i, &poison, sizeof poison);
}

int64_t mt_check_poisoned(const mt_guard *array) {
    for (int64_t i = 0; i < mt_check_count(array); i++)
        if (memcmp(mt_check_floats(array) + i, &poison, sizeof poison) == 0) return i;
    return -1;
}

int64_t mt_check_nonfinite(const mt_guard *array) {
    for (int64_t i = 0; i < mt_check_count(array); i++)
        if (!isfinite(mt_check_floats(array)[i])) return i;
    return -1;
}
