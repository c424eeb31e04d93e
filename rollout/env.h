// An environment batch as the engine sees it: the ABI of manta_env.h behind checks and mt_status.
//
//     mt_env_registry *registry;                     // rollout/env_registry.h
//     const manta_env_desc *desc;
//     MT_TRY(mt_env_registry_find(registry, "CartPole-v1", &desc));
//     manta_env_config config = {.struct_size = sizeof config, .num_envs = 8, .seeds = seeds};
//     mt_env *env;
//     MT_TRY(mt_env_create(desc, &config, &env));
//     mt_env_buffers io = {0};                       // or the sampler's own arrays in a manta_env_batch
//     MT_TRY(mt_env_buffers_init(&io, env));
//     MT_TRY(mt_env_reset(env, &io.batch, NULL, NULL));
//     for (;;) { write io.action; MT_TRY(mt_env_step(env, &io.batch)); read io.batch.obs, .reward, ... }
//
// Threads: one at a time for an mt_env. Descriptors and registries are read from any thread.
#ifndef MANTA_ROLLOUT_ENV_H
#define MANTA_ROLLOUT_ENV_H

#include "engine/base/arena.h"
#include "engine/base/status.h"
#include "kernels/classic/classic.h"
#include "rollout/manta_env.h"
#include "rollout/space.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_env mt_env;

// ---- descriptors

// Checks a descriptor as a pure function over memory: struct size, ABI version, id, functions, options. `available` is
// how many bytes may be read at desc (SIZE_MAX inside a loaded plugin). MT_PLUGIN says what is wrong and what to do.
mt_status mt_env_validate_desc(const manta_env_desc *desc, size_t available);

// Checks option keys against what desc accepts: MT_CONFIG names an unknown or repeated key and the nearest known one.
mt_status mt_env_check_options(const manta_env_desc *desc, const manta_env_option *options, uint32_t count);

// ---- life

// Validates descriptor, options and config, makes the environments, validates their spaces. desc must outlive *out.
// MT_PLUGIN: the environment breaks the ABI. MT_CONFIG: num_envs or an option. MT_ENV: its create failed, with its words.
mt_status mt_env_create(const manta_env_desc *desc, const manta_env_config *config, mt_env **out);
void mt_env_destroy(mt_env *env);   // NULL is allowed

const manta_env_desc *mt_env_desc(const mt_env *env);
const char *mt_env_id(const mt_env *env);
uint32_t mt_env_count(const mt_env *env);                          // B
const mt_space *mt_env_observation_space(const mt_env *env);       // owned by env
const mt_space *mt_env_action_space(const mt_env *env);
int mt_env_has_action_mask(const mt_env *env);                     // rows of action_space->logits bytes
manta_env *mt_env_raw(const mt_env *env);                          // for extensions, through mt_env_desc

// ---- stepping

// Arrays as manta_env.h says, owned by the caller; batch->struct_size and num_envs are checked. `seeds` (B) and `mask`
// (B) are nullable. MT_ENV: the environment failed (its message) or broke the contract (flag not 0 or 1, empty action
// mask); MT_NUMERIC: NaN or Inf in an observation or a reward, with environment, element and step. After a failure
// further calls return MT_ENV: destroy the instance.
mt_status mt_env_reset(mt_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask);
mt_status mt_env_step(mt_env *env, const manta_env_batch *batch);

// ---- buffers for callers without arrays of their own (evaluation, tests)

typedef struct mt_env_buffers {
    manta_env_batch batch;   // every pointer set; action_mask where the environment has masks
    void *action;            // (B, action): batch.action, writable
    mt_arena arena;          // owns them
} mt_env_buffers;

// `io` must not move afterwards: its arena points into it.
mt_status mt_env_buffers_init(mt_env_buffers *io, const mt_env *env);
void mt_env_buffers_fini(mt_env_buffers *io);

// ---- extensions

// Everything needed to go on exactly, of all B environments. 0 bytes: this environment cannot be saved.
size_t mt_env_snapshot_bytes(const mt_env *env);
mt_status mt_env_snapshot_save(const mt_env *env, void *out);                    // MT_UNSUPPORTED without the extension
mt_status mt_env_snapshot_load(mt_env *env, const void *in, size_t bytes);       // MT_CORRUPT; env is then to be destroyed

// A text picture of environment `index`, zero-terminated UTF-8. MT_UNSUPPORTED when it has none.
mt_status mt_env_render(const mt_env *env, uint32_t index, char *out, size_t bytes);

// How the kernel classic_step goes on from snapshots of these environments, to the bit as they themselves. MT_UNSUPPORTED says why it
// does not: it knows those of classic control alone.
mt_status mt_env_classic(const mt_env *env, mt_classic *out);

#ifdef __cplusplus
}
#endif
#endif
