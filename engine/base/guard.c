// Guarded arrays. One thread maps and unmaps; a signal handler may look.
#include "engine/base/guard.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CANARY = 0xc5 };

// A signal handler has no argument of ours: what is mapped is remembered here.
static mt_guard *mapped;

int mt_guard_map(mt_guard *guard, const char *name, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), padded = (bytes + 63) / 64 * 64, room = (padded + page - 1) / page * page;
    *guard = (mt_guard){.name = name, .bytes = bytes, .map_bytes = room + 2 * page};
    guard->map = mmap(NULL, guard->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (guard->map == MAP_FAILED) {
        guard->map = NULL;
        return 1;
    }
    mprotect(guard->map, page, PROT_NONE);
    mprotect(guard->map + page + room, page, PROT_NONE);
    memset(guard->map + page, CANARY, room);
    guard->start = guard->map + page + room - padded;
    memset(guard->start, 0, bytes);
    guard->next = mapped;
    mapped = guard;
    return 0;
}

void mt_guard_unmap(mt_guard *guard) {
    if (!guard->map) return;
    for (mt_guard **at = &mapped; *at; at = &(*at)->next)
        if (*at == guard) {
            *at = guard->next;
            break;
        }
    munmap(guard->map, guard->map_bytes);
    *guard = (mt_guard){0};
}

int mt_guard_broken(const mt_guard *guard, long *at) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const char *end = guard->map + guard->map_bytes - page, *start = guard->start, *after = start + guard->bytes;
    for (const char *p = guard->map + page; p < end; p++) {
        if (p == start) p = after;
        if (p >= end || (unsigned char)*p == CANARY) continue;
        *at = p < start ? p - start : p - after;
        return 1;
    }
    return 0;
}

const mt_guard *mt_guard_at(const void *address, long *at) {
    const char *p = address;
    for (const mt_guard *guard = mapped; guard; guard = guard->next) {
        const char *start = guard->start;
        if (p < guard->map || p >= guard->map + guard->map_bytes) continue;
        *at = p < start ? p - start : p - (start + guard->bytes);
        return guard;
    }
    return NULL;
}
