// The learner's minibatches on a device (kernels/compute.h): a GPU, or in tests the CPU. Called by the learner's thread.
//
// What an update reads goes there once: the segments of this learner's workers, side by side as one segment, the order of its rows,
// and what changes from minibatch to minibatch. Then for each minibatch: gather, forward, loss, backward, one all-reduce of the
// gradient, clipping and Adam, packing; the host waits for nothing in between. Statistics stay there until the end. What
// comes back once is the parameters, sums and norms.
//
// The second update is captured as a graph and from then on launched as one, where the device and the way of the all-reduce
// allow it: arrays stay in place, minibatches have the same sizes in every update, and all numbers that change stand in memory of the
// device. With target_kl the host looks at every minibatch before it is applied, and a plugin's loss takes its numbers as
// arguments: then nothing is captured.
//
// With a parameter server that is learner 0's: it alone has Adam's moments. The others send it their gradients and get the parameters
// after each minibatch, and at the update's end what Adam says.
//
// A gradient that is not finite halts Adam on the device, for this update and all shares alike, since every rank adds the same sum,
// or hears of it.
#include "scheduler/learner_engine.h"

#include "engine/base/log.h"
#include "engine/device/budget.h"
#include "policies/policy_plugin.h"
#include "scheduler/agree.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    GRAPH_MINIBATCHES = 8192,   // of an update that is captured, at most: some forty to sixty nodes each
    MARK_EVERY = 16,            // minibatches from one sign of life to the next
    MEMORY_PART = 8             // of the device's memory that activations may take: longer minibatches go in pieces
};

// which fields of a segment an update reads; a new field needs its line here
enum {
    READS_obs = 1, READS_action = 1, READS_choice = 1, READS_mask = 1, READS_log_prob = 1, READS_start = 1, READS_state = 1,
    READS_reward = 0, READS_terminated = 0, READS_truncated = 0, READS_value = 1, READS_final_value = 0, READS_advantage = 1,
    READS_returns = 1
};

// What goes to the device or comes from it, in memory of one kind: the device's, or pinned memory of the host's.
typedef struct exchange {
    mt_segment segment;      // (T, N) of all environments here; of what has T + 1 steps the last is not there
    int32_t *index;          // (epochs, units here): minibatch after minibatch
    mt_ppo_scalars *scalars; // (epochs, minibatches)
    mt_adam_scalars *adam;   // (1)
    mt_ppo_stats *stats;     // (epochs, minibatches)
    float *norms;            // (epochs, minibatches)
    int64_t *number;         // (epochs, minibatches): 1, 2, 3, …
    float *param;            // (params)
} exchange;

typedef struct device_learner {
    mt_compute *compute;     // borrowed
    mt_device_arena arena;   // the device's memory
    mt_arena pinned;         // its plan; the block is pinned
    void *pinned_block;      // owned
    exchange device, host;
    mt_weights weights;
    float *m, *v, *grad;     // (params); m, v: where the optimiser is
    float *inbox;            // (params) on a parameter server: another's gradient
    mt_ppo_space space;
    int *first_env;          // owned (shares): of the worker, among those here
    int64_t envs, units;     // here
    int64_t count;           // minibatches of an update
    mt_graph *graph;         // owned. Nullable
    int64_t *done;           // pinned: the number of the last minibatch that is known to be done
    int updates;             // run so far
} device_learner;

static device_learner *own(const mt_learner *l) { return l->own; }

static int with_server(const mt_learner *l) { return l->desc.parameter_server && mt_comm_size(l->desc.comm) > 1; }
static int has_optimiser(const mt_learner *l) { return !with_server(l) || mt_comm_rank(l->desc.comm) == 0; }
static int64_t moments(const mt_learner *l) { return has_optimiser(l) ? l->desc.policy->sizes.params : 0; }

// ---- life

static void destroy(mt_learner *l) {
    device_learner *d = own(l);
    (void)mt_compute_wait(d->compute);
    mt_compute_graph_destroy(d->compute, d->graph);
    mt_device_arena_fini(&d->arena);
    mt_arena_fini(&d->pinned);
    mt_compute_pinned_free(d->compute, d->pinned_block);
    free(d->first_env);
    free(d);
}

