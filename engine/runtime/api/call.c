// The API: calls. A call checks what can be checked here, puts large arguments into the heap, and hands the rest to the core in
// one visit. The caller's thread. Whatever is wrong becomes the error of the references that it returns.
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/base/text.h"
#include "engine/runtime/api/context.h"

enum { RETRIES = 3 };

// What is wrong with a call, until it can be told.
typedef struct call_error {
    int code;
    char text[512];
} call_error;

#define FAIL_CALL(error, code_, ...) (snprintf((error)->text, sizeof(error)->text, __VA_ARGS__), (error)->code = (code_))

static void fail_status(call_error *error, mt_status status) {
    FAIL_CALL(error, mt_code_of_status(status), "%s", mt_last_error());
}

// ---- options

static const mt_submit task_defaults = {
    .call_kind = MT_CALL_TASK,
    .demand = {{[MT_RESOURCE_CPU] = MT_RESOURCE_UNIT}},
    .on_rank = -1,
    .bundle = -1,
    .max_retries = RETRIES,
    .max_concurrency = 1,
};

static int limit(int wanted, int standard) { return wanted == 0 ? standard : wanted < 0 ? 0 : wanted; }

static void demand_set(const manta_context *c, const manta_options *options, mt_submit *s, call_error *error) {
    const mt_node_desc *desc = &c->node->desc;
    double cpus = options->num_cpus, gpus = options->num_gpus;
    if (isnan(cpus) || isnan(gpus) || gpus < 0 || (cpus < 0 && cpus != MANTA_NO_CPU)) {
        FAIL_CALL(error, MANTA_INVALID, "%g CPUs and %g GPUs cannot be asked for; give numbers from 0, or MANTA_NO_CPU", cpus, gpus);
        return;
    }
    if (cpus != 0) {
        s->demand.amount[MT_RESOURCE_CPU] = 0;   // in place of the default
        mt_resources_ask(&s->demand, MT_RESOURCE_CPU, cpus);
    }
    s->cpu_afterwards = cpus > 0;
    mt_resources_ask(&s->demand, MT_RESOURCE_GPU, gpus);
    mt_resources_ask(&s->demand, MT_RESOURCE_MEMORY, (double)options->memory);
    for (int i = 0; i < options->resource_count; i++) {
        const manta_resource *r = &options->resources[i];
        int number = mt_resource_number(desc->names, r->name);
        if (number < 0) {
            FAIL_CALL(error, MANTA_INFEASIBLE, "no rank has the resource \"%.40s\"; start the job with --resources \"%.40s=1\" where it is",
                r->name ? r->name : "(null)", r->name ? r->name : "name");
            return;
        }
        if (isnan(r->amount) || r->amount < 0) FAIL_CALL(error, MANTA_INVALID, "resource \"%s\": %g cannot be asked for", r->name, r->amount);
        mt_resources_ask(&s->demand, number, r->amount);
    }
    if (!mt_resource_gpus_whole(s->demand.amount[MT_RESOURCE_GPU]))
        FAIL_CALL(error, MANTA_INVALID, "%g GPUs cannot be given: above 1 devices are whole; ask for %g, or for at most 1",
            (double)s->demand.amount[MT_RESOURCE_GPU] / MT_RESOURCE_UNIT, ceil((double)s->demand.amount[MT_RESOURCE_GPU] / MT_RESOURCE_UNIT));
}

static void options_set(const manta_context *c, const manta_options *options, mt_submit *s, call_error *error) {
    int actor = s->call_kind == MT_CALL_CREATE;
    demand_set(c, options, s, error);
    if (options->on_rank) {
        s->on_rank = options->on_rank - 1;
        if (s->on_rank < 0 || s->on_rank >= c->node->size)
            FAIL_CALL(error, MANTA_INFEASIBLE, "rank %d does not exist: the job has ranks 0 to %d", s->on_rank, c->node->size - 1);
    }
    if (options->placement) {
        s->placement = mt_placement_ref(options->placement);
        s->bundle = options->bundle == MANTA_NONE ? -1 : options->bundle;
        int bundles = mt_placement_count(options->placement);
        if (s->bundle < -1 || s->bundle >= bundles)
            FAIL_CALL(error, MANTA_INVALID, "bundle %d does not exist: the placement group has bundles 0 to %d", s->bundle, bundles - 1);
    }
    s->name = options->name;
    if (actor && s->name && (!*s->name || strlen(s->name) >= MT_ACTOR_NAME_BYTES))
        FAIL_CALL(error, MANTA_INVALID, "the actor's name \"%.70s\" has to have 1 to %d letters", s->name, MT_ACTOR_NAME_BYTES - 1);
    s->max_retries = limit(options->max_retries, RETRIES);
    s->max_restarts = limit(options->max_restarts, 0);
    s->max_task_retries = limit(options->max_task_retries, 0);
    s->max_concurrency = limit(options->max_concurrency, 1);
    s->max_pending = limit(options->max_pending_calls, 0);
    s->detached = options->detached;
    if (actor) s->max_retries = 0;
}

