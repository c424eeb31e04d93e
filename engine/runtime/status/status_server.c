// The server's thread; status_server.h says what it is for. It owns its descriptors; the rest of the process only creates and destroys it.
#include "engine/runtime/status/status_server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/base/signal.h"
#include "engine/runtime/status/census.h"
#include "engine/runtime/status/status_socket.h"

enum { COMMAND_BYTES = 1024, BACKLOG = 8, NAMES_MAX = 64, STACK_BYTES = 256 * 1024 };
#define METRICS_NS (5 * MT_SECOND_NS)
#define ANSWER_NS  (2 * MT_SECOND_NS)
#define READ_NS    (2 * MT_SECOND_NS)
#define WRITE_NS   (5 * MT_SECOND_NS)

struct mt_status_server {
    mt_status_server_desc desc;
    char path[MT_PATH_BYTES], metrics[MT_PATH_BYTES];
    char job[64], command[COMMAND_BYTES];
    int listener, stop;          // -1: none; an eventfd
    atomic_int stopping;
    int metrics_failing;
    pthread_t thread;
};

// ---- the answer

static mt_status describe(mt_status_server *s, mt_status_form form, mt_text *out) {
    mt_census census;
    mt_census_title title = {.job = s->job, .command = s->command, .pid = getpid()};
    MT_TRY(mt_census_take(s->desc.node, mt_deadline_after(s->desc.answer_ns), &census));
    mt_status status = form == MT_STATUS_JSON ? mt_census_json(&census, &title, out) : mt_census_prometheus(&census, &title, out);
    mt_census_fini(&census);
    return status;
}

static void write_metrics(mt_status_server *s) {
    mt_text text = {0};
    mt_status status = describe(s, MT_STATUS_PROMETHEUS, &text);
    if (status == MT_OK) status = mt_file_write_atomic(s->metrics, text.data, text.length, MT_FILE_PUBLIC);
    // said once, and once more when it is well again
    if (status != MT_OK && !s->metrics_failing) mt_log_warn("--metrics-file: %s", mt_last_error());
    if (status == MT_OK && s->metrics_failing) mt_log_info("%s is being written again", s->metrics);
    s->metrics_failing = status != MT_OK;
    mt_text_fini(&text);
}

// ---- one who asks

// Waits for the descriptor. 0: not in time, or the job ends.
static int ready(const mt_status_server *s, int fd, short events, int64_t deadline_ns) {
    for (;;) {
        struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = s->stop, .events = POLLIN}};
        int64_t left = mt_deadline_left_ns(deadline_ns);
        if (left <= 0 || atomic_load(&s->stopping)) return 0;
        int n = poll(p, 2, (int)(left / MT_MILLISECOND_NS) + 1);
        if (n < 0 && errno != EINTR) return 0;
        if (p[0].revents) return 1;
    }
}

static int send_all(const mt_status_server *s, int fd, const char *data, size_t bytes, int64_t deadline_ns) {
    while (bytes) {
        ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) data += n, bytes -= (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR) return 0;
        else if (!ready(s, fd, POLLOUT, deadline_ns)) return 0;
    }
    return 1;
}

// the request's bytes up to its '\n'; 0: none came
static size_t read_request(const mt_status_server *s, int fd, char out[MT_STATUS_REQUEST_BYTES]) {
    int64_t deadline = mt_deadline_after(READ_NS);
    size_t used = 0;
    while (used < MT_STATUS_REQUEST_BYTES && ready(s, fd, POLLIN, deadline)) {
        ssize_t n = recv(fd, out + used, MT_STATUS_REQUEST_BYTES - used, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return 0;
        if (n > 0) used += (size_t)n;
        if (used && out[used - 1] == '\n') return used;
    }
    return used;
}

static void answer(mt_status_server *s, int fd) {
    struct ucred who;
    socklen_t length = sizeof who;
    // the mode of the folder says so already; it may have been opened up meanwhile
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0 || (who.uid != geteuid() && who.uid != 0)) return;
    char request[MT_STATUS_REQUEST_BYTES], head[MT_STATUS_HEAD_BYTES];
    mt_text body = {0};
    mt_status_form form;
    size_t bytes = read_request(s, fd, request);
    if (bytes == 0) return;
    mt_status status = mt_status_request_parse(request, bytes, &form);
    if (status == MT_OK) status = describe(s, form, &body);
    if (status == MT_OK) snprintf(head, sizeof head, "manta ok %zu\n", body.length);
    else snprintf(head, sizeof head, "manta error %.400s\n", mt_last_error());
    int64_t deadline = mt_deadline_after(WRITE_NS);
    if (send_all(s, fd, head, strlen(head), deadline) && status == MT_OK) send_all(s, fd, body.data, body.length, deadline);
    mt_text_fini(&body);
}

static void *serve(void *argument) {
    mt_status_server *s = argument;
    int64_t next = *s->metrics ? mt_clock_ns() : MT_NEVER;
    while (!atomic_load(&s->stopping)) {
        if (mt_clock_ns() >= next) {
            write_metrics(s);
            next = mt_deadline_after(s->desc.metrics_ns);
            continue;
        }
        struct pollfd p[2] = {{.fd = s->listener, .events = POLLIN}, {.fd = s->stop, .events = POLLIN}};
        poll(p, 2, next == MT_NEVER ? -1 : (int)(mt_deadline_left_ns(next) / MT_MILLISECOND_NS) + 1);
        if (!(p[0].revents & POLLIN)) continue;
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            // no descriptors left: the one who asks stays in the queue, and this thread must not spin
            if (errno == EMFILE || errno == ENFILE) mt_sleep_ns(100 * MT_MILLISECOND_NS);
            continue;
        }
        answer(s, fd);
        close(fd);
    }
    return NULL;
}

