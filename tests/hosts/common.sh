# shellcheck shell=bash
# What the tests in this folder share. Called as `hosts.sh N bash TEST.sh BUILD_FOLDER`; sourced after `set -euo pipefail`.
build=$1
# shellcheck disable=SC2034  # who sources this uses it
manta=$build/manta
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export XDG_RUNTIME_DIR=$work   # whose jobs manta status sees

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# of a run's final weights
digest() {
    local line
    line=$(grep -o '"weights_xxh3": "[0-9a-f]*"' "$1/run.json") || fail "$1 has no digest"
    [ "${#line}" -gt 30 ] || fail "$1 did not end: $line"
    echo "$line"
}

expect_equal() {
    local a b
    a=$(digest "$1") b=$(digest "$2")
    [ "$a" = "$b" ] || fail "$2 differs from $1: $b instead of $a"
    echo "$2: $b, as $1"
}

# checkpoints so far
generations() { { find "$1/checkpoints" -maxdepth 1 -name "gen-*" 2>/dev/null || true; } | sed 's/.*gen-0*//' | sort -n | tail -n 1; }

wait_for_generation() {
    local tries now
    for ((tries = 0; tries < 1000; tries++)); do
        now=$(generations "$1")
        if [ "${now:-0}" -ge "$2" ]; then return 0; fi
        sleep 0.05
    done
    fail "$1 has no checkpoint $2"
}

# enough logical workers for 1, 2, 3, 4 and 6 ranks
# shellcheck disable=SC2034
training=(--env CartPole-v1 --seed 5 --deterministic --n-workers 12 --verbose 0 --save-interval 0
    -params n_envs:12 n_steps:64 batch_size:96 n_epochs:2)
