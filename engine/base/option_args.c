// Options from a command line. Every word is either a flag, a flag's value, or a positional argument: nothing is guessed.
#include <ctype.h>
#include <string.h>
#include "engine/base/option_value.h"

enum { NAME_BYTES = 96 };

typedef struct arg_reader {
    mt_options *options;
    int argc, at;               // at: the next word
    char *const *argv;
} arg_reader;

static const char here[] = "command line";

// ---- did you mean ----

static const char *flag_at(const void *list, size_t index) {
    static const char *const others[] = {"help", "hyperparams", "params"};
    const mt_options *options = list;
    if (index < MT_COUNT(others)) return others[index];
    index -= MT_COUNT(others);
    if (index >= options->count) return options->sections[index - options->count].nest;
    const mt_option *row = mt_options_row(options, index, NULL);
    return row->flags & MT_OPTION_HIDDEN ? NULL : row->name;
}

// snake_case → --kebab-case
static const char *flag_name(const char *name, char out[NAME_BYTES]) {
    snprintf(out, NAME_BYTES, "--%s", name);
    for (char *c = out; *c; c++)
        if (*c == '_') *c = '-';
    return out;
}

static mt_status unknown_flag(const mt_options *options, const char *word) {
    char name[NAME_BYTES], flag[NAME_BYTES], hint[NAME_BYTES + 32];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + strspn(word, "-"), "="), word + strspn(word, "-"));
    const char *nearest = mt_text_nearest_at(name, flag_at, options, 3 + options->count + options->section_count);
    mt_text_did_you_mean(nearest ? flag_name(nearest, flag) : NULL, hint, sizeof hint);
    return MT_FAIL(CONFIG, "%s: unknown flag %.80s%s", here, word, nearest ? hint : " (--help lists them)");
}

// ---- key:value ----

static const char *peek(const arg_reader *r) { return r->at < r->argc ? r->argv[r->at] : NULL; }

static bool is_pair(const char *word) { return word && *word != '-' && strchr(word, ':'); }

static mt_status set_pair(arg_reader *r, const char *word) {
    char key[NAME_BYTES];
    size_t length = strcspn(word, ":");
    if (length >= sizeof key) return unknown_flag(r->options, word);
    memcpy(key, word, length);
    key[length] = '\0';
    return mt_options_set_text(r->options, key, word + length + 1, MT_FROM_COMMAND_LINE, here);
}

// target: the PAIRS option that collects the words; NULL: each word is an option of its own (-params)
static mt_status take_pairs(arg_reader *r, const char *flag, const mt_option *target) {
    if (!is_pair(peek(r)))
        return MT_FAIL(CONFIG, "%s: %s needs key:value words after it, for example %s", here, flag,
            target ? "gravity:9.8" : "n_steps:256 batch_size:64");
    while (is_pair(peek(r))) {
        const char *word = r->argv[r->at++];
        if (target) MT_TRY(mt_options_set_text(r->options, target->name, word, MT_FROM_COMMAND_LINE, here));
        else MT_TRY(set_pair(r, word));
    }
    return MT_OK;
}

// ---- flags ----

static bool looks_like_flag(const char *word) {
    return word[0] == '-' && word[1] && !isdigit((unsigned char)word[1]) && word[1] != '.';
}

// "--switch false": a switch takes no word after it, and this one can have been meant for nothing else.
static mt_status check_switch(const arg_reader *r, const char *flag, const mt_option *row) {
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};
    const char *word = peek(r);
    char name[NAME_BYTES];
    for (size_t i = 0; word && i < MT_COUNT(words); i++)
        if (mt_text_equal_fold(word, words[i])) {
            flag_name(row->name, name);
            return MT_FAIL(CONFIG, "%s: %s is a switch and takes no word after it: write %s for on, --no-%s for off (or %s=%s)", here, flag, name,
                name + 2, name, word);
        }
    return MT_OK;
}

