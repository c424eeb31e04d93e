// YAML reader: libyaml's events into a tree (yaml_tree.h). Reads untrusted text: every count has a limit, aliases share
// nodes, and an alias to a node that encloses it cannot be written because anchors are entered when their node is complete.
#include "engine/base/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>
#include "engine/base/file.h"
#include "engine/base/yaml_tree.h"

enum { ANCHORS_MAX = 1024 };   // keeps the linear search for an alias harmless

typedef struct anchor {
    char *name;   // owned
    const mt_yaml_node *node;
} anchor;

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event;     // the next one; valid while has_event
    bool has_event;
    mt_yaml *doc;
    anchor *anchors;        // owned (anchor_count)
    size_t anchor_count;
} reader;

static mt_yaml_at at_mark(yaml_mark_t mark) { return (mt_yaml_at){(int)mark.line + 1, (int)mark.column + 1}; }

static void drop_event(reader *r) {
    if (r->has_event) yaml_event_delete(&r->event);
    r->has_event = false;
}

static mt_status parse_failed(reader *r) {
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) return MT_FAIL(NO_MEMORY, "out of memory while reading %s", r->doc->source);
    const char *problem = p->problem ? p->problem : "unknown problem";
    if (p->error == YAML_READER_ERROR)
        return mt_yaml_tree_fail(r->doc, at_mark(p->mark), "not a text in UTF-8: %s (byte %zu)", problem, p->problem_offset);
    if (p->context)
        return mt_yaml_tree_fail(r->doc, at_mark(p->problem_mark), "not valid YAML: %s, %s (line %d)", problem, p->context,
            (int)p->context_mark.line + 1);
    return mt_yaml_tree_fail(r->doc, at_mark(p->problem_mark), "not valid YAML: %s", problem);
}

static mt_status next_event(reader *r) {
    drop_event(r);
    if (!yaml_parser_parse(&r->parser, &r->event)) return parse_failed(r);
    r->has_event = true;
    return MT_OK;
}

static mt_yaml_at here(const reader *r) { return at_mark(r->event.start_mark); }

// libyaml gives "tag:yaml.org,2002:float" for !!float: shown to people as they wrote it
static void short_tag(const yaml_char_t *tag, char out[64]) {
    static const char prefix[] = "tag:yaml.org,2002:";
    const char *text = tag ? (const char *)tag : "";
    bool standard = strncmp(text, prefix, sizeof prefix - 1) == 0;
    snprintf(out, 64, "%s%s", standard ? "!!" : "", standard ? text + sizeof prefix - 1 : text);
}

static mt_status set_anchor(reader *r, const char *name, const mt_yaml_node *node) {
    mt_yaml_at at = {node->line, node->column};
    if (r->anchor_count == ANCHORS_MAX) return mt_yaml_tree_fail(r->doc, at, "more than %d anchors", ANCHORS_MAX);
    char *own = strdup(name);
    if (!own) return MT_FAIL(NO_MEMORY, "out of memory while reading %s", r->doc->source);
    r->anchors[r->anchor_count++] = (anchor){own, node};
    return MT_OK;
}

static mt_status read_alias(reader *r, const mt_yaml_node **out) {
    const char *name = (const char *)r->event.data.alias.anchor;
    for (size_t i = r->anchor_count; i-- > 0;)
        if (strcmp(r->anchors[i].name, name) == 0) {
            *out = r->anchors[i].node;
            return mt_yaml_tree_count(r->doc, here(r), r->anchors[i].node->weight);
        }
    return mt_yaml_tree_fail(r->doc, here(r), "*%.100s refers to no complete value before it (&%.100s)", name, name);
}

static mt_status read_scalar(reader *r, mt_yaml_node **out) {
    const char *text = (const char *)r->event.data.scalar.value;
    if (strlen(text) != r->event.data.scalar.length) return mt_yaml_tree_fail(r->doc, here(r), "a NUL byte in a value");
    char tag[64];
    short_tag(r->event.data.scalar.tag, tag);
    MT_TRY(mt_yaml_tree_node(r->doc, MT_YAML_SCALAR, here(r), tag, text, out));
    yaml_scalar_style_t style = r->event.data.scalar.style;
    (*out)->quoted = style != YAML_PLAIN_SCALAR_STYLE && style != YAML_ANY_SCALAR_STYLE;
    return MT_OK;
}

static mt_status read_node(reader *r, int depth, const mt_yaml_node **out);

// the start event is current on entry; the end event on exit
static mt_status read_items(reader *r, int depth, mt_yaml_node *node, mt_yaml_list *list) {
    bool mapping = node->kind == MT_YAML_MAPPING;
    yaml_event_type_t end = mapping ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    for (;;) {
        const mt_yaml_node *key = NULL, *item = NULL;
        MT_TRY(next_event(r));
        if (r->event.type == end) return MT_OK;
        if (mapping) {
            MT_TRY(read_node(r, depth + 1, &key));
            if (key->kind != MT_YAML_SCALAR) return mt_yaml_fail(key, "a key must be one word, not a list or mapping");
            MT_TRY(next_event(r));
        }
        MT_TRY(read_node(r, depth + 1, &item));
        MT_TRY(mt_yaml_list_add(list, key, item));
    }
}

