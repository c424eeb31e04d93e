// The checker's parent: runs each check in a forked child, reads its lines from a pipe, and turns its death or its silence
// into a verdict. The plugin is never loaded here.
//
// Protocol: the child writes lines "verdict TAB check TAB text" (check_say) and sets shared->finished before it leaves. The
// parent polls the pipe; every call of the environment is bracketed by shared->call_started_ns, and a call that lasts longer
// than the timeout is a hang: the child is killed.
#include "rollout/check.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "rollout/check_list.h"
#include "rollout/plugin.h"

const char *mt_verdict_name(mt_verdict verdict) {
    static const char *const names[] = {"PASS", "WARN", "FAIL"};
    return (unsigned)verdict < 3 ? names[verdict] : "?";
}

typedef struct checker {
    const manta_env_desc *desc;   // given, or NULL: environment `index` of the plugin at `path`
    const char *path;
    uint32_t index;
    mt_check_options options;
    mt_check_line_fn line;
    void *context;
    int failures;
    uint32_t env_count;           // told by the child that loads the plugin
    char buffer[4096];            // unfinished lines of the child
    size_t used;
} checker;

// ---------------------------------------------------------------- the child

// what the environment prints goes to a file in memory: printing is a finding, and helps to explain a crash
static void redirect_output(int capture) {
    dup2(capture, STDOUT_FILENO);
    dup2(capture, STDERR_FILENO);
}

#if defined(__GLIBC__)
// the environment called exit(): leave at once, or the handlers of the program that checks would run here too
static void leave(int code, void *unused) {
    (void)unused;
    _exit(code);
}
#endif

static const manta_env_desc *child_desc(checker *c, check_session *session) {
    mt_plugin *plugin;
    if (c->desc) return c->desc;
    check_enter(session, "loading");
    mt_status status = mt_plugin_open(c->path, &plugin);
    check_leave(session);
    if (status != MT_OK) {
        check_say(session, MT_VERDICT_FAIL, "load", "%s", mt_last_error());
        return NULL;
    }
    return mt_plugin_table(plugin)->envs[c->index];   // stays loaded until the child's end
}

// the first child of a plugin: does it load, and what is in it
static void check_load(checker *c, check_session *session) {
    mt_plugin *plugin;
    check_enter(session, "loading");
    mt_status status = mt_plugin_open(c->path, &plugin);
    check_leave(session);
    if (status != MT_OK) {
        check_say(session, MT_VERDICT_FAIL, "load", "%s", mt_last_error());
        return;
    }
    const manta_env_plugin *table = mt_plugin_table(plugin);
    check_say(session, MT_VERDICT_PASS, "load", "%s %s: %u environment%s", table->name, table->version, table->env_count,
        table->env_count == 1 ? "" : "s");
    session->shared->step = table->env_count;
}

static void child(checker *c, check_session *session, void (*check)(check_session *), int capture) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    redirect_output(capture);
    check_catch_faults(session);
#if defined(__GLIBC__)
    on_exit(leave, NULL);
#endif
    if (check) {
        session->desc = child_desc(c, session);
        if (session->desc) {
            uint32_t limit = session->desc->max_episode_steps;
            if (c->options.steps == 0 && limit && limit < 100000 && limit + 100 > session->steps) session->steps = limit + 100;
            check(session);
        }
    } else {
        check_load(c, session);
    }
    fflush(NULL);   // what the environment printed counts, also where stdout is buffered
    session->shared->finished = 1;
    _exit(0);
}

// ---------------------------------------------------------------- the parent

static void emit(checker *c, mt_verdict verdict, const char *check, const char *text) {
    c->failures += verdict == MT_VERDICT_FAIL;
    c->line(c->context, verdict, check, text);
}

static void emit_line(checker *c, char *line) {
    char *check = strchr(line, '\t'), *text = check ? strchr(check + 1, '\t') : NULL;
    if (!text || line[0] < '0' || line[0] > '2') return;   // not ours: the environment found the pipe
    *check++ = *text++ = 0;
    emit(c, (mt_verdict)(line[0] - '0'), check, text);
}

static void take_lines(checker *c) {
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

// Reads until the child has closed the pipe. 1: a call hung and the child was killed.
static int listen(checker *c, int in, pid_t pid, const check_shared *shared) {
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
        if (started && mt_clock_ns() - started > c->options.timeout_ns) {
            kill(pid, SIGKILL);
            return 1;
        }
    }
}

static void emit_hang(checker *c, const check_shared *shared) {
    char text[256];
    snprintf(text, sizeof text, "%.23s did not return within %.3g s (step %llu); look for an endless loop or a wait", shared->call,
        (double)c->options.timeout_ns * 1e-9, (unsigned long long)shared->step);
    emit(c, MT_VERDICT_FAIL, "hang", text);
}

