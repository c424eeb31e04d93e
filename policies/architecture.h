// Which layers a policy's three networks have: the named architectures, and what a description adds to them.
#ifndef MANTA_POLICIES_ARCHITECTURE_H
#define MANTA_POLICIES_ARCHITECTURE_H

#include "policies/policy.h"

typedef struct mt_architecture {
    mt_network_desc trunk, pi, vf;   // a trunk of no layers: policy and value share nothing
} mt_architecture;

// head: outputs of the policy head. MT_CONFIG where the observation does not fit the extractor.
mt_status mt_architecture_make(const mt_policy_desc *desc, int head, mt_architecture *out);

#endif
