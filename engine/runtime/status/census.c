// Asking, answering and gathering; census.h has the protocol. The lock is the node's.
#include "engine/runtime/status/census.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/clock.h"
#include "engine/base/futex.h"
#include "engine/runtime/node/node.h"

// On the asker's stack while it waits.
struct mt_census_wait {
    mt_census *census;
    uint64_t question;
    int missing;
    mt_bell bell;
};

_Static_assert(sizeof(mt_rank_entry) + MT_CENSUS_ACTORS_MAX * sizeof(mt_actor_entry) + sizeof(mt_wire_shell) <= MT_MESSAGE_BYTES_MAX, "one message");

// ---- what this rank says

typedef struct listing {
    mt_rank_entry *entry;
    mt_actor_entry *actors;   // room for MT_CENSUS_ACTORS_MAX
} listing;

static void list_actor(void *context, const mt_core_actor_info *info) {
    listing *l = context;
    if (l->entry->listed == MT_CENSUS_ACTORS_MAX) return;
    mt_actor_entry *a = &l->actors[l->entry->listed++];
    *a = (mt_actor_entry){.actor = info->actor, .class_number = info->class_number, .queued = info->queued, .running = info->running};
}

static void describe(mt_node *node, mt_rank_entry *entry, mt_actor_entry *actors) {
    listing l = {entry, actors};
    *entry = (mt_rank_entry){.pid = getpid()};
    if (gethostname(entry->host, sizeof entry->host - 1) != 0) strcpy(entry->host, "?");
    mt_core_stats_get(node->core, &entry->stats);
    mt_core_visit_actors(node->core, list_actor, &l);
}

void mt_census_answer(mt_node *node) {
    int asker = node->census_asker;
    node->census_asker = -1;
    size_t bytes = sizeof(mt_rank_entry) + MT_CENSUS_ACTORS_MAX * sizeof(mt_actor_entry);
    mt_rank_entry *entry = calloc(1, bytes);
    if (!entry || asker < 0) {   // no memory: who asks sees no answer, which is true enough
        free(entry);
        return;
    }
    describe(node, entry, (mt_actor_entry *)(entry + 1));
    mt_core_shell_send(node->core, asker, MT_TOPIC_CENSUS_ANSWER, node->census_question, entry, sizeof *entry + entry->listed * sizeof(mt_actor_entry));
    free(entry);
}

// ---- what others say

mt_status mt_census_decode(const void *data, size_t bytes, mt_rank_entry *entry, mt_actor_entry **actors) {
    *actors = NULL;
    if (bytes < sizeof *entry) return MT_FAIL(CORRUPT, "a rank's answer of %zu bytes is too short", bytes);
    memcpy(entry, data, sizeof *entry);
    entry->host[sizeof entry->host - 1] = '\0';
    if (entry->listed > MT_CENSUS_ACTORS_MAX || bytes != sizeof *entry + entry->listed * sizeof **actors)
        return MT_FAIL(CORRUPT, "a rank's answer of %zu bytes cannot list %u actors", bytes, entry->listed);
    if (entry->listed == 0) return MT_OK;
    *actors = malloc(entry->listed * sizeof **actors);
    if (!*actors) return MT_FAIL(NO_MEMORY, "out of memory for a list of %u actors", entry->listed);
    memcpy(*actors, (const char *)data + sizeof *entry, entry->listed * sizeof **actors);
    for (uint32_t i = 0; i < entry->listed; i++) (*actors)[i].name[MT_ACTOR_NAME_BYTES - 1] = '\0';
    return MT_OK;
}

static void one_less(mt_node *node, mt_census_wait *wait) {
    if (--wait->missing == 0) mt_node_ring(node, &wait->bell);
}

void mt_census_message(mt_node *node, int source, uint32_t topic, uint64_t question, const void *data, size_t bytes) {
    mt_census_wait *wait = node->census_wait;
    if (topic == MT_TOPIC_CENSUS_ASK) {
        node->census_asker = source, node->census_question = question;
        node->later = 1;
    } else if (topic == MT_TOPIC_CENSUS_ANSWER && wait && wait->question == question && wait->census->ranks[source].state == MT_RANK_SILENT) {
        mt_census_rank *r = &wait->census->ranks[source];
        if (mt_census_decode(data, bytes, &r->entry, &r->actors) != MT_OK) return;   // as good as none
        r->state = MT_RANK_ANSWERED;
        one_less(node, wait);
    }
}

void mt_census_rank_dead(mt_node *node, int rank) {
    mt_census_wait *wait = node->census_wait;
    if (!wait || wait->census->ranks[rank].state != MT_RANK_SILENT) return;
    wait->census->ranks[rank].state = MT_RANK_GONE;
    one_less(node, wait);
}

