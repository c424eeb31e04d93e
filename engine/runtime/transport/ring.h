// Ring: bytes of variable-sized records from one producer to one consumer, in memory that both map (or that both threads see).
//
// Protocol. Positions are counts of bytes since the start, multiples of 8, never wrapped; a position modulo the capacity is a
// place in `data`.
//   tail      written by the producer alone. Everything below it is written: the producer stores the record, then the tail
//             (release); the consumer loads the tail (acquire), then reads records. One store publishes a record.
//   head      written by the consumer alone. Everything below it may be overwritten: the consumer stores it after its last read
//             (release); the producer loads it (acquire) only when the head it remembers makes the ring look full.
//   starved   set by the producer while records wait outside because the ring was full, cleared by it when none do any more;
//             the consumer looks at it after it has moved the head, and then wakes the producer if that one sleeps.
//   Each side keeps its own position, and the other's as last seen, in its own memory: tail and head lie on lines of their own,
//   and a side touches the other's line only when its memory of it is used up.
//   A record is a header of 8 bytes {bytes, left} and its bytes, padded to 8. It never wraps: where it does not fit before the
//   end, a header with bytes = MT_RING_PAD sends the reader to the start. So records of up to a quarter of the capacity always
//   find room in an empty ring. `left` is the user's (fragment.h).
//
// Waking needs "publish, then look whether he sleeps" against "say that I sleep, then look whether something was published":
// a store before a load on both sides. mt_publish says how the frequent side pays for it.
//
// Rejected: prefetching the next record's lines for writing after a commit. It takes lines that the consumer still reads, and
// made a send of 100 bytes to a polling reader 47 ns in place of 33 ns.
//
// The consumer trusts nothing that it reads: a tail or a record out of bounds is MT_CORRUPT, and the ring is not read again.
#ifndef MANTA_ENGINE_RUNTIME_RING_H
#define MANTA_ENGINE_RUNTIME_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/base/status.h"

// two cache lines: the prefetcher fetches pairs
enum { MT_RING_LINE = 128, MT_RING_HEADER = 8, MT_RING_BYTES_MIN = 1024, MT_RING_BYTES_MAX = 1 << 26 };
#define MT_RING_PAD UINT32_MAX

typedef struct mt_ring {
    _Alignas(MT_RING_LINE) _Atomic uint64_t tail;
    _Alignas(MT_RING_LINE) _Atomic uint64_t head;
    _Atomic uint32_t starved;
    _Alignas(MT_RING_LINE) unsigned char data[]; // (capacity)
} mt_ring;

typedef struct mt_record {
    const void *data; // view into the ring, 8-byte aligned; NULL: no record
    uint32_t bytes, left;
} mt_record;

// The producer's side; one thread at a time.
typedef struct mt_ring_writer {
    mt_ring *ring;
    uint64_t tail, head_seen, capacity;
    int fenced;  // see mt_publish
    int corrupt; // the consumer's head was out of bounds
} mt_ring_writer;

// The consumer's side; one thread at a time, but mt_ring_waiting may be called by any.
typedef struct mt_ring_reader {
    mt_ring *ring;
    _Atomic uint64_t head;
    uint64_t tail_seen, released, capacity;
    int fenced;
    atomic_int corrupt;
} mt_ring_reader;

// capacity: a power of two from MT_RING_BYTES_MIN on. The memory is zeroed and MT_RING_LINE aligned.
static inline size_t mt_ring_bytes(size_t capacity) { return sizeof(mt_ring) + capacity; }
static inline uint32_t mt_ring_record_max(size_t capacity) { return (uint32_t)(capacity / 4 - MT_RING_HEADER); }
void mt_ring_writer_init(mt_ring_writer *writer, mt_ring *ring, size_t capacity, int fenced);
void mt_ring_reader_init(mt_ring_reader *reader, mt_ring *ring, size_t capacity, int fenced);

// Release store that a later load of another word shall not overtake. fenced: the processor sees to it (x86: a locked
// instruction, which waits for all stores before it: about the price of one cache miss to a busy peer). Otherwise only the
// compiler is held back, and whoever goes to sleep makes the processors do it (doorbell.h).
static inline void mt_publish(_Atomic uint64_t *word, uint64_t value, int fenced) {
    if (fenced) {
        atomic_exchange(word, value);
    } else {
        atomic_store_explicit(word, value, memory_order_release);
        atomic_signal_fence(memory_order_seq_cst);
    }
}

// ---- producer

uint64_t mt_ring_room(mt_ring_writer *writer); // looks at the head again; bytes free

// Where the record's bytes go, 8-byte aligned; NULL: full. bytes <= mt_ring_record_max. Nothing is visible before the commit.
static inline char *mt_ring_begin(mt_ring_writer *writer, uint32_t bytes) {
    uint64_t need = MT_RING_HEADER + (((uint64_t)bytes + 7) & ~UINT64_C(7)), at = writer->tail & (writer->capacity - 1);
    uint64_t before_end = writer->capacity - at, pad = need > before_end ? before_end : 0;
    uint64_t total = pad + need;
    if (writer->capacity - (writer->tail - writer->head_seen) < total && mt_ring_room(writer) < total) return NULL;
    if (pad) {
        *(uint64_t *)(void *)(writer->ring->data + at) = MT_RING_PAD;
        writer->tail += pad;
        at = 0;
    }
    return (char *)writer->ring->data + at + MT_RING_HEADER;
}

static inline void mt_ring_commit(mt_ring_writer *writer, uint32_t bytes, uint32_t left) {
    uint64_t at = writer->tail & (writer->capacity - 1);
    *(uint64_t *)(void *)(writer->ring->data + at) = (uint64_t)left << 32 | bytes;
    writer->tail += MT_RING_HEADER + (((uint64_t)bytes + 7) & ~UINT64_C(7));
    mt_publish(&writer->ring->tail, writer->tail, writer->fenced);
}

// ---- consumer

static inline int mt_ring_waiting(const mt_ring_reader *reader) {
    return atomic_load(&reader->ring->tail) != atomic_load_explicit(&reader->head, memory_order_relaxed) &&
           !atomic_load_explicit(&reader->corrupt, memory_order_relaxed);
}

// The next record, or data NULL. It stays in place until mt_ring_advance. MT_CORRUPT: the ring is not used again.
mt_status mt_ring_next(mt_ring_reader *reader, mt_record *record);

// Behind the record that mt_ring_next gave.
static inline void mt_ring_advance(mt_ring_reader *reader, const mt_record *record) {
    uint64_t head = atomic_load_explicit(&reader->head, memory_order_relaxed);
    head += MT_RING_HEADER + (((uint64_t)record->bytes + 7) & ~UINT64_C(7));
    atomic_store_explicit(&reader->head, head, memory_order_relaxed);
}

// Bytes passed and not given back yet; gives them back to the producer.
static inline uint64_t mt_ring_held(const mt_ring_reader *reader) {
    return atomic_load_explicit(&reader->head, memory_order_relaxed) - reader->released;
}
static inline void mt_ring_release(mt_ring_reader *reader) {
    reader->released = atomic_load_explicit(&reader->head, memory_order_relaxed);
    mt_publish(&reader->ring->head, reader->released, reader->fenced);
}

#endif
