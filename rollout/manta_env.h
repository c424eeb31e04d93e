/* manta environment ABI, version 1.
 *
 * A plugin is a shared object with ONE exported symbol, `manta_env_entry`, which returns a const table of environment
 * types. Everything is vectorised from the start: an instance is a batch of `num_envs` environments that step together
 * and write straight into the caller's arrays. manta's built-in environments use this header and nothing else.
 *
 * Compatibility. Every struct starts with `struct_size`, set by whoever fills it in with sizeof. Structs only ever grow
 * at the end; a reader takes a field beyond the writer's `struct_size` as zero. A change that cannot be expressed so
 * gets a new MANTA_ENV_ABI_VERSION. C11 or later, C++11 or later.
 *
 * Threads. No function may use global mutable state. An instance is used by one thread at a time (not always the same
 * one); different instances are used by different threads at the same time. `manta_env_entry` and the const tables may
 * be read from any thread.
 *
 * Errors. Fallible functions return 0, or any other value after having written a message for the user (what is wrong,
 * what to do) into `error` of at least MANTA_ERROR_BYTES bytes, zero-terminated. After a failed step or reset the
 * instance is only destroyed. A plugin never exits, aborts, prints or changes signal handlers, locale or FP modes.
 *
 * Rows. What happens to environment i depends on its own seed and actions alone, not on i, on B, or on its neighbours:
 * that is what makes a training run independent of how its environments are spread over threads and ranks.
 *
 * Shapes. B = num_envs. (B, obs) means: row i, contiguous, belongs to environment i. All arrays are dense, row-major,
 * 64-byte aligned at their start, and owned by the caller.
 */
#ifndef MANTA_ENV_H
#define MANTA_ENV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MANTA_ENV_ABI_VERSION 1u
#define MANTA_ERROR_BYTES 512u
#define MANTA_SPACE_MAX_DIMS 6
#define MANTA_SPACE_MAX_DEPTH 4   /* dicts and tuples inside one another */
#define MANTA_SPACE_MAX_PARTS 32  /* boxes and discrete kinds in a dict or tuple, all levels together */
#define MANTA_SPACE_NAME_BYTES 32 /* of a part's name with its zero; inside several dicts, of all names joined by dots */

#if defined(_WIN32)
#define MANTA_EXPORT __declspec(dllexport)
#else
#define MANTA_EXPORT __attribute__((visibility("default")))
#endif

/* ------------------------------------------------------------------ spaces
 *
 * Dict and tuple are for observations of several parts: a picture and a vector, say. Actions are of one part. One
 * environment's element is laid out as a C compiler lays out a struct of the parts' arrays: in the order of `children`,
 * each part dense and row-major in its own dtype, starting at the next multiple of its dtype's size (MANTA_U8: 1, the
 * others: 4); a dict or tuple inside is such a struct itself, starts at a multiple of the largest size in it and is padded
 * at its end to one; so is the whole. For Dict(image: Box(36, 36, 1) u8, goal: Box(2) f32) that is
 *
 *     struct { uint8_t image[36][36][1]; float goal[2]; }
 *
 * and obs points to B of them (NumPy: a dtype with align=True). Nobody reads the padding. Every value lies where loads of
 * its type like it; wider multiples would buy nothing, as rows of plain boxes have none either, and would part the layout
 * from C's.
 *
 * Names of a dict's children: one to 31 of the characters A-Z a-z 0-9 _ -, each once. A tuple's are called "0", "1", ...;
 * `name` is not read there.
 *
 * This came to version 1 as an addition: no struct changed, and a host made before it refuses such an environment with a
 * message.
 */

typedef enum manta_space_kind {
    MANTA_SPACE_BOX = 1,            /* real or integer array with bounds: observations and actions */
    MANTA_SPACE_DISCRETE = 2,       /* one integer in [0, nvec[0]) */
    MANTA_SPACE_MULTI_DISCRETE = 3, /* shape[0] integers, the k-th in [0, nvec[k]) */
    MANTA_SPACE_MULTI_BINARY = 4,   /* shape[0] integers, each 0 or 1 */
    MANTA_SPACE_DICT = 5,           /* children with names: observations alone */
    MANTA_SPACE_TUPLE = 6           /* children in order: observations alone */
} manta_space_kind;

