// Contexts: what a body has in its hands: references, errors, values in the making, and how it waits.
// A context is its thread's alone. Functions that touch the core say in context.h whether the lock is held.
#include "engine/runtime/api/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"

// ---- life

manta_context *mt_context_create(mt_node *node, int number) {
    manta_context *c = aligned_alloc(64, (sizeof *c + 63) / 64 * 64);
    if (!c) return NULL;
    memset(c, 0, sizeof *c);
    c->node = node;
    c->number = number;
    mt_holds_init(&c->holds);
    mt_holds_init(&c->views);
    mt_binding_init(&c->binding);
    char name[32];
    if (number) snprintf(name, sizeof name, "executor %d", number);
    else snprintf(name, sizeof name, "driver");
    c->ring = mt_timeline_ring_create(node->timeline, number, name);
    return c;
}

void mt_context_destroy(manta_context *c) {
    if (!c) return;
    for (int i = 0; i < MANTA_MAX_RESULTS; i++) free(c->encoded[i]);
    mt_holds_fini(&c->holds);
    mt_holds_fini(&c->views);
    free(c);
}

// ---- references

void mt_context_keep(manta_context *c, manta_ref ref) {
    if (ref.serial) mt_holds_add(&c->holds, ref);
}

// Nobody but the context may keep the object that a view points into: one more hold, unless it has one.
void mt_context_keep_view(manta_context *c, manta_ref ref) {
    if (mt_holds_has(&c->holds, ref) || mt_holds_has(&c->views, ref)) return;
    mt_core_hold(c->node->core, ref);
    mt_holds_add(&c->views, ref);
}

mt_holds *mt_context_retained(manta_context *c) {
    if (!c->state) return &c->node->retained;
    mt_actor_state *state = mt_actor_state_of(c->state);
    if (!state->retained && (state->retained = malloc(sizeof *state->retained)) != NULL) mt_holds_init(state->retained);
    return state->retained;
}

static int remove_retained(manta_context *c, manta_ref ref) {
    mt_holds *retained = c->state ? mt_actor_state_of(c->state)->retained : &c->node->retained;
    return retained && mt_holds_remove(retained, ref);
}

// Whose hold does the user give back? The one that the context got with the reference; else one that was retained, by this actor
// and no other; else the one that a get made.
void mt_context_let_go(manta_context *c, manta_ref ref) {
    if (!mt_holds_remove(&c->holds, ref) && !remove_retained(c, ref) && !mt_holds_remove(&c->views, ref)) return;
    mt_core_release(c->node->core, ref);
}

static void release_one(void *core, manta_ref ref) { mt_core_release(core, ref); }

void mt_context_release_retained(mt_node *node) { mt_holds_clear(&node->retained, release_one, node->core); }

void mt_context_release_all(manta_context *c) {
    mt_draft_drop(c, &c->draft);
    mt_groups_end(&c->groups);
    if (c->holds.used) mt_holds_clear(&c->holds, release_one, c->node->core);
    if (c->views.used) mt_holds_clear(&c->views, release_one, c->node->core);
}

// ---- errors

int mt_context_fail(manta_context *c, int code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(c->error, sizeof c->error, format, list);
    va_end(list);
    c->error_code = code;
    c->error_rank = c->node->rank;
    return code;
}

int mt_code_of_status(mt_status status) {
    switch (status) {
    case MT_OK: return MANTA_OK;
    case MT_NOT_FOUND: return MANTA_NOT_FOUND;
    case MT_EXISTS: return MANTA_EXISTS;
    case MT_IO:
    case MT_CORRUPT: return MANTA_IO;
    case MT_NO_MEMORY: return MANTA_NO_MEMORY;
    case MT_DEADLINE: return MANTA_DEADLINE;
    case MT_COMM: return MANTA_COMM;
    case MT_INTERNAL: return MANTA_INTERNAL;
    default: return MANTA_INVALID;
    }
}

int mt_context_fail_status(manta_context *c, mt_status status, const char *before) {
    return mt_context_fail(c, mt_code_of_status(status), "%s%s", before, mt_last_error());
}

// ---- values in the making

static const char zeros[MT_INLINE_BYTES + 1];

static void *draft_inline(mt_draft *draft, char *buffer, const manta_arg *arg) {
    mt_value value;
    size_t used;
    mt_value_encode(arg, buffer);
    if (mt_value_decode(buffer, MT_ENCODED_BYTES, &value, &used) != MT_OK) return NULL;   // cannot be: just encoded
    draft->open = 1;
    // an empty payload has an address all the same
    return value.payload ? (char *)buffer + ((const char *)value.payload - buffer) : buffer;
}

