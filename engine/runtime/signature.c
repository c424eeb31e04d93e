// Signatures: "i64, f32[n,4] -> f32[n]". Parsed once per task or method when a program starts, checked at every call by
// the caller and again by the executor. Pure functions over the caller's storage; any thread.
//
//     signature := [list] ["->" [list]]        list := item {"," item}
//     item      := type [dims] | "any" [dims] | "..."     ("...": the last argument)
//     dims      := "[" ("..." | dim {"," dim}) "]"        dim := number | letter a to z | "?"
//
// A check that passes allocates nothing and formats nothing.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "engine/runtime/value.h"

typedef struct cursor {
    const char *text, *at;
} cursor;

enum { WORD_BYTES = 24 };

// what is wrong, and where: the signature up to there, then the rest
#define BAD(c, ...) bad((c), __LINE__, __VA_ARGS__)
__attribute__((format(printf, 3, 4))) static mt_status bad(const cursor *c, int line, const char *format, ...) {
    char what[160];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return mt_fail(MT_CONFIG, __FILE__, line, "signature \"%.300s\", letter %d (\"%.20s\"): %s", c->text,
        (int)(c->at - c->text) + 1, c->at, what);
}

static void skip_blanks(cursor *c) { c->at += strspn(c->at, " \t\n"); }

static int take(cursor *c, const char *token) {
    skip_blanks(c);
    size_t length = strlen(token);
    if (strncmp(c->at, token, length) != 0) return 0;
    c->at += length;
    return 1;
}

static int is_letter(char x) { return x >= 'a' && x <= 'z'; }
static int is_digit(char x) { return x >= '0' && x <= '9'; }

static mt_status parse_type(cursor *c, mt_signature_part *part) {
    const char *names[MANTA_TYPE_COUNT + 1];
    char word[WORD_BYTES], hint[64];
    size_t length = 0;
    skip_blanks(c);
    while (length < sizeof word - 1 && (is_letter(c->at[length]) || is_digit(c->at[length]))) length++;
    if (length == 0) return BAD(c, "a type is missing here");
    memcpy(word, c->at, length);
    word[length] = 0;
    for (int t = 0; t < MANTA_TYPE_COUNT; t++) names[t] = mt_type_name((manta_type)t);
    names[MANTA_TYPE_COUNT] = "any";
    for (int t = 0; t <= MANTA_TYPE_COUNT; t++) {
        if (strcmp(word, names[t]) != 0) continue;
        part->any_type = t == MANTA_TYPE_COUNT;
        part->type = part->any_type ? MANTA_TYPE_NONE : (manta_type)t;
        part->ndim = part->any_type ? -1 : 0;
        c->at += length;
        return MT_OK;
    }
    return BAD(c, "\"%s\" is not a type%s", word,
        mt_text_did_you_mean(mt_text_nearest(word, names, MANTA_TYPE_COUNT + 1), hint, sizeof hint));
}

static mt_status parse_dim(cursor *c, mt_signature_part *part) {
    skip_blanks(c);
    if (part->ndim == MANTA_MAX_DIMS) return BAD(c, "a value has at most %d dimensions", MANTA_MAX_DIMS);
    int64_t size = 0;
    mt_dim kind = MT_DIM_FIXED;
    if (*c->at == '?') {
        kind = MT_DIM_ANY;
        c->at++;
    } else if (is_letter(*c->at) && !is_letter(c->at[1]) && !is_digit(c->at[1])) {
        kind = MT_DIM_NAMED;
        size = *c->at++;
    } else if (is_digit(*c->at)) {
        while (is_digit(*c->at)) {
            if (__builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, *c->at - '0', &size))
                return BAD(c, "the dimension is beyond 2^63");
            c->at++;
        }
    } else {
        return BAD(c, "a dimension is a number, one letter from a to z, or ?");
    }
    part->dim[part->ndim].kind = kind;
    part->dim[part->ndim].value = size;
    part->ndim++;
    return MT_OK;
}

static mt_status parse_part(cursor *c, mt_signature_part *part) {
    *part = (mt_signature_part){0};
    MT_TRY(parse_type(c, part));
    if (!take(c, "[")) return MT_OK;
    if (part->type == MANTA_TYPE_NONE && !part->any_type) return BAD(c, "none has no dimensions");
    part->ndim = take(c, "...") ? -1 : 0;
    while (part->ndim >= 0) {
        MT_TRY(parse_dim(c, part));
        if (!take(c, ",")) break;
    }
    if (!take(c, "]")) return BAD(c, "a ] is missing here");
    return MT_OK;
}

// more: NULL where "..." may not stand
static mt_status parse_list(cursor *c, mt_signature_part *parts, int most, int *count, int *more) {
    do {
        if (more && take(c, "...")) {
            *more = 1;
            return MT_OK;
        }
        if (*count == most) return BAD(c, "at most %d of them", most);
        MT_TRY(parse_part(c, &parts[*count]));
        ++*count;
    } while (take(c, ","));
    return MT_OK;
}

