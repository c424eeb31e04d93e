// A space of an environment, validated and copied: what the engine works with after the ABI boundary.
#ifndef MANTA_ROLLOUT_SPACE_H
#define MANTA_ROLLOUT_SPACE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/status.h"
#include "rollout/manta_env.h"

// One environment's array may have at most so many elements (an image of 4096×4096×16 fits).
#define MT_SPACE_MAX_ELEMENTS (INT64_C(1) << 28)

typedef struct mt_space {
    manta_space_kind kind;
    manta_dtype dtype;                   // of the batch array; 0 for dict and tuple
    int ndim;                            // 0 for discrete
    int64_t shape[MANTA_SPACE_MAX_DIMS]; // of one environment; unused entries are 0
    int64_t count;                       // elements of one environment: product of shape, 1 for discrete; of all parts
    size_t bytes;                        // of one environment: count × size of dtype; with padding for dict and tuple
    float *low, *high;                   // (count) owned; box alone, ±INFINITY where unbounded
    int bounded;                         // box: every bound is finite
    int64_t *nvec;                       // (count) owned; discrete kinds: values of each component, 2 for binary
    int64_t logits;                      // sum of nvec: width of a categorical head and of an action mask row; else 0
    struct mt_space *parts;              // owned; dict and tuple alone: the boxes and discrete kinds of all levels, in order
    int part_count;
    char name[MANTA_SPACE_NAME_BYTES];   // of a part: "image", "camera.left", in a tuple "0"; "" for a space that is none
    size_t offset;                       // of a part: bytes from the element's start
} mt_space;

// Every space as a list of boxes and discrete kinds: its parts, or itself.
static inline int mt_space_parts(const mt_space *space) { return space->parts ? space->part_count : 1; }
static inline const mt_space *mt_space_part(const mt_space *space, int index) {
    return space->parts ? &space->parts[index] : space;
}

// Checks what a plugin says and copies it. `what` names it in messages ("environment Foo-v1: observation space").
// MT_PLUGIN with field, value and remedy; MT_NO_MEMORY. *out is zeroed on failure.
mt_status mt_space_init(mt_space *out, const manta_space *space, const char *what);
// The same for actions; also MT_UNSUPPORTED for dict and tuple, and for boxes that are not MANTA_F32.
mt_status mt_space_init_action(mt_space *out, const manta_space *space, const char *what);
void mt_space_fini(mt_space *space);

// "Box(4) f32", "Discrete(2)", "MultiDiscrete(3, 4)", "Dict(image: Box(36, 36, 1) u8, goal: Box(2) f32)": snprintf's result.
int mt_space_format(const mt_space *space, char *out, size_t out_bytes);

size_t mt_space_dtype_bytes(manta_dtype dtype);   // 0 for a value outside the list

#endif
