// A policy's networks as a table. Called once, at the start of a run, by one thread.
#include "policies/policy_summary.h"

#include <stdio.h>

enum { KIND_BYTES = 160, SHAPE_BYTES = 48 };

static void put_line(mt_text *out, const char *name, const char *kind, const char *shape, int64_t parameters) {
    mt_text_printf(out, "  %-44s %-28s %-16s", name, kind, shape);
    if (parameters) mt_text_printf(out, " %12lld", (long long)parameters);
    while (out->length && out->data[out->length - 1] == ' ') out->data[--out->length] = 0;
    mt_text_append(out, "\n");
}

// "conv2d 8 stride 4 relu": the shape says how many units
static const char *kind_of(const mt_layer_desc *l, char out[KIND_BYTES]) {
    int n = snprintf(out, KIND_BYTES, "%s", l->kind == MT_LAYER_ACTIVATION ? "" : mt_layer_kind_name(l));
    if (l->kind == MT_LAYER_CONV2D || l->kind == MT_LAYER_MAX_POOL2D) {
        n += snprintf(out + n, (size_t)(KIND_BYTES - n), " %d", l->kernel);
        if (l->stride > 1) n += snprintf(out + n, (size_t)(KIND_BYTES - n), " stride %d", l->stride);
        if (l->padding) n += snprintf(out + n, (size_t)(KIND_BYTES - n), " padding %d", l->padding);
    }
    if (l->activation != MT_ACT_identity || l->kind == MT_LAYER_ACTIVATION)
        snprintf(out + n, (size_t)(KIND_BYTES - n), "%s%s", n ? " " : "", mt_activation_name(l->activation));
    return out;
}

// height × width × channels of an image; what a vector has
static const char *shape_of(const mt_layer *l, char out[SHAPE_BYTES]) {
    if (l->height * l->width > 1) snprintf(out, SHAPE_BYTES, "%d x %d x %d", l->height, l->width, l->channels);
    else snprintf(out, SHAPE_BYTES, "%d", l->size);
    return out;
}

static void put_network(mt_text *out, const char *title, const mt_network *net, const char *reads) {
    if (!net->count) return;
    mt_text_printf(out, "%s\n", title);
    for (int i = 0; i < net->count; i++) {
        const mt_layer *l = &net->layer[i];
        char kind[KIND_BYTES], shape[SHAPE_BYTES];
        const char *name = *l->desc.name || l->desc.kind != MT_LAYER_INPUT ? l->desc.name : *l->desc.input.name ? l->desc.input.name : reads;
        put_line(out, *name ? name : "-", kind_of(&l->desc, kind), shape_of(l, shape), mt_layer_parameters(net, i));
    }
}

// a plugin's policy has tensors and no layers
static mt_status put_tensor(void *text, const char *name, const mt_tensor *tensor) {
    char shape[SHAPE_BYTES] = "";
    int64_t floats = 1;
    for (int d = 0, n = 0; d < tensor->ndim; floats *= tensor->shape[d], d++)
        if (n < SHAPE_BYTES) n += snprintf(shape + n, (size_t)(SHAPE_BYTES - n), "%s%lld", d ? " x " : "", (long long)tensor->shape[d]);
    put_line(text, name, "parameters", shape, floats);
    return MT_OK;
}

void mt_policy_summary(const mt_policy *policy, mt_text *out) {
    mt_text_printf(out, "  %-44s %-28s %-16s %12s\n", "name", policy->plugin ? "" : "layer", policy->plugin ? "shape" : "output", "parameters");
    if (policy->plugin) {
        mt_policy_visit(policy, NULL, put_tensor, out);   // views are made and not read
    } else {
        const char *reads = policy->trunk.count ? "(what both share)" : "observation";
        put_network(out, "policy and value share", &policy->trunk, "observation");
        put_network(out, "policy", &policy->pi, reads);
        put_network(out, "value", &policy->vf, reads);
        if (policy->log_std_count) put_line(out, "log_std", "of the action noise", "", policy->log_std_count);
    }
    mt_text_printf(out, "%-91s %12lld\n", "in all", (long long)mt_policy_parameter_count(policy));
}
