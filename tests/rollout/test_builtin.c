// The built-in environments: reset distributions, automatic reset, time limits, options, streams, instruction sets.
// That their physics is Gymnasium's is test_parity.c's business.
#include "fixture.h"

static const manta_env_state *state_of(const batch_env *b) { return mt_env_desc(b->env)->extension(MANTA_EXT_STATE); }

// ---------------------------------------------------------------- reset distributions

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Kolmogorov–Smirnov against the uniform distribution on [low, high): sqrt(n)·D is above 1.95 once in a thousand.
static double ks_uniform(double *x, int n, double low, double high) {
    double worst = 0;
    qsort(x, (size_t)n, sizeof *x, compare_doubles);
    for (int i = 0; i < n; i++) {
        double u = (x[i] - low) / (high - low);
        worst = fmax(worst, fmax(u - (double)i / n, (double)(i + 1) / n - u));
    }
    return worst * sqrt(n);
}

enum { DRAWS = 20000 };

// the states that 20,000 resets begin with: `columns` arrays of DRAWS
static double *draw_states(const char *id, uint32_t columns) {
    batch_env b;
    double *out = malloc(columns * DRAWS * sizeof *out), state[8];
    batch_open(&b, builtin(MT_ISA_plain_id, id), 100, 5, NULL);
    for (int n = 0; n < DRAWS; n++) {
        if (n && n % 100 == 0) cr_assert(mt_env_reset(b.env, &b.io.batch, NULL, NULL) == MT_OK);
        state_of(&b)->get(mt_env_raw(b.env), (uint32_t)(n % 100), state);
        for (uint32_t k = 0; k < columns; k++) out[k * DRAWS + (uint32_t)n] = state[k];
    }
    batch_close(&b);
    return out;
}

static double correlation(const double *x, const double *y) {
    double sx = 0, sy = 0, xx = 0, yy = 0, xy = 0;
    for (int i = 0; i < DRAWS; i++) sx += x[i], sy += y[i], xx += x[i] * x[i], yy += y[i] * y[i], xy += x[i] * y[i];
    return (xy - sx * sy / DRAWS) / sqrt((xx - sx * sx / DRAWS) * (yy - sy * sy / DRAWS));
}

// low[k] == high[k]: that constant
static void expect_uniform(const char *id, uint32_t columns, const double *low, const double *high) {
    double *x = draw_states(id, columns);
    for (uint32_t k = 0; k + 1 < columns; k++)
        if (high[k] > low[k] && high[k + 1] > low[k + 1])
            cr_expect(fabs(correlation(x + k * DRAWS, x + (k + 1) * DRAWS)) < 0.025, "%s: states %u and %u hang together", id, k, k + 1);
    for (uint32_t k = 0; k < columns; k++) {
        if (high[k] > low[k]) {
            double ks = ks_uniform(x + k * DRAWS, DRAWS, low[k], high[k]);
            cr_expect(ks < 1.95, "%s: state %u is not uniform: %g", id, k, ks);
        } else {
            cr_expect(x[k * DRAWS] == low[k] && x[k * DRAWS + DRAWS - 1] == low[k]);
        }
    }
    free(x);
}

Test(builtin, reset_distributions_are_gymnasiums) {
    const double pi = 3.141592653589793;
    expect_uniform("CartPole-v1", 4, (double[]){-0.05, -0.05, -0.05, -0.05}, (double[]){0.05, 0.05, 0.05, 0.05});
    expect_uniform("MountainCar-v0", 2, (double[]){-0.6, 0}, (double[]){-0.4, 0});
    expect_uniform("MountainCarContinuous-v0", 2, (double[]){-0.6, 0}, (double[]){-0.4, 0});
    expect_uniform("Pendulum-v1", 2, (double[]){-pi, -1}, (double[]){pi, 1});
    expect_uniform("Acrobot-v1", 4, (double[]){-0.1, -0.1, -0.1, -0.1}, (double[]){0.1, 0.1, 0.1, 0.1});
}

// ---------------------------------------------------------------- descriptors

Test(builtin, descriptors_are_gymnasiums) {
    static const uint32_t limits[CLASSICS] = {500, 200, 999, 200, 500, 500};
    static const double thresholds[CLASSICS] = {475, -110, 90, NAN, -100, 475};
    for (int k = 0; k < CLASSICS; k++) {
        const manta_env_desc *desc = builtin(MT_ISA_plain_id, builtin_ids[k]);
        cr_assert(desc, "%s", builtin_ids[k]);
        cr_expect(desc->max_episode_steps == limits[k]);
        cr_expect(desc->reward_threshold == thresholds[k] || (isnan(thresholds[k]) && isnan(desc->reward_threshold)));
    }
}

