#!/usr/bin/env bash
# scripts/setup.sh without touching this machine: in a folder of links that stands for a bare one, with an apt-get and a
# sudo that only write down what they were asked.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

check() { # check NAME: the condition before it
    local status=$?
    if [ $status -eq 0 ]; then echo "ok: $1"; else
        echo "FAILED: $1"
        sed 's/^/    /' "$folder/out"
        failed=1
    fi
}

# a bare machine: the shell's own tools, nothing to build with
bare() {
    rm -rf "${folder:?}/bin"
    mkdir -p "$folder/bin"
    for tool in bash env awk sed grep cat dirname basename mktemp rm tail id; do
        ln -s "$(command -v $tool)" "$folder/bin/$tool"
    done
    : >"$folder/asked"
}
fake() { # fake NAME SCRIPT
    rm -f "$folder/bin/$1"
    printf '#!/bin/bash\n%s\n' "$2" >"$folder/bin/$1"
    chmod +x "$folder/bin/$1"
}
run() { # run ARGUMENT...: its status, its words in out
    env -i PATH="$folder/bin" ASKED="$folder/asked" bash "$root/scripts/setup.sh" "$@" >"$folder/out" 2>&1 </dev/null
}
# shellcheck disable=SC2016
writes_down='echo "$(basename "$0") $*" >>"$ASKED"'

bare
! run && grep -q 'no apt-get here.*cmake.*libopenmpi-dev' "$folder/out"
check "another distribution: says what is missing and fails"

bare
! run --check && grep -q '^missing: .*cmake' "$folder/out" && ! grep -q criterion "$folder/out"
check "--check says what is missing, without the tests' packages"
! run --check --tests && grep -q 'libcriterion-dev' "$folder/out"
check "--check --tests has the tests' packages, too"

bare
fake id 'echo 1000'
fake apt-get "$writes_down"
! run && grep -q 'only root may install' "$folder/out" && grep -q 'apt-get install -y' "$folder/out" && [ ! -s "$folder/asked" ]
check "a user without sudo: told what to type, nothing tried"

bare
fake id 'echo 1000'
fake apt-get "$writes_down"
# shellcheck disable=SC2016
fake sudo '[ "$1" = -n ] && shift; "$@"'
run && grep -q 'apt-get.* update' "$folder/asked" && grep -q 'apt-get.* install -y .*build-essential.*libcairo2-dev' "$folder/asked"
check "a user with sudo: updates the lists and installs"

bare
fake id 'echo 0'
fake apt-get "$writes_down"
# shellcheck disable=SC2016
fake dpkg-query 'shift 3; for p; do [ "$p" = cmake ] || echo "$p installed"; done'
run && grep -Eq 'install -y --no-install-recommends cmake$' "$folder/asked"
check "root with one package missing: installs that one"

# shellcheck disable=SC2016
fake dpkg-query 'shift 2; for p; do echo "$p installed"; done'
: >"$folder/asked"
run && [ ! -s "$folder/asked" ] && [ ! -s "$folder/out" ]
check "everything there: says and asks nothing"

bare
fake id 'echo 0'
fake apt-get "$writes_down"'; case "$*" in *update*) echo "E: no network" >&2; exit 100;; *install*) echo "E: Unable to locate package cmake"; exit 100;; esac'
! run && grep -q 'E: no network' "$folder/out" && grep -q 'Unable to locate package cmake' "$folder/out" && grep -q 'could not install' "$folder/out"
check "apt-get fails: its words are shown, and the status"

! run --nonsense && grep -q 'unknown argument --nonsense' "$folder/out"
check "an unknown argument is refused"

exit $failed
