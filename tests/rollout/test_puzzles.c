// The puzzles: their rules, what is seen of them and what not, what chance and a perfect policy earn.
#include "fixture.h"

typedef const char *const *options;
#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const manta_env_state *state_of(const batch_env *b) { return mt_env_desc(b->env)->extension(MANTA_EXT_STATE); }
static const double *state(const batch_env *b, uint32_t row) {
    static double out[8];
    state_of(b)->get(mt_env_raw(b->env), row, out);
    return out;
}

// ---------------------------------------------------------------- what policies earn

enum { ROWS = 100 };
// May look at the state, and at what it noted in memory (zero when an episode begins).
typedef int32_t (*policy)(const batch_env *b, uint32_t row, double *memory);

static uint64_t random_words;
static int32_t any(int32_t count) { return (int32_t)(manta_rand_u64(&random_words) % (uint64_t)count); }

// mean return of `episodes` episodes or some more
static double mean_return(const char *id, options given, policy act, int episodes) {
    batch_env b;
    double sum = 0, memory[ROWS] = {0};
    int ends = 0;
    random_words = 5;
    batch_open(&b, builtin(MT_ISA_plain_id, id), ROWS, 70, given);
    while (ends < episodes) {
        for (uint32_t i = 0; i < ROWS; i++) ((int32_t *)b.io.action)[i] = act(&b, i, &memory[i]);
        batch_step(&b);
        for (uint32_t i = 0; i < ROWS; i++) {
            sum += (double)b.io.batch.reward[i];
            cr_assert(b.io.batch.terminated[i] || b.io.batch.reward[i] == 0, "a reward before the end");
            cr_assert(!b.io.batch.truncated[i]);
            ends += b.io.batch.terminated[i];
            if (b.io.batch.terminated[i]) memory[i] = 0;
        }
    }
    batch_close(&b);
    return sum / ends;
}

static void earns(const char *id, options given, policy act, double expected, double tolerance) {
    double mean = mean_return(id, given, act, 20000);
    cr_expect(fabs(mean - expected) <= tolerance, "%s: %g, not %g ± %g", id, mean, expected, tolerance);
}

static int32_t random_of_three(const batch_env *b, uint32_t row, double *memory) { return (void)b, (void)row, (void)memory, any(3); }
static int32_t random_of_two(const batch_env *b, uint32_t row, double *memory) { return (void)b, (void)row, (void)memory, any(2); }

enum { BALL_X, BALL_Y, PADDLE_X, GOAL };
static int32_t towards(const double *s, double target) { return s[PADDLE_X] < target ? 2 : s[PADDLE_X] > target ? 0 : 1; }
static int32_t catches(const batch_env *b, uint32_t row, double *memory) {
    const double *s = state(b, row);
    return (void)memory, towards(s, s[BALL_X]);
}
static int32_t dodges(const batch_env *b, uint32_t row, double *memory) {
    const double *s = state(b, row);
    return (void)memory, towards(s, s[BALL_X] > 0 ? s[BALL_X] - 1 : 1);
}
static int32_t obeys(const batch_env *b, uint32_t row, double *memory) {
    return (state(b, row)[GOAL] == 0 ? catches : dodges)(b, row, memory);
}
// knows the goal and not the ball: to the left edge or nowhere
static int32_t obeys_blindly(const batch_env *b, uint32_t row, double *memory) { return (void)memory, state(b, row)[GOAL] == 0 ? 0 : 1; }

static double threshold(const char *id) { return builtin(MT_ISA_plain_id, id)->reward_threshold; }

// 20,000 returns of ±1: the mean's standard deviation is 0.007 at most
Test(puzzles, catch_by_chance_and_by_skill) {
    earns("Catch-v0", NULL, random_of_three, -0.6, 0.025);   // one column of five
    earns("Catch-v0", NULL, dodges, -1, 0);
    earns("Catch-v0", NULL, catches, 1, 0);
    earns("Catch-v0", OPTIONS("rows", "6", "columns", "11", "height", "36", "width", "40"), catches, 1, 0);   // the widest that can be reached
    cr_expect(threshold("Catch-v0") == 0.9);
}

