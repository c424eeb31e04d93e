// Who does what in a training job: logical workers, learners, environment runners and their ranks.
#include "scheduler/layout.h"

#include <criterion/criterion.h>
#include <string.h>

static int workers_of(int n_workers, int deterministic, int envs, int batch, int ranks, int threads) {
    mt_train_config train = {.n_workers = n_workers, .deterministic = deterministic};
    mt_ppo_config ppo = {.n_envs = envs, .learner.batch_size = batch};
    mt_layout layout;
    cr_assert_eq(mt_layout_init(&layout, &train, &ppo, ranks, threads), MT_OK, "%s", mt_last_error());
    return layout.workers;
}

Test(layout, number_of_workers) {
    const struct { int n_workers, deterministic, envs, batch, ranks, threads, expected; } cases[] = {
        {6, 0, 64, 64, 2, 8, 6}, {6, 1, 64, 64, 2, 8, 6},                              // given
        {0, 0, 64, 64, 1, 1, 1}, {0, 0, 64, 64, 1, 8, 8}, {0, 0, 64, 64, 2, 8, 16},    // ranks x threads
        {0, 0, 5, 64, 1, 8, 5}, {0, 0, 5, 64, 2, 8, 4}, {0, 0, 1, 64, 1, 8, 1},        // capped by the environments
        {0, 0, 64, 3, 1, 8, 3}, {0, 0, 64, 7, 3, 8, 6}, {0, 0, 64, 1, 1, 8, 1},        // capped by a minibatch's rows
        {0, 0, 2, 64, 4, 8, 4}, {0, 0, 64, 2, 4, 8, 4},                                // every rank has one all the same
    };
    for (size_t i = 0; i < MT_COUNT(cases); i++)
        cr_expect_eq(workers_of(cases[i].n_workers, cases[i].deterministic, cases[i].envs, cases[i].batch, cases[i].ranks,
            cases[i].threads), cases[i].expected, "case %zu", i);
}

Test(layout, deterministic_workers_never_come_from_the_threads) {
    const int ranks[] = {1, 2, 3, 4, 8}, expected[] = {4, 4, 3, 4, 8};
    for (size_t i = 0; i < MT_COUNT(ranks); i++)
        for (int threads = 1; threads <= 64; threads++)
            cr_expect_eq(workers_of(0, 1, 64, 64, ranks[i], threads), expected[i], "%d ranks, %d threads", ranks[i], threads);
}

Test(layout, deterministic_workers_are_as_many_wherever_a_layout_can_have_them) {
    const struct { int ranks, learners, runners, expected; } cases[] = {
        {4, 1, 3, 4}, {4, 2, 2, 4}, {4, 1, 1, 4}, {2, 1, 4, 4}, {4, 2, 3, 4}, {3, 2, 1, 4},
        {4, 3, 1, 3}, {2, 1, 5, 5}, {4, 2, 5, 10},   // those that cannot
    };
    for (size_t i = 0; i < MT_COUNT(cases); i++) {
        mt_train_config train = {.deterministic = 1, .num_learners = cases[i].learners, .num_env_runners = cases[i].runners};
        mt_ppo_config ppo = {.n_envs = 64, .learner.batch_size = 64};
        mt_layout l;
        cr_assert_eq(mt_layout_init(&l, &train, &ppo, cases[i].ranks, 8), MT_OK, "%s", mt_last_error());
        cr_expect_eq(l.workers, cases[i].expected, "case %zu: %d", i, l.workers);
    }
}

// every worker has one learner and one runner, every environment one worker
Test(layout, everything_is_done_once) {
    for (int ranks = 1; ranks <= 9; ranks++)
        for (int learners = 1; learners <= ranks; learners++)
            for (int runners = 1; runners <= 2 * ranks; runners++) {
                mt_train_config train = {.num_learners = learners, .num_env_runners = runners};
                mt_ppo_config ppo = {.n_envs = 37, .learner.batch_size = 1000};
                mt_layout l;
                cr_assert_eq(mt_layout_init(&l, &train, &ppo, ranks, 1), MT_OK, "%s", mt_last_error());
                int envs = 0;
                for (int w = 0; w < l.workers; w++) {
                    int r = mt_layout_runner_of(&l, w);
                    cr_assert(w >= mt_layout_runner_first(&l, r) && w < mt_layout_runner_first(&l, r + 1));
                    envs += mt_layout_worker_envs(&l, w);
                }
                cr_assert_eq(envs, 37);
                cr_assert_eq(mt_layout_learner_workers(&l) * learners, l.workers);
                for (int r = 0; r < runners; r++)
                    cr_assert(mt_layout_runner_rank(&l, r) >= 0 && mt_layout_runner_rank(&l, r) < ranks, "%d of %d", r, ranks);
                // no two learners share a rank; with enough ranks no runner stands on a learner's
                for (int i = 0; i < learners; i++) {
                    for (int k = 0; k < i; k++) cr_assert_neq(mt_layout_learner_rank(&l, i), mt_layout_learner_rank(&l, k));
                    for (int r = 0; r < runners && learners + runners <= ranks; r++)
                        cr_assert_neq(mt_layout_runner_rank(&l, r), mt_layout_learner_rank(&l, i));
                }
            }
}

