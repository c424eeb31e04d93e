// Calls of this rank: from submit to their results. The states are in core_state.h.
//
// A call's record is one block: the CALL message's head as it will be sent, the encoded arguments that are its own, and a
// dependency for every reference among its arguments. It holds those objects until its results are there. When a result
// lies in another rank's heap and may be lost with it, the record stays (DONE) with lineage in place of holds, so that it can run
// again.
#include "engine/runtime/core/state.h"

#include <stdio.h>

mt_task *mt_task_of(const mt_core *c, uint64_t name) {
    mt_task *t = mt_slots_get(&c->tasks, (uint32_t)name);
    return t && t->name == name ? t : NULL;
}

void mt_task_unlink(mt_task *t) {
    if (!t->previous) return;
    *t->previous = t->next;
    if (t->next) t->next->previous = t->previous;
    t->next = NULL, t->previous = NULL;
}

static void unlink_dependency(mt_dependency *d) {
    if (!d->previous) return;
    *d->previous = d->next;
    if (d->next) d->next->previous = d->previous;
    d->next = NULL, d->previous = NULL;
}

// lineage 1: they may be needed again
static void let_go(mt_core *c, mt_task *t, int lineage) {
    for (uint32_t i = 0; i < t->dependency_count; i++) {
        mt_dependency *d = &t->dependency[i];
        unlink_dependency(d);
        mt_object *o = d->object;
        if (!o) continue;
        if (lineage) o->lineage++;
        else d->object = NULL;
        mt_object_drop(c, o);
    }
}

void mt_task_drop_dependencies(mt_core *c, mt_task *t) { let_go(c, t, 0); }

// ---- lineage: finished calls that can run again, oldest first, up to so many bytes

static void leave_lineage(mt_core *c, mt_task *t) {
    if (c->lineage_last == &t->next) c->lineage_last = t->previous;
    mt_task_unlink(t);
    c->lineage_bytes -= t->bytes;
}

static void join_lineage(mt_core *c, mt_task *t) {
    t->next = NULL, t->previous = c->lineage_last;
    *c->lineage_last = t;
    c->lineage_last = &t->next;
    c->lineage_bytes += t->bytes;
    // an endless x = step(x) would keep every step; what is forgotten is OBJECT_LOST when it is lost
    while (c->lineage_bytes > MT_LINEAGE_BYTES && c->lineage != t) mt_task_free(c, c->lineage);
}

static void leave_met(mt_core *c, mt_task *t) {
    if (!t->met_previous) return;
    *t->met_previous = t->met_next;
    if (t->met_next) t->met_next->met_previous = t->met_previous;
    else c->met_last = t->met_previous;
    t->met_next = NULL, t->met_previous = NULL;
}

static void leave_again(mt_task *t) {
    if (!t->again_previous) return;
    *t->again_previous = t->again;
    if (t->again) t->again->again_previous = t->again_previous;
    t->again = NULL, t->again_previous = NULL;
}

void mt_task_free(mt_core *c, mt_task *t) {
    leave_met(c, t);
    leave_again(t);
    if (t->state == MT_TASK_DONE && t->call_kind == MT_CALL_TASK) leave_lineage(c, t);
    else mt_task_unlink(t);
    for (int i = 0; i < t->result_count; i++)
        if (t->result[i]) t->result[i]->producer = NULL;
    if (t->state == MT_TASK_DONE && t->call_kind != MT_CALL_CREATE) {
        for (uint32_t i = 0; i < t->dependency_count; i++) {
            mt_object *o = t->dependency[i].object;
            if (!o) continue;
            o->lineage--;
            mt_object_check_free(c, o);
        }
    } else {
        let_go(c, t, 0);
        if (t->state != MT_TASK_DONE) c->stats.pending_tasks--;
    }
    if (t->group) mt_object_drop(c, t->group);
    mt_slots_remove(&c->tasks, (uint32_t)t->name);
    mt_give(c, t, t->bytes);
}

// ---- submitting

typedef struct sizes { size_t head, blob; uint32_t dependencies; } sizes;

