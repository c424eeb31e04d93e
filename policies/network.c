// From a network's description to its plan: shapes, where each tensor lies, and where gradients meet. Runs once, on one thread.
#include "policies/network.h"

#include "policies/plugin_layer.h"
#include "policies/policy_plugin.h"

#include <stdio.h>
#include <string.h>

static const char *const kind_names[MT_LAYER_KINDS] = {"input", "dense", "conv2d", "max_pool2d", "flatten", "embedding", "layer_norm",
    "activation", "add", "concat", "lstm", "gru", "plugin"};

mt_layer_desc *mt_network_add(mt_network_desc *desc, mt_layer_kind kind, const char *name) {
    if (desc->count == MT_NETWORK_MAX_LAYERS) desc->overflow++, desc->count--;   // overwritten; compiling refuses
    mt_layer_desc *l = &desc->layer[desc->count++];
    *l = (mt_layer_desc){.kind = kind};
    snprintf(l->name, sizeof l->name, "%s", name);
    return l;
}

static int64_t pad16(int64_t floats) { return (floats + 15) / 16 * 16; }

static int64_t take(int64_t *counter, int64_t floats) {
    int64_t at = *counter;
    *counter += pad16(floats);
    return at;
}

static int is_image(const mt_layer *l) { return l->height * l->width > 1; }

const char *mt_layer_kind_name(const mt_layer_desc *l) { return l->plugin ? l->plugin->name : kind_names[l->kind]; }

// How messages name a layer: "layer 3 (conv2d features_extractor.cnn.2)", or as its author knows it: "layers, line 2 (conv2d)".
enum { LAYER_TEXT_BYTES = 320 };
#define LAYER_FORMAT "%s"
#define LAYER_ARGS(i, l) layer_text((char[LAYER_TEXT_BYTES]){0}, i, &(l)->desc)
static const char *layer_text(char *out, int i, const mt_layer_desc *l) {
    if (*l->place) snprintf(out, LAYER_TEXT_BYTES, "%s (%s)", l->place, mt_layer_kind_name(l));
    else snprintf(out, LAYER_TEXT_BYTES, "layer %d (%s%s%s)", i, mt_layer_kind_name(l), *l->name ? " " : "", l->name);
    return out;
}

// ---- shapes

static mt_status check_sources(const mt_network *net, int i) {
    const mt_layer *l = &net->layer[i];
    int most = l->desc.kind == MT_LAYER_ADD || l->desc.kind == MT_LAYER_CONCAT ? MT_LAYER_MAX_SOURCES : 1;
    if (l->desc.kind == MT_LAYER_INPUT ? l->desc.source_count != 0 : l->desc.source_count < 1 || l->desc.source_count > most)
        return MT_FAIL(CONFIG, LAYER_FORMAT " reads %d layers; it can read %s%d", LAYER_ARGS(i, l), l->desc.source_count,
            most > 1 ? "1 to " : "", l->desc.kind == MT_LAYER_INPUT ? 0 : most);
    for (int s = 0; s < l->desc.source_count; s++)
        if (l->desc.source[s] < 0 || l->desc.source[s] >= i)
            return MT_FAIL(CONFIG, LAYER_FORMAT " reads layer %d, which does not come before it", LAYER_ARGS(i, l), l->desc.source[s]);
    return MT_OK;
}

static mt_status shape_input(mt_network *net, int i) {
    mt_layer *l = &net->layer[i];
    const mt_input *in = &l->desc.input;
    int image = in->kind == MT_INPUT_IMAGE;
    if (in->offset < 0 || in->width < 1 || (int64_t)in->offset + in->width > net->in)
        return MT_FAIL(CONFIG, LAYER_FORMAT ": columns %d to %lld of an observation of %d floats", LAYER_ARGS(i, l), in->offset,
            (long long)in->offset + in->width - 1, net->in);
    if (image && (in->height < 1 || in->width_px < 1 || in->channels < 1 ||
            (int64_t)in->height * in->width_px * in->channels != in->width))
        return MT_FAIL(CONFIG, LAYER_FORMAT ": an image of %d × %d × %d in %d floats", LAYER_ARGS(i, l), in->height, in->width_px,
            in->channels, in->width);
    l->height = image ? in->height : 1, l->width = image ? in->width_px : 1, l->channels = image ? in->channels : in->width;
    return MT_OK;
}

