// Layers as nodes: see onnx_layers.h. One thread; allocates.
#include "policies/onnx_layers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef char value_name[MT_ONNX_NAME_BYTES];

typedef struct builder {
    mt_onnx_graph *g;
    const mt_network *net;
    const char *scope;
    float *param;
    mt_onnx_source *source;
    value_name *value;   // owned (net->count): what each layer makes
} builder;

#define NODE mt_onnx_node
#define IN MT_ONNX_NAMES
#define OUT MT_ONNX_NAMES
#define WITH MT_ONNX_ATTRIBUTES
static const int64_t axis_0 = 0, axis_1 = 1;

// ---- names

static int number_of(const builder *b, const mt_layer *l) { return (int)(l - b->net->layer); }

static const char *inner(const builder *b, const mt_layer *l, const char *what, value_name out) {
    snprintf(out, sizeof(value_name), "%s/%d/%s", b->scope, number_of(b, l), what);
    return out;
}

typedef struct tensor_search {
    const float *data;
    value_name name;
    mt_tensor tensor;
} tensor_search;

static mt_status find_one(void *context, const char *name, const mt_tensor *t) {
    tensor_search *s = context;
    if (t->data != s->data) return MT_OK;
    snprintf(s->name, sizeof s->name, "%s", name);
    s->tensor = *t;
    return MT_OK;
}

static tensor_search tensor_of(const builder *b, const mt_layer *l, int t) {
    tensor_search s = {.data = b->param + l->tensor[t]};
    mt_network_visit(b->net, b->param, find_one, &s);
    MT_ASSERT(*s.name);
    return s;
}

// a tensor as it is, under its own name
static const char *put_tensor(const builder *b, const mt_layer *l, int t, value_name out) {
    tensor_search s = tensor_of(b, l, t);
    mt_onnx_floats(b->g, s.name, s.tensor.data, s.tensor.ndim, s.tensor.shape);
    snprintf(out, sizeof(value_name), "%s", s.name);
    return out;
}

// ---- activations

// to "out" from "in", with gelu's and silu's steps between
static void put_activation(const builder *b, const mt_layer *l, const char *in, const char *out) {
    value_name s, t, c;
    switch (l->desc.activation) {
    case MT_ACT_tanh: NODE(b->g, "Tanh", IN(in), OUT(out), NULL); break;
    case MT_ACT_relu: NODE(b->g, "Relu", IN(in), OUT(out), NULL); break;
    case MT_ACT_elu: NODE(b->g, "Elu", IN(in), OUT(out), NULL); break;
    case MT_ACT_silu:
        NODE(b->g, "Sigmoid", IN(in), OUT(inner(b, l, "sigmoid", s)), NULL);
        NODE(b->g, "Mul", IN(in, s), OUT(out), NULL);
        break;
    case MT_ACT_gelu:   // z·½(1 + erf(z/√2)); an operator of its own came with set 20
        NODE(b->g, "Mul", IN(in, mt_onnx_float(b->g, 0.707106781186547524f, c)), OUT(inner(b, l, "scaled", s)), NULL);
        NODE(b->g, "Erf", IN(s), OUT(inner(b, l, "erf", t)), NULL);
        NODE(b->g, "Add", IN(t, mt_onnx_float(b->g, 1, c)), OUT(inner(b, l, "one_more", s)), NULL);
        NODE(b->g, "Mul", IN(s, in), OUT(inner(b, l, "twice", t)), NULL);
        NODE(b->g, "Mul", IN(t, mt_onnx_float(b->g, 0.5f, c)), OUT(out), NULL);
        break;
    case MT_ACT_identity:
    case MT_ACT_COUNT: NODE(b->g, "Identity", IN(in), OUT(out), NULL);
    }
}

// what a layer's own node makes: its output, or what the activation reads
static const char *before_activation(const builder *b, const mt_layer *l, value_name out) {
    if (l->desc.activation != MT_ACT_identity) return inner(b, l, "linear", out);
    snprintf(out, sizeof(value_name), "%s", b->value[number_of(b, l)]);
    return out;
}

// ---- what is read

static void flat_part(mt_onnx_graph *g, const mt_onnx_source *source, int i, value_name out) {
    const char *value = source->value[i];
    snprintf(out, sizeof(value_name), "%s", value);
    if (source->part[i].kind != MT_INPUT_IMAGE) return;
    snprintf(out, sizeof(value_name), "%.*s/flat", MT_ONNX_NAME_BYTES - 8, value);
    NODE(g, "Flatten", IN(value), OUT(out), WITH(MT_ONNX_INT("axis", 1)));
}