Test(builtin, spaces_are_gymnasiums) {
    batch_env b;
    batch_open(&b, builtin(MT_ISA_plain_id, "CartPole-v1"), 1, 1, NULL);
    const mt_space *space = mt_env_observation_space(b.env);
    cr_expect(space->high[0] == 4.8f && space->high[2] == (float)(24 * 3.141592653589793 / 180) && isinf(space->high[1]));
    cr_expect(mt_env_action_space(b.env)->nvec[0] == 2);
    batch_close(&b);
    batch_open(&b, builtin(MT_ISA_plain_id, "Pendulum-v1"), 1, 1, NULL);
    cr_expect(mt_env_action_space(b.env)->low[0] == -2 && mt_env_observation_space(b.env)->high[2] == 8);
    batch_close(&b);
    batch_open(&b, builtin(MT_ISA_plain_id, "Acrobot-v1"), 1, 1, NULL);
    cr_expect(mt_env_observation_space(b.env)->high[5] == (float)(9 * 3.141592653589793));
    batch_close(&b);
}

// ---------------------------------------------------------------- the same bits everywhere

static uint64_t mix(uint64_t hash, const void *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ ((const unsigned char *)data)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

// of everything that row `row` of a batch of `rows` gives in 1200 steps, with seeds and actions of global row first + row
static uint64_t digest_row(const manta_env_desc *desc, uint32_t rows, uint32_t row, uint32_t first, const char *const *options) {
    batch_env b;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    batch_open(&b, desc, rows, 1000 + first, options);
    size_t bytes = mt_env_observation_space(b.env)->bytes;
    for (uint64_t t = 0; t < 1200; t++) {
        batch_choose(&b, 9, first, t);
        batch_step(&b);
        hash = mix(hash, (char *)b.io.batch.obs + row * bytes, bytes);
        hash = mix(hash, &b.io.batch.reward[row], 4);
        uint8_t flags[2] = {b.io.batch.terminated[row], b.io.batch.truncated[row]};
        hash = mix(hash, flags, 2);
        if (flags[0] | flags[1]) hash = mix(hash, (char *)b.io.batch.final_obs + row * bytes, bytes);
    }
    batch_close(&b);
    return hash;
}

Test(builtin, a_row_gives_the_same_bits_in_any_batch_and_on_any_instruction_set) {
    static const char *const fast[] = {"fast_math", "true", NULL};
    for (int k = 0; k < BUILTINS + 1; k++) {
        const char *id = builtin_ids[k % BUILTINS];
        const char *const *options = k == BUILTINS ? fast : NULL;
        if (k == BUILTINS) id = "Acrobot-v1";
        uint64_t alone = digest_row(builtin(MT_ISA_plain_id, id), 1, 0, 12, options);
        for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
            const manta_env_desc *desc = builtin((mt_isa)isa, id);
            if (!desc) continue;
            cr_expect(digest_row(desc, 1, 0, 12, options) == alone, "%s, set %d, alone", id, isa);
            cr_expect(digest_row(desc, 17, 12, 0, options) == alone, "%s, set %d, row 12 of 17", id, isa);
            cr_expect(digest_row(desc, 17, 12, 0, options) != digest_row(desc, 17, 11, 0, options), "%s: rows differ", id);
            cr_expect(digest_row(desc, 17, 1, 11, options) == alone, "%s, set %d, row 1 of 17", id, isa);
        }
    }
}

// ---------------------------------------------------------------- CartPole without velocities

static void compare_with_cartpole(mt_isa isa, uint32_t rows) {
    batch_env whole, part;
    if (!builtin(isa, "CartPole-v1")) return;
    batch_open(&whole, builtin(isa, "CartPole-v1"), rows, 3, NULL);
    batch_open(&part, builtin(isa, "CartPoleNoVel-v1"), rows, 3, NULL);
    const manta_env_batch *w = &whole.io.batch, *p = &part.io.batch;
    int wrong = 0, ends = 0;
    for (uint64_t t = 0; t < 2000; t++) {
        for (uint32_t i = 0; i < rows; i++) {
            const float *a = (const float *)w->obs + 4 * i, *b = (const float *)p->obs + 2 * i;
            wrong += a[0] != b[0] || a[2] != b[1];
        }
        batch_choose(&whole, 2, 0, t), batch_choose(&part, 2, 0, t);
        batch_step(&whole), batch_step(&part);
        wrong += memcmp(w->reward, p->reward, rows * sizeof(float)) != 0 || memcmp(w->terminated, p->terminated, rows) != 0 ||
                 memcmp(w->truncated, p->truncated, rows) != 0;
        for (uint32_t i = 0; i < rows; i++)
            if (w->terminated[i]) {
                const float *a = (const float *)w->final_obs + 4 * i, *b = (const float *)p->final_obs + 2 * i;
                wrong += a[0] != b[0] || a[2] != b[1];
                ends++;
            }
    }
    cr_expect(wrong == 0 && ends > 50 * (int)rows, "set %d: %d wrong, %d ends", isa, wrong, ends);
    batch_close(&whole);
    batch_close(&part);
}

