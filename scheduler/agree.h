// Agreement on failure: what one rank could not do, all ranks learn, so that all stop alike and nobody waits for the dead.
#ifndef MANTA_SCHEDULER_AGREE_H
#define MANTA_SCHEDULER_AGREE_H

#include "engine/collective/collective.h"

// Collective. Each rank gives its status (with the thread's last error); all return the first failure in rank order, whose
// message names the rank when there are several. MT_OK when all succeeded.
mt_status mt_agree(mt_comm *comm, mt_status status);

// Collective. Rank 0 did something the others wait for: they get its status and message, and `data` (bytes) from it.
mt_status mt_agree_on_root(mt_comm *comm, mt_status status, void *data, size_t bytes);

// Collective. MT_CONFIG on all ranks when `value` is not the same everywhere; `what` names it ("the options").
mt_status mt_agree_equal(mt_comm *comm, uint64_t value, const char *what);

#endif
