// Cases: see parity.h. One thread; plain code, because what it is compared with is what counts.
#include "parity.h"

#include "policies/state_dict.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the description

static int choice_of(const json_t *o, const char *key, const char *const *names) {
    const char *text = json_string_value(json_object_get(o, key));
    for (int i = 0; text && names[i]; i++)
        if (strcmp(names[i], text) == 0) return i;
    return text ? -1 : 0;
}

static int int_of(const json_t *o, const char *key) { return (int)json_integer_value(json_object_get(o, key)); }

static int ints_of(const json_t *o, const char *key, int32_t *out, int capacity) {
    const json_t *list = json_object_get(o, key);
    int count = (int)json_array_size(list);
    for (int i = 0; i < count && i < capacity; i++) out[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return count;
}

static void input_of(const json_t *o, mt_input *in) {
    static const char *const kinds[] = {"vector", "image", "index", NULL};
    *in = (mt_input){.kind = (mt_input_kind)choice_of(o, "kind", kinds), .offset = int_of(o, "offset"), .width = int_of(o, "width"),
        .height = int_of(o, "height"), .width_px = int_of(o, "width_px"), .channels = int_of(o, "channels"),
        .entries = int_of(o, "entries")};
    snprintf(in->name, sizeof in->name, "%s", json_string_value(json_object_get(o, "name")));
}

static void desc_of(const json_t *o, mt_policy_desc *d) {
    static const char *const extractors[] = {"flatten", "nature", "impala", "layers", NULL},
        *const memories[] = {"none", "lstm", "gru", NULL}, *const owners[] = {"each", "actor", "shared", NULL},
        *const distributions[] = {"categorical", "gaussian", "gsde", NULL},
        *const activations[] = {"identity", "tanh", "relu", "elu", "gelu", "silu", NULL};
    *d = (mt_policy_desc){.obs = int_of(o, "obs"), .extractor = (mt_extractor)choice_of(o, "extractor", extractors),
        .features = int_of(o, "features"), .embedding = int_of(o, "embedding"), .separate_features = int_of(o, "separate_features"),
        .layers = json_string_value(json_object_get(o, "layers")), .memory = (mt_memory)choice_of(o, "memory", memories),
        .memory_of = (mt_memory_of)choice_of(o, "memory_of", owners), .memory_units = int_of(o, "memory_units"),
        .memory_depth = int_of(o, "memory_depth"), .distribution = (mt_distribution)choice_of(o, "distribution", distributions),
        .action = int_of(o, "action"), .activation = (mt_activation)choice_of(o, "activation", activations)};
    d->shared_depth = ints_of(o, "shared", d->shared, MT_POLICY_MAX_DEPTH);
    d->pi_depth = ints_of(o, "pi", d->pi, MT_POLICY_MAX_DEPTH);
    d->vf_depth = ints_of(o, "vf", d->vf, MT_POLICY_MAX_DEPTH);
    if (d->distribution == MT_DIST_CATEGORICAL) d->action = ints_of(o, "nvec", d->nvec, MT_POLICY_MAX_COMPONENTS);
    const json_t *inputs = json_object_get(o, "inputs");
    for (size_t i = 0; i < json_array_size(inputs) && i < MT_MAX_INPUTS; i++)
        input_of(json_array_get(inputs, i), &d->inputs[d->input_count++]);
}

static mt_status make_policy(parity *p) {
    const char *text = mt_safetensors_metadata(&p->file, "policy");
    json_t *o = text ? json_loads(text, 0, NULL) : NULL;
    if (!o) return MT_FAIL(CONFIG, "%s: no \"policy\" in its metadata", p->file.source);
    mt_policy_desc desc;
    desc_of(o, &desc);
    mt_status status = mt_policy_create(&desc, &p->policy);
    json_decref(o);
    return status;
}

// ---- weights

void parity_draw(const char *name, double scale, int64_t count, float *out) {
    uint32_t seed = 2166136261u;   // FNV-1a
    for (; *name; name++) seed = (seed ^ (uint8_t)*name) * 16777619u;
    for (int64_t i = 0; i < count; i++) {
        // splitmix64's last step; 24 bits are exact in a float
        uint64_t z = ((uint64_t)i + ((uint64_t)seed << 32)) * 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        out[i] = (float)(scale * ((double)(z >> 40) / (1 << 23) - 1));
    }
}

// matrices keep their input's variance; vectors are small
static mt_status draw_one(void *context, const char *name, const mt_tensor *t) {
    (void)context;
    int64_t count = mt_tensor_count(t);
    parity_draw(name, t->ndim > 1 ? sqrt(3.0 * (double)t->shape[0] / (double)count) : 0.1, count, t->data);
    return MT_OK;
}

static mt_status read_one(void *context, const char *name, const mt_tensor *t) { return mt_state_dict_read(context, name, t); }

static mt_status read_weights(parity *p) {
    int drawn = mt_safetensors_find(&p->file, "value_net.weight") == NULL;   // every policy has one
    MT_TRY(mt_policy_visit(p->policy, p->weights.param, drawn ? draw_one : read_one, &p->file));
    mt_weights_pack(&p->weights, p->policy, p->k, MT_POLICY_BOTH);
    return MT_OK;
}

// ---- what it is given

static mt_status read_f32(parity *p, const char *name, float *out, int64_t rows, int64_t columns) {
    mt_tensor t = {.data = out, .dtype = MT_F32, .ndim = columns ? 2 : 1, .shape = {rows, columns}};
    return mt_safetensors_read(&p->file, name, &t);
}

static mt_status read_inputs(parity *p) {
    const mt_policy *policy = p->policy;
    MT_TRY(read_f32(p, "in.obs", p->obs, p->rows, policy->desc.obs));
    MT_TRY(read_f32(p, "in.d_head", p->d_head, p->rows, policy->head));
    MT_TRY(read_f32(p, "in.d_value", p->d_value, p->rows, 0));
    if (policy->desc.distribution == MT_DIST_GAUSSIAN) MT_TRY(read_f32(p, "in.d_log_std", p->d_log_std, policy->desc.action, 0));
    if (policy->desc.distribution == MT_DIST_GSDE) MT_TRY(read_f32(p, "in.d_log_std", p->d_log_std, p->rows, policy->desc.action));
    if (!policy->recurrent) return MT_OK;
    mt_tensor start = {.data = p->start, .dtype = MT_U8, .ndim = 2, .shape = {p->sequences.steps, p->sequences.envs}};
    MT_TRY(mt_safetensors_read(&p->file, "in.start", &start));
    return read_f32(p, "in.state", p->state, p->sequences.envs, policy->sizes.state);
}

static mt_status allocate(parity *p) {
    const mt_policy *policy = p->policy;
    const mt_tensor *obs = mt_safetensors_find(&p->file, "in.obs"), *start = mt_safetensors_find(&p->file, "in.start");
    if (!obs || (policy->recurrent && !start)) return MT_FAIL(CONFIG, "%s: in.obs or in.start is missing", p->file.source);
    p->rows = obs->shape[0], p->log_std_rows = policy->desc.distribution == MT_DIST_GSDE ? (int)p->rows : 1;
    p->sequences = (mt_sequences){.steps = start ? start->shape[0] : 1, .envs = start ? start->shape[1] : p->rows,
        .state_stride = policy->sizes.state};
    mt_weights_register(&p->weights, policy, &p->arena);
    mt_policy_space_register(&p->space, policy, p->k, p->rows, 1, &p->arena);
    MT_ARENA_ADD(&p->arena, p->obs, p->rows * policy->desc.obs);
    MT_ARENA_ADD(&p->arena, p->d_head, p->rows * policy->head);
    MT_ARENA_ADD(&p->arena, p->d_value, p->rows);
    MT_ARENA_ADD(&p->arena, p->d_log_std, p->log_std_rows * policy->desc.action);
    MT_ARENA_ADD(&p->arena, p->start, p->rows);
    MT_ARENA_ADD(&p->arena, p->state, p->sequences.envs * policy->sizes.state);
    MT_ARENA_ADD(&p->arena, p->state_out, p->sequences.envs * policy->sizes.state);
    MT_ARENA_ADD(&p->arena, p->grad, policy->sizes.params);
    return mt_arena_commit(&p->arena);
}

mt_status parity_open(const char *path, const mt_kernels *k, parity *p) {
    *p = (parity){.k = k};
    MT_TRY(mt_safetensors_load(path, &p->file));
    MT_TRY(make_policy(p));
    MT_TRY(allocate(p));
    MT_TRY(read_weights(p));
    MT_TRY(read_inputs(p));
    p->sequences.start = p->start, p->sequences.state = p->state, p->sequences.state_out = p->state_out;
    return MT_OK;
}

void parity_close(parity *p) {
    mt_arena_fini(&p->arena);
    mt_policy_destroy(p->policy);
    mt_safetensors_fini(&p->file);
}

void parity_run(parity *p) {
    const mt_sequences *sequences = p->policy->recurrent ? &p->sequences : NULL;
    p->out = mt_policy_forward(p->policy, p->k, &p->weights, p->obs, p->rows, sequences, MT_POLICY_BOTH, &p->space);
    mt_policy_backward(p->policy, p->k, &p->weights, p->obs, p->rows, sequences, MT_POLICY_BOTH, p->d_head, p->d_value,
        p->d_log_std, &p->space, p->grad, 0);
}

// ---- comparing

static void note(double error, const char *name, double *worst, char *worst_name) {
    if (error <= *worst) return;   // NaN is worse than all
    *worst = isnan(error) ? INFINITY : error;
    snprintf(worst_name, MT_TENSOR_NAME_BYTES, "%s", name);
}

static mt_status compare_output(parity *p, const char *name, const float *got, int64_t rows, int64_t columns, parity_error *error) {
    int64_t count = rows * (columns ? columns : 1);
    float *want = malloc(sizeof *want * (size_t)count);
    if (!want) return MT_FAIL(NO_MEMORY, "cannot allocate %s", name);
    mt_status status = read_f32(p, name, want, rows, columns);
    for (int64_t i = 0; status == MT_OK && i < count; i++)
        note(fabs((double)got[i] - want[i]), name, &error->output, error->output_name);
    free(want);
    return status;
}

typedef struct gradient_visit {
    parity *p;
    parity_error *error;
} gradient_visit;

static void compare_products(const char *name, const float *got, int64_t count, const double *want, float *drawn,
    parity_error *error) {
    double norm = 0;
    char key[MT_TENSOR_NAME_BYTES + 4];
    for (int64_t i = 0; i < count; i++) norm += (double)got[i] * got[i];
    note(fabs(sqrt(norm) - want[0]) / want[0], name, &error->gradient, error->gradient_name);
    for (int d = 1; d <= 4; d++) {
        double product = 0;
        snprintf(key, sizeof key, "%s#%d", name, d);
        parity_draw(key, 1, count, drawn);
        for (int64_t i = 0; i < count; i++) product += (double)got[i] * drawn[i];
        note(fabs(product - want[d]) / want[0], name, &error->gradient, error->gradient_name);
    }
}

static void compare_entries(const char *name, const float *got, int64_t count, const float *want, parity_error *error) {
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < count; i++) worst = fmax(worst, isnan(got[i]) ? INFINITY : fabs((double)got[i] - want[i]));
    note(largest > 0 ? worst / largest : worst, name, &error->gradient, error->gradient_name);
}

