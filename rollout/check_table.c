// The checker's look at the table itself: descriptor, creating and destroying, and the extensions it offers.
// Runs in a child process.
#include "rollout/check_list.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rollout/env.h"

// ---------------------------------------------------------------- descriptor

void check_descriptor(check_session *session) {
    const manta_env_desc *desc = session->desc;
    check_probe probe;
    if (mt_env_validate_desc(desc, SIZE_MAX) != MT_OK) {
        check_say(session, MT_VERDICT_FAIL, "descriptor", "%s", mt_last_error());
        return;
    }
    check_say(session, MT_VERDICT_PASS, "descriptor", "struct sizes, ABI version, id and functions are as they should be");
    if (!desc->summary || !desc->summary[0])
        check_say(session, MT_VERDICT_WARN, "summary", "there is none; a line for `manta envs` helps users to find it");
    for (uint32_t rows = 1; rows <= session->num_envs; rows += session->num_envs - 1) {
        int failed = probe_open(&probe, session, rows, 1);
        char observation[512] = "", action[128] = "";
        if (!failed) {
            mt_space_format(&probe.observation, observation, sizeof observation);
            mt_space_format(&probe.action, action, sizeof action);
            failed = probe_reset(&probe, NULL, NULL);
        }
        probe_close(&probe);
        if (failed) return;
        if (rows == session->num_envs || session->num_envs == 1) {
            check_say(session, MT_VERDICT_PASS, "spaces", "%s -> %s", observation, action);
            break;
        }
    }
    check_enter(session, "destroy of NULL");
    desc->destroy(NULL);
    check_leave(session);
    check_say(session, MT_VERDICT_PASS, "create", "create, reset and destroy work for 1 and %u environments; destroy takes NULL", session->num_envs);
}

// ---------------------------------------------------------------- extensions

enum { SEED = 11, BEFORE = 53, AFTER = 100 };   // steps before and after a snapshot

static const void *extension(check_session *session, const char *name, uint32_t bytes) {
    if (!session->desc->extension) return NULL;
    check_enter(session, "extension");
    const uint32_t *table = session->desc->extension(name);
    check_leave(session);
    if (table && *table < bytes) {
        check_say(session, MT_VERDICT_FAIL, name, "its struct_size is %u, this version needs %u; set it with sizeof", *table, bytes);
        return NULL;
    }
    return table;
}

static int steps_digest(check_probe *probe, uint32_t steps, uint64_t *digest) {
    for (uint32_t t = 0; t < steps; t++) {
        probe_choose(probe, SEED, 0);
        if (probe_step(probe)) return 1;
        for (uint32_t i = 0; i < probe->num_envs; i++) *digest++ = probe_digest(probe, i, 0);
    }
    return 0;
}

static int load_all(check_probe *probe, const manta_env_snapshot *table, const char *saved, size_t bytes) {
    char error[MANTA_ERROR_BYTES] = "";
    for (uint32_t i = 0; i < probe->num_envs; i++) {
        check_enter(probe->session, "snapshot.load");
        int code = table->load(probe->env, i, saved + i * bytes, error);
        check_leave(probe->session);
        if (code == 0) continue;
        error[MANTA_ERROR_BYTES - 1] = 0;
        check_say(probe->session, MT_VERDICT_FAIL, "snapshot", "load refused what save had written for environment %u: %s", i, error);
        return 1;
    }
    return 0;
}

// what happens with damaged snapshots is only that nothing may crash (the parent would see it)
static void load_damaged(check_probe *probe, const manta_env_snapshot *table, const char *saved, size_t bytes) {
    char error[MANTA_ERROR_BYTES] = "", *damaged = malloc(bytes);
    uint64_t random = 3;
    for (int round = 0; damaged && round < 200; round++) {
        memcpy(damaged, saved, bytes);
        for (int k = 0; k < 1 + round % 4; k++) damaged[manta_rand_u64(&random) % bytes] = (char)manta_rand_u64(&random);
        check_enter(probe->session, "snapshot.load of a damaged snapshot");
        table->load(probe->env, 0, damaged, error);
        check_leave(probe->session);
    }
    free(damaged);
}

void check_snapshot(check_session *session) {
    const manta_env_snapshot *table = extension(session, MANTA_EXT_SNAPSHOT, sizeof *table);
    if (!table) return;
    check_probe one, two;
    memset(&one, 0, sizeof one);
    memset(&two, 0, sizeof two);
    size_t room = AFTER * (size_t)session->num_envs;
    uint64_t *a = calloc(room, sizeof *a), *b = calloc(room, sizeof *b);
    char *saved = NULL;
    if (!a || !b || probe_open(&one, session, session->num_envs, SEED) || probe_run(&one, SEED, 0, BEFORE, a)) goto out;
    check_enter(session, "snapshot.bytes");
    size_t bytes = table->bytes(one.env);
    check_leave(session);
    saved = calloc(session->num_envs, bytes + 1);
    if (!saved || bytes == 0) {
        check_say(session, MT_VERDICT_FAIL, "snapshot", "bytes() says %zu; say the size of one environment's snapshot", bytes);
        goto out;
    }
    check_enter(session, "snapshot.save");
    for (uint32_t i = 0; i < one.num_envs; i++) table->save(one.env, i, saved + i * bytes);
    check_leave(session);
    if (probe_open(&two, session, session->num_envs, 500) || probe_reset(&two, NULL, NULL) || load_all(&two, table, saved, bytes)) goto out;
    two.step = one.step;
    if (two.batch.action_mask) memcpy(two.batch.action_mask, one.batch.action_mask, two.num_envs * (size_t)two.action.logits);
    if (steps_digest(&one, AFTER, a) || steps_digest(&two, AFTER, b)) goto out;
    for (size_t i = 0; i < AFTER * (size_t)session->num_envs; i++)
        if (a[i] != b[i]) {
            check_say(session, MT_VERDICT_FAIL, "snapshot", "an instance that loaded a snapshot went on differently in environment %zu, %zu steps after; "
                "save state, step count and random stream", i % session->num_envs, i / session->num_envs + 1);
            goto out;
        }
    load_damaged(&two, table, saved, bytes);
    check_say(session, MT_VERDICT_PASS, "snapshot", "a loaded snapshot goes on exactly, and a damaged one does no harm");
out:
    free(a);
    free(b);
    free(saved);
    probe_close(&one);
    probe_close(&two);
}

void check_render(check_session *session) {
    const manta_env_render *table = extension(session, MANTA_EXT_RENDER, sizeof *table);
    static const size_t sizes[] = {1, 2, 63, 64, 1024, 1 << 16};
    char picture[(1 << 16) + 64];
    check_probe probe;
    if (!table) return;
    if (probe_open(&probe, session, session->num_envs, SEED) || probe_reset(&probe, NULL, NULL)) goto out;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        memset(picture, 0x7e, sizeof picture);
        check_enter(session, "render.text");
        size_t length = table->text(probe.env, session->num_envs - 1, picture, sizes[k]);
        check_leave(session);
        int past = 0;
        for (size_t i = sizes[k]; i < sizeof picture; i++) past |= picture[i] != 0x7e;
        if (past || length >= sizes[k] || picture[length] != 0 || strlen(picture) != length) {
            check_say(session, MT_VERDICT_FAIL, "render", "into %zu bytes: returned %zu%s; write at most bytes-1 characters and a zero, return their number",
                sizes[k], length, past ? " and wrote past them" : "");
            goto out;
        }
    }
    check_say(session, MT_VERDICT_PASS, "render", "the picture is a zero-terminated text within its bytes");
out:
    probe_close(&probe);
}
