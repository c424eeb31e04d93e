// Pendulum-v1, as Gymnasium 1.x computes it with NumPy 2: in double but for the torque, which is a float there and makes
// its own terms float. State: θ (not wrapped), θ'; the cache holds sin θ, which one step writes out and the next one needs.
// Compiled once per instruction set.
#include "rollout/envs/builtin.h"
#include "rollout/envs/canvas.h"
#include "rollout/envs/classic_step.h"

enum { THETA, THETA_DOT, OBS = 3 };
enum { GRAVITY };   // param

static const double pi = 3.141592653589793, max_speed = 8, max_torque = 2, dt = 0.05, mass = 1, length = 1;

// Python's (x + π) % 2π − π. The remainder is exact, as fmod's: 2π in two parts whose products with n are exact.
static inline vd angle_normalize(vd x) {
    const double turn = 2 * pi, turn_high = 0x1.921fb544p+2, turn_low = turn - turn_high, round_to_integer = 0x1.8p52;
    vd shifted = x + pi, size = vd_abs(shifted), rest = size;
    if (__builtin_expect(vl_bits(~(size < 1e5)) != 0, 0)) {
        for (int i = 0; i < VD; i++) rest[i] = fmod(size[i], turn);
    } else {
        vd n = (size * (1 / turn) + round_to_integer) - round_to_integer;
        rest = (size - n * turn_high) - n * turn_low;
        n = n - 1;
        rest = vd_select(rest < 0, (size - n * turn_high) - n * turn_low, rest);
    }
    rest = vd_select((shifted < 0) & (rest != 0), turn - rest, rest);
    return rest - pi;
}

CLASSIC_INLINE classic_lanes physics(manta_env *env, uint32_t row, const void *action, float *obs, float *reward) {
    vd theta = vd_load(env->state[THETA] + row), theta_dot = vd_load(env->state[THETA_DOT] + row);
    vd push = vd_from(vs_load(action)), torque = vd_clip(push, -max_torque, max_torque);
    vd sine = vd_load(env->cache + row), cosine;

    vd angle = angle_normalize(theta);
    vd effort = vd_to_float((double)0.001f * vd_to_float(torque * torque));
    vd cost = angle * angle + 0.1 * (theta_dot * theta_dot) + effort;
    double pull = 3 * env->param[GRAVITY] / (2 * length);
    theta_dot = theta_dot + (pull * sine + vd_to_float(3.0 / (mass * length * length) * torque)) * dt;
    theta_dot = vd_clip(theta_dot, -max_speed, max_speed);
    theta = theta + theta_dot * dt;

    vd_sincos(theta, &sine, &cosine);
    vd_store(env->state[THETA] + row, theta);
    vd_store(env->state[THETA_DOT] + row, theta_dot);
    vd_store(env->cache + row, sine);
    vs_store_rows(obs, (vs[]){vs_from(cosine), vs_from(sine), vs_from(theta_dot)}, OBS);
    vs_store(reward, vs_from(-cost));
    return (classic_lanes){.bad = ~(vd_abs(push) <= 0x1.fffffep127)};
}

static void begin(manta_env *env, uint32_t row, const double unit[4]) {
    env->state[THETA][row] = -pi + 2 * pi * unit[0];
    env->state[THETA_DOT][row] = -1 + 2 * unit[1];
}

static void refresh(manta_env *env, uint32_t row) {
    vd sine, cosine;
    vd_sincos(vd_set(env->state[THETA][row]), &sine, &cosine);
    env->cache[row] = sine[0];
}

static void observe(const manta_env *env, uint32_t row, float *obs) {
    vd sine, cosine;
    vd_sincos(vd_set(env->state[THETA][row]), &sine, &cosine);
    obs[0] = (float)cosine[0];
    obs[1] = (float)sine[0];
    obs[2] = (float)env->state[THETA_DOT][row];
}

static void draw(const manta_env *env, uint32_t row, mt_canvas *canvas) {
    double theta = env->state[THETA][row], across = -sin(theta), up = cos(theta);   // θ = 0 is upright, positive to the left
    mt_canvas_world(canvas, -1.2, 1.2, -1.2, 1.2);
    for (int side = -3; side <= 3; side++) {   // a rod of some width
        double shift = 0.015 * side;
        mt_canvas_line(canvas, -up * shift, across * shift, across - up * shift, up + across * shift);
    }
    mt_canvas_circle(canvas, 0, 0, 0.1);
    mt_canvas_circle(canvas, across, up, 0.1);
    mt_canvas_print(canvas, 0, 0, "Pendulum  step %lld", (long long)env->steps[row]);
    mt_canvas_print(canvas, 1, 0, "angle %+.0f deg", 180 / pi * remainder(theta, 2 * pi));
    mt_canvas_print(canvas, 2, 0, "speed %+.1f rad/s", env->state[THETA_DOT][row]);
}

static const manta_space observation_space = CLASSIC_BOX(OBS, ((const float[]){-1, -1, -8}), ((const float[]){1, 1, 8}));
static const manta_space action_space = CLASSIC_BOX(1, ((const float[]){-2}), ((const float[]){2}));

static const classic_kind kind = {
    .desc = &MT_ISA_NAME(mt_env_pendulum),
    .state_count = 2,
    .obs_count = OBS,
    .observation_space = &observation_space,
    .action_space = &action_space,
    .param = {[GRAVITY] = {"g", 10, 0}},
    .begin = begin,
    .observe = observe,
    .refresh = refresh,
    .draw = draw,
};

CLASSIC_CREATE(kind)
CLASSIC_STEP(OBS, physics, observe)

const manta_env_desc MT_ISA_NAME(mt_env_pendulum) = {
    CLASSIC_COMMON,
    .id = "Pendulum-v1",
    .summary = "swing a pendulum up and hold it with a torque in [-2, 2]",
    .reward_threshold = NAN,
    CLASSIC_OPTIONS(200, {"g", "10", "acceleration of gravity, m/s^2"}),
};
