// Options written out: resolved YAML, help, Markdown, man page, bash words. All walk the same rows; nothing is kept.
#include <string.h>
#include "engine/base/option_value.h"

enum { PAGE_COLUMNS = 100, HELP_COLUMN = 30, COMMENT_COLUMN = 44, NAME_BYTES = 96 };

static bool is_shown(const mt_option *row) { return !(row->flags & MT_OPTION_HIDDEN); }

// snake_case → kebab-case
static const char *kebab(const char *name, char out[NAME_BYTES]) {
    snprintf(out, NAME_BYTES, "%s", name);
    for (char *c = out; *c; c++)
        if (*c == '_') *c = '-';
    return out;
}

// letters on the screen, not bytes
static size_t columns(const char *text, size_t bytes) {
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++) count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

static void pad_to(mt_text *out, size_t line_start, size_t column) {
    size_t used = columns(mt_text_str(out) + line_start, out->length - line_start);
    mt_text_printf(out, "%*s", used < column ? (int)(column - used) : 1, "");
}

// calls `row` for every shown option, groups together in the order in which they first appear; `head` before each group
typedef void (*head_fn)(const char *group, mt_text *out);
typedef void (*row_fn)(const mt_option *row, const char *nest, mt_text *out);

static bool group_seen_before(const mt_options *options, size_t index, const char *group) {
    for (size_t i = 0; i < index; i++) {
        const mt_option *row = mt_options_row(options, i, NULL);
        if (is_shown(row) && strcmp(row->group, group) == 0) return true;
    }
    return false;
}

static void walk_groups(const mt_options *options, head_fn head, row_fn write_row, mt_text *out) {
    for (size_t first = 0; first < options->count; first++) {
        const mt_option *leader = mt_options_row(options, first, NULL);
        if (!is_shown(leader) || group_seen_before(options, first, leader->group)) continue;
        head(leader->group, out);
        for (size_t i = first; i < options->count; i++) {
            size_t section = 0;
            const mt_option *row = mt_options_row(options, i, &section);
            if (is_shown(row) && strcmp(row->group, leader->group) == 0) write_row(row, options->sections[section].nest, out);
        }
    }
}

// what stands for the value in help: N, X, a|b|c. Lists without brackets: those need quotes in a shell.
static void write_value_word(const mt_option *row, mt_text *out) {
    switch (row->type) {
    case MT_OPT_BOOL: break;
    case MT_OPT_INT: mt_text_append(out, "N"); break;
    case MT_OPT_FLOAT: mt_text_append(out, "X"); break;
    case MT_OPT_STRING:
        for (size_t i = 0; i < mt_option_choice_count(row); i++) mt_text_printf(out, "%s|", row->choices[i]);
        mt_text_append(out, row->flags & MT_OPTION_PATH ? "PATH" : "TEXT");
        break;
    case MT_OPT_SCHEDULE: mt_text_append(out, "X|lin_X"); break;
    case MT_OPT_INT_LIST: mt_text_append(out, "N,N,..."); break;
    case MT_OPT_PAIRS: mt_text_append(out, "KEY:VALUE ..."); break;
    case MT_OPT_CHOICE:
        for (size_t i = 0; i < mt_option_choice_count(row); i++) mt_text_printf(out, "%s%s", i ? "|" : "", row->choices[i]);
    }
}

static void write_range(const mt_option *row, mt_text *out) {
    mt_range range;
    if (row->range && mt_range_parse(row->range, &range) == MT_OK) mt_range_describe(&range, out);
}

// ---- resolved configuration ----

// a comment must stay on its line whatever a file is called
static void write_comment(const char *where, mt_text *out) {
    for (const char *c = where; *c; c++) {
        char byte = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
        mt_text_append_bytes(out, &byte, 1);
    }
}

mt_status mt_options_dump_yaml(const mt_options *options, mt_text *out) {
    size_t last_section = options->section_count;
    for (size_t i = 0; i < options->count; i++) {
        size_t section = 0, line = 0;
        const mt_option *row = mt_options_row(options, i, &section);
        const char *nest = options->sections[section].nest;
        if (row->flags & MT_OPTION_CLI_ONLY) continue;
        if (nest && section != last_section) mt_text_printf(out, "%s:\n", nest);
        last_section = section;
        line = out->length;
        mt_text_printf(out, "%s%s: ", nest ? "  " : "", row->name);
        mt_option_write(row, mt_options_field(options, i), true, out);
        if (out->failed) break;
        pad_to(out, line, COMMENT_COLUMN);
        mt_text_append(out, " # ");
        write_comment(options->origins[i].where, out);
        mt_text_append(out, "\n");
    }
    return mt_text_status(out);
}

// ---- help ----

static void help_head(const char *group, mt_text *out) { mt_text_printf(out, "%s%s:\n", out->length ? "\n" : "", group); }

