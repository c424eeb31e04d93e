// Text: growable string, strict numbers, nearest word. No state but the caller's; any thread.
// Numbers are scanned against their grammar first and converted second, because strtod alone takes blanks, "inf",
// hexadecimal and the locale's decimal point.
#include "engine/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- growable string ----

static bool reserve(mt_text *text, size_t more) {
    if (text->failed) return false;
    if (more > SIZE_MAX / 4 - text->length) {
        text->failed = true;
        return false;
    }
    size_t need = text->length + more + 1;
    if (need <= text->capacity) return true;
    size_t capacity = text->capacity ? text->capacity : 64;
    while (capacity < need) capacity *= 2;
    char *data = realloc(text->data, capacity);
    if (!data) {
        text->failed = true;
        return false;
    }
    if (!text->data) data[0] = '\0';
    text->data = data;
    text->capacity = capacity;
    return true;
}

void mt_text_append_bytes(mt_text *text, const char *bytes, size_t count) {
    if (!reserve(text, count)) return;
    if (count) memcpy(text->data + text->length, bytes, count);
    text->length += count;
    text->data[text->length] = '\0';
}

void mt_text_append(mt_text *text, const char *string) { mt_text_append_bytes(text, string, strlen(string)); }

void mt_text_printf(mt_text *text, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0) text->failed = true;
    else if (reserve(text, (size_t)need)) {
        vsnprintf(text->data + text->length, (size_t)need + 1, format, again);
        text->length += (size_t)need;
    }
    va_end(again);
}

const char *mt_text_str(const mt_text *text) { return text->data ? text->data : ""; }

mt_status mt_text_status(const mt_text *text) {
    if (!text->failed) return MT_OK;
    return MT_FAIL(NO_MEMORY, "out of memory while writing a text of more than %zu bytes", text->length);
}

void mt_text_clear(mt_text *text) {
    text->length = 0;
    text->failed = false;
    if (text->data) text->data[0] = '\0';
}

void mt_text_fini(mt_text *text) {
    free(text->data);
    *text = (mt_text){0};
}

// ---- nearest word ----

enum { WORD_MAX = 64 };   // longer words are not compared: a name that long is no slip of the finger

static int fold(char c) {
    if (c == '_') return '-';
    return tolower((unsigned char)c);
}

bool mt_text_equal_fold(const char *a, const char *b) {
    while (*a && fold(*a) == fold(*b)) a++, b++;
    return *a == '\0' && *b == '\0';
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

typedef struct word_distance {
    size_t whole;    // to the whole entry
    size_t start;    // to the nearest beginning of the entry
    size_t rest;     // letters of the entry after that beginning
} word_distance;

// Damerau–Levenshtein, optimal string alignment: three rows of the table are enough
static word_distance distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_length; j++) last[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            bool same = fold(a[i - 1]) == fold(b[j - 1]);
            row[j] = least(last[j - 1] + !same, least(last[j], row[j - 1]) + 1);
            bool swapped = i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]);
            if (swapped) row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    word_distance d = {.whole = last[b_length], .start = last[b_length], .rest = 0};
    for (size_t j = b_length; j-- > 0;)
        if (last[j] < d.start) d.start = last[j], d.rest = b_length - j;
    return d;
}

// How far a word is from an entry in quarters of a slip; SIZE_MAX: not near
static size_t score(const char *word, size_t length, const char *entry, size_t entry_length) {
    word_distance d = distance(word, length, entry, entry_length);
    size_t longer = length > entry_length ? length : entry_length, best = SIZE_MAX;
    // a third of the letters may differ; one may in words of two letters
    size_t bound = longer / 3 ? longer / 3 : longer > 1;
    if (d.whole <= bound && d.whole < longer) best = 4 * d.whole;
    // what somebody began to type, a slip in four letters included, is near too, less so the more is missing
    if (length >= 3 && d.start <= length / 4) best = least(best, 4 * d.start + 4 + d.rest);
    return best;
}

const char *mt_text_nearest_at(const char *word, mt_text_at_fn at, const void *list, size_t count) {
    size_t length = strlen(word);
    if (length == 0 || length > WORD_MAX) return NULL;
    const char *best = NULL;
    size_t best_score = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        const char *entry = at(list, i);
        size_t entry_length = entry ? strlen(entry) : 0;
        if (entry_length == 0 || entry_length > WORD_MAX) continue;
        size_t s = score(word, length, entry, entry_length);
        if (s >= best_score) continue;
        best = entry;
        best_score = s;
    }
    return best;
}

static const char *array_at(const void *list, size_t index) { return ((const char *const *)list)[index]; }

const char *mt_text_nearest(const char *word, const char *const *list, size_t count) {
    return mt_text_nearest_at(word, array_at, list, count);
}

const char *mt_text_did_you_mean(const char *nearest, char *out, size_t out_bytes) {
    if (nearest) snprintf(out, out_bytes, "; did you mean \"%s\"?", nearest);
    else if (out_bytes) out[0] = '\0';
    return out;
}

// ---- numbers ----

static const char *skip_digits(const char *s) {
    while (*s >= '0' && *s <= '9') s++;
    return s;
}

