#!/usr/bin/env bash
# parity.sh SCRIPT PROGRAM: runs a comparison with a Python that has PyTorch: MANTA_TORCH_PYTHON, or the benchmarks' peers.
# Not for scripts/setup.sh: PyTorch is gigabytes. Exit 77 where there is none.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${MANTA_TORCH_PYTHON:-${MANTA_PEERS_VENV:-$here/../../build/peers-venv}/bin/python}
if ! command -v "$python" >/dev/null; then
    echo "skipped: no $python; bash bench/peers/setup.sh installs PyTorch, or name a Python that has it in MANTA_TORCH_PYTHON"
    exit 77
fi
exec "$python" -B "$here/$1" check "$2"
