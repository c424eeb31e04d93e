// The slow halves of the ring: looking at the other side's line, and distrust. Protocol in the header.
#include "engine/runtime/transport/ring.h"

static int capacity_fits(size_t capacity) {
    return capacity >= MT_RING_BYTES_MIN && capacity <= MT_RING_BYTES_MAX && (capacity & (capacity - 1)) == 0;
}

void mt_ring_writer_init(mt_ring_writer *writer, mt_ring *ring, size_t capacity, int fenced) {
    MT_ASSERT(capacity_fits(capacity));
    *writer = (mt_ring_writer){.ring = ring, .capacity = capacity, .fenced = fenced};
}

void mt_ring_reader_init(mt_ring_reader *reader, mt_ring *ring, size_t capacity, int fenced) {
    MT_ASSERT(capacity_fits(capacity));
    reader->ring = ring;
    atomic_init(&reader->head, 0);
    atomic_init(&reader->corrupt, 0);
    reader->tail_seen = reader->released = 0;
    reader->capacity = capacity;
    reader->fenced = fenced;
}

uint64_t mt_ring_room(mt_ring_writer *writer) {
    uint64_t head = atomic_load(&writer->ring->head), used = writer->tail - head;
    if (used > writer->capacity || (head & 7)) {
        writer->corrupt = 1;
        return 0;
    }
    writer->head_seen = head;
    return writer->capacity - used;
}

static mt_status corrupt(mt_ring_reader *reader, const char *what, uint64_t value) {
    atomic_store(&reader->corrupt, 1);
    return MT_FAIL(CORRUPT, "message ring: %s (%#llx at %#llx): the sender wrote over it, or is not this manta", what,
        (unsigned long long)value, (unsigned long long)atomic_load_explicit(&reader->head, memory_order_relaxed));
}

mt_status mt_ring_next(mt_ring_reader *reader, mt_record *record) {
    uint64_t head = atomic_load_explicit(&reader->head, memory_order_relaxed), mask = reader->capacity - 1;
    for (;;) {
        record->data = NULL;
        if (head == reader->tail_seen) {
            uint64_t tail = atomic_load_explicit(&reader->ring->tail, memory_order_acquire);
            if (tail == head) return MT_OK;
            if (tail - head > reader->capacity || (tail & 7)) return corrupt(reader, "its end is out of bounds", tail);
            reader->tail_seen = tail;
        }
        // read once: the checks hold for the very value that is used
        const unsigned char *at = reader->ring->data + (head & mask);
        uint64_t header = *(const volatile uint64_t *)(const void *)at;
        uint64_t before_end = reader->capacity - (head & mask), there = reader->tail_seen - head;
        uint32_t bytes = (uint32_t)header;
        if (bytes == MT_RING_PAD) {
            if (before_end >= there || before_end == reader->capacity) return corrupt(reader, "padding out of place", header);
            head += before_end;
            atomic_store_explicit(&reader->head, head, memory_order_relaxed);
            continue;
        }
        uint64_t need = MT_RING_HEADER + (((uint64_t)bytes + 7) & ~UINT64_C(7));
        if (need > there || need > before_end) return corrupt(reader, "a record is longer than what was sent", header);
        *record = (mt_record){.data = at + MT_RING_HEADER, .bytes = bytes, .left = (uint32_t)(header >> 32)};
        return MT_OK;
    }
}
