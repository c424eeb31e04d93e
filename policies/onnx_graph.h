// An ONNX model, written piece by piece: nodes, constants, inputs and outputs, over Protocol Buffers' wire format. Knows ONNX's
// messages and nothing of policies. Values are known by name; a node may only read what was made before it.
//
// Messages and field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Operator set 17 (the first with
// LayerNormalization) and IR version 8 are what onnx 1.12 and onnxruntime 1.12 brought in 2022; all later ones read them.
#ifndef MANTA_POLICIES_ONNX_GRAPH_H
#define MANTA_POLICIES_ONNX_GRAPH_H

#include "engine/base/text.h"
#include "policies/safetensors.h"

enum { MT_ONNX_NAME_BYTES = 224, MT_ONNX_BATCH = -1 };   // a dimension: whatever the caller brings

typedef enum mt_onnx_type { MT_ONNX_FLOAT = 1, MT_ONNX_INT64 = 7, MT_ONNX_BOOL = 9 } mt_onnx_type;

typedef struct mt_onnx_graph {
    mt_text bytes;        // the model so far
    mt_text constants;    // names of shared constants that are there, a line each
    size_t begun;         // where the graph's message is
} mt_onnx_graph;

// producer: this program's version. Out of memory is kept and found at the end.
void mt_onnx_begin(mt_onnx_graph *g, const char *version, const mt_string_pair *metadata, size_t metadata_count);
mt_status mt_onnx_end(mt_onnx_graph *g);   // g->bytes is then the file. MT_UNSUPPORTED: past protobuf's 2 GiB
void mt_onnx_fini(mt_onnx_graph *g);

void mt_onnx_input(mt_onnx_graph *g, const char *name, mt_onnx_type type, int ndim, const int64_t *shape);
void mt_onnx_output(mt_onnx_graph *g, const char *name, mt_onnx_type type, int ndim, const int64_t *shape);

// A constant of one's own name
void mt_onnx_floats(mt_onnx_graph *g, const char *name, const float *data, int ndim, const int64_t *shape);
// Shared ones, named by their values; written once. Returns `name`.
const char *mt_onnx_float(mt_onnx_graph *g, float value, char name[MT_ONNX_NAME_BYTES]);                       // a scalar
const char *mt_onnx_ints(mt_onnx_graph *g, const int64_t *values, int count, char name[MT_ONNX_NAME_BYTES]);   // (count)

typedef struct mt_onnx_attribute {
    const char *name;      // NULL ends a list
    const int64_t *ints;   // (count)
    int count;             // 0: a number
    int is_float;
    double number;
} mt_onnx_attribute;

// in, out: names, ended by NULL; "" for one left out. attributes: Nullable.
void mt_onnx_node(mt_onnx_graph *g, const char *op, const char *const *in, const char *const *out,
    const mt_onnx_attribute *attributes);

#define MT_ONNX_NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define MT_ONNX_ATTRIBUTES(...) ((const mt_onnx_attribute[]){__VA_ARGS__, {0}})
#define MT_ONNX_INT(name_, value) {.name = (name_), .number = (double)(value)}
#define MT_ONNX_REAL(name_, value) {.name = (name_), .is_float = 1, .number = (value)}
#define MT_ONNX_INTS(name_, values, n) {.name = (name_), .ints = (values), .count = (n)}

#endif
