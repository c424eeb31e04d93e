// The API: objects. Putting, getting, waiting, holding. The caller's thread.
//
// A get links its references to a waiter in the core and waits on the context's bell; the core rings when the last one is there
// (and, when large, within reach). The view that it returns points into the core's record or into a heap, and stays as long as
// the reference is held.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/runtime/api/context.h"

// ---- putting

static const manta_ref no_ref = {0};

static manta_ref put_draft(manta_context *c, mt_draft *draft) {
    mt_run_result value;
    mt_draft_result(c, draft, c->scratch, &value);
    draft->open = 0;
    mt_node_enter(c->node);
    manta_ref ref = mt_core_put(c->node->core, &value);
    mt_context_keep(c, ref);
    mt_node_leave(c->node);
    return ref;
}

manta_ref mt_context_failed_ref(manta_context *c) {
    mt_submit s = {.call_kind = MT_CALL_TASK, .result_count = 1, .on_rank = -1, .bundle = -1, .failed_code = c->error_code,
        .failed_message = c->error};
    manta_ref ref = no_ref;
    mt_node_enter(c->node);
    mt_core_submit(c->node->core, &s, &ref);
    mt_context_keep(c, ref);
    mt_node_leave(c->node);
    return ref;
}

manta_ref manta_put(manta_context *c, manta_arg value) {
    mt_draft draft;
    mt_status status = mt_arg_check(&value);
    if (status == MT_OK && value.resolve) status = MT_FAIL(INVALID_ARGUMENT, "the value of a reference is an object already; pass the reference");
    if (status != MT_OK) mt_context_fail_status(c, status, "put: ");
    else if (c->draft.open == 1) mt_context_fail(c, MANTA_INVALID, "a manta_put_begin is not sealed yet; seal it before the next put");
    else if (mt_draft_copy(c, &draft, c->scratch, &value) == MANTA_OK) return put_draft(c, &draft);
    return mt_context_failed_ref(c);
}

void *manta_put_begin(manta_context *c, manta_type type, int ndim, const int64_t *shape) {
    if (c->draft.open) {
        mt_context_fail(c, MANTA_INVALID, "a manta_put_begin is not sealed yet; there is one at a time");
        return NULL;
    }
    if (type == MANTA_TYPE_REF || type == MANTA_TYPE_ACTOR) {
        mt_context_fail(c, MANTA_INVALID, "references cannot be written in place; use manta_put with manta_references");
        return NULL;
    }
    return mt_draft_begin(c, &c->draft, c->scratch, type, ndim, shape);
}

manta_ref manta_put_seal(manta_context *c) {
    if (c->draft.open) return put_draft(c, &c->draft);
    mt_context_fail(c, MANTA_INVALID, "nothing to seal: manta_put_begin comes first");
    return mt_context_failed_ref(c);
}

// ---- getting

static int view_of(manta_context *c, const mt_look *look, manta_value *out) {
    const void *data = look->value.payload;
    if (look->view_rank >= 0) data = mt_heap_view(c->node->heap, look->view_rank, look->view_offset, look->value.head->bytes);
    if (!data && look->value.head->bytes)
        return mt_context_fail(c, MANTA_INTERNAL, "the object lies outside the memory of rank %d that this rank can see", look->view_rank);
    *out = mt_value_view(&look->value, data);
    return MANTA_OK;
}

// a large value that had to be brought into reach
static void note_transfer(manta_context *c, const mt_look *look, int64_t begin_ns) {
    if (look->state != MT_STATE_READY || look->view_rank < 0) return;
    mt_timeline_add(c->ring, MT_TIMELINE_TRANSFER, "object", begin_ns, mt_clock_ns(), 0, look->value.head->bytes);
}

static int failure_of(manta_context *c, const mt_look *look) {
    mt_context_fail(c, look->code, "%s", look->message && *look->message ? look->message : "no reason was given");
    c->error_rank = look->error_rank;
    return look->code;
}

static int is_here(const mt_look *look) {
    if (look->state != MT_STATE_READY) return look->state == MT_STATE_FAILED;
    return look->value.head->form != MT_VALUE_PLACE || look->view_rank >= 0;
}

// Lock held. Says what the first that is missing waits for.
static int unsatisfied(manta_context *c, const manta_ref *refs, const mt_wait_link *links, int links_count, int count, int satisfied) {
    char why[256] = "";
    if (c->node->ending) return mt_context_fail(c, MANTA_SHUTDOWN, "the job ends: what was waited for does not come any more");
    for (int i = 0; i < links_count && !*why; i++)
        if (!links[i].satisfied) mt_core_why(c->node->core, refs[i], why, sizeof why);
    return mt_context_fail(c, MANTA_DEADLINE, "%d of %d references were not ready in time%s%s", count - satisfied, count,
        *why ? "; of the first that is missing: " : "", why);
}

