// An actor-critic policy: what is learned, as a const plan (mt_policy) over mutable weights (mt_weights) and a scratch
// workspace. The plan is shared freely between threads; weights are written by one learner and read by samplers between
// its updates; a workspace belongs to one thread.
//
//     observation → [trunk: shared features, shared layers, shared memory] ─┬→ policy net → head → distribution of actions
//                                                                           └→ value net  → V
//
// All three are networks (network.h); which layers they have, architecture.c says. What is not shared comes first in both nets.
// A plugin may bring a policy of its own (plugin_policy.h): then there are no networks, and all its parameters count as the actor's.
#ifndef MANTA_POLICIES_POLICY_H
#define MANTA_POLICIES_POLICY_H

#include "engine/base/arena.h"
#include "engine/base/tensor.h"
#include "policies/network.h"

enum { MT_POLICY_MAX_DEPTH = 8, MT_POLICY_MAX_COMPONENTS = 256, MT_POLICY_LAYERS_BYTES = 2048 };

typedef enum mt_distribution {
    MT_DIST_CATEGORICAL,   // discrete, multi-discrete and multi-binary spaces
    MT_DIST_GAUSSIAN,      // box, one log σ per component, independent of the state
    MT_DIST_GSDE           // box, state-dependent exploration (Raffin et al. 2021)
} mt_distribution;

// What makes features of an observation.
typedef enum mt_extractor {
    MT_EXTRACTOR_FLATTEN,    // the observation as it is
    MT_EXTRACTOR_NATURE,     // images: the DQN net (Mnih et al. 2015); vectors as they are, all side by side
    MT_EXTRACTOR_IMPALA,     // images: the residual net (Espeholt et al. 2018, fig. 3 right); likewise
    MT_EXTRACTOR_LAYERS      // as `layers` lists (network_text.h)
} mt_extractor;

typedef enum mt_memory { MT_MEMORY_NONE, MT_MEMORY_LSTM, MT_MEMORY_GRU } mt_memory;

// Whose the memory is: sb3-contrib's enable_critic_lstm and shared_lstm.
typedef enum mt_memory_of { MT_MEMORY_OF_EACH, MT_MEMORY_OF_ACTOR, MT_MEMORY_SHARED } mt_memory_of;

typedef struct mt_policy_desc {
    int obs;                                    // O ≥ 1: floats of an encoded observation
    int input_count;                            // 0: one vector of all
    mt_input inputs[MT_MAX_INPUTS];             // what its columns are
    mt_extractor extractor;
    int features;                               // units of an image extractor's last layer; 0: its paper's (512, 256)
    int embedding;                              // width of the table that an index is looked up in; 0: there are none
    int separate_features;                      // 1: policy and value have an extractor each
    const char *layers;                         // MT_EXTRACTOR_LAYERS: borrowed during create, as is the file that it comes from
    const char *layers_file;                    // Nullable, for messages, with the line of its key
    int layers_line;
    mt_memory memory;
    mt_memory_of memory_of;
    int memory_units, memory_depth;             // H; stacked layers
    int memory_horizon;                         // steps that it should remember at first; 0: as PyTorch initialises
    mt_distribution distribution;
    int action;                                 // A ≥ 1
    int32_t nvec[MT_POLICY_MAX_COMPONENTS];     // (A): categorical only
    int shared[MT_POLICY_MAX_DEPTH], pi[MT_POLICY_MAX_DEPTH], vf[MT_POLICY_MAX_DEPTH];   // hidden units
    int shared_depth, pi_depth, vf_depth;
    mt_activation activation;                   // of all hidden layers
    int ortho_init;                             // 1: orthogonal, gains √2, 0.01 (head), 1 (value); 0: PyTorch's default
    float log_std_init;
    const struct mt_policy_registry *plugins;   // Nullable: whose layers `layers` may use; borrowed
    // a plugin's policy in place of all networks above; NULL: none. Borrowed, and its options during create
    const manta_policy_desc *plugin;
    const manta_policy_option *options;         // (option_count)
    int option_count;
    int undivided;                              // 1: actor and critic are always computed together: the loss wants both
} mt_policy_desc;

typedef struct mt_policy {
    mt_policy_desc desc;
    int head;               // columns of the policy head: K logits, or A means
    int latent;             // L: columns of what the head reads; gSDE's features
    mt_network trunk, pi, vf;   // pi and vf end in their heads
    int64_t log_std;        // offset; (A) or (L, A); -1 for categorical
    int64_t log_std_count;
    int64_t critic;         // the slab's parameters before this one are the trunk's and the actor's, the rest the critic's
    mt_slab_sizes sizes;    // of the parameter slab, the packed slab, one row of a workspace, and a sequence's state
    int recurrent;          // rows are sequences, with a state that goes on
    int log_std_rows;       // log σ is (B, A)
    int undivided;          // the two nets cannot be computed apart
    struct mt_plugin_policy *plugin;   // owned. NULL: manta's own networks
} mt_policy;

