// A run's state in checkpoints. Every rank calls these between two iterations; the exchange of shard lists is here, the
// file format in checkpoint.c.
#include "scheduler/train_checkpoint.h"

#include "engine/base/log.h"
#include "scheduler/agree.h"
#include "scheduler/weights_file.h"

#include <stdlib.h>
#include <string.h>

// ---- saving

static mt_status add_parameters(mt_checkpoint_writer *writer, mt_on_policy *flow) {
    const mt_policy *policy = mt_on_policy_policy(flow);
    mt_learner_state s = mt_learner_state_get(mt_on_policy_learner(flow));
    mt_tensor_list params = {0}, moments = {0};
    mt_status status = mt_tensor_list_add_slab(&params, policy, s.param, "");
    if (status == MT_OK) status = mt_tensor_list_add_slab(&moments, policy, s.m, "adam.m.");
    if (status == MT_OK) status = mt_tensor_list_add_slab(&moments, policy, s.v, "adam.v.");
    if (status == MT_OK) status = mt_checkpoint_add_tensors(writer, "policy.safetensors", params.items, params.count, NULL, 0);
    if (status == MT_OK)
        status = mt_checkpoint_add_tensors(writer, "optimiser.safetensors", moments.items, moments.count, NULL, 0);
    mt_tensor_list_fini(&params);
    mt_tensor_list_fini(&moments);
    return status;
}

