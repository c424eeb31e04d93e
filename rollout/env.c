// The host's side of an environment batch: checks before the call, the call, checks of what it wrote.
// One thread at a time for an mt_env.
#include "rollout/env.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/text.h"
#include "kernels/kernels.h"
#include "rollout/envs/builtin.h"

struct mt_env {
    const manta_env_desc *desc;       // borrowed
    manta_env *raw;                   // owned
    uint32_t count;
    mt_space observation, action;
    const manta_env_snapshot *snapshot;   // nullable
    const manta_env_render *render;       // nullable
    const mt_kernels *kernels;        // for count_nonfinite
    uint64_t steps;                   // calls of step so far, for messages
    int ready, failed;                // has been reset; a call failed
};

// ---------------------------------------------------------------- descriptors

enum { ID_MAX = 128, OPTIONS_MAX = 1024 };

static int valid_id(const char *id) {
    size_t length = id ? strnlen(id, ID_MAX + 1) : 0;
    if (length == 0 || length > ID_MAX) return 0;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)id[i]) && !strchr("_./-", id[i])) return 0;
    return 1;
}

static mt_status check_functions(const manta_env_desc *desc) {
    struct {
        const char *name;
        int present;
    } const functions[] = {
        {"create", desc->create != NULL},
        {"destroy", desc->destroy != NULL},
        {"observation_space", desc->observation_space != NULL},
        {"action_space", desc->action_space != NULL},
        {"reset", desc->reset != NULL},
        {"step", desc->step != NULL},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!functions[i].present)
            return MT_FAIL(PLUGIN, "environment %s: .%s is NULL; every environment has this function", desc->id, functions[i].name);
    return MT_OK;
}

static mt_status check_option_descs(const manta_env_desc *desc) {
    if (desc->option_count > OPTIONS_MAX || (desc->option_count && !desc->options))
        return MT_FAIL(PLUGIN, "environment %s: option_count is %u but options is %s; at most %d are allowed", desc->id,
            desc->option_count, desc->options ? "given" : "NULL", OPTIONS_MAX);
    for (uint32_t i = 0; i < desc->option_count; i++)
        if (!desc->options[i].key || !desc->options[i].key[0] || !desc->options[i].default_value || !desc->options[i].help)
            return MT_FAIL(PLUGIN, "environment %s: options[%u] needs a key, a default value and a line of help", desc->id, i);
    return MT_OK;
}

mt_status mt_env_validate_desc(const manta_env_desc *desc, size_t available) {
    if (!desc) return MT_FAIL(PLUGIN, "an environment's descriptor is NULL");
    if (available < 2 * sizeof(uint32_t) || desc->struct_size < sizeof *desc || desc->struct_size > available)
        return MT_FAIL(PLUGIN, "an environment's struct_size is %u, ABI version %u needs %zu; set .struct_size = "
            "sizeof(manta_env_desc) and compile against this manta's manta_env.h",
            available < sizeof(uint32_t) ? 0 : desc->struct_size, MANTA_ENV_ABI_VERSION, sizeof *desc);
    if (desc->abi_version != MANTA_ENV_ABI_VERSION)
        return MT_FAIL(PLUGIN, "an environment is of ABI version %u, this manta speaks version %u; recompile it against this "
            "manta's manta_env.h", desc->abi_version, MANTA_ENV_ABI_VERSION);
    if (!valid_id(desc->id))
        return MT_FAIL(PLUGIN, "an environment's id must be 1 to %d of the characters A-Z a-z 0-9 _ . / - (\"MyEnv-v0\")", ID_MAX);
    if (desc->capabilities & ~(uint32_t)(MANTA_ENV_HAS_ACTION_MASK | MANTA_ENV_DETERMINISTIC))
        return MT_FAIL(PLUGIN, "environment %s: capabilities 0x%x has bits that ABI version %u does not know", desc->id,
            desc->capabilities, MANTA_ENV_ABI_VERSION);
    MT_TRY(check_functions(desc));
    return check_option_descs(desc);
}

static const char *option_key_at(const void *list, size_t index) { return ((const manta_env_option_desc *)list)[index].key; }

