// The learner as an actor. One executor thread at a time runs its methods.
#include "scheduler/learner_actor.h"

#include "engine/base/clock.h"
#include "engine/base/signal.h"
#include "engine/base/thread.h"
#include "scheduler/actor_failure.h"
#include "scheduler/agree.h"
#include "scheduler/pair.h"
#include "scheduler/weights_link.h"

#include <stdlib.h>
#include <string.h>

typedef struct learner_actor {
    const mt_rank_setup *setup;      // borrowed
    int number;
    mt_comm *comm;                   // owned
    mt_workers *threads;             // owned
    mt_compute *compute;             // owned; NULL: it learns on the CPU
    mt_learner *learner;             // owned
    mt_compute *publisher;           // owned: what sends weights to the runners' devices. Nullable
    mt_comm *audience;               // owned: itself and the runners, behind publisher
    int *ranks;                      // owned (L): of all learners
    int *worker_envs;                // owned (W)
    mt_learner_reads reads;          // the workers whose segments it reads
    mt_segment *segments;            // owned (twice the workers of this learner): views into the runners' objects, reads.count of them
    const mt_segment **pointers;     // owned: to them, or NULL
    manta_value *objects;            // owned (R)
} learner_actor;

static int fail(manta_context *c, mt_status status) { return mt_actor_fail(c, status, mt_last_error()); }

static int create(manta_context *c) {
    learner_actor *l = manta_state(c);
    l->setup = manta_user(c), l->number = (int)manta_i64_of(c, 0);
    const mt_layout *layout = &l->setup->layout;
    size_t mine = (size_t)mt_layout_learner_workers(layout);
    l->worker_envs = calloc((size_t)layout->workers, sizeof *l->worker_envs);
    l->ranks = calloc((size_t)layout->learners, sizeof *l->ranks);
    l->segments = calloc(2 * mine, sizeof *l->segments);
    l->pointers = calloc(2 * mine, sizeof *l->pointers);
    l->objects = calloc((size_t)layout->runners, sizeof *l->objects);
    if (!l->ranks || !l->worker_envs || !l->segments || !l->pointers || !l->objects)
        return fail(c, MT_FAIL(NO_MEMORY, "cannot allocate a learner of %zu of %d workers", mine, layout->workers));
    for (int w = 0; w < layout->workers; w++) l->worker_envs[w] = mt_layout_worker_envs(layout, w);
    return MANTA_OK;
}

static void destroy(void *state) {
    learner_actor *l = state;
    mt_compute_close(l->publisher);
    mt_comm_destroy(l->audience);
    mt_learner_destroy(l->learner);
    mt_compute_close(l->compute);
    mt_workers_destroy(l->threads);
    mt_comm_destroy(l->comm);
    free(l->ranks);
    free(l->worker_envs);
    free(l->segments);
    free(l->pointers);
    free(l->objects);
}

// What one learner cannot have, all learn: none waits for one that has given up.
static mt_status make_learner(learner_actor *l, const uint32_t *ranks, int count) {
    const mt_rank_setup *s = l->setup;
    MT_ASSERT(count == s->layout.learners);
    for (int i = 0; i < count; i++) l->ranks[i] = (int)ranks[i];
    MT_TRY(mt_comm_group(s->world, l->ranks, count, 1, NULL, &l->comm));
    if (mt_devices_learn(&s->devices))
        MT_TRY(mt_agree(l->comm, mt_compute_open(&(mt_compute_desc){.device = mt_devices_learn(&s->devices), .cpu = s->kernels,
            .precision = (mt_precision)s->train->precision, .largest_array = mt_policy_largest_tensor(s->policy)}, &l->compute)));
    else if (s->train->gradients == MT_GRADIENTS_PARAMETER_SERVER)
        return MT_FAIL(CONFIG, "gradients: parameter_server: these learners compute on the CPU, where all add up the gradients in memory that they "
            "share; use --device cuda, or --gradients all_reduce");
    // one for each share that is computed here: those of its workers, or of the pair's
    int shares = mt_layout_learner_workers(&s->layout) * (!l->compute && mt_pair_pays(l->comm, s->policy) ? 2 : 1);
    MT_TRY(mt_agree(l->comm, mt_workers_create(s->threads < shares ? s->threads : shares, MT_WORKERS_SPIN_AUTO, &l->threads)));
    MT_TRY(mt_learner_create(&(mt_learner_desc){
        .policy = s->policy, .kernels = s->kernels, .compute = l->compute, .comm = l->comm, .threads = l->threads, .config = s->ppo->learner,
        .loss = s->loss, .parameter_server = s->train->gradients == MT_GRADIENTS_PARAMETER_SERVER,
        .shape = s->shape, .workers = s->layout.workers, .local_workers = mt_layout_learner_workers(&s->layout),
        .worker_envs = l->worker_envs, .seed = (uint64_t)s->train->seed, .pulse = s->pulse,
    }, &l->learner));
    l->reads = mt_learner_reads_of(l->learner);
    return MT_OK;
}

static int connect(manta_context *c) {
    learner_actor *l = manta_state(c);
    manta_value ranks = manta_argument(c, 0);
    mt_status status = make_learner(l, ranks.data, (int)ranks.shape[0]);
    if (status != MT_OK) return fail(c, status);
    const int64_t reads[] = {l->reads.first, l->reads.count};
    return manta_return(c, manta_vector(MANTA_TYPE_I64, 2, reads));
}

// ---- weights to the runners' devices

