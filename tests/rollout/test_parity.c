// The built-in environments against recorded trajectories of Gymnasium (tests/rollout/data, made by record.py).
#include "fixture.h"
#include "trajectory.h"

static const char *const files[RECORDED] = {"cartpole", "mountain_car", "mountain_car_continuous", "pendulum", "acrobot"};

static void parity_on(mt_isa isa) {
    size_t count;
    if (!mt_env_builtins(isa, &count)) cr_skip_test("this machine or build lacks the instruction set");
    for (int k = 0; k < RECORDED; k++) {
        char path[PATH_MAX];
        trajectory t;
        parity result;
        snprintf(path, sizeof path, "%s/tests/rollout/data/%s.traj", MANTA_SOURCE_DIR, files[k]);
        cr_assert(trajectory_read(path, &t) == 0);
        cr_assert_str_eq(t.id, builtin_ids[k]);
        cr_assert(t.episode_count == 100);
        cr_assert(trajectory_compare(&t, builtin(isa, t.id), 1e-6, &result) == 0);
        cr_expect(result.episodes_off == 0, "%s: %u of 100 episodes are off, worst observation %g, reward %g: %s", t.id,
            result.episodes_off, result.worst_obs, result.worst_reward, result.first);
        trajectory_free(&t);
    }
}

Test(parity, plain) { parity_on(MT_ISA_plain_id); }
Test(parity, avx2) { parity_on(MT_ISA_avx2_id); }
Test(parity, avx512) { parity_on(MT_ISA_avx512_id); }

// the comparison itself must be able to fail
Test(parity, a_wrong_reward_is_found) {
    char path[PATH_MAX];
    trajectory t;
    parity result;
    snprintf(path, sizeof path, "%s/tests/rollout/data/pendulum.traj", MANTA_SOURCE_DIR);
    cr_assert(trajectory_read(path, &t) == 0);
    ((float *)(uintptr_t)t.episodes[3].reward)[17] += 1e-4f;
    cr_assert(trajectory_compare(&t, builtin(MT_ISA_plain_id, t.id), 1e-6, &result) == 0);
    cr_expect(result.episodes_off == 1 && strstr(result.first, "episode 3 step 17: reward"), "%s", result.first);
    trajectory_free(&t);
}

// fast_math drifts apart only late: Acrobot's first hundred steps agree
Test(parity, acrobot_with_fast_math_begins_alike) {
    enum { ROWS = 40 };
    batch_env exact, fast;
    batch_open(&exact, builtin(MT_ISA_plain_id, "Acrobot-v1"), ROWS, 1, NULL);
    batch_open(&fast, builtin(MT_ISA_plain_id, "Acrobot-v1"), ROWS, 1, (const char *const[]){"fast_math", "true", NULL});
    double worst = 0;
    for (int t = 0; t < 100; t++) {
        batch_choose(&exact, 4, 0, (uint64_t)t);
        batch_choose(&fast, 4, 0, (uint64_t)t);
        batch_step(&exact);
        batch_step(&fast);
        for (int i = 0; i < 6 * ROWS; i++)
            worst = fmax(worst, fabs((double)((float *)exact.io.batch.obs)[i] - (double)((float *)fast.io.batch.obs)[i]));
    }
    cr_expect(worst < 1e-6, "%g", worst);
    batch_close(&exact);
    batch_close(&fast);
}
