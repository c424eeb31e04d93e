# shellcheck shell=bash
# What the scripts share. Sourced after `set -euo pipefail`, with the checkout's root as working directory.

# bold headings in a terminal, plain ones everywhere else
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$'\033[1m' plain=$'\033[0m'
else
    bold='' plain=''
fi

heading() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# --help: the script's own opening comment
usage() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
    exit 0
}

# $SECONDS as people read it
duration() {
    if [ "$1" -lt 60 ]; then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi
}

cores() { nproc 2>/dev/null || echo 1; }

# what mpirun needs to start as root and in a sparse environment
prepare_mpi() {
    if [ "$(id -u)" -eq 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    # the session folder holds sockets, whose paths are limited to 107 bytes
    if [ "${#TMPDIR}" -gt 60 ]; then export TMPDIR=/tmp; fi
}
: "${TMPDIR:=/tmp}"

# one line about the GPU, either way
say_cuda() {
    if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
        say "CUDA toolkit found: cmake --preset cuda builds the CUDA back end, too"
    else
        say "no CUDA toolkit: building for the CPU, everything else works"
    fi
}

writable() {
    [ -w "$1" ] || die "cannot write to $PWD/$1: work in a checkout of your own (git clone), or change its owner"
}

# configure FOLDER CMAKE-ARGUMENT...: configures unless FOLDER is configured for this checkout already with the same
# arguments. The log of a failure is shown.
configure() {
    local folder=$1 log
    shift
    mkdir -p "$folder" 2>/dev/null || die "cannot make $PWD/$folder: is this checkout yours?"
    writable "$folder"
    log=$folder/configure.log
    # a build folder that came along in a copy belongs to another place: start it anew
    if [ -f "$folder/CMakeCache.txt" ] &&
        ! grep -Fqx "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$folder/CMakeCache.txt"; then
        rm -rf "$folder/CMakeCache.txt" "$folder/CMakeFiles" "$folder/build.ninja"
    fi
    if [ -f "$folder/build.ninja" ] && [ "$(cat "$folder/configured-as" 2>/dev/null)" = "$*" ]; then return 0; fi
    if ! cmake "$@" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        die "cmake could not configure $folder; the reason is above"
    fi
    printf '%s' "$*" >"$folder/configured-as"
}
