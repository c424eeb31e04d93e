// One option's value: text and YAML nodes into the field, and back. Internal to engine/base (option*.c).
#ifndef MANTA_ENGINE_BASE_OPTION_VALUE_H
#define MANTA_ENGINE_BASE_OPTION_VALUE_H

#include "engine/base/option.h"

// An interval of real numbers, from a row's .range
typedef struct mt_range {
    double low, high;             // ±infinity where there is no bound
    bool low_open, high_open;     // the bound itself is outside
    char low_text[32], high_text[32];
} mt_range;

mt_status mt_range_parse(const char *text, mt_range *out);      // MT_INTERNAL: ranges stand in the program's own tables
bool mt_range_has(const mt_range *range, double value);
void mt_range_describe(const mt_range *range, mt_text *out);    // "at least 1", "above 0, at most 1", "0 to 1"; "" = any

// Reads a value into `field` (row->bytes, zeroed by the callee first; untouched on failure). Messages begin with the
// option's name and say nothing of the place: the caller adds it. `value` may be a scalar that holds "[64, 64]" or
// "dict(...)" where a list or mapping is wanted.
mt_status mt_option_read(const mt_option *row, const mt_yaml_node *value, void *field);
mt_status mt_option_read_text(const mt_option *row, const char *text, void *field);

// Appends the value as YAML writes it, or (yaml = false) bare, as read_text takes it.
void mt_option_write(const mt_option *row, const void *field, bool yaml, mt_text *out);

// "[...]", "{...}" or "dict(...)" in a string, as a tree
mt_status mt_option_parse_structure(const char *text, const char *source, int line, int column, mt_yaml **out);

mt_status mt_option_check_row(const mt_option *row);            // MT_INTERNAL: the size does not fit the type, ...
const char *mt_option_type_name(mt_option_type type);           // "integer", "number", ...
size_t mt_option_choice_count(const mt_option *row);

// name of the i-th option of all sections; for "did you mean". The place in the sections comes back in *section, *row.
const mt_option *mt_options_row(const mt_options *options, size_t index, size_t *section);
void *mt_options_field(const mt_options *options, size_t index);
bool mt_option_has_name(const mt_option *row, const char *key, size_t length);   // name or alias; '-' equals '_'
// index of all, or options->count
size_t mt_options_index(const mt_options *options, const char *key);

#endif
