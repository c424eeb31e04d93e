"""manta's policies and PyTorch's: the same weights give the same outputs and the same gradients, both ways.

    parity_torch.py check PROGRAM    weights made by PyTorch into manta, and manta's into PyTorch with strict names
    parity_torch.py record FOLDER    the files that test_parity.c checks where there is no PyTorch

Exit 77: no PyTorch. Any version will do for `check`; data/ was recorded with torch 2.13.0."""
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy
    import torch
    from safetensors.numpy import load_file, save_file
except ImportError as missing:
    print(f"skipped: {missing}; bash bench/peers/setup.sh installs PyTorch, or name a Python that has it in MANTA_TORCH_PYTHON")
    sys.exit(77)

from parity_cases import CASES, LAYER_CASES
from parity_nets import Policy, state_size

LARGE = 4000   # more parameters are not recorded but drawn


def draw(name, scale, shape):
    """parity_draw of parity.c"""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    with numpy.errstate(over="ignore"):
        z = (numpy.arange(int(numpy.prod(shape)), dtype=numpy.uint64) + numpy.uint64(seed << 32)) * numpy.uint64(0x9e3779b97f4a7c15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xbf58476d1ce4e5b9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94d049bb133111eb)
    z ^= z >> numpy.uint64(31)
    unit = (z >> numpy.uint64(40)).astype("float64") / 2**23 - 1
    return (scale * unit).astype("float32").reshape(shape)


def draw_weights(policy):
    with torch.no_grad():
        for name, p in policy.named_parameters():
            scale = (3 * p.shape[0] / p.numel())**0.5 if p.ndim > 1 else 0.1
            p.copy_(torch.from_numpy(draw(name, scale, tuple(p.shape))))


def shake_weights(policy):
    """away from the layers' defaults: gains of one, biases of zero"""
    with torch.no_grad():
        for p in policy.parameters():
            p += (0.2 * p.std() if p.ndim > 1 else 0.1) * torch.randn_like(p)


def observations(desc, rows):
    if not desc.get("inputs"):
        return torch.randn(rows, desc["obs"])
    makers = {"vector": lambda one: torch.randn(rows, one["width"]), "image": lambda one: torch.rand(rows, one["width"]),
              "index": lambda one: torch.randint(one["entries"], (rows, 1)).float()}
    return torch.cat([makers[one["kind"]](one) for one in desc["inputs"]], 1)


def given(policy, desc):
    """What both sides are given: observations, episodes that start, states, the gradients of the outputs"""
    state = sum(state_size(m) for m in policy.modules() if isinstance(m, (torch.nn.LSTM, torch.nn.GRU)))
    steps, envs = (3, 2) if any(one["kind"] == "image" for one in desc.get("inputs", ())) else (6, 3)   # images are large files
    rows, width = steps * envs if state else envs, sum(desc["nvec"]) if "nvec" in desc else desc["action"]
    x = {"in.obs": observations(desc, rows), "in.d_head": torch.randn(rows, width), "in.d_value": torch.randn(rows)}
    if state:
        start = torch.zeros(steps, envs, dtype=torch.uint8)
        start[0, 1] = start[1, 0] = start[2, 0] = start[steps - 1, envs - 1] = 1
        x["in.start"], x["in.state"] = start, 0.5 * torch.randn(envs, state)
    if "action" in desc:
        x["in.d_log_std"] = torch.randn(rows, width) if desc["distribution"] == "gsde" else torch.randn(width)
    return x


def answers(policy, x):
    """outputs, and the gradients of all parameters"""
    policy.zero_grad()
    head, value, log_std, state = policy(x["in.obs"], x.get("in.start"), x.get("in.state"))
    loss = (head * x["in.d_head"]).sum() + (value * x["in.d_value"]).sum()
    if log_std is not None:
        loss = loss + (log_std * x["in.d_log_std"]).sum()
    loss.backward()
    out = {"out.head": head, "out.value": value}
    if state is not None:
        out["out.state"] = state
    if log_std is not None and log_std.ndim == 2:
        out["out.log_std"] = log_std
    return {**out, **{f"grad.{name}": p.grad for name, p in policy.named_parameters()}}


