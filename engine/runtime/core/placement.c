// Placement groups: bundles of resources, reserved together or not at all.
//
//     asker ──GROUP_PLACE──▶ head: chooses ranks ──GROUP_RESERVE──▶ ranks ──GROUP_VOTE──▶ head
//     head:  WAITING ──choice──▶ RESERVING ──all yes──▶ PLACED ──GROUP_REMOVE──▶ gone
//                ▲                  └──a no: GROUP_UNDO, another choice without that rank; none: WAITING
//                └── FREED by a rank that had said no, a group removed, 50 ms (and longer while that changes nothing)
//
// The head chooses by what groups have reserved, which it knows exactly; what tasks use at the moment only the rank knows, hence
// the vote. On a rank a bundle is a purse of its own: calls of the group are paid from it.
#include "engine/runtime/core/state.h"

#include <stdio.h>
#include <stdlib.h>

enum { RETRY_NS = 50 * 1000 * 1000, RETRY_MOST_NS = 800 * 1000 * 1000, BUNDLES_MAX = 512 };

typedef enum group_state { WAITING, RESERVING, PLACED } group_state;
enum { ASKED, YES, NO };   // a bundle's vote

typedef struct mt_group {
    manta_ref ref;
    uint8_t state, removed;
    uint32_t strategy, count, votes_left, refusals;
    uint64_t attempt;
    mt_resources *bundle;    // (count), in this block
    int32_t *rank;           // (count)
    uint8_t *vote;           // (count)
    mt_ranks refused;        // said no since the last wait
    size_t bytes;
    struct mt_group *next, **previous;
} mt_group;

// ---- choosing (head)

typedef struct choice {
    const mt_core *core;
    const mt_group *group;
    mt_resources *left;      // (size), taken from as bundles find their place
    uint32_t *on_rank;       // (size): bundles so far
    int32_t *rank;           // (count) out
    int nodes;
} choice;

static uint32_t on_node(const choice *x, int node) {
    uint32_t n = 0;
    for (int r = 0; r < x->core->size; r++)
        if (x->core->desc.node_of[r] == node) n += x->on_rank[r];
    return n;
}

// On this host: the rank with the fewest bundles when spreading, else the first that fits.
static int place_on_node(choice *x, uint32_t b, int node, int spread) {
    int best = -1;
    for (int r = 0; r < x->core->size; r++) {
        if (x->core->desc.node_of[r] != node || mt_core_dead(x->core, r) || mt_ranks_has(&x->group->refused, (uint32_t)r)) continue;
        if (!mt_resources_fit(&x->group->bundle[b], &x->left[r])) continue;
        if (best < 0 || (spread && x->on_rank[r] < x->on_rank[best])) best = r;
        if (!spread) break;
    }
    if (best < 0) return 0;
    mt_resources_subtract(&x->left[best], &x->group->bundle[b]);
    x->on_rank[best]++;
    x->rank[b] = best;
    return 1;
}

static void start_over(choice *x, const mt_resources *have) {
    memcpy(x->left, have, sizeof *have * (size_t)x->core->size);
    memset(x->on_rank, 0, sizeof *x->on_rank * (size_t)x->core->size);
}

static int pack_on_one(choice *x, const mt_resources *have) {
    for (int node = 0; node < x->nodes; node++) {
        uint32_t b = 0;
        start_over(x, have);
        while (b < x->group->count && place_on_node(x, b, node, 0)) b++;
        if (b == x->group->count) return 1;
    }
    return 0;
}

static int pack(choice *x, const mt_resources *have) {
    if (pack_on_one(x, have)) return 1;
    start_over(x, have);
    for (uint32_t b = 0; b < x->group->count; b++) {
        int placed = 0;
        // hosts that have some already come first
        for (int used = 1; used >= 0 && !placed; used--)
            for (int node = 0; node < x->nodes && !placed; node++)
                if ((on_node(x, node) > 0) == used) placed = place_on_node(x, b, node, 0);
        if (!placed) return 0;
    }
    return 1;
}

static int spread(choice *x, const mt_resources *have, int strict) {
    start_over(x, have);
    for (uint32_t b = 0; b < x->group->count; b++) {
        int placed = 0;
        // fewest bundles first
        for (uint32_t level = 0; level <= (strict ? 0 : x->group->count) && !placed; level++)
            for (int node = 0; node < x->nodes && !placed; node++)
                if (on_node(x, node) == level) placed = place_on_node(x, b, node, 1);
        if (!placed) return 0;
    }
    return 1;
}

