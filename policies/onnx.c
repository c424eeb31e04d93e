// A policy's graph: observation, normalisation, three networks, what follows from their heads. One thread; allocates.
#include "policies/onnx.h"

#include "policies/onnx_layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef char value_name[MT_ONNX_NAME_BYTES];

typedef struct writer {
    const mt_onnx_desc *desc;
    const mt_policy *policy;
    mt_onnx_graph g;
    mt_onnx_source obs, trunk;
    value_name head, latent;     // the policy head's output, and what it reads
} writer;

#define NODE mt_onnx_node
#define IN MT_ONNX_NAMES
#define OUT MT_ONNX_NAMES
#define WITH MT_ONNX_ATTRIBUTES
static const int64_t axis_1 = 1;

// ---- the observation

static int part_shape(const mt_input *in, int64_t shape[4]) {
    shape[0] = MT_ONNX_BATCH;
    if (in->kind != MT_INPUT_IMAGE) return shape[1] = in->width, 2;
    shape[1] = in->height, shape[2] = in->width_px, shape[3] = in->channels;
    return 4;
}

// (x - mean)·1/σ, clipped, as the rollout's normaliser does; `value` becomes the result's name. `at`: where its moments begin
static void put_normalisation(writer *w, const mt_input *in, int at, value_name value) {
    const mt_onnx_desc *d = w->desc;
    value_name mean, scale, centred, scaled, low, high;
    int length = (int)sizeof mean - 16;
    snprintf(mean, sizeof mean, "%.*s/mean", length, value), snprintf(scale, sizeof scale, "%.*s/inv_std", length, value);
    snprintf(centred, sizeof centred, "%.*s/centred", length, value), snprintf(scaled, sizeof scaled, "%.*s/scaled", length, value);
    mt_onnx_floats(&w->g, mean, d->obs_mean + at, 1, &(int64_t){in->width});
    mt_onnx_floats(&w->g, scale, d->obs_inv_std + at, 1, &(int64_t){in->width});
    NODE(&w->g, "Sub", IN(value, mean), OUT(centred), NULL);
    NODE(&w->g, "Mul", IN(centred, scale), OUT(scaled), NULL);
    mt_onnx_float(&w->g, -d->clip_obs, low), mt_onnx_float(&w->g, d->clip_obs, high);
    snprintf(mean, sizeof mean, "%.*s/normalised", length, value);
    NODE(&w->g, "Clip", IN(scaled, low, high), OUT(mean), NULL);
    memcpy(value, mean, sizeof mean);
}

static void put_observation(writer *w) {
    const mt_policy_desc *p = &w->policy->desc;
    const mt_input whole = {.kind = MT_INPUT_VECTOR, .width = p->obs};
    int moments = 0;
    w->obs.count = p->input_count ? p->input_count : 1;
    for (int i = 0; i < w->obs.count; i++) {
        const mt_input *in = p->input_count ? &p->inputs[i] : &whole;
        int64_t shape[4];
        int ndim = part_shape(in, shape);
        w->obs.part[i] = *in;
        snprintf(w->obs.value[i], sizeof w->obs.value[i], "obs%s%s", *in->name ? "." : "", in->name);
        mt_onnx_input(&w->g, w->obs.value[i], MT_ONNX_FLOAT, ndim, shape);
        if (!w->desc->obs_mean || in->kind != MT_INPUT_VECTOR) continue;
        put_normalisation(w, in, moments, w->obs.value[i]);
        moments += in->width;
    }
}

// ---- memory

typedef struct state_list {
    const char *names[2 * 3 * MT_NETWORK_MAX_LAYERS + 1];   // owned (count), ended by NULL
    int64_t units[2 * 3 * MT_NETWORK_MAX_LAYERS];
    int count;
} state_list;

static mt_status list_state(void *context, const char *name, int units) {
    state_list *l = context;
    l->names[l->count] = strdup(name);
    if (!l->names[l->count]) return MT_FAIL(NO_MEMORY, "cannot allocate a state's name");
    l->units[l->count++] = units;
    return MT_OK;
}

// the states of all layers in the order of a row of state
static mt_status list_states(const mt_policy *p, int next, state_list *l) {
    MT_TRY(mt_onnx_visit_states(&p->trunk, "trunk", next, list_state, l));
    MT_TRY(mt_onnx_visit_states(&p->pi, "pi", next, list_state, l));
    return mt_onnx_visit_states(&p->vf, "vf", next, list_state, l);
}

