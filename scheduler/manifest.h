// manifest.json of a checkpoint generation: the names in a checkpoint folder, and the manifest's text. Used by
// checkpoint.c and checkpoint_load.c alone.
//
// The text's first line holds the digest of everything after it, so `tail -n +2 manifest.json | xxh128sum` checks it by
// hand and not one byte of it is unguarded:
//     {"digest": "0f…",
//      "format": 1,
//      "generation": 12, …
#ifndef MANTA_SCHEDULER_MANIFEST_H
#define MANTA_SCHEDULER_MANIFEST_H

#include "engine/base/text.h"
#include "scheduler/checkpoint.h"

#define MT_MANIFEST_NAME "manifest.json"
#define MT_GENERATION_PREFIX "gen-"
#define MT_TEMPORARY_PREFIX ".tmp-"

enum { MT_GENERATION_NAME_BYTES = 40 };
#define MT_GENERATION_MAX UINT64_C(1000000000000000)

// "gen-00000012" with a prefix before it. Returns out.
const char *mt_generation_name(const char *prefix, uint64_t generation, char out[MT_GENERATION_NAME_BYTES]);
// The reverse, exact: false for anything mt_generation_name does not write.
bool mt_generation_parse(const char *name, const char *prefix, uint64_t *generation);

// MT_INVALID_ARGUMENT unless a file of a generation may have this name.
mt_status mt_checkpoint_check_name(const char *name);

// Appends the text. MT_INVALID_ARGUMENT when build_id is not UTF-8.
mt_status mt_manifest_encode(const mt_checkpoint *checkpoint, mt_text *out);

// Reads and parses the manifest in a generation's folder, and checks that it speaks of that generation.
mt_status mt_manifest_load(const char *folder, uint64_t generation, mt_checkpoint *out);

// Whether the file is there as a regular file of that size: the cheap part of verifying.
mt_status mt_checkpoint_check_file(const char *generation_path, const mt_checkpoint_file *file);

// The generations in a folder, ascending; the caller frees *out. A missing folder has none.
mt_status mt_generation_list(const char *folder, uint64_t **out, size_t *count);

#endif
