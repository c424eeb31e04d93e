// MemoryChain-v0: bsuite's memory chain (Osband et al., "Behaviour Suite for Reinforcement Learning", ICLR 2020; the T-maze of
// Bakker 2002 without its corridor). The first observation shows a cue; `delay` steps later a flag goes up, and the action taken then
// earns 1 if it names the cue, else −1. Whatever is done in between has no effect. A policy without memory gets 2/cues − 1.
//
// Two changes from bsuite: the cue is in the first observation alone (there it is in the second, too) and one-hot, and a
// flag stands for the running clock.
//
// Observation: cue (cues), flag. Between the first step and the last the cue's columns hold noise of ±`noise`.
#include "rollout/envs/builtin.h"
#include "rollout/envs/canvas.h"
#include "rollout/envs/puzzle.h"

enum { CUE, TIME, STATE };
enum { DELAY, CUES, NOISE };   // options
enum { CUES_MAX = 64 };

static int delay_of(const manta_env *env) { return (int)env->option[DELAY]; }
static int cues_of(const manta_env *env) { return (int)env->option[CUES]; }

PUZZLE_INLINE int rules(const manta_env *env, int32_t *state, int32_t action, float *reward) {
    if (state[TIME] < delay_of(env)) {
        state[TIME]++;
        return 0;
    }
    *reward = action == state[CUE] ? 1 : -1;
    return 1;
}

static inline void observe(const manta_env *env, uint32_t row, void *obs) {
    const int32_t *state = env->state + (size_t)row * STATE;
    int cues = cues_of(env);
    float *cue = obs, noise = (float)env->option[NOISE];
    memset(cue, 0, sizeof *cue * (size_t)cues);
    cue[cues] = state[TIME] == delay_of(env);
    if (state[TIME] == 0) {
        cue[state[CUE]] = 1;
    } else if (noise > 0) {
        puzzle_noise(env, row, (uint32_t)state[TIME], cues, cue);
        for (int k = 0; k < cues; k++) cue[k] *= noise;
    }
}

static int set_up(manta_env *env, char *error) {
    const int64_t width[] = {cues_of(env) + 1};
    float noise = (float)env->option[NOISE];
    env->actions = cues_of(env);
    env->obs_bytes = sizeof(float) * (size_t)width[0];
    return puzzle_box(env, 0, NULL, MANTA_F32, 1, width, -noise, noise > 1 ? noise : 1, error);
}

static int32_t values(const manta_env *env, uint32_t k) { return k == CUE ? cues_of(env) : delay_of(env) + 1; }

static void begin(const manta_env *env, int32_t *state, const uint32_t word[4]) {
    state[CUE] = puzzle_below(word[0], cues_of(env));
    state[TIME] = 0;
}

static void draw(const manta_env *env, uint32_t row, mt_canvas *canvas) {
    const int32_t *state = puzzle_state(env, row);
    int delay = delay_of(env);
    mt_canvas_world(canvas, -0.05 * delay, 1.05 * delay, -0.3 * delay, 0.3 * delay);
    mt_canvas_line(canvas, 0, 0, delay, 0);
    mt_canvas_circle(canvas, state[TIME], 0, 0.03 * delay);
    mt_canvas_print(canvas, 0, 0, "MemoryChain  step %d of %d  cue %d%s", state[TIME], delay, state[CUE],
        state[TIME] == 0 ? "" : state[TIME] == delay ? ", now to be named" : ", out of sight");
}

static const puzzle_kind kind = {
    .desc = &mt_env_memory_chain,
    .state_count = STATE,
    .option = {{1, PUZZLE_STEPS_MAX - 2, 1}, {2, CUES_MAX, 1}, {0, 10, 0}},
    .set_up = set_up,
    .values = values,
    .begin = begin,
    .observe = observe,
    .draw = draw,
};

PUZZLE_CREATE(kind)
PUZZLE_STEP(STATE, rules, observe)

const manta_env_desc mt_env_memory_chain = {
    PUZZLE_COMMON,
    .id = "MemoryChain-v0",
    .summary = "name the cue that was seen at the first step alone",
    .reward_threshold = 0.9,
    PUZZLE_OPTIONS({"delay", "50", "steps from the cue to the action that has to name it"},
        {"cues", "2", "different ones, as many as actions"},
        {"noise", "0", "the cue's columns hold uniform noise of ± this while it is out of sight"}),
};
