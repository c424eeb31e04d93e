// The checker's look at every single call: everything written, inside the bounds, finite, flags right, episodes ended and
// begun as the ABI says. Runs in a child process.
#include "rollout/check_list.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"

// what can go wrong; each is reported once, and as a PASS at the end when it never did
enum { WRITTEN, FINITE, BOUNDS, FLAGS, FINAL_OBS, AUTO_RESET, TIME_LIMIT, ACTION_READ_ONLY, ACTION_MASK, PROMISES };
static const char *const names[PROMISES] = {"written", "finite", "obs-bounds", "flags", "final-obs", "auto-reset", "time-limit",
    "action-read-only", "action-mask"};
static const char *const passes[PROMISES] = {
    "every row of obs, reward, terminated and truncated is written in each call",
    "no NaN or infinity in observations and rewards",
    "every observation lies within the observation space",
    "terminated and truncated are 0 or 1",
    "final_obs is written where an episode ended and nowhere else",
    "after an episode's end obs is the next episode's first observation",
    "no episode is longer than max_episode_steps",
    "the actions are left as they are",
    "every action mask is made of 0 and 1 and allows an action",
};

typedef struct watch {
    check_probe probe;
    int said[PROMISES];
    uint32_t *length;              // (B) steps of the running episode
    unsigned char *seen;           // (B, count) 1 once an element differed from the fill; for integers
    char *actions;                 // (B, action) as given
    uint64_t ended, ended_alike;   // episodes; those whose final_obs equals the next obs
    int filled;                    // step parity: which byte unwritten integers hold, see fill_byte
} watch;

static int first(watch *w, int promise) { return !w->said[promise]++; }

#define SAY(w, promise, ...)                                                                                           \
    do {                                                                                                               \
        if (first(w, promise)) check_say((w)->probe.session, MT_VERDICT_FAIL, names[promise], __VA_ARGS__);            \
    } while (0)

static const uint32_t unwritten_float = 0xffc0deadu;   // a NaN that arithmetic does not make

static int is_unwritten(const float *x) { return memcmp(x, &unwritten_float, sizeof unwritten_float) == 0; }

static void fill_floats(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) memcpy(x + i, &unwritten_float, sizeof unwritten_float);
}

// integers hold one of two bytes in turn, padding too: nobody asks what becomes of that
static int fill_byte(const watch *w) { return w->filled ? 0x58 : 0xa7; }

static void fill_obs(watch *w, void *obs) {
    const mt_space *space = &w->probe.observation;
    memset(obs, fill_byte(w), w->probe.num_envs * space->bytes);
    for (int p = 0; p < mt_space_parts(space); p++) {
        const mt_space *part = mt_space_part(space, p);
        if (part->dtype != MANTA_F32) continue;
        for (uint32_t i = 0; i < w->probe.num_envs; i++)
            fill_floats((float *)((char *)obs + i * space->bytes + part->offset), (size_t)part->count);
    }
}

static double element(const mt_space *part, const char *x, int64_t k) {
    switch (part->dtype) {
    case MANTA_F32: return (double)((const float *)x)[k];
    case MANTA_U8: return ((const uint8_t *)x)[k];
    default: return ((const int32_t *)x)[k];
    }
}

// "obs" or "obs.camera": what a part of an array is called
enum { LABEL_BYTES = 24 + MANTA_SPACE_NAME_BYTES };
static const char *label(const char *array, const mt_space *part, char out[LABEL_BYTES]) {
    snprintf(out, LABEL_BYTES, "%s%s%s", array, *part->name ? "." : "", part->name);
    return out;
}

