// The architectures by name. Tensors are named as the libraries that people know name them: Stable-Baselines3 and sb3-contrib,
// and for the residual net CleanRL's ppo_procgen. Runs once, on one thread.
#include "policies/architecture.h"

#include "engine/base/text.h"
#include "policies/network_text.h"

#include <stdio.h>
#include <string.h>

enum { NATURE_FEATURES = 512, IMPALA_FEATURES = 256, COMBINED_FEATURES = 256 };   // SB3's CombinedExtractor has 256 an image

const char *const mt_policy_names[MT_POLICY_NAMES + 1] = {
#define MT_X(name, extractor, memory) #name,
    MT_POLICY_LIST(MT_X)
#undef MT_X
};

static int count_images(const mt_policy_desc *p) {
    int images = 0;
    for (int i = 0; i < p->input_count; i++) images += p->inputs[i].kind == MT_INPUT_IMAGE;
    return images;
}

int mt_policy_find(const char *name) {
    for (int i = 0; i < MT_POLICY_NAMES; i++)
        if (mt_text_equal_fold(name, mt_policy_names[i])) return i;
    return -1;
}

void mt_policy_named(mt_policy_name name, mt_policy_desc *desc) {
    static const struct named {
        mt_extractor extractor;
        mt_memory memory;
    } named[] = {
#define MT_X(name, extractor_, memory_) {.extractor = MT_EXTRACTOR_##extractor_, .memory = MT_MEMORY_##memory_},
        MT_POLICY_LIST(MT_X)
#undef MT_X
    };
    int several = name == MT_POLICY_MultiInputPolicy || name == MT_POLICY_MultiInputLstmPolicy || name == MT_POLICY_MultiInputGruPolicy;
    desc->extractor = several && count_images(desc) == 0 ? MT_EXTRACTOR_FLATTEN : named[name].extractor;
    desc->memory = named[name].memory;
}

static int last(const mt_network_desc *d) { return d->count - 1; }

static mt_layer_desc *add(mt_network_desc *d, mt_layer_kind kind, const char *prefix, const char *name) {
    char full[MT_LAYER_NAME_BYTES];
    snprintf(full, sizeof full, "%.*s%.47s", MT_LAYER_NAME_BYTES - 48, prefix, name);
    return mt_network_add(d, kind, full);
}

static void add_input(mt_network_desc *d, const mt_input *input) { mt_network_add(d, MT_LAYER_INPUT, input->name)->input = *input; }

// all of what the network reads, as one vector
static void add_whole(mt_network_desc *d, int width) { add_input(d, &(mt_input){.kind = MT_INPUT_VECTOR, .width = width}); }

static void add_dense(mt_network_desc *d, const char *prefix, const char *name, int units, mt_activation activation, double gain) {
    mt_layer_desc *l = add(d, MT_LAYER_DENSE, prefix, name);
    l->units = units, l->activation = activation, l->gain = gain;
}

static void add_conv(mt_network_desc *d, const char *prefix, const char *name, int units, int kernel, int stride, int padding,
    mt_activation activation) {
    mt_layer_desc *l = add(d, MT_LAYER_CONV2D, prefix, name);
    l->units = units, l->kernel = kernel, l->stride = stride, l->padding = padding, l->activation = activation;
}

// ---- features of an image

static void add_nature(mt_network_desc *d, const char *prefix, int features) {
    add_conv(d, prefix, "cnn.0", 32, 8, 4, 0, MT_ACT_relu);
    add_conv(d, prefix, "cnn.2", 64, 4, 2, 0, MT_ACT_relu);
    add_conv(d, prefix, "cnn.4", 64, 3, 1, 0, MT_ACT_relu);
    mt_network_add(d, MT_LAYER_FLATTEN, "");
    add_dense(d, prefix, "linear.0", features, MT_ACT_relu, 0);
}

// x + conv(relu(conv(relu(x))))
static void add_residual(mt_network_desc *d, const char *prefix, int sequence, int block, int channels) {
    int x = last(d);
    char name[64];
    mt_network_add(d, MT_LAYER_ACTIVATION, "")->activation = MT_ACT_relu;
    snprintf(name, sizeof name, "network.%d.res_block%d.conv0", sequence, block);
    add_conv(d, prefix, name, channels, 3, 1, 1, MT_ACT_relu);
    snprintf(name, sizeof name, "network.%d.res_block%d.conv1", sequence, block);
    add_conv(d, prefix, name, channels, 3, 1, 1, MT_ACT_identity);
    int branch = last(d);
    mt_layer_desc *sum = mt_network_add(d, MT_LAYER_ADD, "");
    sum->source[0] = branch, sum->source[1] = x, sum->source_count = 2;
}

