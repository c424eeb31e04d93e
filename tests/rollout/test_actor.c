// Acting: which random words an action is made of, that rows know nothing of each other, masks, exploration matrices, values.
#include "rollout/actor.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { OBS = 5, ROWS = MT_ACTOR_ROWS_AT_ONCE + 45, FIRST_ENV = 1000, LATENT = 300 };
static const uint64_t seed = 11;

typedef struct fixture {
    mt_policy *policy;
    const mt_kernels *k;
    mt_arena arena;
    mt_weights weights;
    mt_actor actor;
    float *obs;                       // (ROWS, OBS)
    float *action, *log_prob;         // (ROWS, A), (ROWS)
    int32_t *choice;                  // (ROWS, A)
} fixture;

static mt_policy_desc categorical(int components, const int32_t *nvec) {
    mt_policy_desc d = {.obs = OBS, .distribution = MT_DIST_CATEGORICAL, .action = components, .pi = {8}, .vf = {8}, .pi_depth = 1,
        .vf_depth = 1, .activation = MT_ACT_tanh, .ortho_init = 1};
    memcpy(d.nvec, nvec, sizeof *nvec * (size_t)components);
    return d;
}

static mt_policy_desc box(mt_distribution distribution, int components, int latent) {
    return (mt_policy_desc){.obs = OBS, .distribution = distribution, .action = components, .pi = {latent}, .vf = {8}, .pi_depth = 1,
        .vf_depth = 1, .activation = MT_ACT_tanh, .ortho_init = 1, .log_std_init = -0.5f};
}

static void set_up(fixture *f, const mt_policy_desc *desc, mt_isa isa, uint64_t first_env, int64_t rows) {
    mt_rng rng = mt_rng_at(7, mt_rng_stream(MT_RNG_USER, 1), 0);
    *f = (fixture){.k = mt_kernels_cpu(isa)};
    cr_assert_eq(mt_policy_create(desc, &f->policy), MT_OK, "%s", mt_last_error());
    mt_weights_register(&f->weights, f->policy, &f->arena);
    mt_actor_register(&f->actor, &(mt_actor_desc){.policy = f->policy, .kernels = f->k, .use = MT_RNG_ACTION, .seed = seed,
        .first_env = first_env, .rows = rows}, &f->arena);
    MT_ARENA_ADD(&f->arena, f->obs, ROWS * OBS);
    MT_ARENA_ADD(&f->arena, f->action, ROWS * desc->action);
    MT_ARENA_ADD(&f->arena, f->log_prob, ROWS);
    MT_ARENA_ADD(&f->arena, f->choice, ROWS * desc->action);
    cr_assert_eq(mt_arena_commit(&f->arena), MT_OK);
    cr_assert_eq(mt_weights_init(&f->weights, f->policy, f->k, 3), MT_OK);
    // away from the small head of the initialisation, so that the observation matters
    for (int64_t i = 0; i < f->policy->sizes.params; i++) f->weights.param[i] += (float)(0.3 * mt_rng_normal(&rng));
    mt_weights_pack(&f->weights, f->policy, f->k, MT_POLICY_BOTH);
    for (int i = 0; i < ROWS * OBS; i++) f->obs[i] = (float)mt_rng_normal(&rng);
}

static void tear_down(fixture *f) {
    mt_arena_fini(&f->arena);
    mt_policy_destroy(f->policy);
}

static void sample(fixture *f, uint64_t step) {
    mt_actor_resample(&f->actor, &f->weights, step / 4);
    mt_actor_sample(&f->actor, &f->weights, f->obs, NULL, step, f->action, f->choice, f->log_prob);
}

static int same(const void *a, const void *b, size_t bytes) { return memcmp(a, b, bytes) == 0; }

// ---- rows

// the bits of each row alone: one actor for the row's environment, with one row
static void check_alone(const mt_policy_desc *desc, mt_isa isa) {
    static const int rows[] = {0, 1, 7, MT_ACTOR_ROWS_AT_ONCE - 1, MT_ACTOR_ROWS_AT_ONCE, ROWS - 1};
    size_t bytes = sizeof(float) * (size_t)desc->action;
    fixture all, one;
    set_up(&all, desc, isa, FIRST_ENV, ROWS);
    sample(&all, 9);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int r = rows[i];
        set_up(&one, desc, isa, FIRST_ENV + (uint64_t)r, 1);
        memcpy(one.obs, all.obs + r * OBS, sizeof(float) * OBS);
        sample(&one, 9);
        cr_expect(same(one.choice, all.choice + r * desc->action, bytes), "choice of row %d", r);
        cr_expect(same(one.action, all.action + r * desc->action, bytes), "action of row %d", r);
        cr_expect(same(one.log_prob, all.log_prob + r, sizeof(float)), "log probability of row %d", r);
        tear_down(&one);
    }
    // and rows that could not differ would prove nothing
    const void *values = desc->distribution == MT_DIST_CATEGORICAL ? (void *)all.choice : (void *)all.action;
    int differ = 0;
    for (int r = 1; r < ROWS; r++) differ += !same(values, (const char *)values + (size_t)r * bytes, bytes);
    cr_expect_gt(differ, ROWS / 4);
    tear_down(&all);
}

