#!/usr/bin/env bash
# Every benchmark with one command: prints all rows with medians and ratios, and writes bench/results/MACHINE/*.csv.
#
#   bench/run.sh [--quick] [--no-peers] [--only SECTION] [--build build] [--results FOLDER]
#
#   kernels      dense layers, agents' networks and the other operations, one core: against the FMA peak, memcpy, OpenBLAS, PyTorch
#   envs         stepping environments, against Gymnasium's vectorised ones and EnvPool
#   collective   all-reduce on 2 and on 4 ranks against MPI_Allreduce
#   runtime      tasks, actors and objects against Ray's own microbenchmark; a million tasks, an idle job
#   transport    messages between two ranks against MPI_Send and MPI_Recv
#   rollout      4,096 environments with a policy that samples the actions
#   train        whole runs against Stable-Baselines3 and an OpenMPI PPO (bench/train/run.sh), seconds to 475
#   peers        PyTorch's small networks on this machine, as it is installed by bench/peers/setup.sh
#
# --quick: about three minutes instead of fifteen. --only: one of these sections and what it is compared with. It builds what is
# missing. Where the peers' packages cannot be had, their rows are skipped aloud and all others stay. Nothing else should run
# on the machine: every comparison is of the same minutes, but the figures are of the whole machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
# shellcheck source=bench/train/rows.sh
. bench/train/rows.sh

command_line="bench/run.sh $*"
build=build results='' quick=() peers=1 only=''
while [ $# -gt 0 ]; do
    case $1 in
    --build | --results | --only)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in --build) build=$2 ;; --results) results=$2 ;; *) only=$2 ;; esac
        shift
        ;;
    --quick) quick=(--quick) ;;
    --no-peers) peers=0 ;;
    -h | --help)
        usage
        ;;
    *) die "unknown argument $1 (--help lists them)" ;;
    esac
    shift
done
case $only in
'' | kernels | envs | collective | runtime | transport | rollout | train | peers) ;;
*) die "there is no section $only (--help lists them)" ;;
esac
wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }
prepare_mpi
began=$SECONDS failed=()

# ---- the machine: a short name for its results, and what the numbers depend on

cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
[ -n "$cpu" ] || cpu=$(uname -m)
slug=$(printf '%s' "$cpu" | sed 's/(R)//g; s/(TM)//g; s/ CPU.*//; s/ [0-9]*-Core.*//; s/ Processor.*//; s/@.*//' |
    tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' - | sed 's/^-*//; s/-*$//')
# a virtual machine's name may say the maker alone
case $slug in
*[0-9]*) ;;
*) slug+=$(sed -n 's/^cpu family[[:space:]]*: /-family-/p; s/^model[[:space:]]*: /-model-/p' /proc/cpuinfo | head -n 2 | tr -d '\n') ;;
esac
machine=$slug-$(cores)-cores
results=${results:-bench/results/$machine}
mkdir -p "$results"
writable "$results"

# OpenBLAS knows CPUs by their names and falls back to old kernels on one it has never heard of, as on many a virtual machine:
# the comparison is with its best
if [ -n "${OPENBLAS_CORETYPE:-}" ]; then
    blas="OPENBLAS_CORETYPE=$OPENBLAS_CORETYPE (from the environment)"
elif grep -qw avx512f /proc/cpuinfo; then
    export OPENBLAS_CORETYPE=SKYLAKEX
    blas="OPENBLAS_CORETYPE=SKYLAKEX (set: the CPU has AVX-512)"
elif grep -qw avx2 /proc/cpuinfo; then
    export OPENBLAS_CORETYPE=HASWELL
    blas="OPENBLAS_CORETYPE=HASWELL (set: the CPU has AVX2)"
else
    blas="OPENBLAS_CORETYPE not set (OpenBLAS chooses)"
fi
commit=$(git rev-parse --short HEAD 2>/dev/null || echo none)
if [ "$commit" != none ] && ! git diff --quiet HEAD -- engine kernels policies rollout scheduler apps bench 2>/dev/null; then
    commit=$commit-changed
