// The place and the words of manta status: where the sockets of this user's jobs lie on a host, and what is said on them. Shared by
// the job (status_server.h) and by who asks (status_client.h).
//
// The folder is $XDG_RUNTIME_DIR/manta, or /tmp/manta-UID where that is not set: mode 0700, and used only when it is a folder of this
// user's that nobody else may enter (somebody else may have made it in /tmp before). A job's socket is PID.sock, mode 0600;
// PID is rank 0's (PID-1.sock and so on where a job in another container has that number). Nothing listens on a network.
//
//     ask      "manta 1 json\n" or "manta 1 prometheus\n"              at most MT_STATUS_REQUEST_BYTES
//     answer   "manta ok BYTES\n" and the text, or "manta error WORDS\n"
#ifndef MANTA_ENGINE_RUNTIME_STATUS_SOCKET_H
#define MANTA_ENGINE_RUNTIME_STATUS_SOCKET_H

#include <stddef.h>
#include <stdint.h>
#include "engine/base/status.h"

enum { MT_STATUS_REQUEST_BYTES = 64, MT_STATUS_HEAD_BYTES = 512 };
#define MT_STATUS_BODY_MAX (UINT64_C(1) << 30)   // of an answer: more is not one

typedef enum mt_status_form { MT_STATUS_JSON, MT_STATUS_PROMETHEUS, MT_STATUS_FORMS } mt_status_form;

// Makes the folder where it is missing. MT_IO: it is somebody else's, or others may enter it.
mt_status mt_status_folder(char *out, size_t bytes);

const char *mt_status_request(mt_status_form form);   // the words, '\n' included
// Reads a request of `bytes` bytes that ends in '\n'. MT_INVALID_ARGUMENT: it is none.
mt_status mt_status_request_parse(const char *text, size_t bytes, mt_status_form *out);

// Reads the head of an answer. *head: its bytes; 0 when more are to come. MT_CORRUPT: it is none; MT_COMM: the job's own "error".
mt_status mt_status_answer_parse(const char *text, size_t bytes, size_t *head, uint64_t *body);

#endif
