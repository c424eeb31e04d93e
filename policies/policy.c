// Actor-critic policies: the plan, the forward and the backward pass. Initialisation is in init.c.
// The plan is const after create; everything else works on slabs its caller owns.
#include "policies/policy.h"

#include "policies/architecture.h"
#include "policies/plugin_policy.h"
#include "policies/policy_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the plan

static mt_status check_inputs(const mt_policy_desc *d) {
    if (d->input_count < 0 || d->input_count > MT_MAX_INPUTS)
        return MT_FAIL(CONFIG, "an observation of %d inputs; at most %d are supported", d->input_count, MT_MAX_INPUTS);
    for (int i = 0; i < d->input_count; i++)
        if (d->inputs[i].offset < 0 || d->inputs[i].width < 1 || (int64_t)d->inputs[i].offset + d->inputs[i].width > d->obs)
            return MT_FAIL(CONFIG, "input \"%s\" has columns %d to %lld of %d", d->inputs[i].name, d->inputs[i].offset,
                (long long)d->inputs[i].offset + d->inputs[i].width - 1, d->obs);
    return MT_OK;
}

static mt_status check_desc(const mt_policy_desc *d) {
    if (d->obs < 1 || d->obs > MT_LAYER_MAX_SIZE)
        return MT_FAIL(CONFIG, "an observation of %d floats; 1 to %d are supported", d->obs, MT_LAYER_MAX_SIZE);
    if (d->action < 1 || d->action > MT_POLICY_MAX_COMPONENTS)
        return MT_FAIL(CONFIG, "an action of %d components; 1 to %d are supported", d->action, MT_POLICY_MAX_COMPONENTS);
    if ((unsigned)d->activation >= MT_ACT_COUNT) return MT_FAIL(CONFIG, "activation number %d does not exist", d->activation);
    if (d->shared_depth < 0 || d->shared_depth > MT_POLICY_MAX_DEPTH || d->pi_depth < 0 ||
        d->pi_depth > MT_POLICY_MAX_DEPTH || d->vf_depth < 0 || d->vf_depth > MT_POLICY_MAX_DEPTH)
        return MT_FAIL(CONFIG, "net_arch may list at most %d hidden layers each", MT_POLICY_MAX_DEPTH);
    for (int a = 0; d->distribution == MT_DIST_CATEGORICAL && a < d->action; a++)
        if (d->nvec[a] < 1 || d->nvec[a] > MT_LAYER_MAX_UNITS)
            return MT_FAIL(CONFIG, "component %d of the action has %d choices; 1 to %d are supported", a, d->nvec[a],
                MT_LAYER_MAX_UNITS);
    return check_inputs(d);
}

static void place_log_std(mt_policy *p, int64_t count) {
    p->log_std = p->sizes.params;
    p->log_std_count = count;
    p->sizes.params += (count + 15) / 16 * 16;
}

static mt_status compile(mt_policy *p, const mt_architecture *a) {
    const mt_policy_desc *d = &p->desc;
    MT_TRY(mt_network_compile(&p->trunk, &a->trunk, d->obs, &p->sizes));
    int trunk_out = mt_network_out(&p->trunk);
    MT_TRY(mt_network_compile(&p->pi, &a->pi, trunk_out, &p->sizes));
    p->latent = p->pi.layer[p->pi.count - 1].in;
    p->log_std = -1;
    p->log_std_rows = d->distribution == MT_DIST_GSDE;
    if (d->distribution != MT_DIST_CATEGORICAL) place_log_std(p, (int64_t)d->action * (p->log_std_rows ? p->latent : 1));
    p->critic = p->sizes.params;
    MT_TRY(mt_network_compile(&p->vf, &a->vf, trunk_out, &p->sizes));
    p->recurrent = p->trunk.recurrent || p->pi.recurrent || p->vf.recurrent;
    p->undivided = d->undivided;
    return MT_OK;
}

