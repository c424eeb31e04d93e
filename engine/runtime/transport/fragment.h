// Fragments: a message cut into records and joined again. A record carries `left`, the bytes of its message that come after
// it: 0 ends the message, and the first record tells the whole length (bytes + left). What joins checks every record against
// what it has, since another process wrote it.
#ifndef MANTA_ENGINE_RUNTIME_FRAGMENT_H
#define MANTA_ENGINE_RUNTIME_FRAGMENT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "engine/runtime/transport/transport.h"

// A message being cut: where reading its pieces has come to.
typedef struct mt_cutter {
    const mt_piece *piece; // view
    size_t offset;         // in *piece
    size_t left;           // bytes of the message not copied yet
} mt_cutter;

static inline size_t mt_pieces_bytes(const mt_piece *pieces, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += pieces[i].bytes;
    return bytes;
}

static inline void mt_pieces_copy(char *to, const mt_piece *pieces, int count) {
    for (int i = 0; i < count; i++) {
        if (pieces[i].bytes) memcpy(to, pieces[i].data, pieces[i].bytes);
        to += pieces[i].bytes;
    }
}

void mt_cutter_copy(mt_cutter *cutter, char *to, size_t bytes); // bytes <= left

// A message being joined.
typedef struct mt_joiner {
    char *data;         // owned, 8-byte aligned; allocated when first needed
    size_t have, total; // total 0: between messages
    size_t room;
} mt_joiner;

// Adds a record. *whole: 1 when data[0, total) is the message; take it, then mt_joiner_next. MT_CORRUPT, MT_NO_MEMORY.
mt_status mt_joiner_add(mt_joiner *joiner, const void *data, size_t bytes, size_t left, int *whole);
static inline void mt_joiner_next(mt_joiner *joiner) { joiner->have = joiner->total = 0; }
void mt_joiner_fini(mt_joiner *joiner);

#endif