mt_status mt_signature_parse(const char *text, mt_signature *out) {
    cursor c = {text ? text : "", text ? text : ""};
    out->argument_count = out->result_count = out->more = 0;
    skip_blanks(&c);
    if (*c.at && *c.at != '-')
        MT_TRY(parse_list(&c, out->argument, MANTA_MAX_ARGUMENTS, &out->argument_count, &out->more));
    if (take(&c, "->")) {
        skip_blanks(&c);
        if (*c.at) MT_TRY(parse_list(&c, out->result, MANTA_MAX_RESULTS, &out->result_count, NULL));
    }
    skip_blanks(&c);
    if (*c.at) return BAD(&c, out->more ? "... is the last argument" : "a comma, -> or the end should be here");
    return MT_OK;
}

// ---- checking

void mt_binding_init(mt_binding *binding) { memset(binding, -1, sizeof *binding); }

static void describe_part(const mt_signature_part *part, const mt_binding *binding, char *out, size_t out_bytes) {
    mt_text text = {0};
    int named = 0;
    mt_text_append(&text, part->any_type ? "any" : mt_type_name(part->type));
    if (part->ndim < 0 && !part->any_type) mt_text_append(&text, "[...]");
    for (int d = 0; d < part->ndim; d++) {
        mt_text_append(&text, d ? "," : "[");
        if (part->dim[d].kind == MT_DIM_FIXED)
            mt_text_printf(&text, "%lld", (long long)part->dim[d].value);
        else
            mt_text_printf(&text, "%c", part->dim[d].kind == MT_DIM_ANY ? '?' : (char)part->dim[d].value);
    }
    if (part->ndim > 0) mt_text_append(&text, "]");
    // each letter once, at its first place
    for (int d = 0; d < part->ndim; d++) {
        int first = part->dim[d].kind == MT_DIM_NAMED;
        for (int e = 0; e < d; e++)
            if (part->dim[e].kind == MT_DIM_NAMED && part->dim[e].value == part->dim[d].value) first = 0;
        int64_t size = first ? binding->size[part->dim[d].value - 'a'] : -1;
        if (size < 0) continue;
        mt_text_printf(&text, "%s%c = %lld", named++ ? ", " : " with ", (char)part->dim[d].value, (long long)size);
    }
    snprintf(out, out_bytes, "%s", mt_text_str(&text));
    mt_text_fini(&text);
}

static int dims_fit(const mt_signature_part *part, int ndim, const int64_t *shape, mt_binding *binding) {
    if (part->ndim < 0) return 1;
    int fits = part->ndim == ndim;
    for (int d = 0; d < part->ndim && fits; d++) {
        int64_t want = part->dim[d].value;
        if (part->dim[d].kind == MT_DIM_ANY) continue;
        if (part->dim[d].kind == MT_DIM_NAMED) {
            int64_t *bound = &binding->size[want - 'a'];
            if (*bound < 0) *bound = shape[d];
            want = *bound;
        }
        fits = want == shape[d];
    }
    return fits;
}

mt_status mt_signature_check(const mt_signature_part *part, const mt_value_head *head, const int64_t *shape,
    mt_binding *binding, const char *function, const char *what) {
    if (head->form == MT_VALUE_FROM) return MT_OK;
    int ndim = head->ndim, fits = part->any_type || part->type == (manta_type)head->type;
    int64_t length[1] = {(int64_t)head->bytes - (head->type == MANTA_TYPE_TEXT)};
    if (head->type == MANTA_TYPE_BYTES || head->type == MANTA_TYPE_TEXT) {
        // a string is one with its length and one with a shape: the signature's form decides
        if (ndim == 0 && part->ndim > 0)
            ndim = 1, shape = length;
        else if (ndim == 1 && part->ndim == 0)
            ndim = 0;
    }
    if (fits && dims_fit(part, ndim, shape, binding)) return MT_OK;
    char is[128], wants[256];
    mt_value_describe(head, head->ndim ? shape : NULL, is, sizeof is);
    describe_part(part, binding, wants, sizeof wants);
    return MT_FAIL(INVALID_ARGUMENT, "%s: %s is %s, the signature wants %s", function, what, is, wants);
}

mt_status mt_signature_check_count(const mt_signature *signature, int arguments, const char *function) {
    int wants = signature->argument_count;
    if (arguments == wants || (signature->more && arguments > wants)) return MT_OK;
    return MT_FAIL(INVALID_ARGUMENT, "%s takes %s%d argument%s, was given %d", function,
        signature->more ? "at least " : "", wants, wants == 1 ? "" : "s", arguments);
}
