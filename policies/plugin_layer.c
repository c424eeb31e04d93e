// A plugin's layer. The plan is made at start-up on one thread; forward and backward are pure and run on any.
#include "policies/plugin_layer.h"

#include "policies/policy_plugin.h"

#include <stdio.h>
#include <string.h>

static mt_status check_plan(const manta_layer_desc *layer, const manta_layer_plan *plan) {
    char what[MT_PLUGIN_NAME_BYTES + 16];
    const int64_t sides[] = {plan->out_height, plan->out_width, plan->out_channels};
    int64_t size = 1;
    snprintf(what, sizeof what, "layer %s", layer->name);
    for (int i = 0; i < 3; i++)
        if (sides[i] < 1 || sides[i] > MT_LAYER_MAX_SIZE || (size *= sides[i]) > MT_LAYER_MAX_SIZE)
            return MT_FAIL(PLUGIN, "%s: its output is %lld × %lld × %lld; 1 to %d values are supported", what,
                (long long)plan->out_height, (long long)plan->out_width, (long long)plan->out_channels, MT_LAYER_MAX_SIZE);
    MT_TRY(mt_parameters_validate(plan->parameters, plan->parameter_count, MANTA_LAYER_MAX_PARAMETERS, what));
    return mt_workspace_validate(plan->row_floats, plan->scratch_floats, plan->state_floats, what);
}

mt_status mt_plugin_layer_plan(
    const manta_layer_desc *layer, const double *numbers, int height, int width, int channels, manta_layer_plan *plan) {
    char error[MANTA_ERROR_BYTES] = "";
    manta_layer_plan asked = {.struct_size = sizeof *plan, .in_height = height, .in_width = width, .in_channels = channels};
    memcpy(asked.numbers, numbers, sizeof asked.numbers);
    *plan = asked;
    int code = layer->plan(plan, error);
    error[MANTA_ERROR_BYTES - 1] = 0;
    if (code != 0) return MT_FAIL(CONFIG, "layer %s: %s", layer->name, error[0] ? error : "it refused, and gave no reason");
    // the first half is the host's
    plan->struct_size = asked.struct_size, plan->in_height = height, plan->in_width = width, plan->in_channels = channels;
    memcpy(plan->numbers, asked.numbers, sizeof asked.numbers);
    return check_plan(layer, plan);
}

// the tensors of a slab of parameters or gradients
static void tensors_of(const mt_plugin_layer *l, float *slab, float *out[MANTA_LAYER_MAX_PARAMETERS]) {
    for (uint32_t i = 0; i < l->plan->parameter_count; i++) out[i] = slab + l->offset[i];
}

mt_status mt_plugin_layer_init(const mt_plugin_layer *l, float *param, uint64_t seed) {
    char error[MANTA_ERROR_BYTES] = "";
    float *tensor[MANTA_LAYER_MAX_PARAMETERS];
    if (!l->desc->init) return MT_OK;
    tensors_of(l, param, tensor);
    int code = l->desc->init(l->plan, seed, tensor, error);
    error[MANTA_ERROR_BYTES - 1] = 0;
    return code == 0 ? MT_OK
                     : MT_FAIL(CONFIG, "layer %s: init failed: %s", l->desc->name, error[0] ? error : "(it gave no reason)");
}

// The pass with its tensors. The host never writes through them, but its slab's type is that of gradients, too.
static manta_pass pass_of(const mt_plugin_layer *l, float *tensor[MANTA_LAYER_MAX_PARAMETERS]) {
    manta_pass pass = l->pass;
    tensors_of(l, (float *)(uintptr_t)l->param, tensor);
    pass.struct_size = sizeof pass, pass.param = (const float *const *)tensor;
    return pass;
}

void mt_plugin_layer_forward(const mt_plugin_layer *l, const mt_kernels *k, float *y) {
    float *tensor[MANTA_LAYER_MAX_PARAMETERS];
    manta_pass pass = pass_of(l, tensor);
    mt_plugin_enter(k);
    l->desc->forward(l->plan, &pass, y);
    mt_plugin_leave(k, "layer", l->desc->name);
}

void mt_plugin_layer_backward(const mt_plugin_layer *l, const mt_kernels *k, const float *y, const float *dy, float *dx,
    float *grad, int64_t first, int accumulate) {
    float *tensor[MANTA_LAYER_MAX_PARAMETERS], *gradient[MANTA_LAYER_MAX_PARAMETERS];
    manta_pass pass = pass_of(l, tensor);
    for (uint32_t i = 0; i < l->plan->parameter_count; i++) {
        gradient[i] = grad + (l->offset[i] - first);
        if (!accumulate) k->zero((int64_t)sizeof **gradient * mt_parameter_floats(&l->plan->parameters[i]), gradient[i]);
    }
    pass.state_out = NULL;
    mt_plugin_enter(k);
    l->desc->backward(l->plan, &pass, y, dy, dx, gradient);
    mt_plugin_leave(k, "layer", l->desc->name);
}
