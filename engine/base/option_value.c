// Option values: one reader and one writer per type. Pure functions of their arguments.
#include "engine/base/option_value.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- ranges ----

static bool parse_bound(const char *text, size_t length, double *value, char copy[32]) {
    while (length && *text == ' ') text++, length--;
    while (length && text[length - 1] == ' ') length--;
    if (length == 0 || length >= 32) return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    bool infinite = strcmp(copy, "inf") == 0 || strcmp(copy, "-inf") == 0;
    if (infinite) *value = copy[0] == '-' ? -(double)INFINITY : (double)INFINITY;
    return infinite || mt_parse_f64(copy, value) == MT_OK;
}

mt_status mt_range_parse(const char *text, mt_range *out) {
    size_t length = strlen(text);
    const char *comma = strchr(text, ',');
    char first = text[0], last = length ? text[length - 1] : '\0';
    bool shaped = length >= 5 && comma && (first == '[' || first == '(') && (last == ']' || last == ')');
    *out = (mt_range){.low_open = first == '(', .high_open = last == ')'};
    if (!shaped || !parse_bound(text + 1, (size_t)(comma - text) - 1, &out->low, out->low_text) ||
        !parse_bound(comma + 1, length - (size_t)(comma - text) - 2, &out->high, out->high_text) || out->low > out->high)
        return MT_FAIL(INTERNAL, "the range \"%s\" is not of the form [a, b], (a, b], [a, inf)", text);
    return MT_OK;
}

bool mt_range_has(const mt_range *range, double value) {
    bool low = range->low_open ? value > range->low : value >= range->low;
    bool high = range->high_open ? value < range->high : value <= range->high;
    return low && high;
}

void mt_range_describe(const mt_range *range, mt_text *out) {
    bool low = isfinite(range->low), high = isfinite(range->high);
    if (low && high && !range->low_open && !range->high_open) {
        mt_text_printf(out, "%s to %s", range->low_text, range->high_text);
        return;
    }
    if (low) mt_text_printf(out, "%s %s", range->low_open ? "above" : "at least", range->low_text);
    if (low && high) mt_text_append(out, ", ");
    if (high) mt_text_printf(out, "%s %s", range->high_open ? "below" : "at most", range->high_text);
}

static mt_status check_range(const mt_option *row, double value, const char *text) {
    mt_range range;
    if (!row->range) return MT_OK;
    MT_TRY(mt_range_parse(row->range, &range));
    if (mt_range_has(&range, value)) return MT_OK;
    mt_text words = {0};
    mt_range_describe(&range, &words);
    mt_status status = MT_FAIL(CONFIG, "%s: %.60s is out of range: %s%s%s%s", row->name, text, mt_text_str(&words),
        row->why ? " (" : "", row->why ? row->why : "", row->why ? ")" : "");
    mt_text_fini(&words);
    return status;
}

// ---- reading scalars ----

static mt_status named(const mt_option *row, mt_status status) {
    return status == MT_OK ? MT_OK : mt_fail_context(MT_CONFIG, "%s: ", row->name);
}

static mt_status read_int(const mt_option *row, const char *text, void *field) {
    int64_t value = 0;
    MT_TRY(named(row, mt_parse_i64(text, &value)));
    MT_TRY(check_range(row, (double)value, text));
    if (row->bytes == sizeof(int64_t)) {
        memcpy(field, &value, sizeof value);
        return MT_OK;
    }
    int32_t narrow = (int32_t)value;
    if (narrow != value) return MT_FAIL(CONFIG, "%s: %.60s does not fit 32 bits: -2147483648 to 2147483647", row->name, text);
    memcpy(field, &narrow, sizeof narrow);
    return MT_OK;
}

static mt_status read_float(const mt_option *row, const char *text, void *field) {
    double value = 0;
    MT_TRY(named(row, mt_parse_f64(text, &value)));
    MT_TRY(check_range(row, value, text));
    if (row->bytes == sizeof(double)) {
        memcpy(field, &value, sizeof value);
        return MT_OK;
    }
    if (fabs(value) > (double)FLT_MAX) return MT_FAIL(CONFIG, "%s: %.60s does not fit single precision", row->name, text);
    float narrow = (float)value;
    memcpy(field, &narrow, sizeof narrow);
    return MT_OK;
}