static int choose(const mt_core *c, mt_group *g, const mt_resources *have) {
    choice x = {.core = c, .group = g, .rank = g->rank};
    for (int r = 0; r < c->size; r++)
        if (c->desc.node_of[r] >= x.nodes) x.nodes = c->desc.node_of[r] + 1;
    x.left = malloc(sizeof *x.left * (size_t)c->size), x.on_rank = malloc(sizeof *x.on_rank * (size_t)c->size);
    int found = 0;
    if (x.left && x.on_rank) switch (g->strategy) {
        case MANTA_STRICT_PACK: found = pack_on_one(&x, have); break;
        case MANTA_STRICT_SPREAD: found = spread(&x, have, 1); break;
        case MANTA_SPREAD: found = spread(&x, have, 0); break;
        default: found = pack(&x, have); break;
        }
    free(x.left);
    free(x.on_rank);
    return found;
}

// ---- head

static mt_group *find_group(const mt_core *c, manta_ref ref) {
    return mt_map_get(&c->group_map, mt_ref_key(ref), ref.serial);
}

static void forget_group(mt_core *c, mt_group *g) {
    *g->previous = g->next;
    if (g->next) g->next->previous = g->previous;
    mt_map_remove(&c->group_map, mt_ref_key(g->ref), g->ref.serial);
    mt_ranks_fini(&g->refused);
    mt_give(c, g, g->bytes);
}

static void send_bundle(mt_core *c, int rank, int kind, const mt_group *g, uint32_t b) {
    mt_wire_bundle m = {.wire.kind = (uint16_t)kind, .group = g->ref, .bundle = b, .attempt = g->attempt, .resources = g->bundle[b]};
    mt_core_send(c, rank, &m, sizeof m, NULL, 0);
}

static void answer_asker(mt_core *c, const mt_group *g, int code, const char *text) {
    mt_wire_place_group m = {.wire.kind = MT_WIRE_GROUP_PLACED, .group = g->ref, .strategy = g->strategy, .count = g->count, .code = code,
        .text_bytes = (uint32_t)strlen(text)};
    mt_piece piece = code == MANTA_OK ? (mt_piece){g->rank, sizeof *g->rank * g->count} : (mt_piece){text, m.text_bytes};
    mt_core_send(c, (int)g->ref.owner, &m, sizeof m, &piece, 1);
}

static void give_up_reservations(mt_core *c, mt_group *g) {
    for (uint32_t b = 0; b < g->count; b++) {
        if (g->vote[b] != YES) continue;
        g->vote[b] = ASKED;
        mt_resources_add(&c->group_free[g->rank[b]], &g->bundle[b]);
        if (!mt_core_dead(c, g->rank[b])) send_bundle(c, g->rank[b], MT_WIRE_GROUP_UNDO, g, b);
    }
}

static void try_group(mt_core *c, mt_group *g) {
    if (!choose(c, g, c->group_free)) {
        c->groups_waiting++;
        g->state = WAITING;
        g->refused.count = 0;
        return;
    }
    g->state = RESERVING, g->votes_left = g->count, g->refusals = 0;
    g->attempt = ++c->next_attempt;
    memset(g->vote, ASKED, g->count);
    for (uint32_t b = 0; b < g->count; b++) send_bundle(c, g->rank[b], MT_WIRE_GROUP_RESERVE, g, b);
}

static void try_waiting(mt_core *c) {
    if (!c->groups_waiting) return;
    c->groups_waiting = 0;
    c->groups_tried_ns = c->now_ns;
    for (mt_group *g = c->groups, *next; g; g = next) {
        next = g->next;
        if (g->state == WAITING) try_group(c, g);
    }
}

static int bundles_in_range(const mt_group *g) {
    for (uint32_t b = 0; b < g->count; b++)
        if (!mt_resources_in_range(&g->bundle[b])) return 0;
    return 1;
}

void mt_placement_on_group(mt_core *c, int source, const mt_wire_place_group *m, size_t bytes) {
    if (c->rank != MT_HEAD || (int)m->group.owner != source || find_group(c, m->group) || m->count == 0 || m->count > BUNDLES_MAX ||
        bytes < sizeof *m + sizeof(mt_resources) * m->count)
        return;
    if (!c->group_free) {
        c->group_free = malloc(sizeof *c->group_free * (size_t)c->size);
        MT_ASSERT(c->group_free);
        memcpy(c->group_free, c->desc.totals, sizeof *c->group_free * (size_t)c->size);
    }
    size_t block = sizeof(mt_group) + (sizeof(mt_resources) + sizeof(int32_t) + 1) * m->count;
    mt_group *g = mt_take(c, block);
    g->bytes = block, g->ref = m->group, g->strategy = m->strategy, g->count = m->count;
    g->bundle = (mt_resources *)(g + 1), g->rank = (int32_t *)(g->bundle + g->count), g->vote = (uint8_t *)(g->rank + g->count);
    memcpy(g->bundle, m + 1, sizeof *g->bundle * g->count);
    g->next = c->groups, g->previous = &c->groups;
    if (c->groups) c->groups->previous = &g->next;
    c->groups = g;
    mt_map_put(&c->group_map, mt_ref_key(g->ref), g->ref.serial, g);
    if (!bundles_in_range(g)) {
        answer_asker(c, g, MANTA_INTERNAL, "its bundles arrived in a form that cannot be read");
        forget_group(c, g);
        return;
    }
    if (!choose(c, g, c->desc.totals)) {
        char text[200];
        static const char *const names[] = {"PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"};
        snprintf(text, sizeof text, "%u bundles cannot be placed by %s on this cluster even when it is empty (%d ranks); ask for less, or for another strategy",
            g->count, names[g->strategy & 3], c->size);
        answer_asker(c, g, MANTA_INFEASIBLE, text);
        forget_group(c, g);
        return;
    }
    try_group(c, g);
}