static void *draft_large(manta_context *c, mt_draft *draft, const manta_arg *arg) {
    mt_node *node = c->node;
    draft->head = mt_value_head_of(arg);
    memcpy(draft->shape, arg->value.shape, sizeof draft->shape);
    // objects that are on their way to disk make room
    int64_t deadline = 0;
    mt_node_enter(node);
    for (;;) {
        draft->offset = mt_core_allocate(node->core, draft->head.bytes);
        if (draft->offset != MT_HEAP_NO_OFFSET || !mt_core_making_room(node->core) || node->ending) break;
        if (!deadline) deadline = mt_context_deadline(c, MANTA_DEFAULT_TIMEOUT);
        else if (mt_deadline_passed(deadline)) break;
        mt_bell_reset(&c->bell);
        c->wants_room = 1;
        mt_context_wait(c, deadline);
        c->wants_room = 0;
    }
    int ending = node->ending;
    mt_node_leave(node);
    if (draft->offset == MT_HEAP_NO_OFFSET && ending) {
        mt_context_fail(c, MANTA_SHUTDOWN, "the job ends: no room is made for %llu bytes any more", (unsigned long long)draft->head.bytes);
        return NULL;
    }
    if (draft->offset == MT_HEAP_NO_OFFSET) {
        mt_heap_stats heap = mt_heap_stats_get(node->heap);
        mt_context_fail(c, MANTA_NO_MEMORY,
            "no room for %llu bytes in the object memory of rank %d (%llu of %llu bytes are used): release objects or raise --object-memory",
            (unsigned long long)draft->head.bytes, node->rank, (unsigned long long)heap.used_bytes, (unsigned long long)heap.limit_bytes);
        return NULL;
    }
    draft->open = 2;
    return mt_heap_at(node->heap, draft->offset);
}

void *mt_draft_begin(manta_context *c, mt_draft *draft, char *buffer, manta_type type, int ndim, const int64_t *shape) {
    uint64_t bytes = 0;
    draft->open = 0;
    if (!mt_shape_bytes(type, ndim, shape, &bytes)) {
        mt_context_fail(c, MANTA_INVALID, "a value of type %s with %d dimensions cannot be made: the type is unknown, there are more than %d "
            "dimensions, or one is negative or too large", mt_type_name(type), ndim, MANTA_MAX_DIMS);
        return NULL;
    }
    manta_arg arg = {.value = {.type = type, .ndim = ndim, .bytes = (size_t)bytes, .data = zeros}};
    if (ndim) memcpy(arg.value.shape, shape, (size_t)ndim * sizeof *shape);
    return mt_draft_inline(&arg) ? draft_inline(draft, buffer, &arg) : draft_large(c, draft, &arg);
}

int mt_draft_copy(manta_context *c, mt_draft *draft, char *buffer, const manta_arg *arg) {
    draft->open = 0;
    if (mt_draft_inline(arg)) {
        mt_value_encode(arg, buffer);
        draft->open = 1;
        return MANTA_OK;
    }
    char *to = draft_large(c, draft, arg);
    if (!to) return MANTA_NO_MEMORY;
    memcpy(to, arg->value.data, arg->value.bytes);
    if (arg->value.type == MANTA_TYPE_TEXT) to[arg->value.bytes] = '\0';
    return MANTA_OK;
}

void mt_draft_result(const manta_context *c, const mt_draft *draft, const char *buffer, mt_run_result *out) {
    memset(out, 0, sizeof *out);
    if (draft->open == 1) {
        out->encoded = buffer;
        return;
    }
    out->head = draft->head;
    memcpy(out->shape, draft->shape, sizeof out->shape);
    out->offset = draft->offset;
    if (mt_value_ref_count(&draft->head)) out->inner = mt_heap_at(c->node->heap, draft->offset);
}

// the core takes a block back as an object that nobody holds
void mt_draft_drop(manta_context *c, mt_draft *draft) {
    if (draft->open == 2) {
        mt_run_result block;
        mt_draft_result(c, draft, NULL, &block);
        block.head.type = MANTA_TYPE_BYTES;
        block.head.ndim = 0;
        block.inner = NULL;
        mt_core_release(c->node->core, mt_core_put(c->node->core, &block));
    }
    draft->open = 0;
}

// ---- waiting

int64_t mt_context_deadline(const manta_context *c, double seconds) {
    if (seconds == MANTA_FOREVER) return MT_NEVER;
    if (!(seconds >= 0)) return c->node->timeout_ns == MT_NEVER ? MT_NEVER : mt_deadline_after(c->node->timeout_ns);
    return seconds > 9e9 ? MT_NEVER : mt_deadline_after((int64_t)(seconds * 1e9));
}

int mt_context_wait(manta_context *c, int64_t deadline_ns) {
    mt_node *node = c->node;
    if (node->ending) return mt_bell_rung(&c->bell);
    mt_waiting waiting = {.next = node->waiting, .previous = &node->waiting, .bell = &c->bell, .room = c->wants_room};
    node->room_waiters += waiting.room;
    if (waiting.next) waiting.next->previous = &waiting.next;
    node->waiting = &waiting;
    mt_node_not_soon(node, c);
    if (c->run) {
        mt_core_blocked(node->core, c->run);
        mt_node_blocked(node, 1);
    }
    mt_node_leave(node);
    int64_t begin = c->ring ? mt_clock_ns() : 0;
    int rung = mt_node_wait(node, &c->bell, NULL, mt_context_hint(c), deadline_ns);
    if (__builtin_expect(c->ring != NULL, 0))
        mt_timeline_add(c->ring, MT_TIMELINE_WAIT, "wait", begin, mt_clock_ns(), rung ? 0 : MANTA_DEADLINE, 0);
    mt_node_enter(node);
    if (c->run) {
        mt_core_unblocked(node->core, c->run);
        mt_node_blocked(node, -1);
    }
    node->room_waiters -= waiting.room;
    *waiting.previous = waiting.next;
    if (waiting.next) waiting.next->previous = waiting.previous;
    return rung;
}
