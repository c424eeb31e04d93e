// A network's layers as ONNX nodes. Inside the graph images are channels-first, as ONNX's operators want them: they are turned
// once, where a network reads one, and flatten's order (PyTorch's) is then the tensor's own.
#ifndef MANTA_POLICIES_ONNX_LAYERS_H
#define MANTA_POLICIES_ONNX_LAYERS_H

#include "policies/network.h"
#include "policies/onnx_graph.h"

// What a network reads: values of the graph that stand side by side in a row.
typedef struct mt_onnx_source {
    int count;
    mt_input part[MT_MAX_INPUTS];                        // which columns
    char value[MT_MAX_INPUTS][MT_ONNX_NAME_BYTES];       // (N, width); an image (N, height, width, channels)
    char row[MT_ONNX_NAME_BYTES];                        // (N, all columns); "" until a layer wants it
} mt_onnx_source;

// A recurrent layer's state is read from SCOPE/LAYER/h (N, H), of an LSTM also SCOPE/LAYER/c, and left in …/next_h and …/next_c.
// `visit` is called for each in the order of a row of state, with its value's name and how wide it is.
typedef mt_status (*mt_onnx_state_visit)(void *ctx, const char *name, int units);
mt_status mt_onnx_visit_states(const mt_network *net, const char *scope, int next, mt_onnx_state_visit visit, void *ctx);

// Appends the nodes; constants have their tensors' names. out: the name of the value that the last layer makes, (N, outputs);
// below: of the one that it reads. Nullable.
// MT_UNSUPPORTED for a layer that ONNX has no operators for.
mt_status mt_onnx_network(mt_onnx_graph *g, const mt_network *net, const char *scope, float *param, mt_onnx_source *source,
    char out[MT_ONNX_NAME_BYTES], char below[MT_ONNX_NAME_BYTES]);

#endif
