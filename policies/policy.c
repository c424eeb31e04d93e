// Actor-critic policies: the plan, the forward and the backward pass. Initialisation is in init.c.
// The plan is const after create; everything else works on slabs its caller owns.
#include "policies/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the plan

static mt_status add_hidden(mt_mlp *mlp, int in, const int *units, int depth, mt_activation act, mt_slab_sizes *sizes,
    int *out) {
    for (int i = 0; i < depth; i++) {
        MT_TRY(mt_mlp_add(mlp, in, units[i], act, sizes));
        in = units[i];
    }
    *out = in;
    return MT_OK;
}

static void widen(int *widest, const mt_mlp *mlp) {
    for (int i = 0; i < mlp->depth; i++) {
        if (mlp->layer[i].in > *widest) *widest = mlp->layer[i].in;
        if (mlp->layer[i].out > *widest) *widest = mlp->layer[i].out;
    }
}

static mt_status check_desc(const mt_policy_desc *d) {
    if (d->obs < 1 || d->obs > MT_MLP_MAX_WIDTH)
        return MT_FAIL(CONFIG, "an observation of %d floats; MlpPolicy takes 1 to %d", d->obs, MT_MLP_MAX_WIDTH);
    if (d->action < 1 || d->action > MT_POLICY_MAX_COMPONENTS)
        return MT_FAIL(CONFIG, "an action of %d components; 1 to %d are supported", d->action, MT_POLICY_MAX_COMPONENTS);
    if ((unsigned)d->activation >= MT_ACT_COUNT) return MT_FAIL(CONFIG, "activation number %d does not exist", d->activation);
    if (d->shared_depth < 0 || d->shared_depth > MT_POLICY_MAX_DEPTH || d->pi_depth < 0 ||
        d->pi_depth > MT_POLICY_MAX_DEPTH || d->vf_depth < 0 || d->vf_depth > MT_POLICY_MAX_DEPTH)
        return MT_FAIL(CONFIG, "net_arch may list at most %d hidden layers each", MT_POLICY_MAX_DEPTH);
    for (int a = 0; d->distribution == MT_DIST_CATEGORICAL && a < d->action; a++)
        if (d->nvec[a] < 1 || d->nvec[a] > MT_MLP_MAX_WIDTH)
            return MT_FAIL(CONFIG, "component %d of the action has %d choices; 1 to %d are supported", a, d->nvec[a],
                MT_MLP_MAX_WIDTH);
    return MT_OK;
}

static mt_status build(mt_policy *p) {
    const mt_policy_desc *d = &p->desc;
    MT_TRY(check_desc(d));
    p->head = d->action;
    if (d->distribution == MT_DIST_CATEGORICAL) {
        p->head = 0;
        for (int a = 0; a < d->action; a++) p->head += d->nvec[a];
    }
    int trunk_out, vf_in;
    MT_TRY(add_hidden(&p->trunk, d->obs, d->shared, d->shared_depth, d->activation, &p->sizes, &trunk_out));
    MT_TRY(add_hidden(&p->pi, trunk_out, d->pi, d->pi_depth, d->activation, &p->sizes, &p->latent));
    MT_TRY(mt_mlp_add(&p->pi, p->latent, p->head, MT_ACT_identity, &p->sizes));
    p->log_std = -1;
    if (d->distribution != MT_DIST_CATEGORICAL) {
        p->log_std = p->sizes.params;
        p->log_std_count = (int64_t)d->action * (d->distribution == MT_DIST_GSDE ? p->latent : 1);
        p->sizes.params += (p->log_std_count + 15) / 16 * 16;
    }
    p->critic = p->sizes.params;
    MT_TRY(add_hidden(&p->vf, trunk_out, d->vf, d->vf_depth, d->activation, &p->sizes, &vf_in));
    MT_TRY(mt_mlp_add(&p->vf, vf_in, 1, MT_ACT_identity, &p->sizes));
    p->widest = d->obs;
    widen(&p->widest, &p->trunk), widen(&p->widest, &p->pi), widen(&p->widest, &p->vf);
    return MT_OK;
}

mt_status mt_policy_create(const mt_policy_desc *desc, mt_policy **out) {
    *out = NULL;
    mt_policy *policy = calloc(1, sizeof *policy);
    if (!policy) return MT_FAIL(NO_MEMORY, "cannot allocate a policy's plan");
    policy->desc = *desc;
    mt_status status = build(policy);
    if (status != MT_OK) {
        free(policy);
        return status;
    }
    *out = policy;
    return MT_OK;
}

void mt_policy_destroy(mt_policy *policy) { free(policy); }

// ---- the parameters by name

typedef struct visitor {
    mt_tensor_visit visit;
    void *ctx;
    float *param;
} visitor;