static mt_status read_collection(reader *r, int depth, mt_yaml_kind kind, const yaml_char_t *tag, mt_yaml_node **out) {
    char text[64];
    short_tag(tag, text);
    MT_TRY(mt_yaml_tree_depth(r->doc, here(r), depth));
    MT_TRY(mt_yaml_tree_node(r->doc, kind, here(r), text, "", out));
    mt_yaml_list list = {0};
    mt_status status = read_items(r, depth, *out, &list);
    if (status == MT_OK) return mt_yaml_tree_close(r->doc, *out, &list, true);
    mt_yaml_list_fini(&list);
    return status;
}

// the node's first event is current on entry; its last on exit
static mt_status read_node(reader *r, int depth, const mt_yaml_node **out) {
    mt_yaml_node *node = NULL;
    char *name = NULL;
    const yaml_char_t *anchor_name = NULL;
    mt_status status = MT_OK;
    yaml_event_t *event = &r->event;
    if (event->type == YAML_ALIAS_EVENT) return read_alias(r, out);
    if (event->type == YAML_SCALAR_EVENT) anchor_name = event->data.scalar.anchor;
    if (event->type == YAML_SEQUENCE_START_EVENT) anchor_name = event->data.sequence_start.anchor;
    if (event->type == YAML_MAPPING_START_EVENT) anchor_name = event->data.mapping_start.anchor;
    // the event is gone when a collection has been read
    if (anchor_name && !(name = strdup((const char *)anchor_name)))
        return MT_FAIL(NO_MEMORY, "out of memory while reading %s", r->doc->source);
    if (event->type == YAML_SCALAR_EVENT) status = read_scalar(r, &node);
    else if (event->type == YAML_SEQUENCE_START_EVENT)
        status = read_collection(r, depth, MT_YAML_SEQUENCE, event->data.sequence_start.tag, &node);
    else if (event->type == YAML_MAPPING_START_EVENT)
        status = read_collection(r, depth, MT_YAML_MAPPING, event->data.mapping_start.tag, &node);
    else status = mt_yaml_tree_fail(r->doc, here(r), "unexpected end of the text");
    if (status == MT_OK && name) status = set_anchor(r, name, node);
    free(name);
    *out = node;
    return status;
}

static mt_status read_document(reader *r) {
    MT_TRY(next_event(r));   // stream start
    MT_TRY(next_event(r));
    if (r->event.type == YAML_STREAM_END_EVENT) {
        mt_yaml_node *empty;
        MT_TRY(mt_yaml_tree_node(r->doc, MT_YAML_SCALAR, (mt_yaml_at){1, 1}, "", "", &empty));
        r->doc->root = empty;
        return MT_OK;
    }
    MT_TRY(next_event(r));   // after document start
    MT_TRY(read_node(r, 1, &r->doc->root));
    MT_TRY(next_event(r));   // document end
    MT_TRY(next_event(r));
    if (r->event.type == YAML_STREAM_END_EVENT) return MT_OK;
    return mt_yaml_tree_fail(r->doc, here(r), "a second document (\"---\") begins here: one per file");
}

mt_status mt_yaml_load_text(const char *text, size_t length, const char *source, const mt_yaml_limits *limits,
    mt_yaml **out) {
    *out = NULL;
    reader r = {0};
    MT_TRY(mt_yaml_tree_create(source, limits, &r.doc));
    mt_status status = MT_OK;
    if (length > r.doc->limits.bytes) {
        status = MT_FAIL(CONFIG, "%s: larger than %zu bytes", source, r.doc->limits.bytes);
        goto destroy;
    }
    r.anchors = calloc(ANCHORS_MAX, sizeof *r.anchors);
    if (!r.anchors || !yaml_parser_initialize(&r.parser)) {
        status = MT_FAIL(NO_MEMORY, "out of memory while reading %s", source);
        goto destroy;
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, length);
    status = read_document(&r);
    drop_event(&r);
    yaml_parser_delete(&r.parser);
destroy:
    for (size_t i = 0; i < r.anchor_count; i++) free(r.anchors[i].name);
    free(r.anchors);
    if (status == MT_OK) *out = r.doc;
    else mt_yaml_destroy(r.doc);
    return status;
}

mt_status mt_yaml_load_file(const char *path, const mt_yaml_limits *limits, mt_yaml **out) {
    *out = NULL;
    size_t max_bytes = limits && limits->bytes ? limits->bytes : 1 << 20;
    char *text = NULL;
    size_t length = 0;
    MT_TRY(mt_file_read(path, max_bytes, &text, &length));
    mt_status status = mt_yaml_load_text(text, length, path, limits, out);
    free(text);
    return status;
}
