#!/usr/bin/env bash
# What memory and convolutions are for: trains tasks that a feed-forward net cannot do, and that pictures are needed for, with
# several policies and seeds, evaluates each result over 100 episodes, and writes
#
#   bench/learning/results-networks.csv   a line a run
#   docs/learning.md                      its section about networks (through run.sh --table)
#
#   bench/learning/networks.sh [--envs "ENV ..."] [--seeds "1 2 3 4 5"] [--ranks 2] [--runs FOLDER] [--table]
#
#   --runs    where the run folders go (default: build/learning); runs of the same name are replaced
#   --table   trains nothing: prints the verdicts of the results that are there
#
# MANTA names the program (default build/manta). Environments and seeds that are not asked for keep their lines.
# Exit status: 0 every policy does what is expected of it, 1 one does not or a run failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
# shellcheck source=bench/learning/networks_table.sh
. bench/learning/networks_table.sh

envs=$(tasks | cut -d ' ' -f 1 | uniq | tr '\n' ' ')
seeds='1 2 3 4 5' ranks=2 runs=build/learning train=1
manta=${MANTA:-build/manta}
while [ $# -gt 0 ]; do
    case $1 in
    --envs | --seeds | --ranks | --runs)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --envs) envs=$2 ;;
        --seeds) seeds=$2 ;;
        --ranks) ranks=$2 ;;
        --runs) runs=$2 ;;
        esac
        shift
        ;;
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
    tasks | grep -q "^$env " || die "no task called $env; there are: $(tasks | cut -d ' ' -f 1 | uniq | tr '\n' ' ')"
done
prepare_mpi
failures=0

# number FIELD FILE: a number of a flat JSON object
number() { tr ',{}' '\n' <"$2" | sed -n "s/^ *\"$1\": *//p" | head -n 1; }

# train_one ENV POLICY SEED OPTION...: one run and its line
train_one() {
    local env=$1 policy=$2 seed=$3 folder=$runs/$1/$2/seed-$3 line next=$networks_results.next
    shift 3
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    mpirun --oversubscribe -n "$ranks" "$manta" train --algo ppo --env "$env" --policy "$policy" --seed "$seed" --run-folder "$folder" \
        --verbose 0 --save-interval 0 "$@" </dev/null || return 1
    "$manta" eval "$folder" --n-episodes 100 --json >"$folder/evaluation.json" </dev/null || return 1
    line=$(printf '%s,%s,%s,%s,%s,%.3f,%.3f' "$env" "$policy" "$seed" "$ranks" "$(number steps "$folder/run.json")" \
        "$(number mean_reward "$folder/evaluation.json")" "$(number std_reward "$folder/evaluation.json")")
    {
        echo 'env,policy,seed,ranks,steps,mean_reward,std_reward'
        {
            [ ! -f "$networks_results" ] || grep -v -e "^$env,$policy,$seed," -e '^env,' "$networks_results" || true
            echo "$line"
        } | sort -t , -k 1,1 -k 2,2 -k 3,3n
    } >"$next"
    mv "$next" "$networks_results"
    printf '  seed %s: %.2f\n' "$seed" "$(number mean_reward "$folder/evaluation.json")"
}

if [ "$train" = 1 ]; then
    [ -x "$manta" ] || die "$manta is not there; build it (scripts/quickstart.sh does), or name another with MANTA=PROGRAM"
    while read -r env policy _ _ options <&3; do
        [[ " $envs " == *" $env "* ]] || continue
        heading "$env, $policy, $ranks ranks"
        for seed in $seeds; do
            # shellcheck disable=SC2086
            train_one "$env" "$policy" "$seed" $options || { say "  seed $seed FAILED"; failures=$((failures + 1)); }
        done
    done 3< <(tasks)
fi
[ -f "$networks_results" ] || die "$networks_results is not there yet: train first"
if [ -f bench/learning/results-2-ranks.csv ]; then bench/learning/run.sh --table >/dev/null || true; fi

heading "networks"
networks_judge | awk -F '|' '{ printf "%-18s %-18s %-24s %-40s %s\n", $1, $2, $4, $5, $6 == "yes" ? "as expected" : "NOT AS EXPECTED" }'
missed=$(networks_judge | awk -F '|' '$6 != "yes"' | wc -l)
[ "$missed" -eq 0 ] && [ "$failures" -eq 0 ]
