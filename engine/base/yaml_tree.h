// The building side of a YAML tree: what the two readers (yaml.c for YAML, pydict.c for Python's literals) share.
// Internal to engine/base. A document being built belongs to one thread.
#ifndef MANTA_ENGINE_BASE_YAML_TREE_H
#define MANTA_ENGINE_BASE_YAML_TREE_H

#include "engine/base/yaml.h"

enum {
    MT_YAML_KEYS_MAX = 1024,       // per mapping; keeps the quadratic search for duplicates harmless
    MT_YAML_POSITION_BYTES = 512
};

struct mt_yaml {
    struct mt_yaml_chunk *chunks;  // owned: all nodes and strings, freed together
    size_t chunk_free;             // bytes left in the newest
    const char *source;            // view into chunks
    mt_yaml_limits limits;         // no zeroes
    size_t nodes;                  // made so far, aliases counted with all that they stand for
    const mt_yaml_node *root;
};

typedef struct mt_yaml_at {
    int line, column;   // from 1
} mt_yaml_at;

// Items (and keys) of a sequence or mapping while it is being read. Zero-initialised is empty.
typedef struct mt_yaml_list {
    const mt_yaml_node **keys, **items;   // owned (count)
    size_t count, capacity;
} mt_yaml_list;

mt_status mt_yaml_tree_create(const char *source, const mt_yaml_limits *limits, mt_yaml **out);

// Copies text and tag. Counts the node against the limit.
mt_status mt_yaml_tree_node(mt_yaml *doc, mt_yaml_kind kind, mt_yaml_at at, const char *tag, const char *text,
    mt_yaml_node **out);
mt_status mt_yaml_tree_count(mt_yaml *doc, mt_yaml_at at, size_t nodes);   // MT_CONFIG past the limit
mt_status mt_yaml_tree_depth(const mt_yaml *doc, mt_yaml_at at, int depth);
mt_status mt_yaml_tree_fail(const mt_yaml *doc, mt_yaml_at at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Nullable: key (a sequence).
mt_status mt_yaml_list_add(mt_yaml_list *list, const mt_yaml_node *key, const mt_yaml_node *item);
void mt_yaml_list_fini(mt_yaml_list *list);
// Moves the list into its node: refuses duplicate keys, applies merge keys when `merge`. The list is empty afterwards,
// on failure too.
mt_status mt_yaml_tree_close(mt_yaml *doc, mt_yaml_node *node, mt_yaml_list *list, bool merge);

#endif
