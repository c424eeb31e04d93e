// Which devices a rank computes on. At start-up, one thread, all ranks alike.
#include "scheduler/devices.h"

#include "engine/base/log.h"
#include "engine/collective/gpus.h"
#include "policies/policy_plugin.h"
#include "scheduler/agree.h"
#include "scheduler/layout.h"

#include <string.h>

// From so many multiplications on `auto` asks for a GPU: of a minibatch of one learner (some 40 kernels, forward and backward), and
// of a step of a group of environments (a way there and back). A core makes some 10^11 a second.
#define LEARNING_PAYS ((int64_t)1 << 24)
#define ACTING_PAYS ((int64_t)1 << 23)

static int at_least_one(int n) { return n > 1 ? n : 1; }

// whether everything of plugins in it works on a GPU
static int fits_gpu(const mt_policy *policy, const mt_plugin_loss *loss) {
    static const mt_kernels gpu = {.on_cuda = 1};
    return mt_policy_check_place(policy, &gpu) == MT_OK &&
        (!loss || mt_plugin_check_place(&gpu, loss->desc->capabilities, "loss", loss->desc->name) == MT_OK);
}

static int learning_pays(const mt_train_config *t, const mt_ppo_config *p, const mt_policy *policy, int ranks) {
    int64_t rows = p->learner.batch_size / (t->num_learners ? t->num_learners : ranks);
    return 3 * mt_policy_products(policy) * rows >= LEARNING_PAYS;
}

// by the environments that step together in the layout that there would be
static int acting_pays(const mt_train_config *t, const mt_ppo_config *p, const mt_policy *policy, int ranks, int threads) {
    mt_layout layout;
    if (mt_layout_init(&layout, t, p, ranks, threads * MT_ROLLOUT_GROUPS) != MT_OK) return 0;   // told when it is made
    return mt_policy_products(policy) * at_least_one(layout.envs / layout.workers) >= ACTING_PAYS;
}

mt_devices_choice mt_devices_choose(const mt_train_config *t, const mt_ppo_config *p, const mt_policy *policy, const mt_plugin_loss *loss,
    int ranks, int threads) {
    const int chosen = strcmp(t->device, "auto") == 0, cpu = strcmp(t->device, "cpu") == 0;
    const int fits = fits_gpu(policy, loss), may = fits && !t->deterministic;
    mt_devices_choice c = {.spec = chosen || cpu ? "cuda" : t->device};
    c.learns = chosen ? may && learning_pays(t, p, policy, ranks) : !cpu;
    if (t->rollout_device == MT_ROLLOUT_AUTO) c.acts = !cpu && may && acting_pays(t, p, policy, ranks, threads);
    else c.acts = t->rollout_device == MT_ROLLOUT_CUDA;
    c.must = (!chosen && !cpu) || t->rollout_device == MT_ROLLOUT_CUDA;
    return c;
}

// Everybody has one or nobody. Where it must be there, whoever has none says why.
static mt_status open_gpu(mt_devices *d, mt_comm *comm, const mt_devices_choice *w) {
    mt_status status = mt_device_open_for_rank(w->must ? w->spec : "auto", mt_comm_node_rank(comm), mt_comm_node_size(comm), &d->gpu);
    MT_TRY(mt_agree(comm, status));
    int64_t all = d->gpu->kind != MT_DEVICE_CPU;
    MT_TRY(mt_comm_allreduce(comm, &all, &all, 1, MT_I64, MT_REDUCE_MIN, 0));
    if (all) return MT_OK;
    mt_device_close(d->gpu);
    d->gpu = NULL;
    return MT_OK;
}

// What a user may have expected otherwise.
static void tell(const mt_devices *d, const mt_train_config *t) {
    if (d->gpu)
        mt_log_info("%s: %s%s%s", d->gpu->name, d->learns ? "learners" : "", d->learns && d->acts ? " and " : "",
            d->acts ? "the policy of rollouts" : "");
    if (d->gpu && t->deterministic)
        mt_log_warn("--deterministic with a GPU: reruns on the same ranks give the same bits, other numbers of ranks do not (docs/gpu.md)");
    if (!d->gpu && t->precision != MT_PRECISION_FP32) mt_log_warn("precision is for a GPU; this run computes on the CPU, in fp32");
}

mt_status mt_devices_open(mt_devices *d, mt_comm *comm, const mt_train_config *train, const mt_ppo_config *ppo, const mt_policy *policy,
    const mt_plugin_loss *loss, int threads) {
    *d = (mt_devices){0};
    mt_devices_choice c = mt_devices_choose(train, ppo, policy, loss, mt_comm_size(comm), threads);
    MT_TRY(mt_agree(comm, mt_device_open("cpu", &d->cpu)));
    if (c.learns || c.acts) {
        mt_status status = open_gpu(d, comm, &c);
        if (status != MT_OK && !c.learns) return mt_fail_context(status, "rollout_device cuda: ");
        MT_TRY(status);
    }
    d->learns = d->gpu && c.learns, d->acts = d->gpu && c.acts;
    // rollouts take their memory before learners meet: how many ranks share a GPU is known by then
    mt_gpu_meeting meeting;
    if (d->acts) MT_TRY(mt_gpu_meet(comm, d->gpu, &meeting));
    if (mt_comm_rank(comm) == 0) tell(d, train);
    return MT_OK;
}

void mt_devices_close(mt_devices *d) {
    mt_device_close(d->gpu);
    mt_device_close(d->cpu);
    *d = (mt_devices){0};
}
