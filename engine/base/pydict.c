// Python literals, the subset that RL Zoo's policy_kwargs strings use, into a YAML tree: dict(...), {...}, lists, tuples,
// numbers, strings, True, False, None, dotted names. A parser and nothing else: no name is looked up, nothing is called.
#include "engine/base/yaml.h"

#include <ctype.h>
#include <string.h>
#include "engine/base/yaml_tree.h"

enum { TOKEN_BYTES = 1024 };   // longest word or string

typedef struct pyreader {
    const char *at;    // next byte
    mt_yaml_at place;  // its position
    mt_yaml *doc;
} pyreader;

static void advance(pyreader *r) {
    if (*r->at == '\n') {
        r->place.line++;
        r->place.column = 1;
    } else if (((unsigned char)*r->at & 0xc0) != 0x80) r->place.column++;
    r->at++;
}

static void skip_blanks(pyreader *r) {
    while (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r') advance(r);
}

// takes the byte if it is next after blanks
static bool take(pyreader *r, char byte) {
    skip_blanks(r);
    if (*r->at != byte) return false;
    advance(r);
    return true;
}

static mt_status expected(pyreader *r, const char *what) {
    skip_blanks(r);
    if (*r->at == '\0') return mt_yaml_tree_fail(r->doc, r->place, "expected %s, found the end", what);
    return mt_yaml_tree_fail(r->doc, r->place, "expected %s, found \"%.12s\"", what, r->at);
}

static bool word_byte(char c) { return isalnum((unsigned char)c) || c == '_' || c == '.'; }

// letters, digits, '_' and '.', with signs where a number has them
static mt_status read_word(pyreader *r, char out[TOKEN_BYTES]) {
    size_t length = 0;
    for (;;) {
        char last = length ? out[length - 1] : 0;
        bool number = isdigit((unsigned char)out[0]) || out[0] == '-' || out[0] == '+' || out[0] == '.';
        bool sign = (*r->at == '-' || *r->at == '+') && (length == 0 || (number && (last == 'e' || last == 'E')));
        if (!sign && !word_byte(*r->at)) break;
        if (length == TOKEN_BYTES - 1) return mt_yaml_tree_fail(r->doc, r->place, "a word longer than %d bytes", TOKEN_BYTES);
        out[length++] = *r->at;
        advance(r);
    }
    out[length] = '\0';
    return length ? MT_OK : expected(r, "a value");
}

static mt_status read_quoted(pyreader *r, char out[TOKEN_BYTES]) {
    char quote = *r->at;
    mt_yaml_at start = r->place;
    size_t length = 0;
    advance(r);
    while (*r->at != quote) {
        if (*r->at == '\0') return mt_yaml_tree_fail(r->doc, start, "the string that begins here has no end");
        if (*r->at == '\\') {
            advance(r);
            if (*r->at != '\\' && *r->at != '\'' && *r->at != '"')
                return mt_yaml_tree_fail(r->doc, r->place, "only \\\\, \\' and \\\" are understood in strings");
        }
        if (length == TOKEN_BYTES - 1) return mt_yaml_tree_fail(r->doc, start, "a string longer than %d bytes", TOKEN_BYTES);
        out[length++] = *r->at;
        advance(r);
    }
    out[length] = '\0';
    advance(r);
    return MT_OK;
}

static mt_status read_value(pyreader *r, int depth, const mt_yaml_node **out);

// name=value for dict(...), 'name': value for {...}
static mt_status read_pair(pyreader *r, int depth, bool call, mt_yaml_list *list) {
    char word[TOKEN_BYTES] = "";
    skip_blanks(r);
    mt_yaml_at place = r->place;
    bool quoted = *r->at == '\'' || *r->at == '"';
    if (call && quoted) return expected(r, "name=value");
    if (quoted) MT_TRY(read_quoted(r, word));
    else MT_TRY(read_word(r, word));
    if (!take(r, call ? '=' : ':')) return expected(r, call ? "\"=\"" : "\":\"");
    mt_yaml_node *key = NULL;
    const mt_yaml_node *item = NULL;
    MT_TRY(mt_yaml_tree_node(r->doc, MT_YAML_SCALAR, place, "", word, &key));
    key->quoted = quoted;
    MT_TRY(read_value(r, depth + 1, &item));
    return mt_yaml_list_add(list, key, item);
}

// items up to `close`, separated by commas, a comma at the end allowed; what opened them is read
static mt_status read_items(pyreader *r, int depth, mt_yaml_kind kind, char close, bool call, mt_yaml_list *list) {
    while (!take(r, close)) {
        const mt_yaml_node *item = NULL;
        if (kind == MT_YAML_MAPPING) MT_TRY(read_pair(r, depth, call, list));
        else {
            MT_TRY(read_value(r, depth + 1, &item));
            MT_TRY(mt_yaml_list_add(list, NULL, item));
        }
        if (take(r, ',')) continue;
        if (take(r, close)) break;
        char what[16] = "\",\" or \"x\"";
        what[8] = close;
        return expected(r, what);
    }
    return MT_OK;
}

static mt_status read_collection(pyreader *r, int depth, mt_yaml_at place, mt_yaml_kind kind, char close, bool call,
    const mt_yaml_node **out) {
    mt_yaml_node *node = NULL;
    mt_yaml_list list = {0};
    MT_TRY(mt_yaml_tree_depth(r->doc, place, depth));
    MT_TRY(mt_yaml_tree_node(r->doc, kind, place, "", "", &node));
    mt_status status = read_items(r, depth, kind, close, call, &list);
    *out = node;
    if (status == MT_OK) return mt_yaml_tree_close(r->doc, node, &list, false);
    mt_yaml_list_fini(&list);
    return status;
}

static mt_status read_scalar(pyreader *r, mt_yaml_at place, const char *word, bool quoted, const mt_yaml_node **out) {
    bool name = !quoted && (isalpha((unsigned char)word[0]) || word[0] == '_');
    bool keyword = strcmp(word, "True") == 0 || strcmp(word, "False") == 0 || strcmp(word, "None") == 0;
    double number;
    if (!quoted && !name && mt_parse_f64(word, &number) != MT_OK)
        return mt_yaml_tree_fail(r->doc, place, "\"%.60s\" is not a number", word);
    mt_yaml_node *node = NULL;
    MT_TRY(mt_yaml_tree_node(r->doc, MT_YAML_SCALAR, place, name && !keyword ? "!name" : "", word, &node));
    node->quoted = quoted;
    *out = node;
    return MT_OK;
}

static mt_status read_value(pyreader *r, int depth, const mt_yaml_node **out) {
    char word[TOKEN_BYTES] = "";
    skip_blanks(r);
    mt_yaml_at place = r->place;
    if (*r->at == '\'' || *r->at == '"') {
        MT_TRY(read_quoted(r, word));
        return read_scalar(r, place, word, true, out);
    }
    if (take(r, '{')) return read_collection(r, depth, place, MT_YAML_MAPPING, '}', false, out);
    if (take(r, '[')) return read_collection(r, depth, place, MT_YAML_SEQUENCE, ']', false, out);
    if (take(r, '(')) return read_collection(r, depth, place, MT_YAML_SEQUENCE, ')', false, out);
    MT_TRY(read_word(r, word));
    if (!take(r, '(')) return read_scalar(r, place, word, false, out);
    if (strcmp(word, "dict") == 0) return read_collection(r, depth, place, MT_YAML_MAPPING, ')', true, out);
    return mt_yaml_tree_fail(r->doc, place, "%.60s(...) is code and is not run; only dict(...) is understood here", word);
}

mt_status mt_yaml_parse_pydict(const char *text, const char *source, int line, int column, mt_yaml **out) {
    *out = NULL;
    pyreader r = {.at = text, .place = {line, column}};
    MT_TRY(mt_yaml_tree_create(source, NULL, &r.doc));
    mt_status status = MT_OK;
    if (strlen(text) > r.doc->limits.bytes) status = mt_yaml_tree_fail(r.doc, r.place, "text too long");
    if (status == MT_OK) status = read_value(&r, 1, &r.doc->root);
    skip_blanks(&r);
    if (status == MT_OK && *r.at) status = expected(&r, "the end");
    if (status == MT_OK) *out = r.doc;
    else mt_yaml_destroy(r.doc);
    return status;
}
