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
    manta_space_kind kind;               // BOX, DISCRETE, MULTI_DISCRETE or MULTI_BINARY
    manta_dtype dtype;                   // of the batch array
    int ndim;                            // 0 for discrete
    int64_t shape[MANTA_SPACE_MAX_DIMS]; // of one environment; unused entries are 0
    int64_t count;                       // elements of one environment: product of shape, 1 for discrete
    size_t bytes;                        // of one environment: count × size of dtype
    float *low, *high;                   // (count) owned; box alone, ±INFINITY where unbounded
    int bounded;                         // box: every bound is finite
    int64_t *nvec;                       // (count) owned; the others: values of each component, 2 for binary
    int64_t logits;                      // sum of nvec: width of a categorical head and of an action mask row; 0 for box
} mt_space;

// Checks what a plugin says and copies it. `what` names it in messages ("environment Foo-v1: observation space").
// MT_PLUGIN with field, value and remedy; MT_UNSUPPORTED for dict and tuple; MT_NO_MEMORY. *out is zeroed on failure.
mt_status mt_space_init(mt_space *out, const manta_space *space, const char *what);
void mt_space_fini(mt_space *space);

// "Box(4) f32", "Discrete(2)", "MultiDiscrete(3, 4)": snprintf's result.
int mt_space_format(const mt_space *space, char *out, size_t out_bytes);

size_t mt_space_dtype_bytes(manta_dtype dtype);   // 0 for a value outside the list

#endif
