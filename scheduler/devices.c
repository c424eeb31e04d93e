// Which devices a rank computes on. At start-up, one thread, all ranks alike.
#include "scheduler/devices.h"

#include "engine/base/log.h"
#include "policies/policy_plugin.h"
#include "scheduler/agree.h"

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

static int acting_pays(const mt_train_config *t, const mt_ppo_config *p, const mt_policy *policy, int ranks, int threads) {
    int64_t groups = (int64_t)(t->num_env_runners ? t->num_env_runners : ranks) * at_least_one(threads) * MT_ROLLOUT_GROUPS;
    return mt_policy_products(policy) * (p->n_envs / groups) >= ACTING_PAYS;
}

// What is wished for: learning and acting on a GPU, and whether it must be there.
typedef struct wish {
    int learns, acts, must;
    const char *spec;
} wish;

static wish wish_of(const mt_train_config *t, const mt_ppo_config *p, const mt_policy *policy, const mt_plugin_loss *loss, int ranks,
    int threads) {
    int chosen = strcmp(t->device, "auto") == 0, cpu = strcmp(t->device, "cpu") == 0, fits = fits_gpu(policy, loss);
    wish w = {.spec = chosen || cpu ? "cuda" : t->device};
    w.learns = chosen ? fits && learning_pays(t, p, policy, ranks) : !cpu;
    if (t->rollout_device == MT_ROLLOUT_AUTO) w.acts = !cpu && fits && acting_pays(t, p, policy, ranks, threads);
    else w.acts = t->rollout_device == MT_ROLLOUT_CUDA;
    w.must = (!chosen && !cpu) || t->rollout_device == MT_ROLLOUT_CUDA;
    return w;
}

// Everybody has one or nobody. Where it must be there, whoever has none says why.
static mt_status open_gpu(mt_devices *d, mt_comm *comm, const wish *w) {
    mt_status status = mt_device_open_for_rank(w->must ? w->spec : "auto", mt_comm_node_rank(comm), mt_comm_node_size(comm), &d->gpu);
    MT_TRY(mt_agree(comm, status));
    int64_t all = d->gpu->kind != MT_DEVICE_CPU;
    MT_TRY(mt_comm_allreduce(comm, &all, &all, 1, MT_I64, MT_REDUCE_MIN, 0));
    if (all) return MT_OK;
    mt_device_close(d->gpu);
    d->gpu = NULL;
    return MT_OK;
}

mt_status mt_devices_open(mt_devices *d, mt_comm *comm, const mt_train_config *train, const mt_ppo_config *ppo, const mt_policy *policy,
    const mt_plugin_loss *loss, int threads) {
    *d = (mt_devices){0};
    wish w = wish_of(train, ppo, policy, loss, mt_comm_size(comm), threads);
    MT_TRY(mt_agree(comm, mt_device_open("cpu", &d->cpu)));
    if (!w.learns && !w.acts) return MT_OK;
    MT_TRY(open_gpu(d, comm, &w));
    d->learns = d->gpu && w.learns, d->acts = d->gpu && w.acts;
    if (d->gpu && mt_comm_rank(comm) == 0)
        mt_log_info("%s: %s%s%s", d->gpu->name, d->learns ? "learners" : "", d->learns && d->acts ? " and " : "",
            d->acts ? "the policy of rollouts" : "");
    return MT_OK;
}

void mt_devices_close(mt_devices *d) {
    mt_device_close(d->gpu);
    mt_device_close(d->cpu);
    *d = (mt_devices){0};
}
