// Log: lines for people on stderr, one write per line, so that lines of several ranks never mix.
//
// This is the one process-wide object of the engine: a sink, set by mt_log_start before any thread is made and only read
// after. Until then errors, warnings and info go to stderr without a prefix. Any thread may log.
#ifndef MANTA_ENGINE_BASE_LOG_H
#define MANTA_ENGINE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mt_log_level { MT_LOG_ERROR, MT_LOG_WARN, MT_LOG_INFO, MT_LOG_DEBUG } mt_log_level;

// Receives a whole line, '\n' included. Called from any thread, possibly several at once.
typedef void (*mt_log_write_fn)(void *context, mt_log_level level, const char *line, size_t bytes);

typedef struct mt_log_desc {
    mt_log_level level;      // the last level that is shown
    int rank, size;          // size > 1: lines begin with "[rank 3] "
    mt_log_write_fn write;   // Nullable: where lines go instead of stderr (a progress display clears its line first)
    void *context;           // borrowed
} mt_log_desc;

void mt_log_start(const mt_log_desc *desc);
bool mt_log_shows(mt_log_level level);

// A message without '\n'; control bytes in it become '?', so that hostile text cannot drive a terminal. Lines longer than
// 2 KiB are cut. errno is left as it was.
void mt_log(mt_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define mt_log_error(...) mt_log(MT_LOG_ERROR, __VA_ARGS__)   // "error: ..."
#define mt_log_warn(...) mt_log(MT_LOG_WARN, __VA_ARGS__)     // "warning: ..."
#define mt_log_info(...) mt_log(MT_LOG_INFO, __VA_ARGS__)     // no word before it
#define mt_log_debug(...) (mt_log_shows(MT_LOG_DEBUG) ? mt_log(MT_LOG_DEBUG, __VA_ARGS__) : (void)0)

#ifdef __cplusplus
}
#endif
#endif