// words of `text` from HELP_COLUMN on, broken at the page's edge
static void write_wrapped(const char *text, size_t line_start, mt_text *out) {
    pad_to(out, line_start, HELP_COLUMN);
    bool fresh = true;
    while (*text) {
        size_t bytes = strcspn(text, " ");
        size_t used = columns(mt_text_str(out) + line_start, out->length - line_start);
        if (!fresh && used + 1 + columns(text, bytes) > PAGE_COLUMNS) {
            mt_text_append(out, "\n");
            line_start = out->length;
            mt_text_printf(out, "%*s", HELP_COLUMN, "");
            fresh = true;
        }
        if (!fresh) mt_text_append(out, " ");
        mt_text_append_bytes(out, text, bytes);
        fresh = false;
        text += bytes;
        text += strspn(text, " ");
    }
    mt_text_append(out, "\n");
}

// "steps per update [2048 steps; at least 1]"
static void describe(const mt_option *row, mt_text *out) {
    mt_text range = {0};
    write_range(row, &range);
    mt_text_append(out, row->help);
    bool standard = *row->standard && row->type != MT_OPT_BOOL;
    bool on = false;
    if (row->type == MT_OPT_BOOL && mt_parse_bool(row->standard, &on) != MT_OK) on = false;
    if (standard || on || range.length) {
        mt_text_append(out, " [");
        if (on) mt_text_append(out, "on; --no-... for off");
        bool unit = row->unit && row->type != MT_OPT_INT_LIST;
        if (standard) mt_text_printf(out, "%s%s%s", row->standard, unit ? " " : "", unit ? row->unit : "");
        if (range.length) mt_text_printf(out, "%s%s", standard ? "; " : "", mt_text_str(&range));
        mt_text_append(out, "]");
    }
    mt_text_fini(&range);
}

static void help_row(const mt_option *row, const char *nest, mt_text *out) {
    (void)nest;
    char name[NAME_BYTES];
    mt_text words = {0};
    size_t line = out->length;
    if (row->letter) mt_text_printf(out, "  -%c, --%s", row->letter, kebab(row->name, name));
    else mt_text_printf(out, "      --%s", kebab(row->name, name));
    if (row->type != MT_OPT_BOOL) mt_text_append(out, " ");
    write_value_word(row, out);
    if (out->failed) return;
    if (columns(mt_text_str(out) + line, out->length - line) >= HELP_COLUMN) {
        mt_text_append(out, "\n");
        line = out->length;
    }
    describe(row, &words);
    write_wrapped(mt_text_str(&words), line, out);
    mt_text_fini(&words);
}

void mt_options_help_text(const mt_options *options, mt_text *out) {
    mt_text body = {0};
    walk_groups(options, help_head, help_row, &body);
    help_head("Always", &body);
    size_t line = body.length;
    mt_text_append(&body, "      -params KEY:VALUE ...");
    write_wrapped("sets options by their keys, as in n_steps:256 batch_size:64 (also --hyperparams)", line, &body);
    line = body.length;
    mt_text_append(&body, "  -h, --help");
    write_wrapped("this text", line, &body);
    mt_text_append(out, mt_text_str(&body));
    if (body.failed) out->failed = true;
    mt_text_fini(&body);
}

void mt_options_print_help(const mt_options *options, FILE *out) {
    mt_text text = {0};
    mt_options_help_text(options, &text);
    fputs(mt_text_str(&text), out);
    mt_text_fini(&text);
}

// ---- Markdown ----

static void markdown_head(const char *group, mt_text *out) {
    mt_text_printf(out, "\n### %s\n\n| Key | Flag | Type | Default | Range | Meaning |\n|---|---|---|---|---|---|\n", group);
}

static void markdown_cell(const char *text, mt_text *out) {
    for (const char *c = text; *c; c++) {
        if (*c == '|' || *c == '\\' || *c == '<' || *c == '*') mt_text_append(out, "\\");
        mt_text_append_bytes(out, c, 1);
    }
}

static void markdown_row(const mt_option *row, const char *nest, mt_text *out) {
    char name[NAME_BYTES];
    mt_text range = {0};
    write_range(row, &range);
    if (row->flags & MT_OPTION_CLI_ONLY) mt_text_append(out, "| – | ");
    else mt_text_printf(out, "| `%s%s%s` | ", nest ? nest : "", nest ? "." : "", row->name);
    if (row->letter) mt_text_printf(out, "`-%c` ", row->letter);
    mt_text_printf(out, "`--%s` | ", kebab(row->name, name));
    size_t words = row->type == MT_OPT_CHOICE || row->type == MT_OPT_STRING ? mt_option_choice_count(row) : 0;
    for (size_t i = 0; i < words; i++) mt_text_printf(out, "%s`%s`", i ? ", " : "", row->choices[i]);
    if (row->type != MT_OPT_CHOICE) mt_text_printf(out, "%s%s", words ? ", or " : "", mt_option_type_name(row->type));
    if (row->unit) mt_text_printf(out, ", %s", row->unit);
    mt_text_printf(out, *row->standard ? " | `%s` | " : " | %s| ", row->standard);
    markdown_cell(mt_text_str(&range), out);
    if (range.length && row->why) {
        mt_text_append(out, ": ");
        markdown_cell(row->why, out);
    }
    mt_text_append(out, " | ");
    markdown_cell(row->help, out);
    mt_text_append(out, " |\n");
    mt_text_fini(&range);
}