def products(name, gradient):
    """what stands for a large gradient: its norm, and its products with four drawn tensors"""
    g = gradient.double().numpy().ravel()
    drawn = [draw(f"{name}#{d}", 1, g.shape).astype("float64") for d in range(1, 5)]
    return numpy.array([numpy.linalg.norm(g)] + [g @ d for d in drawn])


def as_numpy(tensors):
    return {name: t.detach().numpy() if isinstance(t, torch.Tensor) else t for name, t in tensors.items()}


def save(path, desc, tensors):
    known = {key: value for key, value in desc.items() if key != "remembers"}
    arrays = {name: numpy.ascontiguousarray(t) for name, t in as_numpy(tensors).items()}
    save_file(arrays, path, metadata={"policy": json.dumps(known)})


def make(name, drawn=None):
    torch.manual_seed(sum(name.encode()))
    desc = CASES[name]
    policy = Policy(desc, LAYER_CASES.get(name))
    drawn = sum(p.numel() for p in policy.parameters()) > LARGE if drawn is None else drawn
    (draw_weights if drawn else shake_weights)(policy)
    return desc, policy, given(policy, desc), drawn


def record(folder):
    for name in CASES:
        desc, policy, x, drawn = make(name)
        tensors = {**x, **answers(policy, x)}
        dead = [key for key, t in tensors.items() if key.startswith("grad.") and not t.any()]
        assert not dead, f"{name}: nothing to compare in {dead}"
        if drawn:
            for key in [key for key in tensors if key.startswith("grad.")]:
                tensors[f"dot.{key[5:]}"] = products(key[5:], tensors.pop(key))
        else:
            tensors.update(policy.state_dict())
        save(os.path.join(folder, f"{name}.safetensors"), desc, tensors)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0, done.stdout.strip()


def worst(got, want):
    return float(numpy.abs(numpy.asarray(got, dtype="float64") - numpy.asarray(want, dtype="float64")).max())


def compare_back(policy, x, path):
    """manta's file: its weights load under strict names, and give its outputs and gradients"""
    file = load_file(path)
    weights = {key: torch.from_numpy(t) for key, t in file.items() if not key.startswith(("out.", "grad."))}
    policy.load_state_dict(weights, strict=True)
    ours, bad = as_numpy(answers(policy, x)), []
    for key, t in ours.items():
        scale = numpy.abs(t).max() if key.startswith("grad.") else 1
        error = worst(file[key], t) / max(scale, 1e-30)
        if not error <= (1e-4 if key.startswith("grad.") else 1e-5):
            bad.append(f"{key} {error:.1e}")
    return bad


def check_case(program, name, folder):
    path, back = os.path.join(folder, f"{name}.safetensors"), os.path.join(folder, f"{name}.back.safetensors")
    desc, policy, x, _ = make(name, drawn=False)
    save(path, desc, {**x, **answers(policy, x), **policy.state_dict()})
    good, text = run(program, "check", path)
    print(f"{name}\n  " + text.replace("\n", "\n  "))
    if not good:
        return False
    good, text = run(program, "answer", path, back)
    bad = compare_back(policy, x, back) if good else [text]
    if bad:
        print("  manta's own weights in PyTorch: " + ", ".join(bad))
    return not bad


def check(program):
    with tempfile.TemporaryDirectory(prefix="manta-parity-") as folder:
        bad = [name for name in CASES if not check_case(program, name, folder)]
    if bad:
        sys.exit("different: " + ", ".join(bad))
    print(f"torch {torch.__version__} and manta agree on {len(CASES)} policies: outputs to 1e-5, gradients to 1e-4, both ways")


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"check": check, "record": record}[sys.argv[1]](sys.argv[2])
