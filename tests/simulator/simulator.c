// See simulator.h: draws what a seed is like, takes events one after the other, lets ranks die, and judges when it is quiet.
#include "tests/simulator/simulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/runtime/wire.h"
#include "tests/simulator/body.h"
#include "tests/simulator/workload.h"

enum { EVENTS_MOST = 2000000, EVENTS_A_TASK = 10000 };

// ---- what a seed is like

static int drawn(int given, int value) { return given == MT_DRAWN ? value : given; }

static void draw_desc(mt_sim_desc *d, mt_rng *r) {
    // always as many draws, so that a number given by hand leaves the others as they are
    static const int sizes[] = {2, 2, 3, 3, 4, 4, 5, 6, 8, 8, 12, 16, 24, 32, 48, 64};
    int ranks = sizes[mt_rng_below(r, 16)];
    uint32_t nodes = mt_rng_u32(r), deaths = mt_rng_below(r, 2) ? 0 : 1 + mt_rng_below(r, 3);
    uint32_t partitions = mt_rng_below(r, 4) ? 0 : 1 + mt_rng_below(r, 2), tasks = 40 + mt_rng_below(r, 200);
    double duplicates = mt_rng_below(r, 2) ? 0 : 1 + mt_rng_below(r, 20);
    d->ranks = drawn(d->ranks, ranks);
    d->nodes = drawn(d->nodes, 1 + (int)(nodes % (uint32_t)d->ranks));
    if (d->nodes > d->ranks) d->nodes = d->ranks;
    d->deaths = drawn(d->deaths, (int)deaths);
    if (d->deaths > d->ranks - 1) d->deaths = d->ranks - 1;
    d->partitions = drawn(d->partitions, d->ranks > 1 ? (int)partitions : 0);
    d->tasks = drawn(d->tasks, (int)tasks);
    if (d->duplicates < 0) d->duplicates = duplicates;
    // drawn apart, so that seeds are what they were before these were thought of
    mt_rng later = mt_rng_at(d->seed, mt_rng_stream(MT_RNG_USER, 5), 0);
    uint32_t stalls = mt_rng_below(&later, 4) ? 0 : 1 + mt_rng_below(&later, 4), head = mt_rng_below(&later, 24) == 0;
    d->stalls = drawn(d->stalls, (int)stalls);
    d->head = drawn(d->head, (int)head);
}

static void draw_mood(mt_mood *m, mt_rng *r) {
    static const int64_t thinks[] = {5000, 50000, 500000, 3000000};
    m->scarce = mt_rng_below(r, 5) == 0;
    m->tight = mt_rng_below(r, 4) == 0;
    m->spill = mt_rng_below(r, 4) > 0;
    m->disk_failures = mt_rng_below(r, 4) ? 0 : 0.2;
    m->heap_bytes = m->tight ? (uint64_t)(1 + mt_rng_below(r, 6)) * 128 * 1024 : 64 << 20;
    int fast = mt_rng_below(r, 2) == 0;
    m->heartbeat_ns = fast ? 100000000 : 1000000000;
    m->suspect_ns = 5 * m->heartbeat_ns, m->dead_ns = 15 * m->heartbeat_ns;
    m->steps_most = 6 + (int)mt_rng_below(r, 30);
    m->depth_most = 1 + (int)mt_rng_below(r, 4);
    m->fan_most = 1 + (int)mt_rng_below(r, 6);
    m->large = mt_rng_below(r, 3) ? 0.15 : 0.6;
    m->failing = mt_rng_below(r, 3) ? 0.03 : 0;
    m->cancelling = mt_rng_below(r, 3) ? 0.6 : 0;
    m->killing = mt_rng_below(r, 3) ? 0.5 : 0;
    m->think_ns = thinks[mt_rng_below(r, 4)];
    mt_workload_weights(r, m->weights);
    if (m->tight) m->large = 0.6;
}