// MT_CONFIG with what is wrong.
mt_status mt_policy_create(const mt_policy_desc *desc, mt_policy **out);
void mt_policy_destroy(mt_policy *policy);   // NULL allowed

// MT_UNSUPPORTED when something of a plugin's in it does not work where these kernels do.
mt_status mt_policy_check_place(const mt_policy *policy, const mt_kernels *k);

// The parameters in order, named as Stable-Baselines3 names them ("mlp_extractor.policy_net.0.weight"). For every tensor
// calls visit(ctx, name, tensor) with a view into `param`. Stops at the first failure and returns it.
mt_status mt_policy_visit(const mt_policy *policy, float *param, mt_tensor_visit visit, void *ctx);
int64_t mt_policy_largest_tensor(const mt_policy *policy);    // its parameters
int64_t mt_policy_parameter_count(const mt_policy *policy);   // without the slab's padding
int64_t mt_policy_products(const mt_policy *policy);          // multiplications of a row's forward pass; of a plugin's, as if dense

// The two nets, for what can be done for one of them; the trunk belongs to the actor.
enum { MT_POLICY_ACTOR = 1, MT_POLICY_CRITIC = 2, MT_POLICY_BOTH = MT_POLICY_ACTOR | MT_POLICY_CRITIC };

// The parameters of some parts: [first, first + count) of a slab.
typedef struct mt_policy_range {
    int64_t first, count;
} mt_policy_range;
static inline mt_policy_range mt_policy_range_of(const mt_policy *policy, int parts) {
    int64_t first = parts & MT_POLICY_ACTOR ? 0 : policy->critic;
    return (mt_policy_range){first, (parts & MT_POLICY_CRITIC ? policy->sizes.params : policy->critic) - first};
}

typedef struct mt_weights {
    float *param;        // (sizes.params) owned by an arena
    float *packed;       // (sizes.packed) transposes, refreshed by mt_weights_pack
    uint64_t version;    // counts updates
} mt_weights;

void mt_weights_register(mt_weights *weights, const mt_policy *policy, mt_arena *arena);
// Draws initial parameters from (seed, MT_RNG_INIT) and packs them.
mt_status mt_weights_init(mt_weights *weights, const mt_policy *policy, const mt_kernels *k, uint64_t seed);
void mt_weights_pack(mt_weights *weights, const mt_policy *policy, const mt_kernels *k, int parts);

// ---- evaluating

typedef struct mt_policy_space {
    mt_network_space net;          // of all three networks; scratch and gradients are used by one after the other
    float *row_log_std;            // (max_rows, A): with log_std_rows
    float *head, *value;           // (max_rows, K), (max_rows): a plugin's outputs; its workspace is net.layers and net.scratch
    float *d_trunk[2];             // (max_rows, trunk's outputs): where both nets' gradients meet; with a trunk only
} mt_policy_space;

// `backward`: 0 where only forward passes will run.
void mt_policy_space_register(mt_policy_space *space, const mt_policy *policy, const mt_kernels *k, int64_t max_rows, int backward,
    mt_arena *arena);

// The largest number of rows whose activations should go through the network together, for the caches' sake: at most `most`.
int64_t mt_policy_rows_at_once(const mt_policy *policy, int64_t most);

// What a forward pass gives; views into the workspace, valid until the next call with it.
typedef struct mt_policy_output {
    const float *head;     // (B, K) logits or (B, A) means
    const float *latent;   // (B, L)
    const float *log_std;  // (A), or (B, A) with log_std_rows; NULL for categorical
    const float *value;    // (B). NULL when not asked for
} mt_policy_output;

// obs (rows, O), rows ≤ max_rows. sequences: of a recurrent policy, whose states it carries on; else NULL. The state of a part
// that is not wanted stays as it is.
mt_policy_output mt_policy_forward(const mt_policy *policy, const mt_kernels *k, const mt_weights *weights, const float *obs,
    int64_t rows, const mt_sequences *sequences, int parts, mt_policy_space *space);

// After a forward of the same parts on the same obs: writes (or adds) the gradient from the loss's gradients. `grad` holds
// the parts' range of the slab. With a shared trunk both parts are wanted, since they meet there, and of a plugin's policy. d_log_std:
// (A), or (B, A) with log_std_rows; ignored for categorical. What belongs to a part that is not wanted is not read.
void mt_policy_backward(const mt_policy *policy, const mt_kernels *k, const mt_weights *weights, const float *obs,
    int64_t rows, const mt_sequences *sequences, int parts, const float *d_head, const float *d_value, const float *d_log_std,
    mt_policy_space *space, float *grad, int accumulate);

// The output as the kernels' distribution structs. mask: (B, K), Nullable.
mt_categorical mt_policy_categorical(const mt_policy *policy, const mt_policy_output *out, const uint8_t *mask, int64_t rows);
mt_gaussian mt_policy_gaussian(const mt_policy *policy, const mt_policy_output *out, int64_t rows);

#endif
