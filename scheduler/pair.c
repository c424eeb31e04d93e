// Who computes which net, and what the two ranks of a pair tell each other. The learner's thread.
//
// What it is for, measured on PPO CartPole-v1, 2x64 nets, minibatches of 64 rows, 2 ranks (Zen 4, medians of 94,000
// minibatches): whole gradients summed over both ranks and applied on both took 24.0 us a minibatch (gradient 18.2, sum 1.7,
// clip, Adam and packing 4.0); nets shared take 21.1 us (18.2, 1.2, 1.5). Rows, their order, parameters and moments went across in
// 70 us an iteration of 320 minibatches; now each rank reads the rows where their runner wrote them.
#include "scheduler/pair.h"

// products of a row: what a net costs
static int64_t weights_of(const mt_network *net) {
    int64_t count = 0;
    for (int i = 0; i < net->count; i++) count += mt_layer_products(net, i);
    return count;
}

// A trunk belongs to both nets; and none waits long for the other when they have about the same size, at most a tenth above
// their mean.
int mt_pair_balanced(const mt_policy *policy) {
    int64_t actor = weights_of(&policy->pi), critic = weights_of(&policy->vf), larger = actor > critic ? actor : critic;
    return !policy->undivided && policy->trunk.count == 0 && 20 * larger <= 11 * (actor + critic);
}

// On several nodes ranks of a pair might be on different ones, and rows would cross the network.
int mt_pair_pays(const mt_comm *comm, const mt_policy *policy) {
    return mt_comm_size(comm) % 2 == 0 && mt_comm_node_count(comm) == 1 && mt_pair_balanced(policy);
}

mt_status mt_pair_init(mt_pair *pair, mt_comm *comm, const mt_policy *policy) {
    *pair = (mt_pair){0};
    if (!mt_pair_pays(comm, policy)) return MT_OK;
    mt_comm_desc desc = {.timeout_ns = mt_comm_timeout_ns(comm)};
    int rank = mt_comm_rank(comm);
    MT_TRY(mt_comm_split(comm, rank / 2, rank, &desc, &pair->two));
    return mt_comm_split(comm, rank % 2, rank, &desc, &pair->column);
}

void mt_pair_fini(mt_pair *pair) {
    mt_comm_destroy(pair->column);
    mt_comm_destroy(pair->two);
    *pair = (mt_pair){0};
}

int mt_pair_parts(const mt_pair *pair) {
    if (!pair->two) return MT_POLICY_BOTH;
    return mt_comm_rank(pair->two) == 0 ? MT_POLICY_ACTOR : MT_POLICY_CRITIC;
}

mt_status mt_pair_send(const mt_pair *pair, int from, void *data, size_t bytes) {
    return pair->two && bytes > 0 ? mt_comm_broadcast(pair->two, data, bytes, from) : MT_OK;
}

mt_status mt_pair_add(const mt_pair *pair, double *sums, int count) {
    double all[2 * MT_PAIR_SUMS_MAX];
    if (!pair->two) return MT_OK;
    MT_ASSERT(count <= MT_PAIR_SUMS_MAX);
    MT_TRY(mt_comm_allgather(pair->two, sums, all, sizeof *sums * (size_t)count));
    for (int i = 0; i < count; i++) sums[i] = all[i] + all[count + i];
    return MT_OK;
}

mt_status mt_pair_complete(const mt_pair *pair, const mt_policy *policy, float *slab) {
    for (int from = 0; from < 2; from++) {
        mt_policy_range range = mt_policy_range_of(policy, from == 0 ? MT_POLICY_ACTOR : MT_POLICY_CRITIC);
        MT_TRY(mt_pair_send(pair, from, slab + range.first, sizeof *slab * (size_t)range.count));
    }
    return MT_OK;
}