static mt_status visit_layer(const visitor *v, const mt_mlp_layer *l, const char *name) {
    char full[MT_TENSOR_NAME_BYTES];
    snprintf(full, sizeof full, "%s.weight", name);
    MT_TRY(v->visit(v->ctx, full,
        &(mt_tensor){.data = v->param + l->weight, .dtype = MT_F32, .ndim = 2, .shape = {l->out, l->in}}));
    snprintf(full, sizeof full, "%s.bias", name);
    return v->visit(v->ctx, full, &(mt_tensor){.data = v->param + l->bias, .dtype = MT_F32, .ndim = 1, .shape = {l->out}});
}

// hidden layers are numbered 0, 2, 4 … because SB3 counts the activations between them
static mt_status visit_hidden(const visitor *v, const mt_mlp *mlp, int depth, const char *name) {
    for (int i = 0; i < depth; i++) {
        char full[MT_TENSOR_NAME_BYTES];
        snprintf(full, sizeof full, "mlp_extractor.%s.%d", name, 2 * i);
        MT_TRY(visit_layer(v, &mlp->layer[i], full));
    }
    return MT_OK;
}

mt_status mt_policy_visit(const mt_policy *p, float *param, mt_tensor_visit visit, void *ctx) {
    visitor v = {visit, ctx, param};
    if (p->log_std >= 0) {
        int gsde = p->desc.distribution == MT_DIST_GSDE;
        mt_tensor t = {.data = param + p->log_std, .dtype = MT_F32, .ndim = gsde ? 2 : 1};
        t.shape[0] = gsde ? p->latent : p->desc.action;
        t.shape[1] = gsde ? p->desc.action : 0;
        MT_TRY(visit(ctx, "log_std", &t));
    }
    MT_TRY(visit_hidden(&v, &p->trunk, p->trunk.depth, "shared_net"));
    MT_TRY(visit_hidden(&v, &p->pi, p->pi.depth - 1, "policy_net"));
    MT_TRY(visit_hidden(&v, &p->vf, p->vf.depth - 1, "value_net"));
    MT_TRY(visit_layer(&v, &p->pi.layer[p->pi.depth - 1], "action_net"));
    return visit_layer(&v, &p->vf.layer[p->vf.depth - 1], "value_net");
}

static int64_t count_mlp(const mt_mlp *mlp) {
    int64_t count = 0;
    for (int i = 0; i < mlp->depth; i++) count += (int64_t)(mlp->layer[i].in + 1) * mlp->layer[i].out;
    return count;
}

int64_t mt_policy_parameter_count(const mt_policy *p) {
    return count_mlp(&p->trunk) + count_mlp(&p->pi) + count_mlp(&p->vf) + p->log_std_count;
}

// ---- slabs

void mt_weights_register(mt_weights *weights, const mt_policy *policy, mt_arena *arena) {
    MT_ARENA_ADD(arena, weights->param, policy->sizes.params);
    MT_ARENA_ADD(arena, weights->packed, policy->sizes.packed);
}

void mt_weights_pack(mt_weights *weights, const mt_policy *policy, const mt_kernels *k, int parts) {
    if (parts & MT_POLICY_ACTOR) {
        mt_mlp_pack(&policy->trunk, k, weights->param, weights->packed);
        mt_mlp_pack(&policy->pi, k, weights->param, weights->packed);
    }
    if (parts & MT_POLICY_CRITIC) mt_mlp_pack(&policy->vf, k, weights->param, weights->packed);
}

void mt_policy_space_register(mt_policy_space *space, const mt_policy *policy, int64_t max_rows, mt_arena *arena) {
    space->max_rows = max_rows;
    MT_ARENA_ADD(arena, space->layers, policy->sizes.row_floats * max_rows);
    MT_ARENA_ADD(arena, space->row_log_std, policy->desc.distribution == MT_DIST_GSDE ? policy->desc.action * max_rows : 0);
    for (int i = 0; i < (policy->trunk.depth ? 4 : 2); i++) MT_ARENA_ADD(arena, space->scratch[i], policy->widest * max_rows);
}

// ---- forward and backward

// what the policy head reads: the last hidden layer of the policy net, of the trunk, or the observation itself
static const float *latent_of(const mt_policy *p, const float *trunk, mt_policy_space *space) {
    return p->pi.depth > 1 ? space->layers + p->pi.layer[p->pi.depth - 2].output * space->max_rows : trunk;
}