// ---- arguments

static void arguments_check(const mt_function *f, const manta_arg *args, int count, call_error *error) {
    mt_binding binding;
    mt_status status = mt_signature_check_count(&f->signature, count, f->name);
    if (status == MT_OK && count > MANTA_MAX_ARGUMENTS)
        status = MT_FAIL(INVALID_ARGUMENT, "%s: %d arguments are too many; at most %d", f->name, count, MANTA_MAX_ARGUMENTS);
    if (count) mt_binding_init(&binding);
    for (int i = 0; i < count && status == MT_OK; i++) {
        status = mt_arg_check(&args[i]);
        if (status != MT_OK) {
            status = mt_fail_context(status, "%s: argument %d: ", f->name, i);
            break;
        }
        if (args[i].resolve || i >= f->signature.argument_count) continue;
        mt_value_head head = mt_value_head_of(&args[i]);
        status = mt_check_numbered(&f->signature.argument[i], &head, args[i].value.shape, &binding, f->name, "argument", i);
    }
    if (status != MT_OK) fail_status(error, status);
}

// Large payloads go into the heap first: `moved` are the arguments then, and drafts (*drafted) what has to be put.
typedef struct moved_arguments {
    manta_arg args[MANTA_MAX_ARGUMENTS];
    mt_draft drafts[MANTA_MAX_ARGUMENTS];
    int number[MANTA_MAX_ARGUMENTS];
    int count;
} moved_arguments;

static void arguments_move(manta_context *c, const manta_arg *args, int count, moved_arguments *moved, call_error *error) {
    memcpy(moved->args, args, (size_t)count * sizeof *args);
    moved->count = 0;
    for (int i = 0; i < count; i++) {
        if (args[i].resolve || mt_draft_inline(&args[i])) continue;
        if (mt_draft_copy(c, &moved->drafts[moved->count], NULL, &args[i]) != MANTA_OK) {
            FAIL_CALL(error, c->error_code, "argument %d: %.400s", i, c->error);
            return;
        }
        moved->number[moved->count++] = i;
    }
}

static bool any_large(const manta_arg *args, int count) {
    for (int i = 0; i < count; i++)
        if (!args[i].resolve && !mt_draft_inline(&args[i])) return true;
    return false;
}

// ---- the call itself

// out (count): of these the context gets the first `keep`; the others are let go at once.
static void hand_over(manta_context *c, mt_submit *s, int keep, manta_ref *out) {
    mt_core *core = c->node->core;
    int count = s->result_count > 1 ? s->result_count : 1;
    mt_core_submit(core, s, out);
    for (int i = 0; i < count; i++) {
        if (i < keep) mt_context_keep(c, out[i]);
        else mt_core_release(core, out[i]);
    }
}

static void __attribute__((noinline)) submit_large(manta_context *c, mt_submit *s, int keep, call_error *error, manta_ref *out) {
    mt_node *node = c->node;
    moved_arguments moved;
    manta_ref puts[MANTA_MAX_ARGUMENTS];
    arguments_move(c, s->arguments, s->argument_count, &moved, error);
    s->failed_code = error->code;
    s->failed_message = error->text;
    mt_node_enter(node);
    for (int i = 0; i < moved.count; i++) {
        mt_run_result value;
        mt_draft_result(c, &moved.drafts[i], NULL, &value);
        puts[i] = mt_core_put(node->core, &value);
        moved.args[moved.number[i]] = manta_from(puts[i]);
    }
    s->arguments = moved.args;
    hand_over(c, s, keep, out);
    for (int i = 0; i < moved.count; i++) mt_core_release(node->core, puts[i]);   // the call holds them now
    mt_node_leave(node);
}

