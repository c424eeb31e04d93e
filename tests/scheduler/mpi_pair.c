// The ranks' side of test_pair.c, started by mpirun (or without). Exit status 0; anything else is a failure with a line on
// standard error.
#include "scheduler/pair.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/collective/mpi.h"
#include "scheduler/learner.h"

enum { STEPS = 6, ENVS = 2, ROWS = STEPS * ENVS, OBS = 3, MAX_RANKS = 8 };

static int rank, size;
static mt_comm *world;

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            fprintf(stderr, "rank %d of %d: %s:%d: %s; last error: %s\n", rank, size, __FILE__, __LINE__, #cond,       \
                mt_last_error());                                                                                      \
            mt_mpi_abort(1);                                                                                           \
        }                                                                                                              \
    } while (0)
#define OK(expr) CHECK((expr) == MT_OK)

static mt_policy *policy_of(int trunk, int actor, int critic) {
    mt_policy *policy;
    mt_policy_desc desc = {.obs = OBS, .distribution = MT_DIST_GAUSSIAN, .action = 1, .shared = {4}, .shared_depth = trunk,
        .pi = {actor}, .vf = {critic}, .pi_depth = 1, .vf_depth = 1, .activation = MT_ACT_tanh, .ortho_init = 1};
    OK(mt_policy_create(&desc, &policy));
    return policy;
}

static void fill(mt_segment *s, int worker) {
    for (int i = 0; i < (ROWS + ENVS) * OBS; i++) s->obs[i] = sinf((float)(7 * i + worker));
    for (int i = 0; i < ROWS; i++) {
        s->action[i] = cosf((float)(i + worker)), s->log_prob[i] = -1, s->value[i] = 0.1f;
        s->advantage[i] = sinf((float)(i * i + worker)), s->returns[i] = cosf((float)(3 * i + worker));
    }
}

// who pairs, and what is told
static void pairs(void) {
    mt_policy *equal = policy_of(0, 8, 8), *unequal = policy_of(0, 8, 16), *trunk = policy_of(1, 8, 8);
    mt_pair none, pair;
    OK(mt_pair_init(&none, world, unequal));
    CHECK(!none.two && mt_pair_parts(&none) == MT_POLICY_BOTH);
    OK(mt_pair_init(&none, world, trunk));
    CHECK(!none.two);
    double sums[2] = {1 + rank, 0.5};
    OK(mt_pair_add(&none, sums, 2));
    CHECK(sums[0] == 1 + rank && sums[1] == 0.5);

    OK(mt_pair_init(&pair, world, equal));
    CHECK((pair.two != NULL) == (size % 2 == 0));
    if (pair.two) {
        int odd = rank % 2, base = rank - odd;
        CHECK(mt_pair_parts(&pair) == (odd ? MT_POLICY_CRITIC : MT_POLICY_ACTOR));
        CHECK(mt_comm_size(pair.two) == 2 && mt_comm_size(pair.column) == size / 2 && mt_comm_rank(pair.column) == rank / 2);
        OK(mt_pair_add(&pair, sums, 2));
        CHECK(sums[0] == base + 1 + base + 2 && sums[1] == 1);

        int told = odd ? base + 1 : -1;
        OK(mt_pair_send(&pair, 1, &told, sizeof told));
        CHECK(told == base + 1);

        float *slab = calloc((size_t)equal->sizes.params, sizeof *slab);
        mt_policy_range mine = mt_policy_range_of(equal, mt_pair_parts(&pair));
        for (int64_t i = mine.first; i < mine.first + mine.count; i++) slab[i] = (float)(base + i);
        OK(mt_pair_complete(&pair, equal, slab));
        for (int64_t i = 0; i < equal->sizes.params; i++) CHECK(slab[i] == (float)(base + i));
        free(slab);
    }
    mt_pair_fini(&pair);
    mt_policy_destroy(equal), mt_policy_destroy(unequal), mt_policy_destroy(trunk);
}

// A gradient that is not finite in one net of one worker stops all ranks alike, with whole weights that are the same
// everywhere.
static void not_finite(void) {
    mt_policy *policy = policy_of(0, 8, 8);
    int envs[MAX_RANKS];
    for (int w = 0; w < size; w++) envs[w] = ENVS;
    mt_segment_shape shape = {.steps = STEPS, .envs = ENVS, .obs = OBS, .action = 1};
    mt_segment segment[2] = {0};   // a pair's ranks read those of both
    const mt_segment *segments[2] = {&segment[0], &segment[1]};
    mt_arena arena = {0};
    for (int i = 0; i < 2; i++) mt_segment_register(&segment[i], &shape, &arena);
    OK(mt_arena_commit(&arena));
    mt_learner *learner;
    OK(mt_learner_create(&(mt_learner_desc){.policy = policy, .kernels = mt_kernels_cpu(MT_ISA_plain_id), .comm = world,
        .config = {.batch_size = 4 * size, .n_epochs = 2, .learning_rate = {0.01, 0}, .clip_range = {0.2, 0},
            .clip_range_vf = {-1, 0}, .vf_coef = 0.5, .max_grad_norm = 0.5, .adam_eps = 1e-5},
        .shape = shape, .workers = size, .local_workers = 1, .worker_envs = envs, .seed = 3}, &learner));
    mt_learner_report report;
    mt_learner_reads reads = mt_learner_reads_of(learner);
    CHECK(reads.count == (size % 2 == 0 ? 2 : 1) && rank >= reads.first && rank < reads.first + reads.count);
    for (int i = 0; i < reads.count; i++) fill(&segment[i], reads.first + i);
    OK(mt_learner_update(learner, segments, 0, 1, &report));
    CHECK(report.updates == 6 && report.grad_norm > 0 && report.value_loss > 0 && report.entropy != 0);
    if (reads.first + reads.count == size) segment[reads.count - 1].returns[ROWS - 1] = NAN;
    CHECK(mt_learner_update(learner, segments, 1, 1, &report) == MT_NUMERIC);
    mt_learner_state s = mt_learner_state_get(learner);
    size_t bytes = sizeof(float) * (size_t)policy->sizes.params;
    const float *slabs[] = {s.param, s.m, s.v};
    for (int i = 0; i < 3; i++) {
        float *all = malloc(bytes * (size_t)size);
        OK(mt_comm_allgather(world, slabs[i], all, bytes));
        for (int r = 0; r < size; r++) CHECK(memcmp((char *)all + bytes * (size_t)r, all, bytes) == 0);
        for (int64_t p = 0; p < policy->sizes.params; p++) CHECK(isfinite(all[p]));
        free(all);
    }
    mt_learner_destroy(learner);
    mt_arena_fini(&arena);
    mt_policy_destroy(policy);
}

int main(int argc, char **argv) {
    OK(mt_mpi_init(&argc, &argv));
    OK(mt_comm_world(&(mt_comm_desc){.timeout_ns = 30 * MT_SECOND_NS}, &world));
    rank = mt_comm_rank(world), size = mt_comm_size(world);
    pairs();
    not_finite();
    mt_comm_destroy(world);
    return mt_mpi_finalize() == MT_OK ? 0 : 1;
}
