// The rollout worker. Environments write straight into the segment where the observation needs no translation, else into
// `raw`, which is encoded and normalised into it. Nothing allocates after create.
#include "rollout/worker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct mt_rollout_worker {
    mt_rollout_worker_desc desc;
    mt_env *env;                 // owned
    mt_codec codec;
    mt_arena arena;
    mt_segment segment;
    mt_actor actor;              // without a device
    mt_device_actor *there;      // owned. Nullable
    mt_device_actor_io *io;      // its
    int carried;                 // the device steps the environments, too; env has their spaces and checks their snapshots
    int64_t cuts, cut_step;      // values that it was asked for: how many, and of which step
    float *memory;               // (N, S) of its states, when they are saved
    const mt_weights *weights;   // of the running collect, without a device
    int direct;                  // the environment writes into segment.obs
    uint64_t step;               // steps of every environment so far: keys the random numbers
    void *raw, *final_raw;       // (N, observation): what comes next; the last observation of ended episodes
    uint8_t *mask;               // (N, K): what is allowed next
    float *encoded, *clipped;    // (N, O) scratch; (N, A) box actions as the environment gets them
    float *cut_value;            // (N)
    int32_t *cut;                // (N): which environments they are of
    float *episode_reward;       // (N) so far
    int32_t *episode_steps;
    float *discounted;           // (N) discounted return so far, for reward normalisation
    mt_episode *episodes;        // (T·N) of the last collect
    int64_t episode_count;
    mt_normaliser normaliser;    // the job's, brought up to the present step
    mt_normaliser seen;          // moments of the last collect alone
    double *moments;             // the same as doubles
};

// ---- creating

static void register_buffers(mt_rollout_worker *w) {
    const mt_rollout_worker_desc *d = &w->desc;
    const mt_codec *c = &w->codec;
    int64_t n = d->envs;
    mt_arena *arena = &w->arena;
    mt_segment_shape shape = {.steps = d->steps, .envs = n, .obs = c->obs, .action = c->action_count, .logits = c->logits,
        .masked = mt_env_has_action_mask(w->env), .state = d->policy->sizes.state};
    w->segment.shape = shape;
    if (!d->outside) mt_segment_register(&w->segment, &shape, arena);
    if (!d->device) mt_actor_register(&w->actor, &(mt_actor_desc){.policy = d->policy, .kernels = d->kernels, .use = MT_RNG_ACTION, .seed = d->seed,
        .first_env = d->first_env, .rows = n}, arena);
    mt_arena_add(arena, &w->raw, c->observation->bytes * (size_t)n, "raw observations");
    mt_arena_add(arena, &w->final_raw, c->observation->bytes * (size_t)n, "final observations");
    MT_ARENA_ADD(arena, w->mask, shape.masked ? n * c->logits : 0);
    MT_ARENA_ADD(arena, w->encoded, n * c->obs);
    MT_ARENA_ADD(arena, w->clipped, c->logits ? 0 : n * c->action_count);
    MT_ARENA_ADD(arena, w->memory, d->device ? n * d->policy->sizes.state : 0);
    MT_ARENA_ADD(arena, w->cut_value, n);
    MT_ARENA_ADD(arena, w->cut, n);
    MT_ARENA_ADD(arena, w->episode_reward, n);
    MT_ARENA_ADD(arena, w->episode_steps, n);
    MT_ARENA_ADD(arena, w->discounted, n);
    MT_ARENA_ADD(arena, w->episodes, n * d->steps);
    const mt_normaliser *job = d->normaliser;
    mt_normaliser *both[] = {&w->normaliser, &w->seen};
    for (int i = 0; i < 2; i++)
        mt_normaliser_register_inputs(both[i], c->obs, c->inputs, c->input_count, job->observations, job->rewards, job->clip_obs,
            job->clip_reward, arena);
    MT_ARENA_ADD(arena, w->moments, mt_normaliser_doubles(&w->seen));
}

static manta_env_batch batch_at(mt_rollout_worker *w, void *obs, uint8_t *mask) {
    return (manta_env_batch){.struct_size = sizeof(manta_env_batch), .num_envs = (uint32_t)w->desc.envs, .obs = obs,
        .final_obs = w->final_raw, .action_mask = mask};
}

