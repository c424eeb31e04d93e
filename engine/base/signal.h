// Signals: SIGINT, SIGTERM and SIGUSR1 ask the program to stop at the next safe point, where it saves. A second SIGINT
// leaves at once with 130. mpirun kills a rank about 1 s after SIGTERM; SIGUSR1 it forwards and leaves all the time needed.
#ifndef MANTA_ENGINE_BASE_SIGNAL_H
#define MANTA_ENGINE_BASE_SIGNAL_H

#include <signal.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

mt_status mt_signal_start(void);      // installs the handlers; main thread, before others are made
int mt_signal_pending(void);          // the first signal that arrived; 0 = none. Any thread; one load
const char *mt_signal_name(int signal_number);   // "SIGINT"
void mt_signal_clear(void);           // forget it (tests)

// The signals of a thread's own faults: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT.
enum { MT_FAULT_SIGNALS = 5 };
extern const int mt_fault_signals[MT_FAULT_SIGNALS];

// Blocks the calling thread's signals but those of its own faults (see last_words.h: a fault whose signal is blocked kills in
// silence), and tells what was blocked before. Around the making of a thread, which inherits the mask: signals are the main thread's.
void mt_signal_block(sigset_t *before);

#ifdef __cplusplus
}
#endif
#endif
