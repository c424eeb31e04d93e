#!/usr/bin/env bash
# Do the zoo's presets learn? Trains each of its environments in presets/ppo.yml with several seeds for the zoo's number of steps,
# evaluates each result over 100 episodes (the last weights, which the goals are about, and the best ones that evaluations
# during training found), and writes
#
#   bench/learning/results-N-ranks.csv   a line a run (N: the ranks it was trained on)
#   docs/learning.md                     the table with verdicts, from results-2-ranks.csv
#   docs/img/learning-ENV.svg            the learning curves, mean and spread over the seeds
#
#   bench/learning/run.sh [--envs "ENV ..."] [--seeds "1 2 3 4 5"] [--ranks 2] [--episodes 100] [--runs FOLDER]
#                         [--no-times] [--table]
#
#   --runs       where the run folders go (default: build/learning); runs of the same name are replaced
#   --no-times   leaves the seconds out: for a machine that does other work too
#   --table      trains nothing: writes docs/learning.md anew from the results that are there
#
# MANTA names the program (default build/manta). Environments and seeds that are not asked for keep their lines.
# Exit status: 0 every environment reaches its score, 1 one does not or a run failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
# shellcheck source=bench/learning/networks_table.sh
. bench/learning/networks_table.sh

# environment, what the scores are, at least this, what must reach it: the mean over the seeds, or this many of five;
# steps between evaluations; the ranks that have something to do, where the preset has fewer environments than that
goals() {
    cat <<'END'
CartPole-v1 490 mean 5000
Acrobot-v1 -90 mean 50000
Pendulum-v1 -250 mean 5000
MountainCar-v0 -125 mean 50000
MountainCarContinuous-v0 80 4 1000 1
END
}

envs=$(goals | cut -d ' ' -f 1 | tr '\n' ' ')
seeds='1 2 3 4 5' ranks=2 episodes=100 runs=build/learning times=1 train=1
manta=${MANTA:-build/manta}
while [ $# -gt 0 ]; do
    case $1 in
    --envs | --seeds | --ranks | --episodes | --runs)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --envs) envs=$2 ;;
        --seeds) seeds=$2 ;;
        --ranks) ranks=$2 ;;
        --episodes) episodes=$2 ;;
        --runs) runs=$2 ;;
        esac
        shift
        ;;
    --no-times) times=0 ;;
    --table) train=0 ;;
    -h | --help)
        usage
        ;;
    *) die "unknown argument $1 (--help lists them)" ;;
    esac
    shift
done
[[ $ranks =~ ^[1-9][0-9]*$ ]] || die "--ranks $ranks is no number of ranks"
for env in $envs; do
    goals | grep -q "^$env " || die "no goal for $env; there are: $(goals | cut -d ' ' -f 1 | tr '\n' ' ')"
done
prepare_mpi
results=bench/learning/results-$ranks-ranks.csv
header='env,seed,ranks,steps,train_seconds,episodes,mean_reward,std_reward,mean_ep_length,best_mean_reward'
failures=0

# number FIELD FILE: a number of a flat JSON object
number() { tr ',{}' '\n' <"$2" | sed -n "s/^ *\"$1\": *//p" | head -n 1; }

# replaces the line of (env, seed), in the order of the table
record() {
    local next=$results.next
    [ -f "$results" ] || echo "$header" >"$results"
    {
        echo "$header"
        {
            grep -v -e "^$1,$2," -e '^env,' "$results" || true
            echo "$3"
        } | sort -t , -k 1,1 -k 2,2n
    } >"$next"
    mv "$next" "$results"
}

