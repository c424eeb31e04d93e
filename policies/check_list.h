// The checks of plugins' policies, layers and losses, each run in a child process of its own (policy_check.c). They report with
// mt_check_say; a check that reports nothing for one of its promises has not looked.
#ifndef MANTA_POLICIES_CHECK_LIST_H
#define MANTA_POLICIES_CHECK_LIST_H

#include "policies/check_subject.h"

// Of a policy or a layer. `why` it refuses a case is said by the caller.
void mt_check_plan(mt_check_subject *subject);       // its plan and its first parameters: constant, and from the seed alone
void mt_check_contract(mt_check_subject *subject);   // what every call writes and leaves alone
void mt_check_compare(mt_check_subject *subject);    // one call against another: workspaces, outputs, sums, rows, steps, threads
void mt_check_gradient(mt_check_subject *subject);   // backward against finite differences of forward

// Of a loss.
typedef struct mt_check_loss {
    mt_check_session *session;
    const manta_loss_desc *desc;
    const mt_check_case *asked;
} mt_check_loss;
void mt_check_loss_contract(mt_check_loss *loss);
void mt_check_loss_gradient(mt_check_loss *loss);

// ---- finite differences (check_slope.c)

// f(context) must be a smooth function of the floats at x (count); g: its gradient as claimed. Says 0 where they agree; else 1, and
// *index (which value, or -1: along the whole), *claimed and *found. f is called some hundred times.
typedef struct mt_check_slope {
    double (*f)(void *context);
    void *context;
    float *x;
    const float *g;
    int64_t count;
    uint64_t seed;
    // what was found
    int64_t index;
    double claimed, found;
    int flat;                       // neither says that x matters
} mt_check_slope;
int mt_check_slope_wrong(mt_check_slope *slope);

#endif
