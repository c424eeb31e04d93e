"""PPO on CartPole-v1 over OpenMPI ranks, with PyTorch and mpi4py: training speed in steps/s.

    mpirun -n 2 python mpi_ppo.py

In the manner of Spinning Up's PPO: every rank steps its share of the environments, gradients are
averaged with MPI's Allreduce, every rank takes the same optimiser step. Two settings:

  spinningup  4,000 steps in total, then 80 policy and 80 value iterations on the full batch
  minibatch   8 environments x 256 steps in total, minibatch 64 in total, 10 epochs, one Adam
"""

import argparse
import collections
import itertools
import sys

import peer


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--setting", choices=["spinningup", "minibatch"], default="spinningup", help="(default spinningup)"
    )
    parser.add_argument("--seconds", type=float, default=15, help="measured time (default 15)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of each rank (default 1)")
    parser.add_argument("--target-kl", type=float, help="spinningup: stop policy iterations at 1.5x this (default off)")
    parser.add_argument("--seed", type=int, default=1, help="(default 1)")
    return parser.parse_args()


options = parse_options()  # before the slow imports: --help answers at once, and without them
with peer.imports():
    import gymnasium
    import numpy as np
    import torch
    from mpi4py import MPI

comm = MPI.COMM_WORLD
CLIP = 0.2
Batch = collections.namedtuple("Batch", "obs action logp advantage value_target")  # tensors of (N, ...)


class Nets:
    """Separate policy and value nets, equal on all ranks."""

    def __init__(self, obs_size, actions):
        self.policy, self.value = mlp(obs_size, 64, 64, actions), mlp(obs_size, 64, 64, 1)
        self.parameters = [*self.policy.parameters(), *self.value.parameters()]
        for parameter in self.parameters:
            comm.Bcast(parameter.data.numpy())

    def distribution(self, obs):
        return torch.distributions.Categorical(logits=self.policy(obs), validate_args=False)

    def policy_loss(self, batch, advantage):
        ratio = torch.exp(self.distribution(batch.obs).log_prob(batch.action) - batch.logp)
        clipped = torch.clamp(ratio, 1 - CLIP, 1 + CLIP)
        return -torch.min(ratio * advantage, clipped * advantage).mean(), ratio

    def value_loss(self, batch):
        return ((self.value(batch.obs).squeeze(-1) - batch.value_target) ** 2).mean()


def mlp(*sizes):
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


class Sampler:
    """This rank's environments; collect() gives one batch of n_steps from each."""

    def __init__(self, nets, n_envs, n_steps, gamma, lam):
        self.nets, self.n_steps, self.gamma, self.lam = nets, n_steps, gamma, lam
        self.envs = [gymnasium.make("CartPole-v1") for _ in range(n_envs)]
        first = options.seed + 10_000 * comm.rank
        self.obs = np.stack([env.reset(seed=first + i)[0] for i, env in enumerate(self.envs)])
        self.running = np.zeros(n_envs)
        self.returns = collections.deque(maxlen=100)

    @torch.no_grad()
    def collect(self):
        shape = self.n_steps, len(self.envs)
        obs, action = np.zeros((*shape, 4), np.float32), np.zeros(shape, np.int64)
        logp, value, reward, done = np.zeros((4, *shape), np.float32)

        for t in range(self.n_steps):
            obs[t] = self.obs
            seen = torch.from_numpy(obs[t])
            distribution = self.nets.distribution(seen)
            chosen = distribution.sample()
            action[t], logp[t] = chosen.numpy(), distribution.log_prob(chosen).numpy()
            value[t] = self.nets.value(seen).squeeze(-1).numpy()
            for i, env in enumerate(self.envs):
                reward[t, i], done[t, i] = self.step(i, env, int(action[t, i]))

        last_value = self.nets.value(torch.from_numpy(self.obs)).squeeze(-1).numpy()
        advantage = generalised_advantage(reward, value, done, last_value, self.gamma, self.lam)
        fields = action, logp, advantage, advantage + value
        return Batch(torch.from_numpy(obs).flatten(0, 1), *(torch.from_numpy(field).flatten() for field in fields))

    def step(self, i, env, action):
        """One step with reset; a truncated episode's reward carries the value of its last state."""
        obs, reward, terminated, truncated, _ = env.step(action)
        self.running[i] += reward
        if truncated and not terminated:
            reward += self.gamma * self.nets.value(torch.from_numpy(obs)).item()
        if terminated or truncated:
            self.returns.append(self.running[i])
            self.running[i] = 0
            obs, _ = env.reset()
        self.obs[i] = obs
        return reward, terminated or truncated


def generalised_advantage(reward, value, done, last_value, gamma, lam):
    advantage, next_advantage, next_value = np.zeros_like(reward), np.zeros_like(last_value), last_value
    for t in reversed(range(len(reward))):
        going_on = 1 - done[t]
        delta = reward[t] + gamma * next_value * going_on - value[t]
        advantage[t] = next_advantage = delta + gamma * lam * going_on * next_advantage
        next_value = value[t]
    return advantage


