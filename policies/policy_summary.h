// What a policy is made of, for people: a line a layer, with its output's shape and its parameters.
#ifndef MANTA_POLICIES_POLICY_SUMMARY_H
#define MANTA_POLICIES_POLICY_SUMMARY_H

#include "engine/base/text.h"
#include "policies/policy.h"

void mt_policy_summary(const mt_policy *policy, mt_text *out);   // ask mt_text_status

#endif
