// See network.h. Called by the one thread of the simulator. Every decision is drawn from the network's own random numbers, in
// the order of the events, so that a seed decides them all.
#include "tests/simulator/network.h"

#include <stdlib.h>
#include <string.h>
#include "engine/runtime/wire.h"

void mt_sim_network_init(mt_sim_network *n, const mt_sim_network_desc *desc, mt_queue *queue) {
    size_t size = (size_t)desc->size;
    *n = (mt_sim_network){.desc = *desc, .queue = queue, .rng = mt_rng_at(desc->seed, mt_rng_stream(MT_RNG_USER, 1), 0)};
    n->lost = calloc(size, 1);
    n->lost_ns = calloc(size, sizeof *n->lost_ns);
    n->side = calloc(size, 1);
    MT_ASSERT(n->lost && n->lost_ns && n->side);
    if (desc->service_ns) MT_ASSERT(n->inbox = calloc(size, sizeof *n->inbox));
    n->mutate_at = -1;
    if (desc->mutation) {
        n->mutate_at = 2 + mt_rng_below(&n->rng, 3);
        MT_ASSERT(n->shift = calloc(size * size, sizeof *n->shift));
    }
}

void mt_sim_network_fini(mt_sim_network *n) {
    if (n->inbox)
        for (int r = 0; r < n->desc.size; r++)
            for (mt_packet *p = n->inbox[r].first, *next; p; p = next) next = p->next, free(p);
    free(n->shift), free(n->lost), free(n->lost_ns), free(n->side), free(n->inbox);
}

// ---- how long

