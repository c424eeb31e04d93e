// The synchronous on-policy flow. Start reading at mt_on_policy_iterate.
#include "scheduler/flows/on_policy.h"

#include "engine/base/clock.h"
#include "scheduler/agree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// What a worker tells everybody after its rollout; behind it in the exchange lie its moments.
typedef struct worker_news {
    int32_t status;               // mt_status of the rollout
    int32_t signal, checkpoint;   // mt_on_policy_request of its rank
    int32_t listed;               // episodes in the list
    int64_t ended;                // episodes that ended
    mt_episode episodes[MT_EPISODES_SHARED];   // the last `listed` of them
} worker_news;

struct mt_on_policy {
    mt_on_policy_desc desc;
    mt_ppo_config config;
    int rank, local;                  // W / ranks
    int *worker_envs, *first_env;     // owned (W)
    mt_policy *policy;                // owned
    mt_learner *learner;              // owned
    mt_rollout_worker **workers;      // owned (local)
    const mt_segment **segments;      // (local)
    mt_status *status;                // (local) of the last collect
    mt_normaliser normaliser;
    mt_arena arena;
    size_t news_bytes;                // of one worker in the exchange
    char *news;                       // (W, news_bytes)
    mt_episode *episodes;             // (W · MT_EPISODES_SHARED) of the last exchange
    int64_t episode_count;
    // counted alike on every rank
    int64_t iteration, steps, total_episodes;
    int64_t windowed;                 // episodes that went through the window
    mt_episode window[MT_RETURN_WINDOW];
};

static worker_news *news_of(const mt_on_policy *f, int worker) { return (worker_news *)(f->news + f->news_bytes * (size_t)worker); }
static double *moments_of(const mt_on_policy *f, int worker) { return (double *)(news_of(f, worker) + 1); }

// ---- one iteration

static void collect_worker(void *context, int index, int thread) {
    (void)thread;
    mt_on_policy *f = context;
    f->status[index] = f->workers[index]
        ? mt_rollout_worker_collect(f->workers[index], mt_learner_weights(f->learner)) : MT_OK;
    if (f->status[index] == MT_OK) return;
    // the message is this thread's: hand it to the thread that drives the flow, which reports it
    worker_news *news = news_of(f, f->rank * f->local + index);
    snprintf((char *)news->episodes, sizeof news->episodes, "%s", mt_last_error());
}

static void finish_worker(void *context, int index, int thread) {
    (void)thread;
    mt_on_policy *f = context;
    if (f->workers[index]) mt_rollout_worker_finish(f->workers[index], mt_learner_weights(f->learner));
}

static void write_news(mt_on_policy *f, mt_on_policy_request request) {
    for (int i = 0; i < f->local; i++) {
        worker_news *news = news_of(f, f->rank * f->local + i);
        news->status = f->status[i];
        news->signal = request.signal, news->checkpoint = request.checkpoint;
        news->ended = news->listed = 0;
        if (!f->workers[i] || f->status[i] != MT_OK) continue;
        const mt_episode *episodes;
        news->ended = mt_rollout_worker_episodes(f->workers[i], &episodes);
        news->listed = (int32_t)(news->ended < MT_EPISODES_SHARED ? news->ended : MT_EPISODES_SHARED);
        memcpy(news->episodes, episodes + news->ended - news->listed, sizeof *episodes * (size_t)news->listed);
        memcpy(moments_of(f, f->rank * f->local + i), mt_rollout_worker_moments(f->workers[i]),
            sizeof(double) * (size_t)mt_normaliser_doubles(&f->normaliser));
    }
}

// in worker order, so that every rank and every layout of ranks gets the same
static mt_status read_news(mt_on_policy *f, mt_on_policy_report *report) {
    f->episode_count = 0;
    for (int w = 0; w < f->desc.workers; w++) {
        const worker_news *news = news_of(f, w);
        if (news->status != MT_OK)
            return MT_FAIL(ENV, "rollout worker %d (environments %d to %d, rank %d) failed: %.400s", w, f->first_env[w],
                f->first_env[w] + f->worker_envs[w] - 1, w / f->local, (const char *)news->episodes);
        if (news->signal > report->request.signal) report->request.signal = news->signal;
        if (news->checkpoint > report->request.checkpoint) report->request.checkpoint = news->checkpoint;
        for (int e = 0; e < news->listed; e++) {
            f->window[f->windowed++ % MT_RETURN_WINDOW] = news->episodes[e];
            f->episodes[f->episode_count++] = news->episodes[e];
        }
        f->total_episodes += news->ended;
        if (f->worker_envs[w]) mt_normaliser_merge(&f->normaliser, moments_of(f, w));
    }
    mt_normaliser_publish(&f->normaliser);
    return MT_OK;
}

