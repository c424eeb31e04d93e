// YAML trees: memory, limits, look-up, typed reads, and the scalar writer. Readers build on yaml_tree.h.
// Nodes and strings live in chunks that are freed with the document; a finished document is never written again.
#include "engine/base/yaml_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 16 * 1024 };

struct mt_yaml_chunk {
    struct mt_yaml_chunk *next;
    size_t used, capacity;
    _Alignas(16) char bytes[];
};

static void *memory(mt_yaml *doc, size_t bytes) {
    bytes = (bytes + 15) & ~(size_t)15;
    struct mt_yaml_chunk *chunk = doc->chunks;
    if (!chunk || chunk->capacity - chunk->used < bytes) {
        size_t capacity = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        chunk = malloc(sizeof *chunk + capacity);
        if (!chunk) {
            MT_FAIL(NO_MEMORY, "out of memory while reading %s", doc->source ? doc->source : "YAML");
            return NULL;
        }
        *chunk = (struct mt_yaml_chunk){.next = doc->chunks, .capacity = capacity};
        doc->chunks = chunk;
    }
    void *at = chunk->bytes + chunk->used;
    chunk->used += bytes;
    return at;
}

static const char *copy(mt_yaml *doc, const char *text) {
    if (*text == '\0') return "";
    size_t bytes = strlen(text) + 1;
    char *to = memory(doc, bytes);
    return to ? memcpy(to, text, bytes) : NULL;
}

mt_status mt_yaml_tree_create(const char *source, const mt_yaml_limits *limits, mt_yaml **out) {
    *out = NULL;
    mt_yaml *doc = calloc(1, sizeof *doc);
    if (!doc) return MT_FAIL(NO_MEMORY, "out of memory while reading %s", source);
    if (limits) doc->limits = *limits;
    if (doc->limits.bytes == 0) doc->limits.bytes = 1 << 20;
    if (doc->limits.nodes == 0) doc->limits.nodes = 100000;
    if (doc->limits.depth == 0) doc->limits.depth = 32;
    doc->source = copy(doc, source);
    if (!doc->source) {
        mt_yaml_destroy(doc);
        return MT_NO_MEMORY;
    }
    *out = doc;
    return MT_OK;
}

void mt_yaml_destroy(mt_yaml *doc) {
    if (!doc) return;
    for (struct mt_yaml_chunk *chunk = doc->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(doc);
}

const mt_yaml_node *mt_yaml_root(const mt_yaml *doc) { return doc->root; }

// ---- building ----

mt_status mt_yaml_tree_fail(const mt_yaml *doc, mt_yaml_at at, const char *format, ...) {
    char message[768];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return MT_FAIL(CONFIG, "%s:%d:%d: %s", doc->source, at.line, at.column, message);
}

mt_status mt_yaml_tree_count(mt_yaml *doc, mt_yaml_at at, size_t nodes) {
    doc->nodes = nodes > SIZE_MAX - doc->nodes ? SIZE_MAX : doc->nodes + nodes;
    if (doc->nodes <= doc->limits.nodes) return MT_OK;
    return mt_yaml_tree_fail(doc, at, "more than %zu values (aliases count with all they stand for)", doc->limits.nodes);
}

mt_status mt_yaml_tree_depth(const mt_yaml *doc, mt_yaml_at at, int depth) {
    if (depth <= doc->limits.depth) return MT_OK;
    return mt_yaml_tree_fail(doc, at, "nested deeper than %d levels", doc->limits.depth);
}

mt_status mt_yaml_tree_node(mt_yaml *doc, mt_yaml_kind kind, mt_yaml_at at, const char *tag, const char *text,
    mt_yaml_node **out) {
    MT_TRY(mt_yaml_tree_count(doc, at, 1));
    mt_yaml_node *node = memory(doc, sizeof *node);
    if (!node) return MT_NO_MEMORY;
    *node = (mt_yaml_node){.kind = kind, .line = at.line, .column = at.column, .source = doc->source, .weight = 1};
    node->tag = copy(doc, tag);
    node->text = copy(doc, text);
    if (!node->tag || !node->text) return MT_NO_MEMORY;
    *out = node;
    return MT_OK;
}

void mt_yaml_list_fini(mt_yaml_list *list) {
    free(list->keys);
    free(list->items);
    *list = (mt_yaml_list){0};
}

mt_status mt_yaml_list_add(mt_yaml_list *list, const mt_yaml_node *key, const mt_yaml_node *item) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 8;
        const mt_yaml_node **keys = realloc(list->keys, capacity * sizeof *keys);
        if (keys) list->keys = keys;
        const mt_yaml_node **items = realloc(list->items, capacity * sizeof *items);
        if (items) list->items = items;
        if (!keys || !items) return MT_FAIL(NO_MEMORY, "out of memory while reading YAML");
        list->capacity = capacity;
    }
    list->keys[list->count] = key;
    list->items[list->count++] = item;
    return MT_OK;
}

