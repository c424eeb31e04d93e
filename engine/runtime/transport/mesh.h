// Mesh: the ranks that share memory, every pair joined by two rings. The node's half of the `job` transport and the whole of
// the `local` one.
//
// Memory: one part per member, which holds what that member reads: its doorbell, one byte `dirty` per sender, its process,
// and one ring per other member. Zeroed memory is a mesh at rest; nobody formats anything.
//
// Finding work. With few members the reader looks at all tails. With more than MT_MESH_SCAN_MAX it looks at the dirty bytes,
// which share few cache lines: a sender stores 1 after it has published; the reader swaps a 1 for 0 and then looks at that
// ring (and stores 1 again if it leaves something there). A store after the swap is seen the next time, one before it comes
// with its message: nothing is lost, and the sender needs neither a locked instruction nor a look at the byte.
//
// Full rings. What does not fit waits in an outbox per peer. A ring's writer belongs to the sending thread while the outbox is
// empty (`waiting` 0), and to whoever holds `lock` otherwise; only the sending thread makes an outbox non-empty. So the usual
// send takes no lock. Lock order: mesh.lock is the last one.
#ifndef MANTA_ENGINE_RUNTIME_MESH_H
#define MANTA_ENGINE_RUNTIME_MESH_H

#include "engine/runtime/transport/transport.h"

enum { MT_MESH_SCAN_MAX = 16 };

typedef struct mt_mesh mt_mesh;

// Bytes of one ring, and of one part (a multiple of the page), for so many members. A node's total is at most about 64 MiB up
// to 32 members and 128 MiB up to 64.
size_t mt_mesh_ring_capacity(int members);
size_t mt_mesh_part_bytes(int members, size_t capacity);

typedef struct mt_mesh_desc {
    char *base;        // borrowed: (members, mt_mesh_part_bytes), zeroed at first, page aligned
    int member, members;
    const int *ranks;  // borrowed until open returns: (members), the transport's rank of each
    size_t capacity;   // of a ring
    int fenced;        // see doorbell.h; the same for all members
} mt_mesh_desc;

mt_status mt_mesh_create(const mt_mesh_desc *desc, mt_mesh **out);
void mt_mesh_watch(mt_mesh *mesh);   // when all members have been created and see each other's processes: looks after them
void mt_mesh_destroy(mt_mesh *mesh); // Nullable. The others find this member gone.

// As the operations of transport.h, with members in place of ranks (deliver gets ranks).
void mt_mesh_send(mt_mesh *mesh, int member, const mt_piece *pieces, int count);
int mt_mesh_poll(mt_mesh *mesh, mt_deliver_fn deliver, void *context, int budget);
int mt_mesh_pending(mt_mesh *mesh);
void mt_mesh_set_asleep(mt_mesh *mesh, int asleep);
void mt_mesh_sleep(mt_mesh *mesh, int64_t deadline_ns);
int mt_mesh_nap(mt_mesh *mesh, int64_t deadline_ns); // sleep for a moment; 1: somebody rang
void mt_mesh_ring(mt_mesh *mesh);
int mt_mesh_asleep(const mt_mesh *mesh); // nobody polls
int mt_mesh_alive(mt_mesh *mesh, int member);
size_t mt_mesh_queued_bytes(const mt_mesh *mesh);

#endif
