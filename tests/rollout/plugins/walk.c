/* A random walk on a line, and the ways to get an environment wrong: built once for each FAULT_... (CMakeLists.txt), each
 * of which the checker has to name. Without a fault it keeps every promise. */
#include "manta_env.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

enum { LIMIT = 20, EDGE = 5 };

struct manta_env {
    uint32_t count;
    uint64_t calls;
    struct walker {
        double x;
        uint32_t steps;
        uint64_t random;
    } walkers[];
};

static const float low[1] = {-EDGE}, high[1] = {EDGE};
static const manta_space obs_space = {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = MANTA_F32, .ndim = 1,
    .shape = {1}, .low = low, .high = high};
static const int64_t three[] = {3};
static const manta_space action_space = {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_DISCRETE, .dtype = MANTA_I32,
    .nvec = three};

#ifdef FAULT_SHARED_STATE
static uint64_t shared_random; /* one generator for all instances, started by the latest */
#define RANDOM(w) (&shared_random)
#else
#define RANDOM(w) (&(w)->random)
#endif

static const manta_space *get_obs_space(const manta_env *env) { return (void)env, &obs_space; }
static const manta_space *get_action_space(const manta_env *env) {
    (void)env;
#ifdef FAULT_NO_SPACE
    return NULL;
#endif
    return &action_space;
}

static int create(const manta_env_config *config, manta_env **out, char *error) {
    (void)error;
#ifdef FAULT_CREATE
    snprintf(error, MANTA_ERROR_BYTES, "the simulator's licence has expired");
    *out = NULL;
    return 1;
#endif
    *out = calloc(1, sizeof **out + config->num_envs * sizeof (*out)->walkers[0]);
    if (!*out) return 1;
    (*out)->count = config->num_envs;
    for (uint32_t i = 0; i < config->num_envs; i++) (*out)->walkers[i].random = config->seeds[i];
#ifdef FAULT_SHARED_STATE
    shared_random = config->seeds[0];
#endif
#ifdef FAULT_UNREPRODUCIBLE
    for (uint32_t i = 0; i < config->num_envs; i++) (*out)->walkers[i].random = (uintptr_t)*out ^ (uint64_t)clock() ^ (uint64_t)time(NULL) << 32;
#endif
    return 0;
}
static void destroy(manta_env *env) { free(env); }

static void begin(struct walker *w) {
    w->x = manta_rand_uniform(RANDOM(w), -1, 1);
    w->steps = 0;
}

static int reset(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error) {
    (void)error;
    for (uint32_t i = 0; i < env->count; i++) {
#ifndef FAULT_IGNORES_MASK
        if (mask && !mask[i]) continue;
#else
        (void)mask;
#endif
#ifndef FAULT_IGNORES_SEEDS
        if (seeds) env->walkers[i].random = seeds[i];
#else
        (void)seeds;
#endif
        begin(&env->walkers[i]);
        ((float *)batch->obs)[i] = (float)env->walkers[i].x;
    }
    return 0;
}

/* the faults of a step that need more than a changed line below; `call` counts from 1 */
static int misbehave(manta_env *env, const manta_env_batch *batch, uint64_t call, char *error) {
    (void)env, (void)batch, (void)call, (void)error;
#ifdef FAULT_HANG
    while (call == 17) batch->reward[0] += 1;
#endif
#ifdef FAULT_CRASH
    if (call == 17) *(volatile int *)8 = 1;
#endif
#ifdef FAULT_EXIT
    if (call == 17) exit(3);
#endif
#ifdef FAULT_PRINTS
    if (call == 17) printf("step %d\n", (int)call), fflush(stdout);
#endif
#ifdef FAULT_SLOW /* no fault for the checker: a step that takes WALK_SLOW_SECONDS, which each rank may have its own of,
                   * or WALK_SLOW_NAN, which one rank alone may fail by */
    if (call == 17 && getenv("WALK_SLOW_NAN")) ((float *)batch->obs)[0] = (float)sqrt(-1.0 - (double)call);
    if (call == 17 && getenv("WALK_SLOW_SECONDS")) thrd_sleep(&(struct timespec){.tv_sec = atoi(getenv("WALK_SLOW_SECONDS"))}, NULL);
#endif
#ifdef FAULT_NAN
    if (call == 17) ((float *)batch->obs)[3 % env->count] = (float)sqrt(-1.0 - (double)call);
#endif
#ifdef FAULT_OVERRUN
    if (call == 17) ((float *)batch->obs)[env->count] = 1;
#endif
#ifdef FAULT_FAR_OVERRUN
    if (call == 17) ((volatile float *)batch->obs)[env->count + 64] = 1;
#endif
#ifdef FAULT_UNDERRUN
    if (call == 17) batch->reward[-1] = 1;
#endif
#ifdef FAULT_FLAGS
    if (call == 17) batch->terminated[2 % env->count] = 255;
#endif
#ifdef FAULT_CHANGES_ACTIONS
    if (call == 17) ((int32_t *)(uintptr_t)batch->action)[0] ^= 1;
#endif
#ifdef FAULT_STEP_ERROR
    if (call == 17) return snprintf(error, MANTA_ERROR_BYTES, "the motor has burnt out"), 1;
#endif
    return 0;
}

