// Shared by the checkpoint tests: a generation whose every file follows from its number, and a check that one that
// opens is that generation, whole. Only plain returns, no assertions: half of it runs in processes that are killed.
#ifndef MANTA_TESTS_SCHEDULER_CHECKPOINT_SAMPLE_H
#define MANTA_TESTS_SCHEDULER_CHECKPOINT_SAMPLE_H

#include "engine/base/file.h"
#include "scheduler/checkpoint.h"

enum { SAMPLE_SIDE = 96, SAMPLE_FILES = 4 };

// A new folder under TMPDIR or /tmp for one test; the run folder, with checkpoints/ not made yet.
typedef struct sample_place {
    char run[256], folder[512];
} sample_place;
sample_place sample_open(void);
void sample_close(const sample_place *place);

mt_checkpoint_desc sample_desc(const char *folder, uint64_t generation, int keep);
// policy.safetensors, state.json, rng.blob, and worker-00000.blob.
mt_status sample_write(const char *folder, uint64_t generation, int keep);

// The generation that opens as the newest, after all its files have been read and compared; 0 when none opens or one
// differs (mt_last_error says why). skipped: Nullable; receives mt_checkpoint.skipped.
uint64_t sample_newest(const char *folder, char *skipped, size_t skipped_bytes);

// Names in the folder that begin with `prefix`.
int sample_count(const char *folder, const char *prefix);

#endif
