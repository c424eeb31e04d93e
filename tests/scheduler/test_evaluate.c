// Evaluation on an environment that follows a script: shares of episodes, statistics, what reaches the environment, drawing.
#include "scheduler/evaluate.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 16, LOG_MAX = 512 };

// ---- an environment whose row i has episodes of length[i] steps with rewards of i + 1 a step, and that writes down what it sees

struct manta_env {
    uint32_t count;
    int steps[ROWS_MAX];
};
static struct {
    int length[ROWS_MAX];
    int fails_at, choices;               // a step that fails, 0: none; 0: a box, else a discrete space of so many
    int steps, rows;                     // seen
    uint64_t seeds[ROWS_MAX];
    float actions[LOG_MAX];              // of row 0, a step
    int32_t choice[LOG_MAX];
    int alive;
} toy;   // Criterion runs each test in a process of its own
static const float low[] = {-1}, high[] = {1};
static const int64_t three[] = {3};
static const manta_space toy_obs = {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = MANTA_F32, .ndim = 1, .shape = {2}};
static const manta_space toy_box = {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = MANTA_F32, .ndim = 1,
    .shape = {1}, .low = low, .high = high};
static const manta_space toy_discrete = {.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_DISCRETE, .dtype = MANTA_I32, .nvec = three};

static int toy_create(const manta_env_config *config, manta_env **out, char *error) {
    (void)error;
    *out = calloc(1, sizeof **out);
    (*out)->count = config->num_envs;
    toy.rows = (int)config->num_envs, toy.alive++;
    memcpy(toy.seeds, config->seeds, config->num_envs * sizeof *config->seeds);
    return 0;
}
static void toy_destroy(manta_env *env) {
    toy.alive -= env != NULL;
    free(env);
}
static const manta_space *toy_observation(const manta_env *env) { return (void)env, &toy_obs; }
static const manta_space *toy_action(const manta_env *env) { return (void)env, toy.choices ? &toy_discrete : &toy_box; }
static void observe(const manta_env *env, const manta_env_batch *batch) {
    for (uint32_t i = 0; i < env->count; i++) {
        ((float *)batch->obs)[2 * i] = 3, ((float *)batch->obs)[2 * i + 1] = -2;
        if (batch->action_mask) memcpy(batch->action_mask + 3 * i, (uint8_t[]){0, 1, 1}, 3);
    }
}
static int toy_reset(manta_env *env, const manta_env_batch *batch, const uint64_t *seeds, const uint8_t *mask, char *error) {
    (void)seeds, (void)mask, (void)error;
    observe(env, batch);
    return 0;
}
static int toy_step(manta_env *env, const manta_env_batch *batch, char *error) {
    if (toy.steps < LOG_MAX && toy.choices) toy.choice[toy.steps] = *(const int32_t *)batch->action;
    if (toy.steps < LOG_MAX && !toy.choices) toy.actions[toy.steps] = *(const float *)batch->action;
    if (++toy.steps == toy.fails_at) return snprintf(error, MANTA_ERROR_BYTES, "the motor has burnt out"), 1;
    observe(env, batch);
    for (uint32_t i = 0; i < env->count; i++) {
        int ends = ++env->steps[i] == toy.length[i];
        batch->reward[i] = (float)i + 1;
        batch->terminated[i] = ends && i % 2 == 0;
        batch->truncated[i] = ends && i % 2 == 1;
        if (!ends) continue;
        env->steps[i] = 0;
        ((float *)batch->final_obs)[2 * i] = ((float *)batch->final_obs)[2 * i + 1] = 0;
    }
    return 0;
}
static size_t toy_text(const manta_env *env, uint32_t index, char *out, size_t bytes) {
    return (size_t)snprintf(out, bytes, "<row %u step %d>", index, env->steps[index]);
}
static const void *toy_extension(const char *name) {
    static const manta_env_render render = {sizeof render, toy_text};
    return strcmp(name, MANTA_EXT_RENDER) == 0 ? &render : NULL;
}
static const manta_env_desc desc = {.struct_size = sizeof desc, .abi_version = MANTA_ENV_ABI_VERSION, .id = "Toy-v0", .summary = "",
    .create = toy_create, .destroy = toy_destroy, .observation_space = toy_observation, .action_space = toy_action,
    .reset = toy_reset, .step = toy_step, .extension = toy_extension};

// ---- a policy without hidden layers: mean = 0.1 obs[0] + 0.01 obs[1] + bias

typedef struct fixture {
    mt_policy *policy;
    mt_weights weights;
    mt_normaliser normaliser;
    mt_arena arena;
    mt_evaluate_desc desc;
    mt_evaluation out;
} fixture;

