// Outbox: messages to one peer that wait, as records in chunks of memory, in order. What fills it and what empties it hold the
// same lock. A chunk's content is also what one MPI message carries between nodes: records one after the other, each a header
// {bytes, left} as in a ring (ring.h) and its bytes, padded to 8.
#ifndef MANTA_ENGINE_RUNTIME_OUTBOX_H
#define MANTA_ENGINE_RUNTIME_OUTBOX_H

#include "engine/runtime/transport/fragment.h"
#include "engine/runtime/transport/ring.h"

enum { MT_CHUNK_BYTES = 64 * 1024, MT_CHUNKS_SPARE = 32 };

typedef struct mt_chunk {
    struct mt_chunk *next;
    uint32_t at, end; // unread records are data[at, end)
    _Alignas(8) char data[MT_CHUNK_BYTES];
} mt_chunk;

// Chunks ready for use again; under the same lock.
typedef struct mt_chunk_pool {
    mt_chunk *spare; // owned
    int count;
} mt_chunk_pool;

mt_chunk *mt_chunk_take(mt_chunk_pool *pool); // empty; NULL: no memory
void mt_chunk_give(mt_chunk_pool *pool, mt_chunk *chunk);
void mt_chunk_pool_fini(mt_chunk_pool *pool);

// The next record of a chunk that came from elsewhere: 1, 0 at its end, -1 when it is not a chunk.
int mt_chunk_next(mt_chunk *chunk, mt_record *record);

typedef struct mt_outbox {
    mt_chunk *first, *last; // owned
    size_t bytes;           // headers included
} mt_outbox;

// Appends what the cutter has left, in records of at most record_max bytes. 0: no memory; then the outbox is of no use.
int mt_outbox_add(mt_outbox *outbox, mt_chunk_pool *pool, mt_cutter *cutter, uint32_t record_max);
int mt_outbox_first(const mt_outbox *outbox, mt_record *record); // the oldest record; 0: none
void mt_outbox_drop_first(mt_outbox *outbox, mt_chunk_pool *pool);
mt_chunk *mt_outbox_take_chunk(mt_outbox *outbox);               // the oldest chunk, the caller's from now on; NULL: none
void mt_outbox_clear(mt_outbox *outbox, mt_chunk_pool *pool);

#endif
