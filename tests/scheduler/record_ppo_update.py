#!/usr/bin/env python3
"""Records PPO updates by Stable-Baselines3's own PPO.train as data/ppo_update.h, for test_learner.c.

    python3 record_ppo_update.py > data/ppo_update.h      # needs torch and stable_baselines3

The rollout buffer is filled with numbers made here, in minibatches of all rows, so that the order of rows does not matter.
"""
import gymnasium
import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger

STEPS, ENVS, OBS, EPOCHS = 6, 4, 4, 4


class Space(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBS,), np.float32)

    def __init__(self, action_space):
        self.action_space = action_space


def numbers(values):
    def one(x):
        text = f"{float(np.float32(x)):.9g}"
        return (text if "." in text or "e" in text else text + ".0") + "f"
    words, lines, line = [one(x) + "," for x in np.asarray(values, np.float32).ravel()], [], "   "
    for word in words:
        if len(line) + len(word) > 120:
            lines.append(line)
            line = "   "
        line += " " + word
    return "\n".join(lines + [line])


def array(name, values, kind="float"):
    body = numbers(values) if kind == "float" else "    " + ", ".join(str(int(x)) for x in np.ravel(values)) + ","
    print(f"static const {kind} {name}[] = {{\n{body}\n}};")


def record(name, action_space, seed, clip_range_vf, max_grad_norm):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    env = stable_baselines3.common.vec_env.DummyVecEnv([lambda: Space(action_space)] * ENVS)
    arguments = dict(learning_rate=0.003, n_steps=STEPS, batch_size=STEPS * ENVS, n_epochs=EPOCHS, clip_range=0.2,
        clip_range_vf=clip_range_vf, ent_coef=0.02, vf_coef=0.6, max_grad_norm=max_grad_norm)
    model = PPO("MlpPolicy", env, policy_kwargs=dict(net_arch=dict(pi=[8, 8], vf=[8, 8])), device="cpu", seed=seed, **arguments)
    with torch.no_grad():
        for p in model.policy.parameters():
            p += 0.2 * torch.randn_like(p)
    before = {n: p.detach().numpy().copy() for n, p in model.policy.named_parameters()}

    buffer = model.rollout_buffer
    box = isinstance(action_space, gymnasium.spaces.Box)
    obs = rng.normal(size=(STEPS, ENVS, OBS)).astype(np.float32)
    actions = rng.normal(size=(STEPS, ENVS, 2)) if box else rng.integers(0, action_space.n, (STEPS, ENVS, 1))
    buffer.reset()
    buffer.observations[:], buffer.actions[:] = obs, actions
    with torch.no_grad():
        flat = torch.as_tensor(np.asarray(actions, np.float32).reshape(STEPS * ENVS, -1))
        _, log_prob, _ = model.policy.evaluate_actions(torch.as_tensor(obs.reshape(-1, OBS)), flat if box else flat.long().flatten())
    buffer.log_probs[:] = log_prob.numpy().reshape(STEPS, ENVS) + 0.15 * rng.normal(size=(STEPS, ENVS))
    buffer.values[:] = rng.normal(size=(STEPS, ENVS))
    buffer.advantages[:] = 3 + 2 * rng.normal(size=(STEPS, ENVS))
    buffer.returns[:] = buffer.values + rng.normal(size=(STEPS, ENVS))
    buffer.pos, buffer.full = STEPS, True
    segment = {"obs": obs, "log_prob": buffer.log_probs, "value": buffer.values, "advantage": buffer.advantages,
        "returns": buffer.returns}
    segment = {k: v.copy() for k, v in segment.items()}

    norms, clip = [], torch.nn.utils.clip_grad_norm_
    torch.nn.utils.clip_grad_norm_ = lambda *a, **k: norms.append(clip(*a, **k).item())
    model.set_logger(Logger(None, []))
    model.train()
    torch.nn.utils.clip_grad_norm_ = clip
    assert len(norms) == EPOCHS and (not max_grad_norm < 10 or min(norms) > max_grad_norm), norms
    log = model.logger.name_to_value

    print(f"\n// ---- {name}\n")
    for key, values in segment.items():
        array(f"{name}_{key}", values)
    array(f"{name}_action", actions, "float" if box else "int32_t")
    for key, p in model.policy.named_parameters():
        tag = key.replace(".", "_")
        array(f"{name}_{tag}_before", before[key])
        array(f"{name}_{tag}_after", p.detach().numpy())
    print(f"static const recorded_tensor {name}_tensors[] = {{")
    for key, p in model.policy.named_parameters():
        tag = key.replace(".", "_")
        print(f'    {{"{key}", {p.numel()}, {name}_{tag}_before, {name}_{tag}_after}},')
    print("};")
    loss = log["train/policy_gradient_loss"] + 0.02 * log["train/entropy_loss"] + 0.6 * log["train/value_loss"]
    std = log.get("train/std", float("nan"))
    print(f"static const recorded_update {name}_update = {{")
    print(f"    .obs = {name}_obs, .log_prob = {name}_log_prob, .value = {name}_value, .advantage = {name}_advantage,")
    print(f"    .returns = {name}_returns, .{'action' if box else 'choice'} = {name}_action,")
    print(f"    .tensors = {name}_tensors, .tensor_count = {len(before)},")
    print(f"    .clip_range_vf = {-1 if clip_range_vf is None else clip_range_vf}, .max_grad_norm = {max_grad_norm},")
    print(f"    .policy_loss = {log['train/policy_gradient_loss']:.9g}, .value_loss = {log['train/value_loss']:.9g},")
    print(f"    .entropy = {-log['train/entropy_loss']:.9g}, .approx_kl = {log['train/approx_kl']:.9g},")
    print(f"    .clip_fraction = {log['train/clip_fraction']:.9g}, .loss = {loss:.9g}, .grad_norm = {np.mean(norms):.9g},")
    print(f"    .explained_variance = {log['train/explained_variance']:.9g}, .std = {'NAN' if std != std else f'{std:.9g}'},")
    print("};")


print(f"""// Written by record_ppo_update.py with Stable-Baselines3 {stable_baselines3.__version__} and PyTorch {torch.__version__.split("+")[0]}; do not edit.
#ifndef MANTA_TESTS_SCHEDULER_PPO_UPDATE_H
#define MANTA_TESTS_SCHEDULER_PPO_UPDATE_H

#include <math.h>
#include <stdint.h>

enum {{ RECORDED_STEPS = {STEPS}, RECORDED_ENVS = {ENVS}, RECORDED_OBS = {OBS}, RECORDED_EPOCHS = {EPOCHS} }};

typedef struct recorded_tensor {{
    const char *name;
    int64_t count;
    const float *before, *after;
}} recorded_tensor;

typedef struct recorded_update {{
    const float *obs, *log_prob, *value, *advantage, *returns, *action;
    const int32_t *choice;
    const recorded_tensor *tensors;
    int tensor_count;
    double clip_range_vf, max_grad_norm;
    double policy_loss, value_loss, entropy, approx_kl, clip_fraction, loss, grad_norm, explained_variance, std;
}} recorded_update;""")
record("categorical", gymnasium.spaces.Discrete(3), 1, None, 0.3)
record("gaussian", gymnasium.spaces.Box(-1, 1, (2,), np.float32), 2, 0.3, 0.5)
record("categorical_unclipped", gymnasium.spaces.Discrete(2), 3, None, 1000.0)
print("\n#endif")
