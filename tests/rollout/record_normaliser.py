#!/usr/bin/env python3
"""Records what Stable-Baselines3's VecNormalize makes of a few steps as data/normaliser.h, for test_normaliser.c.

    python3 record_normaliser.py > data/normaliser.h      # needs stable_baselines3
"""
import gymnasium
import numpy as np
import stable_baselines3
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

STEPS, ENVS, OBS = 10, 3, 2
GAMMA, CLIP_OBS, CLIP_REWARD = 0.9, 1.5, 1.2

rng = np.random.default_rng(4)
raw = (rng.normal(size=(STEPS + 1, ENVS, OBS)) * [0.1, 50] + [3, -20]).astype(np.float32)
reward = (rng.normal(size=(STEPS, ENVS)) * 4 + 1).astype(np.float32)
done = (rng.random((STEPS, ENVS)) < 0.2).astype(np.uint8)
assert done.any()


class Script(VecEnv):
    def __init__(self):
        super().__init__(ENVS, gymnasium.spaces.Box(-np.inf, np.inf, (OBS,), np.float32), gymnasium.spaces.Discrete(2))
        self.at = 0

    def reset(self):
        return raw[0]

    def step_async(self, actions):
        pass

    def step_wait(self):
        t, self.at = self.at, self.at + 1
        return raw[t + 1], reward[t], done[t].astype(bool), [{} for _ in range(ENVS)]

    def close(self):
        pass

    def get_attr(self, name, indices=None):
        return [None] * ENVS

    def set_attr(self, name, value, indices=None):
        pass

    def env_method(self, name, *args, indices=None, **kwargs):
        pass

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False] * ENVS


def array(name, values, kind="float"):
    words = [str(int(x)) if kind == "uint8_t" else f"{x:.{9 if kind == 'float' else 17}g}" for x in np.ravel(values)]
    lines = [", ".join(words[i:i + 8]) for i in range(0, len(words), 8)]
    print(f"static const {kind} {name}[] = {{\n    " + ",\n    ".join(lines) + ",\n};")


env = VecNormalize(Script(), clip_obs=CLIP_OBS, clip_reward=CLIP_REWARD, gamma=GAMMA)
obs, rewards = [env.reset()], []
for _ in range(STEPS):
    o, r, _, _ = env.step(np.zeros(ENVS))
    obs.append(o)
    rewards.append(r)
assert (np.abs(obs) == CLIP_OBS).any() and (np.abs(rewards) == np.float32(CLIP_REWARD)).any(), "nothing was clipped"

print(f"""// Written by record_normaliser.py with Stable-Baselines3 {stable_baselines3.__version__}; do not edit.
#ifndef MANTA_TESTS_ROLLOUT_NORMALISER_H
#define MANTA_TESTS_ROLLOUT_NORMALISER_H

#include <stdint.h>

enum {{ SCRIPT_STEPS = {STEPS}, SCRIPT_ENVS = {ENVS}, SCRIPT_OBS = {OBS} }};
static const double script_gamma = {GAMMA}, script_clip_obs = {CLIP_OBS}, script_clip_reward = {CLIP_REWARD};

// what the environments give: (STEPS + 1, ENVS, OBS), (STEPS, ENVS), (STEPS, ENVS)""")
array("script_obs", raw)
array("script_reward", reward)
array("script_done", done, "uint8_t")
print("\n// what VecNormalize makes of it, and its statistics after the last step")
array("normal_obs", obs)
array("normal_reward", rewards)
array("obs_rms_mean", env.obs_rms.mean, "double")
array("obs_rms_var", env.obs_rms.var, "double")
print(f"static const double obs_rms_count = {env.obs_rms.count:.17g};")
print(f"static const double ret_rms_mean = {env.ret_rms.mean:.17g}, ret_rms_var = {env.ret_rms.var:.17g}, ret_rms_count = {env.ret_rms.count:.17g};")
print("\n#endif")
