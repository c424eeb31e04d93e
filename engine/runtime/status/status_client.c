// Asking a job; status_client.h. The answer is read as hostile: a head of bounded length, then as many bytes as it says, by a deadline.
#include "engine/runtime/status/status_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "engine/base/clock.h"

static mt_status open_socket(const char *path, int *fd) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return MT_FAIL(INVALID_ARGUMENT, "%.80s: the path is too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) return MT_FAIL(IO, "cannot make a socket: %s", strerror(errno));
    if (connect(*fd, (struct sockaddr *)&address, sizeof address) == 0) return MT_OK;
    int error = errno;
    close(*fd);
    *fd = -1;
    if (error == ECONNREFUSED || error == ENOENT) return MT_FAIL(NOT_FOUND, "%s: the job is gone", path);
    if (error == EAGAIN) return MT_FAIL(DEADLINE, "%s: too many ask at once", path);
    return mt_file_fail(error, "reach", path);
}

static int ready(int fd, short events, int64_t deadline_ns) {
    struct pollfd p = {.fd = fd, .events = events};
    int64_t left = mt_deadline_left_ns(deadline_ns);
    return left > 0 && poll(&p, 1, left > 1000 * MT_SECOND_NS ? 1000000 : (int)(left / MT_MILLISECOND_NS) + 1) > 0;
}

static mt_status send_request(int fd, const char *path, mt_status_form form, int64_t deadline_ns) {
    const char *request = mt_status_request(form);
    if (!ready(fd, POLLOUT, deadline_ns)) return MT_FAIL(DEADLINE, "%s: the job does not take the question", path);
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) return MT_FAIL(COMM, "%s: %s", path, strerror(errno));
    return MT_OK;
}

// head and body into all
static mt_status receive(int fd, const char *path, int64_t deadline_ns, mt_text *all, size_t *head) {
    char bytes[65536];
    uint64_t body = 0;
    *head = 0;
    while (!*head || all->length < *head + body) {
        if (!ready(fd, POLLIN, deadline_ns)) return MT_FAIL(DEADLINE, "%s: no answer in time", path);
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n < 0) return MT_FAIL(COMM, "%s: %s", path, strerror(errno));
        if (n == 0) return MT_FAIL(COMM, "%s: the job ended while it answered", path);
        mt_text_append_bytes(all, bytes, (size_t)n);
        MT_TRY(mt_text_status(all));
        if (!*head) MT_TRY(mt_status_answer_parse(all->data, all->length, head, &body));
        if (*head && all->length > *head + body) return MT_FAIL(CORRUPT, "%s: more than it promised", path);
    }
    return MT_OK;
}

mt_status mt_status_ask(const char *folder, const char *name, mt_status_form form, int64_t deadline_ns, mt_text *out) {
    char path[MT_PATH_BYTES];
    int fd;
    size_t head = 0;
    mt_text all = {0};
    MT_TRY(mt_path_join(path, sizeof path, folder, name));
    MT_TRY(open_socket(path, &fd));
    mt_status status = send_request(fd, path, form, deadline_ns);
    if (status == MT_OK) status = receive(fd, path, deadline_ns, &all, &head);
    close(fd);
    if (status == MT_OK) {
        mt_text_append_bytes(out, all.data + head, all.length - head);
        status = mt_text_status(out);
    }
    mt_text_fini(&all);
    return status;
}

static int is_socket_name(const char *name) {
    size_t digits = strspn(name, "0123456789"), more = name[digits] == '-' ? 1 + strspn(name + digits + 1, "0123456789") : 0;
    return digits && strcmp(name + digits + more, ".sock") == 0;
}

mt_status mt_status_jobs(char *folder, size_t bytes, mt_folder_names *out) {
    MT_TRY(mt_status_folder(folder, bytes));
    MT_TRY(mt_folder_list(folder, out));
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        char path[MT_PATH_BYTES];
        int fd = -1;
        mt_status status = is_socket_name(out->names[i]) ? mt_path_join(path, sizeof path, folder, out->names[i]) : MT_INVALID_ARGUMENT;
        if (status == MT_OK) status = open_socket(path, &fd);
        if (fd >= 0) close(fd);
        // left by a job that was killed: nobody will listen there again
        if (status == MT_NOT_FOUND) unlink(path);
        if (status == MT_OK || status == MT_DEADLINE) out->names[kept++] = out->names[i];
        else free(out->names[i]);
    }
    out->count = kept;
    return MT_OK;
}
