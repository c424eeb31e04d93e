// Who computes on which GPU. The comm's thread.
#include "engine/collective/gpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/collective/agree.h"

// One GPU has one place in one machine. A machine is known by the name of its kernel's boot, which containers on it share, and
// called by its own name.
typedef struct seat {
    char boot[40], host[64], place[MT_DEVICE_PLACE_BYTES], name[64];
    int gpu;
} seat;

static void take_seat(seat *s, const mt_device *device) {
    memset(s, 0, sizeof *s);
    FILE *boot = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (boot) {
        if (!fgets(s->boot, sizeof s->boot, boot)) s->boot[0] = 0;
        fclose(boot);
    }
    if (gethostname(s->host, sizeof s->host - 1) != 0) strcpy(s->host, "this machine");
    if (!s->boot[0]) snprintf(s->boot, sizeof s->boot, "%.39s", s->host);
    snprintf(s->place, sizeof s->place, "%s", device->place);
    snprintf(s->name, sizeof s->name, "%.63s", device->name);
    s->gpu = device->kind == MT_DEVICE_CUDA;
}

static int same_gpu(const seat *a, const seat *b) {
    return a->gpu && b->gpu && strcmp(a->boot, b->boot) == 0 && strcmp(a->place, b->place) == 0;
}

mt_status mt_gpu_meet(mt_comm *comm, mt_device *device, mt_gpu_meeting *out) {
    const int size = mt_comm_size(comm), rank = mt_comm_rank(comm);
    *out = (mt_gpu_meeting){.without = -1, .shared = {-1, -1}};
    seat *all = calloc((size_t)size, sizeof *all);
    mt_status status = mt_comm_agree(comm, all ? MT_OK : MT_FAIL(NO_MEMORY, "out of memory for the GPUs of %d ranks", size));
    if (status == MT_OK) {
        take_seat(&all[rank], device);
        status = mt_comm_allgather(comm, &all[rank], all, sizeof *all);
    }
    int sharers = 0;
    for (int a = 0; a < size && status == MT_OK; a++) {
        if (!all[a].gpu && out->without < 0) out->without = a;
        sharers += same_gpu(&all[a], &all[rank]);
        for (int b = a + 1; b < size && out->shared[0] < 0; b++)
            if (same_gpu(&all[a], &all[b])) {
                out->shared[0] = a, out->shared[1] = b;
                snprintf(out->where, sizeof out->where, "%s at %s of %s", all[a].name, all[a].place, all[a].host);
            }
    }
    if (sharers > device->sharers) { // more than were met before
        device->memory_bytes = device->memory_bytes * (uint64_t)device->sharers / (uint64_t)sharers;
        device->sharers = sharers;
    }
    free(all);
    return status;
}
