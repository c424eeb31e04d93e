// Memory of a core's records: freed blocks are kept by size, so that a call costs no malloc once things have run for a
// moment; and two ways to find a record, by slot and by key. One thread at a time (the core's).
#ifndef MANTA_ENGINE_RUNTIME_CORE_POOL_H
#define MANTA_ENGINE_RUNTIME_CORE_POOL_H

#include <stddef.h>
#include <stdint.h>

enum { MT_POOL_STEP = 64, MT_POOL_CLASSES = 64 };   // blocks of up to 4096 bytes are kept

typedef struct mt_pool_large { struct mt_pool_large *next, **previous; } mt_pool_large;   // one step before its block

typedef struct mt_pool {
    void *free[MT_POOL_CLASSES];
    void **chunks;              // owned: what the small blocks are cut from
    int chunk_count, chunk_capacity;
    char *cut;                  // rest of the newest chunk
    size_t cut_bytes;
    mt_pool_large *large;       // owned
    uint64_t bytes;             // given out
} mt_pool;

void mt_pool_fini(mt_pool *pool);
void *mt_pool_take(mt_pool *pool, size_t bytes);   // 64-byte aligned, zeroed. Aborts the process when memory is out: see pool.c
void mt_pool_give(mt_pool *pool, void *block, size_t bytes);   // the same bytes. Nullable: block

// Slots: records under small numbers; a freed number is used again. The serial tells an old name from a new one.
typedef struct mt_slots {
    void **record;              // owned (capacity): a record, or NULL
    uint32_t *free;             // owned: stack of free numbers
    uint32_t count, capacity, free_count;
} mt_slots;

uint32_t mt_slots_add(mt_slots *slots, void *record);
static inline void *mt_slots_get(const mt_slots *slots, uint32_t slot) { return slot < slots->count ? slots->record[slot] : NULL; }
void mt_slots_remove(mt_slots *slots, uint32_t slot);
void mt_slots_fini(mt_slots *slots);

// Map from (a, b) to a record: open addressing, grows. Records are never NULL.
typedef struct mt_map_entry { uint64_t a, b; void *record; } mt_map_entry;
typedef struct mt_map {
    mt_map_entry *entry;        // owned (capacity, a power of two)
    uint32_t count, capacity;
} mt_map;

void *mt_map_get(const mt_map *map, uint64_t a, uint64_t b);
void mt_map_put(mt_map *map, uint64_t a, uint64_t b, void *record);   // the key is new
void mt_map_remove(mt_map *map, uint64_t a, uint64_t b);              // the key is there
void mt_map_fini(mt_map *map);

// A growing array of rank numbers.
typedef struct mt_ranks {
    uint32_t *rank;             // owned
    uint32_t count, capacity;
} mt_ranks;
void mt_ranks_add(mt_ranks *ranks, uint32_t rank);
int mt_ranks_remove(mt_ranks *ranks, uint32_t rank);                  // one occurrence; 0: there was none
int mt_ranks_has(const mt_ranks *ranks, uint32_t rank);
void mt_ranks_fini(mt_ranks *ranks);

#endif
