// A network's forward and backward pass: each layer's kernels, in order and in reverse. Pure functions of their arguments; any
// thread, one workspace each; nothing is allocated.
#include "policies/network.h"

#include "policies/plugin_layer.h"
#include "policies/policy_plugin.h"

#include <stddef.h>

// What one pass works on, so that layers need not be handed ten things each.
typedef struct pass {
    const mt_network *net;
    const mt_kernels *k;
    const float *param, *packed;
    const float *x;                      // (rows, in)
    int64_t rows;
    const mt_sequences *sequences;
    const mt_network_space *space;
    // backward alone
    const mt_network_source *source;
    const float *dz;                     // of the output
    float *grad;
    int accumulate;
} pass;

static const float *output_of(const pass *p, int layer) { return mt_network_output(p->net, layer, p->x, p->space); }
static float *floats_at(const pass *p, int64_t offset) { return offset < 0 ? NULL : p->space->layers + offset * p->space->max_rows; }
static const float *tensor_of(const pass *p, const mt_layer *l, int t) { return l->tensor[t] < 0 ? NULL : p->param + l->tensor[t]; }
static const float *packed_of(const pass *p, const mt_layer *l, int t) { return p->packed + l->packed[t]; }

static mt_conv2d conv_of(const pass *p, const mt_layer *l) {
    const mt_layer *from = &p->net->layer[l->desc.source[0]];
    return (mt_conv2d){.height = from->height, .width = from->width, .in = from->channels, .out = l->channels, .kernel = l->desc.kernel,
        .stride = l->desc.stride, .padding = l->desc.padding};
}

static mt_max_pool2d pool_of(const pass *p, const mt_layer *l) {
    const mt_layer *from = &p->net->layer[l->desc.source[0]];
    return (mt_max_pool2d){.height = from->height, .width = from->width, .channels = from->channels, .kernel = l->desc.kernel,
        .stride = l->desc.stride, .padding = l->desc.padding};
}

static mt_rnn rnn_of(const pass *p, const mt_layer *l) {
    const mt_sequences *s = p->sequences;
    MT_ASSERT(s && s->steps * s->envs == p->rows);
    return (mt_rnn){.cell = l->desc.kind == MT_LAYER_LSTM ? MT_RNN_LSTM : MT_RNN_GRU, .steps = s->steps, .envs = s->envs, .in = l->in,
        .units = l->desc.units, .x = output_of(p, l->desc.source[0]), .start = s->start, .start_stride = s->envs,
        .state = s->state + l->state, .state_stride = s->state_stride, .state_out = s->state_out ? s->state_out + l->state : NULL,
        .weight_x = tensor_of(p, l, 0), .weight_h = tensor_of(p, l, 1), .bias_x = tensor_of(p, l, 2), .bias_h = tensor_of(p, l, 3),
        .weight_x_t = packed_of(p, l, 0), .weight_h_t = packed_of(p, l, 1), .y = floats_at(p, l->output), .kept = floats_at(p, l->kept),
        .scratch = p->space->scratch};
}

static mt_plugin_layer plugin_of(const pass *p, const mt_layer *l) {
    const mt_sequences *s = p->sequences;
    mt_plugin_place place = mt_plugin_place_of(p->k);
    mt_plugin_layer out = {.desc = l->desc.plugin, .plan = &p->net->plan[l->plan], .offset = l->tensor, .param = p->param,
        .pass = {.device = place.device, .stream = place.stream, .rows = p->rows, .x = output_of(p, l->desc.source[0]), .row_space = floats_at(p, l->kept),
            .scratch = p->space->scratch, .steps = 1, .envs = p->rows}};
    if (l->state < 0) return out;
    MT_ASSERT(s && s->steps * s->envs == p->rows);
    out.pass.steps = s->steps, out.pass.envs = s->envs, out.pass.start = s->start, out.pass.state_stride = s->state_stride;
    out.pass.state = s->state + l->state, out.pass.state_out = s->state_out ? s->state_out + l->state : NULL;
    return out;
}

// ---- forward

static void forward_layer_norm(const pass *p, const mt_layer *l, const float *x) {
    float *y = floats_at(p, l->output), *pre = floats_at(p, l->pre), *kept = floats_at(p, l->kept), *z = pre ? pre : y;
    p->k->layer_norm_forward(p->rows, l->size, x, tensor_of(p, l, 0), tensor_of(p, l, 1), z, kept, kept + p->rows * l->size);
    if (l->desc.activation != MT_ACT_identity) p->k->activate(l->desc.activation, p->rows * l->size, z, y);
}