Test(actor, a_row_does_not_depend_on_how_many_go_together) {
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
        if (!mt_kernels_cpu((mt_isa)isa)) continue;
        mt_policy_desc d = categorical(1, (int32_t[]){2});
        check_alone(&d, (mt_isa)isa);
        d = categorical(6, (int32_t[]){3, 2, 5, 2, 2, 4});
        check_alone(&d, (mt_isa)isa);
        d = box(MT_DIST_GAUSSIAN, 1, 8);
        check_alone(&d, (mt_isa)isa);
        d = box(MT_DIST_GAUSSIAN, 5, 8);
        check_alone(&d, (mt_isa)isa);
        d = box(MT_DIST_GSDE, 3, 8);
        check_alone(&d, (mt_isa)isa);
    }
}

Test(actor, other_steps_environments_seeds_and_uses_draw_other_numbers) {
    mt_policy_desc d = box(MT_DIST_GAUSSIAN, 2, 8);
    fixture f, other;
    set_up(&f, &d, MT_ISA_plain_id, FIRST_ENV, 3);
    sample(&f, 9);
    for (int k = 0; k < 5; k++) {
        set_up(&other, &d, MT_ISA_plain_id, FIRST_ENV + (k == 1 ? 1 : 0), 3);
        if (k == 2) other.actor.seed++;
        if (k == 3) other.actor.use = MT_RNG_EVAL;
        sample(&other, k == 4 ? 10 : 9);
        int equal = 0;
        for (int i = 0; i < 6; i++) equal += f.action[i] == other.action[i];
        cr_expect_eq(equal, k == 0 ? 6 : 0, "variation %d", k);
        tear_down(&other);
    }
    tear_down(&f);
}

// ---- the words that engine/base/rng.h promises

// word c of an environment's action at `step`
static uint32_t word(uint64_t env, uint64_t step, int width, int c) {
    uint32_t block[4];
    uint64_t blocks = (uint64_t)(width + 3) / 4;
    mt_rng_block(seed, mt_rng_stream(MT_RNG_ACTION, env), step * blocks + (uint64_t)c / 4, block);
    return block[c % 4];
}

Test(actor, choices_come_from_the_environments_stream) {
    mt_policy_desc d = categorical(6, (int32_t[]){3, 2, 5, 2, 2, 4});
    fixture f;
    set_up(&f, &d, MT_ISA_plain_id, FIRST_ENV, 4);
    for (uint64_t step = 0; step < 50; step += 7) {
        sample(&f, step);
        uint32_t words[4 * 6];
        int32_t expected[4 * 6];
        float log_prob[4];
        for (int r = 0; r < 4; r++)
            for (int c = 0; c < 6; c++) words[6 * r + c] = word(FIRST_ENV + (uint64_t)r, step, 6, c);
        mt_policy_output out = mt_policy_forward(f.policy, f.k, &f.weights, f.obs, 4, NULL, MT_POLICY_ACTOR, &f.actor.space);
        mt_categorical c = mt_policy_categorical(f.policy, &out, NULL, 4);
        f.k->categorical_sample(&c, words, expected, log_prob);
        cr_expect(same(expected, f.choice, sizeof expected), "step %d", (int)step);
        cr_expect(same(log_prob, f.log_prob, sizeof log_prob), "step %d", (int)step);
    }
    tear_down(&f);
}

// an odd number of components: words are drawn in pairs, the last one is dropped
static void check_noise(int dim) {
    mt_policy_desc d = box(MT_DIST_GAUSSIAN, dim, 8);
    int width = dim + 1;
    fixture f;
    set_up(&f, &d, MT_ISA_plain_id, FIRST_ENV, 4);
    sample(&f, 13);
    mt_policy_output out = mt_policy_forward(f.policy, f.k, &f.weights, f.obs, 4, NULL, MT_POLICY_ACTOR, &f.actor.space);
    for (int r = 0; r < 4; r++) {
        uint32_t words[8];
        float noise[8];
        double log_prob = 0;
        for (int c = 0; c < width; c++) words[c] = word(FIRST_ENV + (uint64_t)r, 13, width, c);
        f.k->normals(width, words, noise);
        for (int c = 0; c < dim; c++) {
            double log_std = f.weights.param[f.policy->log_std + c];
            cr_expect_float_eq(f.action[dim * r + c], out.head[dim * r + c] + exp(log_std) * noise[c], 1e-5, "row %d, component %d", r, c);
            log_prob += -0.5 * noise[c] * noise[c] - log_std - 0.5 * log(2 * 3.14159265358979323846);
        }
        cr_expect_float_eq(f.log_prob[r], log_prob, 1e-4, "row %d: %g, expected %g", r, f.log_prob[r], log_prob);
    }
    tear_down(&f);
}