static mt_status check_place(const mt_learner_desc *d) {
    const mt_kernels *k = d->compute->kernels;
    MT_TRY(mt_policy_check_place(d->policy, k));
    return d->loss ? mt_plugin_check_place(k, d->loss->desc->capabilities, "loss", d->loss->desc->name) : MT_OK;
}

static mt_status divide(mt_learner *l, int *first_worker, int *shares, int *before) {
    const mt_learner_desc *desc = &l->desc;
    device_learner *d = l->own = calloc(1, sizeof *d);
    MT_TRY(mt_agree(desc->comm, d ? MT_OK : MT_FAIL(NO_MEMORY, "cannot allocate a learner")));
    d->compute = desc->compute;
    d->arena.device = desc->compute->device;
    *shares = desc->local_workers, *before = 0;
    *first_worker = mt_comm_rank(desc->comm) * desc->local_workers;
    return mt_agree(desc->comm, check_place(desc));
}

static mt_status reserve(mt_learner *l, mt_arena *arena) {
    device_learner *d = own(l);
    (void)arena;
    d->first_env = calloc((size_t)l->rows.shares, sizeof *d->first_env);
    if (!d->first_env) return MT_FAIL(NO_MEMORY, "cannot allocate a learner of %d workers", l->rows.shares);
    for (int i = 0; i < l->rows.shares; i++) {
        d->first_env[i] = (int)d->envs;
        d->envs += l->rows.share[i].envs, d->units += l->rows.share[i].units;
    }
    d->count = l->desc.config.n_epochs * l->rows.minibatches;
    return MT_OK;
}

static int64_t steps_read(int64_t steps, int64_t rows) { return rows < steps ? rows : steps; }