static void draw_seeds(const mt_rollout_worker *w, uint64_t step, uint64_t *seeds) {
    for (int i = 0; i < w->desc.envs; i++) {
        mt_rng rng = mt_rng_at(w->desc.seed, mt_rng_stream(MT_RNG_ENV, w->desc.first_env + (uint64_t)i), step);
        seeds[i] = mt_rng_u64(&rng);
    }
}

static mt_status start_environments(mt_rollout_worker *w) {
    const mt_rollout_worker_desc *d = &w->desc;
    uint64_t *seeds = malloc(sizeof *seeds * (size_t)d->envs);
    if (!seeds) return MT_FAIL(NO_MEMORY, "cannot allocate %d seeds", d->envs);
    draw_seeds(w, 0, seeds);
    mt_status status = mt_env_create(d->env,
        &(manta_env_config){.struct_size = sizeof(manta_env_config), .num_envs = (uint32_t)d->envs, .seeds = seeds,
            .option_count = d->option_count, .options = d->options}, &w->env);
    free(seeds);
    return status;
}

// whether the device can step the environments, and how
static mt_status find_classic(const mt_rollout_worker *w, mt_classic *out) {
    if (!w->desc.device || w->desc.host_envs) return MT_FAIL(UNSUPPORTED, "environments step on the CPU as asked for");
    if (w->desc.normaliser->observations)
        return MT_FAIL(UNSUPPORTED, "observations are normalised (norm_obs), and their running statistics are the CPU's");
    // a rank has several workers, and their rows stand beside activations and whatever learns there
    double bytes = 4.0 * (2 * w->codec.obs + 4) * w->desc.envs * w->desc.steps, most = (double)(w->desc.device->memory_bytes / mt_device_actor_part(w->desc.workers));
    if (bytes > most)
        return MT_FAIL(UNSUPPORTED, "what %d steps of %d of them leave takes %.0f MiB of the GPU's memory, and %.0f are for it; fewer n_steps "
            "or more n_workers", w->desc.steps, w->desc.envs, bytes / (1 << 20), most / (1 << 20));
    return mt_env_classic(w->env, out);
}

mt_status mt_rollout_worker_carried(const mt_rollout_worker *w) {
    mt_classic classic;
    return find_classic(w, &classic);
}

static mt_status start_device(mt_rollout_worker *w) {
    const mt_rollout_worker_desc *d = &w->desc;
    mt_classic classic;
    w->carried = find_classic(w, &classic) == MT_OK;
    MT_TRY(mt_device_actor_create(&(mt_device_actor_desc){.device = d->device, .cpu = d->kernels, .precision = d->precision,
        .policy = d->policy, .weights = d->device_weights, .seed = d->seed, .first_env = d->first_env, .rows = d->envs,
        .masked = w->segment.shape.masked, .envs = w->carried ? &classic : NULL, .steps = d->steps, .actors = d->workers}, &w->there));
    w->io = mt_device_actor_io_of(w->there);
    return MT_OK;
}

// to the device, as they are here
static mt_status send_environments(mt_rollout_worker *w) {
    size_t bytes = mt_env_snapshot_bytes(w->env);
    void *snapshot = malloc(bytes);
    if (!snapshot) return MT_FAIL(NO_MEMORY, "cannot allocate %zu bytes of snapshots", bytes);
    mt_status status = mt_env_snapshot_save(w->env, snapshot);
    if (status == MT_OK) status = mt_device_actor_put_envs(w->there, snapshot);
    free(snapshot);
    return status;
}

static mt_status build(mt_rollout_worker *w) {
    MT_TRY(start_environments(w));
    MT_TRY(mt_codec_init(&w->codec, w->env, w->desc.policy->desc.embedding > 0));
    register_buffers(w);
    MT_TRY(mt_arena_commit(&w->arena));
    if (w->desc.device) MT_TRY(start_device(w));
    else mt_actor_begin(&w->actor);
    w->direct = w->codec.obs_is_plain && !w->desc.normaliser->observations;
    manta_env_batch batch = batch_at(w, w->raw, w->mask);
    MT_TRY(mt_env_reset(w->env, &batch, NULL, NULL));
    return w->carried ? send_environments(w) : MT_OK;
}

