// What the runtime costs beyond Ray's rows (microbenchmark.c): time there and back, and what a million queued tasks, ten thousand
// actors, large objects and an idle job take.
//   mpirun -n 2 bench_runtime_limits --resources cpu=1 [--csv FILE] [--quick] [--only "trips large actors tasks"]
//   mpirun -n 4 bench_runtime_limits [--csv FILE] [--quick]                      CPU use of an idle job
// References of the same run: a cache line that two threads hand to and fro, a byte through two pipes, memcpy (both sides by the
// thread's CPU time).
#include "bench/bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/runtime/api/context.h"
#include "engine/runtime/manta_runtime.h"

enum { PAUSE_US = 5000 };
static const manta_options on_one = {.on_rank = MANTA_ON_RANK(1)};

/* ---- what is called */

static int nothing(manta_context *c) { return (void)c, MANTA_OK; }

// keeps the rank's CPU until it is cancelled, and looks every so many milliseconds
static int gate(manta_context *c) {
    while (!manta_cancelled(c)) usleep((useconds_t)(1000 * manta_i64_of(c, 0)));
    return MANTA_OK;
}

static double status_kb(const char *field) {   // of /proc/self/status
    char line[256];
    double kb = 0;
    size_t length = strlen(field);
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, field, length) == 0) kb = atof(line + length + 1);
    if (file) fclose(file);
    return kb;
}

// now, at most, of the core's own records (bytes); CPU seconds of this process
enum { RSS, PEAK, CORE, CPU, FIGURES };
static void figures(const manta_context *c, double *out) {
    mt_core_stats stats;
    struct rusage use;
    mt_node_enter(c->node);
    mt_core_stats_get(c->node->core, &stats);
    mt_node_leave(c->node);
    getrusage(RUSAGE_SELF, &use);
    out[RSS] = status_kb("VmRSS") * 1024, out[PEAK] = status_kb("VmHWM") * 1024, out[CORE] = (double)stats.memory_bytes;
    out[CPU] = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + 1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}
static int tell_figures(manta_context *c) {
    double out[FIGURES];
    figures(c, out);
    return manta_return(c, manta_vector(MANTA_TYPE_F64, FIGURES, out));
}

static int put_bytes(manta_context *c) {   // written in place
    int64_t bytes = manta_i64_of(c, 0);
    void *to = manta_result(c, 0, MANTA_TYPE_U8, 1, &bytes);
    return to ? memset(to, 1, (size_t)bytes), MANTA_OK : manta_error(c).code;
}

static const manta_task tasks[] = {
    {"nothing", nothing, ""},
    {"gate", gate, "i64"},
    {"figures", tell_figures, "-> f64[4]"},
    {"put_bytes", put_bytes, "i64 -> u8[?]"},
};
static const manta_method methods[] = {{"nothing", nothing, ""}};
static const manta_class classes[] = {{.name = "Actor", .state_bytes = 64, .methods = methods, .method_count = 1}};

static int figures_of(manta_context *c, int rank, double *out) {
    manta_ref ref = manta_call_with(c, "figures", MANTA_OPTIONS(.on_rank = MANTA_ON_RANK(rank), .num_cpus = MANTA_NO_CPU));
    manta_value value;
    int code = manta_get(c, ref, &value);
    if (code == MANTA_OK) memcpy(out, value.data, value.bytes);
    manta_release(c, ref);
    return code;
}

/* ---- there and back */

typedef void trip(void *context);
static void trips(const char *name, trip *go, void *context, int count, int pause_us) {
    double *us = malloc((size_t)count * sizeof *us), peak;
    char row[96];
    if (!us) return;
    for (int i = -count / 10; i < count; i++) {
        if (pause_us) usleep((useconds_t)pause_us);
        double start = bench_wall_s();
        go(context);
        if (i >= 0) us[i] = 1e6 * (bench_wall_s() - start);
    }
    double median = bench_median(us, count);   // sorts
    peak = us[count * 99 / 100];
    snprintf(row, sizeof row, "%s, median", name);
    bench_row(row, median, "us", NULL, 0);
    snprintf(row, sizeof row, "%s, 99 %% within", name);
    bench_row(row, peak, "us", NULL, 0);
    free(us);
}

