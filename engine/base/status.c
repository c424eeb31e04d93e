// Status codes and the thread's last error. Called from every thread; the last error is thread-local and never freed.
#include "engine/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024, WHERE_BYTES = 192 };

static _Thread_local char last_message[MESSAGE_BYTES];
static _Thread_local char last_where[WHERE_BYTES];

static const struct {
    const char *name, *text;
    int exit_code;
} status_table[MT_STATUS_COUNT] = {
#define MT_X(name, exit_code, text) [MT_##name] = {#name, text, exit_code},
    MT_STATUS_LIST(MT_X)
#undef MT_X
};

static int known(mt_status status) { return (unsigned)status < MT_STATUS_COUNT; }

const char *mt_status_name(mt_status status) { return known(status) ? status_table[status].name : "?"; }
const char *mt_status_text(mt_status status) { return known(status) ? status_table[status].text : "unknown status"; }
int mt_status_exit_code(mt_status status) {
    return known(status) ? status_table[status].exit_code : status_table[MT_INTERNAL].exit_code;
}

mt_status mt_fail(mt_status code, const char *file, int line, const char *format, ...) {
    // format into a local first: an argument may point into the old message
    char message[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    memcpy(last_message, message, sizeof message);
    snprintf(last_where, sizeof last_where, "%s:%d", file, line);
    return code;
}

mt_status mt_fail_context(mt_status code, const char *format, ...) {
    char message[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (used >= 0 && used < MESSAGE_BYTES) snprintf(message + used, sizeof message - (size_t)used, "%s", last_message);
    memcpy(last_message, message, sizeof message);
    return code;
}

const char *mt_last_error(void) { return last_message; }
const char *mt_last_error_where(void) { return last_where; }

void mt_assert_failed(const char *expr, const char *file, int line) {
    fprintf(stderr, "manta: assertion failed at %s:%d: %s\n", file, line, expr);
    abort();
}