mt_status mt_rollout_worker_create(const mt_rollout_worker_desc *desc, mt_rollout_worker **out) {
    *out = NULL;
    mt_rollout_worker *w = calloc(1, sizeof *w);
    if (!w) return MT_FAIL(NO_MEMORY, "cannot allocate a rollout worker");
    w->desc = *desc;
    mt_status status = build(w);
    if (status != MT_OK) {
        mt_rollout_worker_destroy(w);
        return status;
    }
    *out = w;
    return MT_OK;
}

void mt_rollout_worker_destroy(mt_rollout_worker *w) {
    if (!w) return;
    mt_device_actor_destroy(w->there);
    mt_env_destroy(w->env);
    mt_arena_fini(&w->arena);
    free(w);
}

void mt_rollout_worker_bind(mt_rollout_worker *w, void *memory) {
    MT_ASSERT(w->desc.outside);
    mt_segment_shape shape = w->segment.shape;
    mt_segment_bind(&w->segment, &shape, memory);
}

// ---- collecting

// raw observations (rows) as the policy sees them
static void see(mt_rollout_worker *w, int64_t rows, const void *raw, float *out) {
    mt_codec_encode(&w->codec, rows, raw, out);
    mt_normaliser_apply(&w->normaliser, w->desc.kernels, rows, out, out);
}

// takes encoded observations (N) into the statistics
static void observe(mt_rollout_worker *w, const float *encoded) {
    if (!w->normaliser.observations) return;
    mt_normaliser_update(&w->normaliser, w->desc.kernels, w->desc.envs, encoded);
    mt_normaliser_update(&w->seen, w->desc.kernels, w->desc.envs, encoded);
    mt_normaliser_publish(&w->normaliser);
}

// recurrent: where the next observation begins an episode
static uint8_t *start_flags(mt_rollout_worker *w) { return w->there ? w->io->start : w->actor.start; }

static int explores(const mt_rollout_worker *w, int64_t t) {
    int freq = w->desc.sde_sample_freq;
    return t == 0 || (freq > 0 && t % freq == 0);
}

static void act(mt_rollout_worker *w, int64_t t) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs, a = s->shape.action;
    if (s->start) memcpy(s->start + t * n, w->actor.start, (size_t)n);
    if (explores(w, t)) mt_actor_resample(&w->actor, w->weights, w->step);
    mt_actor_sample(&w->actor, w->weights, s->obs + t * n * s->shape.obs, s->mask ? s->mask + t * n * s->shape.logits : NULL,
        w->step, s->action ? s->action + t * n * a : NULL, s->choice ? s->choice + t * n * a : NULL, s->log_prob + t * n);
    if (s->start) memcpy(s->value + t * n, w->actor.value, sizeof(float) * (size_t)n);
}

// what the policy sees at step t, for the device
static void show(mt_rollout_worker *w, int64_t t) {
    const mt_segment *s = &w->segment;
    int64_t n = s->shape.envs;
    memcpy(w->io->obs, s->obs + t * n * s->shape.obs, sizeof(float) * (size_t)(n * s->shape.obs));
    if (s->mask) memcpy(w->io->mask, s->mask + t * n * s->shape.logits, (size_t)(n * s->shape.logits));
    *w->io->step = w->step;
}

mt_status mt_rollout_worker_ask(mt_rollout_worker *w, int64_t t) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs;
    if (w->carried) {
        if (t == 0) show(w, t);
        if (t == 0) MT_TRY(mt_device_actor_begin(w->there));
        return mt_device_actor_ask(w->there, explores(w, t));
    }
    if (s->start) memcpy(s->start + t * n, w->io->start, (size_t)n);
    show(w, t);
    return mt_device_actor_ask(w->there, explores(w, t));
}

// V of the episodes that were cut: in the segment once the device is done with them
static void take_cut_values(mt_rollout_worker *w) {
    float *to = w->segment.final_value + w->cut_step * w->segment.shape.envs;
    for (int64_t i = 0; i < w->cuts; i++) to[w->io->cut[i]] = w->io->cut_value[i];
    w->cuts = 0;
}

