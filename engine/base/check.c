// Running checks: the parent forks, listens, and turns a child's death or its silence into a verdict; the child reports.
#include "engine/base/check.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/clock.h"

const char *mt_verdict_name(mt_verdict verdict) {
    static const char *const names[] = {"PASS", "WARN", "FAIL"};
    return (unsigned)verdict < 3 ? names[verdict] : "?";
}

// ---- the child: reporting

void mt_check_say(mt_check_session *session, mt_verdict verdict, const char *check, const char *format, ...) {
    char line[1600];
    int used = snprintf(line, sizeof line, "%d\t%s\t", (int)verdict, check);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, sizeof line - (size_t)used - 1, format, args);
    va_end(args);
    for (char *c = line; *c; c++)
        if (*c == '\n') *c = ' ';
    size_t length = strlen(line);
    line[length++] = '\n';
    for (size_t sent = 0; sent < length;) {
        ssize_t n = write(session->out, line + sent, length - sent);
        if (n <= 0) _exit(1);   // the parent is gone
        sent += (size_t)n;
    }
}

void mt_check_enter(mt_check_session *session, const char *call) {
    snprintf(session->shared->call, sizeof session->shared->call, "%s", call);
    __atomic_store_n(&session->shared->call_started_ns, mt_clock_ns(), __ATOMIC_RELEASE);
}

void mt_check_leave(mt_check_session *session) {
    __atomic_store_n(&session->shared->call_started_ns, 0, __ATOMIC_RELEASE);
    session->shared->call[0] = 0;
}

// ---- the child: faults

// A signal handler has no argument of ours: the child keeps what it needs here. Set before any foreign call.
static mt_check_shared *fault_shared;

static void on_fault(int number, siginfo_t *info, void *unused) {
    (void)unused;
    mt_check_shared *shared = fault_shared;
    long at = 0;
    const mt_guard *guard = mt_guard_at(info->si_addr, &at);
    if (guard) {
        for (size_t i = 0; guard->name[i] && i + 1 < sizeof shared->fault_array; i++) shared->fault_array[i] = guard->name[i];
        shared->fault_bytes = at;
    }
    shared->fault_signal = number;
    _exit(1);
}

static void catch_faults(mt_check_shared *shared) {
    fault_shared = shared;
    // a stack of its own, so that an overflow of the ordinary one is caught too
    stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    if (stack.ss_sp) sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
}

// ---- the child: running

#if defined(__GLIBC__)
// the foreign code called exit(): leave at once, or the handlers of the program that checks would run here too
static void leave(int code, void *unused) {
    (void)unused;
    _exit(code);
}
#endif

static void child(mt_check_session *session, void (*check)(mt_check_session *, void *), void *argument, int capture) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    // what it prints goes to a file in memory: printing is a finding, and helps to explain a crash
    dup2(capture, STDOUT_FILENO);
    dup2(capture, STDERR_FILENO);
    catch_faults(session->shared);
#if defined(__GLIBC__)
    on_exit(leave, NULL);
#endif
    check(session, argument);
    fflush(NULL);   // what was printed counts, also where stdout is buffered
    session->shared->finished = 1;
    _exit(0);
}

// ---- the parent: lines

void mt_checker_say(mt_checker *c, mt_verdict verdict, const char *check, const char *text) {
    c->failures += verdict == MT_VERDICT_FAIL;
    c->line(c->context, verdict, check, text);
}

static void emit_line(mt_checker *c, char *line) {
    char *check = strchr(line, '\t'), *text = check ? strchr(check + 1, '\t') : NULL;
    if (!text || line[0] < '0' || line[0] > '2') return;   // not ours: the foreign code found the pipe
    *check++ = *text++ = 0;
    mt_checker_say(c, (mt_verdict)(line[0] - '0'), check, text);
}

static void take_lines(mt_checker *c) {
    char *newline;
    while ((newline = memchr(c->buffer, '\n', c->used))) {
        *newline = 0;
        emit_line(c, c->buffer);
        size_t taken = (size_t)(newline - c->buffer) + 1;
        memmove(c->buffer, newline + 1, c->used - taken);
        c->used -= taken;
    }
    if (c->used == sizeof c->buffer) c->used = 0;   // no line is that long
}

static int64_t timeout_of(const mt_checker *c) { return c->timeout_ns ? c->timeout_ns : 10 * MT_SECOND_NS; }