static int has_option(const manta_env_desc *desc, const char *key) {
    for (uint32_t k = 0; k < desc->option_count; k++)
        if (strcmp(key, desc->options[k].key) == 0) return 1;
    return 0;
}

mt_status mt_env_check_options(const manta_env_desc *desc, const manta_env_option *options, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        const char *key = options[i].key;
        if (!has_option(desc, key)) {
            char hint[160];
            mt_text_did_you_mean(mt_text_nearest_at(key, option_key_at, desc->options, desc->option_count), hint, sizeof hint);
            return MT_FAIL(CONFIG, "environment %s has no option '%s' (`manta envs` lists them)%s", desc->id, key, hint);
        }
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(key, options[k].key) == 0)
                return MT_FAIL(CONFIG, "environment %s: option '%s' is given twice", desc->id, key);
    }
    return MT_OK;
}

// ---------------------------------------------------------------- life

static const void *extension(const manta_env_desc *desc, const char *name, size_t least_bytes) {
    const uint32_t *table = desc->extension ? desc->extension(name) : NULL;   // every table starts with struct_size
    return table && *table >= least_bytes ? table : NULL;
}

static mt_status make(mt_env *env, const manta_env_config *config) {
    char error[MANTA_ERROR_BYTES] = "", what[ID_MAX + 64];
    const manta_env_desc *desc = env->desc;
    manta_env_config given = *config;
    given.struct_size = sizeof given;
    int code = desc->create(&given, &env->raw, error);
    error[MANTA_ERROR_BYTES - 1] = 0;
    if (code != 0) {
        env->raw = NULL;   // *out is NULL on failure, whatever it wrote
        return MT_FAIL(ENV, "environment %s: create failed: %s", desc->id, error[0] ? error : "(it gave no reason)");
    }
    if (!env->raw) return MT_FAIL(PLUGIN, "environment %s: create returned 0 but left *out NULL", desc->id);
    snprintf(what, sizeof what, "environment %s: observation space", desc->id);
    MT_TRY(mt_space_init(&env->observation, desc->observation_space(env->raw), what));
    snprintf(what, sizeof what, "environment %s: action space", desc->id);
    MT_TRY(mt_space_init_action(&env->action, desc->action_space(env->raw), what));
    if (mt_env_has_action_mask(env) && env->action.kind == MANTA_SPACE_BOX)
        return MT_FAIL(PLUGIN, "environment %s: MANTA_ENV_HAS_ACTION_MASK makes no sense with a box of actions", desc->id);
    return MT_OK;
}

mt_status mt_env_create(const manta_env_desc *desc, const manta_env_config *config, mt_env **out) {
    *out = NULL;
    MT_TRY(mt_env_validate_desc(desc, SIZE_MAX));
    if (config->num_envs == 0 || !config->seeds)
        return MT_FAIL(CONFIG, "environment %s: %u environments %s; ask for at least 1, with a seed each", desc->id,
            config->num_envs, config->seeds ? "asked for" : "without seeds");
    MT_TRY(mt_env_check_options(desc, config->options, config->option_count));
    mt_env *env = calloc(1, sizeof *env);
    if (!env) return MT_FAIL(NO_MEMORY, "no memory for an environment");
    env->desc = desc;
    env->count = config->num_envs;
    mt_status status = mt_kernels_choose(&env->kernels);
    if (status == MT_OK) status = make(env, config);
    if (status != MT_OK) {
        mt_env_destroy(env);
        return status;
    }
    env->snapshot = extension(desc, MANTA_EXT_SNAPSHOT, sizeof(manta_env_snapshot));
    env->render = extension(desc, MANTA_EXT_RENDER, sizeof(manta_env_render));
    *out = env;
    return MT_OK;
}

void mt_env_destroy(mt_env *env) {
    if (!env) return;
    env->desc->destroy(env->raw);
    mt_space_fini(&env->observation);
    mt_space_fini(&env->action);
    free(env);
}