static mt_status read_bool(const mt_option *row, const char *text, void *field) {
    bool value = false;
    MT_TRY(named(row, mt_parse_bool(text, &value)));
    if (row->bytes == sizeof(bool)) memcpy(field, &value, sizeof value);
    else memcpy(field, &(int){value}, sizeof(int));
    return MT_OK;
}

static mt_status read_string(const mt_option *row, const char *text, void *field) {
    size_t length = strlen(text);
    if (length >= row->bytes)
        return MT_FAIL(CONFIG, "%s: \"%.40s...\" is longer than %zu bytes", row->name, text, row->bytes - 1);
    if (!mt_text_is_utf8(text)) return MT_FAIL(CONFIG, "%s: the value is not UTF-8", row->name);
    memcpy(field, text, length + 1);
    return MT_OK;
}

size_t mt_option_choice_count(const mt_option *row) {
    size_t count = 0;
    while (row->choices && row->choices[count]) count++;
    return count;
}

static mt_status read_choice(const mt_option *row, const char *text, void *field) {
    // nn.ReLU and torch.nn.ReLU are how the zoo's files name activations
    const char *word = strncmp(text, "torch.", 6) == 0 ? text + 6 : text;
    if (strncmp(word, "nn.", 3) == 0) word += 3;
    size_t count = mt_option_choice_count(row);
    for (size_t i = 0; i < count; i++)
        if (mt_text_equal_fold(word, row->choices[i])) {
            memcpy(field, &(int){(int)i}, sizeof(int));
            return MT_OK;
        }
    char hint[96];
    mt_text_did_you_mean(mt_text_nearest(word, row->choices, count), hint, sizeof hint);
    mt_text list = {0};
    for (size_t i = 0; i < count; i++) mt_text_printf(&list, "%s%s", i ? ", " : "", row->choices[i]);
    mt_status status = MT_FAIL(CONFIG, "%s: \"%.60s\" is none of %s%s", row->name, text, mt_text_str(&list), hint);
    mt_text_fini(&list);
    return status;
}

static mt_status read_schedule(const mt_option *row, const char *text, void *field) {
    mt_schedule value;
    memset(&value, 0, sizeof value);   // padding too: objects are compared by memcmp
    value.linear = strncmp(text, "lin_", 4) == 0;
    if (mt_parse_f64(value.linear ? text + 4 : text, &value.value) != MT_OK)
        return MT_FAIL(CONFIG, "%s: \"%.60s\" is neither a number nor lin_NUMBER (falls linearly to 0)", row->name, text);
    MT_TRY(check_range(row, value.value, text));
    memcpy(field, &value, sizeof value);
    return MT_OK;
}

// ---- reading lists and mappings ----

mt_status mt_option_parse_structure(const char *text, const char *source, int line, int column, mt_yaml **out) {
    if (strstr(text, "dict(")) return mt_yaml_parse_pydict(text, source, line, column, out);
    return mt_yaml_load_text(text, strlen(text), source, NULL, out);
}

static mt_status expected_list(const mt_option *row, const char *what) {
    return MT_FAIL(CONFIG, "%s: expected %s, for example [64, 64]", row->name, what);
}

static mt_status add_item(const mt_option *row, const mt_yaml_node *node, mt_int_list *list) {
    int64_t value = 0;
    if (node->kind != MT_YAML_SCALAR) return expected_list(row, "whole numbers in the list");
    if (list->count == MT_INT_LIST_MAX)
        return MT_FAIL(CONFIG, "%s: more than %d numbers in a list", row->name, MT_INT_LIST_MAX);
    MT_TRY(named(row, mt_parse_i64(node->text, &value)));
    MT_TRY(check_range(row, (double)value, node->text));
    if (value != (int32_t)value) return MT_FAIL(CONFIG, "%s: %.60s does not fit 32 bits", row->name, node->text);
    list->items[list->count++] = (int)value;
    return MT_OK;
}

