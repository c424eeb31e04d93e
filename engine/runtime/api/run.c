// A run: from the call that the core handed over to its results. An executor's thread; the body runs without the lock.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/last_words.h"
#include "engine/runtime/api/context.h"

static mt_status arguments_check(manta_context *c, const mt_run *run, const mt_function *f) {
    MT_TRY(mt_signature_check_count(&f->signature, run->argument_count, f->name));
    int named = f->signature.argument_count < run->argument_count ? f->signature.argument_count : run->argument_count;
    for (int i = 0; i < named; i++) {
        const mt_value *value = &run->arguments[i].value;
        MT_TRY(mt_check_numbered(&f->signature.argument[i], value->head, value->shape, &c->binding, f->name, "argument", i));
    }
    for (int i = 0; i < run->argument_count; i++)
        if (run->arguments[i].value.head->bytes && !mt_argument_data(c, i))
            return MT_FAIL(INTERNAL, "%s: argument %d lies outside the memory of rank %d", f->name, i, run->arguments[i].view_rank);
    return MT_OK;
}

static int state_begin(manta_context *c, mt_run *run) {
    mt_node *node = c->node;
    if (run->call_kind == MT_CALL_TASK) return MANTA_OK;
    if (run->call_kind == MT_CALL_METHOD) {
        c->state = *run->state;
        return MANTA_OK;
    }
    size_t bytes = 64 + (node->program->classes[run->class_number].desc->state_bytes + 63) / 64 * 64;
    mt_actor_state *state = aligned_alloc(64, bytes);
    if (!state) return mt_context_fail(c, MANTA_NO_MEMORY, "no memory for an actor's state of %zu bytes on rank %d", bytes, node->rank);
    memset(state, 0, bytes);
    state->class_number = run->class_number;
    c->state = mt_actor_state_user(state);
    return MANTA_OK;
}

static int results_check(manta_context *c, const mt_function *f) {
    for (int i = 0; i < f->signature.result_count; i++)
        if (!(c->given & 1u << i))
            return mt_context_fail(c, MANTA_TASK_FAILED, "it ended without giving its result %d; call manta_return_at or manta_result", i);
    return MANTA_OK;
}

static int body(manta_context *c, mt_run *run, const mt_function *f) {
    if (atomic_load_explicit(&c->node->ending_seen, memory_order_relaxed))
        return mt_context_fail(c, MANTA_SHUTDOWN, "the job ended before it began");
    if (arguments_check(c, run, f) != MT_OK) {
        mt_context_fail_status(c, MT_INVALID_ARGUMENT, "");
        size_t used = strlen(c->error);
        snprintf(c->error + used, sizeof c->error - used, " (on rank %d)", c->node->rank);
        return MANTA_INVALID;
    }
    int code = state_begin(c, run);
    if (code == MANTA_OK && f->run) code = f->run(c);
    if (code == MANTA_OK) code = c->failed ? c->failed : results_check(c, f);
    else if (code < 0 || code >= MANTA_CODE_COUNT) code = mt_context_fail(c, MANTA_TASK_FAILED, "it returned %d", code);
    else if (c->error_code != code) mt_context_fail(c, code, "it returned %s", manta_code_name(code));
    return code;
}

void mt_context_run(manta_context *c, mt_run *run) {
    const mt_function *f = mt_program_function(c->node->program, run->call_kind, run->class_number, run->function);
    c->run = run;
    c->function = f;
    c->state = NULL;
    c->given = 0;
    c->failed = c->error_code = 0;
    mt_binding_init(&c->binding);
    if (!f) {
        c->run_ns = 0;
        c->end_code = mt_context_fail(c, MANTA_NOT_FOUND, "rank %d does not have function %u of class %u: start the same program on every rank",
            c->node->rank, run->function, run->class_number);
        return;
    }
    int64_t begin = mt_clock_ns();
    const char *before = mt_last_words_doing(f->name);
    c->end_code = body(c, run, f);
    mt_last_words_doing(before);
    int64_t end = mt_clock_ns();
    c->run_ns = end - begin;
    if (__builtin_expect(c->ring != NULL, 0))
        mt_timeline_add(c->ring, run->call_kind == MT_CALL_TASK ? MT_TIMELINE_TASK : MT_TIMELINE_ACTOR, f->name, begin, end, c->end_code, 0);
}

static void state_end(manta_context *c, mt_run *run) {
    mt_actor_state *state = c->state ? mt_actor_state_of(c->state) : NULL;
    if (run->call_kind != MT_CALL_CREATE || !state) return;
    if (c->end_code != MANTA_OK) {
        // a create that fails has given back what it took; what it retained is its actor's, which never was
        mt_context_release_state(c->node, state);
        free(state);
        c->state = NULL;
        return;
    }
    state->next = c->node->actors;
    state->previous = &c->node->actors;
    if (state->next) state->next->previous = &state->next;
    c->node->actors = state;
    *run->state = c->state;
}

void mt_context_finish(manta_context *c, mt_run *run) {
    static const mt_value_head none = {.type = MANTA_TYPE_NONE, .form = MT_VALUE_INLINE, .encoded_bytes = sizeof none};
    mt_core *core = c->node->core;
    mt_run_result results[MANTA_MAX_RESULTS];
    char message[MT_ERROR_BYTES + MT_FUNCTION_NAME_BYTES];
    int count = run->result_count > 1 ? run->result_count : 1;
    state_end(c, run);
    if (c->end_code == MANTA_OK)
        for (int i = 0; i < count; i++) {
            if (c->given & 1u << i) mt_draft_result(c, &c->drafts[i], c->encoded[i], &results[i]);
            else results[i] = (mt_run_result){.encoded = &none};
        }
    else {
        for (int i = 0; i < MANTA_MAX_RESULTS; i++)
            if (c->given & 1u << i) mt_draft_drop(c, &c->drafts[i]);
        // a chain of calls reads like a stack: "sum: load: cannot open x"
        const char *name = c->function ? c->function->name : "", *text = c->error;
        size_t length = strlen(name);
        int named = !length || (strncmp(text, name, length) == 0 && text[length] == ':');
        snprintf(message, sizeof message, "%s%s%s", named ? "" : name, named ? "" : ": ", text);
    }
    mt_core_finish(core, run, c->end_code, c->end_code == MANTA_OK ? NULL : message, c->end_code == MANTA_OK ? results : NULL, c->run_ns);
    mt_context_release_all(c);
    c->run = NULL;
    c->function = NULL;
}

// ---- the end of an actor

void mt_context_destroy_state(manta_context *c, mt_actor_state *state) {
    const manta_class *desc = c->node->program->classes[state->class_number].desc;
    if (desc->destroy) desc->destroy(mt_actor_state_user(state));
}

void mt_context_forget_state(mt_actor_state *state) {
    if (state->retained) mt_holds_fini(state->retained);
    free(state->retained);
    state->retained = NULL;
    mt_groups_forget(&state->groups);
}

static void release_one(void *core, manta_ref ref) { mt_core_release(core, ref); }

void mt_context_release_state(mt_node *node, mt_actor_state *state) {
    mt_groups_end(&state->groups);
    if (state->retained) mt_holds_clear(state->retained, release_one, node->core);
    mt_context_forget_state(state);
}

void mt_context_free_state(mt_actor_state *state) {
    *state->previous = state->next;
    if (state->next) state->next->previous = state->previous;
    free(state);
}
