// Probing for the checker's children. Nothing here runs in the parent.
#include "rollout/check_probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---------------------------------------------------------------- guarded arrays

static int guard_broken(check_probe *probe, const mt_guard *guard) {
    long at;
    unsigned long long step = probe->step;
    if (!mt_guard_broken(guard, &at)) return 0;
    if (at < 0)
        check_say(probe->session, MT_VERDICT_FAIL, "guard", "%ld bytes before the start of %s were written by step %llu; %s has %zu "
            "bytes for %u environments: check the index", -at, guard->name, step, guard->name, guard->bytes, probe->num_envs);
    else
        check_say(probe->session, MT_VERDICT_FAIL, "guard", "the byte %ld past the end of %s was written by step %llu; %s has %zu "
            "bytes for %u environments: check the index", at, guard->name, step, guard->name, guard->bytes, probe->num_envs);
    return 1;
}

static int guards_broken(check_probe *probe) {
    for (int a = 0; a < CHECK_ARRAYS; a++)
        if (probe->arrays[a].map && guard_broken(probe, &probe->arrays[a])) return 1;
    return 0;
}

// ---------------------------------------------------------------- instances

static int map_arrays(check_probe *probe) {
    size_t rows = probe->num_envs, mask = probe->session->desc->capabilities & MANTA_ENV_HAS_ACTION_MASK ? (size_t)probe->action.logits : 0;
    struct {
        const char *name;
        size_t bytes;
    } const wanted[CHECK_ARRAYS] = {{"action", rows * probe->action.bytes}, {"obs", rows * probe->observation.bytes},
        {"reward", rows * sizeof(float)}, {"terminated", rows}, {"truncated", rows},
        {"final_obs", rows * probe->observation.bytes}, {"action_mask", rows * mask}, {"seeds", rows * sizeof(uint64_t)},
        {"mask", rows}};
    for (int a = 0; a < CHECK_ARRAYS; a++)
        if (wanted[a].bytes && a != CHECK_SEEDS && mt_guard_map(&probe->arrays[a], wanted[a].name, wanted[a].bytes)) return 1;
    probe->batch = (manta_env_batch){.struct_size = sizeof(manta_env_batch), .num_envs = probe->num_envs,
        .action = probe->arrays[CHECK_ACTION].start, .obs = probe->arrays[CHECK_OBS].start,
        .reward = (float *)probe->arrays[CHECK_REWARD].start, .terminated = (uint8_t *)probe->arrays[CHECK_TERMINATED].start,
        .truncated = (uint8_t *)probe->arrays[CHECK_TRUNCATED].start, .final_obs = probe->arrays[CHECK_FINAL_OBS].start,
        .action_mask = (uint8_t *)probe->arrays[CHECK_ACTION_MASK].start};
    return 0;
}

static int create(check_probe *probe, const uint64_t *seeds) {
    const manta_env_desc *desc = probe->session->desc;
    char error[MANTA_ERROR_BYTES] = "";
    manta_env_config config = {.struct_size = sizeof config, .num_envs = probe->num_envs, .seeds = seeds};
    check_enter(probe->session, "create");
    int code = desc->create(&config, &probe->env, error);
    check_leave(probe->session);
    error[MANTA_ERROR_BYTES - 1] = 0;
    if (code != 0) {
        check_say(probe->session, MT_VERDICT_FAIL, "create", "create of %u environments without options failed: %s; the defaults must work",
            probe->num_envs, error[0] ? error : "it returned non-zero and left no message in `error`");
        probe->env = NULL;
        return 1;
    }
    if (!probe->env) {
        check_say(probe->session, MT_VERDICT_FAIL, "create", "create returned 0 but left *out NULL");
        return 1;
    }
    return 0;
}

int probe_open(check_probe *probe, check_session *session, uint32_t num_envs, uint64_t seed) {
    memset(probe, 0, sizeof *probe);
    probe->session = session;
    probe->num_envs = num_envs;
    if (mt_guard_map(&probe->arrays[CHECK_SEEDS], "seeds", num_envs * sizeof(uint64_t))) return 1;
    uint64_t *seeds = (uint64_t *)probe->arrays[CHECK_SEEDS].start;
    for (uint32_t i = 0; i < num_envs; i++) seeds[i] = seed + i;
    if (create(probe, seeds)) return 1;
    memset(seeds, 0xee, num_envs * sizeof *seeds);   // "the plugin copies them"
    mt_status status = mt_space_init(&probe->observation, session->desc->observation_space(probe->env), "observation space");
    if (status == MT_OK) status = mt_space_init_action(&probe->action, session->desc->action_space(probe->env), "action space");
    if (status != MT_OK) {
        check_say(session, MT_VERDICT_FAIL, "spaces", "%s", mt_last_error());
        return 1;
    }
    if (map_arrays(probe)) {
        check_say(session, MT_VERDICT_FAIL, "spaces", "no memory for the arrays of %u environments", num_envs);
        return 1;
    }
    return 0;
}

void probe_close(check_probe *probe) {
    if (probe->env) {
        check_enter(probe->session, "destroy");
        probe->session->desc->destroy(probe->env);
        check_leave(probe->session);
    }
    mt_space_fini(&probe->observation);
    mt_space_fini(&probe->action);
    for (int a = 0; a < CHECK_ARRAYS; a++) mt_guard_unmap(&probe->arrays[a]);
    memset(probe, 0, sizeof *probe);
}