// value k of a part of an observation; returns 0 when the rest of the part need not be looked at
static int look_at_value(watch *w, const char *array, const mt_space *part, const char *x, uint32_t row, int64_t k) {
    unsigned long long step = w->probe.step;
    double value = element(part, x, k);
    char name[LABEL_BYTES], space[LABEL_BYTES];
    if (part->dtype == MANTA_F32 && is_unwritten((const float *)x + k)) {
        SAY(w, strcmp(array, "obs") ? FINAL_OBS : WRITTEN, "environment %u left %s[%lld] unwritten at step %llu; every value of the row is to be written",
            row, label(array, part, name), (long long)k, step);
        return 0;
    }
    if (!isfinite(value)) {
        SAY(w, FINITE, "environment %u wrote %g to %s[%lld] at step %llu; look for a division by zero, a root or logarithm of a negative "
            "number, or a state that grows without end", row, value, label(array, part, name), (long long)k, step);
        return 0;
    }
    double low = part->low ? (double)part->low[k] : 0, high = part->high ? (double)part->high[k] : (double)part->nvec[k] - 1;
    if (value > high || value < low)
        SAY(w, BOUNDS, "environment %u wrote %g to %s[%lld] at step %llu; %s.%s[%lld] is %g: widen the space or clip", row, value,
            label(array, part, name), (long long)k, step, label("observation_space", part, space), value > high ? "high" : "low",
            (long long)k, value > high ? high : low);
    return 1;
}

static void look_at_obs(watch *w, const char *array, const void *obs, uint32_t row) {
    const mt_space *space = &w->probe.observation;
    for (int p = 0; p < mt_space_parts(space); p++) {
        const mt_space *part = mt_space_part(space, p);
        const char *x = (const char *)obs + row * space->bytes + part->offset;
        for (int64_t k = 0; k < part->count; k++)
            if (!look_at_value(w, array, part, x, row, k)) break;
    }
}

// integers have no value that means "unwritten": over many steps with two different fills each must once differ
static void look_at_integers(watch *w) {
    const mt_space *space = &w->probe.observation;
    unsigned char fill[4], *seen = w->seen;
    memset(fill, fill_byte(w), sizeof fill);
    for (uint32_t i = 0; i < w->probe.num_envs; i++)
        for (int p = 0; p < mt_space_parts(space); p++) {
            const mt_space *part = mt_space_part(space, p);
            const char *x = (const char *)w->probe.batch.obs + i * space->bytes + part->offset;
            size_t size = mt_space_dtype_bytes(part->dtype);
            for (int64_t k = 0; k < part->count; k++, seen++) *seen |= memcmp(x + (size_t)k * size, fill, size) != 0;
        }
}

// those that never did
static void report_unseen(watch *w) {
    const mt_space *space = &w->probe.observation;
    const unsigned char *seen = w->seen;
    char name[LABEL_BYTES];
    for (uint32_t i = 0; i < w->probe.num_envs; i++)
        for (int p = 0; p < mt_space_parts(space); p++) {
            const mt_space *part = mt_space_part(space, p);
            for (int64_t k = 0; k < part->count; k++, seen++)
                if (!*seen && part->dtype != MANTA_F32)
                    SAY(w, WRITTEN, "environment %u never wrote %s[%lld]; every value of the row is to be written in each call", i,
                        label("obs", part, name), (long long)k);
        }
}

static void look_at_mask(watch *w) {
    const uint8_t *mask = w->probe.batch.action_mask;
    if (!mask) return;
    for (uint32_t i = 0; i < w->probe.num_envs; i++)
        for (int64_t k = 0; k < w->probe.action.count; k++) {
            int allowed = 0;
            for (int64_t v = 0; v < w->probe.action.nvec[k]; v++, mask++) {
                allowed |= *mask == 1;
                if (*mask > 1)
                    SAY(w, ACTION_MASK, "environment %u wrote %u into its action mask at step %llu; write 1 for allowed, else 0", i, *mask,
                        (unsigned long long)w->probe.step);
            }
            if (!allowed)
                SAY(w, ACTION_MASK, "environment %u allows no action in component %lld after step %llu; allow one at least, or end the episode",
                    i, (long long)k, (unsigned long long)w->probe.step);
        }
}

