// Which layers a policy's three networks have: the named architectures, and what a description adds to them.
#ifndef MANTA_POLICIES_ARCHITECTURE_H
#define MANTA_POLICIES_ARCHITECTURE_H

#include "policies/policy.h"

// X(name, extractor, memory): the policies by name, as Stable-Baselines3 and sb3-contrib name them, and GRU forms beside
#define MT_POLICY_LIST(X)                                                                                              \
    X(MlpPolicy, FLATTEN, NONE) X(CnnPolicy, NATURE, NONE) X(ImpalaCnnPolicy, IMPALA, NONE)                            \
    X(MultiInputPolicy, NATURE, NONE)                                                                                  \
    X(MlpLstmPolicy, FLATTEN, LSTM) X(CnnLstmPolicy, NATURE, LSTM) X(ImpalaCnnLstmPolicy, IMPALA, LSTM)                \
    X(MultiInputLstmPolicy, NATURE, LSTM)                                                                              \
    X(MlpGruPolicy, FLATTEN, GRU) X(CnnGruPolicy, NATURE, GRU) X(ImpalaCnnGruPolicy, IMPALA, GRU)                      \
    X(MultiInputGruPolicy, NATURE, GRU)
typedef enum mt_policy_name {
#define MT_X(name, extractor, memory) MT_POLICY_##name,
    MT_POLICY_LIST(MT_X)
#undef MT_X
    MT_POLICY_NAMES
} mt_policy_name;
extern const char *const mt_policy_names[MT_POLICY_NAMES + 1];   // ends with NULL

int mt_policy_find(const char *name);   // mt_policy_name, upper and lower case alike; -1: none of manta's own

// Sets what the name says: the extractor and the kind of memory. After the inputs are known.
void mt_policy_named(mt_policy_name name, mt_policy_desc *desc);

typedef struct mt_architecture {
    mt_network_desc trunk, pi, vf;   // a trunk of no layers: policy and value share nothing
} mt_architecture;

// head: outputs of the policy head. MT_CONFIG where the observation does not fit the extractor.
mt_status mt_architecture_make(const mt_policy_desc *desc, int head, mt_architecture *out);

#endif