static int returned(check_probe *probe, const char *call, int code, char *error) {
    check_leave(probe->session);
    error[MANTA_ERROR_BYTES - 1] = 0;
    if (guards_broken(probe)) return 1;
    if (code == 0) return 0;
    check_say(probe->session, MT_VERDICT_FAIL, call, "%s %llu failed: %s", call, (unsigned long long)probe->step,
        error[0] ? error : "it returned non-zero and left no message in `error`");
    return 1;
}

int probe_reset(check_probe *probe, const uint64_t *seeds, const uint8_t *mask) {
    char error[MANTA_ERROR_BYTES] = "";
    if (seeds) memcpy(probe->arrays[CHECK_SEEDS].start, seeds, probe->num_envs * sizeof *seeds);
    if (mask) memcpy(probe->arrays[CHECK_RESET_MASK].start, mask, probe->num_envs);
    probe->session->base.shared->step = probe->step;
    check_enter(probe->session, "reset");
    int code = probe->session->desc->reset(probe->env, &probe->batch,
        seeds ? (const uint64_t *)probe->arrays[CHECK_SEEDS].start : NULL,
        mask ? (const uint8_t *)probe->arrays[CHECK_RESET_MASK].start : NULL, error);
    return returned(probe, "reset", code, error);
}

int probe_step(check_probe *probe) {
    char error[MANTA_ERROR_BYTES] = "";
    probe->session->base.shared->step = ++probe->step;
    check_enter(probe->session, "step");
    int code = probe->session->desc->step(probe->env, &probe->batch, error);
    return returned(probe, "step", code, error);
}

// ---------------------------------------------------------------- actions and digests

static void choose_box(const mt_space *space, float *action, uint64_t *random) {
    for (int64_t k = 0; k < space->count; k++) {
        double unit = manta_rand_uniform(random, 0, 1);
        float low = space->low[k], high = space->high[k];
        if (!isfinite(low)) low = isfinite(high) ? high - 2 : -1;
        if (!isfinite(high)) high = low + 2;
        // one in sixteen at each end of the range
        action[k] = unit < 0.0625 ? low : unit > 0.9375 ? high : (float)((1 - unit) * low + unit * high);
        if (action[k] < low) action[k] = low;
        if (action[k] > high) action[k] = high;
    }
}

static void choose_discrete(const mt_space *space, const uint8_t *mask, int32_t *action, uint64_t *random) {
    for (int64_t k = 0; k < space->count; k++) {
        int64_t values = space->nvec[k], pick = (int64_t)(manta_rand_u64(random) % (uint64_t)values);
        for (int64_t tries = 0; mask && !mask[pick] && tries < values; tries++) pick = (pick + 1) % values;
        action[k] = (int32_t)pick;
        if (mask) mask += values;
    }
}

void probe_choose(check_probe *probe, uint64_t seed, uint32_t first_row) {
    char *action = probe->arrays[CHECK_ACTION].start;
    for (uint32_t i = 0; i < probe->num_envs; i++, action += probe->action.bytes) {
        uint64_t random = seed ^ (first_row + i + 1) * UINT64_C(0xd1342543de82ef95) ^ (probe->step + 1) * UINT64_C(0xaf251af3b0f025b5);
        manta_rand_u64(&random);
        if (probe->action.kind == MANTA_SPACE_BOX)
            choose_box(&probe->action, (float *)action, &random);
        else
            choose_discrete(&probe->action, probe->batch.action_mask ? probe->batch.action_mask + i * (size_t)probe->action.logits : NULL,
                (int32_t *)action, &random);
    }
}

static uint64_t mix(uint64_t hash, const void *data, size_t bytes) {   // FNV-1a
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

// row `row` of an array of observations, without padding
static uint64_t mix_obs(const check_probe *probe, uint64_t hash, const void *obs, uint32_t row) {
    const char *element = (const char *)obs + row * probe->observation.bytes;
    for (int p = 0; p < mt_space_parts(&probe->observation); p++) {
        const mt_space *part = mt_space_part(&probe->observation, p);
        hash = mix(hash, element + part->offset, part->bytes);
    }
    return hash;
}

uint64_t probe_digest(const check_probe *probe, uint32_t row, int after_reset) {
    const manta_env_batch *batch = &probe->batch;
    uint64_t hash = mix_obs(probe, UINT64_C(0xcbf29ce484222325), batch->obs, row);
    if (batch->action_mask) hash = mix(hash, batch->action_mask + row * (size_t)probe->action.logits, (size_t)probe->action.logits);
    if (after_reset) return hash;
    hash = mix(hash, &batch->reward[row], sizeof(float));
    hash = mix(mix(hash, &batch->terminated[row], 1), &batch->truncated[row], 1);
    if (batch->terminated[row] | batch->truncated[row]) hash = mix_obs(probe, hash, batch->final_obs, row);
    return hash;
}

int probe_run(check_probe *probe, uint64_t action_seed, uint32_t first_row, uint32_t steps, uint64_t *digest) {
    if (probe_reset(probe, NULL, NULL)) return 1;
    for (uint32_t i = 0; i < probe->num_envs; i++) *digest++ = probe_digest(probe, i, 1);
    for (uint32_t t = 0; t < steps; t++) {
        probe_choose(probe, action_seed, first_row);
        if (probe_step(probe)) return 1;
        for (uint32_t i = 0; i < probe->num_envs; i++) *digest++ = probe_digest(probe, i, 0);
    }
    return 0;
}