static int rows_alike(const mt_space *space, const char *a, const char *b) {
    for (int p = 0; p < mt_space_parts(space); p++) {
        const mt_space *part = mt_space_part(space, p);
        if (memcmp(a + part->offset, b + part->offset, part->bytes) != 0) return 0;
    }
    return 1;
}

static void look_at_end(watch *w, uint32_t row) {
    const mt_space *space = &w->probe.observation;
    const char *obs = (const char *)w->probe.batch.obs + row * space->bytes;
    const char *final_obs = (const char *)w->probe.batch.final_obs + row * space->bytes;
    look_at_obs(w, "final_obs", w->probe.batch.final_obs, row);
    w->ended++;
    w->ended_alike += rows_alike(space, obs, final_obs);
    w->length[row] = 0;
}

static int row_is_filled(watch *w, const void *array, uint32_t row) {   // nobody wrote to the row of final_obs
    const mt_space *space = &w->probe.observation;
    for (int q = 0; q < mt_space_parts(space); q++) {
        const mt_space *part = mt_space_part(space, q);
        const unsigned char *p = (const unsigned char *)array + row * space->bytes + part->offset;
        for (size_t i = 0; i < part->bytes; i++)
            if (p[i] != (part->dtype == MANTA_F32 ? ((const unsigned char *)&unwritten_float)[i % 4] : fill_byte(w))) return 0;
    }
    return 1;
}

static void look_at_row(watch *w, uint32_t row) {
    const manta_env_batch *batch = &w->probe.batch;
    unsigned long long step = w->probe.step;
    unsigned terminated = batch->terminated[row], truncated = batch->truncated[row], limit = w->probe.session->desc->max_episode_steps;
    look_at_obs(w, "obs", batch->obs, row);
    if (is_unwritten(&batch->reward[row]))
        SAY(w, WRITTEN, "environment %u left its reward unwritten at step %llu; step writes every row", row, step);
    else if (!isfinite(batch->reward[row]))
        SAY(w, FINITE, "environment %u got the reward %g at step %llu; rewards are finite numbers", row, (double)batch->reward[row], step);
    if (terminated == 0xee || truncated == 0xee)
        SAY(w, WRITTEN, "environment %u left %s unwritten at step %llu; write 0 where the episode goes on", row,
            terminated == 0xee ? "terminated" : "truncated", step);
    else if (terminated > 1 || truncated > 1)
        SAY(w, FLAGS, "environment %u wrote terminated = %u, truncated = %u at step %llu; they are 0 or 1", row, terminated, truncated, step);
    w->length[row]++;
    if (limit && (w->length[row] > limit || (w->length[row] == limit && !terminated && !truncated)))
        SAY(w, TIME_LIMIT, "environment %u goes on after %u steps; max_episode_steps is %u: set truncated there, or correct the descriptor",
            row, w->length[row], limit);
    if (terminated == 1 || truncated == 1)
        look_at_end(w, row);
    else if (!row_is_filled(w, batch->final_obs, row))
        SAY(w, FINAL_OBS, "environment %u wrote final_obs at step %llu though its episode did not end; write it only there", row, step);
}

static int look_at_step(watch *w) {
    check_probe *probe = &w->probe;
    w->filled = (int)(probe->step & 1);
    probe_choose(probe, 1, 0);
    memcpy(w->actions, probe->batch.action, probe->num_envs * probe->action.bytes);
    fill_obs(w, probe->batch.obs);
    fill_obs(w, probe->batch.final_obs);
    fill_floats(probe->batch.reward, probe->num_envs);
    memset(probe->batch.terminated, 0xee, probe->num_envs);
    memset(probe->batch.truncated, 0xee, probe->num_envs);
    if (probe->batch.action_mask) memset(probe->batch.action_mask, 0xee, probe->num_envs * (size_t)probe->action.logits);
    if (probe_step(probe)) return 1;
    for (uint32_t i = 0; i < probe->num_envs; i++) look_at_row(w, i);
    look_at_integers(w);
    look_at_mask(w);
    if (memcmp(w->actions, probe->batch.action, probe->num_envs * probe->action.bytes) != 0)
        SAY(w, ACTION_READ_ONLY, "step %llu changed the actions; they belong to the caller: copy before you clip",
            (unsigned long long)probe->step);
    return 0;
}

