// Asking the jobs of this host how they are: manta status. One thread.
#ifndef MANTA_ENGINE_RUNTIME_STATUS_CLIENT_H
#define MANTA_ENGINE_RUNTIME_STATUS_CLIENT_H

#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/runtime/status/status_socket.h"

// The names of this user's sockets ("1234.sock") in *folder, those of jobs that are gone removed. Free with mt_folder_names_fini.
mt_status mt_status_jobs(char *folder, size_t bytes, mt_folder_names *out);

// One answer, appended to out. MT_NOT_FOUND: nobody listens there (any more); MT_DEADLINE; MT_CORRUPT: not an answer of a job's.
mt_status mt_status_ask(const char *folder, const char *name, mt_status_form form, int64_t deadline_ns, mt_text *out);

#endif
