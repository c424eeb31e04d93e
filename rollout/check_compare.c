// The checker's comparisons of one run with another: seeds, rows, instances, threads, masks. Runs in a
// child process.
#include "rollout/check_list.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { COMPARE_STEPS = 300, SEED = 11 };

static int deterministic(const check_session *session) { return (session->desc->capabilities & MANTA_ENV_DETERMINISTIC) != 0; }

// where a promise is only made by MANTA_ENV_DETERMINISTIC, others are warned
static mt_verdict severity(const check_session *session) {
    return deterministic(session) ? MT_VERDICT_FAIL : MT_VERDICT_WARN;
}

static uint64_t *digests(const check_session *session) {
    return calloc((COMPARE_STEPS + 1) * (size_t)session->num_envs, sizeof(uint64_t));
}

// the first (step, row) at which two runs differ; 0 when none
static int differ(const uint64_t *a, const uint64_t *b, uint32_t rows, uint32_t steps, uint32_t *step, uint32_t *row) {
    for (size_t i = 0; i < (steps + 1) * (size_t)rows; i++)
        if (a[i] != b[i]) {
            *step = (uint32_t)(i / rows);
            *row = (uint32_t)(i % rows);
            return 1;
        }
    return 0;
}

// a fresh instance, run alone
static int run_alone(check_session *session, uint64_t seed, uint64_t *digest) {
    check_probe probe;
    int failed = probe_open(&probe, session, session->num_envs, seed) || probe_run(&probe, SEED, 0, COMPARE_STEPS, digest);
    probe_close(&probe);
    return failed;
}

// ---------------------------------------------------------------- seeds

// an instance that has been used, its streams started anew by reset(seeds)
static int run_reseeded(check_session *session, uint64_t *digest) {
    check_probe probe;
    uint64_t *seeds = calloc(session->num_envs, sizeof *seeds);
    int failed = !seeds || probe_open(&probe, session, session->num_envs, 77) || probe_run(&probe, 5, 0, 37, digest);
    for (uint32_t i = 0; !failed && i < session->num_envs; i++) seeds[i] = SEED + i;
    if (!failed) failed = probe_reset(&probe, seeds, NULL);
    probe.step = 0;   // the same actions as from the start
    for (uint32_t i = 0; !failed && i < session->num_envs; i++) *digest++ = probe_digest(&probe, i, 1);
    for (uint32_t t = 0; !failed && t < COMPARE_STEPS; t++) {
        probe_choose(&probe, SEED, 0);
        failed = probe_step(&probe);
        for (uint32_t i = 0; !failed && i < session->num_envs; i++) *digest++ = probe_digest(&probe, i, 0);
    }
    probe_close(&probe);
    free(seeds);
    return failed;
}

void check_reproducible(check_session *session) {
    uint64_t *a = digests(session), *b = digests(session), *other = digests(session);
    uint32_t step, row;
    if (!a || !b || !other || run_alone(session, SEED, a) || run_alone(session, SEED, b)) goto out;
    if (differ(a, b, session->num_envs, COMPARE_STEPS, &step, &row)) {
        check_say(session, severity(session), "reproducible", "the same seeds and actions gave another result in environment %u at step %u; "
            "draw from a generator seeded by config->seeds, never from rand(), time() or uninitialised memory%s", row, step,
            deterministic(session) ? "; or drop MANTA_ENV_DETERMINISTIC" : "");
        goto out;
    }
    check_say(session, MT_VERDICT_PASS, "reproducible", "the same seeds and actions give the same bits in a second instance");
    if (run_reseeded(session, b)) goto out;
    if (differ(a, b, session->num_envs, COMPARE_STEPS, &step, &row))
        check_say(session, severity(session), "reseed", "reset with seeds in a used instance gave another result in environment %u at step %u "
            "than a new instance; start everything random anew from seeds[i], and every counter", row, step);
    else
        check_say(session, MT_VERDICT_PASS, "reseed", "reset with seeds starts the random streams anew");
    if (run_alone(session, SEED + 100, other)) goto out;
    if (differ(a, other, session->num_envs, COMPARE_STEPS, &step, &row))
        check_say(session, MT_VERDICT_PASS, "seeds", "other seeds give other episodes");
    else
        check_say(session, MT_VERDICT_WARN, "seeds", "other seeds give the same episodes; fine for an environment without randomness");
out:
    free(a);
    free(b);
    free(other);
}

// ---------------------------------------------------------------- rows

void check_rows(check_session *session) {
    uint64_t *all = digests(session), *one = digests(session);
    check_probe probe;
    memset(&probe, 0, sizeof probe);
    uint32_t row = session->num_envs - 1;
    if (!all || !one || run_alone(session, SEED, all)) goto out;
    if (probe_open(&probe, session, 1, SEED + row) || probe_run(&probe, SEED, row, COMPARE_STEPS, one)) goto close;
    for (uint32_t t = 0; t <= COMPARE_STEPS; t++) {
        if (all[t * (size_t)session->num_envs + row] == one[t]) continue;
        check_say(session, severity(session), "rows", "environment %u of %u differs at step %u from a single one with the same seed and actions; "
            "a row depends on its own seed and actions, not on its index or its neighbours", row, session->num_envs, t);
        goto close;
    }
    check_say(session, MT_VERDICT_PASS, "rows", "a row depends on its own seed and actions alone");
close:
    probe_close(&probe);
out:
    free(all);
    free(one);
}