const manta_env_desc *mt_env_desc(const mt_env *env) { return env->desc; }
const char *mt_env_id(const mt_env *env) { return env->desc->id; }
uint32_t mt_env_count(const mt_env *env) { return env->count; }
const mt_space *mt_env_observation_space(const mt_env *env) { return &env->observation; }
const mt_space *mt_env_action_space(const mt_env *env) { return &env->action; }
int mt_env_has_action_mask(const mt_env *env) { return (env->desc->capabilities & MANTA_ENV_HAS_ACTION_MASK) != 0; }
manta_env *mt_env_raw(const mt_env *env) { return env->raw; }

// ---------------------------------------------------------------- what an environment wrote

static int any_nonfinite(const mt_env *env, const float *x, size_t count) {
    if (count <= 16) {   // a single row, of which there are many: not worth a call
        uint32_t found = 0;
        for (size_t i = 0; i < count; i++) {
            uint32_t bits;
            memcpy(&bits, x + i, sizeof bits);
            found |= (bits & 0x7f800000u) == 0x7f800000u;
        }
        return (int)found;
    }
    return env->kernels->count_nonfinite((int64_t)count, x) != 0;
}

// row_count: values of one environment; x begins at environment `row`. part: nullable, of the observation
static mt_status report_nonfinite(mt_env *env, const char *array, const mt_space *part, const float *x, size_t row, size_t row_count) {
    size_t at = 0;
    while (isfinite(x[at])) at++;
    env->failed = 1;
    const char *name = part ? part->name : "";
    return MT_FAIL(NUMERIC, "environment %s: %s%s%s[%zu] of environment %zu is %g after step %llu; the run stops here so that it "
        "never reaches a network. `manta plugin check` helps to find why", env->desc->id, array, *name ? "." : "", name, at % row_count,
        row + at / row_count, (double)x[at], (unsigned long long)env->steps);
}

// components of a discrete kind index arrays further on: never let one through that is out of range
static mt_status check_choices(mt_env *env, const char *array, const mt_space *part, const int32_t *x, size_t row, size_t rows) {
    size_t count = (size_t)part->count;
    for (size_t i = 0; i < rows * count; i++) {
        int64_t n = part->nvec[i % count];
        if (x[i] >= 0 && x[i] < n) continue;
        env->failed = 1;
        return MT_FAIL(ENV, "environment %s: %s%s%s[%zu] of environment %zu is %d in step %llu; the observation space allows 0 to %lld",
            env->desc->id, array, *part->name ? "." : "", part->name, i % count, row + i / count, x[i], (unsigned long long)env->steps,
            (long long)n - 1);
    }
    return MT_OK;
}

// x: values of `rows` environments from `row` on, one after the other
static mt_status check_values(mt_env *env, const char *array, const mt_space *part, const void *x, size_t row, size_t rows) {
    size_t count = (size_t)part->count;
    if (part->dtype == MANTA_F32 && any_nonfinite(env, x, rows * count))
        return report_nonfinite(env, array, part, x, row, count);
    return part->kind == MANTA_SPACE_BOX ? MT_OK : check_choices(env, array, part, x, row, rows);
}

static mt_status check_obs(mt_env *env, const char *array, const void *obs, size_t row, size_t rows) {
    const mt_space *space = &env->observation;
    const char *x = (const char *)obs + row * space->bytes;
    if (!space->parts) return check_values(env, array, space, x, row, rows);
    for (int p = 0; p < space->part_count; p++) {
        const mt_space *part = &space->parts[p];
        if (part->dtype == MANTA_U8) continue;   // every byte is a value
        for (size_t r = 0; r < rows; r++)
            MT_TRY(check_values(env, array, part, x + r * space->bytes + part->offset, row + r, 1));
    }
    return MT_OK;
}

static mt_status check_mask(mt_env *env, const uint8_t *mask) {
    const mt_space *space = &env->action;
    for (uint32_t i = 0; i < env->count; i++)
        for (int64_t k = 0; k < space->count; k++) {
            int allowed = 0, odd = 0;
            for (int64_t v = 0; v < space->nvec[k]; v++, mask++) {
                allowed |= *mask;
                odd |= *mask > 1;
            }
            if (allowed && !odd) continue;
            env->failed = 1;
            return MT_FAIL(ENV, "environment %s: the action mask of environment %u %s after step %llu", env->desc->id, i,
                odd ? "has a value other than 0 and 1" : "allows no action", (unsigned long long)env->steps);
        }
    return MT_OK;
}