// all columns side by side, made when first wanted
static const char *whole_row(mt_onnx_graph *g, mt_onnx_source *source) {
    value_name flat[MT_MAX_INPUTS];
    const char *names[MT_MAX_INPUTS + 1] = {0};
    if (*source->row) return source->row;
    for (int i = 0; i < source->count; i++) flat_part(g, source, i, flat[i]), names[i] = flat[i];
    snprintf(source->row, sizeof source->row, "%s", source->count > 1 ? "row" : flat[0]);
    if (source->count > 1) NODE(g, "Concat", names, OUT(source->row), WITH(MT_ONNX_INT("axis", 1)));
    return source->row;
}

static int same_part(const mt_input *a, const mt_input *b) {
    int image = a->kind == MT_INPUT_IMAGE;
    return a->offset == b->offset && a->width == b->width && image == (b->kind == MT_INPUT_IMAGE) &&
        (!image || (a->height == b->height && a->width_px == b->width_px));
}

// the columns as a value (N, width), an image (N, height, width, channels)
static void read_columns(const builder *b, const mt_layer *l, value_name out) {
    const mt_input *in = &l->desc.input;
    value_name c0, c1, c2;
    for (int i = 0; i < b->source->count; i++)
        if (same_part(&b->source->part[i], in)) {
            snprintf(out, sizeof(value_name), "%s", b->source->value[i]);
            return;
        }
    const char *row = whole_row(b->g, b->source);
    snprintf(out, sizeof(value_name), "%s", row);
    if (in->width < b->net->in) {
        const int64_t from = in->offset, to = in->offset + in->width;
        mt_onnx_ints(b->g, &from, 1, c0), mt_onnx_ints(b->g, &to, 1, c1), mt_onnx_ints(b->g, &axis_1, 1, c2);
        NODE(b->g, "Slice", IN(row, c0, c1, c2), OUT(inner(b, l, "columns", out)), NULL);
    }
    if (in->kind != MT_INPUT_IMAGE) return;
    const int64_t shape[] = {0, in->height, in->width_px, in->channels};   // 0: as it is
    value_name columns;
    memcpy(columns, out, sizeof columns);
    NODE(b->g, "Reshape", IN(columns, mt_onnx_ints(b->g, shape, 4, c0)), OUT(inner(b, l, "pixels", out)), NULL);
}

static void put_input(builder *b, const mt_layer *l, value_name out) {
    static const int64_t channels_first[] = {0, 3, 1, 2};
    value_name columns;
    read_columns(b, l, columns);
    if (l->desc.input.kind == MT_INPUT_IMAGE)
        NODE(b->g, "Transpose", IN(columns), OUT(out), WITH(MT_ONNX_INTS("perm", channels_first, 4)));
    else memcpy(out, columns, sizeof columns);   // a name for the same value
}

// ---- layers

static void put_dense(const builder *b, const mt_layer *l, const char *x, const char *out) {
    value_name weight, bias;
    NODE(b->g, "Gemm", IN(x, put_tensor(b, l, 0, weight), put_tensor(b, l, 1, bias)), OUT(out), WITH(MT_ONNX_INT("transB", 1)));
}

static void put_window(const builder *b, const mt_layer *l, const char *x, const char *out) {
    const mt_layer_desc *d = &l->desc;
    const int64_t kernel[] = {d->kernel, d->kernel}, strides[] = {d->stride, d->stride};
    const int64_t pads[] = {d->padding, d->padding, d->padding, d->padding};
    const mt_onnx_attribute *attributes =
        WITH(MT_ONNX_INTS("kernel_shape", kernel, 2), MT_ONNX_INTS("strides", strides, 2), MT_ONNX_INTS("pads", pads, 4));
    value_name weight, bias;
    if (d->kind == MT_LAYER_MAX_POOL2D) NODE(b->g, "MaxPool", IN(x), OUT(out), attributes);
    else NODE(b->g, "Conv", IN(x, put_tensor(b, l, 0, weight), put_tensor(b, l, 1, bias)), OUT(out), attributes);
}