static int check_refs(manta_context *c, const manta_ref *refs, int count) {
    for (int i = 0; i < count; i++)
        if (!refs[i].serial) return mt_context_fail(c, MANTA_INVALID, "reference %d of %d is empty ({0}): nothing was called or put for it", i, count);
    return count < 0 ? mt_context_fail(c, MANTA_INVALID, "%d references cannot be waited for", count) : MANTA_OK;
}

static mt_wait_link *links_for(manta_context *c, mt_wait_link *few, int count) {
    if (count <= MT_WAIT_INLINE) return few;
    mt_wait_link *links = malloc((size_t)count * sizeof *links);
    if (!links) mt_context_fail(c, MANTA_NO_MEMORY, "no memory to wait for %d references", count);
    return links;
}

// One of those that were waited for. *lost: it was there, has been lost with a rank meanwhile, and is being made again.
static int take_one(manta_context *c, manta_ref ref, int64_t begin_ns, manta_value *out, int *lost) {
    mt_look look;
    manta_value unused;
    mt_core_look(c->node->core, ref, &look);
    *lost = !is_here(&look);
    if (*lost) return MANTA_OK;
    if (begin_ns) note_transfer(c, &look, begin_ns);
    int code = look.state == MT_STATE_FAILED ? failure_of(c, &look) : view_of(c, &look, out ? out : &unused);
    if (out) mt_context_keep_view(c, ref);
    return code;
}

// Not all came in time: the first that failed says more than those that are missing.
static int first_failure(manta_context *c, const manta_ref *refs, const mt_wait_link *links, int count) {
    mt_look look;
    for (int i = 0; i < count; i++) {
        if (!links[i].satisfied) continue;
        mt_core_look(c->node->core, refs[i], &look);
        if (look.state == MT_STATE_FAILED) return failure_of(c, &look);
    }
    return MANTA_OK;
}

int manta_get_all(manta_context *c, const manta_ref *refs, int count, double seconds, manta_value *out) {
    mt_node *node = c->node;
    mt_wait_link few[MT_WAIT_INLINE], *links;
    int code = check_refs(c, refs, count);
    if (code != MANTA_OK || count == 0) return code;
    if (!(links = links_for(c, few, count))) return MANTA_NO_MEMORY;
    int64_t begin_ns = 0, deadline_ns = 0;
    mt_node_enter(node);
    mt_node_pass(node, mt_context_hint(c));
    for (int taken = 0, lost = 1; lost;) {
        mt_waiter waiter = {.wanted = count, .view = 1, .shell = &c->bell};
        mt_bell_reset(&c->bell);
        lost = 0;
        if (!mt_core_wait(node->core, &waiter, refs, count, links)) {
            if (__builtin_expect(c->ring != NULL, 0) && !begin_ns) begin_ns = mt_clock_ns();
            if (!deadline_ns) deadline_ns = mt_context_deadline(c, seconds);
            mt_context_wait(c, deadline_ns);
        }
        if (!waiter.done) {
            code = first_failure(c, refs, links, count);
            if (code == MANTA_OK) code = unsatisfied(c, refs, links, count, count, waiter.satisfied);
        }
        while (waiter.done && taken < count && code == MANTA_OK && !lost) {
            code = take_one(c, refs[taken], begin_ns, out ? &out[taken] : NULL, &lost);
            taken += !lost;
        }
        mt_core_wait_end(node->core, links, count);
    }
    mt_node_leave(node);
    if (links != few) free(links);
    return code;
}

int manta_get_within(manta_context *c, manta_ref ref, double seconds, manta_value *out) {
    return manta_get_all(c, &ref, 1, seconds, out);
}

int manta_get(manta_context *c, manta_ref ref, manta_value *out) { return manta_get_all(c, &ref, 1, MANTA_DEFAULT_TIMEOUT, out); }

static int wrong_type(manta_context *c, const manta_value *value, const char *wanted) {
    mt_value_head head = {.type = (uint8_t)value->type, .ndim = (uint8_t)value->ndim, .bytes = value->bytes};
    char text[96];
    mt_value_describe(&head, value->shape, text, sizeof text);
    return mt_context_fail(c, MANTA_INVALID, "the object is %s, not %s", text, wanted);
}