# one run: trained on the ranks, evaluated on one
train_one() {
    local env=$1 seed=$2 folder=$runs/$1/$ranks-ranks/seed-$2 began seconds='' every used
    every=$(goals | awk -v env="$env" '$1 == env { print $4 }')
    used=$(goals | awk -v env="$env" -v ranks="$ranks" '$1 == env { print $5 && $5 < ranks ? $5 : ranks }')
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    began=$(date +%s.%N)
    mpirun --oversubscribe -n "$used" "$manta" train --algo ppo --env "$env" --seed "$seed" --run-folder "$folder" \
        --verbose 0 --save-interval 0 --eval-freq "$every" --n-eval-episodes 5 </dev/null || return 1
    if [ "$times" = 1 ]; then seconds=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { printf "%.2f", b - a }'); fi
    "$manta" eval "$folder" --n-episodes "$episodes" --json >"$folder/evaluation.json" </dev/null || return 1
    "$manta" eval "$folder" --best --n-episodes "$episodes" --json >"$folder/best.json" </dev/null || return 1
    local mean std length best
    mean=$(number mean_reward "$folder/evaluation.json") std=$(number std_reward "$folder/evaluation.json")
    length=$(number mean_ep_length "$folder/evaluation.json") best=$(number mean_reward "$folder/best.json")
    record "$env" "$seed" "$(awk -v mean="$mean" -v std="$std" -v length_="$length" -v best="$best" -v first="$env,$seed,$used,$(
        number steps "$folder/run.json"),$seconds,$episodes" \
        'BEGIN { printf "%s,%.2f,%.2f,%.1f,%.2f", first, mean, std, length_, best }')"
    awk -v seed="$seed" -v mean="$mean" -v std="$std" -v best="$best" -v seconds="${seconds:+  $seconds s}" \
        'BEGIN { printf "  seed %d: %.1f ± %.1f, best weights %.1f%s\n", seed, mean, std, best, seconds }'
}

# the picture of an environment: every run of it in this runs folder on these ranks
draw() {
    local goal
    goal=$(goals | awk -v env="$1" '$1 == env { print $2 }')
    "$manta" plot "$runs/$1/$ranks-ranks"/seed-* -o "docs/img/learning-$1.svg" --title "$1" --spread minmax \
        --reference "$goal" --y-label "mean return of the last 100 episodes" --x-label "environment steps" \
        --labels "$(for _ in "$runs/$1/$ranks-ranks"/seed-*; do printf 'PPO,'; done | sed 's/,$//')" >/dev/null
}

# results → one line an environment: env, seeds, steps, goal, mean, each score, seeds that reach it, verdict, best
judge() {
    goals | awk -F '[ ,]' -v OFS='|' '
        NR == FNR { order[++n] = $1; goal[$1] = $2; rule[$1] = $3; next }
        $1 in goal {
            count[$1]++; sum[$1] += $7; reached[$1] += $7 >= goal[$1]; steps[$1] = $4
            each[$1] = each[$1] (each[$1] == "" ? "" : ", ") sprintf("%.1f", $7)
            best[$1] = best[$1] (best[$1] == "" ? "" : ", ") sprintf("%.1f", $10)
        }
        END {
            for (i = 1; i <= n; i++) {
                e = order[i]
                if (!count[e]) continue
                mean = sum[e] / count[e]
                pass = rule[e] == "mean" ? mean >= goal[e] : reached[e] >= rule[e] * count[e] / 5
                want = rule[e] == "mean" ? "mean ≥ " goal[e] : "≥ " goal[e] " in " rule[e] " of 5"
                print e, count[e], steps[e], want, sprintf("%.1f", mean), each[e], reached[e], pass ? "yes" : "no", best[e]
            }
        }' - "$1"
}

# what many seeds of the gamble came to, when they were run
many() {
    local file=bench/learning/results-1-ranks.csv
    [ -f "$file" ] || return 0
    awk -F , '$1 == "MountainCarContinuous-v0" { n++; last += $7 >= 80; best += $10 >= 80 }
        END {
            if (n < 20) exit
            printf "Of %d seeds on one rank (`%s`) the last weights reach 80 in %d and the\nbest ones in %d:\n\n", n, file, last, best
            print "    bench/learning/run.sh --envs MountainCarContinuous-v0 --ranks 1 --seeds \"$(seq -s \" \" 100)\""
        }' file="$file" "$file"
}

# and what they come to in Stable-Baselines3 (bench/peers/sb3_mountain_car.py), when that was measured
many_of_peer() {
    local file=bench/learning/results-sb3.csv
    [ -f "$file" ] || return 0
    awk -F , '$1 == "MountainCarContinuous-v0" { n++; solved += $3 >= 80 }
        END { printf "\nStable-Baselines3 itself, with the same preset and number of steps, solves it in %d of %d seeds (20 episodes each,\n`%s`).\n", solved, n, file }' \
        file="$file" "$file"
}

