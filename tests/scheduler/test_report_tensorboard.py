"""The tensorboard package reads manta's event files, resumed ones too. Exit 77: the package is not there."""
import json
import subprocess
import sys
import tempfile

try:
    import tensorboard
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util
except ImportError as missing:
    print(f"skipped: {missing}; pip install tensorboard, and name that Python in MANTA_PYTHON")
    sys.exit(77)

with tempfile.TemporaryDirectory(prefix="manta-tensorboard-") as folder:
    subprocess.run([sys.argv[1], folder], check=True)
    events = EventAccumulator(folder).Reload()
    # tensorboard turns simple_value into scalar tensors while it reads
    def curve(tag):
        if tag in events.Tags()["scalars"]:
            return [(point.step, point.value) for point in events.Scalars(tag)]
        return [(point.step, float(tensor_util.make_ndarray(point.tensor_proto))) for point in events.Tensors(tag)]

    # 600 and 700 of the killed part are gone: each step once, from the run that went on
    expected = [(step, step + (0.5 if step > 500 else 0)) for step in range(100, 1001, 100)]
    assert curve("rollout/ep_rew_mean") == expected, curve("rollout/ep_rew_mean")
    assert curve("eval/mean_reward") == [(step, -step) for step in range(200, 1001, 200)], curve("eval/mean_reward")
    assert set(events.Tags()["scalars"]) | set(events.Tags()["tensors"]) == {"rollout/ep_rew_mean", "eval/mean_reward"}

    with open(f"{folder}/monitor.csv") as file:
        head = file.readline()
        assert head[0] == "#" and json.loads(head[1:]) == {"t_start": 1700000000.5, "env_id": "CartPole-v1"}, head
        assert file.read() == "r,l,t\n0,20,0.000000\n21.5,20,0.250000\n43,20,0.500000\n"
print(f"tensorboard {tensorboard.__version__} reads manta's event files")