static mt_status read_list(const mt_option *row, const mt_yaml_node *node, mt_int_list *list) {
    memset(list, 0, sizeof *list);
    if (node->kind != MT_YAML_SEQUENCE) return expected_list(row, "a list of whole numbers");
    for (size_t i = 0; i < node->count; i++) MT_TRY(add_item(row, node->items[i], list));
    return MT_OK;
}

static mt_int_list *list_called(const mt_option *row, mt_int_list *lists, const char *name) {
    for (size_t i = 0; i < mt_option_choice_count(row); i++)
        if (strcmp(row->choices[i], name) == 0) return &lists[i];
    return NULL;
}

static mt_status read_named_lists(const mt_option *row, const mt_yaml_node *node, mt_int_list *lists) {
    for (size_t i = 0; i < node->count; i++) {
        mt_int_list *list = list_called(row, lists, node->keys[i]->text);
        if (list) {
            MT_TRY(read_list(row, node->items[i], list));
            continue;
        }
        char hint[96];
        size_t count = mt_option_choice_count(row);
        mt_text_did_you_mean(mt_text_nearest(node->keys[i]->text, row->choices, count), hint, sizeof hint);
        return MT_FAIL(CONFIG, "%s: there is no list \"%.60s\" in it%s", row->name, node->keys[i]->text, hint);
    }
    return MT_OK;
}

// [a, b] sets every list (one called "shared" becomes empty: Stable-Baselines3 shares no layers unless told);
// [a, {pi: [b], vf: [c]}], its older form, puts the numbers into "shared".
static mt_status read_plain_lists(const mt_option *row, const mt_yaml_node *node, mt_int_list *lists) {
    size_t count = mt_option_choice_count(row);
    mt_int_list numbers = {0}, *shared = list_called(row, lists, "shared");
    const mt_yaml_node *tail = node->count ? node->items[node->count - 1] : NULL;
    bool mixed = tail && tail->kind == MT_YAML_MAPPING;
    for (size_t i = 0; i < node->count - mixed; i++) MT_TRY(add_item(row, node->items[i], &numbers));
    if (mixed && numbers.count && !shared) return expected_list(row, "either numbers or a mapping in the list");
    if (!mixed)
        for (size_t i = 0; i < count; i++) lists[i] = numbers;
    if (shared) *shared = mixed ? numbers : (mt_int_list){0};
    return mixed ? read_named_lists(row, tail, lists) : MT_OK;
}

// the default's lists, as a start for a mapping that names some of them; a default that is a mapping starts from nothing
static mt_status read_standard_lists(const mt_option *row, mt_int_list *lists) {
    mt_yaml *doc = NULL;
    MT_TRY(mt_option_parse_structure(row->standard, "default", 1, 1, &doc));
    const mt_yaml_node *root = mt_yaml_root(doc);
    mt_status status = root->kind == MT_YAML_MAPPING    ? read_named_lists(row, root, lists)
                       : root->kind == MT_YAML_SEQUENCE ? read_plain_lists(row, root, lists)
                                                        : MT_OK;
    mt_yaml_destroy(doc);
    return status;
}

static mt_status read_int_list(const mt_option *row, const mt_yaml_node *node, void *field) {
    mt_int_list *lists = field;
    if (!row->choices) return read_list(row, node, lists);
    if (node->kind == MT_YAML_SEQUENCE) return read_plain_lists(row, node, lists);
    if (node->kind != MT_YAML_MAPPING) return expected_list(row, "a list of whole numbers or a mapping of lists");
    // names left out have the default, whatever was there before: the result must not depend on the order of sources
    MT_TRY(read_standard_lists(row, lists));
    return read_named_lists(row, node, lists);
}

