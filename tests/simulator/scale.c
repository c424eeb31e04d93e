// See scale.h. Every rank has four CPUs; a submitter keeps so many tasks under way that the ranks are busy, and makes the next
// one when one has ended. No ledger and no faults: what is measured is the core, the agenda and the messages.
//
// The delay of a task is the virtual time from its submission to its first moment on an executor; the network takes 1 µs within a
// host and 5 µs between hosts, and a rank takes 300 ns for each message that it receives, one after the other.
#include "tests/simulator/scale.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "engine/runtime/wire.h"
#include "tests/simulator/body.h"
#include "tests/simulator/simulator.h"

enum { CPUS = 4, RANKS_A_HOST = 8, TASK_NS = 10000000 };

typedef struct task {
    int64_t submitted_ns;
    manta_ref ref;
    int submitter;
    mt_waiter waiter;
    mt_wait_link link;
    mt_run *run;
} task;

typedef struct scale {
    mt_simulator sim;
    task *tasks;             // owned (count)
    float *delay_us;         // owned (count)
    int count, made, ended, submitters;
    int *ready, ready_first, ready_last;   // owned (count): those whose end the submitter has to notice
} scale;

// Processor time: others may use the machine meanwhile.
static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void begin(mt_host *h, mt_run *run) {
    scale *s = h->sim->watcher;
    int64_t number;
    memcpy(&number, run->arguments[0].value.payload, sizeof number);
    task *t = &s->tasks[number];
    s->delay_us[number] = (float)(h->sim->now_ns - t->submitted_ns) * 1e-3f;
    t->run = run;
    mt_simulator_post(h->sim, TASK_NS, MT_EVENT_DESTROY, h->rank, (uint64_t)number, NULL);
}

static void submit(scale *s, int rank) {
    int number = s->made++;
    task *t = &s->tasks[number];
    manta_arg argument = manta_i64(number);
    mt_submit call = {.call_kind = MT_CALL_TASK, .argument_count = 1, .result_count = 1, .arguments = &argument, .on_rank = -1,
        .bundle = -1, .max_retries = 3, .demand.amount[MT_RESOURCE_CPU] = MT_RESOURCE_UNIT};
    mt_core *core = s->sim.hosts[rank].core;
    t->submitter = rank, t->submitted_ns = s->sim.now_ns;
    mt_core_submit(core, &call, &t->ref);
    t->waiter = (mt_waiter){.wanted = 1, .shell = t};
    if (mt_core_wait(core, &t->waiter, &t->ref, 1, &t->link)) s->ready[s->ready_last++] = number;
}

// The submitter has noticed the end of a task.
static void notice(scale *s, int rank, int number) {
    task *t = &s->tasks[number];
    mt_core *core = s->sim.hosts[rank].core;
    mt_core_wait_end(core, &t->link, 1);
    mt_core_release(core, t->ref);
    s->ended++;
    if (s->made < s->count) submit(s, rank);
}

static void woken(void *watcher, mt_waiter *waiter) {
    scale *s = watcher;
    s->ready[s->ready_last++] = (int)((task *)waiter->shell - s->tasks);
}