static void describe_fault(const check_shared *shared, char *text, size_t bytes) {
    const char *during = shared->call[0] ? shared->call : "no call";
    if (shared->fault_array[0] && shared->fault_bytes >= 0)
        snprintf(text, bytes, "%.23s (step %llu) touched the byte %ld past the end of %.23s; it ends after the last environment: check "
            "the index", during, (unsigned long long)shared->step, shared->fault_bytes, shared->fault_array);
    else if (shared->fault_array[0])
        snprintf(text, bytes, "%.23s (step %llu) touched the byte %ld before the start of %.23s: check the index", during,
            (unsigned long long)shared->step, -shared->fault_bytes, shared->fault_array);
    else
        snprintf(text, bytes, "%.23s (step %llu) died of signal %d (%s); run it under a debugger or with -fsanitize=address", during,
            (unsigned long long)shared->step, shared->fault_signal, strsignal(shared->fault_signal));
}

static void emit_death(checker *c, const check_shared *shared, int wait_status) {
    char text[256];
    if (shared->fault_signal || WIFSIGNALED(wait_status)) {
        check_shared seen = *shared;
        if (!seen.fault_signal) seen.fault_signal = WTERMSIG(wait_status);
        describe_fault(&seen, text, sizeof text);
        emit(c, MT_VERDICT_FAIL, seen.fault_array[0] ? "guard" : "crash", text);
        return;
    }
    snprintf(text, sizeof text, "%.23s (step %llu) ended the process with exit(%d); return an error instead", shared->call,
        (unsigned long long)shared->step, WEXITSTATUS(wait_status));
    emit(c, MT_VERDICT_FAIL, "exit", text);
}

static void emit_output(checker *c, int capture) {
    char output[200], text[400];
    ssize_t n = pread(capture, output, sizeof output - 1, 0);
    if (n <= 0) return;
    output[n] = 0;
    for (char *p = output; *p; p++)
        if ((unsigned char)*p < ' ') *p = ' ';
    snprintf(text, sizeof text, "it printed \"%s%s\"; environments stay silent: rank upon rank would print it", output,
        n == sizeof output - 1 ? "..." : "");
    emit(c, MT_VERDICT_WARN, "silent", text);
}

// Runs one check. `check` NULL: load the plugin and count.
static mt_status run(checker *c, void (*check)(check_session *)) {
    int ends[2] = {-1, -1}, capture = memfd_create("manta-check", MFD_CLOEXEC), wait_status = 0;
    check_shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mt_status status = MT_OK;
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
        check_session session = {.out = ends[1], .shared = shared, .num_envs = c->options.num_envs,
            .steps = c->options.steps ? c->options.steps : 2000};
        child(c, &session, check, capture);
    }
    close(ends[1]);
    ends[1] = -1;
    int hung = listen(c, ends[0], pid, shared);
    while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) continue;
    if (hung)
        emit_hang(c, shared);
    else if (!shared->finished)
        emit_death(c, shared, wait_status);
    if (!check) c->env_count = shared->finished ? (uint32_t)shared->step : 0;
    emit_output(c, capture);
out:
    for (int k = 0; k < 2; k++)
        if (ends[k] >= 0) close(ends[k]);
    if (capture >= 0) close(capture);
    if (shared != MAP_FAILED) munmap(shared, sizeof *shared);
    return status;
}

static mt_status run_all(checker *c) {
    static void (*const checks[])(check_session *) = {check_descriptor, check_contract, check_reset_mask, check_reproducible,
        check_rows, check_instances, check_snapshot, check_render};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        int before = c->failures;
        MT_TRY(run(c, checks[i]));
        if (checks[i] == check_descriptor && c->failures > before) break;   // nothing else could work
    }
    return MT_OK;
}

static void set_up(checker *c, const mt_check_options *options, mt_check_line_fn line, void *context) {
    if (options) c->options = *options;
    if (!c->options.num_envs) c->options.num_envs = 7;
    if (!c->options.timeout_ns) c->options.timeout_ns = 10 * MT_SECOND_NS;
    c->line = line;
    c->context = context;
}

mt_status mt_env_check(const manta_env_desc *desc, const mt_check_options *options, mt_check_line_fn line, void *context,
    int *failures) {
    checker c = {.desc = desc};
    set_up(&c, options, line, context);
    mt_status status = run_all(&c);
    *failures = c.failures;
    return status;
}

mt_status mt_plugin_check(const char *path, const mt_check_options *options, mt_check_line_fn line, void *context, int *failures) {
    char resolved[PATH_MAX];   // a plugin is opened by an absolute path alone
    *failures = 0;
    if (!realpath(path, resolved)) return MT_FAIL(NOT_FOUND, "plugin %s: %s; check the path", path, strerror(errno));
    checker c = {.path = resolved};
    set_up(&c, options, line, context);
    mt_status status = run(&c, NULL);
    for (c.index = 0; c.index < c.env_count && status == MT_OK; c.index++) status = run_all(&c);
    *failures = c.failures;
    return status;
}