static void forward_add(const pass *p, const mt_layer *l) {
    float *y = floats_at(p, l->output);
    p->k->copy_columns(p->rows, l->size, output_of(p, l->desc.source[0]), l->size, y, l->size);
    for (int s = 1; s < l->desc.source_count; s++) p->k->axpy(p->rows * l->size, 1.0f, output_of(p, l->desc.source[s]), y);
}

static void forward_concat(const pass *p, const mt_layer *l) {
    float *y = floats_at(p, l->output);
    for (int s = 0, at = 0; s < l->desc.source_count; s++) {
        int size = p->net->layer[l->desc.source[s]].size;
        p->k->copy_columns(p->rows, size, output_of(p, l->desc.source[s]), size, y + at, l->size);
        at += size;
    }
}

static void forward_layer(const pass *p, const mt_layer *l) {
    const mt_layer *from = l->desc.source_count ? &p->net->layer[l->desc.source[0]] : NULL;
    const float *x = from ? output_of(p, l->desc.source[0]) : NULL;
    float *y = floats_at(p, l->output), *pre = floats_at(p, l->pre);
    switch (l->desc.kind) {
    case MT_LAYER_INPUT:
        if (y) p->k->copy_columns(p->rows, l->size, p->x + l->desc.input.offset, p->net->in, y, l->size);
        break;
    case MT_LAYER_DENSE:
        p->k->dense_forward(&(mt_dense_forward){.rows = p->rows, .in = l->in, .out = l->size, .activation = l->desc.activation, .x = x,
            .weight = tensor_of(p, l, 0), .weight_t = packed_of(p, l, 0), .bias = tensor_of(p, l, 1), .y = y, .pre = pre});
        break;
    case MT_LAYER_CONV2D:
        p->k->conv2d_forward(&(mt_conv2d_forward){.rows = p->rows, .conv = conv_of(p, l), .activation = l->desc.activation, .x = x,
            .weight_t = packed_of(p, l, 0), .bias = tensor_of(p, l, 1), .y = y, .pre = pre, .scratch = p->space->scratch});
        break;
    case MT_LAYER_MAX_POOL2D: {
        mt_max_pool2d pool = pool_of(p, l);
        p->k->max_pool2d_forward(p->rows, &pool, x, y, (int32_t *)(void *)floats_at(p, l->kept));
        break;
    }
    case MT_LAYER_FLATTEN: p->k->turn(p->rows, (int64_t)from->height * from->width, from->channels, x, y); break;
    case MT_LAYER_EMBEDDING:
        p->k->embedding_forward(p->rows, from->desc.input.entries, l->size, x, tensor_of(p, l, 0), y);
        break;
    case MT_LAYER_LAYER_NORM: forward_layer_norm(p, l, x); break;
    case MT_LAYER_ACTIVATION:
        p->k->activate(l->desc.activation, p->rows * l->size, x, y);
        if (pre) p->k->copy_columns(p->rows, l->size, x, l->size, pre, l->size);
        break;
    case MT_LAYER_ADD: forward_add(p, l); break;
    case MT_LAYER_CONCAT: forward_concat(p, l); break;
    case MT_LAYER_LSTM:
    case MT_LAYER_GRU: {
        mt_rnn rnn = rnn_of(p, l);
        p->k->rnn_forward(&rnn);
        break;
    }
    case MT_LAYER_PLUGIN: {
        mt_plugin_layer layer = plugin_of(p, l);
        mt_plugin_layer_forward(&layer, p->k, y);
        break;
    }
    case MT_LAYER_KINDS: break;
    }
}

const float *mt_network_forward(const mt_network *net, const mt_kernels *k, const float *param, const float *packed, const float *x,
    int64_t rows, const mt_sequences *sequences, const mt_network_space *space) {
    pass p = {.net = net, .k = k, .param = param, .packed = packed, .x = x, .rows = rows, .sequences = sequences, .space = space};
    MT_ASSERT(rows <= space->max_rows);
    for (int i = 0; i < net->count; i++) forward_layer(&p, &net->layer[i]);
    return net->count ? output_of(&p, net->count - 1) : x;
}

// ---- backward

static mt_activation activation_of(const pass *p, int layer) {
    const mt_layer *l = &p->net->layer[layer];
    return l->desc.kind == MT_LAYER_INPUT ? p->source->activation : l->desc.activation;
}

static const float *pre_of(const pass *p, int layer) {
    const mt_layer *l = &p->net->layer[layer];
    return l->desc.kind == MT_LAYER_INPUT ? p->source->pre : mt_network_pre(p->net, layer, p->space);
}