static mt_status check_end(mt_env *env, const manta_env_batch *batch, size_t row) {
    if ((batch->terminated[row] | batch->truncated[row]) > 1) {
        env->failed = 1;
        return MT_FAIL(ENV, "environment %s: terminated is %u and truncated is %u for environment %zu in step %llu; they are 0 or 1",
            env->desc->id, batch->terminated[row], batch->truncated[row], row, (unsigned long long)env->steps);
    }
    return check_obs(env, "final_obs", batch->final_obs, row, 1);
}

// Flags, and the last observation of each episode that ended. Few do: eight rows are looked at as one word, of which the
// lowest byte that is not zero belongs to the first row that ended (every machine manta runs on is little-endian).
static mt_status check_ends(mt_env *env, const manta_env_batch *batch) {
    size_t row = 0, count = env->count;
    for (; row + 8 <= count; row += 8) {
        uint64_t terminated, ended;
        memcpy(&terminated, batch->terminated + row, 8);
        memcpy(&ended, batch->truncated + row, 8);
        for (ended |= terminated; ended;) {
            unsigned i = (unsigned)__builtin_ctzll(ended) / 8;
            ended &= ~(UINT64_C(0xff) << 8 * i);
            MT_TRY(check_end(env, batch, row + i));
        }
    }
    for (; row < count; row++)
        if (batch->terminated[row] | batch->truncated[row]) MT_TRY(check_end(env, batch, row));
    return MT_OK;
}

static mt_status check_call(const mt_env *env, const manta_env_batch *batch, const char *call) {
    if (env->failed)
        return MT_FAIL(ENV, "environment %s: %s after an earlier failure; destroy it and make a new one", env->desc->id, call);
    if (batch->struct_size < sizeof *batch || batch->num_envs != env->count)
        return MT_FAIL(INVALID_ARGUMENT, "environment %s: %s of a batch of %u environments (struct_size %u), made for %u (%zu)",
            env->desc->id, call, batch->num_envs, batch->struct_size, env->count, sizeof *batch);
    return MT_OK;
}

static mt_status call_failed(mt_env *env, const char *call, char *error) {
    error[MANTA_ERROR_BYTES - 1] = 0;
    env->failed = 1;
    return MT_FAIL(ENV, "environment %s: %s %llu failed: %s", env->desc->id, call, (unsigned long long)env->steps,
        error[0] ? error : "(it gave no reason)");
}

mt_status mt_env_reset(mt_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask) {
    MT_TRY(check_call(env, batch, "reset"));
    char error[MANTA_ERROR_BYTES];
    error[0] = 0;
    if (env->desc->reset(env->raw, batch, seeds, mask, error) != 0) return call_failed(env, "reset after step", error);
    env->ready |= !mask;
    MT_TRY(check_obs(env, "obs", batch->obs, 0, env->count));
    return mt_env_has_action_mask(env) ? check_mask(env, batch->action_mask) : MT_OK;
}

mt_status mt_env_step(mt_env *env, const manta_env_batch *batch) {
    MT_TRY(check_call(env, batch, "step"));
    if (!env->ready) return MT_FAIL(INVALID_ARGUMENT, "environment %s: step before the first reset", env->desc->id);
    char error[MANTA_ERROR_BYTES];
    error[0] = 0;
    env->steps++;
    if (env->desc->step(env->raw, batch, error) != 0) return call_failed(env, "step", error);
    if (any_nonfinite(env, batch->reward, env->count)) return report_nonfinite(env, "reward", NULL, batch->reward, 0, 1);
    MT_TRY(check_obs(env, "obs", batch->obs, 0, env->count));
    MT_TRY(check_ends(env, batch));
    return mt_env_has_action_mask(env) ? check_mask(env, batch->action_mask) : MT_OK;
}

// ---------------------------------------------------------------- buffers

