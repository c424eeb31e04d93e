// Layers from text. A recursive-descent parser would be more than the language has: lines of words. One thread, at start-up.
#include "policies/network_text.h"

#include "engine/base/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 24, WORD_BYTES = 64, LINE_BYTES = 256 };

typedef struct parser {
    mt_network_desc *desc;
    int first;                                  // layers that were there before
    const mt_input *inputs;
    int input_count, width;
    const char *prefix;
    const mt_policy_registry *plugins;              // Nullable
    char name[MT_NETWORK_MAX_LAYERS][WORD_BYTES];   // of each layer from `first` on; "" for none
    int line;                                   // from 1
    char word[WORDS_MAX][WORD_BYTES];           // of the line
    int words;
} parser;

#define LINE_FAIL(p, ...) line_fail(p, __LINE__, __VA_ARGS__)
static mt_status line_fail(const parser *p, int source_line, const char *format, ...) __attribute__((format(printf, 3, 4)));
static mt_status line_fail(const parser *p, int source_line, const char *format, ...) {
    char what[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return mt_fail(MT_CONFIG, __FILE__, source_line, "layers, line %d: %s", p->line, what);
}

// words of letters, digits and _ . - / ; "=" and "," stand alone; "#" ends the line
static mt_status split(parser *p, const char *line, size_t length) {
    p->words = 0;
    for (size_t i = 0; i < length && line[i] != '#';) {
        if (isspace((unsigned char)line[i])) {
            i++;
            continue;
        }
        size_t n = 1;
        if (line[i] != '=' && line[i] != ',')
            while (i + n < length && !isspace((unsigned char)line[i + n]) && !strchr("=,#", line[i + n])) n++;
        if (p->words == WORDS_MAX || n >= WORD_BYTES) return LINE_FAIL(p, "it is too long");
        memcpy(p->word[p->words], line + i, n), p->word[p->words++][n] = 0;
        i += n;
    }
    return MT_OK;
}

static mt_status number_of(const parser *p, const char *what, int word, int *out) {
    int64_t value = 0;
    if (word >= p->words || mt_parse_i64(p->word[word], &value) != MT_OK || value < 0 || value > MT_LAYER_MAX_SIZE)
        return LINE_FAIL(p, "%s: a whole number is wanted, not \"%s\"", what, word < p->words ? p->word[word] : "");
    *out = (int)value;
    return MT_OK;
}

static int activation_called(const char *name) {
    for (int a = 0; a < MT_ACT_COUNT; a++)
        if (strcmp(name, mt_activation_name((mt_activation)a)) == 0) return a;
    return -1;
}

// ---- what a line reads

static mt_status find_source(const parser *p, const char *name, int *out) {
    int here = p->desc->count;
    int64_t back = 0;
    for (int i = here - 1; i >= p->first; i--)
        if (strcmp(p->name[i - p->first], name) == 0) {
            *out = i;
            return MT_OK;
        }
    if (mt_parse_i64(name, &back) == MT_OK && back < 0 && here + back >= p->first) {
        *out = (int)(here + back);
        return MT_OK;
    }
    return LINE_FAIL(p, "no line before it is called \"%s\" (or use -1 for the one before)", name);
}

// "from A, B": the words after `from`
static mt_status read_sources(const parser *p, int word, mt_layer_desc *l) {
    for (int w = word; w < p->words; w++) {
        if (strcmp(p->word[w], ",") == 0) continue;
        if (l->source_count == MT_LAYER_MAX_SOURCES) return LINE_FAIL(p, "it reads more than %d layers", MT_LAYER_MAX_SOURCES);
        MT_TRY(find_source(p, p->word[w], &l->source[l->source_count++]));
    }
    return l->source_count ? MT_OK : LINE_FAIL(p, "nothing after \"from\"");
}

// ---- a line

static const struct kind {
    const char *name;
    mt_layer_kind kind;
    int numbers;   // that it must have: units, then the kernel
} kinds[] = {
    {"input", MT_LAYER_INPUT, 0}, {"dense", MT_LAYER_DENSE, 1}, {"conv2d", MT_LAYER_CONV2D, 2}, {"max_pool2d", MT_LAYER_MAX_POOL2D, 1},
    {"flatten", MT_LAYER_FLATTEN, 0}, {"embedding", MT_LAYER_EMBEDDING, 1}, {"layer_norm", MT_LAYER_LAYER_NORM, 0},
    {"add", MT_LAYER_ADD, 0}, {"concat", MT_LAYER_CONCAT, 0}, {"lstm", MT_LAYER_LSTM, 1}, {"gru", MT_LAYER_GRU, 1},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

// all names of layers, the plugins' last
static const char *known_at(const void *plugins, size_t index) {
    if (index < KINDS) return kinds[index].name;
    if (index < KINDS + MT_ACT_COUNT) return mt_activation_name((mt_activation)(index - KINDS));
    return ((const mt_policy_registry *)plugins)->of[MT_PLUGIN_LAYER].entries[index - KINDS - MT_ACT_COUNT].name;
}

static mt_status unknown_kind(const parser *p, const char *name) {
    char hint[96];
    size_t count = KINDS + MT_ACT_COUNT + (p->plugins ? p->plugins->of[MT_PLUGIN_LAYER].count : 0);
    mt_text_did_you_mean(mt_text_nearest_at(name, known_at, p->plugins, count), hint, sizeof hint);
    return LINE_FAIL(p, "no layer is called \"%s\"%s", name, *hint ? hint : " (--plugin loads more)");
}

int mt_network_text_knows(const char *word) {
    static const char *const keywords[] = {"from", "stride", "padding"};
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(word, keywords[i]) == 0) return 1;
    for (size_t i = 0; i < KINDS + MT_ACT_COUNT; i++)
        if (strcmp(word, known_at(NULL, i)) == 0) return 1;
    return 0;
}

static mt_status read_input(const parser *p, int *word, mt_layer_desc *l) {
    const char *key = *word < p->words && strcmp(p->word[*word], "from") != 0 ? p->word[(*word)++] : "";
    if (p->input_count == 0) {
        l->input = (mt_input){.kind = MT_INPUT_VECTOR, .width = p->width};
        return *key ? LINE_FAIL(p, "the observation has one input without a name, not \"%s\"", key) : MT_OK;
    }
    for (int i = 0; i < p->input_count; i++)
        if (strcmp(p->inputs[i].name, key) == 0 || (p->input_count == 1 && !*key)) {
            l->input = p->inputs[i];
            return MT_OK;
        }
    return LINE_FAIL(p, "the observation has no input called \"%s\"; the first is \"%s\" of %d", key, p->inputs[0].name, p->input_count);
}

static mt_status read_rest(const parser *p, int word, mt_layer_desc *l) {
    int windowed = l->kind == MT_LAYER_CONV2D || l->kind == MT_LAYER_MAX_POOL2D;
    int activated = windowed ? l->kind == MT_LAYER_CONV2D : l->kind == MT_LAYER_DENSE || l->kind == MT_LAYER_LAYER_NORM;
    for (; word < p->words; word++) {
        const char *w = p->word[word];
        int activation = activation_called(w);
        if (strcmp(w, "from") == 0) return read_sources(p, word + 1, l);
        if (windowed && strcmp(w, "stride") == 0) MT_TRY(number_of(p, "stride", ++word, &l->stride));
        else if (windowed && strcmp(w, "padding") == 0) MT_TRY(number_of(p, "padding", ++word, &l->padding));
        else if (activated && activation >= 0) l->activation = (mt_activation)activation;
        else
            return LINE_FAIL(p, "\"%s\" is not understood here; a layer's numbers come first, then %s\"from\" and what it reads", w,
                windowed ? "stride, padding, an activation, " : activated ? "an activation, " : "");
    }
    return MT_OK;
}

// what stands behind the name of a plugin's layer: its numbers, then what it reads
static mt_status read_plugin(const parser *p, int word, mt_layer_desc *l) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < l->plugin->number_count; i++) l->numbers[i] = l->plugin->numbers[i].standard;
    for (double number; word < p->words && mt_parse_f64(p->word[word], &number) == MT_OK; word++) {
        if (count == l->plugin->number_count)
            return LINE_FAIL(p, "%s takes at most %u number%s", l->plugin->name, count, count == 1 ? "" : "s");
        l->numbers[count++] = number;
    }
    if (word == p->words) return MT_OK;
    if (strcmp(p->word[word], "from") == 0) return read_sources(p, word + 1, l);
    return LINE_FAIL(p, "\"%s\" is not understood behind %s; its numbers come first, then \"from\" and what it reads", p->word[word], l->plugin->name);
}

