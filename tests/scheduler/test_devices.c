// What `auto` makes of a GPU that may be there: a table of choices.
#include "scheduler/devices.h"

#include <criterion/criterion.h>

static mt_policy *make(mt_policy_desc *d) {
    mt_policy *policy;
    cr_assert_eq(mt_policy_create(d, &policy), MT_OK, "%s", mt_last_error());
    return policy;
}
static mt_policy *classic(int units) {
    return make(&(mt_policy_desc){.obs = 4, .distribution = MT_DIST_CATEGORICAL, .action = 1, .nvec = {2}, .pi = {units, units},
        .vf = {units, units}, .pi_depth = 2, .vf_depth = 2, .activation = MT_ACT_tanh});
}
// the DQN net
static mt_policy *atari(void) {
    mt_policy_desc d = {.obs = 84 * 84 * 4, .distribution = MT_DIST_CATEGORICAL, .action = 1, .nvec = {6}, .activation = MT_ACT_relu,
        .input_count = 1, .extractor = MT_EXTRACTOR_NATURE, .features = 512};
    d.inputs[0] = (mt_input){.kind = MT_INPUT_IMAGE, .width = 84 * 84 * 4, .height = 84, .width_px = 84, .channels = 4};
    return make(&d);
}

Test(devices, choices) {
    mt_policy *small = classic(64), *large = classic(1024), *dqn = atari();
    enum { AUTO = MT_ROLLOUT_AUTO, CPU = MT_ROLLOUT_CPU, CUDA = MT_ROLLOUT_CUDA };
    const struct {
        const char *device;
        int rollout, deterministic;
        const mt_policy *policy;
        int envs, batch, ranks, threads, learns, acts, must;
    } cases[] = {
        {"auto", AUTO, 0, small, 8, 64, 1, 2, 0, 0, 0},
        {"auto", AUTO, 0, small, 4096, 64, 1, 2, 0, 1, 0},
        {"auto", AUTO, 0, small, 8, 4096, 1, 2, 1, 0, 0},
        {"auto", AUTO, 0, small, 8, 4096, 8, 2, 0, 0, 0},      // eight learners share its rows
        {"auto", AUTO, 0, large, 8, 64, 2, 1, 1, 0, 0},
        {"auto", AUTO, 0, dqn, 8, 32, 1, 16, 1, 1, 0},         // more threads than environments: one each
        {"auto", AUTO, 0, dqn, 8, 256, 4, 4, 1, 1, 0},
        {"auto", AUTO, 1, dqn, 8, 256, 4, 4, 0, 0, 0},         // bits that do not depend on the ranks
        {"auto", CPU, 0, dqn, 8, 256, 4, 4, 1, 0, 0},
        {"cpu", AUTO, 0, dqn, 8, 256, 4, 4, 0, 0, 0},
        {"cpu", CUDA, 0, small, 8, 64, 1, 1, 0, 1, 1},
        {"cuda", AUTO, 0, small, 8, 64, 1, 1, 1, 0, 1},
        {"cuda:1", CUDA, 1, small, 8, 64, 1, 1, 1, 1, 1},
    };
    for (size_t i = 0; i < MT_COUNT(cases); i++) {
        mt_train_config train = {.rollout_device = cases[i].rollout, .deterministic = cases[i].deterministic};
        mt_ppo_config ppo = {.n_envs = cases[i].envs, .learner.batch_size = cases[i].batch};
        snprintf(train.device, sizeof train.device, "%s", cases[i].device);
        mt_devices_choice c = mt_devices_choose(&train, &ppo, cases[i].policy, NULL, cases[i].ranks, cases[i].threads);
        cr_expect(c.learns == cases[i].learns && c.acts == cases[i].acts && c.must == cases[i].must, "case %zu: learns %d, acts %d, must %d", i,
            c.learns, c.acts, c.must);
        cr_expect_str_eq(c.spec, strncmp(cases[i].device, "cuda", 4) == 0 ? cases[i].device : "cuda");
    }
    mt_policy_destroy(small), mt_policy_destroy(large), mt_policy_destroy(dqn);
}
