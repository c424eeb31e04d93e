// A plugin's layer in one of manta's networks: its plan, checked, and its functions called on slabs.
#ifndef MANTA_POLICIES_PLUGIN_LAYER_H
#define MANTA_POLICIES_PLUGIN_LAYER_H

#include "policies/network.h"

// Asks what the layer makes of an input of this shape. MT_CONFIG with its words when it refuses; MT_PLUGIN when what it
// answers is impossible.
mt_status mt_plugin_layer_plan(const manta_layer_desc *layer, const double *numbers /* (MANTA_LAYER_MAX_NUMBERS) */, int height,
    int width, int channels, manta_layer_plan *plan);

// Where a layer of a network lies in somebody's slabs; all borrowed.
typedef struct mt_plugin_layer {
    const manta_layer_desc *desc;
    const manta_layer_plan *plan;
    const int64_t *offset;   // (plan->parameter_count): of each tensor
    const float *param;      // offsets count from here
    manta_pass pass;         // all but param
} mt_plugin_layer;

mt_status mt_plugin_layer_init(const mt_plugin_layer *layer, float *param, uint64_t seed);
void mt_plugin_layer_forward(const mt_plugin_layer *layer, const mt_kernels *k, float *y);
// grad: what offset[0] of a whole slab lies `first` floats before. accumulate 0: begins it at zero.
void mt_plugin_layer_backward(const mt_plugin_layer *layer, const mt_kernels *k, const float *y, const float *dy, float *dx,
    float *grad, int64_t first, int accumulate);

#endif
