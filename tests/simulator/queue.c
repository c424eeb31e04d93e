// A heap with four children to a node: half the levels of a binary one, and the children of a node lie side by side.
#include "tests/simulator/queue.h"

#include <stdlib.h>
#include "engine/base/status.h"

enum { CHILDREN = 4 };

static int before(const mt_event *a, const mt_event *b) {
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void mt_queue_push(mt_queue *q, mt_event event) {
    if (q->count == q->capacity) {
        q->capacity = q->capacity ? 2 * q->capacity : 1024;
        q->heap = realloc(q->heap, q->capacity * sizeof *q->heap);
        MT_ASSERT(q->heap);
    }
    event.order = q->order++;
    q->busy += !event.idle;
    size_t at = q->count++;
    for (; at; at = (at - 1) / CHILDREN) {
        size_t parent = (at - 1) / CHILDREN;
        if (!before(&event, &q->heap[parent])) break;
        q->heap[at] = q->heap[parent];
    }
    q->heap[at] = event;
}

int mt_queue_peek(const mt_queue *q, mt_event *out) {
    if (q->count) *out = q->heap[0];
    return q->count > 0;
}

int mt_queue_pop(mt_queue *q, mt_event *out) {
    if (!q->count) return 0;
    *out = q->heap[0];
    q->busy -= !out->idle;
    mt_event last = q->heap[--q->count];
    size_t at = 0;
    for (;;) {
        size_t child = at * CHILDREN + 1, least = child;
        if (child >= q->count) break;
        for (size_t i = child + 1; i < child + CHILDREN && i < q->count; i++)
            if (before(&q->heap[i], &q->heap[least])) least = i;
        if (!before(&q->heap[least], &last)) break;
        q->heap[at] = q->heap[least];
        at = least;
    }
    if (q->count) q->heap[at] = last;
    return 1;
}

void mt_queue_fini(mt_queue *q) {
    free(q->heap);
    *q = (mt_queue){0};
}
