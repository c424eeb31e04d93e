"""How often Stable-Baselines3's PPO solves MountainCarContinuous-v0 with RL Baselines3 Zoo's preset.

Trains 20,000 steps for each seed and evaluates the last weights over 20 episodes with the most
probable action (bench/learning/run.sh takes 100 for manta). About 30 s a seed; appends a line a seed,
env,seed,mean,std, to --csv.
"""

import argparse

import peer


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-seed", type=int, default=1, help="(default 1)")
    parser.add_argument("--seeds", type=int, default=10, help="how many (default 10)")
    parser.add_argument("--steps", type=int, default=20_000, help="(default 20000, the zoo's)")
    parser.add_argument("--csv", default="bench/learning/results-sb3.csv", help="appended to (default %(default)s)")
    return parser.parse_args()


options = parse_options()  # before the slow imports
with peer.imports():
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize

ENV = "MountainCarContinuous-v0"
GAMMA = 0.9999
SOLVED = 80  # mean return
PACKAGES = ["stable-baselines3", "torch", "gymnasium", "numpy"]


def train(seed):
    env = VecNormalize(make_vec_env(ENV, n_envs=1, seed=seed), gamma=GAMMA)
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=8,
        batch_size=256,
        gamma=GAMMA,
        gae_lambda=0.9,
        n_epochs=10,
        learning_rate=7.77e-5,
        clip_range=0.1,
        ent_coef=0.00429,
        vf_coef=0.19,
        max_grad_norm=5,
        use_sde=True,
        policy_kwargs={"log_std_init": -3.29, "ortho_init": False},
        seed=seed,
        device="cpu",
    )
    return model.learn(options.steps), env


def evaluate(model, trained_in, seed):
    env = VecNormalize(make_vec_env(ENV, n_envs=1, seed=1000 + seed), training=False, norm_reward=False)
    env.obs_rms = trained_in.obs_rms
    return evaluate_policy(model, env, n_eval_episodes=20, deterministic=True)


torch.set_num_threads(1)
means = []
for seed in range(options.first_seed, options.first_seed + options.seeds):
    mean, std = evaluate(*train(seed), seed)
    means.append(float(mean))
    with open(options.csv, "a") as file:
        file.write(f"{ENV},{seed},{mean:.2f},{std:.2f}\n")
peer.report(
    row="ppo-mountain-car-continuous-solved",
    peer="Stable-Baselines3",
    what=f"PPO {ENV}, the zoo's preset, {options.steps} steps: seeds of {options.seeds} with a mean of {SOLVED}",
    unit="seeds",
    samples=[sum(mean >= SOLVED for mean in means)],
    packages=PACKAGES,
    settings={"means": means, "first_seed": options.first_seed, "threads": 1},
)
