// Starting and ending the runtime in a job. The main thread of every rank, in step: each exchange below is made by all.
// What one rank finds wrong travels with the exchange, so that all give up together.
#include "engine/runtime/job.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/last_words.h"
#include "engine/base/log.h"
#include "engine/collective/agree.h"
#include "engine/collective/collective.h"
#include "engine/collective/mpi.h"
#include "engine/device/device.h"
#include "engine/runtime/api/context.h"
#include "engine/runtime/status/status_server.h"

enum { GPUS_MAX = 64 };
#define OBJECT_SHARE    0.3                  // of the rank's memory
#define OBJECT_BYTES_MIN (64.0 * 1024 * 1024)

#define ROW(field) MT_OPTION(mt_job_options, field)
static const mt_option job_options[] = {
    {ROW(resources), .type = MT_OPT_STRING, .standard = "", .group = "Runtime",
        .help = "what this rank has, over what is found: cpu=4,gpu=1,memory=8G,tpu=2"},
    {ROW(object_memory), .type = MT_OPT_STRING, .standard = "", .group = "Runtime",
        .help = "memory for large objects of each rank, for example 2G; 30 % of its memory unless told otherwise"},
    {ROW(spill_folder), .type = MT_OPT_STRING, .flags = MT_OPTION_PATH, .standard = "", .group = "Runtime",
        .help = "folder for objects that do not fit into memory"},
    {ROW(spill), .type = MT_OPT_BOOL, .standard = "true", .group = "Runtime",
        .help = "move objects to disk when their memory is nearly full"},
    {ROW(timeout), .type = MT_OPT_FLOAT, .standard = "120", .range = "[0, 1e9]", .why = "it is a wait; 0 is the one without end",
        .group = "Runtime", .unit = "seconds", .help = "how long a rank waits for another, and a call for its result, unless it names a "
            "time; more for environments whose rollouts take longer; 0: for ever, though a process that died is still noticed"},
    {ROW(end_timeout), .type = MT_OPT_FLOAT, .flags = MT_OPTION_CLI_ONLY, .standard = "30", .range = "[0, 1e6]",
        .why = "a body that never ends must not keep the job", .group = "Runtime", .unit = "seconds",
        .help = "how long tasks that still run have at the end of the job"},
    {ROW(timeline), .type = MT_OPT_STRING, .flags = MT_OPTION_CLI_ONLY | MT_OPTION_PATH, .standard = "", .group = "Runtime",
        .help = "file for a trace of all tasks, for chrome://tracing"},
    {ROW(metrics_file), .type = MT_OPT_STRING, .flags = MT_OPTION_CLI_ONLY | MT_OPTION_PATH, .standard = "", .group = "Runtime",
        .help = "file in Prometheus's text format, rewritten every 5 s while the job runs, for node_exporter's textfile collector"},
    {ROW(status), .type = MT_OPT_BOOL, .flags = MT_OPTION_CLI_ONLY, .standard = "true", .group = "Runtime",
        .help = "answer manta status, on a socket that this user alone can reach on rank 0's host"},
};

const mt_option *mt_job_option_table(size_t *count) {
    *count = MT_COUNT(job_options);
    return job_options;
}

// What a rank tells the others before anything is started.
typedef struct hello {
    int node_rank, node_size;
    int gpu_first, gpus;
    int usable;                  // cores of the mask, and within the control group's quota
    cpu_set_t mask;              // zero where the machine has more than it holds
    uint64_t digest;             // of the program
    uint64_t object_bytes;
    mt_resource_names names;
    mt_resources resources;
} hello;

struct mt_job {
    mt_comm *world;              // borrowed
    mt_job_options options;
    const manta_program *desc;   // borrowed
    mt_program *program;         // owned, as everything below
    hello mine, *all;            // (size)
    mt_resource_names names;
    mt_resources *totals;        // (size)
    mt_transport *transport;
    mt_heap *heap;
    mt_timeline *timeline;
    mt_node *node;
    mt_status_server *status;    // rank 0's
    int rank, size;
    int argc;
    char **argv;                 // borrowed
};

// ---- what this rank has

static int gpu_count(void) {
    for (int i = 0; i < GPUS_MAX; i++) {
        char spec[24];
        mt_device *device;
        snprintf(spec, sizeof spec, "cuda:%d", i);
        if (mt_device_open(spec, &device) != MT_OK) return i;
        mt_device_close(device);
    }
    return GPUS_MAX;
}

static uint64_t memory_bytes(void) {
    mt_cpu_info info;
    if (mt_cpu_query(&info) != MT_OK) return UINT64_C(1) << 32;
    uint64_t bytes = info.memory_bytes;
    if (info.memory_limit_bytes && (!bytes || info.memory_limit_bytes < bytes)) bytes = info.memory_limit_bytes;
    return bytes ? bytes : UINT64_C(1) << 32;
}