fi
say "machine:  $cpu, $(cores) cores; results go to $results"
say "          $blas"
load=$(cut -d ' ' -f 1 /proc/loadavg)
say "          load average $load (under 0.5 is quiet)"

# ---- build

if [ ! -f "$build/build.ninja" ] && [ ! -f "$build/Makefile" ]; then configure "$build" --preset default -B "$build"; fi
programs=()
targets=$(cmake --build "$build" --target help </dev/null)
for program in bench_kernels_dense bench_kernels_ops bench_kernels_networks bench_envs bench_collective bench_runtime_transport \
    bench_rollout bench_peak bench_runtime bench_runtime_limits; do
    if grep -qw "$program" <<<"$targets"; then programs+=("$program"); fi
done
if ! cmake --build "$build" --target manta "${programs[@]}" >"$build/bench.log" 2>&1 </dev/null; then
    tail -n 40 "$build/bench.log" >&2
    die "the build failed; all of its output: $build/bench.log"
fi

# ---- peers

python=${MANTA_PEERS_VENV:-build/peers-venv}/bin/python
if [ "$peers" = 1 ]; then
    status=0
    bash bench/peers/setup.sh || status=$?
    if [ "$status" -eq 77 ]; then
        say "the peers' rows are left out"
        peers=0
    elif [ "$status" -ne 0 ]; then
        failed+=(peers/setup.sh)
        peers=0
    fi
fi

# ---- running one after the other

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# keep NAME COMMAND-LINE: the rows of scratch/NAME.csv become results/NAME.csv
keep() {
    [ -s "$scratch/$1.csv" ] || return 0
    {
        echo "# $2"
        echo "# $command_line, $(date -u +%Y-%m-%d), commit $commit"
        echo "# $cpu, $(cores) cores, load $load before it; $blas"
        cat "$scratch/$1.csv"
    } >"$results/$1.csv"
}

# bench NAME SECONDS COMMAND...: runs it with --csv under a time limit; one that fails is named at the end
bench() {
    local name=$1 limit=$2 status=0
    shift 2
    heading "$name: $*"
    timeout --signal=INT --kill-after=10 "$limit" "$@" --csv "$scratch/$name.csv" </dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        [ "$status" -eq 124 ] && say "$name: stopped after $limit s"
        failed+=("$name")
    fi
    keep "$name" "$* --csv FILE"
}

program() { # NAME PROGRAM SECONDS ARGUMENT...
    local name=$1 file=$build/bench/$2 limit=$3
    shift 3
    if [ -x "$file" ]; then bench "$name" "$limit" "$file" "$@"; else say "$name skipped: no $file in this build"; fi
}

on_ranks() { # RANKS SECONDS ARGUMENT...
    local name=collective-$1-ranks ranks=$1 limit=$2
    shift 2
    if [ -x "$build/bench/bench_collective" ]; then
        bench "$name" "$limit" mpirun --oversubscribe -n "$ranks" "$build/bench/bench_collective" "$@"
    else
        say "$name skipped: no $build/bench/bench_collective in this build"
    fi
}

transport() { # SECONDS ARGUMENT...
    local limit=$1
    shift
    if [ -x "$build/bench/bench_runtime_transport" ]; then
        bench runtime-transport "$limit" mpirun --oversubscribe -n 2 "$build/bench/bench_runtime_transport" "$@"
    else
        say "runtime-transport skipped: no $build/bench/bench_runtime_transport in this build"
    fi
}

# ---- the peers of environments and kernels: their JSON lines become rows, first of all, since bench_envs reads Gymnasium's

# figures: "row|peer|what|figure|unit" of JSON lines
figures() {
    sed -n 's/.*"row": "\([^"]*\)".*"peer": "\([^"]*\)".*"what": "\([^"]*\)".*"figure": \([0-9][-+.0-9eE]*\).*"unit": "\([^"]*\)".*/\1|\2|\3|\4|\5/p'
}

