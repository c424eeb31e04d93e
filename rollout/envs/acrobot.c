// Acrobot-v1 (Sutton 1996; the book's dynamics), as Gymnasium 1.x computes it: one Runge–Kutta step of 0.2 s in double. The
// initial state is rounded to float there, and so it is here. State: θ1, θ2, θ1', θ2'. Compiled once per instruction set.
//
// Acrobot is chaotic: a difference in the last bit grows to 1e-6 within some 150 to 400 steps. Only the C library's own sin, cos
// and pow, which NumPy calls, keep a whole episode equal to Gymnasium's, so they are the default; fast_math=true takes
// vec.h's instead, ten times as fast. Measured on 100 episodes of 500 random steps: 3 leave 1e-6 with fast_math, none without.
#include "rollout/envs/builtin.h"
#include "rollout/envs/canvas.h"
#include "rollout/envs/classic_step.h"

enum { THETA1, THETA2, DTHETA1, DTHETA2, STATE = 4, OBS = 6 };
enum { FAST_MATH };   // param

static const double pi = 3.141592653589793, dt = 0.2, gravity = 9.8, max_speed1 = 4 * 3.141592653589793,
                    max_speed2 = 9 * 3.141592653589793;

typedef struct pose {
    vd v[STATE];
} pose;

// Through volatile pointers: a compiler that knows these functions makes pow(x, 2) a product and sin with cos one sincos,
// both of which round differently now and then.
static double (*const volatile libm_sin)(double) = sin;
static double (*const volatile libm_cos)(double) = cos;
static double (*const volatile libm_pow)(double, double) = pow;

// `libm`: 0 for vec.h's functions, else how many lanes are rows of the batch and worth a call of the C library
static inline vd cosine(vd x, int libm) {
    vd s, c = vd_set(1);   // a padding row: something tame
    if (!libm) vd_sincos(x, &s, &c);
    for (int i = 0; i < libm; i++) c[i] = libm_cos(x[i]);
    return c;
}

static inline vd sine(vd x, int libm) {
    vd s = vd_set(0), c;
    if (!libm) vd_sincos(x, &s, &c);
    for (int i = 0; i < libm; i++) s[i] = libm_sin(x[i]);
    return s;
}

static inline vd square(vd x, int libm) {   // Python's x**2 of a NumPy scalar
    if (!libm) return x * x;
    for (int i = 0; i < libm; i++) x[i] = libm_pow(x[i], 2.0);
    return x;
}

// Gymnasium's _dsdt with both lengths, masses and moments of inertia 1 and centres of mass at 0.5, in its order.
CLASSIC_INLINE pose derivative(pose s, vd torque, int libm) {
    vd dtheta1 = s.v[DTHETA1], dtheta2 = s.v[DTHETA2];
    vd sine2 = sine(s.v[THETA2], libm), cosine2 = cosine(s.v[THETA2], libm);
    vd d1 = 0.25 + (1.25 + cosine2) + 1.0 + 1.0;
    vd d2 = (0.25 + 0.5 * cosine2) + 1.0;
    vd phi2 = 0.5 * gravity * cosine(s.v[THETA1] + s.v[THETA2] - pi / 2, libm);
    vd phi1 = -0.5 * square(dtheta2, libm) * sine2 - dtheta2 * dtheta1 * sine2 +
              1.5 * gravity * cosine(s.v[THETA1] - pi / 2, libm) + phi2;
    vd ddtheta2 = (torque + d2 / d1 * phi1 - 0.5 * square(dtheta1, libm) * sine2 - phi2) / (1.25 - square(d2, libm) / d1);
    vd ddtheta1 = -(d2 * ddtheta2 + phi1) / d1;
    return (pose){{dtheta1, dtheta2, ddtheta1, ddtheta2}};
}

static inline pose moved(pose from, pose along, double time) {
    for (int k = 0; k < STATE; k++) from.v[k] = from.v[k] + time * along.v[k];
    return from;
}

