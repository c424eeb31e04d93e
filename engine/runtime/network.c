// Not there yet: a job of one node does not need it.
#include "engine/runtime/network.h"

mt_status mt_network_create(MPI_Comm all, const char *near, mt_network **out) {
    (void)all, (void)near;
    *out = NULL;
    return MT_FAIL(UNSUPPORTED, "transport between nodes: not built yet");
}
void mt_network_destroy(mt_network *network) { (void)network; }
void mt_network_send(mt_network *network, int rank, const mt_piece *pieces, int count, int polled) {
    (void)network, (void)rank, (void)pieces, (void)count, (void)polled;
}
int mt_network_poll(mt_network *network, mt_deliver_fn deliver, void *context, int budget) {
    (void)network, (void)deliver, (void)context, (void)budget;
    return 0;
}
int mt_network_pending(mt_network *network) { return network != NULL; }
int mt_network_probe(mt_network *network) { return network != NULL; }
int mt_network_alive(const mt_network *network, int rank) { return network != NULL && rank >= 0; }
size_t mt_network_queued_bytes(const mt_network *network) { return network != NULL; }
