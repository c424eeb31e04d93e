#include "checkpoint_sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static float value_at(uint64_t generation, int i) { return (float)((generation * 7919 + (uint64_t)i) % 65536); }

sample_place sample_open(void) {
    sample_place place;
    const char *base = getenv("TMPDIR");
    snprintf(place.run, sizeof place.run, "%s/manta-test-checkpoint-XXXXXX", base && *base ? base : "/tmp");
    MT_ASSERT(mkdtemp(place.run) != NULL);
    snprintf(place.folder, sizeof place.folder, "%s/checkpoints", place.run);
    return place;
}

void sample_close(const sample_place *place) {
    char parent[MT_PATH_BYTES];
    if (mt_path_parent(parent, sizeof parent, place->run) == MT_OK)
        (void)mt_folder_remove_tree(parent, mt_path_name(place->run));
}

mt_checkpoint_desc sample_desc(const char *folder, uint64_t generation, int keep) {
    return (mt_checkpoint_desc){.folder = folder, .generation = generation, .steps = generation * 1000,
        .build_id = "manta 0.1 \"test\"", .keep = keep};
}

static void state_of(uint64_t generation, char out[64]) {
    snprintf(out, 64, "{\"generation\": %llu, \"tenth\": 0.1}", (unsigned long long)generation);
}

static void add_all(mt_checkpoint_writer *w, uint64_t generation) {
    static float weight[SAMPLE_SIDE * SAMPLE_SIDE];
    for (int i = 0; i < SAMPLE_SIDE * SAMPLE_SIDE; i++) weight[i] = value_at(generation, i);
    mt_named_tensor tensor = {"weight", {weight, MT_F32, 2, {SAMPLE_SIDE, SAMPLE_SIDE}}};
    mt_string_pair made = {"made", "by test"};
    mt_checkpoint_add_tensors(w, "policy.safetensors", &tensor, 1, &made, 1);

    char state[64];
    state_of(generation, state);
    mt_checkpoint_add_bytes(w, "state.json", state, strlen(state));

    mt_blob blob = {0};
    mt_blob_put_u64(&blob, "counter", &generation, 1);
    mt_checkpoint_add_blob(w, "rng.blob", &blob);
    mt_blob_fini(&blob);

    mt_checkpoint_add_bytes(w, "worker-00000.blob", weight, sizeof weight / 2);
}

mt_status sample_write(const char *folder, uint64_t generation, int keep) {
    mt_checkpoint_desc desc = sample_desc(folder, generation, keep);
    mt_checkpoint_writer *w = NULL;
    MT_TRY(mt_checkpoint_begin(&desc, &w));
    add_all(w, generation);
    return mt_checkpoint_commit(w);
}

static mt_status check_tensors(const mt_checkpoint *c) {
    mt_safetensors file;
    MT_TRY(mt_checkpoint_tensors(c, "policy.safetensors", &file));
    const mt_tensor *t = mt_safetensors_find(&file, "weight");
    mt_status status =
        t && mt_tensor_count(t) == SAMPLE_SIDE * SAMPLE_SIDE ? MT_OK : MT_FAIL(CORRUPT, "weight is wrong");
    for (int i = 0; status == MT_OK && i < SAMPLE_SIDE * SAMPLE_SIDE; i++)
        if (((const float *)t->data)[i] != value_at(c->generation, i))
            status = MT_FAIL(CORRUPT, "weight %d is wrong", i);
    mt_safetensors_fini(&file);
    return status;
}

static mt_status check_state(const mt_checkpoint *c) {
    void *data = NULL;
    size_t bytes = 0;
    char state[64];
    state_of(c->generation, state);
    MT_TRY(mt_checkpoint_read(c, "state.json", &data, &bytes));
    int good = bytes == strlen(state) && memcmp(data, state, bytes) == 0;
    free(data);
    return good ? MT_OK : MT_FAIL(CORRUPT, "state.json is wrong");
}

static mt_status check_blob(const mt_checkpoint *c) {
    void *data = NULL;
    mt_blob_reader reader;
    uint64_t counter = 0;
    MT_TRY(mt_checkpoint_blob(c, "rng.blob", &data, &reader));
    mt_blob_get_u64(&reader, "counter", &counter, 1);
    mt_status status = mt_blob_end(&reader);
    free(data);
    if (status == MT_OK && counter != c->generation) status = MT_FAIL(CORRUPT, "rng.blob is wrong");
    return status;
}

static mt_status check_worker(const mt_checkpoint *c) {
    void *data = NULL;
    size_t bytes = 0;
    MT_TRY(mt_checkpoint_read(c, "worker-00000.blob", &data, &bytes));
    const float *values = data;
    int good = bytes == sizeof(float) * SAMPLE_SIDE * SAMPLE_SIDE / 2;
    for (size_t i = 0; good && i < bytes / sizeof *values; i++) good = values[i] == value_at(c->generation, (int)i);
    free(data);
    return good ? MT_OK : MT_FAIL(CORRUPT, "worker-00000.blob is wrong");
}

static mt_status check_all(const mt_checkpoint *c) {
    if (c->file_count != SAMPLE_FILES || c->steps != c->generation * 1000 ||
        strcmp(c->build_id, "manta 0.1 \"test\"") != 0)
        return MT_FAIL(CORRUPT, "the manifest is wrong");
    MT_TRY(check_tensors(c));
    MT_TRY(check_state(c));
    MT_TRY(check_blob(c));
    return check_worker(c);
}

uint64_t sample_newest(const char *folder, char *skipped, size_t skipped_bytes) {
    mt_checkpoint *c = NULL;
    uint64_t generation = 0;
    if (mt_checkpoint_open_newest(folder, &c) != MT_OK) return 0;
    if (skipped) snprintf(skipped, skipped_bytes, "%s", c->skipped);
    if (check_all(c) == MT_OK) generation = c->generation;
    mt_checkpoint_close(c);
    return generation;
}

int sample_count(const char *folder, const char *prefix) {
    mt_folder_names names = {0};
    int count = 0;
    if (mt_folder_list(folder, &names) != MT_OK) return -1;
    for (size_t i = 0; i < names.count; i++) count += strncmp(names.names[i], prefix, strlen(prefix)) == 0;
    mt_folder_names_fini(&names);
    return count;
}