Test(actor, gaussian_noise_comes_from_the_environments_stream) {
    check_noise(3);   // one whole block of words
    check_noise(5);
}

// ---- gSDE

// LATENT · 5 numbers of a matrix are more than are drawn at once
Test(actor, exploration_matrices_come_from_the_environments_stream) {
    enum { A = 5, COUNT = LATENT * A };
    mt_policy_desc d = box(MT_DIST_GSDE, A, LATENT);
    fixture f;
    static uint32_t words[COUNT];
    static float z[COUNT];
    set_up(&f, &d, MT_ISA_plain_id, FIRST_ENV, 3);
    cr_assert_gt(COUNT, 4 * MT_ACTOR_ROWS_AT_ONCE);
    cr_assert_eq(f.policy->log_std_count, COUNT);
    mt_actor_resample(&f.actor, &f.weights, 21);
    for (int r = 0; r < 3; r++) {
        for (int b = 0; b < COUNT / 4; b++)
            mt_rng_block(seed, mt_rng_stream(MT_RNG_EXPLORE, FIRST_ENV + (uint64_t)r), 21 * (COUNT / 4) + (uint64_t)b, words + 4 * b);
        f.k->normals(COUNT, words, z);
        for (int i = 0; i < COUNT; i++) {
            float expected = z[i] * expf(f.weights.param[f.policy->log_std + i]);
            cr_assert_eq(f.actor.matrix[r * COUNT + i], expected, "row %d, number %d: %g, expected %g", r, i, f.actor.matrix[r * COUNT + i], expected);
        }
    }
    tear_down(&f);
}

Test(actor, gsde_adds_what_its_matrix_makes_of_the_features) {
    mt_policy_desc d = box(MT_DIST_GSDE, 3, 8);
    fixture f;
    set_up(&f, &d, MT_ISA_plain_id, FIRST_ENV, ROWS);
    mt_actor_resample(&f.actor, &f.weights, 2);
    mt_actor_sample(&f.actor, &f.weights, f.obs, NULL, 5, f.action, NULL, f.log_prob);
    // the last rows went through the workspace last: theirs are the features
    int64_t first = MT_ACTOR_ROWS_AT_ONCE, rows = ROWS - first;
    mt_policy_output out = mt_policy_forward(f.policy, f.k, &f.weights, f.obs + first * OBS, rows, NULL, MT_POLICY_ACTOR, &f.actor.space);
    for (int64_t r = 0; r < rows; r++)
        for (int a = 0; a < 3; a++) {
            double expected = out.head[3 * r + a];
            for (int l = 0; l < 8; l++) expected += (double)out.latent[8 * r + l] * f.actor.matrix[(first + r) * 24 + 3 * l + a];
            cr_expect_float_eq(f.action[3 * (first + r) + a], expected, 1e-5, "row %d", (int)(first + r));
        }
    float *log_prob = malloc(sizeof *log_prob * (size_t)rows);
    mt_gaussian g = mt_policy_gaussian(f.policy, &out, rows);
    f.k->gaussian_log_prob(&g, f.action + 3 * first, log_prob, NULL);
    cr_expect(same(log_prob, f.log_prob + first, sizeof *log_prob * (size_t)rows));
    free(log_prob);
    tear_down(&f);
}

Test(actor, gsde_keeps_its_matrices_until_they_are_drawn_anew) {
    mt_policy_desc d = box(MT_DIST_GSDE, 3, 8);
    fixture f;
    float held[3], other[3];
    set_up(&f, &d, MT_ISA_plain_id, FIRST_ENV, 1);
    mt_actor_resample(&f.actor, &f.weights, 0);
    mt_actor_sample(&f.actor, &f.weights, f.obs, NULL, 0, held, NULL, f.log_prob);
    mt_actor_sample(&f.actor, &f.weights, f.obs, NULL, 1, other, NULL, f.log_prob);
    cr_expect(same(held, other, sizeof held), "another step drew another matrix");
    mt_actor_resample(&f.actor, &f.weights, 1);
    mt_actor_sample(&f.actor, &f.weights, f.obs, NULL, 1, other, NULL, f.log_prob);
    for (int a = 0; a < 3; a++) cr_expect_neq(held[a], other[a]);
    mt_actor_resample(&f.actor, &f.weights, 0);
    mt_actor_sample(&f.actor, &f.weights, f.obs, NULL, 2, other, NULL, f.log_prob);
    cr_expect(same(held, other, sizeof held));
    tear_down(&f);
}