static mt_status add_pair(const mt_option *row, const char *key, size_t key_length, const char *value, mt_pairs *pairs) {
    size_t value_length = strlen(value);
    if (key_length == 0) return MT_FAIL(CONFIG, "%s: expected key:value, found \"%.60s\"", row->name, value);
    if (key_length >= MT_PAIR_KEY_BYTES || value_length >= MT_PAIR_VALUE_BYTES)
        return MT_FAIL(CONFIG, "%s: \"%.40s\": keys have at most %d bytes, values %d", row->name, key, MT_PAIR_KEY_BYTES - 1,
            MT_PAIR_VALUE_BYTES - 1);
    if (!mt_text_is_utf8(value) || !mt_text_is_utf8(key)) return MT_FAIL(CONFIG, "%s: not UTF-8", row->name);
    if (pairs->count == MT_PAIRS_MAX) return MT_FAIL(CONFIG, "%s: more than %d pairs", row->name, MT_PAIRS_MAX);
    memcpy(pairs->items[pairs->count].key, key, key_length);
    memcpy(pairs->items[pairs->count].value, value, value_length);
    pairs->count++;
    return MT_OK;
}

static mt_status read_pairs(const mt_option *row, const mt_yaml_node *node, void *field) {
    if (node->kind == MT_YAML_SCALAR) {
        const char *colon = strchr(node->text, ':');
        if (*node->text == '\0') return MT_OK;
        return add_pair(row, node->text, colon ? (size_t)(colon - node->text) : 0, colon ? colon + 1 : node->text, field);
    }
    if (node->kind != MT_YAML_MAPPING) return MT_FAIL(CONFIG, "%s: expected key: value pairs", row->name);
    for (size_t i = 0; i < node->count; i++) {
        const char *key = node->keys[i]->text;
        if (node->items[i]->kind != MT_YAML_SCALAR)
            return MT_FAIL(CONFIG, "%s: the value of \"%.60s\" must be one word or number", row->name, key);
        MT_TRY(add_pair(row, key, strlen(key), node->items[i]->text, field));
    }
    return MT_OK;
}

// ---- the two entries ----

static bool is_structured(const mt_option *row) { return row->type == MT_OPT_INT_LIST || row->type == MT_OPT_PAIRS; }

static mt_status read_scalar(const mt_option *row, const char *text, void *field) {
    switch (row->type) {
    case MT_OPT_BOOL: return read_bool(row, text, field);
    case MT_OPT_INT: return read_int(row, text, field);
    case MT_OPT_FLOAT: return read_float(row, text, field);
    case MT_OPT_STRING: return read_string(row, text, field);
    case MT_OPT_CHOICE: return read_choice(row, text, field);
    case MT_OPT_SCHEDULE: return read_schedule(row, text, field);
    case MT_OPT_INT_LIST:
    case MT_OPT_PAIRS: break;
    }
    return MT_FAIL(INTERNAL, "%s: not a scalar type", row->name);
}

static mt_status read_structure(const mt_option *row, const mt_yaml_node *node, void *field) {
    return row->type == MT_OPT_INT_LIST ? read_int_list(row, node, field) : read_pairs(row, node, field);
}

// a string that stands for a list or mapping: "[64, 64]", "64,64", "{a: 1}", "dict(a=1)", "key:value"
static mt_status read_structure_text(const mt_option *row, const mt_yaml_node *node, void *field) {
    const char *text = node->text;
    bool numbers = row->type == MT_OPT_INT_LIST && *text >= '0' && *text <= '9';
    bool structure = *text == '[' || *text == '{' || strncmp(text, "dict(", 5) == 0;
    if (!numbers && !structure) return read_structure(row, node, field);
    mt_text bracketed = {0};
    mt_yaml *doc = NULL;
    mt_text_printf(&bracketed, numbers ? "[%s]" : "%s", text);
    mt_status status = mt_text_status(&bracketed);
    if (status == MT_OK)
        status = named(row, mt_option_parse_structure(mt_text_str(&bracketed), "value", node->line, node->column, &doc));
    if (status == MT_OK) status = read_structure(row, mt_yaml_root(doc), field);
    mt_yaml_destroy(doc);
    mt_text_fini(&bracketed);
    return status;
}

// "off" may lie outside the range of what is on
static mt_status read_none(const mt_option *row, void *field) {
    mt_option unbounded = *row;
    unbounded.range = NULL;
    return read_scalar(&unbounded, row->none, field);
}

