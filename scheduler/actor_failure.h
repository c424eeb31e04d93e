// Why a method of an actor failed, as a status of this program: it travels in the failure's message, since the runtime's codes
// say no more than that the method failed by its own word.
//
//     EnvRunner.load: [CORRUPT] worker-00003.blob: ...
#ifndef MANTA_SCHEDULER_ACTOR_FAILURE_H
#define MANTA_SCHEDULER_ACTOR_FAILURE_H

#include "engine/runtime/manta_runtime.h"
#include "engine/base/status.h"

#include <stddef.h>

// Fails the running method: `return mt_actor_fail(c, status, mt_last_error());`.
int mt_actor_fail(manta_context *c, mt_status status, const char *message);

// The status that `message` carries, or `otherwise`. text: the message without it.
mt_status mt_actor_failure_read(const char *message, mt_status otherwise, char *text, size_t bytes);

#endif
