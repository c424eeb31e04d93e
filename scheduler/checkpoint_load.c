// Checkpoints, the reading side: find the newest generation that verifies, hand out its files. Called on any rank, on
// the thread that restores. Nothing here writes, so a folder may be read while a run writes to it: committed
// generations never change, and one that retention removes meanwhile is passed over.
//
// Files are read, not mapped: an I/O error or a file cut short under a mapping would be a signal instead of an error.
#include "scheduler/checkpoint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "scheduler/manifest.h"

enum { RELIST_TRIES = 3 };

// ---- verify ----

static mt_status verify_file(const char *generation_path, const mt_checkpoint_file *file) {
    char path[MT_PATH_BYTES];
    mt_digest128 digest;
    uint64_t bytes = 0;
    MT_TRY(mt_checkpoint_check_file(generation_path, file));
    MT_TRY(mt_path_join(path, sizeof path, generation_path, file->name));
    MT_TRY(mt_digest_file(path, &digest, &bytes));
    if (bytes != file->bytes || !mt_digest_equal(digest, file->digest))
        return MT_FAIL(CORRUPT, "%s: damaged (its digest is not the manifest's)", path);
    return MT_OK;
}

mt_status mt_checkpoint_open(const char *folder, uint64_t generation, bool verify, mt_checkpoint **out) {
    *out = NULL;
    mt_checkpoint *c = calloc(1, sizeof *c);
    if (!c) return MT_FAIL(NO_MEMORY, "no memory to open a checkpoint");
    mt_status status = mt_manifest_load(folder, generation, c);
    for (size_t i = 0; status == MT_OK && verify && i < c->file_count; i++) status = verify_file(c->path, &c->files[i]);
    if (status == MT_OK && !(c->skipped = strdup(""))) status = MT_FAIL(NO_MEMORY, "no memory to open a checkpoint");
    if (status != MT_OK) mt_checkpoint_close(c);
    else *out = c;
    return status;
}

void mt_checkpoint_close(mt_checkpoint *checkpoint) {
    if (!checkpoint) return;
    mt_checkpoint_fini(checkpoint);
    free(checkpoint);
}

// ---- the newest that verifies ----

// Goes down the list to the first good one. Every bad one gets a line in `skipped`.
static mt_status open_first_good(const char *folder, const uint64_t *list, size_t count, mt_text *skipped,
    mt_checkpoint **out) {
    mt_status status = MT_CORRUPT;
    for (size_t i = count; i-- > 0 && status != MT_OK;) {
        char name[MT_GENERATION_NAME_BYTES];
        status = mt_checkpoint_open(folder, list[i], true, out);
        if (status == MT_NO_MEMORY) return status;   // says nothing about the generation
        if (status == MT_OK) break;
        mt_generation_name("", list[i], name);
        mt_text_printf(skipped, "%s%s: %s", skipped->length ? "\n" : "", name, mt_last_error());
    }
    return status;
}

// One attempt over the generations of this moment; *newest tells whether the folder changed before the next one.
static mt_status try_open(const char *folder, mt_text *skipped, uint64_t *newest, mt_checkpoint **out) {
    uint64_t *list = NULL;
    size_t count = 0;
    MT_TRY(mt_generation_list(folder, &list, &count));
    *newest = count ? list[count - 1] : 0;
    mt_status status = count ? open_first_good(folder, list, count, skipped, out)
                             : MT_FAIL(NOT_FOUND, "there is no checkpoint in %s", folder);
    free(list);
    return status;
}

// Those that were passed over for a good one; when none is good, the failure says the same.
static void warn_of(const char *skipped) {
    for (const char *line = skipped; *line;) {
        size_t length = strcspn(line, "\n"), name = strcspn(line, ":");
        mt_log_warn("checkpoint %.*s does not verify and is passed over%.*s", (int)name, line, (int)(length - name), line + name);
        line += length + (line[length] == '\n');
    }
}

