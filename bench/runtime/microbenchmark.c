// Ray's microbenchmark (`ray microbenchmark`, Ray 2.60), row by row, for manta: the same work under the same names.
//   mpirun -n 1 bench_runtime ARGUMENTS : -n 1 bench_runtime --resources custom=100 ARGUMENTS
//   mpirun -n CORES+1 bench_runtime ARGUMENTS
//     [--csv FILE] [--peers-csv FILE] [--seconds 5] [--only TEXT]
// With two ranks: the rows of one client, which is the driver on rank 0; what it calls runs on rank 1, as Ray's tasks and actors
// run in other processes than their caller. With more ranks: the rows of many clients; clients, servers and the tasks that
// they call are on different ranks, none on the driver's. Each row: a warm-up, five samples, the median. References are the rows
// "Ray ...: NAME" of FILE (bench/run.sh's ray.csv).
//
// What manta does not have as Ray has it: asynchronous actors are actors with 1,000 calls at a time, as many as Ray gives them.
#include "bench/bench.h"

#include <math.h>
#include <sys/mman.h>

#include "engine/runtime/manta_runtime.h"

enum { SAMPLES = 5, BATCH = 1000, CLIENTS = 4, BIG_BATCH = 5000, SERVERS_MAX = 16, GROUPS = 100 };
enum { SMALL_ARRAY = 10 * 1024 * 1024, LARGE_ARRAY = 100 * 1024 * 1024 };   // of int64
#define ARRAY_BYTES ((size_t)LARGE_ARRAY * sizeof(int64_t))

typedef struct bench {
    manta_context *c;
    int code;                                 // the first failure
    int ranks, servers;                       // servers: half of the ranks that work, as Ray takes half of the cores
    manta_actor actor, clients[SERVERS_MAX], server[SERVERS_MAX];
    manta_ref value;
    int64_t *array;
    manta_ref refs[BATCH];
} bench;

static void check(bench *b, int code) {
    if (b->code == MANTA_OK) b->code = code;
}

/* ---- what is called */

static int reply(manta_context *c) { return manta_return(c, manta_bytes("ok", 2)); }

static int put_small(manta_context *c) {   // 100 of them
    for (int i = 0; i < 100; i++) manta_release(c, manta_put(c, manta_i64(0)));
    return MANTA_OK;
}

