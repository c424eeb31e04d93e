// Why a reference is not ready: for the message of a deadline that passed. Tells what this rank knows.
#include "engine/runtime/core/state.h"

#include <stdio.h>

static void wish(const mt_core *c, const mt_task *t, char *out, size_t bytes) {
    size_t used = 0;
    *out = 0;
    for (int k = 0; k < MT_RESOURCES && used < bytes; k++) {
        char amount[48];
        if (!t->demand.amount[k]) continue;
        mt_resource_format(k, t->demand.amount[k], amount, sizeof amount);
        used += (size_t)snprintf(out + used, bytes - used, "%s%s %s", used ? ", " : "", amount, c->desc.names->name[k]);
    }
}

static void why_call(const mt_core *c, const mt_task *t, char *out, size_t bytes) {
    char wants[200], where[48] = "no rank";
    if (t->state == MT_TASK_SENT) {
        snprintf(out, bytes, "its call went to rank %d, where it runs or waits for its turn", t->rank);
        return;
    }
    for (uint32_t i = 0; i < t->dependency_count; i++)
        if (t->dependency[i].waits) {
            snprintf(out, bytes, "its call waits for its argument %u", t->dependency[i].argument);
            return;
        }
    if (mt_actor_waits_for_name(t)) snprintf(out, bytes, "the head has not said yet whether its name is free");
    else if (t->group && t->group->state == MT_STATE_PENDING) snprintf(out, bytes, "its placement group has not been placed yet");
    else if (t->link && t->link->rank < 0) snprintf(out, bytes, "the actor is not there yet, or not again");
    else if (t->lane) snprintf(out, bytes, "an earlier call of the same caller to the actor waits for an argument");
    else if (t->link) snprintf(out, bytes, "%u calls to the actor are before it", t->link->queued + t->link->in_flight - 1);
    else {
        wish(c, t, wants, sizeof wants);
        if (t->on_rank >= 0) snprintf(where, sizeof where, "rank %d does not", t->on_rank);
        snprintf(out, bytes, "its call wants %s, and %s %s that free", *wants ? wants : "nothing", where, t->on_rank >= 0 ? "have" : "has");
    }
}

const char *mt_core_why(mt_core *c, manta_ref ref, char *out, size_t bytes) {
    const mt_object *o = mt_object_find(c, ref);
    *out = 0;
    if (!o || o->state == MT_STATE_FAILED) snprintf(out, bytes, "it is there");
    else if (o->state == MT_STATE_READY && o->pin == MT_PIN_ASKED) snprintf(out, bytes, "its value is on its way from rank %d", o->pin_rank);
    else if (!o->owned) snprintf(out, bytes, "rank %u, which owns it, has no value of it yet", o->ref.owner);
    else if (o->is_group) snprintf(out, bytes, "ranks do not have all of its bundles free");
    else if (o->producer) why_call(c, o->producer, out, bytes);
    else snprintf(out, bytes, "nothing makes it");
    return out;
}