static int link_runners(manta_context *c) {
    learner_actor *l = manta_state(c);
    manta_value ranks = manta_argument(c, 0);
    mt_status status = mt_weights_link_open(l->setup, ranks.data, (int)ranks.shape[0], &l->publisher, &l->audience);
    return status == MT_OK ? MANTA_OK : fail(c, status);
}

static mt_status send_weights(learner_actor *l) {
    size_t bytes = sizeof(float) * (size_t)l->setup->policy->sizes.params;
    MT_TRY(mt_compute_broadcast(l->publisher, mt_learner_device_param(l->learner), bytes));
    return mt_compute_wait(l->publisher);   // the next update writes there
}

static int publish(manta_context *c) {
    mt_status status = send_weights(manta_state(c));
    return status == MT_OK ? MANTA_OK : fail(c, status);
}

// ---- updating

// The objects of the runners that it reads: values among the arguments, or to be fetched.
static int find_objects(manta_context *c, learner_actor *l) {
    int first, end;
    mt_learner_runners(&l->setup->layout, l->reads, &first, &end);
    manta_value refs = manta_argument(c, 2);
    for (int r = first; r < end; r++) {
        int code = MANTA_OK;
        if (refs.type == MANTA_TYPE_REF) code = manta_get(c, ((const manta_ref *)refs.data)[r], &l->objects[r]);
        else l->objects[r] = manta_argument(c, 2 + r - first);
        if (code != MANTA_OK) return code;
    }
    return MANTA_OK;
}

// The segments that it reads, where the runners wrote them.
static int find_segments(manta_context *c, learner_actor *l) {
    const mt_rank_setup *s = l->setup;
    int code = find_objects(c, l);
    for (int i = 0; i < l->reads.count && code == MANTA_OK; i++) {
        int w = l->reads.first + i, runner = mt_layout_runner_of(&s->layout, w);
        mt_segment_shape shape = mt_rank_setup_shape(s, w);
        int64_t at = mt_rank_setup_segment_at(s, w);
        l->pointers[i] = l->worker_envs[w] ? &l->segments[i] : NULL;
        if (at + mt_segment_block_bytes(&shape) > (int64_t)l->objects[runner].bytes)
            return fail(c, MT_FAIL(CONFIG, "the segments of environment runner %d are too short; does every rank run the same options?", runner));
        mt_segment_bind(&l->segments[i], &shape, (char *)l->objects[runner].data + at);
    }
    return code;
}

static manta_arg slab(const learner_actor *l, const float *values) {
    return manta_vector(MANTA_TYPE_F32, l->setup->policy->sizes.params, values);
}

static int update(manta_context *c) {
    learner_actor *l = manta_state(c);
    mt_learner_news news = {.rank = manta_rank(c)};
    int code = find_segments(c, l);
    if (code != MANTA_OK) return code;
    int64_t began = mt_clock_ns();
    news.status = mt_learner_update(l->learner, l->pointers, (uint64_t)manta_i64_of(c, 0), manta_f64_of(c, 1), &news.report);
    news.seconds = 1e-9 * (double)(mt_clock_ns() - began);
    news.signal = mt_signal_pending();
    if (news.status != MT_OK) snprintf(news.message, sizeof news.message, "%.500s", mt_last_error());
    const float *param = mt_learner_weights(l->learner)->param;
    code = manta_return_at(c, 1, l->number == 0 ? slab(l, param) : manta_vector(MANTA_TYPE_F32, 0, NULL));
    return code == MANTA_OK ? manta_return(c, manta_bytes(&news, sizeof news)) : code;
}

static int weights(manta_context *c) {
    learner_actor *l = manta_state(c);
    return manta_return(c, slab(l, mt_learner_weights(l->learner)->param));
}

// ---- state

static int save(manta_context *c) {
    learner_actor *l = manta_state(c);
    mt_status status = mt_learner_state_pull(l->learner);
    if (status != MT_OK) return fail(c, status);
    mt_learner_state s = mt_learner_state_get(l->learner);
    const float *slabs[] = {s.param, s.m, s.v};
    for (int i = 0; i < 3; i++) {
        int code = manta_return_at(c, i, slab(l, slabs[i]));
        if (code != MANTA_OK) return code;
    }
    return manta_return_at(c, 3, manta_i64(s.step));
}

static int load(manta_context *c) {
    learner_actor *l = manta_state(c);
    mt_learner_state s = mt_learner_state_get(l->learner);
    float *slabs[] = {s.param, s.m, s.v};
    for (int i = 0; i < 3; i++) {
        manta_value v = manta_argument(c, i);
        if (v.shape[0] != l->setup->policy->sizes.params) return fail(c, MT_FAIL(CONFIG, "parameters of another network"));
        memcpy(slabs[i], v.data, v.bytes);
    }
    mt_status status = mt_learner_state_set(l->learner, manta_i64_of(c, 3));
    return status == MT_OK ? MANTA_OK : fail(c, status);
}

static const manta_method methods[] = {
    {"connect", connect, "u32[n] -> i64[2]"},
    {"update", update, "i64, f64, any, ... -> bytes[...], f32[?]"},
    {"link", link_runners, "u32[n] ->"},
    {"publish", publish, "->"},
    {"weights", weights, "-> f32[n]"},
    {"save", save, "-> f32[n], f32[n], f32[n], i64"},
    {"load", load, "f32[n], f32[n], f32[n], i64"},
};

const manta_class mt_learner_class = {
    .name = "Learner", .state_bytes = sizeof(learner_actor), .create = create, .create_signature = "i64", .destroy = destroy,
    .methods = methods, .method_count = sizeof methods / sizeof *methods,
};
