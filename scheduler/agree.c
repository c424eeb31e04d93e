// Agreement on failure. Rare: start-up, checkpoints, the end.
#include "scheduler/agree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct verdict {
    int32_t status;
    char message[500];
} verdict;

static verdict verdict_of(mt_status status) {
    verdict v = {.status = (int32_t)status};
    if (status != MT_OK) snprintf(v.message, sizeof v.message, "%.499s", mt_last_error());
    return v;
}

mt_status mt_agree(mt_comm *comm, mt_status status) {
    int ranks = mt_comm_size(comm);
    if (ranks == 1) return status;
    verdict mine = verdict_of(status), *all = calloc((size_t)ranks, sizeof *all);
    if (!all) return MT_FAIL(NO_MEMORY, "cannot allocate the verdicts of %d ranks", ranks);
    mt_status result = mt_comm_allgather(comm, &mine, all, sizeof mine);
    for (int r = 0; r < ranks && result == MT_OK; r++)
        if (all[r].status != MT_OK) {
            // the same failure everywhere is everybody's; one rank's own names the rank
            int alone = r > 0 || all[ranks - 1].status == MT_OK;
            result = alone ? mt_fail((mt_status)all[r].status, __FILE__, __LINE__, "rank %d: %s", r, all[r].message)
                           : mt_fail((mt_status)all[r].status, __FILE__, __LINE__, "%s", all[r].message);
        }
    free(all);
    return result;
}

mt_status mt_agree_on_root(mt_comm *comm, mt_status status, void *data, size_t bytes) {
    if (mt_comm_size(comm) == 1) return status;
    verdict v = verdict_of(status);
    MT_TRY(mt_comm_broadcast(comm, &v, sizeof v, 0));
    if (v.status != MT_OK)
        return mt_comm_rank(comm) == 0 ? status : mt_fail((mt_status)v.status, __FILE__, __LINE__, "%s", v.message);
    return bytes ? mt_comm_broadcast(comm, data, bytes, 0) : MT_OK;
}

mt_status mt_agree_equal(mt_comm *comm, uint64_t value, const char *what) {
    int ranks = mt_comm_size(comm), odd = 0;
    if (ranks == 1) return MT_OK;
    uint64_t *all = calloc((size_t)ranks, sizeof *all);
    if (!all) return MT_FAIL(NO_MEMORY, "cannot allocate the values of %d ranks", ranks);
    mt_status status = mt_comm_allgather(comm, &value, all, sizeof value);
    for (int r = 1; r < ranks && !odd; r++) odd = all[r] == all[0] ? 0 : r;
    free(all);
    if (status == MT_OK && odd)
        return MT_FAIL(CONFIG, "%s of rank %d are not those of rank 0; give every rank the same files and flags", what, odd);
    return status;
}
