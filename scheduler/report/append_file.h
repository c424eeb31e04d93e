// A file that grows by whole records. A record that cannot be written whole (disk full, I/O error) is cut off again, so
// that whatever reads the file meets whole records only and a later append goes on cleanly. Used by every report
// writer. Not thread-safe: one owner.
#ifndef MANTA_SCHEDULER_REPORT_APPEND_FILE_H
#define MANTA_SCHEDULER_REPORT_APPEND_FILE_H

#include <stddef.h>
#include <stdint.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_append_file {
    int fd;               // owned; -1 when closed
    uint64_t size_bytes;  // end of the last whole record
    char *path;           // owned; NULL when closed
    int torn;             // a failed write could not be cut off; the next write tries again
} mt_append_file;

typedef enum mt_append_mode {
    MT_APPEND_CREATE,     // the file must not exist (MT_EXISTS)
    MT_APPEND_CONTINUE,   // the file must exist (MT_NOT_FOUND); appends after its end
} mt_append_mode;

// On failure *file is closed and fini is harmless.
mt_status mt_append_file_open(mt_append_file *file, const char *path, mt_append_mode mode);

// All of `bytes`, or nothing: MT_IO says what failed and what to do; the file is as before.
mt_status mt_append_file_write(mt_append_file *file, const void *data, size_t bytes);

mt_status mt_append_file_close(mt_append_file *file);   // harmless when closed already

#ifdef __cplusplus
}
#endif
#endif