// all of a plugin's parameters are the actor's: there are no two nets to tell apart
static mt_status build_plugin(mt_policy *p) {
    const mt_policy_desc *d = &p->desc;
    int own = (d->plugin->capabilities & MANTA_POLICY_LOG_STD) != 0;
    if (d->distribution == MT_DIST_GSDE)
        return MT_FAIL(CONFIG, "policy %s: use_sde is for manta's own policies; say --no-use-sde", d->plugin->name);
    MT_TRY(mt_plugin_policy_create(d, p->head, &p->sizes, &p->plugin));
    p->log_std = -1;
    p->log_std_rows = own && d->distribution == MT_DIST_GAUSSIAN;
    if (!own && d->distribution == MT_DIST_GAUSSIAN) place_log_std(p, d->action);
    p->critic = p->sizes.params;
    p->recurrent = p->sizes.state > 0;
    p->undivided = 1;
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
    if (d->plugin) return build_plugin(p);
    mt_architecture *a = malloc(sizeof *a);
    if (!a) return MT_FAIL(NO_MEMORY, "cannot allocate a policy's description");
    mt_status status = mt_architecture_make(d, p->head, a);
    if (status == MT_OK) status = compile(p, a);
    free(a);
    return status;
}

// Files know tensors by their names: each must be its own, and none the normaliser's (scheduler/weights_file.c).
typedef struct tensor_names {
    char (*name)[MT_TENSOR_NAME_BYTES];   // owned
    int count, room;
} tensor_names;

static mt_status note_name(void *context, const char *name, const mt_tensor *tensor) {
    (void)tensor;
    tensor_names *n = context;
    if (strncmp(name, "obs_rms.", 8) == 0) return MT_FAIL(CONFIG, "a tensor is called %s, which is the normaliser's name; choose another", name);
    for (int i = 0; i < n->count; i++)
        if (strcmp(n->name[i], name) == 0)
            return MT_FAIL(CONFIG, "two tensors are called %s; give each layer a name of its own (a layer without one has its number)", name);
    if (n->count == n->room) {
        int room = n->room ? 2 * n->room : 64;
        void *more = realloc(n->name, sizeof *n->name * (size_t)room);
        if (!more) return MT_FAIL(NO_MEMORY, "cannot allocate the names of %d tensors", room);
        n->name = more, n->room = room;
    }
    snprintf(n->name[n->count++], sizeof *n->name, "%s", name);
    return MT_OK;
}

static mt_status check_names(const mt_policy *policy) {
    tensor_names names = {0};
    mt_status status = mt_policy_visit(policy, NULL, note_name, &names);
    free(names.name);
    return status;
}

mt_status mt_policy_create(const mt_policy_desc *desc, mt_policy **out) {
    *out = NULL;
    mt_policy *policy = calloc(1, sizeof *policy);
    if (!policy) return MT_FAIL(NO_MEMORY, "cannot allocate a policy's plan");
    policy->desc = *desc;
    mt_status status = build(policy);
    if (status == MT_OK) status = check_names(policy);
    policy->desc.layers = policy->desc.layers_file = NULL, policy->desc.options = NULL;   // were the caller's
    if (status != MT_OK) {
        mt_policy_destroy(policy);
        return status;
    }
    *out = policy;
    return MT_OK;
}

void mt_policy_destroy(mt_policy *policy) {
    if (!policy) return;
    mt_plugin_policy_destroy(policy->plugin);
    free(policy);
}

static mt_status check_layers(const mt_network *net, const mt_kernels *k) {
    for (int i = 0; i < net->count; i++) {
        const manta_layer_desc *plugin = net->layer[i].desc.plugin;
        if (plugin) MT_TRY(mt_plugin_check_place(k, plugin->capabilities, "layer", plugin->name));
    }
    return MT_OK;
}

mt_status mt_policy_check_place(const mt_policy *p, const mt_kernels *k) {
    if (p->plugin) return mt_plugin_check_place(k, p->plugin->desc->capabilities, "policy", p->plugin->desc->name);
    MT_TRY(check_layers(&p->trunk, k));
    MT_TRY(check_layers(&p->pi, k));
    return check_layers(&p->vf, k);
}

// ---- the parameters by name