Test(puzzles, catch_or_dodge_needs_both_inputs) {
    earns("CatchOrDodge-v0", NULL, random_of_three, 0, 0.03);
    earns("CatchOrDodge-v0", NULL, catches, 0, 0.03);
    earns("CatchOrDodge-v0", NULL, dodges, 0, 0.03);
    earns("CatchOrDodge-v0", NULL, obeys_blindly, 0, 0.03);
    earns("CatchOrDodge-v0", NULL, obeys, 1, 0);
    cr_expect(threshold("CatchOrDodge-v0") == 0.9);
}

static int32_t remembers(const batch_env *b, uint32_t row, double *memory) {
    int64_t cues = mt_env_action_space(b->env)->nvec[0];
    const float *obs = (const float *)b->io.batch.obs + row * (uint32_t)(cues + 1);
    for (int64_t k = 0; k < cues && *memory == 0; k++)
        if (obs[k] == 1) *memory = 1 + (double)k;
    return (int32_t)*memory - 1;
}
static int32_t first(const batch_env *b, uint32_t row, double *memory) { return (void)b, (void)row, (void)memory, 0; }

Test(puzzles, memory_chain_by_chance_and_by_memory) {
    earns("MemoryChain-v0", OPTIONS("delay", "3"), random_of_two, 0, 0.03);
    earns("MemoryChain-v0", OPTIONS("delay", "3"), first, 0, 0.03);
    earns("MemoryChain-v0", OPTIONS("delay", "3", "cues", "4"), first, -0.5, 0.03);
    earns("MemoryChain-v0", OPTIONS("delay", "3", "cues", "4"), remembers, 1, 0);
    earns("MemoryChain-v0", OPTIONS("delay", "3", "noise", "0.9"), remembers, 1, 0);
    cr_expect(mean_return("MemoryChain-v0", NULL, remembers, 500) == 1);
    cr_expect(threshold("MemoryChain-v0") == 0.9);
}

// ---------------------------------------------------------------- Catch

// what pixel (r, c) of a picture of h × w shows of a board
static int lit(const double *s, int rows, int columns, int h, int w, int r, int c) {
    int y = 0, x = 0;
    while ((y + 1) * h / rows <= r) y++;
    while ((x + 1) * w / columns <= c) x++;
    return (y == (int)s[BALL_Y] && x == (int)s[BALL_X]) || (y == rows - 1 && x == (int)s[PADDLE_X]);
}

static void shows_the_board(const char *id, options given, int rows, int columns, int h, int w) {
    batch_env b;
    int wrong = 0;
    batch_open(&b, builtin(MT_ISA_plain_id, id), 5, 3, given);
    size_t bytes = mt_env_observation_space(b.env)->bytes;
    for (uint64_t t = 0; t < 300; t++) {
        for (uint32_t i = 0; i < 5; i++)
            for (int p = 0; p < h * w; p++)
                wrong += ((uint8_t *)b.io.batch.obs)[i * bytes + (size_t)p] != 255 * lit(state(&b, i), rows, columns, h, w, p / w, p % w);
        batch_choose(&b, 4, 0, t);
        batch_step(&b);
    }
    cr_expect(wrong == 0, "%s %d x %d: %d pixels", id, h, w, wrong);
    batch_close(&b);
}

Test(puzzles, catch_shows_its_board_at_any_size) {
    shows_the_board("Catch-v0", NULL, 10, 5, 10, 5);
    shows_the_board("Catch-v0", OPTIONS("height", "36", "width", "36"), 10, 5, 36, 36);
    shows_the_board("Catch-v0", OPTIONS("height", "84", "width", "84", "rows", "12", "columns", "7"), 12, 7, 84, 84);
    shows_the_board("Catch-v0", OPTIONS("rows", "2", "columns", "1"), 2, 1, 2, 1);
    shows_the_board("CatchOrDodge-v0", OPTIONS("height", "11"), 10, 5, 11, 5);
}

static void shaped(const char *id, options given, int64_t height, int64_t width, size_t bytes, const char *text) {
    batch_env b;
    char format[128];
    batch_open(&b, builtin(MT_ISA_plain_id, id), 1, 1, given);
    const mt_space *space = mt_env_observation_space(b.env), *image = mt_space_part(space, 0);
    cr_expect(image->ndim == 3 && image->shape[0] == height && image->shape[1] == width && image->shape[2] == 1);
    cr_expect(image->low[0] == 0 && image->high[height * width - 1] == 255 && image->dtype == MANTA_U8);
    cr_expect_eq(space->bytes, bytes);
    mt_space_format(space, format, sizeof format);
    cr_expect_str_eq(format, text);
    batch_close(&b);
}