static mt_status read_layer(parser *p) {
    int word = 0, number = p->desc->count - p->first;
    const char *given = "";
    if (p->words > 1 && strcmp(p->word[1], "=") == 0) given = p->word[0], word = 2;
    if (word >= p->words) return LINE_FAIL(p, "a layer is missing after \"%s =\"", given);
    const char *name = p->word[word++];
    int activation = activation_called(name), k = 0;
    while (k < KINDS && strcmp(kinds[k].name, name) != 0) k++;
    const mt_policy_entry *plugin = k == KINDS && activation < 0 ? mt_policy_registry_find(p->plugins, MT_PLUGIN_LAYER, name) : NULL;
    if (k == KINDS && activation < 0 && !plugin) return unknown_kind(p, name);
    if (number == 0 && (k == KINDS || kinds[k].kind != MT_LAYER_INPUT)) {
        if (p->input_count > 1) return LINE_FAIL(p, "the observation has %d inputs: begin with \"input\" and the name of one", p->input_count);
        mt_layer_desc *input = mt_network_add(p->desc, MT_LAYER_INPUT, "");
        input->input = p->input_count ? p->inputs[0] : (mt_input){.kind = MT_INPUT_VECTOR, .width = p->width};
        p->name[number++][0] = 0;
    }
    if (p->desc->count == MT_NETWORK_MAX_LAYERS) return LINE_FAIL(p, "more than %d layers", MT_NETWORK_MAX_LAYERS);
    mt_layer_desc l = {.kind = k < KINDS ? kinds[k].kind : plugin ? MT_LAYER_PLUGIN : MT_LAYER_ACTIVATION, .stride = 1};
    if (plugin) l.plugin = plugin->desc;
    else if (k == KINDS) l.activation = (mt_activation)activation;
    if (*given) snprintf(l.name, sizeof l.name, "%s%s", p->prefix, given);
    else snprintf(l.name, sizeof l.name, "%s%d", p->prefix, p->line - 1);
    if (l.kind == MT_LAYER_INPUT) MT_TRY(read_input(p, &word, &l));
    if (l.kind != MT_LAYER_MAX_POOL2D && k < KINDS && kinds[k].numbers > 0) MT_TRY(number_of(p, "units", word++, &l.units));
    if (l.kind == MT_LAYER_MAX_POOL2D || l.kind == MT_LAYER_CONV2D) MT_TRY(number_of(p, "kernel", word++, &l.kernel));
    MT_TRY(plugin ? read_plugin(p, word, &l) : read_rest(p, word, &l));
    strcpy(p->name[number], given);
    p->desc->layer[p->desc->count++] = l;
    return MT_OK;
}

mt_status mt_network_text_add(mt_network_desc *desc, const char *text, const mt_input *inputs, int input_count, int width,
    const char *prefix, const mt_policy_registry *plugins) {
    parser p = {.desc = desc, .first = desc->count, .inputs = inputs, .input_count = input_count, .width = width, .prefix = prefix, .plugins = plugins};
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, "\n;");
        p.line++;
        MT_TRY(split(&p, at, length));
        if (p.words) MT_TRY(read_layer(&p));
        else p.line -= at[length] == '\n';   // an empty line is not counted
        at += length + (at[length] != 0);
    }
    return desc->count > p.first ? MT_OK : MT_FAIL(CONFIG, "layers: there is no layer in the text");
}
