// Statuses in the messages of actors' failures. Any thread.
#include "scheduler/actor_failure.h"

#include <stdio.h>
#include <string.h>

int mt_actor_fail(manta_context *c, mt_status status, const char *message) {
    return manta_fail(c, "[%s] %s", mt_status_name(status), message);
}

// "[CORRUPT] " at `at`: its status and length; MT_OK when it is none
static mt_status tag_at(const char *at, size_t *length) {
    for (int s = MT_OK + 1; s < MT_STATUS_COUNT; s++) {
        const char *name = mt_status_name((mt_status)s);
        size_t n = strlen(name);
        if (at[0] != '[' || strncmp(at + 1, name, n) != 0 || strncmp(at + 1 + n, "] ", 2) != 0) continue;
        *length = n + 3;
        return (mt_status)s;
    }
    return MT_OK;
}

mt_status mt_actor_failure_read(const char *message, mt_status otherwise, char *text, size_t bytes) {
    // the runtime puts names of methods in front
    for (const char *at = strchr(message, '['); at; at = strchr(at + 1, '[')) {
        size_t length = 0;
        mt_status status = tag_at(at, &length);
        if (status == MT_OK) continue;
        snprintf(text, bytes, "%.*s%s", (int)(at - message), message, at + length);
        return status;
    }
    snprintf(text, bytes, "%s", message);
    return otherwise;
}
