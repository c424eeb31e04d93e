// The object heap's allocator. Called under the node's lock.
//
// Always holds: records 1.. in address order (left/right) cover [0, limit) without gaps; no two free neighbours; every
// free block hangs in the list of its class, newest first; every block in use is in the hash table.
//
// Which block is taken decides whether the pages are warm. The newest free blocks of the request's own class come
// first: a loop that puts and releases gets the same block again. Then the smallest larger class, cut at its low end:
// the untouched rest of the range is one block of the largest class, and so comes last. Textbook TLSF rounds the
// request up to its next class and never looks at its own: then a hole of exactly the right size is passed over, and
// the loop walks through fresh memory.
#include "engine/runtime/memory/heap_blocks.h"

#include <stdlib.h>
#include <string.h>

struct mt_block {
    uint64_t offset, bytes;
    uint32_t left, right; // neighbours by address; 0: none
    uint32_t next, prev;  // free list; next of an unused record: the next unused one
    uint32_t in_use;
};

enum {
    STEP_BITS = 5,
    OWN_CLASS_LOOKS = 64, // blocks of the request's own class that are tried
    RECORDS_FIRST = 256,
    BIG_BYTES = 128 * 1024, // from here blocks are whole pages (at most 3 % more)
    PAGE_BYTES = 4096,
};

typedef struct size_class {
    int doubling, step;
} size_class;

// below 32 units every size has its own class; from there 32 classes to each doubling
static size_class class_of(uint64_t bytes) {
    uint64_t units = bytes / MT_BLOCK_UNIT;
    if (units < MT_BLOCK_STEPS) return (size_class){0, (int)units};
    int top = 63 - __builtin_clzll(units);
    return (size_class){top - STEP_BITS + 1, (int)(units >> (top - STEP_BITS)) & (MT_BLOCK_STEPS - 1)};
}

// ---- records

static mt_status grow_records(mt_blocks *b) {
    uint32_t capacity = b->record_capacity ? 2 * b->record_capacity : RECORDS_FIRST;
    if (capacity > UINT32_MAX / 4) return MT_FAIL(NO_MEMORY, "object heap: %u blocks", b->record_capacity);
    mt_block *grown = realloc(b->record, capacity * sizeof *grown);
    if (!grown) return MT_FAIL(NO_MEMORY, "object heap: out of memory for %u blocks' records", capacity);
    memset(grown + b->record_capacity, 0, (capacity - b->record_capacity) * sizeof *grown);
    b->record = grown;
    // record 0 stands for none
    for (uint32_t i = capacity - 1; i >= b->record_capacity && i > 0; i--) {
        grown[i].next = b->record_spare;
        b->record_spare = i;
    }
    b->record_capacity = capacity;
    return MT_OK;
}

static uint32_t take_record(mt_blocks *b) {
    uint32_t i = b->record_spare;
    b->record_spare = b->record[i].next;
    return i;
}

static void give_record(mt_blocks *b, uint32_t i) {
    b->record[i] = (mt_block){.next = b->record_spare};
    b->record_spare = i;
}

// ---- the table of blocks in use: linear probing, at most half full

static uint32_t slot_of(const mt_blocks *b, uint64_t offset) {
    return (uint32_t)((offset / MT_BLOCK_UNIT * 0x9e3779b97f4a7c15u) >> 32) & (b->table_capacity - 1);
}

// the slot where it is, or where it would be put
static uint32_t find_slot(const mt_blocks *b, uint64_t offset) {
    uint32_t mask = b->table_capacity - 1, slot = slot_of(b, offset);
    while (b->by_offset[slot] && b->record[b->by_offset[slot]].offset != offset) slot = (slot + 1) & mask;
    return slot;
}

static mt_status grow_table(mt_blocks *b) {
    uint32_t capacity = b->table_capacity ? 2 * b->table_capacity : 2 * RECORDS_FIRST, old_capacity = b->table_capacity;
    uint32_t *old = b->by_offset, *grown = calloc(capacity, sizeof *grown);
    if (!grown) return MT_FAIL(NO_MEMORY, "object heap: out of memory for a table of %u blocks", capacity);
    b->by_offset = grown;
    b->table_capacity = capacity;
    for (uint32_t i = 0; i < old_capacity; i++)
        if (old[i]) grown[find_slot(b, b->record[old[i]].offset)] = old[i];
    free(old);
    return MT_OK;
}

