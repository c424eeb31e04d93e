#!/usr/bin/env bash
# How fast whole training runs are, beside their peers in the same minutes: manta, Stable-Baselines3 and an OpenMPI PPO
# take turns, round after round, and each row compares medians.
#
#   bench/train/run.sh [--quick] [--build build] [--csv FILE] [--rounds 3] [--seconds 4] [--no-peers]
#
#   training   PPO CartPole-v1, 8 environments x 256 steps, minibatch 64, 10 epochs, separate 2x64 nets: steps/s of `mpirun
#              -n 2`, of one rank with two threads and with one; ratio to the peers and to this machine's FMA peak
#   memory     PPO CartPole-v1 with an LSTM at PufferLib's counts, beside PyTorch's arithmetic for it
#   to 475     the zoo's preset until the mean of 100 episodes is 475: seconds of the whole mpirun, five seeds
#   profile    where the time of a run on 2 ranks goes
#
# --quick: one round, shorter. --seconds: of each training run. --no-peers: manta alone. Peers that are not installed
# (bench/peers/setup.sh) are skipped aloud.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
# shellcheck source=bench/train/rows.sh
. bench/train/rows.sh

build=build csv='' rounds=3 seconds=4 peers=1 until_seeds='1 2 3 4 5' until_peers='1 2 3' peer_seconds=8
while [ $# -gt 0 ]; do
    case $1 in
    --build | --csv | --rounds | --seconds)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --build) build=$2 ;;
        --csv) csv=$2 ;;
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        esac
        shift
        ;;
    --quick) rounds=1 seconds=2 until_seeds='1 2 3' until_peers='' peer_seconds=3 ;;
    --no-peers) peers=0 ;;
    -h | --help)
        usage
        ;;
    *) die "unknown argument $1 (--help lists them)" ;;
    esac
    shift
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "--rounds $rounds is no number of rounds"
manta=$build/manta
[ -x "$manta" ] || die "$manta is not there; build it, or name its folder with --build"
prepare_mpi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${MANTA_PEERS_VENV:-build/peers-venv}/bin/python
if [ "$peers" = 1 ] && ! [ -x "$python" ]; then
    say "peers skipped: $python is not there (bench/peers/setup.sh installs it)"
    peers=0
fi

# ---- one measurement each: a number on standard output, nothing where it failed

launch() { # RANKS
    if [ "$1" -gt 1 ]; then echo "mpirun --oversubscribe -n $1"; fi
}

# manta_rate RANKS THREADS STEPS: steps/s as run.json counts them: everything between set-up and the last update
manta_rate() {
    local folder=$work/rate-$1-$2
    rm -rf "$folder"
    # shellcheck disable=SC2046
    $(launch "$1") "$manta" train --algo ppo --env CartPole-v1 --threads "$2" -n "$3" --run-folder "$folder" --verbose 0 \
        --log-interval 1000000 --save-interval 0 -params n_envs:8 n_steps:256 batch_size:64 n_epochs:10 gamma:0.99 \
        gae_lambda:0.95 learning_rate:0.0003 clip_range:0.2 ent_coef:0 </dev/null >&2 || return 0
    tr -d '\n' <"$folder/run.json" >"$folder/line"
    awk -v n="$(json_number steps <"$folder/line")" -v s="$(json_number seconds <"$folder/line")" 'BEGIN { if (s > 0) print n / s }'
}

# manta_until SEED: seconds of the whole command; nothing when it ended below 475
manta_until() {
    local folder=$work/until-$1 began ended
    rm -rf "$folder"
    began=$(date +%s.%N)
    mpirun --oversubscribe -n 2 "$manta" train --algo ppo --env CartPole-v1 --stop-reward 475 --seed "$1" \
        --run-folder "$folder" --verbose 0 </dev/null >&2 || return 0
    ended=$(date +%s.%N)
    tail -n 1 "$folder/progress.csv" | awk -F , -v began="$began" -v ended="$ended" '$1 >= 475 { print ended - began }'
}

# peer ARGUMENT...: the figure of a peer's JSON line
peer() {
    local line
    line=$("$@" </dev/null) || { say "a peer failed: $*" >&2; return 0; }
    printf '%s\n' "$line" | tail -n 1 | sed -n 's/.*"figure": \([0-9][-+.0-9eE]*\).*/\1/p'
}