Test(actor, there_is_nothing_to_draw_anew_without_gsde) {
    mt_policy_desc d = box(MT_DIST_GAUSSIAN, 3, 8);
    fixture f;
    set_up(&f, &d, MT_ISA_plain_id, FIRST_ENV, 4);
    cr_expect_null(f.actor.matrix);
    mt_actor_resample(&f.actor, &f.weights, 5);
    tear_down(&f);
}

// ---- masks and modes

Test(actor, what_is_masked_is_never_chosen) {
    mt_policy_desc d = categorical(2, (int32_t[]){3, 2});
    fixture f;
    set_up(&f, &d, MT_ISA_plain_id, FIRST_ENV, ROWS);
    static uint8_t mask[ROWS * 5];
    for (int r = 0; r < ROWS; r++) mask[5 * r + r % 3] = mask[5 * r + (r + 1) % 3] = mask[5 * r + 3 + r % 2] = 1;
    for (uint64_t step = 0; step < 20; step++) {
        int second = 0;
        mt_actor_sample(&f.actor, &f.weights, f.obs, mask, step, NULL, f.choice, f.log_prob);
        for (int r = 0; r < ROWS; r++) {
            cr_expect(mask[5 * r + f.choice[2 * r]] && f.choice[2 * r + 1] == r % 2, "row %d chose %d, %d", r, f.choice[2 * r], f.choice[2 * r + 1]);
            second += f.choice[2 * r] == (r + 1) % 3;
        }
        cr_expect(second > ROWS / 10 && second < ROWS - ROWS / 10, "the two that are allowed are both chosen: %d", second);
    }
    mt_actor_mode(&f.actor, &f.weights, f.obs, mask, NULL, f.choice);
    for (int r = 0; r < ROWS; r++)
        cr_expect(mask[5 * r + f.choice[2 * r]] && f.choice[2 * r + 1] == r % 2, "the mode of row %d", r);
    tear_down(&f);
}

Test(actor, the_mode_is_the_likeliest_choice) {
    mt_policy_desc d = categorical(2, (int32_t[]){3, 4});
    fixture f;
    set_up(&f, &d, MT_ISA_plain_id, FIRST_ENV, ROWS);
    mt_actor_mode(&f.actor, &f.weights, f.obs, NULL, NULL, f.choice);
    int seen[7] = {0};
    for (int r = 0; r < ROWS; r++) {
        mt_policy_output out = mt_policy_forward(f.policy, f.k, &f.weights, f.obs + r * OBS, 1, NULL, MT_POLICY_ACTOR, &f.actor.space);
        int first = 0, second = 0;
        for (int k = 1; k < 3; k++) first = out.head[k] > out.head[first] ? k : first;
        for (int k = 1; k < 4; k++) second = out.head[3 + k] > out.head[3 + second] ? k : second;
        cr_expect(f.choice[2 * r] == first && f.choice[2 * r + 1] == second, "row %d", r);
        seen[first]++, seen[3 + second]++;
    }
    cr_expect(seen[0] < ROWS && seen[1] < ROWS && seen[2] < ROWS, "all rows have the same mode");
    tear_down(&f);
}

Test(actor, the_mode_of_a_box_is_its_mean) {
    mt_policy_desc d = box(MT_DIST_GAUSSIAN, 3, 8);
    fixture f;
    set_up(&f, &d, MT_ISA_plain_id, FIRST_ENV, ROWS);
    mt_actor_mode(&f.actor, &f.weights, f.obs, NULL, f.action, NULL);
    for (int r = 0; r < ROWS; r++) {
        mt_policy_output out = mt_policy_forward(f.policy, f.k, &f.weights, f.obs + r * OBS, 1, NULL, MT_POLICY_ACTOR, &f.actor.space);
        cr_expect(same(f.action + 3 * r, out.head, 3 * sizeof(float)), "row %d", r);
    }
    tear_down(&f);
}

// ---- values

Test(actor, values_of_any_number_of_rows) {
    mt_policy_desc d = categorical(1, (int32_t[]){2});
    fixture f;
    set_up(&f, &d, MT_ISA_plain_id, FIRST_ENV, 2);   // fewer environments than rows: a segment has many steps
    float value[ROWS + 1];
    value[ROWS] = 77;
    mt_actor_value(&f.actor, &f.weights, f.obs, NULL, ROWS, value);
    for (int r = 0; r < ROWS; r++) {
        mt_policy_output out = mt_policy_forward(f.policy, f.k, &f.weights, f.obs + r * OBS, 1, NULL, MT_POLICY_CRITIC, &f.actor.space);
        cr_expect_eq(value[r], out.value[0], "row %d", r);
    }
    cr_expect_eq(value[ROWS], 77);
    cr_expect_neq(value[0], value[1]);
    tear_down(&f);
}