static mt_status add_state(mt_checkpoint_writer *writer, mt_on_policy *flow, const mt_train_progress *p) {
    mt_normaliser *n = mt_on_policy_normaliser(flow);
    size_t doubles = (size_t)mt_normaliser_doubles(n);
    double *moments = malloc(sizeof *moments * doubles), scalars[] = {p->seconds, p->best_eval, p->start_unix};
    int64_t step = mt_learner_state_get(mt_on_policy_learner(flow)).step, counts[] = {p->steps, p->episodes, p->epochs};
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

static mt_status write_worker(const char *folder, uint64_t generation, mt_on_policy *flow, int local, mt_checkpoint_file *out) {
    char name[32];
    int number;
    mt_rollout_worker *worker = mt_on_policy_worker(flow, local, &number);
    *out = (mt_checkpoint_file){0};
    if (!worker) return MT_OK;
    worker_file(name, number);
    mt_blob blob = {0};
    mt_status status = mt_rollout_worker_save(worker, &blob);
    if (status == MT_OK) status = mt_blob_finish(&blob);
    if (status == MT_OK) status = mt_checkpoint_write_shard(folder, generation, name, blob.data, blob.bytes, out);
    mt_blob_fini(&blob);
    return status;
}

// Rank 0 has begun: every rank writes its workers, rank 0 takes all shards into the manifest and adds the rest.
static mt_status write_all(mt_comm *comm, const char *folder, uint64_t generation, mt_on_policy *flow,
    mt_checkpoint_writer *writer, const mt_train_progress *progress) {
    int local = mt_on_policy_local_workers(flow), all = local * mt_comm_size(comm);
    mt_checkpoint_file *files = calloc((size_t)all, sizeof *files), *mine = files + local * mt_comm_rank(comm);
    mt_status status = files ? MT_OK : MT_FAIL(NO_MEMORY, "cannot allocate a list of %d shards", all);
    for (int i = 0; i < local && status == MT_OK; i++) status = write_worker(folder, generation, flow, i, &mine[i]);
    status = mt_agree(comm, status);
    if (status == MT_OK) status = mt_comm_allgather(comm, mine, files, sizeof *files * (size_t)local);
    for (int i = 0; writer && i < all && status == MT_OK; i++)
        if (files[i].name[0]) status = mt_checkpoint_add_shard(writer, &files[i]);
    if (writer && status == MT_OK) status = add_parameters(writer, flow);
    if (writer && status == MT_OK) status = add_state(writer, flow, progress);
    free(files);
    return status;
}

mt_status mt_train_checkpoint_save(mt_comm *comm, const char *folder, int keep, mt_on_policy *flow,
    const mt_train_progress *progress, uint64_t *generation) {
    mt_checkpoint_writer *writer = NULL;
    mt_status status = MT_OK;
    if (mt_comm_rank(comm) == 0) {
        status = mt_checkpoint_next_generation(folder, generation);
        if (status == MT_OK)
            status = mt_checkpoint_begin(&(mt_checkpoint_desc){.folder = folder, .generation = *generation,
                .steps = (uint64_t)progress->steps, .build_id = "manta " MANTA_VERSION, .keep = keep}, &writer);
    }
    MT_TRY(mt_agree_on_root(comm, status, generation, sizeof *generation));
    status = write_all(comm, folder, *generation, flow, writer, progress);
    if (writer) {
        if (status == MT_OK) status = mt_checkpoint_commit(writer);
        else mt_checkpoint_abandon(writer);
    }
    return mt_agree_on_root(comm, status, NULL, 0);
}

// ---- loading

static mt_status load_parameters(const mt_checkpoint *c, mt_on_policy *flow) {
    const mt_policy *policy = mt_on_policy_policy(flow);
    mt_learner_state s = mt_learner_state_get(mt_on_policy_learner(flow));
    mt_safetensors file;
    MT_TRY(mt_checkpoint_tensors(c, "policy.safetensors", &file));
    mt_status status = mt_weights_file_read_slab(&file, policy, s.param, "");
    mt_safetensors_fini(&file);
    MT_TRY(status);
    MT_TRY(mt_checkpoint_tensors(c, "optimiser.safetensors", &file));
    status = mt_weights_file_read_slab(&file, policy, s.m, "adam.m.");
    if (status == MT_OK) status = mt_weights_file_read_slab(&file, policy, s.v, "adam.v.");
    mt_safetensors_fini(&file);
    return status;
}

static mt_status load_state(const mt_checkpoint *c, mt_on_policy *flow, mt_train_progress *p) {
    void *data = NULL;
    mt_blob_reader reader;
    int64_t step = 0, counts[3] = {0};
    double scalars[3] = {0};
    mt_normaliser *n = mt_on_policy_normaliser(flow);
    size_t doubles = (size_t)mt_normaliser_doubles(n);
    MT_TRY(mt_checkpoint_blob(c, "state.blob", &data, &reader));
    double *moments = calloc(doubles, sizeof *moments);
    mt_status status = moments ? mt_on_policy_load(flow, &reader) : MT_FAIL(NO_MEMORY, "cannot allocate %zu moments", doubles);
    if (status == MT_OK) {
        mt_blob_get_i64(&reader, "adam_step", &step, 1);
        mt_blob_get_f64(&reader, "normaliser", moments, doubles);
        mt_blob_get_i64(&reader, "progress_counts", counts, 3);
        mt_blob_get_f64(&reader, "progress", scalars, 3);
        status = mt_blob_end(&reader);
    }
    if (status == MT_OK) {
        mt_normaliser_load(n, moments);
        mt_normaliser_publish(n);
        mt_learner_state_set(mt_on_policy_learner(flow), step);
        *p = (mt_train_progress){.steps = counts[0], .episodes = counts[1], .epochs = counts[2], .seconds = scalars[0],
            .best_eval = scalars[1], .start_unix = scalars[2]};
    }
    free(moments);
    free(data);
    return status;
}

static mt_status load_worker(const mt_checkpoint *c, mt_on_policy *flow, int local, int *exact) {
    char name[32];
    int number;
    void *data = NULL;
    mt_blob_reader reader;
    mt_rollout_worker *worker = mt_on_policy_worker(flow, local, &number);
    if (!worker) return MT_OK;
    worker_file(name, number);
    MT_TRY(mt_checkpoint_blob(c, name, &data, &reader));
    int restored = 0;
    mt_status status = mt_rollout_worker_load(worker, &reader, &restored);
    if (status == MT_OK) status = mt_blob_end(&reader);
    *exact &= restored;
    free(data);
    return status;
}

mt_status mt_train_checkpoint_load(mt_comm *comm, const char *folder, mt_on_policy *flow, mt_train_progress *progress,
    int *exact) {
    mt_checkpoint *c = NULL;
    uint64_t generation = 0;
    mt_status status = MT_OK;
    *exact = 1;
    if (mt_comm_rank(comm) == 0) {
        status = mt_checkpoint_open_newest(folder, &c);
        if (status == MT_OK) generation = c->generation;
    }
    MT_TRY(mt_agree_on_root(comm, status, &generation, sizeof generation));
    if (!c) status = mt_checkpoint_open(folder, generation, false, &c);
    if (status == MT_OK) status = load_parameters(c, flow);
    if (status == MT_OK) status = load_state(c, flow, progress);
    for (int i = 0; i < mt_on_policy_local_workers(flow) && status == MT_OK; i++) status = load_worker(c, flow, i, exact);
    mt_checkpoint_close(c);
    MT_TRY(mt_agree(comm, status));
    int64_t all_exact = *exact;
    MT_TRY(mt_comm_allreduce(comm, &all_exact, &all_exact, 1, MT_I64, MT_REDUCE_MIN, 0));
    *exact = (int)all_exact;
    if (mt_comm_rank(comm) == 0)
        mt_log(MT_LOG_INFO, "resumed from generation %llu at %lld steps", (unsigned long long)generation, (long long)progress->steps);
    return MT_OK;
}
