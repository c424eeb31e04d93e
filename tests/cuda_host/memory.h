// Memory of the devices and pinned memory of the host: one range of addresses, in which every allocation has pages of its own
// between pages that nobody can touch. What is left of its pages is guard zone. New memory is full of patterns; freed memory
// cannot be touched again by anyone, and its addresses come back after a terabyte of others.
//
// Device memory is closed to the host's code: outside of the device's work its pages cannot be touched either, always or by
// chance as the settings say, so that a device pointer that the host follows ends the process with a message.
//
// All but find_ and the patterns: with the device's lock held.
#ifndef MANTA_TESTS_CUDA_HOST_MEMORY_H
#define MANTA_TESTS_CUDA_HOST_MEMORY_H

#include <stddef.h>
#include <stdint.h>

typedef enum mt_host_memory_kind { MT_HOST_MEMORY_DEVICE, MT_HOST_MEMORY_PINNED } mt_host_memory_kind;

enum { MT_HOST_PAGE = 4096, MT_HOST_CALLERS = 8 };

typedef struct mt_host_allocation {
    char *at;                  // what the caller has; a multiple of 256
    size_t bytes;
    char *pages;               // at is in them
    size_t page_bytes;
    mt_host_memory_kind kind;
    int device;                // whose; of pinned memory: the one it was asked for on
    int freed;
    uint64_t number;           // counted from 1
    void *callers[MT_HOST_CALLERS];
    struct mt_host_allocation *next, *previous; // of the live ones
} mt_host_allocation;

// NULL: beyond the device's memory, or the system has no more
mt_host_allocation *mt_host_memory_alloc(mt_host_memory_kind kind, int device, size_t bytes);
void mt_host_memory_free(mt_host_allocation *a);
size_t mt_host_memory_used(int device);
uint64_t mt_host_memory_live(mt_host_memory_kind kind);   // allocations of that kind now

// The allocation whose pages hold an address, freed ones included; NULL: none, the address is somebody else's.
mt_host_allocation *mt_host_memory_find(const void *address);
// NULL: [at, at + bytes) lies in a live allocation; else what is wrong, in words (valid until the next call)
const char *mt_host_memory_check(const void *at, size_t bytes, const mt_host_allocation **out);

// the range of addresses, and what is on each of its pages: every load of a kernel asks
typedef struct mt_host_page {
    mt_host_allocation *allocation; // that has it, or had it last; NULL: none yet
    void *shadow;                   // owned, of races.c: NULL at first, freed with the allocation
} mt_host_page;
extern char *mt_host_range;         // NULL: nothing was allocated yet
extern mt_host_page *mt_host_pages;
#define MT_HOST_RANGE_BYTES ((size_t)1 << 40)
static inline int mt_host_memory_inside(const void *address) {
    return (uintptr_t)address - (uintptr_t)mt_host_range < MT_HOST_RANGE_BYTES && mt_host_range;
}
static inline mt_host_page *mt_host_memory_page(const void *inside) {
    return &mt_host_pages[((uintptr_t)inside - (uintptr_t)mt_host_range) / MT_HOST_PAGE];
}

void mt_host_memory_guards_check(const char *when);       // of all live allocations; ends the process at a broken one
void mt_host_memory_leaks_check(void);                    // ends the process with status 1 when anything is still allocated
void mt_host_memory_open(void);                           // device memory, for the device's work
void mt_host_memory_close(uint64_t *random);

// ---- patterns: also for shared memory
void mt_host_memory_poison(void *at, size_t bytes);       // as if never written
void mt_host_memory_guard(void *at, size_t bytes);        // nobody's: told to AddressSanitizer, too
void mt_host_memory_admit(void *at, size_t bytes);        // no longer so
const char *mt_host_memory_guard_broken(const void *at, size_t bytes); // NULL, or the first byte that is none

void mt_host_memory_shadows_drop(void);                   // of all pages

#endif
