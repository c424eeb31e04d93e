// Options: tables and objects joined, look-up, precedence, YAML. One thread at a time per mt_options.
// Always holds: options->origins[i] says where the value of the i-th option (sections in order, rows in order) came from.
#include "engine/base/option.h"

#include <stdlib.h>
#include <string.h>
#include "engine/base/option_value.h"

// ---- rows of all sections as one list ----

const mt_option *mt_options_row(const mt_options *options, size_t index, size_t *section) {
    for (size_t s = 0; s < options->section_count; s++) {
        if (index < options->sections[s].count) {
            if (section) *section = s;
            return &options->sections[s].table[index];
        }
        index -= options->sections[s].count;
    }
    return NULL;
}

void *mt_options_field(const mt_options *options, size_t index) {
    size_t section = 0;
    const mt_option *row = mt_options_row(options, index, &section);
    return (char *)options->sections[section].object + row->offset;
}

static bool same_name(const char *a, size_t a_length, const char *b, size_t b_length) {
    if (a_length != b_length) return false;
    for (size_t i = 0; i < a_length; i++)
        if ((a[i] == '-' ? '_' : a[i]) != (b[i] == '-' ? '_' : b[i])) return false;
    return true;
}

bool mt_option_has_name(const mt_option *row, const char *key, size_t length) {
    if (same_name(row->name, strlen(row->name), key, length)) return true;
    for (const char *alias = row->aliases; alias && *alias;) {
        size_t alias_length = strcspn(alias, " ");
        if (same_name(alias, alias_length, key, length)) return true;
        alias += alias_length;
        alias += strspn(alias, " ");
    }
    return false;
}

size_t mt_options_index(const mt_options *options, const char *key) {
    for (size_t i = 0; i < options->count; i++)
        if (mt_option_has_name(mt_options_row(options, i, NULL), key, strlen(key))) return i;
    return options->count;
}

// index of the section nested under this key, or section_count
static size_t nest_index(const mt_options *options, const char *key) {
    for (size_t s = 0; s < options->section_count; s++) {
        const char *nest = options->sections[s].nest;
        if (nest && same_name(nest, strlen(nest), key, strlen(key))) return s;
    }
    return options->section_count;
}

const mt_option *mt_options_find(const mt_options *options, const char *key) {
    size_t index = mt_options_index(options, key);
    return index < options->count ? mt_options_row(options, index, NULL) : NULL;
}

const mt_option_origin *mt_options_origin(const mt_options *options, const char *key) {
    size_t index = mt_options_index(options, key);
    return index < options->count ? &options->origins[index] : NULL;
}

// ---- unknown keys ----

// names of all options, then of all nests; of one section alone while a nested mapping is read
typedef struct name_list {
    const mt_options *options;
    const mt_option_section *only;   // Nullable
} name_list;

static const char *name_at(const void *list, size_t index) {
    const name_list *names = list;
    if (names->only) return names->only->table[index].name;
    if (index >= names->options->count) return names->options->sections[index - names->options->count].nest;
    const mt_option *row = mt_options_row(names->options, index, NULL);
    return row->flags & MT_OPTION_HIDDEN ? NULL : row->name;
}

static mt_status unknown_key(const mt_options *options, const mt_option_section *only, const char *key) {
    name_list names = {options, only};
    size_t count = only ? only->count : options->count + options->section_count;
    char hint[96];
    mt_text_did_you_mean(mt_text_nearest_at(key, name_at, &names, count), hint, sizeof hint);
    return MT_FAIL(CONFIG, "unknown option \"%.60s\"%s%s%s", key, only ? " in " : "", only ? only->nest : "", hint);
}

// ---- setting ----

static void set_origin(mt_option_origin *origin, mt_option_from from, const char *where) {
    *origin = (mt_option_origin){.from = from};
    size_t length = strlen(where), room = sizeof origin->where - 1;
    // of a long path the end says more than the beginning
    const char *text = length > room ? where + (length - room) : where;
    while (((unsigned char)*text & 0xc0) == 0x80) text++;   // not in the middle of a letter
    strcpy(origin->where, text);
}

// what is given again from the same place adds to the pairs: --env-kwargs a:1 --env-kwargs b:2
static mt_status merge_pairs(const mt_option *row, const mt_pairs *more, mt_pairs *pairs) {
    for (int i = 0; i < more->count; i++) {
        int at = 0;
        while (at < pairs->count && strcmp(pairs->items[at].key, more->items[i].key) != 0) at++;
        if (at == MT_PAIRS_MAX) return MT_FAIL(CONFIG, "%s: more than %d pairs", row->name, MT_PAIRS_MAX);
        if (at == pairs->count) pairs->count++;
        pairs->items[at] = more->items[i];
    }
    return MT_OK;
}