Test(builtin, cartpole_without_velocities_is_cartpole) {
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) compare_with_cartpole((mt_isa)isa, 19);
    batch_env b;
    batch_open(&b, builtin(MT_ISA_plain_id, "CartPoleNoVel-v1"), 1, 1, NULL);
    const mt_space *space = mt_env_observation_space(b.env);
    cr_expect(space->count == 2 && space->high[0] == 4.8f && space->low[1] == -(float)(24 * 3.141592653589793 / 180));
    batch_close(&b);
}

// ---------------------------------------------------------------- episodes

Test(builtin, an_episode_ends_and_the_next_begins_in_the_same_step) {
    batch_env b;
    batch_open(&b, builtin(MT_ISA_plain_id, "CartPole-v1"), 3, 1, NULL);
    float *obs = b.io.batch.obs, *final_obs = b.io.batch.final_obs;
    int ends = 0, wrong = 0;
    for (int t = 0; t < 300; t++) {
        for (int i = 0; i < 12; i++) final_obs[i] = 77;
        for (int i = 0; i < 3; i++) ((int32_t *)b.io.action)[i] = 1;   // falls after some ten steps
        batch_step(&b);
        for (int i = 0; i < 3; i++) {
            wrong += b.io.batch.reward[i] != 1;
            if (!b.io.batch.terminated[i]) {
                wrong += final_obs[4 * i] != 77;
                continue;
            }
            ends++;
            wrong += !(fabsf(final_obs[4 * i + 2]) > 0.2094f);
            for (int c = 0; c < 4; c++) wrong += !(fabsf(obs[4 * i + c]) <= 0.05f);
        }
    }
    cr_expect(ends > 60 && wrong == 0, "%d ends, %d wrong", ends, wrong);
    batch_close(&b);
}

static int first_cut(const char *id, const char *limit, int steps) {   // 0: none
    batch_env b;
    int cut = 0;
    batch_open(&b, builtin(MT_ISA_plain_id, id), 2, 1, limit ? (const char *const[]){"max_episode_steps", limit, NULL} : NULL);
    for (int t = 1; t <= steps && !cut; t++) {
        memset(b.io.action, 0, 8);
        batch_step(&b);
        if (b.io.batch.truncated[0] && b.io.batch.truncated[1]) cut = t;
    }
    batch_close(&b);
    return cut;
}

Test(builtin, time_limits) {
    cr_expect(first_cut("MountainCar-v0", NULL, 500) == 200);
    cr_expect(first_cut("MountainCarContinuous-v0", NULL, 1500) == 999);
    cr_expect(first_cut("Pendulum-v1", NULL, 500) == 200);
    cr_expect(first_cut("Acrobot-v1", NULL, 700) == 500);
    cr_expect(first_cut("Pendulum-v1", "3", 10) == 3);
    cr_expect(first_cut("Pendulum-v1", "0", 3000) == 0);
    cr_expect(first_cut("Pendulum-v1", "-1", 3000) == 0);
}

Test(builtin, both_flags_may_be_set) {   // as Gymnasium's TimeLimit: the limit counts even in the last step
    batch_env b;
    batch_open(&b, builtin(MT_ISA_plain_id, "CartPole-v1"), 1, 1, (const char *const[]){"max_episode_steps", "1", NULL});
    char error[MANTA_ERROR_BYTES];
    cr_assert(state_of(&b)->set(mt_env_raw(b.env), 0, (double[]){2.399, 3, 0, 0}, error) == 0);
    ((int32_t *)b.io.action)[0] = 1;
    batch_step(&b);
    cr_expect(b.io.batch.terminated[0] == 1 && b.io.batch.truncated[0] == 1);
    batch_close(&b);
}

// ---------------------------------------------------------------- options