# peak_of NAME'S-END CSV: bench_peak's row whose name ends so
peak_of() { awk -v end="$1," 'at = index($0, end) { split(substr($0, at + length(end)), field, ","); print field[1]; exit }' "$2"; }

# ---- training speed

rows_open train "$csv"
probe=$(manta_rate 2 1 60000)
[ -n "$probe" ] || die "manta cannot train here; its message is above"
steps_2=$(awk -v r="$probe" -v s="$seconds" 'BEGIN { printf "%d", r * s }')
steps_1=$(awk -v r="$probe" -v s="$seconds" 'BEGIN { printf "%d", r * s / 2 }')
for ((round = 1; round <= rounds; round++)); do
    manta_rate 2 1 "$steps_2" >>"$work/ranks-2"
    if [ "$peers" = 1 ]; then peer "$python" bench/peers/sb3_ppo.py --seconds "$peer_seconds" >>"$work/sb3"; fi
    manta_rate 1 2 "$steps_2" >>"$work/threads-2"
    if [ "$peers" = 1 ]; then
        peer mpirun --oversubscribe -n 2 "$python" bench/peers/mpi_ppo.py --setting minibatch --seconds "$peer_seconds" >>"$work/mpi"
    fi
    manta_rate 1 1 "$steps_1" >>"$work/threads-1"
    if [ "$peers" = 1 ]; then
        peer mpirun --oversubscribe -n 2 "$python" bench/peers/mpi_ppo.py --seconds "$peer_seconds" >>"$work/spinningup"
    fi
    if [ -x "$build/bench/bench_peak" ]; then
        "$build/bench/bench_peak" --csv "$work/peak-$round.csv" >/dev/null
        peak_of 'at once"' "$work/peak-$round.csv" >>"$work/peak"
        peak_of 'one core"' "$work/peak-$round.csv" >>"$work/peak-1"
    fi
done
of() { if [ -f "$work/$1" ]; then median <"$work/$1"; fi; }

# 0.55 MFLOP a step: ten epochs of forward and backward through both nets, and the rollout
peak_steps=$(of peak | awk '{ print $1 * 1e9 / 0.55e6 }')
peak_steps_1=$(of peak-1 | awk '{ print $1 * 1e9 / 0.55e6 }')
setting="PPO CartPole 8x256"
row "$setting, mpirun -n 2" "$(of ranks-2)" steps/s "the goal" 250000
row "$setting, mpirun -n 2" "$(of ranks-2)" steps/s "Stable-Baselines3" "$(of sb3)"
row "$setting, mpirun -n 2" "$(of ranks-2)" steps/s "PyTorch + mpi4py, the same setting, 2 ranks" "$(of mpi)"
row "$setting, mpirun -n 2" "$(of ranks-2)" steps/s "PyTorch + mpi4py, 4,000 steps and 80+80 full-batch iterations" "$(of spinningup)"
row "$setting, mpirun -n 2" "$(of ranks-2)" steps/s "FMA peak of all cores / 0.55 MFLOP a step" "$peak_steps"
row "$setting, 1 rank x 2 threads" "$(of threads-2)" steps/s "FMA peak of all cores / 0.55 MFLOP a step" "$peak_steps"
row "$setting, 1 rank x 1 thread" "$(of threads-1)" steps/s "FMA peak of one core / 0.55 MFLOP a step" "$peak_steps_1"

# ---- the OpenMPI PPO's own setting in manta's flow: 4,000 steps and 80 epochs of one full batch, each of which moves both nets
full_batch() {
    local folder=$work/full
    rm -rf "$folder"
    mpirun --oversubscribe -n 2 "$manta" train --algo ppo --env CartPole-v1 -n "$(awk -v r="$probe" -v s="$seconds" \
        'BEGIN { printf "%d", r * s / 8 }')" --run-folder "$folder" --verbose 0 --log-interval 1000000 --save-interval 0 \
        -params n_envs:2 n_steps:2000 batch_size:4000 n_epochs:80 gamma:0.99 gae_lambda:0.97 learning_rate:0.0003 clip_range:0.2 \
        ent_coef:0 max_grad_norm:0 </dev/null >&2 || return 0
    tr -d '\n' <"$folder/run.json" >"$folder/line"
    awk -v n="$(json_number steps <"$folder/line")" -v s="$(json_number seconds <"$folder/line")" 'BEGIN { if (s > 0) print n / s }'
}
row "PPO CartPole 4,000 steps, 80 full batches, mpirun -n 2" "$(full_batch)" steps/s \
    "PyTorch + mpi4py, 80+80 full batches, 2 ranks" "$(of spinningup)"

