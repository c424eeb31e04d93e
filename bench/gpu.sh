#!/usr/bin/env bash
# The CUDA back end on the GPU that is there: parity of every kernel with the CPU, then each against the GPU's own limits
# (bench/gpu/main.c says which), all-reduces between the GPUs where there are several (bench/gpu/group.c), and the rows as
# bench/results/GPU/*.csv. Exit status 77 where there is no GPU.
#
#   bench/gpu.sh [--build build-cuda] [--programs FOLDER] [--results FOLDER]
#
# --build: built here first (preset cuda). --programs: instead, take test_kernels_cuda, test_kernels_cuda_dense,
# test_kernels_cuda_dnn, bench_gpu and, if it is there, bench_gpu_group from there: they run on a machine that has the driver, the
# CUDA runtime, cuBLASLt and cuDNN (the last one MPI and NCCL), and no compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

command_line="bench/gpu.sh $*"
build=build-cuda programs='' results=''
while [ $# -gt 0 ]; do
    case $1 in
    --build | --programs | --results)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in --build) build=$2 ;; --programs) programs=$2 ;; *) results=$2 ;; esac
        shift
        ;;
    -h | --help)
        usage
        ;;
    *) die "unknown argument $1 (--help lists them)" ;;
    esac
    shift
done

# name, driver and largest clocks of the first GPU that this process sees
if ! gpu=$(nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem --format=csv,noheader 2>/dev/null | head -n 1) ||
    [ -z "$gpu" ]; then
    say "skipped: nvidia-smi shows no GPU"
    exit 77
fi

gpus=$(nvidia-smi --query-gpu=index --format=csv,noheader | wc -l)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ -z "$programs" ]; then
    if [ ! -f "$build/build.ninja" ]; then configure "$build" --preset cuda -B "$build"; fi
    targets=(test_kernels_cuda test_kernels_cuda_dense test_kernels_cuda_dnn bench_gpu bench_gpu_group)
    if ! cmake --build "$build" --target "${targets[@]}" >"$build/bench.log" 2>&1 </dev/null; then
        tail -n 40 "$build/bench.log" >&2
        die "the build failed (is there a CUDA toolkit?); all of its output: $build/bench.log"
    fi
    programs=$scratch/programs
    mkdir "$programs"
    ln -s "$PWD/$build/tests/kernels_cuda/test_kernels_cuda" "$PWD/$build/tests/kernels_cuda/test_kernels_cuda_dense" \
        "$PWD/$build/tests/kernels_cuda/test_kernels_cuda_dnn" "$PWD/$build/bench/bench_gpu" "$PWD/$build/bench/bench_gpu_group" \
        "$programs"
    commit=$(git rev-parse --short HEAD 2>/dev/null || echo none)
    if [ "$commit" != none ] && ! git diff --quiet HEAD -- engine kernels bench cmake; then commit=$commit-changed; fi
else
    commit="of the programs in $programs"
fi

slug=$(printf '%s' "${gpu%%,*}" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' - |
    sed -E 's/^-*//; s/-*$//; s/-[0-9]+gb.*//')
results=${results:-bench/results/$slug}
mkdir -p "$results"
writable "$results"
say "GPU:      $gpu; results go to $results"

keep() { # NAME COMMAND-LINE < rows: with comments, as all results
    {
        echo "# $2"
        echo "# $command_line, $(date -u +%Y-%m-%d), commit $commit"
        echo "# $gpu (name, driver, largest SM and memory clock)"
        cat
    } >"$results/$1.csv"
}

for test in test_kernels_cuda test_kernels_cuda_dense test_kernels_cuda_dnn; do
    heading "$test"
    status=0
    "$programs/$test" >"$scratch/$test.log" 2>&1 </dev/null || status=$?
    cat "$scratch/$test.log"
    if [ "$status" -eq 77 ]; then exit 77; fi
    [ "$status" -eq 0 ] || die "$test failed: figures of kernels that are wrong would say nothing"
    # the table's lines: NAME two or more blanks CASES ERROR OF-TOLERANCE BITS
    {
        echo "kernel,cases,largest_error,of_tolerance,bits"
        sed -nE 's/^(.*[^ ]) +([0-9]+) +([0-9.e+-]+) +([0-9.e+-]+)  (the same|differ)$/"\1",\2,\3,\4,\5/p' "$scratch/$test.log"
    } | keep "$test" "$test"
done

heading bench_gpu
"$programs/bench_gpu" --csv "$scratch/gpu.csv" </dev/null
[ "$(wc -l <"$scratch/gpu.csv")" -gt 50 ] || die "bench_gpu wrote too few rows"
keep gpu "bench_gpu --csv FILE" <"$scratch/gpu.csv"

heading bench_gpu_group
if [ ! -x "$programs/bench_gpu_group" ]; then
    say "not measured: no bench_gpu_group in $programs"
elif ! command -v mpirun >/dev/null; then
    say "not measured: no mpirun to start ranks with"
elif [ "$gpus" -lt 2 ]; then
    say "not measured: one GPU, and NCCL wants one for each rank"
else
    # root's containers too: a benchmark of one machine
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout 600 mpirun --oversubscribe -n "$gpus" \
        "$programs/bench_gpu_group" --csv "$scratch/group.csv" </dev/null
    keep "gpu-group-$gpus-ranks" "mpirun -n $gpus bench_gpu_group --csv FILE" <"$scratch/group.csv"
fi
