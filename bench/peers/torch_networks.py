"""Agents' networks in PyTorch on one core: images/s of convolutional networks, steps/s of recurrent layers.

One JSON line for each network, direction and batch:

    nature-forward-B, nature-both-B    the Nature DQN network (84x84x4; 32 8/4, 64 4/2, 64 3/1, 512, heads of 6 and 1)
    impala-forward-B, impala-both-B    the IMPALA paper's residual network (16, 32, 32 channels, 256), the same heads
    lstm-forward-TxN, gru-both-TxN     128 -> 128 units over T steps of N sequences

"both" is forward and backward to all parameters; the image's own gradient is not wanted. Images are measured in PyTorch's own
memory order and channels-last, and the faster one is reported. The clock is the process's CPU time, as manta's side counts
(bench/bench.h): a neighbour on the machine counts for neither.
"""

import argparse
import time

import peer


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1, help="measured time of each line (default 1)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    parser.add_argument("--only", default="", help="rows whose name begins so")
    parser.add_argument("--largest", type=int, default=1024, help="batch of images (default 1024)")
    parser.add_argument("--seed", type=int, default=1, help="(default 1)")
    return parser.parse_args()


options = parse_options()  # before the slow imports: --help answers at once, and without them
with peer.imports():
    import re

    import torch
    from torch import nn

BATCHES = [2**i for i in range(11) if 2**i <= options.largest]
SEQUENCES = ((1, 1), (1, 64), (1, 1024), (16, 1), (16, 8), (16, 64), (16, 1024), (128, 1), (128, 8), (128, 64))
UNITS = 128


def nature():
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
    ), 512


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.second(torch.relu(self.first(torch.relu(x))))


def impala():
    layers, channels = [], 4
    for out in (16, 32, 32):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.MaxPool2d(3, 2, 1), Residual(out), Residual(out)]
        channels = out
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(32 * 11 * 11, 256), nn.ReLU()), 256


class Agent(nn.Module):
    def __init__(self, body, features):
        super().__init__()
        self.body, self.policy, self.value = body, nn.Linear(features, 6), nn.Linear(features, 1)

    def forward(self, x):
        hidden = self.body(x)
        return self.policy(hidden), self.value(hidden)


def rates(work, seconds, samples=5):
    """peer.rates by CPU time."""
    measured = []
    for _ in range(samples):
        done, start, elapsed_s = 0, time.process_time(), 0
        while elapsed_s < seconds / samples:
            done += work()
            elapsed_s = time.process_time() - start
        measured.append(done / elapsed_s)
    return measured


def report(row, what, unit, works):
    """The fastest of `works`, name -> function that does `what` once and returns how much it was."""
    if not row.startswith(options.only):
        return
    best, name = [], ""
    for candidate, work in works.items():
        rates(work, seconds=0.1, samples=1)  # warm-up
        samples = rates(work, options.seconds / len(works))
        if not best or sorted(samples)[2] > sorted(best)[2]:
            best, name = samples, candidate
    # "..., oneDNN v3.12.0 (...)" of torch.__config__
    onednn = re.search(r"MKL-DNN (v[0-9.]+)", torch.__config__.show())
    peer.report(
        row=row,
        peer="PyTorch",
        what=what,
        unit=unit,
        samples=best,
        packages=["torch"],
        settings={
            "threads": torch.get_num_threads(),
            "clock": "cpu",
            "seed": options.seed,
            "memory": name,
            "onednn": onednn.group(1) if onednn else None,
            "capability": torch.backends.cpu.get_cpu_capability(),
        },
    )


def images(name, title, make, batches):
    for batch in batches:
        forwards, boths = {}, {}
        for order, memory in (("NCHW", torch.contiguous_format), ("channels-last", torch.channels_last)):
            net = Agent(*make()).to(memory_format=memory)
            x = torch.rand(batch, 4, 84, 84).to(memory_format=memory)
            d_policy, d_value = torch.randn(batch, 6), torch.randn(batch, 1)

            @torch.inference_mode()
            def forward(net=net, x=x):
                net(x)
                return batch

            def both(net=net, x=x, gradients=(d_policy, d_value)):
                net.zero_grad()
                torch.autograd.backward(net(x), gradients)
                return batch

            forwards[order], boths[order] = forward, both
        report(f"{name}-forward-{batch}", f"{title} forward, {batch} images", "images/s", forwards)
        report(f"{name}-both-{batch}", f"{title} forward+backward, {batch} images", "images/s", boths)


def sequences(name, make):
    for steps, envs in SEQUENCES:
        net = make(UNITS, UNITS)
        x = torch.randn(steps, envs, UNITS, requires_grad=True)
        gradient = torch.randn(steps, envs, UNITS)

        @torch.inference_mode()
        def forward(net=net, x=x):
            net(x)
            return x.shape[0] * x.shape[1]

        def both(net=net, x=x, gradient=gradient):
            net.zero_grad()
            x.grad = None
            net(x)[0].backward(gradient)
            return x.shape[0] * x.shape[1]

        title = f"{name.upper()} {UNITS}"
        report(f"{name}-forward-{steps}x{envs}", f"{title} forward, {steps} x {envs}", "steps/s", {"": forward})
        report(f"{name}-both-{steps}x{envs}", f"{title} forward+backward, {steps} x {envs}", "steps/s", {"": both})


torch.manual_seed(options.seed)
torch.set_num_threads(options.threads)
images("nature", "Nature CNN", nature, BATCHES)
images("impala", "IMPALA CNN", impala, BATCHES)
sequences("lstm", nn.LSTM)
sequences("gru", nn.GRU)
