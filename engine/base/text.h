// Text: a growable string, strict number parsing, and "did you mean".
// Pure functions of their arguments (mt_text is the caller's storage); any thread.
#ifndef MANTA_ENGINE_BASE_TEXT_H
#define MANTA_ENGINE_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// A growable string. Zero-initialised is empty: mt_text out = {0}; ... mt_text_fini(&out).
// Running out of memory is kept, not returned: append freely, ask mt_text_status once at the end.
typedef struct mt_text {
    char *data;               // owned; NUL-terminated; NULL while empty: read it through mt_text_str
    size_t length, capacity;  // bytes, without and with the NUL
    bool failed;              // an append ran out of memory; later appends do nothing
} mt_text;

void mt_text_append(mt_text *text, const char *string);
void mt_text_append_bytes(mt_text *text, const char *bytes, size_t count);
void mt_text_printf(mt_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *mt_text_str(const mt_text *text);      // "" when empty; valid until the next append
mt_status mt_text_status(const mt_text *text);     // MT_OK or MT_NO_MEMORY
void mt_text_clear(mt_text *text);                 // empty again, keeps its memory
void mt_text_fini(mt_text *text);

// The entry nearest to `word` by Damerau–Levenshtein distance, for "did you mean"; NULL when nothing is near (more than a
// third of the letters differ). Upper and lower case, '-' and '_' count as equal; an entry that begins with the word (three
// letters or more, one slip in four) is near. The first of equally near entries wins.
const char *mt_text_nearest(const char *word, const char *const *list, size_t count);

typedef const char *(*mt_text_at_fn)(const void *list, size_t index);   // Nullable results are skipped
const char *mt_text_nearest_at(const char *word, mt_text_at_fn at, const void *list, size_t count);

// Writes `; did you mean "CartPole-v1"?` into out, or "" when nearest is NULL. Returns out. For the end of a message.
const char *mt_text_did_you_mean(const char *nearest, char *out, size_t out_bytes);

// Strict parsing of the whole string: no blanks round it, no trailing junk, no hexadecimal, no "inf" or "nan", no
// underscores, '.' as the decimal point in every locale. MT_INVALID_ARGUMENT with what is wrong; *out is untouched then.
// Integers may be written 1e5 or 64.0 as long as the value is whole; beyond int64 is an error, never a wrap.
mt_status mt_parse_i64(const char *text, int64_t *out);
mt_status mt_parse_f64(const char *text, double *out);     // overflow is an error, underflow gives 0 or a subnormal
mt_status mt_parse_bool(const char *text, bool *out);      // true/false yes/no on/off 1/0, any case

// Shortest decimal text that mt_parse_f64 reads back to the same double (or float); always a float to YAML 1.1 readers
// too ("1.0e-05", not "1e-05"). Not finite values print as ".nan", ".inf", "-.inf". out_bytes ≥ MT_F64_TEXT_BYTES.
enum { MT_F64_TEXT_BYTES = 32 };
const char *mt_format_f64(double value, char *out, size_t out_bytes);
const char *mt_format_f32(float value, char *out, size_t out_bytes);

bool mt_text_equal_fold(const char *a, const char *b);     // equal but for upper and lower case (ASCII), '-' and '_'
bool mt_text_is_utf8(const char *string);                  // well-formed UTF-8 (no surrogates, no overlong forms)

#ifdef __cplusplus
}
#endif
#endif
