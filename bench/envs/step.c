// Steps of the built-in environments per second: automatic reset, random actions drawn in the loop, observations written.
//   bench_envs [--csv FILE] [--peers-csv FILE] [--isa avx512|avx2|plain] [--wall]
// 1, 8 and 4,096 environments on one thread, 4,096 on two (one instance of 2,048 each, as two rollout workers have). Rates
// are of the threads' CPU time (--wall: of the clock on the wall), the median of 11 samples. References: Gymnasium's
// vectorised CartPole from FILE (rows of bench/run.sh's peers.csv), else the operations of a step at this core's peak of
// separate multiplications and additions in double (no FMA: environments give the same bits on every instruction set).
#include "bench/bench.h"

#include <pthread.h>
#include <unistd.h>

#include "rollout/env.h"
#include "rollout/envs/builtin.h"

enum { THREADS_MAX = 2, SAMPLES = 11 };
static const double goal_cartpole = 300e6;   // both cores

typedef struct subject {
    const char *id, *option, *value;
    int checked;             // through mt_env_step and its checks, as the sampler does
    double operations;       // of a step, additions and multiplications; divisions count as 8. 0: not counted
} subject;
static const subject subjects[] = {
    {"CartPole-v1", NULL, NULL, 0, 100},
    {"CartPole-v1", NULL, NULL, 1, 100},
    {"MountainCar-v0", NULL, NULL, 0, 50},
    {"MountainCarContinuous-v0", NULL, NULL, 0, 65},
    {"Pendulum-v1", NULL, NULL, 0, 75},
    {"Acrobot-v1", NULL, NULL, 0, 0},
    {"Acrobot-v1", "fast_math", "true", 0, 950},
};

typedef struct runner {
    mt_env *env;
    mt_env_buffers io;
    uint64_t random;
    int64_t calls;
    int checked;
    double rate;             // steps/s of the latest sample
    clockid_t clock;
    pthread_barrier_t *barrier;
} runner;

// one random word serves eight environments
static void draw_actions(runner *r) {
    const mt_space *space = mt_env_action_space(r->env);
    uint32_t count = mt_env_count(r->env);
    for (uint32_t i = 0; i < count; i += 8) {
        uint32_t rows = count - i < 8 ? count - i : 8;
        r->random ^= r->random << 13, r->random ^= r->random >> 7, r->random ^= r->random << 17;
        uint64_t word = r->random;
        if (space->kind == MANTA_SPACE_BOX)
            for (uint32_t l = 0; l < rows; l++)
                ((float *)r->io.action)[i + l] = space->low[0] + (space->high[0] - space->low[0]) * (float)(word >> (8 * l) & 255) / 255;
        else
            for (uint32_t l = 0; l < rows; l++)
                ((int32_t *)r->io.action)[i + l] = (int32_t)((word >> (8 * l) & 255) * (uint64_t)space->nvec[0] >> 8);
    }
}

static void run_calls(runner *r, int64_t calls) {
    char error[MANTA_ERROR_BYTES];
    const manta_env_desc *desc = mt_env_desc(r->env);
    manta_env *raw = mt_env_raw(r->env);
    for (int64_t c = 0; c < calls; c++) {
        draw_actions(r);
        int failed = r->checked ? mt_env_step(r->env, &r->io.batch) != MT_OK : desc->step(raw, &r->io.batch, error) != 0;
        if (failed) {
            fprintf(stderr, "%s: %s\n", desc->id, r->checked ? mt_last_error() : error);
            exit(1);
        }
    }
}

static void *sample(void *context) {
    runner *r = context;
    if (r->barrier) pthread_barrier_wait(r->barrier);
    double start = bench_clock(r->clock);
    run_calls(r, r->calls);
    r->rate = (double)r->calls * mt_env_count(r->env) / (bench_clock(r->clock) - start);
    return NULL;
}

static void open_runner(runner *r, const manta_env_desc *desc, const subject *s, uint32_t envs, uint64_t seed, clockid_t clock) {
    uint64_t *seeds = malloc(envs * sizeof *seeds);
    manta_env_option option = {s->option, s->value};
    manta_env_config config = {.struct_size = sizeof config, .num_envs = envs, .seeds = seeds, .option_count = s->option != NULL, .options = &option};
    for (uint32_t i = 0; i < envs; i++) seeds[i] = seed + i;
    *r = (runner){.random = seed * 77 + 1, .checked = s->checked, .clock = clock};
    if (mt_env_create(desc, &config, &r->env) != MT_OK || mt_env_buffers_init(&r->io, r->env) != MT_OK ||
        mt_env_reset(r->env, &r->io.batch, NULL, NULL) != MT_OK) {
        fprintf(stderr, "%s\n", mt_last_error());
        exit(1);
    }
    free(seeds);
    run_calls(r, 200000 / envs + 1);   // warm, and past the first episodes, which all begin together
    for (r->calls = 1;; r->calls *= 4) {
        sample(r);
        if ((double)r->calls * envs / r->rate > 5e-3) break;
    }
    r->calls *= 4;
}

