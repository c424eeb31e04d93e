// One mpirun from its start to its end; attempt.h has the states. The launcher's one thread: everything comes through
// poll.
#include "scheduler/launch/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/base/clock.h"
#include "engine/base/pulse.h"

#define GRACE_NS    (5 * MT_SECOND_NS)          // between SIGTERM and SIGKILL; mpirun takes 1 to 2 s
#define LOOK_MIN_NS (200 * MT_MILLISECOND_NS)   // between two looks at the sign of life
#define LOOK_MAX_NS (10 * MT_SECOND_NS)

typedef struct running {
    const mt_attempt_desc *desc;
    mt_attempt *out;
    int errors;                 // the read end of standard error
    size_t used;                // bytes in words
    int64_t changed_ns, look_ns, kill_ns;
    char pulse[MT_PULSE_BYTES];
} running;

// ---- signals

static const int asking[] = {SIGINT, SIGTERM, SIGUSR1, SIGHUP};

mt_status mt_attempt_signals(sigset_t *before, int *fd) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++) {
        struct sigaction action;
        if (sigaction(asking[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) sigaddset(&set, asking[i]);
    }
    sigprocmask(SIG_BLOCK, &set, before);
    *fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *fd >= 0 ? MT_OK : MT_FAIL(INTERNAL, "cannot wait for signals: %s", strerror(errno));
}

static int next_signal(int fd) {
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

static int milliseconds_left(int64_t deadline_ns) {
    int64_t left = mt_deadline_left_ns(deadline_ns);
    return left == MT_NEVER             ? -1
           : left > 1000 * MT_SECOND_NS ? 1000000
                                        : (int)((left + MT_MILLISECOND_NS - 1) / MT_MILLISECOND_NS);
}

int mt_attempt_signal_wait(int fd, int64_t deadline_ns) {
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        poll(&p, 1, milliseconds_left(deadline_ns));
        for (int number; (number = next_signal(fd)) != 0;)
            if (number != SIGCHLD) return number;
        if (mt_deadline_passed(deadline_ns)) return 0;
    }
}

// ---- starting

// In the child: never returns. `failed` tells the parent why exec did not happen.
static _Noreturn void become(const mt_attempt_desc *desc, pid_t parent, int errors, int failed) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(125);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);   // a background group that read the terminal would be stopped
    if (null < 0 || dup2(null, 0) < 0 || dup2(errors, 2) < 0 || setenv(MT_JOB_WORD, desc->job, 1) != 0 ||
        (desc->pulse && setenv(MT_PULSE_VARIABLE, desc->pulse, 1) != 0)) _exit(126);
    sigprocmask(SIG_SETMASK, desc->mask, NULL);
    execvp(desc->command[0], desc->command);
    int error = errno;
    if (write(failed, &error, sizeof error) < 0) _exit(126);
    _exit(127);
}

static mt_status cannot_start(int error, const char *program) {
    if (error == ENOENT)
        return MT_FAIL(NOT_FOUND,
            "there is no %s: install Open MPI (Debian: openmpi-bin), or say where it is with --mpirun", program);
    return MT_FAIL(IO, "cannot start %s: %s", program, strerror(error));
}

static mt_status start(running *r) {
    int errors[2], failed[2], error = 0;
    if (pipe2(errors, O_CLOEXEC) != 0) return cannot_start(errno, r->desc->command[0]);
    if (pipe2(failed, O_CLOEXEC) != 0) {
        error = errno;
        close(errors[0]), close(errors[1]);
        return cannot_start(error, r->desc->command[0]);
    }
    pid_t parent = getpid();
    r->out->mpirun = fork();
    if (r->out->mpirun == 0) become(r->desc, parent, errors[1], failed[1]);
    if (r->out->mpirun < 0) error = errno;
    close(errors[1]), close(failed[1]);
    // ends with exec, which closes the other end
    if (r->out->mpirun > 0 && read(failed[0], &error, sizeof error) > 0) waitpid(r->out->mpirun, NULL, 0);
    close(failed[0]);
    if (error) {
        close(errors[0]);
        return cannot_start(error, r->desc->command[0]);
    }
    setpgid(r->out->mpirun, r->out->mpirun);
    fcntl(errors[0], F_SETFL, O_NONBLOCK);
    r->errors = errors[0];
    return MT_OK;
}

// ---- while it runs