static void put_layer_norm(const builder *b, const mt_layer *l, const char *x, const char *out) {
    value_name gain, bias;
    NODE(b->g, "LayerNormalization", IN(x, put_tensor(b, l, 0, gain), put_tensor(b, l, 1, bias)), OUT(out),
        WITH(MT_ONNX_INT("axis", -1), MT_ONNX_REAL("epsilon", 1e-5)));
}

// a number past the table takes its last row, as in manta; ONNX's lookup would fail
static void put_embedding(const builder *b, const mt_layer *l, const char *x, const char *out) {
    int entries = b->net->layer[l->desc.source[0]].desc.input.entries;
    value_name table, number, inside, rows, low, high;
    NODE(b->g, "Clip", IN(x, mt_onnx_float(b->g, 0, low), mt_onnx_float(b->g, (float)(entries - 1), high)),
        OUT(inner(b, l, "inside", inside)), NULL);
    NODE(b->g, "Cast", IN(inside), OUT(inner(b, l, "number", number)), WITH(MT_ONNX_INT("to", MT_ONNX_INT64)));
    NODE(b->g, "Gather", IN(put_tensor(b, l, 0, table), number), OUT(inner(b, l, "rows", rows)), NULL);   // (N, 1, width)
    NODE(b->g, "Flatten", IN(rows), OUT(out), WITH(MT_ONNX_INT("axis", 1)));
}

// ADD and CONCAT
static void put_join(const builder *b, const mt_layer *l, const char *out) {
    const char *names[MT_LAYER_MAX_SOURCES + 1] = {0};
    for (int s = 0; s < l->desc.source_count; s++) names[s] = b->value[l->desc.source[s]];
    if (l->desc.kind == MT_LAYER_ADD) NODE(b->g, "Sum", names, OUT(out), NULL);
    else NODE(b->g, "Concat", names, OUT(out), WITH(MT_ONNX_INT("axis", 1)));
}

// ---- recurrent layers: one step of one sequence each

// ONNX's gates by PyTorch's numbers: i o f c of i f g o, and z r h of r z n
static const int lstm_gates[] = {0, 3, 1, 2}, gru_gates[] = {1, 0, 2};

// Two tensors of G·H rows, their gates in ONNX's order: (1, G·H, columns), or biases side by side (1, 2·G·H)
static mt_status put_gates(const builder *b, const mt_layer *l, int first, int count, value_name out) {
    int lstm = l->desc.kind == MT_LAYER_LSTM, gates = lstm ? 4 : 3;
    const int *order = lstm ? lstm_gates : gru_gates;
    tensor_search s = tensor_of(b, l, first);
    int64_t columns = s.tensor.ndim > 1 ? s.tensor.shape[1] : 1, gate = l->desc.units * columns, all = gate * gates;
    float *turned = malloc(sizeof *turned * (size_t)(all * count));
    if (!turned) return MT_FAIL(NO_MEMORY, "cannot allocate %s once more", s.name);
    for (int t = 0; t < count; t++)
        for (int k = 0; k < gates; k++)
            memcpy(turned + t * all + k * gate, b->param + l->tensor[first + t] + order[k] * gate, sizeof *turned * (size_t)gate);
    if (count == 1) mt_onnx_floats(b->g, s.name, turned, 3, (int64_t[]){1, gates * l->desc.units, columns});
    else mt_onnx_floats(b->g, s.name, turned, 2, (int64_t[]){1, all * count});
    snprintf(out, sizeof(value_name), "%s", s.name);
    free(turned);
    return MT_OK;
}

// (N, H) to (1, N, H), and back
static const char *put_step(const builder *b, const char *op, const char *in, const char *out) {
    value_name axes;
    NODE(b->g, op, IN(in, mt_onnx_ints(b->g, &axis_0, 1, axes)), OUT(out), NULL);
    return out;
}