// of `all`, what the rank with number `rank` of `ranks` gets
static int share(int all, int rank, int ranks) { return all / ranks + (rank < all % ranks); }

static mt_status look_round(mt_job *job) {
    hello *h = &job->mine;
    h->node_rank = mt_comm_node_rank(job->world);
    h->node_size = mt_comm_node_size(job->world);
    h->usable = mt_cpu_usable();
    if (sched_getaffinity(0, sizeof h->mask, &h->mask) != 0) CPU_ZERO(&h->mask);
    int gpus = gpu_count();
    h->gpus = share(gpus, h->node_rank, h->node_size);
    if (h->gpus > MT_GPUS_MAX) {
        mt_log_warn("this rank would have %d GPUs and uses %d; start more ranks on this host to use all", h->gpus, MT_GPUS_MAX);
        h->gpus = MT_GPUS_MAX;
    }
    for (int r = 0; r < h->node_rank; r++) h->gpu_first += share(gpus, r, h->node_size);
    // cores are divided when all have said which they may use (agree)
    h->resources.amount[MT_RESOURCE_GPU] = (int64_t)h->gpus * MT_RESOURCE_UNIT;
    h->resources.amount[MT_RESOURCE_MEMORY] = (int64_t)(memory_bytes() / (uint64_t)h->node_size);
    h->resources.amount[MT_RESOURCE_CPU] = -1;
    mt_resource_names_init(&h->names);
    MT_TRY(mt_resources_parse(job->options.resources, &h->names, &h->resources));
    int64_t limit = h->resources.amount[MT_RESOURCE_MEMORY];
    h->object_bytes = (uint64_t)((double)limit * OBJECT_SHARE > OBJECT_BYTES_MIN ? (double)limit * OBJECT_SHARE : OBJECT_BYTES_MIN);
    if (*job->options.object_memory) {
        char text[64];
        mt_resource_names unused;
        mt_resources memory;
        mt_resource_names_init(&unused);
        snprintf(text, sizeof text, "memory=%s", job->options.object_memory);
        mt_status status = mt_resources_parse(text, &unused, &memory);
        if (status != MT_OK || memory.amount[MT_RESOURCE_MEMORY] < 1 << 20)
            return MT_FAIL(CONFIG, "--object-memory %s: write for example 512M or 2G, at least 1M", job->options.object_memory);
        h->object_bytes = (uint64_t)memory.amount[MT_RESOURCE_MEMORY];
    }
    return MT_OK;
}

// Files of the job's end are tried at its start: a folder that is not there must not cost hours of trace. Nothing is left behind.
static mt_status try_file(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MT_FILE_PUBLIC), made = fd >= 0;
    if (fd < 0 && errno == EEXIST) fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return mt_file_fail(errno, "write", path);
    close(fd);
    if (made) unlink(path);
    return MT_OK;
}

static mt_status try_folders(const mt_job *job) {
    const mt_job_options *o = &job->options;
    mt_status status = *o->timeline && job->rank == 0 ? try_file(o->timeline) : MT_OK;
    if (*o->timeline && status == MT_OK) {
        char part[MT_PATH_BYTES + 16];   // as mt_timeline_write names it
        snprintf(part, sizeof part, "%s.%d", o->timeline, job->rank);
        status = try_file(part);
    }
    if (status != MT_OK) return mt_fail_context(status, "--timeline: ");
    if (!o->spill || !*o->spill_folder) return MT_OK;
    mt_spill *spill;
    status = mt_spill_open(o->spill_folder, job->rank, &spill);
    if (status != MT_OK) return mt_fail_context(status, "--spill-folder: ");
    mt_spill_close(spill);
    return MT_OK;
}

// ---- agreeing

static mt_status exchange(mt_job *job, mt_status status) {
    MT_TRY(mt_comm_agree(job->world, status));
    MT_TRY(mt_transport_job_exchange(job->world, &job->mine, job->all, sizeof job->mine));
    for (int r = 0; r < job->size; r++)
        if (job->all[r].digest != job->mine.digest)
            return MT_FAIL(CONFIG, "ranks %d and %d run different programs: their tasks and classes differ; start the same one everywhere", job->rank, r);
    return MT_OK;
}

static bool same_cores(const hello *a, const hello *b) { return memcmp(&a->mask, &b->mask, sizeof a->mask) == 0; }

