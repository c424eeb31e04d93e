// Two ranks of a node share the two nets of a policy: of all rows of both ranks' workers, rank 2i computes the actor's
// gradient and rank 2i + 1 the critic's. Separate nets meet in nothing but the gradient's norm and the statistics, so a
// minibatch costs a pair one exchange of a few numbers where summing whole gradients moves every parameter, and each rank
// clips, steps and packs one net in place of two. The order of the rows goes across once an iteration, the parameters back once; both read the rows where they lie.
//
// The comm's thread only. Every call is made by both ranks of a pair in the same order; without a pair nothing happens.
#ifndef MANTA_SCHEDULER_PAIR_H
#define MANTA_SCHEDULER_PAIR_H

#include "engine/collective/collective.h"
#include "policies/policy.h"

typedef struct mt_pair {
    mt_comm *two;      // owned: rank 0 is the actor's, 1 the critic's. NULL: this rank computes both nets of its own workers
    mt_comm *column;   // owned: the ranks that compute the same net, in the order of their workers. NULL without a pair
} mt_pair;

// Whether the nets can be shared and take about the same time. Two threads of a rank share them, too (learner.c).
int mt_pair_balanced(const mt_policy *policy);

// Whether sharing the nets pays for these ranks (pair.c says when): the same answer on all of them.
int mt_pair_pays(const mt_comm *comm, const mt_policy *policy);

// Collective over `comm`. Leaves *pair empty where sharing the nets does not pay.
mt_status mt_pair_init(mt_pair *pair, mt_comm *comm, const mt_policy *policy);
void mt_pair_fini(mt_pair *pair);

int mt_pair_parts(const mt_pair *pair);   // what this rank computes: MT_POLICY_ACTOR, MT_POLICY_CRITIC, or both

// From rank `from` of the pair to the other.
mt_status mt_pair_send(const mt_pair *pair, int from, void *data, size_t bytes);

// sums (count ≤ MT_PAIR_SUMS_MAX): the actor's + the critic's.
enum { MT_PAIR_SUMS_MAX = 8 };
mt_status mt_pair_add(const mt_pair *pair, double *sums, int count);

// Makes `slab`, of which each rank has its net's parameters, whole on both.
mt_status mt_pair_complete(const mt_pair *pair, const mt_policy *policy, float *slab);

#endif