static uint64_t mixed(uint64_t x) {
    x ^= x >> 30, x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27, x *= 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static int slow(const mt_sim_network *n, int rank) {
    if (!n->desc.slow_ranks) return 0;
    return mixed(n->desc.seed ^ (uint64_t)rank << 20) % (uint64_t)n->desc.size < (uint64_t)n->desc.slow_ranks;
}

static int64_t delay(mt_sim_network *n, int source, int target) {
    const mt_sim_network_desc *d = &n->desc;
    int64_t base = d->node_of[source] == d->node_of[target] ? d->near_ns : d->far_ns;
    if (d->jitter_ns) {
        base += (int64_t)(mixed(d->seed + (uint64_t)source * 1000003 + (uint64_t)target) % (uint64_t)(base + 1));
        base += (int64_t)(mt_rng_uniform(&n->rng) * (double)d->jitter_ns);
        if (d->strays > 0 && mt_rng_uniform(&n->rng) < d->strays)
            base += (int64_t)(mt_rng_uniform(&n->rng) * (double)d->stray_ns);
    }
    if (slow(n, source) || slow(n, target)) base *= 30;
    return base;
}

// ---- sending

static void post(mt_sim_network *n, int64_t at_ns, mt_packet *p) {
    int idle = p->kind == MT_WIRE_HEARTBEAT;
    mt_queue_push(n->queue, (mt_event){.at_ns = at_ns, .kind = MT_EVENT_MESSAGE, .rank = p->target, .idle = idle, .data = p});
}

static mt_packet *copy_of(const mt_packet *p) {
    mt_packet *copy = malloc(sizeof *p + p->bytes);
    MT_ASSERT(copy);
    memcpy(copy, p, sizeof *p + p->bytes);
    return copy;
}

// The message becomes one that says nothing, under the same number.
static void silence(mt_packet *p) {
    mt_wire_shell *m = (mt_wire_shell *)(void *)p->data;
    m->wire.kind = MT_WIRE_SHELL;
    m->topic = UINT32_MAX;
    m->bytes = (uint32_t)(p->bytes - sizeof *m);
}

static void mutate(mt_sim_network *n, int64_t now_ns, mt_packet *p) {
    static const int kinds[MT_MUTATIONS] = {[MT_MUTATE_DROP_RELEASE] = MT_WIRE_RELEASE, [MT_MUTATE_TWICE] = MT_WIRE_CALL,
        [MT_MUTATE_LOSE_DONE] = MT_WIRE_DONE, [MT_MUTATE_RELEASE_TWICE] = MT_WIRE_ADOPT, [MT_MUTATE_FREE_EARLY] = -1};
    uint32_t *shift = &n->shift[p->source * n->desc.size + p->target];
    ((mt_wire *)(void *)p->data)->sequence += *shift;
    if (p->kind != kinds[n->desc.mutation]) return;
    // once; objects that go too early are missed only when nobody wanted them any more, so all of them do
    if (n->desc.mutation != MT_MUTATE_RELEASE_TWICE && (n->mutate_at < 0 || n->mutate_at-- > 0)) return;
    switch (n->desc.mutation) {
    case MT_MUTATE_DROP_RELEASE:
    case MT_MUTATE_LOSE_DONE: silence(p); break;
    default: {
        mt_packet *again = copy_of(p);
        mt_wire *wire = (mt_wire *)(void *)again->data;
        wire->sequence++;
        if (n->desc.mutation == MT_MUTATE_RELEASE_TWICE) wire->kind = (uint16_t)(again->kind = MT_WIRE_RELEASE);
        ++*shift;
        post(n, now_ns + delay(n, p->source, p->target), again);
    }
    }
}

void mt_sim_network_send(mt_sim_network *n, int64_t now_ns, int source, int target, const mt_piece *pieces, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += pieces[i].bytes;
    MT_ASSERT(source != target && target >= 0 && target < n->desc.size);
    MT_ASSERT(bytes >= sizeof(mt_wire) && bytes <= MT_MESSAGE_BYTES_MAX);
    mt_packet *p = malloc(sizeof *p + bytes);
    MT_ASSERT(p);
    *p = (mt_packet){.source = source, .target = target, .sent_ns = now_ns, .bytes = bytes};
    for (size_t i = 0, at = 0; i < (size_t)count; at += pieces[i++].bytes)
        if (pieces[i].bytes) memcpy(p->data + at, pieces[i].data, pieces[i].bytes);
    p->kind = ((const mt_wire *)(const void *)p->data)->kind;
    n->sent++, n->bytes += bytes;
    if (p->kind < 64) n->of_kind[p->kind]++;
    if (n->desc.mutation) mutate(n, now_ns, p);

    int64_t at = now_ns + delay(n, source, target);
    if (n->desc.duplicates > 0 && mt_rng_uniform(&n->rng) < n->desc.duplicates) {
        int64_t later = at + (int64_t)(mt_rng_uniform(&n->rng) * (mt_rng_below(&n->rng, 4) ? 1e5 : 1e9));
        post(n, later, copy_of(p));
    }
    post(n, at, p);
}

// ---- arriving

// Of what a lost rank had sent, everything up to some moment arrives, for each receiver another one.
static int vanished(const mt_sim_network *n, const mt_packet *p) {
    if (!n->lost[p->source]) return 0;
    uint64_t draw = mixed(n->desc.seed ^ ((uint64_t)p->source << 32) ^ (uint64_t)p->target);
    return p->sent_ns > n->lost_ns[p->source] - (int64_t)(draw % 3 ? draw % 300000 : 0);
}

int mt_sim_network_arrive(mt_sim_network *n, int64_t now_ns, mt_packet *p) {
    if (now_ns < n->healed_ns && n->side[p->source] != n->side[p->target]) {
        post(n, n->healed_ns + delay(n, p->source, p->target), p);
        return 0;
    }
    if (n->lost[p->target] || vanished(n, p)) {
        free(p);
        return 0;
    }
    if (!n->inbox) return 1;
    mt_inbox *inbox = &n->inbox[p->target];
    if (!inbox->serving && inbox->free_ns <= now_ns) {
        inbox->free_ns = now_ns + n->desc.service_ns;
        return 1;
    }
    p->next = NULL;
    if (inbox->first) inbox->last->next = p;
    else inbox->first = p;
    inbox->last = p;
    if (!inbox->serving) {
        inbox->serving = 1;
        mt_queue_push(n->queue, (mt_event){.at_ns = inbox->free_ns, .kind = MT_EVENT_SERVED, .rank = p->target});
    }
    return 0;
}

mt_packet *mt_sim_network_served(mt_sim_network *n, int64_t now_ns, int rank) {
    mt_inbox *inbox = &n->inbox[rank];
    mt_packet *p = inbox->first;
    MT_ASSERT(p);
    inbox->first = p->next;
    inbox->free_ns = now_ns + n->desc.service_ns;
    inbox->serving = inbox->first != NULL;
    if (inbox->serving) mt_queue_push(n->queue, (mt_event){.at_ns = inbox->free_ns, .kind = MT_EVENT_SERVED, .rank = rank});
    return p;
}

void mt_sim_network_lose(mt_sim_network *n, int64_t now_ns, int rank) { n->lost[rank] = 1, n->lost_ns[rank] = now_ns; }

void mt_sim_network_partition(mt_sim_network *n, const unsigned char *side, int64_t until_ns) {
    memcpy(n->side, side, (size_t)n->desc.size);
    n->healed_ns = until_ns;
}
