// Blocks of an address range: who has which part of it. The allocator behind the object heap, which knows no memory:
// its records lie in private memory, so that a peer that can write into the heap cannot lead the allocator astray.
//
// Two-level segregated fit (Masmano et al. 2004): free blocks hang in lists by size, 32 classes to each doubling; two
// bitmaps find the smallest class that has one. Neighbours merge at once. Threads: one at a time.
#ifndef MANTA_ENGINE_RUNTIME_HEAP_BLOCKS_H
#define MANTA_ENGINE_RUNTIME_HEAP_BLOCKS_H

#include <stdint.h>
#include "engine/base/status.h"

enum { MT_BLOCK_UNIT = 64, MT_BLOCK_DOUBLINGS = 48, MT_BLOCK_STEPS = 32 };
#define MT_NO_BLOCK UINT64_MAX

typedef struct mt_block mt_block;

typedef struct mt_blocks {
    uint64_t limit_bytes, used_bytes, peak_bytes, count; // count: of blocks in use
    mt_block *record;                                    // owned (record_capacity)
    uint32_t record_capacity, record_spare;              // spare: head of the list of unused records
    uint32_t *by_offset;                                 // owned (table_capacity): hash table of the blocks in use
    uint32_t table_capacity;                             // a power of two
    uint64_t doubling_map;                               // bit d: step_map[d] is not 0
    uint32_t step_map[MT_BLOCK_DOUBLINGS];               // bit s: free_head[d][s] is not empty
    uint32_t free_head[MT_BLOCK_DOUBLINGS][MT_BLOCK_STEPS];
} mt_blocks;

// limit_bytes: a multiple of MT_BLOCK_UNIT, at least one unit, below 2^53.
mt_status mt_blocks_init(mt_blocks *blocks, uint64_t limit_bytes);
void mt_blocks_fini(mt_blocks *blocks);

uint64_t mt_blocks_alloc(mt_blocks *blocks, uint64_t bytes);       // an offset, or MT_NO_BLOCK
void mt_blocks_free(mt_blocks *blocks, uint64_t offset);           // asserted: it is a block in use
uint64_t mt_blocks_size(const mt_blocks *blocks, uint64_t offset); // of a block in use; 0: there is none

// Every record against every other, for tests: the first thing that does not hold, or NULL.
const char *mt_blocks_check(const mt_blocks *blocks);

#endif
