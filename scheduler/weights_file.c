// Weight files. One thread; allocates, so never in a training loop but between iterations.
#include "scheduler/weights_file.h"

#include "engine/base/file.h"
#include "policies/state_dict.h"
#include "scheduler/report/run_folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mt_status mt_tensor_list_add(mt_tensor_list *list, const char *prefix, const char *name, const mt_tensor *tensor) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 32;
        mt_named_tensor *items = realloc(list->items, capacity * sizeof *items);
        if (!items) return MT_FAIL(NO_MEMORY, "cannot allocate a list of %zu tensors", capacity);
        list->items = items, list->capacity = capacity;
    }
    char *full = NULL;
    if (asprintf(&full, "%s%s", prefix, name) < 0) return MT_FAIL(NO_MEMORY, "cannot allocate a tensor's name");
    list->items[list->count++] = (mt_named_tensor){.name = full, .tensor = *tensor};
    return MT_OK;
}

typedef struct slab_visit {
    mt_tensor_list *list;
    const mt_safetensors *file;
    const char *prefix;
} slab_visit;

static mt_status add_one(void *context, const char *name, const mt_tensor *tensor) {
    slab_visit *v = context;
    return mt_tensor_list_add(v->list, v->prefix, name, tensor);
}

// A tensor that is missing is of the same kind as one of another shape: the weights are of something else.
static mt_status of_another(mt_status status, const char *question) {
    return status == MT_NOT_FOUND ? MT_FAIL(CONFIG, "%s; %s", mt_last_error(), question) : status;
}

static mt_status read_one(void *context, const char *name, const mt_tensor *tensor) {
    slab_visit *v = context;
    char full[2 * MT_TENSOR_NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", v->prefix, name);
    return of_another(mt_state_dict_read(v->file, full, tensor), "were the weights trained with another network or environment?");
}

mt_status mt_tensor_list_add_slab(mt_tensor_list *list, const mt_policy *policy, float *slab, const char *prefix) {
    return mt_policy_visit(policy, slab, add_one, &(slab_visit){.list = list, .prefix = prefix});
}

void mt_tensor_list_fini(mt_tensor_list *list) {
    for (size_t i = 0; i < list->count; i++) free((char *)list->items[i].name);
    free(list->items);
    *list = (mt_tensor_list){0};
}

mt_status mt_weights_file_read_slab(const mt_safetensors *file, const mt_policy *policy, float *slab, const char *prefix) {
    return mt_policy_visit(policy, slab, read_one, &(slab_visit){.file = file, .prefix = prefix});
}

// mean, variance and count of a normaliser's observations, (2·O + 1) in the caller's storage
static mt_status add_normaliser(mt_tensor_list *list, const mt_normaliser *n, double *storage) {
    int64_t columns = n->obs.columns;
    for (int64_t c = 0; c < columns; c++) {
        storage[c] = n->obs.mean[c];
        storage[columns + c] = n->obs.count > 0 ? n->obs.m2[c] / n->obs.count : 1;
    }
    mt_tensor t = {.data = storage, .dtype = MT_F64, .ndim = 1, .shape = {columns}};
    MT_TRY(mt_tensor_list_add(list, "", "obs_rms.mean", &t));
    t.data = storage + columns;
    MT_TRY(mt_tensor_list_add(list, "", "obs_rms.var", &t));
    if (!(n->obs.count > 0)) return MT_OK;
    storage[2 * columns] = n->obs.count;
    return mt_tensor_list_add(list, "", "obs_rms.count", &(mt_tensor){.data = storage + 2 * columns, .dtype = MT_F64});
}

mt_status mt_weights_file_save(const char *path, const mt_policy *policy, float *param, const mt_normaliser *normaliser,
    int64_t steps) {
    mt_tensor_list list = {0};
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)steps);
    mt_string_pair metadata[] = {{"format", "manta"}, {"steps", text}};
    double *storage = NULL;
    mt_status status = mt_tensor_list_add_slab(&list, policy, param, "");
    if (status == MT_OK && normaliser && normaliser->observations) {
        storage = malloc(sizeof *storage * (2 * (size_t)normaliser->obs.columns + 1));
        status = storage ? add_normaliser(&list, normaliser, storage) : MT_FAIL(NO_MEMORY, "cannot allocate the normaliser");
    }
    if (status == MT_OK) status = mt_safetensors_save(path, list.items, list.count, metadata, 2);
    free(storage);
    mt_tensor_list_fini(&list);
    return status;
}

// How many observations the moments stand for: what new ones are weighed against. A file that does not say: one.
static mt_status read_count(const mt_safetensors *file, mt_normaliser *n) {
    double count = 1;
    if (!mt_safetensors_find(file, "obs_rms.count")) return MT_OK;
    MT_TRY(mt_safetensors_read(file, "obs_rms.count", &(mt_tensor){.data = &count, .dtype = MT_F64}));
    if (!(count > 0 && count < INFINITY))
        return MT_FAIL(CONFIG, "%s: obs_rms.count is %g; it is a number of observations", file->source, count);
    for (int c = 0; c < n->obs.columns; c++) n->obs.m2[c] *= count;
    n->obs.count = count;
    return MT_OK;
}

static mt_status read_normaliser(const mt_safetensors *file, mt_normaliser *n) {
    mt_tensor t = {.dtype = MT_F64, .ndim = 1, .shape = {n->obs.columns}};
    t.data = n->obs.mean;
    MT_TRY(of_another(mt_safetensors_read(file, "obs_rms.mean", &t), "were the weights trained without normalize? Then say --no-normalize"));
    t.data = n->obs.m2;
    MT_TRY(mt_safetensors_read(file, "obs_rms.var", &t));
    n->obs.count = 1;   // so that m2 is the variance, and the scale that of the run to the bit
    mt_normaliser_publish(n);
    return read_count(file, n);
}

// A damaged file of a run: its checkpoints hold the same weights, with digests, and are written one after another.
static mt_status with_advice(mt_status status, const char *path) {
    char folder[MT_PATH_BYTES], checkpoints[MT_PATH_BYTES];
    char message[1024];
    if (status != MT_CORRUPT) return status;
    snprintf(message, sizeof message, "%s", mt_last_error());
    MT_TRY(mt_path_parent(folder, sizeof folder, path));
    MT_TRY(mt_path_join(checkpoints, sizeof checkpoints, folder, MT_RUN_CHECKPOINTS));
    if (!mt_file_is_folder(checkpoints)) return mt_fail(status, __FILE__, __LINE__, "%s", message);
    return mt_fail(status, __FILE__, __LINE__, "%s. %s/gen-*/%s may be whole: copy the newest over it", message, checkpoints, MT_RUN_WEIGHTS);
}

mt_status mt_weights_file_load(const char *path, const mt_policy *policy, float *param, mt_normaliser *normaliser) {
    mt_safetensors file;
    MT_TRY(with_advice(mt_safetensors_load(path, &file), path));
    mt_status status = mt_weights_file_read_slab(&file, policy, param, "");
    if (status == MT_OK && normaliser && normaliser->observations) status = read_normaliser(&file, normaliser);
    mt_safetensors_fini(&file);
    return status;
}