static void submit(manta_context *c, mt_submit *s, const mt_function *f, const manta_arg *args, int count, int keep,
    call_error *error, manta_ref *out) {
    mt_node *node = c->node;
    s->result_count = f ? f->signature.result_count : 1;
    s->arguments = args;
    s->argument_count = count;
    if (f && !error->code) {
        s->function = (uint32_t)f->number;
        arguments_check(f, args, count, error);
    }
    if (!error->code && any_large(args, count)) {
        submit_large(c, s, keep, error, out);
        return;
    }
    if (error->code) {
        s->failed_code = error->code;
        s->failed_message = error->text;
        s->argument_count = 0;
    }
    mt_node_enter(node);
    mt_node_pass(node, mt_context_hint(c));
    hand_over(c, s, keep, out);
    mt_node_leave(node);
}

static void unknown(const manta_context *c, int kind, int class_number, const char *sort, const char *name, call_error *error) {
    char hint[128];
    const char *nearest = name ? mt_program_nearest(c->node->program, kind, class_number, name) : NULL;
    FAIL_CALL(error, MANTA_NOT_FOUND, "there is no %s \"%.80s\" in the program%s", sort, name ? name : "(null)",
        mt_text_did_you_mean(nearest, hint, sizeof hint));
}

static void submit_task(manta_context *c, const char *task, const manta_options *options, const manta_arg *args, int count, int keep,
    manta_ref *out) {
    mt_submit s = task_defaults;
    call_error error;
    error.code = MANTA_OK;
    const mt_function *f = mt_program_task(c->node->program, task);
    if (!f) unknown(c, MT_CALL_TASK, -1, "task", task, &error);
    else if (options) options_set(c, options, &s, &error);
    submit(c, &s, f, args, count, keep, &error, out);
}

void manta_submit(manta_context *c, const char *task, const manta_options *options, const manta_arg *args, int arg_count, manta_ref *out) {
    submit_task(c, task, options, args, arg_count, MANTA_MAX_RESULTS, out);
}

manta_ref manta_submit1(manta_context *c, const char *task, const manta_options *options, const manta_arg *args, int arg_count) {
    manta_ref out[MANTA_MAX_RESULTS];
    submit_task(c, task, options, args, arg_count, 1, out);
    return out[0];
}

manta_actor manta_create(manta_context *c, const char *class_name, const manta_options *options, const manta_arg *args, int arg_count) {
    static const manta_options defaults;
    mt_submit s = task_defaults;
    call_error error;
    error.code = MANTA_OK;
    s.call_kind = MT_CALL_CREATE;
    const mt_function *f = mt_program_class_named(c->node->program, class_name);
    options_set(c, options ? options : &defaults, &s, &error);
    if (!f) unknown(c, MT_CALL_CREATE, -1, "class", class_name, &error);
    else s.class_number = (uint32_t)f->class_number;
    manta_actor actor;
    submit(c, &s, f, args, arg_count, 1, &error, &actor.ref);
    return actor;
}

static void submit_method(manta_context *c, manta_actor actor, const char *method, const manta_arg *args, int count, int keep,
    manta_ref *out) {
    mt_submit s = {.call_kind = MT_CALL_METHOD, .actor = actor.ref, .author = mt_run_author(c->run), .on_rank = -1, .bundle = -1};
    call_error error;
    error.code = MANTA_OK;
    const mt_function *f = NULL;
    int class_number = mt_actor_class(actor.ref);
    if (!actor.ref.serial) FAIL_CALL(&error, MANTA_INVALID, "%.80s: this is no actor: its handle is empty", method ? method : "(null)");
    else if (class_number < 0) {
        // it was never made: the core has its error for us
        s.class_number = UINT32_MAX;
        count = 0;
    } else {
        s.class_number = (uint32_t)class_number;
        f = mt_program_method(c->node->program, class_number, method);
        if (!f) unknown(c, MT_CALL_METHOD, class_number, "method", method, &error);
    }
    submit(c, &s, f, args, count, keep, &error, out);
}

void manta_invoke(manta_context *c, manta_actor actor, const char *method, const manta_arg *args, int arg_count, manta_ref *out) {
    submit_method(c, actor, method, args, arg_count, MANTA_MAX_RESULTS, out);
}

manta_ref manta_invoke1(manta_context *c, manta_actor actor, const char *method, const manta_arg *args, int arg_count) {
    manta_ref out[MANTA_MAX_RESULTS];
    submit_method(c, actor, method, args, arg_count, 1, out);
    return out[0];
}
