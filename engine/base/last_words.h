// Last words: what a process says when it dies of a fault of its own (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT): who it was and
// what its thread was doing, in one line on standard error. Then it dies of the same signal, as it would have. mpirun says of a
// dead rank only which signal it was.
//
// Whoever handled such a signal before (Open MPI's backtrace, a sanitizer, the host program) handles it next.
#ifndef MANTA_ENGINE_BASE_LAST_WORDS_H
#define MANTA_ENGINE_BASE_LAST_WORDS_H

#ifdef __cplusplus
extern "C" {
#endif

void mt_last_words_start(int rank);   // once; any thread

// What the calling thread does from now on: borrowed, must live while it is set. NULL: nothing to speak of. Returns what it was.
// A store to a thread-local: free enough for every task.
const char *mt_last_words_doing(const char *what);

#ifdef __cplusplus
}
#endif
#endif