// Which of the ranks that may use the same cores this one is, and how many there are. Ranks are bound to cores of their own, to
// the same ones, or not at all; binding by halves is not told apart from not at all.
static int sharers_of(const mt_job *job, int rank, int *place) {
    const int *node_of = job->transport->node_of;
    int count = 0;
    for (int r = 0; r < job->size; r++) {
        if (node_of[r] != node_of[rank] || !same_cores(&job->all[r], &job->all[rank])) continue;
        if (r == rank) *place = count;
        count++;
    }
    return count;
}

// CPUs that a rank did not name: its part of those it may use. At least one, so that there is a rank for every task.
static int cores_of(const mt_job *job, int rank) {
    int place = 0, sharers = sharers_of(job, rank, &place), cores = share(job->all[rank].usable, place, sharers);
    return cores > 0 ? cores : 1;
}

static mt_status agree(mt_job *job) {
    mt_resource_names_init(&job->names);
    for (int r = 0; r < job->size; r++) {
        const hello *h = &job->all[r];
        for (int i = 0; i < MT_RESOURCES; i++) {
            int number = i;
            if (i >= MT_RESOURCE_CUSTOM && i < h->names.count) {
                mt_status status = mt_resource_add(&job->names, h->names.name[i], &number);
                if (status != MT_OK) return mt_fail_context(status, "rank %d: ", r);
            } else if (i >= MT_RESOURCE_CUSTOM) break;
            job->totals[r].amount[number] = h->resources.amount[i];
        }
        if (job->totals[r].amount[MT_RESOURCE_CPU] < 0) job->totals[r].amount[MT_RESOURCE_CPU] = (int64_t)cores_of(job, r) * MT_RESOURCE_UNIT;
    }
    return MT_OK;
}

// ---- starting

static mt_status node_start(mt_job *job) {
    const hello *h = &job->mine;
    int gpus = (int)(job->totals[job->rank].amount[MT_RESOURCE_GPU] / MT_RESOURCE_UNIT);
    int place = 0, sharers = sharers_of(job, job->rank, &place);
    mt_node_desc desc = {
        .transport = job->transport,
        .heap = job->heap,
        .totals = job->totals,
        .names = &job->names,
        .program = job->program,
        .user = job->desc->user,
        .timeline = job->timeline,
        .spill_folder = *job->options.spill_folder ? job->options.spill_folder : NULL,
        .spill = job->options.spill,
        .argument_count = job->argc,
        .arguments = job->argv,
        .seed = (uint64_t)job->rank * UINT64_C(0x9e3779b97f4a7c15) + 1,
        .object_bytes = h->object_bytes,
        .timeout_ns = job->options.timeout > 0 ? (int64_t)(job->options.timeout * 1e9) : MT_NEVER,
        .cores = cores_of(job, job->rank),
        .crowded = sharers > h->usable,
        .gpu_first = h->gpu_first,
        .gpu_devices = gpus,
    };
    return mt_node_create(&desc, &job->node);
}

static mt_status job_start(mt_job *job) {
    mt_last_words_start(job->rank);
    mt_status status = mt_program_create(job->desc, &job->program);
    if (status == MT_OK) job->mine.digest = job->program->digest;
    MT_KEEP(status, look_round(job));
    if (status == MT_OK) status = try_folders(job);
    MT_TRY(exchange(job, status));
    MT_TRY(mt_transport_job_create(job->world, &job->transport));
    MT_TRY(mt_heap_job_create(job->world, job->mine.object_bytes, &job->heap));
    MT_TRY(mt_comm_barrier(job->world));
    if (*job->options.timeline) status = mt_timeline_create(job->rank, mt_clock_ns(), 0, &job->timeline);
    MT_KEEP(status, agree(job));
    if (status == MT_OK) status = node_start(job);
    return mt_comm_agree(job->world, status);   // nobody sends before everybody is there
}

// A job that cannot be looked at still runs.
static void status_start(mt_job *job) {
    mt_status_server_desc desc = {.node = job->node, .socket = job->options.status, .metrics_file = job->options.metrics_file};
    if (mt_status_server_create(&desc, &job->status) == MT_OK) return;
    mt_log_warn("manta status will not find this job: %s", mt_last_error());
    desc.socket = 0;
    if (mt_status_server_create(&desc, &job->status) != MT_OK) mt_log_warn("no --metrics-file: %s", mt_last_error());
}

static void job_free(mt_job *job) {
    if (job->transport) job->transport->ops->destroy(job->transport);
    mt_heap_destroy(job->heap);
    mt_timeline_destroy(job->timeline);
    mt_program_destroy(job->program);
    free(job->totals);
    free(job->all);
    free(job);
}

