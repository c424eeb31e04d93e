"""Stable-Baselines3's PPO on CartPole-v1: training speed, or the time to a mean return.

Without --until: steps/s of learn() at 8 environments x 256 steps, minibatch 64, 10 epochs, two
separate 2x64 tanh nets, after a warm-up. With --until 475: RL Baselines3 Zoo's preset to that mean
over the last 100 episodes, in seconds since the interpreter's start.
"""

import argparse

import peer


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", type=float, metavar="RETURN", help="train to this mean return, e.g. 475")
    parser.add_argument("--seconds", type=float, default=15, help="measured time without --until (default 15)")
    parser.add_argument(
        "--limit", type=float, default=120, help="give up --until after this many seconds (default 120)"
    )
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1; 0: torch's own choice)")
    parser.add_argument("--seed", type=int, default=1, help="(default 1)")
    return parser.parse_args()


options = parse_options()  # before the slow imports: --help answers at once, and without them
with peer.imports():
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

PACKAGES = ["stable-baselines3", "torch", "gymnasium", "numpy"]
NETS = {"net_arch": {"pi": [64, 64], "vf": [64, 64]}, "activation_fn": torch.nn.Tanh}
ENVS = 8


def make_model(**hyperparameters):
    env = make_vec_env("CartPole-v1", n_envs=ENVS, seed=options.seed)
    return PPO("MlpPolicy", env, policy_kwargs=NETS, device="cpu", seed=options.seed, **hyperparameters)


def settings(**more):
    return {"n_envs": ENVS, "threads": torch.get_num_threads(), "seed": options.seed} | more


def throughput():
    model = make_model(n_steps=256, batch_size=64, n_epochs=10)
    rollout_steps = ENVS * 256

    def work():
        model.learn(rollout_steps, reset_num_timesteps=False)
        return rollout_steps

    work()  # warm-up
    peer.report(
        row="ppo-cartpole-8x256",
        peer="Stable-Baselines3",
        what="PPO CartPole-v1, 8 environments x 256 steps, minibatch 64, 10 epochs, separate 2x64: training",
        unit="steps/s",
        samples=peer.rates(work, options.seconds),
        packages=PACKAGES,
        settings=settings(n_steps=256, batch_size=64, n_epochs=10),
    )


class StopAt(BaseCallback):
    """Ends training once the last 100 episodes' mean is reached, or the time is up."""

    def __init__(self, target, limit_s):
        super().__init__()
        self.target, self.limit_s = target, limit_s
        self.reached_s, self.mean, self.steps, self.stop = None, None, 0, False

    def _on_rollout_end(self):
        now_s, episodes = peer.process_age_s(), self.model.ep_info_buffer
        self.steps = self.num_timesteps
        self.mean = sum(episode["r"] for episode in episodes) / max(len(episodes), 1)
        if len(episodes) == 100 and self.mean >= self.target:
            self.reached_s = now_s
        self.stop = self.reached_s is not None or now_s >= self.limit_s

    def _on_step(self):
        return not self.stop  # the one callback whose answer ends training


def time_to_return():
    total_steps = 100_000  # the zoo's; the two schedules fall to zero over them
    model = make_model(
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        ent_coef=0.0,
        learning_rate=lambda remaining: 0.001 * remaining,
        clip_range=lambda remaining: 0.2 * remaining,
    )
    stop = StopAt(options.until, options.limit)
    model.learn(total_steps, callback=stop)
    peer.report(
        row="ppo-cartpole-until",
        peer="Stable-Baselines3",
        what=f"PPO CartPole-v1, the zoo's preset, to a mean of {options.until:g} over 100 episodes, start included",
        unit="s",
        samples=[] if stop.reached_s is None else [stop.reached_s],
        packages=PACKAGES,
        settings=settings(preset="zoo", total_steps=total_steps, steps=stop.steps, mean=round(stop.mean, 2)),
    )


if options.threads > 0:
    torch.set_num_threads(options.threads)
if options.until is None:
    throughput()
else:
    time_to_return()