Test(puzzles, pictures_have_their_size_in_the_space) {
    shaped("Catch-v0", NULL, 10, 5, 50, "Box(10, 5, 1) u8");
    shaped("Catch-v0", OPTIONS("height", "84", "width", "60"), 84, 60, 84 * 60, "Box(84, 60, 1) u8");
    shaped("CatchOrDodge-v0", NULL, 10, 5, 60, "Dict(image: Box(10, 5, 1) u8, goal: Box(2) f32)");
    shaped("CatchOrDodge-v0", OPTIONS("height", "36", "width", "36"), 36, 36, 36 * 36 + 8, "Dict(image: Box(36, 36, 1) u8, goal: Box(2) f32)");
}

Test(puzzles, catch_moves_as_bsuites) {
    batch_env b;
    char error[MANTA_ERROR_BYTES];
    batch_open(&b, builtin(MT_ISA_plain_id, "Catch-v0"), 1, 1, NULL);
    cr_expect(state(&b, 0)[BALL_Y] == 0 && state(&b, 0)[PADDLE_X] == 2);
    cr_assert(state_of(&b)->set(mt_env_raw(b.env), 0, (double[]){4, 0, 2}, error) == 0);
    static const int32_t actions[9] = {0, 0, 0, 2, 1, 2, 2, 2, 2};   // into the wall and back
    static const double paddle[9] = {1, 0, 0, 1, 1, 2, 3, 4, 4};
    for (int t = 0; t < 9; t++) {
        ((int32_t *)b.io.action)[0] = actions[t];
        batch_step(&b);
        cr_assert(b.io.batch.terminated[0] == (t == 8), "step %d", t);
        if (t < 8) cr_expect(state(&b, 0)[BALL_X] == 4 && state(&b, 0)[BALL_Y] == t + 1 && state(&b, 0)[PADDLE_X] == paddle[t], "step %d", t);
    }
    cr_expect(b.io.batch.reward[0] == 1);
    const uint8_t *last = b.io.batch.final_obs;   // the ball lies on the paddle
    for (int p = 0; p < 50; p++) cr_expect(last[p] == (p == 49 ? 255 : 0), "pixel %d", p);
    cr_expect(state(&b, 0)[BALL_Y] == 0 && state(&b, 0)[PADDLE_X] == 2);
    batch_close(&b);
}

Test(puzzles, balls_fall_everywhere_alike) {
    batch_env b;
    int count[5] = {0}, goal[2] = {0}, both = 0;
    batch_open(&b, builtin(MT_ISA_plain_id, "CatchOrDodge-v0"), ROWS, 9, NULL);
    for (int n = 0; n < 100; n++) {
        cr_assert(mt_env_reset(b.env, &b.io.batch, NULL, NULL) == MT_OK);
        for (uint32_t i = 0; i < ROWS; i++) {
            const double *s = state(&b, i);
            const float *told = (const float *)((char *)b.io.batch.obs + i * 60 + 52);
            count[(int)s[BALL_X]]++, goal[(int)s[GOAL]]++;
            both += s[BALL_X] == 0 && s[GOAL] == 1;
            cr_assert(told[0] == (s[GOAL] == 0) && told[1] == (s[GOAL] == 1));
        }
    }
    for (int k = 0; k < 5; k++) cr_expect(abs(count[k] - 2000) < 160, "column %d: %d", k, count[k]);   // 4 deviations of 40
    cr_expect(abs(goal[0] - 5000) < 200 && abs(both - 1000) < 120, "%d %d", goal[0], both);
    batch_close(&b);
}

// ---------------------------------------------------------------- MemoryChain

