"""The cases: every named architecture, every kind of layer and every activation function, small. A description is
mt_policy_desc's (parity.h); `remembers` is for parity_nets.py alone."""
import torch
from torch import nn

from parity_nets import Layers, part, run_memory

ACTIVATIONS = "tanh", "relu", "elu", "gelu", "silu"


def image(name, height, width, channels, offset=0):
    return {"name": name, "kind": "image", "offset": offset, "width": height * width * channels, "height": height,
            "width_px": width, "channels": channels}


def vector(name, width, offset=0):
    return {"name": name, "kind": "vector", "offset": offset, "width": width}


def index(name, entries, offset=0):
    return {"name": name, "kind": "index", "offset": offset, "width": 1, "entries": entries}


def case(obs=5, pi=(7,), vf=(6,), activation="tanh", **more):
    inputs = more.get("inputs")
    if inputs:
        obs = sum(one["width"] for one in inputs)
    if "action" not in more:
        more.setdefault("nvec", [3])
    return {"obs": obs, "pi": list(pi), "vf": list(vf), "activation": activation, **more}


def memory(kind, **more):
    return case(memory=kind, **{"memory_units": 6, "memory_depth": 1, **more})


NATURE, SMALL = image("", 36, 40, 1), image("", 13, 10, 2)
DICT = [image("board", 36, 36, 1), vector("place", 3, 36 * 36), vector("speed", 2, 36 * 36 + 3)]
LAYERED = [image("board", 9, 7, 3), vector("speed", 2, 9 * 7 * 3), index("tile", 5, 9 * 7 * 3 + 2)]

CASES = {
    **{f"mlp_{name}": case(activation=name, pi=(9, 7), vf=(8, 6), nvec=[4]) for name in ACTIVATIONS},
    "mlp_bare": case(pi=(), vf=()),
    "mlp_shared": case(shared=[9, 8], distribution="gaussian", action=2, activation="elu"),
    "mlp_shared_alone": case(shared=[9], pi=(), vf=(), activation="silu", nvec=[2, 3, 4]),
    "mlp_gsde": case(distribution="gsde", action=3, activation="gelu"),
    "mlp_inputs": case(inputs=[vector("place", 3), vector("speed", 2, 3)]),
    "nature": case(inputs=[NATURE], extractor="nature", features=20, pi=(), vf=(), nvec=[6]),
    "nature_separate": case(inputs=[NATURE], extractor="nature", features=10, separate_features=1, activation="elu"),
    "impala": case(inputs=[SMALL], extractor="impala", features=16, pi=(), vf=(), nvec=[15]),
    "impala_separate": case(inputs=[SMALL], extractor="impala", features=8, separate_features=1, distribution="gaussian", action=2),
    "several": case(inputs=DICT, extractor="nature", features=8),
    "several_separate": case(inputs=DICT, extractor="nature", features=6, separate_features=1),
    "embedding": case(inputs=[index("", 6)], embedding=5),
    "embedding_inputs": case(inputs=[vector("place", 3), index("tile", 4, 3), image("view", 4, 3, 2, 4)], embedding=3),
    "embedding_separate": case(inputs=[index("tile", 4), index("tool", 3, 1)], embedding=3, separate_features=1, activation="relu"),
    "several_embedding": case(inputs=[*DICT, index("tile", 4, 36 * 36 + 5)], extractor="nature", features=8, embedding=3),
    "several_impala": case(inputs=[vector("a", 2), image("b", 9, 8, 1, 2)], extractor="impala", features=6),
    **{f"{kind}_{of}": memory(kind, memory_of=of) for kind in ("lstm", "gru") for of in ("each", "actor", "shared")},
    **{f"{kind}_{of}_stacked": memory(kind, memory_of=of, memory_depth=3, pi=(), vf=(), distribution="gaussian", action=2)
       for kind in ("lstm", "gru") for of in ("each", "actor", "shared")},
    "nature_lstm": memory("lstm", inputs=[NATURE], extractor="nature", features=8, pi=(), vf=()),
    "nature_lstm_separate": memory("lstm", inputs=[NATURE], extractor="nature", features=8, separate_features=1),
    "impala_gru": memory("gru", inputs=[SMALL], extractor="impala", features=8, memory_of="shared"),
    "several_lstm": memory("lstm", inputs=DICT, extractor="nature", features=6, memory_of="actor"),
    "layers_board": case(inputs=[image("board", 9, 7, 3)], extractor="layers", layers="""
        conv2d 8 3 padding 1 relu
        skip = conv2d 8 3 padding 1 elu
        conv2d 8 3 padding 1 gelu
        add from skip, -1
        max_pool2d 2 stride 2
        conv2d 5 3 stride 2 padding 1 silu
        flatten
        dense 12 tanh
        layer_norm relu"""),
    "layers_inputs": case(inputs=LAYERED, extractor="layers", remembers=1, layers="""
        board = input board
        conv2d 6 3 stride 2 elu
        gelu
        flatten
        seen = layer_norm
        tile = input tile
        looked = embedding 4
        speed = input speed
        concat from seen, looked, speed
        kept = lstm 5
        also = gru 4
        concat from kept, also
        silu"""),
    "layers_norms": case(obs=6, extractor="layers", pi=(), vf=(), separate_features=1, layers="; ".join(
        f"dense {8 + at} {name}; layer_norm {name}; {name}" for at, name in enumerate(ACTIVATIONS))),
}


