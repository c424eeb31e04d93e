// Element-wise activation functions, forward and backward, for layers that dense does not fuse (after a layer norm).
//   y = act(z)                  8 bytes moved an element
//   dz = dy ∘ act'(z)           12 bytes, 16 for gelu and silu
// Determinism: each element depends on its own input only, vector or tail alike.
#include "kernels/cpu/activate.h"

#include "kernels/cpu/ops.h"

void MT_ISA_NAME(mt_activate)(mt_activation act, int64_t count, const float *z, float *y) {
    switch (act) {
#define MT_X(name) case MT_ACT_##name: activate_loop(MT_ACT_##name, count, z, y); return;
        MT_ACTIVATION_LIST(MT_X)
#undef MT_X
    case MT_ACT_COUNT: return;
    }
}

void MT_ISA_NAME(mt_activate_backward)(mt_activation act, int64_t count, const float *y, const float *pre, const float *dy,
    float *dz) {
    switch (act) {
#define MT_X(name) case MT_ACT_##name: activate_backward_loop(MT_ACT_##name, count, y, pre, dy, dz); return;
        MT_ACTIVATION_LIST(MT_X)
#undef MT_X
    case MT_ACT_COUNT: return;
    }
}