static int is_reference(const manta_arg *a) {
    return !a->resolve && (a->value.type == MANTA_TYPE_REF || a->value.type == MANTA_TYPE_ACTOR);
}

static sizes measure(const mt_submit *s) {
    sizes z = {.head = sizeof(mt_wire_call) + sizeof(manta_ref) * (size_t)(s->result_count ? s->result_count : 1)};
    if (s->call_kind != MT_CALL_METHOD) z.head += sizeof(mt_resources);
    for (int i = 0; i < s->argument_count; i++) {
        const manta_arg *a = &s->arguments[i];
        if (a->resolve) z.dependencies++;
        else z.blob += mt_value_encoded_bytes(a);
        if (is_reference(a)) z.dependencies += (uint32_t)(a->value.bytes / sizeof(manta_ref));
    }
    return z;
}

static mt_task *make_task(mt_core *c, const mt_submit *s) {
    sizes z = measure(s);
    int results = s->result_count ? s->result_count : 1;
    size_t task = mt_up16(sizeof(mt_task)), arguments = mt_up16(sizeof(mt_slice) * (size_t)s->argument_count);
    size_t bytes = task + z.head + z.blob + sizeof(mt_dependency) * z.dependencies + arguments + sizeof(mt_object *) * (size_t)results;
    char *block = mt_take(c, bytes);
    mt_task *t = (mt_task *)block;
    t->bytes = (uint32_t)bytes, t->head_bytes = (uint32_t)z.head, t->blob_bytes = (uint32_t)z.blob;
    t->call = (mt_wire_call *)(block += task);
    t->blob = (uint8_t *)(block += z.head);
    t->argument = (mt_slice *)(block += z.blob);
    t->dependency = (mt_dependency *)(block += arguments);
    t->result = (mt_object **)(block + sizeof(mt_dependency) * z.dependencies);
    t->name = ++c->next_serial << 32;
    t->name |= mt_slots_add(&c->tasks, t);
    t->call_kind = (uint8_t)s->call_kind, t->argument_count = (uint8_t)s->argument_count, t->result_count = (uint8_t)results;
    t->retries = s->max_retries, t->rank = -1;
    c->stats.pending_tasks++, c->stats.submitted++;
    return t;
}

static void depend(mt_task *t, mt_object *o, int argument, int value) {
    mt_dependency *d = &t->dependency[t->dependency_count++];
    *d = (mt_dependency){.object = o, .task = t, .argument = (uint16_t)argument, .value = (uint8_t)value};
    mt_object_hold(o);
    if (mt_dependency_met(d)) return;
    d->waits = 1, t->waiting++;
    d->next = o->dependents, d->previous = &o->dependents;
    if (o->dependents) o->dependents->previous = &d->next;
    o->dependents = d;
}

// What is wrong with an argument's object already; 0: nothing.
static int argument_error(const mt_object *o, int argument, char *text, size_t bytes) {
    if (!o) {
        snprintf(text, bytes, "argument %d: the reference was released", argument);
        return MANTA_OBJECT_LOST;
    }
    if (o->state != MT_STATE_FAILED) return MANTA_OK;
    // what went wrong first, not the way that it came
    if (o->message && strncmp(o->message, "argument ", 9) == 0) snprintf(text, bytes, "%s", o->message);
    else snprintf(text, bytes, "argument %d: %s", argument, o->message ? o->message : manta_code_name(o->code));
    return o->code;
}

static int take_arguments(mt_core *c, mt_task *t, const mt_submit *s, char *text, size_t bytes) {
    uint32_t at = 0;
    int code = MANTA_OK;
    for (int i = 0; i < s->argument_count; i++) {
        const manta_arg *a = &s->arguments[i];
        if (a->resolve) {
            mt_object *o = mt_object_adopt(c, a->scalar.ref);
            if (code == MANTA_OK) code = argument_error(o, i, text, bytes);
            if (!o) continue;
            t->argument[i] = (mt_slice){.at = t->dependency_count};
            depend(t, o, i, 1);
            continue;
        }
        uint32_t encoded = (uint32_t)mt_value_encoded_bytes(a);
        mt_value_encode(a, t->blob + at);
        t->argument[i] = (mt_slice){.at = at, .bytes = encoded};
        if (is_reference(a)) {
            uint32_t count;
            const manta_ref *refs = mt_encoded_refs(t->blob + at, encoded, &count);
            for (uint32_t k = 0; k < count; k++) {
                mt_object *o = mt_object_adopt(c, refs[k]);
                if (o) depend(t, o, i, 0);
            }
        }
        at += encoded;
    }
    return code;
}

