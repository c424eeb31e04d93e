/* A worked environment plugin: land a rocket softly on the moon. Copy this file and change it into yours.
 *
 *     cc -O2 -shared -fPIC -I rollout examples/my_env.c -o my_env.so -lm      (-I: the folder of manta_env.h)
 *     manta plugin check my_env.so
 *     manta train --plugin my_env.so --env MoonLanding-v0 --algo ppo
 *
 * The rocket falls from about 10 m. Each step of 0.1 s the pilot lets the engine off (0) or burns (1). Touching down ends
 * the episode and pays 10 minus 3 for each m/s of speed; burning costs a little, dawdling ends after 200 steps.
 * One instance holds a BATCH of rockets; step moves them all and writes straight into manta's arrays. */
#include "manta_env.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBS 3 /* height, velocity (up is positive), share of the fuel left */
#define MAX_STEPS 200

/* Everything an instance knows. Never use static variables for state: many instances run at once, in many threads. */
struct manta_env {
    uint32_t count;
    double gravity;
    struct rocket {
        double height, velocity, fuel;
        uint32_t steps;
        uint64_t random; /* its own random stream, so that a seed gives the same landing wherever it runs */
    } rockets[]; /* count of them */
};

/* Spaces describe ONE environment. The bounds are promises: `manta plugin check` compares every observation with them. */
static const float obs_low[OBS] = {0, -10, 0}, obs_high[OBS] = {20, 10, 1};
static const manta_space obs_space = {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = MANTA_F32,
    .ndim = 1, .shape = {OBS}, .low = obs_low, .high = obs_high};
static const int64_t action_count[] = {2};
static const manta_space action_space = {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_DISCRETE,
    .dtype = MANTA_I32, .nvec = action_count};

static const manta_space *get_obs_space(const manta_env *env) { return (void)env, &obs_space; }
static const manta_space *get_action_space(const manta_env *env) { return (void)env, &action_space; }

/* Makes the batch. Return non-zero and a message that helps when something is wrong; never print, exit or abort. */
static int create(const manta_env_config *config, manta_env **out, char *error) {
    manta_env *env = calloc(1, sizeof *env + config->num_envs * sizeof env->rockets[0]);
    *out = NULL;
    if (!env) return snprintf(error, MANTA_ERROR_BYTES, "out of memory for %u rockets", config->num_envs), 1;
    env->count = config->num_envs;
    env->gravity = 1.62;
    for (uint32_t i = 0; i < config->option_count; i++) { /* manta refuses unknown keys: only `gravity` arrives here */
        char *end;
        env->gravity = strtod(config->options[i].value, &end);
        if (*end || !(env->gravity > 0 && env->gravity < 3.9)) {
            snprintf(error, MANTA_ERROR_BYTES, "gravity is '%s'; give a number between 0 and 3.9", config->options[i].value);
            return free(env), 1;
        }
    }
    for (uint32_t i = 0; i < env->count; i++) env->rockets[i].random = config->seeds[i];
    *out = env;
    return 0;
}

static void destroy(manta_env *env) { free(env); }

static void begin(struct rocket *r) { /* a new episode */
    r->height = manta_rand_uniform(&r->random, 8, 12);
    r->velocity = manta_rand_uniform(&r->random, -2, 0);
    r->fuel = 1;
    r->steps = 0;
}

static void observe(const struct rocket *r, float *obs) {
    obs[0] = (float)r->height;
    obs[1] = (float)r->velocity;
    obs[2] = (float)r->fuel;
}

/* Rows with mask 0 stay as they are; mask NULL means all, seeds NULL means that the random streams go on. */
static int reset(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error) {
    (void)error;
    for (uint32_t i = 0; i < env->count; i++) {
        if (mask && !mask[i]) continue;
        if (seeds) env->rockets[i].random = seeds[i];
        begin(&env->rockets[i]);
        observe(&env->rockets[i], (float *)batch->obs + i * OBS);
    }
    return 0;
}

static float move(struct rocket *r, int burn, double gravity) { /* 0.1 s; returns the reward but for the landing's */
    burn = burn && r->fuel > 0;
    r->velocity = fmin(fmax(r->velocity + 0.1 * (burn ? 4.0 - gravity : -gravity), -10), 10);
    r->height = fmin(r->height + 0.1 * r->velocity, 20);
    r->fuel = fmax(r->fuel - (burn ? 0.01 : 0), 0);
    r->steps++;
    return burn ? -0.01f : 0.0f;
}

static int step(manta_env *env, const manta_env_batch *batch, char *error) {
    const int32_t *action = batch->action;
    (void)error;
    for (uint32_t i = 0; i < env->count; i++) {
        struct rocket *r = &env->rockets[i];
        float *obs = (float *)batch->obs + i * OBS;
        batch->reward[i] = move(r, action[i] == 1, env->gravity);
        int down = r->height <= 0;
        if (down) {
            r->height = 0;
            batch->reward[i] += (float)(10 + 3 * r->velocity); /* velocity is negative here */
        }
        /* terminated: the task itself is over. truncated: only our patience is; what follows would still have value. */
        batch->terminated[i] = (uint8_t)down;
        batch->truncated[i] = r->steps >= MAX_STEPS;
        if (down || r->steps >= MAX_STEPS) { /* the last observation goes to final_obs, obs is the next episode's first */
            observe(r, (float *)batch->final_obs + i * OBS);
            begin(r);
        }
        observe(r, obs);
    }
    return 0;
}

/* Optional: a picture for `manta eval --render`. */
static size_t draw(const manta_env *env, uint32_t index, char *out, size_t bytes) {
    const struct rocket *r = &env->rockets[index];
    int length = snprintf(out, bytes, "%*s>  height %5.1f m, speed %+5.1f m/s, fuel %3.0f %%\n", (int)(2 * r->height) + 1, "=",
        r->height, r->velocity, 100 * r->fuel);
    return (size_t)length < bytes ? (size_t)length : bytes - 1;
}
static const void *extension(const char *name) {
    static const manta_env_render render = {sizeof render, draw};
    return strcmp(name, MANTA_EXT_RENDER) == 0 ? &render : NULL;
}

/* The descriptor ties it together, the plugin lists its descriptors, and one exported function hands the list over. */
static const manta_env_option_desc options[] = {{"gravity", "1.62", "of the moon, m/s^2, below the engine's 4"}};
static const manta_env_desc moon_landing = {.struct_size = sizeof(manta_env_desc), .abi_version = MANTA_ENV_ABI_VERSION,
    .id = "MoonLanding-v0", .summary = "land a rocket softly with an engine that is on or off",
    .capabilities = MANTA_ENV_DETERMINISTIC, .max_episode_steps = MAX_STEPS, .reward_threshold = 8,
    .option_count = 1, .options = options, .create = create, .destroy = destroy, .observation_space = get_obs_space,
    .action_space = get_action_space, .reset = reset, .step = step, .extension = extension};
static const manta_env_desc *const envs[] = {&moon_landing};
static const manta_env_plugin plugin = {.struct_size = sizeof(manta_env_plugin), .abi_version = MANTA_ENV_ABI_VERSION,
    .name = "my_env", .version = "1.0", .env_count = 1, .envs = envs};

const manta_env_plugin *manta_env_entry(uint32_t host_abi_version) {
    return host_abi_version == MANTA_ENV_ABI_VERSION ? &plugin : NULL;
}
