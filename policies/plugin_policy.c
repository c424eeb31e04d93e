// A plugin's policy. Made at start-up on one thread; forward and backward are pure and run on any.
#include "policies/plugin_policy.h"

#include "policies/policy_plugin.h"

#include <stdio.h>
#include <stdlib.h>

// ---- creating

static manta_policy_input input_of(const mt_input *in) {
    static const uint32_t kinds[] = {
        [MT_INPUT_VECTOR] = MANTA_INPUT_VECTOR, [MT_INPUT_IMAGE] = MANTA_INPUT_IMAGE, [MT_INPUT_INDEX] = MANTA_INPUT_INDEX};
    return (manta_policy_input){.name = in->name,
        .kind = kinds[in->kind],
        .offset = in->offset,
        .count = in->width,
        .height = in->height,
        .width = in->width_px,
        .channels = in->channels,
        .entries = in->entries};
}

static mt_status make_instance(mt_plugin_policy *p, const mt_policy_desc *d, int head) {
    char error[MANTA_ERROR_BYTES] = "", what[MT_PLUGIN_NAME_BYTES + 16];
    manta_policy_input inputs[MT_MAX_INPUTS];
    int gaussian = d->distribution != MT_DIST_CATEGORICAL;
    manta_action_space action = {.struct_size = sizeof action,
        .kind = gaussian ? MANTA_ACTION_GAUSSIAN : MANTA_ACTION_CATEGORICAL,
        .components = (uint32_t)d->action,
        .nvec = gaussian ? NULL : d->nvec,
        .head = head};
    manta_policy_config config = {.struct_size = sizeof config,
        .obs = d->obs,
        .input_count = (uint32_t)d->input_count,
        .inputs = d->input_count ? inputs : NULL,
        .action = &action,
        .option_count = (uint32_t)d->option_count,
        .options = d->options};
    for (int i = 0; i < d->input_count; i++) inputs[i] = input_of(&d->inputs[i]);
    snprintf(what, sizeof what, "policy %s", p->desc->name);
    MT_TRY(mt_plugin_check_options(what, p->desc->options, p->desc->option_count, d->options, (uint32_t)d->option_count));
    int code = p->desc->create(&config, &p->instance, error);
    error[MANTA_ERROR_BYTES - 1] = 0;
    if (code != 0) {
        p->instance = NULL;   // *out is NULL on failure, whatever it wrote
        return MT_FAIL(CONFIG, "%s: %s", what, error[0] ? error : "it refused, and gave no reason");
    }
    if (!p->instance) return MT_FAIL(PLUGIN, "%s: create returned 0 but left *out NULL", what);
    return MT_OK;
}

static mt_status read_plan(mt_plugin_policy *p, mt_slab_sizes *sizes) {
    char what[MT_PLUGIN_NAME_BYTES + 16];
    const manta_policy_plan *plan = p->desc->plan(p->instance);
    snprintf(what, sizeof what, "policy %s", p->desc->name);
    if (!plan) return MT_FAIL(PLUGIN, "%s: .plan returned NULL", what);
    if (plan->struct_size < sizeof *plan)
        return MT_FAIL(PLUGIN,
            "%s: its plan's struct_size is %u, ABI version %u needs %zu; set .struct_size = sizeof(manta_policy_plan)", what,
            plan->struct_size, MANTA_POLICY_ABI_VERSION, sizeof *plan);
    if (plan->parameter_count == 0) return MT_FAIL(PLUGIN, "%s: parameter_count is 0; what has no parameters cannot learn", what);
    MT_TRY(mt_parameters_validate(plan->parameters, plan->parameter_count, MANTA_POLICY_MAX_PARAMETERS, what));
    MT_TRY(mt_workspace_validate(plan->row_floats, plan->scratch_floats, plan->state_floats, what));
    p->plan = *plan;
    for (uint32_t i = 0; i < plan->parameter_count; i++) {
        p->offset[i] = sizes->params;
        sizes->params += (mt_parameter_floats(&plan->parameters[i]) + 15) / 16 * 16;
    }
    sizes->row_floats += plan->row_floats;
    sizes->state += (int)plan->state_floats;
    return MT_OK;
}

