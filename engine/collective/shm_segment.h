// A piece of memory shared by the ranks of one node: private to the job, nameless, gone with its last process.
//
// A memfd is created by the node's rank 0 and opened by the others through /proc/<pid>/fd; where that is not possible
// (hidden /proc, different pid namespaces) a POSIX shared-memory object with a random name is used and unlinked as soon
// as everybody has it open, so that killing the job leaks nothing but in that short moment. Mode 0600 in both cases.
// MANTA_SHM=posix in the environment chooses the second way at once.
#ifndef MANTA_ENGINE_COLLECTIVE_SHM_SEGMENT_H
#define MANTA_ENGINE_COLLECTIVE_SHM_SEGMENT_H

#include <mpi.h>
#include <stddef.h>
#include <sys/types.h>
#include "engine/base/status.h"

typedef struct mt_shm_segment {
    char *base; // owned mapping; NULL: none
    size_t bytes;
    int same_pids; // the ranks see each other's process ids
} mt_shm_segment;

// Collective over `node`. The whole segment is [0, parts * part_bytes) with one part per rank; every rank reserves its
// own part's pages (they come from its own memory node, and a lack of memory is an error here, never a SIGBUS later).
// Zeroed. All ranks fail together: MT_NO_MEMORY with what to do, MT_IO, MT_DEADLINE.
mt_status mt_shm_segment_create(mt_shm_segment *segment, MPI_Comm node, size_t part_bytes, int64_t deadline_ns);
void mt_shm_segment_destroy(mt_shm_segment *segment); // this rank's mapping

#endif
