// The environment runner. One executor thread at a time runs its methods; its workers run on its own thread pool. Where the policy
// runs on a device, the workers of a thread take turns, step by step: one's environments step while the device computes for the
// others.
#include "scheduler/env_runner.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/signal.h"
#include "engine/base/thread.h"
#include "engine/device/device_arena.h"
#include "scheduler/actor_failure.h"
#include "scheduler/weights_link.h"

#include <stdlib.h>
#include <string.h>

typedef struct env_runner {
    const mt_rank_setup *setup;      // borrowed
    int number, first, count;        // its workers
    mt_rollout_worker **workers;     // owned (count): NULL for one without environments
    mt_status *status;               // owned (count): how a worker's part of the running collect ended
    char (*failure)[512];            // owned (count): and what it said
    mt_workers *threads;             // owned
    mt_arena arena;
    mt_weights weights;
    // with a device
    mt_compute *compute;             // owned. Nullable
    mt_device_arena device_arena;
    mt_weights device_weights;
    mt_comm *source;                 // owned: learner 0, whose device sends the weights, and all runners. Nullable
    mt_normaliser normaliser;        // the job's, as the last collect was given it
    // the running collect
    char *news, *segments;           // views of its results
    size_t news_bytes;               // of one worker
} env_runner;

static int fail(manta_context *c, mt_status status) { return mt_actor_fail(c, status, mt_last_error()); }

// ---- creating

static mt_status make_workers(env_runner *r) {
    const mt_rank_setup *s = r->setup;
    for (int i = 0; i < r->count; i++) {
        int w = r->first + i, envs = mt_layout_worker_envs(&s->layout, w);
        if (!envs) continue;
        mt_rollout_worker_desc d = {
            .env = s->environment.desc, .options = s->environment.options, .option_count = s->environment.option_count,
            .policy = s->policy, .kernels = s->kernels, .normaliser = &r->normaliser,
            .first_env = (uint64_t)mt_layout_first_env(&s->layout, w), .envs = envs, .steps = s->ppo->n_steps,
            .gamma = s->ppo->gamma, .gae_lambda = s->ppo->gae_lambda, .sde_sample_freq = s->ppo->sde_sample_freq,
            .seed = (uint64_t)s->train->seed, .pulse = s->pulse, .outside = 1,
            .device = mt_devices_act(&s->devices), .precision = (mt_precision)s->train->precision, .device_weights = &r->device_weights,
            .workers = r->count,
        };
        MT_TRY(mt_rollout_worker_create(&d, &r->workers[i]));
    }
    return MT_OK;
}

// once a job: where environments step while the policy is on a device
static void tell_place(const env_runner *r) {
    if (r->number || !r->compute) return;
    for (int i = 0; i < r->count; i++)
        if (r->workers[i]) {
            if (mt_rollout_worker_carried(r->workers[i]) == MT_OK) mt_log_info("environments step on the GPU, too");
            else mt_log_info("environments step on the CPU: %s", mt_last_error());
            return;
        }
}

static mt_status open_device(env_runner *r, mt_device *device) {
    r->device_arena.device = device;
    MT_TRY(mt_compute_open(&(mt_compute_desc){.device = device, .cpu = r->setup->kernels}, &r->compute));
    mt_weights_register(&r->device_weights, r->setup->policy, mt_device_arena_plan(&r->device_arena));
    return mt_device_arena_commit(&r->device_arena);
}

static mt_status build(env_runner *r) {
    const mt_rank_setup *s = r->setup;
    r->first = mt_layout_runner_first(&s->layout, r->number);
    r->count = mt_layout_runner_first(&s->layout, r->number + 1) - r->first;
    r->workers = calloc((size_t)r->count, sizeof *r->workers);
    r->failure = calloc((size_t)r->count, sizeof *r->failure);
    r->status = calloc((size_t)r->count, sizeof *r->status);
    if (!r->workers || !r->failure || !r->status) return MT_FAIL(NO_MEMORY, "cannot allocate %d workers", r->count);
    mt_weights_register(&r->weights, s->policy, &r->arena);
    mt_rank_setup_register_normaliser(s, &r->normaliser, &r->arena);
    MT_TRY(mt_arena_commit(&r->arena));
    mt_normaliser_reset(&r->normaliser);
    r->news_bytes = mt_worker_news_bytes(mt_normaliser_doubles(&r->normaliser));
    if (mt_devices_act(&s->devices)) MT_TRY(open_device(r, mt_devices_act(&s->devices)));
    MT_TRY(mt_workers_create(s->threads < r->count ? s->threads : r->count, MT_WORKERS_SPIN_AUTO, &r->threads));
    MT_TRY(make_workers(r));
    tell_place(r);
    return MT_OK;
}

static void destroy(void *state) {
    env_runner *r = state;
    for (int i = 0; r->workers && i < r->count; i++) mt_rollout_worker_destroy(r->workers[i]);
    mt_workers_destroy(r->threads);
    mt_device_arena_fini(&r->device_arena);
    mt_compute_close(r->compute);
    mt_comm_destroy(r->source);
    mt_arena_fini(&r->arena);
    free(r->workers);
    free(r->failure);
    free(r->status);
}

