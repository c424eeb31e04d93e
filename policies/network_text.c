// Layers from text. A recursive-descent parser would be more than the language has: lines of words. One thread, at start-up.
#include "policies/network_text.h"

#include "engine/base/file.h"
#include "engine/base/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 24, WORD_BYTES = 64 };

typedef struct parser {
    mt_network_desc *desc;
    int first;                                  // layers that were there before
    const mt_input *inputs;
    int input_count, width;
    const char *prefix;
    const mt_policy_registry *plugins;              // Nullable
    char name[MT_NETWORK_MAX_LAYERS][WORD_BYTES];   // of each layer from `first` on; "" for none
    const mt_network_text *text;
    int line;                                   // from 1, as the text's author counts: pieces of a text that is all one line
    int tensor;                                 // what a layer without a name is called
    char word[WORDS_MAX][WORD_BYTES];           // of the line
    int words;
} parser;

// "layers, line 3", or of a file "conf.yml:12: layers": what every message about a layer begins with
static const char *place_of(const parser *p, char out[MT_LAYER_PLACE_BYTES]) {
    const mt_network_text *t = p->text;
    if (!t->file) snprintf(out, MT_LAYER_PLACE_BYTES, "layers, line %d", p->line);
    else {
        int whole = strlen(t->file) < MT_LAYER_PLACE_BYTES - 40, block = strchr(t->layers, '\n') != NULL;
        int n = snprintf(out, MT_LAYER_PLACE_BYTES, "%.70s:%d: layers", whole ? t->file : mt_path_name(t->file), t->file_line + (block ? p->line : 0));
        if (!block) snprintf(out + n, (size_t)(MT_LAYER_PLACE_BYTES - n), ", line %d", p->line);
    }
    return out;
}

