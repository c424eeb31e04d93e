// Transport: messages between the ranks of a job. A narrow interface with three implementations: `job` (shared-memory rings
// inside a node, MPI between nodes), `local` (several virtual ranks in one process, for tests), and the simulator's own.
//
// Promises of every implementation: a message arrives whole, once, and in the order of sending from the same rank to the same
// rank, as long as both live; between different pairs there is no order. A message to a rank that is gone is dropped.
//
// A rank counts as gone when its process has ended, when it has destroyed its transport, when what it wrote into shared memory
// is not a message, or when MPI refuses to send to it. What it had sent before is still delivered, but in the third case.
//
// Somebody must poll, or look at pending before sleeping, for queued messages to move; between nodes a message to a busy peer
// may wait for that, so that others travel with it.
//
// Threads. send: one thread at a time (the node's lock). poll: one thread at a time (the poll token), at the same time as
// send. sleep: the background thread alone. pending, ring, alive: any thread.
//
// Sleeping without losing a message: the thread that stops polling calls set_asleep(1) and then looks at pending() once
// more; a sender publishes first and then looks at the receiver's flag. Both sides have a full fence between the two. When
// pending() says yes he goes back to polling, from set_asleep(0) on: a ring may have come, and is not answered by poll alone.
#ifndef MANTA_ENGINE_RUNTIME_TRANSPORT_H
#define MANTA_ENGINE_RUNTIME_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include "engine/base/status.h"

typedef struct mt_transport mt_transport;
typedef struct mt_comm mt_comm;

typedef struct mt_piece {
    const void *data;
    size_t bytes;
} mt_piece;

enum { MT_MESSAGE_BYTES_MAX = 192 * 1024 };   // larger payloads are sent in chunks by the store

// message: 8-byte aligned, valid during the call. May send on the same transport (through the node's lock).
typedef void (*mt_deliver_fn)(void *context, int src, const void *message, size_t bytes);

typedef struct mt_transport_ops {
    const char *name;
    // Takes the message (the pieces one after the other) at once and without waiting: into the ring, or, when that is full,
    // into a private queue that poll and flush empty in order. src == dst is not allowed.
    void (*send)(mt_transport *t, int dst, const mt_piece *pieces, int count);
    // Delivers up to `budget` messages; returns how many. Also moves what waits in private queues.
    int (*poll)(mt_transport *t, mt_deliver_fn deliver, void *context, int budget);
    int (*pending)(mt_transport *t);                       // something to poll, or queued and now sendable; cheap
    // 1: senders shall ring from now on (once; a ring ends it). Called by whoever polls, holding the poll token.
    void (*set_asleep)(mt_transport *t, int asleep);
    // Until rung, or the deadline; may return early, without a message: after half a second, for one. Look whether what you wait
    // for has happened before you sleep, not only at pending: poll may just have delivered it.
    void (*sleep)(mt_transport *t, int64_t deadline_ns);
    void (*ring)(mt_transport *t);                         // wakes this rank's own sleeper; not lost when that
                                                           // is about to sleep
    int (*alive)(mt_transport *t, int rank);               // 0: known to be gone (its process has ended)
    size_t (*queued_bytes)(mt_transport *t);               // in private queues, for status and tests
    void (*destroy)(mt_transport *t);
} mt_transport_ops;

struct mt_transport {
    const mt_transport_ops *ops;
    int rank, size;
    int node, node_count;   // this rank's host
    const int *node_of;     // (size), owned by the implementation
};

// The job's transport. Collective over all ranks of `world` (engine/collective); without MPI a job of one rank.
mt_status mt_transport_job_create(mt_comm *world, mt_transport **out);

// `size` virtual ranks in this process, joined by the same rings in private memory: out (size), each to be driven by threads
// of its own. nodes: how many virtual hosts they are spread over (rank r is on host r * nodes / size).
mt_status mt_transport_local_create(int size, int nodes, mt_transport **out);

// A shared piece of the start: every rank gives `bytes`, all get (size, bytes). Works before any message has been sent.
mt_status mt_transport_job_exchange(mt_comm *world, const void *mine, void *all, size_t bytes);

#endif
