// Cutting and joining messages that do not fit one record. Each object is used by one thread.
#include "engine/runtime/transport/fragment.h"

#include <stdlib.h>

void mt_cutter_copy(mt_cutter *cutter, char *to, size_t bytes) {
    cutter->left -= bytes;
    while (bytes) {
        size_t n = cutter->piece->bytes - cutter->offset;
        if (n > bytes) n = bytes;
        if (n) memcpy(to, (const char *)cutter->piece->data + cutter->offset, n);
        to += n;
        bytes -= n;
        cutter->offset += n;
        if (cutter->offset == cutter->piece->bytes && (bytes || cutter->left)) cutter->piece++, cutter->offset = 0;
    }
}

mt_status mt_joiner_add(mt_joiner *joiner, const void *data, size_t bytes, size_t left, int *whole) {
    *whole = 0;
    if (joiner->total == 0) {
        if (bytes == 0 || bytes + left > MT_MESSAGE_BYTES_MAX)
            return MT_FAIL(CORRUPT, "message of %zu bytes: the sender is not this manta", bytes + left);
        if (joiner->room < bytes + left) {
            free(joiner->data);
            joiner->room = 0;
            joiner->data = malloc(MT_MESSAGE_BYTES_MAX);
            if (!joiner->data) return MT_FAIL(NO_MEMORY, "out of memory for a message of %zu bytes", bytes + left);
            joiner->room = MT_MESSAGE_BYTES_MAX;
        }
        joiner->total = bytes + left;
    } else if (bytes == 0 || bytes + left != joiner->total - joiner->have) {
        return MT_FAIL(CORRUPT, "a message's parts do not fit together: %zu of %zu bytes, then %zu with %zu to come",
            joiner->have, joiner->total, bytes, left);
    }
    memcpy(joiner->data + joiner->have, data, bytes);
    joiner->have += bytes;
    *whole = left == 0;
    return MT_OK;
}

void mt_joiner_fini(mt_joiner *joiner) {
    free(joiner->data);
    *joiner = (mt_joiner){0};
}
