#!/usr/bin/env bash
# Installs what building manta needs and this machine lacks (Debian 12 or newer; root, or a user with sudo).
#
#   scripts/setup.sh            what the program needs
#   scripts/setup.sh --tests    what its tests need, too
#   scripts/setup.sh --check    installs nothing; status 1 when something is missing
#
# Where everything is there already it does nothing, in a few milliseconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

tests=no check=no
for argument; do
    case $argument in
    --tests) tests=yes ;;
    --check) check=yes ;;
    -h | --help)
        usage
        ;;
    *) die "unknown argument $argument (--tests, --check, --help)" ;;
    esac
done

# package, and how to see that it is there when dpkg does not know it (built from source, another distribution)
packages='
build-essential   command cc
cmake             command cmake
ninja-build       command ninja
pkg-config        command pkg-config
git               command git
libopenmpi-dev    command mpicc
openmpi-bin       command mpirun
libhwloc-dev      module hwloc
libyaml-dev       module yaml-0.1
libjansson-dev    module jansson
libzstd-dev       module libzstd
libxxhash-dev     module libxxhash
librandom123-dev  header Random123/philox.h
libcairo2-dev     module cairo
'
test_packages='
libcriterion-dev  module criterion
clang             command clang
libclang-rt-dev   clang fuzzer
python3           command python3
python3-venv      python ensurepip
ca-certificates   file /etc/ssl/certs/ca-certificates.crt
shellcheck        command shellcheck
iproute2          command ip
'
if [ $tests = yes ]; then packages+=$test_packages; fi

present() {
    case $1 in
    command) command -v "$2" >/dev/null ;;
    module) command -v pkg-config >/dev/null && pkg-config --exists "$2" ;;
    header) [ -e "/usr/include/$2" ] || [ -e "/usr/local/include/$2" ] ;;
    file) [ -e "$2" ] ;;
    python) command -v python3 >/dev/null && python3 -c "import venv, $2" 2>/dev/null ;;
    clang) command -v clang >/dev/null && echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n; }' |
        clang -fsanitize="$2" -x c -o /dev/null - 2>/dev/null ;;
    esac
}

# what is installed, asked once for all packages
installed=
if command -v dpkg-query >/dev/null; then
    # shellcheck disable=SC2016,SC2046
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $(awk '{print $1}' <<<"$packages") 2>/dev/null || true)
fi
missing=()
while read -r package how what; do
    if [ -z "$package" ] || grep -q "^$package installed\$" <<<"$installed" || present "$how" "$what"; then continue; fi
    missing+=("$package")
done <<<"$packages"

if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
if [ $check = yes ]; then
    say "missing: ${missing[*]}"
    exit 1
fi

command -v apt-get >/dev/null ||
    die "these are missing, and there is no apt-get here to install them: ${missing[*]} (names as in Debian; docs/dependencies.md says what each is)"

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        as_root=(false)
    elif sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    elif [ -t 0 ] && [ -t 2 ]; then
        say "sudo asks for your password to install: ${missing[*]}"
        as_root=(sudo)
    else
        as_root=(false)
    fi
    if [ "${as_root[0]}" = false ]; then
        die "these packages are missing and only root may install them: ${missing[*]}
run as root:  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}
then call this again"
    fi
fi

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -qq -o Acquire::Retries=3 \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "installing ${#missing[@]} packages: ${missing[*]}"
# a source that does not answer need not be the one that is wanted: the installation decides
apt update >"$log" 2>&1 || say "apt-get update: $(grep -m 1 '^[EW]:' "$log" || echo failed); going on with the lists there are"
if ! apt install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt-get could not install: ${missing[*]} (its words are above; no network, or the wrong release?)"
fi