static mt_status compare_gradient(void *context, const char *name, const mt_tensor *t) {
    gradient_visit *v = context;
    char key[MT_TENSOR_NAME_BYTES + 8];
    double products[5];
    int64_t count = mt_tensor_count(t);
    float *room = malloc(sizeof *room * (size_t)count);
    if (!room) return MT_FAIL(NO_MEMORY, "cannot allocate %s", name);
    snprintf(key, sizeof key, "dot.%s", name);
    int drawn = mt_safetensors_find(&v->p->file, key) != NULL;
    mt_tensor into = drawn ? (mt_tensor){.data = products, .dtype = MT_F64, .ndim = 1, .shape = {5}} : *t;
    if (!drawn) into.data = room, snprintf(key, sizeof key, "grad.%s", name);
    mt_status status = mt_safetensors_read(&v->p->file, key, &into);
    if (status == MT_OK && drawn) compare_products(name, t->data, count, products, room, v->error);
    else if (status == MT_OK) compare_entries(name, t->data, count, room, v->error);
    free(room);
    return status;
}

mt_status parity_compare(parity *p, parity_error *error) {
    const mt_policy *policy = p->policy;
    *error = (parity_error){0};
    MT_TRY(compare_output(p, "out.head", p->out.head, p->rows, policy->head, error));
    MT_TRY(compare_output(p, "out.value", p->out.value, p->rows, 0, error));
    if (policy->desc.distribution == MT_DIST_GSDE)
        MT_TRY(compare_output(p, "out.log_std", p->out.log_std, p->rows, policy->desc.action, error));
    if (policy->recurrent) MT_TRY(compare_output(p, "out.state", p->state_out, p->sequences.envs, policy->sizes.state, error));
    return mt_policy_visit(policy, p->grad, compare_gradient, &(gradient_visit){p, error});
}