typedef struct call {
    manta_context *c;
    manta_actor actor;
    int code;
} call;
static void round_trip(void *context) {
    call *x = context;
    manta_ref ref = manta_tell(x->c, x->actor, "nothing");
    int code = manta_get(x->c, ref, &(manta_value){0});
    manta_release(x->c, ref);
    if (x->code == MANTA_OK) x->code = code;
}

static _Atomic int ball;   // 0: ours, 1: theirs, 2: the game is over
static void *play_line(void *unused) {
    for (int seen; (seen = atomic_load(&ball)) != 2;)
        if (seen == 1) atomic_store(&ball, 0);
    return unused;
}
static void line_trip(void *unused) {
    (void)unused;
    atomic_store(&ball, 1);
    while (atomic_load(&ball) == 1) {}
}

typedef struct pipes { int there[2], back[2]; } pipes;
static void *play_pipe(void *context) {
    pipes *p = context;
    char byte;
    while (read(p->there[0], &byte, 1) == 1 && write(p->back[1], &byte, 1) == 1) {}
    return NULL;
}
static void pipe_trip(void *context) {
    pipes *p = context;
    char byte = 0;
    if (write(p->there[1], &byte, 1) != 1 || read(p->back[0], &byte, 1) != 1) exit(3);
}

// The system keeps both ends of the pipes on one core, where a wake-up costs little: a call's two ends are on two.
static void pin(pthread_t thread, const cpu_set_t *usable, int last) {
    cpu_set_t one;
    int found = -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, usable) && (found < 0 || last)) found = cpu;
    CPU_ZERO(&one);
    CPU_SET(found, &one);
    pthread_setaffinity_np(thread, sizeof one, &one);
}

static int measure_trips(manta_context *c, int quick) {
    int busy = quick ? 20000 : 200000, idle = quick ? 200 : 1000;
    pthread_t thread;
    cpu_set_t usable;
    pipes p;
    if (pthread_create(&thread, NULL, play_line, NULL) != 0) return manta_fail(c, "no thread");
    trips("a cache line to and fro", line_trip, NULL, busy, 0);
    atomic_store(&ball, 2);
    pthread_join(thread, NULL);
    if (pipe(p.there) != 0 || pipe(p.back) != 0 || pthread_create(&thread, NULL, play_pipe, &p) != 0) return manta_fail(c, "no pipe");
    trips("a byte through two pipes, busy", pipe_trip, &p, busy / 10, 0);
    trips("a byte through two pipes, from idle", pipe_trip, &p, idle, PAUSE_US);
    sched_getaffinity(0, sizeof usable, &usable);
    pin(thread, &usable, 1), pin(pthread_self(), &usable, 0);
    trips("a byte through two pipes between two cores, from idle", pipe_trip, &p, idle, PAUSE_US);
    pthread_setaffinity_np(pthread_self(), sizeof usable, &usable);
    close(p.there[1]);
    pthread_join(thread, NULL);
    call x = {.c = c, .actor = manta_new(c, "Actor", &on_one)};
    trips("call of an actor on another rank, busy", round_trip, &x, busy, 0);
    trips("call of an actor on another rank, from idle", round_trip, &x, idle, PAUSE_US);
    manta_release(c, x.actor.ref);
    return x.code;
}

/* ---- many */

static int get_release(manta_context *c, manta_ref *refs, int count) {
    int code = manta_get_all(c, refs, count, MANTA_DEFAULT_TIMEOUT, NULL);
    for (int i = 0; i < count; i++) manta_release(c, refs[i]);
    return code;
}