static void votes_are_in(mt_core *c, mt_group *g) {
    if (g->removed || g->refusals) {
        give_up_reservations(c, g);
        if (g->removed) {
            forget_group(c, g);
            try_waiting(c);
        } else try_group(c, g);   // others wait for their own turn: two that refuse each other would go round and round
        return;
    }
    g->state = PLACED;
    answer_asker(c, g, MANTA_OK, "");
}

static void count_vote(mt_core *c, mt_group *g, uint32_t b, int yes) {
    g->vote[b] = yes ? YES : NO;
    if (yes) {
        mt_resources_subtract(&c->group_free[g->rank[b]], &g->bundle[b]);
    } else {
        g->refusals++;
        if (!mt_ranks_has(&g->refused, (uint32_t)g->rank[b])) mt_ranks_add(&g->refused, (uint32_t)g->rank[b]);
    }
    if (--g->votes_left == 0) votes_are_in(c, g);
}

void mt_placement_on_vote(mt_core *c, int source, const mt_wire_bundle *m) {
    mt_group *g = find_group(c, m->group);
    if (!g || g->state != RESERVING || g->attempt != m->attempt || m->bundle >= g->count || g->rank[m->bundle] != source || g->vote[m->bundle] != ASKED)
        return;
    count_vote(c, g, m->bundle, m->argument != 0);
}

void mt_placement_on_remove(mt_core *c, manta_ref ref) {
    mt_group *g = find_group(c, ref);
    if (!g) return;
    g->removed = 1;
    if (g->state == RESERVING) return;   // when the votes are in
    give_up_reservations(c, g);
    forget_group(c, g);
    try_waiting(c);
}

void mt_placement_on_freed(mt_core *c, int source) {
    (void)source;
    c->groups_retry_ns = RETRY_NS;
    try_waiting(c);
}

void mt_placement_tick(mt_core *c) {
    if (!c->groups_waiting) c->groups_retry_ns = RETRY_NS;
    else if (c->now_ns - c->groups_tried_ns >= c->groups_retry_ns) {
        if (c->groups_retry_ns < RETRY_MOST_NS) c->groups_retry_ns *= 2;
        try_waiting(c);
    }
}

void mt_placement_fini(mt_core *c) {
    for (mt_group *g = c->groups; g; g = g->next) mt_ranks_fini(&g->refused);
    free(c->group_free);
}

// ---- a rank

mt_reserved *mt_placement_find(const mt_core *c, manta_ref group, int bundle) {
    for (mt_reserved *r = c->reserved; r; r = r->next)
        if (mt_ref_same(r->group, group) && (int)r->bundle == bundle) return r;
    return NULL;
}

void mt_placement_on_reserve(mt_core *c, int source, const mt_wire_bundle *m) {
    mt_wire_bundle vote = *m;
    vote.wire = (mt_wire){.kind = MT_WIRE_GROUP_VOTE};
    vote.argument = mt_resources_in_range(&m->resources) && mt_resources_fit(&m->resources, &c->available);
    if (vote.argument) {
        mt_reserved *r = mt_take(c, sizeof *r);
        *r = (mt_reserved){.group = m->group, .bundle = m->bundle, .total = m->resources, .available = m->resources, .next = c->reserved};
        c->reserved = r;
        mt_resources_subtract(&c->available, &m->resources);
    } else c->head_waits = 1;
    mt_core_send(c, source, &vote, sizeof vote, NULL, 0);
}