Test(puzzles, the_cue_is_seen_once) {
    batch_env b;
    batch_open(&b, builtin(MT_ISA_plain_id, "MemoryChain-v0"), ROWS, 1, OPTIONS("delay", "6", "cues", "3"));
    const float *obs = b.io.batch.obs;
    double cue[ROWS];
    int seen[3] = {0};
    for (uint32_t i = 0; i < ROWS; i++) cue[i] = state(&b, i)[0], seen[(int)cue[i]]++;
    cr_expect(seen[0] > 15 && seen[1] > 15 && seen[2] > 15);
    for (int t = 0; t <= 6; t++) {
        for (uint32_t i = 0; i < ROWS; i++)
            for (int k = 0; k < 4; k++) {
                float expected = k == 3 ? t == 6 : t == 0 && k == (int)cue[i];
                cr_assert(obs[4 * i + (uint32_t)k] == expected, "step %d row %u column %d: %g", t, i, k, (double)obs[4 * i + (uint32_t)k]);
            }
        for (uint32_t i = 0; i < ROWS; i++) ((int32_t *)b.io.action)[i] = t < 6 ? t % 3 : (int32_t)(i % 3);
        batch_step(&b);
        for (uint32_t i = 0; i < ROWS; i++) {
            cr_assert(b.io.batch.terminated[i] == (t == 6));
            cr_assert(b.io.batch.reward[i] == (t < 6 ? 0 : i % 3 == (uint32_t)cue[i] ? 1 : -1));
        }
    }
    batch_close(&b);
}

// uniform, of the given size, new in every step, and the same whichever cue it hides
Test(puzzles, noise_says_nothing_of_the_cue) {
    enum { CUES = 6, STEPS = 200, WIDTH = CUES + 1 };
    batch_env b;
    batch_open(&b, builtin(MT_ISA_plain_id, "MemoryChain-v0"), ROWS, 1, OPTIONS("cues", "6", "noise", "0.5", "delay", "200"));
    const float *obs = b.io.batch.obs;
    const mt_space *space = mt_env_observation_space(b.env);
    cr_expect(space->low[0] == -0.5f && space->high[0] == 1 && space->bounded);
    double sum = 0, squares = 0, with_cue = 0, lag = 0, neighbours = 0, n = (double)ROWS * STEPS * CUES, cue[ROWS];
    float before[ROWS * WIDTH] = {0};
    for (uint32_t i = 0; i < ROWS; i++) cue[i] = state(&b, i)[0];
    for (uint64_t t = 0; t < STEPS; t++) {
        batch_choose(&b, 1, 0, t);
        batch_step(&b);
        for (uint32_t i = 0; i < ROWS; i++)
            for (int k = 0; k < CUES; k++) {
                double x = (double)obs[WIDTH * i + (uint32_t)k];
                cr_assert(fabs(x) <= 0.5);
                sum += x, squares += x * x, with_cue += k == (int)cue[i] ? x : 0, lag += x * (double)before[WIDTH * i + (uint32_t)k];
                neighbours += x * (double)obs[WIDTH * i + (uint32_t)((k + 4) % CUES)];
            }
        memcpy(before, obs, sizeof before);
    }
    cr_expect(fabs(sum / n) < 4 * 0.289 / sqrt(n) && fabs(squares / n - 1 / 12.0) < 0.002, "%g %g", sum / n, squares / n);
    cr_expect(fabs(with_cue / (ROWS * STEPS)) < 4 * 0.289 / sqrt(ROWS * STEPS), "%g", with_cue / (ROWS * STEPS));
    cr_expect(fabs(lag / n) < 4 * 0.0834 / sqrt(n) && fabs(neighbours / n) < 4 * 0.0834 * 1.5 / sqrt(n), "%g %g", lag / n, neighbours / n);
    batch_close(&b);
}