mt_status mt_checkpoint_open_newest(const char *folder, mt_checkpoint **out) {
    mt_text skipped = {0};
    mt_status status = MT_CORRUPT;
    uint64_t newest = 0, before = UINT64_MAX;
    *out = NULL;
    // a run that keeps one generation may commit the next and remove the one being looked at: then look again
    for (int i = 0; i < RELIST_TRIES && status != MT_OK && status != MT_NO_MEMORY && newest != before; i++) {
        before = newest ? newest : UINT64_MAX;
        mt_text_clear(&skipped);
        status = try_open(folder, &skipped, &newest, out);
    }
    if (status == MT_OK && skipped.length) {
        warn_of(mt_text_str(&skipped));
        char *lines = strdup(mt_text_str(&skipped));
        if (lines) free((*out)->skipped), (*out)->skipped = lines;
    } else if (status != MT_OK && status != MT_NO_MEMORY && skipped.length) {
        status = MT_FAIL(CORRUPT, "no checkpoint in %s verifies: %s", folder, mt_text_str(&skipped));
    }
    mt_text_fini(&skipped);
    return status;
}

// ---- its files ----

const mt_checkpoint_file *mt_checkpoint_find(const mt_checkpoint *checkpoint, const char *name) {
    for (size_t i = 0; i < checkpoint->file_count; i++)
        if (strcmp(checkpoint->files[i].name, name) == 0) return &checkpoint->files[i];
    return NULL;
}

static mt_status require(const mt_checkpoint *checkpoint, const char *name, const mt_checkpoint_file **out) {
    *out = mt_checkpoint_find(checkpoint, name);
    return *out ? MT_OK : MT_FAIL(NOT_FOUND, "%s has no file %s; was it written by another algorithm or version?",
                              checkpoint->path, name);
}

mt_status mt_checkpoint_read(const mt_checkpoint *checkpoint, const char *name, void **data, size_t *bytes) {
    char path[MT_PATH_BYTES];
    char *content = NULL;
    const mt_checkpoint_file *file;
    *data = NULL;
    *bytes = 0;
    MT_TRY(require(checkpoint, name, &file));
    MT_TRY(mt_checkpoint_check_file(checkpoint->path, file));
    MT_TRY(mt_path_join(path, sizeof path, checkpoint->path, name));
    MT_TRY(mt_file_read(path, file->bytes, &content, bytes));
    if (*bytes != file->bytes || !mt_digest_equal(mt_digest128_of(content, *bytes), file->digest)) {
        free(content);
        *bytes = 0;
        return MT_FAIL(CORRUPT, "%s: damaged (its digest is not the manifest's)", path);
    }
    *data = content;
    return MT_OK;
}

mt_status mt_checkpoint_tensors(const mt_checkpoint *checkpoint, const char *name, mt_safetensors *out) {
    void *data = NULL;
    size_t bytes = 0;
    char source[MT_PATH_BYTES];
    *out = (mt_safetensors){0};
    MT_TRY(mt_path_join(source, sizeof source, checkpoint->path, name));
    MT_TRY(mt_checkpoint_read(checkpoint, name, &data, &bytes));
    mt_status status = mt_safetensors_decode(data, bytes, source, out);
    if (status != MT_OK) free(data);
    else out->owned_bytes = data;
    return status;
}

mt_status mt_checkpoint_blob(const mt_checkpoint *checkpoint, const char *name, void **data, mt_blob_reader *out) {
    size_t bytes = 0;
    *data = NULL;
    *out = (mt_blob_reader){.status = MT_NOT_FOUND};
    MT_TRY(mt_checkpoint_read(checkpoint, name, data, &bytes));
    *out = mt_blob_read(*data, bytes, mt_checkpoint_find(checkpoint, name)->name);
    if (out->status != MT_OK) {
        free(*data);
        *data = NULL;
    }
    return out->status;
}
