// Timeline: what ran where and when, as a file for chrome://tracing or ui.perfetto.dev. Every thread writes into a ring of its own
// without locks; nothing leaves the process before the end. When a ring is full the oldest entries give way, and the file says how
// many. Off, it costs one branch a call.
//
// A rank is a process of the trace, an executor a thread; times are microseconds since the job's start (every rank's own zero, set
// behind a barrier).
#ifndef MANTA_ENGINE_RUNTIME_TIMELINE_H
#define MANTA_ENGINE_RUNTIME_TIMELINE_H

#include <stdint.h>
#include "engine/base/status.h"

typedef struct mt_timeline mt_timeline;
typedef struct mt_timeline_ring mt_timeline_ring;

typedef enum mt_timeline_kind { MT_TIMELINE_TASK, MT_TIMELINE_ACTOR, MT_TIMELINE_TRANSFER, MT_TIMELINE_WAIT } mt_timeline_kind;

// zero_ns: of mt_clock_ns. entries: of each ring; 0: 65536.
mt_status mt_timeline_create(int rank, int64_t zero_ns, uint32_t entries, mt_timeline **out);
void mt_timeline_destroy(mt_timeline *timeline);   // Nullable

// A ring for the calling thread; any thread. NULL (timeline NULL, or no memory): nothing is recorded.
mt_timeline_ring *mt_timeline_ring_create(mt_timeline *timeline, int thread, const char *name);

// By the ring's own thread. name: lives as long as the timeline. code: 0, or how it failed. bytes: of a transfer.
void mt_timeline_add(mt_timeline_ring *ring, mt_timeline_kind kind, const char *name, int64_t begin_ns, int64_t end_ns, int code,
    uint64_t bytes);

// After all threads have ended. Writes the rank's part, FILE.RANK.
mt_status mt_timeline_write(const mt_timeline *timeline, const char *file);
// The parts of `size` ranks become FILE, and go. A missing part is left out (MT_NOT_FOUND says which, FILE is complete otherwise).
mt_status mt_timeline_merge(const char *file, int size);

#endif