peer_command='' peers_csv=()
measure_peers() {
    local seconds=5 id who what figure unit
    if [ ${#quick[@]} -gt 0 ]; then seconds=1; fi
    heading "peers: Gymnasium's and EnvPool's environments, PyTorch's networks"
    peer_command="bench/peers/env_stepping.py --seconds $seconds; bench/peers/torch_mlp.py --seconds $seconds"
    "$python" bench/peers/env_stepping.py --seconds "$seconds" </dev/null >"$scratch/lines" || failed+=(env_stepping.py)
    "$python" bench/peers/torch_mlp.py --seconds "$seconds" </dev/null >>"$scratch/lines" || failed+=(torch_mlp.py)
    rows_open peers "$scratch/peers.csv"
    while IFS='|' read -r id who what figure unit; do
        row "$who: $what" "$figure" "$unit"
    done < <(figures <"$scratch/lines")
    keep peers "$peer_command"
    peers_csv=(--peers-csv "$scratch/peers.csv")
}
if [ "$peers" = 1 ] && { wanted peers || wanted envs; }; then measure_peers; fi

# agents' networks in PyTorch and in manta, one after the other, and one over the other
measure_networks() {
    local seconds=1 largest=1024 id who what figure unit
    if [ ${#quick[@]} -gt 0 ]; then seconds=0.2 largest=64; fi
    if [ "$peers" = 1 ]; then
        heading "kernels-networks: bench/peers/torch_networks.py --seconds $seconds --largest $largest"
        timeout --kill-after=10 900 "$python" bench/peers/torch_networks.py --seconds "$seconds" --largest "$largest" </dev/null \
            >"$scratch/network-lines" || failed+=(torch_networks.py)
    fi
    program kernels-networks bench_kernels_networks "$(long 180 600)" --largest "$largest"
    [ -s "$scratch/network-lines" ] || return 0
    heading "manta's networks beside PyTorch's of this run: $(
        sed -n '1s/.*"torch": "\([^"]*\)".*"onednn": "\([^"]*\)".*/torch \1, oneDNN \2/p' "$scratch/network-lines"
    )"
    rows_open kernels/networks-peers "$scratch/kernels-networks-peers.csv"
    while IFS='|' read -r id who what figure unit; do
        row "$what" "$(ours kernels-networks "$what" "$unit")" "$unit" "$who" "$figure"
    done < <(figures <"$scratch/network-lines")
    keep kernels-networks-peers "bench/peers/torch_networks.py --seconds $seconds --largest $largest and bench_kernels_networks, one core each"
}

# ours NAME ROW UNIT: manta's figure of this run, M and G multiplied out; the largest of the rows whose name ends so (one for
# every instruction set)
ours() {
    [ -f "$scratch/$1.csv" ] || return 0
    awk -v name="$2\"," -v unit="$3" '(at = index($0, name)) {
        split(substr($0, at + length(name)), f, ",")
        if (index(f[2], unit) == 0) next
        value = f[1] * (unit == "GFLOP/s" ? 1 : f[2] ~ /^M / ? 1e6 : f[2] ~ /^G / ? 1e9 : 1)
        if (value > best) best = value
    }
    END { if (best > 0) print best }' "$scratch/$1.csv"
}

# manta's figures of this run over the peers'
compare_peers() {
    local id who what figure unit file name value
    heading "manta beside the peers of this run"
    rows_open peers "$scratch/peers.csv"
    while IFS='|' read -r id who what figure unit; do
        case $id in
        cartpole-stepping-*) file=envs name="CartPole-v1, 4,096 environments, 2 threads" ;;
        mlp-forward) file=kernels-dense name="forward 4-64-64-2 tanh, 64 rows" ;;
        dense-*) file=kernels-dense name="forward+backward ${id#dense-}-${id#dense-} tanh, 64 rows" ;;
        *) continue ;;
        esac
        value=$(ours "$file" "$name" "$unit")
        if [ -n "$value" ]; then row "$name" "$value" "$unit" "$who" "$figure"; fi
    done < <(figures <"$scratch/lines")
    keep peers "$peer_command; bench_envs and bench_kernels_dense of the same run"
}

# ---- the runtime: Ray's rows first, then manta's over them; one job of two ranks, one with a rank more than there are cores