// closes the gap: what stands behind moves up as far as its own first slot allows
static void remove_slot(mt_blocks *b, uint32_t gap) {
    uint32_t mask = b->table_capacity - 1;
    for (uint32_t i = (gap + 1) & mask; b->by_offset[i]; i = (i + 1) & mask) {
        uint32_t home = slot_of(b, b->record[b->by_offset[i]].offset);
        if (((i - home) & mask) < ((i - gap) & mask)) continue;
        b->by_offset[gap] = b->by_offset[i];
        gap = i;
    }
    b->by_offset[gap] = 0;
}

// ---- free lists

static void list_push(mt_blocks *b, uint32_t i) {
    mt_block *block = &b->record[i];
    size_class c = class_of(block->bytes);
    uint32_t *head = &b->free_head[c.doubling][c.step];
    block->in_use = 0;
    block->prev = 0;
    block->next = *head;
    if (*head) b->record[*head].prev = i;
    *head = i;
    b->step_map[c.doubling] |= 1u << c.step;
    b->doubling_map |= UINT64_C(1) << c.doubling;
}

static void list_remove(mt_blocks *b, uint32_t i) {
    mt_block *block = &b->record[i];
    size_class c = class_of(block->bytes);
    if (block->next) b->record[block->next].prev = block->prev;
    if (block->prev)
        b->record[block->prev].next = block->next;
    else
        b->free_head[c.doubling][c.step] = block->next;
    if (b->free_head[c.doubling][c.step]) return;
    b->step_map[c.doubling] &= ~(1u << c.step);
    if (b->step_map[c.doubling] == 0) b->doubling_map &= ~(UINT64_C(1) << c.doubling);
}

// a free block of at least `bytes`; 0: none
static uint32_t find_free(const mt_blocks *b, uint64_t bytes) {
    size_class c = class_of(bytes);
    uint32_t i = b->free_head[c.doubling][c.step];
    for (int looks = 0; i && looks < OWN_CLASS_LOOKS; looks++, i = b->record[i].next)
        if (b->record[i].bytes >= bytes) return i;
    // everything in a larger class fits
    uint32_t steps = c.step + 1 < MT_BLOCK_STEPS ? b->step_map[c.doubling] >> (c.step + 1) << (c.step + 1) : 0;
    if (!steps) {
        uint64_t doublings = b->doubling_map >> (c.doubling + 1) << (c.doubling + 1);
        if (!doublings) return 0;
        c.doubling = __builtin_ctzll(doublings);
        steps = b->step_map[c.doubling];
    }
    return b->free_head[c.doubling][__builtin_ctz(steps)];
}

// ---- the range

mt_status mt_blocks_init(mt_blocks *b, uint64_t limit_bytes) {
    *b = (mt_blocks){.limit_bytes = limit_bytes};
    if (limit_bytes == 0 || limit_bytes % MT_BLOCK_UNIT || limit_bytes >> 53)
        return MT_FAIL(INVALID_ARGUMENT, "object heap: %llu bytes are out of range", (unsigned long long)limit_bytes);
    mt_status status = grow_records(b);
    if (status == MT_OK) status = grow_table(b);
    if (status != MT_OK) {
        mt_blocks_fini(b);
        return status;
    }
    uint32_t all = take_record(b);
    b->record[all] = (mt_block){.bytes = limit_bytes};
    list_push(b, all);
    return MT_OK;
}

void mt_blocks_fini(mt_blocks *b) {
    free(b->record);
    free(b->by_offset);
    *b = (mt_blocks){0};
}

