"""Short training runs, exported by `manta export onnx`: onnxruntime does step by step what manta does with the same weights.

    export_runs.py MANTA EXPORT_SAMPLE

Exit 77: a package is not there."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy
    import onnx
    import onnxruntime
    from safetensors.numpy import load_file
except ImportError as missing:
    print(f"skipped: {missing}; pip install onnx onnxruntime safetensors numpy, and name that Python in MANTA_PYTHON")
    sys.exit(77)

TOLERANCE = 1e-5
# environment, its options, the policy and its: every distribution, kind of observation and kind of memory, with and without a
# normaliser, whose scale is far from one in Pendulum
RUNS = {
    "CartPole": "--env CartPole-v1 -params n_envs:4 n_steps:32 batch_size:64 n_epochs:2 normalize:false",
    "Pendulum": "--env Pendulum-v1 -params n_envs:4 n_steps:32 batch_size:64 n_epochs:2 normalize:true use_sde:false",
    "Pendulum, gSDE": "--env Pendulum-v1 -params n_envs:4 n_steps:32 batch_size:64 n_epochs:2 normalize:true use_sde:true",
    "a memory": "--env CartPoleNoVel-v1 --policy MlpLstmPolicy --lstm-hidden-size 8 "
                "-params n_envs:4 n_steps:32 batch_size:64 n_epochs:2 normalize:true",
    "a shared memory": "--env MemoryChain-v0 --policy MlpGruPolicy --lstm-hidden-size 8 --n-lstm-layers 2 --shared-lstm "
                       "--enable-critic-lstm=false -params n_envs:4 n_steps:32 batch_size:64 n_epochs:2",
    "a picture": "--env Catch-v0 --env-kwargs height:36 width:36 --policy CnnPolicy --features-dim 16 "
                 "-params n_envs:4 n_steps:32 batch_size:64 n_epochs:1",
    "a small picture": "--env Catch-v0 --policy ImpalaCnnPolicy --features-dim 8 --share-features-extractor=false "
                       "-params n_envs:4 n_steps:32 batch_size:64 n_epochs:1",
    "two inputs": "--env CatchOrDodge-v0 --env-kwargs height:36 width:36 --policy MultiInputLstmPolicy --features-dim 8 "
                  "--lstm-hidden-size 8 -params n_envs:4 n_steps:32 batch_size:64 n_epochs:1 normalize:true",
    "layers": "--env CatchOrDodge-v0 --policy MultiInputPolicy --layers 'input image; conv2d 4 3 relu; flatten; "
              "seen = dense 8 gelu; input goal; concat from seen, -1' "
              "-params n_envs:4 n_steps:32 batch_size:64 n_epochs:1 normalize:true",
}


def split(session, obs):
    """an encoded observation as the model's inputs, which lie side by side in it"""
    parts, at = {}, 0
    for one in session.get_inputs():
        if one.name == "obs" or one.name.startswith("obs."):
            width = int(numpy.prod(one.shape[1:]))
            parts[one.name] = obs[:, at:at + width].reshape(-1, *one.shape[1:])
            at += width
    assert at == obs.shape[1], f"{at} of {obs.shape[1]} columns"
    return parts


def play(session, seen):
    steps, envs = seen["start"].shape
    shapes = {one.name: one.shape for one in session.get_inputs()}
    names, rows = [one.name for one in session.get_outputs()], []
    state = numpy.zeros((envs, shapes["state"][1]), dtype="float32") if "state" in shapes else None
    for t in range(steps):
        feed = split(session, seen["obs"][t * envs:(t + 1) * envs])
        if state is not None:
            feed.update(state=state, episode_start=seen["start"][t].astype(bool))
        rows.append(dict(zip(names, session.run(None, feed))))
        state = rows[-1].get("next_state")
    return {name: numpy.concatenate([row[name] for row in rows]) for name in names}


def compare(model, seen):
    onnx.checker.check_model(onnx.load(model), full_check=True)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    out = play(session, seen)
    pairs = {"mean": "head", "log_std": "log_std"} if "log_std" in seen else {"logits": "head"}
    bad, worst = [], 0
    for name, ours in {"value": "value", "action": "action", **pairs}.items():
        error = numpy.abs(out[name].astype("float64") - seen[ours]).max() if out[name].shape == seen[ours].shape else numpy.inf
        worst = max(worst, error)
        if not error <= TOLERANCE:
            bad.append(f"{name} differs by {error:.1e}")
    return bad, worst


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}")


def main(manta, sample):
    bad = []
    with tempfile.TemporaryDirectory(prefix="manta-export-") as folder:
        for at, (name, arguments) in enumerate(RUNS.items()):
            where = os.path.join(folder, str(at))
            run("sh", "-c", f'exec "$0" train --run-folder "$1" --n-timesteps 512 --seed 3 --verbose 0 {arguments}', manta, where)
            run(manta, "export", "onnx", where, "-o", where + ".onnx")
            run(sample, where, where + ".safetensors")
            wrong, worst = compare(where + ".onnx", load_file(where + ".safetensors"))
            print(f"{name}: " + (", ".join(wrong) if wrong else f"the same to {worst:.1e}"))
            bad += wrong
    if bad:
        sys.exit("manta and onnxruntime differ")
    print(f"onnxruntime {onnxruntime.__version__} and manta agree on {len(RUNS)} trained policies to {TOLERANCE}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
