// Memory of a core's records. Running out of memory for a record of a hundred bytes ends the process with a message: there is
// no state in which a rank could go on without its book-keeping, and large objects (where memory really goes) never come from
// here but from the heap, which answers MANTA_NO_MEMORY.
#include "engine/runtime/core/pool.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/status.h"

enum { CHUNK_BYTES = 256 * 1024 };

// Under the address sanitizer every block is malloc's, so that what is used after it was given back is seen.
#ifdef __SANITIZE_ADDRESS__
enum { KEPT_CLASSES = 0 };
#else
enum { KEPT_CLASSES = MT_POOL_CLASSES };
#endif

static void *need(void *memory) {
    MT_ASSERT(memory && "out of memory for the runtime's records: fewer pending calls, or more memory for this rank");
    return memory;
}

static void *grow(void *array, size_t count, size_t element) { return need(realloc(array, count * element)); }

static void *cut_block(mt_pool *pool, size_t bytes) {
    if (pool->cut_bytes < bytes) {
        if (pool->chunk_count == pool->chunk_capacity) {
            pool->chunk_capacity = pool->chunk_capacity ? 2 * pool->chunk_capacity : 8;
            pool->chunks = grow(pool->chunks, (size_t)pool->chunk_capacity, sizeof *pool->chunks);
        }
        // the first chunk is small: ten thousand virtual ranks live in one simulator
        pool->cut_bytes = pool->chunk_count ? CHUNK_BYTES : CHUNK_BYTES / 32;
        pool->cut = need(aligned_alloc(MT_POOL_STEP, pool->cut_bytes));
        pool->chunks[pool->chunk_count++] = pool->cut;
    }
    void *block = pool->cut;
    pool->cut += bytes, pool->cut_bytes -= bytes;
    return block;
}

// Large blocks are malloc's, in a list of their own so that none is forgotten at the end.
static void *take_large(mt_pool *pool, size_t class) {
    mt_pool_large *large = need(aligned_alloc(MT_POOL_STEP, (class + 1) * MT_POOL_STEP));
    large->next = pool->large, large->previous = &pool->large;
    if (pool->large) pool->large->previous = &large->next;
    pool->large = large;
    return memset((char *)large + MT_POOL_STEP, 0, class * MT_POOL_STEP);
}

static void give_large(void *block) {
    mt_pool_large *large = (mt_pool_large *)(void *)((char *)block - MT_POOL_STEP);
    *large->previous = large->next;
    if (large->next) large->next->previous = large->previous;
    free(large);
}

void *mt_pool_take(mt_pool *pool, size_t bytes) {
    size_t class = (bytes + MT_POOL_STEP - 1) / MT_POOL_STEP;
    pool->bytes += bytes;
    if (class == 0) class = 1;
    if (class > KEPT_CLASSES) return take_large(pool, class);
    void *block = pool->free[class - 1];
    if (block) memcpy(&pool->free[class - 1], block, sizeof(void *));
    else block = cut_block(pool, class * MT_POOL_STEP);
    return memset(block, 0, bytes);
}

void mt_pool_give(mt_pool *pool, void *block, size_t bytes) {
    if (!block) return;
    size_t class = (bytes + MT_POOL_STEP - 1) / MT_POOL_STEP;
    pool->bytes -= bytes;
    if (class == 0) class = 1;
    if (class > KEPT_CLASSES) {
        give_large(block);
        return;
    }
    memcpy(block, &pool->free[class - 1], sizeof(void *));
    pool->free[class - 1] = block;
}

void mt_pool_fini(mt_pool *pool) {
    for (int i = 0; i < pool->chunk_count; i++) free(pool->chunks[i]);
    free(pool->chunks);
    for (mt_pool_large *l = pool->large, *next; l; l = next) {
        next = l->next;
        free(l);
    }
    *pool = (mt_pool){0};
}

// ---- slots

uint32_t mt_slots_add(mt_slots *s, void *record) {
    if (s->free_count) {
        uint32_t slot = s->free[--s->free_count];
        s->record[slot] = record;
        return slot;
    }
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 16;
        s->record = grow(s->record, s->capacity, sizeof *s->record);
        s->free = grow(s->free, s->capacity, sizeof *s->free);
    }
    s->record[s->count] = record;
    return s->count++;
}

void mt_slots_remove(mt_slots *s, uint32_t slot) {
    MT_ASSERT(slot < s->count && s->record[slot]);
    s->record[slot] = NULL;
    s->free[s->free_count++] = slot;
}

void mt_slots_fini(mt_slots *s) {
    free(s->record);
    free(s->free);
    *s = (mt_slots){0};
}

// ---- map

static uint32_t home(const mt_map *map, uint64_t a, uint64_t b) {
    uint64_t h = (a ^ (b << 1) ^ (b >> 17)) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(h >> 32) & (map->capacity - 1);
}

static uint32_t find(const mt_map *map, uint64_t a, uint64_t b) {
    uint32_t i = home(map, a, b);
    while (map->entry[i].record && (map->entry[i].a != a || map->entry[i].b != b)) i = (i + 1) & (map->capacity - 1);
    return i;
}

void *mt_map_get(const mt_map *map, uint64_t a, uint64_t b) { return map->count ? map->entry[find(map, a, b)].record : NULL; }

static void rehash(mt_map *map) {
    mt_map old = *map;
    map->capacity = old.capacity ? 2 * old.capacity : 16;
    map->entry = need(calloc(map->capacity, sizeof *map->entry));
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.entry[i].record) map->entry[find(map, old.entry[i].a, old.entry[i].b)] = old.entry[i];
    free(old.entry);
}

void mt_map_put(mt_map *map, uint64_t a, uint64_t b, void *record) {
    if (2 * (map->count + 1) > map->capacity) rehash(map);
    uint32_t i = find(map, a, b);
    MT_ASSERT(!map->entry[i].record && record);
    map->entry[i] = (mt_map_entry){a, b, record};
    map->count++;
}

void mt_map_remove(mt_map *map, uint64_t a, uint64_t b) {
    MT_ASSERT(map->count);
    uint32_t mask = map->capacity - 1, hole = find(map, a, b);
    MT_ASSERT(map->entry[hole].record);
    map->count--;
    // close the gap: whatever comes behind and would no longer be found moves up
    for (uint32_t i = (hole + 1) & mask; map->entry[i].record; i = (i + 1) & mask) {
        uint32_t wanted = home(map, map->entry[i].a, map->entry[i].b);
        if (((i - wanted) & mask) < ((i - hole) & mask)) continue;
        map->entry[hole] = map->entry[i];
        hole = i;
    }
    map->entry[hole].record = NULL;
}

void mt_map_fini(mt_map *map) {
    free(map->entry);
    *map = (mt_map){0};
}

// ---- ranks

void mt_ranks_add(mt_ranks *r, uint32_t rank) {
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 4;
        r->rank = grow(r->rank, r->capacity, sizeof *r->rank);
    }
    r->rank[r->count++] = rank;
}

int mt_ranks_remove(mt_ranks *r, uint32_t rank) {
    for (uint32_t i = r->count; i-- > 0;)
        if (r->rank[i] == rank) {
            r->rank[i] = r->rank[--r->count];
            return 1;
        }
    return 0;
}

int mt_ranks_has(const mt_ranks *r, uint32_t rank) {
    for (uint32_t i = 0; i < r->count; i++)
        if (r->rank[i] == rank) return 1;
    return 0;
}

void mt_ranks_fini(mt_ranks *r) {
    free(r->rank);
    *r = (mt_ranks){0};
}
