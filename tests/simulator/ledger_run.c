// The ledger's view of what runs: how often, where, in which order, beside what. See ledger.h.
#include <stdlib.h>
#include <string.h>
#include "tests/simulator/ledger.h"

static int plan_of(mt_ledger *l, int rank, const mt_run *run) {
    if (run->argument_count < 1 || !run->arguments[0].value.head || run->arguments[0].value.head->bytes != 8 ||
        !run->arguments[0].value.payload) {
        mt_ledger_violate(l, "rank %d is to run a call without the number of its plan", rank);
        return -1;
    }
    int64_t number;
    memcpy(&number, run->arguments[0].value.payload, 8);
    if (number < 0 || number >= l->plan_count) {
        mt_ledger_violate(l, "rank %d is to run plan %lld of %d", rank, (long long)number, l->plan_count);
        return -1;
    }
    return (int)number;
}

// ---- room

static int64_t gpu_share(const mt_resources *demand) {
    int64_t units = demand->amount[MT_RESOURCE_GPU];
    return units > MT_RESOURCE_UNIT ? MT_RESOURCE_UNIT : units;
}

static void take(mt_ledger *l, int rank, int number, const int *gpus, int gpu_count, int sign) {
    const mt_plan *p = &l->plans[number];
    mt_usage *u = &l->usage[rank];
    for (int i = MT_RESOURCE_GPU; i < MT_RESOURCES; i++) {
        u->held.amount[i] += sign * p->demand.amount[i];
        if (u->held.amount[i] < 0 || u->held.amount[i] > l->totals[rank].amount[i])
            mt_ledger_violate(l, "rank %d has %lld of resource %d and gives %lld to what runs there, plan %d among them", rank,
                (long long)l->totals[rank].amount[i], i, (long long)u->held.amount[i], number);
    }
    for (int i = 0; i < gpu_count; i++) {
        if (gpus[i] < 0 || gpus[i] >= 16) {
            mt_ledger_violate(l, "rank %d gives device %d to plan %d", rank, gpus[i], number);
            return;
        }
        u->gpu[gpus[i]] += sign * gpu_share(&p->demand);
        if (u->gpu[gpus[i]] < 0 || u->gpu[gpus[i]] > MT_RESOURCE_UNIT)
            mt_ledger_violate(l, "rank %d gives %lld ten-thousandths of device %d away, plan %d among them", rank,
                (long long)u->gpu[gpus[i]], gpus[i], number);
    }
}

static void take_cpu(mt_ledger *l, int rank, int number, int sign) {
    l->usage[rank].cpu_new += sign * l->plans[number].demand.amount[MT_RESOURCE_CPU];
    if (l->usage[rank].cpu_new > l->totals[rank].amount[MT_RESOURCE_CPU])
        mt_ledger_violate(l, "rank %d has %lld ten-thousandths of a CPU and runs calls together that want %lld, plan %d among them",
            rank, (long long)l->totals[rank].amount[MT_RESOURCE_CPU], (long long)l->usage[rank].cpu_new, number);
}

// ---- order

static mt_newest *newest_of(mt_instance *x, int rank, uint64_t author) {
    for (int i = 0; i < x->newest_count; i++)
        if (x->newest[i].rank == rank && x->newest[i].author == author) return &x->newest[i];
    x->newest = realloc(x->newest, sizeof *x->newest * (size_t)(x->newest_count + 1));
    MT_ASSERT(x->newest);
    x->newest[x->newest_count] = (mt_newest){.rank = rank, .author = author};
    return &x->newest[x->newest_count++];
}