// ---- gathering

static mt_status describe_self(mt_node *node, mt_census_rank *self) {
    self->actors = calloc(MT_CENSUS_ACTORS_MAX, sizeof *self->actors);
    if (!self->actors) return MT_FAIL(NO_MEMORY, "out of memory for a list of actors");
    describe(node, &self->entry, self->actors);
    self->state = MT_RANK_ANSWERED;
    return MT_OK;
}

static void ask_all(mt_node *node, mt_census_wait *wait) {
    mt_census_rank *ranks = wait->census->ranks;
    wait->question = ++node->census_last;
    node->census_wait = wait;
    for (int r = 0; r < node->size; r++) {
        ranks[r].node = node->transport->node_of[r];
        if (r == node->rank) continue;
        if (node->rank_flags[r] & MT_RANK_DEAD) ranks[r].state = MT_RANK_GONE;
        else wait->missing++;
    }
    for (int r = 0; r < node->size; r++)
        if (r != node->rank && ranks[r].state == MT_RANK_SILENT) mt_core_shell_send(node->core, r, MT_TOPIC_CENSUS_ASK, wait->question, NULL, 0);
}

// ---- names: the head's to know, the ranks that host actors do not hear of them. Copied under the lock, looked up after it.

typedef struct name_list {
    size_t count, room;
    struct named { manta_ref actor; char name[MT_ACTOR_NAME_BYTES]; } *list;   // owned (count)
} name_list;

static void take_name(void *context, manta_ref actor, const char *name) {
    name_list *n = context;
    if (n->count == n->room) {
        size_t room = 2 * n->room + 16;
        struct named *list = realloc(n->list, room * sizeof *list);
        if (!list) return;   // it shows without its name
        n->list = list, n->room = room;
    }
    n->list[n->count].actor = actor;
    snprintf(n->list[n->count++].name, MT_ACTOR_NAME_BYTES, "%s", name);
}

static int by_ref(const void *a, const void *b) {
    const manta_ref *x = a, *y = b;   // the first member of both
    if (x->owner != y->owner) return x->owner < y->owner ? -1 : 1;
    if (x->slot != y->slot) return x->slot < y->slot ? -1 : 1;
    return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static void put_names(mt_census *census, name_list *names) {
    if (names->count) qsort(names->list, names->count, sizeof *names->list, by_ref);
    for (int r = 0; names->count && r < census->size; r++)
        for (uint32_t i = 0; i < census->ranks[r].entry.listed; i++) {
            mt_actor_entry *a = &census->ranks[r].actors[i];
            const struct named *found = bsearch(&a->actor, names->list, names->count, sizeof *names->list, by_ref);
            if (found) memcpy(a->name, found->name, sizeof a->name);
        }
    free(names->list);
}

mt_status mt_census_take(mt_node *node, int64_t deadline_ns, mt_census *out) {
    *out = (mt_census){.size = node->size, .names = node->desc.names, .program = node->program, .uptime_ns = mt_clock_ns() - node->began_ns};
    out->ranks = calloc((size_t)node->size, sizeof *out->ranks);
    if (!out->ranks) return MT_FAIL(NO_MEMORY, "out of memory for the state of %d ranks", node->size);
    mt_census_wait wait = {.census = out};
    mt_node_enter(node);
    mt_status status = node->census_wait ? MT_FAIL(EXISTS, "somebody else looks at the job in this moment") : describe_self(node, &out->ranks[node->rank]);
    int asked = status == MT_OK;
    if (asked) ask_all(node, &wait);
    int missing = wait.missing;
    mt_node_leave(node);
    // asleep, not polling: the background thread takes answers in, and whoever works is not disturbed
    if (asked && missing) mt_bell_sleep(&wait.bell, deadline_ns);
    mt_node_enter(node);
    name_list names = {0};
    if (asked) {
        node->census_wait = NULL;
        mt_core_visit_names(node->core, take_name, &names);
    }
    mt_node_leave(node);
    put_names(out, &names);
    if (status != MT_OK) mt_census_fini(out);
    return status;
}

void mt_census_cancel(mt_node *node) {
    mt_node_enter(node);
    if (node->census_wait) mt_node_ring(node, &node->census_wait->bell);
    mt_node_leave(node);
}

void mt_census_fini(mt_census *census) {
    for (int r = 0; census->ranks && r < census->size; r++) free(census->ranks[r].actors);
    free(census->ranks);
    *census = (mt_census){0};
}
