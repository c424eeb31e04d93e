"""Python's safetensors package opens manta's files, and manta opens its. Exit 77: the package is not there."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy
    import safetensors
    import safetensors.numpy
except ImportError as missing:
    print(f"skipped: {missing}; pip install safetensors numpy, and name that Python in MANTA_PYTHON")
    sys.exit(77)

NUMPY = {"F32": "float32", "F64": "float64", "I32": "int32", "I64": "int64", "U32": "uint32", "U64": "uint64", "U8": "uint8"}
tensors = {name: numpy.arange(1, 7, dtype=dtype).reshape(2, 3) for name, dtype in NUMPY.items()}
bf16 = (numpy.arange(1, 7, dtype="float32").view("uint32") >> 16).astype("uint16").tobytes()
sample = sys.argv[1]

with tempfile.TemporaryDirectory(prefix="manta-safetensors-") as folder:
    path = os.path.join(folder, "manta.safetensors")
    subprocess.run([sample, "write", path], check=True)
    with open(path, "rb") as file:
        found = dict(safetensors.deserialize(file.read()))   # raw bytes: numpy has no BF16
    assert set(found) == set(NUMPY) | {"BF16"}, sorted(found)
    for name, tensor in tensors.items():
        assert found[name]["shape"] == [2, 3] and bytes(found[name]["data"]) == tensor.tobytes(), name
    assert bytes(found["BF16"]["data"]) == bf16, "BF16"
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"made by": "manta"}, file.metadata()
        for name, tensor in tensors.items():
            assert numpy.array_equal(file.get_tensor(name), tensor), name

    path = os.path.join(folder, "python.safetensors")
    safetensors.numpy.save_file(tensors, path, metadata={"made by": "Python"})
    subprocess.run([sample, "read", path], check=True)
print(f"safetensors {safetensors.__version__} and manta read each other's files")