/* Element types of the batch arrays. Discrete, multi-discrete and multi-binary are always MANTA_I32. */
typedef enum manta_dtype { MANTA_F32 = 1, MANTA_U8 = 2, MANTA_I32 = 3 } manta_dtype;

typedef struct manta_space {
    uint32_t struct_size;
    uint32_t kind;                        /* manta_space_kind */
    uint32_t dtype;                       /* manta_dtype */
    uint32_t ndim;                        /* 1..MANTA_SPACE_MAX_DIMS for box; 0 for discrete; 1 for the multi kinds */
    int64_t shape[MANTA_SPACE_MAX_DIMS];  /* of ONE environment's element, without B */
    const float *low, *high;              /* box: one value an element, row-major; NULL = unbounded. Infinities allowed */
    const int64_t *nvec;                  /* discrete: 1 entry; multi-discrete: shape[0] entries; else NULL */
    const char *name;                     /* key inside a dict; NULL at the top */
    uint32_t child_count;                 /* dict, tuple: 1 or more, and dtype to nvec are not read; 0 otherwise */
    const struct manta_space *const *children; /* (child_count) */
} manta_space;

/* ------------------------------------------------------------------ creating */

typedef struct manta_env manta_env; /* the plugin's own; opaque to the host */

typedef struct manta_env_option { /* `gravity: 1.62` in the experiment's env_kwargs */
    const char *key, *value;
} manta_env_option;

typedef struct manta_env_option_desc { /* what an environment accepts; unknown keys are refused by the host */
    const char *key;
    const char *default_value; /* as text */
    const char *help;          /* one line: meaning, unit, range */
} manta_env_option_desc;

typedef struct manta_env_config {
    uint32_t struct_size;
    uint32_t num_envs;               /* B ≥ 1 */
    const uint64_t *seeds;           /* (B): the random stream of each environment; the plugin copies them */
    uint32_t option_count;
    const manta_env_option *options; /* (option_count), valid during create only */
} manta_env_config;

/* ------------------------------------------------------------------ stepping */

typedef struct manta_env_batch {
    uint32_t struct_size;
    uint32_t num_envs;     /* B, the same as at create */
    const void *action;    /* (B, action): read by step, never written. Discrete: (B). manta keeps to the action space: values
                              of a box are clipped to its bounds, others are in range and allowed by action_mask */
    void *obs;             /* (B, obs): the observation to act on next. After an episode's end: the new episode's first */
    float *reward;         /* (B): written by step */
    uint8_t *terminated;   /* (B): 1 where the episode reached a terminal state in this step, else 0 */
    uint8_t *truncated;    /* (B): 1 where it was cut (time limit) in this step, else 0. Both may be 1 */
    void *final_obs;       /* (B, obs): row i is written only where terminated or truncated: the episode's last one */
    uint8_t *action_mask;  /* (B, sum of nvec): 1 = allowed next. NULL unless MANTA_ENV_HAS_ACTION_MASK. Each row, and
                              each component of a multi-discrete one, allows at least one action */
} manta_env_batch;

/* ------------------------------------------------------------------ the table */

typedef enum manta_env_capability {
    MANTA_ENV_HAS_ACTION_MASK = 1u << 0, /* writes action_mask in reset and step */
    MANTA_ENV_DETERMINISTIC = 1u << 1    /* same seed, same actions: the same bits, in any batch. `manta plugin check`
                                            tests it, and --deterministic asks for it */
} manta_env_capability;

