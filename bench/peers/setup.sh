#!/usr/bin/env bash
# Makes the peers' own virtual environment, or brings it up to requirements.txt. A call that finds
# it up to date does nothing. Where Python packages cannot be had it says so in one line and exits
# 77 (skipped), so that a benchmark without its peers still runs.
#
#   MANTA_PEERS_VENV   where it lives (default: build/peers-venv in this checkout)
#   PYTHON             the interpreter it is made from (default: python3)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${MANTA_PEERS_VENV:-$here/../../build/peers-venv}
mkdir -p "$(dirname "$venv")" && venv=$(cd "$(dirname "$venv")" && pwd)/$(basename "$venv")
python=${PYTHON:-python3}
log=$venv.log

skip() {
    echo "peers skipped: $1"
    exit 77
}

install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --only-binary :all: \
        --retries 2 --timeout 20 "$@" >>"$log" 2>&1
}

# two benchmarks may start at once: the second waits for the first, then finds the work done
exec 9>"$venv.lock"
flock 9

if cmp -s "$here/requirements.txt" "$venv/installed.txt" && "$venv/bin/python" -c "" 2>/dev/null; then
    echo "$venv is up to date"
    exit 0
fi

command -v "$python" >/dev/null || skip "no $python here; install Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    skip "$("$python" -V 2>&1) is too old; set PYTHON to 3.11 or newer"
"$python" -c "import venv, ensurepip" 2>/dev/null ||
    skip "$python cannot make virtual environments; on Debian: apt install python3-venv"

clear=()
if [ -e "$venv/pyvenv.cfg" ]; then
    clear=(--clear)
elif [ -n "$(ls -A "$venv" 2>/dev/null)" ]; then
    skip "$venv holds something else than a virtual environment; set MANTA_PEERS_VENV to a new folder"
fi

echo "installing the peers into $venv (several GB, some minutes; log: $log)" >&2
rm -f "$venv/installed.txt"
: >"$log"
"$python" -m venv "${clear[@]}" "$venv" >>"$log" 2>&1 || skip "$python -m venv failed; see $log"

# wheels of these two do not fit every machine: the others are installed without them
if ! install -r "$here/requirements.txt"; then
    grep -vE '^(envpool|ray)==' "$here/requirements.txt" >"$venv/needed.txt"
    install -r "$venv/needed.txt" || skip "the Python packages could not be installed (no network?); see $log"
    grep -E '^(envpool|ray)==' "$here/requirements.txt" | while IFS= read -r package; do
        install "$package" || echo "$package could not be installed and its rows are left out; see $log" >&2
    done
fi

# written last: an interrupted installation is done again
cp "$here/requirements.txt" "$venv/installed.txt"
echo "$venv is ready"
