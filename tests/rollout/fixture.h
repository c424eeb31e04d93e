// What the tests of this floor share: a private folder for plugins, a batch of environments with its buffers.
#ifndef MANTA_TESTS_ROLLOUT_FIXTURE_H
#define MANTA_TESTS_ROLLOUT_FIXTURE_H

#include <criterion/criterion.h>
#include <math.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rollout/env.h"
#include "rollout/env_registry.h"
#include "rollout/envs/builtin.h"

#define UNUSED_OK __attribute__((unused))

// Copies plugins/NAME.so into a new folder that only we can write to (the build folder's mode depends on the umask).
// Returns the copy's path in a static buffer.
UNUSED_OK static const char *plugin_copy(const char *from) {
    static char path[64];
    char folder[] = "/tmp/manta-test-XXXXXX", command[2 * PATH_MAX + 256];
    cr_assert(mkdtemp(folder), "no temporary folder");
    snprintf(path, sizeof path, "%s/plugin.so", folder);
    snprintf(command, sizeof command, "cp '%s' '%s' && chmod 755 '%s'", from, path, path);
    cr_assert(system(command) == 0, "cannot copy %s", from);
    return path;
}

UNUSED_OK static const char *walk_plugin(const char *name) {
    char from[2 * PATH_MAX];
    snprintf(from, sizeof from, "%s/%s.so", WALK_PLUGINS, name);
    return plugin_copy(from);
}

UNUSED_OK static void plugin_remove(const char *path) {
    char folder[PATH_MAX];
    unlink(path);
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    rmdir(folder);
}

UNUSED_OK static const manta_env_desc *builtin(mt_isa isa, const char *id) {
    size_t count;
    const manta_env_desc *const *descs = mt_env_builtins(isa, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(descs[i]->id, id) == 0) return descs[i];
    return NULL;
}

// in the registry's order: those recorded from Gymnasium, the others with physics, the rest
static const char *const builtin_ids[] = {"CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1", "Acrobot-v1",
    "CartPoleNoVel-v1", "MemoryChain-v0", "Catch-v0", "CatchOrDodge-v0"};
enum { RECORDED = 5, CLASSICS = 6, BUILTINS = sizeof builtin_ids / sizeof *builtin_ids };

typedef struct batch_env {
    mt_env *env;
    mt_env_buffers io;
} batch_env;

// Environment i gets seed + i. `options`: "key", "value", ..., NULL; nullable.
UNUSED_OK static void batch_open(batch_env *b, const manta_env_desc *desc, uint32_t rows, uint64_t seed, const char *const *options) {
    uint64_t *seeds = malloc(rows * sizeof *seeds);
    manta_env_option given[4];
    manta_env_config config = {.struct_size = sizeof config, .num_envs = rows, .seeds = seeds, .options = given};
    for (uint32_t i = 0; i < rows; i++) seeds[i] = seed + i;
    for (; options && options[0]; options += 2) given[config.option_count++] = (manta_env_option){options[0], options[1]};
    cr_assert(mt_env_create(desc, &config, &b->env) == MT_OK, "%s", mt_last_error());
    cr_assert(mt_env_buffers_init(&b->io, b->env) == MT_OK);
    cr_assert(mt_env_reset(b->env, &b->io.batch, NULL, NULL) == MT_OK, "%s", mt_last_error());
    free(seeds);
}

UNUSED_OK static void batch_close(batch_env *b) {
    mt_env_buffers_fini(&b->io);
    mt_env_destroy(b->env);
}

// Random actions that depend on (seed, row, step) alone.
UNUSED_OK static void batch_choose(batch_env *b, uint64_t seed, uint32_t first_row, uint64_t step) {
    const mt_space *space = mt_env_action_space(b->env);
    for (uint32_t i = 0; i < mt_env_count(b->env); i++) {
        uint64_t random = seed + (first_row + i) * UINT64_C(1000003) + step * UINT64_C(7919);
        if (space->kind == MANTA_SPACE_DISCRETE)
            ((int32_t *)b->io.action)[i] = (int32_t)(manta_rand_u64(&random) % (uint64_t)space->nvec[0]);
        else
            ((float *)b->io.action)[i] = (float)manta_rand_uniform(&random, 1.2 * (double)space->low[0], 1.2 * (double)space->high[0]);
    }
}

UNUSED_OK static void batch_step(batch_env *b) {
    mt_status status = mt_env_step(b->env, &b->io.batch);
    if (status != MT_OK) cr_assert_fail("%s", mt_last_error());
}

#endif