// what was asked for step t
static mt_status take(mt_rollout_worker *w, int64_t t) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs, a = s->shape.action;
    MT_TRY(mt_device_actor_wait(w->there));
    if (s->choice) memcpy(s->choice + t * n * a, w->io->choice, sizeof *s->choice * (size_t)(n * a));
    else memcpy(s->action + t * n * a, w->io->action, sizeof *s->action * (size_t)(n * a));
    memcpy(s->log_prob + t * n, w->io->log_prob, sizeof *s->log_prob * (size_t)n);
    memcpy(s->value + t * n, w->io->value, sizeof *s->value * (size_t)n);
    take_cut_values(w);
    return MT_OK;
}

static mt_status step(mt_rollout_worker *w, int64_t t) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs;
    float *next = s->obs + (t + 1) * n * s->shape.obs;
    if (s->action) mt_codec_clip(&w->codec, n, s->action + t * n * s->shape.action, w->clipped);
    manta_env_batch batch =
        batch_at(w, w->direct ? (void *)next : w->raw, s->mask ? s->mask + (t + 1) * n * s->shape.logits : NULL);
    batch.action = s->choice ? (const void *)(s->choice + t * n * s->shape.action) : w->clipped;
    batch.reward = s->reward + t * n;
    batch.terminated = s->terminated + t * n;
    batch.truncated = s->truncated + t * n;
    MT_TRY(mt_env_step(w->env, &batch));
    w->step++;
    if (w->direct) return MT_OK;
    mt_codec_encode(&w->codec, n, w->raw, next);
    observe(w, next);
    mt_normaliser_apply(&w->normaliser, w->desc.kernels, n, next, next);
    return MT_OK;
}

// V of the final observation of every episode that was cut and did not end
static mt_status value_of_cut(mt_rollout_worker *w, int64_t t) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs, count = 0;
    size_t bytes = w->codec.observation->bytes;
    float *obs = w->there ? w->io->cut_obs : w->encoded;
    int32_t *cut = w->there ? w->io->cut : w->cut;
    for (int64_t i = 0; i < n; i++)
        if (s->truncated[t * n + i] && !s->terminated[t * n + i]) {
            see(w, 1, (char *)w->final_raw + bytes * (size_t)i, obs + count * s->shape.obs);
            cut[count++] = (int32_t)i;
        }
    if (w->there) {
        w->cuts = count, w->cut_step = t;
        return mt_device_actor_ask_cut(w->there, count);
    }
    mt_actor_value(&w->actor, w->weights, obs, cut, count, w->cut_value);
    for (int64_t i = 0; i < count; i++) s->final_value[t * n + cut[i]] = w->cut_value[i];
    return MT_OK;
}

// Replaces the rewards of step t by normalised ones, with the discounted returns up to and with this step.
static void normalise_rewards(mt_rollout_worker *w, float *reward) {
    const mt_normaliser *norm = &w->normaliser;
    int n = w->desc.envs;
    for (int i = 0; i < n; i++) w->discounted[i] = w->discounted[i] * (float)w->desc.gamma + reward[i];
    w->desc.kernels->running_update(&w->normaliser.returns, n, w->discounted);
    w->desc.kernels->running_update(&w->seen.returns, n, w->discounted);
    mt_normaliser_publish(&w->normaliser);
    for (int i = 0; i < n; i++) {
        float r = reward[i] * norm->reward_scale;
        reward[i] = r > norm->clip_reward ? norm->clip_reward : r < -norm->clip_reward ? -norm->clip_reward : r;
    }
}

// Sums up episodes of the environment's own rewards; says whether any was cut.
static int account(mt_rollout_worker *w, int64_t t) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs;
    float *reward = s->reward + t * n;
    const uint8_t *terminated = s->terminated + t * n, *truncated = s->truncated + t * n;
    unsigned any_cut = 0;
    for (int64_t i = 0; i < n; i++) {
        w->episode_reward[i] += reward[i];
        w->episode_steps[i]++;
        any_cut |= truncated[i];
    }
    if (w->normaliser.rewards) normalise_rewards(w, reward);
    for (int64_t i = 0; i < n; i++)
        if (terminated[i] | truncated[i]) {
            w->episodes[w->episode_count++] = (mt_episode){w->episode_reward[i], w->episode_steps[i]};
            w->episode_reward[i] = 0, w->episode_steps[i] = 0, w->discounted[i] = 0;
        }
    return any_cut != 0;
}

