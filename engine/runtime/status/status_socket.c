// The folder and the words; status_socket.h says them. No state; any thread.
#include "engine/runtime/status/status_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/base/file.h"

// ---- the folder

// an absolute folder of this user's that nobody else may write into
static int is_safe(const char *path, mode_t forbidden) {
    struct stat info;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int safe = fd >= 0 && fstat(fd, &info) == 0 && info.st_uid == geteuid() && (info.st_mode & forbidden) == 0;
    if (fd >= 0) close(fd);
    return safe;
}

mt_status mt_status_folder(char *out, size_t bytes) {
    const char *given = getenv("XDG_RUNTIME_DIR");
    int length = given && given[0] == '/' && is_safe(given, 0022) ? snprintf(out, bytes, "%s/manta", given)
                                                                  : snprintf(out, bytes, "/tmp/manta-%lu", (unsigned long)geteuid());
    if (length < 0 || (size_t)length >= bytes) return MT_FAIL(INVALID_ARGUMENT, "the path of XDG_RUNTIME_DIR is too long: %.80s", given);
    if (mkdir(out, MT_FOLDER_PRIVATE) != 0 && errno != EEXIST) return mt_file_fail(errno, "make", out);
    if (!is_safe(out, 0077))
        return MT_FAIL(IO, "%s is not a folder that only this user may enter: remove it, or set XDG_RUNTIME_DIR to a folder of your own", out);
    return MT_OK;
}

// ---- the words

static const char *const requests[MT_STATUS_FORMS] = {[MT_STATUS_JSON] = "manta 1 json\n", [MT_STATUS_PROMETHEUS] = "manta 1 prometheus\n"};

const char *mt_status_request(mt_status_form form) { return requests[form]; }

mt_status mt_status_request_parse(const char *text, size_t bytes, mt_status_form *out) {
    for (int f = 0; f < MT_STATUS_FORMS; f++)
        if (bytes == strlen(requests[f]) && memcmp(text, requests[f], bytes) == 0) {
            *out = (mt_status_form)f;
            return MT_OK;
        }
    return MT_FAIL(INVALID_ARGUMENT, "not a question that this version knows");
}

mt_status mt_status_answer_parse(const char *text, size_t bytes, size_t *head, uint64_t *body) {
    static const char ok[] = "manta ok ", error[] = "manta error ";
    size_t look = bytes < MT_STATUS_HEAD_BYTES ? bytes : MT_STATUS_HEAD_BYTES;
    const char *end = look ? memchr(text, '\n', look) : NULL;
    *head = 0;
    *body = 0;
    if (!end) return bytes < MT_STATUS_HEAD_BYTES ? MT_OK : MT_FAIL(CORRUPT, "the socket does not answer as a job of manta does");
    size_t length = (size_t)(end - text);
    if (length > sizeof error - 1 && memcmp(text, error, sizeof error - 1) == 0) {
        char words[MT_STATUS_HEAD_BYTES];
        size_t count = length - (sizeof error - 1);
        for (size_t i = 0; i < count; i++) words[i] = (unsigned char)text[sizeof error - 1 + i] < 0x20 ? '?' : text[sizeof error - 1 + i];
        words[count] = '\0';
        return MT_FAIL(COMM, "the job answers: %s", words);
    }
    if (length > sizeof ok - 1 && memcmp(text, ok, sizeof ok - 1) == 0) {
        uint64_t value = 0;
        const char *at = text + sizeof ok - 1;
        for (; at < end && *at >= '0' && *at <= '9' && value <= MT_STATUS_BODY_MAX; at++) value = 10 * value + (uint64_t)(*at - '0');
        if (at == end && value <= MT_STATUS_BODY_MAX) {
            *head = length + 1;
            *body = value;
            return MT_OK;
        }
    }
    return MT_FAIL(CORRUPT, "the socket does not answer as a job of manta does");
}
