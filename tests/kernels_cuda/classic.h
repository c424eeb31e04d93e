// Tests of the environments of classic control, of each kind over some hundred steps with ends and beginnings: to the bit, as rollouts
// promise.
#ifndef MANTA_TESTS_KERNELS_CUDA_CLASSIC_H
#define MANTA_TESTS_KERNELS_CUDA_CLASSIC_H

#include "harness.h"

static const struct {
    mt_classic of;
    const char *name;
    int obs, actions;   // 0 actions: a number
} classics[] = {
    {{MT_CLASSIC_CARTPOLE, 500, {0}, 0, 0}, "classic_step, cartpole", 4, 2},
    {{MT_CLASSIC_CARTPOLE_NO_VEL, 19, {1}, 0, 0}, "classic_step, cartpole_no_vel", 2, 2},
    {{MT_CLASSIC_MOUNTAIN_CAR, 60, {0}, 0, 0}, "classic_step, mountain_car", 2, 3},
    {{MT_CLASSIC_MOUNTAIN_CAR_CONTINUOUS, 45, {0}, -1, 1}, "classic_step, mountain_car_continuous", 2, 0},
    {{MT_CLASSIC_PENDULUM, 50, {10}, -2, 2}, "classic_step, pendulum", 3, 0},
    {{MT_CLASSIC_ACROBOT, 70, {1}, 0, 0}, "classic_step, acrobot", 6, 3},
};

// records at rest: streams of their own, states near the middle
static void *classic_records(mt_classic_kind kind, int64_t envs) {
    size_t bytes = (size_t)mt_classic_record_bytes(kind);
    char *records = host_bytes(bytes * (size_t)envs);
    for (int64_t i = 0; i < envs; i++) {
        mt_classic_record r = {.tag = 5, .seed = (uint64_t)(77 * i) << 30, .episode = (uint64_t)(i % 7), .steps = i % 11};
        memcpy(records + bytes * (size_t)i, &r, sizeof r);
        for (int64_t k = 0; k < mt_classic_states(kind); k++) {
            double x = uniform(-0.06, 0.06);
            memcpy(records + bytes * (size_t)i + sizeof r + sizeof x * (size_t)k, &x, sizeof x);
        }
    }
    return records;
}

static void compare_classic(const char *name, const mt_classic_step *want, const mt_classic_step *got, int obs) {
    int64_t n = want->envs, words = n * mt_classic_record_bytes(want->of.kind) / 4;
    COMPARE(uint32_t, name, got->records, want->records, words, 0, EXACT);
    COMPARE(float, name, got->obs, want->obs, n * obs, 0, EXACT);
    COMPARE(float, name, got->final_obs, want->final_obs, n * obs, 0, EXACT);
    COMPARE(float, name, got->reward, want->reward, n, 0, EXACT);
    COMPARE(uint8_t, name, got->terminated, want->terminated, n, 0, EXACT);
    COMPARE(uint8_t, name, got->truncated, want->truncated, n, 0, EXACT);
    COMPARE(uint8_t, name, got->ended, want->ended, n, 0, EXACT);
    COMPARE(uint8_t, name, got->bad, want->bad, n, 0, EXACT);
}

static void run_classic(size_t kind, int64_t envs, int steps) {
    size_t n = (size_t)envs;
    mt_classic of = classics[kind].of;
    int obs = classics[kind].obs, actions = classics[kind].actions;
    void *records = classic_records(of.kind, envs);
    float *action = host_floats(envs);
    int32_t *choice = host_bytes(4 * n), *choice_up = NEW(int32_t, envs);
    float *action_up = NEW(float, envs), *zeros = host_floats(envs * obs);
    mt_classic_step want = {.of = of, .envs = envs, .choice = choice, .action = action, .obs = host_floats(envs * obs),
        .final_obs = host_floats(envs * obs), .reward = host_floats(envs), .terminated = host_bytes(n), .truncated = host_bytes(n),
        .ended = host_bytes(n), .bad = host_bytes(n)};
    mt_classic_step got = {.of = of, .envs = envs, .records = up(records, 8, envs * mt_classic_record_bytes(of.kind) / 8),
        .choice = choice_up, .action = action_up, .obs = NEW(float, envs * obs), .final_obs = UP(zeros, envs * obs), .reward = NEW(float, envs),
        .terminated = NEW(uint8_t, envs), .truncated = NEW(uint8_t, envs), .ended = NEW(uint8_t, envs), .bad = NEW(uint8_t, envs)};
    want.records = records;
    for (int t = 0; t < steps; t++) {
        for (int64_t i = 0; i < envs; i++) {
            choice[i] = actions ? (int32_t)(random_u32() % (uint32_t)actions) : 0;
            action[i] = (float)(t / 30 % 2 ? uniform(0, 3) : normal());
        }
        must(mt_cuda_stream_copy(&device, cuda.stream, choice_up, choice, 4 * n));
        must(mt_cuda_stream_copy(&device, cuda.stream, action_up, action, 4 * n));
        cpu->classic_step(&want);
        must(mt_cuda_classic_step(&cuda, &got));
        must(mt_cuda_sync(&cuda));
    }
    compare_classic(classics[kind].name, &want, &got, obs);
    done(classics[kind].name);
}

static void test_append(void) {
    static const int64_t word_counts[] = {1, 4, 255, 4096, 10001};
    for (int k = 0; k < 5; k++) {
        int64_t words = word_counts[k], zero = 0, two = 2;
        uint32_t *row = words_of(words), *row_up = UP(row, words), *rows = NEW(uint32_t, 3 * words);
        int64_t *time = UP(&zero, 1);
        uint64_t *step = UP(&two, 1);
        for (int t = 0; t < 3; t++) must(mt_cuda_append_row(&cuda, 4 * words, row_up, rows, time, step));
        for (int t = 0; t < 3; t++) COMPARE(uint32_t, "append_row", rows + t * words, row, words, 0, EXACT);
        int64_t three = 3, five = 5;
        COMPARE(int64_t, "append_row", time, &three, 1, 0, EXACT);
        COMPARE(int64_t, "append_row", (int64_t *)step, &five, 1, 0, EXACT);
        done("append_row");
    }
}

static void test_classics(void) {
    for (size_t kind = 0; kind < sizeof classics / sizeof *classics; kind++) {
        run_classic(kind, 1, 60);
        run_classic(kind, 33, 90);
        run_classic(kind, 129, 10);
    }
    test_append();
}

#endif