static void begin_method(mt_ledger *l, int rank, int number, mt_run *run) {
    mt_plan *p = &l->plans[number];
    mt_actor_entry *a = &l->actors[p->actor];
    mt_instance *x = run->state ? *run->state : NULL;
    if (!x || x->actor != p->actor || x->rank != rank || !x->created || x->failed || x->ended) {
        mt_ledger_violate(l, "method %d of actor %d begins on rank %d with %s", number, p->actor, rank,
            !x ? "no state" : x->actor != p->actor ? "another's state" : x->ended ? "a state that was destroyed" : "a state that is not ready");
        return;
    }
    if (run->caller != p->caller) mt_ledger_violate(l, "method %d comes from rank %d, not %d", number, run->caller, p->caller);
    if (++x->running > a->max_concurrency)
        mt_ledger_violate(l, "%d methods of actor %d run at a time, %d may", x->running, p->actor, a->max_concurrency);
    mt_newest *newest = newest_of(x, p->caller, p->author);
    if (newest->sequence > p->sequence)
        mt_ledger_violate(l, "method %d of actor %d, call %llu to it, of rank %d, begins after call %llu of the same author", number, p->actor,
            (unsigned long long)p->sequence, p->caller, (unsigned long long)newest->sequence);
    newest->sequence = p->sequence;
    int limit = a->max_task_retries == MANTA_ALWAYS ? INT32_MAX : 1 + a->max_task_retries;
    if (p->runs > limit)
        mt_ledger_violate(l, "method %d of actor %d begins for the %dth time; %d retries were allowed", number, p->actor, p->runs,
            a->max_task_retries);
}

static void begin_creation(mt_ledger *l, int rank, int number, mt_run *run) {
    mt_plan *p = &l->plans[number];
    mt_actor_entry *a = &l->actors[p->actor];
    mt_instance *old = a->live;
    if (old && !old->ended && !old->failed && !l->suspect[old->rank])
        mt_ledger_violate(l, "actor %d is made on rank %d while it lives on rank %d", p->actor, rank, old->rank);
    mt_instance *x = calloc(1, sizeof *x);
    MT_ASSERT(x);
    x->actor = p->actor, x->rank = rank, x->number = a->creations++;
    x->next = l->instances;
    l->instances = x;
    a->live = x;
    x->gpu_count = run->gpu_count < 16 ? run->gpu_count : 16;
    memcpy(x->gpus, run->gpus, sizeof *x->gpus * (size_t)x->gpu_count);
    if (!run->state) mt_ledger_violate(l, "creation %d has no place for its state", number);
    else *run->state = x;
}

static void check_again(mt_ledger *l, int rank, int number) {
    mt_plan *p = &l->plans[number];
    // what a death has taken may want results again that nobody had kept: then tasks run again whose own ranks live
    int lineage = (l->deaths || l->partitions) && p->kind == MT_CALL_TASK;
    if (p->last_rank >= 0 && !lineage && !l->suspect[p->last_rank] && !l->disk_failures && !l->suspect[p->caller] &&
        !(p->kind == MT_CALL_METHOD && l->actors[p->actor].max_restarts))
        mt_ledger_violate(l, "plan %d (kind %d) begins on rank %d for the %dth time, though rank %d, where it ran before, lives", number,
            p->kind, rank, p->runs, p->last_rank);
    if (p->kind == MT_CALL_TASK && p->max_retries != MANTA_ALWAYS && p->runs > 1 + p->max_retries)
        mt_ledger_violate(l, "task %d begins for the %dth time; %d retries were allowed", number, p->runs, p->max_retries);
}

int mt_ledger_run(mt_ledger *l, int rank, mt_run *run) {
    int number = plan_of(l, rank, run);
    if (number < 0) return -1;
    mt_plan *p = &l->plans[number];
    int results = p->no_results ? 0 : p->result_count;
    if ((int)run->call_kind != p->kind || run->result_count != results || run->argument_count != p->argument_count + 1)
        mt_ledger_violate(l, "rank %d runs plan %d as a call of kind %d with %d arguments and %d results", rank, number,
            run->call_kind, run->argument_count, run->result_count);
    else
        for (int i = 0; i < p->result_count; i++)
            if (memcmp(&run->results[i], &l->records[p->result[i]].ref, sizeof run->results[i]))
                mt_ledger_violate(l, "rank %d runs plan %d for another's result %d", rank, number, i);
    if (p->refused || p->infeasible) mt_ledger_violate(l, "rank %d runs plan %d, which cannot run", rank, number);
    if (p->on_rank >= 0 && p->on_rank != rank)
        mt_ledger_violate(l, "plan %d was to run on rank %d and runs on rank %d", number, p->on_rank, rank);
    if (p->group >= 0 && l->groups[p->group].ranks) {
        const mt_group_entry *g = &l->groups[p->group];
        int fits = 0;
        for (int i = 0; i < g->count; i++) fits |= (int)g->ranks[i] == rank && (p->bundle < 0 || p->bundle == i);
        if (!fits && !l->deaths && !l->partitions)
            mt_ledger_violate(l, "plan %d was to run in bundle %d of group %d and runs on rank %d", number, p->bundle, p->group, rank);
    }
    p->runs++;
    if (p->runs > 1) check_again(l, rank, number);
    p->last_rank = rank;
    p->running = 1, p->blocked = 0;
    if (p->kind == MT_CALL_METHOD) begin_method(l, rank, number, run);
    else {
        take(l, rank, number, run->gpus, run->gpu_count, 1);
        take_cpu(l, rank, number, 1);
        int64_t units = p->demand.amount[MT_RESOURCE_GPU];
        int want = units <= 0 ? 0 : units <= MT_RESOURCE_UNIT ? 1 : (int)(units / MT_RESOURCE_UNIT);
        if (run->gpu_count != want) mt_ledger_violate(l, "plan %d wants %d devices and is given %d", number, want, run->gpu_count);
    }
    if (p->kind == MT_CALL_CREATE) begin_creation(l, rank, number, run);
    return number;
}