static void fill_call(mt_core *c, mt_task *t, const mt_submit *s) {
    mt_wire_call *w = t->call;
    w->wire.kind = MT_WIRE_CALL;
    w->task = t->name;
    w->call_kind = (uint16_t)s->call_kind, w->result_count = (uint16_t)s->result_count, w->argument_count = (uint16_t)s->argument_count;
    w->function = s->function, w->class_number = s->class_number;
    w->max_concurrency = s->max_concurrency, w->cpu_afterwards = (uint32_t)s->cpu_afterwards;
    w->placement_slot = s->placement.slot, w->placement_serial = s->placement.serial, w->placement_owner = s->placement.owner;
    w->bundle = s->bundle, w->stay = s->on_rank >= 0 || s->placement.serial != 0;
    w->author = s->author;
    w->max_pending = s->max_pending, w->max_task_retries = s->max_task_retries;
    manta_ref *refs = (manta_ref *)(w + 1);
    for (int i = 0; i < t->result_count; i++) {
        mt_object *o = t->result[i] = mt_object_new(c, s->call_kind == MT_CALL_CREATE ? s->class_number + 1 : 0);
        o->producer = t, o->result_index = (uint8_t)i;
        refs[i] = o->ref;
    }
    if (s->call_kind == MT_CALL_CREATE) w->actor = refs[0];
    if (s->call_kind == MT_CALL_METHOD) w->actor = s->actor;
    else memcpy(refs + t->result_count, &s->demand, sizeof s->demand), t->demand = s->demand;
}

static void queue_call(mt_core *c, mt_task *t) {
    if (t->call_kind == MT_CALL_METHOD) mt_actor_call_ready(c, t);
    else mt_dispatch_add(c, t, 0);
}

static int mentions_impossible(mt_core *c, const mt_submit *s, char *text, size_t bytes) {
    if (s->call_kind == MT_CALL_METHOD || s->placement.serial) return 0;
    return mt_dispatch_infeasible(c, &s->demand, s->on_rank, text, bytes) != NULL;
}

void mt_core_submit(mt_core *c, const mt_submit *s, manta_ref *out) {
    char text[1024] = "";
    int code = s->failed_code, results = s->result_count ? s->result_count : 1;
    if (code != MANTA_OK) {
        for (int i = 0; i < results; i++) {
            mt_object *o = mt_object_new(c, s->call_kind == MT_CALL_CREATE ? s->class_number + 1 : 0);
            out[i] = o->ref;
            mt_object_set_error(c, o, code, c->rank, s->failed_message);
        }
        mt_core_settle(c);
        return;
    }
    mt_task *t = make_task(c, s);
    code = take_arguments(c, t, s, text, sizeof text);
    fill_call(c, t, s);
    for (int i = 0; i < results; i++) out[i] = t->result[i]->ref;
    if (code == MANTA_OK && mentions_impossible(c, s, text, sizeof text)) code = MANTA_INFEASIBLE;
    if (s->placement.serial && code == MANTA_OK) {
        // the call waits for its group, whose value says where its bundles are
        mt_object *group = mt_object_adopt(c, s->placement);
        if (!group) code = MANTA_NOT_FOUND, snprintf(text, sizeof text, "the placement group was removed");
        else t->group = group, mt_object_hold(group);
    }
    if (s->call_kind == MT_CALL_CREATE) mt_actor_created(c, t->result[0], t, s);
    if (code != MANTA_OK) mt_task_fail(c, t, code, c->rank, text);
    else if (s->call_kind == MT_CALL_METHOD) {
        mt_object *actor = mt_object_adopt(c, s->actor);
        if (actor) mt_actor_submit(c, t, actor);
        else mt_task_fail(c, t, MANTA_ACTOR_DIED, c->rank, "nobody holds the actor any more");
    } else {
        t->on_rank = s->on_rank;
        if (!t->waiting && !mt_actor_waits_for_name(t)) queue_call(c, t);
    }
    mt_core_settle(c);
}

