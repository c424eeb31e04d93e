// What the environments that are small puzzles share: a few whole numbers of state for every row, options, spaces that depend on
// them, seeding, automatic reset, snapshots and state access. An environment's file adds its rules; they are inlined into the loop
// below. Episodes end by the rules alone: there is no time limit. Actions are one of a few.
//
// Random numbers: episode e of a row whose stream was started with seed s begins with Philox block (s, stream "environment" 0,
// e). Numbers for single steps come from streams 1 and on, see puzzle_noise.
#ifndef MANTA_ROLLOUT_ENVS_PUZZLE_H
#define MANTA_ROLLOUT_ENVS_PUZZLE_H

#include <string.h>

#include "rollout/manta_env.h"

enum { PUZZLE_STATE_MAX = 4, PUZZLE_OPTIONS_MAX = 4, PUZZLE_SPACES_MAX = 4, PUZZLE_STEPS_MAX = 1 << 20 /* of an episode */ };

typedef struct puzzle_kind puzzle_kind;
struct mt_canvas;

struct manta_env {
    const puzzle_kind *kind;
    uint32_t num_envs;                        // B
    double option[PUZZLE_OPTIONS_MAX];        // as desc->options lists them
    int32_t *state;                           // (B, kind->state_count) owned
    uint64_t *seed, *episode;                 // (B): random stream; number of the next episode
    manta_space space[PUZZLE_SPACES_MAX];     // the observation's first, its children after it
    const manta_space *children[PUZZLE_SPACES_MAX];
    float *bounds[2 * PUZZLE_SPACES_MAX];     // owned
    manta_space action_space;
    int64_t actions;
    size_t obs_bytes;                         // of one row
};

struct puzzle_kind {
    const manta_env_desc *desc;
    uint32_t state_count;
    struct puzzle_option {
        double low, high;
        int is_whole;
    } option[PUZZLE_OPTIONS_MAX];

    // Called once the options are known: fills space, actions and obs_bytes; 1 and a message when options do not go together.
    int (*set_up)(manta_env *env, char *error);
    // Numbers that state[k] may be: 0 to below this.
    int32_t (*values)(const manta_env *env, uint32_t k);
    // The state of a new episode out of four random words.
    void (*begin)(const manta_env *env, int32_t *state, const uint32_t word[4]);
    void (*observe)(const manta_env *env, uint32_t row, void *obs);
    void (*draw)(const manta_env *env, uint32_t row, struct mt_canvas *canvas);
};

int puzzle_create(const puzzle_kind *kind, const manta_env_config *config, manta_env **out, char *error);
void puzzle_destroy(manta_env *env);
const manta_space *puzzle_observation_space(const manta_env *env);
const manta_space *puzzle_action_space(const manta_env *env);
int puzzle_reset(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error);
const void *puzzle_extension(const char *name);

// Starts the next episode of `row`.
void puzzle_begin(manta_env *env, uint32_t row);

// Writes the message, returns 1: what set_up and step fail with.
int puzzle_fail(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

// For set_up: makes space[slot] a box of shape (ndim) with the same bounds everywhere. 1: no memory, and says so.
int puzzle_box(manta_env *env, int slot, const char *name, manta_dtype dtype, uint32_t ndim, const int64_t *shape, float low, float high,
    char *error);

// Uniform in [-1, 1), `count` of them, that depend on the row's seed, its episode and `step` alone.
void puzzle_noise(const manta_env *env, uint32_t row, uint32_t step, int count, float *out);

static inline int32_t puzzle_below(uint32_t word, int32_t bound) { return (int32_t)((uint64_t)word * (uint32_t)bound >> 32); }
static inline int32_t *puzzle_state(const manta_env *env, uint32_t row) { return env->state + (size_t)row * env->kind->state_count; }

// ---- the loop

#define PUZZLE_INLINE static inline __attribute__((always_inline))

// What an action makes of a row's state; 1 where the episode ends. *reward is 0 before.
typedef int (*puzzle_rules)(const manta_env *env, int32_t *state, int32_t action, float *reward);

PUZZLE_INLINE int puzzle_step(manta_env *env, const manta_env_batch *batch, char *error, uint32_t state_count, puzzle_rules rules,
    void (*observe)(const manta_env *, uint32_t, void *)) {
    const int32_t *action = batch->action;
    size_t bytes = env->obs_bytes;
    for (uint32_t i = 0; i < env->num_envs; i++) {
        if (__builtin_expect((uint64_t)(int64_t)action[i] >= (uint64_t)env->actions, 0))
            return puzzle_fail(error, "action %d of environment %u is not one of 0…%d", action[i], i, (int)env->actions - 1);
        float reward = 0;
        int ended = rules(env, env->state + (size_t)i * state_count, action[i], &reward);
        batch->reward[i] = reward;
        batch->terminated[i] = (uint8_t)ended;
        batch->truncated[i] = 0;
        if (ended) {
            observe(env, i, (char *)batch->final_obs + i * bytes);
            puzzle_begin(env, i);
        }
        observe(env, i, (char *)batch->obs + i * bytes);
    }
    return 0;
}

// ---- what a file ends in

#define PUZZLE_CREATE(kind)                                                                                            \
    static int create(const manta_env_config *config, manta_env **out, char *error) {                                  \
        return puzzle_create(&(kind), config, out, error);                                                             \
    }

#define PUZZLE_STEP(state_count, rules, observe)                                                                       \
    static int step(manta_env *env, const manta_env_batch *batch, char *error) {                                       \
        return puzzle_step(env, batch, error, state_count, rules, observe);                                            \
    }

// The fields of a descriptor that are the same in all; create and step are the file's.
#define PUZZLE_COMMON                                                                                                  \
    .struct_size = sizeof(manta_env_desc), .abi_version = MANTA_ENV_ABI_VERSION,                                       \
    .capabilities = MANTA_ENV_DETERMINISTIC, .create = create, .destroy = puzzle_destroy,                              \
    .observation_space = puzzle_observation_space, .action_space = puzzle_action_space, .reset = puzzle_reset,         \
    .step = step, .extension = puzzle_extension

// The options, each {key, default, help}.
#define PUZZLE_OPTIONS(...)                                                                                            \
    .option_count = sizeof((const manta_env_option_desc[]){__VA_ARGS__}) / sizeof(manta_env_option_desc),              \
    .options = (const manta_env_option_desc[]) { __VA_ARGS__ }

#endif
