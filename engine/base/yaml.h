// YAML: a small read-only document tree, read from untrusted text within limits, and a scalar writer.
//
//     mt_yaml *doc = NULL;
//     MT_TRY(mt_yaml_load_file("experiment.yml", NULL, &doc));
//     const mt_yaml_node *steps = mt_yaml_find(mt_yaml_root(doc), "n_steps");
//     ...
//     mt_yaml_destroy(doc);
//
// What is accepted: one YAML 1.1 document; mappings with scalar keys; tags are kept as text and mean nothing here
// (`!!float 1e5` is the scalar "1e5"); anchors, aliases and merge keys (`<<: *defaults`), which RL Zoo files use. Aliases
// share nodes and are never copied; the size after expansion counts against the node limit, so a "billion laughs" file is
// refused. Errors: MT_CONFIG, message begins with "file:line:column: ". Duplicate keys are errors.
// A document is immutable after load and may be read by any thread.
#ifndef MANTA_ENGINE_BASE_YAML_H
#define MANTA_ENGINE_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/base/status.h"
#include "engine/base/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mt_yaml_kind { MT_YAML_SCALAR, MT_YAML_SEQUENCE, MT_YAML_MAPPING } mt_yaml_kind;

typedef struct mt_yaml_node mt_yaml_node;
struct mt_yaml_node {
    mt_yaml_kind kind;
    bool quoted;                   // scalar written in quotes or as a block: a string, never null
    int line, column;              // from 1
    const char *source;            // view: the file's name as given to load
    const char *tag;               // view: "!!float", "!mine"; "" when none
    const char *text;              // view: a scalar's text; "" for others
    size_t count;                  // items of a sequence, pairs of a mapping
    const mt_yaml_node **keys;     // (count) of a mapping, scalars; else NULL
    const mt_yaml_node **items;    // (count) items of a sequence, values of a mapping
    size_t weight;                 // nodes below and with this one, aliases expanded
};

typedef struct mt_yaml mt_yaml;    // a document; owns its nodes

// Zero means the default given here.
typedef struct mt_yaml_limits {
    size_t bytes;   // 1 MiB
    size_t nodes;   // 100,000, aliases expanded
    int depth;      // 32
} mt_yaml_limits;

// Nullable: limits. MT_NOT_FOUND / MT_IO for the file itself, MT_CONFIG for what stands in it.
mt_status mt_yaml_load_file(const char *path, const mt_yaml_limits *limits, mt_yaml **out);
// `source` names the text in messages ("experiment.yml"); the text is copied.
mt_status mt_yaml_load_text(const char *text, size_t length, const char *source, const mt_yaml_limits *limits,
    mt_yaml **out);
void mt_yaml_destroy(mt_yaml *doc);   // Nullable
// The root; an empty file has a null scalar there (mt_yaml_is_null).
const mt_yaml_node *mt_yaml_root(const mt_yaml *doc);

// The literal subset of Python that RL Zoo files hold in strings, as the same tree:
//   dict(log_std_init=-2, ortho_init=False, activation_fn=nn.ReLU, net_arch=dict(pi=[256, 256], vf=[256, 256]))
// dict(...), {...}, [...], (...), numbers, strings, True, False, None and dotted names (a plain scalar with tag "!name").
// Nothing is ever evaluated. Messages carry `source` and positions that count from (line, column).
mt_status mt_yaml_parse_pydict(const char *text, const char *source, int line, int column, mt_yaml **out);

const mt_yaml_node *mt_yaml_find(const mt_yaml_node *mapping, const char *key);   // NULL when absent or not a mapping
bool mt_yaml_is_null(const mt_yaml_node *node);   // a plain scalar: empty, ~, null, Null, NULL, None

// Typed reads of a scalar. MT_CONFIG with the position and what was expected.
mt_status mt_yaml_i64(const mt_yaml_node *node, int64_t *out);
mt_status mt_yaml_f64(const mt_yaml_node *node, double *out);
mt_status mt_yaml_bool(const mt_yaml_node *node, bool *out);
mt_status mt_yaml_string(const mt_yaml_node *node, const char **out);   // view

// Records MT_CONFIG with "source:line:column: " before the message.
mt_status mt_yaml_fail(const mt_yaml_node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Appends a scalar so that YAML reads back exactly this string: plain where that is safe, else double-quoted with escapes
// (what would read as a number, a truth value or null is quoted). The text must be UTF-8.
void mt_yaml_write_string(mt_text *out, const char *string);

#ifdef __cplusplus
}
#endif
#endif
