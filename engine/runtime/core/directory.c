// What ranks find by name at one place: actors' names at the head, and the meeting of a collective group's members at the
// group's owner.
#include "engine/runtime/core/state.h"

#include <stdlib.h>
#include "engine/base/digest.h"

// ---- names (head)

static uint64_t hash_of(const char *name) { return mt_digest64_of(name, strlen(name)); }

// Of two names with one hash the second is taken for the first's: it cannot be had while that is there.
static mt_name *find_name(const mt_core *c, const char *name) { return mt_map_get(&c->name_map, hash_of(name), 0); }

static int is_named(const mt_name *n, const char *name) { return n && strcmp(n->name, name) == 0; }

static void drop_name(mt_core *c, mt_name *n) {
    mt_map_remove(&c->name_map, hash_of(n->name), 0);
    *n->previous = n->next;
    if (n->next) n->next->previous = n->previous;
    mt_give(c, n, sizeof *n);
}

static void answer(mt_core *c, int rank, const mt_wire_name *m, int code, manta_ref actor) {
    mt_wire_name reply = *m;
    reply.wire = (mt_wire){.kind = MT_WIRE_NAME_REPLY};
    reply.code = code, reply.actor = actor;
    mt_core_send(c, rank, &reply, sizeof reply, NULL, 0);
}

static void set_name(mt_core *c, int source, const mt_wire_name *m) {
    if (find_name(c, m->name)) {
        answer(c, source, m, MANTA_EXISTS, m->actor);
        return;
    }
    mt_name *n = mt_take(c, sizeof *n);
    *n = (mt_name){.actor = m->actor, .next = c->names, .previous = &c->names};
    memcpy(n->name, m->name, sizeof n->name);
    if (c->names) c->names->previous = &n->next;
    c->names = n;
    mt_map_put(&c->name_map, hash_of(n->name), 0, n);
    answer(c, source, m, MANTA_OK, m->actor);
}

void mt_directory_on_name(mt_core *c, int source, const mt_wire_name *m) {
    if (memchr(m->name, 0, sizeof m->name) == NULL) return;
    if (m->wire.kind == MT_WIRE_NAME_REPLY) {
        if (m->question) c->ops->named(c->shell, m->question, m->code, (manta_actor){m->actor});
        else mt_actor_name_answer(c, m);
        return;
    }
    if (c->rank != MT_HEAD) return;
    mt_name *n = find_name(c, m->name);
    if (m->wire.kind == MT_WIRE_NAME_SET) set_name(c, source, m);
    else if (!is_named(n, m->name)) n = NULL;
    if (m->wire.kind == MT_WIRE_NAME_FIND) answer(c, source, m, n ? MANTA_OK : MANTA_NOT_FOUND, n ? n->actor : (manta_ref){0});
    else if (m->wire.kind == MT_WIRE_NAME_DROP && n && mt_ref_same(n->actor, m->actor)) drop_name(c, n);
}

void mt_core_find_name(mt_core *c, const char *name, uint64_t question) {
    mt_wire_name m = {.wire.kind = MT_WIRE_NAME_FIND, .question = question};
    size_t length = strlen(name);
    memcpy(m.name, name, length < sizeof m.name ? length : sizeof m.name - 1);
    mt_core_send(c, MT_HEAD, &m, sizeof m, NULL, 0);
    mt_core_settle(c);
}

// ---- meetings (owner of the group object)

static mt_meeting **find_meeting(mt_core *c, manta_ref group) {
    mt_meeting **at = &c->meetings;
    while (*at && !mt_ref_same((*at)->group, group)) at = &(*at)->next;
    return at;
}

static void dismiss(mt_core *c, int rank, manta_ref group, uint32_t member, uint64_t question, int code) {
    mt_wire_meet m = {.wire.kind = MT_WIRE_MET, .group = group, .member = member, .question = question, .code = code};
    mt_core_send(c, rank, &m, sizeof m, NULL, 0);
}

// Everybody has come, or nobody need wait any longer.
static void end_meeting(mt_core *c, mt_meeting *m, int code) {
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->rank[i] == UINT32_MAX) continue;
        mt_wire_meet met = {.wire.kind = MT_WIRE_MET, .group = m->group, .member = i, .count = m->count, .question = m->question[i],
            .round = m->round, .code = code};
        mt_core_send(c, (int)m->rank[i], &met, sizeof met, &(mt_piece){m->rank, sizeof *m->rank * m->count}, code == MANTA_OK);
        m->question[i] = 0;
    }
    m->come = 0, m->round++;
    memset(m->rank, 0xff, sizeof *m->rank * m->count);
}

static void free_meeting(mt_core *c, mt_meeting **at) {
    mt_meeting *m = *at;
    *at = m->next;
    free(m->rank);
    free(m->question);
    mt_give(c, m, sizeof *m);
}

