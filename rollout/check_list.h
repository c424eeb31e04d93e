// The checks, each run in a child process of its own (check.c). They report with check_say; a check that reports nothing
// for one of its promises has not looked.
#ifndef MANTA_ROLLOUT_CHECK_LIST_H
#define MANTA_ROLLOUT_CHECK_LIST_H

#include "rollout/check_probe.h"

void check_descriptor(check_session *session);     // struct sizes, names, options, spaces, create and destroy
void check_contract(check_session *session);       // what every reset and step writes
void check_reset_mask(check_session *session);     // rows that are not reset stay as they are
void check_reproducible(check_session *session);   // the same seed gives the same episode, another one does not
void check_rows(check_session *session);           // a row depends on its seed and actions alone
void check_instances(check_session *session);      // two instances at once, in one thread and in two
void check_snapshot(check_session *session);
void check_render(check_session *session);

#endif
