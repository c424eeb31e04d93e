// Acting on a device; see device_actor.h. Two blocks of the same plan, one of the device's memory and one pinned, hold what travels:
// what goes there first, what comes back behind it, so that each way is one copy.
#include "rollout/device_actor.h"

#include "engine/base/log.h"
#include "engine/device/device_arena.h"

#include <stdlib.h>
#include <string.h>

enum {
    SCRATCH_BYTES = 16 << 20     // of its kernels: forward passes alone
};

struct mt_device_actor {
    mt_device_actor_desc desc;
    mt_compute *compute;         // owned
    mt_device_arena arena;       // the device's memory
    mt_arena pinned;             // its plan; the block is pinned
    void *pinned_block;          // owned
    mt_device_actor_io here, there;
    size_t in_bytes, out_bytes;  // of a step: where `in` ends and `out` begins, and how long it is
    size_t row_at, row_bytes;    // with envs: of what a step leaves, the next observation and `out`
    mt_classic_step envs;        // their arrays there. envs: 0 without
    int64_t *time;               // (1) there: rows put down so far
    char *rows_there, *rows_here;   // (T, row_bytes) there; owned, pinned
    mt_actor actor;
    mt_graph *graph;             // owned. Nullable
    int asked;                   // steps so far
};

// ---- life

static void register_ends(mt_device_actor *a, mt_device_actor_io *io, mt_arena *arena) {
    const mt_policy *p = a->desc.policy;
    int64_t n = a->desc.rows;
    MT_ARENA_ADD(arena, io->reward, n);
    MT_ARENA_ADD(arena, io->terminated, n);
    MT_ARENA_ADD(arena, io->truncated, n);
    MT_ARENA_ADD(arena, io->bad, n);
    MT_ARENA_ADD(arena, io->final_obs, n * p->desc.obs);
    MT_ARENA_ADD(arena, io->final_value, p->recurrent ? n : 0);
}

// in, then out, then what is asked for now and then
static void register_io(mt_device_actor *a, mt_device_actor_io *io, mt_arena *arena) {
    const mt_policy *p = a->desc.policy;
    int64_t n = a->desc.rows, box = p->desc.distribution != MT_DIST_CATEGORICAL;
    MT_ARENA_ADD(arena, io->mask, a->desc.masked ? n * p->head : 0);
    MT_ARENA_ADD(arena, io->start, p->recurrent ? n : 0);
    MT_ARENA_ADD(arena, io->step, 1);
    a->row_at = arena->block_bytes;
    MT_ARENA_ADD(arena, io->obs, n * p->desc.obs);
    a->in_bytes = arena->block_bytes;
    MT_ARENA_ADD(arena, io->action, box ? n * p->desc.action : 0);
    MT_ARENA_ADD(arena, io->choice, box ? 0 : n * p->desc.action);
    MT_ARENA_ADD(arena, io->log_prob, n);
    MT_ARENA_ADD(arena, io->value, n);
    if (a->desc.envs) register_ends(a, io, arena);
    a->out_bytes = arena->block_bytes - a->in_bytes;
    a->row_bytes = arena->block_bytes - a->row_at;
    MT_ARENA_ADD(arena, io->cut_obs, n * p->desc.obs);
    MT_ARENA_ADD(arena, io->cut, n);
    MT_ARENA_ADD(arena, io->cut_value, n);
}

// what the environments have there beside what travels
static void register_envs(mt_device_actor *a, mt_arena *arena) {
    if (!a->desc.envs) return;
    a->envs.of = *a->desc.envs;
    mt_arena_add(arena, &a->envs.records, (size_t)(mt_classic_record_bytes(a->envs.of.kind) * a->desc.rows), "environments");
    MT_ARENA_ADD(arena, a->envs.ended, a->desc.rows);
    MT_ARENA_ADD(arena, a->time, 1);
    MT_ARENA_ADD(arena, a->rows_there, mt_arena_bytes(a->row_bytes, (size_t)a->desc.steps));
}

static mt_status place_envs(mt_device_actor *a) {
    const mt_device_actor_io *there = &a->there;
    mt_classic_step *e = &a->envs;
    if (!a->desc.envs) return MT_OK;
    e->envs = a->desc.rows;
    e->choice = there->choice, e->action = there->action, e->obs = there->obs, e->final_obs = there->final_obs, e->reward = there->reward;
    e->terminated = there->terminated, e->truncated = there->truncated, e->bad = there->bad;
    return mt_compute_pinned_alloc(a->compute, a->row_bytes * (size_t)a->desc.steps, (void **)&a->rows_here);
}

// All rows go through the network together, or as many as there is room for; by fours, so that every piece is aligned.
static int64_t rows_at_once(const mt_device_actor *a) {
    mt_arena probe = {0};
    mt_policy_space space;
    int64_t rows = a->desc.rows;
    mt_policy_space_register(&space, a->desc.policy, a->compute->kernels, rows, 0, &probe);
    double fits = (double)(a->desc.device->memory_bytes / mt_device_actor_part(a->desc.actors)) / (double)(probe.block_bytes + 1);
    mt_arena_fini(&probe);
    if (fits >= 1) return rows;
    int64_t part = (int64_t)((double)rows * fits) / 4 * 4;
    return part < 4 ? (rows < 4 ? rows : 4) : part;
}

