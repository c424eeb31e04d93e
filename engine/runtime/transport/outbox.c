// Waiting messages of one peer. Under the owner's lock.
#include "engine/runtime/transport/outbox.h"

#include <stdlib.h>

static size_t record_size(uint32_t bytes) { return MT_RING_HEADER + (((size_t)bytes + 7) & ~(size_t)7); }

mt_chunk *mt_chunk_take(mt_chunk_pool *pool) {
    mt_chunk *chunk = pool->spare;
    if (chunk) {
        pool->spare = chunk->next;
        pool->count--;
    } else {
        chunk = malloc(sizeof *chunk);
        if (!chunk) return NULL;
    }
    chunk->next = NULL;
    chunk->at = chunk->end = 0;
    return chunk;
}

void mt_chunk_give(mt_chunk_pool *pool, mt_chunk *chunk) {
    if (pool->count >= MT_CHUNKS_SPARE) {
        free(chunk);
        return;
    }
    chunk->next = pool->spare;
    pool->spare = chunk;
    pool->count++;
}

void mt_chunk_pool_fini(mt_chunk_pool *pool) {
    for (mt_chunk *c = pool->spare, *next; c; c = next) next = c->next, free(c);
    *pool = (mt_chunk_pool){0};
}

int mt_chunk_next(mt_chunk *chunk, mt_record *record) {
    uint64_t header;
    size_t there = chunk->end - chunk->at;
    record->data = NULL;
    if (there == 0) return 0;
    if (there < MT_RING_HEADER) return -1;
    memcpy(&header, chunk->data + chunk->at, sizeof header);
    *record = (mt_record){chunk->data + chunk->at + MT_RING_HEADER, (uint32_t)header, (uint32_t)(header >> 32)};
    if (record_size(record->bytes) > there) return -1;
    chunk->at += (uint32_t)record_size(record->bytes);
    return 1;
}

int mt_outbox_add(mt_outbox *outbox, mt_chunk_pool *pool, mt_cutter *cutter, uint32_t record_max) {
    if (record_max > MT_CHUNK_BYTES - MT_RING_HEADER) record_max = MT_CHUNK_BYTES - MT_RING_HEADER;
    do {
        uint32_t bytes = cutter->left < record_max ? (uint32_t)cutter->left : record_max;
        mt_chunk *chunk = outbox->last;
        if (!chunk || MT_CHUNK_BYTES - chunk->end < record_size(bytes)) {
            chunk = mt_chunk_take(pool);
            if (!chunk) return 0;
            if (outbox->last) outbox->last->next = chunk;
            else outbox->first = chunk;
            outbox->last = chunk;
        }
        mt_cutter_copy(cutter, chunk->data + chunk->end + MT_RING_HEADER, bytes);
        uint64_t header = (uint64_t)cutter->left << 32 | bytes;
        memcpy(chunk->data + chunk->end, &header, sizeof header);
        // the padding travels too: nothing of this process's memory shall
        memset(chunk->data + chunk->end + MT_RING_HEADER + bytes, 0, record_size(bytes) - MT_RING_HEADER - bytes);
        chunk->end += (uint32_t)record_size(bytes);
        outbox->bytes += record_size(bytes);
    } while (cutter->left);
    return 1;
}

int mt_outbox_first(const mt_outbox *outbox, mt_record *record) {
    if (!outbox->first) return 0;
    mt_chunk *chunk = outbox->first;
    uint32_t at = chunk->at;
    mt_chunk_next(chunk, record);
    chunk->at = at;
    return 1;
}

void mt_outbox_drop_first(mt_outbox *outbox, mt_chunk_pool *pool) {
    mt_chunk *chunk = outbox->first;
    mt_record record;
    mt_chunk_next(chunk, &record);
    outbox->bytes -= record_size(record.bytes);
    if (chunk->at < chunk->end) return;
    outbox->first = chunk->next;
    if (!outbox->first) outbox->last = NULL;
    mt_chunk_give(pool, chunk);
}

mt_chunk *mt_outbox_take_chunk(mt_outbox *outbox) {
    mt_chunk *chunk = outbox->first;
    if (!chunk) return NULL;
    outbox->first = chunk->next;
    if (!outbox->first) outbox->last = NULL;
    outbox->bytes -= chunk->end - chunk->at;
    return chunk;
}

void mt_outbox_clear(mt_outbox *outbox, mt_chunk_pool *pool) {
    for (mt_chunk *c; (c = mt_outbox_take_chunk(outbox));) mt_chunk_give(pool, c);
    outbox->bytes = 0;
}
