/* manta policy ABI, version 1.
 *
 * A plugin is a shared object with ONE exported symbol, `manta_policy_entry`, which returns a const table of what it brings:
 *
 *   policies  a whole actor-critic network with its own arithmetic:   --policy NAME
 *   layers    a kind of layer for manta's own networks:               a line `NAME 32 0.5` in policy_kwargs' `layers`
 *   losses    what PPO minimises, and its gradient:                   --loss NAME
 *
 * Environments come the same way (manta_env.h); one file may export both symbols. The host owns every array: parameters, gradients,
 * activations, states. A plugin says how many floats it needs and computes on what it is handed. There is no autodiff: a
 * forward function comes with its backward function, and `manta plugin check` holds one against the other.
 *
 * Compatibility. Every struct starts with `struct_size`, set by whoever fills it in with sizeof. Structs only ever grow
 * at the end; a reader takes a field beyond the writer's `struct_size` as zero. The small structs that stand in arrays
 * (manta_parameter, manta_policy_input, manta_policy_option, manta_policy_option_desc, manta_layer_number) have none and stay as
 * they are. A change that cannot be expressed so gets a new MANTA_POLICY_ABI_VERSION. C11 or later, C++11 or later.
 *
 * Threads. No function may use global mutable state. Instances (manta_policy, manta_loss) and plans do not change after they were
 * made: several threads compute with the same one at the same time, each with arrays of its own.
 *
 * Errors. Fallible functions return 0, or any other value after having written a message for the user (what is wrong,
 * what to do) into `error` of at least MANTA_ERROR_BYTES bytes, zero-terminated. forward, backward and gradient cannot fail, and
 * allocate, lock and wait for nothing. A plugin never exits, aborts, prints or changes signal handlers, locale or FP modes.
 *
 * Determinism. On the CPU the same arguments give the same bits, and a row's outputs do not depend on which other rows are in the
 * call: that is what makes a run independent of how its rows are spread over threads and ranks. Of a policy or layer with a state
 * the same holds of whole sequences.
 *
 * Shapes. B rows, K columns of the policy head, A components of an action, T steps of N sequences. (B, K) means: row i, contiguous.
 * All arrays are fp32 unless said, dense, row-major, and never overlap unless said. Parameters, gradients and workspaces begin at
 * multiples of 64 bytes; any other array may lie anywhere.
 *
 * GPU. With MANTA_ON_CUDA the same functions are also called with `device` MANTA_DEVICE_CUDA: then every array of numbers lies in
 * device memory (arrays of pointers, plans and action spaces do not), `stream` is the cudaStream_t of the device that is current,
 * and a function only queues work there: it neither waits nor allocates. A CUDA graph may hold forward and backward; a loss, whose
 * numbers change, is called for every minibatch. create, plan and init are the CPU's.
 */
#ifndef MANTA_POLICY_H
#define MANTA_POLICY_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MANTA_POLICY_ABI_VERSION 1u

#ifndef MANTA_ERROR_BYTES
#define MANTA_ERROR_BYTES 512u
#endif
#ifndef MANTA_EXPORT
#if defined(_WIN32)
#define MANTA_EXPORT __declspec(dllexport)
#else
#define MANTA_EXPORT __attribute__((visibility("default")))
#endif
#endif

#define MANTA_PARAMETER_MAX_DIMS 4
#define MANTA_POLICY_MAX_PARAMETERS 256 /* tensors of a policy */
#define MANTA_LAYER_MAX_PARAMETERS 8    /* tensors of a layer */
#define MANTA_LAYER_MAX_NUMBERS 8

/* ------------------------------------------------------------------ what all three share */

typedef enum manta_policy_device { MANTA_DEVICE_CPU = 0, MANTA_DEVICE_CUDA = 1 } manta_policy_device;

typedef enum manta_policy_capability {
    MANTA_ON_CUDA = 1u << 0,          /* works on device memory, too */
    MANTA_POLICY_LOG_STD = 1u << 1    /* policies: forward writes log σ for every row. Without it, and for box actions alone,
                                         the host keeps one log σ a component and trains it */
} manta_policy_capability;