static void draw_resources(mt_simulator *sim, mt_rng *r) {
    mt_resource_names_init(&sim->names);
    int number;
    MT_ASSERT(mt_resource_add(&sim->names, "slot", &number) == MT_OK && number == MT_RESOURCE_CUSTOM);
    MT_ASSERT(mt_resource_add(&sim->names, "unobtainable", &number) == MT_OK);
    sim->node_of = calloc((size_t)sim->size, sizeof *sim->node_of);
    sim->totals = calloc((size_t)sim->size, sizeof *sim->totals);
    MT_ASSERT(sim->node_of && sim->totals);
    for (int i = 0; i < sim->size; i++) {
        int64_t *a = sim->totals[i].amount;
        sim->node_of[i] = (int)((int64_t)i * sim->desc.nodes / sim->size);
        a[MT_RESOURCE_CPU] = (1 + (int64_t)mt_rng_below(r, 4)) * MT_RESOURCE_UNIT;
        a[MT_RESOURCE_GPU] = (mt_rng_below(r, 2) ? 0 : (int64_t)mt_rng_below(r, 4)) * MT_RESOURCE_UNIT;
        a[MT_RESOURCE_MEMORY] = 1 << 30;
        a[MT_RESOURCE_CUSTOM] = (int64_t)mt_rng_below(r, 5) * MT_RESOURCE_UNIT;
        if (sim->watch) sim->totals[i] = sim->alike;
    }
}

// ---- beginning and ending

void mt_simulator_init(mt_simulator *sim, const mt_sim_desc *desc) {
    int watched = sim->watch != NULL;
    sim->desc = *desc;
    mt_rng draws = mt_rng_at(desc->seed, mt_rng_stream(MT_RNG_USER, 2), 0);
    sim->rng = mt_rng_at(desc->seed, mt_rng_stream(MT_RNG_USER, 3), 0);
    draw_desc(&sim->desc, &draws);
    sim->size = sim->desc.ranks;
    if (!watched) draw_mood(&sim->mood, &draws);
    if (sim->desc.mutation == MT_MUTATE_FREE_EARLY) sim->mood.large = 0.8;
    sim->mood.eager = sim->desc.stalls > 0 && desc->seed % 2;
    draw_resources(sim, &draws);
    sim->calls_left = sim->desc.tasks;

    mt_sim_network_desc network = {.size = sim->size, .node_of = sim->node_of, .seed = desc->seed * 7 + 1,
        .duplicates = sim->desc.duplicates / 100, .near_ns = 500, .far_ns = 3000, .mutation = sim->desc.mutation};
    if (watched) {
        network.near_ns = 1000, network.far_ns = 5000, network.service_ns = 300;
    } else {
        static const int64_t jitters[] = {1000, 20000, 400000};
        network.jitter_ns = jitters[mt_rng_below(&draws, 3)];
        network.strays = mt_rng_below(&draws, 2) ? 0.02 : 0;
        network.stray_ns = sim->mood.dead_ns / 200;
        network.slow_ranks = mt_rng_below(&draws, 3) ? 0 : (int)mt_rng_below(&draws, (uint32_t)(sim->size / 4 + 1));
    }
    mt_sim_network_init(&sim->network, &network, &sim->queue);
    mt_ledger_init(&sim->ledger, sim->size, sim->node_of, sim->totals);
    sim->ledger.tight = sim->mood.tight;
    sim->hosts = calloc((size_t)sim->size, sizeof *sim->hosts);
    MT_ASSERT(sim->hosts);
    for (int r = 0; r < sim->size; r++) {
        MT_ASSERT(mt_host_init(&sim->hosts[r], sim, r) == MT_OK);
        mt_queue_push(&sim->queue, (mt_event){.at_ns = watched ? 0 : mt_rng_below(&sim->rng, 1000000), .kind = MT_EVENT_TICK, .rank = r, .idle = 1});
    }
}

