// The API: placement groups. A group is an object whose value says where its bundles are; the node keeps the records of groups, so
// that one which the user never removes is gone with the job. The caller's thread; a group may be used by several.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/runtime/api/context.h"

struct manta_placement {
    manta_placement *next;    // the node's list
    manta_ref ref;
    int count;
    _Atomic int32_t rank[];   // (count) -1 before it is placed
};

manta_ref mt_placement_ref(const manta_placement *placement) { return placement->ref; }
int mt_placement_count(const manta_placement *placement) { return placement->count; }

static int bundle_units(manta_context *c, const manta_bundle *bundle, int number, mt_resources *out) {
    memset(out, 0, sizeof *out);
    if (!(bundle->num_cpus >= 0) || !(bundle->num_gpus >= 0))
        return mt_context_fail(c, MANTA_INVALID, "bundle %d asks for %g CPUs and %g GPUs; give numbers from 0", number, bundle->num_cpus, bundle->num_gpus);
    mt_resources_ask(out, MT_RESOURCE_CPU, bundle->num_cpus);
    mt_resources_ask(out, MT_RESOURCE_GPU, bundle->num_gpus);
    mt_resources_ask(out, MT_RESOURCE_MEMORY, (double)bundle->memory);
    for (int i = 0; i < bundle->resource_count; i++) {
        const manta_resource *r = &bundle->resources[i];
        int k = mt_resource_number(c->node->desc.names, r->name);
        if (k < 0) return mt_context_fail(c, MANTA_INFEASIBLE, "bundle %d: no rank has the resource \"%.40s\"", number, r->name ? r->name : "(null)");
        if (!(r->amount >= 0)) return mt_context_fail(c, MANTA_INVALID, "bundle %d: resource \"%s\": %g cannot be asked for", number, r->name, r->amount);
        mt_resources_ask(out, k, r->amount);
    }
    double gpus = (double)out->amount[MT_RESOURCE_GPU] / MT_RESOURCE_UNIT;
    if (!mt_resource_gpus_whole(out->amount[MT_RESOURCE_GPU]))
        return mt_context_fail(c, MANTA_INVALID, "bundle %d asks for %g GPUs: above 1 devices are whole; ask for %g, or for at most 1", number, gpus, ceil(gpus));
    return mt_resources_zero(out) ? mt_context_fail(c, MANTA_INVALID, "bundle %d asks for nothing", number) : MANTA_OK;
}

static int bundles_units(manta_context *c, const manta_bundle *bundles, int count, manta_strategy strategy, mt_resources *out) {
    if (count < 1 || !bundles) return mt_context_fail(c, MANTA_INVALID, "a placement group has at least one bundle");
    if ((unsigned)strategy > MANTA_STRICT_SPREAD) return mt_context_fail(c, MANTA_INVALID, "%d is no placement strategy", (int)strategy);
    for (int i = 0; i < count; i++) {
        int code = bundle_units(c, &bundles[i], i, &out[i]);
        if (code != MANTA_OK) return code;
    }
    return MANTA_OK;
}

manta_placement *manta_placement_create(manta_context *c, const manta_bundle *bundles, int count, manta_strategy strategy) {
    mt_node *node = c->node;
    size_t n = count > 0 ? (size_t)count : 1;
    manta_placement *p = calloc(1, sizeof *p + n * sizeof *p->rank);
    mt_resources *units = calloc(n, sizeof *units);
    if (!p || !units) {
        free(units);
        free(p);
        mt_context_fail(c, MANTA_NO_MEMORY, "no memory for a placement group of %d bundles", count);
        return NULL;
    }
    p->count = count > 0 ? count : 0;
    for (int i = 0; i < p->count; i++) p->rank[i] = -1;
    int code = bundles_units(c, bundles, count, strategy, units);
    mt_node_enter(node);
    if (code == MANTA_OK) p->ref = mt_core_place_group(node->core, units, count, (int)strategy);
    else {
        mt_submit failed = {.call_kind = MT_CALL_TASK, .result_count = 1, .on_rank = -1, .bundle = -1, .failed_code = code, .failed_message = c->error};
        mt_core_submit(node->core, &failed, &p->ref);
    }
    p->next = node->placements;
    node->placements = p;
    mt_node_leave(node);
    free(units);
    return p;
}

int manta_placement_wait(manta_context *c, manta_placement *placement, double seconds) {
    manta_value value;
    int code = manta_get_within(c, placement->ref, seconds, &value);
    if (code != MANTA_OK) return code;
    if (value.bytes != (size_t)placement->count * sizeof(uint32_t))
        return mt_context_fail(c, MANTA_INTERNAL, "the placement group's value has %zu bytes for %d bundles", value.bytes, placement->count);
    for (int i = 0; i < placement->count; i++) placement->rank[i] = ((const int32_t *)value.data)[i];
    return MANTA_OK;
}

int manta_placement_rank(const manta_placement *placement, int bundle) {
    return bundle >= 0 && bundle < placement->count ? placement->rank[bundle] : -1;
}

void manta_placement_remove(manta_context *c, manta_placement *placement) {
    mt_node *node = c->node;
    if (!placement) return;
    mt_node_enter(node);
    mt_core_remove_group(node->core, placement->ref);
    mt_core_release(node->core, placement->ref);
    manta_placement **at = &node->placements;
    while (*at && *at != placement) at = &(*at)->next;
    if (*at) *at = placement->next;
    mt_node_leave(node);
    free(placement);
}

void mt_placements_free(manta_placement *first) {
    for (manta_placement *next; first; first = next) {
        next = first->next;
        free(first);
    }
}
