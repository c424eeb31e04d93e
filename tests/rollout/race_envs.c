// Race test of the environments, for ThreadSanitizer (Criterion does not start under it): two instances of each built-in
// environment in two threads, created, stepped, saved, drawn and destroyed at the same time, from one registry.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rollout/env.h"
#include "rollout/env_registry.h"

enum { ROWS = 11, STEPS = 400 };

typedef struct job {
    const mt_env_registry *registry;
    uint64_t hash;
} job;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, mt_last_error());
    exit(1);
}

static uint64_t run_one(const manta_env_desc *desc) {
    uint64_t seeds[ROWS], hash = 0, random = 5;
    manta_env_config config = {.struct_size = sizeof config, .num_envs = ROWS, .seeds = seeds};
    mt_env *env;
    mt_env_buffers io;
    char picture[4096];
    for (int i = 0; i < ROWS; i++) seeds[i] = (uint64_t)i;
    if (mt_env_create(desc, &config, &env) != MT_OK || mt_env_buffers_init(&io, env) != MT_OK) fail(desc->id);
    if (mt_env_reset(env, &io.batch, NULL, NULL) != MT_OK) fail(desc->id);
    for (int t = 0; t < STEPS; t++) {
        for (int i = 0; i < ROWS; i++)
            if (mt_env_action_space(env)->kind == MANTA_SPACE_DISCRETE)
                ((int32_t *)io.action)[i] = (int32_t)(manta_rand_u64(&random) & 1);
            else
                ((float *)io.action)[i] = (float)manta_rand_uniform(&random, -1, 1);
        if (mt_env_step(env, &io.batch) != MT_OK) fail(desc->id);
        for (int i = 0; i < ROWS; i++) {
            uint32_t bits;
            memcpy(&bits, (float *)io.batch.obs + i, sizeof bits);
            hash = hash * UINT64_C(0x100000001b3) + bits;
        }
    }
    void *saved = malloc(mt_env_snapshot_bytes(env));
    if (mt_env_snapshot_save(env, saved) != MT_OK || mt_env_snapshot_load(env, saved, mt_env_snapshot_bytes(env)) != MT_OK ||
        mt_env_render(env, 3, picture, sizeof picture) != MT_OK)
        fail(desc->id);
    free(saved);
    mt_env_buffers_fini(&io);
    mt_env_destroy(env);
    return hash;
}

static void *run(void *context) {
    job *j = context;
    for (size_t k = 0; k < mt_env_registry_count(j->registry); k++) j->hash ^= run_one(mt_env_registry_at(j->registry, k)) * (k + 1);
    return NULL;
}

int main(void) {
    mt_env_registry *registry;
    pthread_t threads[2];
    if (mt_env_registry_create(&registry) != MT_OK) fail("registry");
    job jobs[2] = {{registry, 0}, {registry, 0}};
    for (int t = 0; t < 2; t++)
        if (pthread_create(&threads[t], NULL, run, &jobs[t]) != 0) return 2;
    for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
    mt_env_registry_destroy(registry);
    if (jobs[0].hash != jobs[1].hash) return fprintf(stderr, "the two threads got different results\n"), 1;
    return 0;
}
