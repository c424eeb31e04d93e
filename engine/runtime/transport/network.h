// Network: messages to and from ranks on other nodes, over MPI point-to-point on a communicator of its own. The half of the
// `job` transport that a job of one node does not have.
//
// Sending. A message is appended to its peer's outbox (outbox.h); a chunk of an outbox is one MPI message. It leaves at once
// when it is the first for a while, when it is large, or when nobody of this rank polls. Otherwise it waits for the next poll,
// for at most BATCH_NS, and whatever is sent to the peer until then travels with it. At most so many chunks are with MPI, per
// peer and in all; more messages only make the waiting chunks fuller.
//
// Receiving. A matched probe (MPI_Improbe) takes messages in the order of sending, a non-blocking receive fetches each into a
// chunk. Chunks are delivered as they come in, but never before an older one from the same rank.
//
// Every MPI call is made under mt_mpi_lock(), for that call alone; nothing waits. Lock order: network.lock, mt_mpi_lock.
#ifndef MANTA_ENGINE_RUNTIME_NETWORK_H
#define MANTA_ENGINE_RUNTIME_NETWORK_H

#include <mpi.h>
#include "engine/runtime/transport/transport.h"

typedef struct mt_network mt_network;

// Collective over `all` (duplicated). near: (size), 1 for ranks that are reached otherwise.
mt_status mt_network_create(MPI_Comm all, const char *near, mt_network **out);
void mt_network_destroy(mt_network *network); // Nullable. Gives what is on its way a moment, then leaves it to MPI.

// polled: somebody of this rank polls, or will before it sleeps.
void mt_network_send(mt_network *network, int rank, const mt_piece *pieces, int count, int polled);
int mt_network_poll(mt_network *network, mt_deliver_fn deliver, void *context, int budget);
int mt_network_pending(mt_network *network); // asks MPI now and then; any thread
int mt_network_probe(mt_network *network);   // asks MPI
int mt_network_receiving(const mt_network *network); // a message is coming in, in the hands of poll
int mt_network_alive(const mt_network *network, int rank); // 0: MPI has refused to send to it
size_t mt_network_queued_bytes(const mt_network *network);

#endif