static void look_at_reset(watch *w) {
    check_probe *probe = &w->probe;
    for (uint32_t i = 0; i < probe->num_envs; i++) look_at_obs(w, "obs", probe->batch.obs, i);
    look_at_integers(w);
    look_at_mask(w);
    for (uint32_t i = 0; i < probe->num_envs; i++)
        if (!is_unwritten(&probe->batch.reward[i]) || probe->batch.terminated[i] != 0xee || probe->batch.truncated[i] != 0xee ||
            !row_is_filled(w, probe->batch.final_obs, i)) {
            SAY(w, FLAGS, "reset wrote to reward, terminated, truncated or final_obs of environment %u; it writes obs (and action_mask) only", i);
            return;
        }
}

static void conclude(watch *w, uint32_t steps) {
    check_session *session = w->probe.session;
    if (steps > 2) report_unseen(w);
    if (w->ended >= 3 && w->ended == w->ended_alike)
        SAY(w, AUTO_RESET, "obs equalled final_obs at all %llu ends of episodes; begin the next episode in the same step and write its first "
            "observation to obs", (unsigned long long)w->ended);
    if (w->ended == 0) {
        check_say(session, MT_VERDICT_WARN, "auto-reset", "no episode ended in %u steps of random actions, so that ends were not seen; "
            "%s", steps, session->desc->max_episode_steps ? "the time limit lies further away" : "consider a max_episode_steps");
        w->said[AUTO_RESET] = w->said[FINAL_OBS] = 1;
    }
    if (!session->desc->max_episode_steps) w->said[TIME_LIMIT]++;
    if (!w->probe.batch.action_mask) w->said[ACTION_MASK]++;
    for (int p = 0; p < PROMISES; p++)
        if (!w->said[p]) check_say(session, MT_VERDICT_PASS, names[p], "%s", passes[p]);
    check_say(session, MT_VERDICT_PASS, "guard", "nothing is written outside the arrays (%u environments, %u steps, %llu episodes)",
        w->probe.num_envs, steps, (unsigned long long)w->ended);
}

void check_contract(check_session *session) {
    watch w = {0};
    int64_t deadline = mt_deadline_after(20 * MT_SECOND_NS);   // a slow environment gets fewer steps
    uint32_t steps = 0;
    if (probe_open(&w.probe, session, session->num_envs, 1)) goto out;
    w.length = calloc(w.probe.num_envs, sizeof *w.length);
    w.seen = calloc(w.probe.num_envs, (size_t)w.probe.observation.count);
    w.actions = malloc(w.probe.num_envs * w.probe.action.bytes);
    if (!w.length || !w.seen || !w.actions) goto out;

    fill_obs(&w, w.probe.batch.obs);
    fill_obs(&w, w.probe.batch.final_obs);
    fill_floats(w.probe.batch.reward, w.probe.num_envs);
    memset(w.probe.batch.terminated, 0xee, w.probe.num_envs);
    memset(w.probe.batch.truncated, 0xee, w.probe.num_envs);
    if (probe_reset(&w.probe, NULL, NULL)) goto out;
    look_at_reset(&w);
    for (; steps < session->steps && !mt_deadline_passed(deadline); steps++)
        if (look_at_step(&w)) goto out;
    conclude(&w, steps);
out:
    free(w.length);
    free(w.seen);
    free(w.actions);
    probe_close(&w.probe);
}