Test(layout, threads_are_as_many_as_the_workers_of_one_actor) {
    const struct { int learners, runners, workers, threads, expected; } cases[] = {
        {1, 1, 4, 4, 4}, {1, 1, 4, 8, 4}, {1, 3, 4, 8, 4}, {2, 2, 4, 8, 2}, {4, 2, 4, 8, 2}, {4, 3, 4, 8, 2}, {4, 4, 4, 8, 1}, {1, 1, 4, 1, 1},
    };
    for (size_t i = 0; i < MT_COUNT(cases); i++) {
        mt_layout l = {.ranks = 4, .learners = cases[i].learners, .runners = cases[i].runners, .workers = cases[i].workers};
        cr_expect_eq(mt_layout_threads(&l, cases[i].threads), cases[i].expected, "case %zu", i);
    }
}

// two hosts with two ranks each, and ranks that go round them
Test(layout, placements_take_hosts_one_by_one_or_in_turn) {
    static const int by_slot[] = {0, 0, 1, 1}, by_node[] = {0, 1, 0, 1};
    const struct { mt_placement placement; const int *node_of; int expected[4]; } cases[] = {
        {MT_PLACEMENT_PACK, by_slot, {0, 1, 2, 3}}, {MT_PLACEMENT_PACK, by_node, {0, 2, 1, 3}},
        {MT_PLACEMENT_SPREAD, by_slot, {0, 2, 1, 3}}, {MT_PLACEMENT_SPREAD, by_node, {0, 1, 2, 3}},
    };
    for (size_t i = 0; i < MT_COUNT(cases); i++) {
        int order[4];
        mt_layout apart = {.ranks = 4, .learners = 1, .runners = 3}, together = {.ranks = 4, .learners = 4, .runners = 6};
        mt_layout_order(&apart, cases[i].placement, cases[i].node_of, order);
        cr_expect_arr_eq(order, cases[i].expected, sizeof order, "case %zu", i);
        for (int r = 0; r < 3; r++)
            cr_expect_neq(mt_layout_placed_runner(&apart, order, r), mt_layout_placed_learner(&apart, order, 0), "case %zu", i);
        for (int l = 0; l < 4; l++) cr_expect_eq(mt_layout_placed_learner(&together, order, l), cases[i].expected[l]);
        for (int r = 0; r < 6; r++) cr_expect_eq(mt_layout_placed_runner(&together, order, r), cases[i].expected[r % 4]);
    }
}

Test(layout, what_does_not_divide_is_refused) {
    mt_layout l;
    mt_ppo_config ppo = {.n_envs = 8, .learner.batch_size = 64};
    cr_expect_eq(mt_layout_init(&l, &(mt_train_config){.num_learners = 3}, &ppo, 2, 1), MT_CONFIG);
    cr_expect(strstr(mt_last_error(), "num_learners 3 on 2 ranks"), "%s", mt_last_error());
    cr_expect(!strstr(mt_last_error(), "threads"), "threads give no room for a learner: %s", mt_last_error());
    cr_expect_eq(mt_layout_init(&l, &(mt_train_config){.n_workers = 6}, &ppo, 4, 1), MT_CONFIG);
    cr_expect(strstr(mt_last_error(), "n_workers 6 over 4 ranks"), "%s", mt_last_error());
    cr_expect_eq(mt_layout_init(&l, &(mt_train_config){.n_workers = 2, .num_learners = 1, .num_env_runners = 3}, &ppo, 4, 1), MT_CONFIG);
    cr_expect(strstr(mt_last_error(), "3 environment runners"), "%s", mt_last_error());
}
