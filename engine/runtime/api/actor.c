// The API: finding and ending actors. The caller's thread.
#include <string.h>
#include "engine/runtime/api/context.h"

manta_actor manta_find_actor(manta_context *c, const char *name) {
    mt_node *node = c->node;
    manta_actor none = {0};
    if (!name || !*name || strlen(name) >= MT_ACTOR_NAME_BYTES) {
        mt_context_fail(c, MANTA_INVALID, "\"%.70s\" cannot be the name of an actor: it has 1 to %d letters", name ? name : "(null)",
            MT_ACTOR_NAME_BYTES - 1);
        return none;
    }
    mt_question q = {.bell = &c->bell};
    mt_bell_reset(&c->bell);
    mt_node_enter(node);
    mt_node_ask(node, &q);
    mt_core_find_name(node->core, name, q.number);
    if (!q.answered) mt_context_wait(c, mt_context_deadline(c, MANTA_DEFAULT_TIMEOUT));
    mt_node_ask_end(node, &q);
    int code = q.answered ? q.code : node->ending ? MANTA_SHUTDOWN : MANTA_DEADLINE;
    if (code == MANTA_OK) {
        mt_core_hold(node->core, q.actor.ref);
        mt_context_keep(c, q.actor.ref);
    }
    mt_node_leave(node);
    if (code == MANTA_OK) return q.actor;
    if (code == MANTA_NOT_FOUND) mt_context_fail(c, code, "there is no actor named \"%s\"; it has not been made, or it has ended", name);
    else mt_context_fail(c, code, "looking for the actor \"%s\": %s", name, code == MANTA_DEADLINE ? "the head did not answer in time" : manta_code_name(code));
    return none;
}

void manta_kill(manta_context *c, manta_actor actor) {
    if (!actor.ref.serial) return;
    mt_node_enter(c->node);
    mt_core_stop(c->node->core, actor.ref, 1);
    mt_node_leave(c->node);
}