static const mt_yaml_node *list_find(const mt_yaml_list *list, const char *key) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->keys[i]->text, key) == 0) return list->keys[i];
    return NULL;
}

static mt_status too_many_keys(const mt_yaml_node *mapping) {
    return mt_yaml_fail(mapping, "more than %d keys in one mapping", MT_YAML_KEYS_MAX);
}

static mt_status refuse_duplicates(const mt_yaml_node *mapping, const mt_yaml_list *list) {
    if (list->count > MT_YAML_KEYS_MAX) return too_many_keys(mapping);
    for (size_t i = 1; i < list->count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(list->keys[i]->text, list->keys[j]->text) == 0)
                return mt_yaml_fail(list->keys[i], "key \"%.100s\" appears twice (first at line %d)", list->keys[i]->text,
                    list->keys[j]->line);
    return MT_OK;
}

static bool is_merge_key(const mt_yaml_node *key) { return !key->quoted && strcmp(key->text, "<<") == 0; }

// adds the keys of `from` that are not there yet: what is written in the mapping itself wins over what is merged in
static mt_status merge_mapping(const mt_yaml_node *from, mt_yaml_list *list) {
    if (from->kind != MT_YAML_MAPPING) return mt_yaml_fail(from, "\"<<\" merges a mapping or a list of mappings");
    for (size_t i = 0; i < from->count; i++) {
        if (list_find(list, from->keys[i]->text)) continue;
        if (list->count >= MT_YAML_KEYS_MAX) return too_many_keys(from);
        MT_TRY(mt_yaml_list_add(list, from->keys[i], from->items[i]));
    }
    return MT_OK;
}

static mt_status apply_merge(mt_yaml_list *list) {
    size_t at = 0;
    while (at < list->count && !is_merge_key(list->keys[at])) at++;
    if (at == list->count) return MT_OK;
    // take the merge key out, keep the order of the others
    const mt_yaml_node *from = list->items[at];
    list->count--;
    memmove(list->keys + at, list->keys + at + 1, (list->count - at) * sizeof *list->keys);
    memmove(list->items + at, list->items + at + 1, (list->count - at) * sizeof *list->items);
    if (from->kind != MT_YAML_SEQUENCE) return merge_mapping(from, list);
    for (size_t i = 0; i < from->count; i++) MT_TRY(merge_mapping(from->items[i], list));
    return MT_OK;
}

static mt_status move_list(mt_yaml *doc, mt_yaml_node *node, const mt_yaml_list *list) {
    if (list->count == 0) return MT_OK;
    bool mapping = node->kind == MT_YAML_MAPPING;
    const mt_yaml_node **pointers = memory(doc, list->count * (mapping ? 2 : 1) * sizeof *pointers);
    if (!pointers) return MT_NO_MEMORY;
    node->count = list->count;
    node->items = pointers;
    memcpy(pointers, list->items, list->count * sizeof *pointers);
    if (mapping) {
        node->keys = pointers + list->count;
        memcpy(node->keys, list->keys, list->count * sizeof *pointers);
    }
    for (size_t i = 0; i < list->count; i++) node->weight += list->items[i]->weight + mapping;
    return MT_OK;
}

mt_status mt_yaml_tree_close(mt_yaml *doc, mt_yaml_node *node, mt_yaml_list *list, bool merge) {
    mt_status status = MT_OK;
    if (node->kind == MT_YAML_MAPPING) {
        status = refuse_duplicates(node, list);
        if (status == MT_OK && merge) status = apply_merge(list);
    }
    if (status == MT_OK) status = move_list(doc, node, list);
    mt_yaml_list_fini(list);
    return status;
}

