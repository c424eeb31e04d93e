#!/usr/bin/env python3
"""Records trajectories of Gymnasium's classic-control environments for the parity tests.

    python3 record.py --out tests/rollout/data            # the files in the tree
    python3 record.py --out DIR --episodes 100 --seed 7   # others, as the live parity test does

One file an environment, NAME.traj, little-endian, read by tests/rollout/trajectory.c:

    char     magic[8]         "MTTRAJ1\\0"
    char     id[40]           "CartPole-v1", zero-padded
    uint32   obs_count, state_count, action_bytes (1: discrete, uint8; 4: one float32), episode_count
    then for each episode
      uint32   steps, zero
      float64  initial state (state_count)
      float32  first observation (obs_count)
      float32  observation after each step (steps, obs_count); the last is the episode's final one
      float32  reward (steps)
      action   (steps) of action_bytes
      uint8    flags (steps): 1 terminated, 2 truncated
      zeros up to a multiple of 8 bytes

The policies are chosen so that the episodes see much of each state space: random ones, clumsy controllers, and actions
beyond the bounds where the environment clips them. Discrete actions reach Gymnasium as int64, others as float32 arrays.
"""

import argparse
import pathlib
import struct
import sys


def cartpole(rng, kind, obs, step):
    balance = int(3 * obs[2] + obs[3] + 0.1 * obs[0] + 0.3 * obs[1] > 0)
    return balance if rng.random() < (0.0, 0.5, 0.75, 0.9)[kind] else int(rng.integers(2))


def mountain_car(rng, kind, obs, step):
    pump = 2 if obs[1] >= 0 else 0
    return pump if rng.random() < (0.0, 0.4, 0.7, 0.97)[kind] else int(rng.integers(3))


def mountain_car_continuous(rng, kind, obs, step):
    pump = 1.0 if obs[1] >= 0 else -1.0
    return (rng.normal(), 0.6 * pump + 0.5 * rng.normal(), 1.5 * pump, pump * rng.random())[kind]


def pendulum(rng, kind, obs, step):
    pump = 2.0 if obs[2] >= 0 else -2.0
    hold = -10 * obs[1] - 2 * obs[2] if obs[0] > 0.9 else pump
    return (rng.uniform(-2, 2), 3 * rng.normal(), hold, 0.3 * pump + rng.normal())[kind]


def acrobot(rng, kind, obs, step):
    pump = 2 if obs[5] >= 0 else 0
    return pump if rng.random() < (0.0, 0.7, 0.85, 0.97)[kind] else int(rng.integers(3))


ENVIRONMENTS = {
    "cartpole": ("CartPole-v1", cartpole, 1),
    "mountain_car": ("MountainCar-v0", mountain_car, 1),
    "mountain_car_continuous": ("MountainCarContinuous-v0", mountain_car_continuous, 4),
    "pendulum": ("Pendulum-v1", pendulum, 4),
    "acrobot": ("Acrobot-v1", acrobot, 1),
}


def play(env, policy, discrete, kind, rng, seed):
    first, _ = env.reset(seed=seed)
    state = np.array(env.unwrapped.state, dtype=np.float64)
    obs, observations, rewards, actions, flags = first, [], [], [], []
    while not (flags and flags[-1]):
        action = policy(rng, kind, obs, len(flags))
        action = int(action) if discrete else np.array([action], dtype=np.float32)
        obs, reward, terminated, truncated, _ = env.step(action)
        observations.append(obs)
        rewards.append(reward)
        actions.append(action if discrete else action[0])
        flags.append(int(terminated) + 2 * int(truncated))
    body = struct.pack("<II", len(flags), 0)
    body += state.astype("<f8").tobytes()
    body += np.asarray(first, dtype="<f4").tobytes()
    body += np.asarray(observations, dtype="<f4").tobytes()
    body += np.asarray(rewards, dtype="<f4").tobytes()
    body += np.asarray(actions, dtype="u1" if discrete else "<f4").tobytes()
    body += np.asarray(flags, dtype="u1").tobytes()
    return body + bytes(-len(body) % 8), len(state), len(first)


def record(name, episodes, seed, out):
    env_id, policy, action_bytes = ENVIRONMENTS[name]
    env = gymnasium.make(env_id)
    bodies = []
    for episode in range(episodes):
        rng = np.random.default_rng([seed, episode])
        body, states, columns = play(env, policy, action_bytes == 1, episode % 4, rng, 1000 * seed + episode)
        bodies.append(body)
    header = b"MTTRAJ1\0" + env_id.encode().ljust(40, b"\0") + struct.pack("<4I", columns, states, action_bytes, episodes)
    path = out / f"{name}.traj"
    path.write_bytes(header + b"".join(bodies))
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to write to")
    parser.add_argument("--episodes", type=int, default=100, help="of each environment (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="(default 1)")
    parser.add_argument("--envs", nargs="+", choices=ENVIRONMENTS, default=list(ENVIRONMENTS), metavar="NAME")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"gymnasium {gymnasium.__version__}, numpy {np.__version__}")
    for name in options.envs:
        path = record(name, options.episodes, options.seed, options.out)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    try:
        import gymnasium
        import numpy as np
    except ImportError as error:
        sys.exit(f"record.py needs gymnasium and numpy: {error}")
    main()
