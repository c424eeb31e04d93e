// A run's state in checkpoints. The driver calls these between two iterations; the file format is in checkpoint.c.
#include "scheduler/train_checkpoint.h"

#include "engine/base/log.h"
#include "scheduler/weights_file.h"

#include <stdlib.h>
#include <string.h>

// ---- saving

static mt_status add_parameters(mt_checkpoint_writer *writer, const mt_policy *policy, const mt_learner_state *s) {
    mt_tensor_list params = {0}, moments = {0};
    mt_status status = mt_tensor_list_add_slab(&params, policy, s->param, "");
    if (status == MT_OK) status = mt_tensor_list_add_slab(&moments, policy, s->m, "adam.m.");
    if (status == MT_OK) status = mt_tensor_list_add_slab(&moments, policy, s->v, "adam.v.");
    if (status == MT_OK) status = mt_checkpoint_add_tensors(writer, "policy.safetensors", params.items, params.count, NULL, 0);
    if (status == MT_OK)
        status = mt_checkpoint_add_tensors(writer, "optimiser.safetensors", moments.items, moments.count, NULL, 0);
    mt_tensor_list_fini(&params);
    mt_tensor_list_fini(&moments);
    return status;
}

static mt_status add_state(mt_checkpoint_writer *writer, mt_on_policy *flow, int64_t step, const mt_train_progress *p) {
    mt_normaliser *n = mt_on_policy_normaliser(flow);
    size_t doubles = (size_t)mt_normaliser_doubles(n);
    double *moments = malloc(sizeof *moments * doubles), scalars[] = {p->seconds, p->best_eval, p->start_unix};
    int64_t counts[] = {p->steps, p->episodes, p->epochs};
    if (!moments) return MT_FAIL(NO_MEMORY, "cannot allocate the normaliser's %zu moments", doubles);
    mt_normaliser_store(n, moments);
    mt_blob blob = {0};
    mt_on_policy_save(flow, &blob);
    mt_blob_put_i64(&blob, "adam_step", &step, 1);
    mt_blob_put_f64(&blob, "normaliser", moments, doubles);
    mt_blob_put_i64(&blob, "progress_counts", counts, 3);
    mt_blob_put_f64(&blob, "progress", scalars, 3);
    mt_status status = mt_checkpoint_add_blob(writer, "state.blob", &blob);
    mt_blob_fini(&blob);
    free(moments);
    return status;
}

static void worker_file(char name[32], int worker) { snprintf(name, 32, "worker-%05d.blob", worker); }

static mt_status add_worker(void *context, int worker, const void *blob, size_t bytes) {
    char name[32];
    worker_file(name, worker);
    return mt_checkpoint_add_bytes(context, name, blob, bytes);
}

mt_status mt_train_checkpoint_save(const char *folder, int keep, mt_on_policy *flow, const mt_policy *policy,
    const mt_train_progress *progress, uint64_t *generation) {
    mt_checkpoint_writer *writer = NULL;
    mt_learner_state state;
    MT_TRY(mt_on_policy_learner_state(flow, &state));
    MT_TRY(mt_checkpoint_next_generation(folder, generation));
    MT_TRY(mt_checkpoint_begin(&(mt_checkpoint_desc){.folder = folder, .generation = *generation,
        .steps = (uint64_t)progress->steps, .build_id = "manta " MANTA_VERSION, .keep = keep}, &writer));
    mt_status status = mt_on_policy_save_workers(flow, add_worker, writer);
    if (status == MT_OK) status = add_parameters(writer, policy, &state);
    if (status == MT_OK) status = add_state(writer, flow, state.step, progress);
    if (status == MT_OK) return mt_checkpoint_commit(writer);
    mt_checkpoint_abandon(writer);
    return status;
}

// ---- loading