static int step(manta_env *env, const manta_env_batch *batch, char *error) {
    const int32_t *action = batch->action;
    float *obs = batch->obs;
    env->calls++;
    for (uint32_t i = 0; i < env->count; i++) {
        struct walker *w = &env->walkers[i];
        double noise = manta_rand_uniform(RANDOM(w), -0.5, 0.5);
#ifdef FAULT_NEIGHBOURS
        noise += i * 0.01;
#endif
        w->x = w->x + action[i] - 1 + noise;
#ifndef FAULT_BOUNDS
        w->x = fmin(fmax(w->x, -EDGE), EDGE);
#endif
        int out = fabs(w->x) >= EDGE, late = ++w->steps >= LIMIT;
        batch->reward[i] = 1;
#ifdef FAULT_LONG_EPISODES
        late = w->steps >= 2 * LIMIT;
#endif
#ifndef FAULT_UNWRITTEN
        batch->truncated[i] = (uint8_t)late;
#endif
        batch->terminated[i] = (uint8_t)out;
        if (out || late) {
#ifndef FAULT_NO_FINAL_OBS
            ((float *)batch->final_obs)[i] = (float)w->x;
#endif
#ifdef FAULT_NO_AUTO_RESET
            obs[i] = (float)w->x;
            begin(w);
            continue;
#endif
            begin(w);
        }
        obs[i] = (float)w->x;
    }
    return misbehave(env, batch, env->calls, error);
}

static const manta_env_desc walk = {
#ifdef FAULT_STRUCT_SIZE
    .struct_size = 16,
#else
    .struct_size = sizeof(manta_env_desc),
#endif
    .abi_version = MANTA_ENV_ABI_VERSION, .id = "Walk-v0", .summary = "a random walk", .capabilities = MANTA_ENV_DETERMINISTIC,
    .max_episode_steps = LIMIT, .reward_threshold = NAN, .create = create, .destroy = destroy,
    .observation_space = get_obs_space, .action_space = get_action_space, .reset = reset,
#ifndef FAULT_NO_STEP
    .step = step,
#endif
};
static const manta_env_desc *const envs[] = {&walk};
static const manta_env_plugin plugin = {.struct_size = sizeof(manta_env_plugin),
#ifdef FAULT_ABI
    .abi_version = 7,
#else
    .abi_version = MANTA_ENV_ABI_VERSION,
#endif
    .name = "walk", .version = "1", .env_count = 1, .envs = envs};

#ifdef FAULT_NO_SYMBOL
MANTA_EXPORT const manta_env_plugin *manta_env_entrance(uint32_t host_abi_version);
const manta_env_plugin *manta_env_entrance(uint32_t host_abi_version) { return (void)host_abi_version, (void)step, &plugin; }
#else
const manta_env_plugin *manta_env_entry(uint32_t host_abi_version) {
    (void)host_abi_version, (void)step;
#ifdef FAULT_ENTRY_CRASH
    *(volatile int *)8 = 1;
#endif
#ifdef FAULT_ENTRY_NULL
    return NULL;
#endif
    return &plugin;
}
#endif