Test(builtin, sutton_barto_reward) {
    batch_env b;
    batch_open(&b, builtin(MT_ISA_plain_id, "CartPole-v1"), 1, 1, (const char *const[]){"sutton_barto_reward", "true", NULL});
    int wrong = 0, ends = 0;
    for (int t = 0; t < 200; t++) {
        ((int32_t *)b.io.action)[0] = 0;
        batch_step(&b);
        wrong += b.io.batch.reward[0] != (b.io.batch.terminated[0] ? -1.0f : 0.0f);
        ends += b.io.batch.terminated[0];
    }
    cr_expect(wrong == 0 && ends > 5);
    batch_close(&b);
}

static float speed_after_a_step(const char *gravity) {
    batch_env b;
    char error[MANTA_ERROR_BYTES];
    batch_open(&b, builtin(MT_ISA_plain_id, "Pendulum-v1"), 1, 1, (const char *const[]){"g", gravity, NULL});
    cr_assert(state_of(&b)->set(mt_env_raw(b.env), 0, (double[]){1.5707963267948966, 0}, error) == 0);
    ((float *)b.io.action)[0] = 0;
    batch_step(&b);
    float speed = ((float *)b.io.batch.obs)[2];
    batch_close(&b);
    return speed;
}

Test(builtin, gravity_of_the_pendulum) {
    cr_expect(fabsf(speed_after_a_step("10") - 0.75f) < 1e-6f);
    cr_expect(fabsf(speed_after_a_step("2") - 0.15f) < 1e-6f);
}

static int reaches_goal(const char *id, const char *goal_velocity) {
    batch_env b;
    char error[MANTA_ERROR_BYTES];
    batch_open(&b, builtin(MT_ISA_plain_id, id), 1, 1, (const char *const[]){"goal_velocity", goal_velocity, NULL});
    cr_assert(state_of(&b)->set(mt_env_raw(b.env), 0, (double[]){0.49, 0.04}, error) == 0);
    memset(b.io.action, 0, 4);
    batch_step(&b);
    int reached = b.io.batch.terminated[0];
    batch_close(&b);
    return reached;
}

Test(builtin, goal_velocity_of_the_mountain_cars) {
    for (int k = 1; k <= 2; k++) {
        cr_expect(reaches_goal(builtin_ids[k], "0.01"), "%s", builtin_ids[k]);
        cr_expect(!reaches_goal(builtin_ids[k], "0.06"), "%s", builtin_ids[k]);
    }
}

static void refuses_option(const char *id, const char *key, const char *value) {
    uint64_t seed = 1;
    manta_env_option option = {key, value};
    manta_env_config config = {.struct_size = sizeof config, .num_envs = 1, .seeds = &seed, .option_count = 1, .options = &option};
    mt_env *env = (mt_env *)&config;
    cr_expect(mt_env_create(builtin(MT_ISA_plain_id, id), &config, &env) == MT_ENV, "%s=%s", key, value);
    cr_expect(env == NULL && strstr(mt_last_error(), key), "%s", mt_last_error());
}

Test(builtin, bad_option_values_are_named) {
    refuses_option("Pendulum-v1", "g", "heavy");
    refuses_option("Pendulum-v1", "g", "nan");
    refuses_option("CartPole-v1", "sutton_barto_reward", "perhaps");
    refuses_option("CartPole-v1", "max_episode_steps", "-2");
    refuses_option("CartPole-v1", "max_episode_steps", "12.5");
}

// ---------------------------------------------------------------- actions, state, snapshots

static void refuses_action(const char *id, int32_t bits, uint32_t rows, uint32_t row, const char *words) {
    for (int isa = 0; isa < MT_ISA_COUNT; isa++) {
        batch_env b;
        if (!builtin((mt_isa)isa, id)) continue;
        batch_open(&b, builtin((mt_isa)isa, id), rows, 1, NULL);
        ((int32_t *)b.io.action)[row] = bits;
        cr_expect(mt_env_step(b.env, &b.io.batch) == MT_ENV);
        cr_expect(strstr(mt_last_error(), words), "%s", mt_last_error());
        batch_close(&b);
    }
}

Test(builtin, actions_outside_the_space_are_refused) {
    refuses_action("CartPole-v1", 2, 9, 8, "action 2 of environment 8 is not one of 0…1");
    refuses_action("CartPole-v1", -1, 16, 3, "action -1 of environment 3");
    refuses_action("MountainCar-v0", 3, 1, 0, "0…2");
    refuses_action("Acrobot-v1", 3, 5, 4, "environment 4");
    refuses_action("Pendulum-v1", 0x7fc00000, 11, 10, "environment 10 is not a finite number");
    refuses_action("MountainCarContinuous-v0", 0x7f800000, 8, 7, "not a finite number");
}