static void drop_event(const mt_event *e) {
    switch (e->kind) {
    case MT_EVENT_MESSAGE:
    case MT_EVENT_SPILLED:
    case MT_EVENT_RESTORED:
    case MT_EVENT_NAMED:
    case MT_EVENT_MET: free(e->data); break;
    case MT_EVENT_START:
    case MT_EVENT_STEP:
    case MT_EVENT_WAKE:
    case MT_EVENT_DEADLINE: mt_body_event(e); break;
    default: break;
    }
}

void mt_simulator_fini(mt_simulator *sim) {
    mt_event e;
    for (int r = 0; r < sim->size; r++) mt_body_rank_gone(&sim->hosts[r]);
    while (mt_queue_pop(&sim->queue, &e))
        if (!sim->watch || e.kind == MT_EVENT_MESSAGE) drop_event(&e);
    for (int r = 0; r < sim->size; r++) mt_host_fini(&sim->hosts[r]);
    mt_sim_network_fini(&sim->network);
    mt_ledger_fini(&sim->ledger);
    mt_queue_fini(&sim->queue);
    free(sim->hosts), free(sim->node_of), free(sim->totals);
}

// ---- events

int64_t mt_simulator_random_ns(mt_simulator *sim, int64_t most_ns) { return (int64_t)(mt_rng_uniform(&sim->rng) * (double)most_ns); }

void mt_simulator_post(mt_simulator *sim, int64_t after_ns, int kind, int rank, uint64_t number, void *data) {
    mt_queue_push(&sim->queue, (mt_event){.at_ns = sim->now_ns + after_ns, .kind = kind, .rank = rank, .number = number, .data = data});
}

void mt_simulator_kill(mt_simulator *sim, int rank) {
    mt_host *h = &sim->hosts[rank];
    if (!h->alive) return;
    sim->deaths++;
    sim->ledger.deaths++;
    mt_ledger_rank_gone(&sim->ledger, rank);
    mt_sim_network_lose(&sim->network, sim->now_ns, rank);
    mt_host_end(h);
    // some see it at once, some never by themselves
    int seen = mt_rng_below(&sim->rng, 5) < 3;
    for (int r = 0; r < sim->size; r++)
        if (seen && r != rank && mt_rng_below(&sim->rng, 3) == 0)
            mt_simulator_post(sim, mt_simulator_random_ns(sim, 100000000), MT_EVENT_GONE, r, (uint64_t)rank, NULL);
}

static void partition(mt_simulator *sim, int many) {
    unsigned char *side = calloc((size_t)sim->size, 1);
    MT_ASSERT(side);
    int lasting = mt_rng_below(&sim->rng, 4) == 0;
    double part = lasting ? 1.3 + mt_rng_uniform(&sim->rng) : 0.5 * mt_rng_uniform(&sim->rng);
    // a second one while the first lasts would make it longer than it was meant
    if (sim->now_ns < sim->network.healed_ns + 3 * sim->mood.heartbeat_ns || sim->now_ns < sim->stalled_ns + 3 * sim->mood.heartbeat_ns) many = 0;
    for (int i = 0; i < many; i++) side[1 + mt_rng_below(&sim->rng, (uint32_t)sim->size - 1)] = 1;
    if (many && lasting) {
        // whoever is cut off for so long is declared dead: from now on nobody relies on it
        sim->ledger.partitions++;
        for (int r = 0; r < sim->size; r++) sim->ledger.suspect[r] |= side[r];
    }
    if (many) mt_sim_network_partition(&sim->network, side, sim->now_ns + (int64_t)(part * (double)sim->mood.dead_ns));
    free(side);
}