/* A tensor of parameters. Checkpoints and weight files know it by its name. */
typedef struct manta_parameter {
    const char *name;                          /* "hidden.weight": [A-Za-z0-9_.]+, at most 63 bytes, each once. Constant while
                                                  the plugin is loaded */
    uint32_t ndim;                             /* 1..MANTA_PARAMETER_MAX_DIMS */
    int64_t shape[MANTA_PARAMETER_MAX_DIMS];   /* each ≥ 1 */
} manta_parameter;

typedef struct manta_policy_option { /* `hidden: 64` in the experiment's policy_options or loss_options */
    const char *key, *value;
} manta_policy_option;

typedef struct manta_policy_option_desc { /* what a policy or a loss accepts; unknown keys are refused by the host */
    const char *key;
    const char *default_value; /* as text */
    const char *help;          /* one line: meaning, unit, range */
} manta_policy_option_desc;

typedef enum manta_action_kind {
    MANTA_ACTION_CATEGORICAL = 1, /* the head holds logits: of all components together K = Σ nvec */
    MANTA_ACTION_GAUSSIAN = 2     /* the head holds means, K = A; each component has a log σ */
} manta_action_kind;

typedef struct manta_action_space {
    uint32_t struct_size;
    uint32_t kind;         /* manta_action_kind */
    uint32_t components;   /* A ≥ 1 */
    const int32_t *nvec;   /* (A): categorical; else NULL. Masked actions are the host's business */
    int64_t head;          /* K */
} manta_action_space;

/* What a forward pass computes on, and its backward pass again. */
typedef struct manta_pass {
    uint32_t struct_size;
    uint32_t device;              /* manta_policy_device */
    void *stream;                 /* cudaStream_t; NULL on the CPU */
    int64_t rows;                 /* B */
    const float *x;               /* (B, in): observations, or what a layer reads */
    const float *const *param;    /* (parameters): every tensor, in the plan's order */
    float *row_space;             /* (row_floats · B), laid out as you like. What forward leaves there backward finds; its
                                     first contents mean nothing */
    float *scratch;               /* (scratch_floats): lasts one call */
    /* with a state: row t·N + n is step t of sequence n, B = T·N. Without: T = 1, N = B, and NULLs */
    int64_t steps, envs;          /* T, N */
    const uint8_t *start;         /* (T, N): 1 where an episode begins: the state before that step is zero. NULL: nowhere */
    const float *state;           /* (N, …): sequence n's state before the first step at state + n·state_stride */
    float *state_out;             /* likewise after the last step; may be `state`. NULL: not wanted (in backward never) */
    int64_t state_stride;         /* floats, ≥ state_floats */
} manta_pass;

/* ------------------------------------------------------------------ policies */

typedef enum manta_input_kind { MANTA_INPUT_VECTOR = 1, MANTA_INPUT_IMAGE = 2, MANTA_INPUT_INDEX = 3 } manta_input_kind;

typedef struct manta_policy_input { /* columns offset … offset + count of an observation */
    const char *name;                 /* key of a dict observation; "" for a plain one */
    uint32_t kind;                    /* manta_input_kind */
    int64_t offset, count;            /* floats */
    int64_t height, width, channels;  /* image: channels-last */
    int64_t entries;                  /* index: a whole number below this */
} manta_policy_input;

typedef struct manta_policy manta_policy; /* the plugin's own; opaque to the host */

typedef struct manta_policy_config {
    uint32_t struct_size;
    int64_t obs;                        /* O: floats of an encoded observation */
    uint32_t input_count;               /* 0: a vector of O */
    const manta_policy_input *inputs;   /* (input_count), valid during create only */
    const manta_action_space *action;   /* valid during create only, nvec likewise */
    uint32_t option_count;
    const manta_policy_option *options; /* (option_count), valid during create only */
} manta_policy_config;

typedef struct manta_policy_plan {
    uint32_t struct_size;
    uint32_t parameter_count;           /* 1..MANTA_POLICY_MAX_PARAMETERS */
    const manta_parameter *parameters;  /* (parameter_count) */
    int64_t row_floats;                 /* of the workspace, a row */
    int64_t scratch_floats;             /* of the workspace, once */
    int64_t state_floats;               /* S of a sequence; 0: it remembers nothing */
} manta_policy_plan;

/* Outputs that nobody wants in this call are NULL. */
typedef struct manta_policy_output {
    uint32_t struct_size;
    float *head;      /* (B, K) */
    float *value;     /* (B) */
    float *log_std;   /* (B, A): with MANTA_POLICY_LOG_STD, for box actions; comes and goes with head */
} manta_policy_output;