static void finish(scale *s, const mt_event *e) {
    task *t = &s->tasks[e->number];
    manta_arg nothing = manta_i64((int64_t)e->number);
    _Alignas(16) char encoded[64];
    mt_value_encode(&nothing, encoded);
    mt_run_result result = {.encoded = encoded};
    mt_core_finish(s->sim.hosts[e->rank].core, t->run, MANTA_OK, NULL, &result, TASK_NS);
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// Who makes the calls: one rank, every rank (which can run its own), every second one (whose neighbours have nothing to do).
enum { ONE, EVERY, EVERY_SECOND, WAYS };
static const char *const ways[WAYS] = {"one driver", "every rank", "every second rank"};

static void measure(int ranks, int way, FILE *out) {
    scale *s = calloc(1, sizeof *s);
    MT_ASSERT(s);
    int rounds = ranks >= 10000 ? 5 : ranks >= 1000 ? 10 : 50;
    int step = way == EVERY_SECOND ? 2 : 1;
    s->submitters = way == ONE ? 1 : ranks / step;
    s->count = ranks * CPUS * rounds;
    s->tasks = calloc((size_t)s->count, sizeof *s->tasks);
    s->delay_us = calloc((size_t)s->count, sizeof *s->delay_us);
    s->ready = calloc((size_t)s->count, sizeof *s->ready);
    MT_ASSERT(s->tasks && s->delay_us && s->ready);
    mt_simulator *sim = &s->sim;
    sim->watch = begin, sim->watcher = s, sim->woken = woken;
    sim->alike = (mt_resources){.amount = {CPUS * MT_RESOURCE_UNIT}};
    sim->mood = (mt_mood){.heap_bytes = 1 << 30, .heartbeat_ns = 1000000000, .suspect_ns = 5000000000, .dead_ns = 15000000000};
    mt_sim_desc desc = {.seed = 1, .ranks = ranks, .nodes = (ranks + RANKS_A_HOST - 1) / RANKS_A_HOST};
    double start = seconds_now();
    mt_simulator_init(sim, &desc);
    double made = seconds_now();
    // every rank's first tick comes before anything else
    for (int i = 0; i < ranks; i++) mt_simulator_next(sim);
    uint64_t sent = sim->network.sent, events = sim->events;
    int64_t began_ns = sim->now_ns;
    int window = ranks * CPUS / s->submitters;
    for (int i = 0; i < window; i++)
        for (int r = 0; r < s->submitters; r++) submit(s, r * step);
    while (s->ended < s->count) {
        while (s->ready_first < s->ready_last) {
            int number = s->ready[s->ready_first++];
            notice(s, s->tasks[number].submitter, number);
        }
        mt_event e;
        if (s->ended >= s->count || !mt_queue_peek(&sim->queue, &e)) break;
        if (e.kind == MT_EVENT_DESTROY) {
            mt_queue_pop(&sim->queue, &e);
            sim->now_ns = e.at_ns, sim->events++;
            finish(s, &e);
        } else mt_simulator_next(sim);
    }
    double took = seconds_now() - made, virtual_s = (double)(sim->now_ns - began_ns) * 1e-9;
    uint64_t memory = 0, most = 0;
    for (int r = 0; r < ranks; r++) {
        mt_core_stats stats;
        mt_core_stats_get(sim->hosts[r].core, &stats);
        memory += stats.memory_bytes;
        if (stats.memory_bytes > most) most = stats.memory_bytes;
    }
    uint64_t beats = sim->network.of_kind[MT_WIRE_HEARTBEAT];
    qsort(s->delay_us, (size_t)s->count, sizeof *s->delay_us, by_size);
    fprintf(out, "%d,%s,%d,%.0f,%.0f,%.3f,%.1f,%.1f,%.2f,%.2f,%.0f,%llu,%.2f,%d\n", ranks, ways[way], s->count,
        s->ended / took, s->ended / virtual_s, s->ended / virtual_s / ((double)ranks * CPUS * 1e9 / TASK_NS), s->delay_us[s->count / 2],
        s->delay_us[(size_t)((double)s->count * 0.99)], (double)(sim->network.sent - sent - beats) / s->count,
        (double)(sim->events - events) / s->count, (double)memory / ranks, (unsigned long long)most, made - start, s->ended);
    fflush(out);
    mt_simulator_fini(sim);
    free(s->tasks), free(s->delay_us), free(s->ready), free(s);
}

int mt_scale_run(int ranks, FILE *out) {
    static const int sizes[] = {10, 100, 1000, 10000};
    fprintf(out, "ranks,submitted_by,tasks,tasks_per_cpu_second,tasks_per_virtual_second,part_of_ideal,delay_median_us,delay_p99_us,"
                 "messages_per_task,events_per_task,core_bytes_per_rank,core_bytes_most,start_s,ended\n");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int way = 0; way < WAYS; way++)
            if (!ranks || ranks == sizes[i]) measure(sizes[i], way, out);
    return 0;
}
