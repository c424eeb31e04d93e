/* A lamp that is to be followed, seen through a dict of parts with odd sizes, and the ways to get one wrong: built once for
 * each FAULT_... (CMakeLists.txt), each of which the checker has to name. Without a fault it keeps every promise. */
#include "manta_env.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 20, ROWS = 3, COLUMNS = 5 };

/* the element is what the compiler makes of this: the header says so */
typedef struct element {
    uint8_t light[1];
    struct {
        uint8_t picture[ROWS][COLUMNS][1];
        float depth[2];
        uint8_t focus[1];
    } camera;
    int32_t mode;
} element;

struct manta_env {
    uint32_t count;
    uint64_t calls;
    struct lamp {
        int32_t at;
        uint32_t steps;
        uint64_t random;
    } lamps[];
};

#define SPACE(kind_, dtype_) .struct_size = sizeof(manta_space), .kind = MANTA_SPACE_##kind_, .dtype = MANTA_##dtype_
static const float zeros[ROWS * COLUMNS], full[ROWS * COLUMNS] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
static const int64_t three[] = {3};
static const manta_space light = {SPACE(BOX, U8), .ndim = 1, .shape = {1}, .low = zeros, .high = full,
#ifdef FAULT_DICT_NAME
    .name = "the light"};
#elif defined FAULT_DICT_NAMELESS
};
#elif defined FAULT_DICT_TWICE
    .name = "mode"};
#else
    .name = "light"};
#endif
static const manta_space picture = {SPACE(BOX, U8), .ndim = 3, .shape = {ROWS, COLUMNS, 1}, .low = zeros, .high = full,
#ifdef FAULT_DICT_LONG_NAME
    .name = "picture-of-the-lamp-from-above"};
#else
    .name = "picture"};
#endif
static const manta_space depth = {SPACE(BOX, F32), .ndim = 1, .shape = {2}, .low = zeros, .high = full, .name = "depth"};
static const manta_space focus = {SPACE(BOX, U8), .ndim = 1,
#ifdef FAULT_DICT_SHAPE
    .shape = {0},
#else
    .shape = {1},
#endif
    .low = zeros, .high = full, .name = "focus"};
static const manta_space mode = {SPACE(DISCRETE, I32), .nvec = three, .name = "mode"};

#define COMPOSITE(kind_, ...)                                                                                          \
    .struct_size = sizeof(manta_space), .kind = MANTA_SPACE_##kind_,                                                   \
    .child_count = sizeof((const manta_space *const[]){__VA_ARGS__}) / sizeof(manta_space *),                          \
    .children = (const manta_space *const[]) { __VA_ARGS__ }
static const manta_space camera = {COMPOSITE(DICT, &picture, &depth, &focus), .name = "camera"};
#ifdef FAULT_DICT_EMPTY
static const manta_space empty = {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_DICT, .name = "empty"};
static const manta_space obs_space = {COMPOSITE(DICT, &light, &empty, &mode)};
#elif defined FAULT_DICT_CHILD
static const manta_space obs_space = {COMPOSITE(DICT, &light, NULL, &mode)};
#elif defined FAULT_DICT_CYCLE
static const manta_space obs_space = {COMPOSITE(TUPLE, &light, &obs_space)};
#elif defined FAULT_DICT_MANY
static const manta_space wide = {COMPOSITE(TUPLE, &light, &light, &light, &light, &light, &light, &light, &light, &light),
    .name = "wide"};
static const manta_space obs_space = {COMPOSITE(TUPLE, &wide, &wide, &wide, &wide)};
#else
static const manta_space obs_space = {COMPOSITE(DICT, &light, &camera, &mode)};
#endif
#ifdef FAULT_DICT_ACTION
static const manta_space action_space = {COMPOSITE(DICT, &mode, &depth)};
#elif defined FAULT_U8_ACTION
static const manta_space action_space = {SPACE(BOX, U8), .ndim = 1, .shape = {1}, .low = zeros, .high = full};
#else
static const manta_space action_space = {SPACE(DISCRETE, I32), .nvec = three};
#endif

static const manta_space *get_obs_space(const manta_env *env) { return (void)env, &obs_space; }
static const manta_space *get_action_space(const manta_env *env) { return (void)env, &action_space; }

