// Last words. The handler is async-signal-safe: it writes from a buffer on its stack and raises the signal again, whose default
// action SA_RESETHAND has restored. A stack that overflowed leaves no room to speak on, but for threads with an alternate one: there
// the death stays mute.
#include "engine/base/last_words.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

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

static void speak(int signal_number) {
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
    raise(signal_number);
}

void mt_last_words_start(int rank) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    own_rank = rank;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction now, words = {.sa_handler = speak, .sa_flags = SA_RESETHAND | SA_NODEFER | SA_ONSTACK};
        if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL) sigaction(signals[i], &words, NULL);
    }
}

const char *mt_last_words_doing(const char *what) {
    const char *before = doing;
    doing = what;
    return before;
}
