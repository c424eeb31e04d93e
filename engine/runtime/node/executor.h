// An executor thread, as the files of the node see it.
#ifndef MANTA_ENGINE_RUNTIME_EXECUTOR_H
#define MANTA_ENGINE_RUNTIME_EXECUTOR_H

#include "engine/runtime/node/node.h"

struct mt_executor {
    mt_bell bell;
    mt_node *node;             // borrowed
    // under the lock while it is idle; its own afterwards
    mt_run *run;               // given to it
    mt_actor_state *dead;      // or this
    mt_executor *next, **previous;   // idle list; previous NULL: not on it
    mt_executor *all_next;
    manta_context *context;    // owned
    pthread_t thread;
    int number;                // from 1
};

#endif
