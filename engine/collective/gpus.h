// Who computes on which GPU: the ranks of a communicator tell each other, once, before they allocate or reduce anything there.
#ifndef MANTA_ENGINE_COLLECTIVE_GPUS_H
#define MANTA_ENGINE_COLLECTIVE_GPUS_H

#include "engine/collective/collective.h"
#include "engine/device/device.h"

typedef struct mt_gpu_meeting {
    int without;             // a rank that does not compute on a GPU; -1: all do
    int shared[2];           // the first two ranks that compute on the same GPU; -1, -1: each has its own
    char where[192];         // of those two: "NVIDIA H100 at 0000:3b:00 of node7"
} mt_gpu_meeting;

// Collective over comm. device: this rank's, of any kind; the number of ranks that compute on it, and this process's part of its
// memory, are set in it: of several meetings by that where most were met.
mt_status mt_gpu_meet(mt_comm *comm, mt_device *device, mt_gpu_meeting *out);

#endif