static void split_state(writer *w, const state_list *l) {
    const int64_t shape[] = {MT_ONNX_BATCH, w->policy->sizes.state};
    value_name zero, axes, sizes;
    mt_onnx_input(&w->g, "state", MT_ONNX_FLOAT, 2, shape);
    mt_onnx_input(&w->g, "episode_start", MT_ONNX_BOOL, 1, shape);
    NODE(&w->g, "Unsqueeze", IN("episode_start", mt_onnx_ints(&w->g, &axis_1, 1, axes)), OUT("state/starts"), NULL);
    NODE(&w->g, "Where", IN("state/starts", mt_onnx_float(&w->g, 0, zero), "state"), OUT("state/kept"), NULL);
    NODE(&w->g, "Split", IN("state/kept", mt_onnx_ints(&w->g, l->units, l->count, sizes)), l->names, WITH(MT_ONNX_INT("axis", 1)));
}

static void join_state(writer *w, const state_list *l) {
    const int64_t shape[] = {MT_ONNX_BATCH, w->policy->sizes.state};
    NODE(&w->g, "Concat", l->names, OUT("next_state"), WITH(MT_ONNX_INT("axis", 1)));
    mt_onnx_output(&w->g, "next_state", MT_ONNX_FLOAT, 2, shape);
}

static mt_status put_state(writer *w, int next) {
    if (!w->policy->recurrent) return MT_OK;
    state_list *l = calloc(1, sizeof *l);
    if (!l) return MT_FAIL(NO_MEMORY, "cannot allocate a list of states");
    mt_status status = list_states(w->policy, next, l);
    if (status == MT_OK) (next ? join_state : split_state)(w, l);
    for (int i = 0; i < l->count; i++) free((char *)l->names[i]);
    free(l);
    return status;
}

// ---- discrete actions

static void put_choice(writer *w, const char *logits, const char *out) {
    NODE(&w->g, "ArgMax", IN(logits), OUT(out), WITH(MT_ONNX_INT("axis", 1), MT_ONNX_INT("keepdims", 1)));
}

// one choice a component
static void put_choices(writer *w, const char *logits) {
    const mt_policy_desc *p = &w->policy->desc;
    char parts[MT_POLICY_MAX_COMPONENTS][24], choices[MT_POLICY_MAX_COMPONENTS][24];
    const char *part_names[MT_POLICY_MAX_COMPONENTS + 1] = {0}, *choice_names[MT_POLICY_MAX_COMPONENTS + 1] = {0};
    int64_t sizes[MT_POLICY_MAX_COMPONENTS];
    value_name list;
    for (int a = 0; a < p->action; a++) {
        snprintf(parts[a], sizeof parts[a], "logits/%d", a), part_names[a] = parts[a];
        snprintf(choices[a], sizeof choices[a], "action/%d", a), choice_names[a] = choices[a];
        sizes[a] = p->nvec[a];
    }
    mt_onnx_ints(&w->g, sizes, p->action, list);
    NODE(&w->g, "Split", IN(logits, list), part_names, WITH(MT_ONNX_INT("axis", 1)));
    for (int a = 0; a < p->action; a++) put_choice(w, parts[a], choices[a]);
    NODE(&w->g, "Concat", choice_names, OUT("action"), WITH(MT_ONNX_INT("axis", 1)));
}

static void put_categorical(writer *w) {
    const mt_policy *p = w->policy;
    const int64_t logits[] = {MT_ONNX_BATCH, p->head}, action[] = {MT_ONNX_BATCH, p->desc.action};
    const char *allowed = "logits";
    value_name never;
    NODE(&w->g, "Identity", IN(w->head), OUT("logits"), NULL);
    mt_onnx_output(&w->g, "logits", MT_ONNX_FLOAT, 2, logits);
    if (w->desc->has_mask) {
        mt_onnx_input(&w->g, "action_mask", MT_ONNX_BOOL, 2, logits);
        NODE(&w->g, "Where", IN("action_mask", "logits", mt_onnx_float(&w->g, -INFINITY, never)), OUT("logits/allowed"), NULL);
        allowed = "logits/allowed";
    }
    if (p->desc.action > 1) put_choices(w, allowed);
    else put_choice(w, allowed, "action");
    mt_onnx_output(&w->g, "action", MT_ONNX_INT64, 2, action);
}

// ---- boxes

// gSDE: ½ log(h² exp(2 log σ) + 1e-6)
static mt_status put_gsde(writer *w) {
    const mt_policy *p = w->policy;
    const int64_t shape[] = {p->latent, p->desc.action};
    value_name c, half;
    float *variance = malloc(sizeof *variance * (size_t)p->log_std_count);
    if (!variance) return MT_FAIL(NO_MEMORY, "cannot allocate log_std once more");
    for (int64_t i = 0; i < p->log_std_count; i++) variance[i] = expf(2 * w->desc->param[p->log_std + i]);
    mt_onnx_floats(&w->g, "log_std/variance", variance, 2, shape);
    free(variance);
    NODE(&w->g, "Mul", IN(w->latent, w->latent), OUT("log_std/h2"), NULL);
    NODE(&w->g, "MatMul", IN("log_std/h2", "log_std/variance"), OUT("log_std/sum"), NULL);
    NODE(&w->g, "Add", IN("log_std/sum", mt_onnx_float(&w->g, 1e-6f, c)), OUT("log_std/more"), NULL);
    NODE(&w->g, "Log", IN("log_std/more"), OUT("log_std/log"), NULL);
    NODE(&w->g, "Mul", IN("log_std/log", mt_onnx_float(&w->g, 0.5f, half)), OUT("log_std"), NULL);
    return MT_OK;
}

