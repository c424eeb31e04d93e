"""Stable-Baselines3's and sb3-contrib's own policies against manta's: a file of model.policy.state_dict() loads and gives the
same outputs, and one that manta wrote loads there under strict names.

    parity_sb3.py check PROGRAM

Exit 77: no Stable-Baselines3. Without sb3-contrib the recurrent policies are left out, which it says."""
import os
import sys
import tempfile

try:
    import numpy
    import torch
    from gymnasium import spaces
    from safetensors.torch import load_file, save_model
    from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy, MultiInputActorCriticPolicy
    from stable_baselines3.common.preprocessing import preprocess_obs
except ImportError as missing:
    print(f"skipped: {missing}; bash bench/peers/setup.sh installs it, or name a Python that has it in MANTA_TORCH_PYTHON")
    sys.exit(77)
try:
    from sb3_contrib.common.recurrent.policies import (RecurrentActorCriticCnnPolicy, RecurrentActorCriticPolicy,
                                                       RecurrentMultiInputActorCriticPolicy)
except ImportError as missing:
    RecurrentActorCriticPolicy = None
    print(f"without the recurrent policies: {missing}; pip install sb3-contrib")

from parity_cases import case, image, vector
from parity_nets import run_memory, state_size
from parity_torch import answers, compare_back, run, save, shake_weights

STEPS, ENVS = 4, 2
BOX, IMAGE = spaces.Box(-1, 1, (5,)), spaces.Box(0, 255, (3, 36, 36), numpy.uint8)
DICT = spaces.Dict({"board": IMAGE, "place": spaces.Box(-1, 1, (3,)), "tile": spaces.Discrete(4)})   # SB3 goes through them by name
CONTINUOUS, DISCRETE = spaces.Box(-1, 1, (2,)), spaces.Discrete(3)
ARCH = {"pi": [7], "vf": [6]}
BOARD = [image("", 36, 36, 3)]
SEVERAL = [image("board", 36, 36, 3), vector("place", 3, 36 * 36 * 3), vector("tile", 4, 36 * 36 * 3 + 3)]


def memory(**more):
    return {"memory": "lstm", "memory_units": 6, "memory_depth": 1, **more}


def cnn(features):
    return {"features_extractor_kwargs": {"features_dim": features}}


# name: the policy's class, its spaces, its options; the same to manta
POLICIES = {
    "MlpPolicy": (ActorCriticPolicy, BOX, DISCRETE, {"net_arch": ARCH}, case()),
    "MlpPolicy relu, box": (ActorCriticPolicy, BOX, CONTINUOUS, {"net_arch": ARCH, "activation_fn": torch.nn.ReLU},
                            case(activation="relu", distribution="gaussian", action=2)),
    "MlpPolicy, several choices": (ActorCriticPolicy, BOX, spaces.MultiDiscrete([2, 3]), {"net_arch": ARCH}, case(nvec=[2, 3])),
    "MlpPolicy, gSDE": (ActorCriticPolicy, BOX, CONTINUOUS, {"net_arch": ARCH, "use_sde": True},
                        case(distribution="gsde", action=2)),
    "CnnPolicy": (ActorCriticCnnPolicy, IMAGE, DISCRETE, cnn(20),
                  case(inputs=BOARD, extractor="nature", features=20, pi=(), vf=())),
    "CnnPolicy, an extractor each": (ActorCriticCnnPolicy, IMAGE, DISCRETE,
                                     {**cnn(20), "net_arch": ARCH, "share_features_extractor": False},
                                     case(inputs=BOARD, extractor="nature", features=20, separate_features=1)),
    "MultiInputPolicy": (MultiInputActorCriticPolicy, DICT, DISCRETE,
                         {"features_extractor_kwargs": {"cnn_output_dim": 8}, "net_arch": ARCH},
                         case(inputs=SEVERAL, extractor="nature", features=8)),
}
if RecurrentActorCriticPolicy:
    POLICIES.update({
        "MlpLstmPolicy": (RecurrentActorCriticPolicy, BOX, DISCRETE, {"net_arch": ARCH, "lstm_hidden_size": 6}, case(**memory())),
        "MlpLstmPolicy, stacked": (RecurrentActorCriticPolicy, BOX, DISCRETE,
                                   {"net_arch": ARCH, "lstm_hidden_size": 6, "n_lstm_layers": 3},
                                   case(**memory(memory_depth=3))),
        "MlpLstmPolicy, the actor's": (RecurrentActorCriticPolicy, BOX, CONTINUOUS,
                                       {"net_arch": ARCH, "lstm_hidden_size": 6, "enable_critic_lstm": False},
                                       case(**memory(memory_of="actor"), distribution="gaussian", action=2)),
        "MlpLstmPolicy, shared": (RecurrentActorCriticPolicy, BOX, DISCRETE,
                                  {"net_arch": ARCH, "lstm_hidden_size": 6, "enable_critic_lstm": False, "shared_lstm": True},
                                  case(**memory(memory_of="shared"))),
        "CnnLstmPolicy": (RecurrentActorCriticCnnPolicy, IMAGE, DISCRETE, {**cnn(8), "lstm_hidden_size": 6},
                          case(**memory(), inputs=BOARD, extractor="nature", features=8, pi=(), vf=())),
        "MultiInputLstmPolicy": (RecurrentMultiInputActorCriticPolicy, DICT, DISCRETE,
                                 {"features_extractor_kwargs": {"cnn_output_dim": 8}, "net_arch": ARCH, "lstm_hidden_size": 6},
                                 case(**memory(), inputs=SEVERAL, extractor="nature", features=8)),
    })


