// A multi-layer perceptron as a const plan over slabs that somebody else owns: parameters, their packed transposes,
// gradients, activations. The plan says where each layer's tensors lie; nothing here owns memory but the plan itself.
#ifndef MANTA_POLICIES_MLP_H
#define MANTA_POLICIES_MLP_H

#include "engine/base/status.h"
#include "kernels/kernels.h"

enum { MT_MLP_MAX_LAYERS = 16, MT_MLP_MAX_WIDTH = 65536 };

typedef struct mt_mlp_layer {
    int in, out;
    mt_activation activation;
    int64_t weight, bias;   // offsets into the parameter and gradient slabs, floats; weight is (out, in)
    int64_t weight_t;       // offset into the packed slab: (in, out)
    int64_t output;         // offset into a workspace with one row: multiply by the workspace's rows. (B, out)
    int64_t pre;            // likewise, (B, out); -1 when the activation does not need it
} mt_mlp_layer;

typedef struct mt_mlp {
    int depth;
    int64_t first;          // where its parameters begin in the parameter slab
    mt_mlp_layer layer[MT_MLP_MAX_LAYERS];
} mt_mlp;

// Counters that several plans sharing one set of slabs advance; all offsets are multiples of 16 floats.
typedef struct mt_slab_sizes {
    int64_t params, packed, row_floats;
} mt_slab_sizes;

// Adds a layer; MT_CONFIG when too deep or too wide.
mt_status mt_mlp_add(mt_mlp *mlp, int in, int out, mt_activation activation, mt_slab_sizes *sizes);

// Runs all layers on x (rows, in). `space` is a workspace of row_floats·max_rows floats. Returns the last layer's output
// (rows, out), which lies in `space`; x itself when depth is 0.
const float *mt_mlp_forward(const mt_mlp *mlp, const mt_kernels *k, const float *param, const float *packed, const float *x,
    int64_t rows, float *space, int64_t max_rows);

// Given dz (rows, out) of the last layer's pre-activation, writes (or adds) every layer's gradients; `grad` begins with
// this network's own (at `first` of a whole slab). `scratch_a` and `scratch_b` hold rows·widest floats each and are overwritten. x_activation and x_pre belong to whatever made x; dx,
// Nullable, receives that maker's dz.
void mt_mlp_backward(const mt_mlp *mlp, const mt_kernels *k, const float *param, const float *x, int64_t rows,
    const float *space, int64_t max_rows, const float *dz, mt_activation x_activation, const float *x_pre, float *dx,
    float *grad, int accumulate, float *scratch_a, float *scratch_b);

// Refreshes the packed transposes after the parameters changed.
void mt_mlp_pack(const mt_mlp *mlp, const mt_kernels *k, const float *param, float *packed);

static inline float *mt_mlp_output(const mt_mlp *mlp, float *space, int64_t max_rows) {
    return space + mlp->layer[mlp->depth - 1].output * max_rows;
}
static inline int mt_mlp_out(const mt_mlp *mlp) { return mlp->layer[mlp->depth - 1].out; }

#endif
