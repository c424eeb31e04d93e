// The simulator's network: takes messages at any moment and delivers them late, out of order, more than once, or, when their
// sender or receiver is gone, not at all. What it never does is lose a message between two ranks that live: a partition holds
// messages back and delivers them after it has healed.
#ifndef MANTA_TESTS_SIMULATOR_NETWORK_H
#define MANTA_TESTS_SIMULATOR_NETWORK_H

#include "engine/base/rng.h"
#include "engine/runtime/transport/transport.h"
#include "tests/simulator/queue.h"

// Deliberate mistakes, to see that the ledger notices them.
typedef enum mt_mutation {
    MT_MUTATE_NONE,
    MT_MUTATE_DROP_RELEASE,     // a RELEASE never arrives: its object stays for ever
    MT_MUTATE_TWICE,            // a CALL arrives twice under two numbers: its task runs twice
    MT_MUTATE_RELEASE_TWICE,    // what is adopted is released at once: objects go while they are held
    MT_MUTATE_LOSE_DONE,        // a DONE never arrives: its caller waits for ever
    MT_MUTATE_FREE_EARLY,       // memory of a large object is given away while it is read (mt_host)
    MT_MUTATIONS
} mt_mutation;

typedef struct mt_packet {
    int source, target, kind;
    int64_t sent_ns;
    size_t bytes;
    struct mt_packet *next;          // waiting for the receiver to have time
    _Alignas(16) char data[];
} mt_packet;

typedef struct mt_sim_network_desc {
    int size;
    const int *node_of;              // (size) borrowed
    uint64_t seed;
    double duplicates, strays;       // parts of all messages: come twice; take `stray_ns` instead
    int64_t near_ns, far_ns;         // within a host, between hosts; every link has its own, up to twice that
    int64_t jitter_ns, stray_ns;     // at most
    int slow_ranks;                  // so many ranks are thirty times slower
    int64_t service_ns;              // a rank's time for one message; 0: none
    int mutation;                    // mt_mutation
} mt_sim_network_desc;

typedef struct mt_inbox { mt_packet *first, *last; int64_t free_ns; int serving; } mt_inbox;

typedef struct mt_sim_network {
    mt_sim_network_desc desc;
    mt_queue *queue;                 // borrowed
    mt_rng rng;
    unsigned char *lost;             // owned (size): its process has ended
    int64_t *lost_ns;                // owned (size)
    unsigned char *side;             // owned (size): who is cut off from the others
    int64_t healed_ns;               // when
    mt_inbox *inbox;                 // owned (size); NULL without service_ns
    uint64_t sent, bytes, of_kind[64];
    int64_t mutate_at;               // the message of its kind that is changed; -1: done
    uint32_t *shift;                 // owned (size, size): by how much a link's numbers moved on; NULL without mutation
} mt_sim_network;

void mt_sim_network_init(mt_sim_network *network, const mt_sim_network_desc *desc, mt_queue *queue);
void mt_sim_network_fini(mt_sim_network *network);

void mt_sim_network_send(mt_sim_network *network, int64_t now_ns, int source, int target, const mt_piece *pieces, int count);
// A MESSAGE event is due: 1 when the receiver shall have it now (the caller frees it), 0 when the network keeps or drops it.
int mt_sim_network_arrive(mt_sim_network *network, int64_t now_ns, mt_packet *packet);
// A SERVED event is due: the message that comes next, or NULL.
mt_packet *mt_sim_network_served(mt_sim_network *network, int64_t now_ns, int rank);

void mt_sim_network_lose(mt_sim_network *network, int64_t now_ns, int rank);
// `side` (size): 1 for the ranks that are cut off until then.
void mt_sim_network_partition(mt_sim_network *network, const unsigned char *side, int64_t until_ns);

#endif
