// The memory behind one rank's object heap: an address range backed by a memfd or by a nameless POSIX object. Made by
// its rank, which writes; opened by the node's other ranks, which read.
#ifndef MANTA_ENGINE_RUNTIME_HEAP_MEMORY_H
#define MANTA_ENGINE_RUNTIME_HEAP_MEMORY_H

#include <stdatomic.h>
#include <stdint.h>
#include "engine/runtime/memory/heap.h"
#include "engine/runtime/memory/heap_blocks.h"

#define MT_HEAP_BYTES_MAX (UINT64_C(1) << 46) // of 2^47 that a process can address

typedef struct mt_heap_memory {
    char *base; // owned mapping; NULL: none
    uint64_t bytes;
    int fd;        // owned; -1: none (a peer's, or anonymous memory)
    char name[48]; // POSIX object that still has its name; ""
} mt_heap_memory;

// What a rank tells the others, so that they find its memory and none but it.
typedef struct mt_heap_offer {
    int64_t pid, fd;
    uint64_t bytes, device, inode;
    int32_t made, node;
    char name[48]; // "": a memfd
} mt_heap_offer;

// Pages are taken as they are written. posix: not as a memfd.
mt_status mt_heap_memory_create(mt_heap_memory *memory, uint64_t bytes, int posix);
mt_status mt_heap_memory_offer(const mt_heap_memory *memory, mt_heap_offer *out);
mt_status mt_heap_memory_open(mt_heap_memory *memory, const mt_heap_offer *offer); // a peer's, read-only
void mt_heap_memory_unlink(mt_heap_memory *memory);                                // everybody has it
void mt_heap_memory_destroy(mt_heap_memory *memory);                               // {.fd = -1} is fine

// The heaps of one process that see each other as ranks: mt_heap_local_create. Freed with the last.
typedef struct mt_heap_family {
    atomic_int users;
    int size;
    mt_heap_memory memory[]; // (size)
} mt_heap_family;

struct mt_heap {
    int rank, size;
    mt_blocks blocks;
    mt_heap_memory own;      // a view of the family's in the local form
    mt_heap_memory *peer;    // owned (size), or the family's: base NULL for another host's
    mt_heap_family *family;  // shared; NULL in a job
    _Atomic uint64_t *taken; // owned mapping: a bit for each page that has been written
    atomic_int growing;      // a thread is in pwrite
};

// Everything but peers. Takes over `own` when it succeeds.
mt_status mt_heap_open(int rank, int size, const mt_heap_memory *own, mt_heap **out);

#endif