// the output of a window of `kernel` pixels that moves over `size`
static int windows(int size, const mt_layer_desc *d) { return (size + 2 * d->padding - d->kernel) / d->stride + 1; }

static mt_status shape_window(mt_network *net, int i, const mt_layer *from) {
    mt_layer *l = &net->layer[i];
    const mt_layer_desc *d = &l->desc;
    if (d->kernel < 1 || d->stride < 1 || d->padding < 0 || d->padding >= d->kernel)
        return MT_FAIL(CONFIG, LAYER_FORMAT ": kernel %d, stride %d, padding %d; kernel and stride are 1 or more, padding less than the kernel",
            LAYER_ARGS(i, l), d->kernel, d->stride, d->padding);
    if (d->kernel > MT_KERNEL_MAX || d->stride > MT_KERNEL_MAX)
        return MT_FAIL(CONFIG, LAYER_FORMAT ": kernel %d, stride %d; at most %d are supported", LAYER_ARGS(i, l), d->kernel, d->stride, MT_KERNEL_MAX);
    int fits = from->height + 2 * d->padding >= d->kernel && from->width + 2 * d->padding >= d->kernel;
    if (!fits && !is_image(from) && *d->place)
        return MT_FAIL(CONFIG, LAYER_FORMAT " reads a vector of %d and needs an image; put it before flatten and dense, or use dense",
            LAYER_ARGS(i, l), from->size);
    if (!fits)
        return MT_FAIL(CONFIG, LAYER_FORMAT ": a kernel of %d × %d on an image of %d × %d pixels (padding %d); the observation is too small "
            "for this network, or is it no image? (MlpPolicy takes any)", LAYER_ARGS(i, l), d->kernel, d->kernel, from->height, from->width,
            d->padding);
    l->height = windows(from->height, d), l->width = windows(from->width, d);
    l->channels = d->kind == MT_LAYER_CONV2D ? d->units : from->channels;
    return MT_OK;
}

static mt_status shape_join(mt_network *net, int i) {
    mt_layer *l = &net->layer[i];
    const mt_layer *first = &net->layer[l->desc.source[0]];
    int64_t channels = 0;
    l->height = first->height, l->width = first->width;
    for (int s = 0; s < l->desc.source_count; s++) {
        const mt_layer *from = &net->layer[l->desc.source[s]];
        int same = from->height == first->height && from->width == first->width && from->channels == first->channels;
        if (l->desc.kind == MT_LAYER_ADD && !same)
            return MT_FAIL(CONFIG, LAYER_FORMAT ": cannot add %d × %d × %d to %d × %d × %d", LAYER_ARGS(i, l), from->height, from->width,
                from->channels, first->height, first->width, first->channels);
        if (l->desc.kind == MT_LAYER_CONCAT && is_image(from))
            return MT_FAIL(CONFIG, LAYER_FORMAT " joins vectors; flatten the image of %d × %d first", LAYER_ARGS(i, l), from->height,
                from->width);
        channels += from->channels;
    }
    l->channels = l->desc.kind == MT_LAYER_ADD ? first->channels : (int)(channels < MT_LAYER_MAX_SIZE ? channels : MT_LAYER_MAX_SIZE + 1);
    return MT_OK;
}