// the same for every row
static void put_log_std(writer *w) {
    mt_onnx_floats(&w->g, "log_std/all", w->desc->param + w->policy->log_std, 1, &(int64_t){w->policy->desc.action});
    NODE(&w->g, "Shape", IN("mean"), OUT("mean/shape"), NULL);
    NODE(&w->g, "Expand", IN("log_std/all", "mean/shape"), OUT("log_std"), NULL);
}

static mt_status put_box(writer *w) {
    const mt_policy *p = w->policy;
    const int64_t shape[] = {MT_ONNX_BATCH, p->desc.action}, components = p->desc.action;
    NODE(&w->g, "Identity", IN(w->head), OUT("mean"), NULL);
    if (p->desc.distribution == MT_DIST_GSDE) MT_TRY(put_gsde(w));
    else put_log_std(w);
    if (w->desc->low) {
        mt_onnx_floats(&w->g, "action/low", w->desc->low, 1, &components);
        mt_onnx_floats(&w->g, "action/high", w->desc->high, 1, &components);
        NODE(&w->g, "Max", IN("mean", "action/low"), OUT("action/above"), NULL);
        NODE(&w->g, "Min", IN("action/above", "action/high"), OUT("action"), NULL);
    } else {
        NODE(&w->g, "Identity", IN("mean"), OUT("action"), NULL);
    }
    mt_onnx_output(&w->g, "mean", MT_ONNX_FLOAT, 2, shape);
    mt_onnx_output(&w->g, "log_std", MT_ONNX_FLOAT, 2, shape);
    mt_onnx_output(&w->g, "action", MT_ONNX_FLOAT, 2, shape);
    return MT_OK;
}

// ---- all of it

static mt_status put_networks(writer *w) {
    const mt_policy *p = w->policy;
    mt_onnx_source *source = &w->obs;
    value_name value, axes;
    if (p->trunk.count) {
        MT_TRY(mt_onnx_network(&w->g, &p->trunk, "trunk", w->desc->param, &w->obs, w->trunk.value[0], NULL));
        w->trunk.count = 1, w->trunk.part[0] = (mt_input){.kind = MT_INPUT_VECTOR, .width = mt_network_out(&p->trunk)};
        source = &w->trunk;
    }
    MT_TRY(mt_onnx_network(&w->g, &p->pi, "pi", w->desc->param, source, w->head, w->latent));
    MT_TRY(mt_onnx_network(&w->g, &p->vf, "vf", w->desc->param, source, value, NULL));
    NODE(&w->g, "Squeeze", IN(value, mt_onnx_ints(&w->g, &axis_1, 1, axes)), OUT("value"), NULL);
    return MT_OK;
}

static mt_status write_graph(writer *w) {
    put_observation(w);
    MT_TRY(put_state(w, 0));
    MT_TRY(put_networks(w));
    if (w->policy->desc.distribution == MT_DIST_CATEGORICAL) put_categorical(w);
    else MT_TRY(put_box(w));
    mt_onnx_output(&w->g, "value", MT_ONNX_FLOAT, 1, &(int64_t){MT_ONNX_BATCH});
    MT_TRY(put_state(w, 1));
    return mt_onnx_end(&w->g);
}

mt_status mt_onnx_encode(const mt_onnx_desc *desc, void **out, size_t *bytes) {
    *out = NULL, *bytes = 0;
    if (desc->policy->plugin)
        return MT_FAIL(UNSUPPORTED, "policy %s is a plugin's own: nobody knows it as ONNX's operators",
            desc->policy->desc.plugin->name);
    writer *w = calloc(1, sizeof *w);
    if (!w) return MT_FAIL(NO_MEMORY, "cannot allocate an ONNX writer");
    w->desc = desc, w->policy = desc->policy;
    mt_onnx_begin(&w->g, desc->version, desc->metadata, desc->metadata_count);
    mt_status status = write_graph(w);
    if (status == MT_OK) *out = w->g.bytes.data, *bytes = w->g.bytes.length, w->g.bytes = (mt_text){0};
    mt_onnx_fini(&w->g);
    free(w);
    return status;
}