mt_status mt_job_start(mt_comm *world, const mt_job_options *options, const manta_program *program, int argc, char **argv, mt_job **out) {
    *out = NULL;
    mt_job *job = calloc(1, sizeof *job);
    int size = mt_comm_size(world);
    hello *all = calloc((size_t)size, sizeof *all);
    mt_resources *totals = calloc((size_t)size, sizeof *totals);
    mt_status status = job && all && totals ? MT_OK : MT_FAIL(NO_MEMORY, "out of memory for a job of %d ranks", size);
    status = mt_comm_agree(world, status);
    if (status != MT_OK) {
        free(totals);
        free(all);
        free(job);
        return status;
    }
    job->world = world;
    job->options = *options;
    job->desc = program;
    job->all = all;
    job->totals = totals;
    job->rank = mt_comm_rank(world);
    job->size = size;
    job->argc = argc;
    job->argv = argv;
    status = job_start(job);
    if (status == MT_OK) {
        if (job->rank == 0) status_start(job);
        *out = job;
        return MT_OK;
    }
    if (mt_node_destroy(job->node) == MT_OK) job_free(job);
    return status;
}

int mt_job_rank(const mt_job *job) { return job->rank; }
int mt_job_size(const mt_job *job) { return job->size; }

// ---- running and ending

// the nearest of the engine's own codes, so that the message travels as every other
static mt_status status_of_code(int code) {
    static const mt_status statuses[MANTA_CODE_COUNT] = {
        [MANTA_OK] = MT_OK, [MANTA_TASK_FAILED] = MT_ENV, [MANTA_ACTOR_DIED] = MT_COMM, [MANTA_OBJECT_LOST] = MT_COMM,
        [MANTA_DEADLINE] = MT_DEADLINE, [MANTA_INFEASIBLE] = MT_CONFIG, [MANTA_CANCELLED] = MT_INTERRUPTED,
        [MANTA_NO_MEMORY] = MT_NO_MEMORY, [MANTA_INVALID] = MT_INVALID_ARGUMENT, [MANTA_NOT_FOUND] = MT_NOT_FOUND,
        [MANTA_EXISTS] = MT_EXISTS, [MANTA_FULL] = MT_NO_MEMORY, [MANTA_SHUTDOWN] = MT_COMM, [MANTA_COMM] = MT_COMM,
        [MANTA_IO] = MT_IO, [MANTA_INTERNAL] = MT_INTERNAL};
    return code >= 0 && code < MANTA_CODE_COUNT ? statuses[code] : MT_ENV;
}

mt_status mt_job_run_driver(mt_job *job, int *code) {
    manta_context *c = mt_context_create(job->node, 0);
    if (!c) return MT_FAIL(NO_MEMORY, "out of memory for the driver");
    if (!job->desc->driver) *code = mt_context_fail(c, MANTA_INVALID, "the program has no driver");
    else *code = job->desc->driver(c);
    mt_node_enter(job->node);
    mt_context_release_all(c);
    mt_node_leave(job->node);
    if (*code != MANTA_OK)
        mt_fail(status_of_code(*code), __FILE__, __LINE__, "%s", c->error_code == *code ? c->error : "the driver ended with a failure");
    mt_context_destroy(c);
    mt_node_end(job->node);
    return MT_OK;
}

mt_status mt_job_serve(mt_job *job) { return mt_node_serve(job->node); }

static mt_status timeline_end(mt_job *job) {
    mt_status status = mt_timeline_write(job->timeline, job->options.timeline);
    MT_KEEP(status, mt_comm_barrier(job->world));
    if (job->rank == 0) MT_KEEP(status, mt_timeline_merge(job->options.timeline, job->size));
    if (status != MT_OK) mt_log_warn("the timeline is not complete: %s", mt_last_error());
    return MT_OK;
}

mt_status mt_job_stop(mt_job *job) {
    if (!job) return MT_OK;
    mt_status_server_destroy(job->status);
    job->status = NULL;
    mt_node_end(job->node);
    mt_status status = mt_node_drain(job->node, mt_deadline_after((int64_t)(job->options.end_timeout * 1e9)));
    mt_core_stats stats;
    mt_node_enter(job->node);
    mt_core_stats_get(job->node->core, &stats);
    mt_node_leave(job->node);
    if (status == MT_OK && stats.dead_ranks)
        status = MT_FAIL(COMM, "%d of the job's %d ranks died; the others went on to the end without them", stats.dead_ranks, job->size);
    if (status != MT_OK) mt_mpi_mark_broken();
    // messages to ranks that have left are nobody's: everybody first
    else MT_KEEP(status, mt_comm_barrier(job->world));
    mt_status stopped = mt_node_destroy(job->node);
    if (stopped != MT_OK) return status != MT_OK ? status : stopped;   // threads still use it: nothing is freed
    if (status == MT_OK && job->timeline) status = timeline_end(job);
    job_free(job);
    return status;
}
