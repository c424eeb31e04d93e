// Status codes, the thread's last error, and the check macros every fallible function uses.
//
// A fallible function returns mt_status; on failure it has called MT_FAIL, which records a message for the user (what,
// where, what to do) together with file and line. Callers pass the status up with MT_TRY; only apps/ prints it.
#ifndef MANTA_ENGINE_BASE_STATUS_H
#define MANTA_ENGINE_BASE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

// X(name, exit code of the program, default message)
#define MT_STATUS_LIST(X)                                                                                              \
    X(OK, 0, "success")                                                                                                \
    X(INVALID_ARGUMENT, 2, "invalid argument")                                                                         \
    X(CONFIG, 2, "bad configuration")                                                                                  \
    X(NOT_FOUND, 3, "not found")                                                                                       \
    X(EXISTS, 4, "already exists")                                                                                     \
    X(IO, 5, "input/output error")                                                                                     \
    X(CORRUPT, 6, "corrupt data")                                                                                      \
    X(NO_MEMORY, 7, "out of memory")                                                                                   \
    X(PLUGIN, 8, "plugin error")                                                                                       \
    X(ENV, 9, "environment error")                                                                                     \
    X(NUMERIC, 10, "not a finite number")                                                                              \
    X(DEADLINE, 11, "deadline passed")                                                                                 \
    X(COMM, 12, "communication error")                                                                                 \
    X(UNSUPPORTED, 13, "not supported")                                                                                \
    X(INTERRUPTED, 75, "interrupted: state saved, resume to continue")                                                 \
    X(INTERNAL, 70, "internal error")

typedef enum mt_status {
#define MT_X(name, exit_code, text) MT_##name,
    MT_STATUS_LIST(MT_X)
#undef MT_X
    MT_STATUS_COUNT
} mt_status;

const char *mt_status_name(mt_status status);   // "OK", "CONFIG", ... ; "?" for a value outside the list
const char *mt_status_text(mt_status status);   // the default message
int mt_status_exit_code(mt_status status);      // what apps/ exits with

// Records the calling thread's last error and returns `code`. Use MT_FAIL. Messages are cut at 1023 bytes.
mt_status mt_fail(mt_status code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Puts `format` before the last error's message ("presets/ppo.yml:3: unknown key ..."); the code stays.
mt_status mt_fail_context(mt_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *mt_last_error(void);         // the thread's last message; "" when none. Valid until the next failure.
const char *mt_last_error_where(void);   // "engine/base/yaml.c:120"

#define MT_FAIL(code, ...) mt_fail(MT_##code, __FILE__, __LINE__, __VA_ARGS__)

// return on failure
#define MT_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        mt_status mt_try_ = (expr);                                                                                    \
        if (mt_try_ != MT_OK) return mt_try_;                                                                          \
    } while (0)

// goto a clean-up label on failure; `status` is the function's local of that name
#define MT_TRY_GOTO(expr, label)                                                                                       \
    do {                                                                                                               \
        status = (expr);                                                                                               \
        if (status != MT_OK) goto label;                                                                               \
    } while (0)

// run and keep the first failure
#define MT_KEEP(first, expr)                                                                                           \
    do {                                                                                                               \
        mt_status mt_keep_ = (expr);                                                                                   \
        if ((first) == MT_OK) (first) = mt_keep_;                                                                      \
    } while (0)

// Programmer errors. Stays on in RelWithDebInfo; no side effects inside.
void mt_assert_failed(const char *expr, const char *file, int line) __attribute__((noreturn));
#define MT_ASSERT(expr) ((expr) ? (void)0 : mt_assert_failed(#expr, __FILE__, __LINE__))

#ifdef __cplusplus
}
#endif
#endif