// the slabs are read into the state's own memory, then handed to every learner
static mt_status read_parameters(const mt_checkpoint *c, const mt_policy *policy, const mt_learner_state *s) {
    mt_safetensors file;
    MT_TRY(mt_checkpoint_tensors(c, "policy.safetensors", &file));
    mt_status status = mt_weights_file_read_slab(&file, policy, s->param, "");
    mt_safetensors_fini(&file);
    MT_TRY(status);
    MT_TRY(mt_checkpoint_tensors(c, "optimiser.safetensors", &file));
    status = mt_weights_file_read_slab(&file, policy, s->m, "adam.m.");
    if (status == MT_OK) status = mt_weights_file_read_slab(&file, policy, s->v, "adam.v.");
    mt_safetensors_fini(&file);
    return status;
}

static mt_status load_state(const mt_checkpoint *c, mt_on_policy *flow, int64_t *step, mt_train_progress *p) {
    void *data = NULL;
    mt_blob_reader reader;
    int64_t counts[3] = {0};
    double scalars[3] = {0};
    mt_normaliser *n = mt_on_policy_normaliser(flow);
    size_t doubles = (size_t)mt_normaliser_doubles(n);
    MT_TRY(mt_checkpoint_blob(c, "state.blob", &data, &reader));
    double *moments = calloc(doubles, sizeof *moments);
    mt_status status = moments ? mt_on_policy_load(flow, &reader) : MT_FAIL(NO_MEMORY, "cannot allocate %zu moments", doubles);
    if (status == MT_OK) {
        mt_blob_get_i64(&reader, "adam_step", step, 1);
        mt_blob_get_f64(&reader, "normaliser", moments, doubles);
        mt_blob_get_i64(&reader, "progress_counts", counts, 3);
        mt_blob_get_f64(&reader, "progress", scalars, 3);
        status = mt_blob_end(&reader);
    }
    if (status == MT_OK) {
        mt_normaliser_load(n, moments);
        mt_normaliser_publish(n);
        *p = (mt_train_progress){.steps = counts[0], .episodes = counts[1], .epochs = counts[2], .seconds = scalars[0],
            .best_eval = scalars[1], .start_unix = scalars[2]};
    }
    free(moments);
    free(data);
    return status;
}

static mt_status load_workers(const mt_checkpoint *c, mt_on_policy *flow, const mt_layout *layout, int *exact) {
    size_t workers = (size_t)layout->workers;
    void **blobs = calloc(workers, sizeof *blobs);
    size_t *bytes = calloc(workers, sizeof *bytes);
    mt_status status = blobs && bytes ? MT_OK : MT_FAIL(NO_MEMORY, "cannot allocate a list of %d workers", layout->workers);
    for (int w = 0; w < layout->workers && status == MT_OK; w++) {
        char name[32];
        worker_file(name, w);
        if (mt_layout_worker_envs(layout, w)) status = mt_checkpoint_read(c, name, &blobs[w], &bytes[w]);
    }
    if (status == MT_OK) status = mt_on_policy_load_workers(flow, blobs, bytes, exact);
    for (int w = 0; blobs && w < layout->workers; w++) free(blobs[w]);
    free(blobs);
    free(bytes);
    return status;
}

mt_status mt_train_checkpoint_load(const char *folder, mt_on_policy *flow, const mt_policy *policy, const mt_layout *layout,
    mt_train_progress *progress, int *found, int *exact) {
    mt_checkpoint *c = NULL;
    mt_learner_state state;
    *found = 0, *exact = 1;
    mt_status opened = mt_checkpoint_open_newest(folder, &c);
    if (opened == MT_NOT_FOUND) return MT_OK;
    MT_TRY(opened);
    *found = 1;   // what is missing from here on is missing in a generation
    uint64_t generation = c->generation;
    mt_status status = mt_on_policy_learner_state(flow, &state);
    if (status == MT_OK) status = read_parameters(c, policy, &state);
    if (status == MT_OK) status = load_state(c, flow, &state.step, progress);
    if (status == MT_OK) status = mt_on_policy_set_learner_state(flow, &state);
    if (status == MT_OK) status = load_workers(c, flow, layout, exact);
    mt_checkpoint_close(c);
    MT_TRY(status);
    mt_log(MT_LOG_INFO, "resumed from generation %llu at %lld steps", (unsigned long long)generation, (long long)progress->steps);
    return MT_OK;
}