// key: an option's name or a nest; value: what follows '=', or NULL
static mt_status take_flag(arg_reader *r, const char *flag, const char *key, const mt_option *row, const char *value) {
    if (row && row->type == MT_OPT_BOOL && !value) {
        MT_TRY(check_switch(r, flag, row));
        value = "true";
    }
    if (row && row->type == MT_OPT_PAIRS && !value) return take_pairs(r, flag, row);
    if (!value) {
        value = peek(r);
        if (!value || (looks_like_flag(value) && !(row && row->flags & MT_OPTION_WORDS)))
            return MT_FAIL(CONFIG, "%s: %s needs a value (%s)%s%s", here, flag, row ? mt_option_type_name(row->type) : "a mapping",
                value ? "; if it really begins with '-', join it: FLAG=" : "", value ? value : "");
        r->at++;
    }
    return mt_options_set_text(r->options, key, value, MT_FROM_COMMAND_LINE, here);
}

static mt_status take_long(arg_reader *r, const char *word) {
    char name[NAME_BYTES];
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
    if (length == 0 || length >= sizeof name) return unknown_flag(r->options, word);
    memcpy(name, word + 2, length);
    name[length] = '\0';
    const char *value = equals ? equals + 1 : NULL;
    const mt_option *row = mt_options_find(r->options, name);
    if (row) return take_flag(r, word, row->name, row, value);
    for (size_t s = 0; s < r->options->section_count; s++) {
        const char *nest = r->options->sections[s].nest;
        if (nest && mt_text_equal_fold(nest, name)) return take_flag(r, word, nest, NULL, value);
    }
    row = strncmp(name, "no-", 3) == 0 || strncmp(name, "no_", 3) == 0 ? mt_options_find(r->options, name + 3) : NULL;
    if (!row || row->type != MT_OPT_BOOL) return unknown_flag(r->options, word);
    if (value) return MT_FAIL(CONFIG, "%s: %.60s takes no value", here, word);
    return mt_options_set_text(r->options, row->name, "false", MT_FROM_COMMAND_LINE, here);
}

static mt_status take_short(arg_reader *r, const char *word) {
    bool lone = word[2] == '\0' || word[2] == '=';
    for (size_t i = 0; lone && i < r->options->count; i++) {
        const mt_option *row = mt_options_row(r->options, i, NULL);
        if (row->letter == word[1]) return take_flag(r, word, row->name, row, word[2] ? word + 3 : NULL);
    }
    return unknown_flag(r->options, word);
}

static bool is_one_of(const char *word, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, list[i]) == 0) return true;
    return false;
}

static mt_status take_word(arg_reader *r, const char *word) {
    static const char *const help[] = {"-h", "--help"}, *const params[] = {"-params", "--params", "--hyperparams"};
    if (is_one_of(word, help, MT_COUNT(help))) {
        r->options->help = true;
        return MT_OK;
    }
    if (is_one_of(word, params, MT_COUNT(params))) return take_pairs(r, word, NULL);
    return word[1] == '-' ? take_long(r, word) : take_short(r, word);
}

mt_status mt_options_parse_args(mt_options *options, int argc, char *const *argv, const char **positionals,
    size_t positional_capacity, size_t *positional_count) {
    arg_reader r = {.options = options, .argc = argc, .at = 1, .argv = argv};
    bool flags = true;
    *positional_count = 0;
    while (r.at < argc) {
        const char *word = argv[r.at++];
        if (flags && strcmp(word, "--") == 0) {
            flags = false;
        } else if (flags && word[0] == '-' && word[1]) {
            MT_TRY(take_word(&r, word));
        } else if (*positional_count == positional_capacity) {
            return MT_FAIL(CONFIG, "%s: unexpected \"%.80s\" (a switch takes a value as --switch=false)", here, word);
        } else {
            positionals[(*positional_count)++] = word;
            flags = flags && !options->word_ends_flags;
        }
    }
    return MT_OK;
}