// ---- arguments come in

// Noted only: a call that fails for its argument fails those that wait for it in turn, and a hundred thousand of them must not be
// so many calls deep.
void mt_task_dependency_ready(mt_core *c, mt_dependency *d) {
    mt_task *t = d->task;
    t->waiting--;
    if (t->met_previous || (t->waiting && !(d->value && d->object->state == MT_STATE_FAILED))) return;
    t->met_next = NULL, t->met_previous = c->met_last;
    *c->met_last = t;
    c->met_last = &t->met_next;
}

// 1: an argument has failed, and with it the call.
static int fail_for_argument(mt_core *c, mt_task *t) {
    for (uint32_t i = 0; i < t->dependency_count; i++) {
        const mt_object *o = t->dependency[i].object;
        if (!t->dependency[i].value || !o || o->state != MT_STATE_FAILED) continue;
        char text[1024];
        int code = argument_error(o, t->dependency[i].argument, text, sizeof text);
        mt_task_fail(c, t, code, (int)o->error_rank, text);
        return 1;
    }
    return 0;
}

void mt_task_settle(mt_core *c) {
    while (c->met) {
        mt_task *t = c->met;
        leave_met(c, t);
        if (fail_for_argument(c, t)) continue;
        if (!t->waiting && t->state == MT_TASK_WAITING && !mt_actor_waits_for_name(t)) queue_call(c, t);
    }
}

void mt_task_ready_again(mt_core *c, mt_task *t) {
    if (!t->waiting && t->state == MT_TASK_WAITING) queue_call(c, t);
}

// The arguments of a call that goes out again may have been lost meanwhile.
static void wait_for_arguments(mt_core *c, mt_task *t) {
    t->waiting = 0;
    for (uint32_t i = 0; i < t->dependency_count; i++) {
        mt_dependency *d = &t->dependency[i];
        unlink_dependency(d);
        d->waits = 0;
        if (!d->object || mt_dependency_met(d)) continue;
        d->waits = 1, t->waiting++;
        d->next = d->object->dependents, d->previous = &d->object->dependents;
        if (d->object->dependents) d->object->dependents->previous = &d->next;
        d->object->dependents = d;
    }
    t->state = MT_TASK_WAITING;
    if (!fail_for_argument(c, t) && !t->waiting) queue_call(c, t);
}

// Between its last argument's coming and its going out an argument can be lost again: then it waits anew, or has failed.
int mt_task_may_go(mt_core *c, mt_task *t) {
    for (uint32_t i = 0; i < t->dependency_count; i++) {
        const mt_dependency *d = &t->dependency[i];
        if (!d->value || (d->object->state == MT_STATE_READY && !d->object->evicted)) continue;
        if (t->call_kind != MT_CALL_METHOD) mt_dispatch_ended(c, t);
        wait_for_arguments(c, t);
        return 0;
    }
    return 1;
}

void mt_task_create_again(mt_core *c, mt_task *t) {
    c->stats.pending_tasks++, c->stats.retried++;
    wait_for_arguments(c, t);
}

// ---- sending

void mt_task_send(mt_core *c, mt_task *t, int rank) {
    mt_piece pieces[MANTA_MAX_ARGUMENTS];
    int count = 0;
    for (int i = 0; i < t->argument_count; i++) {
        const mt_slice *a = &t->argument[i];
        if (a->bytes && count && pieces[count - 1].data == t->blob + a->at - pieces[count - 1].bytes) {
            pieces[count - 1].bytes += a->bytes;   // right behind the one before
            continue;
        }
        const mt_object *o = a->bytes ? NULL : t->dependency[a->at].object;
        pieces[count++] = o ? (mt_piece){o->encoded, o->encoded_bytes} : (mt_piece){t->blob + a->at, a->bytes};
    }
    t->state = MT_TASK_SENT, t->rank = rank;
    // the head is a template: the send stamps the link's number into it
    mt_core_send(c, rank, t->call, t->head_bytes, pieces, count);
}

