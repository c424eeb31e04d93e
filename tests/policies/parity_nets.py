"""manta's architectures in plain PyTorch, from the same description (parity.h), with the names of Stable-Baselines3, sb3-contrib
and CleanRL. Written from those libraries' documentation and the papers, not from manta's code: what it is compared with."""
import torch
from torch import nn

ACTIVATIONS = {"identity": nn.Identity, "tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU}


class Nature(nn.Module):
    """The DQN net (Mnih et al. 2015) as stable_baselines3.common.torch_layers.NatureCNN"""

    def __init__(self, image, features):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(image["channels"], 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
                                 nn.Conv2d(64, 64, 3, 1), nn.ReLU(), nn.Flatten())
        flat = self.cnn(torch.zeros(1, image["channels"], image["height"], image["width_px"])).shape[1]
        self.linear = nn.Sequential(nn.Linear(flat, features), nn.ReLU())
        self.size = features

    def forward(self, x):
        return self.linear(self.cnn(x))


class ResidualBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv1(torch.relu(self.conv0(torch.relu(x))))


class ConvSequence(nn.Module):
    def __init__(self, before, channels):
        super().__init__()
        self.conv = nn.Conv2d(before, channels, 3, padding=1)
        self.res_block0 = ResidualBlock(channels)
        self.res_block1 = ResidualBlock(channels)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.conv(x), 3, stride=2, padding=1)
        return self.res_block1(self.res_block0(x))


class Impala(nn.Module):
    """The residual net (Espeholt et al. 2018, figure 3 right) as CleanRL's ppo_procgen.py names it"""

    def __init__(self, image, features):
        super().__init__()
        before, sequences = image["channels"], []
        height, width = image["height"], image["width_px"]
        for channels in 16, 32, 32:
            sequences.append(ConvSequence(before, channels))
            before, height, width = channels, (height + 1) // 2, (width + 1) // 2
        self.network = nn.Sequential(*sequences, nn.Flatten(), nn.ReLU(), nn.Linear(before * height * width, features), nn.ReLU())
        self.size = features

    def forward(self, x):
        return self.network(x)


def part(obs, one):
    """An input of the observation; images channels-first, as PyTorch wants them"""
    x = obs[:, one["offset"]:one["offset"] + one["width"]]
    if one["kind"] == "image":
        return x.reshape(-1, one["height"], one["width_px"], one["channels"]).permute(0, 3, 1, 2)
    return x[:, 0].long() if one["kind"] == "index" else x


class Table(nn.Module):
    def __init__(self, entries, width):
        super().__init__()
        self.embedding = nn.Embedding(entries, width)
        self.size = width

    def forward(self, x):
        return self.embedding(x)


class Combined(nn.Module):
    """Every image through a net of its own, numbers through tables, vectors as they are, all side by side: SB3's CombinedExtractor.
    net: of an image; None: its pixels in PyTorch's order"""

    def __init__(self, desc, net):
        super().__init__()
        self.inputs = desc["inputs"]
        nets = {}
        for one in self.inputs:
            if one["kind"] == "index":
                nets[one["name"]] = Table(one["entries"], desc["embedding"])
            elif one["kind"] == "image" and net:
                nets[one["name"]] = net(one, desc["features"])
        self.size = sum(nets[one["name"]].size if one["name"] in nets else one["width"] for one in self.inputs)
        if len(self.inputs) > 1:
            self.extractors = nn.ModuleDict(nets)
        else:   # SB3's extractor of a plain image is the net itself
            for name, child in nets[self.inputs[0]["name"]].named_children():
                self.add_module(name, child)
        self.__dict__["nets"] = nets   # not modules once more

    def forward(self, obs):
        return torch.cat([self.features_of(one, part(obs, one)) for one in self.inputs], 1)

    def features_of(self, one, x):
        return self.nets[one["name"]](x) if one["name"] in self.nets else x.flatten(1)


class Flat(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, obs):
        return obs


class Layers(nn.Module):
    """Layers of a user's own: modules by the names of their lines, and the function that runs them, which gives the features or,
    of a net that remembers, the features and the state after them"""

    def __init__(self, size, modules, run):
        super().__init__()
        self.size, self.run = size, run
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, obs, start=None, state=None):
        return self.run(dict(self.named_children()), obs, start, state)


def run_memory(rnn, features, start, state):
    """An LSTM or GRU over steps, its state zero where an episode starts: what it says, and the state after"""
    steps, envs = start.shape
    lstm, depth, units = isinstance(rnn, nn.LSTM), rnn.num_layers, rnn.hidden_size
    # manta's state of a sequence: layer by layer h, and c behind it
    state = state.reshape(envs, depth, 2 if lstm else 1, units).permute(2, 1, 0, 3)
    h, c = state[0], state[-1]
    outputs = []
    for x, begins in zip(features.reshape(steps, envs, -1), start):
        keep = (1 - begins.float())[None, :, None]
        h, c = (h * keep).contiguous(), (c * keep).contiguous()
        y, after = rnn(x[None], (h, c) if lstm else h)
        h, c = after if lstm else (after, after)
        outputs.append(y[0])
    after = torch.stack([h, c] if lstm else [h]).permute(2, 1, 0, 3).reshape(envs, -1)
    return torch.cat(outputs), after