# started COMMAND...: under a time limit; its rows go to the file that its arguments name
runtime_commands=()
started() {
    local status=0
    heading "runtime: $*"
    runtime_commands+=("${*//"$scratch/"/}")
    timeout --signal=INT --kill-after=10 400 "$@" </dev/null || status=$?
    [ "$status" -eq 0 ] || failed+=("runtime ($*)")
}

measure_runtime() {
    local seconds=5 id who what figure unit arguments=()
    if [ ! -x "$build/bench/bench_runtime" ]; then
        say "runtime skipped: no $build/bench/bench_runtime in this build"
        return 0
    fi
    if [ ${#quick[@]} -gt 0 ]; then seconds=1; fi
    if [ "$peers" = 1 ]; then
        heading "runtime: Ray's microbenchmark"
        "$python" bench/peers/ray_microbenchmark.py --seconds "$seconds" </dev/null >"$scratch/ray-lines" 2>"$build/ray.log" || {
            tail -n 1 "$build/ray.log"
            say "Ray's rows are left out where they are missing; all of its output: $build/ray.log"
        }
        rows_open runtime "$scratch/ray.csv"
        while IFS='|' read -r id who what figure unit; do
            row "$who: $what" "$figure" "$unit"
        done < <(figures <"$scratch/ray-lines")
        keep ray "bench/peers/ray_microbenchmark.py --seconds $seconds"
        arguments=(--peers-csv "$scratch/ray.csv")
    fi
    arguments+=(--csv "$scratch/runtime.csv" --seconds "$seconds" "${quick[@]}")
    started mpirun -n 1 "$build/bench/bench_runtime" "${arguments[@]}" \
        : -n 1 "$build/bench/bench_runtime" --resources custom=100 "${arguments[@]}"
    started mpirun --oversubscribe -n $(($(cores) + 1 > 3 ? $(cores) + 1 : 3)) "$build/bench/bench_runtime" \
        "${arguments[@]}"
    started mpirun --bind-to none -n 2 "$build/bench/bench_runtime_limits" --resources cpu=1 "${arguments[@]}"
    started mpirun --oversubscribe -n 4 "$build/bench/bench_runtime_limits" "${arguments[@]}"
    keep runtime "$(printf '%s; ' "${runtime_commands[@]}")"
}
if wanted runtime; then measure_runtime; fi

# ---- everything else

# long QUICK FULL: seconds
long() { if [ ${#quick[@]} -gt 0 ]; then echo "$1"; else echo "$2"; fi; }
if wanted kernels; then
    program kernels-dense bench_kernels_dense "$(long 60 120)"
    program kernels-ops bench_kernels_ops "$(long 60 120)"
    measure_networks
fi
if wanted envs; then program envs bench_envs "$(long 60 120)" --wall "${peers_csv[@]}"; fi
if wanted collective && [ ${#quick[@]} -gt 0 ]; then
    on_ranks 2 30 --repetitions 40
    on_ranks 4 30 --repetitions 20
elif wanted collective; then
    on_ranks 2 120
    on_ranks 4 120
fi
if wanted transport && [ ${#quick[@]} -gt 0 ]; then transport 60 --batches 100; fi
if wanted transport && [ ${#quick[@]} -eq 0 ]; then transport 120; fi
if wanted rollout && [ ${#quick[@]} -gt 0 ]; then program rollout bench_rollout 30 --seconds 0.5; fi
if wanted rollout && [ ${#quick[@]} -eq 0 ]; then program rollout bench_rollout 60; fi

if [ "$peers" = 1 ] && [ -z "$only" ]; then compare_peers; fi

# ---- training

training=(bash bench/train/run.sh --build "$build" "${quick[@]}")
if [ "$peers" = 0 ]; then training+=(--no-peers); fi
if wanted train; then bench train 480 "${training[@]}"; fi

heading "done in $(duration $((SECONDS - began)))"
say "results: $results"
if [ ${#failed[@]} -gt 0 ]; then
    say "FAILED: ${failed[*]}"
    exit 1
fi
