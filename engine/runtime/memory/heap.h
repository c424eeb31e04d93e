// The object heap of a rank: memory in which large objects lie, shared with the ranks of the same node.
//
// The rank itself allocates and writes; the node's other ranks map it read-only and find an object by (rank, offset). Pages
// are taken when they are first written and kept for the next object, so that a busy heap runs at the speed of memcpy. A memfd,
// private to the job (mode 0600, gone with its last process), opened by peers through /proc/PID/fd, or as a POSIX object that
// is unlinked at once where that is not possible, as engine/collective/shm_segment does. MANTA_SHM=posix chooses that.
//
// Threads: alloc, free and stats under the node's lock; writing, preparing and views from any thread, without it.
#ifndef MANTA_ENGINE_RUNTIME_HEAP_H
#define MANTA_ENGINE_RUNTIME_HEAP_H

#include <stddef.h>
#include <stdint.h>
#include "engine/base/status.h"

typedef struct mt_heap mt_heap;
typedef struct mt_comm mt_comm;

#define MT_HEAP_NO_OFFSET UINT64_MAX
enum { MT_HEAP_ALIGN = 64 };

// Collective over `world`; limit_bytes is the limit of this rank's heap (address space; memory as it is used), rounded up to
// pages. Every rank gets its heap or none. MT_NO_MEMORY says what was wanted and where. The comm is not kept.
mt_status mt_heap_job_create(mt_comm *world, uint64_t limit_bytes, mt_heap **out);
// For `size` virtual ranks of one process: out (size); every one sees all others as on one host.
mt_status mt_heap_local_create(int size, uint64_t limit_bytes, mt_heap **out);
void mt_heap_destroy(mt_heap *heap);   // Nullable

// MT_HEAP_NO_OFFSET when there is no room; bytes 0 gives an address that is never read. O(1). The memory holds what an earlier
// object left there. Freeing what is not allocated is a programmer's error.
uint64_t mt_heap_alloc(mt_heap *heap, uint64_t bytes);
void mt_heap_free(mt_heap *heap, uint64_t offset);
void *mt_heap_at(mt_heap *heap, uint64_t offset);   // own memory, writable

// Copies into own memory, at an allocated place: the fastest way to fill it, and the safe one. Where pages must first be taken
// the kernel writes them (twice the speed of touching them: nothing is zeroed, nothing faults), and a machine without memory
// is MT_NO_MEMORY, not a SIGBUS.
mt_status mt_heap_write(mt_heap *heap, uint64_t offset, const void *data, uint64_t bytes);
// Takes the pages of what will be written in place through mt_heap_at: a fifth faster than touching them one by one, and the
// same promise about SIGBUS. Costs what the pages cost; nothing when they are there.
mt_status mt_heap_prepare(mt_heap *heap, uint64_t offset, uint64_t bytes);

// Memory of `rank` on this node; NULL when [offset, offset + bytes) is not inside its heap or it is on another host.
const void *mt_heap_view(const mt_heap *heap, int rank, uint64_t offset, uint64_t bytes);

// used: in blocks, with their padding; peak: the most of that so far; resident: pages taken, in use or kept
typedef struct mt_heap_stats {
    uint64_t limit_bytes, used_bytes, peak_bytes, resident_bytes, blocks;
} mt_heap_stats;
mt_heap_stats mt_heap_stats_get(const mt_heap *heap);

// ---- spill files: objects pushed out to disk. One file per object in a private folder (0700, files 0600, unlinked when read
// back or dropped, the folder at the end), content behind a header with length and digest. A folder whose process was killed is
// removed by the next one that spills beside it: the living hold a lock on theirs. Any thread; an id by one thread at a time.
typedef struct mt_spill mt_spill;
mt_status mt_spill_open(const char *folder, int rank, mt_spill **out);   // folder: NULL for the system's temporary one; must exist
void mt_spill_close(mt_spill *spill);                                    // Nullable; removes every file
mt_status mt_spill_write(mt_spill *spill, const void *data, uint64_t bytes, uint64_t *out_id);
mt_status mt_spill_read(mt_spill *spill, uint64_t id, void *data, uint64_t bytes);   // MT_CORRUPT, MT_IO; keeps the file
void mt_spill_drop(mt_spill *spill, uint64_t id);
uint64_t mt_spill_bytes(const mt_spill *spill);   // of content that lies on disk

#endif
