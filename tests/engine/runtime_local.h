// A cluster in one process: several ranks with threads of their own, over the local transport and the local heap.
#ifndef MANTA_TESTS_ENGINE_RUNTIME_LOCAL_H
#define MANTA_TESTS_ENGINE_RUNTIME_LOCAL_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/runtime/api/context.h"

enum { CLUSTER_MAX = 8 };

typedef struct cluster {
    int size;
    mt_transport *transport[CLUSTER_MAX];
    mt_heap *heap[CLUSTER_MAX];
    mt_resources totals[CLUSTER_MAX];
    mt_resource_names names;
    mt_program *program;
    mt_node *node[CLUSTER_MAX];
    pthread_t thread[CLUSTER_MAX];
    mt_status status[CLUSTER_MAX];
    char message[CLUSTER_MAX][1024];
    double end_seconds;
    int mortal;                  // Nullable (0): a rank that cluster_kill may end
} cluster;

typedef struct cluster_options {
    int size, hosts;             // 0: 1, 1
    double cpus, gpus;           // of each rank; 0: 4 CPUs, none
    const char *custom;          // Nullable: a custom resource that the last rank has 2 of
    uint64_t heap_bytes;         // 0: 256 MiB
    double timeout, end_seconds; // 0: 20 s, 10 s
    int64_t spin_ns;
    int executors_max, spill;
    int cores;                   // of each rank, for threads that spin; 0: they yield to all others
    mt_timeline *timeline;
    void *user;
} cluster_options;