// the states that the segment begins with
static mt_status first_state(mt_rollout_worker *w) {
    const mt_segment *s = &w->segment;
    if (w->there) return mt_device_actor_state_get(w->there, s->state);
    memcpy(s->state, w->actor.state, sizeof(float) * (size_t)(s->shape.envs * s->shape.state));
    return MT_OK;
}

mt_status mt_rollout_worker_begin(mt_rollout_worker *w) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs;
    mt_normaliser_copy(&w->normaliser, w->desc.normaliser);
    mt_normaliser_clear(&w->seen);
    w->episode_count = 0, w->cuts = 0;
    mt_codec_encode(&w->codec, n, w->raw, s->obs);
    if (w->step == 0) observe(w, s->obs);   // the first reset's observations count, too
    mt_normaliser_apply(&w->normaliser, w->desc.kernels, n, s->obs, s->obs);
    if (s->mask) memcpy(s->mask, w->mask, (size_t)(n * s->shape.logits));
    return s->state ? first_state(w) : MT_OK;
}

mt_status mt_rollout_worker_step(mt_rollout_worker *w, int64_t t) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs;
    if (w->carried) {
        w->step++;
        mt_pulse_beat(w->desc.pulse);
        return MT_OK;
    }
    if (w->there) MT_TRY(take(w, t));
    else act(w, t);
    MT_TRY(step(w, t));
    mt_pulse_beat(w->desc.pulse);
    if (account(w, t)) MT_TRY(value_of_cut(w, t));
    uint8_t *start = start_flags(w);
    for (int64_t i = 0; s->start && i < n; i++) start[i] = s->terminated[t * n + i] | s->truncated[t * n + i];
    return MT_OK;
}

// ---- what a device that carried the environments left

static mt_status check_actions(const mt_rollout_worker *w, int64_t t, const mt_device_actor_io *row) {
    const uint8_t *bad = memchr(row->bad, 1, (size_t)w->segment.shape.envs);
    if (!bad) return MT_OK;
    int64_t i = bad - row->bad;
    return MT_FAIL(ENV, "environment %s: action %g of environment %lld is not one of its action space, in step %lld of a segment; did "
        "training diverge?", mt_env_id(w->env), row->choice ? row->choice[i] : (double)row->action[i], (long long)i, (long long)t);
}

// step t out of its row
static void take_row(mt_rollout_worker *w, int64_t t, const mt_device_actor_io *row) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs, a = s->shape.action, o = s->shape.obs;
    if (s->choice) memcpy(s->choice + t * n * a, row->choice, sizeof *s->choice * (size_t)(n * a));
    else memcpy(s->action + t * n * a, row->action, sizeof *s->action * (size_t)(n * a));
    memcpy(s->log_prob + t * n, row->log_prob, sizeof *s->log_prob * (size_t)n);
    memcpy(s->value + t * n, row->value, sizeof *s->value * (size_t)n);
    memcpy(s->reward + t * n, row->reward, sizeof *s->reward * (size_t)n);
    memcpy(s->terminated + t * n, row->terminated, (size_t)n);
    memcpy(s->truncated + t * n, row->truncated, (size_t)n);
    memcpy(s->obs + (t + 1) * n * o, row->obs, sizeof *s->obs * (size_t)(n * o));
    if (row->final_value) memcpy(s->final_value + t * n, row->final_value, sizeof *s->final_value * (size_t)n);
    if (!s->start) return;
    memcpy(s->start + t * n, w->io->start, (size_t)n);
    for (int64_t i = 0; i < n; i++) w->io->start[i] = row->terminated[i] | row->truncated[i];
}

// V of the final observations that stand in cut_obs, for the rows of the segment in w->cut
static mt_status take_values_of_cut(mt_rollout_worker *w) {
    MT_TRY(mt_device_actor_ask_cut(w->there, w->cuts));
    MT_TRY(mt_device_actor_wait(w->there));
    for (int64_t i = 0; i < w->cuts; i++) w->segment.final_value[w->cut[i]] = w->io->cut_value[i];
    w->cuts = 0;
    return MT_OK;
}