def state_size(rnn):
    return rnn.num_layers * rnn.hidden_size * (2 if isinstance(rnn, nn.LSTM) else 1)


def hidden(before, units, activation):
    layers = []
    for after in units:
        layers += [nn.Linear(before, after), activation()]
        before = after
    return nn.Sequential(*layers), before


class Extractor(nn.Module):
    """net_arch: SB3's MlpExtractor, and layers that policy and value share before it"""

    def __init__(self, before_pi, before_vf, desc, activation):
        super().__init__()
        if desc.get("shared"):
            self.shared_net, before_pi = hidden(before_pi, desc["shared"], activation)
            before_vf = before_pi
        self.policy_net, self.pi = hidden(before_pi, desc.get("pi", []), activation)
        self.value_net, self.vf = hidden(before_vf, desc.get("vf", []), activation)


class Policy(nn.Module):
    def __init__(self, desc, layers=None):
        super().__init__()
        if desc.get("memory") and (desc.get("shared") or desc.get("remembers")):
            raise ValueError("a memory on top of shared layers or of layers that remember is not among the cases")
        self.desc = desc
        kind, activation = desc.get("extractor", "flatten"), ACTIVATIONS[desc.get("activation", "identity")]
        image_net = {"nature": Nature, "impala": Impala}.get(kind)

        def features():
            if kind == "layers":
                return layers()
            return Combined(desc, image_net) if image_net or desc.get("embedding") else Flat(desc["obs"])

        self.shares = not desc.get("separate_features")
        if self.shares:
            self.features_extractor = features()
            size = self.features_extractor.size
        else:
            self.pi_features_extractor, self.vf_features_extractor = features(), features()
            size = self.pi_features_extractor.size
        self.of = desc.get("memory_of", "each")
        self.memories = {}   # not modules of this one: they have names of their own
        before_pi = before_vf = size
        if desc.get("memory"):
            rnn, units, depth = {"lstm": nn.LSTM, "gru": nn.GRU}[desc["memory"]], desc["memory_units"], desc["memory_depth"]
            before_pi = before_vf = units
            self.add_memory("actor", rnn(size, units, depth))
            if self.of == "each":
                self.add_memory("critic", rnn(size, units, depth))
            elif self.of == "actor":
                self.critic = nn.Linear(size, units)
        self.mlp_extractor = Extractor(before_pi, before_vf, desc, activation)
        distribution = desc.get("distribution", "categorical")
        self.action_net = nn.Linear(self.mlp_extractor.pi, sum(desc["nvec"]) if distribution == "categorical" else desc["action"])
        self.value_net = nn.Linear(self.mlp_extractor.vf, 1)
        if distribution != "categorical":
            shape = (self.mlp_extractor.pi, desc["action"]) if distribution == "gsde" else (desc["action"],)
            self.log_std = nn.Parameter(torch.zeros(shape))

    def add_memory(self, of, rnn):
        self.memories[of] = rnn
        self.add_module(f"{self.desc['memory']}_{of}", rnn)

    def forward(self, obs, start=None, state=None):
        """head, value, log_std (None: categorical), state after (None: no memory)"""
        after = []
        if not self.shares:
            pi, vf = self.pi_features_extractor(obs), self.vf_features_extractor(obs)
        elif self.desc.get("remembers"):
            pi, after_features = self.features_extractor(obs, start, state)
            vf = pi
            after.append(after_features)
        else:
            pi = vf = self.features_extractor(obs)
        features, actor, critic = vf, self.memories.get("actor"), self.memories.get("critic")
        if actor:
            pi, after_actor = run_memory(actor, pi, start, state[:, :state_size(actor)])
            after.append(after_actor)
            vf = pi if self.of == "shared" else vf
        if critic:
            vf, after_critic = run_memory(critic, features, start, state[:, state_size(actor):])
            after.append(after_critic)
        elif self.of == "actor" and actor:
            vf = self.critic(features)
        return (*self.heads(pi, vf), torch.cat(after, 1) if after else None)

    def heads(self, pi, vf):
        extractor = self.mlp_extractor
        if hasattr(extractor, "shared_net"):
            pi = vf = extractor.shared_net(pi)
        pi, vf = extractor.policy_net(pi), extractor.value_net(vf)
        log_std = getattr(self, "log_std", None)
        if self.desc.get("distribution") == "gsde":   # Raffin et al. 2021; the features are not differentiated
            log_std = 0.5 * torch.log((pi.detach()**2) @ (torch.exp(log_std)**2) + 1e-6)
        return self.action_net(pi), self.value_net(vf).flatten(), log_std