mt_policy_output mt_policy_forward(const mt_policy *p, const mt_kernels *k, const mt_weights *w, const float *obs,
    int64_t rows, int parts, mt_policy_space *space) {
    MT_ASSERT(rows <= space->max_rows);
    mt_policy_output out = {0};
    const float *trunk = mt_mlp_forward(&p->trunk, k, w->param, w->packed, obs, rows, space->layers, space->max_rows);
    if (parts & MT_POLICY_ACTOR) {
        out.head = mt_mlp_forward(&p->pi, k, w->param, w->packed, trunk, rows, space->layers, space->max_rows);
        out.latent = latent_of(p, trunk, space);
        if (p->desc.distribution == MT_DIST_GAUSSIAN) out.log_std = w->param + p->log_std;
        if (p->desc.distribution == MT_DIST_GSDE) {
            k->gsde_log_std(rows, p->latent, p->desc.action, out.latent, w->param + p->log_std, space->row_log_std);
            out.log_std = space->row_log_std;
        }
    }
    if (parts & MT_POLICY_CRITIC)
        out.value = mt_mlp_forward(&p->vf, k, w->param, w->packed, trunk, rows, space->layers, space->max_rows);
    return out;
}

// log σ's own gradient; grad is the actor's range
static void log_std_backward(const mt_policy *p, const mt_kernels *k, const mt_weights *w, int64_t rows, const float *trunk,
    const float *d_log_std, mt_policy_space *space, float *grad, int accumulate) {
    if (p->desc.distribution == MT_DIST_GSDE)
        k->gsde_log_std_backward(rows, p->latent, p->desc.action, latent_of(p, trunk, space), w->param + p->log_std,
            space->row_log_std, d_log_std, grad + p->log_std, accumulate);
    else if (p->desc.distribution == MT_DIST_GAUSSIAN)
        for (int i = 0; i < p->desc.action; i++)
            grad[p->log_std + i] = d_log_std[i] + (accumulate ? grad[p->log_std + i] : 0);
}

void mt_policy_backward(const mt_policy *p, const mt_kernels *k, const mt_weights *w, const float *obs, int64_t rows,
    int parts, const float *d_head, const float *d_value, const float *d_log_std, mt_policy_space *space, float *grad,
    int accumulate) {
    const mt_mlp_layer *top = p->trunk.depth ? &p->trunk.layer[p->trunk.depth - 1] : NULL;
    MT_ASSERT(!top || parts == MT_POLICY_BOTH);
    const float *trunk = top ? space->layers + top->output * space->max_rows : obs;
    const float *trunk_pre = top && top->pre >= 0 ? space->layers + top->pre * space->max_rows : NULL;
    mt_activation trunk_act = top ? top->activation : MT_ACT_identity;
    float *a = space->scratch[0], *b = space->scratch[1], *d_trunk = top ? space->scratch[2] : NULL;
    int64_t first = mt_policy_range_of(p, parts).first;

    if (parts & MT_POLICY_CRITIC)
        mt_mlp_backward(&p->vf, k, w->param, trunk, rows, space->layers, space->max_rows, d_value, trunk_act, trunk_pre,
            d_trunk, grad + (p->vf.first - first), accumulate, a, b);
    if (!(parts & MT_POLICY_ACTOR)) return;
    if (!top) {
        mt_mlp_backward(&p->pi, k, w->param, obs, rows, space->layers, space->max_rows, d_head, MT_ACT_identity, NULL, NULL,
            grad + p->pi.first, accumulate, a, b);
    } else {
        // both nets' gradients meet at the trunk's output
        float *d_pi = space->scratch[3];
        int64_t count = rows * mt_mlp_out(&p->trunk);
        mt_mlp_backward(&p->pi, k, w->param, trunk, rows, space->layers, space->max_rows, d_head, trunk_act, trunk_pre, d_pi,
            grad + p->pi.first, accumulate, a, b);
        k->axpy(count, 1.0f, d_pi, d_trunk);
        mt_mlp_backward(&p->trunk, k, w->param, obs, rows, space->layers, space->max_rows, d_trunk, MT_ACT_identity, NULL,
            NULL, grad + p->trunk.first, accumulate, a, b);
    }
    log_std_backward(p, k, w, rows, trunk, d_log_std, space, grad, accumulate);
}

mt_categorical mt_policy_categorical(const mt_policy *p, const mt_policy_output *out, const uint8_t *mask, int64_t rows) {
    return (mt_categorical){.rows = rows, .components = p->desc.action, .nvec = p->desc.nvec, .logit_count = p->head,
        .logits = out->head, .mask = mask};
}

mt_gaussian mt_policy_gaussian(const mt_policy *p, const mt_policy_output *out, int64_t rows) {
    return (mt_gaussian){.rows = rows, .dim = p->desc.action, .mean = out->head, .log_std = out->log_std,
        .log_std_rows = p->desc.distribution == MT_DIST_GSDE};
}