static mt_meeting *open_meeting(mt_core *c, const mt_wire_meet *m) {
    mt_meeting *meeting = mt_take(c, sizeof *meeting);
    *meeting = (mt_meeting){.group = m->group, .count = m->count, .rank = malloc(sizeof(uint32_t) * m->count),
        .question = calloc(m->count, sizeof(uint64_t)), .next = c->meetings};
    MT_ASSERT(meeting->rank && meeting->question);
    memset(meeting->rank, 0xff, sizeof(uint32_t) * m->count);
    return c->meetings = meeting;
}

static void member_comes(mt_core *c, int source, const mt_wire_meet *m) {
    mt_object *o = mt_object_find(c, m->group);
    mt_meeting *meeting = *find_meeting(c, m->group);
    if (!o || !o->owned) {
        dismiss(c, source, m->group, m->member, m->question, MANTA_OBJECT_LOST);
        return;
    }
    if (!meeting && m->count > 0 && m->count <= MT_MEMBERS_MAX) meeting = open_meeting(c, m);
    if (!meeting || meeting->count != m->count || m->member >= m->count || meeting->rank[m->member] != UINT32_MAX) {
        dismiss(c, source, m->group, m->member, m->question, meeting && m->member < m->count ? MANTA_EXISTS : MANTA_INVALID);
        return;
    }
    meeting->rank[m->member] = (uint32_t)source, meeting->question[m->member] = m->question;
    if (++meeting->come == meeting->count) end_meeting(c, meeting, MANTA_OK);
}

// It had a deadline. Were it counted on, the others would meet somebody who is not there.
static void member_goes(mt_core *c, int source, const mt_wire_meet *m) {
    mt_meeting *meeting = *find_meeting(c, m->group);
    if (!meeting || m->member >= meeting->count || meeting->rank[m->member] != (uint32_t)source || meeting->question[m->member] != m->question) return;
    meeting->rank[m->member] = UINT32_MAX, meeting->question[m->member] = 0;
    meeting->come--;
}

void mt_directory_on_meet(mt_core *c, int source, const mt_wire_meet *m, size_t bytes) {
    if (m->wire.kind != MT_WIRE_MET) {
        if (m->wire.kind == MT_WIRE_MEET) member_comes(c, source, m);
        else member_goes(c, source, m);
        return;
    }
    int whole = m->code == MANTA_OK && m->count && bytes >= sizeof *m + sizeof(uint32_t) * m->count;
    c->ops->met(c->shell, m->question, m->code == MANTA_OK && !whole ? MANTA_INTERNAL : m->code, whole ? (const uint32_t *)(m + 1) : NULL,
        whole ? (int)m->count : 0, m->round);
}

void mt_core_meet(mt_core *c, manta_ref group, int member, int count, uint64_t question) {
    mt_wire_meet m = {.wire.kind = MT_WIRE_MEET, .group = group, .member = (uint32_t)member, .count = (uint32_t)count, .question = question};
    if (group.owner >= (uint32_t)c->size || mt_core_dead(c, (int)group.owner))
        c->ops->met(c->shell, question, MANTA_OBJECT_LOST, NULL, 0, 0);
    else mt_core_send(c, (int)group.owner, &m, sizeof m, NULL, 0);
    mt_core_settle(c);
}

void mt_core_unmeet(mt_core *c, manta_ref group, int member, uint64_t question) {
    mt_wire_meet m = {.wire.kind = MT_WIRE_UNMEET, .group = group, .member = (uint32_t)member, .question = question};
    if (group.owner < (uint32_t)c->size && !mt_core_dead(c, (int)group.owner)) mt_core_send(c, (int)group.owner, &m, sizeof m, NULL, 0);
    mt_core_settle(c);
}

void mt_directory_group_freed(mt_core *c, manta_ref group) {
    mt_meeting **at = find_meeting(c, group);
    if (!*at) return;
    if ((*at)->come) end_meeting(c, *at, MANTA_OBJECT_LOST);
    free_meeting(c, at);
}

// ---- a rank has died

void mt_directory_rank_dead(mt_core *c, int rank) {
    for (mt_name *n = c->names, *next; n; n = next) {
        next = n->next;
        if ((int)n->actor.owner == rank) drop_name(c, n);
    }
    // whoever waits for one of its members waits for nothing
    for (mt_meeting *m = c->meetings; m; m = m->next)
        for (uint32_t i = 0; i < m->count; i++)
            if (m->rank[i] == (uint32_t)rank) {
                m->rank[i] = UINT32_MAX;
                m->come--;
                end_meeting(c, m, MANTA_ACTOR_DIED);
            }
}

void mt_directory_fini(mt_core *c) {
    for (mt_meeting *m = c->meetings; m; m = m->next) free(m->rank), free(m->question);
}

void mt_core_visit_names(const mt_core *c, void (*visit)(void *context, manta_ref actor, const char *name), void *context) {
    for (const mt_name *n = c->names; n; n = n->next) visit(context, n->actor, n->name);
}
