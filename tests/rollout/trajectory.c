#include "trajectory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rollout/env.h"

static char *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*bytes ? *bytes : 1);
    if (data && fread(data, 1, *bytes, file) != *bytes) {
        free(data);
        data = NULL;
    }
    fclose(file);
    return data;
}

// the arrays of one episode, from offset `at`; returns the offset after it, 0 when the file is too short
static size_t parse_episode(const trajectory *t, size_t at, size_t bytes, episode *out) {
    if (at + 8 > bytes) return 0;
    memcpy(&out->steps, t->bytes + at, sizeof out->steps);
    size_t n = out->steps, total = 8 + 8 * t->state_count + 4 * (n + 1) * t->obs_count + 4 * n + n * t->action_bytes + n;
    if (at + total > bytes || n == 0) return 0;
    const char *p = t->bytes + at + 8;
    out->state = (const double *)p;
    out->first_obs = (const float *)(p += 8 * t->state_count);
    out->obs = (const float *)(p += 4 * t->obs_count);
    out->reward = (const float *)(p += 4 * n * t->obs_count);
    out->action = p += 4 * n;
    out->flags = (const uint8_t *)(p + n * t->action_bytes);
    return at + (total + 7) / 8 * 8;
}

int trajectory_read(const char *path, trajectory *out) {
    size_t bytes = 0, at = 64;
    memset(out, 0, sizeof *out);
    out->bytes = read_file(path, &bytes);
    if (!out->bytes || bytes < at || memcmp(out->bytes, "MTTRAJ1", 8) != 0) goto bad;
    memcpy(out->id, out->bytes + 8, 40);
    memcpy(&out->obs_count, out->bytes + 48, 16);
    out->episodes = calloc(out->episode_count + 1, sizeof *out->episodes);
    for (uint32_t e = 0; e < out->episode_count; e++)
        if (!(at = parse_episode(out, at, bytes, &out->episodes[e]))) goto bad;
    return 0;
bad:
    fprintf(stderr, "%s: not a whole trajectory file\n", path);
    trajectory_free(out);
    return 1;
}

void trajectory_free(trajectory *t) {
    free(t->episodes);
    free(t->bytes);
    memset(t, 0, sizeof *t);
}

static void note(parity *out, const char *what, uint32_t e, uint32_t step, double ours, double theirs) {
    if (!out->first[0])
        snprintf(out->first, sizeof out->first, "episode %u step %u: %s is %.9g, recorded %.9g", e, step, what, ours, theirs);
}

static int off(double ours, double theirs, double tolerance, double *worst) {
    double error = fabs(ours - theirs) / fmax(1, fabs(theirs));
    if (!(error <= *worst)) *worst = error;
    return !(error <= tolerance);
}

// compares row e after step `step`; returns 1 when it is off
static int compare_row(const trajectory *t, const manta_env_batch *batch, uint32_t e, uint32_t step, double tolerance, parity *out) {
    const episode *ep = &t->episodes[e];
    int flags = batch->terminated[e] + 2 * batch->truncated[e], bad = 0;
    const float *obs = (const float *)(flags ? batch->final_obs : batch->obs) + (size_t)e * t->obs_count;
    for (uint32_t k = 0; k < t->obs_count; k++) {
        float theirs = ep->obs[(size_t)step * t->obs_count + k];
        if (!off(obs[k], theirs, tolerance, &out->worst_obs)) continue;
        note(out, "obs", e, step, obs[k], theirs);
        bad = 1;
    }
    if (off(batch->reward[e], ep->reward[step], tolerance, &out->worst_reward)) {
        note(out, "reward", e, step, batch->reward[e], ep->reward[step]);
        bad = 1;
    }
    if (flags != ep->flags[step]) {
        note(out, "terminated + 2·truncated", e, step, flags, ep->flags[step]);
        out->flag_errors++;
        bad = 1;
    }
    out->steps++;
    return bad;
}

static void write_actions(const trajectory *t, uint32_t step, void *action) {
    for (uint32_t e = 0; e < t->episode_count; e++) {
        const episode *ep = &t->episodes[e];
        uint32_t at = step < ep->steps ? step : 0;   // after its end a row goes on with anything
        if (t->action_bytes == 1)
            ((int32_t *)action)[e] = ((const uint8_t *)ep->action)[at];
        else
            memcpy((float *)action + e, (const char *)ep->action + 4 * at, sizeof(float));
    }
}

static int set_states(const trajectory *t, mt_env *env) {
    const manta_env_state *state = mt_env_desc(env)->extension ? mt_env_desc(env)->extension(MANTA_EXT_STATE) : NULL;
    char error[MANTA_ERROR_BYTES] = "no manta.state extension";
    if (!state || state->count(mt_env_raw(env)) != t->state_count) goto bad;
    for (uint32_t e = 0; e < t->episode_count; e++)
        if (state->set(mt_env_raw(env), e, t->episodes[e].state, error)) goto bad;
    return 0;
bad:
    fprintf(stderr, "%s: the state cannot be set: %s\n", t->id, error);
    return 1;
}

static int run(const trajectory *t, mt_env *env, mt_env_buffers *io, double tolerance, parity *out) {
    if (mt_env_reset(env, &io->batch, NULL, NULL) != MT_OK || set_states(t, env)) return 1;
    uint32_t longest = 0;
    for (uint32_t e = 0; e < t->episode_count; e++)
        if (t->episodes[e].steps > longest) longest = t->episodes[e].steps;
    uint8_t *bad = calloc(t->episode_count, 1);
    int failed = 0;
    for (uint32_t step = 0; step < longest && !failed; step++) {
        write_actions(t, step, io->action);
        failed = mt_env_step(env, &io->batch) != MT_OK;
        for (uint32_t e = 0; e < t->episode_count && !failed; e++)
            if (step < t->episodes[e].steps) bad[e] |= compare_row(t, &io->batch, e, step, tolerance, out);
    }
    for (uint32_t e = 0; e < t->episode_count; e++) out->episodes_off += bad[e];
    free(bad);
    return failed;
}

int trajectory_compare(const trajectory *t, const manta_env_desc *desc, double tolerance, parity *out) {
    uint64_t *seeds = calloc(t->episode_count, sizeof *seeds);
    manta_env_config config = {.struct_size = sizeof config, .num_envs = t->episode_count, .seeds = seeds};
    mt_env_buffers io = {0};
    mt_env *env = NULL;
    memset(out, 0, sizeof *out);
    int failed = mt_env_create(desc, &config, &env) != MT_OK || mt_env_buffers_init(&io, env) != MT_OK;
    if (!failed && (size_t)t->obs_count != (size_t)mt_env_observation_space(env)->count) failed = 1;
    if (!failed) failed = run(t, env, &io, tolerance, out);
    if (failed) fprintf(stderr, "%s: %s\n", t->id, mt_last_error());
    mt_env_buffers_fini(&io);
    mt_env_destroy(env);
    free(seeds);
    return failed;
}