#define LINE_FAIL(p, ...) line_fail(p, __LINE__, __VA_ARGS__)
static mt_status line_fail(const parser *p, int source_line, const char *format, ...) __attribute__((format(printf, 3, 4)));
static mt_status line_fail(const parser *p, int source_line, const char *format, ...) {
    char what[600], place[MT_LAYER_PLACE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return mt_fail(MT_CONFIG, __FILE__, source_line, "%s: %s", place_of(p, place), what);
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

// An activation by its name as --activation-fn takes it: nn.ReLU is relu.
static int activation_called(const char *name) {
    if (strncmp(name, "nn.", 3) == 0) name += 3;
    for (int a = 0; a < MT_ACT_COUNT; a++)
        if (mt_text_equal_fold(name, mt_activation_name((mt_activation)a))) return a;
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
    int units, kernel;           // whether it must have them
    const char *form, *example;
} kinds[] = {
    {"input", MT_LAYER_INPUT, 0, 0, "input NAME", "input"},
    {"dense", MT_LAYER_DENSE, 1, 0, "dense UNITS [ACTIVATION] [from A]", "dense 64"},
    {"conv2d", MT_LAYER_CONV2D, 1, 1, "conv2d UNITS KERNEL [stride N] [padding N] [ACTIVATION] [from A]", "conv2d 32 3"},
    {"max_pool2d", MT_LAYER_MAX_POOL2D, 0, 1, "max_pool2d KERNEL [stride N] [padding N] [from A]", "max_pool2d 2"},
    {"flatten", MT_LAYER_FLATTEN, 0, 0, "flatten [from A]", "flatten"},
    {"embedding", MT_LAYER_EMBEDDING, 1, 0, "embedding UNITS [from A]", "embedding 16"},
    {"layer_norm", MT_LAYER_LAYER_NORM, 0, 0, "layer_norm [ACTIVATION] [from A], without numbers", "layer_norm"},
    {"add", MT_LAYER_ADD, 0, 0, "add from A, B", "add from a, -1"},
    {"concat", MT_LAYER_CONCAT, 0, 0, "concat from A, B", "concat from a, -1"},
    {"lstm", MT_LAYER_LSTM, 1, 0, "lstm UNITS [from A]", "lstm 128"},
    {"gru", MT_LAYER_GRU, 1, 0, "gru UNITS [from A]", "gru 128"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const struct kind *kind_of(mt_layer_kind kind) {
    for (size_t k = 0; k < KINDS; k++)
        if (kinds[k].kind == kind) return &kinds[k];
    return NULL;   // an activation's or a plugin's
}

// `what` of a layer: a whole number of a range
static mt_status number_of(const parser *p, const mt_layer_desc *l, const char *what, int word, int least, int most, int *out) {
    const struct kind *k = kind_of(l->kind);
    int64_t value = 0;
    if (word >= p->words || strcmp(p->word[word], "from") == 0)
        return least < 1 || strcmp(what, "stride") == 0 ? LINE_FAIL(p, "a number is missing after \"%s\"", what)
                                                        : LINE_FAIL(p, "%s needs its %s: %s", k->name, what, k->example);
    if (mt_parse_i64(p->word[word], &value) != MT_OK) return LINE_FAIL(p, "%s: a whole number is wanted, not \"%s\"", what, p->word[word]);
    if (value < least || value > most) return LINE_FAIL(p, "%s of %lld %s; %d to %d are supported", k->name, (long long)value, what, least, most);
    *out = (int)value;
    return MT_OK;
}

static const char *activation_at(const void *unused, size_t index) {
    (void)unused;
    return mt_activation_name((mt_activation)index);
}

// all names of layers, the plugins' last
static const char *known_at(const void *plugins, size_t index) {
    if (index < KINDS) return kinds[index].name;
    if (index < KINDS + MT_ACT_COUNT) return mt_activation_name((mt_activation)(index - KINDS));
    return ((const mt_policy_registry *)plugins)->of[MT_PLUGIN_LAYER].entries[index - KINDS - MT_ACT_COUNT].name;
}

// names of other libraries for what is here
static const char *elsewhere(const char *name) {
    static const char *const dense[] = {"linear", "fc", "affine", "nn.linear"};
    for (size_t i = 0; i < sizeof dense / sizeof *dense; i++)
        if (mt_text_equal_fold(name, dense[i])) return "dense";
    return NULL;
}

static mt_status unknown_kind(const parser *p, const char *name) {
    char hint[96], all[400] = "";
    size_t count = KINDS + MT_ACT_COUNT + (p->plugins ? p->plugins->of[MT_PLUGIN_LAYER].count : 0);
    const char *near = elsewhere(name);
    mt_text_did_you_mean(near ? near : mt_text_nearest_at(name, known_at, p->plugins, count), hint, sizeof hint);
    if (*hint) return LINE_FAIL(p, "no layer is called \"%s\"%s", name, hint);
    for (size_t i = 0, used = 0; i < count && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", known_at(p->plugins, i));
    return LINE_FAIL(p, "no layer is called \"%s\"; there are %s (--plugin loads more)", name, all);
}

int mt_network_text_knows(const char *word) {
    static const char *const keywords[] = {"from", "stride", "padding"};
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(word, keywords[i]) == 0) return 1;
    for (size_t i = 0; i < KINDS + MT_ACT_COUNT; i++)
        if (strcmp(word, known_at(NULL, i)) == 0) return 1;
    return activation_called(word) >= 0;
}

// "board, speed"
static const char *list_inputs(const parser *p, char *out, size_t bytes) {
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < p->input_count && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%s", i ? ", " : "", p->inputs[i].name);
    return out;
}

static mt_status read_input(const parser *p, int *word, mt_layer_desc *l) {
    char parts[MT_MAX_INPUTS * (MT_INPUT_NAME_BYTES + 2)];
    const char *key = *word < p->words && strcmp(p->word[*word], "from") != 0 ? p->word[(*word)++] : "";
    int plain = p->input_count == 0 || (p->input_count == 1 && !*p->inputs[0].name);
    if (plain && *key) return LINE_FAIL(p, "the observation has no parts, and none called \"%s\": write \"input\" alone, or leave the line out", key);
    if (p->input_count == 0) {
        l->input = (mt_input){.kind = MT_INPUT_VECTOR, .width = p->width};
        return MT_OK;
    }
    for (int i = 0; i < p->input_count; i++)
        if (strcmp(p->inputs[i].name, key) == 0 || (p->input_count == 1 && !*key)) {
            l->input = p->inputs[i];
            return MT_OK;
        }
    list_inputs(p, parts, sizeof parts);
    if (!*key) return LINE_FAIL(p, "input needs the name of a part of the observation: %s", parts);
    return LINE_FAIL(p, "the observation has no input called \"%s\"; it has %s", key, parts);
}

// a word that nothing takes: a misspelt activation, or what the layer could have
static mt_status unknown_word(const parser *p, const mt_layer_desc *l, int activated, const char *word) {
    char hint[96] = "", form[96];
    if (activated) mt_text_did_you_mean(mt_text_nearest_at(word, activation_at, NULL, MT_ACT_COUNT), hint, sizeof hint);
    if (*hint) return LINE_FAIL(p, "\"%s\" is not understood here%s", word, hint);
    snprintf(form, sizeof form, "%s [from A]", mt_activation_name(l->activation));
    return LINE_FAIL(p, "\"%s\" is not understood here; the form is: %s", word, kind_of(l->kind) ? kind_of(l->kind)->form : form);
}

static mt_status read_rest(const parser *p, int word, mt_layer_desc *l) {
    int windowed = l->kind == MT_LAYER_CONV2D || l->kind == MT_LAYER_MAX_POOL2D;
    int activated = windowed ? l->kind == MT_LAYER_CONV2D : l->kind == MT_LAYER_DENSE || l->kind == MT_LAYER_LAYER_NORM;
    for (; word < p->words; word++) {
        const char *w = p->word[word];
        int activation = activation_called(w);
        if (strcmp(w, "from") == 0) return read_sources(p, word + 1, l);
        if (windowed && strcmp(w, "stride") == 0) MT_TRY(number_of(p, l, "stride", ++word, 1, MT_KERNEL_MAX, &l->stride));
        else if (windowed && strcmp(w, "padding") == 0) MT_TRY(number_of(p, l, "padding", ++word, 0, l->kernel - 1, &l->padding));
        else if (activated && activation >= 0) l->activation = (mt_activation)activation;
        else return unknown_word(p, l, activated, w);
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

// the one that is read where the text begins with another layer
static mt_status add_first_input(parser *p) {
    char parts[MT_MAX_INPUTS * (MT_INPUT_NAME_BYTES + 2)];
    if (p->input_count > 1)
        return LINE_FAIL(p, "the observation has %d inputs (%s): begin with \"input\" and the name of one", p->input_count,
            list_inputs(p, parts, sizeof parts));
    mt_layer_desc *input = mt_network_add(p->desc, MT_LAYER_INPUT, "");
    input->input = p->input_count ? p->inputs[0] : (mt_input){.kind = MT_INPUT_VECTOR, .width = p->width};
    p->name[0][0] = 0;
    return MT_OK;
}

// what a layer is told behind its name
static mt_status read_settings(const parser *p, int word, const char *name, mt_layer_desc *l) {
    const struct kind *k = kind_of(l->kind);
    if (l->kind == MT_LAYER_INPUT) MT_TRY(read_input(p, &word, l));
    if (k && k->units) MT_TRY(number_of(p, l, "units", word++, 1, MT_LAYER_MAX_UNITS, &l->units));
    if (k && k->kernel) MT_TRY(number_of(p, l, "kernel", word++, 1, MT_KERNEL_MAX, &l->kernel));
    MT_TRY(l->plugin ? read_plugin(p, word, l) : read_rest(p, word, l));
    if ((l->kind == MT_LAYER_ADD || l->kind == MT_LAYER_CONCAT) && l->source_count < 2)
        return LINE_FAIL(p, "%s of one layer does nothing; it wants two or more: %s", name, k->form);
    return MT_OK;
}

static int has_tensors(mt_layer_kind kind) {
    return kind == MT_LAYER_LAYER_NORM || (kind_of(kind) && kind_of(kind)->units);
}

// a name may move on to another line ("a = relu"), but tensors cannot share one
static mt_status check_name(const parser *p, const mt_layer_desc *l, const char *name) {
    for (int i = p->first; i < p->desc->count && has_tensors(l->kind); i++)
        if (has_tensors(p->desc->layer[i].kind) && strcmp(p->desc->layer[i].name, l->name) == 0)
            return LINE_FAIL(p, "another layer is called \"%s\" (%s); give it another name", name, p->desc->layer[i].place);
    return MT_OK;
}

static mt_status read_layer(parser *p) {
    int word = 0;
    char number[16];
    const char *given = "";
    if (p->words > 1 && strcmp(p->word[1], "=") == 0) given = p->word[0], word = 2;
    if (word >= p->words) return LINE_FAIL(p, "a layer is missing after \"%s =\"", given);
    const char *name = p->word[word++];
    int activation = activation_called(name), k = 0;
    while (k < KINDS && strcmp(kinds[k].name, name) != 0) k++;
    const mt_policy_entry *plugin = k == KINDS && activation < 0 ? mt_policy_registry_find(p->plugins, MT_PLUGIN_LAYER, name) : NULL;
    if (k == KINDS && activation < 0 && !plugin) return unknown_kind(p, name);
    if (p->desc->count == p->first && (k == KINDS || kinds[k].kind != MT_LAYER_INPUT)) MT_TRY(add_first_input(p));
    if (p->desc->count == MT_NETWORK_MAX_LAYERS) return LINE_FAIL(p, "more than %d layers", MT_NETWORK_MAX_LAYERS);
    mt_layer_desc l = {.kind = k < KINDS ? kinds[k].kind : plugin ? MT_LAYER_PLUGIN : MT_LAYER_ACTIVATION, .stride = 1};
    if (plugin) l.plugin = plugin->desc;
    else if (k == KINDS) l.activation = (mt_activation)activation;
    snprintf(number, sizeof number, "%d", p->tensor);
    snprintf(l.name, sizeof l.name, "%s%s", p->prefix, *given ? given : number);
    place_of(p, l.place);
    MT_TRY(read_settings(p, word, name, &l));
    MT_TRY(check_name(p, &l, *given ? given : number));
    strcpy(p->name[p->desc->count - p->first], given);
    p->desc->layer[p->desc->count++] = l;
    return MT_OK;
}

mt_status mt_network_text_add(mt_network_desc *desc, const mt_network_text *text, const mt_input *inputs, int input_count, int width,
    const char *prefix, const mt_policy_registry *plugins) {
    parser p = {.desc = desc, .first = desc->count, .inputs = inputs, .input_count = input_count, .width = width, .prefix = prefix,
        .plugins = plugins, .text = text, .line = 1};
    int lines = strchr(text->layers, '\n') != NULL;
    for (const char *at = text->layers; *at;) {
        size_t length = strcspn(at, "\n;");
        MT_TRY(split(&p, at, length));
        if (p.words) MT_TRY(read_layer(&p));
        if (p.words || at[length] != '\n') p.tensor++;   // an empty line is not counted
        at += length;
        p.line += lines ? *at == '\n' : *at == ';';
        at += *at != 0;
    }
    return desc->count > p.first ? MT_OK : MT_FAIL(CONFIG, "layers: there is no layer in the text");
}
