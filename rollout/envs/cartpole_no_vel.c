// CartPoleNoVel-v1: CartPole-v1 of which x and θ alone are observed, as sb3-contrib names it for its recurrent PPO (POPGym:
// PositionOnlyCartPole). The velocities have to be remembered. Compiled once per instruction set.
#include "rollout/envs/builtin.h"
#include "rollout/envs/cartpole_view.h"

enum { OBS = 2 };

CLASSIC_RULES(cartpole_no_vel, CARTPOLE_STATES, OBS, 0)

static const float high[OBS] = {CARTPOLE_X_BOUND, CARTPOLE_THETA_BOUND};
static const float low[OBS] = {-CARTPOLE_X_BOUND, -CARTPOLE_THETA_BOUND};
static const manta_space observation_space = CLASSIC_BOX(OBS, low, high);
static const manta_space action_space = CLASSIC_CHOICES(2);

static const classic_kind kind = {
    .desc = &MT_ISA_NAME(mt_env_cartpole_no_vel),
    .id = MT_CLASSIC_CARTPOLE_NO_VEL,
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

const manta_env_desc MT_ISA_NAME(mt_env_cartpole_no_vel) = {
    CLASSIC_COMMON,
    .id = "CartPoleNoVel-v1",
    .summary = "CartPole without velocities: balancing it takes a memory",
    .reward_threshold = 475,
    CARTPOLE_OPTIONS,
};