# ---- with a memory: PufferLib's CartPole setting (4,096 environments x 64, encoder and LSTM of 128, 133 k parameters, one epoch)

# lstm_rate STEPS: in minibatches of 512 environments' sequences
lstm_rate() {
    local folder=$work/lstm
    rm -rf "$folder"
    mpirun --oversubscribe -n 2 "$manta" train --algo ppo --env CartPole-v1 --policy MlpLstmPolicy -n "$1" --run-folder "$folder" \
        --threads 1 --verbose 0 --log-interval 1000000 --save-interval 0 --net-arch '[]' --net-arch-shared 128 --activation-fn gelu \
        --shared-lstm --lstm-hidden-size 128 -params n_envs:4096 n_steps:64 batch_size:32768 n_epochs:1 learning_rate:0.001 \
        clip_range:0.2 </dev/null >&2 || return 0
    tr -d '\n' <"$folder/run.json" >"$folder/line"
    awk -v n="$(json_number steps <"$folder/line")" -v s="$(json_number seconds <"$folder/line")" 'BEGIN { if (s > 0) print n / s }'
}
for ((round = 1; round <= rounds; round++)); do
    lstm_rate 1600000 >>"$work/lstm-rate"
    if [ "$peers" = 1 ]; then peer "$python" bench/peers/torch_lstm_ppo.py >>"$work/lstm-torch"; fi
done
setting="PPO CartPole 4,096 x 64, encoder and LSTM of 128, 1 epoch, mpirun -n 2"
row "$setting" "$(of lstm-rate)" steps/s "three times PufferLib 3.0 (56,100 on the first machine)" 168300
row "$setting" "$(of lstm-rate)" steps/s "PyTorch, all cores, without environments" "$(of lstm-torch)"

# ---- time to a mean of 475

for seed in $until_seeds; do
    manta_until "$seed" >>"$work/until"
    if [ "$peers" = 1 ] && [[ " $until_peers " == *" $seed "* ]]; then
        peer "$python" bench/peers/sb3_ppo.py --until 475 --seed "$seed" >>"$work/sb3-until"
    fi
done
tried=$(wc -w <<<"$until_seeds")
row "CartPole to a mean of 475, zoo preset: whole mpirun -n 2" "$(of until)" s "the goal" 1 seconds
row "CartPole to a mean of 475, zoo preset: whole mpirun -n 2" "$(of until)" s "Stable-Baselines3, whole process" \
    "$(of sb3-until)" seconds
row "  slowest of $tried seeds" "$(sort -g "$work/until" | tail -n 1)" s
row "  seeds that reached it, of $tried" "$(wc -l <"$work/until")" runs

# ---- where the time goes: sums over progress.csv's rows

folder=$work/profile
mpirun --oversubscribe -n 2 "$manta" train --algo ppo --env CartPole-v1 -n "$steps_1" --run-folder "$folder" --verbose 0 \
    --save-interval 0 -params n_envs:8 n_steps:256 batch_size:64 n_epochs:10 learning_rate:0.0003 clip_range:0.2 </dev/null >&2
awk -F , 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    { r += $at["time/rollout_seconds"]; u += $at["time/update_seconds"]; a += $at["time/allreduce_seconds"]; t = $at["time/time_elapsed"] }
    END { printf "%.4f %.4f %.4f %.4f\n", 100 * r / t, 100 * (u - a) / t, 100 * a / t, 100 * (t - r - u) / t }' \
    "$folder/progress.csv" >"$work/shares"
read -r rollout update allreduce rest <"$work/shares"
row "profile, mpirun -n 2, rank 0: rollout" "$rollout" percent
row "profile, mpirun -n 2, rank 0: update without all-reduce" "$update" percent
row "profile, mpirun -n 2, rank 0: all-reduce and waiting in it" "$allreduce" percent
row "profile, mpirun -n 2, rank 0: reports and the rest" "$rest" percent
