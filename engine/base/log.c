// Log: one process-wide sink, written once at start. A line is formatted on the stack and written with one call.
#include "engine/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 2048 };

static mt_log_desc sink = {.level = MT_LOG_INFO, .rank = 0, .size = 1};

void mt_log_start(const mt_log_desc *desc) { sink = *desc; }

bool mt_log_shows(mt_log_level level) { return level <= sink.level; }

static void to_stderr(const char *line, size_t bytes) {
    while (bytes) {
        ssize_t done = write(STDERR_FILENO, line, bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return;   // nobody can be told that stderr is gone
        line += done;
        bytes -= (size_t)done;
    }
}

void mt_log(mt_log_level level, const char *format, ...) {
    static const char *const words[] = {[MT_LOG_ERROR] = "error: ", [MT_LOG_WARN] = "warning: ", [MT_LOG_INFO] = "",
        [MT_LOG_DEBUG] = "debug: "};
    if (!mt_log_shows(level)) return;
    int kept_errno = errno;
    char line[LINE_BYTES];
    int used = sink.size > 1 ? snprintf(line, sizeof line, "[rank %d] %s", sink.rank, words[level])
                             : snprintf(line, sizeof line, "%s", words[level]);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + used, sizeof line - (size_t)used, format, args);
    va_end(args);
    size_t bytes = (size_t)used + (more > 0 ? (size_t)more : 0);
    if (bytes > sizeof line - 2) bytes = sizeof line - 2;
    // text from outside (names, plugin messages) must not move the cursor or forge a line
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = '?';
    line[bytes++] = '\n';
    if (sink.write) sink.write(sink.context, level, line, bytes);
    else to_stderr(line, bytes);
    errno = kept_errno;
}
