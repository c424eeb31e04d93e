// Environments of classic control on the GPU: steps a second by how many step together, 64 steps as a CUDA graph, each with its row put
// down behind the one before as in a rollout. Beside it one core of this machine's CPU with the same environments (4,096, vectors of
// them), in the same run. The policy is not in these figures.
#include "bench/gpu/gpu.h"

#include "engine/device/cuda_graph.h"
#include "rollout/envs/builtin.h"

enum { STEPS = 64, CPU_ENVS = 4096, OBS_MOST = 6 };

static const struct {
    const char *id;
    mt_classic of;
    int obs;
} envs[] = {
    {"CartPole-v1", {.kind = MT_CLASSIC_CARTPOLE, .max_steps = 500}, 4},
    {"MountainCar-v0", {.kind = MT_CLASSIC_MOUNTAIN_CAR, .max_steps = 200}, 2},
    {"Pendulum-v1", {.kind = MT_CLASSIC_PENDULUM, .max_steps = 200, .param = {10}, .low = -2, .high = 2}, 3},
    {"Acrobot-v1", {.kind = MT_CLASSIC_ACROBOT, .max_steps = 500}, 6},
};

// ---- one core

typedef struct cpu_batch {
    const manta_env_desc *desc;
    manta_env *env;
    manta_env_batch batch;
} cpu_batch;

static const manta_env_desc *find(const char *id) {
    for (int isa = MT_ISA_COUNT - 1; isa >= 0; isa--) {
        size_t count;
        const manta_env_desc *const *list = mt_env_builtins((mt_isa)isa, &count);
        for (size_t i = 0; list && i < count; i++)
            if (strcmp(list[i]->id, id) == 0) return list[i];
    }
    return NULL;
}

static void cpu_step(void *context) {
    cpu_batch *c = context;
    char error[MANTA_ERROR_BYTES] = "";
    if (c->desc->step(c->env, &c->batch, error) == 0) return;
    fprintf(stderr, "bench_gpu: %s: %s\n", c->desc->id, error);
    exit(1);
}

static double cpu_rate(const char *id) {
    static _Alignas(64) float obs[CPU_ENVS * OBS_MOST], final_obs[CPU_ENVS * OBS_MOST], reward[CPU_ENVS];
    static _Alignas(64) uint8_t terminated[CPU_ENVS], truncated[CPU_ENVS];
    static _Alignas(64) int32_t action[CPU_ENVS];   // 0, which is 0.0f as well
    static uint64_t seeds[CPU_ENVS];
    static const manta_env_option fast = {"fast_math", "true"};
    cpu_batch c = {.desc = find(id), .batch = {.struct_size = sizeof c.batch, .num_envs = CPU_ENVS, .action = action, .obs = obs, .reward = reward,
        .terminated = terminated, .truncated = truncated, .final_obs = final_obs}};
    char error[MANTA_ERROR_BYTES] = "";
    for (int i = 0; i < CPU_ENVS; i++) seeds[i] = (uint64_t)i;
    manta_env_config config = {.struct_size = sizeof config, .num_envs = CPU_ENVS, .seeds = seeds, .options = &fast,
        .option_count = strcmp(id, "Acrobot-v1") == 0};
    if (c.desc->create(&config, &c.env, error) || c.desc->reset(c.env, &c.batch, NULL, NULL, error)) {
        fprintf(stderr, "bench_gpu: %s: %s\n", id, error);
        exit(1);
    }
    double rate = CPU_ENVS / bench_run(cpu_step, &c).median * 1e-6;
    c.desc->destroy(c.env);
    return rate;
}

// ---- the GPU

typedef struct gpu_batch {
    mt_classic_step step;
    char *row, *rows;
    int64_t row_bytes, *time;
    uint64_t *counter;
    mt_cuda_graph *graph;
} gpu_batch;

static mt_status steps(void *context) {
    gpu_batch *g = context;
    MT_TRY(mt_cuda_zero(&bench_gpu.cuda, g->time, sizeof *g->time));
    for (int t = 0; t < STEPS; t++) {
        MT_TRY(mt_cuda_classic_step(&bench_gpu.cuda, &g->step));
        MT_TRY(mt_cuda_append_row(&bench_gpu.cuda, g->row_bytes, g->row, g->rows, g->time, g->counter));
    }
    return MT_OK;
}
static mt_status launch(void *context) { return mt_cuda_graph_launch(((gpu_batch *)context)->graph, bench_gpu.cuda.stream); }

static double gpu_rate(size_t e, int64_t n) {
    mt_classic of = envs[e].of;
    gpu_batch g = {.step = {.of = of, .envs = n}};
    int64_t record = mt_classic_record_bytes(of.kind), obs = 4 * n * envs[e].obs;
    char *records = calloc((size_t)n, (size_t)record);
    for (int64_t i = 0; records && i < n; i++) ((mt_classic_record *)(void *)(records + i * record))->seed = (uint64_t)i;
    g.row_bytes = obs + 4 * n + 4 * n;   // observation, reward, flags
    g.step.records = gpu_zeros(record * n);
    gpu_must(mt_cuda_stream_copy(&bench_gpu.device, bench_gpu.cuda.stream, g.step.records, records, (size_t)(record * n)));
    gpu_must(mt_cuda_sync(&bench_gpu.cuda));
    void *action = gpu_zeros(4 * n), *final_obs = gpu_zeros(obs);
    g.row = gpu_zeros(g.row_bytes), g.rows = gpu_zeros(g.row_bytes * STEPS), g.time = gpu_zeros(8), g.counter = gpu_zeros(8);
    g.step.choice = action, g.step.action = action, g.step.final_obs = final_obs;
    g.step.obs = (float *)(void *)g.row, g.step.reward = (float *)(void *)(g.row + obs);
    uint8_t *flags = (uint8_t *)g.row + obs + 4 * n;
    g.step.terminated = flags, g.step.truncated = flags + n, g.step.bad = flags + 2 * n, g.step.ended = flags + 3 * n;
    gpu_must(steps(&g));
    gpu_must(mt_cuda_graph_capture(&bench_gpu.device, bench_gpu.cuda.stream, steps, &g, &g.graph));
    double rate = (double)(n * STEPS) / gpu_seconds(launch, &g) * 1e-6;
    mt_cuda_graph_destroy(g.graph);
    gpu_free(g.step.records), gpu_free(action), gpu_free(final_obs), gpu_free(g.row), gpu_free(g.rows), gpu_free(g.time), gpu_free(g.counter);
    free(records);
    return rate;
}

void bench_envs(void) {
    static const int64_t counts[] = {256, 4096, 65536, 524288};
    for (size_t e = 0; e < sizeof envs / sizeof *envs; e++) {
        double core = cpu_rate(envs[e].id);
        for (int k = 0; k < 4; k++) {
            char name[96];
            snprintf(name, sizeof name, "%s, %lld environments", envs[e].id, (long long)counts[k]);
            gpu_row(name, gpu_rate(e, counts[k]), "M steps/s", "one core's 4,096", core);
        }
    }
}