static void window_means(const mt_on_policy *f, mt_on_policy_report *report) {
    int64_t count = f->windowed < MT_RETURN_WINDOW ? f->windowed : MT_RETURN_WINDOW;
    double reward = 0, steps = 0;
    for (int64_t i = 0; i < count; i++) reward += f->window[i].reward, steps += f->window[i].steps;
    report->window = (int)count;
    report->ep_rew_mean = count ? reward / (double)count : NAN;
    report->ep_len_mean = count ? steps / (double)count : NAN;
}

mt_status mt_on_policy_iterate(mt_on_policy *f, mt_on_policy_request request, double remaining, mt_on_policy_report *report) {
    *report = (mt_on_policy_report){0};
    int64_t began = mt_clock_ns();

    // every worker fills its segment with the present weights
    mt_workers_run(f->desc.threads, collect_worker, f, f->local);

    // moments, finished episodes, requests and failures of all workers go to all ranks
    write_news(f, request);
    MT_TRY(mt_comm_allgather(f->desc.comm, news_of(f, f->rank * f->local), f->news, f->news_bytes * (size_t)f->local));
    MT_TRY(read_news(f, report));

    // values, advantages, returns
    mt_workers_run(f->desc.threads, finish_worker, f, f->local);
    int64_t collected = mt_clock_ns();

    // minibatches: gradients of the shares, summed over all workers, applied on every rank alike
    MT_TRY(mt_learner_update(f->learner, f->segments, (uint64_t)f->iteration, remaining, &report->learner));

    report->iteration = ++f->iteration;
    report->steps = f->steps += mt_on_policy_steps_per_iteration(f);
    report->episodes = f->episodes, report->episode_count = f->episode_count;
    report->total_episodes = f->total_episodes, report->listed_episodes = f->windowed;
    window_means(f, report);
    report->rollout_seconds = 1e-9 * (double)(collected - began);
    report->update_seconds = 1e-9 * (double)(mt_clock_ns() - collected);
    return MT_OK;
}

// ---- creating

static mt_status make_policy(const mt_ppo_config *c, const mt_codec *codec, mt_policy **out) {
    mt_policy_desc d = {
        .shared_depth = c->net_arch_shared.count, .pi_depth = c->net_arch[0].count, .vf_depth = c->net_arch[1].count,
        .activation = (mt_activation)(c->activation_fn + 1), .ortho_init = c->ortho_init,
        .log_std_init = (float)c->log_std_init,
    };
    *out = NULL;
    if (d.shared_depth > MT_POLICY_MAX_DEPTH || d.pi_depth > MT_POLICY_MAX_DEPTH || d.vf_depth > MT_POLICY_MAX_DEPTH)
        return MT_FAIL(CONFIG, "net_arch may list at most %d hidden layers each", MT_POLICY_MAX_DEPTH);
    memcpy(d.shared, c->net_arch_shared.items, sizeof(int) * (size_t)d.shared_depth);
    memcpy(d.pi, c->net_arch[0].items, sizeof(int) * (size_t)d.pi_depth);
    memcpy(d.vf, c->net_arch[1].items, sizeof(int) * (size_t)d.vf_depth);
    MT_TRY(mt_codec_describe(codec, c->use_sde, &d));
    return mt_policy_create(&d, out);
}