typedef struct manta_policy_gradient { /* of the loss by each output; all of them are there that forward can write */
    uint32_t struct_size;
    const float *head;      /* (B, K) */
    const float *value;     /* (B) */
    const float *log_std;   /* (B, A) */
} manta_policy_gradient;

typedef struct manta_policy_desc {
    uint32_t struct_size;
    uint32_t abi_version;      /* MANTA_POLICY_ABI_VERSION */
    const char *name;          /* "my_net": [A-Za-z0-9_.-]+, at most 63 bytes; not one of manta's own */
    const char *summary;       /* one line */
    uint32_t capabilities;     /* or of manta_policy_capability */
    uint32_t option_count;
    const manta_policy_option_desc *options; /* (option_count) */

    /* Looks at what there is to see and to do; *out is NULL on failure, which is also how to say "not for images". */
    int (*create)(const manta_policy_config *config, manta_policy **out, char *error);
    void (*destroy)(manta_policy *policy);   /* NULL is allowed. Never fails */
    const manta_policy_plan *(*plan)(const manta_policy *policy);   /* constant until destroy, the same for the same config */

    /* First parameters from a seed, in host memory, all zero before: the same seed gives the same bits. */
    int (*init)(const manta_policy *policy, uint64_t seed, float *const *param, char *error);

    void (*forward)(const manta_policy *policy, const manta_pass *pass, const manta_policy_output *out);

    /* After a forward of the same rows in the same workspace, all outputs wanted: ADDS to grad (parameters) the gradient of the
     * loss. Through all T steps; not into the state before the first. */
    void (*backward)(const manta_policy *policy, const manta_pass *pass, const manta_policy_gradient *d, float *const *grad);

    const void *(*extension)(const char *name);   /* optional tables by name; may be NULL. Version 1 asks for none */
} manta_policy_desc;

/* ------------------------------------------------------------------ layers */

/* The numbers behind a layer's name, in order. Those left out have their standard value. */
typedef struct manta_layer_number {
    const char *name;    /* "units" */
    double standard;
    const char *help;    /* one line */
} manta_layer_number;

/* A layer as it stands in one network. The host fills in the first half, `plan` the second, which is zero before. */
typedef struct manta_layer_plan {
    uint32_t struct_size;
    double numbers[MANTA_LAYER_MAX_NUMBERS];
    int64_t in_height, in_width, in_channels;     /* of what it reads; a vector is 1 × 1 × channels. Images are channels-last */

    int64_t out_height, out_width, out_channels;  /* likewise */
    int64_t row_floats, scratch_floats;           /* workspace: a row, and once */
    int64_t state_floats;                         /* of a sequence; 0: it remembers nothing */
    uint32_t parameter_count;
    manta_parameter parameters[MANTA_LAYER_MAX_PARAMETERS];
} manta_layer_plan;

typedef struct manta_layer_desc {
    uint32_t struct_size;
    uint32_t abi_version;      /* MANTA_POLICY_ABI_VERSION */
    const char *name;          /* "my_layer": a word of the language of layers, [A-Za-z0-9_-]+, at most 63 bytes, no number */
    const char *summary;       /* one line */
    uint32_t capabilities;     /* MANTA_ON_CUDA or 0 */
    uint32_t number_count;
    const manta_layer_number *numbers;   /* (number_count), at most MANTA_LAYER_MAX_NUMBERS */

    int (*plan)(manta_layer_plan *plan, char *error);   /* a function of the plan's first half alone */
    int (*init)(const manta_layer_plan *plan, uint64_t seed, float *const *param, char *error);   /* NULL: they stay zero */
    void (*forward)(const manta_layer_plan *plan, const manta_pass *pass, float *y /* (B, out) */);

    /* After a forward of the same rows in the same workspace. dy = dL/dy. Writes dx = dL/dx (B, in); NULL: not wanted. ADDS to
     * grad (parameters). Through all T steps; not into the state before the first. */
    void (*backward)(const manta_layer_plan *plan, const manta_pass *pass, const float *y, const float *dy, float *dx,
        float *const *grad);

    const void *(*extension)(const char *name);
} manta_layer_desc;

/* ------------------------------------------------------------------ losses */

typedef struct manta_loss manta_loss; /* the plugin's own; opaque to the host */