// ---- making

// Whether somebody listens there: a job in another container that shares the folder may have this process's number.
static int is_taken(const struct sockaddr_un *address) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int taken = fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN);
    if (fd >= 0) close(fd);
    return taken;
}

static mt_status listen_at(mt_status_server *s) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char folder[MT_PATH_BYTES - 64];
    MT_TRY(mt_status_folder(folder, sizeof folder));
    for (int i = 0;; i++) {
        if (i == 0) snprintf(s->path, sizeof s->path, "%s/%ld.sock", folder, (long)getpid());
        else snprintf(s->path, sizeof s->path, "%s/%ld-%d.sock", folder, (long)getpid(), i);
        if (strlen(s->path) >= sizeof address.sun_path) {
            s->path[0] = '\0';
            return MT_FAIL(IO, "the path of %s is too long for a socket; set XDG_RUNTIME_DIR to a shorter one", folder);
        }
        memcpy(address.sun_path, s->path, strlen(s->path) + 1);
        if (i == NAMES_MAX || !is_taken(&address)) break;
    }
    unlink(s->path);   // of an earlier process of this number
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    // the folder lets nobody in; the mode is set before anybody can connect (listen)
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, sizeof address) != 0 || chmod(s->path, 0600) != 0 ||
        listen(s->listener, BACKLOG) != 0) {
        int error = errno;
        unlink(s->path);
        s->path[0] = '\0';
        return MT_FAIL(IO, "cannot listen at %s/%ld.sock: %s", folder, (long)getpid(), strerror(error));
    }
    return MT_OK;
}

// this process's command line, its words separated by blanks
static void read_command(char *out, size_t bytes) {
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, bytes - 1) : 0;
    if (fd >= 0) close(fd);
    while (n > 0 && out[n - 1] == '\0') n--;
    out[n > 0 ? n : 0] = '\0';
    for (ssize_t i = 0; i < n; i++)
        if ((unsigned char)out[i] < 0x20) out[i] = ' ';
    // JSON wants UTF-8, and a cut may have left half a letter
    while (*out && !mt_text_is_utf8(out)) out[strlen(out) - 1] = '\0';
}

static mt_status start(mt_status_server *s) {
    pthread_attr_t attributes;
    sigset_t before;
    s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->stop < 0) return MT_FAIL(IO, "no descriptor for the status thread: %s", strerror(errno));
    if (pthread_attr_init(&attributes) != 0) return MT_FAIL(NO_MEMORY, "out of memory for the status thread");
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    mt_signal_block(&before);
    int error = pthread_create(&s->thread, &attributes, serve, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error) return MT_FAIL(NO_MEMORY, "cannot start the status thread: %s", strerror(error));
    pthread_setname_np(s->thread, "manta-status");
    return MT_OK;
}

static void release(mt_status_server *s) {
    if (s->listener >= 0) close(s->listener);
    if (*s->path) unlink(s->path);
    if (*s->metrics) unlink(s->metrics);   // numbers of a job that is over are nobody's
    if (s->stop >= 0) close(s->stop);
    free(s);
}

mt_status mt_status_server_create(const mt_status_server_desc *desc, mt_status_server **out) {
    *out = NULL;
    const char *file = desc->metrics_file && *desc->metrics_file ? desc->metrics_file : NULL;
    if (!desc->socket && !file) return MT_OK;
    mt_status_server *s = calloc(1, sizeof *s);
    if (!s) return MT_FAIL(NO_MEMORY, "out of memory for the status thread");
    s->desc = *desc;
    s->listener = s->stop = -1;
    if (!s->desc.metrics_ns) s->desc.metrics_ns = METRICS_NS;
    if (!s->desc.answer_ns) s->desc.answer_ns = ANSWER_NS;
    const char *word = getenv("MANTA_JOB");
    if (word && strlen(word) < sizeof s->job && mt_text_is_utf8(word)) strcpy(s->job, word);
    else snprintf(s->job, sizeof s->job, "%ld", (long)getpid());
    read_command(s->command, sizeof s->command);
    mt_status status = file ? mt_path_join(s->metrics, sizeof s->metrics, "", file) : MT_OK;
    if (status == MT_OK && desc->socket) status = listen_at(s);
    if (status == MT_OK) status = start(s);
    if (status == MT_OK) *out = s;
    else release(s);
    return status;
}

const char *mt_status_server_path(const mt_status_server *server) { return server->path; }

void mt_status_server_destroy(mt_status_server *s) {
    if (!s) return;
    uint64_t one = 1;
    atomic_store(&s->stopping, 1);
    if (write(s->stop, &one, sizeof one) < 0) mt_log_debug("status: %s", strerror(errno));   // an eventfd takes it
    // more than once: a gathering may begin after the first
    do mt_census_cancel(s->desc.node), mt_sleep_ns(MT_MILLISECOND_NS);
    while (pthread_tryjoin_np(s->thread, NULL) != 0);
    release(s);
}