static mt_status shape_plugin(mt_network *net, int i, const mt_layer *from) {
    mt_layer *l = &net->layer[i];
    if (net->plans == MT_NETWORK_MAX_PLANS)
        return MT_FAIL(CONFIG, LAYER_FORMAT ": more than %d layers of plugins in a network", LAYER_ARGS(i, l), MT_NETWORK_MAX_PLANS);
    manta_layer_plan *plan = &net->plan[l->plan = net->plans++];
    mt_status status = mt_plugin_layer_plan(l->desc.plugin, l->desc.numbers, from->height, from->width, from->channels, plan);
    if (status != MT_OK) return mt_fail_context(status, LAYER_FORMAT ": ", LAYER_ARGS(i, l));
    l->height = (int)plan->out_height, l->width = (int)plan->out_width, l->channels = (int)plan->out_channels;
    return MT_OK;
}

static mt_status shape_layer(mt_network *net, int i) {
    mt_layer *l = &net->layer[i];
    const mt_layer *from = l->desc.source_count ? &net->layer[l->desc.source[0]] : NULL;
    mt_layer_kind kind = l->desc.kind;
    int takes_vectors = kind == MT_LAYER_DENSE || kind == MT_LAYER_EMBEDDING || kind == MT_LAYER_LAYER_NORM || kind == MT_LAYER_LSTM ||
        kind == MT_LAYER_GRU;
    int has_units = kind == MT_LAYER_CONV2D || (takes_vectors && kind != MT_LAYER_LAYER_NORM);
    if (has_units && (l->desc.units < 1 || l->desc.units > MT_LAYER_MAX_UNITS))
        return MT_FAIL(CONFIG, LAYER_FORMAT " of %d units; 1 to %d are supported", LAYER_ARGS(i, l), l->desc.units, MT_LAYER_MAX_UNITS);
    if ((unsigned)l->desc.activation >= MT_ACT_COUNT)
        return MT_FAIL(CONFIG, LAYER_FORMAT ": activation number %d does not exist", LAYER_ARGS(i, l), l->desc.activation);
    if (takes_vectors && is_image(from))
        return MT_FAIL(CONFIG, LAYER_FORMAT " reads an image of %d × %d × %d; put a flatten layer between", LAYER_ARGS(i, l), from->height,
            from->width, from->channels);
    switch (kind) {
    case MT_LAYER_INPUT: MT_TRY(shape_input(net, i)); break;
    case MT_LAYER_CONV2D:
    case MT_LAYER_MAX_POOL2D: MT_TRY(shape_window(net, i, from)); break;
    case MT_LAYER_ADD:
    case MT_LAYER_CONCAT: MT_TRY(shape_join(net, i)); break;
    case MT_LAYER_FLATTEN: l->height = l->width = 1, l->channels = from->size; break;
    case MT_LAYER_ACTIVATION: l->height = from->height, l->width = from->width, l->channels = from->channels; break;
    case MT_LAYER_LAYER_NORM: l->height = l->width = 1, l->channels = from->channels; break;
    case MT_LAYER_PLUGIN: MT_TRY(shape_plugin(net, i, from)); break;
    default: l->height = l->width = 1, l->channels = l->desc.units;
    }
    if (kind == MT_LAYER_EMBEDDING && (net->layer[l->desc.source[0]].desc.kind != MT_LAYER_INPUT || from->desc.input.kind != MT_INPUT_INDEX))
        return MT_FAIL(CONFIG, LAYER_FORMAT " looks up whole numbers; it reads a discrete input and nothing else", LAYER_ARGS(i, l));
    int64_t size = (int64_t)l->height * l->width * l->channels;
    if (size > MT_LAYER_MAX_SIZE)
        return MT_FAIL(CONFIG, LAYER_FORMAT " has %lld outputs; at most %d are supported", LAYER_ARGS(i, l), (long long)size, MT_LAYER_MAX_SIZE);
    l->size = (int)size, l->in = from ? from->size : l->desc.input.width;
    return MT_OK;
}

// ---- where things lie

// rows and columns of a layer's tensors as its kernels see them; columns 0: a vector, rows 0: no such tensor
typedef struct tensor_shape {
    int64_t rows, columns;
} tensor_shape;