static void trace(const mt_simulator *sim, const mt_event *e) {
    // in the order of mt_event_kind
    static const char *const kinds[] = {"message", "served", "tick", "start", "step", "wake", "deadline", "spilled", "restored", "destroy",
        "named", "met", "fenced", "gone", "death", "partition", "stall"};
    if (e->idle) return;
    printf("%.9f  %-9s", (double)sim->now_ns * 1e-9, kinds[e->kind]);
    if (e->kind == MT_EVENT_MESSAGE) {
        const mt_packet *p = e->data;
        const mt_wire *w = (const void *)p->data;
        printf(" %d → %d  %u %s", p->source, p->target, w->sequence, mt_wire_name_of(w->kind));
        if (w->kind == MT_WIRE_CALL || w->kind == MT_WIRE_DONE || w->kind == MT_WIRE_KEPT || w->kind == MT_WIRE_RETURNED || w->kind == MT_WIRE_CANCEL) {
            uint64_t task = ((const mt_wire_task *)w)->task;
            printf(" task %llu.%llu", (unsigned long long)(task >> 32), (unsigned long long)(task & UINT32_MAX));
            if (w->kind == MT_WIRE_DONE) printf(" code %d", ((const mt_wire_done *)w)->code);
        } else if (p->bytes >= sizeof(mt_wire_ref)) {
            const mt_wire_ref *m = (const void *)w;
            printf(" (%u, %u, %llu) %llu", m->ref.owner, m->ref.slot, (unsigned long long)m->ref.serial, (unsigned long long)m->argument);
            if (w->kind == MT_WIRE_VALUE)
                printf(" state %u adopted %u", ((const mt_wire_value *)w)->state, ((const mt_wire_value *)w)->adopted);
        }
    } else {
        printf(" rank %d", e->rank);
        if (e->kind >= MT_EVENT_START && e->kind <= MT_EVENT_DEADLINE) printf(" plan %d", ((const mt_body *)e->data)->plan);
        else printf(" %llu", (unsigned long long)e->number);
    }
    printf("\n");
    fflush(stdout);
}

int mt_simulator_next(mt_simulator *sim) {
    mt_event e;
    if (!mt_queue_pop(&sim->queue, &e)) return 0;
    MT_ASSERT(e.at_ns >= sim->now_ns);
    sim->now_ns = e.at_ns;
    sim->events++;
    if (sim->desc.verbose > 1) trace(sim, &e);
    mt_host *h = &sim->hosts[e.rank];
    uint64_t what = (uint64_t)e.kind << 32 | (uint32_t)e.rank;
    if (e.kind == MT_EVENT_MESSAGE) what ^= (uint64_t)((mt_packet *)e.data)->bytes << 40 ^ (uint64_t)((mt_packet *)e.data)->kind << 24;
    sim->digest = mt_content_seed(sim->digest ^ (uint64_t)e.at_ns, what);
    if (h->stalled_ns > sim->now_ns && e.kind != MT_EVENT_DEATH && e.kind != MT_EVENT_PARTITION && e.kind != MT_EVENT_STALL) {
        e.at_ns = h->stalled_ns;
        mt_queue_push(&sim->queue, e);
        return 1;
    }
    switch (e.kind) {
    case MT_EVENT_MESSAGE:
        if (mt_sim_network_arrive(&sim->network, sim->now_ns, e.data)) mt_host_event(h, &e);
        break;
    case MT_EVENT_SERVED:
        e.data = mt_sim_network_served(&sim->network, sim->now_ns, e.rank);
        mt_host_event(h, &e);
        break;
    case MT_EVENT_START:
    case MT_EVENT_STEP:
    case MT_EVENT_WAKE:
    case MT_EVENT_DEADLINE: mt_body_event(&e); break;
    case MT_EVENT_DEATH: mt_simulator_kill(sim, e.rank); break;
    case MT_EVENT_PARTITION: partition(sim, (int)e.number); break;
    case MT_EVENT_STALL:
        // shorter than what would be taken for death, and one trouble at a time
        if (sim->now_ns < sim->network.healed_ns + 3 * sim->mood.heartbeat_ns || sim->now_ns < sim->stalled_ns + 3 * sim->mood.heartbeat_ns) break;
        sim->stalled_ns = h->stalled_ns = sim->now_ns + mt_simulator_random_ns(sim, sim->mood.dead_ns / 2);
        break;
    default: mt_host_event(h, &e); break;
    }
    return 1;
}

// ---- a whole run