static void set_up(fixture *f, int choices, int normalise, float bias, int episodes) {
    mt_policy_desc d = {.obs = 2, .distribution = choices ? MT_DIST_CATEGORICAL : MT_DIST_GAUSSIAN, .action = 1, .nvec = {choices},
        .activation = MT_ACT_tanh};
    const mt_kernels *k = mt_kernels_cpu(MT_ISA_plain_id);
    *f = (fixture){0};
    toy.choices = choices;
    for (int i = 0; i < ROWS_MAX; i++) toy.length[i] = toy.length[i] ? toy.length[i] : 5;
    cr_assert_eq(mt_policy_create(&d, &f->policy), MT_OK, "%s", mt_last_error());
    mt_weights_register(&f->weights, f->policy, &f->arena);
    mt_normaliser_register(&f->normaliser, 2, normalise, 0, 10, 10, &f->arena);
    cr_assert_eq(mt_arena_commit(&f->arena), MT_OK);
    const mt_layer *head = &f->policy->pi.layer[1];
    for (int o = 0; o < head->size; o++) {
        f->weights.param[head->tensor[0] + 2 * o] = 0.1f, f->weights.param[head->tensor[0] + 2 * o + 1] = 0.01f;
        f->weights.param[head->tensor[1] + o] = choices ? bias * (float)-o : bias;   // choices: the first is the likeliest
    }
    if (!choices) f->weights.param[f->policy->log_std] = -1;
    mt_weights_pack(&f->weights, f->policy, k, MT_POLICY_BOTH);
    f->normaliser.obs.count = 10;
    f->normaliser.obs.mean[0] = 1, f->normaliser.obs.mean[1] = -1, f->normaliser.obs.m2[0] = 40, f->normaliser.obs.m2[1] = 10;
    f->normaliser.returns.count = 1;
    mt_normaliser_publish(&f->normaliser);
    f->desc = (mt_evaluate_desc){.env = &desc, .policy = f->policy, .kernels = k, .weights = &f->weights, .normaliser = &f->normaliser,
        .episodes = episodes, .seed = 5};
}

static void evaluate(fixture *f) { cr_assert_eq(mt_evaluate(&f->desc, &f->out), MT_OK, "%s", mt_last_error()); }

static void tear_down(fixture *f) {
    mt_evaluation_fini(&f->out);
    mt_arena_fini(&f->arena);
    mt_policy_destroy(f->policy);
    cr_expect_eq(toy.alive, 0, "environments are destroyed");
}

// ---- episodes

Test(evaluate, every_environment_plays_its_share_however_short_its_episodes) {
    fixture f;
    toy.length[0] = 1, toy.length[3] = 2;
    set_up(&f, 0, 0, 0, 21);   // 16 environments: two episodes of the first five, one of the others
    evaluate(&f);
    cr_expect_eq(toy.rows, 16);
    cr_expect_eq(f.out.episodes, 21);
    double sum = 0, squares = 0, steps = 0;
    int seen[ROWS_MAX] = {0};
    for (int i = 0; i < 21; i++) {
        int row = (int)lroundf(f.out.each[i].reward / (float)f.out.each[i].steps) - 1;
        cr_assert(row >= 0 && row < ROWS_MAX);
        cr_expect_eq(f.out.each[i].steps, toy.length[row], "row %d", row);
        seen[row]++;
    }
    for (int i = 0; i < ROWS_MAX; i++) {
        int share = i < 5 ? 2 : 1;
        double reward = (i + 1.0) * toy.length[i];
        cr_expect_eq(seen[i], share, "row %d played %d", i, seen[i]);
        sum += share * reward, squares += share * reward * reward, steps += share * toy.length[i];
    }
    cr_expect_float_eq(f.out.mean_reward, sum / 21, 1e-9);
    cr_expect_float_eq(f.out.std_reward, sqrt(squares / 21 - sum / 21 * sum / 21), 1e-9);
    cr_expect_float_eq(f.out.mean_ep_length, steps / 21, 1e-9);
    cr_expect_eq(f.out.min_reward, 1);
    cr_expect_eq(f.out.max_reward, 80);
    cr_expect_eq(toy.steps, 10, "no step after the last episode");
    tear_down(&f);
}

Test(evaluate, no_more_environments_than_episodes) {
    fixture f;
    set_up(&f, 0, 0, 0, 3);
    evaluate(&f);
    cr_expect_eq(toy.rows, 3);
    cr_expect_float_eq(f.out.mean_reward, 10, 1e-9);
    cr_expect_float_eq(f.out.std_reward, sqrt((25 + 0 + 25) / 3.0), 1e-9);   // of the population
    tear_down(&f);
}

Test(evaluate, environments_have_seeds_of_their_own_that_follow_from_the_runs) {
    fixture f;
    uint64_t first[ROWS_MAX];
    set_up(&f, 0, 0, 0, 16);
    evaluate(&f);
    memcpy(first, toy.seeds, sizeof first);
    for (int i = 0; i < ROWS_MAX; i++)
        for (int j = 0; j < i; j++) cr_expect_neq(first[i], first[j]);
    mt_evaluation_fini(&f.out);
    evaluate(&f);
    cr_expect_arr_eq(first, toy.seeds, sizeof first);
    mt_evaluation_fini(&f.out);
    f.desc.seed++;
    evaluate(&f);
    for (int i = 0; i < ROWS_MAX; i++) cr_expect_neq(first[i], toy.seeds[i]);
    tear_down(&f);
}

// ---- actions