static void tensor_shapes(const mt_network *net, const mt_layer *l, tensor_shape shape[MT_LAYER_TENSORS]) {
    const mt_layer_desc *d = &l->desc;
    memset(shape, 0, sizeof *shape * MT_LAYER_TENSORS);
    switch (d->kind) {
    case MT_LAYER_DENSE: shape[0] = (tensor_shape){d->units, l->in}, shape[1].rows = d->units; break;
    case MT_LAYER_CONV2D:
        shape[0] = (tensor_shape){d->units, (int64_t)net->layer[d->source[0]].channels * d->kernel * d->kernel};
        shape[1].rows = d->units;
        break;
    case MT_LAYER_EMBEDDING: shape[0] = (tensor_shape){net->layer[d->source[0]].desc.input.entries, d->units}; break;
    case MT_LAYER_LAYER_NORM: shape[0].rows = shape[1].rows = l->size; break;
    case MT_LAYER_LSTM:
    case MT_LAYER_GRU: {
        int64_t gates = (int64_t)d->units * (d->kind == MT_LAYER_LSTM ? 4 : 3);
        shape[0] = (tensor_shape){gates, l->in}, shape[1] = (tensor_shape){gates, d->units};
        shape[2].rows = shape[3].rows = gates;
        break;
    }
    case MT_LAYER_PLUGIN:
        for (uint32_t t = 0; t < net->plan[l->plan].parameter_count; t++) {
            const manta_parameter *p = &net->plan[l->plan].parameters[t];
            shape[t] = (tensor_shape){p->shape[0], p->ndim > 1 ? mt_parameter_floats(p) / p->shape[0] : 0};
        }
        break;
    default: break;
    }
}

static int64_t floats_of(tensor_shape s) { return s.rows * (s.columns ? s.columns : 1); }

static mt_rnn_cell cell_of(const mt_layer *l) { return l->desc.kind == MT_LAYER_LSTM ? MT_RNN_LSTM : MT_RNN_GRU; }

// what no machine could hold, and what arithmetic on sizes could not, either
static mt_status check_tensors(const mt_network *net, int i) {
    const mt_layer *l = &net->layer[i];
    tensor_shape shape[MT_LAYER_TENSORS];
    tensor_shapes(net, l, shape);
    for (int t = 0; t < MT_LAYER_TENSORS; t++)   // of 320 layers: below 2^63 in all, as rows are units' and these are few
        if (shape[t].rows > MT_TENSOR_MAX_SIDE || shape[t].columns > MT_TENSOR_MAX_SIDE)
            return MT_FAIL(CONFIG, LAYER_FORMAT " has a tensor of %lld × %lld parameters; a side of at most %d is supported: use fewer units, "
                "or a smaller kernel", LAYER_ARGS(i, l), (long long)shape[t].rows, (long long)shape[t].columns, MT_TENSOR_MAX_SIDE);
    return MT_OK;
}