// ---- ending

static void set_results(mt_core *c, mt_task *t, const uint8_t *encoded, const size_t *at, const size_t *bytes) {
    for (int i = 0; i < t->result_count; i++) {
        mt_object *o = t->result[i];
        if (o && o->state == MT_STATE_PENDING) mt_object_set_value(c, o, encoded + at[i], bytes[i]);
        else if (!o || !mt_object_lies_there(o, encoded + at[i], bytes[i])) mt_object_discard_result(c, encoded + at[i], bytes[i]);
    }
}

void mt_task_fail(mt_core *c, mt_task *t, int code, int rank, const char *message) {
    if (t->state == MT_TASK_DONE) return;
    char text[1024];
    snprintf(text, sizeof text, "%s", message ? message : "");
    c->stats.failed++;
    mt_object *results[MANTA_MAX_RESULTS];
    int count = t->result_count;
    for (int i = 0; i < count; i++) {
        if ((results[i] = t->result[i])) mt_object_hold(results[i]);
    }
    if (t->call_kind == MT_CALL_METHOD) mt_actor_call_done(c, t);
    else mt_dispatch_ended(c, t);
    if (t->call_kind == MT_CALL_CREATE) {
        mt_actor_creation_done(c, t, -1, code, rank, text, NULL, 0);
        for (int i = 0; i < count; i++)
            if (results[i]) mt_object_drop(c, results[i]);
        return;
    }
    mt_task_free(c, t);
    for (int i = 0; i < count; i++) {
        mt_object *o = results[i];
        if (!o) continue;
        if (o->state == MT_STATE_PENDING) mt_object_set_error(c, o, code, rank, text);
        mt_object_drop(c, o);
    }
}

// Results in other ranks' heaps can be lost with them: such a task stays, ready to run again.
static int keep_lineage(const mt_core *c, const mt_task *t) {
    mt_wire_place place;
    if (t->call_kind != MT_CALL_TASK || t->retries <= 0) return 0;
    for (int i = 0; i < t->result_count; i++) {
        const mt_object *o = t->result[i];
        if (o && (o->evicted || (mt_object_place(o, &place, NULL) && (int)place.rank != c->rank))) return 1;
    }
    return 0;
}

static void complete(mt_core *c, mt_task *t) {
    mt_object *results[MANTA_MAX_RESULTS];
    int count = t->result_count;
    for (int i = 0; i < count; i++)
        if ((results[i] = t->result[i])) mt_object_hold(results[i]);
    if (keep_lineage(c, t)) {
        mt_task_unlink(t);
        c->stats.pending_tasks--;
        t->state = MT_TASK_DONE;
        let_go(c, t, 1);
        join_lineage(c, t);
    } else mt_task_free(c, t);
    for (int i = 0; i < count; i++)
        if (results[i]) mt_object_drop(c, results[i]);
}

static void thank(mt_core *c, int source, const mt_wire_done *m) {
    if (!m->keep) return;
    mt_wire_task kept = {.wire.kind = MT_WIRE_KEPT, .task = m->task};
    if (mt_core_must_defer(c)) mt_core_defer_message(c, source, &kept, sizeof kept, NULL, 0);
    else mt_core_send(c, source, &kept, sizeof kept, NULL, 0);
}

