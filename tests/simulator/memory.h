// A virtual rank's heap and disk: blocks by first fit from the bottom, so that an offset is used again at once and whoever reads
// a block that was freed reads something else; what is freed is overwritten. Memory is taken when it is touched.
#ifndef MANTA_TESTS_SIMULATOR_MEMORY_H
#define MANTA_TESTS_SIMULATOR_MEMORY_H

#include <stddef.h>
#include <stdint.h>

typedef struct mt_heap_piece {
    uint64_t offset, bytes;
    uint64_t serial;         // of this allocation, never used again
} mt_heap_piece;

typedef struct mt_spill_file {
    uint64_t number, bytes;
    void *data;              // owned
} mt_spill_file;

typedef struct mt_memory {
    uint64_t limit, used, peak, serial;
    char *memory;            // owned: address space of `limit` bytes; NULL before the first allocation
    mt_heap_piece *blocks;        // owned (count): by offset
    int count, capacity;
    mt_spill_file *files;    // owned (file_count)
    int file_count, file_capacity;
    uint64_t next_file;
} mt_memory;

void mt_memory_init(mt_memory *store, uint64_t limit);
void mt_memory_fini(mt_memory *store);
uint64_t mt_memory_take(mt_memory *store, uint64_t bytes);          // UINT64_MAX: full
int mt_memory_give(mt_memory *store, uint64_t offset);              // 0: no block begins there
mt_heap_piece *mt_memory_block(mt_memory *store, uint64_t offset);       // that contains it; NULL: none. Valid until the next take or give
void *mt_memory_at(mt_memory *store, uint64_t offset);
uint64_t mt_memory_write(mt_memory *store, uint64_t offset, uint64_t bytes);            // a new file's number, from 1
int mt_memory_read(mt_memory *store, uint64_t file, uint64_t offset, uint64_t bytes);   // 0: no such file of this size
int mt_memory_drop(mt_memory *store, uint64_t file);                                    // 0: no such file

#endif