static void keep(running *r, const char *bytes, size_t count) {
    enum { ROOM = MT_ATTEMPT_WORDS - 1 };
    char *words = r->out->words;
    if (count > ROOM) bytes += count - ROOM, count = ROOM;
    size_t over = r->used + count > ROOM ? r->used + count - ROOM : 0;
    memmove(words, words + over, r->used - over);
    memcpy(words + r->used - over, bytes, count);
    r->used += count - over;
    words[r->used] = '\0';
}

// 0: nobody will say anything more
static int listen_once(running *r) {
    char bytes[4096];
    ssize_t n;
    while ((n = read(r->errors, bytes, sizeof bytes)) > 0) {
        keep(r, bytes, (size_t)n);
        r->desc->relay(r->desc->context, bytes, (size_t)n);
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void ask(running *r, int number) {
    static const int steps[] = {SIGUSR1, SIGTERM, SIGKILL};
    int step = r->out->signals++;
    if (!r->out->asked) r->out->asked = number;
    kill(r->out->mpirun, steps[step < 2 ? step : 2]);
}

static void look_at_pulse(running *r, int64_t now) {
    char text[MT_PULSE_BYTES];
    if (mt_pulse_read(r->desc->pulse, text) == MT_OK && strcmp(text, r->pulse) != 0) {
        memcpy(r->pulse, text, sizeof text);
        r->changed_ns = now;
    }
    if (now - r->changed_ns < r->desc->hang_ns) return;
    r->out->hung = 1;
    (void)mt_sweep_look(r->desc->job, r->out->mpirun, &r->out->stuck);   // for the message: before they are all gone
    kill(r->out->mpirun, SIGTERM);
    r->kill_ns = now + GRACE_NS;
}

static int has_ended(const running *r) {
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)r->out->mpirun, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == r->out->mpirun;
}

static void watch(running *r) {
    const mt_attempt_desc *d = r->desc;
    int talks = 1;
    int64_t every = d->hang_ns / 8;
    every = every < LOOK_MIN_NS ? LOOK_MIN_NS : every > LOOK_MAX_NS ? LOOK_MAX_NS : every;
    while (!has_ended(r)) {
        struct pollfd p[2] = {{.fd = d->signal_fd, .events = POLLIN}, {.fd = talks ? r->errors : -1, .events = POLLIN}};
        int64_t until = r->look_ns < r->kill_ns ? r->look_ns : r->kill_ns;
        poll(p, 2, milliseconds_left(until));
        for (int number; (number = next_signal(d->signal_fd)) != 0;)
            if (number != SIGCHLD) ask(r, number);
        if (p[1].revents) talks = listen_once(r);
        int64_t now = mt_clock_ns();
        if (now >= r->kill_ns) {
            kill(r->out->mpirun, SIGKILL);
            r->kill_ns = MT_NEVER;
        }
        if (now >= r->look_ns && !r->out->hung) look_at_pulse(r, now);
        if (now >= r->look_ns) r->look_ns = r->out->hung ? MT_NEVER : now + every;
    }
    if (talks) listen_once(r);
}

// "1243545600.0;tcp://...": the number of mpirun's own job; the family is its upper half
static uint32_t family_of(int fd) {
    char text[32] = "";
    uint32_t job = 0;
    if (pread(fd, text, sizeof text - 1, 0) > 0 && sscanf(text, "%" SCNu32 ".", &job) == 1) return job >> 16;
    return 0;
}

mt_status mt_attempt_run(const mt_attempt_desc *desc, mt_attempt *out) {
    *out = (mt_attempt){0};
    running r = {.desc = desc, .out = out, .errors = -1, .kill_ns = MT_NEVER, .look_ns = MT_NEVER};
    int64_t began = r.changed_ns = mt_clock_ns();
    if (desc->pulse && desc->hang_ns > 0) {
        r.look_ns = began;
        (void)mt_pulse_read(desc->pulse, r.pulse);   // an earlier attempt's
    }
    if (desc->uri_fd >= 0 && ftruncate(desc->uri_fd, 0) != 0)
        return MT_FAIL(IO, "cannot empty a file in memory: %s", strerror(errno));
    MT_TRY(start(&r));
    watch(&r);
    siginfo_t info = {0};
    waitid(P_PID, (id_t)out->mpirun, &info, WEXITED | WNOWAIT);
    out->code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    out->seconds = 1e-9 * (double)(mt_clock_ns() - began);
    out->family = family_of(desc->uri_fd);
    close(r.errors);
    return MT_OK;
}

void mt_attempt_collect(const mt_attempt *attempt) { waitpid(attempt->mpirun, NULL, 0); }