typedef struct manta_loss_config {
    uint32_t struct_size;
    const manta_action_space *action;   /* valid during create only, nvec likewise */
    uint32_t option_count;
    const manta_policy_option *options; /* (option_count), valid during create only */
} manta_loss_config;

enum { /* Σ over the rows of a call, each undivided. 0 where it means nothing */
    MANTA_LOSS_TOTAL = 0,       /* what is minimised, all terms with their coefficients: its gradient is what `gradient` writes */
    MANTA_LOSS_VALUE = 1,       /* the value term without vf_coef */
    MANTA_LOSS_ENTROPY = 2,     /* of the policy */
    MANTA_LOSS_APPROX_KL = 3,   /* from the behaviour policy: what target_kl watches */
    MANTA_LOSS_CLIPPED = 4,     /* rows that the surrogate has cut off */
    MANTA_LOSS_SUMS = 5
};

/* Some rows of a minibatch. Learners cut minibatches into pieces, so a row's gradient may depend on that row alone. */
typedef struct manta_loss_batch {
    uint32_t struct_size;
    uint32_t device;             /* manta_policy_device */
    void *stream;
    const manta_action_space *action;
    int64_t rows;                /* B */
    /* what the network says of these rows now */
    const float *head;           /* (B, K): logits or means */
    const float *log_std;        /* Gaussian: (A), or (B, A) with log_std_rows; else NULL */
    uint32_t log_std_rows;
    const float *value;          /* (B) */
    /* what was done and came of it */
    const int32_t *choice;       /* (B, A): categorical; else NULL */
    const float *taken;          /* (B, A): Gaussian, as sampled; else NULL */
    const uint8_t *mask;         /* (B, K): 0 = was not allowed. NULL: everything is */
    const float *old_log_prob;   /* (B): of the whole action, by the policy that acted */
    const float *advantage;      /* (B): as estimated. What the loss uses is (advantage - adv_mean)·adv_inv_std */
    float adv_mean, adv_inv_std; /* of the whole minibatch; 0 and 1 without normalize_advantage */
    const float *returns;        /* (B): the value's target */
    const float *old_value;      /* (B): V as it was when acting */
    /* the options of that name; clip_range_vf < 0: none */
    float clip_range, clip_range_vf, ent_coef, vf_coef;
    float inv_rows;              /* 1 / rows of the WHOLE minibatch over all workers */
    /* outputs: inv_rows · dTOTAL/d… */
    float *d_head;               /* (B, K): written */
    float *d_value;              /* (B): written */
    float *d_log_std;            /* as log_std: ADDED to, zero before. NULL where log_std is */
    double *sums;                /* (MANTA_LOSS_SUMS): written */
} manta_loss_batch;

typedef struct manta_loss_desc {
    uint32_t struct_size;
    uint32_t abi_version;      /* MANTA_POLICY_ABI_VERSION */
    const char *name;          /* "my_loss": [A-Za-z0-9_.-]+, at most 63 bytes */
    const char *summary;       /* one line */
    uint32_t capabilities;     /* MANTA_ON_CUDA or 0 */
    uint32_t option_count;
    const manta_policy_option_desc *options; /* (option_count) */

    int (*create)(const manta_loss_config *config, manta_loss **out, char *error);   /* *out is NULL on failure */
    void (*destroy)(manta_loss *loss);   /* NULL is allowed. Never fails */
    void (*gradient)(const manta_loss *loss, const manta_loss_batch *batch);

    const void *(*extension)(const char *name);
} manta_loss_desc;

/* ------------------------------------------------------------------ the table */

typedef struct manta_policy_plugin {
    uint32_t struct_size;
    uint32_t abi_version; /* MANTA_POLICY_ABI_VERSION */
    const char *name;     /* of the plugin */
    const char *version;  /* of the plugin, free text */
    uint32_t policy_count;
    const manta_policy_desc *const *policies; /* (policy_count) */
    uint32_t layer_count;
    const manta_layer_desc *const *layers;    /* (layer_count) */
    uint32_t loss_count;
    const manta_loss_desc *const *losses;     /* (loss_count) */
} manta_policy_plugin;

/* The one exported symbol. Called after loading, from one thread; returns a constant, or NULL when the plugin
 * cannot work with a host of `host_abi_version`. */