mt_status mt_policy_visit(const mt_policy *p, float *param, mt_tensor_visit visit, void *ctx) {
    if (p->log_std >= 0) {
        int gsde = p->desc.distribution == MT_DIST_GSDE;
        mt_tensor t = {.data = param + p->log_std, .dtype = MT_F32, .ndim = gsde ? 2 : 1};
        t.shape[0] = gsde ? p->latent : p->desc.action;
        t.shape[1] = gsde ? p->desc.action : 0;
        MT_TRY(visit(ctx, "log_std", &t));
    }
    if (p->plugin) return mt_plugin_policy_visit(p->plugin, param, visit, ctx);
    MT_TRY(mt_network_visit(&p->trunk, param, visit, ctx));
    MT_TRY(mt_network_visit(&p->pi, param, visit, ctx));
    return mt_network_visit(&p->vf, param, visit, ctx);
}

static mt_status note_count(void *context, const char *name, const mt_tensor *t) {
    int64_t *most = context, count = mt_tensor_count(t);
    (void)name;
    if (count > *most) *most = count;
    return MT_OK;
}

int64_t mt_policy_largest_tensor(const mt_policy *p) {
    int64_t most = 0;
    return mt_policy_visit(p, NULL, note_count, &most) == MT_OK ? most : 0;
}

int64_t mt_policy_parameter_count(const mt_policy *p) {
    if (p->plugin) return mt_plugin_policy_parameter_count(p->plugin) + p->log_std_count;
    return mt_network_parameter_count(&p->trunk) + mt_network_parameter_count(&p->pi) + mt_network_parameter_count(&p->vf) +
        p->log_std_count;
}

static int64_t products_of(const mt_network *net) {
    int64_t products = 0;
    for (int i = 0; i < net->count; i++) products += mt_layer_products(net, i);
    return products;
}

int64_t mt_policy_products(const mt_policy *p) {
    return p->plugin ? mt_policy_parameter_count(p) : products_of(&p->trunk) + products_of(&p->pi) + products_of(&p->vf);
}

// ---- slabs

void mt_weights_register(mt_weights *weights, const mt_policy *policy, mt_arena *arena) {
    MT_ARENA_ADD(arena, weights->param, policy->sizes.params);
    MT_ARENA_ADD(arena, weights->packed, policy->sizes.packed);
}