static mt_status set_value(mt_options *options, size_t index, const mt_yaml_node *node, mt_option_from from,
    const char *where) {
    const mt_option *row = mt_options_row(options, index, NULL);
    mt_option_origin *origin = &options->origins[index];
    void *field = mt_options_field(options, index), *value = malloc(row->bytes);
    if (!value) return MT_FAIL(NO_MEMORY, "out of memory while reading %s", row->name);
    mt_status status = mt_option_read(row, node, value);
    // what comes from a lower place is checked all the same, and left out
    if (status == MT_OK && from >= origin->from) {
        bool again = row->type == MT_OPT_PAIRS && from == origin->from && from != MT_FROM_DEFAULT;
        if (again) status = merge_pairs(row, value, field);
        else memcpy(field, value, row->bytes);
        set_origin(origin, from, where);
    }
    free(value);
    return status;
}

static mt_status set_mapping(mt_options *options, size_t nest, const mt_yaml_node *mapping, mt_option_from from,
    const char *where);

static const char *node_place(const mt_yaml_node *node, const char *where, char *out, size_t out_bytes) {
    if (where) return where;
    snprintf(out, out_bytes, "%s:%d", node->source, node->line);
    return out;
}

static mt_status at_node(const mt_yaml_node *node, const char *where, mt_status status) {
    if (status == MT_OK) return MT_OK;
    if (where) return mt_fail_context(status, "%s: ", where);
    return mt_fail_context(status, "%s:%d:%d: ", node->source, node->line, node->column);
}

// policy_kwargs: a mapping, or the zoo's string that holds one
static mt_status set_nest(mt_options *options, size_t nest, const mt_yaml_node *node, mt_option_from from,
    const char *where) {
    if (mt_yaml_is_null(node)) return MT_OK;
    if (node->kind == MT_YAML_MAPPING) return set_mapping(options, nest, node, from, where);
    const char *name = options->sections[nest].nest;
    if (node->kind != MT_YAML_SCALAR)
        return at_node(node, where, MT_FAIL(CONFIG, "%s: expected a mapping or \"dict(...)\"", name));
    mt_yaml *doc = NULL;
    // messages and origins point into the file: the string's lines count from where it stands
    MT_TRY(mt_option_parse_structure(node->text, node->source, node->line, node->column, &doc));
    const mt_yaml_node *root = mt_yaml_root(doc);
    mt_status status;
    if (root->kind == MT_YAML_MAPPING) {
        char place[512];
        status = set_mapping(options, nest, root, from, node_place(node, where, place, sizeof place));
    } else status = at_node(node, where, MT_FAIL(CONFIG, "%s: expected a mapping or \"dict(...)\"", name));
    mt_yaml_destroy(doc);
    return status;
}

static size_t section_start(const mt_options *options, size_t section) {
    size_t start = 0;
    for (size_t s = 0; s < section; s++) start += options->sections[s].count;
    return start;
}

// Nullable: where (then the nodes say). nest: section_count while at the top level.
static mt_status set_key(mt_options *options, size_t nest, const mt_yaml_node *key, const mt_yaml_node *value,
    mt_option_from from, const char *where) {
    bool top = nest == options->section_count;
    const mt_option_section *only = top ? NULL : &options->sections[nest];
    size_t index = mt_options_index(options, key->text), inner = top ? nest_index(options, key->text) : nest;
    if (top && inner < options->section_count) return set_nest(options, inner, value, from, where);
    size_t start = top ? 0 : section_start(options, nest);
    bool found = index < options->count && (top || (index >= start && index < start + only->count));
    if (!found) return at_node(key, where, unknown_key(options, only, key->text));
    const mt_option *row = mt_options_row(options, index, NULL);
    if ((row->flags & MT_OPTION_CLI_ONLY) && from != MT_FROM_COMMAND_LINE)
        return at_node(key, where, MT_FAIL(CONFIG, "%s belongs on the command line, not into a file", row->name));
    char place[512];
    return at_node(value, where, set_value(options, index, value, from, node_place(key, where, place, sizeof place)));
}

static mt_status set_mapping(mt_options *options, size_t nest, const mt_yaml_node *mapping, mt_option_from from,
    const char *where) {
    for (size_t i = 0; i < mapping->count; i++)
        MT_TRY(set_key(options, nest, mapping->keys[i], mapping->items[i], from, where));
    return MT_OK;
}