static int create(manta_context *c) {
    env_runner *r = manta_state(c);
    r->setup = manta_user(c), r->number = (int)manta_i64_of(c, 0);
    mt_status status = build(r);
    if (status == MT_OK) return MANTA_OK;
    int code = fail(c, status);
    destroy(r);   // nobody else would: the actor never was
    return code;
}

// ---- collecting

static mt_worker_news *news_of(const env_runner *r, int index) { return (mt_worker_news *)(void *)(r->news + r->news_bytes * (size_t)index); }

static void begin_worker(env_runner *r, int index) {
    memset(news_of(r, index), 0, r->news_bytes);
    r->status[index] = MT_OK;
    if (r->workers[index]) mt_rollout_worker_bind(r->workers[index], r->segments + mt_rank_setup_segment_at(r->setup, r->first + index));
}

// keeps how a part of a worker's collect ended, with the message, which is this thread's; 1: well
static int went_well(env_runner *r, int index, mt_status status) {
    if (status == MT_NUMERIC) status = MT_ENV;   // its numbers, not the learner's
    r->status[index] = status;
    if (status != MT_OK) snprintf(r->failure[index], sizeof r->failure[index], "%.500s", mt_last_error());
    return status == MT_OK;
}

static void end_worker(env_runner *r, int index) {
    mt_worker_news *news = news_of(r, index);
    mt_rollout_worker *worker = r->workers[index];
    mt_rollout_worker_finish(worker, &r->weights);
    const mt_episode *episodes;
    news->ended = mt_rollout_worker_episodes(worker, &episodes);
    news->listed = (int32_t)(news->ended < MT_EPISODES_SHARED ? news->ended : MT_EPISODES_SHARED);
    memcpy(news->episodes, episodes + news->ended - news->listed, sizeof *episodes * (size_t)news->listed);
    memcpy(news + 1, mt_rollout_worker_moments(worker), sizeof(double) * (size_t)mt_normaliser_doubles(&r->normaliser));
}

static void collect_worker(void *context, int index, int thread) {
    (void)thread;
    env_runner *r = context;
    begin_worker(r, index);
    if (r->workers[index] && went_well(r, index, mt_rollout_worker_collect(r->workers[index], &r->weights))) end_worker(r, index);
}

// One round of a thread's workers: what each does, as far as it goes well with all.
typedef mt_status (*round_fn)(mt_rollout_worker *worker, int64_t t);
static int go_round(env_runner *r, int thread, int threads, round_fn fn, int64_t t) {
    for (int i = thread; i < r->count; i += threads)
        if (r->workers[i] && !went_well(r, i, fn(r->workers[i], t))) return 0;
    return 1;
}

static mt_status begin_round(mt_rollout_worker *w, int64_t t) {
    MT_TRY(mt_rollout_worker_begin(w));
    return mt_rollout_worker_ask(w, t);
}
static mt_status step_and_ask(mt_rollout_worker *w, int64_t t) {
    MT_TRY(mt_rollout_worker_step(w, t));
    return mt_rollout_worker_ask(w, t + 1);
}
static mt_status end_round(mt_rollout_worker *w, int64_t t) {
    MT_TRY(mt_rollout_worker_step(w, t));
    return mt_rollout_worker_end(w);
}

static void collect_in_turns(void *context, int index, int thread) {
    (void)thread;
    env_runner *r = context;
    int threads = mt_workers_count(r->threads);
    int64_t last = r->setup->ppo->n_steps - 1;
    for (int i = index; i < r->count; i += threads) begin_worker(r, i);
    int well = go_round(r, index, threads, begin_round, 0);
    for (int64_t t = 0; t < last && well; t++) well = go_round(r, index, threads, step_and_ask, t);
    if (!well || !go_round(r, index, threads, end_round, last)) return;
    for (int i = index; i < r->count; i += threads)
        if (r->workers[i]) end_worker(r, i);
}

// The weights, once an iteration: an object's, or those that learner 0's device sends to this one. Before anything of a collect can
// fail, since then others wait for us.
static mt_status take_weights(env_runner *r, const manta_value *parameters) {
    size_t bytes = sizeof(float) * (size_t)r->setup->policy->sizes.params;
    memcpy(r->weights.param, parameters->data, parameters->bytes);
    if (!r->compute) {
        mt_weights_pack(&r->weights, r->setup->policy, r->setup->kernels, MT_POLICY_BOTH);
        return MT_OK;
    }
    MT_TRY(r->source ? mt_compute_broadcast(r->compute, r->device_weights.param, bytes)
                     : mt_compute_copy(r->compute, r->device_weights.param, r->weights.param, bytes));
    mt_compute_begin(r->compute);
    mt_weights_pack(&r->device_weights, r->setup->policy, r->compute->kernels, MT_POLICY_BOTH);
    MT_TRY(mt_compute_end(r->compute));
    return mt_compute_wait(r->compute);
}

