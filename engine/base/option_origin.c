// Where values came from, over the life of a file: what mt_options_dump_yaml wrote behind them, read back. Comments are nothing
// to a YAML reader, so they are taken from the lines.
#include <stdlib.h>
#include <string.h>
#include "engine/base/option_value.h"

// The comment of a line as the dump writes it, a value between: what is quoted may hold a '#' of its own. NULL: none.
static const char *comment_of(const char *line, size_t length) {
    char quote = '\0';
    for (size_t i = 0; i < length; i++) {
        char c = line[i];
        if (quote == '"' && c == '\\') i++;
        else if (quote) quote = c == quote ? '\0' : quote;
        else if (c == '"' || c == '\'') quote = c;
        else if (c == '#' && i > 0 && line[i - 1] == ' ') return line + i + 1;
    }
    return NULL;
}

static const char *line_at(const char *text, long number, size_t *length) {
    for (long i = 1; i < number && text; i++) text = (text = strchr(text, '\n')) != NULL ? text + 1 : NULL;
    *length = text ? strcspn(text, "\n") : 0;
    return text;
}

void mt_options_read_origins(mt_options *options, const char *text) {
    for (size_t i = 0; i < options->count; i++) {
        const mt_option_origin *origin = &options->origins[i];
        const char *number = origin->from == MT_FROM_FILE ? strrchr(origin->where, ':') : NULL;
        size_t length = 0;
        const char *line = number ? line_at(text, strtol(number + 1, NULL, 10), &length) : NULL;
        const char *comment = line ? comment_of(line, length) : NULL;
        if (!comment) continue;
        comment += strspn(comment, " ");
        char where[sizeof origin->where];
        snprintf(where, sizeof where, "%.*s", (int)(length - (size_t)(comment - line)), comment);
        if (*where) mt_options_mark(options, mt_options_row(options, i, NULL)->name, where);
    }
}