mt_status mt_env_buffers_init(mt_env_buffers *io, const mt_env *env) {
    memset(io, 0, sizeof *io);
    manta_env_batch *batch = &io->batch;
    size_t rows = env->count;
    batch->struct_size = sizeof *batch;
    batch->num_envs = env->count;
    mt_arena_add(&io->arena, &io->action, rows * env->action.bytes, "action");
    mt_arena_add(&io->arena, &batch->obs, rows * env->observation.bytes, "obs");
    mt_arena_add(&io->arena, &batch->final_obs, rows * env->observation.bytes, "final_obs");
    MT_ARENA_ADD(&io->arena, batch->reward, rows);
    MT_ARENA_ADD(&io->arena, batch->terminated, rows);
    MT_ARENA_ADD(&io->arena, batch->truncated, rows);
    if (mt_env_has_action_mask(env)) MT_ARENA_ADD(&io->arena, batch->action_mask, rows * (size_t)env->action.logits);
    mt_status status = mt_arena_commit(&io->arena);
    if (status != MT_OK) mt_arena_fini(&io->arena);
    batch->action = io->action;
    return status;
}

void mt_env_buffers_fini(mt_env_buffers *io) {
    mt_arena_fini(&io->arena);
    io->batch.action = NULL;
}

// ---------------------------------------------------------------- extensions

size_t mt_env_snapshot_bytes(const mt_env *env) {
    return env->snapshot ? env->snapshot->bytes(env->raw) * env->count : 0;
}

mt_status mt_env_snapshot_save(const mt_env *env, void *out) {
    if (!env->snapshot) return MT_FAIL(UNSUPPORTED, "environment %s cannot be saved: it has no manta.snapshot extension", env->desc->id);
    size_t bytes = env->snapshot->bytes(env->raw);
    for (uint32_t i = 0; i < env->count; i++) env->snapshot->save(env->raw, i, (char *)out + i * bytes);
    return MT_OK;
}

mt_status mt_env_snapshot_load(mt_env *env, const void *in, size_t bytes) {
    if (!env->snapshot) return MT_FAIL(UNSUPPORTED, "environment %s cannot be restored: it has no manta.snapshot extension", env->desc->id);
    size_t one = env->snapshot->bytes(env->raw);
    if (bytes != one * env->count)
        return MT_FAIL(CORRUPT, "environment %s: the snapshot has %zu bytes, %u environments of %zu are expected", env->desc->id,
            bytes, env->count, one);
    char error[MANTA_ERROR_BYTES] = "";
    for (uint32_t i = 0; i < env->count; i++)
        if (env->snapshot->load(env->raw, i, (const char *)in + i * one, error) != 0) {
            error[MANTA_ERROR_BYTES - 1] = 0;
            env->failed = 1;
            return MT_FAIL(CORRUPT, "environment %s: the snapshot of environment %u is refused: %s", env->desc->id, i,
                error[0] ? error : "(it gave no reason)");
        }
    env->ready = 1;
    return MT_OK;
}

mt_status mt_env_render(const mt_env *env, uint32_t index, char *out, size_t bytes) {
    if (!env->render) return MT_FAIL(UNSUPPORTED, "environment %s cannot be drawn: it has no manta.render extension", env->desc->id);
    if (index >= env->count || bytes == 0)
        return MT_FAIL(INVALID_ARGUMENT, "environment %s: no environment %u among %u", env->desc->id, index, env->count);
    env->render->text(env->raw, index, out, bytes);
    out[bytes - 1] = 0;
    return MT_OK;
}

mt_status mt_env_classic(const mt_env *env, mt_classic *out) {
    char why[MANTA_ERROR_BYTES] = "only the environments of classic control";
    const mt_env_classic_form *form = extension(env->desc, MT_EXT_CLASSIC, sizeof *form);
    if (!form || form->describe(env->raw, out, why) != 0)
        return MT_FAIL(UNSUPPORTED, "a device does not step %s: %s", env->desc->id, why);
    if (env->action.kind == MANTA_SPACE_BOX) out->low = env->action.low[0], out->high = env->action.high[0];
    return MT_OK;
}