static void place_layer(mt_network *net, mt_layer *l, mt_slab_sizes *sizes) {
    tensor_shape shape[MT_LAYER_TENSORS];
    tensor_shapes(net, l, shape);
    for (int t = 0; t < MT_LAYER_TENSORS; t++) l->tensor[t] = shape[t].rows ? take(&sizes->params, floats_of(shape[t])) : -1;
    l->packed[0] = l->packed[1] = l->output = l->pre = l->kept = -1, l->state = -1;
    mt_layer_kind kind = l->desc.kind;
    int rnn = kind == MT_LAYER_LSTM || kind == MT_LAYER_GRU;
    if (kind == MT_LAYER_DENSE || kind == MT_LAYER_CONV2D || rnn) l->packed[0] = take(&sizes->packed, floats_of(shape[0]));
    if (kind == MT_LAYER_CONV2D || rnn) l->packed[1] = take(&sizes->packed, floats_of(shape[rnn ? 1 : 0]));
    // an input that is the whole row is read where it lies
    if (kind != MT_LAYER_INPUT || l->size != net->in) l->output = take(&sizes->row_floats, l->size);
    if (mt_activation_needs_pre(l->desc.activation)) l->pre = take(&sizes->row_floats, l->size);
    if (kind == MT_LAYER_LAYER_NORM) l->kept = take(&sizes->row_floats, l->size + 1);
    if (kind == MT_LAYER_MAX_POOL2D) l->kept = take(&sizes->row_floats, l->size);
    if (kind == MT_LAYER_PLUGIN) {
        const manta_layer_plan *plan = &net->plan[l->plan];
        if (plan->row_floats) l->kept = take(&sizes->row_floats, plan->row_floats);
        if (plan->state_floats) l->state = sizes->state, sizes->state += (int)plan->state_floats, net->recurrent = 1;
    }
    if (rnn) {
        l->kept = take(&sizes->row_floats, mt_rnn_kept(cell_of(l), l->desc.units));
        l->state = sizes->state, sizes->state += mt_rnn_state(cell_of(l), l->desc.units);
        net->recurrent = 1;
    }
}

// ---- where gradients meet: backward's order is from the last layer to the first, and a layer's slot is free again after it

static mt_status give_slot(mt_network *net, int i, int64_t *size, uint32_t *taken) {
    int slot = 0;
    while (slot < net->slots && *taken >> slot & 1) slot++;
    if (slot == MT_NETWORK_MAX_SLOTS) return MT_FAIL(CONFIG, "a network with more than %d branches at a time", MT_NETWORK_MAX_SLOTS);
    if (slot == net->slots) size[net->slots++] = 0;
    if (size[slot] < net->layer[i].size) size[slot] = net->layer[i].size;
    *taken |= 1u << slot;
    net->layer[i].slot = slot;
    return MT_OK;
}

static mt_status place_gradients(mt_network *net) {
    int64_t size[MT_NETWORK_MAX_SLOTS];
    uint8_t reached[MT_NETWORK_MAX_LAYERS] = {0};
    uint32_t taken = 0;
    net->slots = 0, net->spare = 0;
    for (int i = net->count - 1; i >= 0; i--) {
        mt_layer *l = &net->layer[i];
        if (i == net->count - 1) l->slot = -1;
        else if (!reached[i]) return MT_FAIL(CONFIG, LAYER_FORMAT " is read by no other and is not the last", LAYER_ARGS(i, l));
        l->direct = 0;
        for (int s = 0; s < l->desc.source_count; s++) {
            int from = l->desc.source[s];
            if (!reached[from]) {
                l->direct |= 1 << s;
                if (net->layer[from].desc.kind != MT_LAYER_INPUT) MT_TRY(give_slot(net, from, size, &taken));
                reached[from] = 1;
            } else if (pad16(net->layer[from].size) > net->spare) {
                net->spare = pad16(net->layer[from].size);
            }
        }
        if (l->desc.kind == MT_LAYER_LAYER_NORM && pad16(l->size) > net->spare) net->spare = pad16(l->size);   // for a dx that nobody wants
        if (l->slot >= 0 && l->desc.kind != MT_LAYER_INPUT) taken &= ~(1u << l->slot);
    }
    net->slot[0] = 0;
    for (int s = 0; s < net->slots; s++) net->slot[s + 1] = net->slot[s] + pad16(size[s]);
    return MT_OK;
}

mt_status mt_network_compile(mt_network *net, const mt_network_desc *desc, int in, mt_slab_sizes *sizes) {
    *net = (mt_network){.count = desc->count, .in = in, .first = sizes->params, .end = sizes->params};
    if (desc->overflow)
        return MT_FAIL(CONFIG, "a network of %d layers; at most %d are supported", desc->count + desc->overflow, MT_NETWORK_MAX_LAYERS);
    for (int i = 0; i < desc->count; i++) {
        mt_layer *l = &net->layer[i];
        l->desc = desc->layer[i];
        l->slot = l->plan = -1;
        if (l->desc.kind != MT_LAYER_INPUT && l->desc.source_count == 0 && i > 0) l->desc.source[l->desc.source_count++] = i - 1;
        MT_TRY(check_sources(net, i));
        MT_TRY(shape_layer(net, i));
        MT_TRY(check_tensors(net, i));
        place_layer(net, l, sizes);
    }
    net->end = sizes->params;
    return place_gradients(net);
}