static int measure_tasks(manta_context *c, int count) {
    manta_ref *refs = calloc((size_t)count, sizeof *refs), busy = manta_call_with(c, "gate", &on_one, manta_i64(1));
    double before[FIGURES], after[FIGURES];
    char row[96];
    if (!refs) return manta_fail(c, "out of memory");
    figures(c, before);
    double start = bench_wall_s();
    for (int i = 0; i < count; i++) refs[i] = manta_call_with(c, "nothing", &on_one);
    double queued = bench_wall_s();
    figures(c, after);
    manta_cancel(c, busy);
    double opened = bench_wall_s();
    int code = get_release(c, refs, count);
    double done = bench_wall_s();
    manta_release(c, busy);
    free(refs);
    snprintf(row, sizeof row, "%d tasks queued for one rank", count);
    bench_row(row, count / (queued - start), "1/s", NULL, 0);
    bench_row("they run", count / (done - opened), "1/s", NULL, 0);
    bench_row("memory of a queued task, records", (after[CORE] - before[CORE]) / count, "bytes", NULL, 0);
    bench_row("memory of a queued task, process", (after[PEAK] - before[RSS]) / count, "bytes", NULL, 0);
    return code;
}

static int measure_actors(manta_context *c, int count) {
    manta_actor *actors = calloc((size_t)count, sizeof *actors);
    manta_ref *refs = calloc((size_t)count, sizeof *refs);
    double mine[2][FIGURES], theirs[2][FIGURES];
    char row[96];
    if (!refs || !actors) return manta_fail(c, "out of memory");
    int code = figures_of(c, 1, theirs[0]);
    figures(c, mine[0]);
    double start = bench_wall_s();
    for (int i = 0; i < count; i++) actors[i] = manta_new(c, "Actor", &on_one);
    for (int i = 0; i < count; i++) refs[i] = manta_tell(c, actors[i], "nothing");
    if (code == MANTA_OK) code = get_release(c, refs, count);
    double made = bench_wall_s();
    if (code == MANTA_OK) code = figures_of(c, 1, theirs[1]);
    figures(c, mine[1]);
    double again = bench_wall_s();
    for (int i = 0; i < count; i++) refs[i] = manta_tell(c, actors[i], "nothing");
    if (code == MANTA_OK) code = get_release(c, refs, count);
    double called = bench_wall_s();
    for (int i = 0; i < count; i++) manta_release(c, actors[i].ref);
    free(actors);
    free(refs);
    snprintf(row, sizeof row, "%d actors made on one rank and called once", count);
    bench_row(row, count / (made - start), "1/s", NULL, 0);
    bench_row("a call of each", count / (called - again), "1/s", NULL, 0);
    bench_row("memory of an actor at its owner, records", (mine[1][CORE] - mine[0][CORE]) / count, "bytes", NULL, 0);
    bench_row("memory of an actor at its host, records", (theirs[1][CORE] - theirs[0][CORE]) / count, "bytes", NULL, 0);
    bench_row("memory of an actor at its host, process", (theirs[1][RSS] - theirs[0][RSS]) / count, "bytes", NULL, 0);
    return code;
}

/* ---- large objects */

typedef struct large {
    manta_context *c;
    const void *from;
    void *to;
    int64_t bytes;
    manta_ref ref;
    int code;
} large;
static void put(void *context) {
    large *x = context;
    manta_ref ref = manta_put(x->c, manta_vector(MANTA_TYPE_U8, x->bytes, x->from));
    int code = manta_get(x->c, ref, &(manta_value){0});
    manta_release(x->c, ref);
    if (x->code == MANTA_OK) x->code = code;
}
// what another rank has made: taken hold of anew, copied out
static void get(void *context) {
    large *x = context;
    manta_value value;
    int code = manta_get(x->c, x->ref, &value);
    if (code == MANTA_OK) memcpy(x->to, value.data, value.bytes);
    if (x->code == MANTA_OK) x->code = code;
}

