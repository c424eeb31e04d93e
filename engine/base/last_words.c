// Last words. The handler is async-signal-safe: it writes from a buffer on its stack, and puts back who handled the signal before.
// A stack that overflowed leaves no room to speak on, but for threads with an alternate one: there the death stays mute.
#include "engine/base/last_words.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/signal.h"

static int own_rank;
static _Thread_local const char *volatile doing;

static char *add(char *at, const char *end, const char *text) {
    while (*text && at < end) *at++ = *text++;
    return at;
}

static char *add_number(char *at, const char *end, unsigned long n) {
    char digits[24];
    int count = 0;
    do digits[count++] = (char)('0' + n % 10);
    while (n /= 10);
    while (count && at < end) *at++ = digits[--count];
    return at;
}

static const char *name_of(int signal_number) {
    switch (signal_number) {
    case SIGSEGV: return "SIGSEGV (a wrong address)";
    case SIGBUS: return "SIGBUS (memory that is not there)";
    case SIGFPE: return "SIGFPE (a division by zero, perhaps)";
    case SIGILL: return "SIGILL (an instruction that this processor does not have)";
    default: return "SIGABRT (an abort or a failed assertion)";
    }
}

static struct sigaction before[MT_FAULT_SIGNALS];

// Then whoever handled it before has it: what faults does so again, what was sent is sent again.
static void speak(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    char line[400], *at = line;
    const char *end = line + sizeof line - 1, *what = doing;
    at = add(at, end, "manta: rank ");
    at = add_number(at, end, (unsigned long)own_rank);
    at = add(at, end, " (process ");
    at = add_number(at, end, (unsigned long)getpid());
    at = add(at, end, ") dies of ");
    at = add(at, end, name_of(signal_number));
    if (what) at = add(add(at, end, " while it runs "), end, what);
    *at++ = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)(at - line));
    (void)written;
    for (int i = 0; i < MT_FAULT_SIGNALS; i++)
        if (mt_fault_signals[i] == signal_number) sigaction(signal_number, &before[i], NULL);
    if (info->si_code <= 0) raise(signal_number);
}

void mt_last_words_start(int rank) {
    own_rank = rank;
    for (int i = 0; i < MT_FAULT_SIGNALS; i++) {
        struct sigaction words = {.sa_sigaction = speak, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
        struct sigaction now;
        sigemptyset(&words.sa_mask);
        if (sigaction(mt_fault_signals[i], NULL, &now) != 0 || now.sa_sigaction == speak) continue;
        before[i] = now;
        sigaction(mt_fault_signals[i], &words, NULL);
    }
}

const char *mt_last_words_doing(const char *what) {
    const char *previous = doing;
    doing = what;
    return previous;
}