void mt_options_dump_markdown(const mt_options *options, mt_text *out) {
    walk_groups(options, markdown_head, markdown_row, out);
}

// ---- man page ----

static void roff(const char *text, mt_text *out) {
    bool line_start = true;
    for (const char *c = text; *c; c++) {
        // a dot or quote that begins a line is a command to roff
        if (line_start && (*c == '.' || *c == '\'')) mt_text_append(out, "\\&");
        if (*c == '\\') mt_text_append(out, "\\e");
        else if (*c == '-') mt_text_append(out, "\\-");
        else mt_text_append_bytes(out, c, 1);
        line_start = *c == '\n';
    }
}

// a|b|c, which a line's end may part between words when it is long, and nowhere in them
static void roff_words(const char *words, mt_text *out) {
    enum { LONG = 60 };
    const char *between = strlen(words) > LONG ? " | \\%" : "|";
    for (const char *at = words; *at;) {
        char word[128];
        size_t length = strcspn(at, "|");
        snprintf(word, sizeof word, "%.*s", (int)length, at);
        roff(word, out);
        at += length;
        if (*at) mt_text_append(out, between), at++;
    }
}

static void man_head(const char *group, mt_text *out) {
    mt_text_append(out, ".SS \"");
    roff(group, out);
    mt_text_append(out, "\"\n");
}

static void man_row(const mt_option *row, const char *nest, mt_text *out) {
    (void)nest;
    char name[NAME_BYTES];
    mt_text words = {0};
    mt_text_append(out, ".TP\n");
    if (row->letter) mt_text_printf(out, "\\fB\\-%c\\fR, ", row->letter);
    mt_text_append(out, "\\fB\\-\\-");
    roff(kebab(row->name, name), out);
    mt_text_append(out, "\\fR");
    write_value_word(row, &words);
    if (words.length) mt_text_append(out, " \\fI");
    roff_words(mt_text_str(&words), out);
    if (words.length) mt_text_append(out, "\\fR");
    mt_text_append(out, "\n");
    mt_text_clear(&words);
    describe(row, &words);
    roff(mt_text_str(&words), out);
    mt_text_append(out, "\n");
    mt_text_fini(&words);
}

void mt_options_dump_man(const mt_options *options, mt_text *out) { walk_groups(options, man_head, man_row, out); }

// ---- bash ----

static void bash_values(const mt_option *row, mt_text *out) {
    char name[NAME_BYTES];
    bool path = row->type == MT_OPT_STRING && (row->flags & MT_OPTION_PATH);
    if (!path && row->type != MT_OPT_CHOICE && (row->type != MT_OPT_STRING || !row->choices)) return;
    mt_text_append(out, "    ");
    if (row->letter) mt_text_printf(out, "-%c|", row->letter);
    mt_text_printf(out, "--%s) echo \"", kebab(row->name, name));
    if (path) mt_text_append(out, "<file>");
    for (size_t i = 0; !path && i < mt_option_choice_count(row); i++) mt_text_printf(out, "%s%s", i ? " " : "", row->choices[i]);
    mt_text_append(out, "\" ;;\n");
}

void mt_options_dump_bash(const mt_options *options, const char *name, mt_text *out) {
    char flag[NAME_BYTES];
    mt_text_printf(out, "_%s_flags=\"", name);
    for (size_t i = 0; i < options->count; i++) {
        const mt_option *row = mt_options_row(options, i, NULL);
        if (!is_shown(row)) continue;
        mt_text_printf(out, "--%s ", kebab(row->name, flag));
        if (row->letter) mt_text_printf(out, "-%c ", row->letter);
        if (row->type == MT_OPT_BOOL) mt_text_printf(out, "--no-%s ", flag);
    }
    mt_text_printf(out, "-params --help\"\n_%s_values() {\n    case \"$1\" in\n", name);
    for (size_t i = 0; i < options->count; i++) {
        const mt_option *row = mt_options_row(options, i, NULL);
        if (is_shown(row)) bash_values(row, out);
    }
    mt_text_append(out, "    *) ;;\n    esac\n}\n");
}