mt_status mt_plugin_policy_create(const mt_policy_desc *desc, int head, mt_slab_sizes *sizes, mt_plugin_policy **out) {
    *out = NULL;
    mt_plugin_policy *p = calloc(1, sizeof *p);
    if (!p) return MT_FAIL(NO_MEMORY, "cannot allocate a plugin's policy");
    p->desc = desc->plugin;
    mt_status status = make_instance(p, desc, head);
    if (status == MT_OK) status = read_plan(p, sizes);
    if (status != MT_OK) {
        mt_plugin_policy_destroy(p);
        return status;
    }
    *out = p;
    return MT_OK;
}

void mt_plugin_policy_destroy(mt_plugin_policy *p) {
    if (!p) return;
    if (p->instance) p->desc->destroy(p->instance);
    free(p);
}

// ---- parameters

mt_status mt_plugin_policy_visit(const mt_plugin_policy *p, float *param, mt_tensor_visit visit, void *ctx) {
    for (uint32_t i = 0; i < p->plan.parameter_count; i++) {
        const manta_parameter *q = &p->plan.parameters[i];
        mt_tensor tensor = {.data = param + p->offset[i], .dtype = MT_F32, .ndim = (int)q->ndim};
        for (uint32_t d = 0; d < q->ndim; d++) tensor.shape[d] = q->shape[d];
        MT_TRY(visit(ctx, q->name, &tensor));
    }
    return MT_OK;
}

int64_t mt_plugin_policy_parameter_count(const mt_plugin_policy *p) {
    int64_t count = 0;
    for (uint32_t i = 0; i < p->plan.parameter_count; i++) count += mt_parameter_floats(&p->plan.parameters[i]);
    return count;
}

static void tensors_of(const mt_plugin_policy *p, float *slab, float *out[MANTA_POLICY_MAX_PARAMETERS]) {
    for (uint32_t i = 0; i < p->plan.parameter_count; i++) out[i] = slab + p->offset[i];
}

mt_status mt_plugin_policy_init(const mt_plugin_policy *p, float *param, uint64_t seed) {
    char error[MANTA_ERROR_BYTES] = "";
    float *tensor[MANTA_POLICY_MAX_PARAMETERS];
    tensors_of(p, param, tensor);
    int code = p->desc->init(p->instance, seed, tensor, error);
    error[MANTA_ERROR_BYTES - 1] = 0;
    return code == 0 ? MT_OK
                     : MT_FAIL(CONFIG, "policy %s: init failed: %s", p->desc->name, error[0] ? error : "(it gave no reason)");
}

// ---- forward and backward. The host never writes through a pass's tensors, but its slab's type is that of gradients, too.

void mt_plugin_policy_forward(const mt_plugin_policy *p, const mt_kernels *k, const float *param, manta_pass pass,
    manta_policy_output out) {
    float *tensor[MANTA_POLICY_MAX_PARAMETERS];
    tensors_of(p, (float *)(uintptr_t)param, tensor);
    pass.struct_size = sizeof pass, pass.param = (const float *const *)tensor;
    out.struct_size = sizeof out;
    mt_plugin_enter(k);
    p->desc->forward(p->instance, &pass, &out);
    mt_plugin_leave(k, "policy", p->desc->name);
}

void mt_plugin_policy_backward(const mt_plugin_policy *p, const mt_kernels *k, const float *param, manta_pass pass,
    manta_policy_gradient d, float *grad, int accumulate) {
    float *tensor[MANTA_POLICY_MAX_PARAMETERS], *gradient[MANTA_POLICY_MAX_PARAMETERS];
    tensors_of(p, (float *)(uintptr_t)param, tensor);
    tensors_of(p, grad, gradient);
    for (uint32_t i = 0; i < p->plan.parameter_count && !accumulate; i++)
        k->zero((int64_t)sizeof **gradient * mt_parameter_floats(&p->plan.parameters[i]), gradient[i]);
    pass.struct_size = sizeof pass, pass.param = (const float *const *)tensor, pass.state_out = NULL;
    d.struct_size = sizeof d;
    mt_plugin_enter(k);
    p->desc->backward(p->instance, &pass, &d, gradient);
    mt_plugin_leave(k, "policy", p->desc->name);
}