typedef enum number_shape { NOT_A_NUMBER, WHOLE, FRACTIONAL } number_shape;

// [+-] digits [. digits] [e [+-] digits], at least one digit before the exponent
static number_shape shape_of(const char *text) {
    const char *s = text + (*text == '+' || *text == '-');
    const char *whole_end = skip_digits(s);
    bool digits = whole_end > s;
    if (*whole_end == '\0') return digits ? WHOLE : NOT_A_NUMBER;
    s = whole_end;
    if (*s == '.') {
        const char *end = skip_digits(s + 1);
        digits = digits || end > s + 1;
        s = end;
    }
    if (digits && (*s == 'e' || *s == 'E')) {
        s++;
        s += *s == '+' || *s == '-';
        const char *end = skip_digits(s);
        digits = end > s;
        s = end;
    }
    return digits && *s == '\0' ? FRACTIONAL : NOT_A_NUMBER;
}

// The C locale's strtod, whatever locale the program (or a library in it) has set. glibc gives the C locale without
// allocating, so that a thread that ends leaks nothing.
static double to_double(const char *text) {
    static _Thread_local locale_t c_locale;
    if (!c_locale) c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return c_locale ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
}

mt_status mt_parse_f64(const char *text, double *out) {
    if (shape_of(text) == NOT_A_NUMBER) return MT_FAIL(INVALID_ARGUMENT, "\"%.60s\" is not a number", text);
    double value = to_double(text);
    if (!isfinite(value)) return MT_FAIL(INVALID_ARGUMENT, "%.60s is too large for a number", text);
    *out = value;
    return MT_OK;
}

mt_status mt_parse_i64(const char *text, int64_t *out) {
    number_shape shape = shape_of(text);
    if (shape == NOT_A_NUMBER) return MT_FAIL(INVALID_ARGUMENT, "\"%.60s\" is not a whole number", text);
    if (shape == WHOLE) {
        errno = 0;
        long long value = strtoll(text, NULL, 10);
        if (errno == ERANGE) return MT_FAIL(INVALID_ARGUMENT, "%.60s is too large for a whole number of 64 bits", text);
        *out = value;
        return MT_OK;
    }
    double value = to_double(text);
    // 2^53: beyond it a double no longer tells neighbours apart, so "whole" would mean nothing
    if (!(fabs(value) <= 0x1p53)) return MT_FAIL(INVALID_ARGUMENT, "%.60s is too large: write it with all its digits", text);
    if (value != floor(value)) return MT_FAIL(INVALID_ARGUMENT, "%.60s is not a whole number", text);
    *out = (int64_t)value;
    return MT_OK;
}

mt_status mt_parse_bool(const char *text, bool *out) {
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (mt_text_equal_fold(text, words[i])) {
            *out = i % 2;
            return MT_OK;
        }
    return MT_FAIL(INVALID_ARGUMENT, "\"%.60s\" is neither true nor false (write true or false)", text);
}

// "1e-05" is a string to YAML 1.1 readers: its floats need a point. A locale's decimal comma is undone as well.
static const char *as_yaml_float(char *out, size_t out_bytes) {
    for (char *c = out; *c; c++)
        if (*c == ',') *c = '.';
    char *exponent = strchr(out, 'e');
    if (exponent && !strchr(out, '.') && strlen(out) + 3 <= out_bytes) {
        memmove(exponent + 2, exponent, strlen(exponent) + 1);
        memcpy(exponent, ".0", 2);
    }
    return out;
}

static const char *format_special(double value, char *out, size_t out_bytes) {
    snprintf(out, out_bytes, "%s", isnan(value) ? ".nan" : value > 0 ? ".inf" : "-.inf");
    return out;
}

const char *mt_format_f64(double value, char *out, size_t out_bytes) {
    if (!isfinite(value)) return format_special(value, out, out_bytes);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, out_bytes, "%.*g", digits, value);
        as_yaml_float(out, out_bytes);
        if (to_double(out) == value) break;
    }
    return out;
}

const char *mt_format_f32(float value, char *out, size_t out_bytes) {
    if (!isfinite(value)) return format_special((double)value, out, out_bytes);
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(out, out_bytes, "%.*g", digits, (double)value);
        as_yaml_float(out, out_bytes);
        if ((float)to_double(out) == value) break;
    }
    return out;
}

// ---- UTF-8 ----

bool mt_text_is_utf8(const char *string) {
    const unsigned char *s = (const unsigned char *)string;
    while (*s) {
        int more = *s < 0x80 ? 0 : *s >= 0xc2 && *s < 0xe0 ? 1 : (*s & 0xf0) == 0xe0 ? 2 : *s >= 0xf0 && *s < 0xf5 ? 3 : -1;
        if (more < 0) return false;
        // second byte: no overlong forms, no surrogates, nothing past U+10FFFF
        if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f)) return false;
        if ((*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] > 0x8f)) return false;
        for (int i = 1; i <= more; i++)
            if ((s[i] & 0xc0) != 0x80) return false;
        s += more + 1;
    }
    return true;
}