static void run_workers(env_runner *r) {
    if (r->compute) mt_workers_run(r->threads, collect_in_turns, r, mt_workers_count(r->threads));
    else mt_workers_run(r->threads, collect_worker, r, r->count);
}

static int collect(manta_context *c) {
    env_runner *r = manta_state(c);
    manta_value parameters = manta_argument(c, 0), moments = manta_argument(c, 1);
    int64_t began = mt_clock_ns(), news_bytes = (int64_t)r->news_bytes * r->count;
    int64_t segment_bytes = mt_rank_setup_segments_bytes(r->setup, r->number);
    mt_status status = take_weights(r, &parameters);
    if (status != MT_OK) return fail(c, status);
    r->news = manta_result(c, 0, MANTA_TYPE_BYTES, 1, &news_bytes);
    r->segments = manta_result(c, 1, MANTA_TYPE_BYTES, 1, &segment_bytes);
    if (!r->news || !r->segments) return manta_error(c).code;
    mt_normaliser_load(&r->normaliser, moments.data);
    mt_normaliser_publish(&r->normaliser);
    run_workers(r);
    for (int i = 0; i < r->count; i++) {
        mt_worker_news *news = news_of(r, i);
        int w = r->first + i, first = mt_layout_first_env(&r->setup->layout, w);
        if (r->status[i] != MT_OK)
            return fail(c, mt_fail(r->status[i], __FILE__, __LINE__, "rollout worker %d (environments %d to %d, rank %d) failed: %s", w, first,
                first + mt_layout_worker_envs(&r->setup->layout, w) - 1, manta_rank(c), r->failure[i]));
        news->signal = mt_signal_pending();
        news->seconds = 1e-9 * (double)(mt_clock_ns() - began);
    }
    return MANTA_OK;
}

static int link_learner(manta_context *c) {
    env_runner *r = manta_state(c);
    manta_value ranks = manta_argument(c, 0);
    mt_status status = mt_weights_link_open(r->setup, ranks.data, (int)ranks.shape[0], &r->compute, &r->source);
    return status == MT_OK ? MANTA_OK : fail(c, status);
}

// ---- state

static mt_status put_blob(mt_text *out, mt_rollout_worker *worker) {
    mt_blob blob = {0};
    mt_status status = worker ? mt_rollout_worker_save(worker, &blob) : MT_OK;
    if (status == MT_OK && worker) status = mt_blob_finish(&blob);
    uint64_t bytes = blob.bytes;
    if (status == MT_OK) {
        mt_text_append_bytes(out, (const char *)&bytes, sizeof bytes);
        mt_text_append_bytes(out, (const char *)blob.data, blob.bytes);
        status = mt_text_status(out);
    }
    mt_blob_fini(&blob);
    return status;
}

static int save(manta_context *c) {
    env_runner *r = manta_state(c);
    mt_text all = {0};
    mt_status status = MT_OK;
    for (int i = 0; i < r->count && status == MT_OK; i++) status = put_blob(&all, r->workers[i]);
    int code = status == MT_OK ? manta_return(c, manta_bytes(all.data, all.length)) : fail(c, status);
    mt_text_fini(&all);
    return code;
}

// one worker's part of the state from *at on
static mt_status load_worker(env_runner *r, int i, const char **at, const char *end, int *exact) {
    uint64_t bytes = 0;
    if ((size_t)(end - *at) >= sizeof bytes) memcpy(&bytes, *at, sizeof bytes), *at += sizeof bytes;
    else return MT_FAIL(CORRUPT, "the state of %d workers ends too early", r->count);
    if ((uint64_t)(end - *at) < bytes) return MT_FAIL(CORRUPT, "the state of %d workers ends too early", r->count);
    if (r->workers[i]) {
        int restored = 0;
        char source[32];
        snprintf(source, sizeof source, "worker-%05d.blob", r->first + i);
        mt_blob_reader reader = mt_blob_read(*at, bytes, source);
        MT_TRY(mt_rollout_worker_load(r->workers[i], &reader, &restored));
        MT_TRY(mt_blob_end(&reader));
        *exact &= restored;
    }
    *at += bytes;
    return MT_OK;
}

static int load(manta_context *c) {
    env_runner *r = manta_state(c);
    manta_value all = manta_argument(c, 0);
    const char *at = all.data, *end = at + all.bytes;
    int exact = 1;
    for (int i = 0; i < r->count; i++) {
        mt_status status = load_worker(r, i, &at, end, &exact);
        if (status != MT_OK) return fail(c, status);
    }
    return manta_return(c, manta_i64(exact));
}

static const manta_method methods[] = {
    {"link", link_learner, "u32[n] ->"},
    {"collect", collect, "f32[n], f64[m] -> bytes[...], bytes[...]"},
    {"save", save, "-> bytes[...]"},
    {"load", load, "bytes[...] -> i64"},
};

const manta_class mt_env_runner_class = {
    .name = "EnvRunner", .state_bytes = sizeof(env_runner), .create = create, .create_signature = "i64", .destroy = destroy,
    .methods = methods, .method_count = sizeof methods / sizeof *methods,
};