void mt_task_on_done(mt_core *c, int source, const mt_wire_done *m, size_t bytes) {
    mt_task *t = mt_task_of(c, m->task);
    size_t rest = bytes - sizeof *m, used = 0, at[MANTA_MAX_RESULTS], length[MANTA_MAX_RESULTS];
    const uint8_t *encoded = (const uint8_t *)(m + 1);
    char text[1024] = "";
    int code = m->code == MANTA_OK ? MANTA_OK : mt_failure_code(m->code), mine = t && t->state == MT_TASK_SENT && t->rank == source;
    uint32_t count = code == MANTA_OK ? m->result_count : 0;
    if (count > MANTA_MAX_RESULTS) count = MANTA_MAX_RESULTS, code = MANTA_INTERNAL;
    for (uint32_t i = 0; i < count; i++) {
        at[i] = used;
        mt_value value;
        const mt_object *o = mine && i < t->result_count ? t->result[i] : NULL;
        if (mt_value_decode(encoded + used, rest - used, &value, &length[i]) != MT_OK ||
            !mt_value_is_of(c, &value, o ? &o->ref : NULL)) {
            code = MANTA_INTERNAL, count = i;
            snprintf(text, sizeof text, "rank %d sent results that cannot be read", source);
            break;
        }
        used += length[i];
    }
    if (!mine) {
        for (uint32_t i = 0; i < count; i++) mt_object_discard_result(c, encoded + at[i], length[i]);
        thank(c, source, m);
        return;
    }
    if (code == MANTA_OK && (int)count != t->result_count) {
        code = MANTA_INTERNAL;
        snprintf(text, sizeof text, "rank %d sent %u results in place of %d", source, count, t->result_count);
    }
    if (m->code != MANTA_OK)
        snprintf(text, sizeof text, "%.*s", (int)(m->text_bytes < rest ? m->text_bytes : rest), (const char *)encoded);
    mt_dispatch_accepted(c, t, source);
    if (t->call_kind == MT_CALL_TASK) {
        float *pace = mt_dispatch_pace(c, t->call->function);
        *pace = *pace < 0 ? (float)m->run_ns : *pace + 0.125f * ((float)m->run_ns - *pace);
    }
    if (code != MANTA_OK) {
        mt_task_fail(c, t, code, (int)m->error_rank, text);
    } else if (t->call_kind == MT_CALL_CREATE) {
        mt_dispatch_ended(c, t);
        mt_actor_creation_done(c, t, source, MANTA_OK, source, NULL, encoded, used);
    } else {
        if (t->call_kind == MT_CALL_METHOD) mt_actor_call_done(c, t);
        else mt_dispatch_ended(c, t);
        c->stats.finished++;
        set_results(c, t, encoded, at, length);
        complete(c, t);
    }
    thank(c, source, m);
    mt_dispatch_room(c, source);
}

// ---- going out again

void mt_task_on_returned(mt_core *c, int source, const mt_wire_task *m) {
    mt_task *t = mt_task_of(c, m->task);
    if (!t || t->state != MT_TASK_SENT || t->rank != source || t->call_kind == MT_CALL_METHOD) return;
    mt_dispatch_ended(c, t);
    if (!m->argument) mt_dispatch_refused(c, t, source);
    if (t->actor && (t->actor->ended || !t->actor->object)) {
        mt_task_fail(c, t, MANTA_ACTOR_DIED, c->rank, "nobody wants it any more");
        return;
    }
    if (t->cancelled) {
        mt_task_fail(c, t, MANTA_CANCELLED, c->rank, "cancelled before it began");
        return;
    }
    wait_for_arguments(c, t);
    mt_dispatch_room(c, source);
}

void mt_task_lost(mt_core *c, mt_task *t, int rank) {
    mt_dispatch_ended(c, t);
    if (t->cancelled) {
        mt_task_fail(c, t, MANTA_CANCELLED, c->rank, "cancelled, and its rank died");
        return;
    }
    int bound = t->on_rank == rank;   // it may run nowhere else
    if (!bound && (t->call_kind == MT_CALL_CREATE || t->retries > 0)) {
        if (t->call_kind == MT_CALL_TASK && t->retries != MANTA_ALWAYS) t->retries--;
        c->stats.retried++;
        wait_for_arguments(c, t);
        return;
    }
    char text[128];
    snprintf(text, sizeof text, "rank %d died while it ran or waited there, and it %s", rank, bound ? "may run on no other" : "had no retries left");
    mt_task_fail(c, t, t->call_kind == MT_CALL_CREATE ? MANTA_ACTOR_DIED : MANTA_TASK_FAILED, rank, text);
}

