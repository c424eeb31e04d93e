// Do the core's records agree with each other? For tests and the simulator; aborts with what is wrong.
#include "engine/runtime/core/state.h"

#include <stdio.h>
#include <stdlib.h>

static void wrong(const mt_core *c, const char *what, manta_ref ref, uint64_t a, uint64_t b) {
    fprintf(stderr, "core of rank %d: %s (object %u.%u.%llx, %llu against %llu)\n", c->rank, what, ref.owner, ref.slot,
        (unsigned long long)ref.serial, (unsigned long long)a, (unsigned long long)b);
    abort();
}

#define HOLDS(condition, what, ref, a, b)                                                                              \
    do {                                                                                                               \
        if (!(condition)) wrong(c, what, ref, (uint64_t)(a), (uint64_t)(b));                                           \
    } while (0)

static void check_object(const mt_core *c, const mt_object *o) {
    HOLDS(o->state != MT_STATE_READY || o->evicted || o->encoded, "a ready object has no value", o->ref, o->state, 0);
    HOLDS(o->owned || o->ref.owner != (uint32_t)c->rank, "a borrowed object is this rank's own", o->ref, o->ref.owner, c->rank);
    HOLDS(o->holds || o->lineage || o->adopting || (o->owned && o->more && o->more->holders.count), "nobody holds it", o->ref, 0, 0);
    HOLDS(o->pin != MT_PIN_HELD || o->state == MT_STATE_READY, "pinned and not ready", o->ref, o->state, o->pin);
    for (const mt_wait_link *l = o->links; l; l = l->next)
        HOLDS(l->object == o && !l->satisfied, "a wait is linked to the wrong object", o->ref, l->satisfied, 0);
    for (const mt_dependency *d = o->dependents; d; d = d->next)
        HOLDS(d->object == o && d->waits, "a call waits for the wrong object", o->ref, d->waits, 0);
    if (!o->link) return;
    uint32_t queued = 0, sent = 0;
    for (const mt_task *t = o->link->first; t; t = t->next) queued++;
    for (const mt_lane *lane = o->link->lanes; lane; lane = lane->next) {
        HOLDS(lane->first, "a lane is empty", o->ref, lane->author, 0);
        HOLDS(lane->first->waiting || lane->ready_previous, "a call that could go is parked", o->ref, lane->author, 0);
        for (const mt_task *t = lane->first; t; t = t->next) {
            HOLDS(t->lane == lane && t->call->author == lane->author, "a call is in another's lane", o->ref, t->call->author, lane->author);
            queued++;
        }
    }
    for (const mt_task *t = o->link->sent; t; t = t->next) sent++;
    HOLDS(queued == o->link->queued, "calls queued to an actor", o->ref, queued, o->link->queued);
    HOLDS(sent == o->link->in_flight, "calls under way to an actor", o->ref, sent, o->link->in_flight);
}

static void check_peers(const mt_core *c) {
    for (uint32_t i = 0; i < c->peers.capacity; i++) {
        const mt_peer *p = c->peers.entry[i].record;
        if (!p) continue;
        mt_resources sum = {0};
        uint32_t count = 0;
        for (const mt_task *t = p->sent; t; t = t->next) {
            HOLDS(t->state == MT_TASK_SENT && t->rank == p->rank, "a call is in the wrong rank's list", t->call->actor, t->rank, p->rank);
            if (!t->group) mt_resources_add(&sum, &t->demand);
            count++;
        }
        HOLDS(count == p->outstanding_count, "calls sent to a rank", ((manta_ref){0}), count, p->outstanding_count);
        HOLDS(memcmp(&sum, &p->outstanding, sizeof sum) == 0, "resources of calls sent to a rank", ((manta_ref){0}), p->rank, 0);
    }
}

// What is free, lent to runs, kept by actors and reserved for groups makes up the total.
static void check_resources(const mt_core *c) {
    mt_resources sum = c->available;
    for (const mt_reserved *r = c->reserved; r; r = r->next) mt_resources_add(&sum, &r->total);
    for (const mt_hosted *h = c->hosted; h; h = h->next)
        if (!h->bundle) mt_resources_add(&sum, &h->held);
    for (const mt_run_core *r = c->running; r; r = r->next) {
        if (r->state != MT_RUN_RUNNING || r->run.call_kind == MT_CALL_METHOD || r->bundle) continue;
        mt_resources lent = r->demand;
        if (r->blocked) lent.amount[MT_RESOURCE_CPU] = 0;
        mt_resources_add(&sum, &lent);
    }
    for (int k = 0; k < MT_RESOURCES; k++)
        HOLDS(sum.amount[k] == c->desc.totals[c->rank].amount[k], "resources do not add up", ((manta_ref){.slot = (uint32_t)k}),
            sum.amount[k], c->desc.totals[c->rank].amount[k]);
}

static void check_idle(const mt_core *c) {
    for (uint32_t i = 0; i < c->objects.count; i++)
        if (c->objects.record[i]) {
            const mt_object *o = c->objects.record[i];
            wrong(c, "an object is left over (holds, lineage)", o->ref, o->holds, o->lineage);
        }
    for (uint32_t i = 0; i < c->borrowed.capacity; i++)
        if (c->borrowed.entry[i].record) {
            const mt_object *o = c->borrowed.entry[i].record;
            wrong(c, "a borrowed object is left over (holds, adopting)", o->ref, o->holds, o->adopting);
        }
    for (uint32_t i = 0; i < c->stored.capacity; i++)
        if (c->stored.entry[i].record) {
            const mt_stored *s = c->stored.entry[i].record;
            wrong(c, "a large object is left over (state, pins)", s->ref, s->state, s->pins.count);
        }
    for (uint32_t i = 0; i < c->tasks.count; i++)
        if (c->tasks.record[i]) wrong(c, "a call is left over (state, kind)", ((mt_task *)c->tasks.record[i])->call->actor,
            ((mt_task *)c->tasks.record[i])->state, ((mt_task *)c->tasks.record[i])->call_kind);
    HOLDS(!c->running && !c->queue, "a run is left over", ((manta_ref){0}), c->running != NULL, c->queue != NULL);
    HOLDS(!c->hosted, "an actor is left over (alive, ending)", c->hosted->ref, c->hosted->alive, c->hosted->ending);
    HOLDS(!c->reserved, "a reserved bundle is left over", c->reserved->group, c->reserved->bundle, c->reserved->removing);
    HOLDS(!c->groups && !c->group_waiters, "a placement group is left over", ((manta_ref){0}), 0, 0);
    HOLDS(!c->deferred && !c->adopting_first, "an adoption is left over", ((manta_ref){0}), 0, 0);
    HOLDS(!c->meetings && !c->names, "a name or a meeting is left over", ((manta_ref){0}), c->names != NULL, c->meetings != NULL);
    HOLDS(!c->disk_pending, "a disk operation is left over", ((manta_ref){0}), c->disk_pending, 0);
    for (int g = 0; g < c->desc.gpu_devices; g++)
        HOLDS(c->gpu_free[g] == MT_RESOURCE_UNIT, "a part of a GPU is left over", ((manta_ref){0}), c->gpu_free[g], MT_RESOURCE_UNIT);
}

void mt_core_check(const mt_core *c, int idle) {
    for (uint32_t i = 0; i < c->objects.count; i++)
        if (c->objects.record[i]) check_object(c, c->objects.record[i]);
    for (uint32_t i = 0; i < c->borrowed.capacity; i++)
        if (c->borrowed.entry[i].record) check_object(c, c->borrowed.entry[i].record);
    check_peers(c);
    check_resources(c);
    if (idle) check_idle(c);
}
