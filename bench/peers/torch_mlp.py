"""Small nets in PyTorch on one core: forward in rows/s, forward + backward in GFLOP/s.

Three JSON lines: a 4-64-64-2 tanh net's forward, then one dense tanh layer's forward and backward
(gradients of weights, bias and input: 6 x rows x inputs x outputs operations) at 64x64 and 256x256.
"""

import argparse

import peer


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="measured time of each line (default 4)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    parser.add_argument("--rows", type=int, default=64, help="rows of a batch (default 64)")
    parser.add_argument("--seed", type=int, default=1, help="(default 1)")
    return parser.parse_args()


options = parse_options()  # before the slow imports: --help answers at once, and without them
with peer.imports():
    import torch
    from torch.nn import Linear, Sequential, Tanh


def report(row, what, unit, work, scale=1):
    peer.rates(work, seconds=0.2, samples=1)  # warm-up
    peer.report(
        row=row,
        peer="PyTorch",
        what=f"{what}, {options.rows} rows",
        unit=unit,
        samples=[rate * scale for rate in peer.rates(work, options.seconds)],
        packages=["torch"],
        settings={"rows": options.rows, "threads": torch.get_num_threads(), "seed": options.seed},
    )


def forward():
    net = Sequential(Linear(4, 64), Tanh(), Linear(64, 64), Tanh(), Linear(64, 2))
    obs = torch.randn(options.rows, 4)

    @torch.inference_mode()
    def work():
        for _ in range(100):
            net(obs)
        return 100 * options.rows

    report("mlp-forward", "4-64-64-2 tanh forward", "rows/s", work)


def forward_backward(size):
    layer = Sequential(Linear(size, size), Tanh())
    inputs = torch.randn(options.rows, size, requires_grad=True)
    gradient = torch.randn(options.rows, size)

    def work():
        for _ in range(100):
            layer.zero_grad()
            inputs.grad = None
            layer(inputs).backward(gradient)
        return 100 * 6 * options.rows * size * size

    report(f"dense-{size}", f"{size}x{size} tanh forward + backward", "GFLOP/s", work, scale=1e-9)


torch.manual_seed(options.seed)
torch.set_num_threads(options.threads)
forward()
forward_backward(64)
forward_backward(256)