Test(builtin, states_far_out_do_no_harm) {   // falls back on the C library, wraps, never loops or overflows a cast
    static const double far[] = {1e300, -1e300, 1e6, -1e6, 1e5, 4.0, -0.8};
    char error[MANTA_ERROR_BYTES];
    for (int k = 0; k < CLASSICS; k++)
        for (int isa = 0; isa < MT_ISA_COUNT; isa++)
            for (size_t f = 0; f < sizeof far / sizeof *far; f++) {
                batch_env b;
                if (!builtin((mt_isa)isa, builtin_ids[k])) continue;
                batch_open(&b, builtin((mt_isa)isa, builtin_ids[k]), 3, 1, NULL);
                cr_assert(state_of(&b)->set(mt_env_raw(b.env), 1, (double[]){far[f], far[f], far[f], far[f]}, error) == 0);
                memset(b.io.action, 0, 12);
                (void)mt_env_step(b.env, &b.io.batch);   // may say MT_NUMERIC
                batch_close(&b);
            }
    batch_env b;
    batch_open(&b, builtin(MT_ISA_plain_id, "CartPole-v1"), 1, 1, NULL);
    cr_expect(state_of(&b)->set(mt_env_raw(b.env), 0, (double[]){0, NAN, 0, 0}, error) != 0 && strstr(error, "state[1]"));
    batch_close(&b);
}

Test(builtin, a_snapshot_goes_on_exactly) {
    for (int k = 0; k < BUILTINS; k++) {
        batch_env a, b;
        batch_open(&a, builtin(MT_ISA_plain_id, builtin_ids[k]), 5, 1, NULL);
        for (uint64_t t = 0; t < 61; t++) batch_choose(&a, 2, 0, t), batch_step(&a);
        size_t bytes = mt_env_snapshot_bytes(a.env);
        char *saved = malloc(bytes);
        cr_assert(mt_env_snapshot_save(a.env, saved) == MT_OK);
        batch_open(&b, builtin(MT_ISA_plain_id, builtin_ids[k]), 5, 99, NULL);
        cr_assert(mt_env_snapshot_load(b.env, saved, bytes) == MT_OK, "%s", mt_last_error());
        int wrong = 0;
        for (uint64_t t = 61; t < 700; t++) {
            batch_choose(&a, 2, 0, t), batch_step(&a);
            batch_choose(&b, 2, 0, t), batch_step(&b);
            wrong += memcmp(a.io.batch.obs, b.io.batch.obs, 5 * mt_env_observation_space(a.env)->bytes) != 0;
            wrong += memcmp(a.io.batch.reward, b.io.batch.reward, 5 * sizeof(float)) != 0;
            wrong += memcmp(a.io.batch.truncated, b.io.batch.truncated, 5) != 0;
        }
        cr_expect(wrong == 0, "%s: %d", builtin_ids[k], wrong);
        saved[3] ^= 1;
        cr_expect(mt_env_snapshot_load(b.env, saved, bytes) == MT_CORRUPT);
        cr_expect(mt_env_snapshot_load(a.env, saved, bytes - 1) == MT_CORRUPT);
        free(saved);
        batch_close(&a);
        batch_close(&b);
    }
}

Test(builtin, reset_with_seeds_begins_the_stream_anew) {
    batch_env b;
    float first[20], again[20];
    uint64_t seeds[5] = {1, 2, 3, 4, 5};
    uint8_t mask[5] = {0, 1, 0, 0, 1};
    batch_open(&b, builtin(MT_ISA_plain_id, "CartPole-v1"), 5, 1, NULL);
    memcpy(first, b.io.batch.obs, sizeof first);
    cr_assert(mt_env_reset(b.env, &b.io.batch, NULL, NULL) == MT_OK);
    memcpy(again, b.io.batch.obs, sizeof again);
    cr_expect(memcmp(first, again, sizeof first) != 0);   // the stream went on
    cr_assert(mt_env_reset(b.env, &b.io.batch, seeds, mask) == MT_OK);
    for (int i = 0; i < 5; i++)
        cr_expect(memcmp((float *)b.io.batch.obs + 4 * i, (mask[i] ? first : again) + 4 * i, 16) == 0, "row %d", i);
    batch_close(&b);
}