static mt_status build(mt_device_actor *a) {
    const mt_device_actor_desc *d = &a->desc;
    MT_TRY(mt_compute_open(&(mt_compute_desc){.device = d->device, .cpu = d->cpu, .precision = d->precision, .scratch_bytes = SCRATCH_BYTES,
        .largest_array = mt_policy_largest_tensor(d->policy)},
        &a->compute));
    MT_TRY(mt_policy_check_place(d->policy, a->compute->kernels));
    a->arena.device = d->device;
    mt_arena *there = mt_device_arena_plan(&a->arena);
    register_io(a, &a->there, there);
    mt_actor_register(&a->actor, &(mt_actor_desc){.policy = d->policy, .kernels = a->compute->kernels, .use = MT_RNG_ACTION, .seed = d->seed,
        .first_env = d->first_env, .rows = d->rows, .at_once = rows_at_once(a), .values = 1}, there);
    register_envs(a, there);
    MT_TRY(mt_device_arena_commit(&a->arena));
    a->pinned.align_bytes = there->align_bytes;   // the same plan
    register_io(a, &a->here, &a->pinned);
    MT_TRY(mt_arena_failed(&a->pinned));
    MT_TRY(mt_compute_pinned_alloc(a->compute, a->pinned.block_bytes, &a->pinned_block));
    MT_TRY(mt_arena_place(&a->pinned, a->pinned_block));
    // what a step reads and gives lies where it travels
    a->actor.step = a->there.step, a->actor.value = a->there.value;
    if (d->policy->recurrent) {
        a->actor.start = a->there.start;
        memset(a->here.start, 1, (size_t)d->rows);
    }
    return place_envs(a);
}

mt_status mt_device_actor_create(const mt_device_actor_desc *desc, mt_device_actor **out) {
    *out = NULL;
    mt_device_actor *a = calloc(1, sizeof *a);
    if (!a) return MT_FAIL(NO_MEMORY, "cannot allocate an actor");
    a->desc = *desc;
    mt_status status = build(a);
    if (status != MT_OK) {
        mt_device_actor_destroy(a);
        return status;
    }
    *out = a;
    return MT_OK;
}

void mt_device_actor_destroy(mt_device_actor *a) {
    if (!a) return;
    if (a->compute) {
        (void)mt_compute_wait(a->compute);
        mt_compute_graph_destroy(a->compute, a->graph);
    }
    mt_device_arena_fini(&a->arena);
    mt_arena_fini(&a->pinned);
    if (a->compute) {
        mt_compute_pinned_free(a->compute, a->pinned_block);
        mt_compute_pinned_free(a->compute, a->rows_here);
    }
    mt_compute_close(a->compute);
    free(a);
}

mt_device_actor_io *mt_device_actor_io_of(mt_device_actor *a) { return &a->here; }

// ---- asking

static mt_status copy_in(mt_device_actor *a) { return mt_compute_copy(a->compute, a->arena.plan.block, a->pinned_block, a->in_bytes); }

// With envs: the policy, a step of theirs, and what both left behind the rows before. The states that a recurrent V of a final
// observation goes on from are there in this step alone, so every row's is taken then; other policies' are asked for afterwards.
static mt_status carry_on(void *context) {
    mt_device_actor *a = context;
    const mt_kernels *k = a->compute->kernels;
    int recurrent = a->desc.policy->recurrent;
    mt_compute_begin(a->compute);
    mt_actor_sample_now(&a->actor, a->desc.weights, a->there.obs, NULL, a->there.action, a->there.choice, a->there.log_prob);
    k->classic_step(&a->envs);
    if (recurrent) mt_actor_value(&a->actor, a->desc.weights, a->there.final_obs, NULL, a->desc.rows, a->there.final_value);
    k->append_row((int64_t)a->row_bytes, (char *)a->arena.plan.block + a->row_at, a->rows_there, a->time, a->there.step);
    MT_TRY(mt_compute_end(a->compute));
    return recurrent ? mt_compute_copy(a->compute, a->there.start, a->envs.ended, (size_t)a->desc.rows) : MT_OK;
}

// what a graph holds
static mt_status ask_step(void *context) {
    mt_device_actor *a = context;
    if (a->envs.envs) return carry_on(a);
    MT_TRY(copy_in(a));
    mt_compute_begin(a->compute);
    mt_actor_sample_now(&a->actor, a->desc.weights, a->there.obs, a->there.mask, a->there.action, a->there.choice, a->there.log_prob);
    MT_TRY(mt_compute_end(a->compute));
    return mt_compute_copy(a->compute, (char *)a->pinned_block + a->in_bytes, (char *)a->arena.plan.block + a->in_bytes, a->out_bytes);
}