static void plan_faults(mt_simulator *sim) {
    for (int i = 0; i < sim->desc.deaths; i++) {
        // between a microsecond and seconds: most of them while the job is busy
        double power = 4 + 5 * mt_rng_uniform(&sim->rng);
        int64_t at = 1;
        for (double x = 1; x < power; x += 1) at *= 10;
        at = (int64_t)((double)at * (1 + 9 * mt_rng_uniform(&sim->rng)));
        mt_simulator_post(sim, at, MT_EVENT_DEATH, 1 + (int)mt_rng_below(&sim->rng, (uint32_t)sim->size - 1), 0, NULL);
    }
    mt_rng later = mt_rng_at(sim->desc.seed, mt_rng_stream(MT_RNG_USER, 6), 0);
    for (int i = 0; i < sim->desc.stalls; i++)
        mt_simulator_post(sim, 1 + mt_rng_below(&later, 1u << (10 + mt_rng_below(&later, 22))), MT_EVENT_STALL,
            (int)mt_rng_below(&later, (uint32_t)sim->size), 0, NULL);
    if (sim->desc.head)
        mt_simulator_post(sim, 1 + mt_rng_below(&later, 1u << (10 + mt_rng_below(&later, 22))), MT_EVENT_DEATH, 0, 0, NULL);
    for (int i = 0; i < sim->desc.partitions; i++) {
        int64_t at = mt_rng_below(&sim->rng, 2) ? mt_rng_below(&sim->rng, 20000000) : mt_rng_below(&sim->rng, 2000000000);
        mt_simulator_post(sim, at, MT_EVENT_PARTITION, 0, 1 + mt_rng_below(&sim->rng, (uint32_t)sim->size / 2 + 1), NULL);
    }
}

static int deaths_are_known(const mt_simulator *sim, int *who, int *whom) {
    if (!sim->deaths) return 1;
    for (int r = 0; r < sim->size; r++)
        for (int dead = 0; dead < sim->size && sim->hosts[r].alive; dead++)
            if (!sim->hosts[dead].alive && !mt_host_thinks_dead(&sim->hosts[r], dead)) {
                *who = r, *whom = dead;
                return 0;
            }
    return 1;
}

static int any_actor(const mt_simulator *sim, int detached) {
    for (const mt_instance *x = sim->ledger.instances; x; x = x->next)
        if (!x->ended && !x->failed && sim->hosts[x->rank].alive && (!detached || sim->ledger.actors[x->actor].detached)) return 1;
    return 0;
}

static void check_idle_actor(void *context, const mt_core_actor_info *info) {
    if (info->queued && !info->running)
        mt_ledger_violate(context, "%d calls wait at actor (%u, %u, %llu), which does nothing", info->queued, info->actor.owner,
            info->actor.slot, (unsigned long long)info->actor.serial);
}

static int calls_wait(mt_simulator *sim) {
    int waiting = 0;
    for (int r = 0; r < sim->size; r++) {
        mt_core_stats stats;
        if (!sim->hosts[r].alive) continue;
        mt_core_stats_get(sim->hosts[r].core, &stats);
        waiting |= stats.pending_tasks > 0;
        mt_core_visit_actors(sim->hosts[r].core, check_idle_actor, &sim->ledger);
    }
    return waiting;
}

// A program can lock itself up: a call to an actor waits for a task that wants what the actor keeps. Only from outside can
// that be ended.
static void kill_actors(mt_simulator *sim) {
    sim->locked_up++;
    for (const mt_instance *x = sim->ledger.instances; x; x = x->next) {
        mt_actor_entry *a = &sim->ledger.actors[x->actor];
        const mt_entry *r = &sim->ledger.records[a->record];
        if (x->ended || x->failed || !sim->hosts[x->rank].alive || !sim->hosts[r->owner].alive) continue;
        a->killed = 1;
        mt_core_stop(sim->hosts[r->owner].core, r->ref, 1);
    }
}