static void add_impala(mt_network_desc *d, const char *prefix, int features) {
    static const int channels[] = {16, 32, 32};
    for (int s = 0; s < 3; s++) {
        char name[64];
        snprintf(name, sizeof name, "network.%d.conv", s);
        add_conv(d, prefix, name, channels[s], 3, 1, 1, MT_ACT_identity);
        mt_layer_desc *pool = mt_network_add(d, MT_LAYER_MAX_POOL2D, "");
        pool->kernel = 3, pool->stride = 2, pool->padding = 1;
        for (int b = 0; b < 2; b++) add_residual(d, prefix, s, b, channels[s]);
    }
    mt_network_add(d, MT_LAYER_FLATTEN, "");
    mt_network_add(d, MT_LAYER_ACTIVATION, "")->activation = MT_ACT_relu;
    add_dense(d, prefix, "network.5", features, MT_ACT_relu, 0);
}

// ---- features of an observation

static int count_indices(const mt_policy_desc *p) {
    int indices = 0;
    for (int i = 0; i < p->input_count; i++) indices += p->inputs[i].kind == MT_INPUT_INDEX;
    return indices;
}

// Stable-Baselines3 flattens an image channels first, and joins the parts of a dict in the order of their names, so that is what
// the weights of the next layer mean. Where the row is in that order already it is read where it lies.
static int is_in_order(const mt_policy_desc *p) {
    for (int i = 0; i < p->input_count; i++)
        if ((p->inputs[i].kind == MT_INPUT_IMAGE && p->inputs[i].channels > 1) || (i > 0 && strcmp(p->inputs[i - 1].name, p->inputs[i].name) > 0))
            return 0;
    return 1;
}

// the inputs by name
static void sort_inputs(const mt_policy_desc *p, int order[MT_MAX_INPUTS]) {
    for (int i = 0; i < p->input_count; i++) {
        int at = i;
        while (at > 0 && strcmp(p->inputs[order[at - 1]].name, p->inputs[i].name) > 0) order[at] = order[at - 1], at--;
        order[at] = i;
    }
}

// every index through a table, every image through a net of its own, vectors as they are, all side by side
static void add_combined(mt_network_desc *d, const mt_policy_desc *p, const char *prefix, int features) {
    int part[MT_MAX_INPUTS], order[MT_MAX_INPUTS];
    sort_inputs(p, order);
    for (int i = 0; i < p->input_count; i++) {
        const mt_input *in = &p->inputs[order[i]];
        char name[MT_LAYER_NAME_BYTES];
        snprintf(name, sizeof name, "%sextractors.%s.", prefix, in->name);
        const char *of = p->input_count > 1 ? name : prefix;
        add_input(d, in);
        if (in->kind == MT_INPUT_INDEX) add(d, MT_LAYER_EMBEDDING, of, "embedding")->units = p->embedding;
        if (in->kind == MT_INPUT_IMAGE && p->extractor == MT_EXTRACTOR_NATURE) add_nature(d, of, features);
        if (in->kind == MT_INPUT_IMAGE && p->extractor == MT_EXTRACTOR_IMPALA) add_impala(d, of, features);
        if (in->kind == MT_INPUT_IMAGE && p->extractor == MT_EXTRACTOR_FLATTEN) mt_network_add(d, MT_LAYER_FLATTEN, "");
        part[i] = last(d);
    }
    if (p->input_count == 1) return;
    mt_layer_desc *all = mt_network_add(d, MT_LAYER_CONCAT, "");
    memcpy(all->source, part, sizeof *part * (size_t)p->input_count);
    all->source_count = p->input_count;
}

static mt_status add_features(mt_network_desc *d, const mt_policy_desc *p, const char *prefix) {
    int features = p->features ? p->features : p->input_count > 1 ? COMBINED_FEATURES : p->extractor == MT_EXTRACTOR_NATURE ? NATURE_FEATURES
        : IMPALA_FEATURES;
    const mt_network_text text = {.layers = p->layers, .file = p->layers_file, .file_line = p->layers_line};
    if (p->extractor == MT_EXTRACTOR_LAYERS) return mt_network_text_add(d, &text, p->inputs, p->input_count, p->obs, prefix, p->plugins);
    if (p->extractor == MT_EXTRACTOR_FLATTEN && count_indices(p) == 0 && is_in_order(p)) {
        add_whole(d, p->obs);
        return MT_OK;
    }
    if (p->extractor != MT_EXTRACTOR_FLATTEN && count_images(p) == 0)
        return MT_FAIL(CONFIG, "a convolutional policy for an observation without images; use MlpPolicy (an image is a box of three dimensions)");
    add_combined(d, p, prefix, features);
    return MT_OK;
}