#define MANTA_POLICY_ENTRY_SYMBOL "manta_policy_entry"
MANTA_EXPORT const manta_policy_plugin *manta_policy_entry(uint32_t host_abi_version);

/* ------------------------------------------------------------------ help for authors (CPU) */

/* Random numbers for init (SplitMix64, Steele et al. 2014): `state` begins as the seed. */
static inline uint64_t manta_init_u64(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
static inline double manta_init_uniform(uint64_t *state, double low, double high) { /* [low, high) */
    return low + (high - low) * ((double)(manta_init_u64(state) >> 11) * (1.0 / 9007199254740992.0));
}
static inline double manta_init_normal(uint64_t *state) { /* Box–Muller */
    double radius = sqrt(-2.0 * log(1.0 - manta_init_uniform(state, 0, 1)));
    return radius * cos(6.283185307179586477 * manta_init_uniform(state, 0, 1));
}

/* A row of a batch: log π of what was done and the policy's entropy. Leaves in d_head what manta_loss_row_gradient reads there. */
static inline void manta_loss_row(const manta_loss_batch *b, int64_t row, float *log_prob, float *entropy) {
    uint32_t components = b->action->components;
    *log_prob = *entropy = 0;
    if (b->action->kind == MANTA_ACTION_GAUSSIAN) {
        const float *log_std = b->log_std + (b->log_std_rows ? row * components : 0);
        for (uint32_t a = 0; a < components; a++) {
            float t = (b->taken[row * components + a] - b->head[row * components + a]) * expf(-log_std[a]);
            *log_prob -= 0.5f * t * t + log_std[a] + 0.918938533f;
            *entropy += log_std[a] + 1.418938533f;
        }
        return;
    }
    const float *z = b->head + row * b->action->head;
    const uint8_t *mask = b->mask ? b->mask + row * b->action->head : NULL;
    float *p = b->d_head + row * b->action->head;
    for (uint32_t a = 0; a < components; a++) {
        int32_t n = b->action->nvec[a], chosen = b->choice[row * components + a];
        float most = -INFINITY, total = 0;
        for (int32_t k = 0; k < n; k++)
            if ((!mask || mask[k]) && z[k] > most) most = z[k];
        for (int32_t k = 0; k < n; k++) total += p[k] = !mask || mask[k] ? expf(z[k] - most) : 0.0f;
        float log_total = logf(total);
        for (int32_t k = 0; k < n; k++) {
            p[k] /= total;
            if (p[k] > 0) *entropy -= p[k] * (z[k] - most - log_total);
        }
        *log_prob += z[chosen] - most - log_total;
        z += n, p += n, mask = mask ? mask + n : NULL;
    }
}

static inline float manta_loss_advantage(const manta_loss_batch *b, int64_t row) {
    return (b->advantage[row] - b->adv_mean) * b->adv_inv_std;
}

/* After manta_loss_row of this row: writes its d_head and adds to d_log_std, given dL/dlog π and dL/dentropy. */
static inline void manta_loss_row_gradient(const manta_loss_batch *b, int64_t row, float d_log_prob, float d_entropy) {
    uint32_t components = b->action->components;
    if (b->action->kind == MANTA_ACTION_GAUSSIAN) {
        int64_t shared = b->log_std_rows ? row * components : 0;
        for (uint32_t a = 0; a < components; a++) {
            float inv_std = expf(-b->log_std[shared + a]);
            float t = (b->taken[row * components + a] - b->head[row * components + a]) * inv_std;
            b->d_head[row * components + a] = d_log_prob * t * inv_std;
            b->d_log_std[shared + a] += d_log_prob * (t * t - 1.0f) + d_entropy;
        }
        return;
    }
    float *p = b->d_head + row * b->action->head;
    for (uint32_t a = 0; a < components; a++) {
        int32_t n = b->action->nvec[a], chosen = b->choice[row * components + a];
        float entropy = 0;
        for (int32_t k = 0; k < n; k++)
            if (p[k] > 0) entropy -= p[k] * logf(p[k]);
        for (int32_t k = 0; k < n; k++) {
            float log_p = p[k] > 0 ? logf(p[k]) : 0.0f;
            p[k] = d_log_prob * ((k == chosen ? 1.0f : 0.0f) - p[k]) - d_entropy * p[k] * (log_p + entropy);
        }
        p += n;
    }
}

#ifdef __cplusplus
}
#endif
#endif