static void report_waiting(mt_simulator *sim, const char *what) {
    char text[MT_VIOLATION_BYTES];
    size_t at = 0;
    text[0] = 0;
    for (int r = 0; r < sim->size; r++)
        for (const mt_body *b = sim->hosts[r].bodies; b && at + 600 < sizeof text; b = b->next) {
            at += (size_t)snprintf(text + at, sizeof text - at, "\n    ");
            mt_body_describe(b, text + at, sizeof text - at - 8);
            at += strlen(text + at);
        }
    for (const mt_instance *x = sim->ledger.instances; x; x = x->next)
        if (!x->ended && !x->failed && sim->hosts[x->rank].alive && at + 100 < sizeof text)
            at += (size_t)snprintf(text + at, sizeof text - at, "\n    actor %d lives on rank %d%s%s", x->actor, x->rank,
                sim->ledger.actors[x->actor].detached ? ", detached" : "", sim->ledger.actors[x->actor].killed ? ", killed" : "");
    mt_ledger_violate(&sim->ledger, "%s, and %d bodies have not ended:%s", what, sim->bodies, text);
}

// Without its head a job is over: every rank ends by itself.
static int all_end(mt_simulator *sim) {
    int64_t until_ns = sim->now_ns + 3 * sim->mood.dead_ns;
    for (int alive = 1; alive && !sim->ledger.failed;) {
        alive = 0;
        for (int r = 0; r < sim->size; r++) alive += sim->hosts[r].alive;
        if (alive && sim->now_ns > until_ns) mt_ledger_violate(&sim->ledger, "%d ranks go on though the head has died", alive);
        if (alive && !mt_simulator_next(sim)) break;
    }
    return 0;
}

// Takes events until nothing but heartbeats has happened for a while. 0: it never comes to that; 2: what goes on are calls that
// wait for what actors keep.
static int settle(mt_simulator *sim) {
    int64_t quiet_ns = sim->now_ns, began_ns = sim->now_ns, beats = 3 * sim->mood.heartbeat_ns + 2000000000;
    int who = 0, whom = 0;
    while (!sim->ledger.failed) {
        if (!sim->hosts[0].alive) return all_end(sim);
        if (sim->queue.busy || sim->armed || sim->disk_jobs) quiet_ns = sim->now_ns;
        if (sim->now_ns - quiet_ns > beats) {
            if (deaths_are_known(sim, &who, &whom)) return 1;
            if (sim->now_ns - quiet_ns > 3 * sim->mood.dead_ns) {
                mt_ledger_violate(&sim->ledger, "rank %d has not heard that rank %d is dead", who, whom);
                return 0;
            }
        }
        // calls may wait for what an actor keeps: they go to and fro until it is ended
        if (sim->driver_done && !sim->bodies && sim->now_ns - began_ns > 20 * sim->mood.dead_ns && any_actor(sim, 0)) return 2;
        if (!mt_simulator_next(sim)) return 1;
        if (sim->events > EVENTS_MOST + EVENTS_A_TASK * (uint64_t)sim->desc.tasks) report_waiting(sim, "no end after too many events");
    }
    return 0;
}

static void report_block(mt_simulator *sim, mt_host *h) {
    const mt_heap_piece *piece = &h->memory.blocks[0];
    uint64_t seed = mt_content_seed_of(mt_memory_at(&h->memory, piece->offset), piece->bytes);
    char text[256] = "something else";
    for (int i = 0; i < sim->ledger.record_count; i++)
        if (sim->ledger.records[i].seed == seed) mt_ledger_describe(&sim->ledger, i, text);
    mt_ledger_violate(&sim->ledger, "rank %d: %d blocks (%llu bytes) are left in its heap, the first at %llu with %llu bytes of %s", h->rank,
        h->memory.count, (unsigned long long)h->memory.used, (unsigned long long)piece->offset, (unsigned long long)piece->bytes, text);
}