static mt_status explore(mt_device_actor *a) {
    if (!a->envs.envs) MT_TRY(mt_compute_copy(a->compute, a->there.step, a->here.step, sizeof *a->here.step));
    mt_compute_begin(a->compute);
    mt_actor_resample_now(&a->actor, a->desc.weights);
    return mt_compute_end(a->compute);
}

mt_status mt_device_actor_ask(mt_device_actor *a, int explore_anew) {
    if (explore_anew && a->desc.policy->desc.distribution == MT_DIST_GSDE) MT_TRY(explore(a));
    // the first step shows the libraries its shapes
    if (a->asked++ == 1 && !a->desc.without_graph && mt_compute_capturable(a->compute) &&
        mt_compute_capture(a->compute, ask_step, a, &a->graph) != MT_OK)
        mt_log_warn("the policy's step is not captured as a graph and takes longer: %s", mt_last_error());
    return a->graph ? mt_compute_launch(a->compute, a->graph) : ask_step(a);
}

// The libraries choose an algorithm for every number of rows: powers of two are few of them. What is behind `count` is of earlier
// calls, or zero, and nobody reads its values.
mt_status mt_device_actor_ask_cut(mt_device_actor *a, int64_t count) {
    const int64_t wanted = count;
    if (!wanted) return MT_OK;
    for (count = 1; count < wanted;) count *= 2;
    if (count > a->desc.rows) count = a->desc.rows;
    MT_TRY(mt_compute_copy(a->compute, a->there.cut_obs, a->here.cut_obs, sizeof(float) * (size_t)(count * a->desc.policy->desc.obs)));
    MT_TRY(mt_compute_copy(a->compute, a->there.cut, a->here.cut, sizeof *a->here.cut * (size_t)count));
    mt_compute_begin(a->compute);
    mt_actor_value(&a->actor, a->desc.weights, a->there.cut_obs, a->there.cut, count, a->there.cut_value);
    MT_TRY(mt_compute_end(a->compute));
    return mt_compute_copy(a->compute, a->here.cut_value, a->there.cut_value, sizeof(float) * (size_t)count);
}

mt_status mt_device_actor_ask_value(mt_device_actor *a) {
    if (!a->envs.envs) MT_TRY(copy_in(a));
    mt_compute_begin(a->compute);
    mt_actor_value(&a->actor, a->desc.weights, a->there.obs, NULL, a->desc.rows, a->there.value);
    MT_TRY(mt_compute_end(a->compute));
    return mt_compute_copy(a->compute, a->here.value, a->there.value, sizeof(float) * (size_t)a->desc.rows);
}

mt_status mt_device_actor_wait(mt_device_actor *a) { return mt_compute_wait(a->compute); }
int mt_device_actor_graphed(const mt_device_actor *a) { return a->graph != NULL; }

// ---- environments

static size_t envs_bytes(const mt_device_actor *a) { return (size_t)(mt_classic_record_bytes(a->envs.of.kind) * a->envs.envs); }

mt_status mt_device_actor_put_envs(mt_device_actor *a, const void *records) {
    MT_TRY(mt_compute_copy(a->compute, a->envs.records, records, envs_bytes(a)));
    return mt_compute_wait(a->compute);
}

mt_status mt_device_actor_get_envs(mt_device_actor *a, void *records) {
    MT_TRY(mt_compute_copy(a->compute, records, a->envs.records, envs_bytes(a)));
    return mt_compute_wait(a->compute);
}

mt_status mt_device_actor_begin(mt_device_actor *a) {
    MT_TRY(copy_in(a));
    mt_compute_begin(a->compute);
    a->compute->kernels->zero(sizeof *a->time, a->time);
    return mt_compute_end(a->compute);
}

mt_status mt_device_actor_ask_rows(mt_device_actor *a) {
    return mt_compute_copy(a->compute, a->rows_here, a->rows_there, a->row_bytes * (size_t)a->desc.steps);
}

mt_device_actor_io mt_device_actor_row(const mt_device_actor *a, int64_t t) {
    ptrdiff_t to = a->rows_here + a->row_bytes * (size_t)t - ((char *)a->pinned_block + a->row_at);
    mt_device_actor_io row = a->here;
#define MOVE(field) row.field = row.field ? (void *)((char *)row.field + to) : NULL
    MOVE(obs), MOVE(action), MOVE(choice), MOVE(log_prob), MOVE(value), MOVE(reward), MOVE(terminated), MOVE(truncated), MOVE(bad);
    MOVE(final_obs), MOVE(final_value);
#undef MOVE
    return row;
}

// ---- state

static size_t state_bytes(const mt_device_actor *a) { return sizeof(float) * (size_t)(a->desc.rows * a->desc.policy->sizes.state); }

mt_status mt_device_actor_state_get(mt_device_actor *a, float *state) {
    MT_TRY(mt_compute_copy(a->compute, state, a->actor.state, state_bytes(a)));
    return mt_compute_wait(a->compute);
}

mt_status mt_device_actor_state_set(mt_device_actor *a, const float *state) {
    MT_TRY(mt_compute_copy(a->compute, a->actor.state, state, state_bytes(a)));
    return mt_compute_wait(a->compute);
}
