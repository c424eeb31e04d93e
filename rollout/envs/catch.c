// Catch-v0: bsuite's Catch (Osband et al., "Behaviour Suite for Reinforcement Learning", ICLR 2020) as a picture of bytes: the
// smallest task that a convolutional policy can be seen to learn. See catch_board.h.
#include "rollout/envs/builtin.h"
#include "rollout/envs/catch_board.h"

PUZZLE_INLINE int rules(const manta_env *env, int32_t *state, int32_t action, float *reward) {
    int arrived = catch_move(env, state, action);
    if (arrived) *reward = state[BALL_X] == state[PADDLE_X] ? 1 : -1;
    return arrived;
}

static inline void observe(const manta_env *env, uint32_t row, void *obs) { catch_picture(env, env->state + (size_t)row * CATCH_STATE, obs); }

static int set_up(manta_env *env, char *error) {
    if (catch_set_up(env, error) || catch_image(env, 0, NULL, error)) return 1;
    env->obs_bytes = catch_image_bytes(env);
    return 0;
}

static void draw(const manta_env *env, uint32_t row, mt_canvas *canvas) { catch_draw(env, row, canvas, "Catch"); }

static const puzzle_kind kind = {
    .desc = &mt_env_catch,
    .state_count = CATCH_STATE,
    .option = CATCH_OPTION_RANGES,
    .set_up = set_up,
    .values = catch_values,
    .begin = catch_begin,
    .observe = observe,
    .draw = draw,
};

PUZZLE_CREATE(kind)
PUZZLE_STEP(CATCH_STATE, rules, observe)

const manta_env_desc mt_env_catch = {
    PUZZLE_COMMON,
    .id = "Catch-v0",
    .summary = "catch a falling ball, seen as a picture: left, stay or right",
    .reward_threshold = 0.9,
    CATCH_OPTIONS,
};