mt_status mt_options_set_yaml(mt_options *options, const mt_yaml_node *mapping, mt_option_from from) {
    if (mt_yaml_is_null(mapping)) return MT_OK;
    if (mapping->kind != MT_YAML_MAPPING) return mt_yaml_fail(mapping, "expected \"key: value\" lines");
    return set_mapping(options, options->section_count, mapping, from, NULL);
}

mt_status mt_options_set_text(mt_options *options, const char *key, const char *value, mt_option_from from,
    const char *where) {
    const mt_option *row = mt_options_find(options, key);
    // as in mt_option_read_text: null is a word to a string option
    bool word = (row && row->type == MT_OPT_STRING) || *value == '\0';
    mt_yaml_node name = {.source = where, .line = 1, .column = 1, .tag = "", .text = key};
    mt_yaml_node node = {.source = where, .line = 1, .column = 1, .tag = "", .text = value, .quoted = word};
    return set_key(options, options->section_count, &name, &node, from, where);
}

void mt_options_mark(mt_options *options, const char *key, const char *where) {
    size_t index = mt_options_index(options, key);
    if (index < options->count) set_origin(&options->origins[index], options->origins[index].from, where);
}

mt_status mt_options_get_text(const mt_options *options, const char *key, mt_text *out) {
    size_t index = mt_options_index(options, key);
    if (index == options->count) return unknown_key(options, NULL, key);
    mt_option_write(mt_options_row(options, index, NULL), mt_options_field(options, index), false, out);
    return mt_text_status(out);
}

const char *mt_pairs_find(const mt_pairs *pairs, const char *key) {
    for (int i = 0; i < pairs->count; i++)
        if (strcmp(pairs->items[i].key, key) == 0) return pairs->items[i].value;
    return NULL;
}

// ---- start ----

static mt_status check_unique(const mt_options *options, size_t index) {
    const mt_option *row = mt_options_row(options, index, NULL);
    for (size_t i = 0; i < index; i++) {
        const mt_option *other = mt_options_row(options, i, NULL);
        if (mt_option_has_name(other, row->name, strlen(row->name)))
            return MT_FAIL(INTERNAL, "option %s is there twice", row->name);
        if (row->letter && row->letter == other->letter)
            return MT_FAIL(INTERNAL, "options %s and %s are both -%c", other->name, row->name, row->letter);
        for (const char *alias = row->aliases; alias && *alias; alias += strspn(alias, " ")) {
            size_t length = strcspn(alias, " ");
            if (mt_option_has_name(other, alias, length))
                return MT_FAIL(INTERNAL, "options %s and %s are both called %.*s", other->name, row->name, (int)length, alias);
            alias += length;
        }
    }
    if (nest_index(options, row->name) < options->section_count)
        return MT_FAIL(INTERNAL, "option %s is called like a section", row->name);
    return MT_OK;
}

static mt_status init_option(mt_options *options, size_t index) {
    const mt_option *row = mt_options_row(options, index, NULL);
    MT_TRY(mt_option_check_row(row));
    MT_TRY(check_unique(options, index));
    if (mt_option_read_text(row, row->standard, mt_options_field(options, index)) != MT_OK)
        return mt_fail_context(MT_INTERNAL, "default of option ");
    set_origin(&options->origins[index], MT_FROM_DEFAULT, "default");
    return MT_OK;
}

mt_status mt_options_init(mt_options *options, const mt_option_section *sections, size_t section_count) {
    *options = (mt_options){0};
    if (section_count > MT_OPTION_SECTIONS_MAX)
        return MT_FAIL(INTERNAL, "%zu option sections; at most %d", section_count, MT_OPTION_SECTIONS_MAX);
    for (size_t s = 0; s < section_count; s++) {
        if (sections[s].nest && nest_index(options, sections[s].nest) < options->section_count)
            return MT_FAIL(INTERNAL, "two option sections are called %s", sections[s].nest);
        options->sections[options->section_count++] = sections[s];
        options->count += sections[s].count;
    }
    options->origins = calloc(options->count + 1, sizeof *options->origins);
    if (!options->origins) return MT_FAIL(NO_MEMORY, "out of memory for %zu options", options->count);
    mt_status status = MT_OK;
    for (size_t i = 0; i < options->count && status == MT_OK; i++) status = init_option(options, i);
    if (status != MT_OK) mt_options_fini(options);
    return status;
}

void mt_options_fini(mt_options *options) {
    free(options->origins);
    *options = (mt_options){0};
}