def encoded(space, obs):
    """an observation as manta's policy reads it: images channels-last"""
    x = preprocess_obs(obs, space)
    if not isinstance(x, dict):
        x = {"": x}
    return torch.cat([(x[key].permute(0, 2, 3, 1) if x[key].ndim == 4 else x[key]).flatten(1) for key in sorted(x)], 1)


def sampled(space, rows):
    space.seed(1)
    one = [space.sample() for _ in range(rows)]
    if isinstance(space, spaces.Dict):
        return {key: torch.as_tensor(numpy.array([o[key] for o in one])) for key in space}
    return torch.as_tensor(numpy.array(one))


class Adapter(torch.nn.Module):
    """An SB3 policy with the interface of parity_nets.Policy, by its own parts. Only the order of rows is ours."""

    def __init__(self, policy, space, obs):
        super().__init__()
        self.__dict__["policy"], self.space, self.observed = policy, space, obs

    def named_parameters(self):
        """once each, as manta names them"""
        of = "" if self.policy.share_features_extractor else "pi_"
        return [(of + name if name.startswith("features_extractor.") else name, p) for name, p in self.policy.named_parameters()]

    def zero_grad(self):
        self.policy.zero_grad()

    def load_state_dict(self, tensors, strict):
        return self.policy.load_state_dict(tensors, strict=strict)

    def forward(self, obs, start=None, state=None):
        p = self.policy
        features = p.extract_features(self.observed)
        pi, vf = features if isinstance(features, tuple) else (features, features)
        after = []
        if hasattr(p, "lstm_actor"):
            split = state_size(p.lstm_actor)
            vf_features = vf
            pi, one = self.remember(p.lstm_actor, pi, start, state[:, :split])
            after.append(one)
            vf = pi if p.shared_lstm else p.critic(vf_features) if p.critic is not None else None
            if vf is None:
                vf, one = self.remember(p.lstm_critic, vf_features, start, state[:, split:])
                after.append(one)
        pi, vf = p.mlp_extractor.forward_actor(pi), p.mlp_extractor.forward_critic(vf)
        log_std = getattr(p, "log_std", None)
        if p.use_sde:
            log_std = torch.log(p.action_dist.proba_distribution(p.action_net(pi), log_std, pi).distribution.stddev)
        return p.action_net(pi), p.value_net(vf).flatten(), log_std, torch.cat(after, 1) if after else None

    def remember(self, lstm, features, start, state):
        """by sb3-contrib's own _process_sequence, whose rows are numbered the other way round"""
        steps, envs = start.shape
        split = state.reshape(envs, lstm.num_layers, 2, lstm.hidden_size).permute(2, 1, 0, 3).contiguous()
        rows = features.reshape(steps, envs, -1).swapaxes(0, 1).flatten(0, 1)
        out, after = type(self.policy)._process_sequence(rows, (split[0], split[1]), start.float().T.flatten(), lstm)
        after = torch.stack(after).permute(2, 1, 0, 3).reshape(envs, -1)
        return out.reshape(envs, steps, -1).swapaxes(0, 1).flatten(0, 1), after


def check_policy(program, name, folder):
    kind, space, actions, options, desc = POLICIES[name]
    torch.manual_seed(len(name))
    policy = kind(space, actions, lambda _: 1e-3, **options)
    shake_weights(policy)
    obs = sampled(space, STEPS * ENVS)
    adapter = Adapter(policy, space, obs)
    width = sum(desc["nvec"]) if "nvec" in desc else desc["action"]
    x = {"in.obs": encoded(space, obs), "in.d_head": torch.randn(STEPS * ENVS, width), "in.d_value": torch.randn(STEPS * ENVS)}
    if "action" in desc:
        x["in.d_log_std"] = torch.randn(STEPS * ENVS, width) if desc["distribution"] == "gsde" else torch.randn(width)
    if "memory" in desc:
        states = sum(state_size(m) for m in policy.modules() if isinstance(m, torch.nn.LSTM))
        x["in.start"], x["in.state"] = torch.zeros(STEPS, ENVS, dtype=torch.uint8), torch.randn(ENVS, states)
        x["in.start"][2, 1] = 1
    return compare(program, name, folder, policy, adapter, desc, x)


def compare(program, name, folder, policy, adapter, desc, x):
    bad = []
    path, alone, back = (os.path.join(folder, f"{which}.safetensors") for which in ("whole", "alone", "back"))
    # with all its names, and as safetensors.torch.save_model writes it: one name for each tensor
    save(path, desc, {**x, **answers(adapter, x), **{key: t.clone() for key, t in policy.state_dict().items()}})
    save_model(policy, alone)
    save(alone, desc, {**x, **answers(adapter, x), **load_file(alone)})
    for file in path, alone:
        good, text = run(program, "check", file)
        bad += [] if good else [text]
    good, text = run(program, "answer-sb3", path, back)
    bad += [f"back: {one}" for one in compare_back(adapter, x, back)] if good else [text]
    print(f"{name}: " + ("; ".join(bad) if bad else "the same"))
    return not bad


def check(program):
    with tempfile.TemporaryDirectory(prefix="manta-parity-") as folder:
        bad = [name for name in POLICIES if not check_policy(program, name, folder)]
    if bad:
        sys.exit("different: " + ", ".join(bad))
    print(f"Stable-Baselines3 and manta agree on {len(POLICIES)} policies, both ways")


if __name__ == "__main__":
    torch.set_num_threads(1)
    check(sys.argv[2])
