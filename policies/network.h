// A network: a const description, which is a list of layers, and the plan compiled from it over slabs that somebody else owns
// (parameters, their packed forms, activations, gradients). Layers are in topological order; the last one is the output.
// Forward and backward are written by hand, layer by layer: there is no tape and no autodiff.
//
//     mt_network_desc d = {0};
//     mt_layer_desc *hidden = mt_network_add(&d, MT_LAYER_DENSE, "mlp_extractor.policy_net.0");
//     hidden->units = 64, hidden->activation = MT_ACT_tanh;        // reads the layer before it unless sources are given
//
// A plan is immutable and may be shared by threads; slabs and workspaces belong to one caller at a time.
#ifndef MANTA_POLICIES_NETWORK_H
#define MANTA_POLICIES_NETWORK_H

#include "engine/base/status.h"
#include "engine/base/tensor.h"
#include "kernels/kernels.h"
#include "policies/manta_policy.h"

enum {
    MT_NETWORK_MAX_LAYERS = 320, MT_LAYER_MAX_SOURCES = 8, MT_MAX_INPUTS = 8,
    MT_LAYER_MAX_UNITS = 65536,        // of a layer
    MT_LAYER_MAX_SIZE = 1 << 22,       // floats of a layer's output
    MT_KERNEL_MAX = 1024,              // pixels of a window's side, and of its stride
    MT_TENSOR_MAX_SIDE = INT32_MAX,    // rows, and columns, of a layer's tensor of parameters
    MT_INPUT_NAME_BYTES = 32, MT_LAYER_NAME_BYTES = 128, MT_TENSOR_NAME_BYTES = 192, MT_LAYER_PLACE_BYTES = 128
};

// ---- what a network reads

typedef enum mt_input_kind { MT_INPUT_VECTOR, MT_INPUT_IMAGE, MT_INPUT_INDEX } mt_input_kind;

// A part of an encoded observation, which is one row of floats: columns offset .. offset + width.
typedef struct mt_input {
    char name[MT_INPUT_NAME_BYTES];    // key of a dict observation; "" for a plain one
    mt_input_kind kind;
    int offset, width;                 // floats
    int height, width_px, channels;    // image: channels-last, height·width_px·channels = width
    int entries;                       // index: a whole number below this
} mt_input;

// ---- the description

typedef enum mt_layer_kind {
    MT_LAYER_INPUT,        // columns of what the network reads
    MT_LAYER_DENSE,
    MT_LAYER_CONV2D,
    MT_LAYER_MAX_POOL2D,
    MT_LAYER_FLATTEN,      // of an image, in PyTorch's order: channels, then rows
    MT_LAYER_EMBEDDING,
    MT_LAYER_LAYER_NORM,
    MT_LAYER_ACTIVATION,
    MT_LAYER_ADD,          // of equal shapes: the end of a residual block
    MT_LAYER_CONCAT,       // of vectors
    MT_LAYER_LSTM,
    MT_LAYER_GRU,
    MT_LAYER_PLUGIN,       // somebody else's (plugin_layer.h)
    MT_LAYER_KINDS
} mt_layer_kind;

typedef struct mt_layer_desc {
    mt_layer_kind kind;
    char name[MT_LAYER_NAME_BYTES];    // what its tensors' names begin with
    char place[MT_LAYER_PLACE_BYTES];  // where its author wrote it, for messages: "layers, line 3"; "": nobody did
    mt_activation activation;          // dense, conv2d, layer norm, activation
    int units;                         // dense, conv2d: outputs; lstm, gru: H; embedding: its width
    int kernel, stride, padding;       // conv2d, max_pool2d
    int horizon;                       // lstm, gru: steps that it should remember at first (chrono initialisation); 0: PyTorch's
    mt_input input;                    // input: what it is
    int source[MT_LAYER_MAX_SOURCES];  // numbers of earlier layers
    int source_count;                  // 0: the layer before it
    double gain;                       // of orthogonal initialisation; 0: √2
    const manta_layer_desc *plugin;    // plugin: whose; borrowed from a loaded plugin
    double numbers[MANTA_LAYER_MAX_NUMBERS];   // plugin: all that it knows, those left out at their standard value
} mt_layer_desc;

typedef struct mt_network_desc {
    int count;
    int overflow;                      // layers that did not fit; compiling says so
    mt_layer_desc layer[MT_NETWORK_MAX_LAYERS];
} mt_network_desc;

// Appends a layer and returns it, to be filled in; never NULL.
mt_layer_desc *mt_network_add(mt_network_desc *desc, mt_layer_kind kind, const char *name);

// ---- the plan

// Counters that several plans sharing one set of slabs advance; all offsets are multiples of 16 floats.
typedef struct mt_slab_sizes {
    int64_t params, packed, row_floats;
    int state;                         // floats of a sequence's recurrent state
} mt_slab_sizes;

enum { MT_LAYER_TENSORS = MANTA_LAYER_MAX_PARAMETERS };