void check_reset_mask(check_session *session) {
    check_probe probe;
    uint8_t *mask = calloc(session->num_envs, 1);
    char *before = NULL;
    if (probe_open(&probe, session, session->num_envs, SEED) || probe_reset(&probe, NULL, NULL)) goto out;
    size_t bytes = probe.observation.bytes, logits = probe.batch.action_mask ? (size_t)probe.action.logits : 0;
    before = malloc(probe.num_envs * (bytes + logits));
    if (!mask || !before) goto out;
    for (int t = 0; t < 5; t++) {
        probe_choose(&probe, SEED, 0);
        if (probe_step(&probe)) goto out;
    }
    for (uint32_t i = 0; i < probe.num_envs; i++) mask[i] = i % 3 == 1;
    memcpy(before, probe.batch.obs, probe.num_envs * bytes);
    if (logits) memcpy(before + probe.num_envs * bytes, probe.batch.action_mask, probe.num_envs * logits);
    if (probe_reset(&probe, NULL, mask)) goto out;
    for (uint32_t i = 0; i < probe.num_envs; i++) {
        if (mask[i] || (memcmp(before + i * bytes, (char *)probe.batch.obs + i * bytes, bytes) == 0 &&
                           (!logits || memcmp(before + probe.num_envs * bytes + i * logits, probe.batch.action_mask + i * logits, logits) == 0)))
            continue;
        check_say(session, MT_VERDICT_FAIL, "reset-mask", "reset wrote to environment %u, whose mask is 0; leave such rows as they are", i);
        goto out;
    }
    check_say(session, MT_VERDICT_PASS, "reset-mask", "reset leaves rows with mask 0 alone");
out:
    free(mask);
    free(before);
    probe_close(&probe);
}

// ---------------------------------------------------------------- instances

// two instances step by step in turn, with different seeds
static int run_in_turn(check_session *session, uint64_t *a, uint64_t *b) {
    check_probe one, two;
    memset(&two, 0, sizeof two);
    uint32_t rows = session->num_envs;
    int failed = probe_open(&one, session, rows, SEED) || probe_open(&two, session, rows, SEED + 100) ||
                 probe_reset(&one, NULL, NULL) || probe_reset(&two, NULL, NULL);
    for (uint32_t t = 0; t <= COMPARE_STEPS && !failed; t++) {
        for (uint32_t i = 0; i < rows; i++) {
            *a++ = probe_digest(&one, i, t == 0);
            *b++ = probe_digest(&two, i, t == 0);
        }
        if (t == COMPARE_STEPS) break;
        probe_choose(&one, SEED, 0);
        probe_choose(&two, SEED, 0);
        failed = probe_step(&one) || probe_step(&two);
    }
    probe_close(&one);
    probe_close(&two);
    return failed;
}

typedef struct thread_work {
    check_session session;
    mt_check_shared shared;   // of its own: the parent watches the checker's thread
    check_probe probe;
    uint64_t *digest;
    int failed;
} thread_work;

static void *thread_run(void *context) {
    thread_work *work = context;
    work->failed = probe_run(&work->probe, SEED, 0, COMPARE_STEPS, work->digest);
    return NULL;
}

static int run_in_threads(check_session *session, uint64_t *a, uint64_t *b) {
    thread_work *work = calloc(2, sizeof *work);
    pthread_t threads[2];
    int failed = work == NULL, started = 0;
    for (int k = 0; k < 2 && !failed; k++) {
        work[k].digest = k ? b : a;
        work[k].session = *session;
        failed = probe_open(&work[k].probe, session, session->num_envs, SEED + 100 * (uint64_t)k);
        work[k].session.base.shared = &work[k].shared;
        work[k].probe.session = &work[k].session;
    }
    check_enter(session, "step in two threads");
    for (; started < 2 && !failed; started++) failed = pthread_create(&threads[started], NULL, thread_run, &work[started]) != 0;
    for (int k = 0; k < started; k++) {
        pthread_join(threads[k], NULL);
        failed |= work[k].failed;
    }
    check_leave(session);
    for (int k = 0; work && k < 2; k++) probe_close(&work[k].probe);
    free(work);
    return failed;
}

void check_instances(check_session *session) {
    uint64_t *alone[2] = {digests(session), digests(session)}, *both[2] = {digests(session), digests(session)};
    uint32_t step, row;
    if (!alone[0] || !alone[1] || !both[0] || !both[1]) goto out;
    if (run_alone(session, SEED, alone[0]) || run_alone(session, SEED + 100, alone[1])) goto out;
    for (int threads = 0; threads < 2; threads++) {
        const char *check = threads ? "threads" : "instances";
        if ((threads ? run_in_threads : run_in_turn)(session, both[0], both[1])) goto out;
        if (differ(alone[0], both[0], session->num_envs, COMPARE_STEPS, &step, &row) ||
            differ(alone[1], both[1], session->num_envs, COMPARE_STEPS, &step, &row)) {
            check_say(session, severity(session), check, "an instance gave another result in environment %u at step %u when a second one ran %s; "
                "keep every variable in manta_env: no static or global ones", row, step, threads ? "in another thread" : "beside it");
            goto out;
        }
        check_say(session, MT_VERDICT_PASS, check, "two instances %s do not disturb each other", threads ? "in two threads" : "in one thread");
    }
out:
    for (int k = 0; k < 2; k++) {
        free(alone[k]);
        free(both[k]);
    }
}
