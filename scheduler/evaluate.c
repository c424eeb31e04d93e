// Evaluation. One thread; makes and destroys its environments.
#include "scheduler/evaluate.h"

#include "engine/base/clock.h"

#include <math.h>
#include <stdlib.h>

enum { ENVIRONMENTS_MAX = 16, PICTURE_BYTES = 1 << 16, STEPS_MAX = 100000000,
    RESAMPLE_STEPS = 64 };   // gSDE's matrices are held so long

typedef struct evaluator {
    const mt_evaluate_desc *desc;
    mt_env *env;              // owned
    mt_env_buffers io;
    mt_codec codec;
    mt_actor actor;
    mt_arena arena;
    int envs;
    float *obs, *action, *log_prob;
    int *left;                // (envs) episodes still to play
    double *reward;           // (envs) of the running episode
    int32_t *steps;
    char *picture;            // NULL when nothing is drawn
    mt_evaluation *out;
} evaluator;

static mt_status start(evaluator *e) {
    const mt_evaluate_desc *d = e->desc;
    uint64_t seeds[ENVIRONMENTS_MAX];
    e->envs = d->render ? 1 : d->episodes < ENVIRONMENTS_MAX ? d->episodes : ENVIRONMENTS_MAX;
    for (int i = 0; i < e->envs; i++) {
        mt_rng rng = mt_rng_at(d->seed, mt_rng_stream(MT_RNG_EVAL, (uint64_t)i), UINT64_MAX);
        seeds[i] = mt_rng_u64(&rng);
    }
    MT_TRY(mt_env_create(d->env, &(manta_env_config){.struct_size = sizeof(manta_env_config), .num_envs = (uint32_t)e->envs,
        .seeds = seeds, .option_count = d->option_count, .options = d->options}, &e->env));
    MT_TRY(mt_codec_init(&e->codec, e->env, e->desc->policy->desc.embedding > 0));
    MT_TRY(mt_env_buffers_init(&e->io, e->env));
    mt_actor_register(&e->actor, &(mt_actor_desc){.policy = d->policy, .kernels = d->kernels, .use = MT_RNG_EVAL, .seed = d->seed, .rows = e->envs},
        &e->arena);
    MT_ARENA_ADD(&e->arena, e->obs, e->envs * e->codec.obs);
    MT_ARENA_ADD(&e->arena, e->action, e->envs * e->codec.action_count);
    MT_ARENA_ADD(&e->arena, e->log_prob, e->envs);
    MT_ARENA_ADD(&e->arena, e->left, e->envs);
    MT_ARENA_ADD(&e->arena, e->reward, e->envs);
    MT_ARENA_ADD(&e->arena, e->steps, e->envs);
    MT_ARENA_ADD(&e->arena, e->picture, d->render ? PICTURE_BYTES : 0);
    MT_TRY(mt_arena_commit(&e->arena));
    mt_actor_begin(&e->actor);
    for (int i = 0; i < e->envs; i++) e->left[i] = d->episodes / e->envs + (i < d->episodes % e->envs);
    return mt_env_reset(e->env, &e->io.batch, NULL, NULL);
}

static mt_status draw(evaluator *e) {
    if (!e->picture) return MT_OK;
    MT_TRY(mt_env_render(e->env, 0, e->picture, PICTURE_BYTES));
    fprintf(e->desc->render, "\033[H\033[J%sepisode %d  step %d  return %.1f\n", e->picture, e->out->episodes + 1, e->steps[0],
        e->reward[0]);
    fflush(e->desc->render);
    mt_sleep_ns(e->desc->render_delay_ms * MT_MILLISECOND_NS);
    return MT_OK;
}

static void act(evaluator *e, uint64_t step) {
    const mt_evaluate_desc *d = e->desc;
    int32_t *choice = e->codec.logits ? e->io.action : NULL;
    mt_codec_encode(&e->codec, e->envs, e->io.batch.obs, e->obs);
    mt_normaliser_apply(d->normaliser, d->kernels, e->envs, e->obs, e->obs);
    if (d->stochastic) {
        if (step % RESAMPLE_STEPS == 0) mt_actor_resample(&e->actor, d->weights, step);
        mt_actor_sample(&e->actor, d->weights, e->obs, e->io.batch.action_mask, step, e->action, choice, e->log_prob);
    } else {
        mt_actor_mode(&e->actor, d->weights, e->obs, e->io.batch.action_mask, e->action, choice);
    }
    if (!choice) mt_codec_clip(&e->codec, e->envs, e->action, e->io.action);
}

static void account(evaluator *e) {
    const manta_env_batch *b = &e->io.batch;
    for (int i = 0; i < e->envs; i++) {
        e->reward[i] += b->reward[i];
        e->steps[i]++;
        if (!b->terminated[i] && !b->truncated[i]) continue;
        if (e->actor.start) e->actor.start[i] = 1;
        if (e->left[i] > 0) {
            e->left[i]--;
            e->out->each[e->out->episodes++] = (mt_episode){(float)e->reward[i], e->steps[i]};
        }
        e->reward[i] = 0, e->steps[i] = 0;
    }
}

static void summarise(mt_evaluation *out) {
    double sum = 0, squares = 0, steps = 0;
    out->min_reward = INFINITY, out->max_reward = -INFINITY;
    for (int i = 0; i < out->episodes; i++) {
        double r = out->each[i].reward;
        sum += r, steps += out->each[i].steps;
        out->min_reward = fmin(out->min_reward, r), out->max_reward = fmax(out->max_reward, r);
    }
    out->mean_reward = sum / out->episodes, out->mean_ep_length = steps / out->episodes;
    for (int i = 0; i < out->episodes; i++) squares += pow(out->each[i].reward - out->mean_reward, 2);
    out->std_reward = sqrt(squares / out->episodes);
}

static mt_status play(evaluator *e) {
    MT_TRY(draw(e));
    for (uint64_t step = 0; e->out->episodes < e->desc->episodes; step++) {
        if (step == STEPS_MAX)
            return MT_FAIL(ENV, "%s: %d of %d episodes ended in %d steps; give the environment a time limit", e->desc->env->id,
                e->out->episodes, e->desc->episodes, STEPS_MAX);
        act(e, step);
        MT_TRY(mt_env_step(e->env, &e->io.batch));
        mt_pulse_beat(e->desc->pulse);
        account(e);
        if (e->out->episodes < e->desc->episodes) MT_TRY(draw(e));   // the last picture stays
    }
    return MT_OK;
}

mt_status mt_evaluate(const mt_evaluate_desc *desc, mt_evaluation *out) {
    *out = (mt_evaluation){.each = calloc((size_t)desc->episodes, sizeof *out->each)};
    if (!out->each) return MT_FAIL(NO_MEMORY, "cannot allocate the results of %d episodes", desc->episodes);
    evaluator e = {.desc = desc, .out = out};
    mt_status status = start(&e);
    if (status == MT_OK) status = play(&e);
    if (status == MT_OK) summarise(out);
    if (e.env) mt_env_buffers_fini(&e.io);
    mt_env_destroy(e.env);
    mt_arena_fini(&e.arena);
    if (status != MT_OK) mt_evaluation_fini(out);
    return status;
}

void mt_evaluation_fini(mt_evaluation *evaluation) {
    free(evaluation->each);
    *evaluation = (mt_evaluation){0};
}