// steps/s of all threads together
static double measure(const manta_env_desc *desc, const subject *s, uint32_t envs, int threads, int wall) {
    static runner runners[THREADS_MAX];
    double rates[SAMPLES];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (int t = 0; t < threads; t++)
        open_runner(&runners[t], desc, s, envs / (uint32_t)threads, 1 + 100000 * (uint64_t)t, wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID);
    for (int t = 1; t < threads; t++) runners[t].calls = runners[0].calls;
    for (int k = 0; k < SAMPLES; k++) {
        pthread_t ids[THREADS_MAX];
        for (int t = 0; t < threads; t++) {
            runners[t].barrier = threads > 1 ? &barrier : NULL;
            if (pthread_create(&ids[t], NULL, sample, &runners[t]) != 0) exit(1);
        }
        rates[k] = 0;
        for (int t = 0; t < threads; t++) {
            pthread_join(ids[t], NULL);
            rates[k] += runners[t].rate;
        }
    }
    for (int t = 0; t < threads; t++) {
        mt_env_buffers_fini(&runners[t].io);
        mt_env_destroy(runners[t].env);
    }
    pthread_barrier_destroy(&barrier);
    return bench_median(rates, SAMPLES);
}

// the value of the row of Gymnasium's vectorised CartPole: bench,"row",value,unit,...; 0 when there is none
static double peer_rate(const char *path) {
    char line[1024];
    double rate = 0;
    FILE *file = path ? fopen(path, "r") : NULL;
    if (path && !file) perror(path);
    while (file && fgets(line, sizeof line, file)) {
        const char *value = strstr(line, "\",");
        if (value && strstr(line, "Gymnasium, NumPy")) rate = strtod(value + 2, NULL);
    }
    if (file) fclose(file);
    return rate;
}

static void report(const subject *s, uint32_t envs, int threads, double rate, double peer, double peak) {
    char row[96];
    const char *reference = NULL;
    double value = 0;
    snprintf(row, sizeof row, "%s%s%s, %s environment%s, %d thread%s", s->id, s->option ? ", fast_math" : "", s->checked ? ", checked" : "",
        envs == 4096 ? "4,096" : envs == 8 ? "8" : "1", envs == 1 ? "" : "s", threads, threads == 1 ? "" : "s");
    int cartpole = strcmp(s->id, "CartPole-v1") == 0;
    if (cartpole && threads == 2)
        reference = "the goal", value = goal_cartpole;
    else if (cartpole && peer > 0)
        reference = "Gymnasium, NumPy", value = peer;
    else if (s->operations > 0)
        reference = "arithmetic", value = threads * peak / s->operations;
    bench_row(row, rate * 1e-6, "M steps/s", reference, value * 1e-6);
}

int main(int argc, char **argv) {
    static const char *const isa_names[MT_ISA_COUNT] = {"plain", "avx2", "avx512"};
    const char *peers = NULL;
    int wall = 0, isa = MT_ISA_COUNT - 1;
    size_t count;
    while (isa > 0 && !mt_env_builtins((mt_isa)isa, &count)) isa--;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--wall") == 0) wall = 1;
        if (strcmp(argv[i], "--peers-csv") == 0 && i + 1 < argc) peers = argv[++i];
        if (strcmp(argv[i], "--isa") == 0 && i + 1 < argc)
            for (isa = MT_ISA_COUNT - 1, i++; isa > 0 && strcmp(argv[i], isa_names[isa]) != 0;) isa--;
    }
    bench_open(argc, argv, "envs");
    const manta_env_desc *const *descs = mt_env_builtins((mt_isa)isa, &count);
    if (!descs) return fprintf(stderr, "this machine lacks %s\n", isa_names[isa]), 1;
    // the FMA peak counts two operations of floats: half of them without FMA, half of the lanes for doubles
    double peer = peer_rate(peers), peak = bench_fma_peak((bench_isa)isa) * 1e9 / 4;
    int threads_max = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1;
    static const struct {
        uint32_t envs;
        int threads;
    } shapes[] = {{4096, 2}, {4096, 1}, {8, 1}, {1, 1}};
    for (size_t k = 0; k < sizeof subjects / sizeof *subjects; k++)
        for (size_t j = 0; j < sizeof shapes / sizeof *shapes; j++) {
            const manta_env_desc *desc = NULL;
            for (size_t d = 0; d < count; d++)
                if (strcmp(descs[d]->id, subjects[k].id) == 0) desc = descs[d];
            if (shapes[j].threads > threads_max) continue;
            report(&subjects[k], shapes[j].envs, shapes[j].threads, measure(desc, &subjects[k], shapes[j].envs, shapes[j].threads, wall), peer, peak);
        }
    return bench_close();
}