static const float *dz_of(const pass *p, const mt_layer *l) {
    return l->slot < 0 ? p->dz : p->space->gradients + p->net->slot[l->slot] * p->space->max_rows;
}

static float *spare_of(const pass *p) { return p->space->gradients + p->net->slot[p->net->slots] * p->space->max_rows; }

// where a source's gradient is written first; NULL: nobody wants it
static float *target_of(const pass *p, int source) {
    const mt_layer *l = &p->net->layer[source];
    if (l->desc.kind != MT_LAYER_INPUT) return (float *)dz_of(p, l);
    MT_ASSERT(!p->source->dx || l->size == p->net->in);
    return p->source->dx;
}

static float *grad_of(const pass *p, const mt_layer *l, int t) { return l->tensor[t] < 0 ? NULL : p->grad + (l->tensor[t] - p->net->first); }

static void backward_dense(const pass *p, const mt_layer *l, const float *dz, float *dx) {
    int from = l->desc.source[0];
    p->k->dense_backward(&(mt_dense_backward){.rows = p->rows, .in = l->in, .out = l->size, .x = output_of(p, from), .dz = dz,
        .weight = tensor_of(p, l, 0), .x_activation = activation_of(p, from), .x_pre = pre_of(p, from), .dx = dx, .dw = grad_of(p, l, 0),
        .db = grad_of(p, l, 1), .accumulate = p->accumulate});
}

static void backward_conv(const pass *p, const mt_layer *l, const float *dz, float *dx) {
    int from = l->desc.source[0];
    p->k->conv2d_backward(&(mt_conv2d_backward){.rows = p->rows, .conv = conv_of(p, l), .x = output_of(p, from), .dz = dz,
        .weight_rows = packed_of(p, l, 1), .x_activation = activation_of(p, from), .x_pre = pre_of(p, from), .dx = dx,
        .dw = grad_of(p, l, 0), .db = grad_of(p, l, 1), .accumulate = p->accumulate, .scratch = p->space->scratch});
}

static void backward_rnn(const pass *p, const mt_layer *l, const float *dz, float *dx) {
    int from = l->desc.source[0];
    p->k->rnn_backward(&(mt_rnn_backward){.rnn = rnn_of(p, l), .dy = dz, .x_activation = activation_of(p, from), .x_pre = pre_of(p, from),
        .dx = dx, .dw_x = grad_of(p, l, 0), .dw_h = grad_of(p, l, 1), .db_x = grad_of(p, l, 2), .db_h = grad_of(p, l, 3),
        .accumulate = p->accumulate});
}

// what layers without a fused derivative end with: dx = dy ∘ act' of the layer that made x
static void through_activation(const pass *p, int from, const float *dy, float *dx) {
    p->k->activate_backward(activation_of(p, from), p->rows * p->net->layer[from].size, output_of(p, from), pre_of(p, from), dy, dx);
}

// the gradient of source number s of layer l into dx; `at`: its first column among the layer's
static void backward_source(const pass *p, const mt_layer *l, int s, int at, const float *dz, float *dx) {
    int from = l->desc.source[s];
    const mt_layer *below = &p->net->layer[from];
    switch (l->desc.kind) {
    case MT_LAYER_DENSE: backward_dense(p, l, dz, dx); break;
    case MT_LAYER_CONV2D: backward_conv(p, l, dz, dx); break;
    case MT_LAYER_LSTM:
    case MT_LAYER_GRU: backward_rnn(p, l, dz, dx); break;
    case MT_LAYER_EMBEDDING:
        p->k->embedding_backward(p->rows, below->desc.input.entries, l->size, output_of(p, from), dz, grad_of(p, l, 0), p->accumulate);
        break;
    case MT_LAYER_LAYER_NORM: {
        const float *kept = floats_at(p, l->kept);
        float *to = dx ? dx : spare_of(p);
        p->k->layer_norm_backward(p->rows, l->size, dz, tensor_of(p, l, 0), kept, kept + p->rows * l->size, to, grad_of(p, l, 0),
            grad_of(p, l, 1), p->accumulate);
        if (dx) through_activation(p, from, dx, dx);
        break;
    }
    case MT_LAYER_MAX_POOL2D: {
        mt_max_pool2d pool = pool_of(p, l);
        if (dx)
            p->k->max_pool2d_backward(p->rows, &pool, dz, (const int32_t *)(const void *)floats_at(p, l->kept), activation_of(p, from),
                output_of(p, from), pre_of(p, from), dx);
        break;
    }
    case MT_LAYER_FLATTEN:
        if (!dx) break;
        p->k->turn(p->rows, below->channels, (int64_t)below->height * below->width, dz, dx);
        through_activation(p, from, dx, dx);
        break;
    case MT_LAYER_CONCAT:
        if (!dx) break;
        p->k->copy_columns(p->rows, below->size, dz + at, l->size, dx, below->size);
        through_activation(p, from, dx, dx);
        break;
    case MT_LAYER_ACTIVATION:
    case MT_LAYER_ADD:
        if (dx) through_activation(p, from, dz, dx);
        break;
    case MT_LAYER_PLUGIN: {
        mt_plugin_layer layer = plugin_of(p, l);
        mt_plugin_layer_backward(&layer, p->k, floats_at(p, l->output), dz, dx, p->grad, p->net->first, p->accumulate);
        if (dx) through_activation(p, from, dx, dx);
        break;
    }
    case MT_LAYER_INPUT:
    case MT_LAYER_KINDS: break;
    }
}

