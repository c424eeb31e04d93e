// A plugin's loss. Made at start-up on one thread; the gradient is pure and runs on any.
#include "policies/plugin_loss.h"

#include "policies/policy_plugin.h"

#include <stdio.h>
#include <stdlib.h>

// what the kernels' add_loss_sums reads
_Static_assert(MANTA_LOSS_TOTAL == 0 && MANTA_LOSS_VALUE == 1 && MANTA_LOSS_ENTROPY == 2 && MANTA_LOSS_APPROX_KL == 3 &&
                   MANTA_LOSS_CLIPPED == 4,
    "in this order");
_Static_assert((int)MANTA_LOSS_SUMS == (int)MT_LOSS_SUMS, "and no more");

static mt_status make_instance(mt_plugin_loss *l, const manta_policy_option *options, int option_count) {
    char error[MANTA_ERROR_BYTES] = "", what[MT_PLUGIN_NAME_BYTES + 16];
    manta_loss_config config = {
        .struct_size = sizeof config, .action = &l->action, .option_count = (uint32_t)option_count, .options = options};
    snprintf(what, sizeof what, "loss %s", l->desc->name);
    MT_TRY(mt_plugin_check_options(what, l->desc->options, l->desc->option_count, options, (uint32_t)option_count));
    int code = l->desc->create(&config, &l->instance, error);
    error[MANTA_ERROR_BYTES - 1] = 0;
    if (code != 0) {
        l->instance = NULL;   // *out is NULL on failure, whatever it wrote
        return MT_FAIL(CONFIG, "%s: %s", what, error[0] ? error : "it refused, and gave no reason");
    }
    return l->instance ? MT_OK : MT_FAIL(PLUGIN, "%s: create returned 0 but left *out NULL", what);
}

mt_status mt_plugin_loss_create(const manta_loss_desc *desc, const mt_policy *policy, const manta_policy_option *options,
    int option_count, mt_plugin_loss **out) {
    *out = NULL;
    const mt_policy_desc *d = &policy->desc;
    int gaussian = d->distribution != MT_DIST_CATEGORICAL;
    mt_plugin_loss *l = calloc(1, sizeof *l);
    if (!l) return MT_FAIL(NO_MEMORY, "cannot allocate a plugin's loss");
    l->desc = desc;
    l->action = (manta_action_space){.struct_size = sizeof l->action,
        .kind = gaussian ? MANTA_ACTION_GAUSSIAN : MANTA_ACTION_CATEGORICAL,
        .components = (uint32_t)d->action,
        .nvec = gaussian ? NULL : d->nvec,
        .head = policy->head};
    mt_status status = make_instance(l, options, option_count);
    if (status != MT_OK) {
        mt_plugin_loss_destroy(l);
        return status;
    }
    *out = l;
    return MT_OK;
}

void mt_plugin_loss_destroy(mt_plugin_loss *l) {
    if (!l) return;
    if (l->instance) l->desc->destroy(l->instance);
    free(l);
}

void mt_plugin_loss_gradient(const mt_plugin_loss *l, const mt_kernels *k, manta_loss_batch batch) {
    mt_plugin_place place = mt_plugin_place_of(k);
    batch.struct_size = sizeof batch, batch.device = place.device, batch.stream = place.stream, batch.action = &l->action;
    mt_plugin_enter(k);
    l->desc->gradient(l->instance, &batch);
    mt_plugin_leave(k, "loss", l->desc->name);
}