# ---- the layers above by hand

def board_layers():
    modules = {"0": nn.Conv2d(3, 8, 3, padding=1), "skip": nn.Conv2d(8, 8, 3, padding=1), "2": nn.Conv2d(8, 8, 3, padding=1),
               "5": nn.Conv2d(8, 5, 3, stride=2, padding=1), "7": nn.Linear(5 * 2 * 2, 12), "8": nn.LayerNorm(12)}

    def run(m, obs, start, state):
        x = torch.relu(m["0"](part(obs, image("board", 9, 7, 3))))
        skip = nn.functional.elu(m["skip"](x))
        x = nn.functional.max_pool2d(skip + nn.functional.gelu(m["2"](skip)), 2, 2)
        x = torch.tanh(m["7"](nn.functional.silu(m["5"](x)).flatten(1)))
        return torch.relu(m["8"](x))

    return Layers(12, modules, run)


def inputs_layers():
    flat = 6 * 4 * 3
    modules = {"1": nn.Conv2d(3, 6, 3, stride=2), "seen": nn.LayerNorm(flat), "looked": nn.Embedding(5, 4),
               "kept": nn.LSTM(flat + 6, 5), "also": nn.GRU(5, 4)}

    def run(m, obs, start, state):
        board, speed, tile = LAYERED
        x = nn.functional.gelu(nn.functional.elu(m["1"](part(obs, board))))
        x = torch.cat([m["seen"](x.flatten(1)), m["looked"](part(obs, tile)), part(obs, speed)], 1)
        kept, after_kept = run_memory(m["kept"], x, start, state[:, :10])
        also, after_also = run_memory(m["also"], kept, start, state[:, 10:])
        return nn.functional.silu(torch.cat([kept, also], 1)), torch.cat([after_kept, after_also], 1)

    return Layers(9, modules, run)


def norms_layers():
    modules, before = {}, 6
    for at in range(len(ACTIVATIONS)):
        modules[str(3 * at)], modules[str(3 * at + 1)] = nn.Linear(before, 8 + at), nn.LayerNorm(8 + at)
        before = 8 + at

    def run(m, obs, start, state):
        x = obs
        for at, name in enumerate(ACTIVATIONS):
            act = getattr(torch, name, None) or getattr(nn.functional, name)
            x = act(act(m[str(3 * at + 1)](act(m[str(3 * at)](x)))))
        return x

    return Layers(before, modules, run)


LAYER_CASES = {"layers_board": board_layers, "layers_inputs": inputs_layers, "layers_norms": norms_layers}