static mt_status read_into(const mt_option *row, const mt_yaml_node *node, void *field) {
    if (mt_yaml_is_null(node)) {
        if (row->none) return read_none(row, field);
        if (row->type == MT_OPT_PAIRS) return MT_OK;
        return MT_FAIL(CONFIG, "%s: needs a value (%s), found nothing or null", row->name, mt_option_type_name(row->type));
    }
    if (is_structured(row))
        return node->kind == MT_YAML_SCALAR ? read_structure_text(row, node, field) : read_structure(row, node, field);
    if (node->kind != MT_YAML_SCALAR)
        return MT_FAIL(CONFIG, "%s: expected one value (%s), found a %s%s%s%s", row->name, mt_option_type_name(row->type),
            node->kind == MT_YAML_SEQUENCE ? "list" : "mapping", row->type == MT_OPT_STRING ? "; several lines of text are written \"" : "",
            row->type == MT_OPT_STRING ? row->name : "", row->type == MT_OPT_STRING ? ": |\" and a line each below it" : "");
    return read_scalar(row, node->text, field);
}

mt_status mt_option_read(const mt_option *row, const mt_yaml_node *node, void *field) {
    void *value = calloc(1, row->bytes);
    if (!value) return MT_FAIL(NO_MEMORY, "out of memory while reading %s", row->name);
    mt_status status = read_into(row, node, value);
    if (status == MT_OK) memcpy(field, value, row->bytes);
    free(value);
    return status;
}

mt_status mt_option_read_text(const mt_option *row, const char *text, void *field) {
    // in a string option the word null is a word; an empty text is never null
    bool word = row->type == MT_OPT_STRING || *text == '\0';
    mt_yaml_node node = {.kind = MT_YAML_SCALAR, .quoted = word, .line = 1, .column = 1, .source = "", .tag = "", .text = text};
    return mt_option_read(row, &node, field);
}

// ---- writing ----

static void write_list(const mt_int_list *list, mt_text *out) {
    mt_text_append(out, "[");
    for (int i = 0; i < list->count; i++) mt_text_printf(out, "%s%d", i ? ", " : "", list->items[i]);
    mt_text_append(out, "]");
}

static void write_lists(const mt_option *row, const mt_int_list *lists, mt_text *out) {
    if (!row->choices) {
        write_list(lists, out);
        return;
    }
    mt_text_append(out, "{");
    for (size_t i = 0; i < mt_option_choice_count(row); i++) {
        mt_text_printf(out, "%s%s: ", i ? ", " : "", row->choices[i]);
        write_list(&lists[i], out);
    }
    mt_text_append(out, "}");
}

static void write_pairs(const mt_pairs *pairs, mt_text *out) {
    mt_text_append(out, "{");
    for (int i = 0; i < pairs->count; i++) {
        if (i) mt_text_append(out, ", ");
        mt_yaml_write_string(out, pairs->items[i].key);
        mt_text_append(out, ": ");
        // numbers and truth values bare, as people write them; what reads back is the text in either case
        double number;
        bool truth, bare = mt_parse_f64(pairs->items[i].value, &number) == MT_OK ||
            (mt_parse_bool(pairs->items[i].value, &truth) == MT_OK);
        if (bare) mt_text_append(out, pairs->items[i].value);
        else mt_yaml_write_string(out, pairs->items[i].value);
    }
    mt_text_append(out, "}");
}

static int64_t load_int(const mt_option *row, const void *field) {
    int32_t narrow = 0;
    int64_t value = 0;
    if (row->bytes == sizeof value) memcpy(&value, field, sizeof value);
    else memcpy(&narrow, field, sizeof narrow), value = narrow;
    return value;
}

static void write_bool(const mt_option *row, const void *field, mt_text *out) {
    int wide = 0;
    if (row->bytes == sizeof wide) memcpy(&wide, field, sizeof wide);
    else wide = *(const bool *)field;
    mt_text_append(out, wide ? "true" : "false");
}