uint64_t mt_blocks_alloc(mt_blocks *b, uint64_t bytes) {
    if (bytes > b->limit_bytes) return MT_NO_BLOCK;
    uint64_t unit = bytes >= BIG_BYTES ? PAGE_BYTES : MT_BLOCK_UNIT;
    uint64_t want = bytes ? (bytes + unit - 1) & ~(unit - 1) : MT_BLOCK_UNIT;
    uint32_t i = find_free(b, want);
    if (!i && unit == PAGE_BYTES) { // the last block of a range may be no whole page
        want = (bytes + MT_BLOCK_UNIT - 1) & ~(uint64_t)(MT_BLOCK_UNIT - 1);
        i = find_free(b, want);
    }
    if (!i) return MT_NO_BLOCK;
    // what can fail comes first
    if (!b->record_spare && grow_records(b) != MT_OK) return MT_NO_BLOCK;
    if (2 * (b->count + 1) > b->table_capacity && grow_table(b) != MT_OK) return MT_NO_BLOCK;
    list_remove(b, i);
    mt_block *block = &b->record[i];
    if (block->bytes > want) {
        uint32_t rest = take_record(b);
        b->record[rest] =
            (mt_block){.offset = block->offset + want, .bytes = block->bytes - want, .left = i, .right = block->right};
        if (block->right) b->record[block->right].left = rest;
        block->right = rest;
        block->bytes = want;
        list_push(b, rest);
    }
    block->in_use = 1;
    block->next = block->prev = 0;
    b->by_offset[find_slot(b, block->offset)] = i;
    b->count++;
    b->used_bytes += want;
    if (b->used_bytes > b->peak_bytes) b->peak_bytes = b->used_bytes;
    return block->offset;
}

// `right` disappears into its left neighbour; neither hangs in a list
static void merge(mt_blocks *b, uint32_t left, uint32_t right) {
    mt_block *l = &b->record[left], *r = &b->record[right];
    l->bytes += r->bytes;
    l->right = r->right;
    if (r->right) b->record[r->right].left = left;
    give_record(b, right);
}

void mt_blocks_free(mt_blocks *b, uint64_t offset) {
    uint32_t slot = find_slot(b, offset), i = b->by_offset[slot];
    MT_ASSERT(i != 0); // not allocated, or freed already
    remove_slot(b, slot);
    b->count--;
    b->used_bytes -= b->record[i].bytes;
    uint32_t left = b->record[i].left, right = b->record[i].right;
    if (right && !b->record[right].in_use) {
        list_remove(b, right);
        merge(b, i, right);
    }
    if (left && !b->record[left].in_use) {
        list_remove(b, left);
        merge(b, left, i);
        i = left;
    }
    list_push(b, i);
}

uint64_t mt_blocks_size(const mt_blocks *b, uint64_t offset) {
    uint32_t i = b->by_offset[find_slot(b, offset)];
    return i ? b->record[i].bytes : 0;
}

// ---- for tests

static int is_listed(const mt_blocks *b, uint32_t i) {
    size_class c = class_of(b->record[i].bytes);
    uint32_t at = b->free_head[c.doubling][c.step];
    while (at && at != i) at = b->record[at].next;
    return at == i && (b->step_map[c.doubling] >> c.step & 1) && (b->doubling_map >> c.doubling & 1);
}

const char *mt_blocks_check(const mt_blocks *b) {
    uint64_t at = 0, used = 0, count = 0;
    uint32_t first = 0, last = 0, freed = 0;
    for (uint32_t i = 1; i < b->record_capacity && !first; i++)
        if (b->record[i].bytes && b->record[i].offset == 0) first = i;
    for (uint32_t i = first; i; last = i, i = b->record[i].right) {
        const mt_block *block = &b->record[i];
        if (block->offset != at || block->bytes == 0 || block->bytes % MT_BLOCK_UNIT) return "the range has a gap";
        if (block->left != last) return "a block does not know its left neighbour";
        if (block->in_use != (b->by_offset[find_slot(b, block->offset)] == i)) return "the table is wrong";
        if (!block->in_use && !is_listed(b, i)) return "a free block hangs in no list";
        if (!block->in_use && last && !b->record[last].in_use) return "two free blocks are neighbours";
        at += block->bytes;
        used += block->in_use ? block->bytes : 0;
        count += block->in_use;
        freed += !block->in_use;
    }
    if (at != b->limit_bytes) return "the range does not end at its limit";
    if (used != b->used_bytes || count != b->count) return "the counts are wrong";
    for (int d = 0; d < MT_BLOCK_DOUBLINGS; d++)
        for (int s = 0; s < MT_BLOCK_STEPS; s++) {
            for (uint32_t i = b->free_head[d][s]; i; i = b->record[i].next) freed--;
            if ((b->free_head[d][s] != 0) != (b->step_map[d] >> s & 1)) return "a bitmap is wrong";
        }
    return freed ? "a list has blocks that are not there" : NULL;
}
