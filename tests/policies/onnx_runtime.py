"""manta's ONNX models in onnxruntime: every architecture gives what PyTorch made of it (data/parity), step by step.

    onnx_runtime.py PROGRAM FOLDER

Exit 77: a package is not there."""
import glob
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy
    import onnx
    import onnxruntime
    from safetensors import safe_open
except ImportError as missing:
    print(f"skipped: {missing}; pip install onnx onnxruntime safetensors numpy, and name that Python in MANTA_PYTHON")
    sys.exit(77)

TOLERANCE = 1e-5


def session_of(path):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def split(desc, obs):
    """an encoded observation as the model's inputs"""
    inputs = desc.get("inputs") or [{"name": "", "kind": "vector", "offset": 0, "width": desc["obs"]}]
    parts = {}
    for one in inputs:
        x = obs[:, one["offset"]:one["offset"] + one["width"]]
        shape = (-1, one["height"], one["width_px"], one["channels"]) if one["kind"] == "image" else (-1, one["width"])
        parts["obs." + one["name"] if one["name"] else "obs"] = x.reshape(shape)
    return parts


def run(session, desc, given, mask=None):
    """outputs by name, of all rows; a policy with a memory is run step by step"""
    start, state = given.get("in.start"), given.get("in.state")
    extra = {} if mask is None else {"action_mask": mask}
    names = [one.name for one in session.get_outputs()]
    if start is None:
        return dict(zip(names, session.run(None, {**split(desc, given["in.obs"]), **extra})))
    steps, envs = start.shape
    rows = []
    for t in range(steps):
        step = slice(t * envs, (t + 1) * envs)
        one = {"action_mask": mask[step]} if mask is not None else {}
        feed = {**split(desc, given["in.obs"][step]), "episode_start": start[t].astype(bool), "state": state, **one}
        rows.append(dict(zip(names, session.run(None, feed))))
        state = rows[-1]["next_state"]
    out = {name: numpy.concatenate([row[name] for row in rows]) for name in names}
    out["next_state"] = state
    return out


def best_choices(desc, logits):
    ends = numpy.cumsum(desc["nvec"])
    return numpy.stack([logits[:, end - n:end].argmax(1) for end, n in zip(ends, desc["nvec"])], 1)


def differences(pairs):
    return [f"{name} differs by {error:.1e}" for name, got, want in pairs
            for error in [float(numpy.abs(got.astype("float64") - want).max()) if got.shape == want.shape else numpy.inf]
            if not error <= TOLERANCE]


def compare(desc, given, out):
    rows = len(given["in.obs"])
    pairs = [("value", out["value"], given["out.value"])]
    if desc.get("distribution", "categorical") == "categorical":
        pairs += [("logits", out["logits"], given["out.head"]), ("action", out["action"], best_choices(desc, given["out.head"]))]
        assert out["action"].dtype == numpy.int64
    else:
        # drawn, as all weights, where the file holds none
        log_std = given["log_std"] if "log_std" in given else draw("log_std", 0.1, desc["action"])
        log_std = given["out.log_std"] if "out.log_std" in given else numpy.tile(log_std, (rows, 1))
        pairs += [("mean", out["mean"], given["out.head"]), ("action", out["action"], given["out.head"])]
        pairs.append(("log_std", out["log_std"], log_std))
    if "in.state" in given:
        pairs.append(("next_state", out["next_state"], given["out.state"]))
    return differences(pairs)


def draw(name, scale, count):
    """parity_draw of parity.c"""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    unit = []
    for i in range(count):
        z = (i + (seed << 32)) * 0x9e3779b97f4a7c15 % 2**64
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 % 2**64
        z = (z ^ z >> 27) * 0x94d049bb133111eb % 2**64
        unit.append(((z ^ z >> 31) >> 40) / 2**23 - 1)
    return (scale * numpy.array(unit)).astype("float32")


def vector_columns(desc):
    """what a normaliser touches"""
    inputs = desc.get("inputs") or [{"kind": "vector", "offset": 0, "width": desc["obs"]}]
    return [at for one in inputs if one["kind"] == "vector" for at in range(one["offset"], one["offset"] + one["width"])]


def compare_full(plain, full, desc, given):
    """a normaliser, bounds and masks against the plain model, which was compared with PyTorch, with all these outside"""
    normal, columns = given["in.obs"].copy(), vector_columns(desc)
    mean, inv_std = draw("mean", 0.5, len(columns)), draw("inv_std", 0.5, len(columns)) + numpy.float32(1)
    normal[:, columns] = numpy.clip((normal[:, columns] - mean) * inv_std, numpy.float32(-0.7), numpy.float32(0.7))
    categorical = desc.get("distribution", "categorical") == "categorical"
    mask = None
    if categorical:
        mask = numpy.ones(given["out.head"].shape, dtype=bool)
        for row, end in enumerate(numpy.resize(numpy.cumsum(desc["nvec"]), len(mask))):
            mask[row, end - 1 - row % 2] = False
    want = run(plain, desc, {**given, "in.obs": normal})
    got = run(full, desc, given, mask)
    if categorical:
        want["action"] = best_choices(desc, numpy.where(mask, want["logits"], -numpy.inf))
    else:
        want["action"] = numpy.clip(want["mean"], [-0.1 * (a + 1) for a in range(desc["action"])], 0.05)
    return [f"with a normaliser, bounds and masks {one}" for one in differences([(name, got[name], want[name]) for name in want])]


def check(program, path, folder):
    with safe_open(path, framework="numpy") as file:
        desc = json.loads(file.metadata()["policy"])
        given = {name: file.get_tensor(name) for name in file.keys()}
    models = {}
    for kind in "onnx", "onnx-full":
        model = os.path.join(folder, f"{kind}.onnx")
        subprocess.run([program, kind, path, model], check=True)
        models[kind] = session_of(model)
    bad = compare(desc, given, run(models["onnx"], desc, given))
    return bad + compare_full(models["onnx"], models["onnx-full"], desc, given)


def main(program, data):
    paths, bad = sorted(glob.glob(os.path.join(data, "*.safetensors"))), {}
    with tempfile.TemporaryDirectory(prefix="manta-onnx-") as folder:
        for path in paths:
            wrong = check(program, path, folder)
            if wrong:
                bad[os.path.basename(path)] = wrong
    for name, wrong in bad.items():
        print(f"{name}: " + ", ".join(wrong))
    if bad or len(paths) < 40:
        sys.exit(f"{len(bad)} of {len(paths)} cases differ")
    print(f"onnxruntime {onnxruntime.__version__} and PyTorch agree on {len(paths)} of manta's policies to {TOLERANCE}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