static void write_float(const mt_option *row, const void *field, mt_text *out) {
    char text[MT_F64_TEXT_BYTES];
    double value = 0;
    float narrow = 0;
    if (row->bytes == sizeof value) memcpy(&value, field, sizeof value), mt_format_f64(value, text, sizeof text);
    else memcpy(&narrow, field, sizeof narrow), mt_format_f32(narrow, text, sizeof text);
    mt_text_append(out, text);
}

static void write_schedule(const void *field, mt_text *out) {
    char text[MT_F64_TEXT_BYTES];
    mt_schedule value;
    memcpy(&value, field, sizeof value);
    mt_text_printf(out, "%s%s", value.linear ? "lin_" : "", mt_format_f64(value.value, text, sizeof text));
}

static bool equals_none(const mt_option *row, const void *field) {
    if (!row->none || is_structured(row) || row->type == MT_OPT_STRING) return false;
    char none[sizeof(mt_schedule)] = {0};
    return row->bytes <= sizeof none && read_none(row, none) == MT_OK && memcmp(none, field, row->bytes) == 0;
}

void mt_option_write(const mt_option *row, const void *field, bool yaml, mt_text *out) {
    if (equals_none(row, field)) {
        mt_text_append(out, "null");
        return;
    }
    switch (row->type) {
    case MT_OPT_BOOL: write_bool(row, field, out); break;
    case MT_OPT_INT: mt_text_printf(out, "%lld", (long long)load_int(row, field)); break;
    case MT_OPT_FLOAT: write_float(row, field, out); break;
    case MT_OPT_SCHEDULE: write_schedule(field, out); break;
    case MT_OPT_INT_LIST: write_lists(row, field, out); break;
    case MT_OPT_PAIRS: write_pairs(field, out); break;
    case MT_OPT_STRING:
        if (yaml) mt_yaml_write_string(out, field);
        else mt_text_append(out, field);
        break;
    case MT_OPT_CHOICE: {
        int index = 0;
        memcpy(&index, field, sizeof index);
        bool known = index >= 0 && (size_t)index < mt_option_choice_count(row);
        mt_text_append(out, known ? row->choices[index] : "?");
    }
    }
}

// ---- rows ----

const char *mt_option_type_name(mt_option_type type) {
    static const char *const names[] = {"switch", "integer", "number", "text", "choice", "schedule", "list of integers",
        "key:value pairs"};
    return (unsigned)type < MT_COUNT(names) ? names[type] : "?";
}

static bool size_fits(const mt_option *row) {
    size_t lists = row->choices ? mt_option_choice_count(row) : 1;
    switch (row->type) {
    case MT_OPT_BOOL: return row->bytes == sizeof(bool) || row->bytes == sizeof(int);
    case MT_OPT_INT: return row->bytes == sizeof(int32_t) || row->bytes == sizeof(int64_t);
    case MT_OPT_FLOAT: return row->bytes == sizeof(float) || row->bytes == sizeof(double);
    case MT_OPT_STRING: return row->bytes > 1;
    case MT_OPT_CHOICE: return row->bytes == sizeof(int) && mt_option_choice_count(row) > 0;
    case MT_OPT_SCHEDULE: return row->bytes == sizeof(mt_schedule);
    case MT_OPT_INT_LIST: return row->bytes == lists * sizeof(mt_int_list);
    case MT_OPT_PAIRS: return row->bytes == sizeof(mt_pairs);
    }
    return false;
}

mt_status mt_option_check_row(const mt_option *row) {
    mt_range range;
    if (!row->name || !*row->name) return MT_FAIL(INTERNAL, "an option without a name");
    if (!size_fits(row))
        return MT_FAIL(INTERNAL, "option %s: a field of %zu bytes cannot hold a %s", row->name, row->bytes,
            mt_option_type_name(row->type));
    if (!row->standard) return MT_FAIL(INTERNAL, "option %s has no default", row->name);
    if (!row->help || !row->group) return MT_FAIL(INTERNAL, "option %s has no help or no group", row->name);
    if (row->range && mt_range_parse(row->range, &range) != MT_OK) return mt_fail_context(MT_INTERNAL, "option %s: ", row->name);
    if (row->range && !row->why) return MT_FAIL(INTERNAL, "option %s has a range and no reason for it", row->name);
    return MT_OK;
}