typedef struct manta_env_desc {
    uint32_t struct_size;
    uint32_t abi_version;         /* MANTA_ENV_ABI_VERSION */
    const char *id;               /* "CartPole-v1": [A-Za-z0-9_./-]+, ends in -vN by custom */
    const char *summary;          /* one line for `manta envs` */
    uint32_t capabilities;        /* or of manta_env_capability */
    uint32_t max_episode_steps;   /* default time limit, 0 = none. The environment itself truncates; where users may
                                     change it, it is an option of the same name */
    double reward_threshold;      /* return at which the task counts as solved; NaN = not defined */
    uint32_t option_count;
    const manta_env_option_desc *options; /* (option_count) */

    /* Makes B environments; they need a reset before the first step. *out is NULL on failure. */
    int (*create)(const manta_env_config *config, manta_env **out, char *error);

    /* Frees everything. NULL is allowed. Never fails. */
    void (*destroy)(manta_env *env);

    /* Owned by the instance, constant until destroy. Never NULL. */
    const manta_space *(*observation_space)(const manta_env *env);
    const manta_space *(*action_space)(const manta_env *env);

    /* Starts new episodes and writes obs (and action_mask). Only rows with mask[i] != 0; mask NULL = all. With `seeds`
     * (B; nullable) the random streams of the reset rows start anew from seeds[i]; without, they go on. Rows not reset
     * are left as they are. reward, terminated, truncated and final_obs are not touched. */
    int (*reset)(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error);

    /* One step of all B environments. An environment whose episode ends writes final_obs and starts the next episode
     * in the same call (obs = its first observation). Writes every row of obs, reward, terminated, truncated. */
    int (*step)(manta_env *env, const manta_env_batch *batch, char *error);

    /* Optional tables by name, NULL when the name is not known. See below. May itself be NULL. */
    const void *(*extension)(const char *name);
} manta_env_desc;

typedef struct manta_env_plugin {
    uint32_t struct_size;
    uint32_t abi_version; /* MANTA_ENV_ABI_VERSION */
    const char *name;     /* of the plugin */
    const char *version;  /* of the plugin, free text */
    uint32_t env_count;
    const manta_env_desc *const *envs; /* (env_count) */
} manta_env_plugin;

/* The one exported symbol. Called once after loading, from one thread; returns a constant, or NULL when the plugin
 * cannot work with a host of `host_abi_version`. */
#define MANTA_ENV_ENTRY_SYMBOL "manta_env_entry"
MANTA_EXPORT const manta_env_plugin *manta_env_entry(uint32_t host_abi_version);

/* ------------------------------------------------------------------ extensions */

/* "manta.render": draws environment `index` as text. */
#define MANTA_EXT_RENDER "manta.render"
typedef struct manta_env_render {
    uint32_t struct_size;
    /* Writes a zero-terminated UTF-8 picture of at most bytes-1 bytes; lines end in '\n'. Returns its length. */
    size_t (*text)(const manta_env *env, uint32_t index, char *out, size_t bytes);
} manta_env_render;

/* "manta.snapshot": everything needed to go on exactly: state, step count, random stream. Used by checkpoints. */
#define MANTA_EXT_SNAPSHOT "manta.snapshot"
typedef struct manta_env_snapshot {
    uint32_t struct_size;
    size_t (*bytes)(const manta_env *env);                             /* of one environment; constant */
    void (*save)(const manta_env *env, uint32_t index, void *out);     /* fills every byte */
    int (*load)(manta_env *env, uint32_t index, const void *in, char *error); /* `in` may be corrupt: check it */
} manta_env_snapshot;

/* "manta.state": the physical state as doubles, for parity tests and curricula. */
#define MANTA_EXT_STATE "manta.state"
typedef struct manta_env_state {
    uint32_t struct_size;
    uint32_t (*count)(const manta_env *env);                               /* doubles an environment; constant */
    void (*get)(const manta_env *env, uint32_t index, double *out);       /* (count) */
    int (*set)(manta_env *env, uint32_t index, const double *in, char *error); /* restarts the step count */
} manta_env_state;

/* ------------------------------------------------------------------ help for authors */

/* A small random generator (SplitMix64, Steele et al. 2014) for plugins: one uint64_t of state an environment. */
static inline uint64_t manta_rand_u64(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
static inline double manta_rand_uniform(uint64_t *state, double low, double high) { /* [low, high) */
    return low + (high - low) * ((double)(manta_rand_u64(state) >> 11) * (1.0 / 9007199254740992.0));
}

#ifdef __cplusplus
}
#endif
#endif