static void revive(mt_core *c, mt_task *t) {
    leave_lineage(c, t);
    if (t->retries != MANTA_ALWAYS) t->retries--;
    t->state = MT_TASK_WAITING, t->cancelled = 0;
    c->stats.pending_tasks++;
    for (uint32_t i = 0; i < t->dependency_count; i++) {
        mt_object *o = t->dependency[i].object;
        if (o) mt_object_hold(o), o->lineage--;
    }
    for (int i = 0; i < t->result_count; i++) {
        mt_object *o = t->result[i];
        mt_wire_place place;
        if (!o) continue;
        int copied = o->more && o->more->copies.count;   // another rank has it: mt_object_lost finds that
        if (o->evicted || (!copied && mt_object_place(o, &place, NULL) && mt_core_dead(c, (int)place.rank))) mt_object_set_pending(c, o);
    }
    wait_for_arguments(c, t);
}

static mt_task **collect(mt_task *t, mt_task **last) {
    *last = t;
    t->again = NULL, t->again_previous = last;
    return &t->again;
}

// First all that would have to run are collected (a list, for they can be many one behind the other); when one of them cannot,
// none does. One that is made ready may fail at once, and take others of the list with it.
int mt_task_again(mt_core *c, mt_task *t) {
    if (t->state != MT_TASK_DONE || t->again_previous) return 1;   // it is on its way already
    mt_task *list = NULL, **last = collect(t, &list);
    int possible = 1;
    for (mt_task *n = list; n; n = n->again) {
        possible &= n->retries > 0;
        for (uint32_t i = 0; i < n->dependency_count; i++) {
            const mt_object *o = n->dependency[i].object;
            if (!o || !o->owned || !o->evicted) continue;
            mt_task *maker = o->producer;
            possible &= maker != NULL;
            if (maker && maker->state == MT_TASK_DONE && !maker->again_previous) last = collect(maker, last);
        }
    }
    while (list) {
        mt_task *n = list;
        leave_again(n);
        if (possible) revive(c, n);
    }
    return possible;
}

void mt_task_result_gone(mt_core *c, mt_object *o) {
    mt_task *t = o->producer;
    t->result[o->result_index] = NULL;
    if (t->state != MT_TASK_DONE) return;
    for (int i = 0; i < t->result_count; i++)
        if (t->result[i]) return;
    mt_task_free(c, t);
}

void mt_task_rank_dead(mt_core *c, int rank) {
    mt_peer *p = mt_core_peer(c, rank);
    while (p->sent) mt_task_lost(c, p->sent, rank);
}

// ---- cancelling

void mt_task_cancel(mt_core *c, mt_task *t) {
    if (t->state == MT_TASK_DONE || t->call_kind == MT_CALL_CREATE) return;
    if (t->state == MT_TASK_SENT) {
        mt_wire_task m = {.wire.kind = MT_WIRE_CANCEL, .task = t->name, .actor = t->call->actor};
        t->cancelled = 1;
        mt_core_send(c, t->rank, &m, sizeof m, NULL, 0);
    } else mt_task_fail(c, t, MANTA_CANCELLED, c->rank, "cancelled before it began");
}

int mt_core_stop(mt_core *c, manta_ref ref, int kill_actor) {
    mt_object *o = mt_object_find(c, ref);
    int code = MANTA_OK;
    if (!o) code = MANTA_NOT_FOUND;
    else if (!o->owned) mt_core_send_ref(c, (int)ref.owner, MT_WIRE_STOP, ref, (uint64_t)kill_actor);
    else if (kill_actor) mt_actor_stop(c, o);
    else if (o->producer && o->state == MT_STATE_PENDING) mt_task_cancel(c, o->producer);
    else code = MANTA_NOT_FOUND;
    mt_core_settle(c);
    return code;
}