void mt_ledger_blocked(mt_ledger *l, int number, int rank) {
    mt_plan *p = &l->plans[number];
    if (p->kind != MT_CALL_METHOD && !p->blocked) take_cpu(l, rank, number, -1);
    p->blocked = 1;
}

void mt_ledger_finished(mt_ledger *l, int rank, mt_run *run, int number, int code) {
    mt_plan *p = &l->plans[number];
    p->running = 0;
    mt_instance *x = run->state ? *run->state : NULL;
    if (p->kind == MT_CALL_METHOD) {
        if (x) x->running--;
        return;
    }
    // an actor that lives keeps what it asked for; its CPUs only if it asked for them
    int lives = p->kind == MT_CALL_CREATE && code == MANTA_OK;
    if (!p->blocked && !(lives && p->cpu_afterwards)) take_cpu(l, rank, number, -1);
    if (!lives) take(l, rank, number, run->gpus, run->gpu_count, -1);
    if (p->kind == MT_CALL_CREATE && x) x->created = 1, x->failed = code != MANTA_OK;
}

void mt_ledger_destroyed(mt_ledger *l, mt_instance *x) {
    if (x->ended) mt_ledger_violate(l, "actor %d is destroyed twice on rank %d", x->actor, x->rank);
    if (x->running) mt_ledger_violate(l, "actor %d is destroyed while %d of its methods run", x->actor, x->running);
    x->ended = 1;
    mt_plan *p = &l->plans[l->actors[x->actor].plan];
    if (!x->created || x->failed) return;
    take(l, x->rank, l->actors[x->actor].plan, x->gpus, x->gpu_count, -1);
    if (p->cpu_afterwards && !p->blocked) take_cpu(l, x->rank, l->actors[x->actor].plan, -1);
}

void mt_ledger_rank_gone(mt_ledger *l, int rank) {
    l->suspect[rank] = 1;
    l->usage[rank] = (mt_usage){0};
    for (mt_instance *x = l->instances; x; x = x->next)
        if (x->rank == rank) x->ended = 1, x->running = 0;
    for (int i = 0; i < l->plan_count; i++)
        if (l->plans[i].last_rank == rank) l->plans[i].running = l->plans[i].blocked = 0;
}

void mt_ledger_end(mt_ledger *l) {
    char text[256];
    for (int i = 0; i < l->plan_count; i++)
        if (l->plans[i].running) mt_ledger_violate(l, "plan %d still runs on rank %d", i, l->plans[i].last_rank);
    for (mt_instance *x = l->instances; x; x = x->next)
        if (!x->ended && !x->failed && !l->suspect[x->rank])
            mt_ledger_violate(l, "actor %d still lives on rank %d, and nobody holds it (%s)", x->actor, x->rank,
                mt_ledger_describe(l, l->actors[x->actor].record, text));
    for (int r = 0; r < l->size; r++) {
        if (l->suspect[r]) continue;
        if (!mt_resources_zero(&l->usage[r].held) || l->usage[r].cpu_new)
            mt_ledger_violate(l, "rank %d has given resources that did not come back", r);
    }
}
