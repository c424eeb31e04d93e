"""CartPole-v1 stepping with auto-reset and random actions: steps/s, one JSON line for each peer.

  numpy          Gymnasium's CartPole vectorised in NumPy (vector_entry_point)
  sync           Gymnasium's SyncVectorEnv
  envpool        EnvPool, every environment in each step
  envpool-async  EnvPool, half of the environments at a time

The actions are drawn beforehand: the figure is the peer's stepping alone. All four reset a finished
environment in a step of its own, which counts as a step.
"""

import argparse
import functools
import os
import sys

import peer

PEERS = ["numpy", "sync", "envpool", "envpool-async"]
SPARE_CORES = max(1, len(os.sched_getaffinity(0)) - 1)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS, metavar="PEER", help="(default all four)")
    parser.add_argument("--envs", type=int, default=4096, help="environments (default 4096)")
    parser.add_argument("--seconds", type=float, default=5, help="measured time of each peer (default 5)")
    parser.add_argument("--threads", type=int, default=SPARE_CORES, help="EnvPool's (default: one core left to Python)")
    parser.add_argument("--seed", type=int, default=1, help="(default 1)")
    return parser.parse_args()


options = parse_options()  # before the slow imports: --help answers at once, and without them
with peer.imports():
    import gymnasium
    import numpy as np

gymnasium.logger.min_level = gymnasium.logger.ERROR  # EnvPool's bounds make it warn about float32


def draw_actions(n):
    return np.random.default_rng(options.seed).integers(2, size=(64, n)).astype(np.int32)


def gymnasium_stepper(mode):
    env = gymnasium.make_vec("CartPole-v1", num_envs=options.envs, vectorization_mode=mode)
    env.reset(seed=options.seed)
    actions, turn = draw_actions(options.envs), 0

    def work():
        nonlocal turn
        env.step(actions[turn % 64])
        turn += 1
        return options.envs

    return work


def make_envpool(**more):
    import envpool

    return envpool.make_gymnasium(
        "CartPole-v1", num_envs=options.envs, num_threads=options.threads, seed=options.seed, **more
    )


def envpool_stepper():
    env = make_envpool()
    env.reset()
    actions, turn = draw_actions(options.envs), 0

    def work():
        nonlocal turn
        env.step(actions[turn % 64])
        turn += 1
        return options.envs

    return work


def envpool_async_stepper():
    batch = max(1, options.envs // 2)
    env = make_envpool(batch_size=batch)
    env.async_reset()
    actions, turn = draw_actions(batch), 0

    def work():
        nonlocal turn
        env.send(actions[turn % 64], env.recv()[4]["env_id"])
        turn += 1
        return batch

    return work


STEPPERS = {
    "numpy": ("Gymnasium, NumPy", functools.partial(gymnasium_stepper, "vector_entry_point"), ["gymnasium", "numpy"]),
    "sync": ("Gymnasium, SyncVectorEnv", functools.partial(gymnasium_stepper, "sync"), ["gymnasium", "numpy"]),
    "envpool": ("EnvPool", envpool_stepper, ["envpool", "gymnasium", "numpy"]),
    "envpool-async": ("EnvPool, asynchronous", envpool_async_stepper, ["envpool", "gymnasium", "numpy"]),
}


def measure(name):
    title, make, packages = STEPPERS[name]
    threads = options.threads if "envpool" in packages else 1
    work = make()
    peer.rates(work, seconds=0.2, samples=1)  # warm-up
    peer.report(
        row=f"cartpole-stepping-{name}",
        peer=title,
        what=f"CartPole-v1 stepping, {options.envs} environments, random actions, auto-reset",
        unit="steps/s",
        samples=peer.rates(work, options.seconds),
        packages=packages,
        settings={"n_envs": options.envs, "threads": threads, "seed": options.seed},
    )


measured = 0
for name in options.peers:
    try:
        measure(name)
        measured += 1
    except ImportError as error:  # EnvPool has no wheels for some machines
        print(f"env_stepping.py: {name} left out: {error}", file=sys.stderr)
if not measured:
    peer.skip("none of the peers is installed")
