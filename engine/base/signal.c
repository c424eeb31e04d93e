// Signals: the handler only stores a number (async-signal-safe); the program looks at it at safe points.
#include "engine/base/signal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

const int mt_fault_signals[MT_FAULT_SIGNALS] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static atomic_int pending;      // first signal; 0 none
static atomic_int interrupts;   // SIGINTs so far

static void on_signal(int number) {
    int none = 0;
    atomic_compare_exchange_strong(&pending, &none, number);
    // the user insists: leave now, without saving
    if (number == SIGINT && atomic_fetch_add(&interrupts, 1) >= 1) _exit(130);
}

mt_status mt_signal_start(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1};
    // SA_RESTART: a save that is under way must not see EINTR
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], &action, NULL) != 0)
            return MT_FAIL(INTERNAL, "cannot install a handler for %s: %s", mt_signal_name(numbers[i]), strerror(errno));
    return MT_OK;
}

int mt_signal_pending(void) { return atomic_load_explicit(&pending, memory_order_relaxed); }

const char *mt_signal_name(int signal_number) {
    switch (signal_number) {
    case SIGINT: return "SIGINT";
    case SIGTERM: return "SIGTERM";
    case SIGUSR1: return "SIGUSR1";
    default: return "a signal";
    }
}

void mt_signal_clear(void) {
    atomic_store(&pending, 0);
    atomic_store(&interrupts, 0);
}

void mt_signal_block(sigset_t *before) {
    sigset_t all;
    sigfillset(&all);
    for (int i = 0; i < MT_FAULT_SIGNALS; i++) sigdelset(&all, mt_fault_signals[i]);
    pthread_sigmask(SIG_SETMASK, &all, before);
}