// Reads until the child has closed the pipe. 1: a call hung and the child was killed.
static int listen(mt_checker *c, int in, pid_t pid, const mt_check_shared *shared) {
    struct pollfd wait = {.fd = in, .events = POLLIN};
    c->used = 0;
    for (;;) {
        int ready = poll(&wait, 1, 20);
        if (ready > 0) {
            ssize_t n = read(in, c->buffer + c->used, sizeof c->buffer - c->used);
            if (n == 0 || (n < 0 && errno != EINTR)) return 0;
            if (n > 0) c->used += (size_t)n;
            take_lines(c);
        }
        int64_t started = __atomic_load_n(&shared->call_started_ns, __ATOMIC_ACQUIRE);
        if (started && mt_clock_ns() - started > timeout_of(c)) {
            kill(pid, SIGKILL);
            return 1;
        }
    }
}

// ---- the parent: how a child ended

static void emit_hang(mt_checker *c, const mt_check_shared *shared) {
    char text[256];
    snprintf(text, sizeof text, "%.23s did not return within %.3g s (%s %llu); look for an endless loop or a wait", shared->call,
        (double)timeout_of(c) * 1e-9, c->counted, (unsigned long long)shared->step);
    mt_checker_say(c, MT_VERDICT_FAIL, "hang", text);
}

static void describe_fault(const mt_checker *c, const mt_check_shared *shared, char *text, size_t bytes) {
    const char *during = shared->call[0] ? shared->call : "no call";
    unsigned long long step = shared->step;
    if (shared->fault_array[0] && shared->fault_bytes >= 0)
        snprintf(text, bytes, "%.23s (%s %llu) touched the byte %ld past the end of %.23s; it ends after the last %s: check "
            "the index", during, c->counted, step, shared->fault_bytes, shared->fault_array, c->row);
    else if (shared->fault_array[0])
        snprintf(text, bytes, "%.23s (%s %llu) touched the byte %ld before the start of %.23s: check the index", during, c->counted,
            step, -shared->fault_bytes, shared->fault_array);
    else
        snprintf(text, bytes, "%.23s (%s %llu) died of signal %d (%s); run it under a debugger or with -fsanitize=address", during,
            c->counted, step, shared->fault_signal, strsignal(shared->fault_signal));
}

static void emit_death(mt_checker *c, const mt_check_shared *shared, int wait_status) {
    char text[256];
    if (shared->fault_signal || WIFSIGNALED(wait_status)) {
        mt_check_shared seen = *shared;
        if (!seen.fault_signal) seen.fault_signal = WTERMSIG(wait_status);
        describe_fault(c, &seen, text, sizeof text);
        mt_checker_say(c, MT_VERDICT_FAIL, seen.fault_array[0] ? "guard" : "crash", text);
        return;
    }
    snprintf(text, sizeof text, "%.23s (%s %llu) ended the process with exit(%d); return an error instead", shared->call, c->counted,
        (unsigned long long)shared->step, WEXITSTATUS(wait_status));
    mt_checker_say(c, MT_VERDICT_FAIL, "exit", text);
}

static void emit_output(mt_checker *c, int capture) {
    char output[200], text[400];
    ssize_t n = pread(capture, output, sizeof output - 1, 0);
    if (n <= 0) return;
    output[n] = 0;
    for (char *p = output; *p; p++)
        if ((unsigned char)*p < ' ') *p = ' ';
    snprintf(text, sizeof text, "it printed \"%s%s\"; %s stay silent: rank upon rank would print it", output,
        n == sizeof output - 1 ? "..." : "", c->whose);
    mt_checker_say(c, MT_VERDICT_WARN, "silent", text);
}

mt_status mt_checker_run(mt_checker *c, void (*check)(mt_check_session *, void *), void *argument, uint64_t *answer) {
    int ends[2] = {-1, -1}, capture = memfd_create("manta-check", MFD_CLOEXEC), wait_status = 0;
    mt_check_shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mt_status status = MT_OK;
    if (answer) *answer = 0;
    if (shared == MAP_FAILED || capture < 0 || pipe(ends) != 0) {
        status = MT_FAIL(IO, "cannot start a check: %s", strerror(errno));
        goto out;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        status = MT_FAIL(IO, "cannot start a check: fork: %s", strerror(errno));
        goto out;
    }
    if (pid == 0) {
        close(ends[0]);
        mt_check_session session = {.out = ends[1], .shared = shared};
        child(&session, check, argument, capture);
    }
    close(ends[1]);
    ends[1] = -1;
    int hung = listen(c, ends[0], pid, shared);
    while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) continue;
    if (hung) emit_hang(c, shared);
    else if (!shared->finished) emit_death(c, shared, wait_status);
    if (answer && shared->finished) *answer = shared->answer;
    emit_output(c, capture);
out:
    for (int k = 0; k < 2; k++)
        if (ends[k] >= 0) close(ends[k]);
    if (capture >= 0) close(capture);
    if (shared != MAP_FAILED) munmap(shared, sizeof *shared);
    return status;
}