Test(puzzles, noise_goes_on_from_a_snapshot) {
    batch_env a, b;
    options given = OPTIONS("noise", "2", "delay", "7");
    batch_open(&a, builtin(MT_ISA_plain_id, "MemoryChain-v0"), 3, 1, given);
    batch_open(&b, builtin(MT_ISA_plain_id, "MemoryChain-v0"), 3, 50, given);
    for (uint64_t t = 0; t < 20; t++) batch_choose(&a, 2, 0, t), batch_step(&a);
    size_t bytes = mt_env_snapshot_bytes(a.env);
    char *saved = malloc(bytes);
    cr_assert(mt_env_snapshot_save(a.env, saved) == MT_OK && mt_env_snapshot_load(b.env, saved, bytes) == MT_OK, "%s", mt_last_error());
    for (uint64_t t = 20; t < 60; t++) {
        batch_choose(&a, 2, 0, t), batch_choose(&b, 2, 0, t);
        batch_step(&a), batch_step(&b);
        cr_assert_arr_eq(a.io.batch.obs, b.io.batch.obs, 9 * sizeof(float));
    }
    batch_close(&a);
    batch_open(&a, builtin(MT_ISA_plain_id, "MemoryChain-v0"), 3, 1, OPTIONS("noise", "2", "delay", "8"));
    cr_expect(mt_env_snapshot_load(a.env, saved, bytes) == MT_CORRUPT && strstr(mt_last_error(), "not one of MemoryChain-v0 with these options"));
    free(saved);
    batch_close(&a);
    batch_close(&b);
}

// ---------------------------------------------------------------- what is refused

static void refuses_options(const char *id, options given, const char *words) {
    uint64_t seed = 1;
    manta_env_option list[4];
    manta_env_config config = {.struct_size = sizeof config, .num_envs = 1, .seeds = &seed, .options = list};
    for (; given[0]; given += 2) list[config.option_count++] = (manta_env_option){given[0], given[1]};
    mt_env *env;
    cr_expect(mt_env_create(builtin(MT_ISA_plain_id, id), &config, &env) == MT_ENV && !env, "%s", words);
    cr_expect(strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
}

Test(puzzles, bad_options_are_named) {
    refuses_options("MemoryChain-v0", OPTIONS("delay", "0"), "option delay: 0; give a whole number from 1 to");
    refuses_options("MemoryChain-v0", OPTIONS("delay", "1048576"), "option delay");
    refuses_options("MemoryChain-v0", OPTIONS("delay", "2.5"), "option delay: 2.5; give a whole number");
    refuses_options("MemoryChain-v0", OPTIONS("cues", "1"), "option cues: 1; give a whole number from 2 to 64");
    refuses_options("MemoryChain-v0", OPTIONS("noise", "-1"), "option noise: -1; give a number from 0 to 10");
    refuses_options("MemoryChain-v0", OPTIONS("noise", "loud"), "option noise: ");
    refuses_options("Catch-v0", OPTIONS("rows", "1"), "option rows: 1; give a whole number from 2 to 512");
    refuses_options("Catch-v0", OPTIONS("height", "9"), "option height: 9 pixels for 10 rows");
    refuses_options("CatchOrDodge-v0", OPTIONS("width", "4"), "option width: 4 pixels for 5 columns");
    refuses_options("Catch-v0", OPTIONS("columns", "20"), "option columns: 20 columns of 10 rows; the paddle cannot reach every ball, take at most 19");
}

Test(puzzles, bad_states_and_actions_are_refused) {
    batch_env b;
    char error[MANTA_ERROR_BYTES];
    batch_open(&b, builtin(MT_ISA_plain_id, "Catch-v0"), 4, 1, NULL);
    cr_expect(state_of(&b)->set(mt_env_raw(b.env), 0, (double[]){5, 0, 0}, error) != 0 && strstr(error, "state[0] is 5; it is a whole number from 0 to 4"));
    cr_expect(state_of(&b)->set(mt_env_raw(b.env), 0, (double[]){0, 9, 0}, error) != 0 && strstr(error, "state[1]"));
    cr_expect(state_of(&b)->set(mt_env_raw(b.env), 0, (double[]){0, 0, 0.5}, error) != 0);
    cr_expect(state_of(&b)->set(mt_env_raw(b.env), 0, (double[]){NAN, 0, 0}, error) != 0);
    ((int32_t *)b.io.action)[2] = 3;
    cr_expect(mt_env_step(b.env, &b.io.batch) == MT_ENV && strstr(mt_last_error(), "action 3 of environment 2 is not one of 0…2"));
    batch_close(&b);
    batch_open(&b, builtin(MT_ISA_plain_id, "Catch-v0"), 1, 1, NULL);
    ((int32_t *)b.io.action)[0] = -1;
    cr_expect(mt_env_step(b.env, &b.io.batch) == MT_ENV && strstr(mt_last_error(), "action -1"));
    batch_close(&b);
}