mt_status mt_on_policy_probe(const mt_ppo_config *config, const manta_env_desc *env, const manta_env_option *options,
    uint32_t option_count, mt_codec *codec, mt_policy **policy) {
    mt_env *probe = NULL;
    uint64_t seed = 0;
    MT_TRY(mt_env_create(env, &(manta_env_config){.struct_size = sizeof(manta_env_config), .num_envs = 1, .seeds = &seed,
        .option_count = option_count, .options = options}, &probe));
    mt_status status = mt_codec_init(codec, probe);
    if (status == MT_OK) status = make_policy(config, codec, policy);
    codec->observation = codec->action = NULL;   // they go with the probe
    mt_env_destroy(probe);
    return status;
}

// Environments are numbered through the job; worker w has those from n·w/W on.
static mt_status share_environments(mt_on_policy *f) {
    int workers = f->desc.workers;
    f->worker_envs = calloc((size_t)workers, sizeof *f->worker_envs);
    f->first_env = calloc((size_t)workers, sizeof *f->first_env);
    f->workers = calloc((size_t)f->local, sizeof *f->workers);
    f->segments = calloc((size_t)f->local, sizeof *f->segments);
    f->status = calloc((size_t)f->local, sizeof *f->status);
    if (!f->worker_envs || !f->first_env || !f->workers || !f->segments || !f->status)
        return MT_FAIL(NO_MEMORY, "cannot allocate %d workers", workers);
    for (int w = 0; w < workers; w++) {
        f->first_env[w] = (int)((int64_t)f->config.n_envs * w / workers);
        f->worker_envs[w] = (int)((int64_t)f->config.n_envs * (w + 1) / workers) - f->first_env[w];
    }
    return MT_OK;
}

static mt_status make_shared_buffers(mt_on_policy *f, const mt_codec *codec) {
    const mt_ppo_config *c = &f->config;
    mt_normaliser_register(&f->normaliser, codec->obs, c->normalize && c->norm_obs, c->normalize && c->norm_reward,
        (float)c->clip_obs, (float)c->clip_reward, &f->arena);
    f->news_bytes = sizeof(worker_news) + sizeof(double) * (size_t)mt_normaliser_doubles(&f->normaliser);
    mt_arena_add(&f->arena, (void **)&f->news, f->news_bytes * (size_t)f->desc.workers, "news of workers");
    MT_ARENA_ADD(&f->arena, f->episodes, f->desc.workers * MT_EPISODES_SHARED);
    MT_TRY(mt_arena_commit(&f->arena));
    mt_normaliser_reset(&f->normaliser);
    return MT_OK;
}

static mt_status make_worker(mt_on_policy *f, int local) {
    int w = f->rank * f->local + local;
    if (!f->worker_envs[w]) return MT_OK;
    mt_rollout_worker_desc d = {
        .env = f->desc.env, .options = f->desc.options, .option_count = f->desc.option_count, .policy = f->policy,
        .kernels = f->desc.kernels, .normaliser = &f->normaliser, .first_env = (uint64_t)f->first_env[w],
        .envs = f->worker_envs[w], .steps = f->config.n_steps, .gamma = f->config.gamma,
        .gae_lambda = f->config.gae_lambda, .sde_sample_freq = f->config.sde_sample_freq, .seed = f->desc.seed, .pulse = f->desc.pulse,
    };
    MT_TRY(mt_rollout_worker_create(&d, &f->workers[local]));
    f->segments[local] = mt_rollout_worker_segment(f->workers[local]);
    return MT_OK;
}

static mt_status build_local(mt_on_policy *f, mt_codec *codec) {
    MT_TRY(share_environments(f));
    MT_TRY(mt_on_policy_probe(&f->config, f->desc.env, f->desc.options, f->desc.option_count, codec, &f->policy));
    MT_TRY(make_shared_buffers(f, codec));
    for (int i = 0; i < f->local; i++) MT_TRY(make_worker(f, i));
    return MT_OK;
}

static mt_status build(mt_on_policy *f) {
    mt_codec codec;
    // what one rank alone may fail at comes first; the learner is made by all ranks together
    MT_TRY(mt_agree(f->desc.comm, build_local(f, &codec)));
    return mt_learner_create(&(mt_learner_desc){
        .policy = f->policy, .kernels = f->desc.kernels, .comm = f->desc.comm, .threads = f->desc.threads,
        .config = f->config.learner, .workers = f->desc.workers, .local_workers = f->local,
        .worker_envs = f->worker_envs, .seed = f->desc.seed, .pulse = f->desc.pulse,
        .shape = {.steps = f->config.n_steps, .obs = codec.obs, .action = codec.action_count, .logits = codec.logits,
            .masked = (f->desc.env->capabilities & MANTA_ENV_HAS_ACTION_MASK) != 0},
    }, &f->learner);
}