static void register_exchange(mt_learner *l, exchange *t, mt_arena *arena) {
    const device_learner *d = own(l);
    mt_segment_shape shape = l->desc.shape, *s = &shape;
    shape.envs = d->envs;
    t->segment.shape = shape;
#define MT_X(field, type, rows, width)                                                                                                 \
    mt_arena_add(arena, (void **)&t->segment.field,                                                                                    \
        READS_##field ? mt_arena_bytes(sizeof(type), (size_t)(steps_read(s->steps, rows) * s->envs * (int64_t)(width))) : 0, "segment " #field);
    MT_SEGMENT_FIELDS(MT_X)
#undef MT_X
    MT_ARENA_ADD(arena, t->index, l->desc.config.n_epochs * d->units);
    MT_ARENA_ADD(arena, t->scalars, d->count);
    MT_ARENA_ADD(arena, t->adam, 1);
    MT_ARENA_ADD(arena, t->stats, d->count);
    MT_ARENA_ADD(arena, t->norms, d->count);
    MT_ARENA_ADD(arena, t->number, d->count);
}

// The rows that go through the network together: all of a minibatch, or as many as their activations have room.
static int64_t rows_at_once(const mt_learner *l, const mt_kernels *k) {
    const mt_learner_rows *r = &l->rows;
    mt_arena probe = {0};
    mt_ppo_space space;
    int64_t most = r->unit;
    for (int64_t b = 0; b < r->minibatches; b++) {
        int64_t rows = 0;
        for (int i = 0; i < r->shares; i++)
            rows += (mt_learner_rows_start(r, r->share[i].envs, b + 1) - mt_learner_rows_start(r, r->share[i].envs, b)) * r->unit;
        if (rows > most) most = rows;
    }
    mt_ppo_space_register(&space, l->desc.policy, k, &l->desc.shape, most, &probe);
    uint64_t bytes = probe.block_bytes, allowed = l->desc.compute->device->memory_bytes / MEMORY_PART;
    mt_arena_fini(&probe);
    if (bytes <= allowed || most <= r->unit) return most;
    int64_t fit = (int64_t)((double)most * ((double)allowed / (double)bytes)) / r->unit * r->unit;
    return fit < r->unit ? r->unit : fit;
}

// Everything on the device, by what it is for.
static void register_device(mt_learner *l, mt_device_budget *budget) {
    device_learner *d = own(l);
    const mt_policy *policy = l->desc.policy;
    const mt_kernels *k = d->compute->kernels;
    mt_arena *arena = mt_device_arena_plan(&d->arena);
    register_exchange(l, &d->device, arena);
    mt_device_budget_add(budget, "segments and their order", arena->block_bytes);
    size_t before = arena->block_bytes;
    mt_weights_register(&d->weights, policy, arena);
    MT_ARENA_ADD(arena, d->m, moments(l));
    MT_ARENA_ADD(arena, d->v, moments(l));
    MT_ARENA_ADD(arena, d->grad, policy->sizes.params);
    MT_ARENA_ADD(arena, d->inbox, with_server(l) ? moments(l) : 0);
    mt_device_budget_add(budget, "parameters, moments and gradient", arena->block_bytes - before);
    before = arena->block_bytes;
    mt_ppo_space_register(&d->space, policy, k, &l->desc.shape, rows_at_once(l, k), arena);
    mt_device_budget_add(budget, "activations", arena->block_bytes - before);
}

static mt_status tell_budget(const mt_learner *l, const mt_device_budget *budget) {
    mt_text text = {0};
    mt_status status = mt_device_budget_check(budget, l->desc.compute->device);
    if (status == MT_OK) status = mt_device_budget_print(budget, l->desc.compute->device, &text);
    if (status == MT_OK && mt_comm_rank(l->desc.comm) == 0) mt_log_info("learning on %s", mt_text_str(&text));
    mt_text_fini(&text);
    return status;
}

static mt_status take_memory(mt_learner *l) {
    device_learner *d = own(l);
    mt_device_budget budget = {0};
    register_device(l, &budget);
    MT_TRY(mt_arena_failed(&d->arena.plan));
    MT_TRY(tell_budget(l, &budget));
    MT_TRY(mt_device_arena_commit(&d->arena));
    register_exchange(l, &d->host, &d->pinned);
    MT_ARENA_ADD(&d->pinned, d->host.param, l->desc.policy->sizes.params);
    MT_ARENA_ADD(&d->pinned, d->done, 1);
    MT_TRY(mt_arena_failed(&d->pinned));
    MT_TRY(mt_compute_pinned_alloc(d->compute, d->pinned.block_bytes, &d->pinned_block));
    MT_TRY(mt_arena_place(&d->pinned, d->pinned_block));
    mt_compute_watch(d->compute, &(mt_progress){.count = d->done, .pulse = l->desc.pulse});
    for (int64_t p = 0; p < d->count; p++) d->host.number[p] = p + 1;
    return mt_compute_copy(d->compute, d->device.number, d->host.number, sizeof *d->host.number * (size_t)d->count);
}

static mt_status push(mt_learner *l) {
    device_learner *d = own(l);
    size_t bytes = sizeof(float) * (size_t)l->desc.policy->sizes.params, moment_bytes = sizeof(float) * (size_t)moments(l);
    MT_TRY(mt_compute_copy(d->compute, d->weights.param, l->weights.param, bytes));
    MT_TRY(mt_compute_copy(d->compute, d->m, l->m, moment_bytes));
    MT_TRY(mt_compute_copy(d->compute, d->v, l->v, moment_bytes));
    mt_compute_begin(d->compute);
    mt_weights_pack(&d->weights, l->desc.policy, d->compute->kernels, MT_POLICY_BOTH);
    MT_TRY(mt_compute_end(d->compute));
    return mt_compute_wait(d->compute);
}

static mt_status pull(mt_learner *l) {
    device_learner *d = own(l);
    size_t bytes = sizeof(float) * (size_t)moments(l);
    MT_TRY(mt_compute_copy(d->compute, l->m, d->m, bytes));
    MT_TRY(mt_compute_copy(d->compute, l->v, d->v, bytes));
    return mt_compute_wait(d->compute);
}

static float *param(const mt_learner *l) { return own(l)->weights.param; }
static int graphed(const mt_learner *l) { return own(l)->graph != NULL; }

static mt_status build(mt_learner *l) {
    device_learner *d = own(l);
    // who else computes on this device is known before its memory is shared out
    if (mt_comm_size(l->desc.comm) > 1)
        MT_TRY(mt_compute_join(d->compute, l->desc.comm, sizeof(float) * (size_t)l->desc.policy->sizes.params));
    MT_TRY(mt_agree(l->desc.comm, take_memory(l)));
    return mt_agree(l->desc.comm, push(l));
}

// ---- what goes to the device

typedef struct staging {
    const mt_learner *l;
    size_t field;            // its place in an mt_segment
    int64_t steps;
    size_t width;            // bytes of one row of one environment
    char *to;                // (steps, N, width) pinned
} staging;

// a worker's part of a field, step by step into that of all environments
static void stage_worker(void *context, int index, int thread) {
    (void)thread;
    const staging *s = context;
    const device_learner *d = own(s->l);
    const mt_learner_share *w = &s->l->rows.share[index];
    if (!w->rows) return;
    const char *from = *(const char *const *)(const void *)((const char *)w->segment + s->field);
    size_t row = s->width * (size_t)w->envs, stride = s->width * (size_t)d->envs;
    char *to = s->to + s->width * (size_t)d->first_env[index];
    if (row == stride) memcpy(to, from, row * (size_t)s->steps);
    else
        for (int64_t t = 0; t < s->steps; t++) memcpy(to + stride * (size_t)t, from + row * (size_t)t, row);
}

static mt_status upload_field(mt_learner *l, size_t field, int64_t steps, size_t width, void *host, void *device) {
    device_learner *d = own(l);
    if (!host) return MT_OK;
    staging s = {.l = l, .field = field, .steps = steps, .width = width, .to = host};
    mt_workers_run(l->desc.threads, stage_worker, &s, l->rows.shares);
    // goes while the next field is staged
    return mt_compute_copy(d->compute, device, host, width * (size_t)(steps * d->envs));
}

static mt_status upload_segments(mt_learner *l) {
    device_learner *d = own(l);
    const mt_segment_shape *s = &d->host.segment.shape;
#define MT_X(field, type, rows, width)                                                                                                 \
    if (READS_##field)                                                                                                                 \
        MT_TRY(upload_field(l, offsetof(mt_segment, field), steps_read(s->steps, rows), sizeof(type) * (size_t)(width),                \
            d->host.segment.field, d->device.segment.field));
    MT_SEGMENT_FIELDS(MT_X)
#undef MT_X
    return MT_OK;
}

// A worker's units of a minibatch as rows, or environments, of all here.
static int32_t *share_order(const mt_learner *l, int share, int epoch, int64_t b, int32_t *to) {
    const device_learner *d = own(l);
    const mt_learner_share *w = &l->rows.share[share];
    const int32_t *order = w->order + w->units * epoch;
    int32_t envs = w->envs, all = (int32_t)d->envs, first_env = d->first_env[share];
    int64_t first = mt_learner_rows_start(&l->rows, w->envs, b), end = mt_learner_rows_start(&l->rows, w->envs, b + 1);
    for (int64_t i = first; i < end; i++)
        *to++ = first_env + (l->rows.unit > 1 ? order[i] : order[i] / envs * all + order[i] % envs);
    return to;
}

static mt_status upload_order(mt_learner *l) {
    device_learner *d = own(l);
    int32_t *to = d->host.index;
    for (int e = 0; e < l->desc.config.n_epochs; e++)
        for (int64_t b = 0; b < l->rows.minibatches; b++)
            for (int i = 0; i < l->rows.shares; i++) to = share_order(l, i, e, b, to);
    MT_ASSERT(to - d->host.index == l->desc.config.n_epochs * d->units);
    return mt_compute_copy(d->compute, d->device.index, d->host.index, sizeof *to * (size_t)(to - d->host.index));
}

static mt_status upload(mt_learner *l, double learning_rate) {
    device_learner *d = own(l);
    MT_TRY(upload_segments(l));
    MT_TRY(upload_order(l));
    memcpy(d->host.scalars, l->rows.scalars, sizeof *d->host.scalars * (size_t)d->count);
    *d->host.adam = (mt_adam_scalars){.step = l->step, .lr = (float)learning_rate};
    MT_TRY(mt_compute_copy(d->compute, d->device.scalars, d->host.scalars, sizeof *d->host.scalars * (size_t)d->count));
    return mt_compute_copy(d->compute, d->device.adam, d->host.adam, sizeof *d->host.adam);
}

// ---- the minibatches

// Where a minibatch's units begin in the order of an epoch, of the workers here.
static int64_t first_unit(const mt_learner *l, int64_t b) {
    int64_t first = 0;
    for (int i = 0; i < l->rows.shares; i++) first += mt_learner_rows_start(&l->rows, l->rows.share[i].envs, b);
    return first;
}

static mt_status share_gradient(mt_learner *l) {
    device_learner *d = own(l);
    size_t params = (size_t)l->desc.policy->sizes.params;
    return with_server(l) ? mt_compute_reduce(d->compute, d->grad, params, d->inbox) : mt_compute_allreduce(d->compute, d->grad, params, MT_F32);
}

// the gradient of all ranks in d->grad where the optimiser is; sums over this rank's rows in its stats
static mt_status ask_gradient(mt_learner *l, int epoch, int64_t b) {
    device_learner *d = own(l);
    int64_t p = mt_learner_rows_number(&l->rows, epoch, b), first = first_unit(l, b);
    const mt_ppo_scalars *host = &l->rows.scalars[p];
    mt_ppo_share share = {
        .parts = MT_POLICY_BOTH, .segment = &d->device.segment, .index = d->device.index + d->units * epoch + first,
        .count = first_unit(l, b + 1) - first, .inv_rows = (float)(1.0 / (double)l->rows.whole[b]), .scalars = d->device.scalars + p,
        .host_scalars = host, .clips_value = host->clip_range_vf >= 0, .loss = l->desc.loss,
    };
    mt_compute_begin(d->compute);
    mt_ppo_gradient(l->desc.policy, d->compute->kernels, &d->weights, &share, &d->space, d->grad, d->device.stats + p);
    MT_TRY(mt_compute_end(d->compute));
    return share_gradient(l);
}

// An update may take minutes, in which the host only waits: so it sees that there is life (pulse.h, and the deadline of sums over ranks).
static mt_status mark_done(mt_learner *l, int64_t p) {
    device_learner *d = own(l);
    mt_pulse_beat(l->desc.pulse);   // where each operation is asked for when the one before is done
    return p % MARK_EVERY ? MT_OK : mt_compute_copy(d->compute, d->done, d->device.number + p, sizeof *d->done);
}

static mt_status ask_step(mt_learner *l, int64_t p) {
    device_learner *d = own(l);
    const mt_kernels *k = d->compute->kernels;
    mt_adam adam = {.count = l->desc.policy->sizes.params, .param = d->weights.param, .m = d->m, .v = d->v, .grad = d->grad, .beta1 = 0.9f,
        .beta2 = 0.999f, .eps = (float)l->desc.config.adam_eps, .weight_decay = (float)l->desc.config.weight_decay};
    mt_compute_begin(d->compute);
    if (has_optimiser(l)) k->adam_clipped(&adam, (float)l->desc.config.max_grad_norm, d->device.adam, d->device.norms + p);
    MT_TRY(mt_compute_end(d->compute));
    if (with_server(l)) MT_TRY(mt_compute_broadcast(d->compute, d->weights.param, sizeof(float) * (size_t)adam.count));
    mt_compute_begin(d->compute);
    mt_weights_pack(&d->weights, l->desc.policy, k, MT_POLICY_BOTH);
    MT_TRY(mt_compute_end(d->compute));
    return mark_done(l, p);
}

// what the optimiser says, once all steps are asked for
static mt_status share_outcome(mt_learner *l) {
    device_learner *d = own(l);
    if (!with_server(l)) return MT_OK;
    MT_TRY(mt_compute_broadcast(d->compute, d->device.adam, sizeof *d->device.adam));
    return mt_compute_broadcast(d->compute, d->device.norms, sizeof *d->device.norms * (size_t)d->count);
}

static mt_status clear_stats(mt_learner *l) {
    device_learner *d = own(l);
    mt_compute_begin(d->compute);
    d->compute->kernels->zero((int64_t)sizeof *d->device.stats * d->count, d->device.stats);
    return mt_compute_end(d->compute);
}

// All minibatches of an update, one after the other: what a graph holds.
static mt_status ask_update(void *context) {
    mt_learner *l = context;
    MT_TRY(clear_stats(l));
    for (int e = 0; e < l->desc.config.n_epochs; e++)
        for (int64_t b = 0; b < l->rows.minibatches; b++) {
            if (!l->rows.whole[b]) continue;   // uneven shares can leave a minibatch without rows
            MT_TRY(ask_gradient(l, e, b));
            MT_TRY(ask_step(l, mt_learner_rows_number(&l->rows, e, b)));
        }
    return share_outcome(l);
}

// On all learners or none: sums over ranks that some make in a graph and others do not, never meet.
static void capture(mt_learner *l) {
    device_learner *d = own(l);
    if (mt_agree(l->desc.comm, mt_compute_capture(d->compute, ask_update, l, &d->graph)) == MT_OK) return;
    if (mt_comm_rank(l->desc.comm) == 0) mt_log_warn("updates are not captured as a graph and take longer: %s", mt_last_error());
    mt_compute_graph_destroy(d->compute, d->graph);
    d->graph = NULL;
}

// The first update shows the libraries every shape; what is then captured allocates and chooses nothing.
static mt_status run_unwatched(mt_learner *l) {
    device_learner *d = own(l);
    int wanted = !l->desc.without_graph && !l->desc.loss && d->count <= GRAPH_MINIBATCHES && mt_compute_capturable(d->compute);
    if (wanted && d->updates == 1) capture(l);
    return d->graph ? mt_compute_launch(d->compute, d->graph) : ask_update(l);
}

// ---- what comes back

// stats of minibatches [first, first + count), and the rest once
static mt_status download(mt_learner *l, int64_t first, int64_t count) {
    device_learner *d = own(l);
    MT_TRY(mt_compute_copy(d->compute, d->host.stats + first, d->device.stats + first, sizeof *d->host.stats * (size_t)count));
    MT_TRY(mt_compute_copy(d->compute, d->host.norms + first, d->device.norms + first, sizeof *d->host.norms * (size_t)count));
    return mt_compute_copy(d->compute, d->host.adam, d->device.adam, sizeof *d->host.adam);
}

static void add_minibatch(const mt_learner *l, int epoch, int64_t b, mt_learner_report *report) {
    const device_learner *d = own(l);
    const mt_ppo_stats *s = &d->host.stats[mt_learner_rows_number(&l->rows, epoch, b)];
    mt_learner_add(l, epoch, b, &(mt_learner_sums){.policy_loss = s->policy_loss, .value_loss = s->value_loss, .entropy = s->entropy,
        .approx_kl = s->approx_kl, .clipped = s->clipped}, report);
}

static mt_status report_update(mt_learner *l, mt_learner_report *report) {
    device_learner *d = own(l);
    int64_t before_epoch = 0;
    size_t doubles = sizeof *d->host.stats / sizeof(double) * (size_t)d->count;
    MT_TRY(download(l, 0, d->count));
    MT_TRY(mt_compute_wait(d->compute));
    MT_TRY(mt_comm_allreduce(l->desc.comm, d->host.stats, d->host.stats, doubles, MT_F64, MT_REDUCE_SUM, MT_REDUCE_ORDERED));
    for (int e = 0; e < l->desc.config.n_epochs; e++) {
        mt_learner_begin_epoch(report, &before_epoch);
        for (int64_t b = 0; b < l->rows.minibatches; b++) {
            if (!l->rows.whole[b]) continue;
            add_minibatch(l, e, b, report);
            report->grad_norm += d->host.norms[mt_learner_rows_number(&l->rows, e, b)];
        }
    }
    mt_learner_end_epochs(report, before_epoch);
    return MT_OK;
}

// ---- with target_kl: a minibatch is applied once its divergence is known

static mt_status watch_minibatch(mt_learner *l, int epoch, int64_t b, mt_learner_report *report) {
    device_learner *d = own(l);
    int64_t p = mt_learner_rows_number(&l->rows, epoch, b);
    MT_TRY(ask_gradient(l, epoch, b));
    MT_TRY(mt_compute_allreduce(d->compute, d->device.stats + p, sizeof *d->device.stats / sizeof(double), MT_F64));
    MT_TRY(download(l, p, 1));
    MT_TRY(mt_compute_wait(d->compute));
    mt_pulse_beat(l->desc.pulse);
    add_minibatch(l, epoch, b, report);
    report->stopped_early = mt_learner_stops(l, b, d->host.stats[p].approx_kl);
    return report->stopped_early ? MT_OK : ask_step(l, p);
}

static mt_status run_watched(mt_learner *l, mt_learner_report *report) {
    device_learner *d = own(l);
    int64_t before_epoch = 0, last = 0;
    MT_TRY(clear_stats(l));
    for (int e = 0; e < l->desc.config.n_epochs && !report->stopped_early; e++) {
        mt_learner_begin_epoch(report, &before_epoch);
        for (int64_t b = 0; b < l->rows.minibatches && !report->stopped_early; b++) {
            if (l->rows.whole[b]) MT_TRY(watch_minibatch(l, e, b, report));
            last = mt_learner_rows_number(&l->rows, e, b) + 1;
        }
    }
    MT_TRY(share_outcome(l));
    MT_TRY(download(l, 0, last));
    MT_TRY(mt_compute_wait(d->compute));
    for (int64_t p = 0; p < last - report->stopped_early; p++)
        if (l->rows.whole[p % l->rows.minibatches]) report->grad_norm += d->host.norms[p];
    mt_learner_end_epochs(report, before_epoch);
    return MT_OK;
}

// ---- an update

static mt_status take_parameters(mt_learner *l) {
    device_learner *d = own(l);
    size_t bytes = sizeof(float) * (size_t)l->desc.policy->sizes.params;
    MT_TRY(mt_compute_copy(d->compute, d->host.param, d->weights.param, bytes));
    MT_TRY(mt_compute_wait(d->compute));
    memcpy(l->weights.param, d->host.param, bytes);
    mt_weights_pack(&l->weights, l->desc.policy, l->desc.kernels, MT_POLICY_BOTH);
    l->weights.version += (uint64_t)(d->host.adam->step - l->step);
    l->step = d->host.adam->step;
    return MT_OK;
}

static mt_status run(mt_learner *l, mt_learner_report *report) {
    device_learner *d = own(l);
    report->allreduce_seconds = NAN;   // they run between kernels, where no clock of the host's is looked at
    MT_TRY(upload(l, report->learning_rate));
    if (l->desc.config.target_kl > 0) {
        MT_TRY(run_watched(l, report));
    } else {
        MT_TRY(run_unwatched(l));
        MT_TRY(report_update(l, report));
    }
    d->updates++;
    mt_pulse_beat(l->desc.pulse);
    MT_TRY(take_parameters(l));
    return d->host.adam->halted ? mt_learner_not_finite(l->step) : MT_OK;
}

const mt_learner_engine mt_learner_on_device = {
    .divide = divide,
    .reserve = reserve,
    .build = build,
    .destroy = destroy,
    .run = run,
    .pull = pull,
    .push = push,
    .param = param,
    .graphed = graphed,
};
