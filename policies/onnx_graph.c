// ONNX's messages: see onnx_graph.h. All fields of a graph may come in any order, so everything is appended to one string.
#include "policies/onnx_graph.h"

#include "engine/base/protobuf.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { IR_VERSION = 8, OPERATOR_SET = 17 };

// field numbers of onnx.proto
enum { MODEL_IR_VERSION = 1, MODEL_PRODUCER = 2, MODEL_PRODUCER_VERSION = 3, MODEL_GRAPH = 7, MODEL_OPERATOR_SET = 8 };
enum { MODEL_METADATA = 14, OPERATOR_SET_VERSION = 2, PAIR_KEY = 1, PAIR_VALUE = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_F = 2, ATTRIBUTE_I = 3, ATTRIBUTE_INTS = 8, ATTRIBUTE_TYPE = 20 };
enum { TYPE_FLOAT = 1, TYPE_INT = 2, TYPE_INTS = 7 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_NAME = 2 };

// ---- the model

void mt_onnx_begin(mt_onnx_graph *g, const char *version, const mt_string_pair *metadata, size_t metadata_count) {
    *g = (mt_onnx_graph){0};
    mt_text *b = &g->bytes;
    mt_protobuf_varint(b, MODEL_IR_VERSION, IR_VERSION);
    mt_protobuf_string(b, MODEL_PRODUCER, "manta");
    mt_protobuf_string(b, MODEL_PRODUCER_VERSION, version);
    size_t set = mt_protobuf_begin(b, MODEL_OPERATOR_SET);
    mt_protobuf_varint(b, OPERATOR_SET_VERSION, OPERATOR_SET);
    mt_protobuf_end(b, set);
    for (size_t i = 0; i < metadata_count; i++) {
        size_t pair = mt_protobuf_begin(b, MODEL_METADATA);
        mt_protobuf_string(b, PAIR_KEY, metadata[i].key);
        mt_protobuf_string(b, PAIR_VALUE, metadata[i].value);
        mt_protobuf_end(b, pair);
    }
    g->begun = mt_protobuf_begin(b, MODEL_GRAPH);
    mt_protobuf_string(b, GRAPH_NAME, "policy");
}

mt_status mt_onnx_end(mt_onnx_graph *g) {
    mt_protobuf_end(&g->bytes, g->begun);
    MT_TRY(mt_text_status(&g->constants));
    MT_TRY(mt_text_status(&g->bytes));
    if (g->bytes.length > INT_MAX)
        return MT_FAIL(UNSUPPORTED, "an ONNX model of %zu bytes, and Protocol Buffers end at 2 GiB; export safetensors instead",
            g->bytes.length);
    return MT_OK;
}

void mt_onnx_fini(mt_onnx_graph *g) {
    mt_text_fini(&g->bytes);
    mt_text_fini(&g->constants);
}

// ---- inputs and outputs

static void put_value(mt_text *b, unsigned field, const char *name, mt_onnx_type type, int ndim, const int64_t *shape) {
    size_t value = mt_protobuf_begin(b, field);
    mt_protobuf_string(b, VALUE_NAME, name);
    size_t of = mt_protobuf_begin(b, VALUE_TYPE), tensor = mt_protobuf_begin(b, TYPE_TENSOR);
    mt_protobuf_varint(b, TENSOR_ELEMENT, type);
    size_t dims = mt_protobuf_begin(b, TENSOR_SHAPE);
    for (int i = 0; i < ndim; i++) {
        size_t dim = mt_protobuf_begin(b, SHAPE_DIM);
        if (shape[i] == MT_ONNX_BATCH) mt_protobuf_string(b, DIM_NAME, "N");
        else mt_protobuf_varint(b, DIM_VALUE, (uint64_t)shape[i]);
        mt_protobuf_end(b, dim);
    }
    mt_protobuf_end(b, dims);
    mt_protobuf_end(b, tensor);
    mt_protobuf_end(b, of);
    mt_protobuf_end(b, value);
}

void mt_onnx_input(mt_onnx_graph *g, const char *name, mt_onnx_type type, int ndim, const int64_t *shape) {
    put_value(&g->bytes, GRAPH_INPUT, name, type, ndim, shape);
}

void mt_onnx_output(mt_onnx_graph *g, const char *name, mt_onnx_type type, int ndim, const int64_t *shape) {
    put_value(&g->bytes, GRAPH_OUTPUT, name, type, ndim, shape);
}