void mt_weights_pack(mt_weights *weights, const mt_policy *policy, const mt_kernels *k, int parts) {
    if (parts & MT_POLICY_ACTOR) {
        mt_network_pack(&policy->trunk, k, weights->param, weights->packed);
        mt_network_pack(&policy->pi, k, weights->param, weights->packed);
    }
    if (parts & MT_POLICY_CRITIC) mt_network_pack(&policy->vf, k, weights->param, weights->packed);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t most_of(const mt_policy *p, int64_t (*of)(const mt_network *)) {
    return larger(of(&p->trunk), larger(of(&p->pi), of(&p->vf)));
}

static int64_t gradient_floats(const mt_network *net) { return mt_network_gradient_floats(net); }

void mt_policy_space_register(mt_policy_space *space, const mt_policy *p, const mt_kernels *k, int64_t max_rows, int backward,
    mt_arena *arena) {
    int64_t scratch = p->plugin ? p->plugin->plan.scratch_floats : larger(mt_network_scratch(&p->trunk, k, max_rows),
        larger(mt_network_scratch(&p->pi, k, max_rows), mt_network_scratch(&p->vf, k, max_rows)));
    *space = (mt_policy_space){.net.max_rows = max_rows};
    MT_ARENA_ADD(arena, space->net.layers, p->sizes.row_floats * max_rows);
    MT_ARENA_ADD(arena, space->net.gradients, backward ? most_of(p, gradient_floats) * max_rows : 0);
    MT_ARENA_ADD(arena, space->net.scratch, scratch);
    MT_ARENA_ADD(arena, space->row_log_std, p->log_std_rows ? p->desc.action * max_rows : 0);
    MT_ARENA_ADD(arena, space->head, p->plugin ? p->head * max_rows : 0);
    MT_ARENA_ADD(arena, space->value, p->plugin ? max_rows : 0);
    for (int i = 0; i < 2; i++)
        MT_ARENA_ADD(arena, space->d_trunk[i], backward && p->trunk.count ? mt_network_out(&p->trunk) * max_rows : 0);
}

// Small layers want many rows, so that loops are long; large ones few enough that a layer's output is still in the second-level
// cache when the next reads it.
int64_t mt_policy_rows_at_once(const mt_policy *p, int64_t most) {
    enum { CACHE_FLOATS = 1 << 20, ROWS_LEAST = 32 };
    int64_t rows = CACHE_FLOATS / (p->sizes.row_floats + 1);
    rows = rows < ROWS_LEAST ? ROWS_LEAST : rows;
    return rows < most ? rows : most;
}

// ---- forward and backward

static const float *trunk_of(const mt_policy *p, const float *obs, const mt_policy_space *space) {
    return p->trunk.count ? mt_network_output(&p->trunk, p->trunk.count - 1, obs, &space->net) : obs;
}

// what the policy head reads
static const float *latent_of(const mt_policy *p, const float *trunk, const mt_policy_space *space) {
    return mt_network_output(&p->pi, p->pi.layer[p->pi.count - 1].desc.source[0], trunk, &space->net);
}

static manta_pass pass_of(const mt_policy *p, const mt_kernels *k, const float *obs, int64_t rows, const mt_sequences *s,
    const mt_policy_space *space) {
    mt_plugin_place place = mt_plugin_place_of(k);
    manta_pass pass = {.device = place.device, .stream = place.stream, .rows = rows, .x = obs, .row_space = space->net.layers, .scratch = space->net.scratch,
        .steps = 1, .envs = rows};
    if (!p->recurrent) return pass;
    MT_ASSERT(s && s->steps * s->envs == rows);
    pass.steps = s->steps, pass.envs = s->envs, pass.start = s->start;
    pass.state = s->state, pass.state_out = s->state_out, pass.state_stride = s->state_stride;
    return pass;
}

static mt_policy_output plugin_forward(const mt_policy *p, const mt_kernels *k, const mt_weights *w, const float *obs, int64_t rows,
    const mt_sequences *sequences, int parts, mt_policy_space *space) {
    int actor = parts & MT_POLICY_ACTOR, gaussian = actor && p->desc.distribution == MT_DIST_GAUSSIAN;
    mt_policy_output out = {.head = actor ? space->head : NULL, .value = parts & MT_POLICY_CRITIC ? space->value : NULL};
    if (gaussian) out.log_std = p->log_std_rows ? space->row_log_std : w->param + p->log_std;
    mt_plugin_policy_forward(p->plugin, k, w->param, pass_of(p, k, obs, rows, sequences, space), (manta_policy_output){
        .head = actor ? space->head : NULL, .value = parts & MT_POLICY_CRITIC ? space->value : NULL,
        .log_std = gaussian && p->log_std_rows ? space->row_log_std : NULL});
    return out;
}

mt_policy_output mt_policy_forward(const mt_policy *p, const mt_kernels *k, const mt_weights *w, const float *obs, int64_t rows,
    const mt_sequences *sequences, int parts, mt_policy_space *space) {
    MT_ASSERT(rows <= space->net.max_rows);
    if (p->plugin) return plugin_forward(p, k, w, obs, rows, sequences, parts, space);
    mt_policy_output out = {0};
    const float *trunk = mt_network_forward(&p->trunk, k, w->param, w->packed, obs, rows, sequences, &space->net);
    if (parts & MT_POLICY_ACTOR) {
        out.head = mt_network_forward(&p->pi, k, w->param, w->packed, trunk, rows, sequences, &space->net);
        out.latent = latent_of(p, trunk, space);
        if (p->desc.distribution == MT_DIST_GAUSSIAN) out.log_std = w->param + p->log_std;
        if (p->desc.distribution == MT_DIST_GSDE) {
            k->gsde_log_std(rows, p->latent, p->desc.action, out.latent, w->param + p->log_std, space->row_log_std);
            out.log_std = space->row_log_std;
        }
    }
    if (parts & MT_POLICY_CRITIC) out.value = mt_network_forward(&p->vf, k, w->param, w->packed, trunk, rows, sequences, &space->net);
    return out;
}

// log σ's own gradient; grad is the actor's range
static void log_std_backward(const mt_policy *p, const mt_kernels *k, const mt_weights *w, int64_t rows, const float *trunk,
    const float *d_log_std, mt_policy_space *space, float *grad, int accumulate) {
    if (p->desc.distribution == MT_DIST_GSDE)
        k->gsde_log_std_backward(rows, p->latent, p->desc.action, latent_of(p, trunk, space), w->param + p->log_std,
            space->row_log_std, d_log_std, grad + p->log_std, accumulate);
    else if (p->log_std >= 0 && accumulate)
        k->axpy(p->desc.action, 1.0f, d_log_std, grad + p->log_std);
    else if (p->log_std >= 0)
        k->copy_columns(1, p->desc.action, d_log_std, p->desc.action, grad + p->log_std, p->desc.action);
}

void mt_policy_backward(const mt_policy *p, const mt_kernels *k, const mt_weights *w, const float *obs, int64_t rows,
    const mt_sequences *sequences, int parts, const float *d_head, const float *d_value, const float *d_log_std,
    mt_policy_space *space, float *grad, int accumulate) {
    if (p->plugin) {
        MT_ASSERT(parts == MT_POLICY_BOTH);
        mt_plugin_policy_backward(p->plugin, k, w->param, pass_of(p, k, obs, rows, sequences, space), (manta_policy_gradient){.head = d_head,
            .value = d_value, .log_std = p->log_std_rows ? d_log_std : NULL}, grad, accumulate);
        if (!p->log_std_rows) log_std_backward(p, k, w, rows, NULL, d_log_std, space, grad, accumulate);
        return;
    }
    const mt_layer *top = p->trunk.count ? &p->trunk.layer[p->trunk.count - 1] : NULL;
    MT_ASSERT(!top || parts == MT_POLICY_BOTH);
    const float *trunk = trunk_of(p, obs, space);
    int64_t first = mt_policy_range_of(p, parts).first;
    mt_network_source source = {.x = trunk, .activation = top ? top->desc.activation : MT_ACT_identity,
        .pre = top ? mt_network_pre(&p->trunk, p->trunk.count - 1, &space->net) : NULL};
    if (parts & MT_POLICY_CRITIC) {
        source.dx = space->d_trunk[0];
        mt_network_backward(&p->vf, k, w->param, w->packed, &source, rows, sequences, &space->net, d_value,
            grad + (p->vf.first - first), accumulate);
    }
    if (!(parts & MT_POLICY_ACTOR)) return;
    source.dx = space->d_trunk[1];
    mt_network_backward(&p->pi, k, w->param, w->packed, &source, rows, sequences, &space->net, d_head, grad + p->pi.first, accumulate);
    if (top) {   // both nets' gradients meet at the trunk's output
        k->axpy(rows * mt_network_out(&p->trunk), 1.0f, space->d_trunk[1], space->d_trunk[0]);
        mt_network_backward(&p->trunk, k, w->param, w->packed, &(mt_network_source){.x = obs, .activation = MT_ACT_identity}, rows,
            sequences, &space->net, space->d_trunk[0], grad + p->trunk.first, accumulate);
    }
    log_std_backward(p, k, w, rows, trunk, d_log_std, space, grad, accumulate);
}

mt_categorical mt_policy_categorical(const mt_policy *p, const mt_policy_output *out, const uint8_t *mask, int64_t rows) {
    return (mt_categorical){.rows = rows, .components = p->desc.action, .nvec = p->desc.nvec, .logit_count = p->head,
        .logits = out->head, .mask = mask};
}

mt_gaussian mt_policy_gaussian(const mt_policy *p, const mt_policy_output *out, int64_t rows) {
    return (mt_gaussian){.rows = rows, .dim = p->desc.action, .mean = out->head, .log_std = out->log_std,
        .log_std_rows = p->log_std_rows};
}