#define CLUSTER_TRY(expr)                                                                                              \
    do {                                                                                                               \
        if ((expr) != MT_OK) {                                                                                         \
            fprintf(stderr, "%s: %s\n", #expr, mt_last_error());                                                       \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static inline void cluster_start(cluster *k, const manta_program *program, const cluster_options *o) {
    uint64_t heap = o->heap_bytes ? o->heap_bytes : UINT64_C(256) << 20;
    int number;
    memset(k, 0, sizeof *k);
    k->size = o->size ? o->size : 1;
    k->end_seconds = o->end_seconds > 0 ? o->end_seconds : 10;
    mt_resource_names_init(&k->names);
    CLUSTER_TRY(mt_program_create(program, &k->program));
    CLUSTER_TRY(mt_transport_local_create(k->size, o->hosts ? o->hosts : 1, k->transport));
    CLUSTER_TRY(mt_heap_local_create(k->size, heap, k->heap));
    for (int r = 0; r < k->size; r++) {
        mt_resources_ask(&k->totals[r], MT_RESOURCE_CPU, o->cpus > 0 ? o->cpus : 4);
        mt_resources_ask(&k->totals[r], MT_RESOURCE_GPU, o->gpus);
        k->totals[r].amount[MT_RESOURCE_MEMORY] = INT64_C(1) << 30;
    }
    if (o->custom) {
        CLUSTER_TRY(mt_resource_add(&k->names, o->custom, &number));
        k->totals[k->size - 1].amount[number] = 2 * MT_RESOURCE_UNIT;
    }
    for (int r = 0; r < k->size; r++) {
        mt_node_desc desc = {
            .transport = k->transport[r], .heap = k->heap[r], .totals = k->totals, .names = &k->names, .program = k->program,
            .user = o->user, .timeline = o->timeline, .spill = o->spill, .seed = (uint64_t)r + 1, .object_bytes = heap,
            .timeout_ns = (int64_t)((o->timeout > 0 ? o->timeout : 20) * 1e9), .spin_ns = o->spin_ns, .crowded = k->size > 1 && !o->cores, .cores = o->cores,
            .executors_max = o->executors_max, .gpu_first = 10 * r, .gpu_devices = (int)o->gpus,
        };
        CLUSTER_TRY(mt_node_create(&desc, &k->node[r]));
    }
}

typedef struct cluster_rank {
    cluster *cluster;
    int rank;
} cluster_rank;

static inline mt_status cluster_drain(cluster *k, int rank) {
    mt_status status = mt_node_drain(k->node[rank], mt_deadline_after((int64_t)(k->end_seconds * 1e9)));
    if (status != MT_OK) snprintf(k->message[rank], sizeof k->message[rank], "%s", mt_last_error());
    return k->status[rank] = status;
}

static inline void *cluster_serve(void *argument) {
    cluster_rank *self = argument;
    mt_status status = mt_node_serve(self->cluster->node[self->rank]);
    if (status == MT_OK) cluster_drain(self->cluster, self->rank);
    else self->cluster->status[self->rank] = status;
    free(self);
    return NULL;
}

// Nothing runs any more: what the node counts of its threads is back to zero. A run's answer may come a moment before its thread
// is done with the counting.
static inline void cluster_at_rest(cluster *k, int rank) {
    int64_t deadline_ns = mt_deadline_after(2 * MT_SECOND_NS);
    mt_node *node = k->node[rank];
    for (;;) {
        mt_node_enter(node);
        int busy = atomic_load(&node->busy), soon = node->soon, quiet = node->quiet, working = node->working, blocked = node->blocked;
        mt_node_leave(node);
        if (!busy && !soon && !quiet && !working && !blocked) return;
        if (mt_deadline_passed(deadline_ns)) {
            fprintf(stderr, "rank %d at rest counts busy %d, soon %d, quiet %d, working %d, blocked %d\n", rank, busy, soon, quiet, working, blocked);
            abort();
        }
        mt_sleep_ns(MT_MILLISECOND_NS);
    }
}

// Objects, actors and runs that the ranks still have.
static inline uint64_t cluster_left(const cluster *k) {
    uint64_t left = 0;
    for (int r = 0; r < k->size; r++) {
        mt_core_stats s;
        if (!k->node[r]) continue;
        mt_node_enter(k->node[r]);
        mt_core_stats_get(k->node[r]->core, &s);
        mt_node_leave(k->node[r]);
        left += s.objects + s.borrowed + s.actors + s.stored + s.queued_runs + s.running_runs + s.pending_tasks;
    }
    return left;
}

// Runs the driver on rank 0 and ends the job. The driver's code; k->status says how the ranks ended. check: nothing may be left.
static inline int cluster_run(cluster *k, manta_function *driver, int check) {
    for (int r = 1; r < k->size; r++) {
        if (r == k->mortal) continue;
        cluster_rank *self = malloc(sizeof *self);
        *self = (cluster_rank){k, r};
        if (pthread_create(&k->thread[r], NULL, cluster_serve, self) != 0) abort();
    }
    manta_context *c = mt_context_create(k->node[0], 0);
    int code = driver(c);
    if (code != MANTA_OK) snprintf(k->message[0], sizeof k->message[0], "%s", manta_error(c).message);
    mt_node_enter(k->node[0]);
    mt_context_release_all(c);
    mt_node_leave(k->node[0]);
    mt_context_destroy(c);
    if (check) mt_sleep_ns(100 * MT_MILLISECOND_NS);   // the last releases are on their way; longer on a machine that is busy
    for (int i = 0; check && i < 300 && cluster_left(k); i++) mt_sleep_ns(10 * MT_MILLISECOND_NS);
    for (int r = 0; check && r < k->size; r++) {
        if (!k->node[r]) continue;
        mt_node_enter(k->node[r]);
        mt_core_check(k->node[r]->core, 1);
        mt_node_leave(k->node[r]);
    }
    mt_node_end(k->node[0]);
    cluster_drain(k, 0);
    for (int r = 1; r < k->size; r++)
        if (r != k->mortal) pthread_join(k->thread[r], NULL);
    for (int r = 0; r < k->size; r++)
        if (k->node[r] && k->status[r] == MT_OK && r != k->mortal) cluster_at_rest(k, r);
    return code;
}

// The rank is gone from one moment to the next, as far as the others can see. Nothing may run there.
static inline void cluster_kill(cluster *k) {
    CLUSTER_TRY(mt_node_destroy(k->node[k->mortal]));
    k->transport[k->mortal]->ops->destroy(k->transport[k->mortal]);
    k->node[k->mortal] = NULL;
    k->transport[k->mortal] = NULL;
}

static inline void cluster_stop(cluster *k) {
    for (int r = 0; r < k->size; r++) CLUSTER_TRY(mt_node_destroy(k->node[r]));
    for (int r = 0; r < k->size; r++)
        if (k->transport[r]) k->transport[r]->ops->destroy(k->transport[r]);
    for (int r = 0; r < k->size; r++) mt_heap_destroy(k->heap[r]);
    mt_program_destroy(k->program);
}

#endif