static int create(const manta_env_config *config, manta_env **out, char *error) {
    (void)error;
    *out = calloc(1, sizeof **out + config->num_envs * sizeof (*out)->lamps[0]);
    if (!*out) return 1;
    (*out)->count = config->num_envs;
    for (uint32_t i = 0; i < config->num_envs; i++) (*out)->lamps[i].random = config->seeds[i];
    return 0;
}
static void destroy(manta_env *env) { free(env); }

static void look(const struct lamp *lamp, element *out) {
    out->light[0] = (uint8_t)(10 * lamp->at + lamp->steps);
    memset(out->camera.picture, (int)lamp->steps, sizeof out->camera.picture);
    out->camera.picture[1][lamp->at][0] = 255;
    out->camera.depth[0] = (float)lamp->at;
#ifndef FAULT_PART_UNWRITTEN
    out->camera.depth[1] = (float)lamp->steps;
#endif
#ifndef FAULT_BYTE_UNWRITTEN
    out->camera.focus[0] = (uint8_t)(lamp->steps + 1);
#endif
    out->mode = lamp->at % 3;
    /* the padding is nobody's: write something else each time */
    ((uint8_t *)out)[1] = (uint8_t)(uintptr_t)out;
}

static void begin(struct lamp *lamp) {
    lamp->at = (int32_t)(manta_rand_u64(&lamp->random) % COLUMNS);
    lamp->steps = 0;
}

static int reset(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error) {
    (void)error;
    for (uint32_t i = 0; i < env->count; i++) {
        if (mask && !mask[i]) continue;
        if (seeds) env->lamps[i].random = seeds[i];
        begin(&env->lamps[i]);
        look(&env->lamps[i], (element *)batch->obs + i);
    }
    return 0;
}

static int step(manta_env *env, const manta_env_batch *batch, char *error) {
    const int32_t *action = batch->action;
    element *obs = batch->obs;
    (void)error;
    env->calls++;
    for (uint32_t i = 0; i < env->count; i++) {
        struct lamp *lamp = &env->lamps[i];
        batch->reward[i] = action[i] == lamp->at % 3;
        lamp->at = (int32_t)((uint64_t)(lamp->at + 1) + manta_rand_u64(&lamp->random) % 2) % COLUMNS;
        batch->terminated[i] = 0;
        batch->truncated[i] = ++lamp->steps >= LIMIT;
        if (batch->truncated[i]) {
#ifndef FAULT_PART_NO_FINAL_OBS
            look(lamp, (element *)batch->final_obs + i);
#else
            memcpy(((element *)batch->final_obs)[i].camera.picture, obs[i].camera.picture, sizeof obs[i].camera.picture);
#endif
            begin(lamp);
        }
        look(lamp, obs + i);
    }
#ifdef FAULT_PART_NAN
    if (env->calls == 17) obs[3 % env->count].camera.depth[1] = (float)sqrt(-1.0 - (double)env->calls);
#endif
#ifdef FAULT_PART_BOUNDS
    if (env->calls == 17) obs[2 % env->count].camera.depth[0] = 300;
#endif
#ifdef FAULT_PART_MODE
    if (env->calls == 17) obs[2 % env->count].mode = 3;
#endif
#ifdef FAULT_PART_LAYOUT /* parts at multiples of 8: rows reach past the array's end */
    if (env->calls == 17) memset((char *)batch->obs + env->count * 40 - 8, 0, 4);
#endif
    return 0;
}

static const manta_env_desc desc = {.struct_size = sizeof(manta_env_desc), .abi_version = MANTA_ENV_ABI_VERSION, .id = "Camera-v0",
    .summary = "follow a lamp", .capabilities = MANTA_ENV_DETERMINISTIC, .max_episode_steps = LIMIT, .reward_threshold = NAN,
    .create = create, .destroy = destroy, .observation_space = get_obs_space, .action_space = get_action_space, .reset = reset,
    .step = step};
static const manta_env_desc *const envs[] = {&desc};
static const manta_env_plugin plugin = {.struct_size = sizeof(manta_env_plugin), .abi_version = MANTA_ENV_ABI_VERSION,
    .name = "camera", .version = "1", .env_count = 1, .envs = envs};
const manta_env_plugin *manta_env_entry(uint32_t host_abi_version) { return (void)host_abi_version, &plugin; }