static mt_status put_rnn(const builder *b, const mt_layer *l, const char *x, const char *out) {
    int lstm = l->desc.kind == MT_LAYER_LSTM;
    value_name w, r, bias, h, c, step_x, step_h, step_c, next_h, next_c, left;
    MT_TRY(put_gates(b, l, 0, 1, w));
    MT_TRY(put_gates(b, l, 1, 1, r));
    MT_TRY(put_gates(b, l, 2, 2, bias));
    put_step(b, "Unsqueeze", x, inner(b, l, "step_x", step_x));
    put_step(b, "Unsqueeze", inner(b, l, "h", h), inner(b, l, "step_h", step_h));
    inner(b, l, "step_next_h", next_h);
    if (lstm) {
        put_step(b, "Unsqueeze", inner(b, l, "c", c), inner(b, l, "step_c", step_c));
        NODE(b->g, "LSTM", IN(step_x, w, r, bias, "", step_h, step_c), OUT("", next_h, inner(b, l, "step_next_c", next_c)),
            WITH(MT_ONNX_INT("hidden_size", l->desc.units)));
        put_step(b, "Squeeze", next_c, inner(b, l, "next_c", left));
    } else {
        NODE(b->g, "GRU", IN(step_x, w, r, bias, "", step_h), OUT("", next_h),
            WITH(MT_ONNX_INT("hidden_size", l->desc.units), MT_ONNX_INT("linear_before_reset", 1)));
    }
    put_step(b, "Squeeze", next_h, inner(b, l, "next_h", left));
    NODE(b->g, "Identity", IN(left), OUT(out), NULL);
    return MT_OK;
}

mt_status mt_onnx_visit_states(const mt_network *net, const char *scope, int next, mt_onnx_state_visit visit, void *ctx) {
    builder b = {.net = net, .scope = scope};
    value_name name;
    for (int i = 0; i < net->count; i++) {
        const mt_layer *l = &net->layer[i];
        if (l->desc.kind != MT_LAYER_LSTM && l->desc.kind != MT_LAYER_GRU) continue;
        MT_TRY(visit(ctx, inner(&b, l, next ? "next_h" : "h", name), l->desc.units));
        if (l->desc.kind == MT_LAYER_LSTM) MT_TRY(visit(ctx, inner(&b, l, next ? "next_c" : "c", name), l->desc.units));
    }
    return MT_OK;
}

// ---- all of them

static mt_status put_layer(builder *b, const mt_layer *l) {
    char *out = b->value[number_of(b, l)];
    const char *x = l->desc.source_count ? b->value[l->desc.source[0]] : NULL;
    value_name linear;
    snprintf(out, sizeof(value_name), "%s/%d", b->scope, number_of(b, l));
    before_activation(b, l, linear);
    switch (l->desc.kind) {
    case MT_LAYER_INPUT: put_input(b, l, out); return MT_OK;
    case MT_LAYER_DENSE: put_dense(b, l, x, linear); break;
    case MT_LAYER_CONV2D:
    case MT_LAYER_MAX_POOL2D: put_window(b, l, x, linear); break;
    case MT_LAYER_FLATTEN: NODE(b->g, "Flatten", IN(x), OUT(out), WITH(MT_ONNX_INT("axis", 1))); break;
    case MT_LAYER_EMBEDDING: put_embedding(b, l, x, out); break;
    case MT_LAYER_LAYER_NORM: put_layer_norm(b, l, x, linear); break;
    case MT_LAYER_ACTIVATION: put_activation(b, l, x, out); return MT_OK;
    case MT_LAYER_ADD:
    case MT_LAYER_CONCAT: put_join(b, l, out); break;
    case MT_LAYER_LSTM:
    case MT_LAYER_GRU: return put_rnn(b, l, x, out);
    case MT_LAYER_PLUGIN:
    case MT_LAYER_KINDS:
        return MT_FAIL(UNSUPPORTED, "layer %s (%s) is a plugin's: nobody knows it as ONNX's operators", l->desc.name,
            l->desc.plugin ? l->desc.plugin->name : "?");
    }
    if (l->desc.activation != MT_ACT_identity) put_activation(b, l, linear, out);
    return MT_OK;
}

mt_status mt_onnx_network(mt_onnx_graph *g, const mt_network *net, const char *scope, float *param, mt_onnx_source *source,
    char out[MT_ONNX_NAME_BYTES], char below[MT_ONNX_NAME_BYTES]) {
    builder b = {.g = g, .net = net, .scope = scope, .param = param, .source = source};
    b.value = calloc((size_t)net->count, sizeof *b.value);
    if (!b.value) return MT_FAIL(NO_MEMORY, "cannot allocate the names of %d layers", net->count);
    mt_status status = MT_OK;
    for (int i = 0; i < net->count && status == MT_OK; i++) status = put_layer(&b, &net->layer[i]);
    if (status == MT_OK) memcpy(out, b.value[net->count - 1], sizeof *b.value);
    if (status == MT_OK && below) memcpy(below, b.value[net->layer[net->count - 1].desc.source[0]], sizeof *b.value);
    free(b.value);
    return status;
}
