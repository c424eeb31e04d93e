// CartPole-v1 rolled out with a 4-64-64-2 policy that samples the actions: environments, sampler and segment, no learner.
//   bench_rollout [--csv FILE] [--envs N] [--threads N] [--seconds S]
// Rows: `collect` alone, on one thread and on all, against the policy's arithmetic at the FMA peak of as many cores; then
// with `finish` (values and advantages), which needs the critic's pass too.
#include "bench/bench.h"

#include "engine/base/thread.h"
#include "rollout/env_registry.h"
#include "rollout/worker.h"

#include <unistd.h>

enum { STEPS = 32, THREADS_MAX = 64, SAMPLES = 11 };
// multiply-adds of a pass through 4-64-64-2, as operations
static const double flop_of_step = 2.0 * (4 * 64 + 64 * 64 + 64 * 2);

typedef struct rollout {
    mt_workers *threads;   // owned
    mt_env_registry *registry;   // owned
    mt_codec codec;
    mt_policy *policy;   // owned
    const mt_kernels *kernels;
    mt_arena arena;
    mt_weights weights;
    mt_normaliser normaliser;   // off
    mt_rollout_worker *worker[THREADS_MAX];   // owned (count)
    mt_status status[THREADS_MAX];
    int count, finish;
} rollout;

static void roll_worker(void *context, int index, int thread) {
    (void)thread;
    rollout *r = context;
    r->status[index] = mt_rollout_worker_collect(r->worker[index], &r->weights);
    if (r->finish && r->status[index] == MT_OK) mt_rollout_worker_finish(r->worker[index], &r->weights);
}

static void roll(void *context) {
    rollout *r = context;
    mt_workers_run(r->threads, roll_worker, r, r->count);
}

static mt_status make_policy(rollout *r, const manta_env_desc *env) {
    mt_env *probe = NULL;
    uint64_t seed = 1;
    MT_TRY(mt_env_create(env, &(manta_env_config){.struct_size = sizeof(manta_env_config), .num_envs = 1, .seeds = &seed}, &probe));
    mt_policy_desc d = {.pi = {64, 64}, .pi_depth = 2, .vf = {64, 64}, .vf_depth = 2, .activation = MT_ACT_tanh, .ortho_init = 1};
    mt_status status = mt_codec_init(&r->codec, probe, 0);
    if (status == MT_OK) status = mt_codec_describe(&r->codec, 0, &d);
    if (status == MT_OK) status = mt_policy_create(&d, &r->policy);
    mt_env_destroy(probe);
    return status;
}

static mt_status start(rollout *r, int threads, int envs) {
    const manta_env_desc *env;
    r->count = threads;
    MT_TRY(mt_workers_create(threads, MT_WORKERS_SPIN_AUTO, &r->threads));
    MT_TRY(mt_env_registry_create(&r->registry));
    MT_TRY(mt_env_registry_find(r->registry, "CartPole-v1", &env));
    MT_TRY(mt_kernels_choose(&r->kernels));
    MT_TRY(make_policy(r, env));
    mt_weights_register(&r->weights, r->policy, &r->arena);
    mt_normaliser_register(&r->normaliser, r->codec.obs, 0, 0, 10, 10, &r->arena);
    MT_TRY(mt_arena_commit(&r->arena));
    mt_normaliser_reset(&r->normaliser);
    MT_TRY(mt_weights_init(&r->weights, r->policy, r->kernels, 1));
    for (int i = 0; i < threads; i++) {
        int first = envs * i / threads;
        MT_TRY(mt_rollout_worker_create(&(mt_rollout_worker_desc){.env = env, .policy = r->policy, .kernels = r->kernels,
            .normaliser = &r->normaliser, .first_env = (uint64_t)first, .envs = envs * (i + 1) / threads - first, .steps = STEPS,
            .gamma = 0.99, .gae_lambda = 0.95, .sde_sample_freq = -1, .seed = 1}, &r->worker[i]));
    }
    return MT_OK;
}

static void stop(rollout *r) {
    for (int i = 0; i < r->count; i++) mt_rollout_worker_destroy(r->worker[i]);
    mt_policy_destroy(r->policy);
    mt_arena_fini(&r->arena);
    mt_env_registry_destroy(r->registry);
    mt_workers_destroy(r->threads);
}

// steps/s; what failed goes to stderr and ends the program
static double measure(int threads, int envs, int finish, double seconds) {
    rollout r = {.finish = finish};
    mt_status status = start(&r, threads, envs);
    double rate = 0;
    if (status == MT_OK) {
        bench_time t = bench_run_with(roll, &r, CLOCK_MONOTONIC, SAMPLES, seconds / SAMPLES);
        rate = (double)envs * STEPS / t.median;
        for (int i = 0; i < threads && status == MT_OK; i++) status = r.status[i];
    }
    stop(&r);
    if (status == MT_OK) return rate;
    fprintf(stderr, "bench_rollout: %s\n", mt_last_error());
    exit(3);
}

int main(int argc, char **argv) {
    int envs = 4096, threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    double seconds = 2;
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--envs") == 0) envs = atoi(argv[++i]);
        else if (strcmp(argv[i], "--threads") == 0) threads = atoi(argv[++i]);
        else if (strcmp(argv[i], "--seconds") == 0) seconds = atof(argv[++i]);
    }
    if (threads > THREADS_MAX) threads = THREADS_MAX;
    if (threads < 1 || envs < threads || seconds <= 0) {
        fprintf(stderr, "bench_rollout: --threads 1 to %d, --envs at least as many, --seconds above 0\n", THREADS_MAX);
        return 2;
    }
    bench_open(argc, argv, "train/rollout");
    double peak = bench_fma_peak(BENCH_AVX512);
    if (peak <= 0) peak = bench_fma_peak(BENCH_AVX2);
    if (peak <= 0) peak = bench_fma_peak(BENCH_PLAIN);
    const double goal = 15e6;
    char row[128];
    for (int n = 1; n <= threads; n += threads > 1 ? threads - 1 : 1) {
        double rate = measure(n, envs, 0, seconds);
        snprintf(row, sizeof row, "CartPole-v1, %d environments, 2x64 policy, %d thread%s", envs, n, n > 1 ? "s" : "");
        bench_row(row, rate * 1e-6, "M steps/s", "the goal", goal * 1e-6);
        snprintf(row, sizeof row, "  its multiply-adds");
        bench_row(row, rate * flop_of_step * 1e-9, "GFLOP/s", "FMA peak of these cores", peak * n);
    }
    snprintf(row, sizeof row, "the same with values and advantages, %d thread%s", threads, threads > 1 ? "s" : "");
    bench_row(row, measure(threads, envs, 1, seconds) * 1e-6, "M steps/s", NULL, 0);
    return bench_close();
}