// ---- constants; raw data is little-endian, as every machine that manta is built for

static void put_tensor(mt_text *b, const char *name, mt_onnx_type type, int ndim, const int64_t *shape, const void *data,
    size_t element) {
    size_t tensor = mt_protobuf_begin(b, GRAPH_INITIALIZER), count = 1;
    for (int i = 0; i < ndim; i++) {
        mt_protobuf_varint(b, TENSOR_DIMS, (uint64_t)shape[i]);
        count *= (size_t)shape[i];
    }
    mt_protobuf_varint(b, TENSOR_TYPE, type);
    mt_protobuf_string(b, TENSOR_NAME, name);
    mt_protobuf_bytes(b, TENSOR_RAW, data, count * element);
    mt_protobuf_end(b, tensor);
}

void mt_onnx_floats(mt_onnx_graph *g, const char *name, const float *data, int ndim, const int64_t *shape) {
    put_tensor(&g->bytes, name, MT_ONNX_FLOAT, ndim, shape, data, sizeof *data);
}

// 1: the constant is there already; else it is noted
static int is_there(mt_onnx_graph *g, const char *name) {
    char line[MT_ONNX_NAME_BYTES + 2];
    snprintf(line, sizeof line, "\n%s\n", name);
    if (strstr(mt_text_str(&g->constants), line)) return 1;
    mt_text_append(&g->constants, line);
    return 0;
}

const char *mt_onnx_float(mt_onnx_graph *g, float value, char name[MT_ONNX_NAME_BYTES]) {
    snprintf(name, MT_ONNX_NAME_BYTES, "constant/%.9g", (double)value);
    if (!is_there(g, name)) mt_onnx_floats(g, name, &value, 0, NULL);
    return name;
}

const char *mt_onnx_ints(mt_onnx_graph *g, const int64_t *values, int count, char name[MT_ONNX_NAME_BYTES]) {
    mt_text text = {0};
    for (int i = 0; i < count; i++) mt_text_printf(&text, "%s%lld", i ? "," : "constant/[", (long long)values[i]);
    mt_text_append(&text, "]");
    // a list too long for a name is named by where it is
    if (text.length < MT_ONNX_NAME_BYTES) snprintf(name, MT_ONNX_NAME_BYTES, "%s", mt_text_str(&text));
    else snprintf(name, MT_ONNX_NAME_BYTES, "constant/list@%zu", g->bytes.length);
    g->constants.failed |= text.failed;
    mt_text_fini(&text);
    if (!is_there(g, name)) put_tensor(&g->bytes, name, MT_ONNX_INT64, 1, &(int64_t){count}, values, sizeof *values);
    return name;
}

// ---- nodes

static void put_attribute(mt_text *b, const mt_onnx_attribute *a) {
    size_t attribute = mt_protobuf_begin(b, NODE_ATTRIBUTE);
    mt_protobuf_string(b, ATTRIBUTE_NAME, a->name);
    if (a->count) {
        for (int i = 0; i < a->count; i++) mt_protobuf_varint(b, ATTRIBUTE_INTS, (uint64_t)a->ints[i]);
    } else if (a->is_float) {
        mt_protobuf_float(b, ATTRIBUTE_F, (float)a->number);
    } else {
        mt_protobuf_varint(b, ATTRIBUTE_I, (uint64_t)(int64_t)a->number);
    }
    mt_protobuf_varint(b, ATTRIBUTE_TYPE, a->count ? TYPE_INTS : a->is_float ? TYPE_FLOAT : TYPE_INT);
    mt_protobuf_end(b, attribute);
}

void mt_onnx_node(mt_onnx_graph *g, const char *op, const char *const *in, const char *const *out,
    const mt_onnx_attribute *attributes) {
    mt_text *b = &g->bytes;
    size_t node = mt_protobuf_begin(b, GRAPH_NODE);
    const char *name = "";
    for (; *in; in++) mt_protobuf_string(b, NODE_INPUT, *in);
    for (; *out; out++) {
        mt_protobuf_string(b, NODE_OUTPUT, *out);
        if (!*name) name = *out;   // viewers show it: a node is called what it makes
    }
    mt_protobuf_string(b, NODE_NAME, name);
    mt_protobuf_string(b, NODE_OP, op);
    for (; attributes && attributes->name; attributes++) put_attribute(b, attributes);
    mt_protobuf_end(b, node);
}