// ---- reading ----

mt_status mt_yaml_fail(const mt_yaml_node *node, const char *format, ...) {
    char message[768];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return MT_FAIL(CONFIG, "%s:%d:%d: %s", node->source, node->line, node->column, message);
}

const mt_yaml_node *mt_yaml_find(const mt_yaml_node *mapping, const char *key) {
    if (mapping->kind != MT_YAML_MAPPING) return NULL;
    for (size_t i = 0; i < mapping->count; i++)
        if (strcmp(mapping->keys[i]->text, key) == 0) return mapping->items[i];
    return NULL;
}

bool mt_yaml_is_null(const mt_yaml_node *node) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL", "None"};
    if (node->kind != MT_YAML_SCALAR || node->quoted) return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(node->text, words[i]) == 0) return true;
    return false;
}

mt_status mt_yaml_string(const mt_yaml_node *node, const char **out) {
    if (node->kind != MT_YAML_SCALAR)
        return mt_yaml_fail(node, "expected one value, found a %s", node->kind == MT_YAML_SEQUENCE ? "list" : "mapping");
    *out = node->text;
    return MT_OK;
}

static mt_status with_position(const mt_yaml_node *node, mt_status status) {
    if (status == MT_OK) return MT_OK;
    return mt_fail_context(MT_CONFIG, "%s:%d:%d: ", node->source, node->line, node->column);
}

mt_status mt_yaml_i64(const mt_yaml_node *node, int64_t *out) {
    const char *text = NULL;
    MT_TRY(mt_yaml_string(node, &text));
    return with_position(node, mt_parse_i64(text, out));
}

mt_status mt_yaml_f64(const mt_yaml_node *node, double *out) {
    const char *text = NULL;
    MT_TRY(mt_yaml_string(node, &text));
    return with_position(node, mt_parse_f64(text, out));
}

mt_status mt_yaml_bool(const mt_yaml_node *node, bool *out) {
    const char *text = NULL;
    MT_TRY(mt_yaml_string(node, &text));
    return with_position(node, mt_parse_bool(text, out));
}

// ---- writing ----

// Plain only for what no reader takes for anything but a string: a letter first, then letters, digits and _ - . / with
// no word in it that means a truth value or null. Everything else is quoted: quoting is never wrong.
static bool is_plain(const char *string) {
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "null", "none", "y", "n", "nan", "inf"};
    bool letter = (*string >= 'a' && *string <= 'z') || (*string >= 'A' && *string <= 'Z') || *string == '/';
    if (!letter) return false;
    for (const char *c = string; *c; c++) {
        bool safe = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr("_-./", *c);
        if (!safe) return false;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (mt_text_equal_fold(string, words[i])) return false;
    return true;
}

// U+0080–U+009F and the byte order mark are not printable to YAML; U+0085, U+2028, U+2029 are line breaks to it
static unsigned must_escape(const unsigned char *s, int *bytes) {
    if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0) return *bytes = 2, s[1];
    if (s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9)) return *bytes = 3, 0x2000u | (s[2] & 0x3fu);
    if (s[0] == 0xef && s[1] == 0xbb && s[2] == 0xbf) return *bytes = 3, 0xfeff;
    if (s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe) return *bytes = 3, 0xffc0u | (s[2] & 0x3fu);
    return 0;
}

void mt_yaml_write_string(mt_text *out, const char *string) {
    if (is_plain(string)) {
        mt_text_append(out, string);
        return;
    }
    mt_text_append(out, "\"");
    for (const unsigned char *s = (const unsigned char *)string; *s;) {
        int bytes = 1;
        unsigned code = must_escape(s, &bytes);
        if (code) mt_text_printf(out, "\\u%04X", code);
        else if (*s == '"' || *s == '\\') mt_text_printf(out, "\\%c", *s);
        else if (*s == '\n') mt_text_append(out, "\\n");
        else if (*s == '\t') mt_text_append(out, "\\t");
        else if (*s < 0x20 || *s == 0x7f) mt_text_printf(out, "\\x%02X", *s);
        else mt_text_append_bytes(out, (const char *)s, 1);
        s += bytes;
    }
    mt_text_append(out, "\"");
}
