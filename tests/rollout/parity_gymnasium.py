#!/usr/bin/env python3
"""Plays 100 episodes of each environment in Gymnasium and again in manta: the same observations, rewards and ends to 1e-6.

The seeds are new ones, not those of the recorded trajectories. Gymnasium is looked for in the Python that MANTA_PYTHON names,
in the virtual environment --venv, and in python3; where none has it the test says so and exits with 77 (skipped).
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def has_gymnasium(python):
    try:
        return subprocess.run([python, "-c", "import gymnasium, numpy"], capture_output=True, timeout=120).returncode == 0
    except OSError:
        return False


def find_python(venv):
    named = os.environ.get("MANTA_PYTHON")
    for python in filter(None, [named, venv and os.path.join(venv, "bin", "python"), sys.executable, "python3"]):
        if has_gymnasium(python):
            return python
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="manta_env_parity, built with the tests")
    parser.add_argument("--venv", help="a virtual environment that may have gymnasium")
    parser.add_argument("--episodes", type=int, default=100, help="of each environment (default 100)")
    parser.add_argument("--seed", type=int, default=20, help="(default 20)")
    options = parser.parse_args()
    python = find_python(options.venv)
    if not python:
        print("skipped: no Python with gymnasium and numpy; install them, or name one that has them by MANTA_PYTHON")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, HERE / "record.py", "--out", folder, "--episodes", str(options.episodes),
                        "--seed", str(options.seed)], check=True)
        files = sorted(pathlib.Path(folder).glob("*.traj"))
        return subprocess.run([options.program, *files]).returncode


if __name__ == "__main__":
    sys.exit(main())