int mt_value_as_i64(const manta_value *value, int64_t *out) {
    if (value->ndim || !value->data) return 0;
    switch (value->type) {
    case MANTA_TYPE_I64: *out = *(const int64_t *)value->data; return 1;
    case MANTA_TYPE_I32: *out = *(const int32_t *)value->data; return 1;
    case MANTA_TYPE_U32: *out = *(const uint32_t *)value->data; return 1;
    case MANTA_TYPE_U8: *out = *(const uint8_t *)value->data; return 1;
    case MANTA_TYPE_U64: *out = (int64_t) * (const uint64_t *)value->data; return *out >= 0;
    default: return 0;
    }
}

int mt_value_as_f64(const manta_value *value, double *out) {
    int64_t whole;
    if (mt_value_as_i64(value, &whole)) *out = (double)whole;
    else if (value->ndim || !value->data) return 0;
    else if (value->type == MANTA_TYPE_F64) *out = *(const double *)value->data;
    else if (value->type == MANTA_TYPE_F32) *out = *(const float *)value->data;
    else return 0;
    return 1;
}

int manta_get_i64(manta_context *c, manta_ref ref, int64_t *out) {
    manta_value value;
    int code = manta_get(c, ref, &value);
    if (code != MANTA_OK) return code;
    return mt_value_as_i64(&value, out) ? MANTA_OK : wrong_type(c, &value, "a whole number");
}

int manta_get_f64(manta_context *c, manta_ref ref, double *out) {
    manta_value value;
    int code = manta_get(c, ref, &value);
    if (code != MANTA_OK) return code;
    return mt_value_as_f64(&value, out) ? MANTA_OK : wrong_type(c, &value, "a number");
}

int manta_get_actor(manta_context *c, manta_ref ref, manta_actor *out) {
    manta_value value;
    int code = manta_get(c, ref, &value);
    if (code != MANTA_OK) return code;
    if (value.type != MANTA_TYPE_ACTOR || value.bytes != sizeof *out) return wrong_type(c, &value, "an actor");
    memcpy(out, value.data, sizeof *out);
    mt_node_enter(c->node);
    mt_core_hold(c->node->core, out->ref);
    mt_context_keep(c, out->ref);
    mt_node_leave(c->node);
    return MANTA_OK;
}

// ---- waiting

int manta_wait(manta_context *c, const manta_ref *refs, int count, int wanted, double seconds, bool *ready) {
    mt_node *node = c->node;
    mt_wait_link few[MT_WAIT_INLINE], *links;
    int code = check_refs(c, refs, count);
    if (code != MANTA_OK) return code;
    if (wanted < 0 || wanted > count) return mt_context_fail(c, MANTA_INVALID, "%d of %d references cannot be waited for", wanted, count);
    if (count == 0) return MANTA_OK;
    if (!(links = links_for(c, few, count))) return MANTA_NO_MEMORY;
    mt_waiter waiter = {.wanted = wanted, .shell = &c->bell};
    mt_bell_reset(&c->bell);
    mt_node_enter(node);
    mt_node_pass(node, mt_context_hint(c));
    // a loop that takes results as they come looks at many that are there already
    if (mt_core_peek(node->core, refs, count, ready) >= wanted) {
        mt_node_leave(node);
        if (links != few) free(links);
        return MANTA_OK;
    }
    int done = mt_core_wait(node->core, &waiter, refs, count, links);
    if (!done && waiter.satisfied < wanted) mt_context_wait(c, mt_context_deadline(c, seconds));
    for (int i = 0; i < count; i++) ready[i] = links[i].satisfied;
    if (waiter.satisfied < wanted) code = unsatisfied(c, refs, links, count, wanted, waiter.satisfied);
    mt_core_wait_end(node->core, links, count);
    mt_node_leave(node);
    if (links != few) free(links);
    return code;
}

// ---- holding

void manta_retain(manta_context *c, manta_ref ref) {
    if (!ref.serial) return;
    mt_node_enter(c->node);
    mt_core_hold(c->node->core, ref);
    mt_holds *retained = mt_context_retained(c);
    if (retained) mt_holds_add(retained, ref);   // without memory the hold is nobody's, as in a table that cannot grow
    mt_node_leave(c->node);
}

void manta_release(manta_context *c, manta_ref ref) {
    if (!ref.serial) return;
    mt_node_enter(c->node);
    mt_context_let_go(c, ref);
    mt_node_leave(c->node);
}

int manta_cancel(manta_context *c, manta_ref ref) {
    if (!ref.serial) return mt_context_fail(c, MANTA_INVALID, "an empty reference cannot be cancelled");
    mt_node_enter(c->node);
    int code = mt_core_stop(c->node->core, ref, 0);
    mt_node_leave(c->node);
    return code == MANTA_OK ? MANTA_OK : mt_context_fail(c, code, "this reference cannot be cancelled: it is no call's result, or not held here");
}