# memory and pictures, when they were trained
networks() {
    [ -f "$networks_results" ] || return 0
    cat <<'END'

## What memory and convolutions are for

`CartPoleNoVel-v1` hides the velocities, and in `MemoryChain-v0` a cue that is seen at the first step alone decides the
reward 50 steps later: nets without memory stay at what chance gives. `Catch-v0` and `CatchOrDodge-v0` are seen as pictures of 36 × 36
pixels; the second needs its picture and its vector. The seeds 1 to 5 each on two ranks, 100 episodes with the most probable action;
`bench/learning/networks.sh` trains and writes this table.

| environment | policy | steps | expected | each seed | as expected |
|---|---|---|---|---|---|
END
    networks_judge | awk -F '|' '{ printf "| %s | %s | %d | %s | %s | %s |\n", $1, $2, $3, $4, $5, $6 }' |
        sed 's/ -\([0-9]\)/ −\1/g'
}

page() {
    cat <<'END'
# Does it learn?

The five presets of `presets/ppo.yml` that are RL Baselines3 Zoo's, trained for the zoo's number of steps under
`mpirun -n 2` with the seeds 1 to 5 (MountainCarContinuous, whose preset has one environment, on one rank); then 100 episodes with the most probable action, on environments that training never
saw. `bench/learning/run.sh` trains, evaluates and writes this page, its pictures and
`bench/learning/results-2-ranks.csv`; none of it is written by hand. `--seed` is 0 unless given: a run of your own is one more sample
of the spread, and may lie beyond these five.

| environment | steps | goal | mean over seeds | each seed | reached | each seed's best weights |
|---|---|---|---|---|---|---|
END
    judge "$1" | awk -F '|' '{ printf "| %s | %d | %s | %s | %s | %s | %s |\n", $1, $3, $4, $5, $6, $8, $9 }' |
        sed 's/-\([0-9]\)/−\1/g; s/−\(v[0-9]\)/-\1/g'
    cat <<'END'

The goals are about the last weights. The best ones are those that did best in five episodes every 20th of the run
(`--eval-freq`, `manta eval --best`), judged here over 100 other episodes.

MountainCarContinuous is a gamble in the zoo's own setting: 20,000 steps of one environment are 20 episodes of full
length, the car must find the flag in the first few of them, and gSDE's noise, constant for eight steps, carries cars over
the hill whose most probable action alone does not.
END
    many
    many_of_peer
    networks
    cat <<'END'

## Curves

The mean return of the last 100 training episodes, with sampled actions; the line is the mean over the seeds, the shade
their smallest and largest, the dashed line the goal.

END
    local env
    for env in $(judge "$1" | cut -d '|' -f 1); do
        if [ -f "docs/img/learning-$env.svg" ]; then printf '![learning curve of %s](img/learning-%s.svg)\n\n' "$env" "$env"; fi
    done | sed '$d'
}

if [ "$train" = 1 ]; then
    [ -x "$manta" ] || die "$manta is not there; build it (scripts/quickstart.sh does), or name another with MANTA=PROGRAM"
    mkdir -p "$runs" docs/img
    for env in $envs; do
        heading "$env, $ranks ranks"
        for seed in $seeds; do
            train_one "$env" "$seed" || { say "  seed $seed FAILED"; failures=$((failures + 1)); }
        done
        if [ "$ranks" = 2 ]; then draw "$env"; fi
    done
fi
[ -f "$results" ] || die "$results is not there yet: train first"
if [ "$ranks" = 2 ]; then page "$results" >docs/learning.md; fi

heading "scores on $ranks ranks"
judge "$results" | awk -F '|' '{ printf "%-26s %-16s mean %8s   %-40s %s\n", $1, $4, $5, $6, $8 == "yes" ? "reached" : "NOT REACHED" }'
missed=$(judge "$results" | awk -F '|' '$8 != "yes"' | wc -l)
[ "$missed" -eq 0 ] && [ "$failures" -eq 0 ]
