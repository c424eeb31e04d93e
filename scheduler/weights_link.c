// The way of new weights from GPU to GPU. Called by the driver, and by the actors on their ranks.
#include "scheduler/weights_link.h"

#include "scheduler/agree.h"

#include <stdlib.h>

enum {
    LINK_TAG = 2,        // the learners' communicator has 1
    LINK_SCRATCH = 256   // a compute that runs no kernels
};

int mt_weights_link_wanted(const mt_rank_setup *s, int learner_rank, const int *runner_rank, int runners) {
    int apart = mt_devices_learn(&s->devices) && mt_devices_act(&s->devices);
    for (int r = 0; r < runners && apart; r++) {
        apart = runner_rank[r] != learner_rank;
        for (int k = 0; k < r && apart; k++) apart = runner_rank[k] != runner_rank[r];
    }
    return apart;
}

mt_status mt_weights_link_open(const mt_rank_setup *s, const uint32_t *ranks, int count, mt_compute **compute, mt_comm **comm) {
    const mt_compute_desc desc = {.device = mt_devices_learn(&s->devices), .cpu = s->kernels, .scratch_bytes = LINK_SCRATCH};
    int *list = malloc(sizeof *list * (size_t)count);
    if (!list) return MT_FAIL(NO_MEMORY, "cannot allocate a list of %d ranks", count);
    for (int i = 0; i < count; i++) list[i] = (int)ranks[i];
    mt_status status = mt_comm_group(s->world, list, count, LINK_TAG, NULL, comm);
    free(list);
    MT_TRY(status);
    MT_TRY(mt_agree(*comm, *compute ? MT_OK : mt_compute_open(&desc, compute)));
    return mt_compute_join(*compute, *comm, sizeof(float) * (size_t)s->policy->sizes.params);
}
