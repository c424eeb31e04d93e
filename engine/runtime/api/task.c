// The API: what a running body asks and gives. The body's own thread.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/runtime/api/context.h"

manta_error_info manta_error(const manta_context *c) {
    return (manta_error_info){.code = c->error_code, .rank = c->error_rank, .message = c->error_code ? c->error : ""};
}

int manta_fail(manta_context *c, const char *format, ...) {
    char text[MT_ERROR_BYTES];   // an argument may be the message of the last error
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return mt_context_fail(c, MANTA_TASK_FAILED, "%s", text);
}

// ---- arguments

static const mt_run_argument *argument(const manta_context *c, int i) {
    return c->run && i >= 0 && i < c->run->argument_count ? &c->run->arguments[i] : NULL;
}

const void *mt_argument_data(const manta_context *c, int i) {
    const mt_run_argument *a = argument(c, i);
    if (!a) return NULL;
    return a->view_rank < 0 ? a->value.payload : mt_heap_view(c->node->heap, a->view_rank, a->view_offset, a->value.head->bytes);
}

int manta_argument_count(const manta_context *c) { return c->run ? c->run->argument_count : 0; }

manta_value manta_argument(const manta_context *c, int i) {
    const mt_run_argument *a = argument(c, i);
    if (!a) return (manta_value){.type = MANTA_TYPE_NONE};
    return mt_value_view(&a->value, mt_argument_data(c, i));
}

int64_t manta_i64_of(const manta_context *c, int i) {
    manta_value value = manta_argument(c, i);
    int64_t x = 0;
    return mt_value_as_i64(&value, &x) ? x : 0;
}

double manta_f64_of(const manta_context *c, int i) {
    manta_value value = manta_argument(c, i);
    double x = 0;
    return mt_value_as_f64(&value, &x) ? x : 0;
}

const char *manta_text_of(const manta_context *c, int i) {
    manta_value value = manta_argument(c, i);
    return value.type == MANTA_TYPE_TEXT && value.data ? value.data : "";
}

manta_ref manta_ref_of(const manta_context *c, int i) {
    manta_value value = manta_argument(c, i);
    manta_ref ref = {0};
    if ((value.type == MANTA_TYPE_REF || value.type == MANTA_TYPE_ACTOR) && value.bytes >= sizeof ref) memcpy(&ref, value.data, sizeof ref);
    return ref;
}

manta_actor manta_actor_of(const manta_context *c, int i) { return (manta_actor){.ref = manta_ref_of(c, i)}; }

// ---- results

// what is wrong makes the call fail, also when the body does not look
static int refuse(manta_context *c, int code) { return c->failed = code; }

static int result_allowed(manta_context *c, int i) {
    if (!c->run) return mt_context_fail(c, MANTA_INVALID, "the driver has no results");
    int count = c->function->signature.result_count;
    if (i < 0 || i >= count)
        return refuse(c, mt_context_fail(c, MANTA_INVALID, "result %d is not in the signature of %s, which has %d", i, c->function->name, count));
    if (c->given & 1u << i) return refuse(c, mt_context_fail(c, MANTA_INVALID, "%s: result %d was given already", c->function->name, i));
    if (!c->encoded[i] && !(c->encoded[i] = aligned_alloc(64, (MT_ENCODED_BYTES + 63) / 64 * 64)))
        return refuse(c, mt_context_fail(c, MANTA_NO_MEMORY, "%s: no memory for result %d", c->function->name, i));
    return MANTA_OK;
}

static int result_fits(manta_context *c, int i, const mt_value_head *head, const int64_t *shape) {
    mt_status status = mt_check_numbered(&c->function->signature.result[i], head, shape, &c->binding, c->function->name, "result", i);
    return status == MT_OK ? MANTA_OK : refuse(c, mt_context_fail_status(c, status, ""));
}

int manta_return_at(manta_context *c, int i, manta_arg result) {
    int code = result_allowed(c, i);
    if (code != MANTA_OK) return code;
    mt_status status = mt_arg_check(&result);
    if (status == MT_OK && result.resolve)
        status = MT_FAIL(INVALID_ARGUMENT, "the value of a reference is not known here; return the reference (manta_reference), or get it first");
    if (status != MT_OK) return refuse(c, mt_context_fail_status(c, status, "result: "));
    mt_value_head head = mt_value_head_of(&result);
    if ((code = result_fits(c, i, &head, result.value.shape)) != MANTA_OK) return code;
    if ((code = mt_draft_copy(c, &c->drafts[i], c->encoded[i], &result)) != MANTA_OK) return refuse(c, code);
    c->given |= 1u << i;
    return MANTA_OK;
}

int manta_return(manta_context *c, manta_arg result) { return manta_return_at(c, 0, result); }

void *manta_result(manta_context *c, int i, manta_type type, int ndim, const int64_t *shape) {
    if (result_allowed(c, i) != MANTA_OK) return NULL;
    if (type == MANTA_TYPE_REF || type == MANTA_TYPE_ACTOR) {
        refuse(c, mt_context_fail(c, MANTA_INVALID, "references cannot be written in place; use manta_return_at with manta_references"));
        return NULL;
    }
    mt_value_head head = {.type = (uint8_t)type, .ndim = (uint8_t)ndim};
    if (ndim >= 0 && ndim <= MANTA_MAX_DIMS && result_fits(c, i, &head, shape) != MANTA_OK) return NULL;
    void *data = mt_draft_begin(c, &c->drafts[i], c->encoded[i], type, ndim, shape);
    if (data) c->given |= 1u << i;
    else refuse(c, c->error_code);
    return data;
}

// ---- where it runs

void *manta_state(manta_context *c) { return c->state; }

manta_actor manta_self(const manta_context *c) {
    bool actor = c->run && c->run->call_kind != MT_CALL_TASK;
    return (manta_actor){.ref = actor ? c->run->actor : (manta_ref){0}};
}

bool manta_cancelled(const manta_context *c) {
    return (c->run && __atomic_load_n(&c->run->cancelled, __ATOMIC_RELAXED)) || atomic_load_explicit(&c->node->ending_seen, memory_order_relaxed);
}

int manta_gpu_count(const manta_context *c) { return c->run ? c->run->gpu_count : 0; }

int manta_gpu(const manta_context *c, int i) {
    if (i < 0 || i >= manta_gpu_count(c)) return -1;
    return c->node->desc.gpu_first + c->run->gpus[i];
}

int manta_rank(const manta_context *c) { return c->node->rank; }
int manta_rank_count(const manta_context *c) { return c->node->size; }
int manta_node(const manta_context *c) { return c->node->transport->node_of[c->node->rank]; }

int manta_rank_node(const manta_context *c, int rank) {
    return rank >= 0 && rank < c->node->size ? c->node->transport->node_of[rank] : -1;
}

void *manta_user(const manta_context *c) { return c->node->desc.user; }

double manta_cluster_total(const manta_context *c, const char *resource) {
    const mt_node_desc *desc = &c->node->desc;
    int number = mt_resource_number(desc->names, resource);
    double total = 0;
    for (int r = 0; number >= 0 && r < c->node->size; r++) total += (double)desc->totals[r].amount[number];
    return number == MT_RESOURCE_MEMORY ? total : total / MT_RESOURCE_UNIT;
}

char **manta_program_args(const manta_context *c, int *count) {
    if (count) *count = c->node->desc.argument_count;
    return c->node->desc.arguments;
}
