// Failpoints: places where a test makes the system fail.
//
//     MANTA_FAILPOINTS="file.write:ENOSPC@3,checkpoint.manifest:KILL"
//
// Each entry is name:action[@n][+]. The action happens at the n-th time (from 1; default 1) the program passes the point,
// with '+' at every later time too. Actions: an errno name (EIO, ENOSPC, ENOMEM, EACCES, EDQUOT, EROFS, EINTR, EEXIST,
// EMFILE, EXDEV), KILL (SIGKILL to this process), STOP (SIGSTOP), ABORT. A misspelt entry stops the program at its first
// failpoint: a fault test that injects nothing proves nothing. Unset, a failpoint costs one load. Any thread.
#ifndef MANTA_ENGINE_BASE_FAILPOINT_H
#define MANTA_ENGINE_BASE_FAILPOINT_H

#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

int mt_failpoint(const char *name);   // 0: go on; else the errno that the call at this place shall fail with

// Replaces the entries, as if the variable had held `spec` (NULL or "" = none). For tests; no other thread may be in
// mt_failpoint. MT_INVALID_ARGUMENT says which entry is wrong.
mt_status mt_failpoint_set(const char *spec);

#ifdef __cplusplus
}
#endif
#endif
