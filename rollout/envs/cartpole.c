// CartPole-v1: see kernels/classic/cartpole.h. Compiled once per instruction set.
#include "rollout/envs/builtin.h"
#include "rollout/envs/cartpole_view.h"

enum { OBS = 4 };

CLASSIC_RULES(cartpole, CARTPOLE_STATES, OBS, 0)

static const float high[OBS] = {CARTPOLE_X_BOUND, INFINITY, CARTPOLE_THETA_BOUND, INFINITY};
static const float low[OBS] = {-CARTPOLE_X_BOUND, -INFINITY, -CARTPOLE_THETA_BOUND, -INFINITY};
static const manta_space observation_space = CLASSIC_BOX(OBS, low, high);
static const manta_space action_space = CLASSIC_CHOICES(2);

static const classic_kind kind = {
    .desc = &MT_ISA_NAME(mt_env_cartpole),
    .id = MT_CLASSIC_CARTPOLE,
    .state_count = CARTPOLE_STATES,
    .obs_count = OBS,
    .observation_space = &observation_space,
    .action_space = &action_space,
    .param = {[CARTPOLE_SUTTON_BARTO_REWARD] = {"sutton_barto_reward", 0, 1}},
    .begin = begin,
    .observe = observe,
    .draw = cartpole_draw,
};

CLASSIC_CREATE(kind)
CLASSIC_STEP(OBS, physics, observe)

const manta_env_desc MT_ISA_NAME(mt_env_cartpole) = {
    CLASSIC_COMMON,
    .id = "CartPole-v1",
    .summary = "balance a pole on a cart that is pushed left or right",
    .reward_threshold = 475,
    CARTPOLE_OPTIONS,
};