def average(values):
    """The mean over ranks of a float array, in place."""
    if comm.size > 1:
        comm.Allreduce(MPI.IN_PLACE, values)
        values /= comm.size
    return values


def average_gradients(parameters):
    """One Allreduce for all of them (Spinning Up makes one for each: slower)."""
    flat = torch.cat([parameter.grad.view(-1) for parameter in parameters])
    average(flat.numpy())
    for parameter, mean in zip(parameters, flat.split([parameter.numel() for parameter in parameters])):
        parameter.grad.copy_(mean.view_as(parameter))


def minimise(loss, optimiser, parameters, max_grad_norm=None):
    optimiser.zero_grad()
    loss.backward()
    if comm.size > 1:
        average_gradients(parameters)
    if max_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm)
    optimiser.step()


class SpinningUp:
    """Full-batch iterations: first the policy's, then the value's."""

    row = "ppo-cartpole-4000-80x80"
    what = "4,000 steps, 80 policy + 80 value full-batch iterations"
    total_steps, total_envs, iterations = 4000, comm.size, 80  # one environment a rank
    gamma, lam = 0.99, 0.97
    settings = {"steps": total_steps, "policy_iterations": iterations, "value_iterations": iterations}

    def __init__(self, nets):
        self.nets = nets
        self.policy_parameters, self.value_parameters = list(nets.policy.parameters()), list(nets.value.parameters())
        self.policy_adam = torch.optim.Adam(self.policy_parameters, lr=3e-4)
        self.value_adam = torch.optim.Adam(self.value_parameters, lr=1e-3)

    def update(self, batch):
        mean, square = average(np.array([batch.advantage.mean(), (batch.advantage**2).mean()], np.float64))
        advantage = (batch.advantage - float(mean)) / (float(square - mean**2) ** 0.5 + 1e-8)
        for _ in range(self.iterations):
            loss, ratio = self.nets.policy_loss(batch, advantage)
            if options.target_kl is not None:
                kl = average(np.array([-torch.log(ratio.detach()).mean()], np.float64))[0]
                if kl > 1.5 * options.target_kl:
                    break
            minimise(loss, self.policy_adam, self.policy_parameters)
        for _ in range(self.iterations):
            minimise(self.nets.value_loss(batch), self.value_adam, self.value_parameters)


class Minibatch:
    """Epochs of shuffled minibatches, policy and value in one loss, as Stable-Baselines3 has them."""

    row = "ppo-cartpole-8x256"
    what = "8 environments x 256 steps, minibatch 64, 10 epochs"
    total_steps, total_envs, batch_size, epochs = 8 * 256, 8, 64, 10
    gamma, lam = 0.99, 0.95
    settings = {"n_envs": total_envs, "n_steps": 256, "batch_size": batch_size, "n_epochs": epochs}

    def __init__(self, nets):
        self.nets = nets
        self.adam = torch.optim.Adam(nets.parameters, lr=3e-4, eps=1e-5)

    def update(self, batch):
        for _ in range(self.epochs):
            for rows in torch.randperm(len(batch.obs)).split(self.batch_size // comm.size):
                part = Batch(*(field[rows] for field in batch))
                advantage = (part.advantage - part.advantage.mean()) / (part.advantage.std() + 1e-8)
                loss = self.nets.policy_loss(part, advantage)[0] + 0.5 * self.nets.value_loss(part)
                minimise(loss, self.adam, self.nets.parameters, max_grad_norm=0.5)


def main():
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed + 10_000 * comm.rank)
    setting = {"spinningup": SpinningUp, "minibatch": Minibatch}[options.setting]
    if setting.total_envs % comm.size or setting.total_steps % comm.size:
        share = f"{setting.total_steps} steps of {setting.total_envs} environments"
        sys.exit(f"mpi_ppo.py: {comm.size} ranks cannot share {share} evenly; try 2 or 4" if comm.rank == 0 else 1)

    nets = Nets(obs_size=4, actions=2)
    learner = setting(nets)
    sampler = Sampler(
        nets,
        n_envs=setting.total_envs // comm.size,
        n_steps=setting.total_steps // setting.total_envs,
        gamma=setting.gamma,
        lam=setting.lam,
    )

    def work():
        learner.update(sampler.collect())
        return setting.total_steps

    work()  # warm-up
    comm.Barrier()
    samples = peer.rates(work, options.seconds, agree=comm.bcast)
    if comm.rank == 0:
        peer.report(
            row=setting.row,
            peer="PyTorch + mpi4py",
            what=f"PPO CartPole-v1 over {comm.size} MPI ranks, {setting.what}, separate 2x64: training",
            unit="steps/s",
            samples=samples,
            packages=["torch", "mpi4py", "gymnasium", "numpy"],
            settings=setting.settings
            | {
                "ranks": comm.size,
                "threads": torch.get_num_threads(),
                "target_kl": options.target_kl,
                "seed": options.seed,
                "mean_return": round(float(np.mean(sampler.returns)), 1),
                "mpi": MPI.Get_library_version().split(",")[0],
            },
        )


main()
