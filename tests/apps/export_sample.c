// The manta side of export_runs.py: plays a run's policy for a while and writes what it saw and did, row t·N + n.
//     export_sample RUN_FOLDER OUT.safetensors
//     obs (rows, O) encoded, before the normaliser; start (T, N); head; value; log_std (box); action (rows, A), int32 or float
#include "policies/safetensors.h"
#include "scheduler/saved_run.h"

#include <stdio.h>
#include <string.h>

enum { STEPS = 40, ENVS = 3, ROWS = STEPS * ENVS };

typedef struct sample {
    mt_saved_run run;
    mt_env *env;
    mt_env_buffers io;
    mt_codec codec;
    mt_arena arena;
    mt_policy_space space;
    float *obs, *normal, *head, *value, *log_std, *action, *state;
    int32_t *choice;
    uint8_t *start;
} sample;

static mt_status set_up(sample *s) {
    const mt_policy *p = s->run.policy;
    const uint64_t seeds[ENVS] = {1, 2, 3};
    MT_TRY(mt_env_create(s->run.environment.desc, &(manta_env_config){.struct_size = sizeof(manta_env_config), .num_envs = ENVS,
        .seeds = seeds, .option_count = s->run.environment.option_count, .options = s->run.environment.options}, &s->env));
    MT_TRY(mt_codec_init(&s->codec, s->env, s->run.ppo.embedding_dim > 0));
    MT_TRY(mt_env_buffers_init(&s->io, s->env));
    mt_policy_space_register(&s->space, p, s->run.kernels, ENVS, 0, &s->arena);
    MT_ARENA_ADD(&s->arena, s->obs, ROWS * s->codec.obs);
    MT_ARENA_ADD(&s->arena, s->normal, ENVS * s->codec.obs);
    MT_ARENA_ADD(&s->arena, s->head, ROWS * p->head);
    MT_ARENA_ADD(&s->arena, s->value, ROWS);
    MT_ARENA_ADD(&s->arena, s->log_std, ROWS * p->desc.action);
    MT_ARENA_ADD(&s->arena, s->action, ROWS * p->desc.action);
    MT_ARENA_ADD(&s->arena, s->choice, ROWS * p->desc.action);
    MT_ARENA_ADD(&s->arena, s->start, ROWS + ENVS);
    MT_ARENA_ADD(&s->arena, s->state, ENVS * p->sizes.state);
    MT_TRY(mt_arena_commit(&s->arena));
    memset(s->start, 1, ENVS);
    return mt_env_reset(s->env, &s->io.batch, NULL, NULL);
}

// what manta eval does, with everything on the way kept
static mt_status step(sample *s, int t) {
    const mt_policy *p = s->run.policy;
    int actions = p->desc.action;
    float *obs = s->obs + t * ENVS * s->codec.obs;
    mt_sequences one = {.steps = 1, .envs = ENVS, .start = s->start + t * ENVS, .state = s->state, .state_out = s->state,
        .state_stride = p->sizes.state};
    mt_codec_encode(&s->codec, ENVS, s->io.batch.obs, obs);
    mt_normaliser_apply(&s->run.normaliser, s->run.kernels, ENVS, obs, s->normal);
    mt_policy_output out = mt_policy_forward(p, s->run.kernels, &s->run.weights, s->normal, ENVS, p->recurrent ? &one : NULL,
        MT_POLICY_BOTH, &s->space);
    memcpy(s->head + t * ENVS * p->head, out.head, sizeof(float) * ENVS * (size_t)p->head);
    memcpy(s->value + t * ENVS, out.value, sizeof(float) * ENVS);
    if (s->codec.logits) {
        mt_categorical d = mt_policy_categorical(p, &out, NULL, ENVS);
        s->run.kernels->categorical_mode(&d, s->choice + t * ENVS * actions);
        memcpy(s->io.action, s->choice + t * ENVS * actions, sizeof(int32_t) * (size_t)(ENVS * actions));
    } else {
        for (int i = 0; i < ENVS * actions; i++)
            s->log_std[t * ENVS * actions + i] = out.log_std[p->desc.distribution == MT_DIST_GSDE ? i : i % actions];
        mt_codec_clip(&s->codec, ENVS, out.head, s->action + t * ENVS * actions);
        memcpy(s->io.action, s->action + t * ENVS * actions, sizeof(float) * (size_t)(ENVS * actions));
    }
    MT_TRY(mt_env_step(s->env, &s->io.batch));
    for (int n = 0; n < ENVS; n++) s->start[(t + 1) * ENVS + n] = s->io.batch.terminated[n] || s->io.batch.truncated[n];
    return MT_OK;
}

static mt_status save(const sample *s, const char *path) {
    const mt_policy *p = s->run.policy;
    int box = s->codec.logits == 0;
    const mt_named_tensor tensors[] = {
        {"obs", {s->obs, MT_F32, 2, {ROWS, s->codec.obs}}},
        {"start", {s->start, MT_U8, 2, {STEPS, ENVS}}},
        {"head", {s->head, MT_F32, 2, {ROWS, p->head}}},
        {"value", {s->value, MT_F32, 1, {ROWS}}},
        {"action", {box ? (void *)s->action : s->choice, box ? MT_F32 : MT_I32, 2, {ROWS, p->desc.action}}},
        {"log_std", {s->log_std, MT_F32, 2, {ROWS, p->desc.action}}},
    };
    return mt_safetensors_save(path, tensors, box ? 6 : 5, NULL, 0);
}

int main(int argc, char **argv) {
    static sample s;
    if (argc != 3) return fprintf(stderr, "export_sample RUN_FOLDER OUT.safetensors\n"), 2;
    mt_status status = mt_saved_run_open(argv[1], NULL, 0, &s.run);
    if (status == MT_OK) status = set_up(&s);
    for (int t = 0; t < STEPS && status == MT_OK; t++) status = step(&s, t);
    if (status == MT_OK) status = save(&s, argv[2]);
    if (status != MT_OK) fprintf(stderr, "%s\n", mt_last_error());
    if (s.env) mt_env_buffers_fini(&s.io);
    mt_env_destroy(s.env);
    mt_arena_fini(&s.arena);
    if (s.run.policy) mt_saved_run_close(&s.run);
    return status != MT_OK;
}