mt_status mt_on_policy_create(const mt_on_policy_desc *desc, mt_on_policy **out) {
    *out = NULL;
    mt_on_policy *f = calloc(1, sizeof *f);
    if (!f) return MT_FAIL(NO_MEMORY, "cannot allocate a flow");
    f->desc = *desc, f->config = *desc->config;
    f->rank = mt_comm_rank(desc->comm), f->local = desc->workers / mt_comm_size(desc->comm);
    mt_status status = build(f);
    f->desc.options = NULL;   // borrowed during create only
    if (status != MT_OK) {
        mt_on_policy_destroy(f);
        return status;
    }
    *out = f;
    return MT_OK;
}

void mt_on_policy_destroy(mt_on_policy *f) {
    if (!f) return;
    mt_learner_destroy(f->learner);
    for (int i = 0; f->workers && i < f->local; i++) mt_rollout_worker_destroy(f->workers[i]);
    mt_policy_destroy(f->policy);
    mt_arena_fini(&f->arena);
    free(f->worker_envs), free(f->first_env), free(f->workers), free(f->segments), free(f->status);
    free(f);
}

// ---- what others ask

int64_t mt_on_policy_steps_per_iteration(const mt_on_policy *f) { return (int64_t)f->config.n_envs * f->config.n_steps; }
const mt_policy *mt_on_policy_policy(const mt_on_policy *f) { return f->policy; }
mt_normaliser *mt_on_policy_normaliser(mt_on_policy *f) { return &f->normaliser; }
mt_learner *mt_on_policy_learner(mt_on_policy *f) { return f->learner; }
int mt_on_policy_local_workers(const mt_on_policy *f) { return f->local; }

mt_rollout_worker *mt_on_policy_worker(mt_on_policy *f, int local, int *worker) {
    *worker = f->rank * f->local + local;
    return f->workers[local];
}

// ---- state

void mt_on_policy_save(const mt_on_policy *f, mt_blob *blob) {
    int64_t counters[] = {f->iteration, f->steps, f->total_episodes, f->windowed, f->desc.workers, f->config.n_envs};
    float rewards[MT_RETURN_WINDOW];
    int32_t lengths[MT_RETURN_WINDOW];
    for (int i = 0; i < MT_RETURN_WINDOW; i++) rewards[i] = f->window[i].reward, lengths[i] = f->window[i].steps;
    mt_blob_put_i64(blob, "counters", counters, 6);
    mt_blob_put_f32(blob, "window_reward", rewards, MT_RETURN_WINDOW);
    mt_blob_put_i32(blob, "window_steps", lengths, MT_RETURN_WINDOW);
}

mt_status mt_on_policy_load(mt_on_policy *f, mt_blob_reader *reader) {
    int64_t counters[6];
    float rewards[MT_RETURN_WINDOW];
    int32_t lengths[MT_RETURN_WINDOW];
    mt_blob_get_i64(reader, "counters", counters, 6);
    mt_blob_get_f32(reader, "window_reward", rewards, MT_RETURN_WINDOW);
    mt_blob_get_i32(reader, "window_steps", lengths, MT_RETURN_WINDOW);
    MT_TRY(reader->status);
    if (counters[4] != f->desc.workers || counters[5] != f->config.n_envs)
        return MT_FAIL(CONFIG, "the checkpoint has %lld logical workers and %lld environments, this run %d and %d; resume with "
            "--n-workers %lld and the same n_envs", (long long)counters[4], (long long)counters[5], f->desc.workers,
            f->config.n_envs, (long long)counters[4]);
    f->iteration = counters[0], f->steps = counters[1], f->total_episodes = counters[2], f->windowed = counters[3];
    for (int i = 0; i < MT_RETURN_WINDOW; i++) f->window[i] = (mt_episode){rewards[i], lengths[i]};
    return MT_OK;
}