// ---- the parameters by name

// what a stacked layer's name ends with: ".l" and its number, or nothing
static const char *stack_number(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && dot[1] == 'l' && dot[2] && strspn(dot + 2, "0123456789") == strlen(dot + 2) ? dot : name + strlen(name);
}

// "lstm_actor.l1" and "weight_ih" give "lstm_actor.weight_ih_l1": PyTorch numbers stacked layers behind a tensor's name
static void tensor_name(const mt_network *net, const mt_layer *l, int t, char *out, size_t bytes) {
    static const char *const plain[] = {"weight", "bias"}, *const recurrent[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
    const char *name = l->desc.name, *number = stack_number(name);
    if (l->plan >= 0) snprintf(out, bytes, "%s.%s", name, net->plan[l->plan].parameters[t].name);
    else if (l->desc.kind != MT_LAYER_LSTM && l->desc.kind != MT_LAYER_GRU) snprintf(out, bytes, "%s.%s", name, plain[t]);
    else snprintf(out, bytes, "%.*s.%s_%s", (int)(number - name), name, recurrent[t], *number ? number + 1 : "l0");
}

mt_status mt_network_visit(const mt_network *net, float *param, mt_tensor_visit visit, void *ctx) {
    for (int i = 0; i < net->count; i++) {
        const mt_layer *l = &net->layer[i];
        tensor_shape shape[MT_LAYER_TENSORS];
        tensor_shapes(net, l, shape);
        for (int t = 0; t < MT_LAYER_TENSORS; t++) {
            if (l->tensor[t] < 0) continue;
            char name[MT_TENSOR_NAME_BYTES];
            mt_tensor tensor = {.data = param + l->tensor[t], .dtype = MT_F32, .ndim = shape[t].columns ? 2 : 1,
                .shape = {shape[t].rows, shape[t].columns}};
            if (l->desc.kind == MT_LAYER_CONV2D && t == 0)
                tensor.ndim = 4, tensor.shape[1] = net->layer[l->desc.source[0]].channels, tensor.shape[2] = tensor.shape[3] = l->desc.kernel;
            if (l->plan >= 0) {
                const manta_parameter *p = &net->plan[l->plan].parameters[t];
                tensor.ndim = (int)p->ndim;
                for (uint32_t d = 0; d < p->ndim; d++) tensor.shape[d] = p->shape[d];
            }
            tensor_name(net, l, t, name, sizeof name);
            MT_TRY(visit(ctx, name, &tensor));
        }
    }
    return MT_OK;
}

int64_t mt_layer_parameters(const mt_network *net, int layer) {
    int64_t count = 0;
    tensor_shape shape[MT_LAYER_TENSORS];
    tensor_shapes(net, &net->layer[layer], shape);
    for (int t = 0; t < MT_LAYER_TENSORS; t++) count += shape[t].rows ? floats_of(shape[t]) : 0;
    return count;
}

int64_t mt_network_parameter_count(const mt_network *net) {
    int64_t count = 0;
    for (int i = 0; i < net->count; i++) count += mt_layer_parameters(net, i);
    return count;
}

int64_t mt_layer_products(const mt_network *net, int layer) {
    const mt_layer *l = &net->layer[layer];
    tensor_shape shape[MT_LAYER_TENSORS];
    tensor_shapes(net, l, shape);
    int64_t count = l->desc.kind == MT_LAYER_EMBEDDING ? 0 : shape[0].rows * shape[0].columns + shape[1].rows * shape[1].columns;
    return count * l->height * l->width;
}