static int measure_large(manta_context *c, int64_t mib) {
    int64_t bytes = mib << 20;
    char row[96];
    large x = {.c = c, .from = malloc((size_t)bytes), .to = malloc((size_t)bytes), .bytes = bytes};
    if (!x.from || !x.to) return manta_fail(c, "out of memory");
    memset((void *)x.from, 1, (size_t)bytes);
    memset(x.to, 1, (size_t)bytes);
    double copy = bench_memcpy_rate((size_t)bytes), scale = 2e-9 * (double)bytes;
    snprintf(row, sizeof row, "put of %d MiB", (int)mib);
    bench_row(row, scale / bench_run_with(put, &x, CLOCK_THREAD_CPUTIME_ID, 11, 20e-3).median, "GB/s", "memcpy", copy);
    manta_ref ref = x.ref = manta_call_with(c, "put_bytes", &on_one, manta_i64(bytes));
    if (x.code == MANTA_OK) x.code = manta_wait(c, &ref, 1, 1, MANTA_DEFAULT_TIMEOUT, &(bool){0});
    double start = bench_wall_s();
    if (x.code == MANTA_OK) x.code = manta_get(c, ref, &(manta_value){0});
    double got = bench_wall_s();
    snprintf(row, sizeof row, "first view of %d MiB made by another rank", (int)mib);
    bench_row(row, 1e6 * (got - start), "us", NULL, 0);
    snprintf(row, sizeof row, "get of the same, copied out of the view");
    bench_row(row, scale / bench_run_with(get, &x, CLOCK_THREAD_CPUTIME_ID, 11, 20e-3).median, "GB/s", "memcpy", copy);
    manta_release(c, ref);
    free((void *)x.from);
    free(x.to);
    return x.code;
}

/* ---- nothing to do */

static int measure_idle(manta_context *c, double seconds) {
    double before[64] = {0}, after[64] = {0}, sum = 0, most = 0, out[FIGURES];
    int ranks = manta_rank_count(c) < 64 ? manta_rank_count(c) : 64, code = MANTA_OK;
    char row[96];
    manta_ref never = manta_call_with(c, "gate", &on_one, manta_i64(500));
    manta_wait(c, &never, 1, 1, 1, &(bool){0});   // everybody falls asleep
    for (int r = 0; r < ranks && code == MANTA_OK; r++) code = figures_of(c, r, out), before[r] = out[CPU];
    double start = bench_wall_s();
    manta_wait(c, &never, 1, 1, seconds, &(bool){0});
    double slept = bench_wall_s() - start;
    for (int r = 0; r < ranks && code == MANTA_OK; r++) code = figures_of(c, r, out), after[r] = out[CPU];
    for (int r = 0; r < ranks; r++) {
        double use = 100 * (after[r] - before[r]) / slept;
        sum += use, most = use > most ? use : most;
    }
    manta_cancel(c, never);
    snprintf(row, sizeof row, "CPU use of an idle job of %d ranks", ranks);
    bench_row(row, sum, "% core", "goal: below", 2);
    bench_row("of the busiest rank", most, "% core", NULL, 0);
    return code;
}

static int driver(manta_context *c) {
    int argc, quick = 0, code = MANTA_OK;
    char **argv = manta_program_args(c, &argc);
    const char *only = "trips large actors tasks";
    for (int i = 0; i < argc; i++) {
        quick |= strcmp(argv[i], "--quick") == 0;
        if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) only = argv[i + 1];
    }
    if (manta_rank_count(c) < 2) return manta_fail(c, "two ranks at least: mpirun -n 2");
    bench_open(argc, argv, "runtime");
    if (manta_rank_count(c) > 2) code = measure_idle(c, quick ? 3 : 10);
    else {
        static const int64_t mib[] = {1, 16, 256};
        if (strstr(only, "trips")) code = measure_trips(c, quick);
        for (int i = 0; i < 3 && code == MANTA_OK && strstr(only, "large"); i++) code = measure_large(c, mib[i]);
        if (code == MANTA_OK && strstr(only, "actors")) code = measure_actors(c, 10000);
        if (code == MANTA_OK && strstr(only, "tasks")) code = measure_tasks(c, 1000000);
    }
    int written = bench_close();
    return code != MANTA_OK ? code : written ? manta_fail(c, "the results could not be written") : MANTA_OK;
}

int main(int argc, char **argv) {
    return manta_main(argc, argv, &(manta_program){.tasks = tasks, .task_count = sizeof tasks / sizeof *tasks, .classes = classes,
        .class_count = 1, .driver = driver});
}