static void check_mean(int normalise, float bias, float expected) {
    fixture f;
    set_up(&f, 0, normalise, bias, 1);
    toy.steps = 0;
    evaluate(&f);
    cr_expect_eq(toy.steps, 5);
    for (int s = 0; s < toy.steps; s++) cr_expect_float_eq(toy.actions[s], expected, 1e-6, "step %d: %g", s, toy.actions[s]);
    tear_down(&f);
}

Test(evaluate, plays_the_mean_of_what_the_policy_sees) {
    check_mean(0, 0.05f, 0.3f - 0.02f + 0.05f);
    check_mean(1, 0.05f, 0.1f - 0.01f + 0.05f);   // (3 - 1)/2 and (-2 + 1)/1
}

Test(evaluate, actions_are_clipped_to_the_space) {
    check_mean(0, 7, 1);
    check_mean(0, -7, -1);
}

Test(evaluate, stochastic_actions_vary_and_repeat_with_the_seed) {
    fixture f;
    float first[LOG_MAX];
    toy.length[0] = 200;
    set_up(&f, 0, 0, 0, 1);
    f.desc.stochastic = 1;
    evaluate(&f);
    memcpy(first, toy.actions, sizeof first);
    double sum = 0, squares = 0;
    for (int s = 0; s < 200; s++) sum += first[s], squares += (double)first[s] * first[s];
    cr_expect_float_eq(sum / 200, 0.28, 0.1, "mean %g", sum / 200);
    cr_expect_float_eq(sqrt(squares / 200 - sum / 200 * sum / 200), exp(-1), 0.08);
    for (int again = 0; again < 2; again++) {
        mt_evaluation_fini(&f.out);
        toy.steps = 0;
        f.desc.seed += (uint64_t)again;
        evaluate(&f);
        cr_expect_eq(memcmp(first, toy.actions, sizeof first) == 0, !again);
    }
    tear_down(&f);
}

Test(evaluate, masks_hold) {
    fixture f;
    manta_env_desc masked = desc;
    masked.capabilities = MANTA_ENV_HAS_ACTION_MASK;
    toy.length[0] = 200;
    set_up(&f, 3, 0, 0.5f, 1);
    evaluate(&f);
    cr_expect_eq(toy.choice[0], 0, "the likeliest");
    mt_evaluation_fini(&f.out);
    f.desc.env = &masked;
    for (f.desc.stochastic = 0; f.desc.stochastic < 2; f.desc.stochastic++) {
        int seen[3] = {0};
        toy.steps = 0;
        evaluate(&f);
        for (int s = 0; s < 200; s++) seen[toy.choice[s]]++;
        cr_expect(seen[0] == 0 && seen[1] > 0 && (seen[2] > 0) == f.desc.stochastic, "%d, %d, %d", seen[0], seen[1], seen[2]);
        mt_evaluation_fini(&f.out);
    }
    tear_down(&f);
}

// ---- drawing

Test(evaluate, draws_every_step_of_one_environment_and_leaves_the_last_picture) {
    fixture f;
    char *text = NULL;
    size_t bytes;
    toy.length[0] = 2;
    set_up(&f, 0, 0, 0, 2);
    f.desc.render = open_memstream(&text, &bytes);
    evaluate(&f);
    fclose(f.desc.render);
    cr_expect_eq(toy.rows, 1);
    cr_expect_str_eq(text, "\033[H\033[J<row 0 step 0>episode 1  step 0  return 0.0\n"
                           "\033[H\033[J<row 0 step 1>episode 1  step 1  return 1.0\n"
                           "\033[H\033[J<row 0 step 0>episode 2  step 0  return 0.0\n"
                           "\033[H\033[J<row 0 step 1>episode 2  step 1  return 1.0\n");
    free(text);
    tear_down(&f);
}

// ---- failures leave nothing behind

static void fails(fixture *f, mt_status expected, const char *words) {
    cr_expect_eq(mt_evaluate(&f->desc, &f->out), expected, "%s", mt_last_error());
    cr_expect(strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
    cr_expect_null(f->out.each);
    cr_expect_eq(f->out.episodes, 0);
}

Test(evaluate, an_environment_that_fails_ends_it) {
    fixture f;
    toy.fails_at = 7;
    set_up(&f, 0, 0, 0, 4);
    f.desc.episodes = 20;
    fails(&f, MT_ENV, "the motor has burnt out");
    tear_down(&f);
}

Test(evaluate, an_environment_without_pictures_cannot_be_drawn) {
    fixture f;
    manta_env_desc blind = desc;
    blind.extension = NULL;
    set_up(&f, 0, 0, 0, 4);
    f.desc.env = &blind, f.desc.render = stderr;
    fails(&f, MT_UNSUPPORTED, "Toy-v0");
    tear_down(&f);
}

Test(evaluate, unknown_options_are_refused) {
    fixture f;
    set_up(&f, 0, 0, 0, 4);
    f.desc.options = (const manta_env_option[]){{"gravity", "1"}}, f.desc.option_count = 1;
    fails(&f, MT_CONFIG, "gravity");
    tear_down(&f);
}
