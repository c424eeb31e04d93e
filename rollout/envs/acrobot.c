// Acrobot-v1: see kernels/classic/acrobot.h. Compiled once per instruction set.
//
// Acrobot is chaotic: a difference in the last bit grows to 1e-6 within some 150 to 400 steps. Only the C library's own sin, cos
// and pow, which NumPy calls, keep a whole episode equal to Gymnasium's, so they are the default; fast_math=true takes
// vec.h's instead, ten times as fast. Measured on 100 episodes of 500 random steps: 3 leave 1e-6 with fast_math, none without.
#include "rollout/envs/builtin.h"
#include "rollout/envs/canvas.h"
#include "rollout/envs/classic_step.h"

// Through volatile pointers: a compiler that knows these functions makes pow(x, 2) a product and sin with cos one sincos,
// both of which round differently now and then.
static double (*const volatile libm_sin)(double) = sin;
static double (*const volatile libm_cos)(double) = cos;
static double (*const volatile libm_pow)(double, double) = pow;

// `libm`: 0 for vec.h's functions, else how many lanes are rows of the batch and worth a call of the C library
VEC_FN vd acrobot_cosine(vd x, int libm) {
    vd s, c = vd_set(1);   // a padding row: something tame
    if (!libm) vd_sincos(x, &s, &c);
    for (int i = 0; i < libm; i++) c[i] = libm_cos(x[i]);
    return c;
}

VEC_FN vd acrobot_sine(vd x, int libm) {
    vd s = vd_set(0), c;
    if (!libm) vd_sincos(x, &s, &c);
    for (int i = 0; i < libm; i++) s[i] = libm_sin(x[i]);
    return s;
}

VEC_FN vd acrobot_square(vd x, int libm) {   // Python's x**2 of a NumPy scalar
    if (!libm) return x * x;
    for (int i = 0; i < libm; i++) x[i] = libm_pow(x[i], 2.0);
    return x;
}

#define ACROBOT_FUNCTIONS
#include "kernels/classic/acrobot.h"

enum { OBS = 6 };
enum { FAST_MATH };   // param

CLASSIC_INLINE void libm_move(const double *param, classic_rows *r) { (void)param, acrobot_step(r, r->lanes); }
static classic_lanes physics_libm(manta_env *env, uint32_t row, const void *action, float *obs, float *reward) {
    return classic_moved(env, row, action, obs, reward, ACROBOT_STATES, OBS, 0, libm_move);
}
static classic_lanes physics_fast(manta_env *env, uint32_t row, const void *action, float *obs, float *reward) {
    return classic_moved(env, row, action, obs, reward, ACROBOT_STATES, OBS, 0, acrobot_move);
}

CLASSIC_BEGIN(acrobot, ACROBOT_STATES)

// of a state in which an episode begins, or one that the loops above have written: vec.h's sine where theirs is
static void observe(const manta_env *env, uint32_t row, float *obs) {
    double state[ACROBOT_STATES];
    for (int k = 0; k < ACROBOT_STATES; k++) state[k] = env->state[k][row];
    if (env->param[FAST_MATH] != 0) {
        acrobot_observe(state, obs);
        return;
    }
    for (int k = 0; k < 2; k++) {
        obs[2 * k] = (float)cos(state[k]);
        obs[2 * k + 1] = (float)sin(state[k]);
        obs[4 + k] = (float)state[ACROBOT_DTHETA1 + k];
    }
}

static const char *no_kernel(const manta_env *env) {
    return env->param[FAST_MATH] != 0 ? NULL : "the C library's sine is not to be had there; fast_math:true takes manta's own";
}

static void draw(const manta_env *env, uint32_t row, mt_canvas *canvas) {
    double theta1 = env->state[ACROBOT_THETA1][row], both = theta1 + env->state[ACROBOT_THETA2][row];   // 0: hanging down
    double x1 = sin(theta1), y1 = -cos(theta1), x2 = x1 + sin(both), y2 = y1 - cos(both);
    mt_canvas_world(canvas, -2.2, 2.2, -2.2, 2.2);
    mt_canvas_line(canvas, -2.2, 1, 2.2, 1);   // the goal's height
    mt_canvas_line(canvas, 0, 0, x1, y1);
    mt_canvas_line(canvas, x1, y1, x2, y2);
    mt_canvas_circle(canvas, 0, 0, 0.12);
    mt_canvas_circle(canvas, x1, y1, 0.12);
    mt_canvas_print(canvas, 0, 0, "Acrobot  step %lld  tip %+.2f m (goal +1)", (long long)env->steps[row], y2);
}

static const float high[OBS] = {1, 1, 1, 1, (float)(4 * 3.141592653589793), (float)(9 * 3.141592653589793)};
static const float low[OBS] = {-1, -1, -1, -1, -(float)(4 * 3.141592653589793), -(float)(9 * 3.141592653589793)};
static const manta_space observation_space = CLASSIC_BOX(OBS, low, high);
static const manta_space action_space = CLASSIC_CHOICES(3);

static const classic_kind kind = {
    .desc = &MT_ISA_NAME(mt_env_acrobot),
    .id = MT_CLASSIC_ACROBOT,
    .state_count = ACROBOT_STATES,
    .obs_count = OBS,
    .observation_space = &observation_space,
    .action_space = &action_space,
    .param = {[FAST_MATH] = {"fast_math", 0, 1}},
    .begin = begin,
    .observe = observe,
    .draw = draw,
    .no_kernel = no_kernel,
};

CLASSIC_CREATE(kind)

static int step(manta_env *env, const manta_env_batch *batch, char *error) {
    if (env->param[FAST_MATH] != 0) return classic_step(env, batch, error, OBS, physics_fast, observe);
    return classic_step(env, batch, error, OBS, physics_libm, observe);
}

const manta_env_desc MT_ISA_NAME(mt_env_acrobot) = {
    CLASSIC_COMMON,
    .id = "Acrobot-v1",
    .summary = "swing the tip of a two-link robot up with a torque at its elbow",
    .reward_threshold = -100,
    CLASSIC_OPTIONS(500,
        {"fast_math", "false", "true: own sine and cosine, ten times as fast; a long episode then drifts from Gymnasium's"}),
};
