// See memory.h.
#include "tests/simulator/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "engine/base/status.h"

enum { ALIGN = 64, POISON = 0xdd };

void mt_memory_init(mt_memory *s, uint64_t limit) { *s = (mt_memory){.limit = limit, .next_file = 1}; }

void mt_memory_fini(mt_memory *s) {
    if (s->memory) munmap(s->memory, s->limit);
    for (int i = 0; i < s->file_count; i++) free(s->files[i].data);
    free(s->blocks), free(s->files);
}

static uint64_t rounded(uint64_t bytes) { return bytes ? (bytes + ALIGN - 1) / ALIGN * ALIGN : ALIGN; }

uint64_t mt_memory_take(mt_memory *s, uint64_t bytes) {
    if (!s->memory) {
        s->memory = mmap(NULL, s->limit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        MT_ASSERT(s->memory != MAP_FAILED);
    }
    uint64_t want = rounded(bytes), at = 0;
    int i = 0;
    for (; i < s->count && s->blocks[i].offset - at < want; i++) at = s->blocks[i].offset + rounded(s->blocks[i].bytes);
    if (bytes > s->limit || at + want > s->limit) return UINT64_MAX;
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 64;
        s->blocks = realloc(s->blocks, (size_t)s->capacity * sizeof *s->blocks);
        MT_ASSERT(s->blocks);
    }
    memmove(s->blocks + i + 1, s->blocks + i, (size_t)(s->count++ - i) * sizeof *s->blocks);
    s->blocks[i] = (mt_heap_piece){.offset = at, .bytes = bytes, .serial = ++s->serial};
    s->used += want;
    if (s->used > s->peak) s->peak = s->used;
    return at;
}

mt_heap_piece *mt_memory_block(mt_memory *s, uint64_t offset) {
    int low = 0, high = s->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (s->blocks[middle].offset <= offset) low = middle + 1;
        else high = middle;
    }
    if (!low) return NULL;
    mt_heap_piece *b = &s->blocks[low - 1];
    return offset < b->offset + rounded(b->bytes) ? b : NULL;
}

int mt_memory_give(mt_memory *s, uint64_t offset) {
    mt_heap_piece *b = mt_memory_block(s, offset);
    if (!b || b->offset != offset) return 0;
    memset(s->memory + b->offset, POISON, b->bytes);
    s->used -= rounded(b->bytes);
    memmove(b, b + 1, (size_t)(s->blocks + --s->count - b) * sizeof *b);
    return 1;
}

void *mt_memory_at(mt_memory *s, uint64_t offset) {
    MT_ASSERT(s->memory && offset < s->limit);
    return s->memory + offset;
}

static mt_spill_file *find(mt_memory *s, uint64_t number) {
    for (int i = 0; i < s->file_count; i++)
        if (s->files[i].number == number) return &s->files[i];
    return NULL;
}

uint64_t mt_memory_write(mt_memory *s, uint64_t offset, uint64_t bytes) {
    if (s->file_count == s->file_capacity) {
        s->file_capacity = s->file_capacity ? 2 * s->file_capacity : 16;
        s->files = realloc(s->files, (size_t)s->file_capacity * sizeof *s->files);
        MT_ASSERT(s->files);
    }
    mt_spill_file *f = &s->files[s->file_count++];
    *f = (mt_spill_file){.number = s->next_file++, .bytes = bytes, .data = malloc(bytes + 1)};
    MT_ASSERT(f->data);
    memcpy(f->data, s->memory + offset, bytes);
    return f->number;
}

int mt_memory_read(mt_memory *s, uint64_t file, uint64_t offset, uint64_t bytes) {
    mt_spill_file *f = find(s, file);
    if (!f || f->bytes != bytes) return 0;
    memcpy(s->memory + offset, f->data, bytes);
    return 1;
}

int mt_memory_drop(mt_memory *s, uint64_t file) {
    mt_spill_file *f = find(s, file);
    if (!f) return 0;
    free(f->data);
    *f = s->files[--s->file_count];
    return 1;
}