// ---- what follows

static void add_memory(mt_network_desc *d, const mt_policy_desc *p, const char *of) {
    for (int i = 0; i < p->memory_depth; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s.l%d", p->memory == MT_MEMORY_LSTM ? "lstm" : "gru", of, i);
        mt_layer_desc *l = mt_network_add(d, p->memory == MT_MEMORY_LSTM ? MT_LAYER_LSTM : MT_LAYER_GRU, name);
        l->units = p->memory_units, l->horizon = p->memory_horizon;
    }
}

// hidden layers are numbered 0, 2, 4 … because SB3 counts the activations between them
static void add_hidden(mt_network_desc *d, const mt_policy_desc *p, const int *units, int depth, const char *prefix) {
    for (int i = 0; i < depth; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", 2 * i);
        add_dense(d, prefix, name, units[i], p->activation, 0);
    }
}

static int is_shared(const mt_policy_desc *p) {
    int features = (p->extractor != MT_EXTRACTOR_FLATTEN || count_indices(p) > 0) && !p->separate_features;
    return features || p->shared_depth > 0 || (p->memory != MT_MEMORY_NONE && p->memory_of == MT_MEMORY_SHARED);
}

// What policy and value share. Shared layers stand on shared features.
static mt_status make_trunk(mt_network_desc *d, const mt_policy_desc *p) {
    if (!is_shared(p)) return MT_OK;
    if (p->separate_features && (p->extractor != MT_EXTRACTOR_FLATTEN || count_indices(p) > 0))
        return MT_FAIL(CONFIG, "share_features_extractor false, with a memory or layers (net_arch_shared) that are shared: they stand on the "
            "features; share those, too");
    MT_TRY(add_features(d, p, "features_extractor."));
    add_hidden(d, p, p->shared, p->shared_depth, "mlp_extractor.shared_net.");
    // sb3-contrib calls a shared one the actor's
    if (p->memory_of == MT_MEMORY_SHARED && p->memory != MT_MEMORY_NONE) add_memory(d, p, "_actor");
    return MT_OK;
}

static mt_status begin_net(mt_network_desc *d, const mt_policy_desc *p, const mt_network_desc *trunk, int trunk_out, const char *prefix) {
    if (trunk->count) add_whole(d, trunk_out);
    else MT_TRY(add_features(d, p, prefix));
    return MT_OK;
}

mt_status mt_architecture_make(const mt_policy_desc *p, int head, mt_architecture *out) {
    *out = (mt_architecture){0};
    if (p->memory != MT_MEMORY_NONE && (p->memory_depth < 1 || p->memory_depth > MT_POLICY_MAX_DEPTH))
        return MT_FAIL(CONFIG, "a memory of %d layers; 1 to %d are supported", p->memory_depth, MT_POLICY_MAX_DEPTH);
    MT_TRY(make_trunk(&out->trunk, p));
    int trunk_out = p->obs;
    if (out->trunk.count) {
        // how wide it is, the plan knows
        mt_network probe;
        MT_TRY(mt_network_compile(&probe, &out->trunk, p->obs, &(mt_slab_sizes){0}));
        if (probe.layer[probe.count - 1].height * probe.layer[probe.count - 1].width > 1)
            return MT_FAIL(CONFIG, "the features are an image; end the layers with flatten");
        trunk_out = mt_network_out(&probe);
    }
    int own = p->memory != MT_MEMORY_NONE && p->memory_of != MT_MEMORY_SHARED;
    MT_TRY(begin_net(&out->pi, p, &out->trunk, trunk_out, "pi_features_extractor."));
    if (own) add_memory(&out->pi, p, "_actor");
    add_hidden(&out->pi, p, p->pi, p->pi_depth, "mlp_extractor.policy_net.");
    add_dense(&out->pi, "", "action_net", head, MT_ACT_identity, 0.01);
    MT_TRY(begin_net(&out->vf, p, &out->trunk, trunk_out, "vf_features_extractor."));
    if (own && p->memory_of == MT_MEMORY_OF_EACH) add_memory(&out->vf, p, "_critic");
    // without a memory of its own the critic has a layer of as many units, as sb3-contrib's
    if (own && p->memory_of == MT_MEMORY_OF_ACTOR) add_dense(&out->vf, "", "critic", p->memory_units, MT_ACT_identity, 0);
    add_hidden(&out->vf, p, p->vf, p->vf_depth, "mlp_extractor.value_net.");
    add_dense(&out->vf, "", "value_net", 1, MT_ACT_identity, 1);
    return MT_OK;
}