// Everything is released: nothing may be left anywhere.
static void judge(mt_simulator *sim) {
    mt_ledger *l = &sim->ledger;
    mt_ledger_end(l);
    for (int r = 0; r < sim->size && !l->failed; r++) {
        mt_host *h = &sim->hosts[r];
        mt_core_stats stats;
        if (!h->alive) continue;
        mt_core_stats_get(h->core, &stats);
        if (h->memory.count) report_block(sim, h);
        if (h->memory.file_count) mt_ledger_violate(l, "rank %d: %d spill files are left", r, h->memory.file_count);
        if (memcmp(&stats.total, &stats.available, sizeof stats.total))
            for (int i = 0; i < MT_RESOURCES; i++)
                if (stats.total.amount[i] != stats.available.amount[i])
                    mt_ledger_violate(l, "rank %d: %lld of %lld of resource %d are there in the end", r,
                        (long long)stats.available.amount[i], (long long)stats.total.amount[i], i);
        if (!l->failed) mt_core_check(h->core, 1);
    }
}

static void free_early(mt_simulator *sim) {
    // the deliberate mistake: a block that holds something is overwritten
    for (int r = 0; r < sim->size; r++)
        if (sim->hosts[r].alive && sim->hosts[r].memory.count) {
            mt_heap_piece *b = &sim->hosts[r].memory.blocks[0];
            memset(mt_memory_at(&sim->hosts[r].memory, b->offset), 0xdd, b->bytes);
        }
}

void mt_simulator_run(const mt_sim_desc *desc, mt_sim_report *out) {
    mt_simulator *sim = calloc(1, sizeof *sim);
    MT_ASSERT(sim);
    *out = (mt_sim_report){0};
    mt_simulator_init(sim, desc);
    mt_body *driver = mt_body_create(&sim->hosts[0], NULL, -1);
    mt_simulator_post(sim, 1000000, MT_EVENT_START, 0, 0, driver);
    plan_faults(sim);
    if (desc->mutation == MT_MUTATE_FREE_EARLY) {
        while (!sim->ledger.failed && sim->events < 200000 && mt_simulator_next(sim))
            if (sim->events % 50 == 0) free_early(sim);
    }
    // detached actors end when they are told to, and what they held may set others free
    int told = 0;
    for (int how; (how = settle(sim)) != 0;) {
        if (sim->bodies) report_waiting(sim, "a deadlock: nothing is on its way");
        else if ((how == 2 ? told >= 3 : any_actor(sim, 0) && !any_actor(sim, 1) && calls_wait(sim)) && told++ < 20) {
            kill_actors(sim);
            continue;
        } else if ((how == 2 || any_actor(sim, 1)) && told++ < 20) {
            mt_body *sweeper = mt_body_create(&sim->hosts[0], NULL, -1);
            sweeper->sweep = 0;
            mt_simulator_post(sim, 0, MT_EVENT_START, 0, 0, sweeper);
            continue;
        }
        break;
    }
    if (!sim->ledger.failed && sim->hosts[0].alive) judge(sim);

    const mt_ledger *l = &sim->ledger;
    out->failed = l->failed != 0;
    snprintf(out->violation, sizeof out->violation, "%s\n    at %.9f s, %llu events; %d ranks on %d hosts, %d deaths, %d lasting partitions%s%s%s",
        l->violation, (double)sim->now_ns * 1e-9, (unsigned long long)sim->events, sim->size, sim->desc.nodes, sim->deaths, l->partitions,
        sim->mood.scarce ? ", scarce" : "", l->tight ? ", tight" : "", l->disk_failures ? ", disk failures" : "");
    out->events = sim->events, out->messages = sim->network.sent, out->bytes = sim->network.bytes;
    out->calls = (uint64_t)l->plan_count, out->actors = (uint64_t)l->actor_count, out->objects = (uint64_t)l->record_count;
    out->values = l->checked_values, out->errors = l->checked_errors, out->met = l->met, out->unmet = l->unmet;
    out->stalled = l->stalled, out->deadlines = l->deadlines, out->digest = sim->digest;
    out->locked_up = (uint64_t)(sim->locked_up > 0);
    out->ranks = sim->size, out->deaths = sim->deaths, out->virtual_ns = sim->now_ns;
    mt_simulator_fini(sim);
    free(sim);
}