static void backward_layer(const pass *p, const mt_layer *l) {
    const float *dz = dz_of(p, l);
    for (int s = 0, at = 0; s < l->desc.source_count; s++) {
        float *target = target_of(p, l->desc.source[s]);
        int size = p->net->layer[l->desc.source[s]].size, add = target && !(l->direct >> s & 1);
        float *dx = add ? spare_of(p) : target;
        backward_source(p, l, s, at, dz, dx);
        if (add) p->k->axpy(p->rows * size, 1.0f, dx, target);
        at += size;
    }
}

void mt_network_backward(const mt_network *net, const mt_kernels *k, const float *param, const float *packed,
    const mt_network_source *source, int64_t rows, const mt_sequences *sequences, const mt_network_space *space, const float *dz,
    float *grad, int accumulate) {
    pass p = {.net = net, .k = k, .param = param, .packed = packed, .x = source->x, .rows = rows, .sequences = sequences, .space = space,
        .source = source, .dz = dz, .grad = grad, .accumulate = accumulate};
    for (int i = net->count - 1; i >= 0; i--) backward_layer(&p, &net->layer[i]);
}

// ---- around them

void mt_network_pack(const mt_network *net, const mt_kernels *k, const float *param, float *packed) {
    pass p = {.net = net, .k = k, .param = param, .packed = packed};
    for (int i = 0; i < net->count; i++) {
        const mt_layer *l = &net->layer[i];
        int gates = l->desc.kind == MT_LAYER_LSTM ? 4 : 3;
        switch (l->desc.kind) {
        case MT_LAYER_DENSE: k->dense_pack(l->size, l->in, tensor_of(&p, l, 0), packed + l->packed[0]); break;
        case MT_LAYER_CONV2D: {
            mt_conv2d conv = conv_of(&p, l);
            k->conv2d_pack(&conv, tensor_of(&p, l, 0), packed + l->packed[0], packed + l->packed[1]);
            break;
        }
        case MT_LAYER_LSTM:
        case MT_LAYER_GRU:
            k->dense_pack(gates * l->desc.units, l->in, tensor_of(&p, l, 0), packed + l->packed[0]);
            k->dense_pack(gates * l->desc.units, l->desc.units, tensor_of(&p, l, 1), packed + l->packed[1]);
            break;
        default: break;
        }
    }
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t mt_network_scratch(const mt_network *net, const mt_kernels *k, int64_t max_rows) {
    pass p = {.net = net};
    int64_t floats = 0;
    for (int i = 0; i < net->count; i++) {
        const mt_layer *l = &net->layer[i];
        if (l->desc.kind == MT_LAYER_CONV2D) {
            mt_conv2d conv = conv_of(&p, l);
            floats = larger(floats, k->conv2d_scratch(&conv));
        } else if (l->desc.kind == MT_LAYER_PLUGIN) {
            floats = larger(floats, net->plan[l->plan].scratch_floats);
        } else if (l->desc.kind == MT_LAYER_LSTM || l->desc.kind == MT_LAYER_GRU) {
            // the same rows as one long sequence, and as many short ones
            mt_rnn_cell cell = l->desc.kind == MT_LAYER_LSTM ? MT_RNN_LSTM : MT_RNN_GRU;
            floats = larger(floats, k->rnn_scratch(cell, max_rows, 1, l->in, l->desc.units));
            floats = larger(floats, k->rnn_scratch(cell, 1, max_rows, l->in, l->desc.units));
        }
    }
    return floats;
}