// V of the final observations of step t is put off until there are N of them
static mt_status gather_cut(mt_rollout_worker *w, int64_t t, const mt_device_actor_io *row) {
    int64_t n = w->segment.shape.envs, o = w->segment.shape.obs;
    for (int64_t i = 0; i < n; i++) {
        if (!row->truncated[i] || row->terminated[i]) continue;
        memcpy(w->io->cut_obs + w->cuts * o, row->final_obs + i * o, sizeof(float) * (size_t)o);
        w->cut[w->cuts++] = (int32_t)(t * n + i);
        if (w->cuts == n) MT_TRY(take_values_of_cut(w));
    }
    return MT_OK;
}

static mt_status take_rows(mt_rollout_worker *w) {
    MT_TRY(mt_device_actor_ask_rows(w->there));
    MT_TRY(mt_device_actor_ask_value(w->there));
    MT_TRY(mt_device_actor_wait(w->there));
    for (int64_t t = 0; t < w->segment.shape.steps; t++) {
        mt_device_actor_io row = mt_device_actor_row(w->there, t);
        MT_TRY(check_actions(w, t, &row));
        take_row(w, t, &row);
        if (account(w, t) && !row.final_value) MT_TRY(gather_cut(w, t, &row));
    }
    mt_segment *s = &w->segment;
    memcpy(s->value + s->shape.steps * s->shape.envs, w->io->value, sizeof *s->value * (size_t)s->shape.envs);
    return w->cuts ? take_values_of_cut(w) : MT_OK;
}

// the last observations' V, which on the CPU is finish's
static mt_status last_values(mt_rollout_worker *w) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs, last = s->shape.steps;
    if (w->carried) return take_rows(w);
    show(w, last);
    MT_TRY(mt_device_actor_ask_value(w->there));
    MT_TRY(mt_device_actor_wait(w->there));
    take_cut_values(w);
    memcpy(s->value + last * n, w->io->value, sizeof *s->value * (size_t)n);
    return MT_OK;
}

mt_status mt_rollout_worker_end(mt_rollout_worker *w) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs, last = s->shape.steps;
    if (w->there) MT_TRY(last_values(w));
    if (w->direct) memcpy(w->raw, s->obs + last * n * s->shape.obs, sizeof(float) * (size_t)(n * s->shape.obs));
    if (s->mask) memcpy(w->mask, s->mask + last * n * s->shape.logits, (size_t)(n * s->shape.logits));
    mt_normaliser_store(&w->seen, w->moments);
    return MT_OK;
}

mt_status mt_rollout_worker_collect(mt_rollout_worker *w, const mt_weights *weights) {
    w->weights = weights;
    MT_TRY(mt_rollout_worker_begin(w));
    for (int64_t t = 0; t < w->segment.shape.steps; t++) {
        if (w->there) MT_TRY(mt_rollout_worker_ask(w, t));
        MT_TRY(mt_rollout_worker_step(w, t));
    }
    return mt_rollout_worker_end(w);
}

void mt_rollout_worker_finish(mt_rollout_worker *w, const mt_weights *weights) {
    mt_segment *s = &w->segment;
    int64_t n = s->shape.envs, rows = n * s->shape.steps;
    // a recurrent critic has seen all but the last with its actor
    int64_t seen = s->start ? rows : 0;
    if (!w->there) mt_actor_value(&w->actor, weights, s->obs + seen * s->shape.obs, NULL, rows + n - seen, s->value + seen);
    w->desc.kernels->gae(&(mt_gae){
        .steps = s->shape.steps, .envs = n, .reward = s->reward, .value = s->value, .terminated = s->terminated,
        .truncated = s->truncated, .final_value = s->final_value, .gamma = (float)w->desc.gamma,
        .lambda = (float)w->desc.gae_lambda, .advantage = s->advantage, .returns = s->returns,
    });
}

// ---- what others ask

const mt_segment *mt_rollout_worker_segment(const mt_rollout_worker *w) { return &w->segment; }
const double *mt_rollout_worker_moments(const mt_rollout_worker *w) { return w->moments; }

int64_t mt_rollout_worker_episodes(const mt_rollout_worker *w, const mt_episode **out) {
    *out = w->episodes;
    return w->episode_count;
}

// ---- state

