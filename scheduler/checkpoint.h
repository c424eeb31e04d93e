// Checkpoints: generations in a folder, committed by rename, verified on load.
//
//     checkpoints/gen-00000012/manifest.json        first line: digest of the rest; format, steps, build, files
//     checkpoints/gen-00000012/policy.safetensors   any number of files; size and XXH3-128 in the manifest
//     checkpoints/.tmp-gen-00000013/                being written; the writing process holds a lock on it
//
// Writing (all file names are [A-Za-z0-9._-], at most 63 letters, not beginning with '.'):
//
//     MT_TRY(mt_checkpoint_begin(&desc, &writer));
//     mt_checkpoint_add_tensors(writer, "policy.safetensors", tensors, count, NULL, 0);
//     mt_checkpoint_add_blob(writer, "state.blob", &blob);
//     status = mt_checkpoint_commit(writer);          // or mt_checkpoint_abandon(writer)
//
// The first failure of an add abandons the generation at once (the disk may be full); commit then returns that failure,
// so the adds need no check of their own. Whatever fails, older generations are intact: warn and train on.
//
// One process writes a generation, whatever the number of ranks (training: rank 0's driver, train_checkpoint.h):
// nothing here talks to MPI. Anybody may read meanwhile. One thread at a time per writer or reader.
#ifndef MANTA_SCHEDULER_CHECKPOINT_H
#define MANTA_SCHEDULER_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/base/blob.h"
#include "engine/base/digest.h"
#include "engine/base/status.h"
#include "policies/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_CHECKPOINT_FORMAT = 1, MT_CHECKPOINT_NAME_BYTES = 64 };

// What stands in the manifest about one file.
typedef struct mt_checkpoint_file {
    char name[MT_CHECKPOINT_NAME_BYTES];
    uint64_t bytes;
    mt_digest128 digest;
} mt_checkpoint_file;

// ---- the folder ----

// Makes the folder when missing and removes what dead writers left in it; a temporary folder whose writer lives stays.
// Called once when a run starts, by rank 0.
mt_status mt_checkpoint_prepare(const char *folder);

// The number for the next generation: one more than any there is, whole or damaged. 1 in an empty or missing folder.
mt_status mt_checkpoint_next_generation(const char *folder, uint64_t *generation);

// ---- writing ----

typedef struct mt_checkpoint_desc {
    const char *folder;             // borrowed until begin returns
    uint64_t generation;            // from mt_checkpoint_next_generation, never a clock time
    uint64_t steps;                 // environment steps trained so far
    const char *build_id;           // borrowed until begin returns; UTF-8
    int keep;                       // newest generations to keep, ≥ 1
} mt_checkpoint_desc;

typedef struct mt_checkpoint_writer mt_checkpoint_writer;

// MT_EXISTS when this generation is committed already or being written by somebody.
mt_status mt_checkpoint_begin(const mt_checkpoint_desc *desc, mt_checkpoint_writer **out);

// Each writes one file, created exclusively, digested and fsynced. MT_EXISTS for a name used before.
mt_status mt_checkpoint_add_tensors(mt_checkpoint_writer *writer, const char *name, const mt_named_tensor *tensors,
    size_t count, const mt_string_pair *metadata, size_t metadata_count);
mt_status mt_checkpoint_add_blob(mt_checkpoint_writer *writer, const char *name, mt_blob *blob);   // finishes the blob
mt_status mt_checkpoint_add_bytes(mt_checkpoint_writer *writer, const char *name, const void *data, size_t bytes);

// Both end the writer, whatever they return. Commit writes the manifest, renames the folder, fsyncs the parent, and
// only then removes older generations beyond `keep` (damaged ones do not count among those kept); trouble in removing
// is logged, not returned. abandon: Nullable; removes the temporary folder.
mt_status mt_checkpoint_commit(mt_checkpoint_writer *writer);
void mt_checkpoint_abandon(mt_checkpoint_writer *writer);

// ---- reading ----

typedef struct mt_checkpoint {
    char *path;                     // owned: ".../gen-00000012"
    uint64_t generation, steps;
    char *build_id;                 // owned
    mt_checkpoint_file *files;      // owned (file_count), sorted by name
    size_t file_count;
    char *skipped;                  // owned: a line for each newer generation that was bad, naming the file; "" when
                                    // none; every line has been logged as a warning too
} mt_checkpoint;

// The newest generation whose manifest and files all verify. MT_NOT_FOUND when there is no generation at all,
// MT_CORRUPT when none verifies (the message says why for the newest).
mt_status mt_checkpoint_open_newest(const char *folder, mt_checkpoint **out);

// One generation. verify: every file's size and digest; else the manifest alone (each file is still checked when read).
mt_status mt_checkpoint_open(const char *folder, uint64_t generation, bool verify, mt_checkpoint **out);

void mt_checkpoint_close(mt_checkpoint *checkpoint);   // Nullable

// The manifest's line about a file, NULL when there is none.
const mt_checkpoint_file *mt_checkpoint_find(const mt_checkpoint *checkpoint, const char *name);

// Each reads a whole file into memory and checks its digest again. MT_NOT_FOUND, MT_CORRUPT and MT_IO name generation
// and file. The caller frees *data.
mt_status mt_checkpoint_read(const mt_checkpoint *checkpoint, const char *name, void **data, size_t *bytes);
mt_status mt_checkpoint_tensors(const mt_checkpoint *checkpoint, const char *name, mt_safetensors *out);
// The reader reads from *data and names the checkpoint's file: free and close after mt_blob_end.
mt_status mt_checkpoint_blob(const mt_checkpoint *checkpoint, const char *name, void **data, mt_blob_reader *out);

// The parser of manifest.json by itself, for fuzzing: fills generation, steps, build_id and files.
mt_status mt_checkpoint_parse_manifest(const char *text, size_t bytes, const char *source, mt_checkpoint *out);
void mt_checkpoint_fini(mt_checkpoint *checkpoint);    // what parse_manifest allocated

#ifdef __cplusplus
}
#endif
#endif
