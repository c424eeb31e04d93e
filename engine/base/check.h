// Checks of somebody else's code: each runs in a child process, and its crash, its hang or its exit() is a verdict too and never
// the checker's end. What is checked, and what is promised, is for the floors above (policies/policy_check.h, rollout/check.h).
//
// Protocol: the child writes lines "verdict TAB check TAB text" (mt_check_say) and leaves with shared->finished set. The
// parent polls the pipe; every call of the foreign code is bracketed by mt_check_enter and mt_check_leave, and a call that lasts
// longer than the timeout is a hang: the child is killed.
//
// The calling process should have one thread (it forks) and no MPI.
#ifndef MANTA_ENGINE_BASE_CHECK_H
#define MANTA_ENGINE_BASE_CHECK_H

#include <stdint.h>

#include "engine/base/guard.h"
#include "engine/base/status.h"

typedef enum mt_verdict { MT_VERDICT_PASS, MT_VERDICT_WARN, MT_VERDICT_FAIL } mt_verdict;
const char *mt_verdict_name(mt_verdict verdict);   // "PASS"

// `check` names the promise ("obs-bounds"), `text` is one line without newline.
typedef void (*mt_check_line_fn)(void *context, mt_verdict verdict, const char *check, const char *text);

// ---- in the parent

typedef struct mt_checker {
    mt_check_line_fn line;
    void *context;           // of line
    int64_t timeout_ns;      // of a single call; 0: 10 s
    const char *whose;       // whose code it is: "environments"
    const char *row;         // what a row of its arrays is of: "environment"
    const char *counted;     // what shared->step counts: "step"
    int failures;            // lines with MT_VERDICT_FAIL so far
    // of the running child
    char buffer[4096];       // unfinished lines
    size_t used;
} mt_checker;

void mt_checker_say(mt_checker *checker, mt_verdict verdict, const char *check, const char *text);

typedef struct mt_check_session mt_check_session;

// Runs `check` in a child and emits its lines. *answer: Nullable; what the child left in shared->answer, 0 when it did not finish.
// The status speaks of the checker itself.
mt_status mt_checker_run(mt_checker *checker, void (*check)(mt_check_session *session, void *argument), void *argument,
    uint64_t *answer);

// ---- in the child

// Written by the child, read by the parent while and after it runs.
typedef struct mt_check_shared {
    char call[24];              // the foreign call in progress; "" between calls
    int64_t call_started_ns;
    uint64_t step;              // calls so far, as the check counts them
    uint64_t answer;
    int fault_signal;           // set by the child's fault handler
    char fault_array[24];       // the guarded array that was touched; "" = elsewhere
    long fault_bytes;           // ≥ 0: so many bytes past the array's end; < 0: before its start
    int finished;               // the check ran to its end
} mt_check_shared;

struct mt_check_session {
    int out;                    // pipe to the parent
    mt_check_shared *shared;
};

// A line for the parent; newlines become blanks.
void mt_check_say(mt_check_session *session, mt_verdict verdict, const char *check, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Around calls of the foreign code, for the parent's deadline and its messages.
void mt_check_enter(mt_check_session *session, const char *call);
void mt_check_leave(mt_check_session *session);

#endif