// recurrent: where its states stand in main memory
static mt_status memory_of(const mt_rollout_worker *w, float **out) {
    *out = w->there ? w->memory : w->actor.state;
    return w->there ? mt_device_actor_state_get(w->there, w->memory) : MT_OK;
}

mt_status mt_rollout_worker_save(mt_rollout_worker *w, mt_blob *blob) {
    size_t n = (size_t)w->desc.envs, bytes = mt_env_snapshot_bytes(w->env);
    uint8_t *snapshot = malloc(bytes ? bytes : 1);
    if (!snapshot) return MT_FAIL(NO_MEMORY, "cannot allocate %zu bytes of snapshots", bytes);
    float *memory = NULL;
    mt_status status = !bytes ? MT_OK : w->carried ? mt_device_actor_get_envs(w->there, snapshot) : mt_env_snapshot_save(w->env, snapshot);
    if (status == MT_OK && start_flags(w)) status = memory_of(w, &memory);
    if (status != MT_OK) {
        free(snapshot);
        return status;
    }
    mt_blob_put_u64(blob, "step", &w->step, 1);
    mt_blob_put_u8(blob, "environments", snapshot, bytes);
    mt_blob_put_u8(blob, "observations", w->raw, w->codec.observation->bytes * n);
    mt_blob_put_u8(blob, "mask", w->mask, w->mask ? n * (size_t)w->codec.logits : 0);
    mt_blob_put_f32(blob, "episode_reward", w->episode_reward, n);
    mt_blob_put_i32(blob, "episode_steps", w->episode_steps, n);
    mt_blob_put_f32(blob, "discounted", w->discounted, n);
    if (memory) {
        mt_blob_put_f32(blob, "memory", memory, n * (size_t)w->segment.shape.state);
        mt_blob_put_u8(blob, "start", start_flags(w), n);
    }
    free(snapshot);
    return MT_OK;
}

// The environments begin new episodes, keyed by the step so that a resumed run does not see its first ones again.
static mt_status start_anew(mt_rollout_worker *w) {
    size_t n = (size_t)w->desc.envs;
    uint64_t *seeds = malloc(sizeof *seeds * n);
    if (!seeds) return MT_FAIL(NO_MEMORY, "cannot allocate %zu seeds", n);
    draw_seeds(w, w->step, seeds);
    memset(w->episode_reward, 0, sizeof *w->episode_reward * n);
    memset(w->episode_steps, 0, sizeof *w->episode_steps * n);
    memset(w->discounted, 0, sizeof *w->discounted * n);
    if (start_flags(w)) memset(start_flags(w), 1, n);
    manta_env_batch batch = batch_at(w, w->raw, w->mask);
    mt_status status = mt_env_reset(w->env, &batch, seeds, NULL);
    free(seeds);
    return status;
}

mt_status mt_rollout_worker_load(mt_rollout_worker *w, mt_blob_reader *reader, int *exact) {
    size_t n = (size_t)w->desc.envs, bytes = 0;
    const void *snapshot = NULL;
    mt_blob_get_u64(reader, "step", &w->step, 1);
    mt_blob_view(reader, "environments", MT_U8, &snapshot, &bytes);
    mt_blob_get_u8(reader, "observations", w->raw, w->codec.observation->bytes * n);
    mt_blob_get_u8(reader, "mask", w->mask, w->mask ? n * (size_t)w->codec.logits : 0);
    mt_blob_get_f32(reader, "episode_reward", w->episode_reward, n);
    mt_blob_get_i32(reader, "episode_steps", w->episode_steps, n);
    mt_blob_get_f32(reader, "discounted", w->discounted, n);
    float *memory = w->there ? w->memory : w->actor.state;
    if (start_flags(w)) {
        mt_blob_get_f32(reader, "memory", memory, n * (size_t)w->segment.shape.state);
        mt_blob_get_u8(reader, "start", start_flags(w), n);
    }
    MT_TRY(reader->status);
    if (start_flags(w) && w->there) MT_TRY(mt_device_actor_state_set(w->there, memory));
    if (exact) *exact = bytes != 0;
    MT_TRY(bytes ? mt_env_snapshot_load(w->env, snapshot, bytes) : start_anew(w));
    return w->carried ? send_environments(w) : MT_OK;
}
