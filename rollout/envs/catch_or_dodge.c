// CatchOrDodge-v0: Catch with a second input that says whether the ball is to be caught or dodged. The smallest task of which
// neither the picture nor the vector alone tells how to act: with one of them, every policy has the mean return 0, as each ball is
// to be caught half of the time. See catch_board.h.
#include "rollout/envs/builtin.h"
#include "rollout/envs/catch_board.h"

enum { GOAL = CATCH_STATE /* 0: catch, 1: dodge */, STATE };

PUZZLE_INLINE int rules(const manta_env *env, int32_t *state, int32_t action, float *reward) {
    int arrived = catch_move(env, state, action);
    if (arrived) *reward = (state[BALL_X] == state[PADDLE_X]) == (state[GOAL] == 0) ? 1 : -1;
    return arrived;
}

// behind the picture, at the next multiple of 4
static size_t goal_offset(const manta_env *env) { return (catch_image_bytes(env) + 3) & ~(size_t)3; }

static inline void observe(const manta_env *env, uint32_t row, void *obs) {
    const int32_t *state = env->state + (size_t)row * STATE;
    float *goal = (float *)((char *)obs + goal_offset(env));
    catch_picture(env, state, obs);
    goal[0] = state[GOAL] == 0, goal[1] = state[GOAL] == 1;
}

static int set_up(manta_env *env, char *error) {
    const int64_t two[] = {2};
    if (catch_set_up(env, error) || catch_image(env, 1, "image", error) || puzzle_box(env, 2, "goal", MANTA_F32, 1, two, 0, 1, error)) return 1;
    env->children[0] = &env->space[1], env->children[1] = &env->space[2];
    env->space[0] = (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_DICT, .child_count = 2, .children = env->children};
    env->obs_bytes = goal_offset(env) + 2 * sizeof(float);
    return 0;
}

static int32_t values(const manta_env *env, uint32_t k) { return k == GOAL ? 2 : catch_values(env, k); }

static void begin(const manta_env *env, int32_t *state, const uint32_t word[4]) {
    catch_begin(env, state, word);
    state[GOAL] = (int32_t)(word[1] >> 31);
}

static void draw(const manta_env *env, uint32_t row, mt_canvas *canvas) {
    catch_draw(env, row, canvas, puzzle_state(env, row)[GOAL] ? "dodge" : "catch");
}

static const puzzle_kind kind = {
    .desc = &mt_env_catch_or_dodge,
    .state_count = STATE,
    .option = CATCH_OPTION_RANGES,
    .set_up = set_up,
    .values = values,
    .begin = begin,
    .observe = observe,
    .draw = draw,
};

PUZZLE_CREATE(kind)
PUZZLE_STEP(STATE, rules, observe)

const manta_env_desc mt_env_catch_or_dodge = {
    PUZZLE_COMMON,
    .id = "CatchOrDodge-v0",
    .summary = "Catch, where a vector beside the picture says whether to catch or to dodge",
    .reward_threshold = 0.9,
    CATCH_OPTIONS,
};
