// Arrays that are watched while somebody else's code writes them: each ends as near to a forbidden page as its 64-byte alignment
// lets it, and the bytes between, and those in front of it, hold a pattern that is looked at afterwards. For the children of a
// check (check.h); a fault on a forbidden page names the array there.
#ifndef MANTA_ENGINE_BASE_GUARD_H
#define MANTA_ENGINE_BASE_GUARD_H

#include <stddef.h>

typedef struct mt_guard {
    const char *name;           // borrowed
    char *map;                  // owned: the mapping with its forbidden pages; NULL: none
    void *start;                // the array, zeroed
    size_t map_bytes, bytes;
    struct mt_guard *next;      // of all that are mapped: a fault handler looks for its array here
} mt_guard;

// 0, or 1 without memory. *guard must not move until it is unmapped. Threads that fault may run meanwhile, threads that map may not.
int mt_guard_map(mt_guard *guard, const char *name, size_t bytes);
void mt_guard_unmap(mt_guard *guard);   // nothing where none is mapped

// 1: something was written beside the array; *at ≥ 0: so many bytes past its end, < 0: before its start.
int mt_guard_broken(const mt_guard *guard, long *at);

// The mapped array with `address` on one of its pages, and where that is; NULL: none. Safe in a signal handler.
const mt_guard *mt_guard_at(const void *address, long *at);

#endif
