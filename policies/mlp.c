// Multi-layer perceptrons over borrowed slabs. Pure functions of their arguments; any thread.
#include "policies/mlp.h"

#include <stddef.h>

static int64_t pad16(int64_t floats) { return (floats + 15) / 16 * 16; }

mt_status mt_mlp_add(mt_mlp *mlp, int in, int out, mt_activation activation, mt_slab_sizes *sizes) {
    if (mlp->depth == MT_MLP_MAX_LAYERS)
        return MT_FAIL(CONFIG, "a network of more than %d layers; use a shorter net_arch", MT_MLP_MAX_LAYERS);
    if (in < 1 || out < 1 || in > MT_MLP_MAX_WIDTH || out > MT_MLP_MAX_WIDTH)
        return MT_FAIL(CONFIG, "a layer from %d to %d units; each must be between 1 and %d", in, out, MT_MLP_MAX_WIDTH);
    if (mlp->depth == 0) mlp->first = sizes->params;
    mt_mlp_layer *l = &mlp->layer[mlp->depth++];
    *l = (mt_mlp_layer){.in = in, .out = out, .activation = activation, .pre = -1};
    l->weight = sizes->params, sizes->params += pad16((int64_t)in * out);
    l->bias = sizes->params, sizes->params += pad16(out);
    l->weight_t = sizes->packed, sizes->packed += pad16((int64_t)in * out);
    l->output = sizes->row_floats, sizes->row_floats += pad16(out);
    if (mt_activation_needs_pre(activation)) l->pre = sizes->row_floats, sizes->row_floats += pad16(out);
    return MT_OK;
}

static float *pre_of(const mt_mlp_layer *l, const float *space, int64_t max_rows) {
    return l->pre < 0 ? NULL : (float *)space + l->pre * max_rows;
}

const float *mt_mlp_forward(const mt_mlp *mlp, const mt_kernels *k, const float *param, const float *packed, const float *x,
    int64_t rows, float *space, int64_t max_rows) {
    for (int i = 0; i < mlp->depth; i++) {
        const mt_mlp_layer *l = &mlp->layer[i];
        float *y = space + l->output * max_rows;
        k->dense_forward(&(mt_dense_forward){
            .rows = rows, .in = l->in, .out = l->out, .activation = l->activation, .x = x,
            .weight = param + l->weight, .weight_t = packed + l->weight_t, .bias = param + l->bias,
            .y = y, .pre = pre_of(l, space, max_rows),
        });
        x = y;
    }
    return x;
}

void mt_mlp_backward(const mt_mlp *mlp, const mt_kernels *k, const float *param, const float *x, int64_t rows,
    const float *space, int64_t max_rows, const float *dz, mt_activation x_activation, const float *x_pre, float *dx,
    float *grad, int accumulate, float *scratch_a, float *scratch_b) {
    for (int i = mlp->depth - 1; i >= 0; i--) {
        const mt_mlp_layer *l = &mlp->layer[i], *below = i ? l - 1 : NULL;
        float *down = below ? scratch_a : dx;   // where this layer's dx goes: the layer below's dz
        k->dense_backward(&(mt_dense_backward){
            .rows = rows, .in = l->in, .out = l->out, .dz = dz, .weight = param + l->weight,
            .x = below ? space + below->output * max_rows : x,
            .x_activation = below ? below->activation : x_activation,
            .x_pre = below ? pre_of(below, space, max_rows) : x_pre,
            .dx = down, .dw = grad + (l->weight - mlp->first), .db = grad + (l->bias - mlp->first), .accumulate = accumulate,
        });
        dz = down;
        float *swap = scratch_a;
        scratch_a = scratch_b, scratch_b = swap;
    }
}

void mt_mlp_pack(const mt_mlp *mlp, const mt_kernels *k, const float *param, float *packed) {
    for (int i = 0; i < mlp->depth; i++) {
        const mt_mlp_layer *l = &mlp->layer[i];
        k->dense_pack(l->out, l->in, param + l->weight, packed + l->weight_t);
    }
}
