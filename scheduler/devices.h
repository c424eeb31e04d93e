// Where a rank's learner and its rollouts compute: --device, --rollout-device and --precision, and what `auto` makes of them.
//
// auto is the CPU where the network is small: a GPU takes some microseconds to begin each of the dozens of kernels of a minibatch,
// and a rollout waits for a way there and back in every step, in which a core has done the arithmetic of a small network. From how
// many multiplications on a GPU is asked for, are orders of magnitude and no measurement. With --deterministic, whose bits do not
// depend on the number of ranks, it is the CPU.
#ifndef MANTA_SCHEDULER_DEVICES_H
#define MANTA_SCHEDULER_DEVICES_H

#include "engine/collective/collective.h"
#include "engine/device/device.h"
#include "policies/plugin_loss.h"
#include "scheduler/config.h"

typedef struct mt_devices {
    mt_device *cpu, *gpu;       // owned; gpu: NULL where nothing computes there
    int learns, acts;           // 1: there
} mt_devices;

// What is wished for, by the options and by what `auto` makes of them. A pure function. loss: Nullable. threads: of each rank.
typedef struct mt_devices_choice {
    int learns, acts;           // 1: on a GPU
    int must;                   // 1: it is an error when there is none
    const char *spec;           // borrowed: mt_device_open's
} mt_devices_choice;
mt_devices_choice mt_devices_choose(const mt_train_config *train, const mt_ppo_config *ppo, const mt_policy *policy,
    const mt_plugin_loss *loss, int ranks, int threads);

// Collective over comm, all ranks alike: where one has no GPU, none computes there, or with an explicit `cuda` that rank's reason is
// all ranks' failure.
mt_status mt_devices_open(mt_devices *devices, mt_comm *comm, const mt_train_config *train, const mt_ppo_config *ppo,
    const mt_policy *policy, const mt_plugin_loss *loss, int threads);
void mt_devices_close(mt_devices *devices);   // also of one that is all zeros

static inline mt_device *mt_devices_learn(const mt_devices *d) { return d->learns ? d->gpu : NULL; }   // NULL: the CPU
static inline mt_device *mt_devices_act(const mt_devices *d) { return d->acts ? d->gpu : NULL; }

enum { MT_ROLLOUT_GROUPS = 2 };   // workers of a thread that acts on a device: one's environments step while it computes for the other

#endif