// Zeros as NumPy's: fresh pages, huge ones where there are any. NULL: none.
static int64_t *zeros(size_t count) {
    void *memory = mmap(NULL, count * sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    madvise(memory, count * sizeof(int64_t), MADV_HUGEPAGE);
    return memory;
}

static int put_arrays(manta_context *c) {   // 10 of 80 MiB
    for (int i = 0; i < 10; i++) {
        int64_t *array = zeros(SMALL_ARRAY);
        if (!array) return manta_fail(c, "out of memory");
        manta_ref ref = manta_put(c, manta_vector(MANTA_TYPE_I64, SMALL_ARRAY, array));
        munmap(array, SMALL_ARRAY * sizeof *array);
        int code = manta_get(c, ref, &(manta_value){0});
        manta_release(c, ref);
        if (code != MANTA_OK) return code;
    }
    return MANTA_OK;
}

static int ten_thousand_refs(manta_context *c) {
    manta_ref *refs = malloc(10000 * sizeof *refs);
    if (!refs) return manta_fail(c, "out of memory");
    for (int i = 0; i < 10000; i++) refs[i] = manta_put(c, manta_i64(1));
    int code = manta_return(c, manta_references(refs, 10000));
    free(refs);
    return code;
}

// Gets `count` results that `begin` starts, and lets them go.
typedef manta_ref begin_call(manta_context *c, void *context, int i);
static int call_many(manta_context *c, int count, begin_call *begin, void *context) {
    manta_ref *refs = calloc((size_t)count, sizeof *refs);
    if (!refs) return manta_fail(c, "out of memory");
    for (int i = 0; i < count; i++) refs[i] = begin(c, context, i);
    int code = manta_get_all(c, refs, count, MANTA_DEFAULT_TIMEOUT, NULL);
    for (int i = 0; i < count; i++) manta_release(c, refs[i]);
    free(refs);
    return code;
}

static manta_ref begin_task(manta_context *c, void *context, int i) {
    (void)i;
    return manta_call_with(c, "small_value", context);
}

// n, rank: that many tasks there
static int task_batch(manta_context *c) {
    manta_options there = {.on_rank = MANTA_ON_RANK((int)manta_i64_of(c, 1))};
    return call_many(c, (int)manta_i64_of(c, 0), begin_task, &there);
}

typedef struct servers {
    manta_actor *actor;   // (count)
    int count;
    manta_ref x;
} servers;

static manta_ref begin_method(manta_context *c, void *context, int i) {
    servers *s = context;
    return manta_tell(c, s->actor[i % s->count], "small_value");
}

static manta_ref begin_method_with_ref(manta_context *c, void *context, int i) {
    servers *s = context;
    return manta_tell(c, s->actor[i % s->count], "small_value_arg", manta_from(s->x));
}

// n, servers...: that many calls to each
static int method_batch(manta_context *c) {
    manta_actor actor[SERVERS_MAX];
    servers s = {.actor = actor, .count = manta_argument_count(c) - 1};
    for (int i = 0; i < s.count; i++) actor[i] = manta_actor_of(c, i + 1);
    return call_many(c, (int)manta_i64_of(c, 0) * s.count, begin_method, &s);
}

static int method_batch_arg(manta_context *c) {
    manta_actor actor[1] = {manta_actor_of(c, 1)};
    servers s = {.actor = actor, .count = 1, .x = manta_put(c, manta_i64(0))};
    int code = call_many(c, (int)manta_i64_of(c, 0), begin_method_with_ref, &s);
    manta_release(c, s.x);
    return code;
}

static const manta_task tasks[] = {
    {"small_value", reply, "-> bytes"},
    {"put_small", put_small, ""},
    {"put_arrays", put_arrays, ""},
    {"ten_thousand_refs", ten_thousand_refs, "-> ref[?]"},
    {"work", method_batch, "i64, ..."},
};
static const manta_method methods[] = {
    {"small_value", reply, "-> bytes"},
    {"small_value_arg", reply, "any -> bytes"},
    {"task_batch", task_batch, "i64, i64"},
    {"method_batch", method_batch, "i64, ..."},
    {"method_batch_arg", method_batch_arg, "i64, actor"},
};
static const manta_class classes[] = {{.name = "Actor", .methods = methods, .method_count = sizeof methods / sizeof *methods}};

/* ---- the driver's side: one call of a row's function */

static manta_actor new_actor(bench *b, int rank, int concurrency) {
    manta_options options = {.on_rank = MANTA_ON_RANK(rank), .max_concurrency = concurrency};
    manta_actor actor = manta_new(b->c, "Actor", &options);
    check(b, manta_get(b->c, manta_tell(b->c, actor, "small_value"), &(manta_value){0}));
    return actor;
}

// ranks other than the driver's, in turn
static int worker(const bench *b, int i) { return 1 + i % (b->ranks - 1); }

static void get_all_release(bench *b, const manta_ref *refs, int count) {
    check(b, manta_get_all(b->c, refs, count, MANTA_DEFAULT_TIMEOUT, NULL));
    for (int i = 0; i < count; i++) manta_release(b->c, refs[i]);
}

static void get_release(bench *b, manta_ref ref) { get_all_release(b, &ref, 1); }

static void begin_value(bench *b) { b->value = manta_put(b->c, manta_i64(0)); }
static void begin_array(bench *b) {
    b->array = zeros(LARGE_ARRAY);
    if (!b->array) check(b, MANTA_NO_MEMORY);
}
static void begin_actor(bench *b) { b->actor = new_actor(b, 1, 0); }
static void begin_actor_16(bench *b) { b->actor = new_actor(b, 1, 16); }
static void begin_actor_1000(bench *b) { b->actor = new_actor(b, 1, 1000); }
static void begin_refs(bench *b) { b->value = manta_call_with(b->c, "ten_thousand_refs", &(manta_options){.on_rank = MANTA_ON_RANK(1)}); }

static void begin_clients(bench *b) {
    for (int i = 0; i < CLIENTS; i++) b->clients[i] = new_actor(b, worker(b, i), 0);
}
static void begin_servers_of(bench *b, int concurrency) {
    for (int i = 0; i < b->servers; i++) {
        b->clients[i] = new_actor(b, 1 + i, 0);
        b->server[i] = new_actor(b, 1 + b->servers + i, concurrency);
    }
}
static void begin_servers(bench *b) { begin_servers_of(b, 0); }
static void begin_servers_1000(bench *b) { begin_servers_of(b, 1000); }

static void get_value(bench *b) { check(b, manta_get(b->c, b->value, &(manta_value){0})); }
static void put_value(bench *b) { manta_release(b->c, manta_put(b->c, manta_i64(0))); }
static void put_array(bench *b) {
    manta_ref ref = manta_put(b->c, manta_vector(MANTA_TYPE_I64, LARGE_ARRAY, b->array));
    check(b, manta_get(b->c, ref, &(manta_value){0}));
    manta_release(b->c, ref);
}

static void ten_tasks(bench *b, const char *task) {
    manta_ref refs[10];
    for (int i = 0; i < 10; i++) refs[i] = manta_call_with(b->c, task, &(manta_options){.on_rank = MANTA_ON_RANK(worker(b, i))});
    get_all_release(b, refs, 10);
}
static void ten_put_small(bench *b) { ten_tasks(b, "put_small"); }
static void ten_put_arrays(bench *b) { ten_tasks(b, "put_arrays"); }

static const manta_options on_one = {.on_rank = MANTA_ON_RANK(1)};
static void task(bench *b) { get_release(b, manta_call_with(b->c, "small_value", &on_one)); }
static void thousand_tasks(bench *b) { check(b, call_many(b->c, BATCH, begin_task, (void *)&on_one)); }

// every one of the references is read
static void get_refs(bench *b) {
    manta_value value;
    uint64_t serials = 0;
    check(b, manta_get(b->c, b->value, &value));
    for (int64_t i = 0; b->code == MANTA_OK && i < value.shape[0]; i++) serials += ((const manta_ref *)value.data)[i].serial;
    if (b->code == MANTA_OK && serials == 0) check(b, MANTA_INTERNAL);
}

// a thousand waits for one more, in each of which one is taken away
static void wait_refs(bench *b) {
    manta_ref *refs = b->refs;
    bool ready[BATCH];
    for (int i = 0; i < BATCH; i++) refs[i] = manta_call_with(b->c, "small_value", &on_one);
    for (int left = BATCH; left > 0 && b->code == MANTA_OK; left--) {
        check(b, manta_wait(b->c, refs, left, 1, MANTA_DEFAULT_TIMEOUT, ready));
        int first = 0;
        while (first < left - 1 && !ready[first]) first++;
        manta_release(b->c, refs[first]);
        memmove(&refs[first], &refs[first + 1], (size_t)(left - first - 1) * sizeof *refs);
    }
}

static void actor_call(bench *b) { get_release(b, manta_tell(b->c, b->actor, "small_value")); }
static void actor_calls(bench *b) { check(b, call_many(b->c, BATCH, begin_method, &(servers){.actor = &b->actor, .count = 1})); }
static manta_ref begin_method_with_number(manta_context *c, void *context, int i) {
    return manta_tell(c, *(manta_actor *)context, "small_value_arg", manta_i64(i));
}
static void actor_calls_with_number(bench *b) { check(b, call_many(b->c, BATCH, begin_method_with_number, &b->actor)); }

static void task_batches(bench *b) {
    manta_ref refs[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        refs[i] = manta_tell(b->c, b->clients[i], "task_batch", manta_i64(10000), manta_i64(worker(b, i + 1)));
    get_all_release(b, refs, CLIENTS);
}

static void server_args(const bench *b, int64_t n, manta_arg *args) {
    args[0] = manta_i64(n);
    for (int i = 0; i < b->servers; i++) args[i + 1] = manta_handle(b->server[i]);
}
static void one_to_n(bench *b) {
    manta_arg args[1 + SERVERS_MAX];
    server_args(b, BIG_BATCH, args);
    get_release(b, manta_invoke1(b->c, b->clients[0], "method_batch", args, 1 + b->servers));
}
static void n_to_n(bench *b) {   // Ray: n calls each, whatever the number of servers
    manta_ref refs[CLIENTS];
    manta_arg args[1 + SERVERS_MAX];
    server_args(b, BIG_BATCH / b->servers, args);
    for (int i = 0; i < CLIENTS; i++) {
        manta_options there = {.on_rank = MANTA_ON_RANK(1 + i % b->servers)};
        refs[i] = manta_submit1(b->c, "work", &there, args, 1 + b->servers);
    }
    get_all_release(b, refs, CLIENTS);
}
static void n_to_n_arg(bench *b) {
    manta_ref refs[SERVERS_MAX] = {0};
    for (int i = 0; i < b->servers; i++)
        refs[i] = manta_tell(b->c, b->clients[i], "method_batch_arg", manta_i64(BATCH), manta_handle(b->server[i]));
    get_all_release(b, refs, b->servers);
}

static void placement_groups(bench *b) {
    manta_placement *groups[GROUPS];
    manta_bundle bundle = {.resources = &(manta_resource){"custom", 0.001}, .resource_count = 1};
    for (int i = 0; i < GROUPS; i++) groups[i] = manta_placement_create(b->c, &bundle, 1, MANTA_PACK);
    for (int i = 0; i < GROUPS; i++) check(b, groups[i] ? manta_placement_wait(b->c, groups[i], 30) : MANTA_NO_MEMORY);
    for (int i = 0; i < GROUPS; i++) manta_placement_remove(b->c, groups[i]);
}

/* ---- rows, in Ray's order */

typedef void step(bench *b);
typedef struct row {
    const char *name;
    double work;      // of one call; negative: times the number of servers
    int many;         // wants more than two ranks
    step *begin, *run;
} row;
static const row rows[] = {
    {"single client get calls (Plasma Store)", 1, 0, begin_value, get_value},
    {"single client put calls (Plasma Store)", 1, 0, NULL, put_value},
    {"multi client put calls (Plasma Store)", 1000, 1, NULL, ten_put_small},
    {"single client put gigabytes", 0.8, 0, begin_array, put_array},
    {"single client tasks and get batch", 1, 0, NULL, thousand_tasks},
    {"multi client put gigabytes", 8, 1, NULL, ten_put_arrays},
    {"single client get object containing 10k refs", 1, 0, begin_refs, get_refs},
    {"single client wait 1k refs", 1, 0, NULL, wait_refs},
    {"single client tasks sync", 1, 0, NULL, task},
    {"single client tasks async", BATCH, 0, NULL, thousand_tasks},
    {"multi client tasks async", 10000 * CLIENTS, 1, begin_clients, task_batches},
    {"1:1 actor calls sync", 1, 0, begin_actor, actor_call},
    {"1:1 actor calls async", BATCH, 0, begin_actor, actor_calls},
    {"1:1 actor calls concurrent", BATCH, 0, begin_actor_16, actor_calls},
    {"1:n actor calls async", -BIG_BATCH, 1, begin_servers, one_to_n},
    {"n:n actor calls async", BIG_BATCH * CLIENTS, 1, begin_servers, n_to_n},
    {"n:n actor calls with arg async", -BATCH, 1, begin_servers, n_to_n_arg},
    {"1:1 async-actor calls sync", 1, 0, begin_actor_1000, actor_call},
    {"1:1 async-actor calls async", BATCH, 0, begin_actor_1000, actor_calls},
    {"1:1 async-actor calls with args async", BATCH, 0, begin_actor_1000, actor_calls_with_number},
    {"1:n async-actor calls async", -BIG_BATCH, 1, begin_servers_1000, one_to_n},
    {"n:n async-actor calls async", BIG_BATCH * CLIENTS, 1, begin_servers_1000, n_to_n},
    {"placement group create/removal", GROUPS, 0, NULL, placement_groups},
};

// Of the row in bench/run.sh's file; its name goes to `who`. 0: not there.
static double peer_rate(const char *path, const char *name, char *who, size_t who_bytes) {
    char line[512], end[160];
    double found = 0;
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return 0;
    snprintf(end, sizeof end, ": %s\",", name);
    while (found == 0 && fgets(line, sizeof line, file)) {
        char *at = strstr(line, end), *quote = strchr(line, '"');
        if (!at || !quote) continue;
        found = atof(at + strlen(end));
        snprintf(who, who_bytes, "%.*s", (int)(at - quote - 1), quote + 1);
    }
    fclose(file);
    return found;
}

static double measure(bench *b, const row *r, double seconds) {
    double samples[SAMPLES];
    int64_t calls = 0, step_calls;
    if (r->begin) r->begin(b);
    for (double start = bench_wall_s(); b->code == MANTA_OK && bench_wall_s() - start < fmin(1, seconds / 2); calls++) r->run(b);
    step_calls = calls / 10 + 1;
    for (int s = 0; s < SAMPLES && b->code == MANTA_OK; s++) {
        double start = bench_wall_s();
        for (calls = 0; b->code == MANTA_OK && bench_wall_s() - start < seconds / SAMPLES; calls += step_calls)
            for (int64_t i = 0; i < step_calls; i++) r->run(b);
        samples[s] = (double)calls / (bench_wall_s() - start);
    }
    return b->code == MANTA_OK ? bench_median(samples, SAMPLES) * (r->work < 0 ? -r->work * b->servers : r->work) : 0;
}

static void let_go(bench *b) {
    if (b->value.serial) manta_release(b->c, b->value);
    if (b->actor.ref.serial) manta_release(b->c, b->actor.ref);
    for (int i = 0; i < SERVERS_MAX; i++) {
        if (b->clients[i].ref.serial) manta_release(b->c, b->clients[i].ref);
        if (b->server[i].ref.serial) manta_release(b->c, b->server[i].ref);
    }
    if (b->array) munmap(b->array, ARRAY_BYTES);
    *b = (bench){.c = b->c, .code = b->code, .ranks = b->ranks, .servers = b->servers};
}

static int driver(manta_context *c) {
    int argc;
    char **argv = manta_program_args(c, &argc);
    const char *peers = NULL, *only = "";
    double seconds = 5;
    for (int i = 0; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--peers-csv") == 0) peers = argv[i + 1];
        if (strcmp(argv[i], "--only") == 0) only = argv[i + 1];
        if (strcmp(argv[i], "--seconds") == 0) seconds = atof(argv[i + 1]);
    }
    bench b = {.c = c, .ranks = manta_rank_count(c)};
    if (b.ranks < 2) return manta_fail(c, "two ranks at least: mpirun -n 2");
    b.servers = (b.ranks - 1) / 2 < SERVERS_MAX ? (b.ranks - 1) / 2 : SERVERS_MAX;
    bench_open(argc, argv, "runtime");
    for (size_t i = 0; i < sizeof rows / sizeof *rows && b.code == MANTA_OK; i++) {
        const row *r = &rows[i];
        char who[64] = "";
        if (r->many != (b.ranks > 2) || !strstr(r->name, only)) continue;
        double rate = measure(&b, r, seconds), peer = peer_rate(peers, r->name, who, sizeof who);
        if (b.code != MANTA_OK) fprintf(stderr, "%s: %s\n", r->name, manta_error(c).message);
        else bench_row(r->name, rate, strstr(r->name, "gigabytes") ? "GB/s" : "1/s", peer > 0 ? who : NULL, peer);
        let_go(&b);
    }
    int written = bench_close();
    return b.code != MANTA_OK ? b.code : written ? manta_fail(c, "the results could not be written") : MANTA_OK;
}

int main(int argc, char **argv) {
    return manta_main(argc, argv, &(manta_program){.tasks = tasks, .task_count = sizeof tasks / sizeof *tasks, .classes = classes,
        .class_count = 1, .driver = driver});
}