typedef struct mt_layer {
    mt_layer_desc desc;                // with its sources filled in
    int height, width, channels;       // of its output; a vector is 1 × 1 × channels
    int size;                          // height·width·channels: floats of an output row
    int in;                            // the same of its first source; an input's width
    // offsets, -1 where there is none. Into the parameter and gradient slabs: weight, bias; of a recurrent layer weight_ih,
    // weight_hh, bias_ih, bias_hh; of a plugin's those of its plan
    int64_t tensor[MT_LAYER_TENSORS];
    int64_t packed[2];                 // into the packed slab
    // into a workspace with one row (multiply by the workspace's rows)
    int64_t output;                    // (B, size); -1: a view of what the network reads
    int64_t pre;                       // (B, size) where the activation needs it
    int64_t kept;                      // what backward needs besides: layer norm's x̂ and 1/σ, a pool's places, an rnn's gates, a plugin's own
    int state;                         // into a row of recurrent state
    int plan;                          // plugin: which of the network's plans; else -1
    int slot;                          // of the gradient of its pre-activation, while going backward; -1: the caller's
    int direct;                        // its source's gradient: bit s set = source s is written first here, else added
} mt_layer;

enum { MT_NETWORK_MAX_SLOTS = 16, MT_NETWORK_MAX_PLANS = 16 };

typedef struct mt_network {
    int count;                         // layers; 0: what it reads is its output
    int in;                            // floats of a row that it reads
    int64_t first, end;                // its parameters' range of the slab
    int recurrent;                     // has an LSTM or GRU, or a plugin's layer with a state
    int64_t slot[MT_NETWORK_MAX_SLOTS + 1];   // where each begins, floats of one row of the gradient workspace
    int slots;
    int64_t spare;                     // floats of a row of the place where a gradient waits to be added; 0: none does
    mt_layer layer[MT_NETWORK_MAX_LAYERS];
    manta_layer_plan plan[MT_NETWORK_MAX_PLANS];   // of layers from plugins
    int plans;
} mt_network;

// `in`: floats of a row that it reads. MT_CONFIG with the layer and what is wrong with it.
mt_status mt_network_compile(mt_network *net, const mt_network_desc *desc, int in, mt_slab_sizes *sizes);

static inline int mt_network_out(const mt_network *net) { return net->count ? net->layer[net->count - 1].size : net->in; }
static inline int64_t mt_network_gradient_floats(const mt_network *net) { return net->slot[net->slots] + net->spare; }   // of a row
int64_t mt_layer_products(const mt_network *net, int layer);    // multiplications of a row's forward pass
int64_t mt_layer_parameters(const mt_network *net, int layer);  // floats, without padding
int64_t mt_network_parameter_count(const mt_network *net);      // of all layers
const char *mt_layer_kind_name(const mt_layer_desc *layer);     // "dense"; a plugin's by its name
int64_t mt_network_scratch(const mt_network *net, const mt_kernels *k, int64_t max_rows);   // floats

// For every tensor of parameters in order: visit(ctx, name, tensor) with a view into `param`. Stops at the first failure.
typedef mt_status (*mt_tensor_visit)(void *ctx, const char *name, const mt_tensor *tensor);
mt_status mt_network_visit(const mt_network *net, float *param, mt_tensor_visit visit, void *ctx);

// Draws the parameters (init.c). *tensor counts the random streams used so far.
mt_status mt_network_init(const mt_network *net, float *param, int ortho, uint64_t seed, uint64_t *tensor);

// Refreshes the packed forms after the parameters changed.
void mt_network_pack(const mt_network *net, const mt_kernels *k, const float *param, float *packed);

// ---- running it

// Sequences: rows are numbered t·envs + n. Recurrent networks need one; others ignore it. Feed-forward callers pass NULL.
typedef struct mt_sequences {
    int64_t steps, envs;               // T, N; rows = T·N
    const uint8_t *start;              // (T, N): 1 where an episode begins. Nullable: nowhere
    const float *state;                // (N, sizes.state) before the first step
    float *state_out;                  // (N, sizes.state) after the last; may be `state`. Nullable
    int64_t state_stride;              // sizes.state
} mt_sequences;

typedef struct mt_network_space {
    int64_t max_rows;
    float *layers;                     // (row_floats, max_rows)
    float *gradients;                  // (mt_network_gradient_floats, max_rows); backward alone
    float *scratch;                    // (mt_network_scratch)
} mt_network_space;

// Runs all layers on x (rows, in); returns the output (rows, out) in the workspace, or x where there are no layers.
const float *mt_network_forward(const mt_network *net, const mt_kernels *k, const float *param, const float *packed,
    const float *x, int64_t rows, const mt_sequences *sequences, const mt_network_space *space);

// What a network reads, as somebody made it.
typedef struct mt_network_source {
    const float *x, *pre;              // pre: Nullable unless mt_activation_needs_pre
    mt_activation activation;
    float *dx;                         // (rows, in): receives dz of its maker. Nullable: not wanted
} mt_network_source;

// After a forward of the same rows: given dz (rows, out) of the output's pre-activation, writes (or adds) the gradients of
// the parameters; `grad` begins with this network's own, at `first` of a whole slab. dx is wanted only of a network with one
// input that is all that it reads.
void mt_network_backward(const mt_network *net, const mt_kernels *k, const float *param, const float *packed,
    const mt_network_source *source, int64_t rows, const mt_sequences *sequences, const mt_network_space *space,
    const float *dz, float *grad, int accumulate);

// A layer's output of the last forward.
static inline const float *mt_network_output(const mt_network *net, int layer, const float *x, const mt_network_space *space) {
    return net->layer[layer].output < 0 ? x : space->layers + net->layer[layer].output * space->max_rows;
}
static inline const float *mt_network_pre(const mt_network *net, int layer, const mt_network_space *space) {
    return net->layer[layer].pre < 0 ? (const float *)0 : space->layers + net->layer[layer].pre * space->max_rows;
}

#endif
