#!/usr/bin/env bash
# From nothing to a trained agent: installs what is missing, builds manta, trains PPO on CartPole-v1 over two MPI ranks,
# and evaluates the result. A second call installs and builds nothing; it trains once more, into a new folder.
#
#   scripts/quickstart.sh [--seed N]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

seed=1
while [ $# -gt 0 ]; do
    case $1 in
    --seed)
        [ $# -ge 2 ] || die "--seed needs a number"
        seed=$2
        shift
        ;;
    -h | --help)
        usage
        ;;
    *) die "unknown argument $1 (--seed N, --help)" ;;
    esac
    shift
done

bash scripts/setup.sh
prepare_mpi

# build: the program alone, in build/, as it is configured there already or optimised. One line when there is nothing to do
if [ ! -f build/build.ninja ] || ! grep -Fqx "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" build/CMakeCache.txt 2>/dev/null; then
    say_cuda
    configure build --preset default -DBUILD_TESTING=OFF
fi
writable build
if [ -t 1 ]; then
    cmake --build build --target manta </dev/null || die "the build failed; the compiler's words are above"
else
    if ! [ -x build/manta ]; then say "building (a few minutes the first time; the compiler's words are in build/build.log)"; fi
    if ! cmake --build build --target manta >build/build.log 2>&1 </dev/null; then
        tail -n 40 build/build.log >&2
        die "the build failed; all of its output: build/build.log"
    fi
fi

# a new run folder: runs/quickstart-N, the first that is not there yet
mkdir -p runs
writable runs
n=1
while [ -e "runs/quickstart-$n" ]; do n=$((n + 1)); done
run=runs/quickstart-$n

heading "training PPO on CartPole-v1 over 2 ranks"
mpirun --oversubscribe -n 2 build/manta train --algo ppo --env CartPole-v1 --seed "$seed" --run-folder "$run" </dev/null ||
    die "training failed; the reason is above"

heading "evaluating 100 episodes"
build/manta eval "$run" --n-episodes 100 </dev/null || die "evaluation failed; the reason is above"

as_root=''
if [ "$(id -u)" -eq 0 ]; then
    as_root='export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1   # mpirun asks root for this
  '
fi
say "
The run is in $run: config.yml, progress.csv, TensorBoard files, checkpoints, weights (safetensors).
Next:
  build/manta eval $run --render          # watch an episode in the terminal
  build/manta plot $run                   # draw its learning curve
  build/manta envs                                     # what else it can learn
  build/manta train --help                             # every option
  ${as_root}mpirun -n 2 build/manta train --algo ppo --env Acrobot-v1
README.md goes on from here; scripts/test.sh runs every test."
