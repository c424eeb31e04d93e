"""Recurrent PPO's arithmetic in PyTorch, with the net and the counts of PufferLib's CartPole setting.

4,096 environments x 64 steps, an encoder of 128 and an LSTM of 128 under an actor and a value head (133 k parameters), one
epoch in minibatches of whole sequences. Environments cost nothing here (observations are random, made beforehand), so no
trainer over PyTorch with these counts can be faster. PufferLib itself downloads its parts when it is built, which a machine
without the internet cannot.
"""

import argparse

import peer


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=int, default=4096, help="(default 4096)")
    parser.add_argument("--steps", type=int, default=64, help="of a segment (default 64)")
    parser.add_argument("--minibatches", type=int, default=8, help="of an epoch (default 8)")
    parser.add_argument("--updates", type=int, default=3, help="measured rollouts and updates (default 3)")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (default: all cores)")
    parser.add_argument("--seed", type=int, default=1, help="(default 1)")
    return parser.parse_args()


options = parse_options()  # before the slow imports: --help answers at once, and without them
with peer.imports():
    import torch
    from torch.nn import GELU, LSTM, Linear, Module, Sequential

UNITS = 128


class Net(Module):
    def __init__(self):
        super().__init__()
        self.encoder = Sequential(Linear(4, UNITS), GELU())
        self.lstm = LSTM(UNITS, UNITS)
        self.actor = Linear(UNITS, 2)
        self.value = Linear(UNITS, 1)

    def forward(self, obs, state):
        hidden, state = self.lstm(self.encoder(obs), state)
        return self.actor(hidden), self.value(hidden).squeeze(-1), state


def rollout(net, obs):
    """One segment: (T, N) actions, their log-probabilities, values."""
    state = tuple(torch.zeros(1, options.envs, UNITS) for _ in range(2))
    actions, log_probs, values = [], [], []
    with torch.inference_mode():
        for t in range(options.steps):
            logits, value, state = net(obs[t : t + 1], state)
            distribution = torch.distributions.Categorical(logits=logits[0])
            action = distribution.sample()
            actions.append(action)
            log_probs.append(distribution.log_prob(action))
            values.append(value[0])
    return torch.stack(actions), torch.stack(log_probs), torch.stack(values)


def update(net, optimiser, obs, actions, log_probs, values, advantages):
    """One epoch over minibatches of whole sequences."""
    for envs in torch.randperm(options.envs).chunk(options.minibatches):
        state = tuple(torch.zeros(1, len(envs), UNITS) for _ in range(2))
        logits, value, _ = net(obs[:, envs], state)
        distribution = torch.distributions.Categorical(logits=logits)
        ratio = (distribution.log_prob(actions[:, envs]) - log_probs[:, envs]).exp()
        advantage = advantages[:, envs]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        policy = torch.max(-advantage * ratio, -advantage * ratio.clamp(0.8, 1.2)).mean()
        critic = (value - (values + advantages)[:, envs]).square().mean()
        loss = policy + 0.5 * critic - 0.01 * distribution.entropy().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimiser.step()


torch.manual_seed(options.seed)
if options.threads:
    torch.set_num_threads(options.threads)
net = Net()
optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
obs = torch.randn(options.steps, options.envs, 4)
advantages = torch.randn(options.steps, options.envs)


def work():
    actions, log_probs, values = rollout(net, obs)
    update(net, optimiser, obs, *[x.clone() for x in (actions, log_probs, values)], advantages)
    return options.envs * options.steps


work()  # warm-up
peer.report(
    row="lstm-ppo",
    peer="PyTorch",
    what=f"recurrent PPO without environments, {options.envs} x {options.steps}, LSTM {UNITS}, one epoch",
    unit="steps/s",
    samples=peer.rates(work, seconds=0.001, samples=options.updates),
    packages=["torch"],
    settings={"envs": options.envs, "steps": options.steps, "minibatches": options.minibatches, "threads": torch.get_num_threads(),
              "seed": options.seed},
)