void mt_placement_returned(mt_core *c, mt_reserved *r) {
    if (!r->removing || memcmp(&r->available, &r->total, sizeof r->total) != 0) return;
    for (mt_reserved **at = &c->reserved; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    mt_resources_add(&c->available, &r->total);
    mt_give(c, r, sizeof *r);
}

void mt_placement_on_undo(mt_core *c, const mt_wire_bundle *m) {
    mt_reserved *r = mt_placement_find(c, m->group, (int)m->bundle);
    if (!r) return;
    r->removing = 1;
    // the head knows what it undoes; only what a call gives back later is news to it
    uint8_t head_waits = c->head_waits;
    c->head_waits = 0;
    mt_placement_returned(c, r);
    mt_run_resources_back(c);
    c->head_waits |= head_waits;
}

// ---- the asker

manta_ref mt_core_place_group(mt_core *c, const mt_resources *bundles, int count, int strategy) {
    mt_object *o = mt_object_new(c, 0);
    manta_ref ref = o->ref;
    if (count <= 0 || count > BUNDLES_MAX) {
        char text[96];
        snprintf(text, sizeof text, "a placement group has 1 to %d bundles, not %d", BUNDLES_MAX, count);
        mt_object_set_error(c, o, MANTA_INVALID, c->rank, text);
    } else {
        mt_wire_place_group m = {.wire.kind = MT_WIRE_GROUP_PLACE, .group = ref, .strategy = (uint32_t)strategy, .count = (uint32_t)count};
        o->is_group = 1;
        mt_core_send(c, MT_HEAD, &m, sizeof m, &(mt_piece){bundles, sizeof *bundles * (size_t)count}, 1);
    }
    mt_core_settle(c);
    return ref;
}

void mt_placement_on_placed(mt_core *c, const mt_wire_place_group *m, size_t bytes) {
    mt_object *o = mt_object_find(c, m->group);
    size_t rest = bytes - sizeof *m;
    if (!o || !o->owned || o->state != MT_STATE_PENDING) return;   // removed meanwhile: the head has been told
    if (m->code != MANTA_OK) {
        char text[512];
        snprintf(text, sizeof text, "%.*s", (int)(m->text_bytes < rest ? m->text_bytes : rest), (const char *)(m + 1));
        o->is_group = 0;
        mt_object_set_error(c, o, mt_failure_code(m->code), MT_HEAD, text);
        return;
    }
    manta_arg ranks = {.value = {.type = MANTA_TYPE_U32, .ndim = 1, .shape = {m->count}, .data = m + 1, .bytes = sizeof(uint32_t) * m->count}};
    if (m->count > BUNDLES_MAX || ranks.value.bytes > rest) return;
    _Alignas(16) uint8_t encoded[sizeof(uint32_t) * BUNDLES_MAX + 64];
    mt_value_encode(&ranks, encoded);
    mt_object_set_value(c, o, encoded, mt_value_encoded_bytes(&ranks));
}

int mt_placement_rank_of(const mt_core *c, manta_ref group, int bundle, uint32_t *count) {
    mt_object *o = mt_object_find(c, group);
    mt_value v;
    size_t used;
    if (!o || o->state != MT_STATE_READY || mt_value_decode(o->encoded, o->encoded_bytes, &v, &used) != MT_OK ||
        v.head->form != MT_VALUE_INLINE || v.head->type != MANTA_TYPE_U32)
        return -1;
    uint32_t n = (uint32_t)(v.head->bytes / sizeof(uint32_t)), rank;
    if (count) *count = n;
    if (bundle < 0 || (uint32_t)bundle >= n) return -1;
    memcpy(&rank, (const uint32_t *)v.payload + bundle, sizeof rank);
    return rank < (uint32_t)c->size ? (int)rank : -1;
}

void mt_core_remove_group(mt_core *c, manta_ref group) {
    mt_object *o = mt_object_find(c, group);
    if (o && o->owned && o->is_group) {
        o->is_group = 0;
        mt_core_send_ref(c, MT_HEAD, MT_WIRE_GROUP_REMOVE, group, 0);
        if (o->state != MT_STATE_FAILED) mt_object_set_error(c, o, MANTA_NOT_FOUND, c->rank, "the placement group was removed");
    }
    mt_core_settle(c);
}

// ---- a rank has died

// An outstanding vote of that rank is a no. 1: one was found (and its group may be gone).
static int vote_for_the_dead(mt_core *c, int rank) {
    for (mt_group *g = c->groups; g; g = g->next)
        for (uint32_t b = 0; b < g->count && g->state == RESERVING; b++)
            if (g->rank[b] == rank && g->vote[b] == ASKED) {
                count_vote(c, g, b, 0);
                return 1;
            }
    return 0;
}

void mt_placement_rank_dead(mt_core *c, int rank) {
    if (c->rank != MT_HEAD) return;
    for (mt_group *g = c->groups; g;) {
        int orphan = (int)g->ref.owner == rank && !g->removed;
        if (orphan) mt_placement_on_remove(c, g->ref);
        g = orphan ? c->groups : g->next;
    }
    while (vote_for_the_dead(c, rank)) {}
}