// Into [−π, π] by whole turns, one subtraction at a time. A step turns less than two of them.
static inline vd wrap(vd x) {
    for (int turn = 0; turn < 64 && vl_bits(x > pi); turn++) x = vd_select(x > pi, x - 2 * pi, x);
    for (int turn = 0; turn < 64 && vl_bits(x < -pi); turn++) x = vd_select(x < -pi, x + 2 * pi, x);
    if (__builtin_expect(vl_bits(vd_abs(x) > pi) != 0, 0))   // a state set from outside
        for (int i = 0; i < VD; i++) x[i] = remainder(x[i], 2 * pi);
    return x;
}

CLASSIC_INLINE classic_lanes physics(manta_env *env, uint32_t row, const void *action, float *obs, float *reward, int libm) {
    vl choice = __builtin_convertvector(vw_load(action), vl);
    vd torque = __builtin_convertvector(choice - 1, vd);
    pose s;
    for (int k = 0; k < STATE; k++) s.v[k] = vd_load(env->state[k] + row);

    pose k1 = derivative(s, torque, libm);
    pose k2 = derivative(moved(s, k1, dt / 2), torque, libm);
    pose k3 = derivative(moved(s, k2, dt / 2), torque, libm);
    pose k4 = derivative(moved(s, k3, dt), torque, libm);
    for (int k = 0; k < STATE; k++) s.v[k] = s.v[k] + dt / 6.0 * (k1.v[k] + 2 * k2.v[k] + 2 * k3.v[k] + k4.v[k]);
    s.v[THETA1] = wrap(s.v[THETA1]);
    s.v[THETA2] = wrap(s.v[THETA2]);
    s.v[DTHETA1] = vd_clip(s.v[DTHETA1], -max_speed1, max_speed1);
    s.v[DTHETA2] = vd_clip(s.v[DTHETA2], -max_speed2, max_speed2);

    vd sine1 = sine(s.v[THETA1], libm), cosine1 = cosine(s.v[THETA1], libm);
    vd sine2 = sine(s.v[THETA2], libm), cosine2 = cosine(s.v[THETA2], libm);
    vl terminated = -cosine1 - cosine(s.v[THETA2] + s.v[THETA1], libm) > 1.0;
    for (int k = 0; k < STATE; k++) vd_store(env->state[k] + row, s.v[k]);
    vs_store_rows(obs, (vs[]){vs_from(cosine1), vs_from(sine1), vs_from(cosine2), vs_from(sine2), vs_from(s.v[DTHETA1]),
        vs_from(s.v[DTHETA2])}, OBS);
    vs_store(reward, vs_from(vd_select(terminated, vd_set(0), vd_set(-1))));
    return (classic_lanes){.terminated = terminated, .bad = (choice < 0) | (choice > 2)};
}

static classic_lanes physics_libm(manta_env *env, uint32_t row, const void *action, float *obs, float *reward) {
    uint32_t rest = env->num_envs - row;
    return physics(env, row, action, obs, reward, rest < VD ? (int)rest : VD);
}
static classic_lanes physics_fast(manta_env *env, uint32_t row, const void *action, float *obs, float *reward) {
    return physics(env, row, action, obs, reward, 0);
}

static void begin(manta_env *env, uint32_t row, const double unit[4]) {
    for (int k = 0; k < STATE; k++) env->state[k][row] = (float)(-0.1 + 0.2 * unit[k]);
}

static void observe(const manta_env *env, uint32_t row, float *obs) {
    for (int k = 0; k < 2; k++) {
        obs[2 * k] = (float)cos(env->state[k][row]);
        obs[2 * k + 1] = (float)sin(env->state[k][row]);
        obs[4 + k] = (float)env->state[DTHETA1 + k][row];
    }
}

static void draw(const manta_env *env, uint32_t row, mt_canvas *canvas) {
    double theta1 = env->state[THETA1][row], both = theta1 + env->state[THETA2][row];   // 0: hanging down
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
    .state_count = STATE,
    .obs_count = OBS,
    .observation_space = &observation_space,
    .action_space = &action_space,
    .param = {[FAST_MATH] = {"fast_math", 0, 1}},
    .begin = begin,
    .observe = observe,
    .draw = draw,
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
